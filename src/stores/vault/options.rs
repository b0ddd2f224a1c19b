//! What an inventory may say about a store of the kind `vault`.

use std::path::PathBuf;

use reqwest::Url;
use serde_json::{Value, json};

use crate::config::fields::Fields;
pub use crate::vault::Auth;
use crate::vault::login;

/// What an inventory may say about a store of this kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultOptions {
    /// `address`: of the server; a path in it is kept, for servers behind a gateway.
    pub address: Url,
    /// `ca_file`: PEM certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// `namespace`, where the server has them.
    pub namespace: Option<String>,
    /// `mount`: where the KV engine is; `secret` if left out.
    pub mount: String,
    /// `kv`: the version of the engine; 2 if left out.
    pub kv: Kv,
    /// `auth`: how Handover logs in.
    pub auth: Auth,
}

/// The versions of the KV engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kv {
    /// One value a path, no check-and-set.
    V1,
    /// Versions, check-and-set, metadata.
    V2,
}

/// Reads the options.
pub(super) fn read(fields: &mut Fields<'_>) -> Option<VaultOptions> {
    let address = fields.required_url("address");
    let ca_file = fields.optional_path("ca_file");
    let namespace = login::namespace(fields);
    let mount = login::path_or(fields, "mount", "secret");
    let kv = fields.optional_int("kv", 1..=2);
    let given = fields.has("kv");
    let auth = fields.required_map("auth", login::auth);
    let kv = match kv {
        Some(1) => Kv::V1,
        Some(_) => Kv::V2,
        None if given => return None,
        None => Kv::V2,
    };
    Some(VaultOptions { address: address?, ca_file, namespace: namespace?, mount: mount?, kv, auth: auth? })
}

/// The JSON Schema of the options.
pub(super) fn schema() -> Value {
    let text = json!({ "$ref": "#/$defs/text" });
    let secret = json!({ "$ref": "#/$defs/secret" });
    let object = |required: &[&str], properties: Value| json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties });
    let by_jwt = object(&["role", "jwt"], json!({ "role": text, "jwt": secret, "mount": text }));
    let approle = object(&["role_id", "secret_id"], json!({ "role_id": text, "secret_id": secret, "mount": text }));
    object(
        &["address", "auth"],
        json!({
            "address": { "type": "string", "pattern": "^https?://" },
            "ca_file": text,
            "namespace": text,
            "mount": text,
            "kv": { "enum": [1, 2] },
            "auth": { "oneOf": [
                object(&["token"], json!({ "token": secret })),
                object(&["approle"], json!({ "approle": approle })),
                object(&["kubernetes"], json!({ "kubernetes": by_jwt })),
                object(&["jwt"], json!({ "jwt": by_jwt })),
            ] },
        }),
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Node;
    use crate::config::inventory::SecretRef;

    fn options(text: &str) -> Result<VaultOptions, String> {
        let node = Node::from_yaml("test.yaml", Path::new("/etc/handover"), text).unwrap_or_else(|p| panic!("{p}"));
        let mut fields = Fields::new(&node, "store `vault`");
        let read = read(&mut fields);
        let problems = fields.finish();
        read.filter(|_| !problems.has_errors()).ok_or_else(|| problems.to_string())
    }

    const TOKEN: &str = "address: https://vault.internal:8200\nauth: {token: {file: token}}\n";

    #[test]
    fn vault_options_have_sensible_defaults() {
        let read = options(TOKEN).expect("they are sound");
        assert_eq!((read.mount.as_str(), read.kv, &read.namespace), ("secret", Kv::V2, &None));
        assert_eq!(read.auth, Auth::Token(SecretRef::File("/etc/handover/token".into())));
        let all = "address: https://v:8200/gate\nca_file: ca.pem\nnamespace: team/mail\nmount: /team/kv/\nkv: 1\n\
                   auth: {approle: {role_id: r, secret_id: {file: /s}, mount: roles}}\n";
        let read = options(all).expect("they are sound");
        assert_eq!((read.mount.as_str(), read.kv, read.namespace.as_deref()), ("team/kv", Kv::V1, Some("team/mail")));
        let secret_id = SecretRef::File("/s".into());
        assert_eq!(read.auth, Auth::AppRole { mount: "roles".into(), role_id: "r".into(), secret_id });
        for method in ["kubernetes", "jwt"] {
            let text = format!("address: https://v\nauth: {{{method}: {{role: r, jwt: {{env: JWT}}}}}}\n");
            assert!(options(&text).is_ok(), "{method}");
        }
    }

    #[test]
    fn vault_options_that_cannot_work_are_told_with_what_to_do() {
        for (text, says) in [
            ("auth: {token: {file: t}}\n", "lacks the key `address`"),
            ("address: https://v\n", "lacks the key `auth`"),
            ("address: https://v\nauth: {}\n", "no ways to log in"),
            ("address: https://v\nauth: {tokn: {file: t}}\n", "tokn"),
            ("address: https://v\nauth: {token: {file: t}, jwt: {role: r, jwt: {file: j}}}\n", "several ways to log in"),
            ("address: https://v\nauth: {approle: {role_id: r}}\n", "lacks the key `secret_id`"),
            (&format!("{TOKEN}kv: 3\n"), "from 1 to 2"),
            (&format!("{TOKEN}mount: a//b\n"), "`mount` is no path"),
            (&format!("{TOKEN}mount: ..\n"), "`mount` is no path"),
            (&format!("{TOKEN}namespace: \"a b\"\n"), "no namespace has"),
            (&format!("{TOKEN}monut: x\n"), "did you mean `mount`"),
        ] {
            let problems = options(text).expect_err(text);
            assert!(problems.contains(says), "{text}: {problems}");
        }
    }

    #[test]
    fn the_schema_of_vault_takes_what_the_reader_takes() {
        let mut schema = schema();
        schema["$defs"] = json!({
            "text": { "type": "string", "minLength": 1 },
            "secret": { "oneOf": [{ "required": ["env"] }, { "required": ["file"] }] },
        });
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        let sound =
            json!({"address": "https://v", "kv": 1, "auth": {"approle": {"role_id": "r", "secret_id": {"file": "s"}}}});
        assert!(validator.is_valid(&sound));
        assert!(!validator.is_valid(&json!({"address": "https://v"})));
        assert!(!validator.is_valid(&json!({"address": "https://v", "auth": {"token": {"file": "t"}, "jwt": {}}})));
    }
}

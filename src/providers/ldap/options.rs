//! What an inventory says about a directory.

use std::collections::BTreeMap;
use std::path::PathBuf;

use handover_rotation::name::Username;
use handover_rotation::plan::{ProviderFacts, Shape};
use handover_rotation::time::Span;
use ldap3::dn_escape;

use crate::config::inventory::SecretRef;
use crate::config::{Fields, schema};

/// How many versions an account may have: as many as it has logins.
pub(super) const QUOTA: u8 = 2;
/// How long a change may take until every replica has it.
const PROPAGATION: Span = Span::seconds(5);
const MOST_PROPAGATION: Span = Span::minutes(24 * 60);
pub(super) const REQUEST_TIMEOUT: Span = Span::seconds(25);

/// How a version is made refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DisableBy {
    /// `pwdAccountLockedTime`: only where the policy has `pwdLockout`, and only for who binds; else nothing heeds it.
    Lock,
    /// A hash that no password fits: everywhere, but a policy may refuse to take it, and then says so.
    Hash,
}

/// How a password is hashed where that is done here: in each way every directory can check it, and it has 192 bits of chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Ssha,
    Ssha256,
    Ssha512,
}

impl Scheme {
    pub(super) const ALL: [Self; 3] = [Self::Ssha, Self::Ssha256, Self::Ssha512];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ssha => "SSHA",
            Self::Ssha256 => "SSHA256",
            Self::Ssha512 => "SSHA512",
        }
    }
}

/// What an inventory says about a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LdapOptions {
    pub(super) url: String,
    /// `ldap://`, where TLS begins with StartTLS.
    pub(super) starttls: bool,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) bind_dn: String,
    pub(super) bind_password: SecretRef,
    dn: String,
    pub(super) shape: Shape,
    users: BTreeMap<String, [String; 2]>,
    pub(super) note: String,
    pub(super) disable: DisableBy,
    /// Of the second value, where an entry has two.
    pub(super) scheme: Scheme,
    propagation: Span,
}

impl LdapOptions {
    /// Reads the options; see docs/kinds/ldap.md.
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let url = fields.required_str("url");
        let ca_file = fields.optional_path("ca_file");
        let bind_dn = fields.required_str("bind_dn");
        let bind_password = fields.required_secret("bind_password");
        let dn = fields.required_str("dn");
        let shapes = [("alternating", Shape::Alternating), ("in-place", Shape::InPlace), ("two-values", Shape::Reversible)];
        let shape = fields.optional_choice("accounts", &shapes).unwrap_or(Shape::Alternating);
        let users = fields.optional_map("users", |users| {
            let accounts: Vec<String> = users.named().iter().map(|pair| pair.key.clone()).collect();
            let mut found = BTreeMap::new();
            for account in accounts {
                match <[String; 2]>::try_from(users.optional_list(&account)?) {
                    Ok(pair) if pair[0] != pair[1] && pair.iter().all(|name| Username::new(name.as_str()).is_ok()) => {
                        found.insert(account, pair);
                    }
                    _ => {
                        let message = format!("`{account}` needs two different login names that take turns");
                        users.problem("HO0113", &account, message, "write them as [FIRST, SECOND]");
                    }
                }
            }
            Some(found)
        });
        let note = fields.optional_str("note_attribute");
        let disable = fields.optional_choice("disable_by", &[("lock", DisableBy::Lock), ("hash", DisableBy::Hash)]);
        let schemes = Scheme::ALL.map(|scheme| (scheme.name(), scheme));
        let scheme = fields.optional_choice("scheme", &schemes);
        let propagation = fields.optional_duration("propagation", Span(0)..=MOST_PROPAGATION);
        if shape == Shape::Reversible && disable == Some(DisableBy::Lock) {
            let message = "a lock is of the whole entry, and would shut out both of its passwords";
            fields.problem("HO0113", "disable_by", message, "leave it out: `hash` switches one of two values");
        }
        if shape != Shape::Reversible && fields.has("scheme") {
            let message = "`scheme` is for `accounts: two-values`: elsewhere the directory hashes passwords itself";
            fields.problem("HO0113", "scheme", message, "leave it out");
        }
        let starttls = url.as_ref().is_some_and(|url| url.starts_with("ldap://"));
        if let Some(url) = url.as_ref().filter(|url| !is_address(url)) {
            let message = format!("`url` cannot be `{url}`");
            fields.problem("HO0113", "url", message, "write ldaps://HOST[:PORT], or ldap://HOST[:PORT] for StartTLS");
        }
        if dn.as_ref().is_some_and(|dn| dn.matches("{login}").count() != 1) {
            let hint = "such as uid={login},ou=services,dc=example,dc=com";
            fields.problem("HO0113", "dn", "`dn` needs `{login}` in it once", hint);
        }
        let note = note.unwrap_or_else(|| "description".to_owned());
        if !note.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            fields.problem("HO0113", "note_attribute", format!("`{note}` is no attribute"), "such as description");
        }
        Some(Self {
            url: url?,
            starttls,
            ca_file,
            bind_dn: bind_dn?,
            bind_password: bind_password?,
            dn: dn?,
            shape,
            users: users.unwrap_or_default(),
            note,
            disable: disable.unwrap_or(DisableBy::Hash),
            scheme: scheme.unwrap_or(Scheme::Ssha),
            propagation: propagation.unwrap_or(PROPAGATION),
        })
    }

    pub(super) fn schema() -> serde_json::Value {
        let text = || serde_json::json!({"type": "string", "minLength": 1});
        serde_json::json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["url", "bind_dn", "bind_password", "dn"],
            "properties": {
                "url": {"type": "string", "pattern": "^ldaps?://[^/?#@\\s]+/?$"},
                "ca_file": text(),
                "bind_dn": text(),
                "bind_password": {
                    "type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": false,
                    "properties": {"env": text(), "file": text()},
                },
                "dn": {"type": "string", "pattern": "^((?!\\{login\\}).)*\\{login\\}((?!\\{login\\}).)*$"},
                "accounts": {"enum": ["alternating", "in-place", "two-values"]},
                "users": {
                    "type": "object",
                    "additionalProperties": {
                        "type": "array", "minItems": 2, "maxItems": 2, "uniqueItems": true, "items": text(),
                    },
                },
                "note_attribute": {"type": "string", "pattern": "^[A-Za-z0-9-]+$"},
                "disable_by": {"enum": ["lock", "hash"]},
                "scheme": {"enum": Scheme::ALL.map(Scheme::name)},
                "propagation": schema::duration(),
            },
            "if": {"properties": {"accounts": {"const": "two-values"}}, "required": ["accounts"]},
            "then": {"properties": {"disable_by": {"const": "hash"}}},
            "else": {"properties": {"scheme": false}},
        })
    }

    pub(super) fn facts(&self) -> ProviderFacts {
        ProviderFacts {
            kind: "ldap".to_owned(),
            shape: self.shape,
            quota: QUOTA,
            propagation: self.propagation,
            request_timeout: REQUEST_TIMEOUT,
            // A request that was sent is carried out, whatever has become of who sent it.
            landing: REQUEST_TIMEOUT,
            chooses_secret: true,
            tells_last_use: false,
        }
    }

    /// The logins of an account.
    pub(super) fn logins(&self, account: &str) -> Vec<String> {
        if self.shape != Shape::Alternating {
            return vec![account.to_owned()];
        }
        if let Some(pair) = self.users.get(account) {
            return pair.to_vec();
        }
        ["a", "b"]
            .map(|half| match account.split_once('@') {
                Some((local, domain)) => format!("{local}-{half}@{domain}"),
                None => format!("{account}-{half}"),
            })
            .to_vec()
    }

    /// The entry of a login.
    pub(super) fn dn_of(&self, login: &str) -> String {
        self.dn.replace("{login}", &dn_escape(login))
    }

    /// Whether Handover binds as one whom policies do not bind, by the names that such a one usually has.
    pub(super) fn binds_as_root(&self) -> bool {
        let first = self.bind_dn.split(',').next().unwrap_or_default().trim().to_ascii_lowercase();
        matches!(first.as_str(), "cn=admin" | "cn=manager" | "cn=directory manager" | "cn=root" | "cn=config")
    }
}

fn is_address(url: &str) -> bool {
    let rest = url.strip_prefix("ldaps://").or_else(|| url.strip_prefix("ldap://"));
    rest.is_some_and(|rest| {
        let host = rest.strip_suffix('/').unwrap_or(rest);
        !host.is_empty() && !host.contains(['/', '?', '#', '@']) && !host.contains(char::is_whitespace)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Node;

    fn read(text: &str) -> (Option<LdapOptions>, bool) {
        let node = Node::from_yaml("test.yaml", Path::new("/"), text).expect("YAML");
        let mut fields = Fields::new(&node, "provider");
        let options = LdapOptions::read(&mut fields);
        (options, fields.finish().has_errors())
    }

    const SOUND: &str =
        "url: ldaps://ldap.example.com, bind_dn: cn=rotator, bind_password: {file: pw}, dn: \"uid={login},dc=x\"";

    #[test]
    fn its_options_are_read_and_others_refused_as_the_schema_does() {
        let schema = jsonschema::validator_for(&LdapOptions::schema()).expect("a schema");
        for (more, sound) in [
            ("", true),
            (", ca_file: ca.pem, accounts: in-place, note_attribute: info, disable_by: hash, propagation: 1m", true),
            (", users: {news: [news, spare]}", true),
            (", users: {news: [news]}", false),
            (", users: {news: [news, news]}", false),
            (", accounts: two-values", true),
            (", accounts: two-values, scheme: SSHA512, disable_by: hash", true),
            (", accounts: two-values, disable_by: lock", false),
            (", accounts: two-values, scheme: ARGON2", false),
            (", scheme: SSHA512", false),
            (", accounts: both", false),
            (", disable_by: magic", false),
            (", note_attribute: \"a b\"", false),
            (", propagation: 5", false),
            (", starttls: false", false),
        ] {
            let text = format!("{{{SOUND}{more}}}");
            let (options, wrong) = read(&text);
            assert_eq!(options.is_some() && !wrong, sound, "{text}");
            let json: serde_json::Value = serde_yaml::from_str(&text).expect("YAML");
            assert_eq!(schema.is_valid(&json), sound, "the schema on {text}");
        }
        for (part, by) in [
            ("ldaps://ldap.example.com", "http://ldap.example.com"),
            ("ldaps://ldap.example.com", "ldapi:///"),
            ("ldaps://ldap.example.com", "ldaps://u@ldap.example.com"),
            ("uid={login}", "uid=news"),
            ("uid={login}", "uid={login}{login}"),
            ("url: ldaps://ldap.example.com, ", ""),
            ("bind_password: {file: pw}, ", ""),
        ] {
            let text = format!("{{{}}}", SOUND.replace(part, by));
            assert!(read(&text).1, "{text}");
            let json: serde_json::Value = serde_yaml::from_str(&text).expect("YAML");
            assert!(!schema.is_valid(&json), "the schema on {text}");
        }
        let clear = format!("{{{}}}", SOUND.replace("{file: pw}", "in-the-clear"));
        assert!(Node::from_yaml("test.yaml", Path::new("/"), &clear).is_err());
    }

    #[test]
    fn tls_is_never_left_out_and_names_are_escaped() {
        let plain = read(&format!("{{{}}}", SOUND.replace("ldaps:", "ldap:"))).0.expect("options");
        let tls = read(&format!("{{{SOUND}}}")).0.expect("options");
        assert!(plain.starttls && !tls.starttls);
        assert_eq!(tls.logins("news"), ["news-a", "news-b"]);
        assert_eq!(tls.logins("news@x.org"), ["news-a@x.org", "news-b@x.org"]);
        assert_eq!(tls.dn_of("a+b"), "uid=a\\2bb,dc=x");
        assert!(!tls.binds_as_root());
        let root = read(&format!("{{{}}}", SOUND.replace("cn=rotator", "\"cn=Manager,dc=x\""))).0.expect("options");
        assert!(root.binds_as_root());
    }
}

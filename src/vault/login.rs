//! How Handover logs in at Vault or OpenBao, as its files say it. `session` does it.

use crate::config::fields::Fields;
use crate::config::inventory::SecretRef;

/// A way to log in. `mount` is where the auth method is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// A token that somebody else has made, and makes anew.
    Token(SecretRef),
    /// AppRole.
    AppRole {
        /// `approle` if left out.
        mount: String,
        /// The role id.
        role_id: String,
        /// The secret id.
        secret_id: SecretRef,
    },
    /// A service account of Kubernetes.
    Kubernetes {
        /// `kubernetes` if left out.
        mount: String,
        /// The role.
        role: String,
        /// The service account's token.
        jwt: SecretRef,
    },
    /// A signed token of another issuer.
    Jwt {
        /// `jwt` if left out.
        mount: String,
        /// The role.
        role: String,
        /// The token.
        jwt: SecretRef,
    },
}

const METHODS: [&str; 4] = ["token", "approle", "kubernetes", "jwt"];

/// Reads `namespace`; the inner `None` where none is named.
#[expect(clippy::option_option, reason = "not read and not there are two things")]
pub(crate) fn namespace(fields: &mut Fields<'_>) -> Option<Option<String>> {
    let namespace = fields.optional_str("namespace");
    if namespace.as_deref().is_some_and(|n| !n.bytes().all(|b| b.is_ascii_graphic())) {
        fields.problem(
            "HO0113",
            "namespace",
            "`namespace` has a character that no namespace has",
            "write it as `team/mail`",
        );
        return None;
    }
    Some(namespace)
}

/// A path such as `team/kv`, without slashes at its ends.
pub(crate) fn path_or(fields: &mut Fields<'_>, key: &str, default: &str) -> Option<String> {
    if !fields.has(key) {
        let _ = fields.optional_str(key);
        return Some(default.to_owned());
    }
    let text = fields.optional_str(key)?;
    let path = text.trim_matches('/');
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        fields.problem("HO0113", key, format!("`{key}` is no path"), "write it as `secret` or `team/kv`");
        return None;
    }
    Some(path.to_owned())
}

/// Reads how to log in.
pub(crate) fn auth(fields: &mut Fields<'_>) -> Option<Auth> {
    let many = METHODS.iter().filter(|method| fields.has(method)).count();
    let token = fields.optional_secret("token").map(Auth::Token);
    let approle = fields.optional_map("approle", |role| {
        let mount = path_or(role, "mount", "approle");
        let role_id = role.required_str("role_id");
        let secret_id = role.required_secret("secret_id");
        Some(Auth::AppRole { mount: mount?, role_id: role_id?, secret_id: secret_id? })
    });
    let kubernetes = fields.optional_map("kubernetes", |map| {
        let (mount, role, jwt) = role_and_jwt(map, "kubernetes");
        Some(Auth::Kubernetes { mount: mount?, role: role?, jwt: jwt? })
    });
    let jwt = fields.optional_map("jwt", |map| {
        let (mount, role, jwt) = role_and_jwt(map, "jwt");
        Some(Auth::Jwt { mount: mount?, role: role?, jwt: jwt? })
    });
    if many != 1 && fields.is_map() {
        let message = format!("`auth` names {} ways to log in", if many == 0 { "no" } else { "several" });
        let hint = "name one of `token`, `approle`, `kubernetes`, `jwt`";
        fields.problem("HO0113", METHODS.iter().find(|m| fields.has(m)).copied().unwrap_or("auth"), message, hint);
        return None;
    }
    token.or(approle).or(kubernetes).or(jwt)
}

fn role_and_jwt(map: &mut Fields<'_>, mount: &str) -> (Option<String>, Option<String>, Option<SecretRef>) {
    (path_or(map, "mount", mount), map.required_str("role"), map.required_secret("jwt"))
}

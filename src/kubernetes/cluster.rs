//! A namespace of a cluster, and calls to its API server with a service account's token, which is read at each call, since the
//! kubelet renews it. What this must not do: show an answer, which may hold every value of a Secret, or repeat a call.

use std::path::PathBuf;

use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::time::Span;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::config::fields::Fields;
use crate::config::inventory::SecretRef;
use crate::web::{Answer, Api, Codes, Lost};

/// For one request.
const CALL_TIMEOUT: Span = Span::seconds(10);

/// Where a namespace is, and who Handover is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterOptions {
    /// `address`: of the API server.
    pub address: Url,
    /// `ca_file`: PEM certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// `namespace`: of what it is for.
    pub namespace: String,
    /// `token`: of the service account, read at each call.
    pub token: SecretRef,
}

impl ClusterOptions {
    /// Reads the options that every kind at Kubernetes has.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let address = fields.required_url("address");
        let ca_file = fields.optional_path("ca_file");
        let namespace = fields.required_str("namespace");
        let token = fields.required_secret("token");
        let options = Self { address: address?, ca_file, namespace: namespace?, token: token? };
        if !is_name(&options.namespace) {
            let hint = "it is made of lower-case letters, digits and `-`";
            fields.problem("HO0113", "namespace", "`namespace` is no name of a namespace", hint);
            return None;
        }
        Some(options)
    }

    /// Their properties in a JSON Schema.
    pub(crate) fn properties() -> Map<String, Value> {
        let properties = [
            ("address", json!({ "type": "string", "pattern": "^https?://" })),
            ("ca_file", json!({ "$ref": "#/$defs/text" })),
            ("namespace", json!({ "type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" })),
            ("token", json!({ "$ref": "#/$defs/secret" })),
        ];
        properties.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// Those that must be there.
    pub(crate) const REQUIRED: [&str; 3] = ["address", "namespace", "token"];
}

/// A namespace of a cluster.
pub(crate) struct Cluster {
    pub(crate) api: Api,
    pub(crate) namespace: String,
    token: SecretRef,
    codes: Codes,
}

/// One request.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// The body with its form, such as `application/json`.
    pub(crate) body: Option<(&'static str, Zeroizing<Vec<u8>>)>,
    /// The form of the answer, where it is not the usual one.
    pub(crate) accept: Option<&'static str>,
    /// What it is about, for people: `secret mail/newsletter-smtp`.
    pub(crate) about: &'a str,
    /// What RBAC calls it.
    pub(crate) verb: &'static str,
    /// The rule of a Role that allows it.
    pub(crate) rule: String,
}

/// What the API server says where it refuses.
#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    reason: String,
}

impl Cluster {
    /// A cluster with these options. Nothing is sent and no secret is read before the first call.
    ///
    /// # Errors
    /// `codes.odd`: the address or `ca_file` cannot be used.
    pub(crate) fn open(options: ClusterOptions, codes: Codes) -> Result<Self, Fault> {
        let api = Api::new("Kubernetes", &options.address, options.ca_file.as_deref(), CALL_TIMEOUT, codes)?;
        Ok(Self { api, namespace: options.namespace, token: options.token, codes })
    }

    /// Sends a call, and says what 401 and 403 mean.
    pub(crate) async fn ask(&self, call: Call<'_>) -> Result<Answer, Lost> {
        let token = self.token.read().map_err(Lost::Before)?;
        let bearer = Zeroizing::new(format!("Bearer {}", token.expose()));
        let plain = token.expose().bytes().all(|byte| byte.is_ascii_graphic());
        let Some(mut header) = HeaderValue::from_str(&bearer).ok().filter(|_| plain) else {
            let what = "the token has a character that no token has";
            return Err(Lost::Before(self.forbidden(what).hint("look into its file")));
        };
        header.set_sensitive(true);
        let mut request = self.api.client.request(call.method, call.url).header(AUTHORIZATION, header);
        if let Some(accept) = call.accept {
            request = request.header(ACCEPT, accept);
        }
        if let Some((form, body)) = call.body {
            request = request.header(CONTENT_TYPE, form).body(body.to_vec());
        }
        let answer = self.api.send(request).await?;
        let (about, verb) = (call.about, call.verb);
        match answer.status.as_u16() {
            401 => {
                let what = format!("{about}: the token is not taken: it has expired or is of another cluster");
                Err(Lost::Before(self.forbidden(what).hint("put a new token where the inventory says")))
            }
            403 => {
                let fault = self.forbidden(format!("{about}: the service account may not {verb} it"));
                Err(Lost::Before(fault.hint(format!("add to its Role: {}", call.rule))))
            }
            _ => Ok(answer),
        }
    }

    fn forbidden(&self, what: impl std::fmt::Display) -> Fault {
        self.api.fault(FaultClass::Permanent, self.codes.forbidden, what)
    }
}

/// Whether a 404 is the server's own answer for an object that is not there: a gateway's page for an address that leads nowhere
/// is not that.
pub(crate) fn is_not_found(answer: &Answer) -> bool {
    answer.json::<Status>().is_some_and(|status| status.reason == "NotFound")
}

/// A DNS label, as Kubernetes names things.
pub(crate) fn is_name(text: &str) -> bool {
    let sound = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.chars().all(sound) && !text.starts_with('-') && !text.ends_with('-')
}

/// A DNS subdomain: labels with dots between them.
pub(crate) fn is_object_name(text: &str) -> bool {
    text.split('.').all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_kubernetes_are_told_from_paths() {
        for good in ["mail", "a-b-1", "0x"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a/b", "a.b", "..", "a b"] {
            assert!(!is_name(bad), "{bad}");
        }
        for (text, is) in [("a.b", true), ("a", true), ("..", false), ("a.", false), ("a/b", false), ("", false)] {
            assert_eq!(is_object_name(text), is, "{text}");
        }
    }
}

//! The options of kinds that post to a webhook of the user's: `{url, secret, ca_file, timeout}`.

use std::path::PathBuf;

use handover_rotation::time::Span;
use reqwest::Url;
use serde_json::{Value, json};

use super::fields::Fields;
use super::inventory::{MOST_TIMEOUT, SecretRef};
use super::schema;

/// Where to post, and how.
pub struct Hook {
    /// The address.
    pub url: Url,
    /// What messages are signed with.
    pub secret: SecretRef,
    /// A file of PEM certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// How long a call may take.
    pub timeout: Span,
}

impl Hook {
    /// Reads the options; `timeout` if they name none.
    pub fn options(fields: &mut Fields<'_>, timeout: Span) -> Option<Self> {
        let url = fields.required_url("url");
        let secret = fields.required_secret("secret");
        let ca_file = fields.optional_path("ca_file");
        let named = fields.optional_duration("timeout", Span::seconds(1)..=MOST_TIMEOUT);
        Some(Self { url: url?, secret: secret?, ca_file, timeout: named.unwrap_or(timeout) })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        json!({
            "required": ["url", "secret"],
            "properties": {
                "url": { "type": "string", "pattern": "^\\s*[hH][tT][tT][pP][sS]?:" },
                "secret": { "$ref": "#/$defs/secret" },
                "ca_file": { "$ref": "#/$defs/text" },
                "timeout": schema::duration(),
            },
        })
    }
}

//! Where calls may go beside the public internet: the section `egress` of an inventory.

use serde_json::{Value, json};

use super::fields::Fields;
use crate::egress::{Allowed, Net, NetError};

/// Adds what a file allows.
pub(super) fn read(fields: &mut Fields<'_>, allowed: &mut Allowed) {
    let Some(texts) = fields.required_list("allow") else { return };
    for text in texts {
        match text.parse::<Net>() {
            Ok(net) => allowed.add(net),
            Err(error) => {
                let hint = match &error {
                    NetError::Bits(net) => format!("write `{net}`"),
                    NetError::Syntax => "write `10.1.2.3` or `10.1.0.0/16`; names are not taken".to_owned(),
                };
                fields.problem("HO1203", "allow", format!("`{text}` {error}"), hint);
            }
        }
    }
}

/// The JSON Schema of the section.
pub(super) fn schema() -> Value {
    json!({
        "type": "object",
        "description": "Networks that calls of notifiers and the like may go to beside the public internet.",
        "additionalProperties": false,
        "required": ["allow"],
        "properties": { "allow": { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/text" } } },
    })
}

//! Services that only a person can restart: what they are asked to do, as it is told to them. The machine asks, and the service is
//! asked afterwards what it presents; nothing is done here.

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;

use super::Reload;
use crate::config::fields::Fields;

/// What a person is asked to do.
pub struct ManualReload {
    task: String,
}

impl ManualReload {
    /// What a service reads again by it.
    pub const REREADS: &'static str = "a person does it: what is read again is up to what they do, and they are asked again until `attest` shows the new login";

    /// Reads the options: `{task: TEXT}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self { task: fields.required_str("task")? })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        serde_json::json!({
            "type": "object", "additionalProperties": false, "required": ["task"],
            "properties": {"task": {"$ref": "#/$defs/text"}}
        })
    }
}

#[async_trait]
impl Reload for ManualReload {
    fn describe(&self) -> String {
        "a person".to_owned()
    }

    fn request_timeout(&self) -> Span {
        Span::seconds(1)
    }

    fn rereads(&self) -> Option<&'static str> {
        Some(Self::REREADS)
    }

    fn by_hand(&self) -> Option<String> {
        Some(self.task.clone())
    }

    /// Never called: the machine asks a person instead.
    async fn reload(&self) -> Outcome<()> {
        Outcome::NotDone(Fault::new(FaultClass::Permanent, "HO0745", "only a person restarts it").hint(self.task.clone()))
    }
}

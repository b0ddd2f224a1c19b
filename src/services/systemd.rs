//! Services that are units of systemd on this machine. They are restarted, not reloaded: a unit's environment, and with it an
//! `EnvironmentFile`, is read when its process begins and never again.
//!
//! That `systemctl restart` ended well is not believed alone: a unit has a number for each of its lives, which must be another one
//! afterwards.

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;

use super::Reload;
use super::told::Told;
use crate::config::fields::Fields;
use crate::config::inventory::MOST_TIMEOUT;
use crate::config::schema;
use crate::process::Program;

/// The time a restart may take if the inventory says nothing: systemd's own patience with a unit.
const TIMEOUT: Span = Span::seconds(90);

/// What is asked of a unit before and after.
const SHOWN: &str = "--property=LoadState,ActiveState,InvocationID,NRestarts,ActiveEnterTimestampMonotonic";

/// A unit.
pub struct SystemdReload {
    unit: String,
    systemctl: Told,
}

/// A unit at one moment.
#[derive(Debug, Default, PartialEq, Eq)]
struct Life {
    load: String,
    active: String,
    invocation: String,
    restarts: String,
    entered: String,
}

impl Life {
    fn read(text: &str) -> Self {
        let mut life = Self::default();
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            let field = match name {
                "LoadState" => &mut life.load,
                "ActiveState" => &mut life.active,
                "InvocationID" => &mut life.invocation,
                "NRestarts" => &mut life.restarts,
                "ActiveEnterTimestampMonotonic" => &mut life.entered,
                _ => continue,
            };
            value.trim().clone_into(field);
        }
        life
    }

    /// Whether this is another life than `before`. Where there is no number of the life, the time when it began tells.
    fn is_new(&self, before: &Self) -> bool {
        match self.invocation.as_str() {
            "" => !self.entered.is_empty() && self.entered != before.entered,
            invocation => invocation != before.invocation,
        }
    }
}

impl SystemdReload {
    /// What a service reads again by it.
    pub const REREADS: &'static str =
        "a restart begins a new process: its environment, with every EnvironmentFile, and its files are read again";

    /// Reads the options: `{unit: NAME, systemctl: [systemctl], timeout: 90s}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<Self> {
        let unit = fields.required_str("unit");
        let systemctl = Told::options(fields, "systemctl");
        let timeout = fields.optional_duration("timeout", Span::seconds(1)..=MOST_TIMEOUT);
        let unit = unit.filter(|unit| {
            let sound = unit.chars().all(|c| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c)) && !unit.starts_with('-');
            if !sound {
                fields.problem(
                    "HO0701",
                    "unit",
                    "the unit cannot be used: it has a character that no unit has",
                    "write its name",
                );
            }
            sound
        });
        Some(Self { unit: unit?, systemctl: systemctl?.open(fields, timeout.unwrap_or(TIMEOUT))? })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        serde_json::json!({
            "type": "object", "additionalProperties": false, "required": ["unit"],
            "properties": {
                "unit": {"type": "string", "pattern": "^[A-Za-z0-9:_.\\\\@][A-Za-z0-9:_.\\\\@-]*$"},
                "systemctl": Told::schema(), "timeout": schema::duration(),
            }
        })
    }

    fn fault(&self, class: FaultClass, what: &str) -> Fault {
        Fault::new(class, "HO0741", format!("{}: {what}", self.describe()))
    }

    async fn life(&self) -> Outcome<Life> {
        self.systemctl.ask(&["show", SHOWN, "--", &self.unit]).await.map(|text| Life::read(&text))
    }
}

#[async_trait]
impl Reload for SystemdReload {
    fn describe(&self) -> String {
        format!("systemd {}", self.unit)
    }

    fn request_timeout(&self) -> Span {
        // Two looks and the restart.
        Span(Program::request_timeout(self.systemctl.program()).0.saturating_mul(3))
    }

    fn rereads(&self) -> Option<&'static str> {
        Some(Self::REREADS)
    }

    async fn reload(&self) -> Outcome<()> {
        let before = match self.life().await {
            Outcome::Done(life) => life,
            // Nothing was begun.
            Outcome::NotDone(fault) | Outcome::Unknown(fault) => return Outcome::NotDone(fault),
        };
        if before.load != "loaded" {
            let fault = self.fault(FaultClass::Permanent, "there is no such unit, or it cannot be loaded");
            return Outcome::NotDone(fault.hint("compare with `systemctl status` of it"));
        }
        match self.systemctl.ask(&["restart", "--", &self.unit]).await {
            Outcome::Done(_) => {}
            other => return other.map(drop),
        }
        match self.life().await {
            Outcome::Done(after) if after.active != "active" => {
                let fault = self.fault(FaultClass::Temporary, "it does not run after its restart");
                Outcome::NotDone(fault.hint("see its log; it may not like its new login"))
            }
            Outcome::Done(after) if after.is_new(&before) => Outcome::Done(()),
            Outcome::Done(_) => {
                let fault = self
                    .fault(FaultClass::Temporary, "its restart was said to be done, and it is still the process of before");
                Outcome::NotDone(fault.hint("is `systemctl` the one of the machine that the service runs on?"))
            }
            Outcome::NotDone(fault) | Outcome::Unknown(fault) => Outcome::Unknown(fault),
        }
    }
}

#[cfg(test)]
#[path = "systemd_tests.rs"]
mod tests;

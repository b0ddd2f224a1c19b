//! Services reached by a command on this machine. No shell, a fixed environment, an end to every run (threat T9).
//!
//! A command gets its configured arguments and, after them, what is asked for: nonce and recipient, or the challenge.
//! Secrets never: arguments and environments can be read by others (S21).

use std::process::ExitStatus;

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use zeroize::Zeroizing;

use super::{Attest, Attestation, Reload, TestSend, answer};
use crate::config::fields::Fields;
use crate::config::inventory::MOST_TIMEOUT;
use crate::config::schema;
use crate::process::{self, End, Job, SAFE_PATH};

/// The time a command may take if the inventory says nothing.
pub const DEFAULT_TIMEOUT: Span = Span::seconds(30);

/// A command: the program and its arguments.
///
/// It runs as [`Job`] says, with nothing on its input. Its output is never part of a fault. At the timeout the outcome is `Unknown`.
pub struct CommandAction {
    argv: Vec<String>,
    timeout: Span,
}

enum Run {
    Ended(ExitStatus, Zeroizing<Vec<u8>>),
    NotStarted(Fault),
    TimedOut(Fault),
}

impl CommandAction {
    /// Takes a program and its arguments. The program is an absolute path, or a name without a folder that is looked for
    /// in [`SAFE_PATH`].
    ///
    /// # Errors
    /// `HO0701` for no program, one with a relative path, or a NUL byte.
    pub fn new(argv: Vec<String>, timeout: Span) -> Result<Self, Fault> {
        process::check(&argv).map_err(|message| {
            let fault = Fault::new(FaultClass::Permanent, "HO0701", format!("the command cannot be used: {message}"));
            fault.hint("write it as a list, such as [systemctl, restart, newsletter-api]")
        })?;
        Ok(Self { argv, timeout })
    }

    /// After this long a call has surely ended: its timeout, and the time to kill what runs.
    #[must_use]
    pub fn request_timeout(&self) -> Span {
        process::surely(self.timeout)
    }

    /// `command systemctl`: the arguments may be long and are left out.
    fn who(&self) -> String {
        format!("command {}", process::name(&self.argv))
    }

    /// Runs it with `more` arguments; `read` says whether its output is of interest.
    async fn run(&self, more: &[&str], read: bool) -> Run {
        let fault = |class, code, what: String| Fault::new(class, code, format!("{}: {what}", self.who()));
        let job = Job { argv: &self.argv, more, input: None, read, timeout: self.timeout };
        match job.run().await {
            End::Exited(status, text) => Run::Ended(status, text),
            End::NoProgram => {
                let what = format!("there is no such program in {SAFE_PATH}");
                Run::NotStarted(fault(FaultClass::Permanent, "HO0702", what).hint("give its whole path"))
            }
            End::NotStarted(error) => {
                let permanent = process::is_permanent(&error);
                let class = if permanent { FaultClass::Permanent } else { FaultClass::Temporary };
                let fault = fault(class, "HO0702", format!("it could not be started: {}", error.kind()));
                Run::NotStarted(fault.hint("check the path and the right to run it"))
            }
            End::Unseen => Run::TimedOut(fault(FaultClass::Temporary, "HO0705", "its end could not be seen".to_owned())),
            End::TimedOut => {
                let what = format!("it took longer than {} and was killed", self.timeout);
                let fault = fault(FaultClass::Temporary, "HO0704", what);
                Run::TimedOut(fault.hint("give it a longer `timeout` if it needs one"))
            }
        }
    }

    fn failed(&self, status: ExitStatus) -> Fault {
        let how =
            status.code().map_or_else(|| "was killed by a signal".to_owned(), |code| format!("ended with status {code}"));
        let fault = Fault::new(FaultClass::Temporary, "HO0703", format!("{}: it {how}", self.who()));
        fault.hint("run it by hand to see what it says; its output is not kept")
    }
}

#[async_trait]
impl Reload for CommandAction {
    fn request_timeout(&self) -> Span {
        Self::request_timeout(self)
    }

    fn describe(&self) -> String {
        self.who()
    }

    /// A status other than 0 is `NotDone`, though a part may have happened: a reload may be repeated without harm, and
    /// nothing relies on it having happened or not, since only attestation and test mail show what a service uses. As
    /// `NotDone` it is repeated a bounded number of times and then rolled back, as it should be for a unit that does not
    /// exist. Killed by a signal is `Unknown`.
    async fn reload(&self) -> Outcome<()> {
        match self.run(&[], false).await {
            Run::Ended(status, _) if status.success() => Outcome::Done(()),
            Run::Ended(status, _) if status.code().is_some() => Outcome::NotDone(self.failed(status)),
            Run::Ended(status, _) => Outcome::Unknown(self.failed(status)),
            Run::NotStarted(fault) => Outcome::NotDone(fault),
            Run::TimedOut(fault) => Outcome::Unknown(fault),
        }
    }
}

#[async_trait]
impl TestSend for CommandAction {
    fn request_timeout(&self) -> Span {
        Self::request_timeout(self)
    }

    /// Status 0 is `Done`, unless it prints `{"accepted": false, …}`. Any other status without that is `Unknown`: the mail
    /// may be on its way, and a test mail, unlike a reload, is looked for.
    async fn test_send(&self, nonce: &str, to: &str) -> Outcome<()> {
        if [nonce, to].iter().any(|word| word.starts_with('-') || word.contains('\0')) {
            let message = format!("{}: a nonce or recipient that begins with `-` would be read as an option", self.who());
            return Outcome::NotDone(Fault::new(FaultClass::Permanent, "HO0701", message).hint("correct `probe: {to: …}`"));
        }
        match self.run(&[nonce, to], true).await {
            Run::Ended(status, text) => match answer::refused_send(&self.who(), &text) {
                Some(fault) => Outcome::NotDone(fault),
                None if status.success() => Outcome::Done(()),
                None => Outcome::Unknown(self.failed(status)),
            },
            Run::NotStarted(fault) => Outcome::NotDone(fault),
            Run::TimedOut(fault) => Outcome::Unknown(fault),
        }
    }
}

#[async_trait]
impl Attest for CommandAction {
    fn request_timeout(&self) -> Span {
        Self::request_timeout(self)
    }

    async fn attest(&self, challenge: &str) -> Outcome<Attestation> {
        match self.run(&[challenge], true).await {
            Run::Ended(status, text) if status.success() => answer::attestation(&self.who(), &text),
            Run::Ended(status, _) => Outcome::NotDone(self.failed(status)),
            Run::NotStarted(fault) => Outcome::NotDone(fault),
            Run::TimedOut(fault) => Outcome::Unknown(fault),
        }
    }
}

impl CommandAction {
    /// Reads the options: a list of words, or `{argv: [...], timeout: 30s}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<Self> {
        let (argv, timeout) = match fields.whole_list() {
            Some(argv) => (argv, DEFAULT_TIMEOUT),
            None => {
                let argv = fields.required_list("argv");
                let given = fields.has("timeout");
                let timeout = fields.optional_duration("timeout", Span::seconds(1)..=MOST_TIMEOUT);
                (argv?, if given { timeout? } else { DEFAULT_TIMEOUT })
            }
        };
        Self::new(argv, timeout)
            .map_err(|fault| fields.problem("HO0701", "argv", fault.message, fault.hint.unwrap_or_default()))
            .ok()
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        // A number is taken as it is written, such as the port of a command line.
        let word = |pattern: &str| serde_json::json!({"type": ["string", "number"], "pattern": pattern});
        let words = serde_json::json!({
            "type": "array", "minItems": 1,
            "prefixItems": [word("^(/|[^/]*[^/\\s][^/]*$)")], "items": word("\\S"),
        });
        serde_json::json!({"oneOf": [words, {
            "type": "object", "additionalProperties": false, "required": ["argv"],
            "properties": {"argv": words, "timeout": schema::duration()}
        }]})
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;

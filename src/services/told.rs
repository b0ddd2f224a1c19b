//! A program that is told things and answers in lines: `systemctl`, `docker`. Before it there may be another, such as
//! `[sudo, -n, systemctl]`.

use handover_rotation::outcome::{Fault, Outcome};
use handover_rotation::time::Span;

use super::command::CODES;
use crate::config::fields::Fields;
use crate::process::{Program, Run};

/// The most that is read of an answer.
const MOST_OUTPUT: usize = 64 * 1024;

/// The program, once its timeout is known.
pub(super) struct Told {
    program: Program,
}

/// The program as the inventory names it.
pub(super) struct Named {
    key: &'static str,
    argv: Vec<String>,
}

impl Named {
    /// Checks it.
    pub(super) fn open(self, fields: &mut Fields<'_>, timeout: Span) -> Option<Told> {
        let refused = |fault: Fault| fields.problem("HO0701", self.key, fault.message, fault.hint.unwrap_or_default());
        Program::new(self.argv, timeout, CODES).map_err(refused).ok().map(|program| Told { program })
    }
}

impl Told {
    /// Reads the option `key`: the program in place of the one that is called so.
    pub(super) fn options(fields: &mut Fields<'_>, key: &'static str) -> Option<Named> {
        let given = fields.has(key);
        let argv = fields.optional_list(key);
        match (argv, given) {
            (Some(argv), _) => Some(Named { key, argv }),
            (None, false) => Some(Named { key, argv: vec![key.to_owned()] }),
            (None, true) => None,
        }
    }

    pub(super) fn schema() -> serde_json::Value {
        serde_json::json!({"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}})
    }

    pub(super) fn program(&self) -> &Program {
        &self.program
    }

    /// Tells it something. A status other than 0 is `NotDone`, as for every reload: it may be repeated without harm.
    pub(super) async fn ask(&self, words: &[&str]) -> Outcome<String> {
        match self.program.run(words, None, MOST_OUTPUT).await {
            Run::Ended(status, text) if status.success() => Outcome::Done(String::from_utf8_lossy(&text).into_owned()),
            Run::Ended(status, _) if status.code().is_some() => Outcome::NotDone(self.program.failed(status)),
            Run::Ended(status, _) => Outcome::Unknown(self.program.failed(status)),
            Run::NotStarted(fault) => Outcome::NotDone(fault),
            Run::TimedOut(fault) => Outcome::Unknown(fault),
        }
    }
}

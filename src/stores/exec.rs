//! The store `exec`: a program of the user's that reads and writes entries of a store that Handover has no kind for.
//!
//! It gets one JSON object on its input and prints one: see `docs/kinds/exec.md`, which is the contract. Secrets go by these two
//! pipes only. What this must not do: show what the program prints, which may be a secret, or believe that it did nothing when it
//! did not say so.

use async_trait::async_trait;
use handover_rotation::name::Username;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{EntryRef, Held, Store};
use crate::config::fields::Fields;
use crate::config::inventory::MOST_TIMEOUT;
use crate::config::schema;
use crate::process::{Codes, Program, Run};
use crate::secret::{Login, Secret};

/// The version of the protocol.
const PROTOCOL: u32 = 1;

/// The time a program may take if the inventory says nothing.
const DEFAULT_TIMEOUT: Span = Span::seconds(30);

/// The most that is read of what a program prints.
const MOST_OUTPUT: usize = 64 * 1024;

const CODES: Codes = Codes { unusable: "HO0634", not_started: "HO0634", failed: "HO0633", slow: "HO0631", unseen: "HO0631" };

/// What an inventory may say about a store of this kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecOptions {
    /// `argv`: the program and its arguments.
    pub argv: Vec<String>,
    /// `timeout`: after this long it is killed.
    pub timeout: Span,
}

/// Keeps logins wherever a program keeps them.
///
/// # Guarantees
/// - The program runs as [`Program`] says. Each call is a run of its own.
/// - Before a write the entry is read; a password that is not expected is not overwritten.
/// - `Done` and `NotDone` are only what the program says, with status 0 and in the words of the protocol. Anything else that a write
///   ends in is `Unknown`.
///
/// # Caveats
/// - Between the look and the write there is a moment, unless the program compares `expect` by itself when it writes.
pub struct ExecStore {
    program: Program,
}

#[derive(Serialize)]
struct Request<'a> {
    handover: u32,
    call: &'a str,
    entry: Place<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    login: Option<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expect: Option<Vec<&'a str>>,
}

#[derive(Serialize)]
struct Place<'a> {
    name: &'a str,
    path: &'a str,
    fields: Shown<'a>,
}

/// Either the names of the two fields or their values.
#[derive(Serialize)]
struct Shown<'a> {
    username: &'a str,
    password: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Response {
    outcome: Said,
    #[serde(default)]
    because: Option<Because>,
    #[serde(default)]
    login: Option<Values>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Said {
    Done,
    NotDone,
    Unknown,
}

/// Why it is not done. A word of a list, since a text of the program's could hold a secret.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Because {
    Changed,
    Missing,
    Forbidden,
    Unreachable,
    Busy,
    Refused,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Values {
    username: String,
    password: String,
}

impl ExecStore {
    /// A store with these options.
    ///
    /// # Errors
    /// `HO0634`: no such program can be meant.
    pub fn open(options: ExecOptions) -> Result<Self, Fault> {
        Ok(Self { program: Program::new(options.argv, options.timeout, CODES)? })
    }

    /// Reads the options: `{argv: [/opt/mail/store], timeout: 30s}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<ExecOptions> {
        let argv = fields.required_list("argv");
        let given = fields.has("timeout");
        let timeout = fields.optional_duration("timeout", Span::seconds(1)..=MOST_TIMEOUT);
        let timeout = if given { timeout? } else { DEFAULT_TIMEOUT };
        let argv = argv?;
        if let Err(fault) = Program::new(argv.clone(), timeout, CODES) {
            fields.problem("HO0113", "argv", fault.message, "write it as [/opt/mail/store]");
            return None;
        }
        Some(ExecOptions { argv, timeout })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        json!({
            "type": "object", "additionalProperties": false, "required": ["argv"],
            "properties": {
                "argv": {
                    "type": "array", "minItems": 1,
                    "prefixItems": [{ "type": ["string", "number"], "pattern": "^(/|[^/]*[^/\\s][^/]*$)" }],
                    "items": { "type": ["string", "number"], "pattern": "\\S" },
                },
                "timeout": schema::duration(),
            }
        })
    }

    fn fault(&self, class: FaultClass, code: &str, entry: &EntryRef, what: impl std::fmt::Display) -> Fault {
        Fault::new(class, code, format!("{}: {}: {what}", self.program.who(), entry.path))
    }

    /// One run. `Outcome::Unknown` is any end that the program did not speak of.
    async fn call(&self, call: &str, entry: &EntryRef, write: Option<(&Login, &[&Secret])>) -> Outcome<Option<Values>> {
        let request = Request {
            handover: PROTOCOL,
            call,
            entry: Place {
                name: entry.name.as_str(),
                path: &entry.path,
                fields: Shown { username: &entry.username_field, password: &entry.password_field },
            },
            login: write.map(|(l, _)| Shown { username: l.username.as_str(), password: l.password.expose() }),
            expect: write.map(|(_, expect)| expect.iter().map(|secret| secret.expose()).collect()),
        };
        // As large as it may get: a growing one would leave copies behind.
        let mut input = Zeroizing::new(Vec::with_capacity(MOST_OUTPUT));
        if serde_json::to_writer(&mut *input, &request).is_err() {
            return Outcome::NotDone(self.fault(FaultClass::Permanent, "HO0634", entry, "the request cannot be written"));
        }
        input.push(b'\n');
        let output = match self.program.run(&[], Some(&input), MOST_OUTPUT).await {
            Run::Ended(status, output) if status.success() => output,
            Run::Ended(status, _) => return Outcome::Unknown(self.program.failed(status)),
            Run::NotStarted(fault) => return Outcome::NotDone(fault),
            Run::TimedOut(fault) => return Outcome::Unknown(fault),
        };
        match serde_json::from_slice::<Response>(&output) {
            Ok(response) => self.judge(call, entry, response),
            // Its reason may quote the output.
            Err(_) => {
                let what = format!("what it printed to {call} is not of the protocol");
                let fault = self.fault(FaultClass::Permanent, "HO0634", entry, what);
                Outcome::Unknown(fault.hint("it prints one JSON object: see docs/kinds/exec.md"))
            }
        }
    }

    fn judge(&self, call: &str, entry: &EntryRef, response: Response) -> Outcome<Option<Values>> {
        use FaultClass::{Permanent, Temporary};
        let login = response.login;
        if response.outcome == Said::Done {
            return Outcome::Done(login);
        }
        let (class, code, what, hint) = match response.because.unwrap_or(Because::Refused) {
            Because::Changed => (
                Permanent,
                "HO0611",
                "the entry holds another password than expected; someone else changed it",
                "find out who wrote it; then run `handover status` for what is safe next",
            ),
            Because::Missing => (
                Permanent,
                "HO0635",
                "there is no such entry",
                "put the current login there once by hand, or correct `path`",
            ),
            Because::Forbidden => (Permanent, "HO0632", "it may not do this", "renew the login that the program uses"),
            Because::Unreachable => (Temporary, "HO0630", "it does not reach its store", "is it up?"),
            Because::Busy => (Temporary, "HO0633", "its store is busy", "wait, or look at the store's own logs"),
            Because::Refused => {
                (Permanent, "HO0634", "it refuses", "run it by hand to see what it says; its output is not kept")
            }
        };
        let fault = self.fault(class, code, entry, format!("{what} ({call})")).hint(hint);
        match response.outcome {
            Said::Unknown => Outcome::Unknown(fault),
            Said::Done | Said::NotDone => Outcome::NotDone(fault),
        }
    }

    async fn look(&self, entry: &EntryRef) -> Outcome<Held> {
        let values = match self.call("read", entry, None).await {
            Outcome::Done(values) => values,
            Outcome::NotDone(fault) | Outcome::Unknown(fault) => return Outcome::NotDone(fault),
        };
        let Some(Values { username, password }) = values else { return Outcome::Done(Held::Nothing) };
        let password = Secret::new(password);
        if username.is_empty() || password.expose().is_empty() {
            return Outcome::Done(Held::Nothing);
        }
        // The reason is left out: it may name a character, and if the two fields are swapped it is the password's.
        match Username::new(username) {
            Ok(username) => Outcome::Done(Held::Login(Login { username, password })),
            Err(_) => {
                let fault =
                    self.fault(FaultClass::Permanent, "HO0622", entry, "what it gives as the username is no login name");
                Outcome::NotDone(fault.hint("are the two fields of the entry swapped?"))
            }
        }
    }
}

#[async_trait]
impl Store for ExecStore {
    fn kind(&self) -> &'static str {
        "exec"
    }

    /// A write is two runs.
    fn request_timeout(&self) -> Span {
        Span(self.program.request_timeout().0.saturating_mul(2))
    }

    fn landing(&self) -> Span {
        self.program.request_timeout()
    }

    async fn check_writable(&self, entry: &EntryRef) -> Outcome<()> {
        match self.call("check", entry, None).await {
            Outcome::Done(_) => Outcome::Done(()),
            // It changes nothing, whatever it ends in.
            Outcome::NotDone(fault) | Outcome::Unknown(fault) => Outcome::NotDone(fault),
        }
    }

    async fn read(&self, entry: &EntryRef) -> Outcome<Held> {
        self.look(entry).await
    }

    async fn lacks(&self, entry: &EntryRef) -> String {
        format!("{} finds no login at {}", self.program.who(), entry.path)
    }

    async fn write(&self, entry: &EntryRef, login: &Login, expect: &[&Secret]) -> Outcome<()> {
        let expected = match self.look(entry).await {
            Outcome::Done(Held::Login(held))
                if held.username == login.username && held.password.matches(&login.password) =>
            {
                return Outcome::Done(());
            }
            Outcome::Done(Held::Login(held)) => expect.iter().any(|secret| secret.matches(&held.password)),
            Outcome::Done(Held::Nothing | Held::Hidden(_)) => expect.is_empty(),
            Outcome::NotDone(fault) | Outcome::Unknown(fault) => return Outcome::NotDone(fault),
        };
        if !expected {
            let what = "the entry holds another password than expected, or none; someone else changed it";
            let fault = self.fault(FaultClass::Permanent, "HO0611", entry, what);
            let hint = "find out who wrote it; then run `handover status` for what is safe next";
            return Outcome::NotDone(fault.hint(hint));
        }
        self.call("write", entry, Some((login, expect))).await.map(|_| ())
    }
}

#[cfg(test)]
#[path = "exec_tests.rs"]
mod tests;

//! The provider `exec`: a program of the user's own that makes and retires versions. It gets one JSON object on its input and
//! answers with one on its output; `docs/kinds/exec-provider.md` is the protocol.
//!
//! What it must not do: believe more than is said. Whatever is not an answer of the protocol leaves a change unknown, and no word
//! of the program goes into a fault, as it may be a secret.

use async_trait::async_trait;
use chrono::DateTime;
use handover_rotation::name::{Tag, Username, VersionId};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::{ProviderFacts, Shape};
use handover_rotation::time::Span;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use zeroize::Zeroizing;

use super::rest::Hidden;
use super::{CreatedVersion, ListedVersion, LiveState, Permitted, Provider};
use crate::config::fields::Fields;
use crate::config::inventory::MOST_TIMEOUT;
use crate::config::schema;
use crate::process::{Codes, Program, Run};
use crate::secret::Secret;

/// The version of the protocol.
const PROTOCOL: u8 = 1;
/// The most that is read of an answer.
const MOST_OUTPUT: usize = 1 << 20;
/// The time a call may take if the inventory says nothing.
const TIMEOUT: Span = Span::seconds(30);
/// How long a change may take to be known, likewise.
const PROPAGATION: Span = Span::seconds(60);
/// How many versions an account may have, likewise.
const QUOTA: u8 = 2;

const CODES: Codes = Codes { unusable: "HO0540", not_started: "HO0540", failed: "HO0541", slow: "HO0505", unseen: "HO0505" };

/// A provider that a program is.
pub struct ExecProvider {
    options: ExecOptions,
}

/// What an inventory says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecOptions {
    program: Program,
    facts: ProviderFacts,
}

/// What the program is told.
#[derive(Serialize)]
struct Call<'a> {
    handover: u8,
    call: &'a str,
    account: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a VersionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
}

/// What the program says: one of three.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said<T> {
    Done(T),
    NotDone(Refusal),
    Unknown(Nothing),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    why: Why,
}

/// Words of the protocol, so that none of the program's own is shown.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Why {
    Forbidden,
    Full,
    NoAccount,
    NoVersion,
    Unreachable,
    Other,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    versions: Vec<Version>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Version {
    id: VersionId,
    username: Username,
    #[serde(default)]
    tag: Option<Tag>,
    state: LiveState,
    #[serde(default, deserialize_with = "moment")]
    created_at: Option<u64>,
    #[serde(default, deserialize_with = "moment")]
    last_used_at: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Made {
    id: VersionId,
    username: Username,
    #[serde(default)]
    secret: Option<Hidden>,
}

/// A time as RFC 3339 has it.
fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let time = DateTime::parse_from_rfc3339(&text).map_err(serde::de::Error::custom)?;
    Ok(u64::try_from(time.timestamp_millis()).ok())
}

impl ExecProvider {
    /// Reads the options: `{argv: [PROGRAM, …], shape: reversible | delete-only, quota: 2, propagation: 60s, timeout: 30s,
    /// chosen_by: program | handover}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<ExecOptions> {
        let argv = fields.required_list("argv");
        let shapes = [("reversible", Shape::Reversible), ("delete-only", Shape::DeleteOnly)];
        let shape = fields.required_choice("shape", &shapes);
        let quota = fields.optional_int("quota", 2..=255).and_then(|n| u8::try_from(n).ok());
        let propagation = fields.optional_duration("propagation", Span(0)..=Span::minutes(24 * 60));
        let timeout = fields.optional_duration("timeout", Span::seconds(1)..=MOST_TIMEOUT);
        let chooses_secret = fields.optional_choice("chosen_by", &[("program", false), ("handover", true)]);
        let program = Program::new(argv?, timeout.unwrap_or(TIMEOUT), CODES)
            .map_err(|fault| fields.problem("HO0540", "argv", fault.message, fault.hint.unwrap_or_default()))
            .ok()?;
        let facts = ProviderFacts {
            kind: "exec".to_owned(),
            shape: shape?,
            quota: quota.unwrap_or(QUOTA),
            propagation: propagation.unwrap_or(PROPAGATION),
            request_timeout: program.request_timeout(),
            // A program outlives the process that started it, and may do what it was told.
            landing: program.request_timeout(),
            chooses_secret: chooses_secret.unwrap_or(false),
            tells_last_use: false,
        };
        Some(ExecOptions { program, facts })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        serde_json::json!({
            "type": "object", "additionalProperties": false, "required": ["argv", "shape"],
            "properties": {
                "argv": {
                    "type": "array", "minItems": 1,
                    "prefixItems": [{"type": "string", "pattern": "^(/|[^/]*[^/\\s][^/]*$)"}],
                    "items": {"type": ["string", "number"], "pattern": "\\S"},
                },
                "shape": {"enum": ["reversible", "delete-only"]},
                "quota": {"type": "integer", "minimum": 2, "maximum": 255},
                "propagation": schema::duration(),
                "timeout": schema::duration(),
                "chosen_by": {"enum": ["program", "handover"]},
            },
        })
    }

    /// What it can do and how fast.
    #[must_use]
    pub fn usual(options: &ExecOptions) -> ProviderFacts {
        options.facts.clone()
    }

    /// The provider that the program is. It is not run yet.
    ///
    /// # Errors
    /// None.
    pub fn open(options: ExecOptions) -> Result<Self, Fault> {
        Ok(Self { options })
    }

    fn fault(&self, class: FaultClass, code: &str, what: &str) -> Fault {
        Fault::new(class, code, format!("{}: {what}", self.options.program.who()))
    }

    /// One run. Only a program that was not started, and one that says so, has changed nothing for sure.
    async fn call<T: DeserializeOwned>(&self, call: &Call<'_>) -> Outcome<T> {
        // Large enough for every call, so that no copy of a secret is left behind.
        let mut input = Zeroizing::new(Vec::with_capacity(16 * 1024));
        if serde_json::to_writer(&mut *input, call).is_err() {
            return Outcome::NotDone(self.fault(FaultClass::Permanent, "HO0542", "what it is to be told cannot be written"));
        }
        input.push(b'\n');
        match self.options.program.run(&[], Some(&input), MOST_OUTPUT).await {
            Run::NotStarted(fault) => Outcome::NotDone(fault),
            Run::TimedOut(fault) => Outcome::Unknown(fault),
            Run::Ended(status, _) if !status.success() => Outcome::Unknown(self.options.program.failed(status)),
            Run::Ended(_, text) => match serde_json::from_slice(&text) {
                Ok(Said::Done(value)) => Outcome::Done(value),
                Ok(Said::NotDone(Refusal { why })) => Outcome::NotDone(self.refused(why, call.call)),
                Ok(Said::Unknown(Nothing {})) => {
                    Outcome::Unknown(self.fault(FaultClass::Temporary, "HO0505", "it does not know whether it was done"))
                }
                Err(_) => {
                    let fault = self.fault(FaultClass::Permanent, "HO0542", "its answer is not one of the protocol");
                    Outcome::Unknown(fault.hint("run it by hand; its output is not kept"))
                }
            },
        }
    }

    fn refused(&self, why: Why, call: &str) -> Fault {
        let (class, code, what) = match why {
            Why::Forbidden => (FaultClass::Permanent, "HO0515", "it may not"),
            Why::Full => (FaultClass::Permanent, "HO0503", "the account has no room: it cannot"),
            Why::NoAccount => (FaultClass::Permanent, "HO0502", "there is no such account: it cannot"),
            Why::NoVersion => (FaultClass::Permanent, "HO0506", "there is no such version: it cannot"),
            Why::Unreachable => (FaultClass::Temporary, "HO0501", "it reaches nobody: it cannot"),
            Why::Other => (FaultClass::Permanent, "HO0542", "it refused to"),
        };
        self.fault(class, code, &format!("{what} {call}"))
    }

    async fn change(&self, name: &str, account: &str, id: &VersionId, secret: Option<&Secret>) -> Outcome<()> {
        let secret = secret.map(Secret::expose);
        let call = Call { handover: PROTOCOL, call: name, account, id: Some(id), tag: None, secret };
        self.call::<Nothing>(&call).await.map(drop)
    }

    fn cannot_disable(&self) -> Outcome<()> {
        Outcome::NotDone(self.fault(FaultClass::Permanent, "HO0504", "its `shape` is delete-only: it cannot disable"))
    }
}

#[async_trait]
impl Provider for ExecProvider {
    fn facts(&self) -> ProviderFacts {
        Self::usual(&self.options)
    }

    async fn list(&self, account: &str) -> Outcome<Vec<ListedVersion>> {
        let call = Call { handover: PROTOCOL, call: "list", account, id: None, tag: None, secret: None };
        self.call::<Listed>(&call).await.map(|listed| {
            let version = |v: Version| ListedVersion {
                id: v.id,
                username: v.username,
                tag: v.tag,
                state: v.state,
                created_at: v.created_at,
                last_used_at: v.last_used_at,
                last_refused_at: None,
            };
            listed.versions.into_iter().map(version).collect()
        })
    }

    async fn permitted(&self, account: &str) -> Outcome<Permitted> {
        let call = Call { handover: PROTOCOL, call: "permitted", account, id: None, tag: None, secret: None };
        match self.call::<Nothing>(&call).await {
            Outcome::Done(Nothing {}) => Outcome::Done(Permitted::Yes),
            // A program that does not have this call cannot tell.
            Outcome::NotDone(fault) if fault.code == "HO0542" => Outcome::Done(Permitted::CannotTell),
            other => other.map(|Nothing {}| Permitted::CannotTell),
        }
    }

    async fn create(&self, account: &str, tag: &Tag, secret: Option<&Secret>) -> Outcome<CreatedVersion> {
        let given = secret.map(Secret::expose).filter(|_| self.options.facts.chooses_secret);
        if self.options.facts.chooses_secret && given.is_none() {
            return Outcome::NotDone(self.fault(FaultClass::Permanent, "HO0507", "the password to set is missing"));
        }
        let call = Call { handover: PROTOCOL, call: "create", account, id: None, tag: Some(tag), secret: given };
        self.call::<Made>(&call).await.map(|made| CreatedVersion {
            id: made.id,
            username: made.username,
            // Where Handover chose it, that one counts.
            secret: made.secret.map(|hidden| hidden.0).filter(|_| given.is_none()),
        })
    }

    async fn disable(&self, account: &str, id: &VersionId) -> Outcome<()> {
        match self.options.facts.shape {
            Shape::Reversible => self.change("disable", account, id, None).await,
            _ => self.cannot_disable(),
        }
    }

    async fn enable(&self, account: &str, id: &VersionId, _secret: Option<&Secret>) -> Outcome<()> {
        match self.options.facts.shape {
            Shape::Reversible => self.change("enable", account, id, None).await,
            _ => self.cannot_disable(),
        }
    }

    async fn delete(&self, account: &str, id: &VersionId) -> Outcome<()> {
        self.change("delete", account, id, None).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::rest::tests::{hold, read};
    use super::*;

    /// A provider whose program says this, whatever it is told.
    fn saying(script: &str) -> ExecProvider {
        let text = format!("{{argv: [/bin/sh, -c, '{script}'], shape: reversible, timeout: 1s}}");
        ExecProvider::open(read(&text, ExecProvider::options).expect("options")).expect("it opens")
    }

    fn code<T>(outcome: &Outcome<T>) -> String {
        match outcome {
            Outcome::Done(_) => "done".to_owned(),
            Outcome::NotDone(fault) => format!("not-done {}", fault.code),
            Outcome::Unknown(fault) => format!("unknown {}", fault.code),
        }
    }

    #[test]
    fn its_options_are_read_and_others_refused() {
        let good = [
            "{argv: [/opt/rotate, --live], shape: delete-only}",
            "{argv: [rotate], shape: reversible, quota: 5, propagation: 5m, timeout: 1m, chosen_by: handover}",
        ];
        let bad = [
            "{argv: [rotate]}",
            "{argv: [bin/rotate], shape: reversible}",
            "{argv: [], shape: reversible}",
            "{argv: [rotate], shape: alternating}",
            "{argv: [rotate], shape: reversible, quota: 1}",
            "{argv: [rotate], shape: reversible, environment: {A: b}}",
        ];
        hold(&good, &bad, ExecProvider::options, ExecProvider::schema);
        let facts = ExecProvider::usual(&read(good[1], ExecProvider::options).expect("options"));
        assert_eq!((facts.shape, facts.quota, facts.chooses_secret), (Shape::Reversible, 5, true));
        assert_eq!(facts.propagation, Span::minutes(5));
    }

    #[tokio::test]
    async fn only_what_is_said_is_believed() {
        let id = VersionId::new("v-1").expect("an id");
        for (script, expected) in [
            (r#"echo {\"done\": {}}"#, "done"),
            (r#"echo {\"not_done\": {\"why\": \"forbidden\"}}"#, "not-done HO0515"),
            (r#"echo {\"not_done\": {\"why\": \"full\"}}"#, "not-done HO0503"),
            (r#"echo {\"not_done\": {\"why\": \"unreachable\"}}"#, "not-done HO0501"),
            (r#"echo {\"not_done\": {\"why\": \"MARK\"}}"#, "unknown HO0542"),
            (r#"echo {\"unknown\": {}}"#, "unknown HO0505"),
            (r#"echo {\"done\": {}, \"unknown\": {}}"#, "unknown HO0542"),
            (r#"echo {\"done\": {\"MARK\": 1}}"#, "unknown HO0542"),
            ("echo MARK", "unknown HO0542"),
            ("true", "unknown HO0542"),
            (r#"echo {\"done\": {}}; exit 1"#, "unknown HO0541"),
            ("kill -9 $$", "unknown HO0541"),
            ("sleep 60", "unknown HO0505"),
        ] {
            let outcome = saying(script).delete("a", &id).await;
            assert_eq!(code(&outcome), expected, "{script}");
            assert!(!format!("{outcome:?}").contains("MARK"), "{outcome:?}");
        }
        let text = "{argv: [/no/such/program], shape: delete-only}";
        let missing = ExecProvider::open(read(text, ExecProvider::options).expect("options")).expect("it opens");
        assert_eq!(code(&missing.delete("a", &id).await), "not-done HO0540");
        assert_eq!(code(&missing.disable("a", &id).await), "not-done HO0504");
    }

    #[tokio::test]
    async fn ids_and_names_are_checked_and_times_read() {
        let version = |more: &str| {
            format!(
                r#"echo {{\"done\": {{\"versions\": [{{\"id\": \"v\", \"username\": \"u\", \"state\": \"active\"{more}}}]}}}}"#
            )
        };
        let list = |script: String| async move { saying(&script).list("a").await };
        let found = match list(version(r#", \"tag\": \"handover:r.1\", \"created_at\": \"2023-10-06T23:47:56Z\""#)).await {
            Outcome::Done(list) => list,
            other => panic!("{other:?}"),
        };
        assert_eq!((found[0].created_at, found[0].tag.is_some()), (Some(1_696_636_076_000), true));
        for wrong in [r#", \"tag\": \"two words\""#, r#", \"created_at\": \"yesterday\""#, r#", \"password\": \"MARK\""#] {
            let outcome = list(version(wrong)).await;
            assert_eq!(code(&outcome), "unknown HO0542", "{wrong}");
        }
    }
}

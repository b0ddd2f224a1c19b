//! Asks every source at once and makes one answer of what they say. The leak report calls it; it is serialised as it is, and holds
//! no secret.

use std::collections::BTreeSet;

use futures::future::join_all;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use serde::Serialize;

use super::judge::{self, Flag, Usual};
use super::network::Network;
use super::tally::Count;
use super::{Coverage, Found, Question, Sight, Source};

/// The form of what is serialised.
const FORMAT: u8 = 1;
/// The networks that are named of what is usual.
const MOST_SHOWN: usize = 32;

/// Whether it was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It was, by whomever.
    Used,
    /// A source that would have seen it saw nothing, in all of the window.
    NoEvidence,
    /// Nothing was seen, and that says nothing.
    CannotTell,
}

/// Whether others than the usual ones used it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strangers {
    /// Something speaks for it.
    Flagged,
    /// All of the window was seen, and nothing was unusual.
    NothingUnusual,
    /// It is not known.
    CannotTell,
}

/// How a source stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It saw uses.
    Used,
    /// It saw uses that may be of another credential.
    Perhaps,
    /// It saw none in all of the window.
    Nothing,
    /// It saw none, and has not seen all.
    NotAll,
    /// It could not be asked.
    Failed,
}

/// The answer.
#[derive(Clone, Debug, Serialize)]
pub struct Assessment {
    /// The form of this document.
    pub format: u8,
    /// The credential.
    pub credential: String,
    /// Whether it was used.
    pub verdict: Verdict,
    /// Why, a sentence each.
    pub why: Vec<String>,
    /// Whether by others than the usual ones.
    pub strangers: Strangers,
    /// Why.
    pub strangers_why: Vec<String>,
    /// The window that it is about.
    pub since_ms: u64,
    /// Its end.
    pub until_ms: u64,
    /// When the leak was first exposed, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaked_ms: Option<u64>,
    /// What is usual.
    pub learned: Learned,
    /// What is unusual, the gravest first.
    pub flags: Vec<Flag>,
    /// What each source says.
    pub sources: Vec<SourceReport>,
    /// The versions that were asked about.
    pub versions: Vec<VersionReport>,
}

/// What is usual, from before the leak or the window.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Learned {
    /// Uses.
    pub uses: u64,
    /// Days with uses.
    pub days: u64,
    /// The first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_ms: Option<u64>,
    /// Whether that is enough to go by.
    pub enough: bool,
    /// Networks, at most 32 of them.
    pub networks: Vec<Network>,
    /// How many more.
    pub more_networks: usize,
    /// Hours of the day with uses, UTC.
    pub hours: Vec<u8>,
}

/// What one source says.
#[derive(Clone, Debug, Serialize)]
pub struct SourceReport {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// How it stands.
    pub standing: Standing,
    /// Uses in the window.
    pub uses: Count,
    /// Refused logins in the window.
    pub refused: Count,
    /// Handover's own logins, which are not among them.
    pub own: u64,
    /// What stretch of time it has seen.
    pub covered: Coverage,
    /// Whether that is all of the window.
    pub whole: bool,
    /// What it shows of a credential's use, in words.
    pub sees: String,
    /// Why it could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// What else is to be said.
    pub notes: Vec<String>,
}

/// A version.
#[derive(Clone, Debug, Serialize)]
pub struct VersionReport {
    /// Its id, else its login name.
    pub version: String,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_ms: Option<u64>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_ms: Option<u64>,
    /// Whether others know it.
    pub compromised: bool,
}

/// Asks every source, all at once, and judges.
pub async fn assess(question: &Question, sources: &[Source]) -> Assessment {
    let asked = join_all(sources.iter().map(|source| ask(question, source))).await;
    judged(question, sources, &asked)
}

async fn ask(question: &Question, source: &Source) -> Result<Found, Fault> {
    let evidence = source.evidence.as_ref().map_err(Clone::clone)?;
    let look = evidence.look(question);
    let outcome = match question.patience {
        None => look.await,
        Some(patience) => match tokio::time::timeout(patience, look).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let message = format!("it has not answered within {} s", patience.as_secs());
                let fault = Fault::new(FaultClass::Temporary, "HO0966", message);
                return Err(fault.hint("ask again with `handover usage`, which waits"));
            }
        },
    };
    match outcome {
        Outcome::Done(found) => Ok(found),
        Outcome::NotDone(fault) | Outcome::Unknown(fault) => Err(fault),
    }
}

/// The answer, of what each source has answered. Pure.
fn judged(question: &Question, sources: &[Source], asked: &[Result<Found, Fault>]) -> Assessment {
    let mut usual = Usual::default();
    asked.iter().flatten().filter(|found| found.shared.is_none()).for_each(|found| usual.learn(&found.seen));
    // Where every source is shared, the usual is that of all together.
    if usual.uses == 0 {
        asked.iter().flatten().for_each(|found| usual.learn(&found.seen));
    }
    let mut flags = Vec::new();
    for (source, found) in sources.iter().zip(asked) {
        if let Ok(found) = found {
            flags.extend(judge::flags(&source.name, question, &usual, &found.seen, &found.calls));
        }
    }
    judge::sort(&mut flags);
    let reports: Vec<SourceReport> =
        sources.iter().zip(asked).map(|(source, found)| report(question, source, found.as_ref())).collect();
    let doubts = doubts(question, &reports, asked);
    let (verdict, why) = verdict(question, &reports, asked, &doubts);
    let (strangers, strangers_why) = strangers(&flags, &usual, asked, verdict, &doubts);
    Assessment {
        format: FORMAT,
        credential: question.credential.to_string(),
        verdict,
        why,
        strangers,
        strangers_why,
        since_ms: question.since_ms,
        until_ms: question.until_ms,
        leaked_ms: question.leaked_ms,
        learned: learned(&usual),
        flags,
        sources: reports,
        versions: question
            .versions
            .iter()
            .map(|v| VersionReport {
                version: v.shown(),
                created_ms: v.created_ms,
                revoked_ms: v.revoked_ms,
                compromised: v.compromised,
            })
            .collect(),
    }
}

fn learned(usual: &Usual) -> Learned {
    let hours = usual.hours.iter().zip(0_u8..).filter(|(times, _)| **times > 0).map(|(_, hour)| hour).collect();
    Learned {
        uses: usual.uses,
        days: usual.days,
        first_ms: usual.first_ms,
        enough: usual.is_known(),
        networks: usual.networks.iter().copied().take(MOST_SHOWN).collect(),
        more_networks: usual.networks.len().saturating_sub(MOST_SHOWN),
        hours,
    }
}

fn report(question: &Question, source: &Source, found: Result<&Found, &Fault>) -> SourceReport {
    let (name, kind) = (source.name.clone(), source.kind.clone());
    match found {
        Err(fault) => SourceReport {
            name,
            kind,
            standing: Standing::Failed,
            uses: Count::default(),
            refused: Count::default(),
            own: 0,
            covered: Coverage::default(),
            whole: false,
            sees: String::new(),
            fault: Some(fault.clone()),
            notes: Vec::new(),
        },
        Ok(found) => {
            let whole = found.covered.gap(question.since_ms, question.until_ms).is_none();
            let standing = match (found.seen.window.times > 0, found.shared.is_some(), whole) {
                (true, false, _) => Standing::Used,
                (true, true, _) => Standing::Perhaps,
                (false, _, true) => Standing::Nothing,
                (false, _, false) => Standing::NotAll,
            };
            let sees = match found.sight {
                Sight::Logins => "every login".to_owned(),
                Sight::Mail => "mail by a login, not a login that sends none".to_owned(),
                Sight::Part(what) => format!("a part: {what}"),
            };
            SourceReport {
                name,
                kind,
                standing,
                uses: found.seen.window,
                refused: found.seen.refused,
                own: found.seen.own_seen,
                covered: found.covered.clone(),
                whole,
                sees,
                fault: None,
                notes: found.shared.map(str::to_owned).into_iter().chain(found.notes.iter().cloned()).collect(),
            }
        }
    }
}

/// Why "nothing was seen" would say nothing; empty where it says something.
fn doubts(question: &Question, reports: &[SourceReport], asked: &[Result<Found, Fault>]) -> Vec<String> {
    let mut doubts = Vec::new();
    if reports.is_empty() {
        return vec!["no source of evidence is named for it in the inventory, under `usage`".to_owned()];
    }
    for (report, found) in reports.iter().zip(asked) {
        match found {
            Err(_) => doubts.push(format!("{} could not be asked", report.name)),
            Ok(_) if !report.whole => doubts.push(format!("{} has not seen all of the window", report.name)),
            Ok(_) if report.standing == Standing::Perhaps => {
                doubts.push(format!("{} saw uses that may be of this credential or of another", report.name));
            }
            Ok(_) => {}
        }
    }
    let sees = |found: &Found| matches!(found.sight, Sight::Logins | Sight::Mail);
    if !asked.iter().flatten().any(sees) {
        doubts.push(match question.kind.as_str() {
            "ses" => {
                "sending over SES's SMTP interface is not in CloudTrail, and no other source sees every login".to_owned()
            }
            _ => "no source sees every login or every mail of it".to_owned(),
        });
    }
    doubts
}

fn verdict(
    question: &Question,
    reports: &[SourceReport],
    asked: &[Result<Found, Fault>],
    doubts: &[String],
) -> (Verdict, Vec<String>) {
    let mut why = Vec::new();
    for report in reports.iter().filter(|r| r.standing == Standing::Used) {
        let times = if report.uses.times == 1 { "one use".to_owned() } else { format!("{} uses", report.uses.times) };
        why.push(format!("{} saw {times}", report.name));
    }
    // A key that is revoked or new is used too when an API is called with it.
    if !why.is_empty() {
        return (Verdict::Used, why);
    }
    if !doubts.is_empty() {
        return (Verdict::CannotTell, doubts.to_vec());
    }
    for (report, found) in reports.iter().zip(asked) {
        match found.as_ref().map(|f| f.sight) {
            Ok(Sight::Logins) => why.push(format!("{} sees every login, and saw none in all of the window", report.name)),
            Ok(Sight::Mail) => why.push(format!(
                "{} sees every mail by a login, and saw none in all of the window; a login that sent no mail leaves no trace there",
                report.name
            )),
            Ok(Sight::Part(_)) | Err(_) => {}
        }
    }
    why.push(format!("this holds if the sources are of every server where {} can log in", question.credential));
    (Verdict::NoEvidence, why)
}

fn strangers(
    flags: &[Flag],
    usual: &Usual,
    asked: &[Result<Found, Fault>],
    verdict: Verdict,
    doubts: &[String],
) -> (Strangers, Vec<String>) {
    let speaking = flags.iter().filter(|flag| flag.is_stranger()).count();
    if speaking > 0 {
        let what =
            if speaking == 1 { "one flag speaks for it".to_owned() } else { format!("{speaking} flags speak for it") };
        return (Strangers::Flagged, vec![what]);
    }
    if verdict == Verdict::NoEvidence {
        return (Strangers::NothingUnusual, vec!["nobody was seen at all".to_owned()]);
    }
    let mut why = doubts.to_vec();
    if usual.uses == 0 {
        why.push("nothing is known from before, so nobody can be told from anybody".to_owned());
    } else if !usual.is_known() {
        why.push("little is known from before".to_owned());
    }
    if usual.overflowed {
        why.push("it was used from too many networks before to tell a new one".to_owned());
    }
    if asked.iter().flatten().any(|found| found.seen.nowhere.after.times > 0 && found.shared.is_none()) {
        why.push("some uses have no address".to_owned());
    }
    let mut seen = BTreeSet::new();
    why.retain(|line| seen.insert(line.clone()));
    match why.is_empty() {
        true => {
            (Strangers::NothingUnusual, vec!["all of the window was seen, and all of it is as it was before".to_owned()])
        }
        false => (Strangers::CannotTell, why),
    }
}

#[cfg(test)]
#[path = "assess_tests.rs"]
mod tests;

//! What every source of evidence must do.

mod lab_mail;
mod lab_moto;
mod local;
mod vendors;

use std::sync::Arc;

use async_trait::async_trait;
use handover::usage::{Evidence, Found, Question, VersionTimes};
use handover_rotation::name::{CredentialName, Username, VersionId};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;

use super::Ran;

/// Something that happens at the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Act {
    /// When; benches that cannot choose say when it was.
    pub(crate) at_ms: u64,
    pub(crate) address: &'static str,
    /// By the credential, or by somebody else.
    pub(crate) ours: bool,
    pub(crate) accepted: bool,
}

/// A kind with its server.
#[async_trait]
pub(crate) trait UsageBench: Send + Sync {
    /// The source, as the inventory would have it.
    fn source(&self) -> Arc<dyn Evidence>;

    /// The same where there is nothing; `Err` says why there is no such thing.
    fn nowhere(&self) -> Result<Arc<dyn Evidence>, &'static str>;

    /// The same with a login that may not ask.
    async fn forbidden(&self) -> Result<Arc<dyn Evidence>, &'static str>;

    /// The question about its credential.
    fn question(&self) -> Question;

    /// Has it happen, without the adapter; gives when it happened. `Err` says why it cannot, or why it leaves no trace.
    async fn act(&self, act: Act) -> Result<u64, &'static str>;

    /// Whether the source tells addresses; `Err` says why not.
    fn tells_addresses(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

/// The properties, in the order of the table.
pub(crate) const PROPERTIES: [&str; 10] = [
    "silence is no use, and says what was looked at",
    "another's use is not ours",
    "a refused login is no use",
    "a use is seen, with its time",
    "and with its network",
    "what lies before the window is usual",
    "asked twice it says the same",
    "nothing of what others chose is kept",
    "what is not there is a fault, not silence",
    "a missing permission is named",
];

/// 2026-11-26 12:00 UTC, for servers that are told when something happens.
pub(crate) const NOW: u64 = 1_795_694_400_000;
pub(crate) const DAY: u64 = 86_400_000;
/// What stands in everything that others choose, to be found wherever it ends up.
pub(crate) const MARK: &str = "Marked-7f3a";

pub(crate) fn version(id: &str, username: &str) -> VersionTimes {
    VersionTimes {
        id: Some(VersionId::new(id).expect("an id")),
        username: Some(Username::new(username).expect("a name")),
        created_ms: None,
        revoked_ms: None,
        compromised: false,
    }
}

/// A question about a week that ends at `until_ms`.
pub(crate) fn question(kind: &str, account: &str, version: VersionTimes, until_ms: u64) -> Question {
    Question {
        credential: CredentialName::new("newsletter").expect("a name"),
        kind: kind.to_owned(),
        account: account.to_owned(),
        since_ms: until_ms - 7 * DAY,
        until_ms,
        leaked_ms: None,
        spreading: Span::minutes(1),
        versions: vec![version],
        own: Vec::new(),
        patience: None,
    }
}

async fn look(bench: &dyn UsageBench) -> Found {
    match bench.source().look(&bench.question()).await {
        Outcome::Done(found) => found,
        Outcome::NotDone(fault) | Outcome::Unknown(fault) => panic!("it does not look: {fault}"),
    }
}

async fn fails(source: &dyn Evidence, question: &Question) -> Fault {
    match source.look(question).await {
        Outcome::Done(_) => panic!("silence instead of a fault"),
        Outcome::NotDone(fault) | Outcome::Unknown(fault) => fault,
    }
}

/// Runs every property; the first that does not hold panics with its name.
pub(crate) async fn run(bench: &dyn UsageBench) -> Ran {
    let mut ran = Ran::new();
    let use_it = Act { at_ms: NOW - DAY, address: "192.0.2.7", ours: true, accepted: true };

    let found = look(bench).await;
    assert_eq!(found.seen.window.times, 0, "silence is no use");
    assert!(!found.covered.stretches().is_empty(), "it says what it has looked at");
    ran.push((PROPERTIES[0], Ok(())));

    let other = bench.act(Act { ours: false, address: "198.51.100.7", ..use_it }).await;
    assert_eq!(look(bench).await.seen.window.times, 0, "another's use");
    ran.push((PROPERTIES[1], other.map(drop)));

    let refused = bench.act(Act { accepted: false, ..use_it }).await;
    let found = look(bench).await;
    assert_eq!(found.seen.window.times, 0, "a refused login");
    assert_eq!(found.seen.refused.times, u64::from(refused.is_ok()), "it is counted");
    ran.push((PROPERTIES[2], refused.map(drop)));

    let at_ms = bench.act(use_it).await.expect("a use can be made");
    let found = look(bench).await;
    assert_eq!(found.seen.window.times, 1, "a use is seen: {found:?}");
    let seen = found.seen.window.first_ms.expect("a time");
    assert!(seen.abs_diff(at_ms) <= 5_000, "{seen} for {at_ms}");
    ran.push((PROPERTIES[3], Ok(())));

    let networks: Vec<String> = found.seen.networks.keys().map(ToString::to_string).collect();
    match bench.tells_addresses() {
        Ok(()) => assert_eq!(networks, ["192.0.2.0/24"]),
        Err(_) => assert!(networks.is_empty()),
    }
    ran.push((PROPERTIES[4], bench.tells_addresses()));

    let earlier = bench.act(Act { at_ms: bench.question().since_ms - DAY, ..use_it }).await;
    let found = look(bench).await;
    assert_eq!(found.seen.before.times, u64::from(earlier.is_ok()), "the usual");
    assert_eq!(found.seen.window.times, 1);
    ran.push((PROPERTIES[5], earlier.map(drop)));

    let again = look(bench).await;
    let times = |found: &Found| (found.seen.window.times, found.seen.before.times, found.seen.refused.times);
    assert_eq!(times(&again), times(&found), "the same twice");
    ran.push((PROPERTIES[6], Ok(())));

    assert!(!format!("{found:?}").contains(MARK), "something is kept: {found:?}");
    ran.push((PROPERTIES[7], Ok(())));

    let nowhere = bench.nowhere();
    ran.push((PROPERTIES[8], nowhere.as_ref().map(drop).map_err(|why| *why)));
    let forbidden = bench.forbidden().await;
    ran.push((PROPERTIES[9], forbidden.as_ref().map(drop).map_err(|why| *why)));
    if let Ok(nowhere) = nowhere {
        let fault = fails(&*nowhere, &bench.question()).await;
        assert!(fault.hint.is_some() && !fault.to_string().contains(MARK), "{fault}");
    }
    if let Ok(forbidden) = forbidden {
        let fault = fails(&*forbidden, &bench.question()).await;
        assert_eq!((fault.code.as_str(), fault.class), ("HO0963", FaultClass::Permanent), "{fault}");
        assert!(!fault.to_string().contains(MARK), "{fault}");
    }
    ran
}

/// A kind made as the registry makes it.
pub(crate) fn opened<O, E: Evidence + 'static>(
    text: &str,
    options: fn(&mut handover::config::Fields<'_>) -> Option<O>,
    open: fn(O) -> Result<E, Fault>,
) -> Arc<dyn Evidence> {
    Arc::new(made(text, options, open))
}

/// The same as the type that it is.
pub(crate) fn made<O, E>(
    text: &str,
    options: fn(&mut handover::config::Fields<'_>) -> Option<O>,
    open: fn(O) -> Result<E, Fault>,
) -> E {
    let node = handover::config::Node::from_yaml("inventory.yaml", std::path::Path::new("/"), text).expect("YAML");
    let mut fields = handover::config::Fields::new(&node, "usage");
    let read = options(&mut fields);
    let problems = fields.finish();
    assert!(!problems.has_errors(), "{problems}");
    open(read.expect("options")).expect("it opens")
}

//! What every kind of store must do.

use std::sync::Arc;

use async_trait::async_trait;
use handover::secret::{Login, Secret};
use handover::stores::{EntryRef, Held, Hidden, Marks, Store};
use handover_rotation::name::{Fingerprint, Username};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};

use super::Ran;

/// A kind with its server.
#[async_trait]
pub(crate) trait StoreBench: Send + Sync {
    /// The store, as the inventory would have it.
    fn store(&self) -> Arc<dyn Store>;

    /// The same at a port where nobody listens; `Err` says why there is no such thing.
    fn nowhere(&self) -> Result<Arc<dyn Store>, &'static str>;

    /// The same with a login that may read entries, but not write; `Err` says why there is no such thing.
    async fn forbidden(&self) -> Result<Arc<dyn Store>, &'static str>;

    /// The same with answers that are cut off after the server has acted.
    async fn cutting(&self) -> Result<Arc<dyn Store>, &'static str>;

    /// A new entry, made without the adapter, that holds this login and, where the kind keeps others beside it, a sibling.
    async fn entry(&self, name: &str, username: &str, password: &str) -> EntryRef;

    /// The place of an entry that nobody has made.
    fn missing(&self) -> EntryRef;

    /// What the entry holds, seen without the adapter.
    async fn held(&self, entry: &EntryRef) -> (String, String);

    /// Puts another login in, without the adapter.
    async fn meddle(&self, entry: &EntryRef, username: &str, password: &str);

    /// Whether the sibling is as it was; `Err` says why there is none.
    async fn sibling(&self, entry: &EntryRef) -> Result<bool, &'static str>;
}

/// The properties, in the order of the table.
pub(crate) const PROPERTIES: [&str; 12] = [
    "reads what is there",
    "nothing is not a login",
    "a write is there, seen from outside",
    "siblings are kept",
    "twice is once",
    "the old value comes back",
    "another's change is not overwritten",
    "preflight changes nothing",
    "a missing permission is named",
    "unreachable is not done",
    "a lost answer is unknown",
    "no secret in a fault",
];

/// What is said of a store that takes values and gives none back.
pub(crate) const GIVES_NOTHING_BACK: &str =
    "nobody can; that it is not known is told, and what Handover wrote is known by its mark";

/// Marked, so that they are found wherever they end up, and with characters that formats like to break.
const OLD: &str = "Old+marked/7f3a=_9-x";
const NEW: &str = "New+marked/8b21=_4-y";
const FOREIGN: &str = "Foreign+marked/55c0=z";

fn login(username: &str, password: &str) -> Login {
    Login { username: Username::new(username).expect("a name"), password: Secret::new(password.to_owned()) }
}

/// What stands for a login: anything that is another for each.
fn mark(login: &Login) -> Fingerprint {
    let text = format!("{} {}", login.username.as_str(), login.password.expose());
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    Fingerprint::new(hex::encode(&digest.as_ref()[..8])).expect("a mark")
}

/// As the engine writes: one login over others that it knows.
async fn write(store: &dyn Store, entry: &EntryRef, login: &Login, over: &[&Login]) -> Outcome<()> {
    let marks = Marks { new: mark(login), expected: over.iter().map(|login| mark(login)).collect() };
    let expect: Vec<&Secret> = over.iter().map(|login| &login.password).collect();
    store.write_marked(entry, login, &expect, &marks).await
}

/// The login that the store reads, or knows by its mark; `None` where there is none, or it is not known.
async fn read(store: &dyn Store, entry: &EntryRef) -> Option<(String, String)> {
    match store.read(entry).await {
        Outcome::Done(Held::Login(login)) => Some((login.username.as_str().to_owned(), login.password.expose().to_owned())),
        Outcome::Done(Held::Nothing) => None,
        Outcome::Done(Held::Hidden(hidden)) => {
            assert!(!store.reads_back(), "it says that it can be read");
            let known = [login("user-1", OLD), login("user-2", NEW)];
            let is = |login: &&Login| hidden == Hidden::Marked(mark(login));
            known.iter().find(is).map(|login| pair(login.username.as_str(), login.password.expose()))
        }
        Outcome::NotDone(fault) | Outcome::Unknown(fault) => panic!("it does not read: {fault}"),
    }
}

fn pair(username: &str, password: &str) -> (String, String) {
    (username.to_owned(), password.to_owned())
}

/// Runs every property; the first that does not hold panics with its name.
#[expect(clippy::too_many_lines, reason = "a list of properties, read from top to bottom")]
pub(crate) async fn run(bench: &dyn StoreBench) -> Ran {
    let store = bench.store();
    let (old, new) = (login("user-1", OLD), login("user-2", NEW));
    let mut faults: Vec<Fault> = Vec::new();
    let mut ran = Ran::new();

    let entry = bench.entry("plain", "user-1", OLD).await;
    ran.push((
        PROPERTIES[0],
        if store.reads_back() {
            assert_eq!(read(&*store, &entry).await, Some(pair("user-1", OLD)), "reads what is there");
            Ok(())
        } else {
            let found = store.read(&entry).await;
            assert!(matches!(found, Outcome::Done(Held::Hidden(Hidden::Unknown))), "it says that it does not know");
            Err(GIVES_NOTHING_BACK)
        },
    ));

    match store.read(&bench.missing()).await {
        Outcome::Done(Held::Nothing) => {}
        Outcome::Done(Held::Login(_) | Held::Hidden(_)) => panic!("a login where there is none"),
        Outcome::NotDone(fault) => faults.push(fault),
        Outcome::Unknown(fault) => panic!("whether there is one is unknown: {fault}"),
    }
    match write(&*store, &bench.missing(), &new, &[&old]).await {
        Outcome::NotDone(fault) => faults.push(fault),
        other => panic!("a write to nothing: {other:?}"),
    }
    ran.push((PROPERTIES[1], Ok(())));

    match store.check_writable(&entry).await {
        Outcome::Done(()) => {}
        other => panic!("it may be written: {other:?}"),
    }
    assert_eq!(bench.held(&entry).await, pair("user-1", OLD), "preflight changes nothing");

    let wrote = write(&*store, &entry, &new, &[&old]).await;
    assert!(matches!(wrote, Outcome::Done(())), "a write: {wrote:?}");
    assert_eq!(bench.held(&entry).await, pair("user-2", NEW), "a write is there");
    assert_eq!(read(&*store, &entry).await, Some(pair("user-2", NEW)), "and read");
    ran.push((PROPERTIES[2], Ok(())));

    ran.push((
        PROPERTIES[3],
        match bench.sibling(&entry).await {
            Ok(kept) => {
                assert!(kept, "siblings are kept");
                Ok(())
            }
            Err(why) => Err(why),
        },
    ));

    let again = write(&*store, &entry, &new, &[&old]).await;
    assert!(matches!(again, Outcome::Done(())), "twice is once: {again:?}");
    assert_eq!(bench.held(&entry).await, pair("user-2", NEW));
    ran.push((PROPERTIES[4], Ok(())));

    let back = write(&*store, &entry, &old, &[&new]).await;
    assert!(matches!(back, Outcome::Done(())), "back: {back:?}");
    assert_eq!(bench.held(&entry).await, pair("user-1", OLD), "the old value comes back");
    let forth = write(&*store, &entry, &new, &[&old]).await;
    assert!(matches!(forth, Outcome::Done(())), "forth again: {forth:?}");
    let back = write(&*store, &entry, &old, &[&new]).await;
    assert!(matches!(back, Outcome::Done(())), "back again: {back:?}");
    assert_eq!(bench.held(&entry).await, pair("user-1", OLD));
    ran.push((PROPERTIES[5], Ok(())));

    bench.meddle(&entry, "user-9", FOREIGN).await;
    match write(&*store, &entry, &new, &[&old]).await {
        Outcome::NotDone(fault) => {
            assert_eq!((fault.code.as_str(), fault.class), ("HO0611", FaultClass::Permanent), "{fault}");
            faults.push(fault);
        }
        other => panic!("another's change was overwritten: {other:?}"),
    }
    assert_eq!(bench.held(&entry).await, pair("user-9", FOREIGN), "another's change is not overwritten");
    ran.push((PROPERTIES[6], Ok(())));
    ran.push((PROPERTIES[7], Ok(())));

    let entry = bench.entry("forbidden", "user-1", OLD).await;
    ran.push((
        PROPERTIES[8],
        match bench.forbidden().await {
            Err(why) => Err(why),
            Ok(forbidden) => {
                match forbidden.check_writable(&entry).await {
                    Outcome::NotDone(fault) => {
                        assert_eq!(fault.class, FaultClass::Permanent, "{fault}");
                        faults.push(fault);
                    }
                    other => panic!("preflight does not see that it may not write: {other:?}"),
                }
                match write(&*forbidden, &entry, &new, &[&old]).await {
                    Outcome::NotDone(fault) => faults.push(fault),
                    other => panic!("a write without permission: {other:?}"),
                }
                assert_eq!(bench.held(&entry).await, pair("user-1", OLD));
                Ok(())
            }
        },
    ));

    ran.push((
        PROPERTIES[9],
        match bench.nowhere() {
            Err(why) => Err(why),
            Ok(nowhere) => {
                match write(&*nowhere, &entry, &new, &[&old]).await {
                    Outcome::NotDone(fault) => {
                        assert_ne!(fault.class, FaultClass::Permanent, "{fault}");
                        faults.push(fault);
                    }
                    other => panic!("a write to nobody: {other:?}"),
                }
                match nowhere.read(&entry).await {
                    Outcome::NotDone(fault) => faults.push(fault),
                    Outcome::Unknown(fault) => panic!("a look that was not sent is unknown: {fault}"),
                    Outcome::Done(_) => panic!("a look at nobody"),
                }
                Ok(())
            }
        },
    ));

    let entry = bench.entry("lost", "user-1", OLD).await;
    ran.push((
        PROPERTIES[10],
        match bench.cutting().await {
            Err(why) => Err(why),
            Ok(cutting) => {
                match write(&*cutting, &entry, &new, &[&old]).await {
                    Outcome::Unknown(fault) => faults.push(fault),
                    other => panic!("the answer was cut off: {other:?}"),
                }
                // Whatever became of it, the adapter sees what is there, and can go on from it.
                let seen = read(&*store, &entry).await;
                match store.reads_back() {
                    true => assert_eq!(seen, Some(bench.held(&entry).await)),
                    false => assert_eq!(seen, None, "it says that it does not know"),
                }
                let settled = write(&*store, &entry, &new, &[&old, &new]).await;
                assert!(matches!(settled, Outcome::Done(())), "after a lost answer: {settled:?}");
                assert_eq!(bench.held(&entry).await, pair("user-2", NEW));
                Ok(())
            }
        },
    ));

    for fault in &faults {
        let text = format!("{fault} {fault:?}");
        for secret in [OLD, NEW, FOREIGN] {
            assert!(!text.contains(secret), "a secret in a fault: {text}");
        }
    }
    ran.push((PROPERTIES[11], Ok(())));
    ran
}

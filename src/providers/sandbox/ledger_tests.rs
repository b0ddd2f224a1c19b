use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Barrier};

use super::{Ledger, Sight};
use crate::providers::sandbox::account::{State, Terms};
use handover_rotation::name::VersionId;
use handover_rotation::outcome::Outcome;
use handover_rotation::plan::Shape;

fn terms(now: u64) -> Terms {
    Terms { shape: Shape::Reversible, quota: 200, now, delay: 0 }
}

fn made(dir: &std::path::Path) -> Ledger {
    let ledger = Ledger::make(dir, None).expect("makes a ledger");
    ledger.make_account("news", |account| account.create(&terms(1), None, None).map(drop)).expect("makes an account");
    ledger
}

#[test]
fn handles_at_once_lose_no_change() {
    let dir = tempfile::tempdir().expect("a folder");
    made(dir.path());
    let start = Arc::new(Barrier::new(8));
    let threads: Vec<_> = (0..8)
        .map(|n| {
            let (start, dir) = (Arc::clone(&start), dir.path().to_path_buf());
            std::thread::spawn(move || {
                // Each has a handle of its own, as another process would.
                let ledger = Ledger::open(&dir).expect("opens");
                start.wait();
                for round in 0..5 {
                    let outcome = ledger.change("news", |account| account.create(&terms(2), None, None));
                    assert!(matches!(outcome, Outcome::Done(_)));
                    let first = VersionId::new("news#1").expect("valid");
                    ledger.note("news", &first, Sight::Used, 100 + n * 10 + round).expect("notes");
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("works");
    }
    let ledger = Ledger::open(dir.path()).expect("opens");
    let account = ledger.read("news").expect("reads").expect("is there");
    let mut ids: Vec<_> = account.versions.iter().map(|v| v.id.clone()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 41);
    assert_eq!(ledger.seen("news").values().next().and_then(|s| s.used_at), Some(174), "the latest note wins");
}

#[test]
fn a_change_that_is_refused_leaves_the_file_as_it_was() {
    let dir = tempfile::tempdir().expect("a folder");
    let ledger = made(dir.path());
    let file = dir.path().join("accounts/news.json");
    let before = std::fs::read(&file).expect("reads");
    let full = Terms { quota: 1, ..terms(5) };
    let outcome = ledger.change("news", |account| account.create(&full, None, None));
    assert!(matches!(outcome, Outcome::NotDone(fault) if fault.code == "HO0503"));
    assert_eq!(std::fs::read(&file).expect("reads"), before);
    assert_eq!(file.metadata().expect("is there").permissions().mode() & 0o777, 0o600);
    assert_eq!(dir.path().join("accounts").metadata().expect("is there").permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_temporary_file_left_by_a_kill_is_no_hindrance() {
    let dir = tempfile::tempdir().expect("a folder");
    let ledger = made(dir.path());
    let left = dir.path().join("accounts/.news.json.tmp");
    std::fs::write(&left, "half of an acc").expect("writes");
    let id = VersionId::new("news#1").expect("valid");
    assert!(matches!(ledger.change("news", |account| account.disable(&terms(2), &id)), Outcome::Done(())));
    assert!(!left.exists());
    assert_eq!(ledger.accounts().expect("lists"), ["news"]);
    let account = ledger.read("news").expect("reads").expect("is there");
    assert_eq!(account.versions[0].state, State::Inactive);
}

#[test]
fn what_is_not_there_or_damaged_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let fault = Ledger::open(dir.path()).expect_err("is empty");
    assert_eq!(fault.code, "HO0501");
    assert!(fault.hint.is_some_and(|h| h.contains("handover sandbox --dir")));

    let ledger = made(dir.path());
    for name in ["other", "../news", "", ".news", "a/b", "news.seen", &"n".repeat(65)] {
        let outcome = ledger.change(name, |_| Ok(()));
        assert!(matches!(outcome, Outcome::NotDone(fault) if fault.code == "HO0502"), "{name}");
    }
    assert!(ledger.account_of("../../etc/passwd.1").expect("looks").is_none());

    std::fs::write(dir.path().join("accounts/news.json"), "{\"password\": \"hosb_leak").expect("writes");
    let fault = ledger.read("news").err().expect("is damaged");
    assert_eq!(fault.code, "HO0509");
    assert!(!format!("{fault:?}").contains("hosb_"));

    assert_eq!(Ledger::make(dir.path(), Some(Shape::InPlace)).expect_err("has another shape").code, "HO0511");
    assert_eq!(Ledger::make(dir.path(), None).expect("opens").settings().shape, Shape::Reversible);
}

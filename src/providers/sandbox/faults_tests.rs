use std::path::Path;

use super::{CreateError, Effect, Faults, LIST, RefuseAuth, Stage, disk_full, faults_on, set_fault, take_drop};

#[test]
fn faults_are_read_as_they_are_written() {
    let dir = tempfile::tempdir().expect("a folder");
    assert_eq!(Faults::load(dir.path()).expect("none"), Faults::default());
    let texts = [
        "propagation=2s",
        "stale-list=1m",
        "slow = 50ms",
        "refuse-auth=new",
        "smtp-4xx=rcpt",
        "smtp-down",
        "tls-expired=on",
        "provider-down",
        "create-error=unknown",
        "quota=5",
        "ignore-reload=news-staging",
        "disk-full=staging",
        "drop-answer=create,delete:2",
    ];
    for text in texts {
        set_fault(dir.path(), text).expect(text);
    }
    assert_eq!(texts.len(), LIST.len() - 1, "every fault of the list is tried");
    let expected = Faults {
        propagation: 2000,
        stale_list: 60_000,
        refuse_auth: Some(RefuseAuth::New),
        smtp_4xx: Some(Stage::Rcpt),
        smtp_down: true,
        tls_expired: true,
        drop_answer: [(Effect::Create, 1), (Effect::Delete, 2)].into(),
        create_error: Some(CreateError::Unknown),
        quota: Some(5),
        provider_down: true,
        ignore_reload: Some("news-staging".to_owned()),
        disk_full: Some("staging".to_owned()),
        slow: 50,
    };
    assert_eq!(Faults::load(dir.path()).expect("loads"), expected);
    set_fault(dir.path(), "slow=off").expect("switches off");
    assert_eq!(Faults::load(dir.path()).expect("loads").slow, 0);
    set_fault(dir.path(), "none").expect("switches all off");
    assert!(faults_on(dir.path()).expect("reads").is_empty());
}

#[test]
fn what_is_no_fault_is_refused_with_a_hint() {
    let dir = tempfile::tempdir().expect("a folder");
    let table = [
        ("propagatoin=2s", "did you mean propagation?"),
        ("fire=1", "the faults are"),
        ("propagation=2", "a time such as"),
        ("propagation=99h", "a time such as"),
        ("smtp-4xx=ehlo", "auth, mail, rcpt, or data"),
        ("refuse-auth=", "all, new, or a username"),
        ("create-error=x", "temporary, permanent, or unknown"),
        ("drop-answer=creat", "create, disable"),
        ("drop-answer=create:0", "create, disable"),
        ("quota=0", "a number"),
        ("ignore-reload", "the name of a service"),
        ("disk-full=", "the name of an entry"),
        ("smtp-down=perhaps", "on or off"),
        ("slowly=off", "did you mean slow?"),
    ];
    for (text, hint) in table {
        let fault = set_fault(dir.path(), text).expect_err(text);
        assert_eq!(fault.code, "HO0513", "{text}");
        assert!(fault.hint.as_deref().is_some_and(|h| h.contains(hint)), "{text}: {:?}", fault.hint);
    }
    assert!(faults_on(dir.path()).expect("reads").is_empty(), "nothing was switched on");
    assert_eq!(set_fault(&dir.path().join("nowhere"), "smtp-down").expect_err("no folder").code, "HO0501");
    std::fs::write(dir.path().join("faults.json"), "[]").expect("writes");
    assert_eq!(Faults::load(dir.path()).expect_err("is no list").code, "HO0512");
}

#[test]
fn lost_answers_are_counted_down_over_all_handles() {
    let dir = tempfile::tempdir().expect("a folder");
    set_fault(dir.path(), "drop-answer=create:20,send").expect("switches on");
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let dir = dir.path().to_path_buf();
            std::thread::spawn(move || (0..10).filter(|_| take_drop(&dir, Effect::Create).expect("takes")).count())
        })
        .collect();
    let taken: usize = threads.into_iter().map(|t| t.join().expect("works")).sum();
    assert_eq!(taken, 20);
    assert!(!take_drop(dir.path(), Effect::Delete).expect("takes"));
    assert!(take_drop(dir.path(), Effect::Send).expect("takes"));
    assert!(faults_on(dir.path()).expect("reads").is_empty());
}

#[test]
fn a_full_disk_meets_the_entry_it_names() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| Path::new("/srv/services").join(name);
    assert!(!disk_full(dir.path(), &path("news-staging.env")));
    for named in ["staging", "news-staging", "all", "/srv/services/news-staging.env"] {
        set_fault(dir.path(), &format!("disk-full={named}")).expect("switches on");
        assert!(disk_full(dir.path(), &path("news-staging.env")), "{named}");
        assert_eq!(disk_full(dir.path(), &path("news-production.env")), named == "all", "{named}");
    }
}

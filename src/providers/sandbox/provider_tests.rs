use std::path::Path;

use super::{SandboxProvider, SandboxProviderOptions};
use crate::providers::sandbox::account::Terms;
use crate::providers::sandbox::faults::{faults_on, set_fault};
use crate::providers::sandbox::ledger::Ledger;
use crate::providers::{CreatedVersion, ListedVersion, LiveState, Provider as _};
use crate::secret::Secret;
use handover_rotation::name::{Tag, VersionId};
use handover_rotation::outcome::{FaultClass, Outcome};
use handover_rotation::plan::Shape;
use handover_rotation::time::Span;

const SHAPES: [Shape; 4] = [Shape::Reversible, Shape::DeleteOnly, Shape::Alternating, Shape::InPlace];

fn provider(dir: &Path, shape: Shape) -> SandboxProvider {
    let ledger = Ledger::make(dir, Some(shape)).expect("makes a ledger");
    let terms = Terms { shape, quota: 2, now: 1, delay: 0 };
    let first = Secret::new("first".to_owned());
    ledger.make_account("news", |a| a.create(&terms, None, Some(&first)).map(drop)).expect("makes an account");
    SandboxProvider::open(SandboxProviderOptions { dir: dir.to_path_buf() }).expect("opens")
}

fn done<T>(outcome: Outcome<T>) -> T {
    match outcome {
        Outcome::Done(value) => value,
        Outcome::NotDone(fault) | Outcome::Unknown(fault) => panic!("{fault}"),
    }
}

async fn list(provider: &SandboxProvider) -> Vec<ListedVersion> {
    done(provider.list("news").await)
}

async fn create(provider: &SandboxProvider, tag: &str) -> Outcome<CreatedVersion> {
    let secret = provider.facts().chooses_secret.then(|| Secret::new(format!("secret of {tag}")));
    provider.create("news", &Tag::new(tag).expect("valid"), secret.as_ref()).await
}

#[tokio::test]
async fn every_shape_keeps_the_contract_from_creation_to_deletion() {
    for shape in SHAPES {
        let dir = tempfile::tempdir().expect("a folder");
        let provider = provider(dir.path(), shape);
        let facts = provider.facts();
        assert_eq!((facts.shape, facts.quota, facts.request_timeout), (shape, 2, Span::seconds(2)));
        let old = list(&provider).await.remove(0);
        assert_eq!((old.tag.as_ref(), old.state), (None, LiveState::Active));

        let made = done(create(&provider, "r1").await);
        assert_eq!(made.secret.is_some(), !facts.chooses_secret, "{shape:?}");
        let ours: Vec<_> = list(&provider).await.into_iter().filter(|v| v.tag.is_some()).collect();
        assert_eq!(ours.len(), 1);
        assert_eq!((&ours[0].id, &ours[0].username), (&made.id, &made.username));
        assert!(ours[0].created_at > Some(1));

        if shape == Shape::DeleteOnly {
            assert!(matches!(provider.disable("news", &old.id).await, Outcome::NotDone(f) if f.code == "HO0504"));
        } else {
            for _ in 0..2 {
                done(provider.disable("news", &old.id).await);
                assert_eq!(list(&provider).await[0].state, LiveState::Inactive, "{shape:?}");
            }
            let first = Secret::new("first".to_owned());
            done(provider.enable("news", &old.id, Some(&first)).await);
            assert_eq!(list(&provider).await[0].state, LiveState::Active, "{shape:?}");
        }
        for _ in 0..2 {
            done(provider.delete("news", &made.id).await);
            assert_eq!(list(&provider).await.len(), 1);
        }
        assert_eq!(list(&provider).await[0].id, old.id);
        assert!(matches!(provider.list("else").await, Outcome::NotDone(f) if f.code == "HO0502"));
    }
}

#[tokio::test]
async fn a_lost_answer_to_create_leaves_an_orphan_with_its_tag() {
    for shape in SHAPES {
        let dir = tempfile::tempdir().expect("a folder");
        let provider = provider(dir.path(), shape);
        set_fault(dir.path(), "drop-answer=create").expect("switches on");
        let outcome = create(&provider, "r1").await;
        assert!(matches!(outcome, Outcome::Unknown(fault) if fault.code == "HO0505"), "{shape:?}");
        let orphan = list(&provider).await.into_iter().find(|v| v.tag.as_ref().is_some_and(|t| t.as_str() == "r1"));
        let orphan = orphan.expect("was made all the same");
        done(provider.delete("news", &orphan.id).await);
        let anew = done(create(&provider, "r1").await);
        assert_ne!(anew.id, orphan.id);
    }
}

#[tokio::test]
async fn the_other_answers_are_lost_after_their_effect_too() {
    let dir = tempfile::tempdir().expect("a folder");
    let provider = provider(dir.path(), Shape::Reversible);
    let id = VersionId::new("news#1").expect("valid");
    let unknown = |outcome: Outcome<()>| assert!(matches!(outcome, Outcome::Unknown(f) if f.code == "HO0505"));
    set_fault(dir.path(), "drop-answer=all").expect("switches on");
    unknown(provider.disable("news", &id).await);
    assert_eq!(list(&provider).await[0].state, LiveState::Inactive);
    unknown(provider.enable("news", &id, None).await);
    assert_eq!(list(&provider).await[0].state, LiveState::Active);
    unknown(provider.delete("news", &id).await);
    assert!(list(&provider).await.is_empty());
    assert!(faults_on(dir.path()).expect("reads")["drop-answer"].contains("create:1"), "what was not met is left");
}

#[tokio::test]
async fn refusals_change_nothing_and_say_what_they_are() {
    let table = [
        ("provider-down", FaultClass::Temporary, "HO0501", false),
        ("create-error=temporary", FaultClass::Temporary, "HO0508", false),
        ("create-error=permanent", FaultClass::Permanent, "HO0508", false),
        ("create-error=unknown", FaultClass::Temporary, "HO0508", true),
        ("quota=1", FaultClass::Permanent, "HO0503", false),
    ];
    for (fault, class, code, is_unknown) in table {
        let dir = tempfile::tempdir().expect("a folder");
        let provider = provider(dir.path(), Shape::Reversible);
        set_fault(dir.path(), fault).expect("switches on");
        let outcome = create(&provider, "r1").await;
        assert_eq!(matches!(outcome, Outcome::Unknown(_)), is_unknown, "{fault}");
        let said = outcome.fault().expect("fails");
        assert_eq!((said.class, said.code.as_str()), (class, code), "{fault}");
        set_fault(dir.path(), "none").expect("switches off");
        assert_eq!(list(&provider).await.len(), 1, "{fault}");
    }
}

#[tokio::test]
async fn slowness_is_waited_for() {
    let dir = tempfile::tempdir().expect("a folder");
    let provider = provider(dir.path(), Shape::Reversible);
    set_fault(dir.path(), "slow=50ms").expect("switches on");
    let before = tokio::time::Instant::now();
    list(&provider).await;
    assert!(before.elapsed() >= std::time::Duration::from_millis(50));
}

#[tokio::test]
async fn facts_follow_the_faults() {
    let dir = tempfile::tempdir().expect("a folder");
    let provider = provider(dir.path(), Shape::Reversible);
    assert_eq!(provider.facts().propagation, Span::seconds(2));
    set_fault(dir.path(), "propagation=5s").expect("switches on");
    set_fault(dir.path(), "quota=4").expect("switches on");
    assert_eq!((provider.facts().propagation, provider.facts().quota), (Span::seconds(6), 4));
    set_fault(dir.path(), "stale-list=1m").expect("switches on");
    done(create(&provider, "r1").await);
    assert_eq!(list(&provider).await.len(), 1, "a young version is not listed yet");
}

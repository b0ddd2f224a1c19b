use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::super::tally::Sighting;
use super::super::tests::{question, version};
use super::super::{Evidence, Who};
use super::*;

const DAY: u64 = 86_400_000;

/// What a source answers.
struct Says(Outcome<Found>);

#[async_trait]
impl Evidence for Says {
    async fn look(&self, _: &Question) -> Outcome<Found> {
        match &self.0 {
            Outcome::Done(found) => Outcome::Done(found.clone()),
            Outcome::NotDone(fault) => Outcome::NotDone(fault.clone()),
            Outcome::Unknown(fault) => Outcome::Unknown(fault.clone()),
        }
    }
}

struct Never;

#[async_trait]
impl Evidence for Never {
    async fn look(&self, _: &Question) -> Outcome<Found> {
        std::future::pending().await
    }
}

fn source(name: &str, evidence: impl Evidence + 'static) -> Source {
    Source { name: name.to_owned(), kind: "test".to_owned(), evidence: Ok(Arc::new(evidence)) }
}

fn found(question: &Question, sight: Sight) -> Found {
    let mut found = Found::new(question, sight);
    found.covered = Coverage::of(question.since_ms - 30 * DAY, question.until_ms);
    found
}

fn seen(found: &mut Found, at_ms: u64, ip: &str) {
    found.seen.see(Sighting { at_ms, address: ip.parse().ok(), who: Who::Credential, accepted: true, times: 1 });
}

fn with_usual(question: &Question, mut found: Found) -> Found {
    for n in 1..=25 {
        seen(&mut found, question.since_ms - n * DAY, "192.0.2.7");
    }
    found
}

fn fault() -> Fault {
    Fault::new(FaultClass::Temporary, "HO0961", "no connection")
}

async fn verdict(question: &Question, sources: Vec<(&str, Outcome<Found>)>) -> Assessment {
    let sources: Vec<Source> = sources.into_iter().map(|(name, says)| source(name, Says(says))).collect();
    assess(question, &sources).await
}

#[tokio::test]
async fn no_evidence_needs_a_source_that_sees_all_and_has_seen_all() {
    let question = question();
    let whole = || found(&question, Sight::Logins);
    let part = || found(&question, Sight::Part("half"));
    let gap = || Found { covered: Coverage::of(question.since_ms + 1, question.until_ms), ..whole() };
    let early = || Found { covered: Coverage::of(question.since_ms, question.until_ms - 1), ..whole() };
    for (name, sources, expected, word) in [
        ("one that sees all", vec![Outcome::Done(whole())], Verdict::NoEvidence, "every login"),
        ("one that sees mail", vec![Outcome::Done(found(&question, Sight::Mail))], Verdict::NoEvidence, "leaves no trace"),
        (
            "and one that sees a part",
            vec![Outcome::Done(whole()), Outcome::Done(part())],
            Verdict::NoEvidence,
            "every login",
        ),
        ("none", vec![], Verdict::CannotTell, "no source"),
        ("one that sees a part", vec![Outcome::Done(part())], Verdict::CannotTell, "no source sees every login"),
        ("one that begins late", vec![Outcome::Done(gap())], Verdict::CannotTell, "not seen all of the window"),
        ("one that ends early", vec![Outcome::Done(early())], Verdict::CannotTell, "not seen all of the window"),
        (
            "one of two fails",
            vec![Outcome::Done(whole()), Outcome::NotDone(fault())],
            Verdict::CannotTell,
            "could not be asked",
        ),
        (
            "one of two is lost",
            vec![Outcome::Done(whole()), Outcome::Unknown(fault())],
            Verdict::CannotTell,
            "could not be asked",
        ),
        ("one of two has a gap", vec![Outcome::Done(whole()), Outcome::Done(gap())], Verdict::CannotTell, "not seen all"),
    ] {
        let sources = sources.into_iter().zip(["a", "b"]).map(|(says, name)| (name, says)).collect();
        let assessment = verdict(&question, sources).await;
        assert_eq!(assessment.verdict, expected, "{name}: {:?}", assessment.why);
        assert!(assessment.why.iter().any(|why| why.contains(word)), "{name}: {:?}", assessment.why);
        assert_ne!(assessment.strangers, Strangers::Flagged, "{name}");
    }
}

#[tokio::test]
async fn a_login_at_ses_is_never_called_unused_unless_a_source_sees_every_login() {
    let mut question = question();
    question.kind = "ses".to_owned();
    let silent = || Outcome::Done(found(&question, Sight::Part("the API only")));
    let assessment = verdict(&question, vec![("trail", silent()), ("keys", silent()), ("events", silent())]).await;
    assert_eq!(assessment.verdict, Verdict::CannotTell);
    assert!(assessment.why.iter().any(|why| why.contains("not in CloudTrail")), "{:?}", assessment.why);
    let proxy = Outcome::Done(found(&question, Sight::Logins));
    let assessment = verdict(&question, vec![("trail", silent()), ("proxy", proxy)]).await;
    assert_eq!(assessment.verdict, Verdict::NoEvidence);
}

#[tokio::test]
async fn a_use_is_a_use_whatever_else_is_missing() {
    let question = question();
    let mut used = found(&question, Sight::Part("half"));
    seen(&mut used, question.since_ms + DAY, "192.0.2.7");
    let assessment = verdict(&question, vec![("a", Outcome::Done(used)), ("b", Outcome::NotDone(fault()))]).await;
    assert_eq!((assessment.verdict, assessment.why), (Verdict::Used, vec!["a saw one use".to_owned()]));
    assert_eq!(assessment.strangers, Strangers::CannotTell);
    let standings: Vec<Standing> = assessment.sources.iter().map(|s| s.standing).collect();
    assert_eq!(standings, [Standing::Used, Standing::Failed]);
}

#[tokio::test]
async fn what_may_be_of_another_credential_proves_no_use_and_its_silence_proves_none_for_all() {
    let question = question();
    let shared = || Found { shared: Some("of the whole domain"), ..found(&question, Sight::Mail) };
    assert_eq!(verdict(&question, vec![("a", Outcome::Done(shared()))]).await.verdict, Verdict::NoEvidence);
    let mut some = shared();
    seen(&mut some, question.since_ms + DAY, "192.0.2.7");
    let assessment = verdict(&question, vec![("a", Outcome::Done(some))]).await;
    assert_eq!(assessment.verdict, Verdict::CannotTell);
    assert!(assessment.why[0].contains("of this credential or of another"), "{:?}", assessment.why);
}

#[tokio::test]
async fn nothing_unusual_is_said_only_where_it_would_have_been_seen() {
    let question = question();
    let usual = |sight| {
        let mut found = with_usual(&question, found(&question, sight));
        seen(&mut found, question.since_ms + DAY, "192.0.2.99");
        found
    };
    let mut nowhere = usual(Sight::Logins);
    seen(&mut nowhere, question.since_ms + DAY, "unknown");
    let mut little = found(&question, Sight::Logins);
    seen(&mut little, question.since_ms - DAY, "192.0.2.7");
    seen(&mut little, question.since_ms + DAY, "192.0.2.7");
    let mut nothing = found(&question, Sight::Logins);
    seen(&mut nothing, question.since_ms + DAY, "192.0.2.7");
    let mut stranger = usual(Sight::Part("half"));
    seen(&mut stranger, question.since_ms + DAY, "203.0.113.9");
    for (name, found, expected, word) in [
        ("as before", usual(Sight::Logins), Strangers::NothingUnusual, "as it was before"),
        ("a part", usual(Sight::Part("half")), Strangers::CannotTell, "no source sees"),
        ("no address", nowhere, Strangers::CannotTell, "no address"),
        ("little known", little, Strangers::CannotTell, "little is known"),
        ("nothing known", nothing, Strangers::CannotTell, "nothing is known"),
        ("a stranger", stranger, Strangers::Flagged, "one flag"),
    ] {
        let assessment = verdict(&question, vec![("a", Outcome::Done(found))]).await;
        assert_eq!(assessment.verdict, Verdict::Used, "{name}");
        assert_eq!(assessment.strangers, expected, "{name}: {:?} {:?}", assessment.strangers_why, assessment.flags);
        assert!(assessment.strangers_why.iter().any(|why| why.contains(word)), "{name}: {:?}", assessment.strangers_why);
    }
}

#[tokio::test]
async fn what_one_source_knows_from_before_is_familiar_to_all() {
    let question = question();
    let known = with_usual(&question, found(&question, Sight::Part("half")));
    let mut other = found(&question, Sight::Logins);
    seen(&mut other, question.since_ms + DAY, "192.0.2.7");
    let assessment = verdict(&question, vec![("a", Outcome::Done(known)), ("b", Outcome::Done(other))]).await;
    assert_eq!(assessment.strangers, Strangers::NothingUnusual, "{:?}", assessment.flags);
    assert_eq!((assessment.learned.uses, assessment.learned.days, assessment.learned.enough), (25, 25, true));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_does_not_answer_is_left_and_one_that_cannot_be_opened_is_told() {
    let mut question = question();
    question.patience = Some(Duration::from_secs(60));
    let broken = Source { name: "broken".to_owned(), kind: "test".to_owned(), evidence: Err(fault()) };
    let whole = source("whole", Says(Outcome::Done(found(&question, Sight::Logins))));
    let assessment = assess(&question, &[source("never", Never), broken, whole]).await;
    assert_eq!(assessment.verdict, Verdict::CannotTell);
    let codes: Vec<_> = assessment.sources.iter().map(|s| s.fault.as_ref().map(|f| f.code.as_str())).collect();
    assert_eq!(codes, [Some("HO0966"), Some("HO0961"), None]);
}

#[tokio::test]
async fn the_answer_is_serialised_as_it_is() {
    let mut question = question();
    question.versions = vec![version("AKIA1", "a")];
    question.versions[0].revoked_ms = Some(question.since_ms);
    let mut used = with_usual(&question, found(&question, Sight::Logins));
    used.seen.see(Sighting {
        at_ms: question.since_ms + DAY,
        address: "203.0.113.9".parse().ok(),
        who: Who::Version(0),
        accepted: true,
        times: 1,
    });
    let assessment = verdict(&question, vec![("log", Outcome::Done(used))]).await;
    let json = serde_json::to_value(&assessment).expect("JSON");
    assert_eq!((&json["format"], &json["verdict"], &json["strangers"]), (&1.into(), &"used".into(), &"flagged".into()));
    assert_eq!(json["flags"][0]["flag"], "after-revocation");
    assert_eq!(json["flags"][0]["networks"][0], "203.0.113.0/24");
    assert_eq!(json["sources"][0]["standing"], "used");
    assert_eq!(json["versions"][0]["version"], "AKIA1");
}

//! Buttons from end to end, without any script: a plan is read and begun, a gate opened, a rotation aborted, a stuck one resumed.

use handover::daemon::api::Role;
use handover::journal::SqliteJournal;
use handover_rotation::event::Ending;
use handover_rotation::name::RotationId;
use handover_rotation::state::Phase;
use reqwest::StatusCode;

use super::super::{House, address, rotations, run, until};
use super::{GATE, Visitor, between, playbook, token};
use handover::daemon::{Daemon, Desk};

/// Until a page has these words.
async fn shows(visitor: &Visitor, path: &str, words: &str) -> String {
    until(&format!("{words} on {path}"), || async {
        let page = visitor.get(path).await;
        page.text.contains(words).then_some(page.text)
    })
    .await
}

/// Plans and begins a rotation as a person does; gives its page.
async fn begun(visitor: &Visitor, playbook: &str, reason: &str) -> String {
    let page = visitor.get("/credentials/newsletter").await.text;
    assert!(page.contains("Plan a rotation") && page.contains("2 services stop sending mail"), "{page}");
    let plan = visitor.send("/credentials/newsletter/plan", &[("playbook", playbook), ("scale", "8")]).await;
    assert_eq!(plan.status, StatusCode::OK, "{}", plan.text);
    assert!(plan.text.contains("plan: rotate newsletter with playbook"), "{}", plan.text);
    let hash = between(&plan.text, "name=\"plan\" value=\"", "\"");
    let fields = [("playbook", playbook), ("scale", "8"), ("plan", hash), ("reason", reason)];
    let stale = [("playbook", playbook), ("scale", "8"), ("plan", "0123456789abcdef")];
    let refused = visitor.send("/credentials/newsletter/rotate", &stale).await;
    assert!(refused.status == StatusCode::CONFLICT && refused.text.contains("HO0448"), "{}", refused.text);
    let begun = visitor.send("/credentials/newsletter/rotate", &fields).await;
    assert_eq!(begun.status, StatusCode::SEE_OTHER, "{}", begun.text);
    assert!(begun.place.starts_with("/rotations/newsletter-"), "{}", begun.place);
    begun.place
}

/// What stands for the page that asks.
async fn shown(visitor: &Visitor, path: &str) -> String {
    let page = visitor.get(path).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert!(page.text.contains("What will happen") && page.text.contains("newsletter"), "{}", page.text);
    between(&page.text, "name=\"shown\" value=\"", "\"").to_owned()
}

async fn ended(desk: &Desk, journal: &SqliteJournal) -> Ending {
    super::super::end(desk, journal).await.1
}

async fn id(daemon: &Daemon, journal: &SqliteJournal) -> RotationId {
    let _ = daemon;
    rotations(journal).await.remove(0).id
}

#[test]
fn a_rotation_is_planned_begun_approved_and_another_aborted_with_forms_alone() {
    let house = House::new();
    playbook(&house, "gated", &[GATE]);
    run(async {
        let (daemon, journal) = house.daemon().await;
        let address = address(&daemon);
        let viewer = Visitor::new(address, &token(&journal, "v", Role::Viewer).await).await;
        let operator = Visitor::new(address, &token(&journal, "o", Role::Operator).await).await;
        let approver = Visitor::new(address, &token(&journal, "a", Role::Approver).await).await;
        assert!(viewer.get("/").await.text.contains("Nothing needs you"));
        let page = viewer.get("/credentials/newsletter").await.text;
        assert!(
            !page.contains("Plan a rotation") && !page.contains("<form method=\"post\" action=\"/credentials"),
            "{page}"
        );

        let place = begun(&operator, "gated", "because of the audit").await;
        let page = shows(&approver, &place, "Approve…").await;
        assert!(page.contains("because of the audit") && page.contains("token o"), "{page}");
        for (who, buttons) in [(&viewer, [false, false]), (&operator, [false, true])] {
            let page = who.get(&place).await.text;
            assert_eq!(["Approve…", "Abort…"].map(|word| page.contains(word)), buttons, "{page}");
        }
        let home = approver.get("/").await.text;
        assert!(home.contains("1 thing needs you") && home.contains("WAITS FOR APPROVAL"), "{home}");
        assert!(home.contains("oncall@example.com to approve step"), "{home}");

        // Who may not is told so, and the gate stays shut.
        let approve = format!("{place}/approve");
        assert_eq!(operator.get(&approve).await.status, StatusCode::FORBIDDEN);
        let mark = shown(&approver, &approve).await;
        for (who, fields, status) in [
            (&viewer, vec![("name", "newsletter"), ("shown", mark.as_str())], 403),
            (&operator, vec![("name", "newsletter"), ("shown", mark.as_str())], 403),
            (&approver, vec![("name", "newsletters"), ("shown", mark.as_str())], 400),
            (&approver, vec![("shown", mark.as_str())], 400),
            (&approver, vec![("name", "newsletter"), ("shown", "0123456789abcdef")], 409),
        ] {
            let answer = who.send(&approve, &fields).await;
            assert_eq!(answer.status.as_u16(), status, "{fields:?}: {}", answer.text);
        }
        let rotation = daemon.desk.rotation(&id(&daemon, &journal).await).await.expect("it folds");
        assert_eq!(rotation.phase, Phase::Forward);
        assert!(handover::view::acts::can_approve(&rotation), "the gate is shut");
        assert!(daemon.desk.engine.journal.inbox(&rotation.id).await.expect("it reads").is_empty());

        let done = approver.send(&approve, &[("name", " newsletter "), ("shown", &mark)]).await;
        assert_eq!((done.status, done.place.as_str()), (StatusCode::SEE_OTHER, place.as_str()), "{}", done.text);
        assert_eq!(ended(&daemon.desk, &journal).await, Ending::Done);
        let page = shows(&viewer, &place, "DONE").await;
        assert!(page.contains("token a approved step"), "{page}");
        assert!(shows(&viewer, "/", "✓ rotated").await.contains("Nothing needs you"));

        // Another one, which is aborted at the gate.
        let place = begun(&operator, "gated", "").await;
        shows(&operator, &place, "WAITING").await;
        let abort = format!("{place}/abort");
        let mark = shown(&operator, &abort).await;
        assert_eq!(viewer.send(&abort, &[("name", "newsletter"), ("shown", &mark)]).await.status, StatusCode::FORBIDDEN);
        assert_eq!(operator.send(&abort, &[("name", ""), ("shown", &mark)]).await.status, StatusCode::BAD_REQUEST);
        let fields = [("name", "newsletter"), ("shown", mark.as_str()), ("reason", "not <today>")];
        assert_eq!(operator.send(&abort, &fields).await.status, StatusCode::SEE_OTHER);
        assert_eq!(ended(&daemon.desk, &journal).await, Ending::RolledBack);
        let page = shows(&viewer, &place, "ROLLED BACK").await;
        assert!(page.contains("not &lt;today&gt;"), "{page}");
        // It is over: pressing again in another tab does nothing and says so.
        let late = operator.send(&abort, &fields).await;
        assert!(late.status == StatusCode::CONFLICT && late.text.contains("HO0458"), "{}", late.text);
        daemon.stop().await;
    });
}

#[test]
fn one_that_is_stuck_is_first_on_the_page_and_is_resumed_there() {
    let house = House::new();
    playbook(&house, "stopping", &[("on_failure: roll-back", "on_failure: stop")]);
    house.world.fault("ignore-reload=newsletter-staging");
    run(async {
        let (daemon, journal) = house.daemon().await;
        let address = address(&daemon);
        let operator = Visitor::new(address, &token(&journal, "o", Role::Operator).await).await;
        let place = begun(&operator, "stopping", "").await;
        let page = shows(&operator, &place, "Where things stand, and what to do").await;
        assert!(page.contains("STUCK") && page.contains("Resume…") && page.contains("not safe"), "{page}");
        let home = shows(&operator, "/", "1 thing needs you").await;
        assert!(home.contains(&format!("href=\"{place}/resume\"")), "{home}");

        // What its page asks for: the service is restarted by hand.
        house.world.fault("none");
        let restart = format!("http://127.0.0.1:{}/newsletter-staging/reload", house.world.http_port());
        assert!(super::client().post(restart).send().await.expect("an answer").status().is_success());
        let resume = format!("{place}/resume");
        let mark = shown(&operator, &resume).await;
        assert_eq!(operator.send(&resume, &[("shown", &mark)]).await.status, StatusCode::SEE_OTHER);
        shows(&operator, &place, "token o resumed it").await;
        daemon.stop().await;
    });
}

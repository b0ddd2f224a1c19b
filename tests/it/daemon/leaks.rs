//! Leak alerts: matched, contained, proven, and joined; what is dead or unknown changes nothing.

use handover::alerts::Report;
use handover::config::load::load_inventory;
use handover::daemon::{Daemon, Desk};
use handover::engine::Who;
use handover::journal::{Alert, AlertState, Register, SqliteJournal};
use handover::marks::Mark;
use handover::registry::Registry;
use handover::secret::Secret;
use handover_rotation::event::Ending;
use handover_rotation::name::{CredentialName, RotationId, Slot, Tag};
use handover_rotation::outcome::Outcome;

use super::{House, end, exists, rotations, run, until};

fn incoming(marks: Vec<Mark>, raw: &[&str]) -> Report {
    let report = Report::new("scanner", "finding 7").raw(raw.iter().map(|text| Secret::new((*text).to_owned())).collect());
    marks.into_iter().fold(report, |report, mark| report.mark(Some(mark)))
}

async fn alert(daemon: &Daemon, journal: &SqliteJournal, number: u64, state: AlertState) -> Alert {
    let what = format!("alert {number} as {}", state.text());
    let _ = daemon;
    until(&what, || async {
        let all = journal.alerts(None, 100).await.expect("they are there");
        all.into_iter().find(|alert| alert.number == number && alert.state == state)
    })
    .await
}

async fn take(desk: &Desk, digest: u8, incoming: Report) -> Vec<u64> {
    desk.take_in([digest; 32], vec![incoming]).await.expect("it is kept")
}

/// The password that an entry holds.
fn password(house: &House) -> String {
    let text = house.env_file("production");
    let line = text.lines().find(|line| line.starts_with("SMTP_PASSWORD=")).expect("a password");
    line.trim_start_matches("SMTP_PASSWORD=").trim_matches(['\'', '"']).to_owned()
}

#[test]
fn an_alert_for_the_current_version_contains_it_and_one_for_a_dead_or_unknown_changes_nothing() {
    let house = House::new();
    run(async {
        let (daemon, journal) = house.daemon().await;
        let desk = &daemon.desk;
        let leaked = password(&house);

        // Of something that was never ours.
        let unknown = take(desk, 1, incoming(Vec::new(), &["hov_nobody-has-this-secret-0123456789abcdef"])).await;
        let told = alert(&daemon, &journal, unknown[0], AlertState::Unknown).await;
        assert!(told.note.contains("no version that was ever known"), "{}", told.note);
        assert_eq!(rotations(&journal).await.len(), 0);

        // By the secret itself, of a version that no rotation has touched yet.
        let numbers = take(desk, 2, incoming(Vec::new(), &[&leaked])).await;
        assert_eq!(take(desk, 2, incoming(Vec::new(), &[&leaked])).await, Vec::<u64>::new(), "a delivery counts once");
        let (rotation, ending) = end(desk, &journal).await;
        assert_eq!(ending, Ending::Done);
        assert!(rotation.is_leak() && rotation.plan.playbook.name == "leak");
        let closed = alert(&daemon, &journal, numbers[0], AlertState::Closed).await;
        assert_eq!(closed.rotation.as_ref(), Some(&rotation.id));
        assert!(closed.note.contains("refused"), "{}", closed.note);
        assert_ne!(password(&house), leaked);
        let version = rotation.new_version().and_then(|v| v.id.clone()).expect("a new version");
        assert_eq!(house.world.unclean(Some(version.as_str())), Vec::<String>::new());

        // The same secret again, in another delivery: it is dead, and nothing is rotated.
        let again = take(desk, 3, incoming(Vec::new(), &[&leaked])).await;
        let dead = alert(&daemon, &journal, again[0], AlertState::Closed).await;
        assert!(dead.note.starts_with("dead: "), "{}", dead.note);
        assert_eq!(rotations(&journal).await.len(), 1);

        // The new one is known by its plain hashes and its id, without a look at any entry.
        for mark in
            [handover::marks::of_leaked(&Secret::new(password(&house))).text(), Mark::KeyId(version.to_string()).text()]
        {
            assert!(!journal.bearers(&mark).await.expect("it reads").is_empty(), "{mark}");
        }
        daemon.stop().await;
        assert!(!exists(&house.socket()), "the socket goes with the daemon");
        let everything = std::fs::read(house.state.join("journal.db")).expect("the journal");
        assert!(!everything.windows(leaked.len()).any(|part| part == leaked.as_bytes()), "raw secrets are not kept");
    });
}

#[test]
fn a_leak_of_what_is_being_rotated_is_told_to_that_rotation() {
    let house = House::new();
    run(async {
        let (daemon, journal) = house.daemon().await;
        let leaked = password(&house);
        let begin = handover::daemon::Begin {
            credential: CredentialName::new("newsletter").expect("a name"),
            playbook: "drill".to_owned(),
            plan: None,
            by: "a test".to_owned(),
            reason: None,
            trigger: None,
            time_scale: 1,
            replaces: None,
        };
        let id = daemon.crew.begin(&begin).await.expect("it begins");
        let numbers = take(&daemon.desk, 1, incoming(Vec::new(), &[&leaked])).await;
        let (rotation, ending) = end(&daemon.desk, &journal).await;
        assert_eq!((&rotation.id, ending), (&id, Ending::Done));
        assert!(rotation.old().compromised, "it was told");
        alert(&daemon, &journal, numbers[0], AlertState::Closed).await;
        assert_eq!(rotations(&journal).await.len(), 1, "no second one was begun");
        let version = rotation.new_version().and_then(|v| v.id.clone()).expect("a new version");
        assert_eq!(house.world.unclean(Some(version.as_str())), Vec::<String>::new());
        daemon.stop().await;
    });
}

#[test]
fn a_version_that_lives_and_is_not_current_is_never_called_contained_and_one_look_makes_none_dead() {
    let house = House::new();
    run(async {
        let (daemon, journal) = house.daemon().await;
        let inventory = load_inventory(&house.inventory(), &Registry).expect("an inventory");
        let name = CredentialName::new("newsletter").expect("a name");
        let ports = Registry.ports(&inventory, &name).expect("adapters");
        let tag = Tag::of(&RotationId::new("somebody-elses-0001").expect("an id"), Slot(1));
        let Outcome::Done(made) = ports.provider.create(&ports.account, &tag, None).await else { panic!("it is made") };
        let mark = Mark::KeyId(made.id.to_string());
        journal.stock("newsletter", made.id.as_str(), vec![mark.text()], 1).await.expect("it is known");
        let before = password(&house);

        let numbers = take(&daemon.desk, 1, incoming(vec![mark], &[])).await;
        let open = until("the refusal", || async {
            let all = journal.alerts(None, 10).await.expect("they are there");
            all.into_iter().find(|alert| alert.number == numbers[0] && alert.note.starts_with("NOT CONTAINED"))
        })
        .await;
        assert_eq!(open.state, AlertState::New);
        assert!(open.note.contains(made.id.as_str()) && open.note.contains("is not the current one"), "{}", open.note);
        assert_eq!(rotations(&journal).await.len(), 0, "the current one is left alone");
        assert_eq!(password(&house), before);

        // A person revokes it: one list without it is not enough (S9), the second is.
        let gone = ports.provider.delete(&ports.account, &made.id).await;
        assert!(matches!(gone, Outcome::Done(())), "it is revoked");
        until("the second look", || async {
            let all = journal.alerts(None, 10).await.expect("they are there");
            let alert = all.into_iter().find(|alert| alert.number == numbers[0])?;
            alert.note.contains("looked at again after").then_some(())
        })
        .await;
        let closed = alert(&daemon, &journal, numbers[0], AlertState::Closed).await;
        assert!(closed.note.starts_with("dead: ") && closed.note.contains("has not listed it for"), "{}", closed.note);
        daemon.stop().await;
    });
}

#[test]
fn a_rotation_that_its_own_process_has_let_fall_is_taken_up_again() {
    let house = House::new();
    run(async {
        let (daemon, journal) = house.daemon().await;
        let desk = &daemon.desk;
        let name = CredentialName::new("newsletter").expect("a name");
        let Ok((prepared, ports)) = desk.plan(&name, "drill", 8, None).await else { panic!("it can be planned") };
        let who = Who { by: "a test".to_owned(), reason: None, trigger: None };
        // As when the answer to the first row is lost: it is there, this process holds it, and nobody runs it.
        drop(desk.engine.begin(prepared.plan, ports, prepared.old, &who).await.expect("it begins"));
        let (_, ending) = end(desk, &journal).await;
        assert_eq!(ending, Ending::Done);
        daemon.stop().await;
    });
}

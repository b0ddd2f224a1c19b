//! Files that change while rotations are under way: these keep what they began with.

use handover::engine::Request;
use handover::journal::Journal as _;
use handover_rotation::event::Ending;
use handover_rotation::playbook::Step;

use super::{House, end, run, until};

#[test]
fn a_rotation_under_way_keeps_the_files_that_it_began_with() {
    let house = House::new();
    let playbooks = house.world.dir().join("playbooks");
    let drill = std::fs::read_to_string(playbooks.join("drill.yaml")).expect("a playbook");
    let gated = drill.replacen("name: drill", "name: gated", 1).replacen(
        "  - deactivate\n",
        "  - approve: {by: ops@example.com, within: 4h}\n  - deactivate\n",
        1,
    );
    std::fs::write(playbooks.join("gated.yaml"), gated).expect("it writes");
    run(async {
        let (daemon, journal) = house.daemon().await;
        let begin = handover::daemon::Begin {
            credential: handover_rotation::name::CredentialName::new("newsletter").expect("a name"),
            playbook: "gated".to_owned(),
            plan: None,
            by: "a test".to_owned(),
            reason: None,
            trigger: None,
            time_scale: 8,
            replaces: None,
        };
        let id = daemon.crew.begin(&begin).await.expect("it begins");
        // It rests at its gate, and nobody holds it.
        until("the gate", || async {
            let rotation = daemon.desk.rotation(&id).await.expect("it folds");
            let waits = matches!(rotation.current_step(), Some(Step::Approve { .. })) && rotation.step_started.is_some();
            (waits && !daemon.crew.runs(&id)).then_some(())
        })
        .await;
        // Now the credential is another one by the files, and the playbook is gone.
        let text = std::fs::read_to_string(house.inventory()).expect("it reads");
        let at = text.find("    probe: {from: ").expect("a probe") + "    probe: {from: ".len();
        let text = format!("{}other-{}", &text[..at], &text[at..]);
        std::fs::write(house.inventory(), text).expect("it writes");
        std::fs::remove_file(playbooks.join("gated.yaml")).expect("it goes");
        let generation = daemon.desk.reload().await.expect("good files");
        assert!(generation > 0);
        let rotation = daemon.desk.rotation(&id).await.expect("it folds");
        let approve = Request::Approve { step: rotation.step, by: "a test".to_owned() };
        journal.post(&id, &serde_json::to_string(&approve).expect("JSON")).await.expect("it is left");
        daemon.crew.nudge();
        let (ended, ending) = end(&daemon.desk, &journal).await;
        assert_eq!((&ended.id, ending), (&id, Ending::Done));
        // The next one goes by the new files.
        let begin = handover::daemon::Begin { playbook: "drill".to_owned(), ..begin };
        let next = daemon.crew.begin(&begin).await.expect("it begins");
        let next = daemon.desk.rotation(&next).await.expect("it folds");
        assert_ne!(next.plan.bindings.evidence, ended.plan.bindings.evidence);
        daemon.stop().await;
    });
}

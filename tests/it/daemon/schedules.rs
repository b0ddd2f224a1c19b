//! Times that come: each begins one rotation, in the zone of its schedule, however often the daemon is started.

use handover::journal::Register;

use super::{House, rotations, run, until};

/// 2026-11-30T02:59:58+01:00, a Monday.
const BEFORE: u64 = 1_796_003_998_000;
const DAY: u64 = 86_400_000;

#[test]
fn s15_a_time_that_has_come_begins_one_rotation_however_often_the_daemon_is_started() {
    let house = House::new();
    house.add("    schedule: {playbook: drill, cron: \"0 3 * * *\", timezone: Europe/Berlin}\n");
    house.wall.set(BEFORE);
    run(async {
        let (daemon, journal) = house.daemon().await;
        let begun = until("the rotation of three o'clock", || async { rotations(&journal).await.into_iter().next() }).await;
        daemon.stop().await;
        let ticks = journal.last_ticks().await.expect("they are there");
        assert_eq!(ticks.len(), 1);
        assert_eq!(ticks[0].at_ms, BEFORE + 2000);
        assert_eq!(ticks[0].rotation.as_ref(), Some(&begun.id));
        drop(journal);

        // Started again and again within that minute, with the clock set back as well: nothing more begins, and the rotation that
        // was stopped is gone on with.
        for wall in [BEFORE + 3000, BEFORE, BEFORE - 60_000] {
            house.wall.set(wall);
            let (daemon, journal) = house.daemon().await;
            until("the adoption", || async { daemon.crew.runs(&begun.id).then_some(()) }).await;
            assert_eq!(rotations(&journal).await.len(), 1);
            daemon.stop().await;
        }
    });
}

/// Whether the daemon has taken notice of a schedule.
fn seen(house: &House) -> bool {
    let journal = rusqlite::Connection::open(house.state.join("journal.db")).expect("the journal");
    journal.query_row("SELECT count(*) FROM rules", [], |row| row.get::<_, i64>(0)).expect("a number") > 0
}

#[test]
fn l8_times_that_were_missed_are_caught_up_once() {
    let house = House::new();
    house.add("    schedule: {playbook: drill, cron: \"0 3 * * *\", timezone: Europe/Berlin}\n");
    house.wall.set(BEFORE - DAY);
    run(async {
        // The daemon sees the schedule for the first time, and is then away for five days.
        let (daemon, journal) = house.daemon().await;
        until("the schedule", || async { seen(&house).then_some(()) }).await;
        daemon.stop().await;
        drop(journal);
        house.wall.set(BEFORE + 5 * DAY + 7_200_000);
        let (daemon, journal) = house.daemon().await;
        until("the rotation that makes up for it", || async { rotations(&journal).await.into_iter().next() }).await;
        // What is due again would be so at the next look already, which comes every second.
        until("two looks", || async { (house.wall.now() > BEFORE + 5 * DAY + 7_202_500).then_some(()) }).await;
        daemon.stop().await;
        assert_eq!(rotations(&journal).await.len(), 1, "one for all of them");
        let ticks = journal.last_ticks().await.expect("they are there");
        assert_eq!(ticks[0].at_ms, BEFORE + 2000 + 5 * DAY, "it stands for the last of them");
    });
}

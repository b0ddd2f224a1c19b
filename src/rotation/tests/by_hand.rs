//! Shape D: a person makes and revokes. Nothing is listed, only what is asked for is taken, and a word that proves wrong is
//! asked for again.

use handover_rotation::command::{Command, Fact};
use handover_rotation::decide::Wanted;
use handover_rotation::event::{Ending, Event};
use handover_rotation::model::{Answer, Run, Turn};
use handover_rotation::name::{Fingerprint, Slot};
use handover_rotation::plan::{Plan, Shape};
use handover_rotation::state::{Live, Phase};
use handover_rotation::time::Span;

use crate::world::plans::{PLAYBOOKS, SHAPES, plan};
use crate::world::{check_end, id, user};

const DISABLE: Command = Command::Disable(Slot::OLD);
const ENABLE: Command = Command::Enable(Slot::OLD);
const DELETE_NEW: Command = Command::Delete(Slot(1));

/// A run with its person, who first only says that they did some things.
pub(crate) struct Relay {
    pub(crate) run: Run,
    /// What was asked, in order.
    pub(crate) asked: Vec<Command>,
    /// What the person will only say.
    pub(crate) lies: Vec<Command>,
    lists: usize,
}

impl Relay {
    fn new(playbook: &str, lies: &[Command]) -> Self {
        Self::of(&plan(playbook, Shape::Manual), lies)
    }

    pub(crate) fn of(plan: &Plan, lies: &[Command]) -> Self {
        let run = Run::begin(plan).expect("it begins");
        Self { run, asked: Vec::new(), lies: lies.to_vec(), lists: 0 }
    }

    /// Goes on until it rests, or until `stop` is asked for.
    pub(crate) fn until(&mut self, stop: Option<&Command>) -> Phase {
        for _ in 0..5000 {
            let turn = self.run.go();
            assert_eq!(self.run.wrong(), Vec::<String>::new());
            match turn {
                Turn::Busy => {
                    self.lists += usize::from(self.run.calls[0].command == Command::ListVersions);
                    self.run.answer(0, Answer::Well);
                }
                Turn::Wait { person: Some(Wanted::Task(command)), .. } => {
                    if stop == Some(&command) {
                        return self.run.r.phase;
                    }
                    let lie = self.lies.iter().position(|c| *c == command).map(|at| self.lies.remove(at));
                    self.asked.push(command.clone());
                    assert!(self.run.person_acts(&Wanted::Task(command), lie.is_none()));
                }
                Turn::Wait { until, .. } => self.run.wait(until.expect("a time to wait for")),
                _ => return self.run.r.phase,
            }
        }
        panic!("it does not rest: asked {:?}", self.asked);
    }

    pub(crate) fn abort(&mut self) {
        self.run.tell(&Event::AbortRequested { by: "test".into(), reason: None }).expect("there is a way back");
    }
}

#[test]
fn a_person_is_asked_for_exactly_what_the_provider_would_be_called_for_and_nothing_is_listed() {
    for name in PLAYBOOKS {
        let mut relay = Relay::new(name, &[]);
        assert_eq!(relay.until(None), Phase::Ended(Ending::Done), "{name}: {:?}", relay.run.r.failure);
        let shut_out_first = name == "emergency";
        let make = Command::Create(Slot(1));
        let both = if shut_out_first { [DISABLE, make] } else { [make, DISABLE] };
        let want: Vec<Command> = both.into_iter().chain([Command::Delete(Slot::OLD)]).collect();
        assert_eq!(relay.asked, want, "{name}");
        assert_eq!(relay.lists, 0, "{name}: there is no API to list with");
        check_end(&relay.run.world, &relay.run.r);
    }
}

#[test]
fn who_says_too_early_that_the_old_one_is_disabled_is_asked_again() {
    for name in PLAYBOOKS {
        let mut relay = Relay::new(name, &[DISABLE, DISABLE]);
        assert_eq!(relay.until(None), Phase::Ended(Ending::Done), "{name}: {:?}", relay.run.r.failure);
        assert_eq!(relay.asked.iter().filter(|c| **c == DISABLE).count(), 3, "{name}: {:?}", relay.asked);
        assert!(!relay.run.world.accepted(&id("v0")), "{name}");
        check_end(&relay.run.world, &relay.run.r);
    }
}

#[test]
fn a_leak_that_a_person_only_says_is_shut_out_is_still_to_be_contained() {
    let make = Command::Create(Slot(1));
    let mut relay = Relay::new("emergency", &[DISABLE]);
    assert_eq!(relay.until(Some(&make)), Phase::Forward);
    assert_eq!((relay.run.r.old().live, &relay.asked[..]), (Live::Inactive, &[DISABLE][..]), "so they said");
    assert!(relay.run.r.must_contain(), "and the server accepts it still");
    // Once it has had its time, that comes before everything else.
    relay.run.wait(relay.run.now.after(Span::seconds(60)));
    relay.until(Some(&DISABLE));
    assert_eq!(relay.asked, [DISABLE]);
    assert_eq!(relay.until(None), Phase::Ended(Ending::Done), "{:?}", relay.run.r.failure);
    assert_eq!(relay.asked, [DISABLE, DISABLE, make, Command::Delete(Slot::OLD)]);
}

#[test]
fn on_the_way_back_a_persons_word_is_checked_too() {
    let mut relay = Relay::new("scheduled", &[ENABLE, DELETE_NEW]);
    assert_eq!(relay.until(Some(&Command::Delete(Slot::OLD))), Phase::Forward);
    relay.asked.clear();
    relay.abort();
    let held = relay.run.world.entries.clone();
    // Nothing is moved to a version that is only said to be enabled.
    assert_eq!(relay.until(Some(&ENABLE)), Phase::RollingBack);
    assert!(relay.run.person_acts(&Wanted::Task(ENABLE), false));
    relay.lies.retain(|c| *c != ENABLE);
    assert_eq!(relay.until(Some(&ENABLE)), Phase::RollingBack);
    assert_eq!(relay.run.world.entries, held);
    assert_eq!(relay.until(None), Phase::Ended(Ending::RolledBack), "{:?}", relay.run.r.failure);
    assert_eq!(relay.asked, [ENABLE, DELETE_NEW, DELETE_NEW]);
    check_end(&relay.run.world, &relay.run.r);
}

/// The old one is gone for good, whatever is said of it: there is a way on, and it is forward.
#[test]
fn an_old_version_that_is_never_accepted_again_is_no_dead_end() {
    // Of what is gone a person can only say that it is.
    let mut relay = Relay::new("scheduled", &[]);
    assert_eq!(relay.until(Some(&Command::Delete(Slot::OLD))), Phase::Forward);
    relay.lies = vec![DISABLE, Command::Delete(Slot::OLD)];
    relay.run.world.meddled = true;
    relay.run.world.versions.remove(&id("v0")).expect("the old version");
    relay.abort();
    for said in 0.. {
        assert!(said < 20, "it is asked for for ever");
        if relay.until(Some(&ENABLE)) != Phase::RollingBack {
            break;
        }
        assert!(relay.run.person_acts(&Wanted::Task(ENABLE), false));
    }
    assert!(matches!(relay.run.r.phase, Phase::Stuck { rolling_back: true }), "{:?}", relay.run.r.phase);
    assert!(relay.run.todo.iter().any(|line| line.contains("goes forward")), "{:?}", relay.run.todo);
    relay.run.tell(&Event::Resumed { by: "someone".into() }).expect("it is stuck");
    assert_eq!(relay.until(None), Phase::Ended(Ending::Done), "{:?}", relay.run.r.failure);
}

#[test]
fn a_new_version_that_someone_takes_away_is_not_called_done() {
    for name in PLAYBOOKS {
        for (asked, way_back) in [(DISABLE, name != "leak"), (Command::Delete(Slot::OLD), false)] {
            if name == "emergency" && asked == DISABLE {
                continue;
            }
            let mut relay = Relay::new(name, &[]);
            relay.until(Some(&asked));
            relay.run.world.meddled = true;
            let new = relay.run.r.new_version().and_then(|v| v.id.clone()).expect("a new version");
            relay.run.world.versions.remove(&new);
            let phase = relay.until(None);
            let case = format!("{name}, while it asks for `{asked}`: {phase:?} {:?}", relay.run.r.failure);
            match phase {
                Phase::Ended(Ending::RolledBack) => assert!(way_back, "{case}"),
                Phase::Stuck { .. } => assert!(!way_back, "{case}"),
                _ => panic!("{case}"),
            }
        }
    }
}

fn supplied(slot: Slot, name: &str) -> Event {
    let fingerprint = Fingerprint::new("f").expect("a fingerprint");
    Event::Supplied { slot, fact: Fact::Created { id: id(name), username: user(name), fingerprint }, by: None }
}

#[test]
fn only_a_version_that_is_asked_for_is_taken_and_only_once() {
    let mut relay = Relay::new("scheduled", &[]);
    relay.run.tell(&supplied(Slot(1), "early")).expect_err("it has not asked yet");
    relay.until(Some(&Command::Create(Slot(1))));
    relay.run.tell(&supplied(Slot(2), "x")).expect_err("another slot");
    relay.run.tell(&supplied(Slot::OLD, "x")).expect_err("the old one is there");
    assert!(relay.run.person_acts(&Wanted::Task(Command::Create(Slot(1))), true));
    let first = relay.run.r.clone();
    relay.run.tell(&supplied(Slot(1), "second")).expect_err("there is one already");
    assert_eq!(relay.run.r, first, "and it is still that one");
}

#[test]
fn a_persons_word_counts_only_where_a_person_does_it() {
    let task = |command: &Command| Event::TaskDone { command: command.clone(), by: "test".into() };
    for shape in SHAPES {
        let mut run = Run::begin(&plan("scheduled", shape)).expect("it begins");
        run.go();
        for command in [DISABLE, Command::Delete(Slot::OLD)] {
            run.tell(&task(&command)).expect_err("the provider is called for it");
        }
        run.tell(&supplied(Slot(1), "x")).expect_err("the provider makes it");
    }
    let mut relay = Relay::new("scheduled", &[]);
    relay.until(Some(&Command::Create(Slot(1))));
    for command in [DELETE_NEW, Command::Create(Slot(1)), Command::CheckHost] {
        relay.run.tell(&task(&command)).expect_err("there is nothing to do it to");
    }
}

//! The machine explored by a model checker: every order of what may happen to it, within a budget of faults.
//!
//! The state is a [`Run`]: what is true, what the journal says, what is under way, and what earlier owners have left in the air.
//! Owners are replicas of which one holds the rotation: one that dies or is paused leaves its calls behind, and whoever claims
//! it next is another. A paused one can write nothing more (the journal compares epochs), so all it still is are those calls.
//!
//! From the beginning, two things that go wrong are soon too many orders to come far. So they are tried once more from every
//! state of a run in which nothing goes wrong ([`Way`]): whatever is near each other, anywhere on the way, forth and back.

mod actions;
mod story;
mod way;

use std::sync::Arc;
use std::time::Duration;

use handover_rotation::event::Ending;
use handover_rotation::model::Run;
use handover_rotation::plan::{Plan, Shape};
use handover_rotation::playbook::Step;
use handover_rotation::state::{Live, Phase};
use handover_rotation::time::Span;
use stateright::{Checker, HasDiscoveries, Model, Property};

use self::actions::{Action, State};
use self::story::story;
pub(crate) use self::way::Way;
use crate::world::plans::{PLAYBOOKS, entry, plan, plan_by_hand, service};

/// What may go wrong in one run, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// Calls that are not answered as they should be, or out of order.
    pub(crate) faults: u8,
    /// Owners that die or are paused.
    pub(crate) crashes: u8,
    /// Things that people and attackers do.
    pub(crate) outside: u8,
    /// All of these together.
    pub(crate) total: u8,
}

impl Budget {
    /// Nothing more than the world is sick from the start.
    #[cfg(feature = "mutants")]
    pub(crate) const NONE: Self = Self { faults: 0, crashes: 0, outside: 0, total: 0 };
    pub(crate) const ONE: Self = Self { faults: 1, crashes: 1, outside: 1, total: 1 };
    pub(crate) const TWO: Self = Self { faults: 2, crashes: 2, outside: 2, total: 2 };
}

/// The machine under one plan: from its beginning, in worlds that are sick from the start or not, or from anywhere on a way.
pub(crate) struct Explorer {
    pub(crate) plan: Plan,
    pub(crate) budget: Budget,
    /// Every how many-th state a fresh owner is tried from.
    pub(crate) fresh_owners: u64,
    pub(crate) way: Option<Way>,
}

impl Explorer {
    fn begin(&self) -> Vec<Run> {
        let sound = Run::begin(&self.plan).expect("a plan that can begin");
        let sick = |mend: fn(&mut Run)| {
            let mut run = sound.clone();
            mend(&mut run);
            run
        };
        vec![
            sick(|r| r.world.ignores_reload = true),
            sick(|r| r.world.deaf = Some(service("api-production"))),
            sick(|r| r.world.full = Some(entry("production"))),
            sick(|r| r.world.only_old_sends = true),
            sick(|r| r.world.weather = true),
            sick(|r| r.world.spreads_in = Span::seconds(9)),
            sound,
        ]
    }
}

macro_rules! rules {
    ($($rule:literal),*) => {
        vec![$(Property::always($rule, |_: &Explorer, s: &State| {
            !s.run.wrong().iter().any(|w| w.starts_with(concat!($rule, ":")) || w.contains(concat!(": ", $rule, ":")))
        })),*]
    };
}

impl Model for Explorer {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        match &self.way {
            Some(way) => way.starts().collect(),
            None => self.begin().into_iter().map(|run| State::new(run, self.budget)).collect(),
        }
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        state.actions(actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        last.after(action)
    }

    /// A world that stays sick is tried for ever: an hour and a half after the last wait nothing new happens.
    fn within_boundary(&self, state: &State) -> bool {
        let waits = self.plan.playbook.steps.iter().map(|step| match step {
            Step::Soak { lasting } | Step::Watch { lasting } | Step::Approve { within: lasting, .. } => lasting.0,
            _ => 0,
        });
        state.run.now.since(state.run.r.started_at) < Span(waits.sum::<u64>() + Span::minutes(90).0)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = rules![
            "P", "S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "S9", "S10", "S11", "S12", "S16", "S17", "S18", "S19",
            "S29", "L1", "L2", "L3", "L5", "L7", "L9"
        ];
        all.extend([
            Property::always("what the machine asks for is legal", |_, s: &State| {
                !s.run.wrong().iter().any(|w| w.contains("is illegal"))
            }),
            Property::always("a fresh owner without faults ends it", |m: &Self, s: &State| {
                s.ends_with_a_fresh_owner(m.fresh_owners)
            }),
            Property::always("it ends by itself when no more goes wrong", |m: &Self, s: &State| {
                m.way.is_none() || s.left.total > 0 || s.ends_by_itself(m.fresh_owners)
            }),
            Property::sometimes("done", |_, s: &State| s.run.r.phase == Phase::Ended(Ending::Done)),
            Property::sometimes("a call of an earlier owner is in the air", |_, s: &State| !s.run.late.is_empty()),
            Property::sometimes("a version is in doubt", |_, s: &State| {
                s.run.r.versions.values().any(|v| v.live == Live::Doubt)
            }),
        ]);
        if !self.plan.compromised {
            all.extend([
                Property::sometimes("rolled back", |_, s: &State| s.run.r.phase == Phase::Ended(Ending::RolledBack)),
                Property::sometimes("refused", |_, s: &State| s.run.r.phase == Phase::Ended(Ending::Refused)),
                Property::sometimes("a second version was made", |_, s: &State| s.run.world.created > 1),
            ]);
        }
        if self.plan.compromised {
            all.push(Property::sometimes("containment begins", |_, s: &State| s.run.r.containing));
        }
        all.push(Property::sometimes("stuck", |_, s: &State| matches!(s.run.r.phase, Phase::Stuck { .. })));
        all
    }
}

/// How far one exploration came.
#[derive(Clone, Debug)]
pub(crate) struct Explored {
    pub(crate) states: usize,
    pub(crate) depth: usize,
    /// The rule that was broken and the shortest way there, as a story.
    pub(crate) broken: Option<(String, String)>,
    pub(crate) missed: Vec<&'static str>,
    pub(crate) complete: bool,
}

/// Explores breadth first, so that the first way to a broken rule is a shortest one.
pub(crate) fn explore(explorer: Explorer, most: usize, within: Duration, threads: usize) -> Explored {
    let began = std::time::Instant::now();
    let properties = explorer.properties();
    let plan = Arc::new(explorer.plan.clone());
    let way = explorer.way.clone();
    let checker = explorer
        .checker()
        .threads(threads)
        .target_state_count(most)
        .timeout(within)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let discoveries = checker.discoveries();
    let broken = properties.iter().filter(|p| p.discovery_is_failure_kind()).find_map(|p| {
        let path = discoveries.get(p.name)?;
        let path = path.clone().into_vec();
        let before = way.as_ref().map_or_else(String::new, |way| way.before(&path[0].0));
        Some((p.name.to_owned(), before + &story(&plan, p.name, path)))
    });
    let missed: Vec<_> = properties
        .iter()
        .filter(|p| !p.discovery_is_failure_kind())
        .map(|p| p.name)
        .filter(|n| !discoveries.contains_key(n))
        .collect();
    Explored {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        broken,
        missed,
        complete: checker.state_count() < most && began.elapsed() < within,
    }
}

trait Kind {
    fn discovery_is_failure_kind(&self) -> bool;
}

impl Kind for Property<Explorer> {
    fn discovery_is_failure_kind(&self) -> bool {
        matches!(self.expectation, stateright::Expectation::Always)
    }
}

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(otherwise)
}

/// Explores one plan; what is found is told and fails.
fn sound(case: &str, plan: Plan, budget: Budget, most: usize, way: Option<Way>) -> Explored {
    let began = std::time::Instant::now();
    let starts = way.as_ref().map_or_else(String::new, |way| format!("from {} states {}: ", way.starts().count(), way.name));
    let explorer = Explorer { plan, budget, fresh_owners: number("HANDOVER_FRESH_OWNERS", 16) as u64, way };
    let explored = explore(explorer, most, Duration::from_secs(1800), number("HANDOVER_THREADS", 1));
    if let Some((rule, story)) = &explored.broken {
        panic!("{case} breaks {rule}:\n{story}");
    }
    println!("{case}: {starts}{} states, {} deep, {:.1?}", explored.states, explored.depth, began.elapsed());
    explored
}

/// Explores the shipped playbooks for one shape, each from its beginning.
fn from_the_beginning(shape: Shape, budget: Budget, most: usize, complete: bool) {
    let mut states = 0;
    for name in PLAYBOOKS {
        let explored = sound(&format!("{name} {shape:?}"), plan(name, shape), budget, most, None);
        let missed: Vec<_> = explored.missed.iter().filter(|m| !cannot_happen(shape, m)).collect();
        assert!(
            !complete || explored.complete && missed.is_empty(),
            "{name} {shape:?}: not everything was seen: {missed:?}"
        );
        states += explored.states;
    }
    println!("explored: {shape:?}, {} going wrong: {states} unique states", budget.total);
}

/// Explores the shipped playbooks for one shape, each from everywhere on its way, and on the way back. A drill goes the way of
/// `scheduled`.
fn on_the_way(shape: Shape, most: usize) {
    let mut states = 0;
    for name in PLAYBOOKS.into_iter().filter(|name| *name != "drill") {
        let plan = plan(name, shape);
        let ways = Way::all(&plan, Budget::TWO);
        assert_eq!(
            ways.len(),
            if plan.compromised { 1 } else { 2 },
            "{name} {shape:?}: there is a way back, but from a leak"
        );
        for way in ways {
            let explored = sound(&format!("{name} {shape:?}"), plan.clone(), Budget::TWO, most, Some(way));
            // Both, one right after the other, and what the machine answers.
            // Who asks for few states gets few.
            assert!(
                explored.depth > 3 || std::env::var_os("HANDOVER_STATES").is_some(),
                "{name} {shape:?}: only {} deep",
                explored.depth
            );
            states += explored.states;
        }
    }
    println!("explored on the way: {shape:?}, 2 going wrong: {states} unique states");
}

/// A person's doubts are not the machine's: shape D has no calls that change versions.
fn cannot_happen(shape: Shape, what: &str) -> bool {
    shape == Shape::Manual && ["a version is in doubt", "a second version was made"].contains(&what)
}

macro_rules! explorations {
    ($($one:ident, $two:ident, $way:ident, $shape:expr;)*) => {$(
        #[test]
        fn $one() {
            from_the_beginning($shape, Budget::ONE, usize::MAX, true);
        }

        #[test]
        fn $two() {
            from_the_beginning($shape, Budget::TWO, number("HANDOVER_STATES", 40_000), false);
        }

        #[test]
        fn $way() {
            on_the_way($shape, number("HANDOVER_STATES", 90_000));
        }
    )*};
}

explorations! {
    one_thing_goes_wrong_where_disabling_is_reversible, two_things_go_wrong_where_disabling_is_reversible,
        two_things_go_wrong_on_the_way_where_disabling_is_reversible, Shape::Reversible;
    one_thing_goes_wrong_where_versions_are_only_deleted, two_things_go_wrong_where_versions_are_only_deleted,
        two_things_go_wrong_on_the_way_where_versions_are_only_deleted, Shape::DeleteOnly;
    one_thing_goes_wrong_with_two_accounts_in_turn, two_things_go_wrong_with_two_accounts_in_turn,
        two_things_go_wrong_on_the_way_with_two_accounts_in_turn, Shape::Alternating;
    one_thing_goes_wrong_in_place, two_things_go_wrong_in_place, two_things_go_wrong_on_the_way_in_place, Shape::InPlace;
    one_thing_goes_wrong_where_a_person_does_it, two_things_go_wrong_where_a_person_does_it,
        two_things_go_wrong_on_the_way_where_a_person_does_it, Shape::Manual;
}

/// One service of the two is restarted by a person, who may only say so or take their time.
#[test]
fn one_thing_goes_wrong_where_a_person_restarts_a_service() {
    for name in ["scheduled", "leak"] {
        let plan = plan_by_hand(name, Shape::Reversible, &["production"]);
        let explored = sound(&format!("{name} by hand"), plan, Budget::ONE, usize::MAX, None);
        assert!(explored.complete && explored.missed.is_empty(), "{name}: not everything was seen: {:?}", explored.missed);
    }
}

#[test]
fn two_things_go_wrong_on_the_way_where_a_person_restarts_a_service() {
    let plan = plan_by_hand("scheduled", Shape::Reversible, &["production"]);
    for way in Way::all(&plan, Budget::TWO) {
        sound("scheduled by hand", plan.clone(), Budget::TWO, number("HANDOVER_STATES", 20_000), Some(way));
    }
}

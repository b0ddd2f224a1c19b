//! The complete sweep: a scenario is played once and every boundary that it passes is numbered; then, for every boundary, every
//! place at it and everything that can strike there, it is played anew in a fresh world with exactly that, and recovered by
//! another process. The recovery of each kill is killed as well, at some of its own boundaries.
//!
//! `HANDOVER_POINT='forward 37:AfterEffect:Timeout 5'` plays one point and tells its story: the scenario, the strikes joined
//! by `+`, and the manner. `HANDOVER_SWEEP=leak,back` plays the scenarios whose names begin so; `HANDOVER_HARM=Kill` only what
//! kills; `HANDOVER_PAIRS=all` kills the recovery at each of its boundaries, `none` at none.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::play::{Played, act_out};
use super::rows::{KINDS, kind};
use super::scenario::{SCENARIOS, Scenario};
use super::script::{HARMS, Harm, Manner, Nature, PLACES, Passed, Place, Strike, impossible};

/// Every so many kills the recovery is killed as well, at one of its boundaries.
const EVERY: usize = 4;

/// One point: where it strikes, and how it is recovered from.
pub(crate) struct Point {
    scenario: &'static Scenario,
    /// The boundary as the faultless run passed it.
    name: String,
    nature: Nature,
    pub(crate) strikes: Vec<Strike>,
    manner: Manner,
}

impl Point {
    pub(crate) fn describe(&self) -> String {
        let strikes: Vec<String> = self.strikes.iter().map(Strike::to_string).collect();
        let Manner { elsewhere, late, dies } = self.manner;
        let manner = usize::from(elsewhere) | usize::from(late) << 1 | usize::from(dies) << 2;
        format!("{} {} {manner}", self.scenario.name, strikes.join("+"))
    }

    /// Whether it strikes a recovery too.
    fn is_second(&self) -> bool {
        matches!(self.strikes.as_slice(), [_, Strike { harm: Harm::Kill, .. }])
    }

    pub(crate) fn play(&self, loud: bool) -> Played {
        act_out(self.scenario.case(), self.scenario.script(self.strikes.clone(), self.manner), loud)
    }

    /// What is wrong with it, if anything is.
    fn judge(&self, played: &Played) -> Option<String> {
        if let Some(why) = &played.broken {
            return Some(why.clone());
        }
        let script = played.script.as_ref()?;
        if script.struck.len() != self.strikes.len() {
            return Some(format!("nothing was struck: of {} strikes the world saw {:?}", self.strikes.len(), script.struck));
        }
        let first = self.strikes.first().and_then(|s| script.passed.get(s.at));
        if first.is_none_or(|p| p.name != self.name) {
            return Some(format!("it went another way: `{}` was expected, and {first:?} was passed", self.name));
        }
        matches!(played.ending, "open" | "broken").then(|| format!("L1: it ended {}", played.ending))
    }
}

/// The boundaries that a scenario passes when nothing strikes.
///
/// # Errors
/// It does not go as it should, told as a story.
fn recorded(scenario: &'static Scenario) -> Result<Vec<Passed>, String> {
    let manner = scenario.manner.unwrap_or_default();
    let played = act_out(scenario.case(), scenario.script(Vec::new(), manner), false);
    let script = played.script.expect("the script");
    if played.broken.is_some() || played.ending != scenario.ending || !script.cues.is_empty() {
        let wrong = format!("ended {}, broken {:?}, never came to {:?}", played.ending, played.broken, script.cues);
        return Err(format!("{} by itself: {wrong}\n{}", scenario.name, played.story));
    }
    Ok(script.passed)
}

/// All points of a scenario.
fn points(scenario: &'static Scenario, passed: &[Passed]) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    let mut twice: Option<Point> = None;
    for (at, boundary) in passed.iter().enumerate().filter(|(_, p)| p.inside) {
        let (name, nature) = (boundary.name.clone(), boundary.nature);
        for (place, harm) in PLACES.into_iter().flat_map(|place| HARMS.map(|harm| (place, harm))) {
            if impossible(nature, place, harm).is_some() {
                continue;
            }
            let strike = Strike { at, place, harm };
            // Each manner comes as often as the others, at neighbours that are alike.
            let mut manner = Manner::number(at + 3 * place as usize + 5 * harm as usize);
            if let Some(fixed) = scenario.manner {
                manner = Manner { dies: manner.dies, ..fixed };
            }
            let point = |manner| Point { scenario, name: name.clone(), nature, strikes: vec![strike], manner };
            // The journal takes nothing twice, so that nothing comes of it: all of them are seen in one run.
            if matches!(nature, Nature::Commit | Nature::Intent) && harm == Harm::Duplicate && name != "claim" {
                match &mut twice {
                    Some(all) => all.strikes.push(strike),
                    None => twice = Some(point(Manner { dies: false, ..manner })),
                }
            } else {
                points.push(point(manner));
            }
        }
    }
    points.extend(twice);
    points
}

/// The scenario of that name as it goes by itself, for the breaks.
#[cfg(feature = "mutants")]
pub(crate) fn played(name: &str) -> Played {
    let scenario = SCENARIOS.iter().find(|s| s.name == name).expect("a scenario");
    act_out(scenario.case(), scenario.script(Vec::new(), scenario.manner.unwrap_or_default()), false)
}

/// The points of the scenario of that name, for the breaks.
#[cfg(feature = "mutants")]
pub(crate) fn points_of(name: &str) -> Vec<Point> {
    let scenario = SCENARIOS.iter().find(|s| s.name == name).expect("a scenario");
    points(scenario, &recorded(scenario).expect("it goes as it should"))
}

/// Which of the boundaries of a recovery are killed too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pairs {
    None,
    /// One, after some of the kills.
    Some,
    All,
}

impl Pairs {
    fn asked_for() -> Self {
        match std::env::var("HANDOVER_PAIRS").as_deref() {
            Ok("all") => Self::All,
            Ok("none") => Self::None,
            _ => Self::Some,
        }
    }
}

/// The points at which the recovery from a kill is killed: near its beginning more often than later.
fn seconds(point: &Point, played: &Played, pairs: Pairs) -> Vec<Point> {
    let ([first], Some(script)) = (point.strikes.as_slice(), &played.script) else { return Vec::new() };
    if first.harm != Harm::Kill {
        return Vec::new();
    }
    let of = script.passed.get(first.at).map_or(0, |p| p.process);
    let after: Vec<usize> = (first.at + 1..script.passed.len()).filter(|at| script.passed[*at].process > of).collect();
    let chosen = match pairs {
        Pairs::All => after,
        Pairs::Some if !after.is_empty() && (first.at + first.place as usize).is_multiple_of(EVERY) => {
            let spread = first.at.wrapping_mul(2_654_435_761) >> 7;
            let among = if spread.is_multiple_of(3) { after.len() } else { after.len().min(16) };
            vec![after[spread / 3 % among]]
        }
        _ => Vec::new(),
    };
    let again = |at: usize| {
        let nature = script.passed[at].nature;
        let places: Vec<Place> = PLACES.into_iter().filter(|p| impossible(nature, *p, Harm::Kill).is_none()).collect();
        let strike = Strike { at, place: places[at % places.len()], harm: Harm::Kill };
        Point {
            scenario: point.scenario,
            name: point.name.clone(),
            nature: point.nature,
            strikes: vec![*first, strike],
            manner: point.manner,
        }
    };
    chosen.into_iter().map(again).collect()
}

/// What one scenario came to.
#[derive(Default)]
struct Sum {
    points: usize,
    runs: usize,
    pairs: usize,
    violations: usize,
    endings: BTreeMap<&'static str, usize>,
}

/// What the sweep came to.
#[derive(Default)]
struct Tally {
    scenarios: BTreeMap<&'static str, Sum>,
    /// How often the world saw a harm strike at a kind of boundary.
    hits: BTreeMap<(Harm, Place), BTreeMap<String, usize>>,
    simulated: u64,
    broken: Vec<String>,
}

impl Tally {
    fn take(&mut self, point: &Point, played: &Played) {
        let sum = self.scenarios.entry(point.scenario.name).or_default();
        sum.runs += 1;
        if point.is_second() {
            sum.pairs += 1;
        } else {
            sum.points += point.strikes.len();
        }
        *sum.endings.entry(played.ending).or_default() += 1;
        self.simulated += played.simulated;
        if let Some(script) = &played.script {
            for strike in &script.struck {
                let at = script.passed.get(strike.at).map_or("?", |p| kind(&p.name));
                let hits = self.hits.entry((strike.harm, strike.place)).or_default();
                *hits.entry(at.to_owned()).or_default() += 1;
            }
        }
        if let Some(why) = point.judge(played) {
            sum.violations += 1;
            let point_is = point.describe();
            self.broken.push(format!(
                "{point_is} (`{}`): {why}\n{}\n{}replay: HANDOVER_POINT='{point_is}' cargo nextest run --locked --workspace \
                 --features crash-points --no-capture -E 'test(simulation::sweep::one_point)'\n",
                point.name, played.case, played.story
            ));
        }
    }

    fn print(&self, began: Instant) {
        println!("{:24} {:>7} {:>7} {:>10}  endings", "scenario", "points", "twice", "violations");
        for (name, sum) in &self.scenarios {
            let endings: Vec<String> = sum.endings.iter().map(|(k, n)| format!("{k} {n}")).collect();
            println!("{name:24} {:>7} {:>7} {:>10}  {}", sum.points, sum.pairs, sum.violations, endings.join(", "));
        }
        println!("strikes that the world saw, by kind of boundary:");
        for ((harm, place), kinds) in &self.hits {
            let all: usize = kinds.values().sum();
            let kinds: Vec<String> = kinds.iter().map(|(k, n)| format!("{k} {n}")).collect();
            println!("  {:20} {all:>6}: {}", format!("{harm:?} {place:?}"), kinds.join(", "));
        }
        let of = |number: fn(&Sum) -> usize| self.scenarios.values().map(number).sum::<usize>();
        println!(
            "{} points, {} runs of which {} with a second kill, {} violations, {:.0} days simulated in {:.0} s",
            of(|s| s.points),
            of(|s| s.runs),
            of(|s| s.pairs),
            self.broken.len(),
            self.simulated as f64 / 86_400_000.0,
            began.elapsed().as_secs_f64()
        );
    }
}

/// How many boundaries of each kind each scenario passes where it is swept, and how many points that makes.
fn table(recordings: &Recordings) -> String {
    let mut text = String::new();
    for (scenario, passed) in recordings {
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for boundary in passed.iter().filter(|p| p.inside) {
            *kinds.entry(kind(&boundary.name)).or_default() += 1;
        }
        let of = kinds.values().sum::<usize>();
        let points: usize = points(scenario, passed).iter().map(|p| p.strikes.len()).sum();
        let _ = writeln!(text, "{}: {of} boundaries, {points} points", scenario.name);
        for (kind, count) in kinds {
            let _ = writeln!(text, "  {kind} {count}");
        }
    }
    text
}

fn work(queue: &[Point], pairs: Pairs) -> Tally {
    let next = AtomicUsize::new(0);
    let tally = Mutex::new(Tally::default());
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get().min(8));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(point) = queue.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if tally.lock().expect("no panic").broken.len() > 4 {
                        return;
                    }
                    let played = point.play(false);
                    let again: Vec<(Point, Played)> = seconds(point, &played, pairs)
                        .into_iter()
                        .map(|second| {
                            let played = second.play(false);
                            (second, played)
                        })
                        .collect();
                    let mut tally = tally.lock().expect("no panic");
                    tally.take(point, &played);
                    again.iter().for_each(|(point, played)| tally.take(point, played));
                }
            });
        }
    });
    tally.into_inner().expect("no panic")
}

type Recordings = Vec<(&'static Scenario, Vec<Passed>)>;

fn recordings(wanted: impl Fn(&Scenario) -> bool) -> Recordings {
    let all = SCENARIOS.iter().filter(|s| wanted(s)).map(|s| recorded(s).map(|passed| (s, passed)));
    let (sound, wrong): (Vec<_>, Vec<_>) = all.partition(Result::is_ok);
    let wrong: Vec<String> = wrong.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    sound.into_iter().flatten().collect()
}

/// A call outside that is new, or comes oftener than before, is swept only if this table says so.
#[test]
fn the_boundaries_of_every_scenario_are_those_of_the_table() {
    let recordings = recordings(|_| true);
    insta::with_settings!({
        description => "What the sweep strikes at. If calls were added or moved on purpose, renew it: INSTA_UPDATE=always cargo \
            nextest run --workspace --features crash-points -E 'test(those_of_the_table)', then read `git diff`.",
        omit_expression => true,
        prepend_module_to_snapshot => false,
    }, { insta::assert_snapshot!("boundaries", table(&recordings)) });
}

#[test]
fn every_point_of_every_scenario_is_survived() {
    let began = Instant::now();
    let only = std::env::var("HANDOVER_SWEEP").ok();
    let wanted = |s: &Scenario| only.as_ref().is_none_or(|o| o.split(',').any(|o| s.name.starts_with(o)));
    let recordings = recordings(wanted);
    let mut queue: Vec<Point> = recordings.iter().flat_map(|(s, passed)| points(s, passed)).collect();
    let harm = std::env::var("HANDOVER_HARM").ok();
    if let Some(harm) = &harm {
        queue.retain(|p| p.strikes.iter().all(|s| format!("{:?}", s.harm) == *harm));
    }
    assert!(!queue.is_empty(), "no scenario is called {only:?}");
    let tally = work(&queue, Pairs::asked_for());
    tally.print(began);
    assert!(tally.broken.is_empty(), "{}", tally.broken.join("\n\n"));
    if only.is_some() || harm.is_some() {
        return;
    }
    let played: usize = tally.scenarios.values().map(|s| s.points).sum();
    assert_eq!(played, queue.iter().map(|p| p.strikes.len()).sum::<usize>(), "every point was played");
    // Nothing passes for the wrong reason: each kind of boundary was struck by each harm that there is for it.
    for (kind_of, _) in KINDS {
        let nature = queue.iter().find(|p| kind(&p.name) == *kind_of).map(|p| p.nature);
        let nature = nature.unwrap_or_else(|| panic!("no scenario passes a boundary of the kind `{kind_of}`"));
        for place in PLACES {
            for harm in HARMS.into_iter().filter(|h| impossible(nature, place, *h).is_none()) {
                let seen = tally.hits.get(&(harm, place)).and_then(|kinds| kinds.get(*kind_of)).copied().unwrap_or_default();
                assert!(seen > 0, "{harm:?} {place:?} never struck at `{kind_of}`");
            }
        }
    }
}

/// One point by itself, told from its beginning to its end. Without `HANDOVER_POINT` it is one that loses an answer.
#[test]
fn one_point() {
    let told = std::env::var("HANDOVER_POINT").ok();
    let mut parts = told.as_deref().unwrap_or("forward 0:Before:Timeout 0").split(' ');
    let name = parts.next().unwrap_or_default();
    let scenario = SCENARIOS.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("no scenario is called {name}"));
    let strikes: Option<Vec<Strike>> = parts.next().map(|s| s.split('+').filter_map(Strike::parse).collect());
    let strikes = strikes.filter(|s| !s.is_empty()).expect("strikes as 37:AfterEffect:Timeout, joined by +");
    let manner = Manner::number(parts.next().and_then(|n| n.parse().ok()).unwrap_or_default());
    let passed = recorded(scenario).expect("it goes as it should");
    let boundary = passed.get(strikes[0].at).expect("a boundary of that number");
    let point = Point { scenario, name: boundary.name.clone(), nature: boundary.nature, strikes, manner };
    let played = point.play(told.is_some());
    println!("{} at `{}` ended {}", point.describe(), point.name, played.ending);
    let wrong = point.judge(&played);
    assert_eq!(wrong, None, "{}\n{}", played.case, played.story);
}

#[test]
fn what_is_impossible_is_said_to_be_so_for_each_kind() {
    use Nature::{Commit, Effect, Host, Intent, Look, Reading, Renewal};
    for nature in [Look, Effect, Host, Commit, Intent, Renewal, Reading] {
        let possible = |place| HARMS.into_iter().filter(|h| impossible(nature, place, *h).is_none()).count();
        assert!(possible(Place::Before) >= 2, "{nature:?}: nothing strikes before it");
        let kill = PLACES.into_iter().filter(|p| impossible(nature, *p, Harm::Kill).is_none()).count();
        assert_eq!(
            kill,
            match nature {
                Effect => 3,
                Look | Commit | Intent | Renewal => 2,
                Host | Reading => 1,
            },
            "{nature:?}"
        );
    }
}

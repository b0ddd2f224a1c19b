//! The tests: many seeds and their figures, some of them twice, and one seed by itself.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use chrono::{Offset as _, TimeZone as _};

use super::faults::Kind;
use super::play::{Played, play};

const SEEDS: u64 = 10_000;
const YEAR: f64 = 365.25 * 86_400_000.0;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What many seeds came to.
#[derive(Default)]
struct Sum {
    seeds: u64,
    twice: u64,
    simulated: f64,
    events: u64,
    calls: u64,
    rows: u64,
    hits: BTreeMap<Kind, u64>,
    endings: BTreeMap<&'static str, u64>,
    /// Runs over which civil time changed in Berlin, and in New York.
    changed: [u64; 2],
    broken: Vec<String>,
}

/// Whether civil time changed in a zone while it ran.
fn changed(zone: chrono_tz::Tz, played: &Played) -> bool {
    let offset = |at: i64| {
        let utc = chrono::DateTime::from_timestamp_millis(at).expect("a time").naive_utc();
        zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()
    };
    let end = played.wall.saturating_add_unsigned(played.simulated);
    offset(played.wall) != offset(end)
}

impl Sum {
    fn add(&mut self, played: &Played) {
        self.seeds += 1;
        self.simulated += played.simulated as f64;
        self.events += played.events;
        self.calls += played.calls;
        self.rows += played.rows;
        for (n, zone) in [chrono_tz::Europe::Berlin, chrono_tz::America::New_York].into_iter().enumerate() {
            self.changed[n] += u64::from(changed(zone, played));
        }
        *self.endings.entry(played.ending).or_default() += 1;
        for (kind, hits) in &played.hits {
            *self.hits.entry(*kind).or_default() += hits;
        }
    }

    fn print(&self, began: Instant) {
        let took = began.elapsed().as_secs_f64();
        println!("{} seeds in {took:.0} s, {} of them twice with the same trace", self.seeds, self.twice);
        let [berlin, york] = self.changed;
        let changes = format!("civil time changed in Berlin in {berlin} runs and in New York in {york}");
        println!("{:.1} years simulated; {changes}", self.simulated / YEAR);
        println!("{} events, {} calls outside, {} rows in the journal", self.events, self.calls, self.rows);
        let list = |(name, n): (String, &u64)| format!("{name} {n}");
        let endings: Vec<String> = self.endings.iter().map(|(k, n)| list(((*k).to_owned(), n))).collect();
        println!("endings: {}", endings.join(", "));
        let faults: Vec<String> = self.hits.iter().map(|(k, n)| list((format!("{k:?}"), n))).collect();
        println!("faults: {}", faults.join(", "));
    }
}

fn story(played: &Played, why: &str) -> String {
    format!(
        "seed {}: {why}\n{}\n{}replay: HANDOVER_SEED={} cargo nextest run --test it --no-capture simulation::replay::one_seed\n",
        played.seed, played.case, played.story, played.seed
    )
}

fn seeds(first: u64, count: u64) -> Sum {
    let next = AtomicU64::new(first);
    let sum = Mutex::new(Sum::default());
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get().min(8));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count || sum.lock().expect("no panic").broken.len() > 4 {
                        return;
                    }
                    let took = Instant::now();
                    let played = play(seed, true, false);
                    if took.elapsed().as_millis() > number("HANDOVER_SLOW").unwrap_or(5000).into() {
                        println!(
                            "seed {seed} took {:?}: {} h, {} calls, {}",
                            took.elapsed(),
                            played.simulated / 3_600_000,
                            played.calls,
                            played.ending
                        );
                    }
                    let again = (seed.is_multiple_of(100)).then(|| play(seed, true, false).trace);
                    let mut sum = sum.lock().expect("no panic");
                    sum.add(&played);
                    sum.twice += u64::from(again.is_some());
                    if let Some(why) = &played.broken {
                        sum.broken.push(story(&played, why));
                    }
                    if again.is_some_and(|trace| trace != played.trace) {
                        sum.broken.push(story(&played, "played twice, it went two ways"));
                    }
                }
            });
        }
    });
    sum.into_inner().expect("no panic")
}

#[test]
fn many_seeds_break_no_rule() {
    let began = Instant::now();
    let count = number("HANDOVER_SEEDS").unwrap_or(SEEDS);
    let sum = seeds(number("HANDOVER_FIRST_SEED").unwrap_or(0), count);
    sum.print(began);
    assert!(sum.broken.is_empty(), "{}", sum.broken.join("\n\n"));
    if count < SEEDS || std::env::var_os("HANDOVER_ONLY").is_some() {
        return;
    }
    for kind in Kind::ALL {
        assert!(sum.hits.contains_key(kind), "{kind:?} never struck");
    }
    for ending in ["done", "rolled back", "refused", "stuck", "open", "not begun"] {
        assert!(sum.endings.contains_key(ending), "no run ended {ending}");
    }
    assert!(sum.simulated / YEAR >= 10.0, "less than ten years");
    assert!(sum.changed.iter().all(|runs| *runs > 100), "too few runs over a change of civil time: {:?}", sum.changed);
}

#[test]
fn without_faults_every_rotation_is_done() {
    for seed in 0..200 {
        let played = play(seed, false, false);
        assert_eq!(played.broken, None, "{}", story(&played, "a clean run broke"));
        let ended = match played.ending {
            "done" | "refused" => true,
            // There may be no room for a new version, which a leak cannot do without.
            "stuck" => played.case.contains("leak") || played.case.contains("emergency"),
            // Nobody may have approved.
            "rolled back" => played.case.contains("gate"),
            _ => false,
        };
        assert!(ended, "{}", story(&played, played.ending));
    }
}

/// One seed by itself, told from its beginning to its end. Without `HANDOVER_SEED` it is the first one.
#[test]
fn one_seed() {
    let loud = number("HANDOVER_SEED").is_some();
    let played = play(number("HANDOVER_SEED").unwrap_or(0), true, loud);
    println!("seed {} ended {}: {}", played.seed, played.ending, played.case);
    assert_eq!(played.broken, None, "{}", story(&played, "broken"));
}

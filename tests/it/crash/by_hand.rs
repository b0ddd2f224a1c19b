//! The sweep of shape D: a rotation is several commands there, with a person between them. Each command dies at its points, and
//! the person goes on as the status tells them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::support::exit::{BAD_INPUT, DONE, REFUSED, WAITING};
use crate::support::person::{asked, made, person, supplying};
use crate::support::world::CREDENTIAL;
use crate::support::{Case, Going, Run, World, service};

/// Worlds side by side: most of a case is waiting.
const WORLDS: usize = 12;
/// Of the points, only every so many are tried.
const EVERY: usize = 7;
/// More commands than a rotation by hand takes, one that dies included.
const MOST: usize = 16;

/// Which command dies, from 0, and where: `append.before#17`.
type Death = (usize, String);

/// What somebody does, command by command, until it has ended; what is wrong.
struct Hands<'a> {
    world: &'a World,
    name: &'a str,
    case: Case<'a>,
    death: Option<Death>,
    commands: usize,
    made: Option<(String, String)>,
    killed: bool,
}

impl Hands<'_> {
    /// Runs one command, which dies if it is its turn.
    fn run(&mut self, args: &[&str]) -> Run {
        let mut command = if args.is_empty() { self.case.rotation_command("drill") } else { self.case.command(args) };
        let number = self.commands;
        self.commands += 1;
        command.env("HANDOVER_CRASH_LOG", self.world.dir().join(format!("{}-{number}.log", self.name)));
        if let Some((_, point)) = self.death.as_ref().filter(|(at, _)| *at == number) {
            command.env("HANDOVER_CRASH_AT", point);
        }
        let run = Going::start(command).end();
        self.killed |= run.was_killed();
        run
    }

    /// Does at the console what is asked, unless it was done before somebody died.
    fn act(&mut self, asked: &Value) -> Run {
        let name = asked["username"].as_str().unwrap_or_default().to_owned();
        let wanted = match asked["action"].as_str() {
            Some("create") => {
                let made = self.made.take().unwrap_or_else(|| made(self.world));
                let run = self.run(&supplying(&made));
                self.made = Some(made);
                return run;
            }
            Some("disable") => "inactive",
            Some("delete") => "deleted",
            Some("enable") => "active",
            _ => return self.run(&["resume", CREDENTIAL]),
        };
        if self.world.account().versions.iter().any(|v| v.username == name && v.state != wanted) {
            person(self.world, asked["action"].as_str().unwrap_or_default(), &name);
        }
        self.run(&["done", CREDENTIAL])
    }

    /// Until it has ended; the last run.
    fn finish(&mut self) -> Result<(), String> {
        let mut last = self.run(&[]);
        while self.commands < MOST {
            if last.was_killed() {
                last = self.run(&["resume", CREDENTIAL]);
                continue;
            }
            last = match last.code() {
                DONE => return Ok(()),
                // It had ended when its process died.
                REFUSED if last.said().contains("HO0458") => return Ok(()),
                // Nothing was begun.
                BAD_INPUT if last.said().contains("HO0457") || last.said().contains("HO0475") => self.run(&[]),
                WAITING => {
                    let asked = asked(&self.case);
                    self.act(&asked)
                }
                code => return Err(format!("it ends with {code}: {last}")),
            };
        }
        Err(format!("it does not end: {last}"))
    }
}

/// One rotation by hand; what is wrong, and whether it was killed.
fn rotation(world: &World, name: &str, death: Option<Death>) -> (Vec<String>, bool, usize) {
    let before = world.account();
    let case = world.case(name);
    let mut hands = Hands { world, name, case, death, commands: 0, made: None, killed: false };
    let ended = hands.finish();
    let (case, killed, commands) = (hands.case, hands.killed, hands.commands);
    let mut wrong: Vec<String> = ended.err().into_iter().collect();
    let after = world.account();
    let new: Vec<_> = after.versions.iter().filter(|v| !before.versions.iter().any(|b| b.id == v.id)).collect();
    if new.len() != 1 || after.kept().len() != 1 || after.active().len() != 1 {
        wrong.push(format!("the person has made {} versions, and these are left: {:?}", new.len(), after.kept()));
    }
    for environment in ["staging", "production"] {
        let held = service::held(&world.env_file(environment)).0;
        if new.iter().all(|v| v.username != held) {
            wrong.push(format!("{environment} holds {held}"));
        }
    }
    wrong.extend(world.unclean(None));
    wrong.extend(case.broken_journal(true));
    (wrong, killed, commands)
}

#[test]
fn a_rotation_by_hand_survives_death_at_every_command() {
    let world = World::with(&["--shape", "manual"]);
    let (wrong, _, commands) = rotation(&world, "list", None);
    assert_eq!(wrong, Vec::<String>::new());
    let mut points = VecDeque::new();
    for number in 0..commands {
        let log = std::fs::read_to_string(world.dir().join(format!("list-{number}.log"))).unwrap_or_default();
        points.extend(log.lines().map(|point| (number, point.to_owned())));
    }
    assert!(points.len() > 100 && commands == 4, "{} points of {commands} commands", points.len());
    let points: VecDeque<Death> = points.into_iter().step_by(EVERY).collect();
    let total = points.len();
    let (queue, tally) = (Mutex::new(points), Mutex::new((0, Vec::new())));
    std::thread::scope(|scope| {
        for _ in 0..WORLDS {
            scope.spawn(|| {
                let world = World::with(&["--shape", "manual"]);
                for n in 0.. {
                    let Some(death) = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front() else { return };
                    let (wrong, killed, _) = rotation(&world, &format!("case-{n}"), Some(death.clone()));
                    let broken = !wrong.is_empty();
                    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                    tally.0 += usize::from(killed);
                    tally.1.extend(wrong.into_iter().map(|wrong| format!("command {} at {}: {wrong}", death.0, death.1)));
                    if broken {
                        // What is broken stays out of the next case.
                        return;
                    }
                }
            });
        }
    });
    let (killed, violations) = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("by hand: {total} points of {commands} commands, killed at {killed}, {} violations", violations.len());
    assert!(violations.is_empty(), "{}", violations.join("\n"));
    // How many appends and looks a command makes depends on which answers come together.
    assert!(killed * 4 >= total * 3, "only {killed} of {total} points were reached");
}

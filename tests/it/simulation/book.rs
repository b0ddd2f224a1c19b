//! The book: what the journal durably holds, as the simulation saw it written. From it come the checks of order: what had to
//! be written before something was done.

use std::collections::{BTreeMap, BTreeSet};

use handover_rotation::command::{Command, Fact};
use handover_rotation::event::{Ending, Event};
use handover_rotation::name::Slot;
use handover_rotation::outcome::Outcome;
use handover_rotation::plan::Plan;
use handover_rotation::playbook::Step;

/// What was written so far.
#[derive(Default)]
pub(crate) struct Book {
    pub(crate) plan: Option<Box<Plan>>,
    pub(crate) epoch: u64,
    pub(crate) rows: u64,
    /// How often each effect was intended, and was issued.
    intended: BTreeMap<String, u32>,
    issued: BTreeMap<String, u32>,
    /// The latest epoch that issued an effect on a target.
    latest: BTreeMap<String, u64>,
    pub(crate) sealed: BTreeSet<u8>,
    pub(crate) compromised: BTreeSet<u8>,
    pub(crate) containing: bool,
    pub(crate) ending: Option<Ending>,
    pub(crate) todo: Option<Vec<String>>,
    /// When steps began, in true time.
    began: BTreeMap<usize, u64>,
    /// Someone asked to stop.
    pub(crate) aborted: bool,
    /// The id that the answer for each slot named.
    pub(crate) answered: BTreeMap<u8, String>,
    /// A request was written since one was last taken out of the inbox.
    pub(crate) heard: bool,
}

/// What was made twice has no number that the world could know.
fn named(slot: Slot) -> String {
    if slot.is_stray() { "a stray".to_owned() } else { slot.0.to_string() }
}

/// An effect as the simulation recognises it from both sides.
pub(crate) fn key(command: &Command) -> Option<String> {
    Some(match command {
        Command::Create(slot) => format!("create {}", slot.0),
        Command::Disable(slot) => format!("disable {}", named(*slot)),
        Command::Enable(slot) => format!("enable {}", named(*slot)),
        Command::Delete(slot) => format!("delete {}", named(*slot)),
        Command::Write(entry, slot) => format!("write {entry} {}", slot.0),
        Command::Reload(service) => format!("reload {service}"),
        Command::TestSend(service) => format!("test-send {service}"),
        Command::Probe(_) | Command::Control => "send".to_owned(),
        _ => return None,
    })
}

/// An event in a few words. Nothing in it may depend on the product's own randomness, as it is part of the trace.
pub(crate) fn tell(event: &Event) -> String {
    match event {
        Event::Started { .. } => "started".to_owned(),
        Event::Intended { effect, command, .. } => format!("intended {effect}: {command}"),
        Event::Settled { command, outcome, .. } => match outcome {
            Outcome::Done(_) => format!("{command}: done"),
            Outcome::NotDone(fault) => format!("{command}: not done, {}", fault.code),
            Outcome::Unknown(fault) => format!("{command}: unknown, {}", fault.code),
        },
        Event::Stuck { failure, .. } => format!("stuck: {} {:?}", failure.fault.code, failure.command),
        Event::RollbackStarted { failure } => format!("rolling back: {} {:?}", failure.fault.code, failure.command),
        other => format!("{other:?}"),
    }
}

impl Book {
    /// Takes in what was just committed; gives the rules that it breaks.
    pub(crate) fn record(&mut self, event: &Event, truth: u64, gone: bool) -> Option<String> {
        self.rows += 1;
        if self.ending.is_some() {
            return Some("S28: an event was written after the end".to_owned());
        }
        match event {
            Event::Started { plan, .. } => {
                if plan.compromised {
                    self.compromised.insert(0);
                }
                self.plan = Some(plan.clone());
            }
            Event::Intended { command, .. } => {
                *self.intended.entry(key(command)?).or_default() += 1;
            }
            Event::Compromised { slot, .. } => {
                self.compromised.insert(slot.0);
            }
            Event::ContainmentBegan { .. } => self.containing = true,
            Event::Stuck { todo, .. } => self.todo = Some(todo.clone()),
            Event::Resumed { .. } => self.todo = None,
            Event::AbortRequested { .. } => (self.aborted, self.todo, self.heard) = (true, None, true),
            Event::Approved { .. } => self.heard = true,
            Event::Finished { ending } => self.ending = Some(*ending),
            Event::StepStarted { step } => {
                self.began.insert(*step, truth);
            }
            Event::Settled { outcome, command: Command::Disable(slot) | Command::Delete(slot), .. }
                if slot.is_old() && self.compromised.contains(&0) && outcome.fault().is_some_and(|f| f.code == "HO0407") =>
            {
                return Some("L5: what has leaked was not shut out, since its provider is left alone".to_owned());
            }
            Event::Settled { outcome: Outcome::Done(Fact::Created { id, .. }), command: Command::Create(slot), .. } => {
                self.answered.insert(slot.0, id.to_string());
            }
            Event::Settled { outcome, command, .. } if outcome.fault().is_some_and(|f| f.code == "HO0405") => {
                return Some(format!("a panic inside of `{command}`"));
            }
            Event::StepFinished { step } => return self.waited(*step, truth, gone),
            _ => {}
        }
        None
    }

    /// S29: whatever the clocks show, a soak or a watch lasts. `gone`: the old version is deleted, so nothing is left to watch.
    fn waited(&self, step: usize, truth: u64, gone: bool) -> Option<String> {
        let plan = self.plan.as_ref()?;
        let (Step::Soak { lasting } | Step::Watch { lasting }) = plan.playbook.steps.get(step)? else { return None };
        if self.containing || gone || !self.compromised.is_empty() {
            return None;
        }
        let took = truth.saturating_sub(*self.began.get(&step)?);
        (took < lasting.0).then(|| format!("S29: step {step} asked for {} ms and ended after {took} ms", lasting.0))
    }

    /// A batch was committed, with what was sealed in it; gives the rule that it breaks. A version whose secret is chosen here has
    /// it from the intent on, any other from the answer on.
    pub(crate) fn batch(&self, events: &[Event]) -> Option<String> {
        let chosen = self.plan.as_ref().is_some_and(|p| p.facts.chooses_secret);
        events.iter().find_map(|event| {
            let slot = match event {
                Event::Intended { command: Command::Create(slot), .. } if chosen => slot.0,
                Event::Settled { command: Command::Create(slot), outcome: Outcome::Done(_), .. } => slot.0,
                _ => return None,
            };
            (!self.sealed.contains(&slot)).then(|| format!("S5: slot {slot} is written without its secret"))
        })
    }

    /// Whether an effect was intended once more than it was issued.
    pub(crate) fn is_due(&self, effect: &str) -> bool {
        self.intended.get(effect).copied().unwrap_or_default() > self.issued.get(effect).copied().unwrap_or_default()
    }

    /// An effect leaves; gives the rule that it breaks.
    pub(crate) fn issue(&mut self, effect: &str, target: &str, epoch: u64) -> Option<String> {
        let latest = self.latest.entry(target.to_owned()).or_default();
        *latest = (*latest).max(epoch);
        let issued = self.issued.entry(effect.to_owned()).or_default();
        *issued += 1;
        let intended = self.intended.get(effect).copied().unwrap_or_default();
        (*issued > intended).then(|| format!("S6: `{effect}` was issued {issued} times and intended {intended} times"))
    }

    /// An effect lands; gives the rule that it breaks.
    pub(crate) fn land(&self, effect: &str, target: &str, epoch: u64) -> Option<String> {
        let latest = self.latest.get(target).copied().unwrap_or_default();
        (latest > epoch)
            .then(|| format!("S7: `{effect}` of epoch {epoch} landed after epoch {latest} had begun to change {target}"))
    }
}

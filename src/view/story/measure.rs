//! What a rotation cost: how long a service was without a login that works, and how long old and new were both accepted. Both are
//! bounds from what was seen; what was not seen is said to be unknown, never to be well.

use std::collections::BTreeMap;

use handover_rotation::command::{Command, Fact, Which};
use handover_rotation::event::Event;
use handover_rotation::name::{EntryName, ServiceName, Slot};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::Shape;
use handover_rotation::state::{Live, Rotation};
use handover_rotation::time::{Millis, Span};

use super::Story;

/// Whether a service has a login that works, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// By the last evidence, yes.
    Yes,
    /// Nothing was seen yet of the version that it uses now.
    Unproven,
    /// It presents something that this rotation does not know.
    Foreign,
    /// The version that it uses is not active at the provider, or not for certain.
    Retired(Live),
    /// The server refused its login, last at this time.
    Refused(Millis),
}

impl Served {
    /// Whether it is known, or has to be taken, to have none.
    #[must_use]
    pub fn is_cut_off(self) -> bool {
        matches!(self, Self::Retired(_) | Self::Refused(_))
    }
}

/// How long old and new were both accepted: between what was seen and what may have been.
#[derive(Clone, Debug, Default)]
pub struct Overlap {
    low: Span,
    low_since: Option<Millis>,
    high: Span,
    high_since: Option<Millis>,
    /// Until when the old version was last seen or known to be accepted.
    known: Option<Millis>,
}

impl Overlap {
    /// At least and at most, up to `now`.
    #[must_use]
    pub fn bounds(&self, now: Millis) -> (Span, Span) {
        let open = |since: Option<Millis>| since.map_or(0, |s| now.since(s).0);
        (Span(self.low.0 + open(self.low_since)), Span(self.high.0 + open(self.high_since)))
    }

    /// Whether it may still go on.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.high_since.is_some()
    }
}

/// What the server said last of the login of each version.
pub(super) type Words = BTreeMap<Slot, (Millis, bool)>;

/// Who the evidence is about.
enum About<'a> {
    Version(Slot),
    Service(&'a ServiceName),
}

impl Story {
    /// After each event. An effect on its way counts against us: a gap begins when it was intended.
    pub(super) fn measure(&mut self, words: &mut Words, before: &Rotation, r: &Rotation, at: Millis, event: &Event) {
        for (slot, version) in &r.versions {
            // What the server said before a version was made active again says nothing of it now.
            let woke = version.live == Live::Active && before.versions.get(slot).is_some_and(|v| v.live != Live::Active);
            if woke {
                words.remove(slot);
            }
        }
        if let Event::Intended { command: Command::Reload(name), .. } = event
            && let Some(service) = self.services.get_mut(name)
        {
            service.own = None;
            service.known_good = at;
        }
        let seen = evidence(r, event);
        match seen {
            Some((About::Version(slot), accepted)) => drop(words.insert(slot, (at, accepted))),
            Some((About::Service(name), accepted)) => {
                if let Some(service) = self.services.get_mut(name) {
                    service.own = Some((at, accepted));
                }
            }
            None => {}
        }
        self.measure_overlap(words, r, at, event);
        self.measure_gaps(words, r, at, seen.is_some_and(|(_, accepted)| accepted));
    }

    fn measure_gaps(&mut self, words: &Words, r: &Rotation, at: Millis, good: bool) {
        for (name, service) in &mut self.services {
            let (Some(plan), Some(state)) = (r.plan.services.get(name), r.services.get(name)) else { continue };
            match (state.presents, state.reloaded) {
                (Some(Which::Slot(slot)), _) => service.uses = slot,
                (_, Some(slot)) if state.sends > 0 || !plan.attest => service.uses = slot,
                _ => {}
            }
            let foreign = matches!(state.presents, Some(Which::Foreign | Which::Nothing));
            let now = if foreign { Served::Foreign } else { served(words, r, service.uses, service.own) };
            let was = std::mem::replace(&mut service.served, now);
            match now {
                Served::Yes => {
                    if let Some(since) = service.gap_since.take() {
                        service.gap.0 += at.since(since).0;
                    }
                    if let Some(since) = service.unproven_since.take() {
                        service.unproven = service.unproven.max(at.since(since));
                    }
                    if good || was != Served::Yes {
                        service.known_good = at;
                    }
                }
                Served::Unproven | Served::Foreign => {
                    if service.gap_since.is_none() {
                        // Since its reload nothing is known of it.
                        service.unproven_since.get_or_insert(if was == Served::Yes { service.known_good } else { at });
                    }
                }
                Served::Retired(_) => {
                    service.gap_since.get_or_insert(service.unproven_since.take().unwrap_or(at));
                }
                // When it began is not known, only when it was last seen to work.
                Served::Refused(_) => {
                    service.gap_since.get_or_insert(service.unproven_since.take().unwrap_or(service.known_good));
                }
            }
        }
    }

    fn measure_overlap(&mut self, words: &Words, r: &Rotation, at: Millis, event: &Event) {
        if !r.shape().overlaps() {
            return;
        }
        let word = |slot: &Slot| words.get(slot).map(|(_, accepted)| *accepted);
        let new = || r.versions.iter().filter(|(s, v)| !s.is_old() && v.live == Live::Active);
        let old_active = r.old().live == Live::Active;
        let old_word = word(&Slot::OLD);
        let (new_may, new_does) = (new().next().is_some(), new().any(|(s, _)| word(s) == Some(true)));
        let overlap = &mut self.overlap;
        let over = |since: &mut Option<Millis>, sum: &mut Span, holds: bool| match (*since, holds) {
            (None, true) => *since = Some(at),
            (Some(began), false) => {
                sum.0 += at.since(began).0;
                *since = None;
            }
            _ => {}
        };
        let does = old_active && old_word != Some(false) && new_does;
        if does || overlap.low_since.is_some() {
            overlap.known = Some(at);
        }
        over(&mut overlap.low_since, &mut overlap.low, does);
        over(&mut overlap.high_since, &mut overlap.high, new_may && (old_active || old_word != Some(false)));
        // Retired, and accepted all the same: the provider had not spread it yet.
        if let Event::Settled { command: Command::Auth(Slot::OLD), began, outcome: Outcome::Done(fact), .. } = event
            && matches!(fact, Fact::Login { accepted: true, .. })
            && !old_active
            && new_does
            && let Some(known) = overlap.known.replace(*began)
        {
            overlap.low.0 += began.since(known).0;
        }
    }
}

fn served(words: &Words, r: &Rotation, uses: Slot, own: Option<(Millis, bool)>) -> Served {
    let live = r.versions.get(&uses).map_or(Live::Absent, |v| v.live);
    let replacing = r.flights.values().any(|f| matches!(f.command, Command::Create(_)));
    if live != Live::Active {
        return Served::Retired(live);
    }
    if r.shape() == Shape::InPlace && uses.is_old() && (replacing || !replaced_surely_not(r)) {
        return Served::Retired(Live::Doubt);
    }
    let of_version = words.get(&uses).copied();
    let refused = [own, of_version].into_iter().flatten().filter(|(_, accepted)| !accepted).map(|(at, _)| at).max();
    match refused {
        Some(at) => Served::Refused(at),
        None if own.is_some() || of_version.is_some() => Served::Yes,
        // It worked before anything began; once it was disabled that says nothing any more.
        None if uses.is_old() && !r.old().disable_intended => Served::Yes,
        None => Served::Unproven,
    }
}

/// In place, whether no new password can have been set.
fn replaced_surely_not(r: &Rotation) -> bool {
    r.versions.iter().filter(|(s, _)| !s.is_old()).all(|(_, v)| matches!(v.live, Live::Absent | Live::Deleted))
}

/// What an event says of a login: whose, and whether it was accepted. Trouble that is not the login's says nothing.
fn evidence<'a>(r: &Rotation, event: &'a Event) -> Option<(About<'a>, bool)> {
    let Event::Settled { command, outcome, .. } = event else { return None };
    let accepted = match outcome {
        Outcome::Done(Fact::Login { accepted, .. }) => *accepted,
        Outcome::Done(_) if matches!(command, Command::Probe(_) | Command::TestSend(_) | Command::Control) => true,
        Outcome::NotDone(fault) | Outcome::Unknown(fault) if is_refusal(fault) => false,
        _ => return None,
    };
    let held = |name: &EntryName| match r.entries.get(name)?.holds? {
        Which::Slot(slot) => Some(slot),
        _ => None,
    };
    let about = match command {
        Command::Auth(slot) => About::Version(*slot),
        Command::Control => About::Version(Slot::OLD),
        Command::Probe(name) => About::Version(held(name)?),
        Command::TestSend(name) => About::Service(name),
        _ => return None,
    };
    Some((about, accepted))
}

fn is_refusal(fault: &Fault) -> bool {
    fault.class == FaultClass::Credential
}

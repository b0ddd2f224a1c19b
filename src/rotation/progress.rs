//! Progress: how far a wish is from being true, and what to do about it. Wishes are joined with `and`.

use crate::command::Command;
use crate::event::{Failure, FailureKind};
use crate::name::Slot;
use crate::outcome::{Fault, FaultClass};
use crate::plan::MOST_REFUSALS;
use crate::state::{Live, Phase, Rotation, Tries};
use crate::time::{Millis, Span};

/// How far a wish is from being true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Something is missing.
    pub(crate) missing: bool,
    /// What to start.
    pub(crate) go: Vec<Command>,
    /// When to look again.
    pub(crate) wake: Option<Millis>,
    /// What a person is asked to do.
    pub(crate) person: Option<Command>,
    /// Whether an answer is under way.
    pub(crate) pending: bool,
    /// What cannot come true.
    pub(crate) failed: Option<Failure>,
}

impl Progress {
    pub(crate) fn ready() -> Self {
        Self::default()
    }

    pub(crate) fn pending() -> Self {
        Self { missing: true, pending: true, ..Self::default() }
    }

    pub(crate) fn go(command: Command) -> Self {
        Self { missing: true, go: vec![command], ..Self::default() }
    }

    pub(crate) fn wait(until: Millis) -> Self {
        Self { missing: true, wake: Some(until), ..Self::default() }
    }

    pub(crate) fn ask(command: Command) -> Self {
        Self { missing: true, person: Some(command), ..Self::default() }
    }

    pub(crate) fn failed(kind: FailureKind, command: Option<Command>, fault: Fault) -> Self {
        Self { missing: true, failed: Some(Failure { kind, command, fault }), ..Self::default() }
    }

    pub(crate) fn is_ready(&self) -> bool {
        !self.missing
    }

    /// Both wishes.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.missing |= other.missing;
        self.pending |= other.pending;
        self.go.extend(other.go.into_iter().filter(|c| !self.go.contains(c)).collect::<Vec<_>>());
        self.wake = match (self.wake, other.wake) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.person = self.person.or(other.person);
        self.failed = self.failed.or(other.failed);
        self
    }

    /// The second wish, once the first is true.
    pub(crate) fn then(self, next: impl FnOnce() -> Self) -> Self {
        if self.is_ready() { next() } else { self }
    }

    /// Whether nothing is left to do or to wait for: what has failed is all there is.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.go.is_empty() && self.wake.is_none() && !self.pending && self.person.is_none()
    }
}

/// All of several wishes at once.
pub(crate) fn all(wishes: impl IntoIterator<Item = Progress>) -> Progress {
    wishes.into_iter().fold(Progress::ready(), Progress::and)
}

/// Tries a command: starts it, waits for its turn after a failure, or gives up.
pub(crate) fn attempt(r: &Rotation, command: Command, now: Millis) -> Progress {
    if r.in_flight(&command) {
        return Progress::pending();
    }
    let Some(tries) = r.tries.get(&command) else { return Progress::go(command) };
    match patience(r, &command, tries, now) {
        Patience::Again => {}
        Patience::Control => return control(r),
        Patience::GiveUp(kind) => return Progress::failed(kind, Some(command), tries.fault.clone()),
    }
    again(r, command, tries, now)
}

/// Tries a command that is not under way for ever, with growing waits (safety.md L5).
pub(crate) fn attempt_forever(r: &Rotation, command: Command, now: Millis) -> Progress {
    match r.tries.get(&command) {
        None => Progress::go(command),
        Some(tries) => again(r, command, tries, now),
    }
}

/// A look that counts when it has passed since the step began.
pub(crate) fn once(r: &Rotation, command: Command, now: Millis) -> Progress {
    if r.passed.contains(&command) { Progress::ready() } else { attempt(r, command, now) }
}

fn again(r: &Rotation, command: Command, tries: &Tries, now: Millis) -> Progress {
    let mut pause = backoff(r, &command, tries.count);
    if is_refusal(&command, tries) {
        // A login that is refused while it spreads is asked about seldom: too many lock the account (IP4).
        pause = pause.max(Span(r.plan.facts.propagation.0 / 6));
    }
    let mut next = tries.last.after(pause);
    if is_near_lock(r, &command, tries) {
        next = next.max(spread_at(r, &command));
    }
    if now >= next { Progress::go(command) } else { Progress::wait(next) }
}

enum Patience {
    Again,
    Control,
    GiveUp(FailureKind),
}

/// How long a command is tried. The next refused login might lock the account: it is tried only where the one before may have
/// been too early.
fn patience(r: &Rotation, command: &Command, tries: &Tries, now: Millis) -> Patience {
    match willing(r, command, tries, now) {
        Patience::Again if is_near_lock(r, command, tries) && tries.began >= spread_at(r, command) => {
            let weather = matches!(r.control, Some((_, false)));
            Patience::GiveUp(if weather { FailureKind::Environment } else { FailureKind::Target })
        }
        patience => patience,
    }
}

fn willing(r: &Rotation, command: &Command, tries: &Tries, now: Millis) -> Patience {
    let attempts = r.plan.policy.attempts.max(1);
    let class = tries.fault.class;
    let held = now >= tries.first.after(r.plan.playbook.hold);
    if matches!(r.phase, Phase::RollingBack) {
        // Undoing has more patience than doing: being stuck half-way is the worst end. Mail trouble is held like weather.
        let weather = command.is_mail() && class != FaultClass::Credential && class != FaultClass::Permanent;
        return match weather {
            true if held => Patience::GiveUp(FailureKind::Environment),
            true => Patience::Again,
            false if tries.count >= attempts.saturating_mul(2) => Patience::GiveUp(FailureKind::Target),
            false => Patience::Again,
        };
    }
    let settling = r.new_version().is_some_and(|v| tries.began < v.changed_at.after(r.plan.facts.propagation));
    // Too early is not wrong: only a refusal of a try that began when every server knows the version counts.
    let early = class == FaultClass::Credential && settling;
    if r.is_leak() {
        // Until the deadline everything is tried again, permanent faults too: a person may be mending them meanwhile.
        let due = r.contain_by.is_none_or(|t| now >= t) && !shuts_out(r, command) && !proves(r, command, now) && !early;
        return if due && tries.count >= attempts { Patience::GiveUp(FailureKind::Target) } else { Patience::Again };
    }
    let preflight = r.step == 0;
    match class {
        FaultClass::Permanent => Patience::GiveUp(FailureKind::Target),
        FaultClass::Credential if early && !preflight => Patience::Again,
        _ if tries.count < attempts.min(if class == FaultClass::Credential { 2 } else { attempts }) => Patience::Again,
        _ if holds(r, command, class) => match held {
            true => Patience::GiveUp(FailureKind::Environment),
            false => Patience::Again,
        },
        _ if !command.is_mail() || preflight || !can_control(r) => Patience::GiveUp(FailureKind::Target),
        _ => match r.control {
            Some((at, worked)) if at >= tries.last => match (worked, held) {
                (true, _) => Patience::GiveUp(FailureKind::Target),
                (false, true) => Patience::GiveUp(FailureKind::Environment),
                (false, false) => Patience::Again,
            },
            _ => Patience::Control,
        },
    }
}

fn is_refusal(command: &Command, tries: &Tries) -> bool {
    command.is_mail() && tries.fault.class == FaultClass::Credential
}

/// Whether one more refused login might lock the account (IP4). In a leak that is no reason to stop (L5).
fn is_near_lock(r: &Rotation, command: &Command, tries: &Tries) -> bool {
    let version = r.logs_in(command).and_then(|slot| r.versions.get(&slot));
    is_refusal(command, tries) && version.is_some_and(|v| v.refusals >= MOST_REFUSALS) && !r.is_leak()
}

/// When every server knows what was last done to the version that the command logs in with.
fn spread_at(r: &Rotation, command: &Command) -> Millis {
    let version = r.logs_in(command).and_then(|slot| r.versions.get(&slot));
    version.map_or(Millis(0), |v| v.changed_at.after(r.plan.facts.propagation))
}

/// In place, the new password is what shuts the compromised one out: it is tried for as long as it takes (L5).
fn shuts_out(r: &Rotation, command: &Command) -> bool {
    let setting = matches!(command, Command::ListVersions | Command::Create(_));
    setting && !r.shape().overlaps() && r.old().live == Live::Active
}

/// A refused login is what proves that the compromised version is dead: it is tried for as long as weather is held (finding 7).
fn proves(r: &Rotation, command: &Command, now: Millis) -> bool {
    let held = r.contain_by.is_some_and(|t| now < t.after(r.plan.playbook.hold));
    *command == Command::Auth(Slot::OLD) && held && matches!(r.old().live, Live::Inactive | Live::Deleted)
}

/// Whether trouble is held like weather: it may pass, speaks against no version, and going back would need the same target.
/// So it is for the provider once something has changed, and for mail where no control can be sent (B11 to B13).
fn holds(r: &Rotation, command: &Command, class: FaultClass) -> bool {
    let passing = matches!(class, FaultClass::Temporary | FaultClass::Environment);
    let provider = matches!(command, Command::ListVersions | Command::Disable(_) | Command::Delete(_));
    passing && r.step > 0 && r.has_changed_anything() && (provider || command.is_mail() && !can_control(r))
}

/// Whether a mail with the old version can tell the version from the weather.
fn can_control(r: &Rotation) -> bool {
    let old = r.old();
    old.live == Live::Active && old.sealed && !old.compromised && r.shape().overlaps()
}

fn control(r: &Rotation) -> Progress {
    if r.in_flight(&Command::Control) { Progress::pending() } else { Progress::go(Command::Control) }
}

/// The wait after `count` failures: doubled each time, with a jitter of up to a quarter that depends only on its arguments.
fn backoff(r: &Rotation, command: &Command, count: u8) -> Span {
    let policy = &r.plan.policy;
    let doubled = policy.backoff.0.saturating_mul(1 << u64::from(count.saturating_sub(1).min(16)));
    let wait = doubled.min(policy.backoff_most.0);
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in r.id.as_str().bytes().chain(command.to_string().bytes()).chain([count]) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    Span(wait - (wait / 4) * (hash % 256) / 255)
}

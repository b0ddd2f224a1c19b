//! By hand (shape D): what a person is asked for now, and what is looked at before anything that they hand over is written down.
//! It changes nothing.

use std::cell::RefCell;
use std::time::Duration;

use handover_rotation::command::{Command, Fact};
use handover_rotation::decide::{Decision, Wanted, decide};
use handover_rotation::name::Slot;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::Shape;
use handover_rotation::state::{Live, Phase, Rotation};
use handover_rotation::time::Millis;

use super::current::version_of;
use super::ports::Ports;
use crate::journal::Sealer;
use crate::mail::Verdict;
use crate::secret::Login;

/// The longest one login may take; an SMTP server may wait before it refuses.
const AUTH_LIMIT: Duration = Duration::from_secs(45);

/// What a person is asked to do at the provider, as the machine will say once it has written down what is due.
#[must_use]
pub fn asked(r: &Rotation, now: Millis) -> Option<Command> {
    let mut r = r.clone();
    // What is written down at once is little; a machine that only ever writes asks for nothing.
    for _ in 0..20 {
        match decide(&r, now) {
            Decision::Record(events) => {
                for event in &events {
                    r.apply(now, event).ok()?;
                }
            }
            Decision::Act { person: Some(Wanted::Task(command)), .. } => return Some(command),
            _ => return None,
        }
    }
    None
}

/// The version that a person may hand over now. In a leak they may be asked to shut the old one out first, and have made it
/// already.
#[must_use]
pub fn wanted(r: &Rotation) -> Option<Slot> {
    let free = r.new_version().is_some_and(|v| v.live == Live::Absent && !v.sealed);
    (r.shape() == Shape::Manual && r.phase == Phase::Forward && free).then_some(r.target)
}

/// What is recorded of a version that a person made.
///
/// # Errors
/// Its login name cannot be the id of a version.
pub(super) fn made(login: &Login, sealer: &Sealer) -> Result<Fact, Fault> {
    let id = version_of(&login.username).ok_or_else(|| unusable("its login name cannot be kept as an id".to_owned()))?;
    Ok(Fact::Created { id, username: login.username.clone(), fingerprint: sealer.fingerprint(&login.password) })
}

fn unusable(message: String) -> Fault {
    Fault::new(FaultClass::Permanent, "HO0470", message)
}

/// Looks at what a person hands over: it must be new, every entry must be able to hold it, and the server must accept it. Gives
/// why it could not be tried, if so: then the rotation tries it itself before anything is moved.
///
/// `told` hears what takes long.
///
/// # Errors
/// What is wrong with it. Nothing was written down.
pub async fn check(
    r: &Rotation,
    ports: &Ports,
    login: &Login,
    sealer: &Sealer,
    told: impl Fn(&str),
) -> Result<Option<String>, Fault> {
    is_new(r, login, sealer)?;
    for (name, port) in &ports.entries {
        let limit = Duration::from_millis(port.store.request_timeout().0);
        match tokio::time::timeout(limit, port.store.can_hold(&port.place, login)).await {
            Ok(Outcome::NotDone(mut fault)) if fault.class == FaultClass::Permanent => {
                fault.message = format!("entry {name} cannot hold it: {}", fault.message);
                return Err(fault);
            }
            // A store that is away for now says nothing about the login.
            _ => {}
        }
    }
    accepted(r, ports, login, told).await
}

fn is_new(r: &Rotation, login: &Login, sealer: &Sealer) -> Result<(), Fault> {
    let fingerprint = sealer.fingerprint(&login.password);
    for (slot, version) in &r.versions {
        let which = if slot.is_old() { "the old version" } else { "an earlier new version of this rotation" };
        if version.username.as_ref() == Some(&login.username) {
            let message = format!("{} is the login of {which}: a new one is needed beside it", login.username);
            return Err(unusable(message).hint("make another login at the provider, with a name of its own"));
        }
        if version.fingerprint.as_ref() == Some(&fingerprint) {
            let message = format!("{} has the password of {which}", login.username);
            return Err(unusable(message).hint("give it a password of its own: the old one is being replaced"));
        }
    }
    Ok(())
}

/// The server is asked until it accepts the login, for as long as the provider may need to make it known.
async fn accepted(r: &Rotation, ports: &Ports, login: &Login, told: impl Fn(&str)) -> Result<Option<String>, Fault> {
    let propagation = r.plan.facts.propagation;
    let pause = Duration::from_millis((propagation.0 / 20).clamp(200, 5000));
    let refused = RefCell::new(None);
    let asking = async {
        loop {
            match tokio::time::timeout(AUTH_LIMIT, ports.mail.auth(login)).await {
                Ok(Outcome::Done(report)) if report.verdict == Verdict::Accepted => return None,
                Ok(Outcome::Done(report)) => {
                    let enhanced = report.enhanced.map_or_else(String::new, |e| format!(" {e}"));
                    let reply = format!("{}{enhanced}", report.code);
                    let before = refused.replace(Some(reply.clone()));
                    if before.is_none() {
                        told(&format!(
                            "the server refuses {} so far ({reply}); the provider may need up to {propagation} to make it \
                             known: trying on",
                            login.username
                        ));
                    }
                }
                Ok(Outcome::NotDone(fault) | Outcome::Unknown(fault)) => return Some(fault.to_string()),
                Err(_) => return Some(format!("no answer within {}s", AUTH_LIMIT.as_secs())),
            }
            tokio::time::sleep(pause).await;
        }
    };
    // A little more than the bound, so that a try falls behind it.
    let whole = Duration::from_millis(propagation.0).saturating_add(Duration::from_secs(5));
    let answer = tokio::time::timeout(whole, asking).await;
    match (answer, refused.into_inner()) {
        (Ok(answer), _) => Ok(answer),
        (Err(_), None) => Ok(Some("the server was too slow to answer".to_owned())),
        (Err(_), Some(reply)) => {
            let message = format!("the server {} refuses the login {}: {reply}", r.plan.smtp, login.username);
            let hint = "see that name and password are those that the provider shows, and that the login may send; then hand it \
                        over again: nothing was written down";
            Err(Fault::new(FaultClass::Credential, "HO0471", message).hint(hint))
        }
    }
}

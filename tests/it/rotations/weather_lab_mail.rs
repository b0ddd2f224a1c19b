//! Weather: a real mail server that goes away, stands still, or has a certificate that has expired, in the middle of a rotation, and
//! comes back. Both versions are live meanwhile, so it is waited out and nothing is rolled back.

use serde_json::Value;

use crate::support::Going;
use crate::support::exit::DONE;
use crate::support::lab::mail::{Mail, Users, hash};
use crate::support::lab::sender::Sender;

const FIRST: &str = "First-password-0123456789";
/// Positions of steps of the drill.
const VERIFY_PRODUCTION: usize = 7;
const DEACTIVATE: usize = 9;

/// A drill that has come to this step.
fn drill(mail: &Mail, step: usize) -> (Sender, Going) {
    std::fs::write(mail.users_file(), format!("newsletter-a:{}\n", hash(FIRST))).expect("it is written");
    let (users, socket) = (mail.users_file(), mail.auth_socket());
    let provider =
        format!("{{kind: dovecot, passwd_file: {}, auth_socket: {}, propagation: 1s}}", users.display(), socket.display());
    let sender = Sender::new(mail, &provider, "newsletter-a", FIRST);
    let mut going = Going::start(sender.command(&["rotate", "newsletter", "--playbook", "drill", "--yes", "--wait"]));
    going.wait_for_step(step).expect("it comes so far");
    (sender, going)
}

/// The fault of the next call of this kind that fails.
#[track_caller]
fn fails(going: &mut Going, command: impl Fn(&Value) -> bool) -> Value {
    let fault = |e: &Value| e["outcome"].get("not-done").or_else(|| e["outcome"].get("unknown")).cloned();
    let settled = going.wait_for(|e| e["event"] == "settled" && command(&e["command"]) && fault(e).is_some());
    settled.as_ref().and_then(fault).expect("a call fails")
}

/// It ends with the new login alone, as if nothing had been.
fn moved(mail: &Mail, sender: &Sender, going: Going) {
    let run = going.end();
    assert_eq!(run.code(), DONE, "{run}\n{}", mail.said());
    let (username, password) = sender.held("production");
    assert_eq!((username.as_str(), sender.held("staging")), ("newsletter-b", (username.clone(), password.clone())));
    assert!(mail.accepts("newsletter-b", &password) && !mail.accepts("newsletter-a", FIRST));
}

#[test]
fn a_server_that_is_stopped_and_started_again_is_waited_for() {
    let mut mail = Mail::start(&Users::File);
    let (sender, mut going) = drill(&mail, VERIFY_PRODUCTION);
    mail.stop_submission();
    fails(&mut going, |command| command.get("probe").is_some());
    mail.start_submission();
    moved(&mail, &sender, going);
}

#[test]
fn an_expired_certificate_speaks_against_no_version() {
    let mut mail = Mail::start(&Users::File);
    let (sender, mut going) = drill(&mail, VERIFY_PRODUCTION);
    mail.stop_submission();
    mail.certificates().expire();
    mail.start_submission();
    let expired = |fault: &Value| fault["code"] == "HO0823";
    // Some may have failed while it was started.
    while !expired(&fails(&mut going, |command| command.get("probe").is_some())) {}
    mail.stop_submission();
    mail.certificates().renew();
    mail.start_submission();
    moved(&mail, &sender, going);
}

#[test]
fn a_server_that_is_slower_than_a_call_may_be_is_asked_again() {
    let mail = Mail::start(&Users::File);
    let (sender, mut going) = drill(&mail, DEACTIVATE);
    mail.hold_dovecot(true);
    let fault = fails(&mut going, |command| command.get("disable").is_some());
    mail.hold_dovecot(false);
    assert_eq!(fault["class"], "temporary", "{fault}");
    moved(&mail, &sender, going);
}

//! The mail room against scripted servers: what it says, what it believes, and what it never lets out.

mod dialogues;
mod imap;
mod secrets;
mod security;
mod server;
mod verdicts;
mod xoauth2;

use std::time::Duration;

use handover_rotation::name::Username;
use handover_rotation::outcome::{Fault, Outcome};

use self::server::{Act, Ca, Running, Trusting};
use super::{Arrival, SmtpMail, Timeouts};
use crate::config::inventory::{SmtpServer, Tls};
use crate::secret::{Login, Secret};

/// Long enough for a slow machine, short enough for a test that fails.
const PATIENT: Timeouts = Timeouts {
    connect: Duration::from_secs(20),
    handshake: Duration::from_secs(20),
    reply: Duration::from_secs(20),
    auth: Duration::from_secs(20),
    message: Duration::from_secs(20),
    whole: Duration::from_secs(20),
};

fn login() -> Login {
    Login { username: Username::new("user").unwrap(), password: Secret::new("pencil".to_owned()) }
}

fn mail(running: &Running, trusting: &Trusting, tls: Tls, timeouts: Timeouts) -> SmtpMail {
    let server =
        SmtpServer { host: trusting.host.to_owned(), port: running.port, tls, ca_file: Some(trusting.ca_file.clone()) };
    SmtpMail::new(server, "probe@example.com", "sink@example.org", Arrival::None, timeouts).unwrap()
}

/// From the handshake up to the EHLO over TLS.
fn implicit(auth: &str) -> Vec<Act> {
    vec![
        Act::Tls,
        Act::say("220 hello\r\n"),
        Act::expect("EHLO [127.0.0.1]"),
        Act::Say(format!("250-hi\r\n250 AUTH {auth}\r\n").into()),
    ]
}

/// From the greeting in clear up to the EHLO over TLS.
fn start_tls(auth: &str) -> Vec<Act> {
    vec![
        Act::say("220 hello\r\n"),
        Act::expect("EHLO [127.0.0.1]"),
        Act::say("250-hi\r\n250-STARTTLS\r\n250 AUTH LOGIN\r\n"),
        Act::expect("STARTTLS"),
        Act::say("220 2.0.0 go\r\n"),
        Act::Tls,
        Act::expect("EHLO [127.0.0.1]"),
        Act::Say(format!("250-hi\r\n250 AUTH {auth}\r\n").into()),
    ]
}

/// `AUTH PLAIN` with user and pencil, accepted.
fn plain_accepted() -> Vec<Act> {
    vec![Act::expect("AUTH PLAIN AHVzZXIAcGVuY2ls"), Act::say("235 2.7.0 welcome\r\n")]
}

/// The end of a talk in order.
fn leave() -> Vec<Act> {
    vec![Act::expect("QUIT"), Act::say("221 2.0.0 bye\r\n")]
}

fn together(parts: impl IntoIterator<Item = Vec<Act>>) -> Vec<Act> {
    parts.into_iter().flatten().collect()
}

fn not_done<T: std::fmt::Debug>(outcome: Outcome<T>) -> Fault {
    match outcome {
        Outcome::NotDone(fault) => fault,
        other => panic!("{other:?}"),
    }
}

fn done<T: std::fmt::Debug>(outcome: Outcome<T>) -> T {
    match outcome {
        Outcome::Done(value) => value,
        other => panic!("{other:?}"),
    }
}

fn unknown<T: std::fmt::Debug>(outcome: Outcome<T>) -> Fault {
    match outcome {
        Outcome::Unknown(fault) => fault,
        other => panic!("{other:?}"),
    }
}

/// A CA, a server certificate for 127.0.0.1, and a server that plays `script` once.
async fn play(script: Vec<Act>) -> (Running, Trusting) {
    let ca = Ca::new();
    let (acceptor, trusting) = ca.server(&["127.0.0.1"]);
    (server::start(acceptor, vec![script]).await, trusting)
}

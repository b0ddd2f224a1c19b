//! Arrival over IMAP, against a scripted server.

use std::time::Duration;

use handover_rotation::outcome::FaultClass::{Environment, Temporary};
use handover_rotation::outcome::{Fault, Outcome};

use super::server::{Act, Ca, Running, Trusting, start};
use super::{PATIENT, done, not_done};
use crate::config::inventory::{SmtpServer, Tls};
use crate::mail::{Arrival, ArrivalReport, Mail, SmtpMail};
use crate::secret::Secret;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(600);

async fn reader(password: &str, scripts: Vec<Vec<Act>>) -> (SmtpMail, Running, Trusting) {
    let ca = Ca::new();
    let (acceptor, trusting) = ca.server(&["127.0.0.1"]);
    let running = start(acceptor, scripts).await;
    let mail = reading(running.port, &trusting, password);
    (mail, running, trusting)
}

fn reading(port: u16, trusting: &Trusting, password: &str) -> SmtpMail {
    looking_in(Arrival::Imap {
        host: "127.0.0.1".to_owned(),
        port,
        ca_file: Some(trusting.ca_file.clone()),
        username: "reader".to_owned(),
        password: Secret::new(password.to_owned()),
        mailbox: "INBOX".to_owned(),
    })
}

fn looking_in(arrival: Arrival) -> SmtpMail {
    let server = SmtpServer { host: "127.0.0.1".to_owned(), port: 1, tls: Tls::Implicit, ca_file: None };
    SmtpMail::new(server, "a@example.com", "b@example.com", arrival, PATIENT).unwrap()
}

async fn arrived(password: &str, scripts: Vec<Vec<Act>>, within: Duration) -> (Outcome<ArrivalReport>, Vec<String>) {
    let (mail, running, _trusting) = reader(password, scripts).await;
    let outcome = mail.arrived("nonce-1", within).await;
    (outcome, running.heard().await)
}

fn entered() -> Vec<Act> {
    vec![
        Act::Tls,
        Act::say("* OK ready\r\n"),
        Act::expect("h1 CAPABILITY"),
        Act::say("* CAPABILITY IMAP4rev1\r\nh1 OK done\r\n"),
        Act::expect("h2 LOGIN \"reader\" \"pa\\\"ss\\\\\""),
        Act::say("h2 OK [CAPABILITY IMAP4rev1] in\r\n"),
        Act::expect("h3 EXAMINE \"INBOX\""),
        Act::say("* 3 EXISTS\r\n* FLAGS (\\Seen)\r\n* OK [UIDVALIDITY 1] x\r\nh3 OK [READ-ONLY] open\r\n"),
        Act::expect("h4 UID SEARCH OR HEADER X-Handover-Nonce \"nonce-1\" SUBJECT \"nonce-1\""),
    ]
}

const PASSWORD: &str = "pa\"ss\\";

fn and(mut script: Vec<Act>, more: Vec<Act>) -> Vec<Act> {
    script.extend(more);
    script
}

#[tokio::test]
async fn found_at_once() {
    let script = and(
        entered(),
        vec![Act::say("* SEARCH 17 18\r\nh4 OK done\r\n"), Act::expect("h5 LOGOUT"), Act::say("* BYE\r\nh5 OK\r\n")],
    );
    let (outcome, _) = arrived(PASSWORD, vec![script], LONG).await;
    assert_eq!(done(outcome).place, "UID 17 in INBOX");
}

#[tokio::test]
async fn found_later() {
    let more = vec![
        Act::say("* SEARCH\r\nh4 OK done\r\n"),
        Act::expect("h5 NOOP"),
        Act::say("* 4 EXISTS\r\nh5 OK\r\n"),
        Act::expect("h6 UID SEARCH"),
        Act::say("* search 9\r\nh6 ok done\r\n"),
    ];
    let (outcome, _) = arrived(PASSWORD, vec![and(entered(), more)], LONG).await;
    assert_eq!(done(outcome).place, "UID 9 in INBOX");
}

#[tokio::test]
async fn a_lost_connection_is_replaced() {
    let second = and(entered(), vec![Act::say("* SEARCH 5\r\nh4 OK done\r\n")]);
    let (outcome, _) = arrived(PASSWORD, vec![entered(), second], LONG).await;
    assert_eq!(done(outcome).place, "UID 5 in INBOX");
}

async fn fault(scripts: Vec<Vec<Act>>, within: Duration) -> (Fault, Vec<String>) {
    let (outcome, heard) = arrived(PASSWORD, scripts, within).await;
    (not_done(outcome), heard)
}

#[tokio::test]
async fn never_found() {
    let (fault, _) = fault(vec![and(entered(), vec![Act::say("* SEARCH\r\nh4 OK\r\n"), Act::Hang])], SHORT).await;
    assert_eq!((fault.code.as_str(), fault.class), ("HO0842", Temporary));
    let full = || vec![Act::Tls, Act::say("* BYE busy\r\n"), Act::Hang];
    let (mail, _running, _trusting) = reader(PASSWORD, std::iter::repeat_with(full).take(50).collect()).await;
    let outcome = mail.arrived("nonce-1", Duration::from_secs(1)).await;
    let fault = not_done(outcome);
    assert_eq!(fault.code, "HO0842");
    assert!(fault.message.contains("BYE busy (HO0843)"), "{fault}");
}

#[tokio::test]
async fn refusals_end_the_search_at_once() {
    let upto = |count: usize| entered().into_iter().take(count);
    let table = [
        (3, "* CAPABILITY IMAP4rev1 LOGINDISABLED\r\nh1 OK done\r\n", "HO0844"),
        (5, "h2 NO [AUTHENTICATIONFAILED] \x1b[2Jno\r\n", "HO0844"),
        (5, "h2 BAD what\r\n", "HO0844"),
        (7, "h3 NO no such mailbox\r\n", "HO0845"),
        (9, "h4 BAD what\r\n", "HO0845"),
    ];
    for (count, say, code) in table {
        let (fault, heard) = fault(vec![upto(count).chain([Act::say(say), Act::Hang]).collect()], LONG).await;
        assert_eq!((fault.code.as_str(), fault.class), (code, Environment), "{say}");
        assert!(!fault.message.chars().any(char::is_control) && !fault.message.contains("pa\""), "{fault}");
        assert!(count > 3 || !heard.iter().any(|l| l.contains("LOGIN")), "{heard:?}");
    }
}

#[tokio::test]
async fn endless_and_broken_answers_are_cut_off() {
    let table = [
        vec![Act::Flood(10 << 20), Act::Hang],
        vec![Act::Say("* x\r\n".repeat(10_000).into()), Act::Hang],
        vec![Act::say("* x {99999999}\r\n"), Act::Hang],
        vec![Act::say("* x {18446744073709551615}\r\n"), Act::Hang],
        vec![Act::say("h9 OK\r\n"), Act::Hang],
    ];
    for end in table {
        let (fault, _) = fault(vec![and(entered(), end)], LONG).await;
        assert_eq!((fault.code.as_str(), fault.class), ("HO0846", Environment), "{fault}");
    }
}

#[tokio::test]
async fn odd_passwords_go_as_literals() {
    let script = vec![
        Act::Tls,
        Act::say("* OK ready\r\n"),
        Act::expect("h1 CAPABILITY"),
        Act::say("h1 OK done\r\n"),
        Act::expect("h2 LOGIN \"reader\" {5}"),
        Act::say("+ go\r\n"),
        Act::expect("gr\u{fc}n"),
        Act::say("h2 NO no\r\n"),
        Act::Hang,
    ];
    let (outcome, _) = arrived("gr\u{fc}n", vec![script], LONG).await;
    assert_eq!(not_done(outcome).code, "HO0844");
}

#[tokio::test]
async fn an_echoed_password_is_hidden() {
    let script = entered().into_iter().take(5).chain([Act::say("h2 NO wrong: pa\"ss\\ is not it\r\n"), Act::Hang]).collect();
    let (fault, _) = fault(vec![script], LONG).await;
    assert_eq!(fault.code, "HO0844");
    assert!(fault.message.ends_with("NO [hidden: it repeats the password]"), "{fault}");
    // Half of it in a literal, and the other half behind it.
    let halves = "h2 NO {4}\r\na pa\"ss\\ b\r\n";
    let script = entered().into_iter().take(5).chain([Act::say(halves), Act::Hang]).collect();
    let (fault, _) = fault_of(script).await;
    assert!(fault.message.ends_with("NO [hidden: it repeats the password]"), "{fault}");
    // Before it was sent: a server may have kept it from another connection.
    let script = vec![Act::Tls, Act::say("* NO pa\"ss\\\r\n"), Act::Hang];
    let (fault, _) = fault_of(script).await;
    assert!(!fault.message.contains("pa\"ss"), "{fault}");
}

async fn fault_of(script: Vec<Act>) -> (Fault, Vec<String>) {
    fault(vec![script], LONG).await
}

#[tokio::test]
async fn another_ca_is_not_trusted() {
    let (_, running, _trusting) = reader("x", vec![vec![Act::Tls]]).await;
    let mail = reading(running.port, &Ca::new().trusting(), "x");
    // Its CA file is gone by now.
    assert_eq!(not_done(mail.arrived("nonce-1", LONG).await).code, "HO0826");
    let other = Ca::new().trusting();
    let mail = reading(running.port, &other, "x");
    assert_eq!(not_done(mail.arrived("nonce-1", LONG).await).code, "HO0822");
}

#[tokio::test]
async fn the_other_places() {
    let mail = looking_in(Arrival::None);
    assert_eq!(done(mail.arrived("nonce-1", SHORT).await).place, "not looked for");
    assert_eq!(not_done(mail.arrived("a\" OR ALL", SHORT).await).code, "HO0840");
    assert_eq!(mail.probe_to(), "b@example.com");

    let dir = tempfile::tempdir().unwrap();
    for folder in ["new", "cur"] {
        std::fs::create_dir(dir.path().join(folder)).unwrap();
    }
    std::fs::write(dir.path().join("new/1"), "X-Handover-Nonce: nonce-1\r\n\r\n").unwrap();
    let mail = looking_in(Arrival::Maildir { path: dir.path().to_owned() });
    assert_eq!(done(mail.arrived("nonce-1", LONG).await).place, "new/1");
    assert_eq!(not_done(mail.arrived("nonce-2", SHORT).await).code, "HO0842");
}

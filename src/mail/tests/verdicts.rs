//! What each end of a talk comes to: done, not done, unknown, and whose fault it is.

use std::time::Duration;

use handover_rotation::outcome::FaultClass::{Credential, Environment, Temporary};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};

use super::server::{self, Act, Ca};
use super::{PATIENT, Timeouts, done, implicit, leave, login, mail, not_done, plain_accepted, play, together, unknown};
use crate::config::inventory::Tls;
use crate::mail::{AuthReport, Mail, SendReport, Verdict};

async fn auth(script: Vec<Act>, timeouts: Timeouts) -> (Outcome<AuthReport>, Vec<String>) {
    let (running, trusting) = play(script).await;
    let outcome = mail(&running, &trusting, Tls::Implicit, timeouts).auth(&login()).await;
    (outcome, running.heard().await)
}

async fn send(script: Vec<Act>, timeouts: Timeouts) -> (Outcome<SendReport>, Vec<String>) {
    let (running, trusting) = play(script).await;
    let outcome = mail(&running, &trusting, Tls::Implicit, timeouts).send(&login(), "nonce-1").await;
    (outcome, running.heard().await)
}

/// Everything before the reply to phase `count`: 0 greeting, 1 EHLO, 2 AUTH, 3 MAIL, 4 RCPT, 5 DATA, 6 the message.
fn up_to(count: usize) -> Vec<Act> {
    let parts: [fn() -> Vec<Act>; 7] = [
        || vec![Act::Tls],
        || vec![Act::say("220 hi\r\n"), Act::expect("EHLO ")],
        || vec![Act::say("250-hi\r\n250 AUTH PLAIN\r\n"), Act::expect("AUTH PLAIN ")],
        || vec![Act::say("235 ok\r\n"), Act::expect("MAIL FROM:<probe@example.com>")],
        || vec![Act::say("250 ok\r\n"), Act::expect("RCPT TO:<sink@example.org>")],
        || vec![Act::say("250 ok\r\n"), Act::expect("DATA")],
        || vec![Act::say("354 go\r\n"), Act::Message],
    ];
    together(parts[..=count].iter().map(|part| part()))
}

#[tokio::test]
async fn a_message_is_taken() {
    let (outcome, heard) = send(
        together([up_to(6), vec![Act::say("250-2.0.0 thanks\r\n250 2.0.0 queued as \x1b[31mX\r\n")], leave()]),
        PATIENT,
    )
    .await;
    let report = done(outcome);
    assert_eq!(report.reply, "250 2.0.0 thanks queued as \\u{1b}[31mX");
    assert!(heard.contains(&"X-Handover-Nonce: nonce-1".to_owned()), "{heard:?}");
    assert!(heard.contains(&"Subject: Handover probe nonce-1".to_owned()));
    assert!(heard.contains(&"Auto-Submitted: auto-generated".to_owned()));
    assert!(heard.contains(&format!("Message-ID: <{}>", report.message_id)));
    assert!(report.message_id.starts_with("nonce-1.") && report.message_id.ends_with("@example.com"));
    assert_eq!(heard.last().unwrap(), "QUIT");
}

#[tokio::test]
async fn a_login_is_judged() {
    let table = [
        ("235 2.7.0 welcome\r\n", Verdict::Accepted, 235, Some("2.7.0")),
        ("535 5.7.8 no\r\n", Verdict::Refused, 535, Some("5.7.8")),
        ("535-5.7.8 no\r\n535 5.7.8 really not\r\n", Verdict::Refused, 535, Some("5.7.8")),
        ("535 no\r\n", Verdict::Refused, 535, None),
        ("525 5.7.13 off\r\n", Verdict::Refused, 525, Some("5.7.13")),
    ];
    for (reply, verdict, code, enhanced) in table {
        let report = done(auth(together([up_to(2), vec![Act::say(reply)], leave()]), PATIENT).await.0);
        assert_eq!(
            (report.verdict, report.code, report.enhanced.as_deref(), report.mechanism),
            (verdict, code, enhanced, "PLAIN")
        );
    }
}

#[tokio::test]
async fn replies_at_each_phase_of_a_send() {
    let table: [(usize, &str, &str, FaultClass); 25] = [
        (0, "421 4.3.2 busy\r\n", "HO0802", Temporary),
        (0, "421 4.7.0 too many connections\r\n", "HO0803", Temporary),
        (0, "554 5.7.1 your address is blocked\r\n", "HO0808", Environment),
        (1, "421 bye\r\n", "HO0802", Temporary),
        (1, "550 no\r\n", "HO0808", Environment),
        (2, "535 5.7.8 no\r\n", "HO0801", Credential),
        (2, "525 5.7.13 off\r\n", "HO0801", Credential),
        (2, "525 5.7.1 your address\r\n", "HO0808", Environment),
        (2, "454 4.7.0 later\r\n", "HO0802", Temporary),
        (2, "421 too many auth failures\r\n", "HO0803", Temporary),
        (2, "432 4.7.12 transition\r\n", "HO0807", Environment),
        (2, "538 5.7.11 encrypt\r\n", "HO0804", Environment),
        (2, "504 5.5.4 mechanism\r\n", "HO0805", Environment),
        (2, "554 5.7.1 what\r\n", "HO0804", Environment),
        (2, "250 ok\r\n", "HO0813", Environment),
        (3, "535 5.7.8 session ended\r\n", "HO0801", Credential),
        (3, "454 Throttling failure: Maximum sending rate exceeded.\r\n", "HO0803", Temporary),
        (3, "530 5.7.0 log in\r\n", "HO0804", Environment),
        (3, "553 5.7.1 not yours\r\n", "HO0806", Environment),
        (4, "550 5.1.1 nobody\r\n", "HO0806", Environment),
        (4, "450 4.2.0 greylisted\r\n", "HO0802", Temporary),
        (5, "554 5.5.1 no\r\n", "HO0806", Environment),
        (6, "554 Access denied\r\n", "HO0806", Environment),
        (6, "451 4.3.0 later\r\n", "HO0802", Temporary),
        (6, "421 4.3.2 bye\r\n", "HO0802", Temporary),
    ];
    for (phase, reply, code, class) in table {
        let fault = not_done(send(together([up_to(phase), vec![Act::say(reply), Act::Hang]]), PATIENT).await.0);
        assert_eq!((fault.code.as_str(), fault.class), (code, class), "{phase} {reply}");
    }
}

/// Before the last dot a lost connection or a lost answer is "not done"; behind it, "unknown".
fn by_phase(phase: usize, outcome: Outcome<SendReport>, code: &str) -> Fault {
    if phase < 6 {
        let fault = not_done(outcome);
        assert_eq!((fault.code.as_str(), fault.class), (code, Temporary), "{phase}");
        return fault;
    }
    let fault = unknown(outcome);
    assert_eq!((fault.code.as_str(), fault.class), ("HO0814", Temporary));
    assert!(fault.message.contains(code), "{fault}");
    fault
}

#[tokio::test]
async fn connections_lost_at_each_phase() {
    for phase in 0..=6 {
        by_phase(phase, send(up_to(phase), PATIENT).await.0, "HO0812");
        // In the middle of a reply.
        let half = together([up_to(phase), vec![Act::say("25")]]);
        by_phase(phase, send(half, PATIENT).await.0, "HO0812");
    }
    for phase in 0..=2 {
        assert_eq!(not_done(auth(up_to(phase), PATIENT).await.0).code, "HO0812");
    }
}

#[tokio::test]
async fn silence_at_each_phase() {
    let short = Duration::from_millis(150);
    for phase in 0..=6 {
        let script = together([up_to(phase), vec![Act::Hang]]);
        // Only the phase in question is hurried, so that a slow machine changes nothing.
        let timeouts = match phase {
            2 => Timeouts { auth: short, ..PATIENT },
            6 => Timeouts { message: short, ..PATIENT },
            _ => Timeouts { reply: short, ..PATIENT },
        };
        let fault = by_phase(phase, send(script, timeouts).await.0, "HO0811");
        assert!(fault.message.contains("150ms"), "{fault}");
    }
    // One limit over all: the same border.
    for phase in [2, 6] {
        let script = together([up_to(phase), vec![Act::Hang]]);
        let timeouts = Timeouts { whole: Duration::from_millis(1500), ..PATIENT };
        by_phase(phase, send(script, timeouts).await.0, "HO0811");
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_quit_changes_nothing() {
    let (outcome, _) = auth(together([up_to(2), vec![Act::say("235 ok\r\n")]]), PATIENT).await;
    assert_eq!(done(outcome).verdict, Verdict::Accepted);
    let (outcome, _) =
        send(together([up_to(6), vec![Act::say("250 ok\r\n"), Act::expect("QUIT"), Act::Hang]]), PATIENT).await;
    done(outcome);
}

#[tokio::test]
async fn a_clear_no_in_the_middle_of_the_message_is_heard() {
    let early = vec![Act::say("354 go\r\n"), Act::expect("From: "), Act::say("451 4.3.0 stop\r\n"), Act::Hang];
    assert_eq!(not_done(send(together([up_to(5), early]), PATIENT).await.0).code, "HO0802");
}

#[tokio::test]
async fn unclear_answers_to_the_message_are_unknown() {
    for reply in ["354 more\r\n", "251 what\r\n", "junk\r\n", "250-a\r\n550 b\r\n"] {
        let fault = unknown(send(together([up_to(6), vec![Act::say(reply), Act::Hang]]), PATIENT).await.0);
        assert_eq!(fault.code, "HO0814", "{reply}");
    }
}

#[tokio::test]
async fn huge_and_broken_answers_are_cut_off() {
    let many: String = "250-x\r\n".repeat(100_000);
    for phase in 0..=2 {
        let table = [
            vec![Act::Flood(10 << 20), Act::Hang],
            vec![Act::say("250-"), Act::Flood(10 << 20), Act::Hang],
            vec![Act::Say(many.clone().into()), Act::Hang],
            vec![Act::say("hello\r\n"), Act::Hang],
            vec![Act::say("\0\0\0\0\r\n"), Act::Hang],
            vec![Act::say("220-a\r\n250 b\r\n"), Act::Hang],
        ];
        for end in table {
            let (outcome, _) = auth(together([up_to(phase), end]), PATIENT).await;
            let fault = not_done(outcome);
            assert_eq!((fault.code.as_str(), fault.class), ("HO0813", Environment), "{phase} {fault}");
        }
    }
}

#[tokio::test]
async fn control_characters_of_the_server_do_not_get_through() {
    let reply = "454 4.7.0 \x1b]0;owned\x07 \u{202e}evil\rfake line\x00\r\n";
    let fault = not_done(auth(together([up_to(2), vec![Act::say(reply), Act::Hang]]), PATIENT).await.0);
    assert!(fault.message.contains("\\u{1b}]0;owned\\u{7} \\u{202e}evil\\rfake line\\u{0}"), "{fault}");
    assert!(!fault.message.chars().any(char::is_control));
}

#[tokio::test]
async fn a_goodbye_before_the_command_is_heard() {
    let script = together([implicit("PLAIN"), plain_accepted(), vec![Act::say("421 4.4.2 idle\r\n"), Act::Hang]]);
    let (outcome, _) = auth(script, PATIENT).await;
    assert_eq!(done(outcome).verdict, Verdict::Accepted);
    // Here the goodbye comes in the same packet as the reply before.
    let script = together([up_to(2), vec![Act::say("235 ok\r\n421 4.3.2 shutting down\r\n"), Act::Hang]]);
    assert_eq!(not_done(send(script, PATIENT).await.0).code, "HO0802");
    let script = together([up_to(2), vec![Act::say("235 ok\r\n250 and more\r\n"), Act::Hang]]);
    assert_eq!(not_done(send(script, PATIENT).await.0).code, "HO0813");
}

#[tokio::test]
async fn nobody_there() {
    // Bound and not listening: nobody else can take the port meanwhile.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let running = server::nobody(port);
    let fault = not_done(mail(&running, &Ca::new().trusting(), Tls::Implicit, PATIENT).auth(&login()).await);
    assert_eq!((fault.code.as_str(), fault.class), ("HO0810", Temporary));
    assert!(fault.message.contains(&port.to_string()));
}

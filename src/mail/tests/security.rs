//! TLS is never optional and never weakened (threat T4).

use std::fs;
use std::time::Duration;

use handover_rotation::outcome::FaultClass;
use rustls::version::{TLS12, TLS13};

use super::server::{Act, Ca, start};
use super::{PATIENT, Timeouts, done, implicit, leave, login, mail, not_done, plain_accepted, play, start_tls, together};
use crate::config::inventory::Tls;
use crate::mail::Mail;

/// Nothing but EHLO and STARTTLS may have been heard.
fn nothing_secret(heard: &[String]) {
    assert!(heard.iter().all(|l| l.starts_with("EHLO") || l == "STARTTLS"), "{heard:?}");
}

#[tokio::test]
async fn what_is_said_in_clear_before_tls_can_only_stop_us() {
    let after_hello = |text| vec![Act::say("220 hi\r\n"), Act::expect("EHLO"), Act::say(text)];
    let after_start = |text| {
        let mut acts = after_hello("250-hi\r\n250 STARTTLS\r\n");
        acts.extend([Act::expect("STARTTLS"), Act::say(text)]);
        acts
    };
    let table = [
        ("STARTTLS is missing", after_hello("250-hi\r\n250 AUTH PLAIN\r\n"), "HO0820"),
        ("STARTTLS is only part of a word", after_hello("250-hi\r\n250 XSTARTTLS\r\n"), "HO0820"),
        ("no EHLO", after_hello("502 what\r\n"), "HO0804"),
        ("refused for good", after_start("502 5.5.1 no\r\n"), "HO0804"),
        ("refused for now", after_start("454 4.3.0 TLS not available\r\n"), "HO0802"),
        ("accepted with the wrong code", after_start("250 ok\r\n"), "HO0813"),
        ("a reply before the command", after_hello("250-hi\r\n250 STARTTLS\r\n220 go\r\n"), "HO0821"),
        ("a reply behind the reply", after_start("220 go\r\n250-evil\r\n250 AUTH PLAIN\r\n"), "HO0821"),
        ("half a line behind the reply", after_start("220 go\r\n2"), "HO0821"),
        ("two greetings", vec![Act::say("220 hi\r\n250 evil\r\n"), Act::Hang], "HO0813"),
        (
            "TLS that is not TLS",
            [after_start("220 go\r\n"), vec![Act::Bytes(5), Act::say("250 AUTH PLAIN\r\n")]].into_iter().flatten().collect(),
            "HO0825",
        ),
    ];
    for (name, mut script, code) in table {
        script.push(Act::Hang);
        let (running, trusting) = play(script).await;
        let mail = mail(&running, &trusting, Tls::StartTls, PATIENT);
        let fault = not_done(mail.auth(&login()).await);
        assert_eq!(fault.code, code, "{name}: {fault}");
        let class = if code == "HO0802" { FaultClass::Temporary } else { FaultClass::Environment };
        assert_eq!(fault.class, class, "{name}");
        nothing_secret(&running.heard().await);
    }
}

#[tokio::test]
async fn capabilities_from_before_tls_are_forgotten() {
    // In clear the server offers LOGIN; over TLS it offers nothing.
    let (running, trusting) = play(together([start_tls("XOAUTH2"), vec![Act::Hang]])).await;
    let fault = not_done(mail(&running, &trusting, Tls::StartTls, PATIENT).auth(&login()).await);
    assert_eq!(fault.code, "HO0830");
    assert!(fault.message.contains("XOAUTH2"), "{fault}");
    nothing_secret(&running.heard().await);
}

#[tokio::test]
async fn certificates_are_verified() {
    let ca = Ca::new();
    let both = [&TLS13, &TLS12];
    let table = [
        ("another CA", Ca::new().acceptor(&["127.0.0.1"], 2096, &both), "127.0.0.1", "HO0822"),
        ("expired", ca.acceptor(&["127.0.0.1"], 2001, &both), "127.0.0.1", "HO0823"),
        ("another address", ca.acceptor(&["127.0.0.2"], 2096, &both), "127.0.0.1", "HO0824"),
        ("a name instead of the address", ca.acceptor(&["localhost"], 2096, &both), "127.0.0.1", "HO0824"),
        ("another name", ca.acceptor(&["example.com"], 2096, &both), "localhost", "HO0824"),
    ];
    for (name, acceptor, host, code) in table {
        for tls in [Tls::Implicit, Tls::StartTls] {
            let script = if tls == Tls::Implicit { implicit("PLAIN") } else { start_tls("PLAIN") };
            let running = start(acceptor.clone(), vec![script]).await;
            let mut trusting = ca.trusting();
            trusting.host = host;
            let fault = not_done(mail(&running, &trusting, tls, PATIENT).auth(&login()).await);
            assert_eq!((fault.code.as_str(), fault.class), (code, FaultClass::Environment), "{name}: {fault}");
            nothing_secret(&running.heard().await);
        }
    }
}

#[tokio::test]
async fn the_system_does_not_vouch_for_our_ca() {
    let (running, mut trusting) = play(implicit("PLAIN")).await;
    let server = crate::config::inventory::SmtpServer {
        host: "127.0.0.1".to_owned(),
        port: running.port,
        tls: Tls::Implicit,
        ca_file: None,
    };
    let arrival = crate::mail::Arrival::None;
    let mail = crate::mail::SmtpMail::new(server, "a@example.com", "b@example.com", arrival, PATIENT).unwrap();
    let fault = not_done(mail.auth(&login()).await);
    // HO0826 where a machine has no roots at all.
    assert!(matches!(fault.code.as_str(), "HO0822" | "HO0826"), "{fault}");

    // A CA file that is missing, empty, not PEM, or too large stops before anything is sent.
    let path = trusting.ca_file.clone();
    for text in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &"x".repeat(2 << 20)] {
        fs::write(&path, text).unwrap();
        let fault = not_done(super::mail(&running, &trusting, Tls::Implicit, PATIENT).auth(&login()).await);
        assert_eq!(fault.code, "HO0826", "{fault}");
    }
    trusting.ca_file = path.with_file_name("none.pem");
    let fault = not_done(super::mail(&running, &trusting, Tls::Implicit, PATIENT).auth(&login()).await);
    assert_eq!(fault.code, "HO0826", "{fault}");
}

#[tokio::test]
async fn protocol_and_cipher_are_reported() {
    let ca = Ca::new();
    for (version, want) in [(&TLS13, "TLSv1.3 TLS13_"), (&TLS12, "TLSv1.2 TLS_ECDHE_")] {
        for host in ["127.0.0.1", "localhost"] {
            let script = together([start_tls("PLAIN"), plain_accepted(), leave()]);
            let running = start(ca.acceptor(&["127.0.0.1", "localhost"], 2096, &[version]), vec![script]).await;
            let mut trusting = ca.trusting();
            trusting.host = host;
            let report = done(mail(&running, &trusting, Tls::StartTls, PATIENT).auth(&login()).await);
            assert!(report.tls.starts_with(want), "{}", report.tls);
            assert_eq!(running.heard().await.last().unwrap(), "QUIT");
        }
    }
}

#[tokio::test]
async fn a_plain_server_behind_a_tls_port_gets_nothing() {
    let (running, trusting) = play(vec![Act::say("220 hello\r\n"), Act::Hang]).await;
    let fault = not_done(mail(&running, &trusting, Tls::Implicit, PATIENT).auth(&login()).await);
    assert_eq!(fault.code, "HO0825", "{fault}");
    assert!(running.heard().await.is_empty());
}

#[tokio::test]
async fn a_silent_handshake_ends_in_time() {
    let (running, trusting) = play(vec![Act::Hang]).await;
    let timeouts = Timeouts { handshake: Duration::from_millis(80), ..PATIENT };
    let fault = not_done(mail(&running, &trusting, Tls::Implicit, timeouts).auth(&login()).await);
    assert_eq!((fault.code.as_str(), fault.class), ("HO0811", FaultClass::Temporary));
    assert!(running.heard().await.is_empty());
}

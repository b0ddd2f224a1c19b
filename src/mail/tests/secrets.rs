//! A marked password is nowhere but in the bytes of AUTH, even if the server repeats it.

use std::io;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use handover_rotation::name::Username;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::server::Act;
use super::{PATIENT, implicit, mail, play, together};
use crate::config::inventory::Tls;
use crate::mail::{Mail, Transcript};
use crate::secret::{Login, Secret};

const MARKED: &str = "MARKED-7f3a-PASSWORD";

/// Every way in which the password could be written. Each is the longest part that any surrounding text leaves alone.
fn forms() -> Vec<String> {
    let mut forms = vec![MARKED.to_owned(), "MARKED".to_owned(), "7f3a".to_owned()];
    for skip in 0..3 {
        // Base64 of the password behind 0, 1 or 2 other bytes, without the letters that those bytes touch.
        let text = BASE64.encode(format!("{}{MARKED}", &"ab"[..skip]));
        forms.push(text[4..text.len() - 4].to_owned());
    }
    forms
}

fn check(what: &str, text: &str) {
    for form in forms() {
        assert!(!text.contains(&form), "{what} has {form}: {text}");
    }
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn plain() -> String {
    BASE64.encode(format!("\0user\0{MARKED}"))
}

fn scripts() -> Vec<(&'static str, Vec<Act>, bool)> {
    let echo = |line: &str| format!("535-5.7.8 bad line {line}\r\n535 5.7.8 the password {MARKED} is wrong\r\n");
    let twice = |line: &str| format!("454-4.7.0 {line}\r\n454 4.7.0 {}\r\n", BASE64.encode(MARKED));
    let login = || {
        vec![Act::expect("AUTH LOGIN"), Act::say("334 VXNlcm5hbWU6\r\n"), Act::expect(""), Act::say("334 UGFzc3dvcmQ6\r\n")]
    };
    vec![
        ("accepted", together([implicit("PLAIN"), vec![Act::expect("AUTH"), Act::say("235 ok\r\n")]]), true),
        ("refused and repeated", together([implicit("PLAIN"), vec![Act::Reply(Box::new(echo))]]), true),
        ("temporary and repeated", together([implicit("PLAIN"), vec![Act::Reply(Box::new(twice))]]), true),
        ("login, repeated", together([implicit("LOGIN"), login(), vec![Act::Reply(Box::new(echo))]]), true),
        (
            "repeated as no reply at all",
            together([implicit("PLAIN"), vec![Act::Reply(Box::new(|line| format!("{line}\r\n{MARKED}\r\n")))]]),
            true,
        ),
        (
            "repeated as a challenge",
            together([implicit("LOGIN"), login(), vec![Act::Reply(Box::new(|line| format!("334 {line}\r\n")))]]),
            true,
        ),
        (
            "a capability from nowhere",
            together([vec![
                Act::Tls,
                Act::say("220 hi\r\n"),
                Act::expect("EHLO"),
                Act::say("250-hi\r\n250 AUTH XOAUTH2\r\n"),
            ]]),
            false,
        ),
        ("lost", together([implicit("SCRAM-SHA-256 PLAIN"), vec![Act::expect("AUTH SCRAM"), Act::say("334 \r\n")]]), false),
    ]
}

#[tokio::test]
async fn a_marked_password_stays_inside_auth() {
    let captured = Captured::default();
    let writer = captured.clone();
    let guard = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(writer)
        .with_ansi(false)
        .finish()
        .set_default();
    let login = Login { username: Username::new("user").unwrap(), password: Secret::new(MARKED.to_owned()) };
    for sends in [false, true] {
        for (name, script, password_goes_out) in scripts() {
            let (running, trusting) = play(script).await;
            let mail = mail(&running, &trusting, Tls::Implicit, PATIENT);
            let transcript = Transcript::default();
            let shown = if sends {
                let outcome = mail.send_noting(&login, "nonce-1", &transcript).await;
                format!("{outcome:?} {}", outcome.fault().map_or_else(String::new, |f| format!("{f} {f:#?}")))
            } else {
                let outcome = mail.auth_noting(&login, &transcript).await;
                format!("{outcome:?} {}", outcome.fault().map_or_else(String::new, |f| format!("{f} {f:#?}")))
            };
            check(name, &shown);
            let lines = transcript.lines().join("\n");
            check(name, &lines);
            check(name, &format!("{transcript:?}"));
            assert!(lines.contains("C: EHLO") && lines.contains("TLSv1.3"), "{lines}");
            // The test is worth something only if the password was on the wire.
            let heard = running.heard().await.join("\n");
            let went = heard.contains(&plain()) || heard.contains(&BASE64.encode(MARKED));
            assert_eq!(went, password_goes_out, "{name}: {heard}");
        }
    }
    drop(guard);
    let log = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("C: AUTH PLAIN [hidden]") && log.contains("it repeats the password"), "{log}");
    check("the log", &log);
}

#[test]
#[should_panic(expected = "the log has")]
fn a_planted_password_is_found() {
    check("the log", &format!("DEBUG C: AUTH PLAIN {}", plain()));
}

#[tokio::test]
async fn a_transcript_is_evidence() {
    let (running, trusting) = play(together([super::start_tls("PLAIN"), super::plain_accepted(), super::leave()])).await;
    let transcript = Transcript::default();
    super::done(mail(&running, &trusting, Tls::StartTls, PATIENT).auth_noting(&super::login(), &transcript).await);
    let lines = transcript.lines();
    let said: Vec<&str> =
        lines.iter().map(String::as_str).filter(|l| !l.starts_with("* ") && !l.starts_with("*:")).collect();
    assert_eq!(
        said,
        [
            "S: 220 hello",
            "C: EHLO [127.0.0.1]",
            "S: 250-hi",
            "S: 250-STARTTLS",
            "S: 250 AUTH LOGIN",
            "C: STARTTLS",
            "S: 220 2.0.0 go",
            "C: EHLO [127.0.0.1]",
            "S: 250-hi",
            "S: 250 AUTH PLAIN",
            "C: AUTH PLAIN [hidden]",
            "S: 235 2.7.0 welcome",
            "C: QUIT",
            "S: 221 2.0.0 bye",
        ]
    );
    drop(running);
    assert!(lines.iter().any(|l| l.starts_with("*: TLSv1.3 TLS13_")), "{lines:?}");
    // The trait's own calls say the same.
    let (running, trusting) = play(together([super::start_tls("PLAIN"), super::plain_accepted(), super::leave()])).await;
    let report = super::done(mail(&running, &trusting, Tls::StartTls, PATIENT).auth(&super::login()).await);
    assert_eq!(report.code, 235);
}

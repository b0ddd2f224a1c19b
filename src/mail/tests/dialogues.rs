//! The dialogues of PLAIN, LOGIN and SCRAM, and the choice between them.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use handover_rotation::name::Username;
use handover_rotation::outcome::Outcome;

use super::server::Act;
use super::{PATIENT, done, implicit, leave, login, mail, not_done, play, together};
use crate::config::inventory::Tls;
use crate::mail::{AuthReport, Mail, Verdict};
use crate::secret::{Login, Secret};

async fn auth(script: Vec<Act>, login: &Login) -> (Outcome<AuthReport>, Vec<String>) {
    let (running, trusting) = play(script).await;
    let outcome = mail(&running, &trusting, Tls::Implicit, PATIENT).auth(login).await;
    (outcome, running.heard().await)
}

fn with_password(password: &str) -> Login {
    Login { username: Username::new("user").unwrap(), password: Secret::new(password.to_owned()) }
}

/// The steps of a server that knows `user` with `password`. `end` makes the last answers from the proof's fitness and the
/// server's signature.
fn scram_server(sha1: bool, password: &'static str, end: fn(bool, &str) -> String) -> Vec<Act> {
    let (hmac_kind, hash, derive) = if sha1 {
        (hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &digest::SHA1_FOR_LEGACY_USE_ONLY, pbkdf2::PBKDF2_HMAC_SHA1)
    } else {
        (hmac::HMAC_SHA256, &digest::SHA256, pbkdf2::PBKDF2_HMAC_SHA256)
    };
    let said = Arc::new(Mutex::new(String::new()));
    let first = Arc::clone(&said);
    let name = if sha1 { "AUTH SCRAM-SHA-1 " } else { "AUTH SCRAM-SHA-256 " };
    let on_first = move |line: &str| {
        let text = String::from_utf8(BASE64.decode(line.strip_prefix(name).unwrap()).unwrap()).unwrap();
        let bare = text.strip_prefix("n,,").unwrap();
        let nonce = bare.strip_prefix("n=user,r=").unwrap();
        let server = format!("r={nonce}SERVER,s={},i=4096", BASE64.encode("salt"));
        *first.lock().unwrap() = format!("{bare},{server}");
        format!("334 {}\r\n", BASE64.encode(server))
    };
    let on_last = move |line: &str| {
        let text = String::from_utf8(BASE64.decode(line).unwrap()).unwrap();
        let (bare, proof) = text.split_once(",p=").unwrap();
        let all = format!("{},{bare}", said.lock().unwrap());
        let mut salted = vec![0; hash.output_len()];
        pbkdf2::derive(derive, NonZeroU32::new(4096).unwrap(), b"salt", password.as_bytes(), &mut salted);
        let sign = |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(hmac_kind, key), text.as_bytes());
        let client = sign(&salted, "Client Key");
        let stored = digest::digest(hash, client.as_ref());
        let mask = sign(stored.as_ref(), &all);
        let want: Vec<u8> = client.as_ref().iter().zip(mask.as_ref()).map(|(a, b)| a ^ b).collect();
        let signature = sign(sign(&salted, "Server Key").as_ref(), &all);
        end(BASE64.decode(proof).unwrap() == want, &BASE64.encode(signature.as_ref()))
    };
    vec![Act::Reply(Box::new(on_first)), Act::Reply(Box::new(on_last))]
}

/// The proof in a 334, the verdict behind it; a wrong password is refused at once.
fn in_order(fits: bool, signature: &str) -> String {
    if fits { format!("334 {}\r\n", BASE64.encode(format!("v={signature}"))) } else { "535 5.7.8 no\r\n".to_owned() }
}

#[tokio::test]
async fn plain_and_login() {
    let plain = vec![Act::expect("AUTH PLAIN AHVzZXIAcGVuY2ls"), Act::say("235 ok\r\n")];
    // LOGIN only where nothing better is offered; names in any case.
    for offer in ["LOGIN PLAIN", "login plain XOAUTH2"] {
        let report = done(
            auth(together([implicit(offer), vec![Act::expect("AUTH PLAIN "), Act::say("235 ok\r\n")], leave()]), &login())
                .await
                .0,
        );
        assert_eq!(report.mechanism, "PLAIN");
    }
    drop(plain);
    let steps = |last| {
        vec![
            Act::expect("AUTH LOGIN"),
            Act::say("334 VXNlcm5hbWU6\r\n"),
            Act::expect("dXNlcg=="),
            Act::say("334 UGFzc3dvcmQ6\r\n"),
            Act::expect("cGVuY2ls"),
            Act::say(last),
        ]
    };
    let (outcome, heard) = auth(together([implicit("LOGIN"), steps("235 ok\r\n"), leave()]), &login()).await;
    assert_eq!((done(outcome).mechanism, heard.len()), ("LOGIN", 5));
    let (outcome, _) = auth(together([implicit("LOGIN"), steps("535 5.7.8 no\r\n"), leave()]), &login()).await;
    assert_eq!(done(outcome).verdict, Verdict::Refused);
    let (outcome, heard) =
        auth(together([implicit("LOGIN"), vec![Act::expect("AUTH LOGIN"), Act::say("454 later\r\n"), Act::Hang]]), &login())
            .await;
    assert_eq!(not_done(outcome).code, "HO0802");
    assert!(!heard.iter().any(|l| l.contains("cGVuY2ls")));
    // A fourth question is none of LOGIN's.
    let (outcome, _) = auth(together([implicit("LOGIN"), steps("334 TW9yZTo=\r\n"), vec![Act::Hang]]), &login()).await;
    assert_eq!(not_done(outcome).code, "HO0813");
}

#[tokio::test]
async fn the_old_spelling_of_the_capability() {
    let script = vec![
        Act::Tls,
        Act::say("220 hi\r\n"),
        Act::expect("EHLO"),
        Act::say("250-hi\r\n250 AUTH=PLAIN\r\n"),
        Act::expect("AUTH PLAIN "),
        Act::say("235 ok\r\n"),
    ];
    assert_eq!(done(auth(together([script, leave()]), &login()).await.0).mechanism, "PLAIN");
}

#[tokio::test]
async fn a_long_plain_response_waits_to_be_asked() {
    let long = with_password(&"p".repeat(600));
    let steps = |last| vec![Act::expect("AUTH PLAIN"), Act::say("334 \r\n"), Act::expect("AHVzZXIA"), Act::say(last)];
    let (outcome, heard) = auth(together([implicit("PLAIN"), steps("235 ok\r\n"), leave()]), &long).await;
    assert_eq!(done(outcome).verdict, Verdict::Accepted);
    assert_eq!(heard[1], "AUTH PLAIN");
}

#[tokio::test]
async fn another_mechanism_is_tried_when_one_is_not_taken() {
    let script = vec![
        Act::expect("AUTH PLAIN "),
        Act::say("534 5.7.9 too weak\r\n"),
        Act::expect("AUTH LOGIN"),
        Act::say("504 5.5.4 unknown\r\n"),
        Act::Hang,
    ];
    let (outcome, _) = auth(together([implicit("PLAIN LOGIN"), script]), &login()).await;
    assert_eq!(not_done(outcome).code, "HO0805");
}

#[tokio::test]
async fn scram_is_preferred_and_gives_nothing_away() {
    for (sha1, offer) in [(false, "LOGIN PLAIN SCRAM-SHA-1 SCRAM-SHA-256"), (true, "PLAIN SCRAM-SHA-1")] {
        let end = vec![Act::expect(""), Act::say("235 2.7.0 ok\r\n")];
        let (outcome, heard) =
            auth(together([implicit(offer), scram_server(sha1, "pencil", in_order), end, leave()]), &login()).await;
        let report = done(outcome);
        assert_eq!(
            (report.verdict, report.mechanism),
            (Verdict::Accepted, if sha1 { "SCRAM-SHA-1" } else { "SCRAM-SHA-256" })
        );
        assert!(
            !heard.iter().any(|l| l.contains("pencil") || l.contains("cGVuY2ls") || l.contains("AHVzZXIA")),
            "{heard:?}"
        );
    }
    // The proof in the text of the 235.
    let in_text = |_, signature: &str| format!("235 {}\r\n", BASE64.encode(format!("v={signature}")));
    let (outcome, _) =
        auth(together([implicit("SCRAM-SHA-256"), scram_server(false, "pencil", in_text), leave()]), &login()).await;
    assert_eq!(done(outcome).verdict, Verdict::Accepted);
}

#[tokio::test]
async fn a_wrong_password_is_refused_by_scram_and_not_tried_again() {
    let script = together([implicit("SCRAM-SHA-256 SCRAM-SHA-1 PLAIN"), scram_server(false, "other", in_order), leave()]);
    let (outcome, heard) = auth(script, &login()).await;
    assert_eq!((done(outcome).verdict, heard.last().unwrap().as_str()), (Verdict::Refused, "QUIT"));
    // The same, said in SCRAM's own words first.
    let in_words = |_, _: &str| format!("334 {}\r\n", BASE64.encode("e=invalid-proof"));
    let end = vec![Act::expect(""), Act::say("535 5.7.8 no\r\n")];
    let (outcome, _) =
        auth(together([implicit("SCRAM-SHA-256 PLAIN"), scram_server(false, "other", in_words), end, leave()]), &login())
            .await;
    assert_eq!(done(outcome).verdict, Verdict::Refused);
}

#[tokio::test]
async fn a_server_that_cannot_prove_itself_is_not_believed() {
    let accepts: fn(bool, &str) -> String = |_, _| "235 2.7.0 welcome\r\n".to_owned();
    let guesses: fn(bool, &str) -> String = |_, _| format!("334 {}\r\n", BASE64.encode("v=AAAAAAAAAAAAAAAAAAAAAAAAAAA="));
    let failed: fn(bool, &str) -> String = |_, _| format!("334 {}\r\n", BASE64.encode("e=other-error"));
    let junk: fn(bool, &str) -> String = |_, _| "334 %%%\r\n".to_owned();
    for (end, more) in [(accepts, ""), (guesses, ""), (junk, ""), (failed, "235 2.7.0 welcome after all\r\n")] {
        let mut script = together([implicit("SCRAM-SHA-256 PLAIN"), scram_server(false, "other", end)]);
        if !more.is_empty() {
            script.extend([Act::expect(""), Act::say(more)]);
        }
        script.push(Act::Hang);
        let (outcome, heard) = auth(script, &login()).await;
        assert_eq!(not_done(outcome).code, "HO0831");
        assert!(!heard.iter().any(|l| l.starts_with("AUTH PLAIN")));
    }
    // Accepted before any exchange, and a first message that is not one.
    for reply in ["235 2.7.0 welcome\r\n", "334 %%%\r\n", "334 bm9uc2Vuc2U=\r\n"] {
        let script = vec![Act::expect("AUTH SCRAM-SHA-256 "), Act::say(reply), Act::Hang];
        assert_eq!(not_done(auth(together([implicit("SCRAM-SHA-256 PLAIN"), script]), &login()).await.0).code, "HO0831");
    }
}

#[tokio::test]
async fn a_scram_refusal_before_any_challenge_is_checked_by_plain() {
    // The server offers SCRAM, but holds no SCRAM verifier for this account.
    let script = |last| {
        vec![Act::expect("AUTH SCRAM-SHA-256 "), Act::say("535 5.7.8 no\r\n"), Act::expect("AUTH PLAIN "), Act::say(last)]
    };
    for (last, verdict) in [("235 ok\r\n", Verdict::Accepted), ("535 5.7.8 no\r\n", Verdict::Refused)] {
        let (outcome, _) =
            auth(together([implicit("SCRAM-SHA-256 SCRAM-SHA-1 PLAIN"), script(last), leave()]), &login()).await;
        let report = done(outcome);
        assert_eq!((report.verdict, report.mechanism), (verdict, "PLAIN"));
    }
    let (outcome, _) =
        auth(together([implicit("SCRAM-SHA-256 PLAIN"), script("454 4.7.0 later\r\n"), vec![Act::Hang]]), &login()).await;
    assert_eq!(not_done(outcome).code, "HO0802");
    // Where there is nothing else, its word stands.
    let alone = vec![Act::expect("AUTH SCRAM-SHA-256 "), Act::say("535 5.7.8 no\r\n")];
    assert_eq!(
        done(auth(together([implicit("SCRAM-SHA-256"), alone, leave()]), &login()).await.0).verdict,
        Verdict::Refused
    );
}

#[tokio::test]
async fn passwords_that_a_mechanism_cannot_carry() {
    let (outcome, heard) = auth(
        together([implicit("SCRAM-SHA-256 PLAIN"), vec![Act::expect("AUTH PLAIN "), Act::say("235 ok\r\n")], leave()]),
        &with_password("gr\u{fc}n"),
    )
    .await;
    assert_eq!((done(outcome).mechanism, heard[1].as_str()), ("PLAIN", "AUTH PLAIN AHVzZXIAZ3LDvG4="));
    let (outcome, _) = auth(together([implicit("SCRAM-SHA-256 PLAIN"), vec![Act::Hang]]), &with_password("a\0b")).await;
    assert_eq!(not_done(outcome).code, "HO0830");
}

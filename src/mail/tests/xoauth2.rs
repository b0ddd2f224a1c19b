//! A login by a token: what is sent, what each answer means, and that the token goes nowhere else.

use std::sync::Arc;

use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use handover_rotation::outcome::{FaultClass, Outcome};
use handover_rotation::time::Span;
use serde_json::{Value, json};

use super::server::{Act, Ca, nobody};
use super::{PATIENT, done, implicit, leave, login, mail, not_done, play, together};
use crate::config::inventory::Tls;
use crate::mail::{AuthReport, Mail, Transcript, Verdict};
use crate::oauth::{Bearer, Door};
use crate::web::{Api, TOKEN};

/// What the server says of a token that it does not take.
const WHY: &str = r#"{"status":"401","schemes":"bearer","scope":"MARKED https://outlook.office.com/"}"#;

/// An endpoint that answers so to the one password that is sent here.
async fn endpoint(status: u16, answer: Value) -> Arc<Bearer> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let answer = move |body: String| async move {
        assert_eq!(body, "grant_type=client_credentials&client_id=sender&client_secret=pencil&scope=smtp%2F.default");
        (axum::http::StatusCode::from_u16(status).unwrap(), axum::Json(answer))
    };
    let router = axum::Router::new().route("/tenant/oauth2/v2.0/token", post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    bearer(&address)
}

fn bearer(address: &str) -> Arc<Bearer> {
    let api = Api::new("Entra", &address.parse().unwrap(), None, Span::seconds(20), TOKEN).unwrap();
    Bearer::new(Door::new(api, "tenant", TOKEN), "sender", "smtp/.default")
}

async fn granted(token: &str) -> Arc<Bearer> {
    endpoint(200, json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer"})).await
}

/// What a login comes to, what the server heard, and what was written down.
async fn auth(script: Vec<Act>, bearer: Arc<Bearer>) -> (Outcome<AuthReport>, Vec<String>, String) {
    let (running, trusting) = play(script).await;
    let transcript = Transcript::default();
    let mail = mail(&running, &trusting, Tls::Implicit, PATIENT).with_bearer(Some(bearer));
    let outcome = mail.auth_noting(&login(), &transcript).await;
    (outcome, running.heard().await, transcript.lines().join("\n"))
}

fn response(token: &str) -> String {
    BASE64.encode(format!("user=user\u{1}auth=Bearer {token}\u{1}\u{1}"))
}

#[tokio::test]
async fn a_token_is_asked_for_and_shown_in_the_form_of_the_mechanism() {
    let line = format!("AUTH XOAUTH2 {}", response("MARKED-token"));
    let script =
        together([implicit("LOGIN XOAUTH2"), vec![Act::Expect(line.into()), Act::say("235 2.7.0 ok\r\n")], leave()]);
    let (outcome, heard, written) = auth(script, granted("MARKED-token").await).await;
    let report = done(outcome);
    assert_eq!((report.verdict, report.mechanism, report.code), (Verdict::Accepted, "XOAUTH2", 235));
    assert_eq!(heard.len(), 3);
    for hidden in ["MARKED", "pencil", &response("MARKED-token")] {
        assert!(!written.contains(hidden), "{hidden}: {written}");
    }
}

/// Real tokens are longer than a command may be.
#[tokio::test]
async fn a_long_token_waits_to_be_asked() {
    let token = "t".repeat(1800);
    let script = vec![
        Act::expect("AUTH XOAUTH2"),
        Act::say("334 \r\n"),
        Act::Expect(response(&token).into()),
        Act::say("235 2.7.0 ok\r\n"),
    ];
    let (outcome, heard, _) = auth(together([implicit("XOAUTH2"), script, leave()]), granted(&token).await).await;
    assert_eq!(done(outcome).verdict, Verdict::Accepted);
    assert_eq!(heard[1], "AUTH XOAUTH2");
}

/// The one thing that is a word about the password: whoever gives tokens says that it is none.
#[tokio::test]
async fn a_password_that_gets_no_token_is_refused_and_the_server_is_left_alone() {
    for code in [7_000_215, 7_000_222] {
        let answer = json!({"error": "invalid_client", "error_description": "pencil", "error_codes": [code]});
        let bearer = endpoint(401, answer).await;
        let (ca, running) = (Ca::new(), nobody(9));
        let mail = mail(&running, &ca.trusting(), Tls::Implicit, PATIENT).with_bearer(Some(Arc::clone(&bearer)));
        let report = done(mail.auth(&login()).await);
        assert_eq!((report.verdict, report.code, report.enhanced), (Verdict::Refused, 401, Some(format!("AADSTS{code}"))));
        let fault = not_done(mail.send(&login(), "a1b2c3d4").await);
        assert_eq!((fault.class, fault.code.as_str()), (FaultClass::Credential, "HO0832"));
    }
}

#[tokio::test]
async fn a_token_that_the_server_does_not_take_is_no_word_about_the_password() {
    for (end, code) in [
        ("535 5.7.3 Authentication unsuccessful\r\n", "HO0833"),
        ("535 5.7.139 the user credentials were incorrect\r\n", "HO0833"),
        ("535 5.7.139 SmtpClientAuthentication is disabled for the Tenant\r\n", "HO0805"),
    ] {
        let challenge = format!("334 {}\r\n", BASE64.encode(WHY));
        let script = vec![Act::expect("AUTH XOAUTH2 "), Act::Say(challenge.into()), Act::expect(""), Act::say(end)];
        let (outcome, heard, _) = auth(together([implicit("XOAUTH2"), script]), granted("token").await).await;
        let fault = not_done(outcome);
        assert_eq!((fault.class, fault.code.as_str()), (FaultClass::Environment, code));
        assert!(code != "HO0833" || fault.message.contains("status 401"), "{fault}");
        assert!(!fault.message.contains("MARKED"), "{fault}");
        assert_eq!(heard[2], "", "the challenge is answered by an empty line");
    }
    // At once, or with what cannot be read.
    for steps in
        [vec![Act::say("535 5.7.3 no\r\n")], vec![Act::say("334 !\r\n"), Act::expect(""), Act::say("535 5.7.3 no\r\n")]]
    {
        let script = together([implicit("XOAUTH2"), vec![Act::expect("AUTH XOAUTH2 ")], steps]);
        assert_eq!(not_done(auth(script, granted("token").await).await.0).code, "HO0833");
    }
    let busy = together([implicit("XOAUTH2"), vec![Act::expect("AUTH XOAUTH2 "), Act::say("454 4.7.0 later\r\n")]]);
    assert_eq!(not_done(auth(busy, granted("token").await).await.0).code, "HO0802");
}

/// Nothing is tried by password where the provider says that tokens are taken: it would give the secret away.
#[tokio::test]
async fn without_the_mechanism_or_the_endpoint_nothing_is_shown_to_the_server() {
    let (outcome, heard, _) = auth(implicit("PLAIN LOGIN"), granted("token").await).await;
    assert_eq!(not_done(outcome).code, "HO0830");
    assert!(heard.iter().all(|line| !line.starts_with("AUTH")), "{heard:?}");
    let answers = [
        (400, json!({"error": "unauthorized_client", "error_codes": [700_016]}), "HO0852", FaultClass::Permanent),
        (401, json!("pencil"), "HO0852", FaultClass::Permanent),
        (503, json!({}), "HO0853", FaultClass::Temporary),
        (200, json!({"token": "pencil"}), "HO0854", FaultClass::Permanent),
    ];
    for (status, answer, code, class) in answers {
        let (ca, running) = (Ca::new(), nobody(9));
        let mail = mail(&running, &ca.trusting(), Tls::Implicit, PATIENT).with_bearer(Some(endpoint(status, answer).await));
        let fault = not_done(mail.auth(&login()).await);
        assert_eq!((fault.code.as_str(), fault.class), (code, class));
        assert!(!format!("{fault:?}").contains("pencil"), "{fault:?}");
    }
    let (ca, running) = (Ca::new(), nobody(9));
    let gone = mail(&running, &ca.trusting(), Tls::Implicit, PATIENT).with_bearer(Some(bearer("http://127.0.0.1:9")));
    assert_eq!(not_done(gone.auth(&login()).await).code, "HO0850");
}

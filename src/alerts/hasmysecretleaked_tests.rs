use std::sync::{Arc, Mutex};

use aws_lc_rs::aead::RandomizedNonceKey;

use super::super::contract::{hold, options, reply, secret_file, serve};
use super::*;
use crate::marks;

fn hash(text: &str) -> [u8; 32] {
    marks::hmsl(&Secret::new(text.to_owned())).expect("a hash")
}

#[test]
fn what_the_service_has_answered_once_is_read() {
    // Recorded of the service, for the word "password".
    let hash = hash("password");
    assert_eq!(prefix(&hash), "743d9");
    assert_eq!(hint(&hash), "66395cbd35d62e8731610d5b77da9a30d200f05349e8edaf6bf34f8bc8760da3");
    let payload = "C2ycM30mGQ1TgDXse4fEvxGGjzIV6ASf6i/aRBbHSMvewp5h+WM/28yWI1CDhuFH0L8=";
    assert_eq!(opened(&hash, payload), Some(Known { hash, count: 3_637, url: None }));
    for bad in ["", "AAAA", "%", &payload.replace("C2yc", "D2yc"), &payload.replace("L8=", "L9=")] {
        assert_eq!(opened(&hash, bad), None, "{bad}");
    }
    assert_eq!(opened(&self::hash("test"), payload), None);
}

#[test]
fn its_options_are_read_and_others_refused() {
    let good = ["{}", "{address: \"https://hmsl.example.com\", api: {key: {env: K}}}"];
    let bad = ["{key: {env: K}}", "{api: {key: secret}}", "{adress: \"https://x\"}"];
    hold(&good, &bad, HasMySecretLeaked::options, HasMySecretLeaked::schema);
}

/// A match as the service makes it.
fn matched(hash: &[u8; 32], plain: &Value) -> Value {
    let key = RandomizedNonceKey::new(&AES_256_GCM, hash).expect("a key");
    let mut sealed = plain.to_string().into_bytes();
    let nonce = key.seal_in_place_append_tag(Aad::empty(), &mut sealed).expect("sealed");
    let payload = [nonce.as_ref().as_slice(), &sealed].concat();
    json!({"hint": hint(hash), "payload": BASE64_STANDARD.encode(payload)})
}

#[tokio::test]
async fn only_prefixes_are_sent_and_what_comes_back_is_matched() {
    let hashes: Vec<[u8; 32]> = (0..23).map(|n| hash(&format!("secret number {n}"))).collect();
    let (bad, others) = (hashes[7], hash("of somebody else"));
    let sent = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&sent);
    let (address, calls) = serve(move |asked| {
        if asked.call == "POST /v1/auth/jwt" {
            let sound = asked.has_only(&["audience", "audience_type"]) && asked.body["audience_type"] == "hmsl";
            return match sound && asked.header("authorization") == Some("Token the-key") {
                true => reply(200, json!({"token": "the-token"})),
                false => reply(401, json!({"detail": "Invalid API key."})),
            };
        }
        let prefixes = asked.body["prefixes"].as_array().cloned().unwrap_or_default();
        let sound = asked.has_only(&["prefixes"]) && asked.call == "POST /v1/prefixes" && prefixes.len() <= 10;
        if !sound || asked.header("authorization") != Some("Bearer the-token") {
            return reply(400, json!({"detail": "what is this?"}));
        }
        seen.lock().expect("sent").push(asked.body.to_string());
        let mut matches = vec![matched(&others, &json!({"c": 1, "l": null}))];
        if prefixes.contains(&json!(prefix(&bad))) {
            matches.push(matched(&bad, &json!({"c": 14, "l": {"u": "https://github.com/a/b/commit/c#d"}})));
        }
        reply(200, json!({"matches": matches}))
    })
    .await;
    let folder = tempfile::tempdir().expect("a folder");
    let key = secret_file(&folder, "key", "the-key");
    let text = format!("{{address: \"{address}\", api: {{key: {key}, address: \"{address}\"}}}}");
    let source = options(&text, HasMySecretLeaked::options).map(|o| HasMySecretLeaked::open("hmsl", o));
    let source = source.expect("options").expect("it opens");
    let Outcome::Done(known) = source.known(&hashes).await else { panic!("not done") };
    let url = Some("https://github.com/a/b/commit/c".to_owned());
    assert_eq!(known, [Known { hash: bad, count: 14, url }]);
    assert_eq!(calls.lock().expect("calls").len(), 4, "a token, and three batches");
    let sent = sent.lock().expect("sent").join(" ");
    for hash in &hashes {
        let hash = hex::encode(hash);
        assert!(sent.contains(&hash[..5]) && !sent.contains(&hash[..6]), "{sent}");
    }
    assert!(matches!(source.known(&[]).await, Outcome::Done(known) if known.is_empty()));
    assert!(matches!(source.known(&vec![[0; 32]; 1_001]).await, Outcome::NotDone(_)));
}

#[tokio::test]
async fn an_answer_that_cannot_be_opened_is_a_doubt() {
    let ours = hash("ours");
    let (address, _calls) = serve(move |_| reply(200, json!({"matches": [{"hint": hint(&ours), "payload": "AAAA"}]}))).await;
    let options = options(&format!("{{address: \"{address}\"}}"), HasMySecretLeaked::options).expect("options");
    let source = HasMySecretLeaked::open("hmsl", options).expect("it opens");
    assert!(matches!(source.known(&[ours]).await, Outcome::Unknown(fault) if fault.code == "HO1124"));
}

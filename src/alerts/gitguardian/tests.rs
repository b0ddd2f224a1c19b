use futures::executor::block_on;
use serde_json::json;

use super::super::contract::{Asked, Reply, hold, options, reply, secret_file, serve};
use super::super::verify::tests::deliver;
use super::*;

const NOW: u64 = 1_700_000_000_000;

fn source(tokens: &[&str]) -> GitGuardian {
    GitGuardian { name: "gg".to_owned(), tokens: tokens.iter().map(|t| Secret::new((*t).to_owned())).collect(), api: None }
}

fn sign(token: &str, time: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, format!("{time}{token}").as_bytes());
    format!("sha256={}", hex::encode(hmac::sign(&key, body)))
}

fn receive(source: &GitGuardian, time: &str, signature: &str, body: &[u8], now_ms: u64) -> Result<Received, u16> {
    let headers = [("content-type", "application/json"), ("timestamp", time), ("gitguardian-signature", signature)];
    deliver(&headers, body, now_ms, |d| block_on(source.receive(&d))).map_err(|rejected| rejected.status)
}

fn body(action: &str, status: &str) -> Vec<u8> {
    let incident = json!({
        "id": 3_827_964, "date": "2022-06-23T14:34:11Z", "detector": {"name": "smtp_credentials"},
        "secret_hash": "Ri9FjVgdOlPnBmujoxP4XPJcbe82BhJXB/SAngijw/juCISuOMgPzYhV28m6OG24",
        "hmsl_hash": "743d9fde380b7064cc6a8d3071184fc47905cf7440e5615cd46c7b6cbfb46d47",
        "status": status, "gitguardian_url": "https://dashboard.gitguardian.com/workspace/1/incidents/3827964",
        "share_url": "https://dashboard.gitguardian.com/share/incidents/11111111-1111-1111-1111-111111111111",
    });
    json!({"source": "GitGuardian", "timestamp": "2022-06-23T14:34:12Z", "action": action, "incident": incident})
        .to_string()
        .into()
}

#[test]
fn the_vector_of_the_vendor_is_authentic_and_another_time_is_not() {
    // From docs.gitguardian.com: the body is no JSON, so that it is refused as such only after it has proven to be authentic.
    let vector = "sha256=172fe3d694b734aa53dc892fd3b8d62163fc240064de570ba006900bb54a0fc2";
    let foo = source(&["foo"]);
    assert_eq!(receive(&foo, "0", vector, b"bar", 0).err(), Some(400));
    assert_eq!(receive(&foo, "1", vector, b"bar", 0).err(), Some(401));
    assert_eq!(receive(&foo, "0", vector, b"baz", 0).err(), Some(401));
    assert_eq!(receive(&source(&["fop"]), "0", vector, b"bar", 0).err(), Some(401));
    assert_eq!(receive(&source(&["new", "foo"]), "0", vector, b"bar", 0).err(), Some(400));
    assert_eq!(receive(&source(&[]), "0", vector, b"bar", 0).err(), Some(401), "without a secret nothing is authentic");
}

#[test]
fn a_time_cannot_take_over_a_part_of_the_token() {
    // The key is the time and the token in one: `1` and `23` are `12` and `3`.
    let text = body("incident_triggered", "triggered");
    for (time, token) in [("1700000000", "5foo"), ("17000000005", "foo")] {
        let signature = sign(token, time, &text);
        let good = receive(&source(&["5foo"]), time, &signature, &text, NOW).is_ok();
        assert_eq!(good, time == "1700000000", "{time}");
    }
    for time in ["", "-1700000000", "+1700000000", " 1700000000", "1700000000x", "1700000000.", "1e9", "0x0", "01700000000"]
    {
        let signature = sign("foo", time, &text);
        assert_eq!(receive(&source(&["foo"]), time, &signature, &text, NOW).err(), Some(401), "{time}");
    }
}

#[test]
fn only_a_fresh_delivery_is_taken_in_whatever_form_the_time_is() {
    let text = body("incident_triggered", "triggered");
    for (time, status) in [
        ("1700000000", None),
        ("1700000299.25", None),
        ("1700000000123", None),
        ("2023-11-14T22:13:20Z", None),
        ("2023-11-14T22:13:20.5+00:00", None),
        ("1699999700", None),
        ("1699999699", Some(401)),
        ("1700000301", Some(401)),
        ("2023-11-14T22:00:00Z", Some(401)),
    ] {
        let signature = sign("foo", time, &text);
        assert_eq!(receive(&source(&["foo"]), time, &signature, &text, NOW).err(), status, "{time}");
    }
}

#[test]
fn what_is_missing_or_old_fashioned_is_refused() {
    let text = body("incident_triggered", "triggered");
    let signature = sign("foo", "1700000000", &text);
    let all = [("content-type", "application/json"), ("timestamp", "1700000000"), ("gitguardian-signature", &*signature)];
    let take = |headers: &[(&str, &str)]| {
        deliver(headers, &text, NOW, |d| block_on(source(&["foo"]).receive(&d))).err().map(|r| (r.status, r.code))
    };
    assert_eq!(take(&all), None);
    assert_eq!(take(&all[1..]), Some((415, "HO1114")));
    assert_eq!(take(&[all[0], all[2]]), Some((401, "HO1110")));
    assert_eq!(take(&all[..2]), Some((401, "HO1110")));
    assert_eq!(take(&[all[0], all[1], ("x-gitguardian-signature", &signature)]), Some((401, "HO1110")));
    let large = vec![b' '; 300_000];
    let rejected = receive(&source(&["foo"]), "1700000000", &sign("foo", "1700000000", &large), &large, NOW);
    assert_eq!(rejected.err(), Some(413));
}

#[test]
fn each_action_says_what_it_says() {
    for (action, status, reports, closing) in [
        ("incident_triggered", "triggered", 1, false),
        // The vendor's own sample still says that it is ignored.
        ("incident_reopened", "ignored", 1, false),
        ("incident_regression", "triggered", 1, false),
        ("new_occurrence", "assigned", 1, false),
        ("incident_resolved", "resolved", 1, true),
        ("incident_ignored", "ignored", 1, true),
        ("incident_assigned", "assigned", 0, false),
        ("incident_unassigned", "triggered", 0, false),
        ("incident_access_granted", "triggered", 0, false),
        ("incident_note_created", "triggered", 0, false),
        ("something_new", "triggered", 0, false),
    ] {
        let text = body(action, status);
        let taken = receive(&source(&["foo"]), "1700000000", &sign("foo", "1700000000", &text), &text, NOW).expect("taken");
        assert_eq!(taken.reports.len(), reports, "{action}");
        assert_eq!(taken.stale_ms, Some(NOW + 300_000));
        for report in taken.reports {
            assert_eq!((report.closing, &*report.reference), (closing, "3827964"), "{action}");
            assert_eq!(report.marks.len(), 1);
            assert!(report.url.is_some_and(|url| url.ends_with("/incidents/3827964")));
            assert_eq!(report.exposed_ms, Some(1_655_994_851_000));
        }
    }
}

#[test]
fn the_test_message_is_taken_and_says_nothing() {
    let test =
        br#"{"author": {"info": "x"}, "origin": "github", "date": "2042-10-10 04:00:00 PM", "type": "Welcome Message Token",
        "policy": "Secrets detection", "gitguardian_link": "https://x", "break_url": "https://x", "severity": "high",
        "validity": "unknown", "matches": [{"type": "apikey", "match": "hunter2-in-plain-text"}]}"#;
    let taken = receive(&source(&["foo"]), "1700000000", &sign("foo", "1700000000", test), test, NOW).expect("taken");
    assert!(taken.reports.is_empty() && taken.note.is_none());
}

#[test]
fn the_same_delivery_has_the_same_digest_and_another_has_not() {
    let digest = |time: &str, text: &[u8]| {
        receive(&source(&["foo"]), time, &sign("foo", time, text), text, NOW).expect("taken").digest
    };
    let text = body("incident_triggered", "triggered");
    assert_eq!(digest("1700000000", &text), digest("1700000000", &text));
    assert_ne!(digest("1700000000", &text), digest("1700000001", &text));
    assert_ne!(digest("1700000000", &text), digest("1700000000", &body("new_occurrence", "triggered")));
}

#[test]
fn its_options_are_read_and_others_refused() {
    let good = [
        "{secret: {env: S}}",
        "{api: {key: {file: /k}}}",
        "{secret: {env: S}, previous_secret: {env: T}, api: {key: {env: K}, address: \"https://gg.example.com/exposed\", every: 1m}}",
    ];
    let bad = [
        "{}",
        "{secret: hunter2}",
        "{previous_secret: {env: T}, api: {key: {env: K}}}",
        "{api: {}}",
        "{api: {key: {env: K}, every: 0s}}",
        "{secret: {env: S}, secert: {env: T}}",
    ];
    hold(&good, &bad, GitGuardian::options, GitGuardian::schema);
}

/// GitGuardian's API 1.1.0, as far as it is used, with 250 open incidents and a resolved one.
fn vendor() -> impl FnMut(&Asked) -> Reply + Send + 'static {
    let mut resolved = vec!["7".to_owned()];
    let mut notes = 0;
    move |asked: &Asked| {
        if asked.header("authorization") != Some("Token the-key") {
            return reply(401, json!({"detail": "Invalid API key."}));
        }
        let incident = |id: &str, status: &str| {
            json!({"id": id.parse::<u64>().expect("a number"), "date": "2022-06-23T14:34:11Z", "status": status,
                "hmsl_hash": "743d9fde380b7064cc6a8d3071184fc47905cf7440e5615cd46c7b6cbfb46d47",
                "gitguardian_url": format!("https://dashboard.gitguardian.com/workspace/1/incidents/{id}")})
        };
        let parts: Vec<&str> = asked.call.split(['/', ' ']).skip(1).filter(|p| !p.is_empty()).collect();
        let known = |id: &&str| id.parse::<u64>().is_ok_and(|n| n < 1_000);
        match (asked.call.split(' ').next(), parts.as_slice()) {
            (Some("GET"), ["v1", "incidents", "secrets"]) => {
                if !matches!(asked.query("status"), Some("TRIGGERED" | "ASSIGNED")) || asked.query("per_page") != Some("100")
                {
                    return reply(400, json!({"detail": "a query that is not known"}));
                }
                if asked.query("status") == Some("ASSIGNED") {
                    return reply(200, json!([incident("900", "ASSIGNED")]));
                }
                let from: usize =
                    asked.query("cursor").map_or(0, |c| c.trim_start_matches("at-").parse().expect("a cursor"));
                let until = (from + 100).min(250);
                let page: Vec<_> = (from..until).map(|n| incident(&(n + 100).to_string(), "TRIGGERED")).collect();
                // Elsewhere on purpose: only the cursor may be taken from it.
                let link = (until < 250).then(|| format!("<https://evil.example/v1/x?cursor=at-{until}>; rel=\"next\""));
                Reply { status: 200, body: json!(page), link }
            }
            (Some("GET"), ["v1", "incidents", "secrets", id]) if known(id) => {
                let status = if resolved.iter().any(|r| r == id) { "RESOLVED" } else { "TRIGGERED" };
                reply(200, incident(id, status))
            }
            (Some("POST"), ["v1", "incidents", "secrets", id, "notes"]) if known(id) && asked.has_only(&["comment"]) => {
                notes += 1;
                reply(201, json!({"id": notes}))
            }
            (Some("POST"), ["v1", "incidents", "secrets", id, "resolve"]) if known(id) => {
                if !asked.has_only(&["secret_revoked"]) || asked.body["secret_revoked"] != true {
                    return reply(400, json!({"secret_revoked": "is required"}));
                }
                if *id == "8" {
                    // Somebody is faster.
                    resolved.push("8".to_owned());
                }
                if resolved.iter().any(|r| r == id) || *id == "9" {
                    return reply(409, json!({"detail": "conflict"}));
                }
                resolved.push((*id).to_owned());
                reply(200, incident(id, "RESOLVED"))
            }
            _ => reply(404, json!({"detail": "Not found."})),
        }
    }
}

async fn asked(key: &str) -> (GitGuardian, std::sync::Arc<std::sync::Mutex<Vec<String>>>, tempfile::TempDir) {
    let (address, calls) = serve(vendor()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!("{{api: {{key: {}, address: \"{address}\"}}}}", secret_file(&folder, "key", key));
    let options = options(&text, GitGuardian::options).expect("options");
    (GitGuardian::open("gg", options).expect("it opens"), calls, folder)
}

#[tokio::test]
async fn open_incidents_are_asked_for_page_by_page() {
    let (source, calls, _folder) = asked("the-key").await;
    let Outcome::Done(polled) = source.poll(NOW).await else { panic!("not done") };
    assert_eq!((polled.reports.len(), polled.complete), (251, true));
    assert!(polled.reports.iter().all(|r| r.marks.len() == 1 && !r.closing));
    assert_eq!(calls.lock().expect("calls").len(), 4);
    let able = source.able();
    assert!(!able.receives && able.closes && able.polls_every == Some(handover_rotation::time::Span::minutes(5)));
    let Outcome::Done(report) = source.look("7").await else { panic!("not done") };
    assert!(report.closing);
}

#[tokio::test]
async fn an_incident_is_noted_and_resolved_as_revoked_once() {
    let (source, calls, _folder) = asked("the-key").await;
    let posts = || calls.lock().expect("calls").iter().filter(|c| c.starts_with("POST")).count();
    assert!(matches!(source.close("5", "AUTH is refused since 12:00").await, Outcome::Done(())));
    assert_eq!(posts(), 2);
    assert!(matches!(source.close("5", "again").await, Outcome::Done(())), "resolved already");
    assert!(matches!(source.close("7", "by somebody").await, Outcome::Done(())));
    assert_eq!(posts(), 2);
    assert!(matches!(source.close("8", "somebody is faster").await, Outcome::Done(())));
    assert!(
        matches!(source.close("9", "it is not to be resolved").await, Outcome::NotDone(fault) if fault.code == "HO1124")
    );
    assert!(matches!(source.close("5000", "unknown").await, Outcome::NotDone(_)));
    let before = calls.lock().expect("calls").len();
    for bad in ["", "5/../6", "5/resolve", "five", "99999999999999999999999"] {
        assert!(matches!(source.close(bad, "x").await, Outcome::NotDone(_)), "{bad}");
    }
    assert_eq!(calls.lock().expect("calls").len(), before, "a reference that is none leads to no call");
}

#[tokio::test]
async fn a_wrong_key_and_a_missing_api_are_not_done() {
    let (source, _calls, _folder) = asked("another").await;
    assert!(matches!(source.poll(0).await, Outcome::NotDone(fault) if fault.code == "HO1122"));
    assert!(matches!(source.close("5", "x").await, Outcome::NotDone(fault) if fault.code == "HO1122"));
    let alone = self::source(&["foo"]);
    for fault in [alone.poll(0).await.fault(), alone.close("5", "x").await.fault(), alone.look("5").await.fault()] {
        assert_eq!(fault.map(|f| f.code.as_str()), Some("HO1101"));
    }
}

use futures::executor::block_on;
use serde_json::json;

use super::super::contract::{Asked, Reply, hold, options, reply, secret_file, serve};
use super::super::verify::tests::deliver;
use super::*;
use crate::secret::Secret;

/// The vector of GitHub's documents.
const SECRET: &str = "It's a Secret to Everybody";
const SIGNATURE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

const LEAKED: &str = "BAhXAO5H0bpXZnYEIXxJNvCyGpqLtDzjRzPUVSGWnI8T";

fn source(secrets: &[&str]) -> GitHub {
    let keys = secrets.iter().map(|s| key(&Secret::new((*s).to_owned()))).collect();
    GitHub { name: "gh".to_owned(), keys, api: None }
}

fn sign(secret: &str, body: &str) -> String {
    format!("sha256={}", hex::encode(hmac::sign(&key(&Secret::new(secret.to_owned())), body.as_bytes())))
}

fn receive(source: &GitHub, signature: &str, body: &str) -> Result<Received, u16> {
    let headers = [("content-type", "application/json"), ("x-hub-signature-256", signature)];
    deliver(&headers, body.as_bytes(), 0, |d| block_on(source.receive(&d))).map_err(|rejected| rejected.status)
}

fn body(action: &str, secret: Option<&str>) -> String {
    let mut alert = json!({
        "number": 42, "created_at": "2020-11-06T18:18:30Z", "state": "open", "secret_type": "smtp_password",
        "html_url": "https://github.com/octo/Hello-World/security/secret-scanning/42",
        "url": "https://api.github.com/repos/octo/Hello-World/secret-scanning/alerts/42",
    });
    if let Some(secret) = secret {
        alert["secret"] = json!(secret);
    }
    json!({"action": action, "alert": alert, "repository": {"full_name": "octo/Hello-World", "id": 1}}).to_string()
}

#[test]
fn the_vector_of_the_vendor_is_authentic_and_what_differs_is_not() {
    let both = source(&["other", SECRET]);
    // Authentic, and then refused because it is no JSON.
    assert_eq!(receive(&both, SIGNATURE, "Hello, World!").err(), Some(400));
    for (signature, body) in [
        (SIGNATURE, "Hello, World"),
        (SIGNATURE, "Hello, World!\n"),
        (&SIGNATURE.replace("7571", "7572"), "Hello, World!"),
        (&SIGNATURE[7..], "Hello, World!"),
        (&SIGNATURE.replace("sha256", "sha1"), "Hello, World!"),
        (&SIGNATURE[..60], "Hello, World!"),
        ("", "Hello, World!"),
    ] {
        assert_eq!(receive(&both, signature, body).err(), Some(401), "{signature} {body}");
    }
    assert_eq!(receive(&source(&["other"]), SIGNATURE, "Hello, World!").err(), Some(401));
    assert_eq!(receive(&source(&[]), SIGNATURE, "Hello, World!").err(), Some(401));
    let none = deliver(&[("content-type", "application/json")], b"{}", 0, |d| block_on(both.receive(&d)));
    assert_eq!(none.err().map(|r| r.status), Some(401));
}

#[test]
fn each_action_says_what_it_says() {
    let source = source(&[SECRET]);
    for (action, reports, closing) in [
        ("created", 1, false),
        ("reopened", 1, false),
        ("publicly_leaked", 1, false),
        ("resolved", 1, true),
        ("revoked", 1, true),
        ("validated", 0, false),
        ("assigned", 0, false),
    ] {
        let text = body(action, None);
        let taken = receive(&source, &sign(SECRET, &text), &text).expect("taken");
        assert_eq!((taken.reports.len(), taken.stale_ms), (reports, None), "{action}");
        for report in taken.reports {
            assert_eq!((report.closing, &*report.reference), (closing, "octo/Hello-World#42"));
            assert!(!report.look && report.raw.is_empty(), "without an API there is nobody to ask");
        }
    }
    for other in ["{\"zen\": \"Keep it simple.\"}", "{\"action\": \"created\", \"alert\": {\"number\": 1}}", "[]", "7"] {
        let taken = receive(&source, &sign(SECRET, other), other).expect("taken");
        assert!(taken.reports.is_empty(), "{other}");
    }
}

#[test]
fn a_secret_that_comes_along_is_taken_and_the_headers_do_not_make_a_new_delivery() {
    let source = source(&[SECRET]);
    let text = body("created", Some(LEAKED));
    let signature = sign(SECRET, &text);
    let digest = |delivery: &str| {
        let headers =
            [("content-type", "application/json"), ("x-hub-signature-256", &*signature), ("x-github-delivery", delivery)];
        deliver(&headers, text.as_bytes(), 0, |d| block_on(source.receive(&d))).expect("taken")
    };
    let (first, second) = (digest("72d3162e-cc78-11e3-81ab-4c9367dc0958"), digest("another"));
    assert_eq!(first.digest, second.digest);
    assert!(first.reports[0].raw.iter().any(|raw| raw.expose() == LEAKED));
    let other = body("resolved", Some(LEAKED));
    assert_ne!(receive(&source, &sign(SECRET, &other), &other).expect("taken").digest, first.digest);
}

#[test]
fn its_options_are_read_and_others_refused() {
    let good = [
        "{secret: {env: S}}",
        "{secret: {env: S}, previous_secret: {env: T}, api: {key: {env: K}, organization: acme}}",
        "{api: {key: {env: K}, repositories: [acme/shop, acme/.github], address: \"https://ghe.example.com/api/v3\"}}",
    ];
    let bad = [
        "{}",
        "{api: {key: {env: K}}}",
        "{api: {key: {env: K}, repositories: [acme]}}",
        "{api: {key: {env: K}, repositories: [\"acme/..\"]}}",
        "{api: {key: {env: K}, repositories: [\"acme/a/b\"]}}",
        "{api: {key: {env: K}, organization: \"a b\"}}",
        "{api: {key: ghp_0123456789abcdefghij, organization: acme}}",
    ];
    hold(&good, &bad, GitHub::options, GitHub::schema);
}

/// GitHub's REST API, as far as it is used: 230 open alerts of the organization, the newest first.
fn vendor() -> impl FnMut(&Asked) -> Reply + Send + 'static {
    let mut resolved = vec!["7".to_owned()];
    move |asked: &Asked| {
        if asked.header("authorization") != Some("Bearer the-key") {
            return reply(401, json!({"message": "Bad credentials"}));
        }
        if asked.header("accept") != Some("application/vnd.github+json") || asked.header("x-github-api-version").is_none() {
            return reply(415, json!({"message": "what is this?"}));
        }
        let alert = |number: &str, resolved: &[String]| {
            let state = if resolved.iter().any(|r| r == number) { "resolved" } else { "open" };
            json!({"number": number.parse::<u64>().expect("a number"), "created_at": "2023-11-14T22:13:20Z", "state": state,
                "secret_type": "smtp_password", "secret": format!("smtp://user:{LEAKED}@mail.example.com"),
                "html_url": format!("https://github.com/acme/shop/security/secret-scanning/{number}")})
        };
        let parts: Vec<&str> = asked.call.split(['/', ' ']).skip(1).filter(|p| !p.is_empty()).collect();
        let known = |number: &&str| number.parse::<u64>().is_ok_and(|n| n < 1_000);
        match (asked.call.split(' ').next(), parts.as_slice()) {
            (
                Some("GET"),
                ["orgs", "acme", "secret-scanning", "alerts"] | ["repos", "acme", "shop", "secret-scanning", "alerts"],
            ) => {
                let query = |name| asked.query(name).unwrap_or_default();
                let sound = query("state") == "open" && query("sort") == "updated" && query("direction") == "desc";
                if !sound || query("per_page") != "100" {
                    return reply(422, json!({"message": "Validation failed"}));
                }
                let page: usize = query("page").parse().expect("a page");
                let numbers = (0..230_usize).rev().skip((page - 1) * 100).take(100);
                let of = |n: usize| {
                    let mut alert = alert(&n.to_string(), &[]);
                    alert["updated_at"] = json!(format!("2023-11-14T{:02}:{:02}:00Z", n / 60, n % 60));
                    if parts[0] == "orgs" {
                        alert["repository"] = json!({"full_name": "acme/shop"});
                    }
                    alert
                };
                reply(200, numbers.map(of).collect())
            }
            (Some("GET"), ["repos", "acme", "shop", "secret-scanning", "alerts", number]) if known(number) => {
                reply(200, alert(number, &resolved))
            }
            (Some("PATCH"), ["repos", "acme", "shop", "secret-scanning", "alerts", number]) if known(number) => {
                let sound = asked.has_only(&["state", "resolution", "resolution_comment"])
                    && asked.body["state"] == "resolved"
                    && asked.body["resolution"] == "revoked"
                    && asked.body["resolution_comment"].as_str().is_some_and(|c| c.chars().count() <= 280);
                if !sound {
                    return reply(422, json!({"message": "Validation failed"}));
                }
                if resolved.iter().any(|r| r == number) {
                    return reply(400, json!({"message": "Bad request"}));
                }
                resolved.push((*number).to_owned());
                reply(200, alert(number, &resolved))
            }
            _ => reply(404, json!({"message": "Not Found"})),
        }
    }
}

async fn asked(place: &str) -> (GitHub, std::sync::Arc<std::sync::Mutex<Vec<String>>>, tempfile::TempDir) {
    let (address, calls) = serve(vendor()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!("{{api: {{key: {}, address: \"{address}\", {place}}}}}", secret_file(&folder, "key", "the-key\n"));
    let options = options(&text, GitHub::options).expect("options");
    (GitHub::open("gh", options).expect("it opens"), calls, folder)
}

#[tokio::test]
async fn open_alerts_are_asked_for_until_they_are_old() {
    let (source, calls, _folder) = asked("organization: acme").await;
    let Outcome::Done(all) = source.poll(0).await else { panic!("not done") };
    assert_eq!((all.reports.len(), all.complete), (230, true));
    let first = &all.reports[0];
    assert_eq!((&*first.reference, first.look), ("acme/shop#229", false));
    assert!(first.raw.iter().any(|raw| raw.expose() == LEAKED));
    assert_eq!(calls.lock().expect("calls").len(), 3);
    // Alert 150 was changed at 02:30.
    let since = rfc3339("2023-11-14T02:30:00Z").expect("a time");
    let Outcome::Done(new) = source.poll(since).await else { panic!("not done") };
    assert_eq!((new.reports.len(), new.complete), (80, true));
    assert_eq!(calls.lock().expect("calls").len(), 4);
}

#[tokio::test]
async fn an_alert_without_its_secret_is_looked_at_and_resolved_once() {
    let (source, calls, _folder) = asked("repositories: [acme/shop]").await;
    let Outcome::Done(report) = source.look("acme/shop#42").await else { panic!("not done") };
    assert!(report.raw.iter().any(|raw| raw.expose() == LEAKED) && !report.look);
    let patches = || calls.lock().expect("calls").iter().filter(|c| c.starts_with("PATCH")).count();
    let note = "AUTH is refused since 12:00. ".repeat(50);
    assert!(matches!(source.close("acme/shop#42", &note).await, Outcome::Done(())));
    assert!(matches!(source.close("acme/shop#42", &note).await, Outcome::Done(())), "resolved already");
    assert!(matches!(source.close("acme/shop#7", &note).await, Outcome::Done(())));
    assert_eq!(patches(), 1);
    assert!(matches!(source.close("acme/other#1", "x").await, Outcome::NotDone(fault) if fault.code == "HO1124"));
    let before = calls.lock().expect("calls").len();
    for bad in ["", "acme/shop", "acme/shop#", "acme/shop#1/locations", "acme/..#1", "acme/a/b#1", "../x#1", "acme/shop#-1"]
    {
        assert!(matches!(source.close(bad, "x").await, Outcome::NotDone(_)), "{bad}");
    }
    assert_eq!(calls.lock().expect("calls").len(), before, "a reference that is none leads to no call");
    let Outcome::Done(all) = source.poll(0).await else { panic!("not done") };
    assert_eq!(all.reports[0].reference, "acme/shop#229");
}

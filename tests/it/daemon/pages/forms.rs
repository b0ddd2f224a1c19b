//! Who may look and press, and what does not come from a page of ours (threats T17 and T25).

use handover::daemon::api::Role;
use handover::journal::Register;
use reqwest::{Method, StatusCode};

use super::super::{House, address, rotations, run};
use super::{Answer, Form, Visitor, between, client, token};

#[test]
fn t17_what_does_not_come_from_a_page_of_this_session_changes_nothing() {
    let house = House::new();
    run(async {
        let (daemon, journal) = house.daemon().await;
        let address = address(&daemon);
        let key = token(&journal, "op", Role::Operator).await;
        let visitor = Visitor::new(address, &key).await;
        let other = Visitor::new(address, &token(&journal, "other", Role::Admin).await).await;
        let plan = "/credentials/newsletter/plan";
        let here = format!("http://{address}");
        let post = |path: &str| visitor.request(Method::POST, path);
        let ours = [("form", visitor.form.as_str()), ("playbook", "drill")];
        let theirs = [("form", other.form.as_str()), ("playbook", "drill")];
        for (what, request, status, code) in [
            ("nothing says where it comes from", post(plan).form(&ours), 403, "HO1032"),
            ("another site", post(plan).header("origin", "https://evil.example").form(&ours), 403, "HO1032"),
            ("a site that hides", post(plan).header("origin", "null").form(&ours), 403, "HO1032"),
            ("another port", post(plan).header("origin", "http://127.0.0.1:1").form(&ours), 403, "HO1032"),
            ("a form of another site", post(plan).header("sec-fetch-site", "cross-site").form(&ours), 403, "HO1032"),
            (
                "a form of a neighbour",
                post(plan).header("origin", &here).header("sec-fetch-site", "same-site").form(&ours),
                403,
                "HO1032",
            ),
            ("no token in the form", post(plan).header("origin", &here).form(&[("playbook", "drill")]), 403, "HO1033"),
            ("that of another session", post(plan).header("origin", &here).form(&theirs), 403, "HO1033"),
            ("no form", post(plan).header("origin", &here).json(&ours), 415, "HO1037"),
            (
                "a plan that nobody saw",
                post("/credentials/newsletter/rotate").header("origin", &here).form(&ours),
                400,
                "HO1035",
            ),
        ] {
            let answer = Answer::of(request).await;
            assert_eq!(answer.status.as_u16(), status, "{what}: {}", answer.text);
            assert!(answer.text.contains(code) && answer.text.starts_with("<!doctype html>"), "{what}: {}", answer.text);
        }
        // A session is nothing to the API, and a token nothing to the pages.
        let begin = serde_json::json!({"credential": "newsletter", "playbook": "drill"});
        let answer = Answer::of(post("/api/v1/rotations").header("origin", &here).json(&begin)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text);
        let bare = client().post(format!("{here}{plan}")).header("origin", &here).bearer_auth(&key).form(&ours);
        assert_eq!(Answer::of(bare).await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(rotations(&journal).await.len(), 0);

        let answer = visitor.send(plan, &[("playbook", "drill")]).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        daemon.stop().await;
    });
}

#[test]
fn t25_a_session_ends_with_its_token_and_with_signing_out() {
    let house = House::new();
    run(async {
        let (daemon, journal) = house.daemon().await;
        let address = address(&daemon);
        let key = token(&journal, "op", Role::Operator).await;
        let (first, second) = (Visitor::new(address, &key).await, Visitor::new(address, &key).await);

        let out = first.send("/logout", &[]).await;
        assert_eq!((out.status, out.place.as_str()), (StatusCode::SEE_OTHER, "/login"));
        assert_eq!(first.get("/").await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(second.get("/").await.status, StatusCode::OK, "the other one goes on");

        // A smaller role counts from the next request on, though the session is the same.
        let role = |role: Role| {
            let journal = &journal;
            async move {
                let mut row = journal.tokens().await.expect("tokens").remove(0);
                row.role = role.text().to_owned();
                journal.set_token(row).await.expect("it is kept");
            }
        };
        let plan = ("/credentials/newsletter/plan", [("playbook", "drill")]);
        role(Role::Viewer).await;
        assert_eq!(second.send(plan.0, &plan.1).await.status, StatusCode::FORBIDDEN);
        role(Role::Operator).await;
        assert_eq!(second.send(plan.0, &plan.1).await.status, StatusCode::OK);

        assert!(journal.drop_token("op").await.expect("it goes"));
        let gone = second.get("/credentials/newsletter").await;
        assert_eq!(gone.status, StatusCode::UNAUTHORIZED);
        assert_eq!(between(&gone.text, "name=\"to\" value=\"", "\""), "/credentials/newsletter");
        assert_eq!(second.send(plan.0, &plan.1).await.status, StatusCode::UNAUTHORIZED);

        // Back with the same name, it is another token.
        token(&journal, "op", Role::Operator).await;
        assert_eq!(second.get("/").await.status, StatusCode::UNAUTHORIZED);

        // A wrong token is answered late, and is not told from one that was removed.
        let began = std::time::Instant::now();
        let wrong = client().post(format!("http://{address}/login")).header("origin", format!("http://{address}"));
        let wrong = Answer::of(wrong.form(&[("token", key.as_str())])).await;
        assert!(wrong.status == StatusCode::UNAUTHORIZED && began.elapsed().as_millis() >= 1000, "{}", wrong.status);
        assert!(!wrong.text.contains(&key), "a token is never sent back");
        let elsewhere = client().post(format!("http://{address}/login")).header("origin", "https://evil.example");
        assert_eq!(Answer::of(elsewhere.form(&[("token", key.as_str())])).await.status, StatusCode::FORBIDDEN);
        daemon.stop().await;
    });
}

#[test]
fn a_stream_of_renewals_ends_with_the_session() {
    let house = House::new();
    super::playbook(&house, "gated", &[super::GATE]);
    run(async {
        let (daemon, journal) = house.daemon().await;
        let visitor = Visitor::new(address(&daemon), &token(&journal, "op", Role::Operator).await).await;
        let begin = handover::daemon::Begin {
            credential: handover_rotation::name::CredentialName::new("newsletter").expect("a name"),
            playbook: "gated".to_owned(),
            plan: None,
            by: "a test".to_owned(),
            reason: None,
            trigger: None,
            time_scale: 8,
            replaces: None,
        };
        let id = daemon.crew.begin(&begin).await.expect("it begins");
        let mut stream = visitor.request(Method::GET, &format!("/rotations/{id}/watch")).send().await.expect("a stream");
        assert_eq!(stream.status(), StatusCode::OK);
        let first = stream.chunk().await.expect("it goes on").expect("a piece");
        assert!(first.starts_with(b"event: more\n"), "{first:?}");
        assert!(journal.drop_token("op").await.expect("it goes"));
        let end = async { while let Ok(Some(_)) = stream.chunk().await {} };
        tokio::time::timeout(std::time::Duration::from_secs(20), end).await.expect("the stream ends");
        // It waits at its gate, so that nothing else has ended the stream.
        assert_eq!(daemon.desk.rotation(&id).await.expect("it folds").ended(), None);
        daemon.stop().await;
    });
}

#[test]
fn on_the_socket_nobody_signs_in_and_a_strangers_name_leads_nowhere() {
    let house = House::new();
    run(async {
        let (daemon, _) = house.daemon().await;
        let client = reqwest::Client::builder().no_proxy().unix_socket(house.socket()).build().expect("a client");
        let get = |host: &str, path: &str| client.get(format!("http://{host}{path}"));
        let home = Answer::of(get("localhost:8421", "/")).await;
        assert_eq!(home.status, StatusCode::OK, "{}", home.text);
        assert!(home.text.contains("admin") && !home.text.contains("Sign out"), "{}", home.text);
        let page = Answer::of(get("localhost:8421", "/credentials/newsletter")).await;
        let form = between(&page.text, "name=\"form\" value=\"", "\"");
        let plan = |host: &str, origin: &str| {
            let request = client.post(format!("http://{host}/credentials/newsletter/plan")).header("origin", origin);
            request.form(&[("form", form), ("playbook", "drill")])
        };
        assert_eq!(Answer::of(plan("localhost:8421", "http://localhost:8421")).await.status, StatusCode::OK);
        assert_eq!(Answer::of(plan("localhost:8421", "http://evil.example")).await.status, StatusCode::FORBIDDEN);
        // As where a name of a stranger's leads to a forwarded socket.
        for request in [get("evil.example", "/"), plan("evil.example", "http://evil.example")] {
            let answer = Answer::of(request).await;
            assert!(answer.status == StatusCode::FORBIDDEN && answer.text.contains("HO1036"), "{}", answer.text);
        }
        let api = client.post("http://evil.example/api/v1/reload").header("origin", "http://evil.example");
        assert_eq!(Answer::of(api.json(&serde_json::json!({}))).await.status, StatusCode::FORBIDDEN);
        daemon.stop().await;
    });
}

#[test]
fn what_is_not_there_is_a_page_for_browsers_and_json_for_programs() {
    let house = House::new();
    run(async {
        let (daemon, journal) = house.daemon().await;
        let address = address(&daemon);
        let visitor = Visitor::new(address, &token(&journal, "v", Role::Viewer).await).await;
        for (method, path, status) in [
            (Method::GET, "/nothing", 404),
            (Method::GET, "/credentials/nobody", 404),
            (Method::GET, "/rotations/nothing-20260101-000000-0000", 404),
            (Method::DELETE, "/", 405),
            (Method::POST, "/api/v1/credentials", 405),
        ] {
            let answer = Answer::of(visitor.request(method.clone(), path)).await;
            assert_eq!(answer.status.as_u16(), status, "{method} {path}");
            assert!(answer.text.starts_with("<!doctype html>"), "{method} {path}: {}", answer.text);
        }
        let head = visitor.request(Method::HEAD, "/").send().await.expect("an answer");
        assert_eq!(
            (head.status(), head.headers()["content-type"].to_str().expect("text")),
            (StatusCode::OK, "text/html; charset=utf-8")
        );
        let policy = head.headers()["content-security-policy"].to_str().expect("text");
        assert!(policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self';"), "{policy}");
        assert!(policy.ends_with("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(head.headers()["referrer-policy"], "same-origin");
        assert_eq!(head.headers()["cache-control"], "no-store");
        let program = client().get(format!("http://{address}/nothing")).send().await.expect("an answer");
        assert_eq!(program.headers()["content-type"], "application/json");
        daemon.stop().await;
    });
}

//! The API: every route with every role, what is refused, and a rotation begun, watched and approved through it.

use handover::daemon::api::{Role, document, new_token, routes};
use handover::journal::{Register, TokenRow};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use super::pages::{Form, Visitor};
use super::{House, address, run};

async fn token(journal: &handover::journal::SqliteJournal, role: Role) -> String {
    let (token, hash) = new_token().expect("chance");
    let row = TokenRow { name: role.text().to_owned(), role: role.text().to_owned(), hash, at_ms: 1 };
    journal.set_token(row).await.expect("it is kept");
    token
}

#[test]
fn t25_every_route_is_open_to_its_role_and_those_above_and_to_nobody_else() {
    let house = House::new();
    run(async {
        let (daemon, journal) = house.daemon().await;
        let address = address(&daemon);
        let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        let mut tokens = vec![(None, None), (None, Some("hot_of-nobody".to_owned()))];
        for role in Role::ALL {
            tokens.push((Some(role), Some(token(&journal, role).await)));
        }
        let mut asked = 0;
        for route in routes() {
            let path = route.path.replace("{credential}", "nobody").replace("{rotation}", "nothing-20260101-000000-0000");
            for (role, token) in &tokens {
                let request = match (token, role) {
                    // Pages know people by their session, which a token begins; what they send are forms.
                    (Some(token), Some(_)) if route.is_of_pages() => {
                        let visitor = Visitor::new(address, token).await;
                        let fields = [("token", token.as_str())];
                        if route.method == Method::POST {
                            visitor.filled(&path, &fields)
                        } else {
                            visitor.request(Method::GET, &path)
                        }
                    }
                    _ => {
                        let mut request = client.request(route.method.clone(), format!("http://{address}{path}"));
                        if route.path == "/login" && route.method == Method::POST {
                            let form = [("token", tokens[2].1.as_deref().unwrap_or_default())];
                            request = request.header("origin", format!("http://{address}")).form(&form);
                        }
                        match token {
                            Some(token) => request.bearer_auth(token),
                            None => request,
                        }
                    }
                };
                let answer = request.send().await.expect("an answer");
                let status = answer.status();
                let what = format!("{} {} as {role:?}: {status}", route.method, route.path);
                match (route.role, role) {
                    (None, _) => assert!(!matches!(status.as_u16(), 401 | 403), "{what}"),
                    (Some(_), None) => assert_eq!(status, StatusCode::UNAUTHORIZED, "{what}"),
                    (Some(needed), Some(role)) if *role < needed => assert_eq!(status, StatusCode::FORBIDDEN, "{what}"),
                    (Some(_), Some(_)) => assert!(!matches!(status.as_u16(), 401 | 403), "{what}"),
                }
                assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{what}");
                asked += 1;
            }
        }
        assert_eq!(asked, routes().len() * 6);
        for (method, path, want) in [
            (Method::GET, "/api/v1/nothing", 404),
            (Method::DELETE, "/api/v1/credentials", 405),
            (Method::GET, "/../etc/passwd", 404),
        ] {
            let status = client.request(method, format!("http://{address}{path}")).send().await.expect("an answer").status();
            assert_eq!(status.as_u16(), want, "{path}");
        }
        daemon.stop().await;
    });
}

#[test]
fn a_rotation_is_begun_watched_and_seen_through_the_socket() {
    let house = House::new();
    run(async {
        let (daemon, _) = house.daemon().await;
        let client = Client::builder().no_proxy().unix_socket(house.socket()).build().expect("a client");
        let get = async |path: &str| -> Value {
            let answer = client.get(format!("http://handover{path}")).send().await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
            answer.json().await.expect("JSON")
        };
        let post = async |path: &str, body: &Value| -> (StatusCode, Value) {
            let answer = client.post(format!("http://handover{path}")).json(body).send().await.expect("an answer");
            (answer.status(), answer.json().await.expect("JSON"))
        };
        assert_eq!(get("/api/v1/credentials").await["credentials"][0]["credential"], "newsletter");
        let page = get("/api/v1/credentials?limit=1").await;
        assert_eq!(
            (&page["total"], &page["next"], page["credentials"].as_array().map(Vec::len)),
            (&json!(1), &json!(null), Some(1))
        );
        let rest = get("/api/v1/credentials?after=newsletter").await;
        assert_eq!(rest["credentials"], json!([]), "nothing is behind the last");
        for bad in ["limit=0", "limit=1001", "after=%20"] {
            let answer = client.get(format!("http://handover/api/v1/credentials?{bad}")).send().await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{bad}");
        }
        assert_eq!(get("/api/v1/credentials/newsletter/impact").await["services"].as_array().map(Vec::len), Some(2));
        let (status, plan) =
            post("/api/v1/credentials/newsletter/plan", &json!({"playbook": "drill", "time_scale": 8})).await;
        assert_eq!(status, StatusCode::OK, "{plan}");

        // What the document does not know: values without names, and a body where none is taken.
        for (path, body) in [
            ("/api/v1/credentials/newsletter/plan", json!(["drill", 8])),
            ("/api/v1/reload", json!([])),
            ("/api/v1/reload", json!({"a": 1})),
        ] {
            let (status, refused) = post(path, &body).await;
            assert_eq!(
                (status, refused["code"].as_str()),
                (StatusCode::BAD_REQUEST, Some("HO1003")),
                "{path} {body}: {refused}"
            );
        }

        // Another plan than the one that was agreed to.
        let wanted = json!({"credential": "newsletter", "playbook": "drill", "time_scale": 8, "plan": "0123456789abcdef"});
        let (status, refused) = post("/api/v1/rotations", &wanted).await;
        assert_eq!((status, refused["code"].as_str()), (StatusCode::CONFLICT, Some("HO0448")), "{refused}");

        let wanted = json!({"credential": "newsletter", "playbook": "drill", "time_scale": 8, "plan": plan["plan_hash"]});
        let (status, begun) = post("/api/v1/rotations", &wanted).await;
        assert_eq!(status, StatusCode::CREATED, "{begun}");
        let id = begun["rotation"].as_str().expect("an id").to_owned();
        let (status, second) = post("/api/v1/rotations", &wanted).await;
        assert_eq!((status, second["rotation"].as_str()), (StatusCode::CONFLICT, Some(id.as_str())), "{second}");

        // The stream ends with the rotation.
        let stream = client.get(format!("http://handover/api/v1/rotations/{id}/events")).send().await.expect("a stream");
        let text = stream.text().await.expect("its end");
        let events: Vec<Value> = text
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .map(|json| serde_json::from_str(json).expect("JSON"))
            .collect();
        let numbers: Vec<u64> = events.iter().filter_map(|event| event["seq"].as_u64()).collect();
        assert_eq!(numbers, (1..=events.len() as u64).collect::<Vec<_>>(), "each once, in order");
        assert_eq!(
            events.last().map(|event| (&event["event"], &event["ending"])),
            Some((&json!("finished"), &json!("done")))
        );
        let shown = get(&format!("/api/v1/rotations/{id}")).await;
        assert_eq!(shown["phase"], "done", "{shown}");
        let (status, late) = post(&format!("/api/v1/rotations/{id}/abort"), &json!({})).await;
        assert_eq!((status, late["code"].as_str()), (StatusCode::CONFLICT, Some("HO0458")), "{late}");
        let metrics = client.get("http://handover/metrics").send().await.expect("metrics").text().await.expect("text");
        assert!(metrics.contains("handover_rotations_total{result=\"done\"} 1"), "{metrics}");
        daemon.stop().await;
    });
}

#[test]
fn the_document_names_every_route_with_its_role_and_its_troubles() {
    let document = document();
    for route in routes() {
        if route.is_of_pages() {
            // For people: a program is not to read them.
            assert_eq!(document["paths"][route.path][route.method.as_str().to_lowercase()], Value::Null, "{}", route.path);
            continue;
        }
        let operation = &document["paths"][route.path][route.method.as_str().to_lowercase()];
        assert!(operation["summary"].is_string(), "{} {}", route.method, route.path);
        assert_eq!(operation["x-role"].as_str(), route.role.map(Role::text), "{}", route.path);
    }
}

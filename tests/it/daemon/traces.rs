//! Rotations as traces: what a collector gets, read by the form that it reads.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use handover::daemon::Traces;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use super::killed::login;
use super::{House, end, run, until};
use crate::support::secrets::{found, needles};

type Sent = Arc<Mutex<Vec<Bytes>>>;

async fn collector(sent: Sent) -> reqwest::Url {
    let take = move |headers: HeaderMap, body: Bytes| {
        assert_eq!(headers.get("content-type").and_then(|v| v.to_str().ok()), Some("application/x-protobuf"));
        sent.lock().expect("nobody failed").push(body);
        async {}
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let app = axum::Router::new().route("/v1/traces", post(take));
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}").parse().expect("an address")
}

fn text(span: &Span, name: &str) -> Option<String> {
    let found = span.attributes.iter().find(|a| a.key == name)?;
    let any = found.value.as_ref()?.value.as_ref()?;
    match any {
        opentelemetry_proto::tonic::common::v1::any_value::Value::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}

#[test]
fn a_rotation_that_ends_is_sent_as_one_trace_without_secrets() {
    let house = House::new();
    let old = login(&house);
    run(async {
        let sent = Sent::default();
        let traces = Traces::open(&collector(Arc::clone(&sent)).await).expect("it opens");
        let (daemon, journal) = house.daemon().await;
        tokio::spawn(traces.send_for_ever(Arc::clone(&daemon.desk)));
        let begin = handover::daemon::Begin {
            credential: handover_rotation::name::CredentialName::new("newsletter").expect("a name"),
            playbook: "drill".to_owned(),
            plan: None,
            by: "a test".to_owned(),
            reason: None,
            trigger: None,
            time_scale: 1,
            replaces: None,
        };
        daemon.crew.begin(&begin).await.expect("it begins");
        let (rotation, _) = end(&daemon.desk, &journal).await;
        let body = until("the trace", || async { sent.lock().expect("nobody failed").first().cloned() }).await;
        let request = ExportTraceServiceRequest::decode(body.clone()).expect("OTLP");
        let resource = request.resource_spans[0].resource.as_ref().expect("a resource");
        assert!(resource.attributes.iter().any(|a| a.key == "service.name"), "{resource:?}");
        let spans: Vec<&Span> = request.resource_spans.iter().flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans).collect();
        let root = spans.iter().find(|span| span.parent_span_id.is_empty()).expect("a root");
        assert_eq!(text(root, "handover.rotation"), Some(rotation.id.to_string()));
        assert_eq!(text(root, "handover.outcome").as_deref(), Some("done"));
        assert!(spans.iter().all(|span| span.trace_id == root.trace_id && span.trace_id.len() == 16));
        assert!(spans.iter().all(|span| span.start_time_unix_nano <= span.end_time_unix_nano));
        let steps = spans.iter().filter(|span| span.name == "step" && span.parent_span_id == root.span_id).count();
        assert_eq!(steps, rotation.plan.playbook.steps.len());
        for call in ["create version", "write entry", "reload service", "disable version", "delete version", "log in"] {
            assert!(spans.iter().any(|span| span.name == call), "{call}");
        }
        let new = login(&house);
        for (username, password) in [&old, &new] {
            assert_eq!(found(&body, &needles(username, password)), Vec::<String>::new());
        }
        daemon.stop().await;
    });
}

#[test]
fn a_collector_that_is_elsewhere_needs_tls() {
    let refused = |text: &str| Traces::open(&text.parse().expect("an address")).err().map(|fault| fault.code);
    assert_eq!(refused("http://collector.example.com:4318").as_deref(), Some("HO1025"));
    assert_eq!(refused("https://user:pass@collector.example.com").as_deref(), Some("HO1025"));
    assert_eq!(refused("http://127.0.0.1:4318"), None);
}

//! Rotations as traces of OpenTelemetry, sent by OTLP over HTTP to whoever collects them: one trace a rotation that has ended here, with
//! the same ids however often it is sent. Nothing waits for it, and what cannot be sent is dropped: the journal is the record, not this.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use handover_rotation::name::RotationId;
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::time::{Millis, Span};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use reqwest::Url;
use tokio::sync::broadcast::error::RecvError;

use super::desk::Desk;
use super::news::News;
use crate::engine::{EngineError, events};
use crate::view::spans::{self, End, spans};
use crate::web::{Api, Codes};

const CODES: Codes = Codes { unreachable: "HO1025", lost: "HO1025", forbidden: "HO1025", busy: "HO1025", odd: "HO1025" };
/// The most spans of one call.
const BATCH: usize = 512;
/// The longest text of an attribute, in characters.
const MOST_TEXT: usize = 1000;

/// Sends traces to a collector.
pub struct Traces {
    exporter: opentelemetry_otlp::SpanExporter,
}

impl Traces {
    /// To the collector at `address`, such as `http://127.0.0.1:4318`. It contacts nothing.
    ///
    /// # Errors
    /// The address cannot be used.
    pub fn open(address: &Url) -> Result<Self, Fault> {
        let api = Api::new("the collector of --otlp", address, None, Span::seconds(10), CODES)?;
        let bad = |why: String| Fault::new(FaultClass::Permanent, CODES.odd, format!("--otlp {address}: {why}"));
        let endpoint = address.join("v1/traces").map_err(|why| bad(why.to_string()))?;
        let mut exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(api.client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint.as_str())
            .build()
            .map_err(|why| bad(why.to_string()))?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        exporter.set_resource(&Resource::builder_empty().with_service_name("handover").with_attribute(version).build());
        Ok(Self { exporter })
    }

    /// Sends each rotation that ends here, for ever.
    pub async fn send_for_ever(self, desk: Arc<Desk>) {
        let mut news = desk.watch();
        loop {
            match news.recv().await {
                Ok(News::Recorded { events, rotation }) if !events.is_empty() && rotation.ended().is_some() => {
                    match self.send(&desk, &rotation.id).await {
                        Ok(Ok(())) => {}
                        Ok(Err(why)) => tracing::warn!(rotation = %rotation.id, "its trace was not sent: {why}"),
                        Err(error) => tracing::warn!(rotation = %rotation.id, "its trace was not sent: {}", error.fault()),
                    }
                }
                // Whoever is too slow for the news has lost traces, and nothing else.
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    async fn send(&self, desk: &Desk, id: &RotationId) -> Result<Result<(), String>, EngineError> {
        let rows = desk.engine.journal.load(id).await?;
        let all: Vec<SpanData> = spans(&events(&rows)?).iter().map(|span| data(id, span)).collect();
        for batch in all.chunks(BATCH) {
            if let Err(why) = self.exporter.export(batch.to_vec()).await {
                return Ok(Err(why.to_string()));
            }
        }
        Ok(Ok(()))
    }
}

/// The same bytes for the same thing, whenever it is sent.
fn bytes<const N: usize>(id: &RotationId, key: &str) -> [u8; N] {
    let hash = digest(&SHA256, format!("handover trace\0{id}\0{key}").as_bytes());
    std::array::from_fn(|n| hash.as_ref()[n])
}

fn data(id: &RotationId, span: &spans::Span) -> SpanData {
    let span_id = |key: &str| SpanId::from_bytes(bytes(id, key));
    let trace = TraceId::from_bytes(bytes(id, "trace"));
    let time = |at: Millis| SystemTime::UNIX_EPOCH + Duration::from_millis(at.0);
    let (status, word) = match &span.end {
        End::Done => (Status::Ok, "done"),
        End::Failed(why) => (Status::error(cut(why)), "not done"),
        // Neither: the machine looks what became of it.
        End::Unknown(_) => (Status::Unset, "unknown"),
    };
    let mut attributes: Vec<KeyValue> = span.about.iter().map(|(name, value)| KeyValue::new(*name, cut(value))).collect();
    attributes.push(KeyValue::new("handover.result", word));
    if let End::Unknown(why) = &span.end {
        attributes.push(KeyValue::new("handover.why", cut(why)));
    }
    SpanData {
        span_context: SpanContext::new(trace, span_id(&span.key), TraceFlags::SAMPLED, false, TraceState::NONE),
        parent_span_id: span.parent.as_deref().map_or(SpanId::INVALID, span_id),
        parent_span_is_remote: false,
        span_kind: if span.outside { SpanKind::Client } else { SpanKind::Internal },
        name: span.name.into(),
        start_time: time(span.from),
        end_time: time(span.to),
        attributes,
        dropped_attributes_count: 0,
        events: opentelemetry_sdk::trace::SpanEvents::default(),
        links: opentelemetry_sdk::trace::SpanLinks::default(),
        status,
        instrumentation_scope: InstrumentationScope::builder("handover").build(),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(MOST_TEXT).collect()
}

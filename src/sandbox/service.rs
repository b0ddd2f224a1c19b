//! The sample services: each keeps the login that it read from its env file, reads it again when asked, sends real mail
//! with it, and proves which one it has. All of them answer on one port, each under its own name.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use handover_rotation::outcome::{Fault, FaultClass};
use lettre::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::env::read_login;
use super::layout::{HOST, Layout, Ports};
use super::smtp::load_faults;
use super::traffic::Counter;
use crate::secret::Login;

/// How long a mail may take to send.
const PATIENCE: Duration = Duration::from_secs(10);

/// How services reach the SMTP server.
#[derive(Clone)]
pub(super) struct Relay {
    port: u16,
    tls: TlsParameters,
}

impl Relay {
    pub(super) fn new(layout: &Layout, ports: Ports) -> Result<Self, Fault> {
        let trouble = |e: String| Fault::new(FaultClass::Permanent, "HO0905", format!("cannot trust ca.pem: {e}"));
        let pem = std::fs::read(layout.ca_file()).map_err(|e| trouble(e.to_string()))?;
        let root = Certificate::from_pem(&pem).map_err(|e| trouble(e.to_string()))?;
        let tls = TlsParameters::builder(HOST.to_string())
            .certificate_store(CertificateStore::None)
            .add_root_certificate(root)
            .build_rustls()
            .map_err(|e| trouble(e.to_string()))?;
        Ok(Self { port: ports.starttls, tls })
    }

    /// Sends one message on a connection of its own. The connection is made here and not by the library, which would leave
    /// each message waiting 40 ms for the end of its dot line.
    async fn submit(&self, message: &Message, credentials: &Credentials) -> Result<(), Trouble> {
        let no_answer = |e: std::io::Error| Trouble::NoAnswer(format!("cannot connect: {e}"));
        let stream = TcpStream::connect((HOST, self.port)).await.map_err(no_answer)?;
        stream.set_nodelay(true).map_err(no_answer)?;
        let hello = ClientId::default();
        let mut connection = AsyncSmtpConnection::connect_with_transport(Box::new(stream), &hello).await?;
        connection.starttls(self.tls.clone(), &hello).await?;
        connection.auth(&[Mechanism::Plain], credentials).await?;
        connection.send(message.envelope(), &message.formatted()).await?;
        // The message is taken; how the goodbye goes changes nothing.
        connection.abort().await;
        Ok(())
    }
}

/// Why a message was not surely taken.
enum Trouble {
    /// The server said no, in these words.
    Reply(String),
    /// It said nothing, and why.
    NoAnswer(String),
}

impl From<lettre::transport::smtp::Error> for Trouble {
    fn from(error: lettre::transport::smtp::Error) -> Self {
        match error.status() {
            Some(code) => {
                let words = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                Self::Reply(format!("{code} {words}"))
            }
            None => Self::NoAnswer(error.to_string()),
        }
    }
}

/// One sample service.
pub(super) struct Service {
    name: String,
    env_file: PathBuf,
    dir: PathBuf,
    relay: Relay,
    /// What it presents. Replaced by a reload and by nothing else.
    login: RwLock<Option<Arc<Login>>>,
    counter: Counter,
}

/// What became of a mail.
enum Sent {
    Accepted,
    /// The server said no, in these words.
    Refused(String),
    /// No telling, and why.
    Unclear(String),
}

impl Service {
    /// Starts a service: it reads its env file. Without a login in it, it runs and cannot send, as real ones do.
    pub(super) fn start(layout: &Layout, relay: Relay, name: &str, env_file: PathBuf) -> Self {
        let login = read_login(&env_file).inspect_err(|fault| tracing::warn!(service = name, %fault, "sandbox: no login"));
        Self {
            name: name.to_owned(),
            env_file,
            dir: layout.dir.clone(),
            relay,
            login: RwLock::new(login.ok().map(Arc::new)),
            counter: Counter::open(layout.traffic_file(name)),
        }
    }

    fn login(&self) -> Option<Arc<Login>> {
        self.login.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn reload(&self) -> Result<(), Fault> {
        let ignored = load_faults(&self.dir).ignore_reload;
        if ignored.is_some_and(|who| who == "all" || who == self.name) {
            return Ok(());
        }
        let login = read_login(&self.env_file)?;
        *self.login.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Arc::new(login));
        Ok(())
    }

    async fn send(&self, to: &str, subject: &str, nonce: Option<&str>) -> Sent {
        let Some(login) = self.login() else { return Sent::Unclear("the service has no login".to_owned()) };
        let message = match self.message(to, subject, nonce) {
            Ok(message) => message,
            Err(reason) => return Sent::Unclear(reason),
        };
        let credentials = Credentials::new(login.username.to_string(), login.password.expose().to_owned());
        let work = Box::pin(self.relay.submit(&message, &credentials));
        match timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(Trouble::NoAnswer("no answer in time".to_owned()))) {
            Ok(()) => Sent::Accepted,
            Err(Trouble::Reply(reply)) => Sent::Refused(reply),
            Err(Trouble::NoAnswer(reason)) => Sent::Unclear(reason),
        }
    }

    fn message(&self, to: &str, subject: &str, nonce: Option<&str>) -> Result<Message, String> {
        let from = format!("{}@sandbox.test", self.name);
        let mut builder = Message::builder()
            .from(from.parse().map_err(|_| format!("{from} is no address"))?)
            .to(to.parse().map_err(|_| "the recipient is no address".to_owned())?)
            .subject(subject)
            .message_id(None);
        if let Some(nonce) = nonce {
            let name = HeaderName::new_from_ascii_str("X-Handover-Nonce");
            builder = builder.raw_header(HeaderValue::new(name, nonce.to_owned()));
        }
        builder.body(format!("Sent by {}.\r\n", self.name)).map_err(|e| e.to_string())
    }

    /// Sends a mail of its steady traffic every `every`, for ever.
    pub(super) async fn trickle(self: Arc<Self>, every: Duration) {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let sent = self.send("customer@sandbox.test", "Reset your password", None).await;
            self.counter.count(|traffic| match &sent {
                Sent::Accepted => traffic.sent += 1,
                Sent::Refused(reply) if reply.starts_with("535") => traffic.refused += 1,
                Sent::Refused(_) | Sent::Unclear(_) => traffic.failed += 1,
            });
        }
    }
}

/// The services by name.
pub(super) type Services = Arc<BTreeMap<String, Arc<Service>>>;

/// The routes of all services.
pub(super) fn routes(services: Services) -> Router {
    Router::new()
        .route("/{service}/healthz", get(healthz))
        .route("/{service}/reload", post(reload))
        .route("/{service}/test-send", post(test_send))
        .route("/{service}/smtp-fingerprint", get(fingerprint))
        .layer(DefaultBodyLimit::max(16 * 1024))
        .with_state(services)
}

type Answer = (StatusCode, Json<Value>);

fn no(status: StatusCode, error: &str) -> Answer {
    (status, Json(json!({ "error": error })))
}

fn find(services: &Services, name: &str) -> Result<Arc<Service>, Answer> {
    services.get(name).cloned().ok_or_else(|| no(StatusCode::NOT_FOUND, "there is no such service"))
}

async fn healthz(State(services): State<Services>, Path(name): Path<String>) -> Result<Answer, Answer> {
    let service = find(&services, &name)?;
    let status = if service.login().is_some() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(json!({ "service": service.name, "login": service.login().is_some() }))))
}

async fn reload(State(services): State<Services>, Path(name): Path<String>) -> Result<Answer, Answer> {
    let service = find(&services, &name)?;
    match service.reload() {
        Ok(()) => Ok((StatusCode::OK, Json(json!({ "reloaded": true })))),
        Err(fault) => Err(no(StatusCode::INTERNAL_SERVER_ERROR, &fault.to_string())),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TestSend {
    nonce: String,
    to: String,
}

async fn test_send(State(services): State<Services>, Path(name): Path<String>, body: Bytes) -> Result<Answer, Answer> {
    let service = find(&services, &name)?;
    let asked: TestSend = serde_json::from_slice(&body)
        .map_err(|_| no(StatusCode::BAD_REQUEST, "the body must be {\"nonce\": TEXT, \"to\": ADDRESS}"))?;
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if asked.nonce.is_empty() || asked.nonce.len() > 128 || !asked.nonce.chars().all(sound) {
        return Err(no(StatusCode::BAD_REQUEST, "the nonce must be 1 to 128 of A-Z a-z 0-9 - _ ."));
    }
    let subject = format!("Test of {} {}", service.name, asked.nonce);
    let sent = service.send(&asked.to, &subject, Some(&asked.nonce)).await;
    service.counter.count(|traffic| match &sent {
        Sent::Accepted => traffic.tests_sent += 1,
        Sent::Refused(_) | Sent::Unclear(_) => traffic.tests_failed += 1,
    });
    Ok(match sent {
        Sent::Accepted => (StatusCode::OK, Json(json!({ "accepted": true }))),
        Sent::Refused(reply) => (StatusCode::BAD_GATEWAY, Json(json!({ "accepted": false, "reply": reply }))),
        Sent::Unclear(reason) => (StatusCode::GATEWAY_TIMEOUT, Json(json!({ "accepted": null, "error": reason }))),
    })
}

#[derive(Deserialize)]
struct Challenge {
    challenge: String,
}

async fn fingerprint(
    State(services): State<Services>,
    Path(name): Path<String>,
    Query(asked): Query<Challenge>,
) -> Result<Answer, Answer> {
    let service = find(&services, &name)?;
    let sound = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    if !(16..=128).contains(&asked.challenge.len()) || !asked.challenge.chars().all(sound) {
        return Err(no(StatusCode::BAD_REQUEST, "the challenge must be 16 to 128 lower-case hex digits"));
    }
    let login = service.login().ok_or_else(|| no(StatusCode::SERVICE_UNAVAILABLE, "the service has no login"))?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, login.password.expose().as_bytes());
    let proof = hex::encode(hmac::sign(&key, asked.challenge.as_bytes()));
    Ok((StatusCode::OK, Json(json!({ "username": login.username.as_str(), "proof": proof }))))
}

//! A daemon beside this command: found by its socket in the state folder, and asked over it. What is asked has a limit in time, so
//! that a daemon that hangs holds up nobody. It shows nothing and decides nothing.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use handover_rotation::name::RotationId;
use handover_rotation::outcome::{Fault, FaultClass};
use hyper::client::conn::http1;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use tokio::net::UnixStream;

use super::context::Context;
use super::failure::{Exit, Failure};
use super::rotate::whoami;
use super::serve::SOCKET;
use crate::daemon::api::BY;
use crate::engine::Refusal;

/// How long the daemon may take for what needs nobody outside.
const PROMPT: Duration = Duration::from_secs(5);
/// How often is looked whether it lives, while an answer may take as long as it takes.
const LOOK: Duration = Duration::from_secs(5);
/// How many of these looks in a row may go unanswered.
const MISSES: u32 = 3;
/// The largest answer that is read.
const ANSWER: usize = 16 << 20;

/// A daemon that answers.
pub(super) struct Beside {
    socket: PathBuf,
}

/// Which files the daemon goes by.
#[derive(Deserialize)]
pub(super) struct Files {
    pub(super) inventory: PathBuf,
    pub(super) playbooks: PathBuf,
    pub(super) digest: Option<String>,
    /// The playbooks that contain a leak.
    pub(super) contain: Vec<String>,
}

/// Why the daemon did not do what it was asked.
pub(super) enum Refused {
    /// It says so.
    Said { fault: Box<Fault>, details: Vec<String>, status: u16, rotation: Option<RotationId> },
    /// It gave no answer: what was asked may have been done or not.
    Lost(String),
}

#[derive(Deserialize)]
struct Trouble {
    code: String,
    class: FaultClass,
    message: String,
    hint: Option<String>,
    #[serde(default)]
    details: Vec<String>,
    rotation: Option<RotationId>,
}

impl Refused {
    /// Whether another try may go otherwise.
    pub(super) fn passes(&self) -> bool {
        matches!(self, Self::Said { fault, .. } if matches!(fault.class, FaultClass::Temporary | FaultClass::Environment))
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Said { fault, details, .. } if !details.is_empty() => {
                Self::Refusal(Box::new(Refusal { fault: *fault, details }))
            }
            Refused::Said { fault, status, .. } => {
                let exit = match status {
                    404 => Exit::BadInput,
                    500.. => Exit::Error,
                    _ => Exit::Refused,
                };
                Self::new(exit, *fault)
            }
            Refused::Lost(why) => silent(&why),
        }
    }
}

/// The daemon does not answer.
fn silent(why: &str) -> Failure {
    let fault = Fault::new(FaultClass::Temporary, "HO1050", format!("the daemon does not answer: {why}"));
    let hint = "see its log; `rotate` and `resume` take --here to do without it: the journal keeps both apart";
    Failure::new(Exit::Refused, fault.hint(hint))
}

/// Whether a failure is that the daemon does not answer.
pub(super) fn is_silent(failure: &Failure) -> bool {
    matches!(failure, Failure::Fault(_, fault) if fault.code == "HO1050")
}

impl Beside {
    /// The daemon of the state folder, if one runs. A socket that nobody listens on any more is left from one that was killed.
    ///
    /// # Errors
    /// One listens and does not answer, or not to this user.
    pub(super) async fn find(context: &Context) -> Result<Option<Self>, Failure> {
        let socket = context.state_path()?.join(SOCKET);
        match tokio::time::timeout(PROMPT, UnixStream::connect(&socket)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) if error.kind() == ErrorKind::PermissionDenied => {
                let message = format!("a daemon may run, and this user may not use {}", socket.display());
                let fault = Fault::new(FaultClass::Permanent, "HO1051", message);
                return Err(Failure::new(Exit::Refused, fault.hint("be the user of the daemon, or root")));
            }
            // Nobody listens, or there is no socket at all.
            Ok(Err(_)) => return Ok(None),
            Err(_) => return Err(silent("its socket takes no connection")),
        }
        let beside = Self { socket };
        match beside.alive().await {
            Ok(()) => Ok(Some(beside)),
            Err(_) if !beside.listens().await => Ok(None),
            Err(why) => Err(silent(&why)),
        }
    }

    /// The same where it is only a better way: one that does not answer is told of, and done without.
    ///
    /// # Errors
    /// It may not be used by this user.
    pub(super) async fn if_it_answers(context: &Context) -> Result<Option<Self>, Failure> {
        match Self::find(context).await {
            Err(failure) if is_silent(&failure) => {
                context.say("warning: a daemon runs and does not answer: this is done without it");
                Ok(None)
            }
            found => found,
        }
    }

    /// Whether a process listens.
    pub(super) async fn listens(&self) -> bool {
        matches!(tokio::time::timeout(PROMPT, UnixStream::connect(&self.socket)).await, Ok(Ok(_)) | Err(_))
    }

    /// Whether it answers at all.
    async fn alive(&self) -> Result<(), String> {
        let answer = tokio::time::timeout(PROMPT, self.send("GET", "/healthz", None, None)).await;
        let answer = answer.map_err(|_| format!("not within {} s", PROMPT.as_secs()))??;
        if answer.status() == 200 { Ok(()) } else { Err(format!("it answers with {}", answer.status())) }
    }

    /// Asks for something that it knows.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Refused> {
        let asked = self.ask("GET", path, None);
        tokio::time::timeout(PROMPT, asked).await.unwrap_or_else(|_| Err(Refused::Lost(format!("{path} takes too long"))))
    }

    /// Asks it to do something, for as long as it takes: whether it lives is looked at meanwhile. `waiting` is told each time.
    pub(super) async fn post(&self, path: &str, body: &Value, mut waiting: impl FnMut()) -> Result<Value, Refused> {
        let asked = self.ask("POST", path, Some(body));
        tokio::pin!(asked);
        let mut misses = 0;
        loop {
            tokio::select! {
                answer = &mut asked => return answer,
                () = tokio::time::sleep(LOOK) => {}
            }
            let alive = tokio::select! {
                answer = &mut asked => return answer,
                alive = self.alive() => alive,
            };
            match alive {
                Ok(()) => misses = 0,
                Err(why) => {
                    misses += 1;
                    if misses == MISSES {
                        return Err(Refused::Lost(why));
                    }
                }
            }
            waiting();
        }
    }

    /// The events of a rotation as they happen, each a piece of the stream; those up to `seq` are known.
    pub(super) async fn events(&self, id: &RotationId, seq: u64) -> Option<Body> {
        let path = format!("/api/v1/rotations/{id}/events");
        let answer = tokio::time::timeout(PROMPT, self.send("GET", &path, None, Some(seq))).await.ok()?.ok()?;
        (answer.status() == 200).then(|| answer.into_body())
    }

    /// Which files it goes by.
    pub(super) async fn files(&self) -> Result<Files, Failure> {
        serde_json::from_value(self.get("/api/v1/files").await?).map_err(|_| silent("it says something else than was asked"))
    }

    async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Refused> {
        let answer = self.send(method, path, body, None).await.map_err(Refused::Lost)?;
        let status = answer.status().as_u16();
        let bytes = to_bytes(answer.into_body(), ANSWER).await.map_err(|e| Refused::Lost(e.to_string()))?;
        let other = |_| Refused::Lost(format!("it answers with {status} and no JSON"));
        if (200..300).contains(&status) {
            return serde_json::from_slice(&bytes).map_err(other);
        }
        let Trouble { code, class, message, hint, details, rotation } = serde_json::from_slice(&bytes).map_err(other)?;
        let fault = Box::new(Fault { hint, ..Fault::new(class, &code, message) });
        Err(Refused::Said { fault, details, status, rotation })
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        seq: Option<u64>,
    ) -> Result<Response<Body>, String> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|e| e.to_string())?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "handover").header(BY, whoami());
        if let Some(seq) = seq {
            request = request.header("last-event-id", seq);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = request.body(body).map_err(|e| e.to_string())?;
        Ok(sender.send_request(request).await.map_err(|e| e.to_string())?.map(Body::new))
    }
}

//! One call: what it brings, and what it is answered with. Errors are JSON objects with a stable code and a hint.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use handover_rotation::name::{CredentialName, RotationId};
use handover_rotation::outcome::{Fault, FaultClass};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::start::NotBegun;
use super::access::Caller;
use super::pages::Visit;
use crate::engine::EngineError;
use crate::journal::{JournalError, Kind};

/// One request.
pub(super) struct Call {
    /// Who calls; `None` on routes that need nobody.
    pub who: Option<Caller>,
    /// The session of a page; `None` for the API.
    pub visit: Option<Visit>,
    /// What the path names.
    pub params: BTreeMap<String, String>,
    /// What the query asks for.
    pub query: BTreeMap<String, String>,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, at most 256 KiB.
    pub body: Bytes,
}

/// Why a call is not answered as it wishes.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) status: StatusCode,
    pub(super) fault: Box<Fault>,
    pub(super) details: Vec<String>,
    pub(super) rotation: Option<RotationId>,
}

impl Trouble {
    /// A status with a code and words.
    #[must_use]
    pub(super) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            fault: Box::new(Fault::new(FaultClass::Permanent, code, message)),
            details: Vec::new(),
            rotation: None,
        }
    }

    /// With what can be done.
    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.fault.hint = Some(hint.into());
        self
    }

    /// There is no such thing.
    #[must_use]
    pub(super) fn missing(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "HO1001", format!("there is no such {what}"))
    }
}

impl From<JournalError> for Trouble {
    fn from(error: JournalError) -> Self {
        let status = match error.kind {
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::OneRotation { .. } | Kind::Busy { .. } | Kind::Finished | Kind::Ticked => StatusCode::CONFLICT,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        let rotation = if let Kind::OneRotation { other } = &error.kind { Some(other.clone()) } else { None };
        Self { status, fault: Box::new(error.fault()), details: Vec::new(), rotation }
    }
}

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Journal(error) => error.into(),
            EngineError::Refused(refusal) => Self {
                status: StatusCode::CONFLICT,
                fault: Box::new(refusal.fault),
                details: refusal.details,
                rotation: None,
            },
            other => {
                Self { status: StatusCode::CONFLICT, fault: Box::new(other.fault()), details: Vec::new(), rotation: None }
            }
        }
    }
}

impl From<NotBegun> for Trouble {
    fn from(why: NotBegun) -> Self {
        match why {
            NotBegun::UnderWay(id) => JournalError::one_rotation(id).into(),
            NotBegun::Before => Self::new(StatusCode::CONFLICT, "HO0332", "it was begun before"),
            NotBegun::Fault(fault, details) => {
                let status = match fault.code.as_str() {
                    "HO0440" | "HO0447" => StatusCode::NOT_FOUND,
                    _ => StatusCode::CONFLICT,
                };
                Self { status, fault: Box::new(fault), details, rotation: None }
            }
        }
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let Fault { class, code, message, hint } = *self.fault;
        let mut body = json!({"code": code, "class": class, "message": message, "hint": hint});
        if !self.details.is_empty() {
            body["details"] = json!(self.details);
        }
        if let Some(id) = self.rotation {
            body["rotation"] = json!(id);
        }
        let mut response = answer(self.status, &body);
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
        }
        response
    }
}

/// What a query or a form says.
pub(super) fn fields(text: &str) -> BTreeMap<String, String> {
    let url = reqwest::Url::parse("http://x/").ok().map(|mut url| {
        url.set_query(Some(text));
        url.query_pairs().into_owned().collect()
    });
    url.unwrap_or_default()
}

/// An answer of JSON.
pub(super) fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// What was asked for.
pub(super) fn found(body: &Value) -> Result<Response, Trouble> {
    Ok(answer(StatusCode::OK, body))
}

impl Call {
    /// Who calls, in words for the audit log.
    #[must_use]
    pub(super) fn by(&self) -> String {
        self.who.as_ref().map_or_else(|| "nobody".to_owned(), |who| who.name.clone())
    }

    /// Something that the path names.
    #[must_use]
    pub(super) fn param(&self, name: &str) -> &str {
        self.params.get(name).map_or("", String::as_str)
    }

    /// The body, as JSON of this form. An empty one counts as `{}`.
    ///
    /// # Errors
    /// It is not of this form.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Trouble> {
        let media = self.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if !self.body.is_empty() && media.split(';').next().map(str::trim) != Some("application/json") {
            return Err(Trouble::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "HO1002", "the body is not application/json")
                .hint("send `Content-Type: application/json`"));
        }
        let body: &[u8] = if self.body.is_empty() { b"{}" } else { &self.body };
        // A list of the values in their order would do as well for the reader, and is not in the document.
        if body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
            return Err(Trouble::new(StatusCode::BAD_REQUEST, "HO1003", "the body is no JSON object")
                .hint("GET /openapi.json says what each call takes"));
        }
        serde_json::from_slice(body).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            // Its words may quote what was sent: what it expected is said by the document of the API.
            Trouble::new(StatusCode::BAD_REQUEST, "HO1003", format!("the body is not what is expected, at {place}"))
                .hint("GET /openapi.json says what each call takes")
        })
    }

    /// The fields of the body, as a form of a page sends them.
    ///
    /// # Errors
    /// It is no form.
    pub(super) fn form(&self) -> Result<BTreeMap<String, String>, Trouble> {
        let media = self.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let text = std::str::from_utf8(&self.body).ok();
        match (media.split(';').next().map(str::trim), text) {
            (Some("application/x-www-form-urlencoded"), Some(text)) => Ok(fields(text)),
            _ => Err(Trouble::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "HO1037", "this is not what a form sends")
                .hint("nothing was done; programs use the API: GET /openapi.json")),
        }
    }

    /// The credential of the path.
    ///
    /// # Errors
    /// It is no name of one.
    pub(super) fn credential(&self) -> Result<CredentialName, Trouble> {
        CredentialName::new(self.param("credential")).map_err(|_| Trouble::missing("credential"))
    }

    /// The rotation of the path.
    ///
    /// # Errors
    /// It is no id of one.
    pub(super) fn rotation(&self) -> Result<RotationId, Trouble> {
        RotationId::new(self.param("rotation")).map_err(|_| Trouble::missing("rotation"))
    }

    /// How many of a list are wanted: `limit`, from 1 to 1000, else 100.
    ///
    /// # Errors
    /// It is no such number.
    pub(super) fn limit(&self) -> Result<u32, Trouble> {
        match self.query.get("limit").map(|text| text.parse::<u32>()) {
            None => Ok(100),
            Some(Ok(limit @ 1..=1000)) => Ok(limit),
            Some(_) => Err(Trouble::new(StatusCode::BAD_REQUEST, "HO1003", "`limit` is not a number from 1 to 1000")),
        }
    }
}

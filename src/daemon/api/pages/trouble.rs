//! Why a page is not shown as wished: in words, with what to do.

use askama::Template;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::super::call::Trouble;
use super::parts::{Frame, page};
use super::sign::login_page;

#[derive(Template)]
#[template(path = "trouble.page")]
struct Shown {
    frame: Frame,
    status: u16,
    code: String,
    message: String,
    hint: String,
    details: Vec<String>,
    rotation: String,
}

/// The page of a trouble. Who is not known is asked for their token, and is brought to `place` after that.
pub(in super::super) fn trouble(trouble: Trouble, headers: &HeaderMap, place: &str) -> Response {
    let status = trouble.status;
    if status == StatusCode::UNAUTHORIZED && trouble.fault.code == "HO1030" {
        return login_page(status, headers, place, "").unwrap_or_else(|_| status.into_response());
    }
    let shown = Shown {
        frame: Frame::bare(&trouble.fault.message),
        status: status.as_u16(),
        code: trouble.fault.code,
        message: trouble.fault.message,
        hint: trouble.fault.hint.unwrap_or_default(),
        details: trouble.details,
        rotation: trouble.rotation.map(|id| id.to_string()).unwrap_or_default(),
    };
    page(status, &shown).unwrap_or_else(|_| status.into_response())
}

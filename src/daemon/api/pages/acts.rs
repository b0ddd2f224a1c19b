//! What is done to a rotation: asked first, on a page that says what will happen; then done, if that is still so. Where it cannot be
//! taken back, the name of the credential is to be typed: nobody presses that by mistake, or in another tab than they think.

use std::sync::Arc;

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use axum::http::StatusCode;
use axum::response::Response;
use handover_rotation::state::Rotation;

use super::super::Api;
use super::super::call::{Call, Trouble};
use super::super::rotations::{abort_it, approve_it, open, plain, resume_it};
use super::parts::{Frame, go, page};
use crate::view::acts;
use crate::view::report::headline;

/// What can be done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Approve,
    Abort,
    Resume,
}

#[derive(Template)]
#[template(path = "act.page")]
struct Ask {
    frame: Frame,
    id: String,
    credential: String,
    headline: String,
    word: &'static str,
    path: &'static str,
    lines: Vec<String>,
    /// Stands for what was shown, so that nothing else is agreed to.
    shown: String,
    typed: bool,
    reasoned: bool,
    wrong: &'static str,
}

impl Act {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Approve => ("Approve", "approve"),
            Self::Abort => ("Abort", "abort"),
            Self::Resume => ("Resume", "resume"),
        }
    }

    /// Whether it is possible now; what the act itself would say otherwise.
    fn possible(self, r: &Rotation) -> Result<(), Trouble> {
        let (able, code, message) = match self {
            Self::Approve => (acts::can_approve(r), "HO0460", format!("rotation {} does not wait at a gate", r.id)),
            Self::Abort => (acts::can_abort(r), "HO0459", format!("rotation {} cannot be aborted any more", r.id)),
            Self::Resume => (acts::can_resume(r), "HO1004", format!("rotation {} is not stuck: it goes on by itself", r.id)),
        };
        if able { Ok(()) } else { Err(Trouble::new(StatusCode::CONFLICT, code, message)) }
    }

    fn lines(self, r: &Rotation) -> Vec<String> {
        match self {
            Self::Approve => acts::approve(r),
            Self::Abort => acts::abort(r),
            Self::Resume => acts::resume(r),
        }
    }

    /// Whether the name is to be typed: resuming repeats nothing that was done, so that a press is enough, but in a leak.
    fn is_typed(self, r: &Rotation) -> bool {
        self != Self::Resume || r.is_leak()
    }
}

/// What was agreed to, in a few characters. Putting back means the same wherever it begins: nobody who stops a rotation is asked
/// again because it has gone on meanwhile, unless it has become a leak's.
fn mark(act: Act, r: &Rotation) -> String {
    let more = match act {
        Act::Abort => r.is_leak().to_string(),
        Act::Approve | Act::Resume => format!("{}\0{}", r.step, act.lines(r).join("\0")),
    };
    let text = format!("{}\0{}\0{more}", act.words().1, r.id);
    hex::encode(&digest(&SHA256, text.as_bytes()).as_ref()[..8])
}

fn ask(
    api: &Api,
    call: &Call,
    act: Act,
    r: &Rotation,
    status: StatusCode,
    wrong: &'static str,
) -> Result<Response, Trouble> {
    act.possible(r)?;
    let (word, path) = act.words();
    let ask = Ask {
        frame: Frame::of(call, format!("{path} {}?", r.plan.credential), api.desk.wall_ms()),
        id: r.id.to_string(),
        credential: r.plan.credential.to_string(),
        headline: headline(r),
        word,
        path,
        lines: act.lines(r),
        shown: mark(act, r),
        typed: act.is_typed(r),
        reasoned: act == Act::Abort,
        wrong,
    };
    page(status, &ask)
}

async fn asked(api: &Api, call: &Call, act: Act) -> Result<Response, Trouble> {
    let rotation = open(api, &call.rotation()?).await?;
    ask(api, call, act, &rotation, StatusCode::OK, "")
}

async fn done(api: &Api, call: &Call, act: Act) -> Result<Response, Trouble> {
    let form = call.form()?;
    let r = open(api, &call.rotation()?).await?;
    if act.is_typed(&r) && form.get("name").map(|name| name.trim()) != Some(r.plan.credential.as_str()) {
        let wrong = "The name that was typed is not that of the credential. Nothing was done.";
        return ask(api, call, act, &r, StatusCode::BAD_REQUEST, wrong);
    }
    if form.get("shown").map(String::as_str) != Some(mark(act, &r).as_str()) {
        let wrong = "It has moved on since this page was shown. Nothing was done: read again what will happen.";
        return ask(api, call, act, &r, StatusCode::CONFLICT, wrong);
    }
    match act {
        Act::Approve => approve_it(api, &r, call.by()).await?,
        Act::Abort => {
            let reason = form.get("reason").map(|reason| plain(reason.trim())).filter(|reason| !reason.is_empty());
            abort_it(api, &r, call.by(), reason).await?;
        }
        Act::Resume => resume_it(api, &r, &call.by()).await?,
    }
    Ok(go(&format!("/rotations/{}", r.id)))
}

pub(in super::super) async fn ask_approve(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    asked(&api, &call, Act::Approve).await
}

pub(in super::super) async fn ask_abort(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    asked(&api, &call, Act::Abort).await
}

pub(in super::super) async fn ask_resume(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    asked(&api, &call, Act::Resume).await
}

pub(in super::super) async fn approve(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    done(&api, &call, Act::Approve).await
}

pub(in super::super) async fn abort(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    done(&api, &call, Act::Abort).await
}

pub(in super::super) async fn resume(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    done(&api, &call, Act::Resume).await
}

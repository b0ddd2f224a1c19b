//! What pages share: their frame, how times are written, their headers, and the style and the script that they are made with.

use std::sync::{Arc, LazyLock};

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use handover_rotation::time::Millis;

use super::super::Api;
use super::super::access::{Caller, Role};
use super::super::call::{Call, Trouble};
use super::super::routes::harden;
use crate::view::style::{Style, Zone};

const STYLE: &str = include_str!("assets/pages.css");
const SCRIPT: &str = include_str!("assets/pages.js");

/// Nothing but what comes from here, nothing within pages, no frame around them (threat T19).
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// How times are written in pages.
pub(super) const STYLE_OF_PAGES: Style = Style { colour: false, unicode: true, width: 80, zone: Zone::Utc };

/// Where an asset is; another address for each content, so that it can be kept.
fn address(name: &str, content: &str) -> String {
    let mark = digest(&SHA256, content.as_bytes());
    format!("/assets/{name}?v={}", hex::encode(&mark.as_ref()[..6]))
}

static STYLE_AT: LazyLock<String> = LazyLock::new(|| address("pages.css", STYLE));
static SCRIPT_AT: LazyLock<String> = LazyLock::new(|| address("pages.js", SCRIPT));

/// The frame of a page.
pub(super) struct Frame {
    pub(super) title: String,
    pub(super) who: Option<Caller>,
    /// What its forms bring back.
    pub(super) form: String,
    /// Whether one can sign out.
    pub(super) session: bool,
    pub(super) written: String,
    pub(super) style: &'static str,
    pub(super) script: &'static str,
}

impl Frame {
    /// Of a page that answers a call.
    pub(super) fn of(call: &Call, title: impl Into<String>, now_ms: u64) -> Self {
        Self {
            title: title.into(),
            who: call.who.clone(),
            form: call.visit.as_ref().map(|visit| visit.form.clone()).unwrap_or_default(),
            session: call.visit.as_ref().is_some_and(|visit| visit.session.is_some()),
            written: format!("{} UTC", STYLE_OF_PAGES.date(Millis(now_ms))),
            style: &STYLE_AT,
            script: &SCRIPT_AT,
        }
    }

    /// Of a page for nobody in particular.
    pub(super) fn bare(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            who: None,
            form: String::new(),
            session: false,
            written: String::new(),
            style: &STYLE_AT,
            script: &SCRIPT_AT,
        }
    }

    fn may(&self, role: Role) -> bool {
        self.who.as_ref().is_some_and(|who| who.role >= role)
    }

    /// Whether they may plan, rotate, resume and abort.
    pub(super) fn operates(&self) -> bool {
        self.may(Role::Operator)
    }

    /// Whether they may open gates.
    pub(super) fn approves(&self) -> bool {
        self.may(Role::Approver)
    }
}

/// A moment: by the clock of UTC, and how far away.
#[derive(Clone, Debug, PartialEq, Eq, Template)]
#[template(source = "<time datetime=\"{{ iso }}\">{{ text }}</time> <span class=\"soft\">({{ far }})</span>", ext = "page")]
pub(super) struct Moment {
    iso: String,
    text: String,
    pub(super) far: String,
}

impl Moment {
    pub(super) fn of(at_ms: u64, now_ms: u64) -> Self {
        let date = STYLE_OF_PAGES.date(Millis(at_ms));
        let far = match at_ms.cmp(&now_ms) {
            std::cmp::Ordering::Greater => format!("in {}", coarse(at_ms - now_ms)),
            _ if now_ms - at_ms < 1000 => "now".to_owned(),
            _ => format!("{} ago", coarse(now_ms - at_ms)),
        };
        Self { iso: format!("{}Z", date.replace(' ', "T")), text: format!("{date} UTC"), far }
    }
}

/// Seconds, with a tenth where that says something.
pub(super) fn seconds(ms: u64) -> String {
    match ms {
        0..600_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => coarse(ms),
    }
}

/// A length of time in one or two numbers.
pub(super) fn coarse(ms: u64) -> String {
    let (seconds, minutes) = (ms / 1000, ms / 60_000);
    match (seconds, minutes) {
        (0..120, _) => format!("{seconds} s"),
        (_, 0..120) => format!("{minutes} min"),
        (_, 0..2880) => format!("{} h", minutes / 60),
        _ => format!("{} days", minutes / 1440),
    }
}

/// A page.
pub(super) fn page(status: StatusCode, template: &impl Template) -> Result<Response, Trouble> {
    let text = template
        .render()
        .map_err(|_| Trouble::new(StatusCode::INTERNAL_SERVER_ERROR, "HO1039", "the page cannot be written"))?;
    Ok((status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response())
}

/// Goes to another page, as after a form.
pub(super) fn go(place: &str) -> Response {
    let place = HeaderValue::from_str(place).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response()
}

/// With the headers of pages. The referrer stays within them: without one, browsers would not say where forms come from.
pub(in super::super) fn secured(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    harden(response)
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "private, max-age=86400")], text).into_response()
}

pub(in super::super) async fn style(_: Arc<Api>, _: Call) -> Result<Response, Trouble> {
    Ok(asset("text/css; charset=utf-8", STYLE))
}

pub(in super::super) async fn script(_: Arc<Api>, _: Call) -> Result<Response, Trouble> {
    Ok(asset("text/javascript; charset=utf-8", SCRIPT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_a_tenth() {
        assert_eq!(
            [0, 4_250, 59_999, 600_000].map(seconds),
            ["0.0 s".to_owned(), "4.2 s".to_owned(), "59.9 s".to_owned(), "10 min".to_owned()]
        );
    }

    #[test]
    fn moments_say_the_clock_and_how_far_away() {
        let now = 1_772_334_724_000;
        let text = Moment::of(now - 7_200_000, now).to_string();
        assert_eq!(
            text,
            "<time datetime=\"2026-03-01T01:12:04Z\">2026-03-01 01:12:04 UTC</time> <span class=\"soft\">(2 h ago)</span>"
        );
        for (ms, words) in
            [(500, "0 s"), (119_000, "119 s"), (120_000, "2 min"), (7_199_999, "119 min"), (172_800_000, "2 days")]
        {
            assert_eq!(coarse(ms), words);
        }
        assert_eq!(Moment::of(now + 61_000, now).far, "in 61 s");
        assert_eq!(Moment::of(now, now).far, "now");
    }

    #[test]
    fn pages_bring_no_script_and_no_style_within_themselves() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/daemon/api/pages/templates");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).expect("templates").flatten() {
            let text = std::fs::read_to_string(entry.path()).expect("text");
            let name = entry.file_name();
            for wrong in ["<style", " style=", " on", "javascript:", "<script>", "|safe", "http-equiv=\"Content"] {
                let found = text.match_indices(wrong).filter(|(at, _)| {
                    let rest = &text[*at..];
                    match wrong {
                        // Handlers such as `onclick=` only, not words that begin so.
                        " on" => rest[1..]
                            .split(|c: char| !c.is_ascii_lowercase())
                            .next()
                            .is_some_and(|word| rest[1 + word.len()..].starts_with("=\"")),
                        _ => true,
                    }
                });
                // What is safe is made by a template of its own: the picture and moments.
                let of_ours = |at: &usize| {
                    let name = text[..*at].rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
                    ["at", "began", "last", "picture"].contains(&name)
                };
                let safe = text.match_indices("|safe").filter(|(at, _)| of_ours(at)).count();
                let allowed = if wrong == "|safe" { safe } else { 0 };
                assert_eq!(found.count(), allowed, "{name:?} has {wrong:?}");
            }
            seen += 1;
        }
        assert!(seen > 6, "only {seen} were seen");
    }
}

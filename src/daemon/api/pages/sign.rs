//! Signing in with a token, and out. A token that is right gives a session at once; the answer to a wrong one takes a second, and
//! only so many wait for theirs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use askama::Template;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use super::super::Api;
use super::super::access::{by_token, token_hash};
use super::super::call::{Call, Trouble};
use super::guard::{cookie, no_chance, speaks_tls};
use super::parts::{Frame, go, page};
use super::sessions::LASTS;

/// How long the answer to a wrong token takes.
const REFUSAL: Duration = Duration::from_secs(1);

#[derive(Template)]
#[template(path = "login.page")]
struct Login {
    frame: Frame,
    /// Where to go afterwards.
    place: String,
    why: String,
    /// Whether the browser keeps the cookie back, since the link stands on another site.
    from_elsewhere: bool,
    hours: u64,
}

/// A place of ours to go to; the first page where it is none.
fn ours(place: &str) -> &str {
    let ours =
        place.starts_with('/') && !place.starts_with("//") && place.bytes().all(|b| (0x21..0x7f).contains(&b) && b != b'\\');
    if ours && place.len() <= 500 && !place.starts_with("/login") { place } else { "/" }
}

/// The page that asks for a token.
pub(super) fn login_page(status: StatusCode, headers: &HeaderMap, place: &str, why: &str) -> Result<Response, Trouble> {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let login = Login {
        frame: Frame::bare("sign in"),
        place: ours(place).to_owned(),
        why: why.to_owned(),
        from_elsewhere: site.is_some_and(|site| site != b"same-origin" && site != b"none"),
        hours: LASTS.as_secs() / 3600,
    };
    page(status, &login)
}

pub(in super::super) async fn ask_login(_: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    login_page(StatusCode::OK, &call.headers, call.query.get("to").map_or("/", String::as_str), "")
}

pub(in super::super) async fn login(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    let form = call.form()?;
    let place = form.get("to").map_or("/", String::as_str);
    let hash = token_hash(form.get("token").map_or("", |token| token.trim()));
    let Some(who) = by_token(&api.desk, &hash).await? else {
        let Ok(_held) = api.sessions.refusals.try_acquire() else {
            let trouble = Trouble::new(StatusCode::TOO_MANY_REQUESTS, "HO1031", "too many sign-ins are being refused");
            return Err(trouble.hint("wait a few seconds; a right token is taken at any time"));
        };
        tracing::warn!("a sign-in is refused: nobody is known by its token");
        tokio::time::sleep(REFUSAL).await;
        let why = "Nobody is known by this token. Signing in has changed nothing; `handover token add` makes a token.";
        return login_page(StatusCode::UNAUTHORIZED, &call.headers, place, why);
    };
    let secure = speaks_tls(&call.headers);
    let id = api.sessions.begin(hash, secure, Instant::now()).map_err(|_| no_chance())?;
    tracing::info!(who = who.name, "signed in to the pages");
    with_cookie(go(ours(place)), &cookie(Some(&id), secure))
}

pub(in super::super) async fn logout(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    if let Some(name) = call.visit.as_ref().and_then(|visit| visit.session) {
        api.sessions.end(&name);
    }
    with_cookie(go("/login"), &cookie(None, speaks_tls(&call.headers)))
}

fn with_cookie(mut response: Response, cookie: &str) -> Result<Response, Trouble> {
    let value = HeaderValue::from_str(cookie).map_err(|_| no_chance())?;
    response.headers_mut().insert(header::SET_COOKIE, value);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::ours;

    #[test]
    fn t17_after_signing_in_nobody_is_led_away() {
        for (place, expected) in [
            ("/rotations/a?x=1", "/rotations/a?x=1"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("/a\r\nset-cookie: x", "/"),
            ("", "/"),
            ("/login?to=/login", "/"),
        ] {
            assert_eq!(ours(place), expected, "{place:?}");
        }
    }
}

//! Who looks at a page, and whether a form comes from a page of ours: by a token in the form that only the session's pages have, and
//! by what the browser says of where it comes from. The API takes no cookie, so that none of this concerns it.

use std::net::IpAddr;
use std::time::Instant;

use axum::http::{HeaderMap, HeaderName, StatusCode, header};

use super::super::Api;
use super::super::access::{Caller, by_token, by_user};
use super::super::call::{Call, Trouble};
use super::super::serve::Peer;
use super::sessions::Visit;

/// The cookie where the browser speaks TLS: bound to the host, and never sent in the clear.
const SECURE: &str = "__Host-handover";
/// The cookie on plain loopback, where browsers differ in what they think of `Secure`.
const PLAIN: &str = "handover";

/// The only header of this name.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() { None } else { first.to_str().ok() }
}

/// The line that sets the cookie of a session, or takes it away where there is none.
pub(super) fn cookie(session: Option<&str>, secure: bool) -> String {
    let (name, more) = if secure { (SECURE, "; Secure") } else { (PLAIN, "") };
    let (value, age) = match session {
        Some(id) => (id, String::new()),
        None => ("", "; Max-Age=0".to_owned()),
    };
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{more}{age}")
}

/// What cookies of ours a request brings, each with whether it is that of TLS.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, bool)> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|text| text.split(';')).filter_map(|pair| match pair.trim().split_once('=')? {
        (SECURE, id) => Some((id, true)),
        (PLAIN, id) => Some((id, false)),
        _ => None,
    })
}

/// Whether the browser speaks TLS to whoever answers it, a proxy in front of this included: it says so where forms come from.
pub(super) fn speaks_tls(headers: &HeaderMap) -> bool {
    only(headers, &header::ORIGIN).is_some_and(|origin| origin.starts_with("https://"))
}

/// Who looks: by the user on the unix socket, or by a session whose token is still there.
///
/// # Errors
/// The journal cannot be read, or there is no randomness: that says nothing of the session.
pub(in super::super) async fn visitor(
    api: &Api,
    peer: &Peer,
    headers: &HeaderMap,
) -> Result<Option<(Caller, Visit)>, Trouble> {
    if let (Some(caller), Peer::User(uid)) = (by_user(peer, None), peer) {
        let visit = api.sessions.user(*uid).map_err(|_| no_chance())?;
        return Ok(Some((caller, visit)));
    }
    for (id, secure) in cookies(headers).take(4) {
        let Some((visit, token)) = api.sessions.find(id, secure, Instant::now()) else { continue };
        match by_token(&api.desk, &token).await? {
            Some(caller) => return Ok(Some((caller, visit))),
            // It was removed, or replaced: so its sessions are over.
            None => drop(visit.session.map(|name| api.sessions.end(&name))),
        }
    }
    Ok(None)
}

pub(super) fn no_chance() -> Trouble {
    Trouble::new(StatusCode::SERVICE_UNAVAILABLE, "HO1039", "the system has no randomness")
}

/// Whether it comes from a page of this host, as the browser says: where it says nothing, it does not.
pub(super) fn is_from_here(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(|value| value.as_bytes() == b"same-origin");
    let origin = headers.get(header::ORIGIN).map(|_| {
        let origin = only(headers, &header::ORIGIN).unwrap_or_default();
        let there = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        there.is_some() && there == only(headers, &header::HOST)
    });
    match (site, origin) {
        (None, None) => false,
        (site, origin) => site != Some(false) && origin != Some(false),
    }
}

/// What a form of ours brings.
///
/// # Errors
/// It does not come from a page of ours, or not from one of this session: nothing is done.
pub(in super::super) fn check(call: &Call) -> Result<(), Trouble> {
    if !is_from_here(&call.headers) {
        let trouble = Trouble::new(StatusCode::FORBIDDEN, "HO1032", "this does not come from a page of this daemon");
        return Err(trouble.hint("nothing was done; open the page here and press the button there"));
    }
    let form = call.form()?;
    if let Some(visit) = &call.visit
        && !visit.made(form.get("form").map_or("", String::as_str))
    {
        let trouble = Trouble::new(StatusCode::FORBIDDEN, "HO1033", "the page that this comes from is not of this session");
        return Err(trouble.hint("nothing was done; go back, reload the page, and press the button again"));
    }
    Ok(())
}

/// Whether a request on the unix socket names a host that only this machine can mean. A forwarded socket is reached by whatever a
/// browser shows, and a name of a stranger's that leads here must not make them its user.
pub(in super::super) fn is_local(headers: &HeaderMap) -> bool {
    let Some(host) = only(headers, &header::HOST) else { return false };
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    match name.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => !name.is_empty() && !name.contains(['.', ':']),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut all = HeaderMap::new();
        for (name, value) in pairs {
            all.append(*name, axum::http::HeaderValue::from_static(value));
        }
        all
    }

    #[test]
    fn a_form_is_ours_only_where_the_browser_says_so() {
        let (host, ours, same) = (("host", "h:8421"), ("origin", "http://h:8421"), ("sec-fetch-site", "same-origin"));
        let cases: &[(&[(&'static str, &'static str)], bool)] = &[
            (&[host, ours], true),
            (&[host, ours, same], true),
            (&[host, same], true),
            (&[host, ("origin", "https://h:8421")], true),
            (&[host], false),
            (&[ours], false),
            (&[host, ("origin", "null")], false),
            (&[host, ("origin", "http://h")], false),
            (&[host, ("origin", "http://h:8421.evil.example")], false),
            (&[host, ("origin", "http://evil.example")], false),
            (&[host, ("origin", "ftp://h:8421")], false),
            (&[host, ours, ours], false),
            (&[host, ours, ("sec-fetch-site", "cross-site")], false),
            (&[host, ours, ("sec-fetch-site", "same-site")], false),
            (&[host, ("sec-fetch-site", "none")], false),
        ];
        for (pairs, expected) in cases {
            assert_eq!(is_from_here(&headers(pairs)), *expected, "{pairs:?}");
        }
    }

    #[test]
    fn on_the_socket_only_this_machine_is_meant() {
        for (host, expected) in [
            ("localhost:8421", true),
            ("handover", true),
            ("127.0.0.1:1", true),
            ("[::1]:8421", true),
            ("evil.example", false),
            ("evil.example:8421", false),
            ("192.0.2.1:8421", false),
            ("[2001:db8::1]:80", false),
            ("", false),
        ] {
            assert_eq!(is_local(&headers(&[("host", host)])), expected, "{host}");
        }
        assert!(!is_local(&HeaderMap::new()));
    }
}

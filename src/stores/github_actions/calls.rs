//! The calls to GitHub's API that the store makes, and what its refusals mean. Each is made once; none tells a value.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use dryoc::classic::crypto_box::crypto_box_seal;
use dryoc::constants::{CRYPTO_BOX_PUBLICKEYBYTES, CRYPTO_BOX_SEALBYTES};
use handover_rotation::outcome::{Fault, FaultClass};
use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::GithubActionsStore;
use super::mark::{Mark, SUFFIX};
use super::place::Place;
use crate::stores::EntryRef;
use crate::web::{Answer, Lost};

/// The version of the contract.
const API_VERSION: &str = "2022-11-28";

/// Pages of the repositories that see a secret of an organization, and repositories a page.
const MOST_PAGES: usize = 10;
const PAGE: usize = 100;

/// A secret, as far as it is told.
#[derive(Deserialize)]
pub(super) struct Seen {
    pub(super) updated_at: String,
    #[serde(default)]
    visibility: Option<String>,
}

#[derive(Deserialize)]
struct Variable {
    value: String,
}

#[derive(Deserialize)]
struct PublicKey {
    key_id: String,
    key: String,
}

#[derive(Deserialize)]
pub(super) struct Repository {
    #[serde(default)]
    pub(super) permissions: Option<Permissions>,
}

#[derive(Deserialize)]
pub(super) struct Permissions {
    #[serde(default)]
    pub(super) push: bool,
}

#[derive(Deserialize)]
struct Selected {
    repositories: Vec<Id>,
}

#[derive(Deserialize)]
struct Id {
    id: u64,
}

/// A key that secrets of a place are sealed for.
pub(super) struct Sealing {
    id: String,
    key: [u8; CRYPTO_BOX_PUBLICKEYBYTES],
}

impl GithubActionsStore {
    pub(super) async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, Lost> {
        let mut url = self.api.url(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let token = self.token.read().map_err(Lost::Before)?;
        let bearer = Zeroizing::new(format!("Bearer {}", token.expose()));
        let plain = token.expose().bytes().all(|byte| byte.is_ascii_graphic());
        let Some(mut header) = HeaderValue::from_str(&bearer).ok().filter(|_| plain) else {
            let fault = self.api.forbidden("the token has a character that no token has");
            return Err(Lost::Before(fault.hint("look into its file")));
        };
        header.set_sensitive(true);
        let request = self.api.client.request(method, url).header(AUTHORIZATION, header);
        let mut request = request.header(ACCEPT, "application/vnd.github+json").header("X-GitHub-Api-Version", API_VERSION);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.api.send(request).await
    }

    /// What a refusal means.
    pub(super) fn refused(&self, entry: &EntryRef, place: &Place, answer: &Answer, doing: &str) -> Lost {
        let limited = answer.retry_after.is_some() || answer.header("x-ratelimit-remaining") == Some("0");
        match answer.status.as_u16() {
            403 | 429 if limited => {
                let wait = answer.retry_after.or_else(|| reset(answer));
                let wait = wait.map_or_else(String::new, |seconds| format!("; it asks to wait {seconds} s"));
                let what = format!("it has had enough requests of this token, at: {doing}{wait}");
                Lost::Maybe(self.fault(FaultClass::Temporary, "HO0633", entry, what))
            }
            401 => {
                let what = "the token is not taken: it has expired or was revoked";
                Lost::Before(self.permanent("HO0632", entry, what).hint("put a new token where the inventory says"))
            }
            403 => Lost::Before(self.forbidden(entry, place, doing)),
            _ => self.api.refused(answer, doing),
        }
    }

    pub(super) fn forbidden(&self, entry: &EntryRef, place: &Place, doing: &str) -> Fault {
        let needs = format!("a fine-grained one needs {}; a classic one the scope `{}`", place.permissions(), place.scope());
        self.permanent("HO0632", entry, format!("the token may not {doing}")).hint(needs)
    }

    pub(super) async fn seen(&self, entry: &EntryRef, place: &Place, name: &str) -> Result<Option<Seen>, Lost> {
        let doing = "see its secrets";
        let mut path = place.below("secrets");
        path.push(name);
        let answer = self.send(Method::GET, &path, &[], None).await?;
        match answer.status.as_u16() {
            200 => answer.json().map(Some).ok_or_else(|| self.api.garbled(doing)),
            404 => Ok(None),
            _ => Err(self.refused(entry, place, &answer, doing)),
        }
    }

    pub(super) async fn marked(&self, entry: &EntryRef, place: &Place) -> Result<Mark, Lost> {
        let doing = "read its variables";
        let name = variable(entry);
        let mut path = place.below("variables");
        path.push(&name);
        let answer = self.send(Method::GET, &path, &[], None).await?;
        match answer.status.as_u16() {
            200 => match answer.json::<Variable>() {
                Some(variable) => Ok(Mark::read(&variable.value)),
                None => Err(self.api.garbled(doing)),
            },
            404 => Ok(Mark::Missing),
            _ => Err(self.refused(entry, place, &answer, doing)),
        }
    }

    pub(super) async fn key(&self, entry: &EntryRef, place: &Place) -> Result<Sealing, Lost> {
        let doing = "get the key that secrets are sealed for";
        let mut path = place.below("secrets");
        path.push("public-key");
        let answer = self.send(Method::GET, &path, &[], None).await?;
        if answer.status.as_u16() != 200 {
            return Err(self.refused(entry, place, &answer, doing));
        }
        let Some(PublicKey { key_id, key }) = answer.json() else { return Err(self.api.garbled(doing)) };
        match STANDARD.decode(key).ok().and_then(|key| key.try_into().ok()) {
            Some(key) => Ok(Sealing { id: key_id, key }),
            None => Err(self.api.garbled(doing)),
        }
    }

    /// Who sees a secret of an organization, to be said again with its new value.
    pub(super) async fn audience(&self, entry: &EntryRef, place: &Place, name: &str, seen: &Seen) -> Result<Value, Lost> {
        let (Place::Organization(_), Some(visibility)) = (place, &seen.visibility) else { return Ok(json!({})) };
        if visibility != "selected" {
            return Ok(json!({ "visibility": visibility }));
        }
        let doing = "see which repositories a secret is for";
        let mut ids: Vec<u64> = Vec::new();
        let mut path = place.below("secrets");
        path.extend([name, "repositories"]);
        for page in 1..=MOST_PAGES {
            let query = [("per_page", PAGE.to_string()), ("page", page.to_string())];
            let query = query.each_ref().map(|(name, value)| (*name, value.as_str()));
            let answer = self.send(Method::GET, &path, &query, None).await?;
            if answer.status.as_u16() != 200 {
                return Err(self.refused(entry, place, &answer, doing));
            }
            let Some(Selected { repositories }) = answer.json() else { return Err(self.api.garbled(doing)) };
            let last = repositories.len() < PAGE;
            ids.extend(repositories.into_iter().map(|repository| repository.id));
            if last {
                return Ok(json!({ "visibility": visibility, "selected_repository_ids": ids }));
            }
        }
        let what = format!("the secret {name} is for more than {} repositories", MOST_PAGES * PAGE);
        Err(Lost::Before(self.permanent("HO0634", entry, what).hint("make it one for all repositories")))
    }

    /// Writes one secret; what is dated on the answer, in seconds since the Unix epoch.
    pub(super) async fn set(
        &self,
        entry: &EntryRef,
        place: &Place,
        (name, value): (&str, &str),
        sealing: &Sealing,
        audience: &Value,
    ) -> Result<Option<i64>, Lost> {
        let doing = "write its secrets";
        let mut sealed = vec![0; value.len() + CRYPTO_BOX_SEALBYTES];
        if crypto_box_seal(&mut sealed, value.as_bytes(), &sealing.key).is_err() {
            return Err(Lost::Before(self.permanent("HO0634", entry, "the key that it shows cannot be sealed for")));
        }
        let mut body = json!({ "encrypted_value": STANDARD.encode(sealed), "key_id": sealing.id });
        if let (Some(body), Some(audience)) = (body.as_object_mut(), audience.as_object()) {
            body.extend(audience.clone());
        }
        let mut path = place.below("secrets");
        path.push(name);
        let answer = self.send(Method::PUT, &path, &[], Some(&body)).await?;
        match answer.status.as_u16() {
            200..=299 => {
                Ok(answer.header("date").and_then(|at| DateTime::parse_from_rfc2822(at).ok()).map(|at| at.timestamp()))
            }
            404 => {
                let fault =
                    self.permanent("HO0635", entry, format!("the secret {name} cannot be written: nothing is there"));
                Err(Lost::Before(fault.hint("someone has deleted it, or the token may not see it")))
            }
            _ => Err(self.refused(entry, place, &answer, doing)),
        }
    }

    /// Makes the variable say `to`, where it says `from`.
    pub(super) async fn say(&self, entry: &EntryRef, place: &Place, from: &Mark, to: &Mark) -> Result<(), Lost> {
        let doing = "write its variables";
        let name = variable(entry);
        let mut path = place.below("variables");
        let (method, body) = match (from, to.value()) {
            (Mark::Missing, Some(value)) => {
                let mut body = json!({ "name": name, "value": value });
                if let Place::Organization(_) = place {
                    // For nobody's jobs: only the API reads it.
                    body["visibility"] = json!("selected");
                    body["selected_repository_ids"] = json!([]);
                }
                (Method::POST, Some(body))
            }
            (_, Some(value)) => {
                path.push(&name);
                (Method::PATCH, Some(json!({ "name": name, "value": value })))
            }
            (_, None) => {
                path.push(&name);
                (Method::DELETE, None)
            }
        };
        let answer = self.send(method, &path, &[], body.as_ref()).await?;
        match answer.status.as_u16() {
            200..=299 => Ok(()),
            404 => Err(Lost::Before(self.forbidden(entry, place, doing))),
            _ => Err(self.refused(entry, place, &answer, doing)),
        }
    }

    /// Asks for something that every token of the place may see, for what its headers tell of the token.
    pub(super) async fn about(&self, place: &Place) -> Result<Answer, Lost> {
        match place.repository() {
            Some(path) => self.send(Method::GET, &path, &[], None).await,
            None => {
                let mut path = place.below("secrets");
                path.push("public-key");
                self.send(Method::GET, &path, &[], None).await
            }
        }
    }
}

/// The name of the variable that has the mark.
fn variable(entry: &EntryRef) -> String {
    format!("{}{SUFFIX}", entry.password_field)
}

/// In how many seconds requests are taken again, by the clock of the answer.
fn reset(answer: &Answer) -> Option<u64> {
    let at: i64 = answer.header("x-ratelimit-reset")?.parse().ok()?;
    let now = DateTime::parse_from_rfc2822(answer.header("date")?).ok()?.timestamp();
    u64::try_from(at.saturating_sub(now)).ok()
}

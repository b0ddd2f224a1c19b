//! What the vendors' APIs have in common: versions that are made, listed and deleted over HTTPS with one key. Options, the call,
//! names that carry a tag, and times as vendors write them. A kind is a sibling of this file; it says what its vendor means.
//!
//! Nothing here repeats a call. Every answer stays an `Answer`, which is wiped, until a password in it has become a `Secret`.

use std::path::PathBuf;

use chrono::DateTime;
use handover_rotation::name::{Tag, Username, VersionId};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::{ProviderFacts, Shape};
use handover_rotation::time::Span;
use reqwest::header::HeaderValue;
use reqwest::{Method, RequestBuilder, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::{CreatedVersion, ListedVersion, LiveState};
use crate::config::fields::Fields;
use crate::config::inventory::SecretRef;
use crate::config::schema;
use crate::secret::Secret;
use crate::web::{Answer, Api, Lost, PROVIDER};

/// How long one call may take.
const TIMEOUT: Span = Span::seconds(20);

/// Where a vendor names no limit of versions, or one so high that nobody reaches it.
pub(super) const MANY: u8 = 100;

/// More pages than this are no list any more.
pub(super) const MOST_PAGES: usize = 100;

/// How many are asked for on a page.
pub(super) const PAGE: usize = 100;

/// What the key is called in an inventory.
const KEY: &str = "api_key";

/// The options that every vendor's kind has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Common {
    address: Url,
    ca_file: Option<PathBuf>,
    key: SecretRef,
    pub(super) propagation: Span,
}

/// How a key is shown to the vendor.
#[derive(Clone, Debug)]
pub(super) enum Shown {
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// HTTP Basic with this name.
    Basic(String),
    /// A header of the vendor's own.
    Header(&'static str),
}

impl Common {
    /// Reads `api_key`, and `address`, `ca_file` and `propagation`, which may be left out. Read with `?` last, as all fields.
    pub(super) fn options(fields: &mut Fields<'_>, address: Option<&str>, propagation: Span) -> Option<Self> {
        Self::keyed(fields, KEY, address, propagation)
    }

    /// The same where the key is called something else.
    pub(super) fn keyed(fields: &mut Fields<'_>, name: &str, address: Option<&str>, propagation: Span) -> Option<Self> {
        let key = fields.required_secret(name);
        let given = match address {
            Some(usual) => fields.optional_url("address").or_else(|| Url::parse(usual).ok()),
            None => fields.required_url("address"),
        };
        let ca_file = fields.optional_path("ca_file");
        let bound = fields.optional_duration("propagation", Span(0)..=Span::minutes(24 * 60));
        Some(Self { address: given?, ca_file, key: key?, propagation: bound.unwrap_or(propagation) })
    }

    /// The schema of a map with these options and `more`; `required` beside `api_key`.
    pub(super) fn schema(required: &[&str], more: Value) -> Value {
        Self::keyed_schema(KEY, required, more)
    }

    /// The same where the key is called something else.
    pub(super) fn keyed_schema(name: &str, required: &[&str], more: Value) -> Value {
        let mut properties = json!({
            name: {"$ref": "#/$defs/secret"},
            "address": {"type": "string", "pattern": "^https?://"},
            "ca_file": {"type": "string", "minLength": 1},
            "propagation": schema::duration(),
        });
        if let (Some(all), Value::Object(more)) = (properties.as_object_mut(), more) {
            all.extend(more);
        }
        let required: Vec<&str> = [name].iter().chain(required).copied().collect();
        json!({"type": "object", "additionalProperties": false, "required": required, "properties": properties})
    }

    /// The API of `who` at this address.
    pub(super) fn api(&self, who: &str) -> Result<Api, Fault> {
        Api::new(who, &self.address, self.ca_file.as_deref(), TIMEOUT, PROVIDER)
    }

    /// Another API of the same vendor, elsewhere.
    pub(super) fn api_at(&self, who: &str, address: &Url) -> Result<Api, Fault> {
        Api::new(who, address, self.ca_file.as_deref(), TIMEOUT, PROVIDER)
    }

    /// The key, as it is now.
    pub(super) fn key(&self) -> Result<Secret, Lost> {
        self.key.read().map_err(Lost::Before)
    }

    /// Where the key is.
    pub(super) fn key_source(&self) -> SecretRef {
        self.key.clone()
    }

    /// What a kind with these options can do and how fast.
    pub(super) fn facts(&self, kind: &str, shape: Shape, quota: u8) -> ProviderFacts {
        // A call ends a second after its own limit at the latest, and does not land later than it would have been given up.
        let limit = Span(TIMEOUT.0 + 1_000);
        ProviderFacts {
            kind: kind.to_owned(),
            shape,
            quota,
            propagation: self.propagation,
            // `disable` and `delete` may look first: two calls.
            request_timeout: Span(limit.0 * 2),
            landing: limit,
            chooses_secret: false,
            tells_last_use: false,
        }
    }
}

/// A vendor's API with the key for it. The key is read when a call is made, so that a file may be renewed under a daemon.
pub(super) struct Rest {
    pub(super) api: Api,
    common: Common,
    shown: Shown,
}

impl Rest {
    /// The API of `who`.
    ///
    /// # Errors
    /// Those of [`Api::new`].
    pub(super) fn open(who: &str, common: &Common, shown: Shown) -> Result<Self, Fault> {
        Ok(Self { api: common.api(who)?, common: common.clone(), shown })
    }

    /// A request with the key on it.
    pub(super) fn request(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> Result<RequestBuilder, Lost> {
        let mut url = self.api.url(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let key = self.common.key()?;
        let request = self.api.client.request(method, url);
        match &self.shown {
            Shown::Bearer => Ok(request.bearer_auth(key.expose())),
            Shown::Basic(name) => Ok(request.basic_auth(name, Some(key.expose()))),
            Shown::Header(name) => match HeaderValue::from_str(key.expose()) {
                Ok(mut value) => {
                    value.set_sensitive(true);
                    Ok(request.header(*name, value))
                }
                Err(_) => Err(Lost::Before(self.refusal("its API key has a character that no header may have"))),
            },
        }
    }

    /// A refusal that repeating does not mend.
    pub(super) fn refusal(&self, what: &str) -> Fault {
        self.api.fault(FaultClass::Permanent, PROVIDER.odd, what)
    }

    /// The loss of a list whose pages have no end.
    pub(super) fn endless(&self) -> Lost {
        Lost::Before(self.refusal("its list has no end"))
    }

    /// Sends it: an answer of success, or how it was lost. `doing` names the permission for a 401 or 403.
    pub(super) async fn send(&self, request: RequestBuilder, doing: &str) -> Result<Answer, Lost> {
        let answer = self.api.send(request).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(self.api.refused(&answer, doing)) }
    }

    /// Sends it and reads the answer as JSON.
    pub(super) async fn read<T: DeserializeOwned>(&self, request: RequestBuilder, doing: &str) -> Result<T, Lost> {
        self.send(request, doing).await?.json().ok_or_else(|| self.api.garbled(doing))
    }

    /// Sends a delete by id: 404 says that it is gone, which is what was wanted.
    pub(super) async fn delete(&self, request: Result<RequestBuilder, Lost>, doing: &str) -> Outcome<()> {
        let sent = async {
            let answer = self.api.send(request?).await?;
            let gone = answer.status.is_success() || answer.status.as_u16() == 404;
            if gone { Ok(()) } else { Err(self.api.refused(&answer, doing)) }
        };
        crate::web::outcome(sent.await)
    }

    /// A version just made. One with an id or a name that cannot be is found again by its tag.
    pub(super) fn made(&self, id: &str, username: &str, secret: Option<Secret>) -> Result<CreatedVersion, Lost> {
        match (VersionId::new(id), Username::new(username)) {
            (Ok(id), Ok(username)) => Ok(CreatedVersion { id, username, secret }),
            _ => Err(self.api.garbled("make a version")),
        }
    }
}

/// A version as it is listed; `None` for one whose id or name is of characters that Handover does not take. It could not have
/// made it, and cannot be asked to touch it.
pub(super) fn listed(id: &str, username: &str, tag: Option<Tag>, active: bool) -> Option<ListedVersion> {
    Some(ListedVersion {
        id: VersionId::new(id).ok()?,
        username: Username::new(username).ok()?,
        tag,
        state: if active { LiveState::Active } else { LiveState::Inactive },
        created_at: None,
        last_used_at: None,
        last_refused_at: None,
    })
}

/// Which of the things in one place at a vendor belong to an account: all, or those with its name. Where one login name serves
/// them all, the name of a key is what tells the keys of one credential from those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group<'a>(Option<&'a str>);

impl<'a> Group<'a> {
    /// The keys named `name`.
    pub(super) fn named(name: &'a str) -> Self {
        Self(Some(name))
    }

    /// Splits `PLACE` or `PLACE/NAME`.
    pub(super) fn within(account: &'a str) -> (&'a str, Self) {
        match account.split_once('/') {
            Some((place, name)) => (place, Self(Some(name))),
            None => (account, Self(None)),
        }
    }

    /// Whether a thing of this name belongs to it, and the tag in its name.
    pub(super) fn tag(self, name: &str) -> Option<Option<Tag>> {
        let ours = |text: &str| Tag::new(text).ok().filter(Tag::is_ours);
        match self.0 {
            None => Some(ours(name)),
            Some(group) if name == group => Some(None),
            Some(group) => name.strip_prefix(group)?.strip_prefix(' ').and_then(ours).map(Some),
        }
    }

    /// The name of a version that a rotation makes.
    pub(super) fn name(self, tag: &Tag) -> String {
        match self.0 {
            None => tag.to_string(),
            Some(group) => format!("{group} {tag}"),
        }
    }
}

/// A tag as a login name, for vendors that have no room for it elsewhere: lower case, as login names may not keep theirs.
/// `handover:News_1.1` is `handover-_news__1.1`.
pub(super) fn spell(tag: &Tag) -> String {
    let rest = tag.as_str().strip_prefix(TAGGED).unwrap_or(tag.as_str());
    let mut name = SPELLED.to_owned();
    for c in rest.chars() {
        if c == '_' || c.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

/// The tag of a login name, if it is one of `spell`.
pub(super) fn spelled(name: &str) -> Option<Tag> {
    let mut rest = name.strip_prefix(SPELLED)?.chars();
    let mut text = TAGGED.to_owned();
    while let Some(c) = rest.next() {
        text.push(if c == '_' { rest.next()?.to_ascii_uppercase() } else { c });
    }
    Tag::new(text).ok().filter(|tag| spell(tag) == name)
}

const TAGGED: &str = "handover:";
const SPELLED: &str = "handover-";

/// The secret that was to be set is not there.
pub(super) fn no_secret(who: &str) -> Lost {
    let message = format!("{who}: the password to set is missing");
    Lost::Before(Fault::new(FaultClass::Permanent, "HO0507", message))
}

/// The name that a version would need is longer than the vendor takes.
pub(super) fn too_long(who: &str, name: &str, most: usize) -> Lost {
    let message = format!("{who} takes names of {most} characters at most, and {name:?} has {}", name.chars().count());
    let hint = "give the credential a shorter name in the inventory: it is part of the rotation's id";
    Lost::Before(Fault::new(FaultClass::Permanent, PROVIDER.odd, message).hint(hint))
}

/// What a kind of shape B answers to `disable` and `enable`.
pub(super) fn only_deletes<T>(who: &str) -> Outcome<T> {
    let message = format!("{who} can only delete a version, not disable or enable it");
    Outcome::NotDone(Fault::new(FaultClass::Permanent, "HO0504", message))
}

/// A look before a change that was lost: the change was not begun.
pub(super) fn looked(lost: Lost) -> Lost {
    match lost {
        Lost::Before(fault) | Lost::Maybe(fault) => Lost::Before(fault),
    }
}

/// The account has no room.
pub(super) fn full(who: &str) -> Lost {
    let message = format!("{who}: it makes no more versions for this account");
    let hint = "delete one that nothing uses; Handover never removes a version that it did not make";
    Lost::Before(Fault::new(FaultClass::Permanent, "HO0503", message).hint(hint))
}

/// The account's name is none that the vendor could have.
pub(super) fn no_account(who: &str, account: &str, form: &str) -> Lost {
    let message = format!("{who} cannot have an account {account:?}");
    Lost::Before(Fault::new(FaultClass::Permanent, "HO0502", message).hint(format!("write it as {form}")))
}

/// A time in milliseconds since the epoch, in any of the forms that vendors use: RFC 3339, RFC 2822, and dates with a blank and a
/// short offset.
pub(super) fn millis(text: &str) -> Option<u64> {
    let found = DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_rfc2822(text))
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z"))
        .ok()?;
    u64::try_from(found.timestamp_millis()).ok()
}

/// A password in an answer.
pub(super) struct Hidden(pub(super) Secret);

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

#[cfg(test)]
#[path = "rest_tests.rs"]
pub(super) mod tests;

//! The store `github-actions`: logins kept as two secrets of GitHub Actions, of a repository, an environment or an organization.
//!
//! GitHub takes a secret and never gives it back. It tells when each was changed last, and keeps variables that can be read: in one
//! of them Handover leaves a mark of what it wrote and of these times, so that it knows its own login again until somebody writes.
//!
//! ```text
//!  look ─▶ mark "begun" ─▶ username ─▶ password ─▶ when were they changed? ─▶ mark "written, then"
//! ```
//!
//! What this must not do: take the server's word for a read-back, or write over what somebody has changed after the mark.

mod calls;
mod mark;
mod place;

use std::path::PathBuf;

use async_trait::async_trait;
use chrono::DateTime;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use reqwest::Url;
use serde_json::{Value, json};

use self::calls::{Repository, Seen};
use self::mark::{Mark, Times};
use self::place::Place;
use super::{EntryRef, Held, Hidden, Marks, Store};
use crate::config::fields::Fields;
use crate::config::inventory::SecretRef;
use crate::secret::{Login, Secret};
use crate::web::{Api, Lost, STORE, outcome};

/// For one request.
const CALL_TIMEOUT: Span = Span::seconds(10);

/// The most requests that one `write` makes: three looks, the key, ten pages of repositories, four writes, two looks.
const MOST_CALLS: u64 = 20;

/// The most bytes that a secret may have.
const MOST: usize = 48 << 10;

/// A token that ends sooner than this is warned of, in seconds.
const SOON: i64 = 14 * 24 * 3600;

/// How much later than the change the answer to it may be dated, in seconds: two writes within this time cannot be told apart.
const DRIFT: i64 = 5;

/// What an inventory may say about a store of this kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GithubOptions {
    /// `address`: of the API; <https://api.github.com> if left out.
    pub address: Option<Url>,
    /// `ca_file`: PEM certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// `token`: a personal access token, or one of an app's installation.
    pub token: SecretRef,
}

/// Keeps logins in secrets of GitHub Actions. The path of an entry is a repository, an environment or an organization; its fields are
/// names of secrets.
///
/// # Guarantees
/// - Values leave this machine sealed for the key that GitHub shows for the place.
/// - A secret that somebody has changed since Handover wrote it is not overwritten. Who sees a secret of an organization stays.
/// - `Done` means that GitHub acknowledged both secrets and tells of a change of each.
///
/// # Caveats
/// - Nothing is read back. Before the first write nobody knows what is there, and whatever it is, it is replaced.
/// - Two secrets are not written at once: a job that starts in between gets a half of each of two logins.
/// - GitHub tells times in whole seconds: who writes within the second of our write is not seen.
pub struct GithubActionsStore {
    api: Api,
    token: SecretRef,
}

/// What an entry is, as far as it is told.
struct Look {
    secrets: [Option<Seen>; 2],
    mark: Mark,
}

/// What both secrets are, where they are there.
struct Pair<'l> {
    secrets: [&'l Seen; 2],
    times: Times,
}

impl Look {
    fn pair(&self) -> Option<Pair<'_>> {
        let [Some(username), Some(password)] = &self.secrets else { return None };
        let times = Times { username: username.updated_at.clone(), password: password.updated_at.clone() };
        Some(Pair { secrets: [username, password], times })
    }
}

impl GithubActionsStore {
    /// A store with these options. Nothing is sent and no secret is read before the first call.
    ///
    /// # Errors
    /// `HO0634`: the address or `ca_file` cannot be used.
    pub fn open(options: GithubOptions) -> Result<Self, Fault> {
        let Some(address) = options.address.or_else(|| Url::parse("https://api.github.com").ok()) else {
            return Err(Fault::new(FaultClass::Permanent, "HO0634", "GitHub: its address cannot be used"));
        };
        let api = Api::new("GitHub", &address, options.ca_file.as_deref(), CALL_TIMEOUT, STORE)?;
        Ok(Self { api, token: options.token })
    }

    /// Reads the options: see `docs/kinds/github-actions.md`.
    pub fn options(fields: &mut Fields<'_>) -> Option<GithubOptions> {
        let given = fields.has("address");
        let address = fields.optional_url("address");
        let ca_file = fields.optional_path("ca_file");
        let token = fields.required_secret("token");
        if given && address.is_none() {
            return None;
        }
        Some(GithubOptions { address, ca_file, token: token? })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        json!({
            "type": "object", "additionalProperties": false, "required": ["token"],
            "properties": {
                "address": { "type": "string", "pattern": "^https?://" },
                "ca_file": { "$ref": "#/$defs/text" },
                "token": { "$ref": "#/$defs/secret" },
            }
        })
    }

    /// Why an entry with this path and these fields cannot be one: the key that is wrong, and a sentence.
    #[must_use]
    pub fn misnamed(path: &str, fields: [&str; 2]) -> Option<(&'static str, String)> {
        let place = Place::read(path).err().map(|why| ("path", why));
        place.or_else(|| place::misnamed(fields).map(|why| ("fields", why)))
    }

    fn fields(entry: &EntryRef) -> [&str; 2] {
        [&entry.username_field, &entry.password_field]
    }

    fn fault(&self, class: FaultClass, code: &str, entry: &EntryRef, what: impl std::fmt::Display) -> Fault {
        self.api.fault(class, code, format!("{}: {what}", entry.path))
    }

    fn permanent(&self, code: &str, entry: &EntryRef, what: impl std::fmt::Display) -> Fault {
        self.fault(FaultClass::Permanent, code, entry, what)
    }

    fn place(&self, entry: &EntryRef) -> Result<Place, Lost> {
        let place = Place::read(&entry.path).map_err(|why| Lost::Before(self.permanent("HO0616", entry, why)))?;
        match place::misnamed(Self::fields(entry)) {
            None => Ok(place),
            Some(why) => Err(Lost::Before(self.permanent("HO0616", entry, why).hint("correct the entry's `fields`"))),
        }
    }

    async fn look(&self, entry: &EntryRef, place: &Place) -> Result<Look, Lost> {
        let [username, password] = Self::fields(entry);
        let (username, password, mark) = futures::future::join3(
            self.seen(entry, place, username),
            self.seen(entry, place, password),
            self.marked(entry, place),
        )
        .await;
        Ok(Look { secrets: [username?, password?], mark: mark? })
    }

    fn absent(&self, entry: &EntryRef, look: &Look) -> Lost {
        Lost::Before(self.permanent("HO0635", entry, missing(entry, look)).hint(
            "make it once with the current value, or correct `path` and `fields`; GitHub answers 404 to a token that may not see it, too",
        ))
    }

    /// Whether whatever is there now may go.
    fn may_replace(
        &self,
        entry: &EntryRef,
        known: &(Hidden, String),
        expect: &[&Secret],
        marks: Option<&Marks>,
    ) -> Result<(), Lost> {
        let what = match &known.0 {
            _ if expect.is_empty() => return Ok(()),
            Hidden::Unknown => return Ok(()),
            Hidden::Marked(mark) if marks.is_some_and(|marks| marks.expected.contains(mark)) => return Ok(()),
            Hidden::Marked(_) => "its mark is of another login than expected",
            Hidden::Changed => &known.1,
        };
        let fault = self.permanent("HO0611", entry, format!("{what}; someone else changed it"));
        Err(Lost::Before(fault.hint("find out who wrote it; then run `handover status` for what is safe next")))
    }

    async fn put(&self, entry: &EntryRef, login: &Login, expect: &[&Secret], marks: Option<&Marks>) -> Result<(), Lost> {
        let place = self.place(entry)?;
        let fields = Self::fields(entry);
        let look = self.look(entry, &place).await.map_err(Lost::before_the_change)?;
        let Some(Pair { secrets, times: before }) = look.pair() else { return Err(self.absent(entry, &look)) };
        let known = look.mark.of(&before, fields);
        if marks.is_some_and(|marks| known.0 == Hidden::Marked(marks.new.clone())) {
            return Ok(());
        }
        self.may_replace(entry, &known, expect, marks)?;
        self.fits(entry, login)?;
        let sealing = self.key(entry, &place).await.map_err(Lost::before_the_change)?;
        let [first, second] = secrets;
        let audience = [
            self.audience(entry, &place, fields[0], first).await.map_err(Lost::before_the_change)?,
            self.audience(entry, &place, fields[1], second).await.map_err(Lost::before_the_change)?,
        ];
        if look.mark != Mark::Begun {
            self.say(entry, &place, &look.mark, &Mark::Begun).await?;
        }
        let username = (fields[0], login.username.as_str());
        let first = match self.set(entry, &place, username, &sealing, &audience[0]).await {
            Ok(dated) => dated,
            Err(Lost::Before(fault)) => {
                // No secret was touched: the mark says again what it said. One that said nothing loses nothing.
                let undone = self.say(entry, &place, &Mark::Begun, &look.mark).await.is_ok();
                let kept = undone || !matches!(look.mark, Mark::Written(..));
                return Err(if kept { Lost::Before(fault) } else { Lost::Maybe(fault) });
            }
            Err(lost) => return Err(lost),
        };
        let password = (fields[1], login.password.expose());
        // The username was written, and nobody knows the one before: whatever ends this, it is not as it was.
        let second = self.set(entry, &place, password, &sealing, &audience[1]).await.map_err(after_the_change)?;
        let look = self.look(entry, &place).await.map_err(after_the_change)?;
        let Some(Pair { times: after, .. }) = look.pair() else { return Err(after_the_change(self.absent(entry, &look))) };
        let pairs = [(&before.username, &after.username, first), (&before.password, &after.password, second)];
        for (name, (before, after, dated)) in fields.into_iter().zip(pairs) {
            if !landed(before, after, dated) {
                let what = format!("it took the secret {name}, and tells of no change of it");
                return Err(Lost::Maybe(self.fault(FaultClass::Temporary, "HO0633", entry, what)));
            }
        }
        match marks {
            Some(marks) => {
                let written = Mark::Written(marks.new.clone(), after);
                self.say(entry, &place, &Mark::Begun, &written).await.map_err(after_the_change)
            }
            None => Ok(()),
        }
    }

    fn fits(&self, entry: &EntryRef, login: &Login) -> Result<(), Lost> {
        let values = [login.username.as_str(), login.password.expose()];
        match Self::fields(entry).into_iter().zip(values).find(|(_, value)| value.is_empty() || value.len() > MOST) {
            None => Ok(()),
            Some((name, value)) => {
                let what = format!("the secret {name} would have {} bytes, of 1 to {MOST}", value.len());
                Err(Lost::Before(self.permanent("HO0615", entry, what)))
            }
        }
    }

    /// GitHub has no trial of a write, and says of classic tokens only what they may do.
    async fn check(&self, entry: &EntryRef) -> Result<(), Lost> {
        let place = self.place(entry)?;
        let look = self.look(entry, &place).await?;
        if look.pair().is_none() {
            return Err(self.absent(entry, &look));
        }
        self.key(entry, &place).await?;
        let doing = "write its secrets";
        let answer = self.about(&place).await?;
        if !answer.status.is_success() {
            return Err(self.refused(entry, &place, &answer, "see the place of its secrets"));
        }
        let scopes = answer.header("x-oauth-scopes").map(|scopes| scopes.split(',').map(str::trim).collect::<Vec<_>>());
        let role = answer.json::<Repository>().and_then(|repository| repository.permissions);
        let refused = scopes.is_some_and(|scopes| !scopes.contains(&place.scope())) || role.is_some_and(|role| !role.push);
        if refused { Err(Lost::Before(self.forbidden(entry, &place, doing))) } else { Ok(()) }
    }
}

/// Which secret is not there, in words.
fn missing(entry: &EntryRef, look: &Look) -> String {
    let names = [&entry.username_field, &entry.password_field];
    let first = names.into_iter().zip(&look.secrets).find(|(_, seen)| seen.is_none());
    first.map_or_else(String::new, |(name, _)| format!("there is no secret {name}"))
}

/// Whether a secret was changed by a write whose answer was dated so. Two writes within a second have one time.
fn landed(before: &str, after: &str, dated: Option<i64>) -> bool {
    let recent = |dated: i64| {
        let at = DateTime::parse_from_rfc3339(after).map(|at| at.timestamp());
        at.is_ok_and(|at| dated.saturating_sub(at) <= DRIFT)
    };
    before != after || dated.is_some_and(recent)
}

/// The end of a call after a change: it cannot be as it was.
fn after_the_change(lost: Lost) -> Lost {
    let (Lost::Before(fault) | Lost::Maybe(fault)) = lost;
    Lost::Maybe(fault)
}

#[async_trait]
impl Store for GithubActionsStore {
    fn kind(&self) -> &'static str {
        "github-actions"
    }

    fn request_timeout(&self) -> Span {
        Span(self.api.request_timeout().0.saturating_mul(MOST_CALLS))
    }

    fn landing(&self) -> Span {
        self.api.request_timeout()
    }

    fn reads_back(&self) -> bool {
        false
    }

    async fn check_writable(&self, entry: &EntryRef) -> Outcome<()> {
        outcome(self.check(entry).await.map_err(Lost::before_the_change))
    }

    async fn read(&self, entry: &EntryRef) -> Outcome<Held> {
        let held = async {
            let look = self.look(entry, &self.place(entry)?).await?;
            let known = look.pair().map(|pair| look.mark.of(&pair.times, Self::fields(entry)).0);
            Ok(known.map_or(Held::Nothing, Held::Hidden))
        };
        outcome(held.await)
    }

    async fn lacks(&self, entry: &EntryRef) -> String {
        let look = async { self.look(entry, &self.place(entry)?).await };
        match look.await {
            Ok(look) => match look.pair() {
                Some(pair) => look.mark.of(&pair.times, Self::fields(entry)).1,
                None => format!("{}, or the token may not see it", missing(entry, &look)),
            },
            Err(Lost::Before(fault) | Lost::Maybe(fault)) => fault.to_string(),
        }
    }

    async fn warnings(&self, entry: &EntryRef) -> Vec<String> {
        let Ok(place) = self.place(entry) else { return Vec::new() };
        let Ok(answer) = self.about(&place).await else { return Vec::new() };
        if !answer.status.is_success() {
            return Vec::new();
        }
        let mut told = Vec::new();
        if answer.header("x-oauth-scopes").is_none() {
            told.push(
                "GitHub does not tell whether a token of this kind may write secrets: only trying will show, and if it may not, nothing \
                 is changed"
                    .to_owned(),
            );
        }
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_secs());
        if let Some(end) = answer.header("github-authentication-token-expiration").and_then(expiry)
            && end.timestamp().saturating_sub(i64::try_from(now).unwrap_or(i64::MAX)) < SOON
        {
            told.push(format!("the token ends at {end}: put a new one where the inventory says"));
        }
        told
    }

    async fn can_hold(&self, entry: &EntryRef, login: &Login) -> Outcome<()> {
        outcome(self.fits(entry, login))
    }

    async fn write(&self, entry: &EntryRef, login: &Login, expect: &[&Secret]) -> Outcome<()> {
        outcome(self.put(entry, login, expect, None).await)
    }

    async fn write_marked(&self, entry: &EntryRef, login: &Login, expect: &[&Secret], marks: &Marks) -> Outcome<()> {
        outcome(self.put(entry, login, expect, Some(marks)).await)
    }
}

/// The end of a token, as GitHub writes it: `2026-12-31 10:00:00 UTC`, or with an offset.
fn expiry(text: &str) -> Option<DateTime<chrono::FixedOffset>> {
    let offset = text.strip_suffix("UTC").map_or_else(|| text.to_owned(), |time| format!("{time}+0000"));
    DateTime::parse_from_str(&offset, "%Y-%m-%d %H:%M:%S %z").ok()
}

#[cfg(test)]
#[path = "github_actions_tests.rs"]
mod tests;

//! One account and what may be done to its versions, by shape: the rules of the pretended provider.
//!
//! Pure but for the making of passwords: time, shape and quota come in as [`Terms`]. Every version keeps the turns at
//! which the SMTP server begins and ceases to accept it, so that a change can be told at once and spread later, as at real
//! providers. Passwords are in here because this *is* the provider; they are written to its 0600 file and nowhere else.

use aws_lc_rs::rand;
use handover_rotation::name::{Tag, Username, VersionId};
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::plan::Shape;
use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// The version of the account file's format.
pub const FORMAT: u32 = 1;

/// What every sandbox password begins with, so that searches for leaks find them.
pub const PASSWORD_PREFIX: &str = "hosb_";

/// Where a version stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Accepted.
    Active,
    /// Refused, and can be made active again.
    Inactive,
    /// Gone for good; kept for the record.
    Deleted,
}

/// A moment from which the SMTP server accepts or refuses a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// When, in milliseconds since the Unix epoch.
    pub at: u64,
    /// Accepted from then on, or refused.
    pub accepted: bool,
}

/// One version: a username and a password.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// The id, such as `newsletter#3`.
    pub id: VersionId,
    /// The login name.
    pub username: Username,
    /// The password.
    #[serde(with = "kept")]
    pub password: Secret,
    /// What was written on it when it was made.
    pub tag: Option<Tag>,
    /// Where it stands in the provider's books.
    pub state: State,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_at: u64,
    /// When its state last changed.
    pub changed_at: u64,
    /// When the SMTP server learns of its changes, in order.
    pub turns: Vec<Turn>,
}

impl Version {
    /// Whether the SMTP server accepts it at `now`.
    #[must_use]
    pub fn accepted_at(&self, now: u64) -> bool {
        self.turns.iter().rev().find(|turn| turn.at <= now).is_some_and(|turn| turn.accepted)
    }

    fn turn(&mut self, terms: &Terms, state: State) {
        if self.state == state {
            return;
        }
        self.state = state;
        self.changed_at = terms.now;
        let last_known = self.turns.iter().rposition(|turn| turn.at <= terms.now).unwrap_or(0);
        self.turns.drain(..last_known);
        let at = terms.now.saturating_add(terms.delay);
        // A shorter delay than before must not let an earlier change win over a later one.
        self.turns.retain(|turn| turn.at < at);
        self.turns.push(Turn { at, accepted: state == State::Active });
    }
}

/// What holds for one call.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How the provider keeps versions.
    pub shape: Shape,
    /// How many versions an account may have, inactive ones counted.
    pub quota: u8,
    /// The time of the call, in milliseconds since the Unix epoch.
    pub now: u64,
    /// How long the SMTP server takes to learn of the change, in milliseconds.
    pub delay: u64,
}

impl Terms {
    /// Whether the caller brings the password.
    #[must_use]
    pub fn chooses_secret(&self) -> bool {
        chooses_secret(self.shape)
    }
}

/// Whether the caller brings the password in this shape: where an account has one password, whoever sets it chooses it.
#[must_use]
pub fn chooses_secret(shape: Shape) -> bool {
    matches!(shape, Shape::Alternating | Shape::InPlace)
}

/// One account and all versions it ever had.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The version of this format.
    pub format: u32,
    /// Its name.
    pub name: String,
    /// The number that the next version gets; never used twice.
    pub next: u32,
    /// The versions, oldest first, deleted ones too.
    pub versions: Vec<Version>,
}

impl Account {
    /// An account without versions.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { format: FORMAT, name: name.to_owned(), next: 1, versions: Vec::new() }
    }

    /// The versions that count against the quota and are listed.
    pub fn kept(&self) -> impl Iterator<Item = &Version> {
        self.versions.iter().filter(|v| v.state != State::Deleted)
    }

    /// Makes a version and answers its position in `versions`.
    ///
    /// # Errors
    /// Quota, no idle account of the two, or a password that is missing; then nothing has changed.
    pub fn create(&mut self, terms: &Terms, tag: Option<&Tag>, secret: Option<&Secret>) -> Result<usize, Fault> {
        // In place, what was overwritten before the current password is only history.
        for version in self.versions.iter_mut().filter(|v| terms.shape == Shape::InPlace && v.state == State::Inactive) {
            version.turn(terms, State::Deleted);
        }
        if self.kept().count() >= usize::from(terms.quota) {
            let ids: Vec<&str> = self.kept().map(|v| v.id.as_str()).collect();
            let message = format!("account {} already has {} of {} versions", self.name, ids.len(), terms.quota);
            let hint = match &ids[..] {
                [only] => format!("have the provider allow one more: {only} is the only one, and services may use it"),
                ids => format!("delete one that nothing uses: {}", ids.join(", ")),
            };
            return Err(Fault::new(FaultClass::Permanent, "HO0503", message).hint(hint));
        }
        let username = self.next_username(terms.shape)?;
        let password = match secret {
            Some(secret) if terms.chooses_secret() => secret.duplicate(),
            None if terms.chooses_secret() => return Err(no_secret(&self.name)),
            _ => new_password()?,
        };
        let number = self.next;
        let bad =
            |what: &str| Fault::new(FaultClass::Permanent, "HO0502", format!("account {} gives no valid {what}", self.name));
        let id = VersionId::new(format!("{}#{number}", self.name)).map_err(|_| bad("id"))?;
        let username = Username::new(username).map_err(|_| bad("username"))?;
        // One password per login name: setting it overwrites what was there.
        for other in self.versions.iter_mut().filter(|v| v.username == username) {
            match other.state {
                State::Active => other.turn(terms, State::Inactive),
                State::Inactive if terms.shape == Shape::Alternating => other.turn(terms, State::Deleted),
                _ => {}
            }
        }
        self.next = number.saturating_add(1);
        let turns = vec![Turn { at: terms.now.saturating_add(terms.delay), accepted: true }];
        let (created_at, changed_at, tag) = (terms.now, terms.now, tag.cloned());
        self.versions.push(Version { id, username, password, tag, state: State::Active, created_at, changed_at, turns });
        Ok(self.versions.len() - 1)
    }

    /// Makes a version refused. Repeating it changes nothing.
    ///
    /// # Errors
    /// The shape has no disabling, or the version is not there.
    pub fn disable(&mut self, terms: &Terms, id: &VersionId) -> Result<(), Fault> {
        if terms.shape == Shape::DeleteOnly {
            return Err(no_disabling(id));
        }
        self.find(id)?.turn(terms, State::Inactive);
        Ok(())
    }

    /// Makes a version accepted again. Repeating it changes nothing.
    ///
    /// # Errors
    /// The shape has no disabling, the version is not there, its login name belongs to another active version, or the
    /// password that has to be set again is missing.
    pub fn enable(&mut self, terms: &Terms, id: &VersionId, secret: Option<&Secret>) -> Result<(), Fault> {
        if terms.shape == Shape::DeleteOnly {
            return Err(no_disabling(id));
        }
        let username = self.find(id)?.username.clone();
        if terms.chooses_secret() {
            let secret = secret.ok_or_else(|| no_secret(&self.name))?.duplicate();
            for other in
                self.versions.iter_mut().filter(|v| v.username == username && v.id != *id && v.state == State::Active)
            {
                if terms.shape == Shape::Alternating {
                    let message = format!("login {username} has the password of {} now, so {id} cannot come back", other.id);
                    return Err(Fault::new(FaultClass::Permanent, "HO0510", message));
                }
                other.turn(terms, State::Inactive);
            }
            self.find(id)?.password = secret;
        }
        self.find(id)?.turn(terms, State::Active);
        Ok(())
    }

    /// Removes a version for good. One that is gone already, or never was, is fine.
    pub fn delete(&mut self, terms: &Terms, id: &VersionId) {
        if let Some(version) = self.versions.iter_mut().find(|v| v.id == *id) {
            version.turn(terms, State::Deleted);
        }
    }

    /// The version that a login name means when no password tells: the newest.
    #[must_use]
    pub fn newest_of(&self, username: &str) -> Option<&Version> {
        self.versions.iter().rev().find(|v| v.username.as_str() == username)
    }

    /// Whether this is the newest version while an older one is still kept.
    #[must_use]
    pub fn is_new(&self, version: &Version) -> bool {
        self.kept().count() > 1 && self.kept().last().is_some_and(|newest| newest.id == version.id)
    }

    fn find(&mut self, id: &VersionId) -> Result<&mut Version, Fault> {
        let name = &self.name;
        self.versions
            .iter_mut()
            .find(|v| v.id == *id && v.state != State::Deleted)
            .ok_or_else(|| Fault::new(FaultClass::Permanent, "HO0506", format!("account {name} has no version {id}")))
    }

    fn next_username(&self, shape: Shape) -> Result<String, Fault> {
        match shape {
            Shape::InPlace => Ok(self.name.clone()),
            Shape::Alternating => ["a", "b"]
                .map(|half| format!("{}-{half}", self.name))
                .into_iter()
                .find(|name| !self.versions.iter().any(|v| v.state == State::Active && v.username.as_str() == name))
                .ok_or_else(|| {
                    let message = format!("both logins of account {} are in use", self.name);
                    Fault::new(FaultClass::Permanent, "HO0510", message)
                }),
            Shape::Reversible | Shape::DeleteOnly | Shape::Manual => Ok(format!("{}.{}", self.name, self.next)),
        }
    }
}

/// The accounts that a login name may belong to, by how [`Account::create`] makes names; whoever asks looks if it does.
pub(crate) fn accounts_of(username: &str) -> impl Iterator<Item = &str> {
    let numbered = username.rsplit_once('.').map(|(account, _)| account);
    let half = username.strip_suffix("-a").or_else(|| username.strip_suffix("-b"));
    [numbered, half, Some(username)].into_iter().flatten()
}

/// 40 random characters of 64 behind the prefix: 240 bits.
pub(crate) fn new_password() -> Result<Secret, Fault> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    let mut bytes = zeroize::Zeroizing::new([0_u8; 40]);
    rand::fill(&mut *bytes)
        .map_err(|_| Fault::new(FaultClass::Temporary, "HO0509", "the system gives no random numbers for a password"))?;
    let mut password = String::with_capacity(PASSWORD_PREFIX.len() + bytes.len());
    password.push_str(PASSWORD_PREFIX);
    password.extend(bytes.iter().map(|b| char::from(ALPHABET[usize::from(b & 63)])));
    Ok(Secret::new(password))
}

fn no_disabling(id: &VersionId) -> Fault {
    let message = format!("version {id} cannot be disabled or enabled: this provider only deletes");
    Fault::new(FaultClass::Permanent, "HO0504", message)
}

fn no_secret(account: &str) -> Fault {
    Fault::new(
        FaultClass::Permanent,
        "HO0507",
        format!("account {account} takes its password from the caller, who gave none"),
    )
}

/// A password in the provider's own file: the one place where a [`Secret`] is serialised.
mod kept {
    use super::Secret;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.expose())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        String::deserialize(from).map(Secret::new)
    }
}

#[cfg(test)]
#[path = "account_tests.rs"]
mod tests;

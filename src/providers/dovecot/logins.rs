//! What an account's login names have: the password field that the server reads, and Handover's notes on it. Pure.
//!
//! One login name has one password. A version is one password of one login name, known by a digest of its hash, so that each new
//! password is a new version. What is disabled is taken out of the field and kept in a note, as it was: putting it back needs no
//! secret and gives the same version. In its place stands a hash of nothing, which every login is checked against and fails.

use aws_lc_rs::digest::{SHA256, digest};
use handover_rotation::name::{Tag, Username, VersionId};
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::plan::Shape;
use zeroize::Zeroizing;

use crate::providers::{ListedVersion, LiveState};
use crate::random;

/// How many versions an account may have: as many as it has login names.
pub(super) const QUOTA: u8 = 2;

/// What a lock begins with. Its hash is drawn by chance, so nobody knows a password for it; it is of a scheme that every server
/// has, since one that is not known would be a temporary failure and no refusal.
const LOCK: &str = "{SHA512-CRYPT}$6$HandoverLocked$";
const LOCK_LENGTH: usize = 86;
const LOCK_LETTERS: &str = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What people write for "no password", besides nothing at all.
const NO_PASSWORD: [&str; 4] = ["", "!", "!!", "*"];

/// Schemes with a salt that do not show it by a `$`.
const SALTED: [&str; 8] = ["SSHA", "SSHA256", "SSHA512", "SMD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "PBKDF2", "ARGON2ID"];

/// A password as the server has it: a hash, or what somebody left there in the clear. It is wiped and not shown.
pub(super) struct Field(Zeroizing<String>);

impl Field {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text. It goes to the server's file or table and nowhere else.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// A field that no password fits.
    pub(super) fn locked() -> Result<Self, Fault> {
        let chance = random::generate_password(LOCK_LENGTH, LOCK_LETTERS)
            .map_err(|error| Fault::new(FaultClass::Temporary, "HO0508", error.to_string()))?;
        Ok(Self::new(format!("{LOCK}{}", chance.expose())))
    }

    fn is_open(&self) -> bool {
        !self.0.starts_with(LOCK) && !NO_PASSWORD.contains(&self.0.as_str())
    }

    /// Whether it is a hash with a salt, so that a digest of it tells nothing.
    fn is_salted(&self) -> bool {
        let scheme = self.0.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let (scheme, rest) = scheme.unwrap_or(("", &self.0));
        let scheme = scheme.split('.').next().unwrap_or_default();
        rest.starts_with('$') || SALTED.iter().any(|s| scheme.eq_ignore_ascii_case(s))
    }

    /// What tells it from other fields. One without a salt could be guessed from its digest, so all of them are alike.
    fn digest(&self) -> String {
        if !self.is_salted() {
            return "unsalted".to_owned();
        }
        hex::encode(&digest(&SHA256, self.0.as_bytes()).as_ref()[..8])
    }

    fn duplicate(&self) -> Self {
        Self::new(self.0.as_str())
    }
}

/// What Handover wrote beside a login name.
pub(super) struct Note {
    /// The digest of the field that it is about.
    of: String,
    tag: Option<Tag>,
    /// The field, where it was taken out.
    kept: Option<Field>,
}

impl Note {
    /// Reads what [`Note::text`] wrote; `None` for anything else.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (words, kept) = match text.split_once(" kept=") {
            Some((words, kept)) => (words, Some(Field::new(kept))),
            None => (text, None),
        };
        let value = |key: &str| words.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        let tag = value("tag").map(Tag::new).transpose().ok()?;
        Some(Self { of: value("of")?.to_owned(), tag, kept })
    }

    /// One line: `of=DIGEST tag=TAG kept=FIELD`.
    pub(super) fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(format!("of={}", self.of));
        if let Some(tag) = &self.tag {
            text.push_str(&format!(" tag={tag}"));
        }
        if let Some(kept) = &self.kept {
            // Made long enough at once: a text that grows leaves copies behind.
            text.reserve(kept.expose().len() + 6);
            text.push_str(" kept=");
            text.push_str(kept.expose());
        }
        text
    }
}

/// A login name with what the server and Handover have of it.
pub(super) struct Login {
    pub(super) name: String,
    /// `None` where the server has no such name.
    pub(super) field: Option<Field>,
    pub(super) notes: Vec<Note>,
    /// Whether it was changed here, and has to be written.
    pub(super) changed: bool,
}

impl Login {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), field: None, notes: Vec::new(), changed: false }
    }

    fn open(&self) -> Option<&Field> {
        self.field.as_ref().filter(|field| field.is_open())
    }

    fn tag_of(&self, digest: &str) -> Option<Tag> {
        self.notes.iter().find(|note| note.of == digest && note.kept.is_none()).and_then(|note| note.tag.clone())
    }

    fn id(&self, digest: &str) -> Result<VersionId, Fault> {
        VersionId::new(format!("{}#{digest}", self.name)).map_err(|_| no_name(&self.name))
    }

    /// The versions: those kept aside first, as they are the older ones.
    fn versions(&self) -> Result<Vec<ListedVersion>, Fault> {
        let username = Username::new(self.name.as_str()).map_err(|_| no_name(&self.name))?;
        let version = |digest: &str, tag: Option<Tag>, state: LiveState| {
            let (id, username) = (self.id(digest)?, username.clone());
            Ok(ListedVersion { id, username, tag, state, created_at: None, last_used_at: None, last_refused_at: None })
        };
        let open = self.open().map(Field::digest);
        // Where the server has no such name, a note on it is left over from one that somebody has deleted.
        let kept = self.notes.iter().filter(|n| n.kept.is_some() && self.field.is_some() && open.as_ref() != Some(&n.of));
        let mut versions: Vec<_> =
            kept.map(|note| version(&note.of, note.tag.clone(), LiveState::Inactive)).collect::<Result<_, Fault>>()?;
        if let Some(digest) = &open {
            versions.push(version(digest, self.tag_of(digest), LiveState::Active)?);
        }
        Ok(versions)
    }

    /// Takes the field out, and keeps it if `keep`.
    fn close(&mut self, keep: bool) -> Result<(), Fault> {
        if let Some(field) = self.open() {
            let (of, kept) = (field.digest(), field.duplicate());
            let tag = self.tag_of(&of);
            self.notes.retain(|note| note.of != of);
            if keep {
                self.notes.push(Note { of, tag, kept: Some(kept) });
            }
            self.field = Some(Field::locked()?);
            self.changed = true;
        }
        Ok(())
    }

    fn put(&mut self, field: Field, tag: Option<Tag>) {
        let of = field.digest();
        self.notes.retain(|note| note.of != of);
        if tag.is_some() {
            self.notes.push(Note { of, tag, kept: None });
        }
        self.field = Some(field);
        self.changed = true;
    }

    /// Notes on fields that are no more: somebody else has set a password since.
    fn forget_stale(&mut self) {
        let open = self.open().map(Field::digest);
        self.notes.retain(|note| note.kept.is_some() || Some(&note.of) == open.as_ref());
    }
}

/// The login names of one account.
pub(super) struct Logins {
    pub(super) account: String,
    pub(super) shape: Shape,
    pub(super) all: Vec<Login>,
}

impl Logins {
    pub(super) fn versions(&self) -> Result<Vec<ListedVersion>, Fault> {
        self.must_be_there()?;
        let mut versions = Vec::new();
        for login in &self.all {
            versions.extend(login.versions()?);
        }
        Ok(versions)
    }

    /// The login names whose password stands there in the clear, or nearly so.
    pub(super) fn unsalted(&self) -> Vec<&str> {
        self.all.iter().filter(|l| l.open().is_some_and(|f| !f.is_salted())).map(|l| l.name.as_str()).collect()
    }

    /// Sets a new password, and gives the new version.
    pub(super) fn create(&mut self, tag: &Tag, hash: Field) -> Result<(VersionId, Username), Fault> {
        let there = self.versions()?;
        let free = match self.shape {
            Shape::InPlace => self.all.first_mut(),
            _ if there.len() >= usize::from(QUOTA) => {
                let ids: Vec<&str> = there.iter().map(|v| v.id.as_str()).collect();
                let message = format!("both logins of account {} are taken: {}", self.account, ids.join(", "));
                let hint = "find out which of them nothing uses, and give that login the password `!` in the server's file or table";
                return Err(Fault::new(FaultClass::Permanent, "HO0503", message).hint(hint));
            }
            _ => self.all.iter_mut().find(|login| there.iter().all(|v| v.username.as_str() != login.name)),
        };
        let Some(login) = free else { return Err(no_account(&self.account, "")) };
        if self.shape == Shape::InPlace {
            // What was overwritten before the current password is only history.
            login.notes.retain(|note| note.kept.is_none());
            login.close(true)?;
        } else {
            login.notes.clear();
        }
        let id = login.id(&hash.digest())?;
        let username = Username::new(login.name.as_str()).map_err(|_| no_name(&login.name))?;
        login.put(hash, Some(tag.clone()));
        login.forget_stale();
        Ok((id, username))
    }

    pub(super) fn disable(&mut self, id: &VersionId) -> Result<(), Fault> {
        match self.find(id)? {
            Some((login, LiveState::Active)) => login.close(true),
            Some((_, LiveState::Inactive)) => Ok(()),
            None => Err(no_version(&self.account, id)),
        }
    }

    pub(super) fn enable(&mut self, id: &VersionId) -> Result<(), Fault> {
        let alternating = self.shape != Shape::InPlace;
        let account = self.account.clone();
        match self.find(id)? {
            Some((_, LiveState::Active)) => Ok(()),
            Some((login, LiveState::Inactive)) => {
                if let Some(other) = login.open().map(Field::digest) {
                    if alternating {
                        let message = format!("login {} has another password now, so {id} cannot come back", login.name);
                        return Err(Fault::new(FaultClass::Permanent, "HO0510", message)
                            .hint(format!("disable {}#{other} first, if nothing uses it", login.name)));
                    }
                    login.close(true)?;
                }
                let at = login.notes.iter().position(|n| n.kept.is_some() && login.id(&n.of).is_ok_and(|i| i == *id));
                let note = at.map(|at| login.notes.remove(at));
                let Some(Note { tag, kept: Some(field), .. }) = note else { return Err(no_version(&account, id)) };
                login.put(field, tag);
                Ok(())
            }
            None => Err(no_version(&account, id)),
        }
    }

    /// Removes a version. One that is gone is fine.
    pub(super) fn delete(&mut self, id: &VersionId) -> Result<(), Fault> {
        match self.find(id)? {
            Some((login, LiveState::Active)) => login.close(false),
            Some((login, LiveState::Inactive)) => {
                let of = id.as_str().rsplit_once('#').map(|(_, of)| of.to_owned()).unwrap_or_default();
                login.notes.retain(|note| note.of != of);
                login.changed = true;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn must_be_there(&self) -> Result<(), Fault> {
        if self.all.iter().all(|login| login.field.is_none()) {
            let names: Vec<&str> = self.all.iter().map(|l| l.name.as_str()).collect();
            return Err(no_account(&self.account, &format!(": the server knows no login {}", names.join(" or "))));
        }
        Ok(())
    }

    fn find(&mut self, id: &VersionId) -> Result<Option<(&mut Login, LiveState)>, Fault> {
        let there = self.versions()?;
        let Some(version) = there.iter().find(|v| v.id == *id) else { return Ok(None) };
        let login = self.all.iter_mut().find(|login| login.name == version.username.as_str());
        Ok(login.map(|login| (login, version.state)))
    }
}

fn no_account(account: &str, why: &str) -> Fault {
    Fault::new(FaultClass::Permanent, "HO0502", format!("there is no account {account}{why}"))
        .hint("the account's logins are ACCOUNT-a and ACCOUNT-b, or what `users` says; one of them must be there")
}

fn no_name(name: &str) -> Fault {
    Fault::new(FaultClass::Permanent, "HO0502", format!("login {name:?} has a character that no login name may have"))
}

fn no_version(account: &str, id: &VersionId) -> Fault {
    Fault::new(FaultClass::Permanent, "HO0506", format!("account {account} has no version {id}"))
}

#[cfg(test)]
#[path = "logins_tests.rs"]
mod tests;

//! The provider `ldap`: service logins in a directory, whose passwords it hashes itself (shape C), or which may have two (shape A).
//!
//! ```text
//! entry   what a login's entry has, and which versions that is   pure
//! pair    two passwords of one entry at once
//! talk    one conversation: TLS, bind, requests in three values
//! ```
//!
//! A password is set by RFC 3062, so that the directory's policy is asked and its hash is made by it. That cannot be done in one
//! request with the note that says whose it is: the note goes first, and says what was there before.

mod entry;
mod options;
mod pair;
mod talk;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use handover_rotation::name::{Tag, Username, VersionId};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::{ProviderFacts, Shape};
use ldap3::Mod;

use self::entry::{About, Entry, LOCKED, Note, Value};
pub use self::options::LdapOptions;
use self::options::{DisableBy, QUOTA};
use self::talk::{Change, Talk, values};
use super::{CreatedVersion, ListedVersion, LiveState, Permitted, Provider};
use crate::config::Fields;
use crate::files::replace::Failure;
use crate::random;
use crate::secret::{Login, Secret};

/// A directory as a provider.
///
/// # Guarantees
/// - Nothing is sent but under TLS with a verified certificate.
/// - A password that was set without its answer is found by its note.
///
/// # Assumptions
/// - Who binds may read the hashes, as write access implies in OpenLDAP: by them passwords are told apart.
///
/// # Caveats
/// - The library keeps copies of passwords in its buffers, which are not wiped.
/// - Whoever is logged in to the mail server stays so.
pub struct LdapProvider {
    options: LdapOptions,
    /// The passwords of entries that have two, as they were last read: by them a login is told.
    held: Mutex<BTreeMap<VersionId, Value>>,
}

impl LdapProvider {
    /// A provider with these options: nothing is contacted before it is asked.
    ///
    /// # Errors
    /// None.
    pub fn open(options: LdapOptions) -> Result<Self, Fault> {
        Ok(Self { options, held: Mutex::default() })
    }

    /// Reads the options; see docs/kinds/ldap.md.
    pub fn options(fields: &mut Fields<'_>) -> Option<LdapOptions> {
        LdapOptions::read(fields)
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        LdapOptions::schema()
    }

    /// What it can do and how fast.
    #[must_use]
    pub fn usual(options: &LdapOptions) -> ProviderFacts {
        options.facts()
    }

    fn history(&self) -> bool {
        self.options.shape == Shape::InPlace
    }

    /// Whether an entry has two passwords at once.
    fn beside(&self) -> bool {
        self.options.shape == Shape::Reversible
    }

    /// Whether an account's entry may have two passwords.
    async fn may_have_two(&self, account: &str) -> Result<(), Fault> {
        let mut talk = Talk::begin(&self.options).await?;
        let entries = self.entries(&mut talk, account).await;
        let may = entries.and_then(|all| all.iter().try_for_each(|entry| pair::ungoverned(&talk, account, entry)));
        talk.end().await;
        may
    }

    /// The entries of an account.
    async fn entries(&self, talk: &mut Talk<'_>, account: &str) -> Result<Vec<Entry>, Fault> {
        let logins = self.options.logins(account);
        let mut entries = Vec::new();
        let mut missing = Vec::new();
        for login in &logins {
            match talk.read(login).await? {
                Some(entry) => entries.push(entry),
                None => missing.push(self.options.dn_of(login)),
            }
        }
        if missing.is_empty() {
            return Ok(entries);
        }
        let message = format!("account {account} has no entry {}", missing.join(" and no entry "));
        let hint = "add what is missing, without a userPassword; the entry itself is not Handover's to make";
        Err(Fault::new(FaultClass::Permanent, "HO0502", message).hint(hint))
    }

    fn versions(&self, entries: &[Entry]) -> Result<Vec<ListedVersion>, Fault> {
        let mut versions = Vec::new();
        if self.beside() {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.clear();
            for entry in entries {
                for (known, value) in entry.pair()?.into_iter().zip(entry.all()) {
                    held.insert(known.listed.id.clone(), Value::new(value.bytes().to_vec()));
                    versions.push(known.listed);
                }
            }
            return Ok(versions);
        }
        for entry in entries {
            versions.extend(entry.versions(self.history())?.into_iter().map(|known| known.listed));
        }
        Ok(versions)
    }

    /// Replaces the notes of an entry by these, in one request with `more`.
    async fn note(&self, talk: &mut Talk<'_>, entry: &Entry, notes: &[Note], more: Vec<Change>) -> Result<(), Failure> {
        let attribute = || self.options.note.as_bytes().to_vec();
        let texts: Vec<String> = notes.iter().map(Note::text).collect();
        let stale: Vec<&String> = entry.texts.iter().filter(|text| !texts.contains(text)).collect();
        let fresh: Vec<&String> = texts.iter().filter(|text| !entry.texts.contains(text)).collect();
        let set = |texts: &[&String]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        let mut changes = more;
        if !stale.is_empty() {
            changes.push(Mod::Delete(attribute(), set(&stale)));
        }
        if !fresh.is_empty() {
            changes.push(Mod::Add(attribute(), set(&fresh)));
        }
        if changes.is_empty() {
            return Ok(());
        }
        talk.modify(&entry.dn, changes).await
    }

    /// Sets a password: the note first, then the password, then the note that is bound to it. Gives the version's id.
    async fn set(
        &self,
        talk: &mut Talk<'_>,
        entry: &Entry,
        id: Option<String>,
        tag: Option<Tag>,
        secret: &Secret,
    ) -> Result<String, Failure> {
        let before = entry.digest().unwrap_or_else(|| "none".to_owned());
        let mut notes: Vec<Note> = Vec::new();
        if self.history() {
            notes.extend(entry.note_on_current());
        }
        let pending = Note { id: id.clone(), about: About::After(before.clone()), tag: tag.clone(), idle: false };
        notes.push(pending.clone());
        self.note(talk, entry, &notes, Vec::new()).await?;
        if let Err(failure) = talk.set_password(&entry.dn, secret).await {
            // Where it was refused the note says nothing; but if it stayed, a password that somebody sets later would count as ours.
            if let (Failure::Before(_), Ok(Some(now))) = (&failure, talk.read(&entry.login).await) {
                notes.retain(|note| *note != pending);
                let _ = self.note(talk, &now, &notes, Vec::new()).await;
            }
            return Err(failure);
        }
        // From here on something has happened.
        let seen = talk.read(&entry.login).await.map_err(Failure::Maybe)?;
        let now = seen.filter(|seen| seen.digest().is_some_and(|now| now != before)).ok_or_else(|| {
            let message = format!("login {} has no new hash after its password was set ({})", entry.login, entry.dn);
            Failure::Maybe(
                Fault::new(FaultClass::Permanent, "HO0517", message)
                    .hint("may `bind_dn` read userPassword, and is this no replica?"),
            )
        })?;
        let digest = now.digest().unwrap_or_default();
        let id = id.unwrap_or_else(|| digest.clone());
        notes.retain(|note| *note != pending);
        notes.push(Note { id: Some(id.clone()), about: About::Of(digest), tag, idle: false });
        let unlock = now.locked.then(|| Mod::Delete(b"pwdAccountLockedTime".to_vec(), values([])));
        self.note(talk, &now, &notes, unlock.into_iter().collect()).await.map_err(doubtful)?;
        Ok(id)
    }

    async fn create_in(
        &self,
        talk: &mut Talk<'_>,
        account: &str,
        tag: &Tag,
        secret: &Secret,
    ) -> Result<CreatedVersion, Failure> {
        let entries = self.entries(talk, account).await.map_err(Failure::Before)?;
        let there = self.versions(&entries).map_err(Failure::Before)?;
        let free = match self.history() {
            true => entries.first(),
            false if there.len() >= usize::from(QUOTA) => {
                let ids: Vec<&str> = there.iter().map(|v| v.id.as_str()).collect();
                let message = format!("both logins of account {account} are taken: {}", ids.join(", "));
                let hint = "find out which of them nothing uses, and delete the userPassword of its entry";
                return Err(Failure::Before(Fault::new(FaultClass::Permanent, "HO0503", message).hint(hint)));
            }
            false => entries.iter().find(|entry| there.iter().all(|v| v.username.as_str() != entry.login)),
        };
        let Some(entry) = free else { return Err(Failure::Before(no_version(account, "that is free"))) };
        let bad = |_| Failure::Before(no_version(account, "with a login name that can be used"));
        let username = Username::new(entry.login.as_str()).map_err(bad)?;
        let id = self.set(talk, entry, None, Some(tag.clone()), secret).await?;
        let id = VersionId::new(format!("{}#{id}", entry.login)).map_err(bad)?;
        Ok(CreatedVersion { id, username, secret: None })
    }

    /// The entry of a version, and what is known of it.
    async fn find(
        &self,
        talk: &mut Talk<'_>,
        account: &str,
        id: &VersionId,
    ) -> Result<Option<(Entry, entry::Known)>, Fault> {
        for entry in self.entries(talk, account).await? {
            if let Some(known) = entry.versions(self.history())?.into_iter().find(|known| known.listed.id == *id) {
                return Ok(Some((entry, known)));
            }
        }
        Ok(None)
    }

    async fn disable_in(&self, talk: &mut Talk<'_>, account: &str, id: &VersionId) -> Result<(), Failure> {
        let found = self.find(talk, account, id).await.map_err(Failure::Before)?;
        let Some((entry, known)) = found else { return Err(Failure::Before(no_version(account, id.as_str()))) };
        if known.listed.state == LiveState::Inactive {
            return Ok(());
        }
        match (self.options.disable, &entry.value) {
            (DisableBy::Lock, _) => {
                let lock = Mod::Replace(b"pwdAccountLockedTime".to_vec(), values([LOCKED.as_bytes()]));
                talk.modify(&entry.dn, vec![lock]).await
            }
            (DisableBy::Hash, Some(value)) => talk.switch(&entry.dn, value, Vec::new()).await,
            (DisableBy::Hash, None) => Ok(()),
        }
    }

    async fn enable_in(
        &self,
        talk: &mut Talk<'_>,
        account: &str,
        id: &VersionId,
        secret: Option<&Secret>,
    ) -> Result<(), Failure> {
        let found = self.find(talk, account, id).await.map_err(Failure::Before)?;
        let Some((entry, known)) = found else { return Err(Failure::Before(no_version(account, id.as_str()))) };
        if known.listed.state == LiveState::Active {
            return Ok(());
        }
        if !known.present {
            // It was overwritten in place: only its password brings it back.
            let secret = secret.ok_or_else(|| Failure::Before(no_secret(account)))?;
            return self.set(talk, &entry, Some(known.id), known.listed.tag, secret).await.map(drop);
        }
        let unlock = entry.locked.then(|| Mod::Delete(b"pwdAccountLockedTime".to_vec(), values([])));
        let unlock: Vec<Change> = unlock.into_iter().collect();
        match entry.value.as_ref().filter(|value| value.is_off()) {
            Some(value) => talk.switch(&entry.dn, value, unlock).await,
            None => talk.modify(&entry.dn, unlock).await,
        }
    }

    async fn delete_in(&self, talk: &mut Talk<'_>, account: &str, id: &VersionId) -> Result<(), Failure> {
        let Some((entry, known)) = self.find(talk, account, id).await.map_err(Failure::Before)? else { return Ok(()) };
        let others: Vec<Note> = entry.notes.iter().filter(|note| note.id.as_ref() != Some(&known.id)).cloned().collect();
        if !known.present {
            return self.note(talk, &entry, &others, Vec::new()).await;
        }
        let kept: Vec<Note> = if self.history() { others } else { Vec::new() };
        let Some(value) = &entry.value else { return Ok(()) };
        let gone = Mod::Delete(b"userPassword".to_vec(), values([value.bytes()]));
        match self.note(talk, &entry, &kept, vec![gone]).await {
            // An entry that has to have a password gets one that nobody knows.
            Err(Failure::Before(_)) if talk.lacked() => {
                let secret = random::generate_password(random::PASSWORD_LENGTH, random::ALPHABET);
                let secret = secret
                    .map_err(|error| Failure::Before(Fault::new(FaultClass::Temporary, "HO0508", error.to_string())))?;
                talk.set_password(&entry.dn, &secret).await?;
                let Some(now) = talk.read(&entry.login).await.map_err(Failure::Maybe)? else { return Ok(()) };
                let about = About::Of(now.digest().unwrap_or_default());
                let idle = Note { id: None, about, tag: None, idle: true };
                self.note(talk, &now, &[idle], Vec::new()).await.map_err(doubtful)
            }
            ended => ended,
        }
    }
}

/// A later step that did not happen leaves an earlier one behind.
fn doubtful(failure: Failure) -> Failure {
    match failure {
        Failure::Before(fault) | Failure::Maybe(fault) => Failure::Maybe(fault),
    }
}

fn no_version(account: &str, which: &str) -> Fault {
    Fault::new(FaultClass::Permanent, "HO0506", format!("account {account} has no version {which}"))
}

fn no_secret(account: &str) -> Fault {
    let message = format!("account {account} takes its password from the caller, who gave none");
    Fault::new(FaultClass::Permanent, "HO0507", message)
}

fn told<T>(result: Result<T, Failure>) -> Outcome<T> {
    match result {
        Ok(value) => Outcome::Done(value),
        Err(Failure::Before(fault)) => Outcome::NotDone(fault),
        Err(Failure::Maybe(fault)) => Outcome::Unknown(fault),
    }
}

#[async_trait]
impl Provider for LdapProvider {
    fn facts(&self) -> ProviderFacts {
        self.options.facts()
    }

    /// Where an entry has two passwords, the one that fits tells. One that the directory hashed in a way of its own may be anything.
    fn may_be(&self, version: &ListedVersion, login: &Login) -> bool {
        if version.username != login.username || !self.beside() {
            return version.username == login.username;
        }
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |value: &Value| pair::fits(value, &login.password);
        let own = held.get(&version.id).and_then(fits);
        own.unwrap_or_else(|| !held.values().any(|value| fits(value) == Some(true)))
    }

    async fn list(&self, account: &str) -> Outcome<Vec<ListedVersion>> {
        let mut talk = match Talk::begin(&self.options).await {
            Ok(talk) => talk,
            Err(fault) => return Outcome::NotDone(fault),
        };
        let entries = self.entries(&mut talk, account).await;
        talk.end().await;
        entries.and_then(|entries| self.versions(&entries)).map_or_else(Outcome::NotDone, Outcome::Done)
    }

    /// Whether we may write cannot be asked for over LDAP; that the entries are there and one of their hashes can be read can.
    async fn permitted(&self, account: &str) -> Outcome<Permitted> {
        if self.beside()
            && let Err(fault) = self.may_have_two(account).await
        {
            return Outcome::NotDone(fault);
        }
        match self.list(account).await {
            Outcome::Done(list) if list.is_empty() => {
                let message = format!("no login of account {account} has a password that {} can read", self.options.bind_dn);
                Outcome::NotDone(
                    Fault::new(FaultClass::Permanent, "HO0515", message).hint("see Permissions in docs/kinds/ldap.md"),
                )
            }
            other => other.map(|_| Permitted::CannotTell),
        }
    }

    async fn warnings(&self, _account: &str) -> Vec<String> {
        let root = self.options.binds_as_root().then(|| {
            let name = &self.options.bind_dn;
            format!("{name} looks like the directory's root, whom password policies do not bind: give Handover a login of its own")
        });
        root.into_iter().collect()
    }

    async fn create(&self, account: &str, tag: &Tag, secret: Option<&Secret>) -> Outcome<CreatedVersion> {
        let Some(secret) = secret else { return Outcome::NotDone(no_secret(account)) };
        let mut talk = match Talk::begin(&self.options).await {
            Ok(talk) => talk,
            Err(fault) => return Outcome::NotDone(fault),
        };
        let made = match self.beside() {
            true => self.create_beside(&mut talk, account, tag, secret).await,
            false => self.create_in(&mut talk, account, tag, secret).await,
        };
        talk.end().await;
        told(made)
    }

    async fn disable(&self, account: &str, id: &VersionId) -> Outcome<()> {
        let mut talk = match Talk::begin(&self.options).await {
            Ok(talk) => talk,
            Err(fault) => return Outcome::NotDone(fault),
        };
        let done = match self.beside() {
            true => self.switch_one(&mut talk, account, id, true).await,
            false => self.disable_in(&mut talk, account, id).await,
        };
        talk.end().await;
        told(done)
    }

    async fn enable(&self, account: &str, id: &VersionId, secret: Option<&Secret>) -> Outcome<()> {
        let mut talk = match Talk::begin(&self.options).await {
            Ok(talk) => talk,
            Err(fault) => return Outcome::NotDone(fault),
        };
        let done = match self.beside() {
            true => self.switch_one(&mut talk, account, id, false).await,
            false => self.enable_in(&mut talk, account, id, secret).await,
        };
        talk.end().await;
        told(done)
    }

    async fn delete(&self, account: &str, id: &VersionId) -> Outcome<()> {
        let mut talk = match Talk::begin(&self.options).await {
            Ok(talk) => talk,
            Err(fault) => return Outcome::NotDone(fault),
        };
        let done = match self.beside() {
            true => self.delete_one(&mut talk, account, id).await,
            false => self.delete_in(&mut talk, account, id).await,
        };
        talk.end().await;
        told(done)
    }
}

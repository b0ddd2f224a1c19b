//! Two passwords of one entry at once, where no policy forbids it: then one login name has an old and a new version, and neither
//! shuts the other out (shape A).
//!
//! RFC 3062 replaces every value, so the second one is added, hashed here. That is why it can be told whose it is: its digest stands in
//! a note that is written in the same request. Each value is added and taken away as it is, byte for byte, and never all of them.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512, digest};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use handover_rotation::name::{Tag, Username, VersionId};
use handover_rotation::outcome::{Fault, FaultClass};
use ldap3::Mod;
use zeroize::Zeroizing;

use super::entry::{About, Entry, Known, Note, Value};
use super::options::{QUOTA, Scheme};
use super::talk::{Change, Talk, values};
use super::{LdapProvider, doubtful, no_version};
use crate::files::replace::Failure;
use crate::providers::{CreatedVersion, LiveState};
use crate::secret::Secret;

const PASSWORD: &[u8] = b"userPassword";
const SALT: usize = 16;

impl Scheme {
    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Ssha => &SHA1_FOR_LEGACY_USE_ONLY,
            Self::Ssha256 => &SHA256,
            Self::Ssha512 => &SHA512,
        }
    }

    fn apply(self, password: &Secret, salt: &[u8]) -> impl AsRef<[u8]> + use<> {
        let salted = Zeroizing::new([password.expose().as_bytes(), salt].concat());
        digest(self.algorithm(), &salted)
    }
}

/// A value that this password fits.
fn hash(scheme: Scheme, password: &Secret) -> Result<Value, Fault> {
    let mut salt = [0; SALT];
    rand::fill(&mut salt).map_err(|_| Fault::new(FaultClass::Temporary, "HO0508", "the system gives no random numbers"))?;
    let both = [scheme.apply(password, &salt).as_ref(), &salt].concat();
    Ok(Value::new(format!("{{{}}}{}", scheme.name(), BASE64.encode(both)).into_bytes()))
}

/// Whether a password fits a value; `None` where only the directory can tell.
pub(super) fn fits(value: &Value, password: &Secret) -> Option<bool> {
    let text = std::str::from_utf8(value.hash()).ok()?;
    let (scheme, rest) = text.strip_prefix('{')?.split_once('}')?;
    let scheme = Scheme::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(scheme))?;
    let both = BASE64.decode(rest).ok()?;
    let (hash, salt) = both.split_at_checked(scheme.algorithm().output_len())?;
    Some(verify_slices_are_equal(scheme.apply(password, salt).as_ref(), hash).is_ok())
}

impl Entry {
    /// All passwords that it has.
    pub(super) fn all(&self) -> impl Iterator<Item = &Value> {
        self.value.iter().chain(&self.more)
    }

    /// Each of its passwords as a version.
    pub(super) fn pair(&self) -> Result<Vec<Known>, Fault> {
        let bad = |_| Fault::new(FaultClass::Permanent, "HO0502", format!("login {:?} is no login name", self.login));
        let username = Username::new(self.login.as_str()).map_err(bad)?;
        let known = |value: &Value| {
            let id = value.digest();
            let note = self.notes.iter().find(|note| note.about == About::Of(id.clone()));
            let listed = crate::providers::ListedVersion {
                id: VersionId::new(format!("{}#{id}", self.login)).map_err(bad)?,
                username: username.clone(),
                tag: note.and_then(|note| note.tag.clone()),
                state: if value.is_off() { LiveState::Inactive } else { LiveState::Active },
                created_at: None,
                last_used_at: None,
                last_refused_at: None,
            };
            Ok(Known { listed, id, present: true })
        };
        self.all().map(known).collect()
    }
}

impl LdapProvider {
    /// Adds a password beside the one that is there.
    pub(super) async fn create_beside(
        &self,
        talk: &mut Talk<'_>,
        account: &str,
        tag: &Tag,
        secret: &Secret,
    ) -> Result<CreatedVersion, Failure> {
        let before = Failure::Before;
        let entry = self.entries(talk, account).await.map_err(before)?.pop();
        let entry = entry.ok_or_else(|| before(no_version(account, "that is free")))?;
        ungoverned(talk, account, &entry).map_err(before)?;
        let there = entry.pair().map_err(before)?;
        if there.len() >= usize::from(QUOTA) {
            let ids: Vec<&str> = there.iter().map(|known| known.listed.id.as_str()).collect();
            let message = format!("login {account} has {} passwords already: {}", ids.len(), ids.join(", "));
            let hint = "find out which of them nothing uses, and delete that value of userPassword";
            return Err(before(Fault::new(FaultClass::Permanent, "HO0503", message).hint(hint)));
        }
        let value = hash(self.options.scheme, secret).map_err(before)?;
        let id = value.digest();
        let mut notes = notes_on(&entry);
        notes.push(Note { id: Some(id.clone()), about: About::Of(id.clone()), tag: Some(tag.clone()), idle: false });
        let add = Mod::Add(PASSWORD.to_vec(), values([value.bytes()]));
        if let Err(failure) = self.note(talk, &entry, &notes, vec![add]).await {
            return Err(if talk.constrained() { before(one_only(account)) } else { failure });
        }
        self.as_it_was_given(talk, account, &entry, &value).await?;
        let bad = |_| Failure::Maybe(no_version(account, "with a name that can be used"));
        let username = Username::new(entry.login.as_str()).map_err(bad)?;
        let id = VersionId::new(format!("{}#{id}", entry.login)).map_err(bad)?;
        Ok(CreatedVersion { id, username, secret: None })
    }

    /// A directory that hashes the hash once more has a password that nobody knows, and one whose policy shows only now lets none be
    /// switched off: it is taken away again.
    async fn as_it_was_given(
        &self,
        talk: &mut Talk<'_>,
        account: &str,
        before: &Entry,
        value: &Value,
    ) -> Result<(), Failure> {
        let Some(now) = talk.read(&before.login).await.map_err(Failure::Maybe)? else { return Ok(()) };
        let kept = now.all().any(|held| held.bytes() == value.bytes());
        if kept && !now.governed {
            return Ok(());
        }
        let known: Vec<&[u8]> = before.all().map(Value::bytes).collect();
        let odd = now.all().find(|held| !known.contains(&held.bytes()));
        let gone = odd.map(|odd| Mod::Delete(PASSWORD.to_vec(), values([odd.bytes()])));
        self.note(talk, &now, &notes_on(before), gone.into_iter().collect()).await.map_err(doubtful)?;
        if kept {
            return Err(Failure::Before(one_only(account)));
        }
        let message = format!("the directory does not keep a hashed password as it is given ({})", before.dn);
        let fault = Fault::new(FaultClass::Permanent, "HO0517", message);
        Err(Failure::Before(fault.hint("let it take hashed passwords, or use `accounts: alternating`")))
    }

    /// Puts a value, switched off or on, in the place of itself; the other one is left alone.
    pub(super) async fn switch_one(
        &self,
        talk: &mut Talk<'_>,
        account: &str,
        id: &VersionId,
        off: bool,
    ) -> Result<(), Failure> {
        let Some((entry, at)) = self.find_one(talk, account, id).await.map_err(Failure::Before)? else {
            return Err(Failure::Before(no_version(account, id.as_str())));
        };
        let Some(value) = entry.all().nth(at).filter(|value| value.is_off() != off) else { return Ok(()) };
        let changes: Vec<Change> = vec![
            Mod::Delete(PASSWORD.to_vec(), values([value.bytes()])),
            Mod::Add(PASSWORD.to_vec(), values([value.switched().bytes()])),
        ];
        talk.modify(&entry.dn, changes).await
    }

    /// Takes a value away, and its note.
    pub(super) async fn delete_one(&self, talk: &mut Talk<'_>, account: &str, id: &VersionId) -> Result<(), Failure> {
        let Some((entry, at)) = self.find_one(talk, account, id).await.map_err(Failure::Before)? else { return Ok(()) };
        let Some(value) = entry.all().nth(at) else { return Ok(()) };
        let kept = notes_on(&entry).into_iter().filter(|note| note.about != About::Of(value.digest())).collect::<Vec<_>>();
        let gone = Mod::Delete(PASSWORD.to_vec(), values([value.bytes()]));
        self.note(talk, &entry, &kept, vec![gone]).await
    }

    async fn find_one(&self, talk: &mut Talk<'_>, account: &str, id: &VersionId) -> Result<Option<(Entry, usize)>, Fault> {
        let Some(entry) = self.entries(talk, account).await?.pop() else { return Ok(None) };
        let at = entry.pair()?.iter().position(|known| known.listed.id == *id);
        Ok(at.map(|at| (entry, at)))
    }
}

/// The notes on passwords that the entry still has.
fn notes_on(entry: &Entry) -> Vec<Note> {
    let held: Vec<About> = entry.all().map(|value| About::Of(value.digest())).collect();
    entry.notes.iter().filter(|note| held.contains(&note.about)).cloned().collect()
}

/// Where there are password policies a second password may be added, and then none is switched off: the overlay takes that for
/// somebody who gives the old one.
pub(super) fn ungoverned(talk: &Talk<'_>, account: &str, entry: &Entry) -> Result<(), Fault> {
    if talk.policies || entry.governed { Err(one_only(account)) } else { Ok(()) }
}

fn one_only(account: &str) -> Fault {
    let message = format!("login {account} gets no second password: the directory has a policy or schema for one value");
    Fault::new(FaultClass::Permanent, "HO0517", message).hint("use `accounts: alternating`: two entries that take turns")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[test]
    fn a_password_fits_its_hash_and_no_other_and_others_hashes_are_not_judged() {
        for scheme in Scheme::ALL {
            let value = hash(scheme, &secret("one")).expect("a hash");
            assert!(value.is_salted() && value.bytes().starts_with(format!("{{{}}}", scheme.name()).as_bytes()));
            assert_eq!(fits(&value, &secret("one")), Some(true), "{scheme:?}");
            assert_eq!(fits(&value, &secret("two")), Some(false), "{scheme:?}");
            assert_eq!(fits(&value.switched(), &secret("one")), Some(true), "{scheme:?}, off");
            assert_ne!(value.bytes(), hash(scheme, &secret("one")).expect("a hash").bytes(), "a salt of its own");
        }
        // Made by `slappasswd -h {SSHA}`, whose salt is of another length.
        let theirs = Value::new(b"{SSHA}6UpKBV2xbD15mwrmHNdDvnInpEH+v3TH".to_vec());
        assert_eq!(fits(&theirs, &secret("one")), Some(false));
        for text in ["{CRYPT}$6$a$b", "{ARGON2}$argon2id$x", "{SSHA}!", "{SSHA}YQ==", "clear", ""] {
            assert_eq!(fits(&Value::new(text.as_bytes().to_vec()), &secret("one")), None, "{text}");
        }
    }

    #[test]
    fn each_password_is_a_version_with_the_note_on_it() {
        let (old, new) = (hash(Scheme::Ssha, &secret("old")), hash(Scheme::Ssha, &secret("new")));
        let (old, new) = (old.expect("a hash"), new.expect("a hash"));
        let (first, second) = (old.digest(), new.digest());
        let mut entry = Entry::new("news", "uid=news,dc=x");
        entry.value = Some(old.switched());
        entry.more = vec![new];
        entry.take_note(format!("handover: of={second} id={second} tag=t1"));
        entry.take_note("handover: of=gone id=gone tag=t0".to_owned());
        let told: Vec<_> = entry
            .pair()
            .expect("versions")
            .into_iter()
            .map(|known| (known.listed.id.to_string(), known.listed.tag.map(|t| t.to_string()), known.listed.state))
            .collect();
        let expected = [
            (format!("news#{first}"), None, LiveState::Inactive),
            (format!("news#{second}"), Some("t1".to_owned()), LiveState::Active),
        ];
        assert_eq!(told, expected);
        assert_eq!(notes_on(&entry).len(), 1, "the note on a password that is gone is dropped");
    }
}

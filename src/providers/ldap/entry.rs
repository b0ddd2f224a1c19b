//! What a login's entry in the directory has: one password, whether it is locked, and Handover's notes on it. Pure.
//!
//! The directory hashes passwords itself, so a password is set and noted in two requests. The note is written first and says what
//! the password was `before`: whoever reads it later sees by that whether the new one was set. A note names a version by the digest
//! of its first hash, which stays its id when the same password is set again.

use aws_lc_rs::digest::{SHA256, digest};
use handover_rotation::name::{Tag, Username, VersionId};
use handover_rotation::outcome::{Fault, FaultClass};
use zeroize::Zeroizing;

use crate::providers::{ListedVersion, LiveState};

/// What a note begins with, among the other values of its attribute.
pub(super) const NOTE: &str = "handover: ";
/// A value that no password fits, with the one that it stands for behind it, as in `/etc/shadow`.
const OFF: &str = "{CRYPT}!";
/// The time that locks an entry until somebody unlocks it.
pub(super) const LOCKED: &str = "000001010000Z";

/// Schemes with a salt that do not show it by a `$`.
const SALTED: [&str; 7] = ["SSHA", "SSHA256", "SSHA384", "SSHA512", "SMD5", "PBKDF2_SHA256", "PBKDF2-SHA256"];

/// A value of `userPassword`, wiped when it goes.
pub(super) struct Value(Zeroizing<Vec<u8>>);

impl Value {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn is_off(&self) -> bool {
        self.0.starts_with(OFF.as_bytes())
    }

    /// The same, switched off or on.
    pub(super) fn switched(&self) -> Self {
        match self.0.strip_prefix(OFF.as_bytes()) {
            Some(hash) => Self::new(hash.to_vec()),
            None => Self::new([OFF.as_bytes(), &self.0].concat()),
        }
    }

    /// The hash, whether it is switched off or on.
    pub(super) fn hash(&self) -> &[u8] {
        self.0.strip_prefix(OFF.as_bytes()).unwrap_or(&self.0)
    }

    /// Whether it is a hash with a salt: two of them differ, and a digest of it tells nothing.
    pub(super) fn is_salted(&self) -> bool {
        let hash = String::from_utf8_lossy(self.hash());
        let Some((scheme, rest)) = hash.strip_prefix('{').and_then(|h| h.split_once('}')) else { return false };
        rest.starts_with('$') || SALTED.iter().any(|s| scheme.eq_ignore_ascii_case(s))
    }

    pub(super) fn digest(&self) -> String {
        if !self.is_salted() {
            return "unsalted".to_owned();
        }
        hex::encode(&digest(&SHA256, self.hash()).as_ref()[..8])
    }
}

/// What a note says about its version's password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// It is the one with this digest; if it is another by now, the version is history.
    Of(String),
    /// It comes after the one with this digest, if it has come at all.
    After(String),
}

/// What Handover wrote into an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// The version; not known before its password was hashed.
    pub(super) id: Option<String>,
    pub(super) about: About,
    pub(super) tag: Option<Tag>,
    /// The password is one that nobody knows, set to be rid of another.
    pub(super) idle: bool,
}

impl Note {
    fn read(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(NOTE)?;
        let value =
            |key: &str| rest.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned);
        let about = match (value("of"), value("after")) {
            (Some(of), None) => About::Of(of),
            (None, Some(after)) => About::After(after),
            _ => return None,
        };
        let tag = value("tag").map(Tag::new).transpose().ok()?;
        Some(Self { id: value("id"), about, tag, idle: rest.split(' ').any(|word| word == "idle") })
    }

    pub(super) fn text(&self) -> String {
        let mut text = match &self.about {
            About::Of(of) => format!("{NOTE}of={of}"),
            About::After(after) => format!("{NOTE}after={after}"),
        };
        for (key, value) in [("id", self.id.as_deref()), ("tag", self.tag.as_ref().map(Tag::as_str))] {
            if let Some(value) = value {
                text += &format!(" {key}={value}");
            }
        }
        if self.idle {
            text += " idle";
        }
        text
    }
}

/// The entry of one login.
pub(super) struct Entry {
    pub(super) login: String,
    pub(super) dn: String,
    pub(super) value: Option<Value>,
    /// Further ones, where an entry may have them.
    pub(super) more: Vec<Value>,
    /// A password policy keeps its own notes on it.
    pub(super) governed: bool,
    /// Locked by its policy's attribute, until somebody unlocks it.
    pub(super) locked: bool,
    pub(super) notes: Vec<Note>,
    /// The notes as they stand there.
    pub(super) texts: Vec<String>,
}

/// A version with what it takes to change it.
pub(super) struct Known {
    pub(super) listed: ListedVersion,
    /// What it is called in notes.
    pub(super) id: String,
    /// It is the password that the entry has; else one that was overwritten.
    pub(super) present: bool,
}

impl Entry {
    pub(super) fn new(login: &str, dn: &str) -> Self {
        let (login, dn) = (login.to_owned(), dn.to_owned());
        Self {
            login,
            dn,
            value: None,
            more: Vec::new(),
            governed: false,
            locked: false,
            notes: Vec::new(),
            texts: Vec::new(),
        }
    }

    pub(super) fn take_note(&mut self, text: String) {
        if text.starts_with(NOTE) {
            self.notes.extend(Note::read(&text));
            self.texts.push(text);
        }
    }

    pub(super) fn digest(&self) -> Option<String> {
        self.value.as_ref().map(Value::digest)
    }

    /// The note on the password that the entry has now.
    pub(super) fn current(&self) -> Option<&Note> {
        let now = self.digest()?;
        let of = self.notes.iter().find(|n| n.about == About::Of(now.clone()));
        of.or_else(|| self.notes.iter().find(|n| matches!(&n.about, About::After(before) if *before != now)))
    }

    /// What the versions of this login are. What was overwritten is told of where `history` is kept.
    pub(super) fn versions(&self, history: bool) -> Result<Vec<Known>, Fault> {
        let bad = |_| Fault::new(FaultClass::Permanent, "HO0502", format!("login {:?} is no login name", self.login));
        let username = Username::new(self.login.as_str()).map_err(bad)?;
        let known = |id: &str, tag: Option<Tag>, state: LiveState, present: bool| {
            let full = VersionId::new(format!("{}#{id}", self.login)).map_err(bad)?;
            let listed = ListedVersion {
                id: full,
                username: username.clone(),
                tag,
                state,
                created_at: None,
                last_used_at: None,
                last_refused_at: None,
            };
            Ok(Known { listed, id: id.to_owned(), present })
        };
        let mut versions = Vec::new();
        let Some(now) = self.digest() else { return Ok(versions) };
        let current = self.current();
        for note in self.notes.iter().filter(|n| history && Some(*n) != current) {
            if let (Some(id), About::Of(_)) = (&note.id, &note.about) {
                versions.push(known(id, note.tag.clone(), LiveState::Inactive, false)?);
            }
        }
        if current.is_some_and(|note| note.idle) {
            return Ok(versions);
        }
        let off = self.locked || self.value.as_ref().is_some_and(Value::is_off);
        let state = if off { LiveState::Inactive } else { LiveState::Active };
        let id = current.and_then(|note| note.id.as_deref()).unwrap_or(&now);
        versions.push(known(id, current.and_then(|note| note.tag.clone()), state, true)?);
        Ok(versions)
    }

    /// A note on the password that the entry has now, as it was known until here.
    pub(super) fn note_on_current(&self) -> Option<Note> {
        let now = self.digest()?;
        let current = self.current();
        let id = current.and_then(|note| note.id.clone()).unwrap_or_else(|| now.clone());
        let (tag, idle) = (current.and_then(|note| note.tag.clone()), current.is_some_and(|note| note.idle));
        Some(Note { id: Some(id), about: About::Of(now), tag, idle })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "{SSHA}first";
    const SECOND: &str = "{ARGON2}$argon2id$second";

    fn entry(value: Option<&str>, notes: &[&str]) -> Entry {
        let mut entry = Entry::new("news-a", "uid=news-a,dc=x");
        entry.value = value.map(|v| Value::new(v.as_bytes().to_vec()));
        for note in notes {
            entry.take_note((*note).to_owned());
        }
        entry
    }

    fn of(value: &str) -> String {
        Value::new(value.as_bytes().to_vec()).digest()
    }

    fn told(entry: &Entry, history: bool) -> Vec<String> {
        let versions = entry.versions(history).expect("versions");
        let tell = |v: &Known| {
            let tag = v.listed.tag.as_ref().map_or_else(String::new, |t| format!(" {t}"));
            format!("{}{tag} {:?}", v.id, v.listed.state)
        };
        versions.iter().map(tell).collect()
    }

    #[test]
    fn a_note_before_the_password_tells_whether_it_was_set() {
        let (first, second) = (of(FIRST), of(SECOND));
        let pending = format!("handover: after={first} tag=t1");
        assert_eq!(told(&entry(Some(FIRST), &[&pending]), false), [format!("{first} Active")]);
        assert_eq!(told(&entry(Some(SECOND), &[&pending]), false), [format!("{second} t1 Active")]);
        assert_eq!(told(&entry(None, &[&pending]), false), [""; 0]);
        let from_nothing = "handover: after=none tag=t1";
        assert_eq!(told(&entry(Some(SECOND), &[from_nothing]), false), [format!("{second} t1 Active")]);
        // Bound to its password, it says nothing of another that somebody sets later.
        let bound = format!("handover: of={second} id={second} tag=t1");
        assert_eq!(told(&entry(Some(SECOND), &[&bound]), false), [format!("{second} t1 Active")]);
        assert_eq!(told(&entry(Some(FIRST), &[&bound]), false), [format!("{first} Active")]);
    }

    #[test]
    fn a_version_keeps_its_id_when_it_is_off_and_when_it_is_set_again() {
        let first = of(FIRST);
        let off = entry(Some(FIRST), &[]).value.expect("a value").switched();
        assert_eq!(off.switched().bytes(), FIRST.as_bytes());
        let mut entry_off = entry(None, &[]);
        entry_off.value = Some(off);
        assert_eq!(told(&entry_off, false), [format!("{first} Inactive")]);
        let mut locked = entry(Some(FIRST), &[]);
        locked.locked = true;
        assert_eq!(told(&locked, false), [format!("{first} Inactive")]);
        let again = format!("handover: of={} id=first tag=t1", of(SECOND));
        assert_eq!(told(&entry(Some(SECOND), &[&again]), false), ["first t1 Active"]);
    }

    #[test]
    fn what_was_overwritten_is_history_where_that_is_kept() {
        let (first, second) = (of(FIRST), of(SECOND));
        let notes = [format!("handover: of={first} id={first}"), format!("handover: after={first} tag=t1")];
        let notes: Vec<&str> = notes.iter().map(String::as_str).collect();
        assert_eq!(told(&entry(Some(FIRST), &notes), true), [format!("{first} Active")]);
        let replaced = entry(Some(SECOND), &notes);
        assert_eq!(told(&replaced, true), [format!("{first} Inactive"), format!("{second} t1 Active")]);
        assert_eq!(told(&replaced, false), [format!("{second} t1 Active")]);
        let idle = format!("handover: of={second} idle");
        assert_eq!(told(&entry(Some(SECOND), &[&idle]), false), [""; 0]);
    }

    #[test]
    fn notes_are_read_as_they_are_written_and_other_values_left_alone() {
        for text in ["of=1 id=2 tag=handover:r.1", "after=none tag=t", "of=1 idle", "of=1 id=1"] {
            let text = format!("{NOTE}{text}");
            assert_eq!(Note::read(&text).map(|n| n.text()), Some(text));
        }
        let entry = entry(Some(FIRST), &["Sends the newsletter", "handover: of=1 after=2", "handover: "]);
        assert_eq!((entry.notes.len(), entry.texts.len()), (0, 2));
    }

    #[test]
    fn only_what_has_a_salt_can_be_told_apart() {
        for (value, salted) in [
            ("{SSHA}abc", true),
            ("{CRYPT}$6$abc", true),
            ("{CRYPT}!{SSHA}abc", true),
            ("{ARGON2}$argon2id$v=19", true),
            ("secret", false),
            ("{SHA}abc", false),
            ("{CLEARTEXT}abc", false),
        ] {
            assert_eq!(Value::new(value.as_bytes().to_vec()).is_salted(), salted, "{value}");
        }
    }
}

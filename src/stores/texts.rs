//! Entries in stores that keep texts with versions, such as those of Google and Azure: one text that is a JSON object, or two.
//!
//! ```text
//!  path: newsletter      one text, whose keys `fields` are the login: old or new at once, all else in it is kept
//!  path: newsletter-*    two texts, `newsletter-user` and `newsletter-pass` where `fields` are `user` and `pass`
//! ```
//!
//! Two are for readers that cannot look into one, and are not written at once: the username is written first and the password last,
//! so that the password says how far it came. What this must not do: overwrite a password that is not expected.

use async_trait::async_trait;
use handover_rotation::name::Username;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use zeroize::Zeroizing;

use super::object::Object;
use super::{EntryRef, Held, Store};
use crate::secret::{Login, Secret};
use crate::web::{Lost, outcome};

/// What stands for a field in the path of an entry that is two texts.
const FIELD: char = '*';

/// The most texts that one `write` looks at, and the most that it writes: the username, the password, the username again.
const MOST_LOOKS: u64 = 2;
const MOST_WRITES: u64 = 3;

/// The newest version of a text.
pub struct Text {
    /// Its value.
    pub value: Zeroizing<String>,
    /// Its version, as the store calls it.
    pub version: String,
    /// What else belongs to it, which the next version is to have as well.
    pub more: serde_json::Value,
}

/// What is at a name.
pub enum Got {
    /// A text.
    Text(Text),
    /// None that a reader would get, and why, in words that follow its name.
    Nothing(String),
}

/// The calls of one vendor.
///
/// # Errors
/// As everywhere: [`Lost::Before`] is a promise that nothing has changed and nothing will.
#[async_trait]
pub trait Texts: Send + Sync {
    /// The kind.
    const KIND: &'static str;

    /// The most bytes that a text may have.
    const MOST: usize;

    /// Why `name` can be no name here; `None` if it can.
    fn misnamed(name: &str) -> Option<String>;

    /// A fault about the text of this name.
    fn fault(&self, class: FaultClass, code: &str, name: &str, what: &str) -> Fault;

    /// The newest version.
    async fn get(&self, name: &str) -> Result<Got, Lost>;

    /// Makes `value` the newest version, after `before`.
    async fn put(&self, name: &str, value: &str, before: &Text) -> Result<(), Lost>;

    /// Proves that `put` may be called, without changing the value.
    async fn may_put(&self, name: &str, before: &Text) -> Result<(), Lost>;

    /// What a person should know about the text, in sentences.
    async fn warnings(&self, name: &str) -> Vec<String>;

    /// After this long one call has surely ended, logins that it may need before it included.
    fn call_timeout(&self) -> Span;

    /// After this long one request has surely ended.
    fn landing(&self) -> Span;
}

/// A store that keeps entries as one text or two.
///
/// # Guarantees
/// - In one text, readers see the login before or the one after, never one in between; its other keys are kept.
/// - A password that is not expected is not overwritten. Of two texts, the username is put back if the password is refused.
/// - A value that is there already is not written again: it would only make another version.
///
/// # Caveats
/// - There is no check-and-set at either vendor: what somebody else writes between the look and the write is not seen. It stays in
///   the history of the text.
/// - A crash between two texts leaves the new username beside the old password: `read` tells so, and `write` goes on from it.
pub struct TextStore<T> {
    pub(super) texts: T,
}

/// Where the two values are.
enum Form {
    One(String),
    Two([String; 2]),
}

fn form(path: &str, fields: [&str; 2]) -> Form {
    match path.contains(FIELD) {
        true => Form::Two(fields.map(|field| path.replace(FIELD, field))),
        false => Form::One(path.to_owned()),
    }
}

impl<T: Texts> TextStore<T> {
    /// Why an entry with this path and these fields cannot be one: the key that is wrong, and a sentence.
    #[must_use]
    pub fn misnamed(path: &str, fields: [&str; 2]) -> Option<(&'static str, String)> {
        let why = match form(path, fields) {
            Form::One(name) => T::misnamed(&name),
            Form::Two(names) => names.iter().find_map(|name| T::misnamed(name)),
        };
        why.map(|why| ("path", why))
    }

    fn fields(entry: &EntryRef) -> [&str; 2] {
        [&entry.username_field, &entry.password_field]
    }

    /// The names of an entry, all of which could be names.
    fn form(&self, entry: &EntryRef) -> Result<Form, Lost> {
        match Self::misnamed(&entry.path, Self::fields(entry)) {
            None => Ok(form(&entry.path, Self::fields(entry))),
            Some((_, why)) => {
                let fault = self.texts.fault(FaultClass::Permanent, "HO0616", &entry.path, &why);
                Err(Lost::Before(fault.hint("correct the entry's `path` and `fields`")))
            }
        }
    }

    fn permanent(&self, code: &str, name: &str, what: &str) -> Fault {
        self.texts.fault(FaultClass::Permanent, code, name, what)
    }

    fn absent(&self, name: &str, why: &str) -> Lost {
        let fault = self.permanent("HO0635", name, why);
        Lost::Before(fault.hint("put the current login there once, or correct `path` and `fields`"))
    }

    fn changed(&self, name: &str, what: &str) -> Lost {
        let fault = self.permanent("HO0611", name, &format!("{what}; someone else changed it"));
        Lost::Before(fault.hint("find out who wrote it; then run `handover status` for what is safe next"))
    }

    fn object(&self, name: &str, text: &Text) -> Result<Object, Lost> {
        Object::read(&text.value).map_err(|why| {
            let fault = self.permanent("HO0634", name, &why.to_string());
            Lost::Before(
                fault.hint("for a text of its own for each field write the path with `*`, which stands for the field"),
            )
        })
    }

    async fn both(&self, names: &[String; 2]) -> Result<[Got; 2], Lost> {
        let (username, password) = futures::future::join(self.texts.get(&names[0]), self.texts.get(&names[1])).await;
        Ok([username?, password?])
    }

    async fn look(&self, entry: &EntryRef) -> Result<Held, Lost> {
        let names = match self.form(entry)? {
            Form::One(name) => {
                let Got::Text(text) = self.texts.get(&name).await? else { return Ok(Held::Nothing) };
                return Ok(self.object(&name, &text)?.held(entry));
            }
            Form::Two(names) => names,
        };
        let [Got::Text(username), Got::Text(password)] = self.both(&names).await? else { return Ok(Held::Nothing) };
        if username.value.is_empty() || password.value.is_empty() {
            return Ok(Held::Nothing);
        }
        // The reason is left out: it may name a character, and if the two fields are swapped it is the password's.
        let username = Username::new(username.value.as_str()).map_err(|_| {
            let fault = self.permanent("HO0622", &names[0], "it is not a login name (is there a line end after it?)");
            Lost::Before(fault.hint("are the two fields of the entry swapped?"))
        })?;
        Ok(Held::Login(Login { username, password: Secret::new(password.value.as_str().to_owned()) }))
    }

    /// Why there is no login.
    async fn lack(&self, entry: &EntryRef) -> Result<Option<String>, Lost> {
        match self.form(entry)? {
            Form::One(name) => Ok(match self.texts.get(&name).await? {
                Got::Nothing(why) => Some(why),
                Got::Text(text) => self.object(&name, &text)?.login(entry).err(),
            }),
            Form::Two(names) => {
                let got = self.both(&names).await?;
                Ok(names.iter().zip(got).find_map(|(name, got)| match got {
                    Got::Nothing(why) => Some(format!("{name}: {why}")),
                    Got::Text(text) if text.value.is_empty() => Some(format!("{name} is empty")),
                    Got::Text(_) => None,
                }))
            }
        }
    }

    async fn check(&self, entry: &EntryRef) -> Result<(), Lost> {
        let names = match self.form(entry)? {
            Form::One(name) => vec![name],
            Form::Two(names) => names.to_vec(),
        };
        for name in &names {
            match self.texts.get(name).await? {
                Got::Nothing(why) => return Err(self.absent(name, &why)),
                Got::Text(text) => {
                    if names.len() == 1 {
                        self.object(name, &text)?;
                    }
                    self.texts.may_put(name, &text).await?;
                }
            }
        }
        Ok(())
    }

    fn fits(&self, name: &str, value: &str) -> Result<(), Lost> {
        if value.len() <= T::MOST {
            return Ok(());
        }
        let what = format!("with this login it would have {} bytes, of {} at most", value.len(), T::MOST);
        Err(Lost::Before(self.permanent("HO0615", name, &what).hint("keep the login in a text of its own")))
    }

    async fn holds(&self, entry: &EntryRef, login: &Login) -> Result<(), Lost> {
        match self.form(entry)? {
            Form::One(name) => match self.texts.get(&name).await? {
                Got::Text(text) => self.fits(&name, &self.object(&name, &text)?.with(entry, login)),
                Got::Nothing(why) => Err(self.absent(&name, &why)),
            },
            Form::Two(names) => {
                self.fits(&names[0], login.username.as_str())?;
                self.fits(&names[1], login.password.expose())
            }
        }
    }

    async fn write_one(&self, entry: &EntryRef, name: &str, login: &Login, expect: &[&Secret]) -> Result<(), Lost> {
        let before = match self.texts.get(name).await.map_err(Lost::before_the_change)? {
            Got::Text(text) => text,
            Got::Nothing(why) => return Err(self.absent(name, &why)),
        };
        let object = self.object(name, &before)?;
        let expected = match object.login(entry) {
            Ok(held) if held.username == login.username && held.password.matches(&login.password) => return Ok(()),
            Ok(held) => expect.iter().any(|secret| secret.matches(&held.password)),
            Err(_) => expect.is_empty(),
        };
        if !expected {
            return Err(self.changed(name, "the entry holds another password than expected"));
        }
        let text = object.with(entry, login);
        self.fits(name, &text)?;
        self.texts.put(name, &text, &before).await
    }

    async fn write_two(&self, names: &[String; 2], login: &Login, expect: &[&Secret]) -> Result<(), Lost> {
        let [username_name, password_name] = names;
        let [username, password] = self.both(names).await.map_err(Lost::before_the_change)?;
        let found = |got, name: &str| match got {
            Got::Text(text) => Ok(text),
            Got::Nothing(why) => Err(self.absent(name, &why)),
        };
        let (username, password): (Text, Text) = (found(username, username_name)?, found(password, password_name)?);
        let held = Secret::new(password.value.as_str().to_owned());
        let same_name = username.value.as_str() == login.username.as_str();
        let same = held.matches(&login.password);
        let expected = match password.value.as_str() {
            "" => expect.is_empty(),
            _ => same || expect.iter().any(|secret| secret.matches(&held)),
        };
        if !expected {
            return Err(self.changed(password_name, "the entry holds another password than expected"));
        }
        self.fits(username_name, login.username.as_str())?;
        self.fits(password_name, login.password.expose())?;
        if !same_name {
            self.texts.put(username_name, login.username.as_str(), &username).await?;
        }
        if same {
            return Ok(());
        }
        match self.texts.put(password_name, login.password.expose(), &password).await {
            Err(Lost::Before(fault)) if !same_name => {
                // The username is not left alone with a password of another version.
                let undone = self.texts.put(username_name, &username.value, &username).await.is_ok();
                Err(if undone { Lost::Before(fault) } else { Lost::Maybe(fault) })
            }
            result => result,
        }
    }

    async fn put(&self, entry: &EntryRef, login: &Login, expect: &[&Secret]) -> Result<(), Lost> {
        match self.form(entry)? {
            Form::One(name) => self.write_one(entry, &name, login, expect).await,
            Form::Two(names) => self.write_two(&names, login, expect).await,
        }
    }
}

#[async_trait]
impl<T: Texts> Store for TextStore<T> {
    fn kind(&self) -> &'static str {
        T::KIND
    }

    fn request_timeout(&self) -> Span {
        Span(self.texts.call_timeout().0.saturating_mul(MOST_LOOKS + MOST_WRITES))
    }

    fn landing(&self) -> Span {
        self.texts.landing()
    }

    async fn check_writable(&self, entry: &EntryRef) -> Outcome<()> {
        outcome(self.check(entry).await.map_err(Lost::before_the_change))
    }

    async fn read(&self, entry: &EntryRef) -> Outcome<Held> {
        outcome(self.look(entry).await)
    }

    async fn lacks(&self, entry: &EntryRef) -> String {
        match self.lack(entry).await {
            Ok(Some(lack)) => lack,
            Ok(None) => "it has a login now, and had none a moment ago".to_owned(),
            Err(Lost::Before(fault) | Lost::Maybe(fault)) => fault.to_string(),
        }
    }

    async fn warnings(&self, entry: &EntryRef) -> Vec<String> {
        let mut told = Vec::new();
        match self.form(entry) {
            Ok(Form::One(name)) => told.extend(self.texts.warnings(&name).await),
            Ok(Form::Two(names)) => {
                for name in &names {
                    told.extend(self.texts.warnings(name).await);
                }
            }
            Err(_) => {}
        }
        told
    }

    async fn can_hold(&self, entry: &EntryRef, login: &Login) -> Outcome<()> {
        outcome(self.holds(entry, login).await.map_err(Lost::before_the_change))
    }

    async fn write(&self, entry: &EntryRef, login: &Login, expect: &[&Secret]) -> Outcome<()> {
        outcome(self.put(entry, login, expect).await)
    }
}

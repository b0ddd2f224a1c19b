//! Entries that are one JSON object in a store that keeps texts: two of its keys are the login, the rest is kept.

use std::fmt;

use handover_rotation::name::Username;
use handover_rotation::outcome::{Fault, FaultClass};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::EntryRef;
use super::Held;
use super::swap::Kept;
use crate::secret::Login;
use crate::secret::Secret;

/// A JSON object. Its values may be secrets: it has no `Debug`, and is wiped as far as `serde_json` lets it.
pub(super) struct Object(Map<String, Value>);

/// Why a text is no object that a login can be kept in, never with a value.
#[derive(Debug)]
pub(super) struct Unfit {
    what: &'static str,
    hint: &'static str,
}

impl Unfit {
    /// The fault of the place that holds it.
    pub(super) fn fault(&self, place: impl fmt::Display) -> Fault {
        Fault::new(FaultClass::Permanent, "HO0634", format!("{place}: {self}")).hint(self.hint)
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
}

const AN_OBJECT: &str = "put one JSON object there whose keys are those that `fields` of the entry names, each with a text";

/// So many digits of a number survive for sure, and so large an exponent.
const MOST_DIGITS: usize = 15;
const MOST_EXPONENT: usize = 20;

impl Object {
    /// Reads a text.
    pub(super) fn read(text: &str) -> Result<Self, Unfit> {
        let unfit = |what| Unfit { what, hint: AN_OBJECT };
        let value: Value = serde_json::from_str(text).map_err(|_| unfit("its value is not JSON"))?;
        let Value::Object(map) = value else { return Err(unfit("its value is JSON, but no object")) };
        match numbers(text).all(is_exact) {
            true => Ok(Self(map)),
            false => Err(Unfit {
                what: "it has a number that would not be written back exactly",
                hint: "put the number in quotes, or keep it somewhere else",
            }),
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The two values; one that is no text is told.
    pub(super) fn kept(&self, entry: &EntryRef) -> Result<Kept, String> {
        let text = |key: &String| match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(format!("`{key}` is no text")),
        };
        Ok(Kept::new(text(&entry.username_field)?, text(&entry.password_field)?))
    }

    /// The login, or why there is none, in words that follow the entry's name.
    pub(super) fn login(&self, entry: &EntryRef) -> Result<Login, String> {
        for key in [&entry.username_field, &entry.password_field] {
            match self.0.get(key) {
                None => return Err(format!("it has no key `{key}`")),
                Some(Value::String(text)) if text.is_empty() => return Err(format!("`{key}` is empty")),
                Some(Value::String(_)) => {}
                Some(_) => return Err(format!("`{key}` is no text")),
            }
        }
        let username = self.text(&entry.username_field).unwrap_or_default();
        let password = self.text(&entry.password_field).unwrap_or_default();
        let username = Username::new(username)
            .map_err(|_| format!("`{}` is not a login name; are the two fields swapped?", entry.username_field))?;
        Ok(Login { username, password: Secret::new(password.to_owned()) })
    }

    /// What the entry holds.
    pub(super) fn held(&self, entry: &EntryRef) -> Held {
        self.login(entry).map_or(Held::Nothing, Held::Login)
    }

    /// The text with another login, all else as it was.
    pub(super) fn with(&self, entry: &EntryRef, login: &Login) -> Zeroizing<String> {
        let mut map = self.0.clone();
        map.insert(entry.username_field.clone(), Value::String(login.username.as_str().to_owned()));
        map.insert(entry.password_field.clone(), Value::String(login.password.expose().to_owned()));
        Zeroizing::new(Value::Object(map).to_string())
    }
}

/// The numbers of a text that is JSON, as they are written: what was read of them may be less.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c: char| {
        match (quoted, escaped, c) {
            (true, true, _) => escaped = false,
            (true, false, '\\') => escaped = true,
            (_, false, '"') => quoted = !quoted,
            _ => {}
        }
        quoted || !(c.is_ascii_digit() || "+-.eE".contains(c))
    })
    .filter(|part| part.starts_with(|c: char| c == '-' || c.is_ascii_digit()))
}

/// Whether a number comes back as it was.
fn is_exact(number: &str) -> bool {
    if number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok() {
        return true;
    }
    let (digits, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let digits = digits.chars().filter(char::is_ascii_digit).count();
    let exponent = exponent.parse::<i32>().map_or(usize::MAX, |e| e.unsigned_abs() as usize);
    digits <= MOST_DIGITS && exponent <= MOST_EXPONENT
}

#[cfg(test)]
mod tests {
    use handover_rotation::name::EntryName;

    use super::*;

    fn entry() -> EntryRef {
        EntryRef {
            name: EntryName::new("e").expect("a name"),
            path: "p".to_owned(),
            username_field: "user".to_owned(),
            password_field: "pass".to_owned(),
        }
    }

    fn login(username: &str, password: &str) -> Login {
        Login { username: Username::new(username).expect("a name"), password: Secret::new(password.to_owned()) }
    }

    #[test]
    fn a_login_is_changed_and_all_else_stays() {
        let text = r#"{"user":"a","pass":"b","n":1.5,"big":18446744073709551615,"deep":{"x":[null,true,"é\n"]}}"#;
        let object = Object::read(text).expect("an object");
        let login = Login { username: Username::new("c").expect("a name"), password: Secret::new("d\"'{}".to_owned()) };
        let written: Value = serde_json::from_str(&object.with(&entry(), &login)).expect("JSON");
        let mut expected: Value = serde_json::from_str(text).expect("JSON");
        expected["user"] = "c".into();
        expected["pass"] = "d\"'{}".into();
        assert_eq!(written, expected);
    }

    #[test]
    fn a_number_that_would_come_back_as_another_is_refused() {
        for sound in ["0", "-7", "1.5", "0.1", "-2.25e3", "18446744073709551615", "-9223372036854775808", "1E5"] {
            let text = format!(r#"{{"user":"a","pass":"b","n":{sound}}}"#);
            let written = Object::read(&text).expect(sound).with(&entry(), &login("a", "b"));
            let (before, after): (Value, Value) =
                (serde_json::from_str(&text).expect("JSON"), serde_json::from_str(&written).expect("JSON"));
            assert_eq!(before, after, "{sound}");
        }
        for lossy in ["0.12345678901234567890", "1e300", "123456789012345678901234567890", "1.0000000000000001"] {
            for text in [format!(r#"{{"n":{lossy}}}"#), format!(r#"{{"deep":[{{"x":"\"1"}},{lossy}]}}"#)] {
                assert!(Object::read(&text).err().expect(lossy).to_string().contains("exactly"), "{text}");
            }
        }
        // Digits in texts and keys are no numbers.
        let text = r#"{"0.12345678901234567890":"a \\\" 0.12345678901234567890","user":"1e300","pass":"\\"}"#;
        assert!(Object::read(text).is_ok());
    }

    #[test]
    fn what_is_no_login_says_why() {
        for (text, why) in [
            (r#"{"pass":"b"}"#, "no key `user`"),
            (r#"{"user":"a"}"#, "no key `pass`"),
            (r#"{"user":"a","pass":""}"#, "`pass` is empty"),
            (r#"{"user":"a","pass":7}"#, "`pass` is no text"),
            (r#"{"user":"a\nb","pass":"hush"}"#, "not a login name"),
        ] {
            let said = Object::read(text).expect("an object").login(&entry()).err().expect(text);
            assert!(said.contains(why) && !said.contains("hush"), "{said}");
        }
        for (text, why, mend) in [
            ("hush", "not JSON", "one JSON object"),
            (r#"["hush"]"#, "no object", "one JSON object"),
            (r#"{"n":99999999999999999999}"#, "exactly", "in quotes"),
        ] {
            let fault = Object::read(text).err().expect(text).fault("parameter p");
            assert!(fault.message.starts_with("parameter p: ") && fault.message.contains(why), "{fault}");
            let hint = fault.hint.expect("what to do about it");
            assert!(hint.contains(mend) && !hint.contains("hush"), "{hint}");
        }
    }
}

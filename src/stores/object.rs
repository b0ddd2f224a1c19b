//! Entries that are one JSON object in a store that keeps texts: two of its keys are the login, the rest is kept.

use handover_rotation::name::Username;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{EntryRef, Held};
use crate::secret::{Login, Secret};

/// A JSON object. Its values may be secrets: it has no `Debug`, and is wiped as far as `serde_json` lets it.
pub(super) struct Object(Map<String, Value>);

/// From here on a whole number is not kept exactly by every reader.
const MOST_EXACT: f64 = 9_007_199_254_740_992.0;

impl Object {
    /// Reads a text; `Err` says what it is instead, never with a value.
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        let value: Value = serde_json::from_str(text).map_err(|_| "its value is not JSON")?;
        let Value::Object(map) = value else { return Err("its value is JSON, but no object") };
        match map.values().all(is_exact) {
            true => Ok(Self(map)),
            false => Err("it has a number that would not be written back exactly"),
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
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

fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|n| n.abs() < MOST_EXACT),
        Value::Array(items) => items.iter().all(is_exact),
        Value::Object(map) => map.values().all(is_exact),
        _ => true,
    }
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
        for (text, why) in [("", "not JSON"), ("[1]", "no object"), (r#"{"n":99999999999999999999}"#, "exactly")] {
            assert!(Object::read(text).err().expect(text).contains(why), "{text}");
        }
    }
}

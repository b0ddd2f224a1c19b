//! JSON of strangers, read under caps: depth, number of values, no key twice, UTF-8. Its texts may be secrets: they are wiped when
//! they go, and no error says what was read.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

/// How deep maps and lists may lie in each other.
pub(super) const MOST_DEPTH: usize = 32;

/// How many values a text may have: each takes some forty bytes, however short it is written.
const MOST_VALUES: usize = 2_000_000;

/// A value. Neither shown nor copied: there may be a secret in it.
pub(super) enum Json {
    Null,
    Bool(bool),
    /// As a whole number that is not negative, for ids and times, and as any.
    Number(Option<u64>, f64),
    Text(Zeroizing<String>),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

/// Why a text was not read: where, and what rule it breaks, without a word of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    /// From one.
    pub(super) line: usize,
    /// From one, in bytes.
    pub(super) column: usize,
    /// What is wrong.
    pub(super) what: &'static str,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, at line {}, column {}", self.what, self.line, self.column)
    }
}

impl Json {
    /// Reads one value and nothing after it.
    pub(super) fn read(text: &[u8]) -> Result<Self, Unreadable> {
        Self::read_within(text, MOST_VALUES)
    }

    fn read_within(text: &[u8], most_values: usize) -> Result<Self, Unreadable> {
        if let Err(error) = std::str::from_utf8(text) {
            let before = text.get(..error.valid_up_to()).unwrap_or_default();
            let line = before.iter().filter(|b| **b == b'\n').count() + 1;
            let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
            return Err(Unreadable { line, column, what: "it is not UTF-8" });
        }
        let left = std::cell::Cell::new(most_values);
        let mut reader = serde_json::Deserializer::from_slice(text);
        let value = Seed { depth: 0, left: &left }.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
        value.map_err(|error| Unreadable { line: error.line().max(1), column: error.column().max(1), what: why(&error) })
    }

    /// The value of a key; `None` where there is none, or it is `null`.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(pairs) => pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v).filter(|v| !matches!(v, Self::Null)),
            _ => None,
        }
    }

    /// The value below several keys.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |value, key| value.get(key))
    }

    /// The text below several keys.
    pub(super) fn text(&self, path: &[&str]) -> Option<&str> {
        match self.at(path)? {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number below several keys.
    pub(super) fn number(&self, path: &[&str]) -> Option<u64> {
        match self.at(path)? {
            Self::Number(number, _) => *number,
            _ => None,
        }
    }

    /// The number below several keys, whole or not.
    pub(super) fn float(&self, path: &[&str]) -> Option<f64> {
        match self.at(path)? {
            Self::Number(_, number) => Some(*number),
            _ => None,
        }
    }

    /// An id below several keys, which some write as a number and some as a text.
    pub(super) fn id(&self, path: &[&str]) -> Option<String> {
        self.text(path).map(str::to_owned).or_else(|| self.number(path).map(|n| n.to_string()))
    }

    /// Whether `true` is below several keys.
    pub(super) fn is_true(&self, path: &[&str]) -> bool {
        matches!(self.at(path), Some(Self::Bool(true)))
    }

    /// The items of the list below several keys; none if there is no list.
    pub(super) fn list(&self, path: &[&str]) -> &[Self] {
        match self.at(path) {
            Some(Self::List(items)) => items,
            _ => &[],
        }
    }

    /// The pairs of a map; none if it is no map.
    pub(super) fn pairs(&self) -> &[(String, Self)] {
        match self {
            Self::Map(pairs) => pairs,
            _ => &[],
        }
    }

    /// All texts in it, wherever they stand; keys are none.
    pub(super) fn texts(&self) -> Vec<&str> {
        match self {
            Self::Text(text) => vec![text],
            Self::List(items) => items.iter().flat_map(Self::texts).collect(),
            Self::Map(pairs) => pairs.iter().flat_map(|(_, value)| value.texts()).collect(),
            Self::Null | Self::Bool(_) | Self::Number(..) => Vec::new(),
        }
    }
}

const DEEP: &str = "it is nested too deeply";
const MANY: &str = "it has too many values";
const TWICE: &str = "it has a key twice";

/// What an error is. Its text may quote what was read, so it is looked into for our own words only.
fn why(error: &serde_json::Error) -> &'static str {
    let text = error.to_string();
    [DEEP, MANY, TWICE].into_iter().find(|ours| text.starts_with(ours)).unwrap_or(match error.is_eof() {
        true => "it ends in the middle",
        false => "it is no JSON",
    })
}

struct Seed<'c> {
    depth: usize,
    left: &'c std::cell::Cell<usize>,
}

impl Seed<'_> {
    fn deeper<E: serde::de::Error>(&self) -> Result<Seed<'_>, E> {
        if self.depth >= MOST_DEPTH {
            return Err(E::custom(DEEP));
        }
        Ok(Seed { depth: self.depth + 1, left: self.left })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        let Some(left) = self.left.get().checked_sub(1) else { return Err(D::Error::custom(MANY)) };
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(Some(value), value as f64))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(u64::try_from(value).ok(), value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(None, value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(Zeroizing::new(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self.deeper()?)? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut pairs: Vec<(String, Json)> = Vec::new();
        let mut keys = std::collections::BTreeSet::new();
        while let Some(key) = access.next_key::<String>()? {
            if !keys.insert(key.clone()) {
                return Err(A::Error::custom(TWICE));
            }
            pairs.push((key, access.next_value_seed(self.deeper()?)?));
        }
        Ok(Json::Map(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> Vec<u8> {
        format!("{}{}", "[".repeat(depth), "]".repeat(depth)).into_bytes()
    }

    #[test]
    fn what_a_stranger_sends_is_read_under_caps() {
        let long = format!("[{}]", vec!["1"; 100_000].join(","));
        for (text, what) in [
            (&b"{\"a\": 1, \"b\": {\"a\": 2}, \"c\": [null, true, 1.5, -1, \"x\"]}"[..], None),
            (b" 1 ", None),
            (b"\"\\u0000\\ud83d\\ude00\"", None),
            (long.as_bytes(), None),
            (&nested(MOST_DEPTH), None),
            (&nested(MOST_DEPTH + 1), Some(DEEP)),
            (&nested(100_000), Some(DEEP)),
            (b"{\"a\": 1, \"a\": 1}", Some(TWICE)),
            (b"[{\"a\": 1, \"\\u0061\": 1}]", Some(TWICE)),
            (b"", Some("it ends in the middle")),
            (b"{\"a\": \"hunter2", Some("it ends in the middle")),
            (b"{} {}", Some("it is no JSON")),
            (b"{\"hunter2\": hunter2}", Some("it is no JSON")),
            (b"{'a': 1}", Some("it is no JSON")),
            (b"[1,]", Some("it is no JSON")),
            (b"\"\\ud83d\"", Some("it is no JSON")),
            (b"\"a\nb\"", Some("it is no JSON")),
            (b"NaN", Some("it is no JSON")),
            (b"\xef\xbb\xbf{}", Some("it is no JSON")),
            (b"{\"a\": \"\xff\"}", Some("it is not UTF-8")),
            (b"\xfe\xff\x00{\x00}", Some("it is not UTF-8")),
        ] {
            let shown = String::from_utf8_lossy(&text[..text.len().min(40)]);
            assert_eq!(Json::read(text).err().map(|e| e.what), what, "{shown}");
        }
    }

    #[test]
    fn values_are_counted_wherever_they_are() {
        for (text, values) in [("[1, [2, {\"a\": 3}], \"x\"]", 7), ("1", 1), ("{\"a\": {}, \"b\": null}", 3)] {
            let read = |most| Json::read_within(text.as_bytes(), most).err().map(|e| e.what);
            assert_eq!((read(values), read(values - 1)), (None, Some(MANY)), "{text}");
        }
    }

    #[test]
    fn an_error_says_where_and_not_what() {
        let error = Json::read(b"{\n  \"key\": hunter2\n}").err().unwrap_or_else(|| panic!("an error"));
        assert_eq!((error.line, error.to_string().contains("hunter2")), (2, false));
        let error = Json::read(b"{\n  \"key\": \"\xff\"\n}").err().unwrap_or_else(|| panic!("an error"));
        assert_eq!(error.to_string(), "it is not UTF-8, at line 2, column 11");
    }

    #[test]
    fn values_are_found_by_path_and_of_their_type_only() {
        let json = Json::read(br#"{"a": {"b": "x", "n": 7, "s": "8", "z": null, "t": true, "l": [1, {"q": "y"}]}}"#);
        let json = json.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(json.text(&["a", "b"]), Some("x"));
        assert_eq!((json.number(&["a", "n"]), json.number(&["a", "s"])), (Some(7), None));
        assert_eq!((json.id(&["a", "n"]).as_deref(), json.id(&["a", "s"]).as_deref()), (Some("7"), Some("8")));
        assert!(json.at(&["a", "z"]).is_none() && json.text(&["a", "n"]).is_none() && json.text(&["b", "b"]).is_none());
        assert!(json.is_true(&["a", "t"]) && !json.is_true(&["a", "n"]));
        assert_eq!(json.list(&["a", "l"]).len(), 2);
        assert_eq!(json.texts(), ["x", "8", "y"]);
    }
}

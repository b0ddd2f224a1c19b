//! Where a value stands in a document: the index of SOPS, `["smtp"]["password"]`, and the value that is there.
//!
//! Only that one value is taken out of what was decrypted: the secrets beside it are read over and never kept.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

/// A way through maps and lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Index(Vec<Step>);

/// One step of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Nth(usize),
}

impl Index {
    /// Reads `["a"]["b"][0]`, or the name of one key at the top; `Err` says what it is instead.
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        let odd =
            |key: &str| key.is_empty() || key.contains(['"', '[', ']', '\\', '\'']) || key.chars().any(char::is_control);
        if !text.starts_with('[') {
            return match odd(text) {
                true => Err("has a quote, a bracket or a backslash in its key"),
                false => Ok(Self(vec![Step::Key(text.to_owned())])),
            };
        }
        let (mut steps, mut rest) = (Vec::new(), text);
        while !rest.is_empty() {
            let (part, after) = rest
                .strip_prefix('[')
                .and_then(|inner| inner.split_once(']'))
                .ok_or("is no index such as [\"smtp\"][\"password\"]")?;
            let quoted = part.strip_prefix('"').and_then(|inner| inner.strip_suffix('"'));
            steps.push(match (quoted, part.parse()) {
                (Some(key), _) if !odd(key) => Step::Key(key.to_owned()),
                (None, Ok(n)) => Step::Nth(n),
                _ => return Err("is no index such as [\"smtp\"][\"password\"]"),
            });
            rest = after;
        }
        Ok(Self(steps))
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The keys of it, if it goes through maps only.
    pub(super) fn keys(&self) -> Option<Vec<&str>> {
        self.0
            .iter()
            .map(|step| match step {
                Step::Key(key) => Some(key.as_str()),
                Step::Nth(_) => None,
            })
            .collect()
    }

    /// What stands there in a JSON document; `Err` if it is no JSON.
    pub(super) fn find(&self, json: &[u8]) -> Result<Found, ()> {
        let mut reader = serde_json::Deserializer::from_slice(json);
        // The reason is left out: it may quote a value.
        let found = Walk(&self.0).deserialize(&mut reader).map_err(|_| ())?;
        reader.end().map_err(|_| ())?;
        Ok(found)
    }
}

/// As SOPS takes it.
impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| match step {
            Step::Key(key) => write!(f, "[\"{key}\"]"),
            Step::Nth(n) => write!(f, "[{n}]"),
        })
    }
}

/// What stands at an index. Its text may be a secret: it has no `Debug`.
pub(super) enum Found {
    /// A text.
    Text(Zeroizing<String>),
    /// Nothing, or null.
    Missing,
    /// A number, a map or another thing that is no text.
    NoText,
    /// A key on the way stands there twice.
    Twice,
}

impl Found {
    /// The text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Missing | Self::NoText | Self::Twice => None,
        }
    }
}

/// What is left of the way.
struct Walk<'i>(&'i [Step]);

impl Walk<'_> {
    fn value(&self) -> Found {
        if self.0.is_empty() { Found::NoText } else { Found::Missing }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Found, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            match self.0.split_first() {
                Some((Step::Key(wanted), _)) if *wanted == key && found.is_some() => {
                    found = Some(Found::Twice);
                    map.next_value::<IgnoredAny>()?;
                }
                Some((Step::Key(wanted), rest)) if *wanted == key => found = Some(map.next_value_seed(Walk(rest))?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found.unwrap_or_else(|| self.value()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Found, A::Error> {
        let (mut found, mut at) = (None, 0);
        loop {
            let more = match self.0.split_first() {
                Some((Step::Nth(n), rest)) if *n == at => {
                    found = list.next_element_seed(Walk(rest))?;
                    found.is_some()
                }
                _ => list.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                return Ok(found.unwrap_or_else(|| self.value()));
            }
            at += 1;
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Found, E> {
        Ok(if self.0.is_empty() { Found::Text(Zeroizing::new(text.to_owned())) } else { Found::Missing })
    }

    fn visit_unit<E: Error>(self) -> Result<Found, E> {
        Ok(Found::Missing)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Found, E> {
        Ok(self.value())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Found, E> {
        Ok(self.value())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Found, E> {
        Ok(self.value())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Found, E> {
        Ok(self.value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_read_and_written_as_sops_has_it() {
        for (text, shown) in [
            ("SMTP_PASSWORD", Ok(r#"["SMTP_PASSWORD"]"#)),
            ("smtp.password", Ok(r#"["smtp.password"]"#)),
            (r#"["smtp"]["password"]"#, Ok(r#"["smtp"]["password"]"#)),
            (r#"["smtp"][2]["x y"]"#, Ok(r#"["smtp"][2]["x y"]"#)),
            ("", Err("key")),
            ("a\"b", Err("key")),
            ("a]b", Err("key")),
            ("[", Err("index")),
            ("[]", Err("index")),
            (r#"["a]"#, Err("index")),
            (r#"["a"]b"#, Err("index")),
            (r#"["a"]["b\"]"#, Err("index")),
            ("[-1]", Err("index")),
            ("['a']", Err("index")),
        ] {
            match (Index::read(text), shown) {
                (Ok(index), Ok(shown)) => assert_eq!(index.to_string(), shown),
                (Err(why), Err(says)) => assert!(why.contains(says), "{text}: {why}"),
                (read, _) => panic!("{text}: {read:?}"),
            }
        }
    }

    #[test]
    fn one_value_is_found_and_what_is_none_says_so() {
        let json = br#"{"a":"one","b":{"c":["x",{"d":"two"},1e400],"n":7,"z":null,"t":true},"e":{"e":{}},"a2":[[]]}"#;
        // A number too large to be read elsewhere than where it is looked for.
        for (index, expected) in [
            ("a", "one"),
            (r#"["b"]["c"][1]["d"]"#, "two"),
            (r#"["b"]["c"][0]"#, "x"),
            (r#"["b"]["c"][7]"#, "-"),
            (r#"["b"]["n"]"#, "!"),
            (r#"["b"]["t"]"#, "!"),
            (r#"["b"]["z"]"#, "-"),
            (r#"["b"]"#, "!"),
            (r#"["b"]["c"]"#, "!"),
            (r#"["a"]["x"]"#, "-"),
            (r#"["a"][0]"#, "-"),
            ("none", "-"),
        ] {
            let found = Index::read(index).expect(index).find(json).unwrap_or_else(|()| panic!("{index}"));
            let told = match &found {
                Found::Text(text) => text.as_str(),
                Found::Missing => "-",
                Found::NoText => "!",
                Found::Twice => "2",
            };
            assert_eq!(told, expected, "{index}");
        }
        let twice = Index::read("a").expect("an index").find(br#"{"a":"x","b":1,"a":"y"}"#);
        assert!(matches!(twice, Ok(Found::Twice)));
        for bad in [&b"{"[..], b"{} x", b"", b"{\"a\":\"\xff\"}"] {
            assert!(Index::read("a").expect("an index").find(bad).is_err());
        }
    }
}

//! All of a document but the two values, as one digest: what must be the same before and after a write.
//!
//! SOPS is believed in nothing here. It counts comments in lists as items, so an index may hit another place than it reads from. The
//! values beside the two go into the digest as they come by, and are not kept.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::index::{Index, Step};

/// The digest of a JSON document without what stands at these places; `Err` if it is no JSON.
pub(super) fn rest(json: &[u8], without: &[Index; 2]) -> Result<Vec<u8>, ()> {
    let mut digest = Context::new(&SHA256);
    let mut reader = serde_json::Deserializer::from_slice(json);
    let skip = [Some(without[0].steps()), Some(without[1].steps())];
    // The reason is left out: it may quote a value.
    Rest { digest: &mut digest, skip }.deserialize(&mut reader).map_err(|_| ())?;
    reader.end().map_err(|_| ())?;
    Ok(digest.finish().as_ref().to_vec())
}

/// One value of the document, and what is left of the ways to the two places from here.
struct Rest<'a> {
    digest: &'a mut Context,
    skip: [Option<&'a [Step]>; 2],
}

impl<'a> Rest<'a> {
    fn take(&mut self, kind: u8, bytes: &[u8]) {
        self.digest.update(&[kind]);
        self.digest.update(&(bytes.len() as u64).to_le_bytes());
        self.digest.update(bytes);
    }

    /// The ways from a child on.
    fn below(&self, is: impl Fn(&Step) -> bool) -> [Option<&'a [Step]>; 2] {
        self.skip.map(|way| way.and_then(<[Step]>::split_first).filter(|(step, _)| is(step)).map(|(_, rest)| rest))
    }
}

/// Whether a child is one of the two.
fn is_left_out(ways: &[Option<&[Step]>; 2]) -> bool {
    ways.iter().flatten().any(|way| way.is_empty())
}

impl<'de> DeserializeSeed<'de> for Rest<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Rest<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.take(b'{', b"");
        while let Some(key) = map.next_key::<String>()? {
            let skip = self.below(|step| matches!(step, Step::Key(wanted) if *wanted == key));
            if is_left_out(&skip) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            self.take(b'k', key.as_bytes());
            map.next_value_seed(Rest { digest: &mut *self.digest, skip })?;
        }
        self.take(b'}', b"");
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        self.take(b'[', b"");
        for at in 0.. {
            let skip = self.below(|step| matches!(step, Step::Nth(n) if *n == at));
            let more = match is_left_out(&skip) {
                true => list.next_element::<IgnoredAny>()?.is_some(),
                false => list.next_element_seed(Rest { digest: &mut *self.digest, skip })?.is_some(),
            };
            if !more {
                break;
            }
        }
        self.take(b']', b"");
        Ok(())
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        self.take(b's', text.as_bytes());
        Ok(())
    }

    fn visit_unit<E: Error>(mut self) -> Result<(), E> {
        self.take(b'0', b"");
        Ok(())
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        self.take(b'b', &[u8::from(value)]);
        Ok(())
    }

    fn visit_i64<E: Error>(mut self, value: i64) -> Result<(), E> {
        self.take(b'i', &value.to_le_bytes());
        Ok(())
    }

    fn visit_u64<E: Error>(mut self, value: u64) -> Result<(), E> {
        self.take(b'u', &value.to_le_bytes());
        Ok(())
    }

    fn visit_f64<E: Error>(mut self, value: f64) -> Result<(), E> {
        self.take(b'f', &value.to_bits().to_le_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_values_make_no_difference_and_all_else_does() {
        let places = [r#"["a"]["u"]"#, r#"["a"]["l"][1]["p"]"#].map(|text| Index::read(text).expect(text));
        let base = r#"{"a":{"u":"x","l":[0,{"p":"y","q":1.5}],"n":null},"z":[true,"t"]}"#;
        let digest = |text: &str| rest(text.as_bytes(), &places).expect(text);
        for same in [
            r#"{"a":{"u":"other","l":[0,{"p":"other","q":1.5}],"n":null},"z":[true,"t"]}"#,
            r#"{"a":{"u":7,"l":[0,{"q":1.5}],"n":null},"z":[true,"t"]}"#,
            r#"{"a":{"l":[0,{"p":[1],"q":1.5}],"n":null},"z":[true,"t"]}"#,
        ] {
            assert_eq!(digest(same), digest(base), "{same}");
        }
        for other in [
            r#"{"a":{"u":"x","l":[0,{"p":"y","q":1.6}],"n":null},"z":[true,"t"]}"#,
            r#"{"a":{"u":"x","l":[0,{"p":"y"},{"q":1.5}],"n":null},"z":[true,"t"]}"#,
            r#"{"a":{"u":"x","l":[{"p":"y","q":1.5},0],"n":null},"z":[true,"t"]}"#,
            r#"{"a":{"u":"x","l":[0,{"p":"y","q":1.5}],"n":"null"},"z":[true,"t"]}"#,
            r#"{"a":{"u":"x","l":[0,{"p":"y","q":1.5}],"n":null},"z":[false,"t"]}"#,
            r#"{"a":{"u":"x","l":[0,{"p":"y","q":1.5}],"n":null},"z":["t"]}"#,
            r#"{"a":{"u":"x","l":[0,{"p":"y","q":1.5}],"n":null},"z":[true,"t"],"u":"x"}"#,
            r#"{"a":{"u":"x","l":[0,{"p":"y","q":1.5}],"n":null,"p":"y"},"z":[true,"t"]}"#,
        ] {
            assert_ne!(digest(other), digest(base), "{other}");
        }
        assert!(rest(b"{", &places).is_err() && rest(b"{} {}", &places).is_err());
    }
}

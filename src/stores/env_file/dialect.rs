//! Dialects of env files: what a program sees in the text after `=`, and how to write a value so that it sees it.
//!
//! Programs disagree about the same bytes, and a password that is read in two ways is an outage. So only forms are taken
//! that every reader of the dialect takes literally; everything else is a [`Doubt`] and is refused, never guessed at. No
//! accepted form has an escape, hence a value is always a slice of the file. Sibling `scan` finds the text, `editor`
//! replaces it. Nothing here touches a disk.

use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

/// Whose rules a file follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// What the dotenv libraries of Node, Python, Ruby and Rust, and Compose, have in common.
    #[default]
    Dotenv,
    /// `EnvironmentFile=` of systemd.
    Systemd,
    /// `docker run --env-file`: the rest of the line is the value.
    Docker,
}

/// The dialects by the names they have in an inventory.
pub const DIALECTS: [(&str, Dialect); 3] =
    [("dotenv", Dialect::Dotenv), ("systemd", Dialect::Systemd), ("docker", Dialect::Docker)];

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(DIALECTS.iter().find(|(_, d)| d == self).map_or("dotenv", |(name, _)| name))
    }
}

/// A name that is not one of [`DIALECTS`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown dialect; use one of `dotenv`, `systemd`, `docker`")]
pub struct UnknownDialect;

impl FromStr for Dialect {
    type Err = UnknownDialect;
    fn from_str(text: &str) -> Result<Self, UnknownDialect> {
        DIALECTS.iter().find(|(name, _)| *name == text).map(|(_, d)| *d).ok_or(UnknownDialect)
    }
}

/// Why readers of a dialect do not agree on a form, in words that go after "readers disagree: ".
pub(super) type Doubt = &'static str;

/// How a value is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Bare,
    Single,
    Double,
}

const STYLES: [Style; 3] = [Style::Bare, Style::Single, Style::Double];

impl Dialect {
    /// The value that every program of the dialect sees in `raw`, the text of a value without the blanks around it.
    pub(super) fn decode(self, raw: &str) -> Result<&str, Doubt> {
        if raw.chars().any(char::is_control) {
            return Err("a control character");
        }
        match (self, raw.chars().next()) {
            (_, None) => Ok(raw),
            (Self::Docker, Some(first)) => match first {
                '\'' | '"' if raw.len() > 1 && raw.ends_with(first) => {
                    Err("quotes, which only some versions of docker keep")
                }
                _ => Ok(raw),
            },
            (_, Some(quote @ ('\'' | '"'))) => self.decode_quoted(raw, quote),
            (Self::Dotenv, Some('`')) => Err("a backtick"),
            _ => self.decode_bare(raw),
        }
    }

    fn decode_quoted(self, raw: &str, quote: char) -> Result<&str, Doubt> {
        let inner = raw[1..].strip_suffix(quote).ok_or("text after a closing quote")?;
        if inner.contains(quote) {
            return Err("text after a closing quote");
        }
        if inner.contains('\\') {
            return Err("a backslash in quotes");
        }
        match (self, quote) {
            (Self::Dotenv, '"') if inner.contains(['$', '`']) => Err("`$` or a backtick in double quotes"),
            (Self::Dotenv, _) if inner.contains("${") => Err("`${` in quotes"),
            _ => Ok(inner),
        }
    }

    fn decode_bare(self, raw: &str) -> Result<&str, Doubt> {
        if raw.contains('\\') {
            return Err("a backslash outside quotes");
        }
        if self == Self::Dotenv {
            if raw.contains(char::is_whitespace) {
                return Err("a blank outside quotes");
            }
            if raw.contains(['#', '$', '\'', '"', '`']) {
                return Err("one of # $ ' \" ` outside quotes");
            }
        }
        Ok(raw)
    }

    /// `value` as text for the file, in the style of `like` if that can hold it; `None` if no style can.
    ///
    /// A form is good if and only if [`Dialect::decode`] gives the value back, so writing can promise no more than reading.
    pub(super) fn encode(self, value: &str, like: &str) -> Option<Zeroizing<String>> {
        let liked = match like.chars().next() {
            Some('\'') => Style::Single,
            Some('"') => Style::Double,
            _ => Style::Bare,
        };
        let styles = [liked].into_iter().chain(STYLES.into_iter().filter(|s| *s != liked));
        styles
            .filter(|style| self.allows(*style, value))
            .map(|style| print(value, style))
            .find(|p| self.decode(p) == Ok(value))
    }

    /// Files of these dialects are also sourced by shells, so a bare value gets only what no shell looks at.
    fn allows(self, style: Style, value: &str) -> bool {
        match (self, style) {
            (Self::Docker, style) => style == Style::Bare,
            (_, Style::Bare) => value.chars().all(|c| c.is_ascii_alphanumeric() || "_+/=.,:@%-".contains(c)),
            _ => true,
        }
    }
}

fn print(value: &str, style: Style) -> Zeroizing<String> {
    let quote = match style {
        Style::Bare => "",
        Style::Single => "'",
        Style::Double => "\"",
    };
    let mut text = Zeroizing::new(String::with_capacity(value.len() + 2));
    for part in [quote, value, quote] {
        text.push_str(part);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::Dialect::{Docker, Dotenv, Systemd};
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for (name, dialect) in DIALECTS {
            assert_eq!(name.parse(), Ok(dialect));
            assert_eq!(dialect.to_string(), name);
        }
        assert_eq!("Dotenv".parse::<Dialect>(), Err(UnknownDialect));
    }

    #[test]
    fn a_value_is_what_every_reader_sees_or_a_doubt() {
        let table = [
            // raw, dotenv, systemd, docker; None is a doubt
            ("", Some(""), Some(""), Some("")),
            ("aZ9_+/=.-", Some("aZ9_+/=.-"), Some("aZ9_+/=.-"), Some("aZ9_+/=.-")),
            ("a&b;c!", Some("a&b;c!"), Some("a&b;c!"), Some("a&b;c!")),
            ("'ab c'", Some("ab c"), Some("ab c"), None),
            ("\"ab c\"", Some("ab c"), Some("ab c"), None),
            ("'a#b'", Some("a#b"), Some("a#b"), None),
            ("''", Some(""), Some(""), None),
            ("a b", None, Some("a b"), Some("a b")),
            ("a#b", None, Some("a#b"), Some("a#b")),
            ("a$b", None, Some("a$b"), Some("a$b")),
            ("it's", None, Some("it's"), Some("it's")),
            ("`ab`", None, Some("`ab`"), Some("`ab`")),
            ("a\\b", None, None, Some("a\\b")),
            ("'a\\b'", None, None, None),
            ("\"a\\nb\"", None, None, None),
            ("'a$b'", Some("a$b"), Some("a$b"), None),
            ("'a${b}'", None, Some("a${b}"), None),
            ("\"a$b\"", None, Some("a$b"), None),
            ("\"a`b\"", None, Some("a`b"), None),
            ("'a'b", None, None, Some("'a'b")),
            ("'a'b'", None, None, None),
            ("\"a\"\"b\"", None, None, None),
            ("'", None, None, Some("'")),
            ("'abc", None, None, Some("'abc")),
            ("a\tb", None, None, None),
            ("a\nb", None, None, None),
            ("'pässword'", Some("pässword"), Some("pässword"), None),
        ];
        for (raw, dotenv, systemd, docker) in table {
            for (dialect, value) in [(Dotenv, dotenv), (Systemd, systemd), (Docker, docker)] {
                assert_eq!(dialect.decode(raw).ok(), value, "{raw:?} in {dialect}");
            }
        }
    }

    #[test]
    fn a_value_keeps_the_style_or_takes_the_first_that_can_hold_it() {
        let table = [
            // dialect, value, like, text
            (Dotenv, "abc", "old", Some("abc")),
            (Dotenv, "abc", "\"old\"", Some("\"abc\"")),
            (Dotenv, "abc", "'old'", Some("'abc'")),
            (Dotenv, "a b", "old", Some("'a b'")),
            (Dotenv, "a;b", "old", Some("'a;b'")),
            (Dotenv, "a$b", "\"old\"", Some("'a$b'")),
            (Dotenv, "it's", "old", Some("\"it's\"")),
            (Dotenv, "it's $5", "old", None),
            (Dotenv, "a\\b", "old", None),
            (Dotenv, "${a}", "old", None),
            (Dotenv, "a\nb", "old", None),
            (Systemd, "${a}", "old", Some("'${a}'")),
            (Systemd, "it's $5", "old", Some("\"it's $5\"")),
            (Systemd, "a\\b", "'old'", None),
            (Systemd, "'\"", "old", None),
            (Docker, "a b#c$d\\e'f", "old", Some("a b#c$d\\e'f")),
            (Docker, "abc", "'old", Some("abc")),
            (Docker, "'abc'", "old", None),
            (Docker, "a\tb", "old", None),
        ];
        for (dialect, value, like, text) in table {
            let encoded = dialect.encode(value, like);
            assert_eq!(encoded.as_deref().map(String::as_str), text, "{value:?} in {dialect}");
        }
    }
}

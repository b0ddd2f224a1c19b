//! Reads the keys of one map into types, and collects every problem on the way: missing keys, wrong types, values that are
//! not allowed, and keys that nobody asked for, with "did you mean".
//!
//! Ask for all keys first and use `?` last, or keys after the first problem are taken for unknown ones:
//!
//! ```ignore
//! let dir = fields.required_path("dir");
//! let quota = fields.optional_int("quota", 1..=10);
//! Some(Options { dir: dir?, quota: quota.unwrap_or(2) })
//! ```

use std::ops::RangeInclusive;
use std::path::PathBuf;

use handover_rotation::name::NameError;
use handover_rotation::time::Span;

use super::diagnostic::{Problem, Problems};
use super::duration;
use super::inventory::SecretRef;
use super::node::{Node, Pair, Value};
use super::source::Place;
use super::suggest;

/// A reader over one map.
#[derive(Debug)]
pub struct Fields<'n> {
    node: &'n Node,
    at: Place,
    what: String,
    asked: Vec<String>,
    missing: Vec<String>,
    whole: bool,
    problems: Problems,
}

impl<'n> Fields<'n> {
    /// A reader over `node`, which people know as `what`, such as "provider `ses`".
    #[must_use]
    pub fn new(node: &'n Node, what: impl Into<String>) -> Self {
        Self {
            node,
            at: node.at.clone(),
            what: what.into(),
            asked: Vec::new(),
            missing: Vec::new(),
            whole: false,
            problems: Problems::default(),
        }
    }

    /// The same, pointing at `at` where a key is missing: the key that the map belongs to reads better than its `{`.
    #[must_use]
    pub fn at(mut self, at: &Place) -> Self {
        self.at = at.clone();
        self
    }

    /// Where the map stands.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.at
    }

    /// What people know the map as.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The problems: those found so far, missing keys, and keys that nobody asked for.
    #[must_use]
    pub fn finish(mut self) -> Problems {
        if !matches!(self.node.value, Value::Map(_)) {
            if !self.whole && !matches!(self.node.value, Value::Hidden) {
                let message = format!("{} must be a map, but is {}", self.what, self.node.describe());
                let problem = Problem::error("HO0112", &self.at, message);
                self.problems.push(problem.hint("write `key: value` lines, indented below it"));
            }
            return self.problems;
        }
        for pair in self.node.pairs() {
            if self.asked.contains(&pair.key) {
                continue;
            }
            let message = format!("{} has no key `{}`", self.what, pair.key);
            let near = suggest::nearest(&pair.key, self.missing.iter().map(String::as_str)).map(str::to_owned);
            let hint = match &near {
                Some(near) => format!("did you mean `{near}`?"),
                None => suggest::hint(&pair.key, self.asked.iter().map(String::as_str)),
            };
            // A mistyped key is one problem, not a missing one and an unknown one.
            if let Some(near) = near {
                self.missing.retain(|key| *key != near);
            }
            self.problems.push(Problem::error("HO0110", &pair.key_at, message).hint(hint));
        }
        for key in &self.missing {
            let message = format!("{} lacks the key `{key}`", self.what);
            self.problems.push(Problem::error("HO0111", &self.at, message).hint(format!("add `{key}: …` to it")));
        }
        self.problems
    }

    /// Adds a problem of one's own, at the value of `key`, or at the map where it has no such key.
    pub fn problem(&mut self, code: &'static str, key: &str, message: impl Into<String>, hint: impl Into<String>) {
        let at = self.node.get(key).map_or(&self.at, |node| &node.at);
        self.problems.push(Problem::error(code, at, message).hint(hint));
    }

    /// Adds a problem as it is.
    pub fn push(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// The keys that the map has, for a map of names. Does not count as asking for them.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.node.pairs().iter().map(|pair| pair.key.clone()).collect()
    }

    /// Whether the map has the key. Does not count as asking for it.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.node.get(key).is_some()
    }

    /// The key with its value as it stands, for what no other method reads.
    pub fn pair(&mut self, key: &str) -> Option<&'n Pair> {
        if !self.asked.iter().any(|k| k == key) {
            self.asked.push(key.to_owned());
        }
        self.node.pairs().iter().find(|pair| pair.key == key)
    }

    /// The same for a key that must be there.
    pub fn required_pair(&mut self, key: &str) -> Option<&'n Pair> {
        let pair = self.pair(key);
        if pair.is_none() && matches!(self.node.value, Value::Map(_)) {
            self.missing.push(key.to_owned());
        }
        pair
    }

    /// The value itself as a list of texts, for kinds that have a short form such as `command: [systemctl, restart, x]`;
    /// `None` if it is no list.
    pub fn whole_list(&mut self) -> Option<Vec<String>> {
        let Value::List(_) = &self.node.value else { return None };
        self.whole = true;
        self.texts(self.what.clone(), self.node)
    }

    /// A text that must be there.
    pub fn required_str(&mut self, key: &str) -> Option<String> {
        let pair = self.required_pair(key)?;
        self.text(key, &pair.value)
    }

    /// A text that may be there.
    pub fn optional_str(&mut self, key: &str) -> Option<String> {
        let pair = self.pair(key)?;
        self.text(key, &pair.value)
    }

    /// A name or id that must be there.
    pub fn required_name<T: TryFrom<String, Error = NameError>>(&mut self, key: &str) -> Option<T> {
        let pair = self.required_pair(key)?;
        self.name(key, &pair.value)
    }

    /// A path that must be there; relative ones start from the folder of the file.
    pub fn required_path(&mut self, key: &str) -> Option<PathBuf> {
        let pair = self.required_pair(key)?;
        Some(pair.value.at.resolve(&self.text(key, &pair.value)?))
    }

    /// A path that may be there; relative ones start from the folder of the file.
    pub fn optional_path(&mut self, key: &str) -> Option<PathBuf> {
        let pair = self.pair(key)?;
        Some(pair.value.at.resolve(&self.text(key, &pair.value)?))
    }

    /// One of some words that must be there.
    pub fn required_choice<T: Clone>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let pair = self.required_pair(key)?;
        self.choice(key, &pair.value, choices)
    }

    /// One of some words that may be there.
    pub fn optional_choice<T: Clone>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let pair = self.pair(key)?;
        self.choice(key, &pair.value, choices)
    }

    /// A whole number that must be there.
    pub fn required_int(&mut self, key: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let pair = self.required_pair(key)?;
        self.int(key, &pair.value, range)
    }

    /// A whole number that may be there.
    pub fn optional_int(&mut self, key: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let pair = self.pair(key)?;
        self.int(key, &pair.value, range)
    }

    /// A port that must be there.
    pub fn required_port(&mut self, key: &str) -> Option<u16> {
        self.required_int(key, 1..=65_535).and_then(|n| u16::try_from(n).ok())
    }

    /// A port that may be there.
    pub fn optional_port(&mut self, key: &str) -> Option<u16> {
        self.optional_int(key, 1..=65_535).and_then(|n| u16::try_from(n).ok())
    }

    /// `true` or `false`, which may be there.
    pub fn optional_bool(&mut self, key: &str) -> Option<bool> {
        let pair = self.pair(key)?;
        match &pair.value.value {
            Value::Bool(value) => Some(*value),
            _ => self.wrong(key, &pair.value, "`true` or `false`", "write `true` or `false`, without quotes"),
        }
    }

    /// A length of time that must be there.
    pub fn required_duration(&mut self, key: &str, range: RangeInclusive<Span>) -> Option<Span> {
        let pair = self.required_pair(key)?;
        self.duration(key, &pair.value, range)
    }

    /// A length of time that may be there.
    pub fn optional_duration(&mut self, key: &str, range: RangeInclusive<Span>) -> Option<Span> {
        let pair = self.pair(key)?;
        self.duration(key, &pair.value, range)
    }

    /// A list of texts that must be there and have an item.
    pub fn required_list(&mut self, key: &str) -> Option<Vec<String>> {
        let pair = self.required_pair(key)?;
        self.texts(format!("`{key}`"), &pair.value)
    }

    /// A list of texts that may be there; if it is, it has an item.
    pub fn optional_list(&mut self, key: &str) -> Option<Vec<String>> {
        let pair = self.pair(key)?;
        self.texts(format!("`{key}`"), &pair.value)
    }

    /// Where a secret is, which must be told: `{env: NAME}` or `{file: PATH}`.
    pub fn required_secret(&mut self, key: &str) -> Option<SecretRef> {
        let pair = self.required_pair(key)?;
        self.secret(key, pair)
    }

    /// Where a secret is, which may be told: `{env: NAME}` or `{file: PATH}`.
    pub fn optional_secret(&mut self, key: &str) -> Option<SecretRef> {
        let pair = self.pair(key)?;
        self.secret(key, pair)
    }

    /// An `http://` or `https://` address that must be there.
    pub fn required_url(&mut self, key: &str) -> Option<reqwest::Url> {
        let pair = self.required_pair(key)?;
        self.url(key, &pair.value)
    }

    /// An `http://` or `https://` address that may be there.
    pub fn optional_url(&mut self, key: &str) -> Option<reqwest::Url> {
        let pair = self.pair(key)?;
        self.url(key, &pair.value)
    }

    /// A map that must be there, read by `read`.
    pub fn required_map<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let pair = self.required_pair(key)?;
        self.map(pair, read)
    }

    /// A map that may be there, read by `read`.
    pub fn optional_map<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let pair = self.pair(key)?;
        self.map(pair, read)
    }

    fn map<T>(&mut self, pair: &'n Pair, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let mut inner = Fields::new(&pair.value, format!("`{}` of {}", pair.key, self.what)).at(&pair.key_at);
        let value = read(&mut inner);
        let problems = inner.finish();
        let sound = !problems.has_errors();
        self.problems.extend(problems);
        value.filter(|_| sound)
    }

    fn text(&mut self, key: &str, node: &Node) -> Option<String> {
        match &node.value {
            Value::Text(text) if text.trim().is_empty() => {
                self.problems.push(Problem::error("HO0113", &node.at, format!("`{key}` is empty")).hint("give it a value"));
                None
            }
            Value::Text(text) => match text.chars().find(|c| c.is_control()) {
                None => Some(text.clone()),
                Some(_) => {
                    let message = format!("`{key}` has a line break or another control character in it");
                    self.problems.push(Problem::error("HO0113", &node.at, message).hint("write it in one line"));
                    None
                }
            },
            Value::Number(raw) => {
                let hint = format!("put it in quotes: `{key}: \"{raw}\"`");
                self.wrong(key, node, "a text", &hint)
            }
            Value::Bool(value) => {
                let hint = format!("put it in quotes: `{key}: \"{value}\"`");
                self.wrong(key, node, "a text", &hint)
            }
            _ => self.wrong(key, node, "a text", &format!("write `{key}: value`")),
        }
    }

    fn name<T: TryFrom<String, Error = NameError>>(&mut self, key: &str, node: &Node) -> Option<T> {
        let text = self.text(key, node)?;
        match T::try_from(text) {
            Ok(name) => Some(name),
            Err(error) => {
                let problem = Problem::error("HO0113", &node.at, format!("`{key}` {error}"));
                self.problems.push(problem.hint("names are made of letters, digits, `-`, `_` and `.`"));
                None
            }
        }
    }

    fn choice<T: Clone>(&mut self, key: &str, node: &Node, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(key, node)?;
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(value.clone());
        }
        let hint = suggest::hint(&text, choices.iter().map(|(word, _)| *word));
        self.problems.push(Problem::error("HO0113", &node.at, format!("`{key}` cannot be `{text}`")).hint(hint));
        None
    }

    fn int(&mut self, key: &str, node: &Node, range: RangeInclusive<i64>) -> Option<i64> {
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        match &node.value {
            Value::Number(raw) => match raw.parse::<i64>().ok().filter(|n| range.contains(n)) {
                Some(number) => Some(number),
                None => {
                    let problem = Problem::error("HO0113", &node.at, format!("`{key}` cannot be {raw}"));
                    self.problems.push(problem.hint(format!("it is {wanted}")));
                    None
                }
            },
            Value::Text(text) if text.parse::<i64>().is_ok() => {
                self.wrong(key, node, &wanted, &format!("remove the quotes: `{key}: {text}`"))
            }
            _ => self.wrong(key, node, &wanted, &format!("write `{key}: {}`", range.start())),
        }
    }

    fn duration(&mut self, key: &str, node: &Node, range: RangeInclusive<Span>) -> Option<Span> {
        let text = match &node.value {
            Value::Number(raw) => raw.clone(),
            _ => self.text(key, node)?,
        };
        let (message, hint) = match duration::parse(&text) {
            Ok(span) if range.contains(&span) => return Some(span),
            Ok(span) if span < *range.start() => {
                (format!("`{key}` is too short: {span}"), format!("at least {}", range.start()))
            }
            Ok(span) => (format!("`{key}` is too long: {span}"), format!("at most {}", range.end())),
            Err(why) => (
                format!("`{key}`: `{text}` {why}"),
                "write a number with its unit: `90s`, `30m`, `4h`, `1d`, `1m30s`".to_owned(),
            ),
        };
        self.problems.push(Problem::error("HO0113", &node.at, message).hint(hint));
        None
    }

    fn texts(&mut self, what: String, node: &Node) -> Option<Vec<String>> {
        let Value::List(items) = &node.value else {
            if !matches!(node.value, Value::Hidden) {
                let message = format!("{what} must be a list, but is {}", node.describe());
                let problem = Problem::error("HO0112", &node.at, message);
                self.problems.push(problem.hint("write the parts in brackets: `[systemctl, restart, mailer]`"));
            }
            return None;
        };
        if items.is_empty() {
            self.problems.push(Problem::error("HO0113", &node.at, format!("{what} is empty")).hint("give it an item"));
            return None;
        }
        let label = what.trim_matches('`').to_owned();
        let texts: Vec<Option<String>> = items
            .iter()
            .map(|item| match &item.value {
                // In a list of texts, a number such as a port of a command line is meant as it is written.
                Value::Number(raw) => Some(raw.clone()),
                _ => self.text(&label, item),
            })
            .collect();
        texts.into_iter().collect()
    }

    fn secret(&mut self, key: &str, pair: &'n Pair) -> Option<SecretRef> {
        let at = &pair.value.at;
        if let Value::Hidden = pair.value.value {
            return None;
        }
        let [only] = pair.value.pairs() else {
            let message = format!("`{key}` must say where the secret is");
            self.problems.push(Problem::error("HO0115", at, message).hint("write `{env: NAME}` or `{file: PATH}`"));
            return None;
        };
        let value = self.text(&only.key, &only.value)?;
        match only.key.as_str() {
            "env" => Some(SecretRef::Env(value)),
            "file" => Some(SecretRef::File(only.value.at.resolve(&value))),
            other => {
                let message = format!("`{key}` cannot be read from `{other}`");
                let problem = Problem::error("HO0115", &only.key_at, message);
                self.problems.push(problem.hint("write `{env: NAME}` or `{file: PATH}`"));
                None
            }
        }
    }

    fn url(&mut self, key: &str, node: &Node) -> Option<reqwest::Url> {
        let text = self.text(key, node)?;
        let message = match reqwest::Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => return Some(url),
            Err(error) if text.starts_with("http://") || text.starts_with("https://") => {
                format!("`{key}` is not an address: {error}")
            }
            _ => format!("`{key}` must begin with http:// or https://"),
        };
        self.problems.push(Problem::error("HO0113", &node.at, message).hint("such as `http://127.0.0.1:8080/reload`"));
        None
    }

    fn wrong<T>(&mut self, key: &str, node: &Node, wanted: &str, hint: &str) -> Option<T> {
        if !matches!(node.value, Value::Hidden) {
            let message = format!("`{key}` must be {wanted}, but is {}", node.describe());
            self.problems.push(Problem::error("HO0112", &node.at, message).hint(hint));
        }
        None
    }
}

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

mod values;

use std::ops::RangeInclusive;
use std::path::PathBuf;

use handover_rotation::name::NameError;
use handover_rotation::time::Span;

use super::diagnostic::{Problem, Problems};
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
    named: bool,
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
            named: false,
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
            if self.named || self.asked.contains(&pair.key) {
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

    /// Whether it is a map at all.
    #[must_use]
    pub fn is_map(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    /// All keys with their values, for a map of names: none of them is unknown then.
    pub fn named(&mut self) -> &'n [Pair] {
        self.named = true;
        self.node.pairs()
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
}

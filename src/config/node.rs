//! YAML as a tree of values that know where they stand, so that every problem of a file can be reported at once.
//!
//! It is built from the parser's events and not through serde: only so do all aliases, duplicate keys and secrets of a file
//! come out in one go. Files are capped (threat T20), and a tree never holds a secret: a value that looks like one is a
//! problem, and is left out.

mod builder;

use std::path::Path;
use std::sync::Arc;

use super::diagnostic::{Problem, Problems};
use super::source::{Place, Source};

pub use super::fields::Fields;

/// The most bytes a file may have.
pub const MOST_BYTES: usize = 256 * 1024;
/// How deep maps and lists may be nested.
pub const MOST_DEPTH: usize = 32;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it stands.
    pub at: Place,
}

/// A value of YAML, its plain scalars told apart as in YAML 1.2.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as written.
    Number(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file, each key once.
    Map(Vec<Pair>),
    /// Left out: a secret in the clear, or something that is not allowed. A problem has been reported already.
    Hidden,
}

/// A key with its value.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_at: Place,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The value of a key, if this is a map that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.pairs().iter().find(|pair| pair.key == key).map(|pair| &pair.value)
    }

    /// The keys and values, if this is a map; else none.
    #[must_use]
    pub fn pairs(&self) -> &[Pair] {
        match &self.value {
            Value::Map(pairs) => pairs,
            _ => &[],
        }
    }

    /// What kind of value this is, with its article.
    #[must_use]
    pub fn describe(&self) -> &'static str {
        match &self.value {
            Value::Null => "empty",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
            Value::Hidden => "left out",
        }
    }

    /// Reads `text`, known to people as `name`, its relative paths starting from `folder`.
    ///
    /// # Errors
    /// All problems of the text.
    pub fn from_yaml(name: &str, folder: &Path, text: &str) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let source = Source::new(name.to_owned(), folder.to_owned());
        match Self::parse(&source, text, &mut problems) {
            Some(node) if problems.is_empty() => Ok(node),
            _ => Err(problems),
        }
    }

    /// Reads `text` as a tree. Problems go to `problems`; `None` if there is no tree to go on with.
    pub fn parse(source: &Arc<Source>, text: &str, problems: &mut Problems) -> Option<Self> {
        let built = builder::build(source, text);
        // Where the file is one text, its lines may look like anything: they are masked as if it could not be read.
        let is_map = built.root.as_ref().is_some_and(|root| matches!(root.value, Value::Map(_)));
        source.keep(text, &built.hidden, built.whole && is_map);
        problems.extend(built.problems);
        if built.whole && built.root.is_none() {
            let problem = Problem::error("HO0108", &Place::start(source), "the file is empty");
            let hint = "it begins with `version: 1`; see inventory/example.yaml or playbooks/scheduled.yaml";
            problems.push(problem.hint(hint));
        }
        built.root
    }
}

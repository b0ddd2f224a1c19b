//! Builds a tree from the parser's events, and decides on the way what is kept, refused and hidden.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_yaml::granit_parser::{Event, Options, Parser, ScalarStyle, Span};

use super::{MOST_DEPTH, Node, Pair, Value};
use crate::config::diagnostic::Problem;
use crate::config::source::{Hidden, MASK, Place, Source};
use crate::config::{secrets, syntax};

enum Frame {
    List(Place, Vec<Node>),
    Map {
        at: Place,
        pairs: Vec<Pair>,
        seen: BTreeMap<String, Place>,
        key: Option<Key>,
        /// Whether a key was refused: what is left then says nothing.
        refused: bool,
    },
}

struct Key {
    /// `None` for a key that is not usable; its value is dropped.
    text: Option<String>,
    at: Place,
}

/// What came of reading a text.
pub(super) struct Built {
    /// The tree, if there is one.
    pub(super) root: Option<Node>,
    /// Whether the text was read to its end.
    pub(super) whole: bool,
    /// What was wrong.
    pub(super) problems: Vec<Problem>,
    /// What must not be shown.
    pub(super) hidden: Vec<Hidden>,
}

/// Reads a text.
pub(super) fn build(source: &Arc<Source>, text: &str) -> Built {
    let mut builder = Builder { source, problems: Vec::new(), stack: Vec::new(), hidden: Vec::new(), root: None };
    let whole = builder.read(text);
    Built { root: builder.root.filter(|_| whole), whole, problems: builder.problems, hidden: builder.hidden }
}

struct Builder<'s> {
    source: &'s Arc<Source>,
    problems: Vec<Problem>,
    stack: Vec<Frame>,
    hidden: Vec<Hidden>,
    root: Option<Node>,
}

impl Builder<'_> {
    /// Whether the text was read to its end.
    fn read(&mut self, text: &str) -> bool {
        let mut options = Options::default();
        options.emit_unresolved_aliases = true;
        options.emit_anchor_events = true;
        options.set_emit_comments(false);
        let mut documents = 0;
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = match event {
                Ok(next) => next,
                Err(error) => {
                    let mark = error.marker();
                    let at = self.place(mark.line(), mark.col(), 1);
                    self.problems.push(syntax::problem(&at, error.kind()));
                    return false;
                }
            };
            let at = self.place_of(&span);
            match event {
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents > 1 {
                        let problem = Problem::error("HO0106", &at, "a second document begins here: a file holds one");
                        self.problems.push(problem.hint("put it in a file of its own, or remove the line `---`"));
                        return false;
                    }
                }
                Event::Alias(_) | Event::UnresolvedAlias(_) => {
                    let problem = Problem::error("HO0104", &at, "aliases (`*name`) are not allowed");
                    self.problems.push(problem.hint("write the value out; a text that begins with `*` stands in quotes"));
                    self.add(Node { value: Value::Hidden, at });
                }
                Event::Anchor(..) => {
                    let problem = Problem::error("HO0104", &at, "anchors (`&name`) are not allowed");
                    self.problems.push(problem.hint("remove it; a text that begins with `&` stands in quotes"));
                }
                Event::Scalar(text, style, _, tag) => {
                    self.refuse_tag(tag.is_some(), &span, &at);
                    if tag.is_some() && !matches!(self.stack.last(), Some(Frame::Map { key: None, .. })) {
                        self.hide(&span);
                        self.add(Node { value: Value::Hidden, at });
                        continue;
                    }
                    self.scalar(&text, style, &span, at);
                }
                Event::SequenceStart(_, _, tag) => {
                    self.refuse_tag(tag.is_some(), &span, &at);
                    let at = short(at);
                    if !self.open(Frame::List(at.clone(), Vec::new()), &at) {
                        return false;
                    }
                }
                Event::MappingStart(_, _, tag) => {
                    self.refuse_tag(tag.is_some(), &span, &at);
                    let at = short(at);
                    let frame =
                        Frame::Map { at: at.clone(), pairs: Vec::new(), seen: BTreeMap::new(), key: None, refused: false };
                    if !self.open(frame, &at) {
                        return false;
                    }
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(),
                _ => {}
            }
        }
        true
    }

    fn place(&self, line: usize, column: usize, length: usize) -> Place {
        Place { source: Arc::clone(self.source), line: line.max(1), column: column + 1, length: length.max(1) }
    }

    fn place_of(&self, span: &Span) -> Place {
        let (start, end) = (span.start, span.end);
        let length = if start.line() == end.line() { end.col().saturating_sub(start.col()) } else { 1 };
        self.place(start.line(), start.col(), length)
    }

    fn refuse_tag(&mut self, tagged: bool, span: &Span, value_at: &Place) {
        if tagged {
            let at = span.tag_span().map_or_else(|| value_at.clone(), |span| self.place_of(&span));
            let problem = Problem::error("HO0104", &at, "tags (`!name`) are not allowed");
            self.problems.push(problem.hint("remove the tag; put a text in quotes instead of `!!str`"));
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, span: &Span, at: Place) {
        let plain = style == ScalarStyle::Plain;
        if let Some(Frame::Map { key: None, .. }) = self.stack.last() {
            self.key(text, plain, span, at);
            return;
        }
        let value = if plain { plain_value(text) } else { Value::Text(text.to_owned()) };
        if self.drops_value() {
            self.hide(span);
            return self.add(Node { value: Value::Hidden, at });
        }
        let value = match self.secret(text, &value) {
            Some(problem) => {
                self.hide(span);
                if let Some((message, hint)) = problem {
                    let at = Place { length: MASK.len(), ..at.clone() };
                    let hint = format!("{hint}; and change this secret, it has been seen");
                    self.problems.push(Problem::error("HO0114", &at, message).hint(hint));
                }
                Value::Hidden
            }
            None => value,
        };
        self.add(Node { value, at });
    }

    fn key(&mut self, text: &str, plain: bool, span: &Span, at: Place) {
        let empty = text.is_empty() || plain && matches!(plain_value(text), Value::Null);
        let usable = !empty;
        let mut kept = usable.then(|| text.to_owned());
        if !usable {
            let problem = Problem::error("HO0112", &at, "a key must be a text, but this one is empty");
            self.problems.push(problem.hint("write `key: value`"));
        } else if let Some((what, hint)) = secrets::is_secret_value(text) {
            self.hide(span);
            let at = Place { length: MASK.len(), ..at.clone() };
            self.problems.push(Problem::error("HO0114", &at, format!("a key holds {what}")).hint(hint));
            kept = None;
        } else if self.wraps(secrets::is_secret_key) && !matches!(text, "env" | "file") {
            // `password: {hunter2: }` is not far from `password: {env: X}`.
            self.hide(span);
            let message = format!("`{}` must say where the secret is", self.owner().unwrap_or_default());
            let at = Place { length: MASK.len(), ..at.clone() };
            self.problems.push(Problem::error("HO0115", &at, message).hint(secrets::REFERENCE));
            kept = None;
        } else if self.wraps(secrets::resembles_secret_key) && !matches!(text, "env" | "file") {
            // The mistyped key will be reported as unknown: here it matters only that nothing below it is shown.
            self.hide(span);
            kept = None;
        }
        if let Some(Frame::Map { key, refused, .. }) = self.stack.last_mut() {
            *refused |= kept.is_none();
            *key = Some(Key { text: kept, at });
        }
    }

    /// Whether the map being read is the value of a secret's key, and not a credential, a service or an entry that is merely
    /// called `token`.
    fn wraps(&self, secret: fn(&str) -> bool) -> bool {
        self.stack.len() >= 4
            && self.owner().is_some_and(secret)
            && !matches!(self.grand_owner(), Some("entries" | "fields"))
    }

    /// Whether this scalar is to be hidden; with message and hint if it is a secret in the clear for certain.
    #[expect(clippy::option_option, reason = "hidden or not, and told or not")]
    fn secret(&self, text: &str, value: &Value) -> Option<Option<(String, &'static str)>> {
        if matches!(value, Value::Null) || text.is_empty() {
            return None;
        }
        if let Some((what, hint)) = secrets::is_secret_value(text) {
            let message = match self.owner() {
                Some(key) => format!("`{key}` holds {what}"),
                None => format!("this is {what}"),
            };
            return Some(Some((message, hint)));
        }
        let key = self.owner()?;
        // Under `fields` stand names of fields, `password: SMTP_PASSWORD`; and `{env: X}`, `{file: X}` are references.
        if self.grand_owner() == Some("fields") {
            return None;
        }
        if secrets::is_secret_key(key) {
            return Some(Some((format!("`{key}` holds a secret in the clear"), secrets::REFERENCE)));
        }
        // A key that nobody knows will be reported as such: here it matters only that its value is not shown.
        secrets::resembles_secret_key(key).then_some(None)
    }

    /// The key whose value is being read; for an item of a list, the key of the list.
    fn owner(&self) -> Option<&str> {
        self.keys().next()
    }

    fn grand_owner(&self) -> Option<&str> {
        self.keys().nth(1)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.stack.iter().rev().filter_map(|frame| match frame {
            Frame::Map { key: Some(Key { text: Some(text), .. }), .. } => Some(text.as_str()),
            _ => None,
        })
    }

    /// Whether the value being read belongs to a key that was refused: then it is not shown either.
    fn drops_value(&self) -> bool {
        self.stack.iter().any(|frame| matches!(frame, Frame::Map { key: Some(Key { text: None, .. }), .. }))
    }

    fn hide(&mut self, span: &Span) {
        let (from, to) = (span.start, span.end);
        self.hidden.push(Hidden { from: (from.line(), from.col() + 1), to: (to.line(), to.col() + 1) });
    }

    fn open(&mut self, frame: Frame, at: &Place) -> bool {
        if self.stack.len() >= MOST_DEPTH {
            let message = format!("nested deeper than {MOST_DEPTH} levels");
            self.problems.push(Problem::error("HO0105", at, message).hint("nothing in these files needs more than eight"));
            return false;
        }
        if let Some(Frame::Map { key: None, .. }) = self.stack.last() {
            let problem = Problem::error("HO0112", at, "a key must be a text, but this one is a map or a list");
            self.problems.push(problem.hint("a text that begins with `{` or `[` stands in quotes"));
        }
        self.stack.push(frame);
        true
    }

    fn close(&mut self) {
        let node = match self.stack.pop() {
            Some(Frame::List(at, items)) => Node { value: Value::List(items), at },
            Some(Frame::Map { at, pairs, refused: true, .. }) if pairs.is_empty() => Node { value: Value::Hidden, at },
            Some(Frame::Map { at, pairs, .. }) => Node { value: Value::Map(pairs), at },
            None => return,
        };
        self.add(node);
    }

    fn add(&mut self, node: Node) {
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Frame::List(_, items)) => items.push(node),
            Some(Frame::Map { pairs, seen, key, .. }) => {
                let Some(Key { text, at }) = key.take() else {
                    // A key that is no text has just been read whole; its value comes next and is dropped.
                    *key = Some(Key { text: None, at: node.at });
                    return;
                };
                let Some(text) = text else { return };
                if let Some(first) = seen.get(&text) {
                    let problem = Problem::error("HO0107", &at, format!("`{text}` stands twice in one map"));
                    self.problems.push(problem.related(first, "first here").hint("keep one of the two"));
                    return;
                }
                seen.insert(text.clone(), at.clone());
                pairs.push(Pair { key: text, key_at: at, value: node });
            }
        }
    }
}

/// A map or a list is pointed at by its first character.
fn short(at: Place) -> Place {
    Place { length: 1, ..at }
}

fn plain_value(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if is_number(text) => Value::Number(text.to_owned()),
        _ => Value::Text(text.to_owned()),
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if let Some(hex) = digits.strip_prefix("0x") {
        return !hex.is_empty() && hex.chars().all(|c| c.is_ascii_hexdigit());
    }
    if let Some(octal) = digits.strip_prefix("0o") {
        return !octal.is_empty() && octal.chars().all(|c| c.is_digit(8));
    }
    matches!(digits, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN")
        || (digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') && digits.parse::<f64>().is_ok())
}

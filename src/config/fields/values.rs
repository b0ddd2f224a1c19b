//! How `Fields` reads single values, and what it says about those that it cannot take.

use std::ops::RangeInclusive;

use handover_rotation::name::NameError;
use handover_rotation::time::Span;

use super::Fields;
use crate::config::diagnostic::Problem;
use crate::config::duration;
use crate::config::inventory::SecretRef;
use crate::config::node::{Node, Pair, Value};
use crate::config::suggest;

impl<'n> Fields<'n> {
    pub(super) fn text(&mut self, key: &str, node: &Node) -> Option<String> {
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

    pub(super) fn name<T: TryFrom<String, Error = NameError>>(&mut self, key: &str, node: &Node) -> Option<T> {
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

    pub(super) fn choice<T: Clone>(&mut self, key: &str, node: &Node, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(key, node)?;
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(value.clone());
        }
        let hint = suggest::hint(&text, choices.iter().map(|(word, _)| *word));
        self.problems.push(Problem::error("HO0113", &node.at, format!("`{key}` cannot be `{text}`")).hint(hint));
        None
    }

    pub(super) fn int(&mut self, key: &str, node: &Node, range: RangeInclusive<i64>) -> Option<i64> {
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
            _ => self.wrong(key, node, &wanted, "write it in digits, without quotes"),
        }
    }

    pub(super) fn duration(&mut self, key: &str, node: &Node, range: RangeInclusive<Span>) -> Option<Span> {
        let text = match &node.value {
            Value::Number(raw) => raw.clone(),
            _ => self.text(key, node)?,
        };
        let (message, hint) = match duration::parse(&text) {
            Ok(span) if range.contains(&span) => return Some(span),
            Ok(span) if span < *range.start() => {
                (format!("`{key}` is too short: {text}"), format!("at least {}", range.start()))
            }
            Ok(_) => (format!("`{key}` is too long: {text}"), format!("at most {}", range.end())),
            Err(why) => (
                format!("`{key}`: `{text}` {why}"),
                "write a number with its unit: `90s`, `30m`, `4h`, `1d`, `1m30s`".to_owned(),
            ),
        };
        self.problems.push(Problem::error("HO0113", &node.at, message).hint(hint));
        None
    }

    pub(super) fn texts(&mut self, what: String, node: &Node) -> Option<Vec<String>> {
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

    pub(super) fn secret(&mut self, key: &str, pair: &'n Pair) -> Option<SecretRef> {
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

    pub(super) fn url(&mut self, key: &str, node: &Node) -> Option<reqwest::Url> {
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

    pub(super) fn wrong<T>(&mut self, key: &str, node: &Node, wanted: &str, hint: &str) -> Option<T> {
        if !matches!(node.value, Value::Hidden) {
            let message = format!("`{key}` must be {wanted}, but is {}", node.describe());
            self.problems.push(Problem::error("HO0112", &node.at, message).hint(hint));
        }
        None
    }
}

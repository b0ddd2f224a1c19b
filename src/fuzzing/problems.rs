//! What problems of configuration files must be, whatever the file: each has a place in it, a code with a page, and words that
//! are calm and hold no planted secret.

use super::{assert_calm, below, panic_at};
use crate::config::{Problem, Problems};
use crate::explain;

/// No word of any file or message.
const SECRET: &str = "Qz7hunter2wX9";

const KEYS: [&str; 8] =
    ["password", "api_key", "secret_id", "client-secret", "Token", "smtp_password", "passwrod", "authorization"];

/// Asserts what holds for problems of this one file. `shown` is what a person is shown besides: a warning is as bad as an error.
pub(super) fn check(text: &str, problems: &Problems) {
    assert!(!problems.is_empty(), "it fails without a problem");
    for problem in problems.iter() {
        let Problem { file, line, column, code, .. } = problem;
        inside(text, file, *line, *column, &problem.message);
        for related in &problem.related {
            inside(text, &related.file, related.line, related.column, &related.message);
        }
        assert!(explain::page(code).is_some(), "{code} has no page");
        assert!(!problem.message.trim().is_empty() && problem.message.chars().count() <= 1000);
    }
    assert_calm("problems", &problems.render(false));
    // In colour they differ by what is put around them: that takes as long again, and is tried now and then.
    assert!(below(text.as_bytes(), 4, 8) != 0 || !problems.render(true).is_empty());
}

fn inside(text: &str, file: &str, line: usize, column: usize, message: &str) {
    assert!(file.ends_with(".yaml"), "{file}");
    // As YAML counts them.
    let text = text.replace("\r\n", "\n");
    let lines: Vec<&str> = text.split(['\n', '\r']).collect();
    let Some(found) = line.checked_sub(1).and_then(|i| lines.get(i)) else {
        panic_at("a problem", &format!("is at {line}:{column} of {} lines: {message}", lines.len()));
    };
    let width = found.chars().count();
    assert!((1..=width + 1).contains(&column), "{line}:{column} of {width} characters: {message}");
}

/// `text` with a secret in the clear under a key that says so, on a line of its own.
///
/// No map under that key: a credential may be called `token`. And no `fields` around it: what stands there are names.
pub(super) fn planted(text: &str) -> String {
    let text = &text.replace("fields", "others");
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let at = below(text.as_bytes(), 1, lines.len() + 1);
    let near = lines.get(at).or_else(|| lines.last()).copied().unwrap_or_default();
    let indent: String = near.chars().take_while(|c| *c == ' ').collect();
    let key = KEYS[below(text.as_bytes(), 2, KEYS.len())];
    let line = match below(text.as_bytes(), 3, 5) {
        0 => format!("{indent}{key}: {SECRET}\n"),
        1 => format!("{indent}{key}: \"{SECRET}\"\n"),
        2 => format!("{indent}{key}: '{SECRET}'\n"),
        3 => format!("{indent}{key}: |\n{indent}  {SECRET}\n"),
        _ => format!("{indent}{key}: [{SECRET}, {SECRET}]\n"),
    };
    let mut out: String = lines[..at].concat();
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    out.push_str(&line);
    out.push_str(&lines[at..].concat());
    out
}

/// Asserts that nothing that is shown holds the planted secret.
pub(super) fn assert_hidden(text: &str, problems: &Problems) {
    for shown in [problems.render(false), serde_json::to_string(problems).unwrap_or_default(), format!("{problems:?}")] {
        assert!(!shown.contains(SECRET), "a secret in the clear is shown:\n{shown}\nof\n{text}");
    }
}

//! What an alert tells, in one form for all sources and file formats.

use crate::marks::Mark;
use crate::secret::Secret;

/// The most raw values that a report keeps: the value itself, and what may be the secret inside of it.
pub const MOST_RAW: usize = 64;

/// The longest reference and address that are kept, in characters.
const MOST_TEXT: usize = 512;

/// What stands for a secret in a text.
const STARS: &str = "***";

/// Shorter values, and words of letters alone up to the second length, stand in a path by chance.
const LEAST_MASKED: usize = 6;
const LEAST_MASKED_WORD: usize = 16;

/// One secret that leaked, or was said to.
pub struct Report {
    /// Name of the source in the inventory, or the file.
    pub source: String,
    /// What it is called there: incident id, `owner/repository#number`, place of a finding. Printable, without secrets.
    pub reference: String,
    /// Where a person can see it: `http` or `https`, without login, query and fragment.
    pub url: Option<String>,
    /// When it was first exposed, or found at the latest, in milliseconds since the Unix epoch, if the source tells.
    pub exposed_ms: Option<u64>,
    /// What the secret is known by.
    pub marks: Vec<Mark>,
    /// Raw values, one of which may be the secret: to be hashed by [`crate::marks::of_leaked`] and dropped at once.
    pub raw: Vec<Secret>,
    /// The source only tells that it was resolved, ignored or revoked: noted, nothing is contained.
    pub closing: bool,
    /// The source only suspects: people are told, nothing is contained.
    pub suspected: bool,
    /// It came without marks and raw values, and the source can be asked for them by [`crate::alerts::Source::look`].
    pub look: bool,
}

impl Report {
    /// A report of `source` about what is called `reference` there. Control characters of both are escaped.
    #[must_use]
    pub fn new(source: &str, reference: &str) -> Self {
        Self {
            source: printable(source),
            reference: printable(reference),
            url: None,
            exposed_ms: None,
            marks: Vec::new(),
            raw: Vec::new(),
            closing: false,
            suspected: false,
            look: false,
        }
    }

    /// With the address where a person can see it; one that is no such is left out.
    #[must_use]
    pub fn url(mut self, url: Option<&str>) -> Self {
        self.url = url.and_then(clean_url);
        self.mask();
        self
    }

    /// With the time of the first exposure.
    #[must_use]
    pub fn exposed(mut self, at_ms: Option<u64>) -> Self {
        self.exposed_ms = at_ms;
        self
    }

    /// With one more mark, if it is one.
    #[must_use]
    pub fn mark(mut self, mark: Option<Mark>) -> Self {
        if let Some(mark) = mark.filter(|m| !self.marks.contains(m)) {
            self.marks.push(mark);
        }
        self
    }

    /// With values one of which may be the secret, as many as [`MOST_RAW`] of them. Where one of them stands in the reference or
    /// the address as well, such as in the name of a file, it is masked there.
    #[must_use]
    pub fn raw(mut self, values: Vec<Secret>) -> Self {
        for value in values {
            if self.raw.len() < MOST_RAW && !value.expose().is_empty() && !self.raw.iter().any(|r| r.matches(&value)) {
                self.raw.push(value);
            }
        }
        self.mask();
        self
    }

    fn mask(&mut self) {
        let telling =
            |v: &&str| v.len() >= LEAST_MASKED && v.chars().any(|c| !c.is_alphabetic()) || v.len() >= LEAST_MASKED_WORD;
        for value in self.raw.iter().map(Secret::expose).filter(telling) {
            // As it stands in a text that was made printable.
            for form in [value.to_owned(), printable(value)] {
                self.reference = self.reference.replace(&form, STARS);
                self.url = self.url.take().map(|url| url.replace(&form, STARS));
            }
        }
    }
}

/// A text that steers no terminal: control characters and those that turn the direction of writing are escaped, and a long one is
/// cut.
#[must_use]
pub(super) fn printable(text: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut shown = String::new();
    for (at, c) in text.chars().enumerate() {
        if at == MOST_TEXT {
            shown.push('…');
            break;
        }
        match c.is_control() || turns(c) {
            true => shown.extend(c.escape_unicode()),
            false => shown.push(c),
        }
    }
    shown
}

fn clean_url(text: &str) -> Option<String> {
    let mut url = reqwest::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    url.set_query(None);
    url.set_fragment(None);
    let text = url.to_string();
    (text.len() <= MOST_TEXT).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[test]
    fn what_is_shown_of_a_report_steers_no_terminal_and_shows_no_secret() {
        let report = Report::new("scan\u{1b}[2J", "src/hunter2-hunter2/a\nb\u{202e}c:4")
            .url(Some("https://joe:pw@example.com/x/hunter2-hunter2?token=abc#y"))
            .raw(vec![secret("hunter2-hunter2"), secret("b"), secret("example"), secret("")]);
        assert_eq!(report.source, "scan\\u{1b}[2J");
        assert_eq!(report.reference, "src/***/a\\u{a}b\\u{202e}c:4");
        assert_eq!(report.url.as_deref(), Some("https://example.com/x/***"));
        assert_eq!(report.raw.len(), 3);
        let late = Report::new("a", "b").raw(vec![secret("hunter2-hunter2")]).url(Some("https://e.com/hunter2-hunter2"));
        assert_eq!(late.url.as_deref(), Some("https://e.com/***"));
    }

    #[test]
    fn a_report_keeps_a_bounded_number_of_values_once_each() {
        let values = (0..200).map(|i| secret(&format!("value-{}", i / 2))).collect();
        assert_eq!(Report::new("a", "b").raw(values).raw.len(), MOST_RAW);
        let long = Report::new("a", &"x".repeat(10_000));
        assert_eq!(long.reference.chars().count(), MOST_TEXT + 1);
    }

    #[test]
    fn only_web_addresses_are_shown() {
        for bad in ["javascript:alert(1)", "file:///etc/passwd", "not a url", "", "data:text/html,x", "ftp://e.com"] {
            assert_eq!(Report::new("a", "b").url(Some(bad)).url, None, "{bad}");
        }
    }
}

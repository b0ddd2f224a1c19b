//! Replies of an SMTP server: lines in, one checked reply out. Pure, because a reply is the least trusted thing that the
//! mail room reads: sizes are capped, control characters are escaped, and no input makes it panic.

use std::fmt::{self, Write as _};

/// The longest line that is read, without its end. RFC 4954 lets an AUTH challenge be this long.
pub(super) const MOST_LINE: usize = 12_288;
/// The most lines of one reply.
const MOST_LINES: usize = 128;
/// The most text of one reply.
const MOST_TEXT: usize = 64 * 1024;

/// An enhanced status code (RFC 3463), such as `5.7.8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Enhanced(pub(super) u16, pub(super) u16, pub(super) u16);

impl fmt::Display for Enhanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// One reply. Its text has no control character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// 200 to 599.
    pub(super) code: u16,
    /// The enhanced status code, if the first line begins with one of the same class.
    pub(super) enhanced: Option<Enhanced>,
    /// The text of each line, after the code and, where there is one, the enhanced code.
    pub(super) lines: Vec<String>,
}

impl Reply {
    /// Code, enhanced code and text in one line of at most `most` characters.
    pub(super) fn summary(&self, most: usize) -> String {
        let mut text = self.code.to_string();
        if let Some(enhanced) = self.enhanced {
            _ = write!(text, " {enhanced}");
        }
        for line in self.lines.iter().filter(|l| !l.is_empty()) {
            text.push(' ');
            text.push_str(line);
        }
        if text.chars().count() > most {
            text = text.chars().take(most.saturating_sub(1)).collect();
            text.push('…');
        }
        text
    }

    /// The whole text in lower case, to look for words in.
    pub(super) fn words(&self) -> String {
        self.lines.join(" ").to_lowercase()
    }
}

/// Why bytes are not a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReplyError {
    /// A line that does not begin with a code from 200 to 599.
    #[error("a line of the answer does not begin with a reply code")]
    NoCode,
    /// Lines of one reply with different codes.
    #[error("the lines of one answer have different reply codes")]
    Mixed,
    /// Over a cap.
    #[error("the answer is longer than any honest answer")]
    TooLong,
}

/// Puts the lines of one reply together.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    code: Option<u16>,
    enhanced: Option<Enhanced>,
    lines: Vec<String>,
    text: usize,
}

impl Assembler {
    /// Takes one line without its end; the reply, if this was its last line.
    pub(super) fn push(&mut self, line: &[u8]) -> Result<Option<Reply>, ReplyError> {
        let (digits, rest) = line.split_at_checked(3).ok_or(ReplyError::NoCode)?;
        let code = match digits {
            [a @ b'2'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
                u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
            }
            _ => return Err(ReplyError::NoCode),
        };
        let (last, text) = match rest {
            [] => (true, rest),
            [b' ', text @ ..] => (true, text),
            [b'-', text @ ..] => (false, text),
            _ => return Err(ReplyError::NoCode),
        };
        if self.code.is_some_and(|first| first != code) {
            return Err(ReplyError::Mixed);
        }
        self.text = self.text.saturating_add(text.len());
        if self.lines.len() >= MOST_LINES || self.text > MOST_TEXT || line.len() > MOST_LINE {
            return Err(ReplyError::TooLong);
        }
        let (enhanced, text) = split_enhanced(code, text);
        if self.lines.is_empty() {
            self.enhanced = enhanced;
        }
        self.code = Some(code);
        self.lines.push(escape(text));
        Ok(last.then(|| Reply { code, enhanced: self.enhanced, lines: std::mem::take(&mut self.lines) }))
    }
}

/// The enhanced code at the beginning of a line's text, and what follows it. RFC 2034: its class is the code's first digit.
fn split_enhanced(code: u16, text: &[u8]) -> (Option<Enhanced>, &[u8]) {
    let end = text.iter().position(|b| *b == b' ').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let mut parts = word.split(|b| *b == b'.').map(number);
    let found = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(Some(class)), Some(Some(subject)), Some(Some(detail)), None) if class == code / 100 => {
            Enhanced(class, subject, detail)
        }
        _ => return (None, text),
    };
    (Some(found), rest.strip_prefix(b" ").unwrap_or(rest))
}

fn number(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 3 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |sum, d| sum * 10 + u16::from(d - b'0')))
}

/// Text that is safe in a terminal, a log and a page: control characters, line ends and the characters that turn the
/// direction of writing are shown as escapes (threats T8, T19).
pub(super) fn escape(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}');
        if c.is_control() || turns {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Assembler, Enhanced, MOST_LINE, Reply, ReplyError, escape};

    fn parse(lines: &[&[u8]]) -> Result<Option<Reply>, ReplyError> {
        let mut assembler = Assembler::default();
        let mut last = None;
        for line in lines {
            last = assembler.push(line)?;
        }
        Ok(last)
    }

    fn reply(code: u16, enhanced: Option<Enhanced>, lines: &[&str]) -> Reply {
        Reply { code, enhanced, lines: lines.iter().map(|l| (*l).to_owned()).collect() }
    }

    #[test]
    fn whole_replies() {
        let table: [(&[&[u8]], Reply); 9] = [
            (&[b"250 ok"], reply(250, None, &["ok"])),
            (&[b"250"], reply(250, None, &[""])),
            (&[b"334 "], reply(334, None, &[""])),
            (&[b"235 2.7.0 welcome"], reply(235, Some(Enhanced(2, 7, 0)), &["welcome"])),
            (&[b"535-5.7.8 no,", b"535 5.7.8 really"], reply(535, Some(Enhanced(5, 7, 8)), &["no,", "really"])),
            // The class must be the code's: this is a version number, not a status.
            (&[b"250 1.2.3 is our version"], reply(250, None, &["1.2.3 is our version"])),
            (&[b"454 4.7.0"], reply(454, Some(Enhanced(4, 7, 0)), &[""])),
            (&[b"550 5.7.1234 x"], reply(550, None, &["5.7.1234 x"])),
            (&[b"250-relay", b"250-AUTH PLAIN", b"250 STARTTLS"], reply(250, None, &["relay", "AUTH PLAIN", "STARTTLS"])),
        ];
        for (lines, want) in table {
            assert_eq!(parse(lines), Ok(Some(want)));
        }
    }

    #[test]
    fn broken_replies() {
        let long = vec![b'x'; MOST_LINE];
        let long_line: Vec<u8> = [b"250 ".as_slice(), &long].concat();
        let table: [(&[&[u8]], ReplyError); 8] = [
            (&[b""], ReplyError::NoCode),
            (&[b"25"], ReplyError::NoCode),
            (&[b"199 x"], ReplyError::NoCode),
            (&[b"600 x"], ReplyError::NoCode),
            (&[b"2500 x"], ReplyError::NoCode),
            (&[b"\xff\xfe\xfd x"], ReplyError::NoCode),
            (&[b"250-x", b"251 y"], ReplyError::Mixed),
            (&[&long_line], ReplyError::TooLong),
        ];
        for (lines, want) in table {
            assert_eq!(parse(lines), Err(want));
        }
        let many: Vec<&[u8]> = vec![b"250-x"; 200];
        assert_eq!(parse(&many), Err(ReplyError::TooLong));
    }

    #[test]
    fn text_is_made_safe() {
        let table: [(&[u8], &str); 7] = [
            (b"plain", "plain"),
            ("x\u{61c}y".as_bytes(), "x\\u{61c}y"),
            (b"\x1b[2Jgone", "\\u{1b}[2Jgone"),
            (b"a\rb\nc\0d", "a\\rb\\nc\\u{0}d"),
            ("x\u{202e}y".as_bytes(), "x\\u{202e}y"),
            ("gr\u{fc}n".as_bytes(), "gr\u{fc}n"),
            (b"\xff", "\u{fffd}"),
        ];
        for (bytes, want) in table {
            assert_eq!(escape(bytes), want);
        }
    }

    #[test]
    fn a_summary_is_one_short_line() {
        let long = reply(535, Some(Enhanced(5, 7, 8)), &["no", "", &"x".repeat(500)]);
        assert_eq!(long.summary(20), "535 5.7.8 no xxxxxx…");
    }

    proptest! {
        #[test]
        fn no_input_panics_or_leaves_a_control_character(lines in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..40), 0..8))
        {
            let mut assembler = Assembler::default();
            for line in &lines {
                if let Ok(Some(reply)) = assembler.push(line) {
                    prop_assert!((200..600).contains(&reply.code));
                    prop_assert!(!reply.summary(100).chars().any(char::is_control));
                }
            }
        }

        #[test]
        fn any_text_after_a_code_is_kept_safe(code in 200u16..600, text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let line = [format!("{code} ").as_bytes(), &text].concat();
            let reply = Assembler::default().push(&line);
            prop_assert!(matches!(reply, Ok(Some(r)) if r.code == code && !r.words().chars().any(char::is_control)));
        }
    }
}

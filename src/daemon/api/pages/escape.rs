//! How text comes into a page: escaped for HTML, and with characters that deceive the eye written out (threat T19). Templates that
//! end in `.page` cannot leave it out: `askama.toml` names this as their escaper.

use std::fmt::{self, Write};

use askama::filters::Escaper;

use crate::view::style::visible;

/// Escapes for HTML, and makes visible.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visible;

impl Escaper for Visible {
    fn write_escaped_str<W: Write>(&self, mut dest: W, string: &str) -> fmt::Result {
        for c in visible(string).chars() {
            match c {
                '&' => dest.write_str("&amp;")?,
                '<' => dest.write_str("&lt;")?,
                '>' => dest.write_str("&gt;")?,
                '"' => dest.write_str("&quot;")?,
                '\'' => dest.write_str("&#39;")?,
                c => dest.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t19_text_can_neither_leave_its_place_nor_deceive() {
        let mut out = String::new();
        Visible.write_escaped_str(&mut out, "<b a='1' c=\"2\">&\u{1b}[2J\u{202e}evil\n").expect("it writes");
        assert_eq!(out, "&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;\\u{1b}[2J\\u{202e}evil\\u{a}");
    }
}

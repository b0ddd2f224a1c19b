//! Words that are safe wherever they are shown: cut to length, in one line, without characters that move a cursor or turn the
//! direction of writing (threat T19). Doing it twice changes nothing.

/// A text in one line of at most `most` characters.
pub(super) fn line(text: &str, most: usize) -> String {
    let mut out = String::with_capacity(text.len().min(most));
    for (n, c) in text.chars().enumerate() {
        if n + 1 == most && text.chars().nth(most).is_some() {
            out.push('…');
            break;
        }
        if n == most {
            break;
        }
        out.push(if c.is_control() || turns(c) { '\u{fffd}' } else { c });
    }
    out
}

/// Characters that turn the direction of writing, end a line, or are not seen at all.
fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// `a`, `a and b`, `a, b and 7 more`.
pub(super) fn some_of<T: std::fmt::Display>(names: impl IntoIterator<Item = T>, most: usize) -> String {
    let names: Vec<String> = names.into_iter().map(|n| n.to_string()).collect();
    match names.as_slice() {
        [] => "none".to_owned(),
        [one] => one.clone(),
        _ if names.len() > most => format!("{} and {} more", names[..most].join(", "), names.len() - most),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// `1 service`, `3 services`.
pub(super) fn count(n: usize, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::{line, some_of};

    #[test]
    fn words_are_cut_and_cleaned_once_and_for_all() {
        let table = [
            ("plain", 10, "plain"),
            ("ten chars!", 10, "ten chars!"),
            ("eleven char", 10, "eleven ch…"),
            ("a\r\nBcc: x\u{1b}[2J", 40, "a\u{fffd}\u{fffd}Bcc: x\u{fffd}[2J"),
            ("\u{202e}txt.exe\u{2066}\u{200b}", 40, "\u{fffd}txt.exe\u{fffd}\u{fffd}"),
            ("l\u{2028}s\u{85}\u{7f}\u{0}", 40, "l\u{fffd}s\u{fffd}\u{fffd}\u{fffd}"),
            ("", 4, ""),
            ("ü€😀x", 3, "ü€…"),
        ];
        for (text, most, want) in table {
            let once = line(text, most);
            assert_eq!(once, want);
            assert_eq!(line(&once, most), once);
        }
    }

    #[test]
    fn names_are_listed_as_a_person_would() {
        for (n, want) in [(0, "none"), (1, "0"), (2, "0 and 1"), (3, "0, 1 and 2"), (5, "0, 1, 2 and 2 more")] {
            assert_eq!(some_of(0..n, 3), want);
        }
    }
}

//! Whatever a server, a file or a person wrote is shown without anything that steers a terminal (threats T8, T19), and is not
//! made longer than an escape a character.

use handover_rotation::outcome::{Fault, FaultClass};

use super::{assert_calm, panic_at, steers};
use crate::config::Problem;
use crate::mail::doors::escape;
use crate::view::style::visible;

/// The longest escape: `\u{10ffff}`.
const LONGEST: usize = 10;

/// Runs one input.
pub(super) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for (what, shown) in [("visible", visible(&text)), ("escape", escape(data))] {
        if let Some(c) = shown.chars().find(|c| steers(*c)) {
            panic_at(what, &format!("lets {c:?} through"));
        }
        let most = text.chars().count() * LONGEST;
        assert!(shown.chars().count() <= most, "{what} makes {most} of {}", shown.len());
        assert_eq!(visible(&shown), shown, "{what} leaves nothing to escape");
        // Letters of all languages are not touched.
        if text.chars().all(|c| c.is_alphanumeric() || c == ' ') {
            assert_eq!(shown, text, "{what}");
        }
    }
    // To draw a problem takes a while, and longer ones are drawn like short ones.
    let short: String = text.chars().take(200).collect();
    let problem = Problem::of_file("HO0101", &short, short.as_str()).hint(short.as_str());
    assert_calm("a problem", &problem.render(false));
    assert!(problem.message.chars().count() <= 1000);
    let fault = Fault::new(FaultClass::Temporary, "HO0801", text.as_ref());
    assert!(!fault.message.chars().any(char::is_control), "{fault}");
    assert!(fault.message.chars().count() <= 600);
}

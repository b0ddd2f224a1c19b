//! An SMTP server that says anything: it is heard alike in whatever pieces its bytes come, what is kept is bounded and calm,
//! the password that it may repeat is never shown, and only a 535 or a 525 at the right moment speaks about the login.

use super::{below, panic_at, steers};
use crate::mail::doors::{Heard, PASSWORD, Said, smtp};

/// Runs one input: the bytes of the server.
pub(super) fn run(data: &[u8]) {
    let whole = smtp(&[data]);
    // One by one, unless there are so many that a look at them would take all the time.
    let bytes: Vec<&[u8]> = data.chunks(data.len() / 1024 + 1).collect();
    assert_eq!(smtp(&bytes), whole, "byte by byte");
    let (head, tail) = data.split_at(below(data, 1, data.len() + 1));
    assert_eq!(smtp(&[head, tail]), whole, "in two pieces, {} and {} bytes", head.len(), tail.len());
    check(&whole);
}

fn check(heard: &Heard) {
    for Said { phase, code, class, enhanced, lines } in &heard.replies {
        assert!((200..600).contains(code), "{code}");
        let may_refuse = matches!(code, 525 | 535) && !matches!(*phase, "the greeting" | "EHLO" | "STARTTLS");
        assert!(class != "Refused" || may_refuse, "{code} at {phase} refuses the login");
        assert!(class != "Accepted" || (200..400).contains(code), "{code} at {phase} accepts");
        assert!(*phase != "AUTH" || (class == "Accepted") == (*code == 235), "{code} at AUTH is {class}");
        assert!(enhanced.as_ref().is_none_or(|e| e.starts_with(&format!("{}.", code / 100))), "{enhanced:?} of {code}");
        assert!(!lines.is_empty() && lines.len() <= 128, "{} lines", lines.len());
        assert!(lines.iter().map(String::len).sum::<usize>() <= 12 * 64 * 1024);
    }
    let one_line = heard.summaries.iter().chain(&heard.transcript).chain([&heard.end]);
    for shown in one_line.chain(heard.replies.iter().flat_map(|r| &r.lines)) {
        if shown.chars().any(steers) {
            panic_at("what the server said", &format!("is shown as {shown:?}"));
        }
        assert!(!shown.contains(PASSWORD), "the password is shown: {shown}");
    }
    assert!(heard.summaries.iter().all(|s| s.chars().count() <= 240));
    assert!(heard.transcript.len() <= 200 && heard.transcript.iter().all(|l| l.chars().count() <= 300));
    assert!(heard.end.chars().count() <= 700);
}

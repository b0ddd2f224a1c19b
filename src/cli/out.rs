//! The one place that writes to stdout and stderr, and that asks what they can show. Data goes to stdout, everything else to
//! stderr. A reader that has gone away is no error.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use handover_rotation::name::RotationId;
use handover_rotation::outcome::Fault;
use indicatif::MultiProgress;

use super::args::Global;
use super::failure::{Exit, Failure};
use super::flags;
use crate::view::Style;
use crate::view::style::{Zone, visible};

/// Writes text to stdout.
///
/// # Errors
/// When stdout cannot be written to, for another reason than a reader that has gone away.
pub fn data(text: &str) -> std::io::Result<()> {
    write(&mut std::io::stdout().lock(), text)
}

/// The board that is drawn on stderr now.
static BOARD: Mutex<Option<MultiProgress>> = Mutex::new(None);

/// Tells of the board that is drawn on stderr from now on, and of its end: what is written in between goes above it.
pub(super) fn draws(board: Option<&MultiProgress>) {
    *BOARD.lock().unwrap_or_else(PoisonError::into_inner) = board.cloned();
}

/// Writes text to stderr. That it cannot be written is not worth stopping for.
pub fn note(text: &str) {
    let board = BOARD.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let put = || drop(write(&mut std::io::stderr().lock(), text));
    match board {
        Some(board) => board.suspend(put),
        None => put(),
    }
}

fn write(to: &mut impl Write, text: &str) -> std::io::Result<()> {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    match to.write_all(text.as_bytes()).and_then(|()| to.write_all(end.as_bytes())).and_then(|()| to.flush()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Asks on stderr, without an end of line.
pub(super) fn prompt(text: &str) {
    let mut to = std::io::stderr().lock();
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}

/// Tells why a command did not end well: words on stderr, with `--json` one object on stdout. Commands in its hint get the flags
/// that were given, here and nowhere else.
pub(super) fn failure(failure: &Failure, global: &Global) {
    tell(failure, None, global);
}

fn tell(failure: &Failure, stopped: Option<(Exit, &RotationId)>, global: &Global) {
    let json = global.json;
    match failure {
        Failure::Stopped(exit, rotation, failure) => tell(failure, Some((*exit, rotation)), global),
        Failure::Problems(problems) if json => {
            for problem in problems.iter() {
                let _ = data(&serde_json::to_string(problem).unwrap_or_default());
            }
        }
        Failure::Problems(problems) => note(&problems.render(stderr_style().colour)),
        Failure::Fault(exit, fault) => told(*exit, stopped, fault, &[], global),
        Failure::Refusal(refusal) => told(Exit::Refused, stopped, &refusal.fault, &refusal.details, global),
    }
}

fn told(exit: Exit, stopped: Option<(Exit, &RotationId)>, fault: &Fault, details: &[String], global: &Global) {
    let mut fault = fault.clone();
    fault.hint = fault.hint.map(|hint| flags::repeat(global, &hint));
    if global.json {
        let exit = stopped.map_or(exit, |(exit, _)| exit);
        let outcome = if exit == Exit::Refused { "refused" } else { "error" };
        let mut line = serde_json::json!({"event": "finished", "outcome": outcome, "exit": exit as u8, "fault": fault});
        if let Some((_, rotation)) = stopped {
            line["rotation"] = rotation.as_str().into();
        }
        if !details.is_empty() {
            line["details"] = details.into();
        }
        let _ = data(&line.to_string());
        return;
    }
    note(&format!("error: {}", visible(&fault.to_string())));
    for detail in details {
        note(&format!("  {}", visible(detail)));
    }
    if let Some(hint) = &fault.hint {
        note(&format!("hint: {}", visible(hint)));
    }
    note(&format!("more: handover explain {}", fault.code));
}

/// Whether a person looks at stderr.
#[must_use]
pub fn is_watched() -> bool {
    std::io::stderr().is_terminal() && variable("TERM") != Some("dumb".into())
}

/// What stdout can show.
#[must_use]
pub fn stdout_style() -> Style {
    let terminal = std::io::stdout().is_terminal();
    style(terminal, terminal.then(|| rustix::termios::tcgetwinsize(std::io::stdout()).ok()).flatten())
}

/// What stderr can show.
#[must_use]
pub fn stderr_style() -> Style {
    let terminal = std::io::stderr().is_terminal();
    style(terminal, terminal.then(|| rustix::termios::tcgetwinsize(std::io::stderr()).ok()).flatten())
}

fn style(terminal: bool, size: Option<rustix::termios::Winsize>) -> Style {
    let dumb = variable("TERM") == Some("dumb".into());
    let colour = terminal && !dumb && variable("NO_COLOR").is_none();
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| variable(name)).unwrap_or_default();
    let locale = locale.to_lowercase();
    let unicode = (locale.contains("utf-8") || locale.contains("utf8")) && !dumb;
    let width = size.map_or(80, |s| usize::from(s.ws_col)).clamp(60, 120);
    Style { colour, unicode, width: if terminal { width } else { 80 }, zone: Zone::Local }
}

/// A variable that is set and not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Gone(std::io::ErrorKind);

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_no_error_and_a_full_disk_is() {
        assert!(write(&mut Gone(std::io::ErrorKind::BrokenPipe), "x").is_ok());
        assert!(write(&mut Gone(std::io::ErrorKind::StorageFull), "x").is_err());
        let mut text = Vec::new();
        write(&mut text, "x").expect("a vector");
        write(&mut text, "y\n").expect("a vector");
        assert_eq!(text, b"x\ny\n");
    }
}

//! A password that is typed at a terminal and not shown, as it is typed or pasted, up to the end of a line.
//!
//! The terminal gives every key as it comes, and sends no signals for them: a `Ctrl-C` that ended the process would leave the terminal
//! without an echo. However this ends, the terminal is as it was.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// How it ended.
pub(super) enum Typed {
    /// A line, without its end.
    Line(Zeroizing<Vec<u8>>),
    /// They gave up.
    GivenUp,
}

/// Puts the terminal back.
struct Quiet {
    terminal: OwnedFd,
    before: Termios,
}

impl Quiet {
    fn begin(terminal: OwnedFd) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(
            LocalModes::ECHO
                | LocalModes::ECHOE
                | LocalModes::ECHOK
                | LocalModes::ECHONL
                | LocalModes::ICANON
                | LocalModes::ISIG
                | LocalModes::IEXTEN,
        );
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        let guard = Self { terminal, before };
        // What was typed before it was asked for was shown: it is none of the password.
        tcsetattr(&guard.terminal, OptionalActions::Flush, &quiet)?;
        Ok(guard)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

/// Reads a line from the terminal on standard input. `ask` is called once nothing is shown any more.
///
/// # Errors
/// Standard input is no terminal, or ends.
pub(super) fn password(most: usize, ask: impl FnOnce()) -> io::Result<Typed> {
    let stdin = io::stdin();
    let terminal = stdin.as_fd().try_clone_to_owned()?;
    // Its own buffer would keep a copy.
    let keys = File::from(terminal.try_clone()?);
    let quiet = Quiet::begin(terminal)?;
    ask();
    let typed = line(keys, most);
    drop(quiet);
    typed
}

fn line(mut keys: impl Read, most: usize) -> io::Result<Typed> {
    // Room for all of it at once: growing would leave copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(most + 1));
    let mut key = Zeroizing::new([0_u8; 1]);
    loop {
        match keys.read(&mut *key) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        match key[0] {
            b'\r' | b'\n' => return Ok(Typed::Line(text)),
            // Ctrl-C, Ctrl-\; Ctrl-D where nothing was typed.
            0x03 | 0x1c => return Ok(Typed::GivenUp),
            0x04 if text.is_empty() => return Ok(Typed::GivenUp),
            0x04 => return Ok(Typed::Line(text)),
            // Backspace takes a whole letter, Ctrl-U all of them.
            0x08 | 0x7f => while text.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            0x15 => {
                let bytes: &mut [u8] = &mut text;
                bytes.fill(0);
                text.clear();
            }
            byte if text.len() <= most => text.push(byte),
            // What is too long is told of in the end.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_taken_as_a_terminal_would() {
        for (keys, want) in [
            (&b"secret\n"[..], Some(&b"secret"[..])),
            (b"secret\r", Some(b"secret")),
            (b" s p \n", Some(b" s p ")),
            (b"secrex\x7ft\n", Some(b"secret")),
            ("p\u{e4}\x7fass\n".as_bytes(), Some(b"pass")),
            (b"\x7f\x08a\n", Some(b"a")),
            (b"wrong\x15right\n", Some(b"right")),
            (b"ab\x04", Some(b"ab")),
            (b"\n", Some(b"")),
            // One more than there may be, so that it is found too long.
            (b"1234567890\n", Some(b"123456789")),
            (b"sec\x03ret\n", None),
            (b"\x04", None),
            (b"\x1c", None),
        ] {
            match (line(keys, 8).expect("it reads"), want) {
                (Typed::Line(text), Some(want)) => assert_eq!(text.as_slice(), want, "{keys:?}"),
                (Typed::GivenUp, None) => {}
                _ => panic!("{keys:?}"),
            }
        }
        assert!(line(&b"no end"[..], 8).is_err(), "a terminal that is gone");
    }
}

//! `supply`: hands over the login that a person made where the provider has no API, and goes on with the rotation, or leaves it
//! with the process that runs it. The password is typed at a terminal that does not show it, or comes from a file or standard input,
//! never from arguments or the environment.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use handover_rotation::name::Username;
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::state::Rotation;
use zeroize::Zeroizing;

use super::args::SupplyArgs;
use super::context::{Context, find_rotation, read_rotation};
use super::done::{asks_for, leave_with};
use super::failure::{Exit, Failure};
use super::follow::{Show, follow};
use super::out;
use super::resume::{not_ended, ports_of, take};
use super::rotate::whoami;
use super::typed::Typed;
use crate::engine::Request;
use crate::engine::by_hand::{check, wanted};
use crate::secret::{Login, Secret};
use crate::view::style::visible;

/// More than any provider's password; a file that is longer is another file.
const LONGEST: u64 = 4096;

pub(super) async fn run(context: &Context, args: SupplyArgs) -> Result<Exit, Failure> {
    let engine = context.engine().await?;
    let header = find_rotation(engine.journal.as_ref(), &args.rotation).await?;
    let id = header.id;
    let (rotation, rows) = read_rotation(engine.journal.as_ref(), &id).await?;
    not_ended(&rotation)?;
    let Some(slot) = wanted(&rotation) else {
        let message = format!("rotation {id} asks for no new version");
        let fault = Fault::new(FaultClass::Permanent, "HO0474", message);
        return Err(Failure::new(Exit::Refused, fault.hint(asks_for(&rotation, &rows))));
    };
    let login = Login { username: name(&args.username)?, password: read(context, &args)? };
    let ports = ports_of(context, &rotation)?;
    let untried = check(&rotation, &ports, &login, &engine.sealer, |text| context.say(&visible(text)))
        .await
        .map_err(|fault| Failure::new(Exit::Refused, fault))?;
    if let Some(why) = untried {
        let text = format!("warning: {} could not be tried: {why}; it is tried before anything is moved", login.username);
        context.say(&visible(&text));
    }
    if header.holder.is_some() {
        let request = Request::supply(&engine.sealer, &id, slot, &login, whoami())?;
        let username = login.username;
        let taken = move |r: &Rotation| r.versions.get(&slot).is_some_and(|v| v.username.as_ref() == Some(&username));
        let exit = leave_with(context, &engine, &id, &request, "supplied", taken).await?;
        forget(context, args.password_file.as_deref());
        return Ok(exit);
    }
    let signals = context.signals();
    let mut runner = take(context, &engine, &id).await?;
    let mut show = Show::resumed(context, &runner).await?;
    runner.supply(slot, login, &whoami(), &mut show).await?;
    forget(context, args.password_file.as_deref());
    follow(context, runner, show, false, signals).await
}

/// What is not needed any more should not lie about.
fn forget(context: &Context, file: Option<&Path>) {
    if let Some(file) = file.filter(|file| *file != Path::new("-"))
        && !context.global.json
    {
        context.say(&visible(&format!("the password is sealed in the journal; {} can be deleted", file.display())));
    }
}

fn name(text: &str) -> Result<Username, Failure> {
    Username::new(text).map_err(|error| {
        let fault = Fault::new(FaultClass::Permanent, "HO0470", format!("{text:?} is not a login name: it {error}"));
        Failure::new(Exit::BadInput, fault.hint("give it as the provider shows it"))
    })
}

/// The password: typed, or in a file, `-` for standard input. One line end after it is not part of it.
fn read(context: &Context, args: &SupplyArgs) -> Result<Secret, Failure> {
    let refuse = |message: String, hint: &str| {
        Failure::new(Exit::BadInput, Fault::new(FaultClass::Permanent, "HO0469", message).hint(hint))
    };
    let stdin = args.password_file.as_deref().is_none_or(|path| path == Path::new("-"));
    if stdin && std::io::stdin().is_terminal() {
        if context.global.json || !std::io::stderr().is_terminal() {
            let hint =
                "put it into a file that only you can read, or pipe it from your password manager into `--password-file -`";
            return Err(refuse("nobody can be asked for the password: nothing of a prompt would be seen".to_owned(), hint));
        }
        return typed(&args.username).and_then(|bytes| {
            password(&bytes).map(Secret::new).map_err(|why| refuse(format!("what was typed {why}"), "type it again"))
        });
    }
    let Some(path) = &args.password_file else {
        let hint =
            "run it at a terminal, where it is asked for and not shown, or give `--password-file FILE`, or `-` for a pipe";
        return Err(refuse("there is no password, and no terminal to ask for it at".to_owned(), hint));
    };
    let what = if stdin { "standard input".to_owned() } else { path.display().to_string() };
    let unreadable =
        |e: std::io::Error| refuse(format!("the password cannot be read from {what}: {e}"), "name the file that holds it");
    let file = if stdin {
        // Its own buffer would keep a copy.
        File::from(std::io::stdin().as_fd().try_clone_to_owned().map_err(unreadable)?)
    } else {
        let file = File::open(path).map_err(unreadable)?;
        let meta = file.metadata().map_err(unreadable)?;
        if meta.is_file() && meta.permissions().mode() & 0o077 != 0 {
            context.say(&visible(&format!(
                "warning: others on this machine can read {what}: chmod 600 it, and delete it after"
            )));
        }
        file
    };
    // Room for all of it at once: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST as usize + 2));
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    password(&bytes)
        .map(Secret::new)
        .map_err(|why| refuse(format!("{what} {why}"), "it must hold the password and nothing else"))
}

/// What a person types who is asked for it.
fn typed(username: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let refuse = |message: String| {
        let fault = Fault::new(FaultClass::Permanent, "HO0469", message);
        Failure::new(Exit::BadInput, fault.hint("nothing was handed over: run it again"))
    };
    let question = visible(&format!("password of {username} (it is not shown): "));
    let typed = super::typed::password(LONGEST as usize, || out::prompt(&question));
    out::prompt("\n");
    match typed {
        Ok(Typed::Line(bytes)) => Ok(bytes),
        Ok(Typed::GivenUp) => Err(refuse("no password was given".to_owned())),
        Err(error) => Err(refuse(format!("the password cannot be read from the terminal: {error}"))),
    }
}

/// What a file holds, as a password. The error says what is wrong, and never what stands there.
fn password(bytes: &[u8]) -> Result<String, &'static str> {
    if bytes.len() as u64 > LONGEST {
        return Err("is too long for a password");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return Err("is not text") };
    let text = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    if text.is_empty() {
        return Err("is empty");
    }
    if text.contains(['\n', '\r']) {
        return Err("has more than one line");
    }
    if text.chars().any(char::is_control) {
        return Err("has a control character in it");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line_of_text() {
        for (bytes, want) in [
            (&b"s3cret"[..], Ok("s3cret")),
            (b"s3cret\n", Ok("s3cret")),
            (b"s3cret\r\n", Ok("s3cret")),
            (b" with spaces \n", Ok(" with spaces ")),
            ("p\u{e4}ss".as_bytes(), Ok("p\u{e4}ss")),
            (b"", Err("is empty")),
            (b"\n", Err("is empty")),
            (b"one\ntwo", Err("has more than one line")),
            (b"one\n\n", Err("has more than one line")),
            (b"a\0b", Err("has a control character in it")),
            (b"a\tb", Err("has a control character in it")),
            (b"\xff\xfe", Err("is not text")),
        ] {
            assert_eq!(password(bytes).as_deref().map_err(|e| *e), want, "{bytes:?}");
        }
        assert_eq!(password(&[b'a'; LONGEST as usize + 1]), Err("is too long for a password"));
        assert!(password(&[b'a'; LONGEST as usize]).is_ok());
    }
}

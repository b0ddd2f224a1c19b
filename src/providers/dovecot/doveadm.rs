//! Runs of Dovecot's own tool: the hash of a password, which goes in on its input and never among its arguments, and the flush of
//! the server's cache.
//!
//! The server's tool and no library: it makes only hashes that this server knows, and brings no second cryptography into the build.
//! It ends with status 0 where it could not reach the server, so what it says is looked at too.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use handover_rotation::outcome::{Fault, FaultClass};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use zeroize::Zeroizing;

use super::logins::Field;
use super::options::Scheme;
use crate::secret::Secret;

/// For the slowest hash on the slowest machine.
const HASHING: Duration = Duration::from_secs(8);
const FLUSHING: Duration = Duration::from_secs(4);
const MOST_OUTPUT: u64 = 4096;

/// The tool, and the socket that flushes go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Doveadm {
    pub(super) program: PathBuf,
    pub(super) socket: PathBuf,
}

/// What a run printed, wiped when it goes.
struct Said {
    well: bool,
    out: Zeroizing<Vec<u8>>,
    errors: Zeroizing<Vec<u8>>,
}

impl Doveadm {
    /// The hash of a password, as the server's file has it.
    pub(super) async fn hash(&self, scheme: Scheme, password: &Secret) -> Result<Field, Fault> {
        // The tool cuts at a line's end, and would hash less than was given.
        if password.expose().is_empty() || password.expose().chars().any(char::is_control) {
            let message = "a password that is empty or has a control character cannot be hashed";
            return Err(Fault::new(FaultClass::Permanent, "HO0517", message));
        }
        if scheme == Scheme::BlfCrypt && password.expose().len() > 72 {
            let message = "BLF-CRYPT takes 72 bytes of a password, and this one is longer";
            return Err(Fault::new(FaultClass::Permanent, "HO0517", message).hint("take another `scheme`"));
        }
        // It asks twice.
        let input = Zeroizing::new([password.expose(), "\n", password.expose(), "\n"].concat());
        let said = self.run(&["-O", "pw", "-s", scheme.name()], input.as_bytes(), HASHING).await?;
        let text = std::str::from_utf8(&said.out).unwrap_or_default().trim_end_matches('\n');
        let hash = text.strip_prefix('{').and_then(|rest| rest.strip_prefix(scheme.name())?.strip_prefix('}'));
        let sound = hash.is_some_and(|hash| hash.len() > 20 && hash.bytes().all(|b| b.is_ascii_graphic() && b != b':'));
        if !said.well || !sound {
            let message = format!("doveadm makes no {} hash", scheme.name());
            let hint = format!("try `doveadm pw -s {}` by hand; take a `scheme` that this Dovecot has", scheme.name());
            return Err(Fault::new(FaultClass::Permanent, "HO0517", message).hint(hint));
        }
        Ok(Field::new(text))
    }

    /// Makes the server forget what it has cached of these logins.
    pub(super) async fn flush(&self, logins: &[String]) -> Result<(), Fault> {
        let socket = self.socket.to_string_lossy();
        let mut arguments = vec!["-O", "auth", "cache", "flush", "-a", &socket];
        arguments.extend(logins.iter().map(String::as_str));
        let said = self.run(&arguments, b"", FLUSHING).await?;
        let has = |text: &[u8], word: &str| String::from_utf8_lossy(text).contains(word);
        let flushed = said.well && has(&said.out, "cache entries flushed");
        if flushed && !has(&said.errors, "Error") && !has(&said.errors, "Fatal") {
            return Ok(());
        }
        let fault = |class, code: &str, what: &str, hint: String| {
            Err(Fault::new(class, code, format!("Dovecot's cache cannot be flushed through {socket}: {what}")).hint(hint))
        };
        if has(&said.errors, "Permission denied") {
            let hint =
                "let Handover's user open it: `service auth { unix_listener … { user = … } }`, see docs/kinds/dovecot.md";
            fault(FaultClass::Permanent, "HO0515", "permission denied", hint.to_owned())
        } else if has(&said.errors, "should be a master socket") {
            let hint = "give the `auth-master` socket as `auth_socket`".to_owned();
            fault(FaultClass::Permanent, "HO0517", "it is not the master socket", hint)
        } else {
            let hint = "is Dovecot running, and does `auth_socket` name its `auth-master` socket?".to_owned();
            fault(FaultClass::Temporary, "HO0501", "the server does not answer", hint)
        }
    }

    async fn run(&self, arguments: &[&str], input: &[u8], limit: Duration) -> Result<Said, Fault> {
        let fault = |class, what: String| Fault::new(class, "HO0530", what).hint("see `doveadm` on docs/kinds/dovecot.md");
        let name = self.program.display();
        let mut command = Command::new(&self.program);
        command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin").env("LANG", "C.UTF-8").current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command
            .spawn()
            .map_err(|error| fault(FaultClass::Permanent, format!("{name} could not be started: {}", error.kind())))?;
        let (Some(mut stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(fault(FaultClass::Temporary, format!("{name} has no pipes")));
        };
        let whole = async {
            let feed = async {
                // A tool that ends early says why by its end.
                let _ = stdin.write_all(input).await;
                drop(stdin);
            };
            let room = usize::try_from(MOST_OUTPUT).unwrap_or_default();
            let (mut out, mut errors) = (Zeroizing::new(Vec::with_capacity(room)), Zeroizing::new(Vec::with_capacity(room)));
            let (mut stdout, mut stderr) = (stdout.take(MOST_OUTPUT), stderr.take(MOST_OUTPUT));
            let ((), read, also) =
                futures::future::join3(feed, stdout.read_to_end(&mut out), stderr.read_to_end(&mut errors)).await;
            let status = child.wait().await?;
            read.and(also).map(|_| Said { well: status.success(), out, errors })
        };
        match tokio::time::timeout(limit, whole).await {
            Ok(Ok(said)) => Ok(said),
            Ok(Err(error)) => Err(fault(FaultClass::Temporary, format!("{name} could not be heard: {}", error.kind()))),
            Err(_) => Err(fault(FaultClass::Temporary, format!("{name} took longer than {}s", limit.as_secs()))),
        }
    }
}

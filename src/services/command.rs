//! Services reached by a command on this machine. No shell, a fixed environment, an end to every run (threat T9).
//!
//! A command gets its configured arguments and, after them, what is asked for: nonce and recipient, or the challenge.
//! Secrets never: arguments and environments can be read by others (S21).

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use rustix::fs::Access;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{sleep, timeout};

use super::{Attest, Attestation, Reload, TestSend, answer};
use crate::config::fields::Fields;
use crate::config::inventory::MOST_TIMEOUT;
use crate::config::schema;

/// Where a program is looked for that is named without its folder, and the `PATH` of every command.
pub const SAFE_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The time a command may take if the inventory says nothing.
pub const DEFAULT_TIMEOUT: Span = Span::seconds(30);

/// The most that is read of what a command prints.
const MOST_OUTPUT: usize = 64 * 1024;

/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

/// After a command has ended, its output is read on for this long if something it started holds it open.
const LINGER: Duration = Duration::from_millis(500);

/// A command: the program and its arguments.
///
/// # Guarantees
/// - Runs without a shell, in `/`, in a process group of its own, with the environment `PATH` (fixed), `LANG=C.UTF-8`,
///   `HOME=/` and nothing inherited, with nothing on its input. Its output is never part of a fault.
/// - After the timeout the whole group gets SIGTERM, and SIGKILL as soon as the command itself has ended, at the latest
///   after two seconds; the outcome is `Unknown`. The group is killed as well when a call is dropped.
///
/// # Caveats
/// - A process that leaves the group (a daemon that calls `setsid`) is not killed; that is how services are started.
/// - What runs on after the command has ended well is left alone.
pub struct CommandAction {
    argv: Vec<String>,
    timeout: Span,
}

enum Run {
    Ended(ExitStatus, Vec<u8>),
    NotStarted(Fault),
    TimedOut(Fault),
}

impl CommandAction {
    /// Takes a program and its arguments. The program is an absolute path, or a name without a folder that is looked for
    /// in [`SAFE_PATH`].
    ///
    /// # Errors
    /// `HO0701` for no program, one with a relative path, or a NUL byte.
    pub fn new(argv: Vec<String>, timeout: Span) -> Result<Self, Fault> {
        let bad = |message: &str| {
            let fault = Fault::new(FaultClass::Permanent, "HO0701", format!("the command cannot be used: {message}"));
            Err(fault.hint("write it as a list, such as [systemctl, restart, newsletter-api]"))
        };
        match argv.first().map(String::as_str) {
            None | Some("") => bad("it names no program"),
            Some(_) if argv.iter().any(|word| word.contains('\0')) => bad("it has a NUL byte"),
            Some(program) if program.contains('/') && !program.starts_with('/') => {
                bad("its program has a relative path; give the whole path or only the name")
            }
            Some(_) => Ok(Self { argv, timeout }),
        }
    }

    /// After this long a call has surely ended: its timeout, and the time to kill what runs.
    #[must_use]
    pub fn request_timeout(&self) -> Span {
        Span(self.timeout.0.saturating_add(5_000))
    }

    /// `command systemctl`: the arguments may be long and are left out.
    fn who(&self) -> String {
        let program = self.argv.first().map_or("", String::as_str);
        format!("command {}", Path::new(program).file_name().unwrap_or_default().to_string_lossy())
    }

    fn program(&self) -> Result<PathBuf, Fault> {
        let program = self.argv.first().map_or("", String::as_str);
        if program.starts_with('/') {
            return Ok(PathBuf::from(program));
        }
        let places = SAFE_PATH.split(':').map(|folder| Path::new(folder).join(program));
        let runs = |path: &PathBuf| path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok();
        places.into_iter().find(runs).ok_or_else(|| {
            let message = format!("{}: there is no such program in {SAFE_PATH}", self.who());
            Fault::new(FaultClass::Permanent, "HO0702", message).hint("give its whole path")
        })
    }

    fn not_started(&self, error: &std::io::Error) -> Fault {
        use std::io::ErrorKind::{ArgumentListTooLong, NotFound, PermissionDenied};
        let class = match error.kind() {
            NotFound | PermissionDenied | ArgumentListTooLong => FaultClass::Permanent,
            _ if error.raw_os_error() == Some(Errno::NOEXEC.raw_os_error()) => FaultClass::Permanent,
            _ => FaultClass::Temporary,
        };
        Fault::new(class, "HO0702", format!("{}: it could not be started: {}", self.who(), error.kind()))
            .hint("check the path and the right to run it")
    }

    /// Runs it with `more` arguments; `read` says whether its output is of interest.
    async fn run(&self, more: &[&str], read: bool) -> Run {
        let program = match self.program() {
            Ok(program) => program,
            Err(fault) => return Run::NotStarted(fault),
        };
        let mut command = Command::new(program);
        command
            .args(self.argv.iter().skip(1))
            .args(more)
            .env_clear()
            .env("PATH", SAFE_PATH)
            .env("LANG", "C.UTF-8")
            .env("HOME", "/")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(if read { Stdio::piped() } else { Stdio::null() })
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return Run::NotStarted(self.not_started(&error)),
        };
        let mut group = Group::of(&child);
        let output = child.stdout.take();
        let ended = timeout(Duration::from_millis(self.timeout.0), finish(&mut child, output)).await;
        let fault = match ended {
            Ok(Ok((status, output))) => {
                group.release();
                return Run::Ended(status, output);
            }
            Ok(Err(_)) => Fault::new(FaultClass::Temporary, "HO0705", format!("{}: its end could not be seen", self.who())),
            Err(_) => {
                let message = format!("{}: it took longer than {} and was killed", self.who(), self.timeout);
                Fault::new(FaultClass::Temporary, "HO0704", message).hint("give it a longer `timeout` if it needs one")
            }
        };
        group.end().await;
        // It has been killed, so this ends at once (but for one stuck in the kernel) and takes it off the system's list.
        let _ = timeout(GRACE, child.wait()).await;
        group.release();
        Run::TimedOut(fault)
    }

    fn failed(&self, status: ExitStatus) -> Fault {
        let how =
            status.code().map_or_else(|| "was killed by a signal".to_owned(), |code| format!("ended with status {code}"));
        let fault = Fault::new(FaultClass::Temporary, "HO0703", format!("{}: it {how}", self.who()));
        fault.hint("run it by hand to see what it says; its output is not kept")
    }
}

/// Waits for the end, and reads the output while it runs.
async fn finish(child: &mut Child, output: Option<ChildStdout>) -> std::io::Result<(ExitStatus, Vec<u8>)> {
    let Some(output) = output else { return Ok((child.wait().await?, Vec::new())) };
    let mut text = Vec::new();
    let status = {
        let mut reading = std::pin::pin!(drain(output, &mut text));
        tokio::select! {
            status = child.wait() => {
                // What it printed is in the pipe already; only something it left running can keep this from ending.
                let _ = timeout(LINGER, reading).await;
                status?
            }
            () = &mut reading => child.wait().await?,
        }
    };
    Ok((status, text))
}

/// Keeps the first [`MOST_OUTPUT`] bytes and reads the rest away, so that the command never waits for a reader.
async fn drain(mut output: ChildStdout, text: &mut Vec<u8>) {
    let mut block = vec![0; 8192];
    while let Ok(n @ 1..) = output.read(&mut block).await {
        let room = MOST_OUTPUT - text.len();
        text.extend_from_slice(&block[..n.min(room)]);
    }
}

/// The process group of a child, killed when this is dropped unless it was released.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    fn release(&mut self) {
        self.0 = None;
    }

    /// SIGTERM, then SIGKILL. The child is not taken off the system's list before the second, so the number of the group
    /// cannot have passed to another one.
    async fn end(&self) {
        const STEP: Duration = Duration::from_millis(20);
        let Some(group) = self.0 else { return };
        let _ = kill_process_group(group, Signal::TERM);
        let mut waited = Duration::ZERO;
        let seen = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        while waited < GRACE && matches!(waitid(WaitId::Pid(group), seen), Ok(None)) {
            sleep(STEP).await;
            waited += STEP;
        }
        let _ = kill_process_group(group, Signal::KILL);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[async_trait]
impl Reload for CommandAction {
    fn request_timeout(&self) -> Span {
        Self::request_timeout(self)
    }

    fn describe(&self) -> String {
        self.who()
    }

    /// A status other than 0 is `NotDone`, though a part may have happened: a reload may be repeated without harm, and
    /// nothing relies on it having happened or not, since only attestation and test mail show what a service uses. As
    /// `NotDone` it is repeated a bounded number of times and then rolled back, as it should be for a unit that does not
    /// exist. Killed by a signal is `Unknown`.
    async fn reload(&self) -> Outcome<()> {
        match self.run(&[], false).await {
            Run::Ended(status, _) if status.success() => Outcome::Done(()),
            Run::Ended(status, _) if status.code().is_some() => Outcome::NotDone(self.failed(status)),
            Run::Ended(status, _) => Outcome::Unknown(self.failed(status)),
            Run::NotStarted(fault) => Outcome::NotDone(fault),
            Run::TimedOut(fault) => Outcome::Unknown(fault),
        }
    }
}

#[async_trait]
impl TestSend for CommandAction {
    fn request_timeout(&self) -> Span {
        Self::request_timeout(self)
    }

    /// Status 0 is `Done`, unless it prints `{"accepted": false, …}`. Any other status without that is `Unknown`: the mail
    /// may be on its way, and a test mail, unlike a reload, is looked for.
    async fn test_send(&self, nonce: &str, to: &str) -> Outcome<()> {
        if [nonce, to].iter().any(|word| word.starts_with('-') || word.contains('\0')) {
            let message = format!("{}: a nonce or recipient that begins with `-` would be read as an option", self.who());
            return Outcome::NotDone(Fault::new(FaultClass::Permanent, "HO0701", message).hint("correct `probe: {to: …}`"));
        }
        match self.run(&[nonce, to], true).await {
            Run::Ended(status, text) => match answer::refused_send(&self.who(), &text) {
                Some(fault) => Outcome::NotDone(fault),
                None if status.success() => Outcome::Done(()),
                None => Outcome::Unknown(self.failed(status)),
            },
            Run::NotStarted(fault) => Outcome::NotDone(fault),
            Run::TimedOut(fault) => Outcome::Unknown(fault),
        }
    }
}

#[async_trait]
impl Attest for CommandAction {
    fn request_timeout(&self) -> Span {
        Self::request_timeout(self)
    }

    async fn attest(&self, challenge: &str) -> Outcome<Attestation> {
        match self.run(&[challenge], true).await {
            Run::Ended(status, text) if status.success() => answer::attestation(&self.who(), &text),
            Run::Ended(status, _) => Outcome::NotDone(self.failed(status)),
            Run::NotStarted(fault) => Outcome::NotDone(fault),
            Run::TimedOut(fault) => Outcome::Unknown(fault),
        }
    }
}

impl CommandAction {
    /// Reads the options: a list of words, or `{argv: [...], timeout: 30s}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<Self> {
        let (argv, timeout) = match fields.whole_list() {
            Some(argv) => (argv, DEFAULT_TIMEOUT),
            None => {
                let argv = fields.required_list("argv");
                let given = fields.has("timeout");
                let timeout = fields.optional_duration("timeout", Span::seconds(1)..=MOST_TIMEOUT);
                (argv?, if given { timeout? } else { DEFAULT_TIMEOUT })
            }
        };
        Self::new(argv, timeout)
            .map_err(|fault| fields.problem("HO0701", "argv", fault.message, fault.hint.unwrap_or_default()))
            .ok()
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        // A number is taken as it is written, such as the port of a command line.
        let word = |pattern: &str| serde_json::json!({"type": ["string", "number"], "pattern": pattern});
        let words = serde_json::json!({
            "type": "array", "minItems": 1,
            "prefixItems": [word("^(/|[^/]*[^/\\s][^/]*$)")], "items": word("\\S"),
        });
        serde_json::json!({"oneOf": [words, {
            "type": "object", "additionalProperties": false, "required": ["argv"],
            "properties": {"argv": words, "timeout": schema::duration()}
        }]})
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;

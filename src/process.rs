//! Programs of this machine, run for an adapter: no shell, a fixed environment, an end to every run (threat T9).
//!
//! A program gets its arguments, and what it is told on its input. Secrets go there and nowhere else: arguments and environments
//! can be read by others (S21). What it prints is wiped when it goes, and is never part of a fault.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::time::Span;
use rustix::fs::Access;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

/// Where a program is looked for that is named without its folder, and the `PATH` of every program.
pub const SAFE_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Between SIGTERM and SIGKILL.
pub const GRACE: Duration = Duration::from_secs(2);

/// After a program has ended, its output is read on for this long if something it started holds it open.
const LINGER: Duration = Duration::from_millis(500);

/// The codes that an area of adapters uses for the ends of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codes {
    /// It names no program that can be.
    pub unusable: &'static str,
    /// It could not be started.
    pub not_started: &'static str,
    /// It ended with another status than 0.
    pub failed: &'static str,
    /// It took too long and was killed.
    pub slow: &'static str,
    /// Its end could not be seen.
    pub unseen: &'static str,
}

/// A program and its arguments.
///
/// # Guarantees
/// - Runs without a shell, in `/`, in a process group of its own, with the environment `PATH` (fixed), `LANG=C.UTF-8`,
///   `HOME=/`, what [`Program::with`] adds, and nothing inherited, with its input closed after what it is told. Its output is never part of a fault.
/// - After the timeout the whole group gets SIGTERM, and SIGKILL as soon as the program itself has ended, at the latest
///   after two seconds. The group is killed as well when a call is dropped.
///
/// # Caveats
/// - A process that leaves the group (a daemon that calls `setsid`) is not killed; that is how services are started.
/// - What runs on after the program has ended well is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    argv: Vec<String>,
    environment: Vec<(String, String)>,
    timeout: Span,
    codes: Codes,
}

/// How a run ended.
pub enum Run {
    /// By itself, with what it printed.
    Ended(ExitStatus, Zeroizing<Vec<u8>>),
    /// It never began.
    NotStarted(Fault),
    /// It was killed, or its end could not be seen.
    TimedOut(Fault),
}

impl Program {
    /// Takes a program and its arguments. The program is an absolute path, or a name without a folder that is looked for
    /// in [`SAFE_PATH`].
    ///
    /// # Errors
    /// `codes.unusable` for no program, one with a relative path, or a NUL byte.
    pub fn new(argv: Vec<String>, timeout: Span, codes: Codes) -> Result<Self, Fault> {
        let bad = |message: &str| {
            let fault = Fault::new(FaultClass::Permanent, codes.unusable, format!("the command cannot be used: {message}"));
            Err(fault.hint("write it as a list, such as [systemctl, restart, newsletter-api]"))
        };
        match argv.first().map(String::as_str) {
            None | Some("") => bad("it names no program"),
            Some(_) if argv.iter().any(|word| word.contains('\0')) => bad("it has a NUL byte"),
            Some(program) if program.contains('/') && !program.starts_with('/') => {
                bad("its program has a relative path; give the whole path or only the name")
            }
            Some(_) => Ok(Self { argv, environment: Vec::new(), timeout, codes }),
        }
    }

    /// The same with more in its environment, or other than there: names of files and profiles, never a secret.
    #[must_use]
    pub fn with(mut self, environment: Vec<(String, String)>) -> Self {
        self.environment = environment;
        self
    }

    /// After this long a run has surely ended: its timeout, and the time to kill what runs.
    #[must_use]
    pub fn request_timeout(&self) -> Span {
        Span(self.timeout.0.saturating_add(5_000))
    }

    /// `command systemctl`: the arguments may be long and are left out.
    #[must_use]
    pub fn who(&self) -> String {
        let program = self.argv.first().map_or("", String::as_str);
        format!("command {}", Path::new(program).file_name().unwrap_or_default().to_string_lossy())
    }

    fn path(&self) -> Result<PathBuf, Fault> {
        let program = self.argv.first().map_or("", String::as_str);
        if program.starts_with('/') {
            return Ok(PathBuf::from(program));
        }
        let places = SAFE_PATH.split(':').map(|folder| Path::new(folder).join(program));
        let runs = |path: &PathBuf| path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok();
        places.into_iter().find(runs).ok_or_else(|| {
            let message = format!("{}: there is no such program in {SAFE_PATH}", self.who());
            Fault::new(FaultClass::Permanent, self.codes.not_started, message).hint("give its whole path")
        })
    }

    fn not_started(&self, error: &std::io::Error) -> Fault {
        use std::io::ErrorKind::{ArgumentListTooLong, NotFound, PermissionDenied};
        let class = match error.kind() {
            NotFound | PermissionDenied | ArgumentListTooLong => FaultClass::Permanent,
            _ if error.raw_os_error() == Some(Errno::NOEXEC.raw_os_error()) => FaultClass::Permanent,
            _ => FaultClass::Temporary,
        };
        let message = format!("{}: it could not be started: {}", self.who(), error.kind());
        Fault::new(class, self.codes.not_started, message).hint("check the path and the right to run it")
    }

    /// The fault of a run that ended with another status than 0.
    #[must_use]
    pub fn failed(&self, status: ExitStatus) -> Fault {
        let how =
            status.code().map_or_else(|| "was killed by a signal".to_owned(), |code| format!("ended with status {code}"));
        let fault = Fault::new(FaultClass::Temporary, self.codes.failed, format!("{}: it {how}", self.who()));
        fault.hint("run it by hand to see what it says; its output is not kept")
    }

    /// Runs it with `more` arguments and `input`, and keeps up to `most` bytes of what it prints; 0 says that nothing of it is of
    /// interest.
    pub async fn run(&self, more: &[&str], input: Option<&[u8]>, most: usize) -> Run {
        let program = match self.path() {
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
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(if most > 0 { Stdio::piped() } else { Stdio::null() })
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return Run::NotStarted(self.not_started(&error)),
        };
        let mut group = Group::of(&child);
        let pipes = Pipes { input: child.stdin.take().zip(input), output: child.stdout.take(), most };
        let ended = timeout(Duration::from_millis(self.timeout.0), finish(&mut child, pipes)).await;
        let fault = match ended {
            Ok(Ok((status, output))) => {
                group.release();
                return Run::Ended(status, output);
            }
            Ok(Err(_)) => {
                Fault::new(FaultClass::Temporary, self.codes.unseen, format!("{}: its end could not be seen", self.who()))
            }
            Err(_) => {
                let message = format!("{}: it took longer than {} and was killed", self.who(), self.timeout);
                Fault::new(FaultClass::Temporary, self.codes.slow, message)
                    .hint("give it a longer `timeout` if it needs one")
            }
        };
        group.end().await;
        // It has been killed, so this ends at once (but for one stuck in the kernel) and takes it off the system's list.
        let _ = timeout(GRACE, child.wait()).await;
        group.release();
        Run::TimedOut(fault)
    }
}

/// What goes in and comes out.
struct Pipes<'a> {
    input: Option<(ChildStdin, &'a [u8])>,
    output: Option<ChildStdout>,
    most: usize,
}

/// Waits for the end, and writes and reads while it runs.
async fn finish(child: &mut Child, pipes: Pipes<'_>) -> std::io::Result<(ExitStatus, Zeroizing<Vec<u8>>)> {
    // As large as it may become, so that no copy of a part is left behind.
    let mut text = Zeroizing::new(Vec::with_capacity(pipes.most));
    let status = {
        let mut talking = std::pin::pin!(async {
            let tell = async {
                if let Some((mut pipe, input)) = pipes.input {
                    // A program that does not read what it is told may still end well.
                    let _ = pipe.write_all(input).await;
                }
            };
            let hear = async {
                if let Some(output) = pipes.output {
                    drain(output, &mut text, pipes.most).await;
                }
            };
            tokio::join!(tell, hear);
        });
        tokio::select! {
            status = child.wait() => {
                // What it printed is in the pipe already; only something it left running can keep this from ending.
                let _ = timeout(LINGER, talking).await;
                status?
            }
            () = &mut talking => child.wait().await?,
        }
    };
    Ok((status, text))
}

/// Keeps the first `most` bytes and reads the rest away, so that the program never waits for a reader.
async fn drain(mut output: ChildStdout, text: &mut Zeroizing<Vec<u8>>, most: usize) {
    let mut block = Zeroizing::new(vec![0; 8192]);
    while let Ok(n @ 1..) = output.read(&mut block).await {
        let room = most - text.len();
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

#[cfg(test)]
mod tests {
    use super::*;

    const CODES: Codes =
        Codes { unusable: "HO0701", not_started: "HO0702", failed: "HO0703", slow: "HO0704", unseen: "HO0705" };

    fn sh(script: &str) -> Program {
        let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        Program::new(argv, Span::seconds(20), CODES).expect("the command is sound")
    }

    #[tokio::test]
    async fn what_it_is_told_goes_to_its_input_and_nowhere_else() {
        // Longer than a pipe holds, both ways.
        let told = "x".repeat(300_000);
        let Run::Ended(status, text) =
            sh("cat; env; tr '\\0' ' ' </proc/$$/cmdline").run(&[], Some(told.as_bytes()), 1 << 20).await
        else {
            panic!("it ends")
        };
        let text = String::from_utf8(text.to_vec()).expect("text");
        assert!(status.success());
        assert_eq!(text.matches('x').count() - text[told.len()..].matches('x').count(), told.len());
        assert!(text.starts_with(&told) && !text[told.len()..].contains("xxx"), "{}", &text[told.len()..]);
    }

    #[tokio::test]
    async fn one_that_does_not_listen_ends_as_it_ends() {
        let Run::Ended(status, text) = sh("exit 3").run(&[], Some("x".repeat(300_000).as_bytes()), 16).await else {
            panic!("it ends")
        };
        assert_eq!((status.code(), text.len()), (Some(3), 0));
        let Run::Ended(_, text) = sh("printf 0123456789").run(&[], None, 4).await else { panic!("it ends") };
        assert_eq!(&text[..], b"0123");
    }
}

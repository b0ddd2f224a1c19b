//! Programs of this machine: no shell, a fixed environment, an end to every run (threat T9). What goes in and comes out may be
//! secret: it goes by pipes, and is wiped. What this must not do: put an argument, an input or an output into a message.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use handover_rotation::time::Span;
use rustix::fs::Access;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

/// Where a program is looked for that is named without its folder, and the `PATH` of every one.
pub const SAFE_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The most that is read of what a program prints.
pub const MOST_OUTPUT: usize = 64 * 1024;

/// Between SIGTERM and SIGKILL.
pub const GRACE: Duration = Duration::from_secs(2);

/// After a program has ended, its output is read on for this long if something it started holds it open.
const LINGER: Duration = Duration::from_millis(500);

/// One run of a program.
///
/// # Guarantees
/// - Runs without a shell, in `/`, in a process group of its own, with the environment `PATH` (fixed), `LANG=C.UTF-8`,
///   `HOME=/` and nothing inherited, and with `input` or nothing on its input.
/// - After the timeout the whole group gets SIGTERM, and SIGKILL as soon as the program itself has ended, at the latest
///   after two seconds. The group is killed as well when the call is dropped.
///
/// # Caveats
/// - A process that leaves the group (a daemon that calls `setsid`) is not killed; that is how services are started.
/// - What runs on after the program has ended well is left alone.
pub struct Job<'a> {
    /// The program and its arguments, as [`check`] takes them.
    pub argv: &'a [String],
    /// More arguments, after those.
    pub more: &'a [&'a str],
    /// What it reads.
    pub input: Option<Zeroizing<Vec<u8>>>,
    /// Whether its output is of interest.
    pub read: bool,
    /// After this long it is killed.
    pub timeout: Span,
}

/// How a run ended.
pub enum End {
    /// By itself, having printed this.
    Exited(ExitStatus, Zeroizing<Vec<u8>>),
    /// There is no such program in [`SAFE_PATH`]. Nothing has happened.
    NoProgram,
    /// It could not be started. Nothing has happened.
    NotStarted(Error),
    /// It was killed at the timeout.
    TimedOut,
    /// It was killed, since its end could not be seen.
    Unseen,
}

/// Whether `argv` can be run: the program is an absolute path, or a name without a folder.
///
/// # Errors
/// Why not, in words.
pub fn check(argv: &[String]) -> Result<(), &'static str> {
    match argv.first().map(String::as_str) {
        None | Some("") => Err("it names no program"),
        Some(_) if argv.iter().any(|word| word.contains('\0')) => Err("it has a NUL byte"),
        Some(program) if program.contains('/') && !program.starts_with('/') => {
            Err("its program has a relative path; give the whole path or only the name")
        }
        Some(_) => Ok(()),
    }
}

/// The name of the program for messages: the arguments may be long and are left out.
#[must_use]
pub fn name(argv: &[String]) -> String {
    let program = argv.first().map_or("", String::as_str);
    Path::new(program).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// After this long a run has surely ended: its timeout, and the time to kill what runs.
#[must_use]
pub fn surely(limit: Span) -> Span {
    Span(limit.0.saturating_add(5_000))
}

/// Whether a program that could not be started will not be started the next time either.
#[must_use]
pub fn is_permanent(error: &Error) -> bool {
    use ErrorKind::{ArgumentListTooLong, NotFound, PermissionDenied};
    matches!(error.kind(), NotFound | PermissionDenied | ArgumentListTooLong)
        || error.raw_os_error() == Some(Errno::NOEXEC.raw_os_error())
}

impl Job<'_> {
    fn program(&self) -> Option<PathBuf> {
        let program = self.argv.first().map_or("", String::as_str);
        if program.starts_with('/') {
            return Some(PathBuf::from(program));
        }
        let places = SAFE_PATH.split(':').map(|folder| Path::new(folder).join(program));
        let runs = |path: &PathBuf| path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok();
        places.into_iter().find(runs)
    }

    /// Runs it to its end.
    pub async fn run(self) -> End {
        let Some(program) = self.program() else { return End::NoProgram };
        let mut command = Command::new(program);
        command
            .args(self.argv.iter().skip(1))
            .args(self.more)
            .env_clear()
            .env("PATH", SAFE_PATH)
            .env("LANG", "C.UTF-8")
            .env("HOME", "/")
            .current_dir("/")
            .stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(if self.read { Stdio::piped() } else { Stdio::null() })
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return End::NotStarted(error),
        };
        let mut group = Group::of(&child);
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let ended = finish(&mut child, input.zip(self.input), output);
        let end = match timeout(Duration::from_millis(self.timeout.0), ended).await {
            Ok(Ok((status, output))) => {
                group.release();
                return End::Exited(status, output);
            }
            Ok(Err(_)) => End::Unseen,
            Err(_) => End::TimedOut,
        };
        group.end().await;
        // It has been killed, so this ends at once (but for one stuck in the kernel) and takes it off the system's list.
        let _ = timeout(GRACE, child.wait()).await;
        group.release();
        end
    }
}

type Input = (ChildStdin, Zeroizing<Vec<u8>>);

/// Waits for the end; writes the input and reads the output while it runs.
async fn finish(
    child: &mut Child,
    input: Option<Input>,
    output: Option<ChildStdout>,
) -> std::io::Result<(ExitStatus, Zeroizing<Vec<u8>>)> {
    // As large as it may get: a growing one would leave copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(if output.is_some() { MOST_OUTPUT } else { 0 }));
    if input.is_none() && output.is_none() {
        return Ok((child.wait().await?, text));
    }
    let status = {
        let pipes = async {
            let write = async {
                if let Some((mut pipe, bytes)) = input {
                    // A program that ends without reading it all has its reasons.
                    let _ = pipe.write_all(&bytes).await;
                    let _ = pipe.shutdown().await;
                }
            };
            let read = async {
                if let Some(output) = output {
                    drain(output, &mut text).await;
                }
            };
            futures::future::join(write, read).await;
        };
        let mut pipes = std::pin::pin!(pipes);
        tokio::select! {
            status = child.wait() => {
                // What it printed is in the pipe already; only something it left running can keep this from ending.
                let _ = timeout(LINGER, pipes).await;
                status?
            }
            () = &mut pipes => child.wait().await?,
        }
    };
    Ok((status, text))
}

/// Keeps the first [`MOST_OUTPUT`] bytes and reads the rest away, so that the program never waits for a reader.
async fn drain(mut output: ChildStdout, text: &mut Vec<u8>) {
    let mut block = Zeroizing::new(vec![0; 8192]);
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    async fn run(script: &str, input: Option<&[u8]>) -> End {
        let argv = ["/bin/sh", "-c", script].map(str::to_owned);
        let input = input.map(|bytes| Zeroizing::new(bytes.to_vec()));
        Job { argv: &argv, more: &[], input, read: true, timeout: Span::seconds(5) }.run().await
    }

    #[tokio::test]
    async fn a_program_gets_its_input_and_an_end_of_it() {
        // More than a pipe holds, both ways.
        let much = vec![b'x'; 300_000];
        let End::Exited(status, text) = run("cat", Some(&much)).await else { panic!("it ends") };
        assert!(status.success());
        assert_eq!(text.len(), MOST_OUTPUT);
        let End::Exited(_, text) = run("wc -c", Some(&much)).await else { panic!("it ends") };
        assert_eq!(String::from_utf8_lossy(&text).trim(), "300000");
        let End::Exited(_, text) = run("cat", None).await else { panic!("it ends") };
        assert!(text.is_empty());
    }

    #[tokio::test]
    async fn a_program_that_does_not_read_its_input_ends_all_the_same() {
        let start = Instant::now();
        let End::Exited(status, text) = run("exec 0<&-; echo done; exit 3", Some(&vec![b'x'; 300_000])).await else {
            panic!("it ends")
        };
        assert_eq!((status.code(), text.as_slice()), (Some(3), &b"done\n"[..]));
        // Something it left running holds the pipe and reads nothing.
        let End::Exited(status, _) = run("sleep 30 & exit 0", Some(&vec![b'x'; 300_000])).await else { panic!("it ends") };
        assert!(status.success());
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    }
}

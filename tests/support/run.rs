//! Runs of the program: to the end, or under way with its events as they come.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The longest that anything may take before a test gives it up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(150);

/// A run that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// The exit status; a signal is a failure of the test that did not expect one.
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("ended by a signal: {self}"))
    }

    pub(crate) fn was_killed(&self) -> bool {
        self.status.signal() == Some(rustix::process::Signal::KILL.as_raw())
    }

    /// The lines of its output that are JSON objects.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The last line, which tells how it came to rest.
    pub(crate) fn finished(&self) -> Value {
        let last = self.events().pop().unwrap_or_default();
        assert_eq!(last["event"], "finished", "{self}");
        last
    }

    pub(crate) fn outcome(&self) -> String {
        self.finished()["outcome"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn rotation(&self) -> String {
        self.finished()["rotation"].as_str().unwrap_or_default().to_owned()
    }

    /// Everything it said.
    pub(crate) fn said(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines: Vec<&str> = self.stdout.lines().collect();
        let last = lines[lines.len().saturating_sub(8)..].join("\n");
        let telling = |l: &&&str| ["rollback-started", "stuck", "containment-began"].iter().any(|w| l.contains(w));
        let why: Vec<&str> = lines.iter().filter(telling).copied().collect();
        write!(f, "{}\n{}\n…\n{last}\n--- stderr\n{}", self.status, why.join("\n"), self.stderr)
    }
}

/// A run that is under way.
pub(crate) struct Going {
    child: Child,
    lines: Receiver<String>,
    stdout: String,
    stderr: Option<JoinHandle<String>>,
    ended: Option<ExitStatus>,
}

impl Going {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let stdout = child.stdout.take().expect("piped");
        let mut stderr = child.stderr.take().expect("piped");
        let (told, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if told.send(line).is_err() {
                    return;
                }
            }
        });
        let stderr = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stderr.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Self { child, lines, stdout: String::new(), stderr: Some(stderr), ended: None }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for an event that is wanted. `None` if the run ends before one comes.
    pub(crate) fn wait_for(&mut self, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        let until = Instant::now() + PATIENCE;
        while let Ok(line) = self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.stdout += &line;
            self.stdout.push('\n');
            if let Ok(event) = serde_json::from_str::<Value>(&line)
                && wanted(&event)
            {
                return Some(event);
            }
        }
        None
    }

    /// Waits for the event that tells of this step's beginning, by its position.
    pub(crate) fn wait_for_step(&mut self, step: usize) -> Option<Value> {
        self.wait_for(|e| e["event"] == "step-started" && e["step"] == step)
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("the process can be signalled");
    }

    /// Waits for its end, and kills it past all patience.
    pub(crate) fn end(mut self) -> Run {
        let until = Instant::now() + PATIENCE;
        while let Ok(line) = self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.stdout += &line;
            self.stdout.push('\n');
        }
        if Instant::now() >= until {
            let _ = self.child.kill();
        }
        let status = self.child.wait().expect("the program ends");
        self.ended = Some(status);
        let stderr = self.stderr.take().and_then(|t| t.join().ok()).unwrap_or_default();
        Run { status, stdout: std::mem::take(&mut self.stdout), stderr }
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

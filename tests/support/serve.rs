//! The built daemon as a process: started, waited for, signalled, and ended with the test.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A daemon that has said that it is ready.
pub(crate) struct Serve {
    child: Child,
    /// What it said when it was ready.
    pub(crate) ready: Value,
    log: PathBuf,
}

/// A daemon that did not come to where it is ready.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
}

impl Serve {
    /// Starts `command`, which is `serve --json` with what belongs to it. What it says goes to the end of `log`.
    pub(crate) fn start(mut command: Command, log: &Path) -> Result<Self, Ended> {
        let file = OpenOptions::new().create(true).append(true).open(log).expect("a log");
        let before = file.metadata().map_or(0, |meta| meta.len());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file);
        let mut child = command.spawn().expect("the program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it speaks");
        if !line.contains("\"event\":\"ready\"") {
            let code = child.wait().expect("it ends").code();
            let text = std::fs::read(log).unwrap_or_default();
            let said =
                String::from_utf8_lossy(text.get(usize::try_from(before).unwrap_or(0)..).unwrap_or_default()).into_owned();
            return Err(Ended { code, said: line + &said });
        }
        let ready = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        Ok(Self { child, ready, log: log.to_owned() })
    }

    /// Where it listens for others.
    pub(crate) fn address(&self) -> SocketAddr {
        let tcp = self.ready["listen"].as_array().and_then(|all| all.last()?.as_str()).unwrap_or_default();
        tcp.parse().unwrap_or_else(|_| panic!("no address in {}", self.ready))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it can be signalled");
    }

    /// Waits until its log has this, and says how long that took.
    pub(crate) fn says(&self, what: &str) -> Duration {
        let began = Instant::now();
        while !self.said().contains(what) {
            assert!(began.elapsed() < Duration::from_secs(60), "it did not say {what:?}: {}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
        began.elapsed()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be asked") {
                return status;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "it does not end: {}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// All that it has said beside its data.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! Services of this machine that read again when they get a signal. The process is held by a handle from before it is looked at
//! until after the signal, so that no other can take its number in between.
//!
//! A signal changes no environment: what a process was started with stays. Whether it reads its file again is up to it; only
//! attestation shows.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::time::sleep;

use super::Reload;
use crate::config::fields::Fields;

/// After this long a process that does not know the signal has died of it.
const AFTERWARDS: Duration = Duration::from_millis(500);

/// Of the name that the kernel keeps of a process.
const LONGEST_NAME: usize = 15;

/// A process that is known by a file.
pub struct SignalReload {
    pid_file: PathBuf,
    process: String,
    signal: Signal,
}

impl SignalReload {
    /// What a service reads again by it.
    pub const REREADS: &'static str =
        "a signal changes no environment: it reads its file again only if it was made to do so on that signal";

    /// Reads the options: `{pid_file: PATH, process: NAME, signal: HUP | USR1 | USR2}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<Self> {
        let pid_file = fields.required_path("pid_file");
        let process = fields.required_str("process");
        let signals = [("HUP", Signal::HUP), ("USR1", Signal::USR1), ("USR2", Signal::USR2)];
        let signal = fields.optional_choice("signal", &signals);
        let process = process?.chars().take(LONGEST_NAME).collect();
        Some(Self { pid_file: pid_file?, process, signal: signal.unwrap_or(Signal::HUP) })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        serde_json::json!({
            "type": "object", "additionalProperties": false, "required": ["pid_file", "process"],
            "properties": {
                "pid_file": {"type": "string", "minLength": 1}, "process": {"type": "string", "minLength": 1},
                "signal": {"enum": ["HUP", "USR1", "USR2"]},
            }
        })
    }

    fn fault(&self, class: FaultClass, what: &str) -> Fault {
        let fault = Fault::new(class, "HO0742", format!("{}: {what}", self.describe()));
        fault.hint("compare `pid_file` and `process` with the service that runs")
    }

    /// The process of the file, held, if it is the one that is meant.
    fn held(&self) -> Result<(Pid, OwnedFd), Fault> {
        let text = std::fs::read_to_string(&self.pid_file)
            .map_err(|error| self.fault(FaultClass::Permanent, &format!("its pid file cannot be read: {}", error.kind())))?;
        // A group, all processes and the first of all are no service.
        let pid = text.trim().parse().ok().filter(|pid| *pid > 1).and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| self.fault(FaultClass::Permanent, "its pid file holds no number of a process"))?;
        let handle = pidfd_open(pid, PidfdFlags::empty())
            .map_err(|_| self.fault(FaultClass::Temporary, "there is no process of that number"))?;
        let name = std::fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero())).unwrap_or_default();
        if name.trim_end() != self.process {
            return Err(self.fault(FaultClass::Permanent, "the process of that number has another name"));
        }
        Ok((pid, handle))
    }
}

/// When a process that still runs was born, in the kernel's own measure.
fn born(pid: Pid) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // Its name comes first, in brackets, and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    if matches!(fields.first(), Some(&("Z" | "X"))) { None } else { fields.get(19)?.parse().ok() }
}

#[async_trait]
impl Reload for SignalReload {
    fn describe(&self) -> String {
        format!("signal {}", self.process)
    }

    fn request_timeout(&self) -> Span {
        Span::seconds(5)
    }

    fn rereads(&self) -> Option<&'static str> {
        Some(Self::REREADS)
    }

    async fn reload(&self) -> Outcome<()> {
        let (pid, handle) = match self.held() {
            Ok(held) => held,
            Err(fault) => return Outcome::NotDone(fault),
        };
        let before = born(pid);
        match pidfd_send_signal(&handle, self.signal) {
            Ok(()) => {}
            Err(Errno::PERM) => return Outcome::NotDone(self.fault(FaultClass::Permanent, "it may not be sent a signal")),
            Err(_) => return Outcome::NotDone(self.fault(FaultClass::Temporary, "it ended before the signal")),
        }
        sleep(AFTERWARDS).await;
        match born(pid) {
            Some(now) if Some(now) == before => Outcome::Done(()),
            _ => Outcome::NotDone(self.fault(FaultClass::Permanent, "it died of the signal")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::{Child, Command, Stdio};

    use super::*;
    use crate::config::Node;

    fn read(text: &str) -> Option<SignalReload> {
        let node = Node::from_yaml("test.yaml", Path::new("/"), text).expect("YAML");
        let mut fields = Fields::new(&node, "reload");
        let read = SignalReload::options(&mut fields);
        if fields.finish().has_errors() { None } else { read }
    }

    fn code(outcome: &Outcome<()>) -> String {
        match outcome {
            Outcome::Done(()) => "done".to_owned(),
            Outcome::NotDone(fault) => format!("not-done {}", fault.message),
            Outcome::Unknown(fault) => format!("unknown {}", fault.message),
        }
    }

    /// A process that ends with its test.
    struct Running(Child);

    impl Drop for Running {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// A shell that writes its number when it is ready.
    fn start(folder: &Path, script: &str) -> Running {
        let script = format!("{script}; echo $$ > pid.new; mv pid.new pid; while :; do sleep 0.1; done");
        let child = Command::new("/bin/sh").args(["-c", &script]).current_dir(folder).stdin(Stdio::null()).spawn();
        let child = Running(child.expect("it starts"));
        for _ in 0..1000 {
            if folder.join("pid").exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        child
    }

    #[test]
    fn its_options_are_read_and_others_refused() {
        let options = read("{pid_file: /run/x.pid, process: a-very-long-process-name, signal: USR1}").expect("options");
        assert_eq!(options.describe(), "signal a-very-long-pro");
        for wrong in ["{pid_file: /x}", "{process: x}", "{pid_file: /x, process: x, signal: KILL}"] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn one_that_knows_the_signal_gets_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let child = start(folder.path(), "trap 'touch heard' HUP");
        let reload = |process: &str| {
            read(&format!("{{pid_file: {}/pid, process: {process}}}", folder.path().display())).expect("options")
        };
        assert_eq!(code(&reload("sh").reload().await), "done");
        assert!(folder.path().join("heard").exists());
        assert!(code(&reload("postfix").reload().await).contains("another name"));
        drop(child);
    }

    #[tokio::test]
    async fn one_that_dies_of_it_and_one_that_is_not_there_are_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let child = start(folder.path(), "true");
        let reload = read(&format!("{{pid_file: {}/pid, process: sh}}", folder.path().display())).expect("options");
        assert!(code(&reload.reload().await).contains("died of the signal"));
        drop(child);
        assert!(code(&reload.reload().await).contains("no process of that number"));
        for (text, expected) in [("1", "no number"), ("-1", "no number"), ("0", "no number"), ("x", "no number")] {
            std::fs::write(folder.path().join("pid"), text).expect("written");
            assert!(code(&reload.reload().await).contains(expected), "{text}");
        }
        std::fs::remove_file(folder.path().join("pid")).expect("removed");
        assert!(code(&reload.reload().await).contains("cannot be read"));
    }
}

//! The lab: real servers on free loopback ports, in temporary folders, started by the test that needs them and stopped with it.
//!
//! `scripts/lab` installs the parts. A part that is missing fails its tests here; `scripts/test` leaves them out, and says so,
//! where a part cannot be installed: the part's name stands in the test's path, such as `lab_bao`.

pub(crate) mod app;
pub(crate) mod aws;
pub(crate) mod bao;
pub(crate) mod ca;
pub(crate) mod chromium;
pub(crate) mod clouds;
pub(crate) mod conjur;
pub(crate) mod desk;
pub(crate) mod gitlab;
pub(crate) mod kubernetes;
pub(crate) mod ldap;
pub(crate) mod mail;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod sender;
pub(crate) mod sops;
pub(crate) mod vendors;
pub(crate) mod workloads;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The folder where `scripts/lab` puts what does not come as a Debian package.
pub(crate) fn tools() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/tools/lab")
}

/// A program of the Python environment, such as `python`.
pub(crate) fn venv(program: &str) -> PathBuf {
    let path = tools().join("venv/bin").join(program);
    assert!(path.exists(), "{} is missing: run scripts/lab", path.display());
    path
}

/// A loopback port that nobody listens on now. Another process may take it before it is used: whoever needs one tries again.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

/// A process with everything that it starts, ended with it. Its output goes to a file, so that no full pipe stops it.
pub(crate) struct Server {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Server {
    /// Starts it as the head of a process group of its own.
    pub(crate) fn start(name: &str, command: &mut Command, log: PathBuf) -> Self {
        let out = std::fs::File::create(&log).expect("a log");
        let err = out.try_clone().expect("the log again");
        command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        let child = command.spawn().unwrap_or_else(|e| panic!("{name} does not start: {e}"));
        Self { child, name: name.to_owned(), log }
    }

    /// Waits until it listens.
    pub(crate) fn listens(&mut self, port: u16) {
        let end = Instant::now() + Duration::from_secs(60);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
            if let Some(status) = self.child.try_wait().expect("it can be asked") {
                panic!("{} ended with {status}: {}", self.name, self.said());
            }
            assert!(Instant::now() < end, "{} does not listen on {port}: {}", self.name, self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Signals it and all that it has started, such as to let it stand still.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let group = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
        rustix::process::kill_process_group(group, signal).expect("it can be signalled");
    }

    /// What it has written.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

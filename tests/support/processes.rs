//! Watches a process and everything that it starts: arguments and environment, as any user of the machine could.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Every argument list and environment that was ever seen, with the process it was seen at.
pub(crate) type Seen = BTreeSet<(u32, Vec<u8>)>;

/// A watch that goes on until it is asked what it has seen.
pub(crate) struct ProcessWatch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

impl ProcessWatch {
    pub(crate) fn of(root: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut seen = Seen::new();
            while !told.load(Ordering::SeqCst) {
                look(root, &mut seen);
                std::thread::sleep(Duration::from_millis(2));
            }
            seen
        });
        Self { stop, thread }
    }

    pub(crate) fn seen(self) -> Seen {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("the watch ends")
    }
}

fn look(root: u32, seen: &mut Seen) {
    let parents: BTreeMap<u32, u32> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect();
    for pid in parents.keys() {
        let mut at = *pid;
        while at != root && at > 1 {
            at = parents.get(&at).copied().unwrap_or(0);
        }
        if at == root {
            for what in ["cmdline", "environ"] {
                if let Ok(bytes) = std::fs::read(format!("/proc/{pid}/{what}")) {
                    seen.insert((*pid, bytes));
                }
            }
        }
    }
}

fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything; the state and the parent come after it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

//! Signals: Ctrl-C and SIGTERM before a rotation is begun or taken up end the process with a word; from then on they stop it
//! at a safe boundary. A second one then leaves at once, which is safe too but leaves more to look at. A rotation that the daemon
//! runs is only not looked at any more.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::failure::Exit;
use super::out;
use crate::engine::Signal;

/// What there is for a signal to stop.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Armed {
    /// Nothing yet.
    No,
    /// A rotation that runs here.
    Here,
    /// A look at one that the daemon runs.
    Look,
}

/// What the signals of this process do.
pub struct Signals {
    /// Held while the process leaves, so that no rotation is begun meanwhile.
    armed: Arc<Mutex<Armed>>,
    told: watch::Receiver<Signal>,
    /// What is said, and the exit status, when a rotation is left at once.
    leaving: Arc<Mutex<(String, Exit)>>,
}

impl Signals {
    /// Listens from now on. To be called before anything else is done.
    pub(super) fn listen(json: bool) -> Self {
        let (tell, told) = watch::channel(Signal::Run);
        let armed = Arc::new(Mutex::new(Armed::No));
        let caught = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
        let shared = Arc::clone(&armed);
        let early = "left at once; `handover status` says whether anything had begun".to_owned();
        let leaving = Arc::new(Mutex::new((early, Exit::Waiting)));
        let said = Arc::clone(&leaving);
        tokio::spawn(async move {
            let (Ok(mut interrupt), Ok(mut terminate)) = caught else {
                // Without signal handlers a signal ends the process, which a rotation survives. The channel stays open.
                std::future::pending::<()>().await;
                drop(tell);
                return;
            };
            let mut times = 0;
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                let armed = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let look = *armed == Armed::Look;
                if *armed == Armed::No {
                    let exit = Exit::Refused as u8;
                    out::note("stopped before anything was changed");
                    if json {
                        let line = serde_json::json!({"event": "finished", "outcome": "refused", "exit": exit});
                        let _ = out::data(&line.to_string());
                    }
                    std::process::exit(i32::from(exit));
                }
                drop(armed);
                times += 1;
                if times > 1 {
                    let (text, exit) = said.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    out::note(&text);
                    std::process::exit(i32::from(exit as u8));
                }
                if !look {
                    out::note("stopping at the next safe boundary; once more to leave at once");
                }
                tell.send_replace(Signal::Stop);
            }
        });
        Self { armed, told, leaving }
    }

    /// From now on there is a rotation to be stopped. To be called before one is begun or taken up.
    pub(super) fn arm(&self) -> watch::Receiver<Signal> {
        self.arm_as(Armed::Here)
    }

    /// From now on there is a rotation that another process runs: a signal ends the look at it.
    pub(super) fn arm_look(&self) -> watch::Receiver<Signal> {
        self.arm_as(Armed::Look)
    }

    fn arm_as(&self, armed: Armed) -> watch::Receiver<Signal> {
        *self.armed.lock().unwrap_or_else(PoisonError::into_inner) = armed;
        self.told.clone()
    }

    /// What to say, and the exit status, when a second signal leaves at once.
    pub(super) fn leaving(&self, text: String, exit: Exit) {
        *self.leaving.lock().unwrap_or_else(PoisonError::into_inner) = (text, exit);
    }

    /// Whether it was asked to stop.
    pub(super) fn stopping(&self) -> bool {
        *self.told.borrow() == Signal::Stop
    }
}

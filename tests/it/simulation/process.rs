//! What one process does: takes the rotation up, tells what there is to tell, and runs until it rests or dies.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use futures::FutureExt as _;
use handover::engine::prepare::{Options, prepare};
use handover::engine::{Breakers, Engine, EngineError, Request, Rest, Runner, Signal, Silent, Who, replay};
use handover::journal::{Journal, Owner, Sealer, SqliteJournal};
use handover_rotation::event::Event;
use handover_rotation::name::{RotationId, Slot};
use handover_rotation::outcome::FaultClass;
use handover_rotation::state::Phase;
use handover_rotation::time::{Millis, Span};
use tokio::sync::watch;

use super::case::{Case, credential, inventory};
use super::faults::Kind;
use super::journal::Disk;
use super::net::{Process, fault};
use super::script::{Harm, Nature, Place};
use super::world::Sim;

/// How a process ended.
#[derive(Debug)]
pub(crate) enum End {
    /// It came to rest, at this time of the rotation.
    Rest(Rest, Millis),
    Failed(EngineError),
    Died,
    Panicked,
}

/// What a process is started with.
pub(crate) struct Shift {
    pub(crate) sim: Arc<Sim>,
    pub(crate) process: Arc<Process>,
    pub(crate) case: Arc<Case>,
    pub(crate) real: Arc<SqliteJournal>,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) id: RotationId,
    pub(crate) owner: Owner,
    /// What a person tells it at its start.
    pub(crate) alerts: Vec<u8>,
    pub(crate) resumes: bool,
}

/// An owner as the journal sees it: of this host and boot, in a process namespace. A process id of 0 is never alive, so whoever
/// shares the namespace knows that its owner is dead; whoever does not must wait for the lease.
pub(crate) fn owner(number: u32, namespace: u32, boot_id: String) -> Owner {
    Owner {
        host: "simulated".to_owned(),
        pid: 0,
        process_start: u64::from(number),
        boot_id,
        pid_namespace: format!("pid:[{namespace}]"),
        nonce: number.to_string(),
    }
}

impl Shift {
    /// The life of the process.
    pub(crate) async fn live(self, signal: watch::Receiver<Signal>) -> End {
        let process = Arc::clone(&self.process);
        let life = AssertUnwindSafe(self.work(signal)).catch_unwind();
        tokio::select! {
            biased;
            () = process.death() => End::Died,
            end = life => match end {
                Ok(Ok((rest, now))) => End::Rest(rest, now),
                Ok(Err(error)) => End::Failed(error),
                Err(_) => End::Panicked,
            },
        }
    }

    fn engine(&self) -> Engine {
        let disk = Disk {
            sim: Arc::clone(&self.sim),
            process: Arc::clone(&self.process),
            real: Arc::clone(&self.real),
            stopped: AtomicBool::new(false),
        };
        let (sim, process) = (Arc::clone(&self.sim), Arc::clone(&self.process));
        Engine {
            journal: Arc::new(disk),
            sealer: Arc::clone(&self.sealer),
            clock: self.sim.clone(),
            owner: self.owner.clone(),
            host: Arc::new(move || {
                let strike = sim.pass("host", Nature::Host, process.number);
                match sim.hits(strike, Place::Before, process.number) {
                    Some(Harm::Kill) => process.die(),
                    Some(Harm::NotDone) => return Err(fault(FaultClass::Temporary, "it cannot be looked at")),
                    Some(_) => return Err(fault(FaultClass::Permanent, "no room on this machine")),
                    None => {}
                }
                match sim.strikes(Kind::HostRefuses) {
                    true => Err(fault(FaultClass::Permanent, "no room on this machine")),
                    false => Ok(()),
                }
            }),
            breakers: Breakers::default(),
            hashes: |_| Vec::new(),
        }
    }

    async fn work(self, mut signal: watch::Receiver<Signal>) -> Result<(Rest, Millis), EngineError> {
        let engine = self.engine();
        let begun = self.sim.lock().book.plan.is_some();
        let mut runner = if begun {
            engine.resume(&self.id, self.case.ports(&self.sim, &self.process), "sim").await?
        } else {
            self.begin(&engine).await?
        };
        for slot in self.alerts.iter().map(|s| Slot(*s)) {
            let known = runner.rotation().versions.contains_key(&slot) && runner.rotation().ended().is_none();
            if known && !runner.rotation().versions[&slot].compromised {
                let within = Span::minutes(self.sim.between(0, 10));
                let alert = Event::Compromised { slot, within, source: "sim".to_owned() };
                runner.tell(alert, &mut Silent).await?;
            }
        }
        if self.resumes && matches!(runner.rotation().phase, Phase::Stuck { .. }) {
            runner.tell(Event::Resumed { by: "sim".to_owned() }, &mut Silent).await?;
        }
        let rest = runner.run(self.case.patient, &mut signal, &mut Silent).await?;
        if self.sim.between(0, 9) == 0 {
            self.refold(&runner).await;
        }
        Ok((rest, runner.now()))
    }

    async fn begin(&self, engine: &Engine) -> Result<Runner, EngineError> {
        let ports = self.case.ports(&self.sim, &self.process);
        let prepared =
            prepare(inventory(), &credential(), &self.case.playbook, &ports, &self.sealer, Options::default()).await?;
        let mut plan = prepared.plan;
        (plan.policy.sample, plan.policy.sends) = (self.case.sample, self.case.sends);
        let who = Who { by: "sim".to_owned(), reason: None, trigger: None };
        engine.begin_as(self.id.clone(), plan, ports, prepared.old, &who).await
    }

    /// S30: what is in memory is what the journal folds to.
    async fn refold(&self, runner: &Runner) {
        let rows = match self.real.load(&self.id).await {
            Ok(rows) => rows,
            Err(error) => return self.sim.lock().breaks(format!("S28: the rows cannot be loaded: {error}")),
        };
        match replay(&self.id, &rows) {
            Ok(again) if again == *runner.rotation() => {}
            // Another process may have written since.
            Ok(_) if self.sim.lock().book.epoch != self.process.epoch.load(std::sync::atomic::Ordering::Relaxed) => {}
            Ok(_) => self.sim.lock().breaks("S30: the journal folds to another state".to_owned()),
            Err(error) => self.sim.lock().breaks(format!("S28: {error}")),
        }
    }
}

/// Leaves a request in the inbox, as the command line does.
pub(crate) async fn post(sim: &Sim, real: &SqliteJournal, id: &RotationId, request: &Request) {
    let text = serde_json::to_string(request).expect("plain data");
    if real.post(id, &text).await.is_ok() {
        sim.note(|| format!("someone asks: {text}"));
        sim.lock().posted += 1;
    }
}

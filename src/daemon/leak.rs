//! Leak alerts: kept before they are answered, matched, and contained; the incident is closed where it came from only when the
//! version is proven to be refused.
//!
//! ```text
//!   new ──▶ containing ──▶ contained ──▶ closed          of a version that is current or pending
//!    ├────────────────────────────────▶ closed          of one that is dead, as the provider says
//!    └──▶ unknown                                       of none that was ever known: people are told, nothing is changed
//! ```
//!
//! Raw secrets are hashed when they come in and dropped. Everything below may be done again after a restart: a containment that
//! is under way is joined, not begun a second time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use handover_rotation::name::{CredentialName, RotationId, Slot};
use handover_rotation::outcome::{FaultClass, Outcome};
use handover_rotation::playbook::Containment;
use handover_rotation::state::Rotation;
use handover_rotation::time::Span;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::crew::Crew;
use super::desk::Desk;
use super::matching::{Standing, Target};
use super::news::News;
use super::start::{Begin, NotBegun, playbook_of};
use crate::alerts::{Report, Source};
use crate::engine::contained::is_refused;
use crate::engine::known::keyed;
use crate::engine::{EngineError, Request};
use crate::journal::{Alert, AlertChange, AlertState, NewAlert, Trigger};
use crate::marks::Mark;

/// How often alerts that are not closed are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// The most alerts that are read at once.
const MOST: u32 = 10_000;
/// So many are worked on at once; more only of those that fit a version that is known.
const AT_ONCE: usize = 256;
/// The least pause between two looks, however many come in.
const BREATH: Duration = Duration::from_millis(50);
/// How many credentials are looked at, the first time that an alert fits none, before it is called unknown.
const STOCK: usize = 200;
/// The pause before something that is in the way is looked at again.
const PAUSE: Duration = Duration::from_secs(2);
/// So long is waited for those who cannot tell which version is theirs, before an alert that fits none is called unknown.
const PATIENCE_MS: u64 = 15 * 60_000;

/// What the note begins with of an alert that fits a version, or may, and is not acted on: people are told of each.
pub(super) const NOT_CONTAINED: &str = "NOT CONTAINED";

/// What is kept of it: no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What it is called at its source.
    pub reference: String,
    /// Where it can be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// When it was first exposed, if told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposed_ms: Option<u64>,
    /// What it is known by.
    pub marks: Vec<String>,
    /// The source tells only that it is resolved there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closing: bool,
    /// The source only suspects.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspected: bool,
    /// The source is to be asked for what the secret is known by.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub look: bool,
}

impl Desk {
    /// Keeps the reports of one delivery; from then on they will be dealt with. The numbers of those that are new: none for a
    /// repetition.
    ///
    /// # Errors
    /// The journal cannot be written: whoever sent it must send it again.
    pub async fn take_in(&self, digest: [u8; 32], reports: Vec<Report>) -> Result<Vec<u64>, EngineError> {
        let at_ms = self.wall_ms();
        let mut alerts = Vec::new();
        for (part, report) in (0_u32..).zip(reports) {
            let marks = self.marks_of(&report);
            let kept = Kept {
                reference: report.reference,
                url: report.url,
                exposed_ms: report.exposed_ms,
                marks,
                closing: report.closing,
                suspected: report.suspected,
                look: report.look,
            };
            let report_text = serde_json::to_string(&kept).unwrap_or_default();
            alerts.push(NewAlert { digest, part, at_ms, source: report.source, report: report_text });
        }
        let numbers = self.register.take_alerts(alerts).await?;
        for number in &numbers {
            self.tell(News::Alert { number: *number });
        }
        if !numbers.is_empty() {
            self.alerted.notify_one();
        }
        Ok(numbers)
    }

    /// The versions that a report is about. Where none is known by it, what entries hold is looked at first.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn whose(&self, report: &Report) -> Result<BTreeSet<Target>, EngineError> {
        let marks = self.marks_of(report);
        let found = self.targets(&marks).await?;
        if !found.is_empty() || marks.is_empty() {
            return Ok(found);
        }
        let names = self.files.now().inventory.credentials.keys().take(STOCK).cloned().collect();
        drop(self.take_stock_of(names).await);
        self.targets(&marks).await
    }

    /// What a report knows its secret by: raw secrets by a hash that only this journal can make.
    pub(super) fn marks_of(&self, report: &Report) -> Vec<String> {
        let raw = report.raw.iter().map(|raw| keyed(&self.engine.sealer, raw));
        report.marks.iter().map(Mark::text).chain(raw).collect()
    }

    /// What tells a report that came without a delivery from all others.
    #[must_use]
    pub fn digest_of(&self, report: &Report) -> [u8; 32] {
        let text = format!("report\0{}\0{}\0{}", report.source, report.reference, self.marks_of(report).join("\0"));
        let mut digest = [0; 32];
        digest.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()).as_ref());
        digest
    }

    /// Looks at what the entries of these credentials hold: those that cannot be told, each with the reason.
    async fn take_stock_of(&self, names: Vec<CredentialName>) -> BTreeMap<CredentialName, String> {
        let looks = names.into_iter().map(|name| async move {
            let why = self.take_stock(&name).await.err()?;
            Some((name, why.words()))
        });
        let told = futures::stream::iter(looks).buffer_unordered(16);
        told.filter_map(std::future::ready).collect().await
    }

    async fn change(&self, alert: &Alert, change: AlertChange) {
        if let Err(error) = self.register.change_alert(alert.number, change, self.wall_ms()).await {
            tracing::warn!(alert = alert.number, code = error.code, "what became of an alert cannot be written: {error}");
        }
        self.tell(News::Alert { number: alert.number });
    }
}

/// Works on alerts.
pub struct Responder {
    crew: Arc<Crew>,
    desk: Arc<Desk>,
    busy: Mutex<BTreeSet<u64>>,
    /// Of each state that is looked at, where the last look at the older ones ended.
    places: Mutex<BTreeMap<AlertState, u64>>,
    /// Versions that a provider did not list, and since when.
    absent: Mutex<BTreeMap<Target, Instant>>,
    /// Of which files what the entries hold was looked at, and those of which it could not be told.
    stocked: tokio::sync::Mutex<Stocked>,
}

/// What was last looked at.
#[derive(Default)]
struct Stocked {
    generation: Option<u64>,
    began: Option<Instant>,
    untold: BTreeMap<CredentialName, String>,
}

/// What is to become of an alert.
enum Next {
    /// This is known now.
    Change(AlertChange),
    /// Nothing new: look again.
    Wait,
}

impl Responder {
    /// One that works for a crew.
    #[must_use]
    pub fn new(crew: Arc<Crew>) -> Arc<Self> {
        let desk = Arc::clone(&crew.desk);
        Arc::new(Self {
            crew,
            desk,
            busy: Mutex::default(),
            places: Mutex::default(),
            absent: Mutex::default(),
            stocked: tokio::sync::Mutex::default(),
        })
    }

    fn places(&self) -> std::sync::MutexGuard<'_, BTreeMap<AlertState, u64>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn absent(&self) -> std::sync::MutexGuard<'_, BTreeMap<Target, Instant>> {
        self.absent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on what is there, for ever.
    pub async fn respond_for_ever(self: Arc<Self>) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut news = self.desk.watch();
        // Before anything leaks: when it does, whoever would tell may be down.
        let early = Arc::clone(&self);
        tokio::spawn(async move { early.take_stock().await });
        loop {
            self.look().await;
            tokio::select! {
                _ = look.tick() => {}
                () = self.desk.alerted.notified() => {}
                // The end of a containment is acted on at once.
                () = ended(&mut news) => {}
            }
            if self.crew.stopping() {
                return;
            }
            tokio::time::sleep(BREATH).await;
        }
    }

    /// Sets every alert that is not closed going, each once, the oldest first. Where many wait, those that fit a version that is known
    /// do not wait for the others.
    async fn look(self: &Arc<Self>) {
        for state in [AlertState::New, AlertState::Containing, AlertState::Contained] {
            let alerts = match self.desk.register.alerts(Some(state), MOST).await {
                Ok(alerts) => alerts,
                Err(error) => {
                    tracing::warn!(code = error.code, "alerts cannot be read: {error}");
                    continue;
                }
            };
            let alerts = self.and_older(state, alerts).await;
            for alert in alerts.into_iter().rev() {
                let (known, crowd) = {
                    let busy = self.busy();
                    (busy.contains(&alert.number), busy.len() >= AT_ONCE)
                };
                if known || crowd && state == AlertState::New && !self.fits(&alert).await {
                    continue;
                }
                self.busy().insert(alert.number);
                let responder = Arc::clone(self);
                tokio::spawn(async move { responder.work(alert).await });
            }
        }
    }

    fn busy(&self) -> std::sync::MutexGuard<'_, BTreeSet<u64>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it fits a version without asking anybody. Where that cannot be told, it is worked on.
    async fn fits(&self, alert: &Alert) -> bool {
        let Ok(kept) = serde_json::from_str::<Kept>(&alert.report) else { return true };
        for mark in &kept.marks {
            if !self.desk.register.bearers(mark).await.is_ok_and(|bearers| bearers.is_empty()) {
                return true;
            }
        }
        false
    }

    /// With the newest, as many of the others: each look goes on where the last one ended, so that those that are in the way for long
    /// hide none that is older.
    async fn and_older(&self, state: AlertState, mut alerts: Vec<Alert>) -> Vec<Alert> {
        let Some(last) = alerts.last().filter(|_| alerts.len() == MOST as usize).map(|alert| alert.number) else {
            self.places().remove(&state);
            return alerts;
        };
        let from = self.places().get(&state).copied().unwrap_or(last).min(last);
        let older = self.desk.register.alerts_below(state, from, MOST).await.unwrap_or_default();
        match older.last().filter(|_| older.len() == MOST as usize) {
            Some(end) => drop(self.places().insert(state, end.number)),
            None => drop(self.places().remove(&state)),
        }
        alerts.extend(older);
        alerts
    }

    async fn work(self: Arc<Self>, alert: Alert) {
        let next = match alert.state {
            AlertState::New => self.first(&alert).await,
            AlertState::Containing => self.contained(&alert).await,
            AlertState::Contained => self.close(&alert).await,
            AlertState::Closed | AlertState::Unknown => Ok(Next::Wait),
        };
        match next {
            Ok(Next::Change(change)) => self.desk.change(&alert, change).await,
            Ok(Next::Wait) => {}
            Err(error) => tracing::warn!(alert = alert.number, "an alert cannot be dealt with for now: {}", error.fault()),
        }
        self.busy().remove(&alert.number);
    }

    async fn first(&self, alert: &Alert) -> Result<Next, EngineError> {
        let Ok(kept) = serde_json::from_str::<Kept>(&alert.report) else {
            return Ok(change(AlertState::Unknown, None, None, "what was kept of it cannot be read"));
        };
        let mut marks = kept.marks.clone();
        if kept.look {
            match self.asked(alert, &kept).await {
                Ok(found) => marks.extend(found),
                // Asked again at the next look, for as long as it takes.
                Err(why) => return self.again(alert, why).await,
            }
        }
        let mut targets = self.desk.targets(&marks).await?;
        if targets.is_empty() && !marks.is_empty() {
            let untold = self.take_stock().await;
            targets = self.desk.targets(&marks).await?;
            if let (true, Some((credential, why))) = (targets.is_empty(), untold.first_key_value()) {
                let note = format!(
                    "it fits no version that is known, and what {} of the credentials hold cannot be told, such as {credential}: {why}",
                    untold.len()
                );
                // It may be theirs: whoever cannot be asked now is asked again, and only then it is called unknown.
                if self.desk.wall_ms().saturating_sub(alert.at_ms) < PATIENCE_MS {
                    return self.again(alert, note).await;
                }
                return Ok(change(AlertState::Unknown, None, None, &format!("{note}; nothing was changed")));
            }
        }
        if kept.closing {
            return Ok(change(
                AlertState::Closed,
                first_credential(&targets),
                None,
                "its source says that it is resolved there",
            ));
        }
        if targets.is_empty() {
            return Ok(change(
                AlertState::Unknown,
                None,
                None,
                "it fits no version that was ever known: nothing was changed",
            ));
        }
        if kept.suspected {
            let note = "its source only suspects a leak: nothing was changed; `handover rotate` with the playbook of a leak contains it";
            return Ok(change(AlertState::Unknown, first_credential(&targets), None, note));
        }
        let mut dead = Vec::new();
        let mut unsure = None;
        for target in &targets {
            match self.desk.standing(target).await? {
                Standing::UnderWay(id, slot) => return self.join(alert, target, &id, slot).await,
                Standing::Live => {
                    self.absent().remove(target);
                    return self.contain(alert, target).await;
                }
                Standing::Dead(why) => dead.push(format!("{} of {}: {why}", target.version, target.credential)),
                Standing::Absent(settle) => {
                    let first = *self.absent().entry(target.clone()).or_insert_with(Instant::now);
                    if first.elapsed() < Duration::from_millis(settle.0) {
                        let note =
                            format!("{} is not listed at its provider: looked at again after {settle}", target.version);
                        return self.again(alert, note).await;
                    }
                    self.absent().remove(target);
                    dead.push(format!(
                        "{} of {}: the provider has not listed it for {settle}",
                        target.version, target.credential
                    ));
                }
                // Nobody says that it is dead: what cannot be told is contained.
                Standing::Unsure(why) => unsure = unsure.or(Some((target, why))),
            }
        }
        match unsure {
            Some((target, why)) => {
                tracing::warn!(
                    alert = alert.number,
                    "whether the leaked version lives cannot be told ({why}): it is contained"
                );
                self.contain(alert, target).await
            }
            None => Ok(change(AlertState::Closed, first_credential(&targets), None, &format!("dead: {}", dead.join("; ")))),
        }
    }

    /// Leaves an alert as it is, with what is in the way, and has it looked at again.
    async fn again(&self, alert: &Alert, note: String) -> Result<Next, EngineError> {
        if note != alert.note {
            let change = AlertChange { state: AlertState::New, credential: None, rotation: None, note };
            self.desk.change(alert, change).await;
        }
        tokio::time::sleep(PAUSE).await;
        Ok(Next::Wait)
    }

    /// Tells the rotation that has the version that it has leaked.
    async fn join(&self, alert: &Alert, target: &Target, id: &RotationId, slot: Slot) -> Result<Next, EngineError> {
        let rotation = self.desk.rotation(id).await?;
        let credential = Some(target.credential.to_string());
        if rotation.versions.get(&slot).is_some_and(|version| version.compromised) {
            let note = format!("rotation {id} contains it already");
            return Ok(change(AlertState::Containing, credential, Some(id.clone()), &note));
        }
        let request = Request::Compromised {
            slot,
            within: self.within(target),
            source: format!("{} alert {}", alert.source, alert.number),
        };
        let text = serde_json::to_string(&request).unwrap_or_default();
        self.desk.engine.journal.post(id, &text).await?;
        self.crew.nudge();
        let note = format!("rotation {id}, which is under way, was told to contain it");
        Ok(change(AlertState::Containing, credential, Some(id.clone()), &note))
    }

    /// How soon the leaked version must be dead, as the playbook for leaks says.
    fn within(&self, target: &Target) -> Span {
        let files = self.desk.files.now();
        let playbook = files.inventory.credentials.get(&target.credential).map(|c| playbook_of(c, true));
        match playbook.and_then(|name| files.playbooks.get(&name)?.containment) {
            Some(Containment::Deadline(deadline)) => deadline,
            Some(Containment::RevokeFirst) | None => Span(0),
        }
    }

    /// Begins the containment of a version that no rotation has.
    async fn contain(&self, alert: &Alert, target: &Target) -> Result<Next, EngineError> {
        let files = self.desk.files.now();
        let credential = Some(target.credential.to_string());
        let Some(settings) = files.inventory.credentials.get(&target.credential) else {
            let note = format!(
                "credential {} is not in the inventory any more: revoke {} at its provider",
                target.credential, target.version
            );
            return Ok(change(AlertState::Unknown, credential, None, &note));
        };
        let kept: Option<Kept> = serde_json::from_str(&alert.report).ok();
        let begin = Begin {
            credential: target.credential.clone(),
            playbook: playbook_of(settings, true),
            plan: None,
            by: format!("{} alert {}", alert.source, alert.number),
            reason: kept.map(|kept| kept.reference),
            trigger: Some(Trigger::Alert(alert.number)),
            time_scale: 1,
            replaces: Some(target.version.clone()),
        };
        match self.crew.insist(&begin).await {
            // The trigger has made it `containing` with the first row.
            Ok(_) => Ok(Next::Wait),
            Err(NotBegun::Before) => Ok(Next::Wait),
            Err(NotBegun::UnderWay(id)) => {
                let rotation = self.desk.rotation(&id).await?;
                if rotation.versions.values().any(|version| version.id.as_ref() == Some(&target.version)) {
                    // Begun meanwhile: it is joined at the next look.
                    return Ok(Next::Wait);
                }
                let note = format!(
                    "{NOT_CONTAINED}: rotation {id} holds the account and does not have {}: end it (`handover status {id}`), or revoke \
                     {} at its provider by hand",
                    target.version, target.version
                );
                self.again(alert, note).await
            }
            // Tried again for ever: somebody may have mended what was in the way.
            Err(why @ NotBegun::Fault(..)) => {
                let note = format!("{NOT_CONTAINED}: {}; revoke {} at its provider by hand", why.words(), target.version);
                self.desk.tell(News::NotBegun { credential: target.credential.clone(), why: note.clone() });
                self.again(alert, note).await
            }
        }
    }

    /// Whether the rotation that contains it has come to where the version is refused.
    async fn contained(&self, alert: &Alert) -> Result<Next, EngineError> {
        let Some(id) = &alert.rotation else {
            return Ok(change(AlertState::New, None, None, "it has no rotation any more"));
        };
        let rotation = self.desk.rotation(id).await?;
        let Some(how) = refused(&rotation) else {
            return match rotation.ended() {
                // It ended without having heard of the leak: what was left in its inbox went with it.
                Some(_) => {
                    Ok(change(AlertState::New, alert.credential.clone(), None, "the rotation ended before it heard of it"))
                }
                None => Ok(Next::Wait),
            };
        };
        Ok(change(AlertState::Contained, alert.credential.clone(), Some(id.clone()), &how))
    }

    /// The marks of a report that came without, from its source.
    async fn asked(&self, alert: &Alert, kept: &Kept) -> Result<Vec<String>, String> {
        let Some(source) = self.source(alert) else {
            return Err(format!("source {} cannot be asked what has leaked", alert.source));
        };
        match source.look(&kept.reference).await {
            Outcome::Done(report) => Ok(self.desk.marks_of(&report)),
            Outcome::NotDone(fault) | Outcome::Unknown(fault) => {
                Err(format!("source {} does not tell what has leaked: {fault}", alert.source))
            }
        }
    }

    /// The source of an alert, if the inventory still has it.
    fn source(&self, alert: &Alert) -> Option<Arc<dyn Source>> {
        let files = self.desk.files.now();
        let mut sources = files.sources.iter();
        let (_, source) = sources.find(|(name, _)| name.as_str() == alert.source)?;
        source.as_ref().ok().map(Arc::clone)
    }

    /// Closes the incident where it came from.
    async fn close(&self, alert: &Alert) -> Result<Next, EngineError> {
        let kept: Option<Kept> = serde_json::from_str(&alert.report).ok();
        if let (Some(source), Some(kept)) = (self.source(alert), kept)
            && source.able().closes
        {
            let note = format!("Handover: {}", alert.note);
            if let Outcome::NotDone(fault) | Outcome::Unknown(fault) = source.close(&kept.reference, &note).await {
                tracing::warn!(alert = alert.number, "the incident is not closed at {} yet: {fault}", alert.source);
                if fault.class != FaultClass::Permanent {
                    tokio::time::sleep(Duration::from_secs(15)).await;
                    return Ok(Next::Wait);
                }
                let note = format!("{}; the incident at {} could not be closed: {fault}", alert.note, alert.source);
                return Ok(change(AlertState::Closed, alert.credential.clone(), alert.rotation.clone(), &note));
            }
        }
        Ok(change(AlertState::Closed, alert.credential.clone(), alert.rotation.clone(), &alert.note))
    }

    /// Looks once a generation of the files at what the entries of every credential hold, and again at those that could not tell:
    /// which these are, and why. Many who ask at the same time are told by one look.
    async fn take_stock(&self) -> BTreeMap<CredentialName, String> {
        let asked = Instant::now();
        let files = self.desk.files.now();
        let mut stocked = self.stocked.lock().await;
        let known = stocked.generation == Some(files.generation);
        if known && stocked.began.is_some_and(|began| began >= asked) {
            return stocked.untold.clone();
        }
        let again: Vec<CredentialName> = match known {
            true => stocked.untold.keys().cloned().collect(),
            false => files.inventory.credentials.keys().take(STOCK).cloned().collect(),
        };
        let began = Some(Instant::now());
        let untold = self.desk.take_stock_of(again).await;
        *stocked = Stocked { generation: Some(files.generation), began, untold };
        stocked.untold.clone()
    }
}

/// Until a rotation has ended.
async fn ended(news: &mut tokio::sync::broadcast::Receiver<News>) {
    loop {
        match news.recv().await {
            Ok(News::Recorded { rotation, .. }) if rotation.ended().is_some() => return,
            Ok(_) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
            Err(tokio::sync::broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

fn first_credential(targets: &BTreeSet<Target>) -> Option<String> {
    targets.first().map(|target| target.credential.to_string())
}

fn change(state: AlertState, credential: Option<String>, rotation: Option<RotationId>, note: &str) -> Next {
    Next::Change(AlertChange { state, credential, rotation, note: note.to_owned() })
}

/// How the compromised versions of a rotation are known to be refused, if they are.
pub(super) fn refused(rotation: &Rotation) -> Option<String> {
    is_refused(rotation).then(|| format!("refused, as rotation {} has proven", rotation.id))
}

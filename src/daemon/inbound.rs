//! Deliveries of alert sources: proven by their source, kept in the journal, and only then answered. What a sender sends once and
//! never again is asked for from time to time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use handover_rotation::name::AlertName;
use handover_rotation::outcome::{Fault, Outcome};

use super::crew::Crew;
use super::desk::Desk;
use crate::alerts::{Delivery, Rejected, Report, Source};
use crate::engine::EngineError;

/// The sources of the files in force; one that cannot be opened, with why.
pub type Sources = BTreeMap<AlertName, Result<Arc<dyn Source>, Fault>>;

/// How often is looked whether a source wants to be asked.
const LOOK: Duration = Duration::from_secs(5);
/// At the first time, and after a long pause, incidents of so long ago are asked for.
const BACK_MS: u64 = 7 * 86_400_000;
/// Asked for again, since clocks differ and answers are late.
const OVERLAP_MS: u64 = 10 * 60_000;

/// The most alerts of one delivery.
const MOST_REPORTS: usize = 1_000;

/// Whether a delivery is taken.
enum Admitted {
    /// It is within the limit of its source.
    Within,
    /// Beyond that, since it fits this mark of a version that is known.
    By(String),
    /// No.
    Not,
}

/// Why a delivery is not taken.
pub(super) enum Refused {
    /// There is no such source.
    Missing,
    /// The source says so.
    Rejected(Rejected),
    /// It cannot be kept: to be sent again.
    Unkept(Fault),
    /// Its source has brought too many: to be sent again later.
    TooMany,
}

impl From<Rejected> for Refused {
    fn from(rejected: Rejected) -> Self {
        Self::Rejected(rejected)
    }
}

impl Desk {
    /// Takes a delivery in: how many new reports it brought.
    pub(super) async fn deliver(self: &Arc<Self>, name: &str, delivery: &Delivery<'_>) -> Result<usize, Refused> {
        let files = self.files.now();
        let source = files.sources.iter().find(|(known, _)| known.as_str() == name).map(|(_, source)| source);
        let source = match source {
            Some(Ok(source)) if source.able().receives => source,
            Some(Err(fault)) => return Err(Refused::Unkept(fault.clone())),
            Some(Ok(_)) | None => return Err(Refused::Missing),
        };
        let received = match source.receive(delivery).await {
            Ok(received) => received,
            Err(rejected) => {
                self.say_refused(name, rejected.code, &rejected.why);
                return Err(rejected.into());
            }
        };
        if received.reports.len() > MOST_REPORTS {
            let why = format!("the delivery tells of more than {MOST_REPORTS} alerts");
            self.say_refused(name, "HO1113", &why);
            return Err(Rejected { status: 413, code: "HO1113", why }.into());
        }
        if self.limits.knows(&received.digest) {
            return Ok(0);
        }
        let admitted = self.admits(name, &received.reports).await.map_err(|error| Refused::Unkept(error.fault()))?;
        if matches!(admitted, Admitted::Not) {
            self.say_refused(
                name,
                "HO1090",
                "its source has brought too many, and it fits nothing that is not dealt with already",
            );
            return Err(Refused::TooMany);
        }
        if let Some(note) = &received.note {
            tracing::warn!(source = name, "{note}");
        }
        if let Some(address) = received.confirm {
            let (source, name) = (Arc::clone(source), name.to_owned());
            tokio::spawn(async move {
                match source.confirm(&address).await {
                    Outcome::Done(()) => tracing::info!(source = name, "its subscription is confirmed"),
                    Outcome::NotDone(fault) | Outcome::Unknown(fault) => {
                        tracing::warn!(source = name, "its subscription is not confirmed: {fault}");
                    }
                }
            });
        }
        let (digest, some) = (received.digest, !received.reports.is_empty());
        let kept = self.take_in(digest, received.reports).await.map_err(|error| {
            // What could not be kept keeps none out that is sent again.
            if let Admitted::By(mark) = &admitted {
                self.limits.forget(mark);
            }
            Refused::Unkept(error.fault())
        })?;
        if some {
            self.limits.took(digest);
        }
        Ok(kept.len())
    }

    /// Whether the alerts of a delivery are taken: within the limit of their source, or because they fit a version that is known.
    async fn admits(&self, source: &str, reports: &[Report]) -> Result<Admitted, EngineError> {
        let now = Instant::now();
        if reports.is_empty() || self.limits.admits(source, reports.len(), now) {
            return Ok(Admitted::Within);
        }
        for mark in reports.iter().flat_map(|report| self.marks_of(report)) {
            if !self.register.bearers(&mark).await?.is_empty() && self.limits.admits_mark(&mark, now) {
                return Ok(Admitted::By(mark));
            }
        }
        Ok(Admitted::Not)
    }

    /// Logs that a delivery is refused, but not each of a flood.
    fn say_refused(&self, source: &str, code: &str, why: &str) {
        match self.limits.says(source, code, Instant::now()) {
            Some(0) => tracing::warn!(source, code, "a delivery is refused: {why}"),
            Some(more) => {
                tracing::warn!(source, code, more, "a delivery is refused, as were more since this was last said: {why}")
            }
            None => {}
        }
    }

    /// Asks the sources that can be asked, each as often as it wants, for ever.
    pub(super) async fn ask_for_ever(self: Arc<Self>, crew: Arc<Crew>) {
        let mut next: BTreeMap<String, (tokio::time::Instant, u64)> = BTreeMap::new();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            if crew.stopping() {
                return;
            }
            let files = self.files.now();
            let now_ms = self.wall_ms();
            let can = files.sources.iter().filter_map(|(name, source)| {
                let source = source.as_ref().ok()?;
                Some((name, source, source.able().polls_every?))
            });
            let mut asked = Vec::new();
            for (name, source, every) in can {
                let key = name.to_string();
                let since = match next.get(&key) {
                    Some((at, _)) if *at > tokio::time::Instant::now() => continue,
                    Some((_, since)) => *since,
                    None => now_ms.saturating_sub(BACK_MS),
                };
                let source = Arc::clone(source);
                asked.push(async move { (key, every, since, source.poll(since).await) });
            }
            // One that gives no answer holds up no other for longer than its own limit.
            for (key, every, since, polled) in futures::future::join_all(asked).await {
                let since = match polled {
                    Outcome::Done(polled) => match self.take_polled(&key, polled.reports).await {
                        Ok(()) if polled.complete => now_ms.saturating_sub(OVERLAP_MS),
                        Ok(()) => since,
                        Err(fault) => {
                            tracing::warn!(source = key, "what it reports cannot be kept: {fault}");
                            since
                        }
                    },
                    Outcome::NotDone(fault) | Outcome::Unknown(fault) => {
                        tracing::warn!(source = key, "it cannot be asked: {fault}");
                        since
                    }
                };
                next.insert(key, (tokio::time::Instant::now() + Duration::from_millis(every.0), since));
            }
        }
    }

    /// Keeps what a source reported when it was asked: each incident once.
    async fn take_polled(&self, source: &str, reports: Vec<Report>) -> Result<(), Fault> {
        for report in reports {
            let name = format!("polled\0{source}\0{}\0{}", report.reference, report.closing);
            let mut digest = [0; 32];
            digest.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes()).as_ref());
            self.take_in(digest, vec![report]).await.map_err(|error| error.fault())?;
        }
        Ok(())
    }
}

impl Refused {
    /// The status, the code and the words of the answer.
    pub(super) fn answer(&self) -> (StatusCode, &str, &str) {
        match self {
            Self::Missing => (StatusCode::NOT_FOUND, "HO1021", "there is no such source of alerts"),
            Self::Rejected(rejected) => {
                let status = StatusCode::from_u16(rejected.status).unwrap_or(StatusCode::BAD_REQUEST);
                (status, rejected.code, &rejected.why)
            }
            Self::TooMany => (
                StatusCode::TOO_MANY_REQUESTS,
                "HO1090",
                "its source has brought too many alerts: send it again in a minute",
            ),
            Self::Unkept(fault) => (StatusCode::SERVICE_UNAVAILABLE, &fault.code, "it cannot be kept now: send it again"),
        }
    }
}

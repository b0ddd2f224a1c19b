//! Who is told of a notice: pure. The owners of the services that it concerns are told by mail where a notifier of that kind says
//! `to_owners`, and by any notifier that is theirs (`owners` in the inventory).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use handover_rotation::outcome::{Fault, FaultClass, Outcome};

use super::{Notice, NoticeKind, Notifier};
use crate::config::mail_address;
use crate::config::notify::NotifierSpec;

/// Between a notifier's name, which cannot have it, and a recipient.
const MARK: char = '/';

/// Whom a notifier tells, where each is told by a call of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipients {
    /// These, always.
    pub always: Vec<String>,
    /// The owners of the services that a notice concerns, where they are mail addresses.
    pub owners: bool,
}

/// What one notifier is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    on: BTreeSet<NoticeKind>,
    /// It must hear of the end of what it was told of.
    ends: bool,
    credentials: BTreeSet<String>,
    owners: BTreeSet<String>,
    recipients: Option<Recipients>,
}

impl Route {
    /// The route of a notifier of an inventory.
    #[must_use]
    pub fn new(spec: &NotifierSpec, notifier: &dyn Notifier) -> Self {
        Self {
            on: spec.on.clone().unwrap_or_else(|| notifier.usual().iter().copied().collect()),
            ends: notifier.keeps_incidents(),
            credentials: spec.credentials.iter().map(ToString::to_string).collect(),
            owners: spec.owners.clone(),
            recipients: notifier.recipients().cloned(),
        }
    }

    /// Whether it is told of this at all.
    #[must_use]
    pub fn takes(&self, notice: &Notice) -> bool {
        let topic = self.on.contains(&notice.kind) || self.ends && notice.ends;
        let credential =
            self.credentials.is_empty() || notice.credential.as_ref().is_some_and(|c| self.credentials.contains(c));
        let owner = self.owners.is_empty() || notice.owners.iter().any(|o| self.owners.contains(o));
        topic && credential && owner
    }
}

/// All notifiers of an inventory.
#[derive(Clone, Default)]
pub struct Notifiers {
    all: BTreeMap<String, (Route, Arc<dyn Notifier>)>,
}

impl Notifiers {
    /// Adds one by its name.
    pub fn add(&mut self, name: &str, spec: &NotifierSpec, notifier: Arc<dyn Notifier>) {
        self.all.insert(name.to_owned(), (Route::new(spec, &*notifier), notifier));
    }

    /// The targets that are to be told, each by a row of its own in the outbox: a notifier, or one of its recipients.
    #[must_use]
    pub fn targets(&self, notice: &Notice) -> Vec<String> {
        let mut targets = Vec::new();
        for (name, (route, _)) in self.all.iter().filter(|(_, (route, _))| route.takes(notice)) {
            let Some(recipients) = &route.recipients else {
                targets.push(name.clone());
                continue;
            };
            let owners = notice.owners.iter().filter(|o| recipients.owners && mail_address(o));
            let all: BTreeSet<&String> = recipients.always.iter().chain(owners).collect();
            targets.extend(all.into_iter().map(|to| format!("{name}{MARK}{to}")));
        }
        targets
    }

    /// After this long a try for a target has surely ended.
    #[must_use]
    pub fn request_timeout(&self, target: &str) -> handover_rotation::time::Span {
        let name = target.split(MARK).next().unwrap_or_default();
        self.all.get(name).map_or(super::DEFAULT_TIMEOUT, |(_, notifier)| notifier.request_timeout())
    }

    /// Tells a target.
    ///
    /// # Errors
    /// `HO1224` if there is no such notifier any more; what the notifier says otherwise.
    pub async fn tell(&self, target: &str, notice: &Notice) -> Outcome<()> {
        let (name, to) = match target.split_once(MARK) {
            Some((name, to)) => (name, Some(to)),
            None => (target, None),
        };
        match self.all.get(name) {
            Some((_, notifier)) => notifier.tell(notice, to).await,
            None => {
                let what = format!("there is no notifier `{name}` in the inventory any more");
                Outcome::NotDone(Fault::new(FaultClass::Permanent, "HO1224", what))
            }
        }
    }

    /// The names of the notifiers.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all.keys().map(String::as_str)
    }
}

//! The kinds of notifiers: a line each, and the notifiers of an inventory.

use std::sync::Arc;

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, Outcome};
use handover_rotation::time::Span;
use serde_json::Value;

use super::{Registry, unreadable};
use crate::config::fields::Fields;
use crate::config::inventory::Inventory;
use crate::config::notify::MailLogin;
use crate::egress::Guard;
use crate::mail::{Letters, Timeouts};
use crate::notify::email::Email;
use crate::notify::pagerduty::PagerDuty;
use crate::notify::slack::Slack;
use crate::notify::webhook::Webhook;
use crate::notify::{Broken, Carrier, Notifier, Notifiers};
use crate::secret::Login;

/// A kind of notifier.
pub(super) struct NotifierKind {
    pub(super) name: &'static str,
    pub(super) check: fn(&mut Fields<'_>),
    pub(super) schema: fn() -> Value,
    /// The login that it sends mail with, if it does.
    pub(super) login: Option<fn(&mut Fields<'_>) -> Option<MailLogin>>,
    open: Open,
}

type Open = fn(&mut Fields<'_>, &Guard) -> Result<Arc<dyn Notifier>, Fault>;

macro_rules! kind {
    ($name:literal $type:ty) => {
        NotifierKind {
            name: $name,
            check: |fields| {
                let _ = <$type>::options(fields);
            },
            schema: <$type>::schema,
            login: None,
            open: |fields, guard| {
                let options = <$type>::options(fields).ok_or_else(|| unreadable($name))?;
                Ok(Arc::new(<$type>::open(options, guard)?))
            },
        }
    };
}

const NOTIFIERS: &[NotifierKind] = &[
    NotifierKind {
        name: "email",
        check: |fields| {
            let _ = Email::options(fields);
        },
        schema: Email::schema,
        login: Some(Email::login),
        open: |fields, guard| {
            let options = Email::options(fields).ok_or_else(|| unreadable("email"))?;
            let letters = Letters::new(options.server.clone(), guard.clone(), Timeouts::default());
            Ok(Arc::new(Email::open(options, Arc::new(Carried(letters)))))
        },
    },
    kind!("pagerduty" PagerDuty),
    kind!("slack" Slack),
    kind!("webhook" Webhook),
];

pub(super) fn names() -> Vec<&'static str> {
    NOTIFIERS.iter().map(|k| k.name).collect()
}

pub(super) fn kind(name: &str) -> Option<&'static NotifierKind> {
    NOTIFIERS.iter().find(|k| k.name == name)
}

/// The mail room carries letters for those who may not know it.
struct Carried(Letters);

#[async_trait]
impl Carrier for Carried {
    fn request_timeout(&self) -> Span {
        self.0.request_timeout()
    }

    async fn carry(&self, login: &Login, from: &str, to: &str, message: &[u8]) -> Outcome<()> {
        self.0.send(login, from, to, message).await
    }
}

impl Registry {
    /// The notifiers of an inventory. One that cannot be made says why each time it should tell: the others tell all the same.
    #[must_use]
    pub fn notifiers(self, inventory: &Inventory) -> Notifiers {
        self.notifiers_through(inventory, &Guard::new(inventory.egress.clone()))
    }

    /// The same through a guard of one's own.
    #[must_use]
    pub fn notifiers_through(self, inventory: &Inventory, guard: &Guard) -> Notifiers {
        let mut all = Notifiers::default();
        for (name, spec) in &inventory.notify {
            let kind = kind(&spec.spec.kind).ok_or_else(|| unreadable(&spec.spec.kind));
            let opened = kind.and_then(|kind| (kind.open)(&mut Fields::new(&spec.spec.options, "notifier"), guard));
            all.add(name, spec, opened.unwrap_or_else(|fault| Arc::new(Broken(fault))));
        }
        all
    }
}

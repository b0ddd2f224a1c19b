//! The kinds of places that the audit log is sent to: a line each, and the sinks of an inventory.

use std::sync::Arc;

use handover_rotation::outcome::Fault;
use serde_json::Value;

use super::{Registry, unreadable};
use crate::audit::file::FileSink;
use crate::audit::syslog::Syslog;
use crate::audit::webhook::WebhookSink;
use crate::audit::{Broken, Sink, Sinks};
use crate::config::fields::Fields;
use crate::config::inventory::Inventory;
use crate::egress::Guard;

/// A kind of sink.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) check: fn(&mut Fields<'_>),
    pub(super) schema: fn() -> Value,
    open: Open,
}

type Open = fn(&mut Fields<'_>, &Guard) -> Result<Arc<dyn Sink>, Fault>;

macro_rules! kind {
    ($name:literal $type:ty, $open:expr) => {
        Kind {
            name: $name,
            check: |fields| {
                let _ = <$type>::options(fields);
            },
            schema: <$type>::schema,
            open: |fields, guard| {
                let options = <$type>::options(fields).ok_or_else(|| unreadable($name))?;
                Ok(Arc::new($open(options, guard)?))
            },
        }
    };
}

pub(super) const KINDS: &[Kind] = &[
    kind!("file" FileSink, |options, _: &Guard| FileSink::open(options)),
    kind!("syslog" Syslog, |options, _: &Guard| Syslog::open(options)),
    kind!("webhook" WebhookSink, WebhookSink::open),
];

impl Registry {
    /// The sinks of an inventory. One that cannot be made says why each time it should take something: the others take it all the
    /// same.
    #[must_use]
    pub fn sinks(self, inventory: &Inventory) -> Sinks {
        let guard = Guard::new(inventory.egress.clone());
        let open = |spec: &crate::config::inventory::KindSpec| {
            let kind = KINDS.iter().find(|kind| kind.name == spec.kind).ok_or_else(|| unreadable(&spec.kind));
            let opened = kind.and_then(|kind| (kind.open)(&mut Fields::new(&spec.options, "audit sink"), &guard));
            opened.unwrap_or_else(|fault| Arc::new(Broken(fault)))
        };
        inventory.audit.iter().map(|(name, spec)| (name.clone(), open(spec))).collect()
    }
}

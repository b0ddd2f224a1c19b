//! The kinds of sources of leak alerts: their part of the registry.

use std::collections::BTreeMap;
use std::sync::Arc;

use handover_rotation::name::AlertName;
use handover_rotation::outcome::Fault;
use serde_json::Value;

use super::{Registry, unreadable};
use crate::alerts::Source;
use crate::alerts::alertmanager::Alertmanager;
use crate::alerts::aws_sns::AwsSns;
use crate::alerts::gitguardian::GitGuardian;
use crate::alerts::github::GitHub;
use crate::alerts::gitlab::GitLab;
use crate::alerts::hasmysecretleaked::HasMySecretLeaked;
use crate::alerts::pagerduty::PagerDuty;
use crate::alerts::standard_webhooks::StandardWebhooks;
use crate::config::fields::Fields;
use crate::config::inventory::{Inventory, KindSpec};

/// A kind of source.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) check: fn(&mut Fields<'_>),
    pub(super) schema: fn() -> Value,
    open: fn(&str, &mut Fields<'_>) -> Opened,
}

/// A source, or why it could not be opened.
pub type Opened = Result<Arc<dyn Source>, Fault>;

macro_rules! kind {
    ($name:literal $type:ty) => {
        Kind {
            name: $name,
            check: |fields| {
                let _ = <$type>::options(fields);
            },
            schema: <$type>::schema,
            open: |name, fields| {
                let options = <$type>::options(fields).ok_or_else(|| unreadable($name))?;
                Ok(Arc::new(<$type>::open(name, options)?))
            },
        }
    };
}

pub(super) const KINDS: &[Kind] = &[
    kind!("alertmanager" Alertmanager),
    kind!("aws-sns" AwsSns),
    kind!("github" GitHub),
    kind!("gitguardian" GitGuardian),
    kind!("gitlab" GitLab),
    kind!("hasmysecretleaked" HasMySecretLeaked),
    kind!("pagerduty" PagerDuty),
    kind!("standard-webhooks" StandardWebhooks),
];

impl Registry {
    /// The sources of alerts. One that cannot be opened is among them, with why: the others must not wait for it.
    #[must_use]
    pub fn alerts(self, inventory: &Inventory) -> BTreeMap<AlertName, Opened> {
        let open = |name: &AlertName, spec: &KindSpec| {
            let kind = KINDS.iter().find(|kind| kind.name == spec.kind).ok_or_else(|| unreadable(&spec.kind))?;
            (kind.open)(name.as_str(), &mut Fields::new(&spec.options, "alert source"))
        };
        inventory.alerts.iter().map(|(name, spec)| (name.clone(), open(name, spec))).collect()
    }
}

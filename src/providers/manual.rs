//! The provider `manual`: a relay without an API (shape D). A person makes and revokes its versions at a console; Handover asks
//! them, takes in what they made, does everything else, and checks what they did by logins.
//!
//! It contacts nothing. It has only what a person is told, and how long a change may take to be known.

use async_trait::async_trait;
use handover_rotation::name::{Tag, VersionId};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::{ByHand, ProviderFacts, Shape};
use handover_rotation::time::Span;

use super::{CreatedVersion, ListedVersion, Provider};
use crate::config::{Fields, schema};
use crate::secret::Secret;

/// How long a change may take to be known, where the inventory does not say: relays with several servers take a minute.
const PROPAGATION: Span = Span::seconds(60);

/// A provider without an API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManualProvider {
    by_hand: ByHand,
    propagation: Span,
}

impl ManualProvider {
    /// Reads the options: `{console: TEXT, instructions: TEXT, propagation: 60s}`, each of which may be left out.
    pub fn options(fields: &mut Fields<'_>) -> Option<Self> {
        let by_hand = ByHand { console: fields.optional_str("console"), instructions: fields.optional_str("instructions") };
        let propagation = fields.optional_duration("propagation", Span(0)..=Span::minutes(24 * 60));
        Some(Self { by_hand, propagation: propagation.unwrap_or(PROPAGATION) })
    }

    /// A provider with these options: it contacts nothing.
    ///
    /// # Errors
    /// None.
    pub fn open(options: Self) -> Result<Self, Fault> {
        Ok(options)
    }

    /// What it can do and how fast.
    #[must_use]
    pub fn usual(options: &Self) -> ProviderFacts {
        ProviderFacts {
            kind: "manual".to_owned(),
            shape: Shape::Manual,
            quota: 2,
            propagation: options.propagation,
            request_timeout: Span::seconds(5),
            // There are no calls.
            landing: Span(0),
            chooses_secret: false,
            tells_last_use: false,
        }
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        serde_json::json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "console": {"type": "string", "minLength": 1},
                "instructions": {"type": "string", "minLength": 1},
                "propagation": schema::duration(),
            },
        })
    }
}

/// Nothing was sent: there is nobody to send it to.
fn by_a_person<T>(what: &str) -> Outcome<T> {
    let message = format!("a provider of kind manual cannot {what}: a person does it");
    Outcome::NotDone(Fault::new(FaultClass::Permanent, "HO0514", message).hint("`handover status` says what is asked"))
}

#[async_trait]
impl Provider for ManualProvider {
    fn facts(&self) -> ProviderFacts {
        Self::usual(self)
    }

    fn by_hand(&self) -> Option<ByHand> {
        Some(self.by_hand.clone())
    }

    async fn list(&self, _account: &str) -> Outcome<Vec<ListedVersion>> {
        by_a_person("list versions")
    }

    async fn create(&self, _account: &str, _tag: &Tag, _secret: Option<&Secret>) -> Outcome<CreatedVersion> {
        by_a_person("make a version")
    }

    async fn disable(&self, _account: &str, _id: &VersionId) -> Outcome<()> {
        by_a_person("disable a version")
    }

    async fn enable(&self, _account: &str, _id: &VersionId, _secret: Option<&Secret>) -> Outcome<()> {
        by_a_person("enable a version")
    }

    async fn delete(&self, _account: &str, _id: &VersionId) -> Outcome<()> {
        by_a_person("delete a version")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use handover_rotation::name::RotationId;
    use handover_rotation::name::Slot;

    use super::*;
    use crate::config::Node;

    fn read(text: &str) -> (Option<ManualProvider>, bool) {
        let node = Node::from_yaml("test.yaml", Path::new("/"), text).expect("YAML");
        let mut fields = Fields::new(&node, "provider");
        let provider = ManualProvider::options(&mut fields);
        (provider, fields.finish().has_errors())
    }

    #[test]
    fn its_options_are_read_and_others_refused() {
        let (provider, wrong) = read("{console: \"https://relay.example.com\", instructions: ask Ann, propagation: 5m}");
        let provider = provider.expect("options");
        assert!(!wrong);
        assert_eq!(provider.by_hand().and_then(|h| h.console).as_deref(), Some("https://relay.example.com"));
        assert_eq!(provider.by_hand().and_then(|h| h.instructions).as_deref(), Some("ask Ann"));
        assert_eq!(provider.facts().propagation, Span::minutes(5));
        assert_eq!(
            read("{propagation: 5m}").0.expect("options").by_hand(),
            Some(ByHand { console: None, instructions: None })
        );
        for wrong in ["{consol: x}", "{propagation: 5}", "{propagation: 25h}", "{console: \"\"}", "{console: [a]}"] {
            assert!(read(wrong).1, "{wrong}");
        }
    }

    #[tokio::test]
    async fn it_sends_nothing_and_says_that_a_person_does_it() {
        let provider = read("{console: here}").0.expect("options");
        assert_eq!(provider.facts().shape, Shape::Manual);
        let id = VersionId::new("relay-7").expect("an id");
        let tag = Tag::of(&RotationId::new("r-1").expect("an id"), Slot(1));
        let codes = [
            provider.list("a").await.map(drop),
            provider.create("a", &tag, None).await.map(drop),
            provider.disable("a", &id).await,
            provider.enable("a", &id, None).await,
            provider.delete("a", &id).await,
        ]
        .map(|outcome| match outcome {
            Outcome::NotDone(fault) => fault.code.to_string(),
            other => panic!("{other:?}"),
        });
        assert_eq!(codes, ["HO0514"; 5]);
    }
}

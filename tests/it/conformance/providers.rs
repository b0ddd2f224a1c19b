//! What every kind of provider with an API must do.

use std::sync::Arc;

use async_trait::async_trait;
use handover::providers::{ListedVersion, LiveState, Provider};
use handover::secret::Secret;
use handover_rotation::name::{RotationId, Slot, Tag, VersionId};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::Shape;

use super::Ran;

/// A kind with its server.
#[async_trait]
pub(crate) trait ProviderBench: Send + Sync {
    /// The provider, as the inventory would have it.
    fn provider(&self) -> Arc<dyn Provider>;

    /// The same at a port where nobody listens; `Err` says why there is no such thing.
    fn nowhere(&self) -> Result<Arc<dyn Provider>, &'static str>;

    /// The same with a login that may look, but change nothing; `Err` says why there is no such thing.
    async fn forbidden(&self) -> Result<Arc<dyn Provider>, &'static str>;

    /// The same with answers to changes that are cut off after the server has acted; looks get through. `Err` says why not.
    async fn cutting(&self) -> Result<Arc<dyn Provider>, &'static str>;

    /// An account with one active version that somebody else made, without the adapter: the account and the version's id.
    async fn account(&self, name: &str) -> (String, VersionId);

    /// Whether the server accepts a login now, tried without the adapter.
    async fn accepts(&self, account: &str, username: &str, password: &Secret) -> bool;
}

/// The properties, in the order of the table.
pub(crate) const PROPERTIES: [&str; 11] = [
    "lists what others made, without a tag",
    "makes a version that is accepted",
    "lists it with its tag",
    "disables and enables it",
    "the version of another is untouched",
    "deletes it, and twice is once",
    "says when the account is full",
    "a missing permission is named",
    "unreachable is not done",
    "a lost answer is unknown, and found",
    "no secret in a fault",
];

/// The password where Handover chooses it, cut to what the kind takes.
const CHOSEN: &str = "Chosen-marked-0123456789_abcdef-ABC-xyzw";

fn tag(rotation: &str) -> Tag {
    Tag::of(&RotationId::new(rotation).expect("an id"), Slot(1))
}

async fn list(provider: &dyn Provider, account: &str) -> Vec<ListedVersion> {
    match provider.list(account).await {
        Outcome::Done(list) => list,
        Outcome::NotDone(fault) | Outcome::Unknown(fault) => panic!("it does not list: {fault}"),
    }
}

async fn find(provider: &dyn Provider, account: &str, id: &VersionId) -> Option<ListedVersion> {
    list(provider, account).await.into_iter().find(|v| v.id == *id)
}

/// Runs every property; the first that does not hold panics with its name.
#[expect(clippy::too_many_lines, reason = "a list of properties, read from top to bottom")]
pub(crate) async fn run(bench: &dyn ProviderBench) -> Ran {
    let provider = bench.provider();
    let facts = provider.facts();
    let choice = &CHOSEN[..provider.secret_length().min(CHOSEN.len())];
    let chosen = facts.chooses_secret.then(|| Secret::new(choice.to_owned()));
    let mut faults: Vec<Fault> = Vec::new();
    let mut secrets = vec![Secret::new(choice.to_owned())];
    let mut ran = Ran::new();

    let (account, foreign) = bench.account("plain").await;
    let first = find(&*provider, &account, &foreign).await.expect("the version of another is listed");
    assert_eq!((first.tag, first.state), (None, LiveState::Active), "lists what others made, without a tag");
    ran.push((PROPERTIES[0], Ok(())));

    let made = match provider.create(&account, &tag("suite-1"), chosen.as_ref()).await {
        Outcome::Done(made) => made,
        Outcome::NotDone(fault) | Outcome::Unknown(fault) => panic!("it makes none: {fault}"),
    };
    let secret = match (&made.secret, &chosen) {
        (Some(secret), None) => secret.duplicate(),
        (None, Some(chosen)) => chosen.duplicate(),
        _ => panic!("the secret comes from the provider or from Handover, and from one of them"),
    };
    secrets.push(secret.duplicate());
    let username = made.username.as_str().to_owned();
    assert!(bench.accepts(&account, &username, &secret).await, "makes a version that is accepted");
    ran.push((PROPERTIES[1], Ok(())));

    let listed = find(&*provider, &account, &made.id).await.expect("it is listed");
    assert_eq!((listed.tag, listed.state), (Some(tag("suite-1")), LiveState::Active), "lists it with its tag");
    assert_eq!(listed.username, made.username);
    ran.push((PROPERTIES[2], Ok(())));

    ran.push((
        PROPERTIES[3],
        match facts.shape {
            Shape::DeleteOnly => {
                match provider.disable(&account, &made.id).await {
                    Outcome::NotDone(fault) => faults.push(fault),
                    other => panic!("it cannot disable: {other:?}"),
                }
                assert!(bench.accepts(&account, &username, &secret).await);
                Err("it only deletes, and says so")
            }
            _ => {
                for _ in 0..2 {
                    let done = provider.disable(&account, &made.id).await;
                    assert!(matches!(done, Outcome::Done(())), "disables: {done:?}");
                }
                let state = find(&*provider, &account, &made.id).await.map(|v| v.state);
                assert_eq!(state, Some(LiveState::Inactive), "a disabled version is listed as such");
                assert!(!bench.accepts(&account, &username, &secret).await, "a disabled version is refused");
                for _ in 0..2 {
                    let done = provider.enable(&account, &made.id, Some(&secret)).await;
                    assert!(matches!(done, Outcome::Done(())), "enables: {done:?}");
                }
                assert!(bench.accepts(&account, &username, &secret).await, "an enabled version is accepted");
                Ok(())
            }
        },
    ));

    let other = find(&*provider, &account, &foreign).await.map(|v| (v.state, v.tag));
    assert_eq!(other, Some((LiveState::Active, None)), "the version of another is untouched");
    ran.push((PROPERTIES[4], Ok(())));

    for _ in 0..2 {
        let done = provider.delete(&account, &made.id).await;
        assert!(matches!(done, Outcome::Done(())), "deletes: {done:?}");
    }
    let left = find(&*provider, &account, &made.id).await.map(|v| v.state);
    // One of two accounts that take turns stays, without its password.
    let gone = left.is_none() || (facts.shape == Shape::Alternating && left == Some(LiveState::Inactive));
    assert!(gone, "a deleted version is {left:?}");
    assert!(!bench.accepts(&account, &username, &secret).await, "a deleted version is refused");
    ran.push((PROPERTIES[5], Ok(())));

    let (account, foreign) = bench.account("full").await;
    ran.push((
        PROPERTIES[6],
        match facts.quota {
            quota if quota > 8 => Err("its limit is too far to be reached here"),
            quota => {
                let mut made = 1;
                let refused = loop {
                    assert!(made <= quota, "it makes more than {quota}");
                    let name = format!("suite-2-{made}");
                    match provider.create(&account, &tag(&name), chosen.as_ref()).await {
                        Outcome::Done(_) => made += 1,
                        Outcome::NotDone(fault) => break fault,
                        Outcome::Unknown(fault) => panic!("a full account is unknown: {fault}"),
                    }
                };
                assert_eq!((made, refused.class, refused.code.as_str()), (quota, FaultClass::Permanent, "HO0503"));
                faults.push(refused);
                assert!(find(&*provider, &account, &foreign).await.is_some());
                Ok(())
            }
        },
    ));

    let (account, foreign) = bench.account("forbidden").await;
    ran.push((
        PROPERTIES[7],
        match bench.forbidden().await {
            Err(why) => Err(why),
            Ok(forbidden) => {
                for outcome in [
                    forbidden.create(&account, &tag("suite-3"), chosen.as_ref()).await.map(drop),
                    forbidden.disable(&account, &foreign).await,
                    forbidden.delete(&account, &foreign).await,
                ] {
                    match outcome {
                        Outcome::NotDone(fault) => {
                            assert_eq!(fault.class, FaultClass::Permanent, "{fault}");
                            faults.push(fault);
                        }
                        other => panic!("without permission: {other:?}"),
                    }
                }
                assert_eq!(list(&*provider, &account).await.len(), 1);
                Ok(())
            }
        },
    ));

    ran.push((
        PROPERTIES[8],
        match bench.nowhere() {
            Err(why) => Err(why),
            Ok(nowhere) => {
                for outcome in [
                    nowhere.list(&account).await.map(drop),
                    nowhere.create(&account, &tag("suite-4"), chosen.as_ref()).await.map(drop),
                    nowhere.delete(&account, &foreign).await,
                ] {
                    match outcome {
                        Outcome::NotDone(fault) => {
                            assert_ne!(fault.class, FaultClass::Permanent, "{fault}");
                            faults.push(fault);
                        }
                        other => panic!("nobody was asked: {other:?}"),
                    }
                }
                Ok(())
            }
        },
    ));

    let (account, _) = bench.account("lost").await;
    ran.push((
        PROPERTIES[9],
        match bench.cutting().await {
            Err(why) => Err(why),
            Ok(cutting) => {
                match cutting.create(&account, &tag("suite-5"), chosen.as_ref()).await {
                    Outcome::Unknown(fault) => faults.push(fault),
                    other => panic!("the answer was cut off: {:?}", other.map(|made| made.id)),
                }
                let ours: Vec<_> =
                    list(&*provider, &account).await.into_iter().filter(|v| v.tag == Some(tag("suite-5"))).collect();
                assert_eq!(ours.len(), 1, "a version that was made without an answer is found by its tag, and is one");
                Ok(())
            }
        },
    ));

    for fault in &faults {
        let text = format!("{fault} {fault:?}");
        assert!(secrets.iter().all(|s| !text.contains(s.expose())), "a secret in a fault: {text}");
    }
    ran.push((PROPERTIES[10], Ok(())));
    ran
}

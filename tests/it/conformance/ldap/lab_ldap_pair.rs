//! Two passwords of one entry at once: overlap, whose is whose, and a policy that forbids it.

use std::path::Path;
use std::sync::Arc;

use handover::config::{Fields, Node};
use handover::providers::ldap::LdapProvider;
use handover::providers::{LiveState, Permitted, Provider};
use handover::secret::{Login, Secret};
use handover_rotation::name::{RotationId, Slot, Tag, Username, VersionId};
use handover_rotation::outcome::{FaultClass, Outcome};

use crate::support::lab::ldap::{BASE, Directory, ROTATOR};

const FIRST: &str = "First-password-0123456789";
const SECOND: &str = "Second-password-0123456789";

fn provider(directory: &Directory, more: &str) -> Arc<dyn Provider> {
    let more = format!(", accounts: two-values{more}");
    let options = directory.options(&directory.tls_url(), ROTATOR, &more);
    let node = Node::from_yaml("test.yaml", Path::new("/"), &options).expect("YAML");
    let mut fields = Fields::new(&node, "provider");
    let options = LdapProvider::options(&mut fields);
    let problems = fields.finish();
    assert!(!problems.has_errors(), "{problems}");
    Arc::new(LdapProvider::open(options.expect("options")).expect("a provider"))
}

fn tag() -> Tag {
    Tag::of(&RotationId::new("r-1").expect("an id"), Slot(1))
}

fn login(password: &str) -> Login {
    Login { username: Username::new("news").expect("a name"), password: Secret::new(password.to_owned()) }
}

async fn list(provider: &dyn Provider) -> Vec<(VersionId, LiveState)> {
    match provider.list("news").await {
        Outcome::Done(list) => list.into_iter().map(|v| (v.id, v.state)).collect(),
        other => panic!("{other:?}"),
    }
}

/// Which of its versions a login may be.
async fn known(provider: &dyn Provider, password: &str) -> Vec<VersionId> {
    match provider.list("news").await {
        Outcome::Done(list) => list.into_iter().filter(|v| provider.may_be(v, &login(password))).map(|v| v.id).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_passwords_are_accepted_until_the_old_one_is_switched_off() {
    for scheme in ["", ", scheme: SSHA"] {
        let directory = Directory::start(None);
        directory.add("news", "inetOrgPerson", Some(FIRST));
        let provider = provider(&directory, scheme);
        let old = list(&*provider).await[0].0.clone();
        let new = match provider.create("news", &tag(), Some(&Secret::new(SECOND.to_owned()))).await {
            Outcome::Done(made) => made.id,
            Outcome::NotDone(fault) | Outcome::Unknown(fault) => panic!("{fault}"),
        };
        let accepted = || (directory.accepts("news", FIRST), directory.accepts("news", SECOND));
        assert_eq!(accepted(), (true, true), "they overlap");
        assert_eq!(known(&*provider, FIRST).await, std::slice::from_ref(&old));
        assert_eq!(known(&*provider, SECOND).await, std::slice::from_ref(&new));
        assert_eq!(known(&*provider, "neither").await, Vec::<VersionId>::new());
        assert!(matches!(provider.disable("news", &old).await, Outcome::Done(())));
        assert_eq!(accepted(), (false, true));
        assert_eq!(known(&*provider, FIRST).await, std::slice::from_ref(&old), "switched off, it is still known");
        assert!(matches!(provider.enable("news", &old, None).await, Outcome::Done(())));
        assert_eq!(accepted(), (true, true));
        assert!(matches!(provider.disable("news", &old).await, Outcome::Done(())));
        assert!(matches!(provider.delete("news", &old).await, Outcome::Done(())));
        assert_eq!(accepted(), (false, true));
        assert_eq!(list(&*provider).await, [(new, LiveState::Active)]);
    }
}

/// What the directory hashed in a way of its own cannot be checked here, and is told by what it is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_hash_of_another_kind_is_told_by_what_it_is_not() {
    let directory = Directory::start(None);
    directory.add("news", "inetOrgPerson", None);
    // Hashed by libc, as `{CRYPT}`: $6$.
    let theirs = "{CRYPT}$6$rounds=1000$saltsalt$lGXnh8dcGMZBF4XZmCEFfJ.tBFZiZFuASyF0PtLFYYyJyTFqGKT2lqwGsXPSGm5HbBEZwC0rXM3BLgLCHOCtR/";
    let dn = format!("uid=news,ou=services,{BASE}");
    directory.change("ldapmodify", &format!("dn: {dn}\nchangetype: modify\nadd: userPassword\nuserPassword: {theirs}\n"));
    let provider = provider(&directory, "");
    let old = list(&*provider).await[0].0.clone();
    let made = provider.create("news", &tag(), Some(&Secret::new(SECOND.to_owned()))).await;
    let new = match made {
        Outcome::Done(made) => made.id,
        Outcome::NotDone(fault) | Outcome::Unknown(fault) => panic!("{fault}"),
    };
    assert_eq!(known(&*provider, SECOND).await, [new]);
    assert_eq!(known(&*provider, "whatever it was").await, [old]);
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_policy_it_is_refused_before_and_leaves_everything_as_it_was() {
    let directory = Directory::start(Some("pwdCheckQuality: 0"));
    directory.add("news", "inetOrgPerson", Some(FIRST));
    let provider = provider(&directory, "");
    let before = list(&*provider).await;
    for refused in [
        provider.permitted("news").await.map(drop),
        provider.create("news", &tag(), Some(&Secret::new(SECOND.to_owned()))).await.map(drop),
    ] {
        match refused {
            Outcome::NotDone(fault) => {
                assert_eq!((fault.class, fault.code.as_str()), (FaultClass::Permanent, "HO0517"));
                assert!(fault.hint.is_some_and(|hint| hint.contains("alternating")));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(list(&*provider).await, before);
    assert!(directory.accepts("news", FIRST) && !directory.accepts("news", SECOND));
    let plain = Directory::start(None);
    plain.add("news", "inetOrgPerson", Some(FIRST));
    let may = self::provider(&plain, "").permitted("news").await;
    assert!(matches!(may, Outcome::Done(Permitted::CannotTell)), "{may:?}");
}

/// The trap: the overlay takes a second password, and then lets nobody switch off the first.
#[tokio::test(flavor = "multi_thread")]
async fn why_a_policy_forbids_it() {
    let directory = Directory::start(Some("pwdCheckQuality: 0"));
    directory.add("news", "inetOrgPerson", Some(FIRST));
    let dn = format!("uid=news,ou=services,{BASE}");
    let other = "{SSHA}6UpKBV2xbD15mwrmHNdDvnInpEH+v3TH";
    let add = format!("dn: {dn}\nchangetype: modify\nadd: userPassword\nuserPassword: {other}\n");
    let (added, said) = directory.change_as(ROTATOR, "ldapmodify", &add);
    assert!(added, "{said}");
    let switch = format!(
        "dn: {dn}\nchangetype: modify\ndelete: userPassword\nuserPassword: {other}\n-\nadd: userPassword\nuserPassword: {{CRYPT}}!{other}\n"
    );
    let (switched, said) = directory.change_as(ROTATOR, "ldapmodify", &switch);
    assert!(!switched, "it has learned to: {said}");
}

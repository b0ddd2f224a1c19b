//! The bench, and what the suite does not ask: policies, locks that do not hold, and passwords that cannot be told apart.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use handover::config::{Fields, Node};
use handover::providers::ldap::LdapProvider;
use handover::providers::{LiveState, Provider};
use handover::secret::Secret;
use handover_rotation::name::{RotationId, Slot, Tag, VersionId};
use handover_rotation::outcome::{FaultClass, Outcome};

use super::super::providers::{ProviderBench, run};
use super::super::table::hold;
use super::cut;
use crate::support::lab::free_port;
use crate::support::lab::ldap::{BASE, Directory, READER, ROTATOR};

const FIRST: &str = "First-password-0123456789";
/// A policy that checks every password, refuses hashed ones, keeps the last ones, and heeds locks.
const POLICY: &str = "pwdMinLength: 12\npwdCheckQuality: 2\npwdInHistory: 5\npwdLockout: TRUE\npwdMaxFailure: 0";

fn provider(options: &str) -> Arc<dyn Provider> {
    let node = Node::from_yaml("test.yaml", Path::new("/"), options).expect("YAML");
    let mut fields = Fields::new(&node, "provider");
    let options = LdapProvider::options(&mut fields);
    let problems = fields.finish();
    assert!(!problems.has_errors(), "{problems}");
    Arc::new(LdapProvider::open(options.expect("options")).expect("a provider"))
}

fn tag(rotation: &str) -> Tag {
    Tag::of(&RotationId::new(rotation).expect("an id"), Slot(1))
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

struct Bench {
    directory: Directory,
    more: &'static str,
    starttls: bool,
    class: &'static str,
}

impl Bench {
    /// Without a policy, over TLS from the first byte.
    fn plain() -> Self {
        Self { directory: Directory::start(None), more: "", starttls: false, class: "inetOrgPerson" }
    }

    /// Under a policy, with entries that have to have a password, over StartTLS.
    fn governed() -> Self {
        let directory = Directory::start(Some(POLICY));
        Self { directory, more: ", disable_by: lock", starttls: true, class: "account" }
    }

    /// Without a policy, one entry with two passwords.
    fn pair() -> Self {
        Self { more: ", accounts: two-values", ..Self::plain() }
    }

    fn by(&self, bind_dn: &str) -> Arc<dyn Provider> {
        let url = if self.starttls { self.directory.plain_url() } else { self.directory.tls_url() };
        provider(&self.directory.options(&url, bind_dn, self.more))
    }
}

#[async_trait]
impl ProviderBench for Bench {
    fn provider(&self) -> Arc<dyn Provider> {
        self.by(ROTATOR)
    }

    fn nowhere(&self) -> Result<Arc<dyn Provider>, &'static str> {
        let url = format!("ldaps://127.0.0.1:{}", free_port());
        Ok(provider(&self.directory.options(&url, ROTATOR, self.more)))
    }

    async fn forbidden(&self) -> Result<Arc<dyn Provider>, &'static str> {
        Ok(self.by(READER))
    }

    async fn cutting(&self) -> Result<Arc<dyn Provider>, &'static str> {
        let port = {
            // A second password is added, where others are set.
            let kind = if self.more.contains("two-values") { cut::MODIFY } else { cut::EXTENDED };
            cut::before(self.directory.tls_port, &self.directory.dir().join("tls"), kind).await
        };
        Ok(provider(&self.directory.options(&format!("ldaps://127.0.0.1:{port}"), ROTATOR, self.more)))
    }

    async fn account(&self, name: &str) -> (String, VersionId) {
        if self.more.contains("two-values") {
            self.directory.add(name, self.class, Some(FIRST));
            let found = match self.by(READER).list(name).await {
                Outcome::Done(found) => found,
                other => panic!("{other:?}"),
            };
            return (name.to_owned(), found[0].id.clone());
        }
        self.directory.add(&format!("{name}-a"), self.class, Some(FIRST));
        // An entry that has to have a password is idle when Handover has made it so; here the root of the directory does.
        self.directory.add(&format!("{name}-b"), "inetOrgPerson", None);
        // The hash was made by OpenLDAP's tool; what is asked is only whose it is.
        let found = match self.by(READER).list(name).await {
            Outcome::Done(found) => found,
            other => panic!("{other:?}"),
        };
        assert_eq!(found.len(), 1, "{found:?}");
        (name.to_owned(), found[0].id.clone())
    }

    async fn accepts(&self, _account: &str, username: &str, password: &Secret) -> bool {
        self.directory.accepts(username, password.expose())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_without_a_policy() {
    hold("ldap", &run(&Bench::plain()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_under_a_policy() {
    hold("ldap (ppolicy)", &run(&Bench::governed()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_with_two_values() {
    hold("ldap (two values)", &run(&Bench::pair()).await);
}

async fn made(provider: &dyn Provider, account: &str, rotation: &str, password: &str) -> VersionId {
    match provider.create(account, &tag(rotation), Some(&secret(password))).await {
        Outcome::Done(made) => made.id,
        Outcome::NotDone(fault) | Outcome::Unknown(fault) => panic!("it makes none: {fault}"),
    }
}

fn refused(outcome: Outcome<()>) -> String {
    match outcome {
        Outcome::NotDone(fault) => fault.code,
        other => panic!("{other:?}"),
    }
}

/// Entries that have to have a password get one that nobody knows, and are idle then.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_has_to_have_a_password_takes_turns_too() {
    let bench = Bench { class: "account", ..Bench::plain() };
    let (account, first) = bench.account("news").await;
    let provider = bench.provider();
    let second = made(&*provider, &account, "r-1", "Second-password-0123").await;
    for _ in 0..2 {
        assert!(matches!(provider.delete(&account, &first).await, Outcome::Done(())));
    }
    assert!(!bench.directory.accepts("news-a", FIRST));
    match provider.list(&account).await {
        Outcome::Done(list) => assert_eq!(list.iter().map(|v| v.id.clone()).collect::<Vec<_>>(), [second]),
        other => panic!("{other:?}"),
    }
    made(&*provider, &account, "r-2", "Third-password-01234").await;
    assert!(bench.directory.accepts("news-a", "Third-password-01234"));
    assert!(bench.directory.accepts("news-b", "Second-password-0123"));
}

/// The policy is asked, and its no leaves everything as it was.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_policy_refuses_is_not_done() {
    let bench = Bench::governed();
    let (account, first) = bench.account("news").await;
    let provider = bench.provider();
    let short = provider.create(&account, &tag("r-1"), Some(&secret("short"))).await.map(drop);
    assert_eq!(refused(short), "HO0517");
    match provider.list(&account).await {
        Outcome::Done(list) => assert_eq!((list.len(), list[0].tag.clone()), (1, None)),
        other => panic!("{other:?}"),
    }
    // Nothing is left that would make a password of somebody else's ours.
    let dn = format!("uid=news-b,ou=services,{BASE}");
    let theirs = "{SSHA}6UpKBV2xbD15mwrmHNdDvnInpEH+v3TH";
    bench
        .directory
        .change("ldapmodify", &format!("dn: {dn}\nchangetype: modify\nadd: userPassword\nuserPassword: {theirs}\n"));
    match provider.list(&account).await {
        Outcome::Done(list) => assert!(list.len() == 2 && list.iter().all(|v| v.tag.is_none()), "{list:?}"),
        other => panic!("{other:?}"),
    }
    // It refuses hashed passwords, and with them the other way of disabling.
    let hashing = Bench { more: "", ..bench };
    assert_eq!(refused(hashing.provider().disable(&account, &first).await), "HO0517");
    assert!(hashing.directory.accepts("news-a", FIRST));
}

/// The trap: a lock is not heeded where the policy does not say `pwdLockout`, so it is not what is done unasked.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_the_policy_does_not_heed_does_not_hold() {
    let directory = Directory::start(Some("pwdLockout: FALSE"));
    let bench = Bench { directory, more: ", disable_by: lock", starttls: false, class: "inetOrgPerson" };
    let (account, first) = bench.account("news").await;
    assert!(matches!(bench.provider().disable(&account, &first).await, Outcome::Done(())));
    assert!(bench.directory.accepts("news-a", FIRST), "the directory has learned to heed it");
    let hashing = Bench { more: "", ..bench };
    let provider = hashing.provider();
    assert!(matches!(provider.enable(&account, &first, None).await, Outcome::Done(())));
    assert!(matches!(provider.disable(&account, &first).await, Outcome::Done(())));
    assert!(!hashing.directory.accepts("news-a", FIRST));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_place_the_old_password_is_set_again_and_is_the_same_version() {
    let bench = Bench { more: ", accounts: in-place", ..Bench::plain() };
    bench.directory.add("news", "inetOrgPerson", Some(FIRST));
    let provider = bench.provider();
    let old = match provider.list("news").await {
        Outcome::Done(list) => list[0].id.clone(),
        other => panic!("{other:?}"),
    };
    let new = made(&*provider, "news", "r-1", "Second-password-0123").await;
    assert!(bench.directory.accepts("news", "Second-password-0123") && !bench.directory.accepts("news", FIRST));
    let told = |outcome: Outcome<Vec<handover::providers::ListedVersion>>| match outcome {
        Outcome::Done(list) => list.into_iter().map(|v| (v.id, v.state)).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let both = [(old.clone(), LiveState::Inactive), (new.clone(), LiveState::Active)];
    assert_eq!(told(provider.list("news").await), both);
    assert_eq!(refused(provider.enable("news", &old, None).await), "HO0507");
    assert!(matches!(provider.enable("news", &old, Some(&secret(FIRST))).await, Outcome::Done(())));
    assert!(bench.directory.accepts("news", FIRST) && !bench.directory.accepts("news", "Second-password-0123"));
    let both = [(new.clone(), LiveState::Inactive), (old.clone(), LiveState::Active)];
    assert_eq!(told(provider.list("news").await), both);
    assert!(matches!(provider.delete("news", &new).await, Outcome::Done(())));
    assert_eq!(told(provider.list("news").await), [(old, LiveState::Active)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_told_apart_or_trusted_is_refused() {
    let bench = Bench::plain();
    let directory = &bench.directory;
    let (account, _) = bench.account("news").await;
    let dn = format!("uid=news-b,ou=services,{BASE}");
    let provider = bench.provider();
    directory.change("ldapmodify", &format!("dn: {dn}\nchangetype: modify\nreplace: userPassword\nuserPassword: clear\n"));
    let made = provider.create(&account, &tag("r-1"), Some(&secret("Second-password-0123"))).await.map(drop);
    assert_eq!(refused(made), "HO0518");
    directory.change(
        "ldapmodify",
        &format!("dn: {dn}\nchangetype: modify\nreplace: userPassword\nuserPassword: {{SSHA}}a\nuserPassword: {{SSHA}}b\n"),
    );
    let made = provider.create(&account, &tag("r-1"), Some(&secret("Second-password-0123"))).await.map(drop);
    assert_eq!(refused(made), "HO0518");
    // Another password than the one in the file, and an authority that did not sign.
    let wrong = directory.options(&directory.tls_url(), &format!("cn=admin,{BASE}"), "");
    assert_eq!(refused(self::provider(&wrong).list(&account).await.map(drop)), "HO0515");
    assert_eq!(self::provider(&wrong).warnings(&account).await.len(), 1);
    let untrusted =
        directory.options(&directory.tls_url(), ROTATOR, "").replace(&directory.ca.display().to_string(), "/dev/null");
    assert_eq!(refused(self::provider(&untrusted).list(&account).await.map(drop)), "HO0517");
    let other = tempfile::tempdir().expect("a folder");
    let ca = crate::support::lab::ca::Ca::make(other.path()).ca;
    let untrusted = directory.options(&directory.tls_url(), ROTATOR, "");
    let untrusted = untrusted.replace(&directory.ca.display().to_string(), &ca.display().to_string());
    match self::provider(&untrusted).list(&account).await {
        Outcome::NotDone(fault) => assert_eq!((fault.class, fault.code.as_str()), (FaultClass::Temporary, "HO0501")),
        other => panic!("{other:?}"),
    }
    assert!(!directory.said().contains("Second-password"));
}

//! Stand-ins for a leak: what cannot be opened now, such as a store whose certificate file is missing, is opened when it is called.
//! Until then each call is not done, and says why. So nothing but the provider itself stands in the way of containment (safety.md L5),
//! and what somebody mends meanwhile is used.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;

use super::{ACTIONS, ActionKind, Open, STORES, mail, store, unreadable};
use crate::config::fields::Fields;
use crate::config::inventory::{Credential, KindSpec};
use crate::mail::{ArrivalReport, AuthReport, Mail, SendReport};
use crate::providers::Provider;
use crate::secret::{Login, Secret};
use crate::services::{Attest, Attestation, Reload, TestSend};
use crate::stores::{EntryRef, Held, Marks, Store};

/// How long a call of what is not open yet may take.
const TIMEOUT: Span = Span::seconds(30);

/// The store of an entry.
pub(super) fn store_or_late(spec: &KindSpec, sandbox: Option<&Path>, leak: bool) -> Result<Arc<dyn Store>, Fault> {
    let kind = STORES.iter().find(|k| k.name == spec.kind).map(|k| k.name);
    match (store(spec, sandbox), kind) {
        (Err(_), Some(kind)) if leak => {
            let (spec, sandbox) = (spec.clone(), sandbox.map(Path::to_path_buf));
            let open: Opener<dyn Store> = Box::new(move || store(&spec, sandbox.as_deref()));
            Ok(Arc::new(Late { open, kind }))
        }
        (opened, _) => opened,
    }
}

/// An action of a service: `ability` is which.
pub(super) fn action<A: ?Sized + 'static>(spec: &KindSpec, ability: Ability<A>, leak: bool) -> Result<Arc<A>, Fault>
where
    Late<A>: IntoShared<A>,
{
    let kind = ACTIONS.iter().find(|k| k.name == spec.kind);
    let found = kind.and_then(|kind| Some((kind.name, ability(kind)?)));
    let (kind, open) = found.ok_or_else(|| unreadable(&spec.kind))?;
    match open(&mut Fields::new(&spec.options, "action")) {
        Err(_) if leak => {
            let spec = spec.clone();
            Ok(Late { open: Box::new(move || open(&mut Fields::new(&spec.options, "action"))), kind }.into_shared())
        }
        opened => opened,
    }
}

/// The mail of a credential.
pub(super) fn mail_or_late(
    credential: &Credential,
    provider: &Arc<dyn Provider>,
    leak: bool,
) -> Result<Arc<dyn Mail>, Fault> {
    match mail(credential) {
        Err(_) if leak => {
            let (settings, to, provider) = (credential.clone(), credential.probe.to.clone(), Arc::clone(provider));
            let open: Opener<dyn Mail> = Box::new(move || Ok(Arc::new(mail(&settings)?.with_bearer(provider.bearer()))));
            Ok(Arc::new(LateMail { late: Late { open, kind: "mail" }, to }))
        }
        opened => Ok(Arc::new(opened?.with_bearer(provider.bearer()))),
    }
}

/// Which ability of a kind of action.
type Ability<T> = fn(&ActionKind) -> Option<Open<T>>;

/// Opens a thing, again and again.
type Opener<T> = Box<dyn Fn() -> Result<Arc<T>, Fault> + Send + Sync>;

/// Something that is opened when it is needed.
pub(super) struct Late<T: ?Sized> {
    /// How.
    open: Opener<T>,
    /// Its kind.
    kind: &'static str,
}

impl<T: ?Sized> Late<T> {
    /// The thing, or why not: somebody may mend that, so it is never the last word.
    fn get(&self) -> Result<Arc<T>, Fault> {
        (self.open)().map_err(|fault| Fault { class: FaultClass::Temporary, ..fault })
    }
}

/// As the trait that it stands in for.
pub(super) trait IntoShared<T: ?Sized> {
    /// Shared.
    fn into_shared(self) -> Arc<T>;
}

macro_rules! shared {
    ($($trait:ident)*) => {
        $(impl IntoShared<dyn $trait> for Late<dyn $trait> {
            fn into_shared(self) -> Arc<dyn $trait> {
                Arc::new(self)
            }
        })*
    };
}

shared!(Reload Attest TestSend);

macro_rules! late {
    ($late:expr, $thing:ident => $call:expr) => {
        match $late.get() {
            Ok($thing) => $call.await,
            Err(fault) => Outcome::NotDone(fault),
        }
    };
}

#[async_trait]
impl Store for Late<dyn Store> {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn request_timeout(&self) -> Span {
        TIMEOUT
    }

    fn reads_back(&self) -> bool {
        self.kind != "github-actions"
    }

    async fn check_writable(&self, entry: &EntryRef) -> Outcome<()> {
        late!(self, store => store.check_writable(entry))
    }

    async fn read(&self, entry: &EntryRef) -> Outcome<Held> {
        late!(self, store => store.read(entry))
    }

    async fn lacks(&self, entry: &EntryRef) -> String {
        match self.get() {
            Ok(store) => store.lacks(entry).await,
            Err(fault) => format!("its store cannot be opened: {fault}"),
        }
    }

    async fn warnings(&self, entry: &EntryRef) -> Vec<String> {
        match self.get() {
            Ok(store) => store.warnings(entry).await,
            Err(fault) => {
                vec![format!("its store cannot be opened, so nothing is written there before that is mended: {fault}")]
            }
        }
    }

    async fn can_hold(&self, entry: &EntryRef, login: &Login) -> Outcome<()> {
        late!(self, store => store.can_hold(entry, login))
    }

    async fn write(&self, entry: &EntryRef, login: &Login, expect: &[&Secret]) -> Outcome<()> {
        late!(self, store => store.write(entry, login, expect))
    }

    async fn write_marked(&self, entry: &EntryRef, login: &Login, expect: &[&Secret], marks: &Marks) -> Outcome<()> {
        late!(self, store => store.write_marked(entry, login, expect, marks))
    }
}

#[async_trait]
impl Reload for Late<dyn Reload> {
    fn describe(&self) -> String {
        format!("{}, which cannot be opened yet", self.kind)
    }

    fn request_timeout(&self) -> Span {
        TIMEOUT
    }

    async fn reload(&self) -> Outcome<()> {
        late!(self, action => action.reload())
    }
}

#[async_trait]
impl Attest for Late<dyn Attest> {
    fn request_timeout(&self) -> Span {
        TIMEOUT
    }

    async fn attest(&self, challenge: &str) -> Outcome<Attestation> {
        late!(self, action => action.attest(challenge))
    }
}

#[async_trait]
impl TestSend for Late<dyn TestSend> {
    fn request_timeout(&self) -> Span {
        TIMEOUT
    }

    async fn test_send(&self, nonce: &str, to: &str) -> Outcome<()> {
        late!(self, action => action.test_send(nonce, to))
    }
}

/// Mail whose proof cannot be set up yet.
struct LateMail {
    /// How it is.
    late: Late<dyn Mail>,
    /// Where probes go.
    to: String,
}

#[async_trait]
impl Mail for LateMail {
    async fn auth(&self, login: &Login) -> Outcome<AuthReport> {
        late!(self.late, mail => mail.auth(login))
    }

    async fn send(&self, login: &Login, nonce: &str) -> Outcome<SendReport> {
        late!(self.late, mail => mail.send(login, nonce))
    }

    async fn arrived(&self, nonce: &str, within: Duration) -> Outcome<ArrivalReport> {
        late!(self.late, mail => mail.arrived(nonce, within))
    }

    fn probe_to(&self) -> String {
        self.to.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use handover_rotation::name::EntryName;

    use super::*;
    use crate::config::Node;

    #[tokio::test]
    async fn what_is_mended_meanwhile_is_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("smtp.env");
        std::fs::write(&path, "U=name\nP=password\n").expect("it writes");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("a mode");
        let mended = Arc::new(AtomicBool::new(false));
        let is = Arc::clone(&mended);
        let open: Opener<dyn Store> = Box::new(move || match is.load(Ordering::SeqCst) {
            false => Err(Fault::new(FaultClass::Permanent, "HO0600", "no certificate".to_owned())),
            true => {
                let options = Node::from_yaml("inventory.yaml", Path::new("/"), "{}").expect("no options");
                store(&KindSpec { kind: "env-file".to_owned(), options }, None)
            }
        });
        let late: Late<dyn Store> = Late { open, kind: "env-file" };
        let entry = EntryRef {
            name: EntryName::new("e").expect("a name"),
            path: path.display().to_string(),
            username_field: "U".to_owned(),
            password_field: "P".to_owned(),
        };
        let Outcome::NotDone(fault) = late.read(&entry).await else { panic!("it is not open") };
        assert_eq!((fault.class, fault.code.as_str()), (FaultClass::Temporary, "HO0600"), "and not the last word");
        assert!(late.warnings(&entry).await[0].contains("no certificate"));
        mended.store(true, Ordering::SeqCst);
        assert!(matches!(late.read(&entry).await, Outcome::Done(Held::Login(_))));
    }
}

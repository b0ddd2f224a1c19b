//! Prepares a plan: the inventory and the playbook, and what a few live looks show. It changes nothing.

use std::sync::Arc;

use handover_rotation::name::{CredentialName, ProviderName, VersionId};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::{ArrivalKind, Plan, PlannedEntry, PlannedService, Policy, ProviderFacts, Shape};
use handover_rotation::playbook::{Playbook, Step};
use handover_rotation::time::Span;

use super::binding::bindings;
use super::current::Entries;
pub use super::elsewhere::Ours;
use super::error::EngineError;
use super::last::Last;
use super::ports::{Ports, ServicePorts};
use super::runner::Engine;
use super::{current, elsewhere};
use crate::config::inventory::{Arrival, Credential, Inventory, Tls};
use crate::journal::{Filter, JournalError, Sealer};
use crate::providers::{ListedVersion, LiveState, Permitted};
use crate::secret::Login;

/// A plan, and the login that the entries hold.
pub struct Prepared {
    /// The plan.
    pub plan: Plan,
    /// The current login, if an entry could be read; to be sealed when the rotation begins.
    pub old: Option<Login>,
    /// What is not as it should be, for people to read.
    pub remarks: Vec<String>,
    /// What a person should know before it begins, even one who does not read the plan.
    pub warnings: Vec<String>,
}

impl Prepared {
    /// Everything that a plan tells beside its steps, warnings first.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        let warnings = self.warnings.iter().map(|warning| format!("WARNING: {warning}"));
        warnings.chain(self.remarks.iter().cloned()).collect()
    }
}

/// What a caller wants to be different from the inventory and the playbook.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What the waits of the playbook are divided by; only where the provider is the sandbox.
    pub time_scale: u32,
    /// Tells of the rotations that this journal has, or that a person says are over: a version that another one made is a sign that
    /// somebody else is at the account. `None` asks for no such look.
    pub known: Option<Ours>,
    /// What the last finished rotation of the account has left, if this journal has one.
    pub last: Option<Last>,
    /// The version that has leaked, where somebody knows it: then no entry need tell.
    pub leaked: Option<VersionId>,
}

/// What a survey is to take into account.
#[derive(Clone, Copy, Debug, Default)]
pub struct Survey<'s> {
    /// Rotations of other journals that a person says are over.
    pub ended_elsewhere: &'s [String],
    /// What the waits are divided by; only where the provider is the sandbox.
    pub time_scale: u32,
    /// The version that has leaked, where an alert tells: no store is waited for then (safety.md L5).
    pub leaked: Option<&'s VersionId>,
}

/// Prepares the plan of a credential.
///
/// # Errors
/// The provider cannot list, the entries do not hold one login that it lists, or somebody else may be rotating the account:
/// nothing was changed.
pub async fn prepare(
    inventory: &Inventory,
    name: &CredentialName,
    playbook: &Playbook,
    ports: &Arc<Ports>,
    sealer: &Sealer,
    options: Options,
) -> Result<Prepared, EngineError> {
    let Some(credential) = inventory.credentials.get(name) else {
        return refuse("HO0440", format!("there is no credential {name} in the inventory"), "see `handover check`");
    };
    let scale = options.time_scale.max(1);
    let facts = ports.provider.facts();
    if scale > 1 && facts.kind != "sandbox" {
        return refuse(
            "HO0441",
            "--time-scale is only for the sandbox".to_owned(),
            "leave it out: waits against a real provider are never shortened",
        );
    }
    let leak = playbook.containment.is_some();
    let mut remarks = Vec::new();
    // Where the version that has leaked is known, nothing that is only told takes a moment of its own.
    let named = leak && options.leaked.is_some();
    let (listed, permitted, entries, ahead) = {
        let limit = patience(facts.request_timeout, leak);
        let limit = if named { limit.min(current::NAMED) } else { limit };
        let told = async { if named { Some(within(current::NAMED, aside(ports, leak)).await) } else { None } };
        let listed = async {
            if facts.shape.lists() {
                let listed = look(facts.request_timeout, ports.provider.list(&ports.account)).await;
                let entries = if matches!(listed, Outcome::Done(_)) {
                    current::read(ports, leak, named).await
                } else {
                    Entries::default()
                };
                return (listed, entries);
            }
            let mut read = current::read(ports, leak, named).await;
            (Outcome::Done(read.by_name(ports, options.last.as_ref(), leak).await), read)
        };
        let permitted = look(limit, ports.provider.permitted(&ports.account));
        let ((listed, entries), permitted, ahead) = futures::future::join3(listed, permitted, told).await;
        (listed, permitted, entries, ahead)
    };
    let listed = match listed {
        Outcome::Done(list) => list,
        Outcome::NotDone(fault) | Outcome::Unknown(fault) => return Err(EngineError::Refused(fault.into())),
    };
    let known = match &options.known {
        Some(ours) => Some(ours.of(&listed).await?),
        None => None,
    };
    let known = known.as_ref();
    let mut warnings = Vec::new();
    let told = (&mut remarks, &mut warnings);
    let (old, login) =
        current::find(ports, &listed, entries, sealer, (options.last.as_ref(), known, options.leaked.as_ref()), leak, told)
            .await
            .map_err(EngineError::Refused)?;
    warnings.extend(login.as_ref().and_then(|login| ports.provider.remark(login)));
    if facts.shape != Shape::Manual {
        warnings.extend(permission(&credential.provider, permitted, leak).map_err(EngineError::Refused)?);
    }
    warnings.extend(no_room(&facts, &ports.account, &listed, &old.id));
    if let Some(known) = known {
        elsewhere::check(&listed, facts.shape, &old.id, &ports.account, known, leak, &mut warnings)
            .map_err(EngineError::Refused)?;
    }
    let (writable, told) = match ahead {
        Some(Some(told)) => told,
        Some(None) => (Ok(vec!["whether every entry can be written was not waited for".to_owned()]), Vec::new()),
        None => aside(ports, leak).await,
    };
    warnings.extend(writable.map_err(EngineError::Refused)?);
    warnings.extend(told);
    let mut plan = Plan {
        credential: name.clone(),
        playbook: arrange(playbook, facts.shape, scale),
        provider: credential.provider.clone(),
        account: credential.account.clone(),
        facts,
        smtp: smtp(credential),
        arrival: match credential.probe.arrival {
            Arrival::Maildir(_) => ArrivalKind::Maildir,
            Arrival::Imap { .. } => ArrivalKind::Imap,
            Arrival::None => ArrivalKind::None,
        },
        old,
        compromised: leak,
        entries: Default::default(),
        services: Default::default(),
        policy: Policy::default(),
        time_scale: scale,
        bindings: bindings(inventory, name),
        by_hand: ports.provider.by_hand(),
    };
    fill(&mut plan, inventory, credential, ports)?;
    remark(&plan, &mut remarks);
    for (service, port) in &ports.services {
        if let Some(rereads) = port.reload.as_ref().and_then(|reload| reload.rereads()) {
            remarks.push(format!("service {service}: {rereads}"));
        }
    }
    let environments = plan.environments();
    // As it was written: what `arrange` makes of it for a change in place has other waves on purpose.
    if let Some(problem) = playbook.check_order(&environments).into_iter().next() {
        return refuse(
            "HO0442",
            format!("playbook {} does not fit {name}: {}", plan.playbook.name, problem.message),
            &problem.hint,
        );
    }
    refuse_unprovable(&plan)?;
    Ok(Prepared { plan, old: login, remarks, warnings })
}

impl Engine {
    /// Prepares a plan as [`prepare`] does, with what the journal knows: its own rotations, and what the last has left.
    ///
    /// # Errors
    /// As `prepare`; `OneRotation` where that finds fault while another rotation of the account is under way, whose doing it is.
    pub async fn survey(
        &self,
        inventory: &Inventory,
        name: &CredentialName,
        playbook: &Playbook,
        ports: &Arc<Ports>,
        survey: Survey<'_>,
    ) -> Result<Prepared, EngineError> {
        let Survey { ended_elsewhere, time_scale, leaked } = survey;
        let lineage = inventory.credentials.get(name).map(|c| format!("{}/{}", c.provider, c.account));
        let headers = match lineage {
            Some(lineage) => self.journal.list(Filter { lineage: Some(lineage), ..Filter::default() }).await?,
            None => Vec::new(),
        };
        let under_way = headers.iter().find(|h| !h.finished).map(|h| h.id.clone());
        // Where its rows cannot be read, nothing is known; a leak waits for no journal either.
        let last = match headers.iter().find(|h| h.finished) {
            Some(header) => match self.journal.load(&header.id).await {
                Ok(rows) => super::book::replay(&header.id, &rows).ok().map(|rotation| Last::of(&rotation)),
                Err(_) => None,
            },
            None => None,
        };
        let known = Ours { journal: Arc::clone(&self.journal), over: ended_elsewhere.iter().cloned().collect() };
        let options = Options { time_scale, known: Some(known), last, leaked: leaked.cloned() };
        match (prepare(inventory, name, playbook, ports, &self.sealer, options).await, under_way) {
            (Err(EngineError::Refused(_)), Some(other)) => Err(JournalError::one_rotation(other).into()),
            (prepared, _) => prepared,
        }
    }
}

/// Whether every entry can be written, and what the provider and the stores warn of.
async fn aside(ports: &Ports, leak: bool) -> (Result<Vec<String>, super::error::Refusal>, Vec<String>) {
    futures::future::join(super::writable::check(ports, leak), ports.warnings(leak)).await
}

async fn within<T>(limit: Span, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(std::time::Duration::from_millis(limit.0), work).await.ok()
}

/// That there is no room for a new version (P3), which preflight refuses later: in a leak it comes after the old one was shut out,
/// when mail has stopped.
fn no_room(facts: &ProviderFacts, account: &str, listed: &[ListedVersion], old: &VersionId) -> Option<String> {
    if !matches!(facts.shape, Shape::Reversible | Shape::DeleteOnly) || listed.len() < usize::from(facts.quota) {
        return None;
    }
    let others = listed.iter().filter(|v| v.id != *old).map(|v| match v.state {
        LiveState::Active => format!("{} (active)", v.id),
        LiveState::Inactive => format!("{} (inactive)", v.id),
    });
    let others: Vec<String> = others.collect();
    let rest = if others.is_empty() { String::new() } else { format!(" beside {old}: {}", others.join(", ")) };
    Some(format!(
        "account {account} has {} of {} versions, and no room for a new one until one that nothing uses is deleted{rest}",
        listed.len(),
        facts.quota
    ))
}

/// What is to be told of the provider's permissions (P2). In a leak nothing of them holds it up.
fn permission(
    provider: &ProviderName,
    permitted: Outcome<Permitted>,
    leak: bool,
) -> Result<Option<String>, super::error::Refusal> {
    let needed = "create, disable and delete versions";
    Ok(match permitted {
        Outcome::Done(Permitted::Yes) => None,
        Outcome::Done(Permitted::CannotTell) => {
            Some(format!("provider {provider} cannot tell whether we may {needed}: only trying will show"))
        }
        Outcome::Unknown(fault) => Some(format!("provider {provider} did not tell whether we may {needed}: {fault}")),
        Outcome::NotDone(fault) if leak => Some(format!("provider {provider} says that we may not {needed}: {fault}")),
        Outcome::NotDone(fault) => {
            let message = format!("provider {provider} does not let us {needed}");
            let class = if super::error::passes(&fault) { FaultClass::Temporary } else { FaultClass::Permanent };
            let fault = Fault::new(class, "HO0468", message).hint(match fault.hint {
                Some(hint) => format!("{}; {hint}", fault.message),
                None => fault.message,
            });
            return Err(fault.into());
        }
    })
}

fn refuse<T>(code: &str, message: String, hint: &str) -> Result<T, EngineError> {
    Err(EngineError::Refused(Fault::new(FaultClass::Permanent, code, message).hint(hint).into()))
}

/// How long a look may take that nothing rests on: in a leak it must not hold up what shuts the login out (safety.md L5).
pub(super) fn patience(limit: Span, leak: bool) -> Span {
    if leak { limit.min(Span(current::PATIENCE.as_millis() as u64)) } else { limit }
}

/// A look under its limit.
pub(super) async fn look<T>(limit: Span, call: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    tokio::time::timeout(std::time::Duration::from_millis(limit.0), call).await.unwrap_or_else(|_| {
        Outcome::Unknown(Fault::new(FaultClass::Temporary, "HO0401", format!("no answer within {limit}")))
    })
}

/// The playbook as this shape needs it, its waits divided by `scale`.
///
/// In place there is one password: from the moment it is set until the last service has it, mail fails. So nothing may stand
/// between: every entry is written at once, then every service reloaded, then all verified.
pub(super) fn arrange(playbook: &Playbook, shape: Shape, scale: u32) -> Playbook {
    let mut arranged = playbook.clone();
    arranged.hold = arranged.hold.scaled(scale);
    if let Some(handover_rotation::playbook::Containment::Deadline(span)) = &mut arranged.containment {
        *span = span.scaled(scale);
    }
    for step in &mut arranged.steps {
        match step {
            Step::Soak { lasting } | Step::Watch { lasting } => *lasting = lasting.scaled(scale),
            Step::Approve { within, .. } => *within = within.scaled(scale),
            _ => {}
        }
    }
    if shape == Shape::InPlace {
        let order = |step: &Step| match step {
            Step::Preflight => 0,
            Step::Approve { .. } => 1,
            Step::Generate => 2,
            Step::Push { .. } => 3,
            Step::Reload { .. } => 4,
            Step::Verify { .. } => 5,
            _ => 6,
        };
        arranged.steps.sort_by_key(order);
    }
    arranged
}

pub(super) fn smtp(credential: &Credential) -> String {
    let tls = match credential.smtp.tls {
        Tls::StartTls => "STARTTLS",
        Tls::Implicit => "TLS",
    };
    format!("{}:{} {tls}", credential.smtp.host, credential.smtp.port)
}

fn fill(plan: &mut Plan, inventory: &Inventory, credential: &Credential, ports: &Ports) -> Result<(), EngineError> {
    for (name, entry) in &credential.entries {
        let Some(port) = ports.entries.get(name) else {
            return refuse("HO0402", format!("entry {name} has no store"), "see `handover check`");
        };
        plan.entries.insert(
            name.clone(),
            PlannedEntry {
                store: entry.store.clone(),
                store_kind: port.store.kind().to_owned(),
                location: entry.path.clone(),
                environment: entry.environment.clone(),
                request_timeout: port.store.request_timeout(),
                landing: port.store.landing(),
                write_only: !port.store.reads_back(),
            },
        );
    }
    for (name, service) in inventory.services_of(&plan.credential) {
        let port = ports.services.get(name);
        plan.services.insert(
            name.clone(),
            PlannedService {
                entry: service.entry.clone(),
                environment: service.environment.clone(),
                owner: service.owner.clone(),
                reload: port.and_then(|p| p.reload.as_ref()).map(|r| r.describe()),
                by_hand: port.and_then(|p| p.reload.as_ref()).and_then(|r| r.by_hand()),
                test_send: port.is_some_and(|p| p.test_send.is_some()),
                attest: port.is_some_and(|p| p.attest.is_some()),
                request_timeout: port.map_or(Span::seconds(60), slowest),
            },
        );
    }
    Ok(())
}

/// The longest that any of a service's abilities may take.
fn slowest(port: &ServicePorts) -> Span {
    let limits = [
        port.reload.as_ref().map(|p| p.request_timeout()),
        port.attest.as_ref().map(|p| p.request_timeout()),
        port.test_send.as_ref().map(|p| p.request_timeout()),
    ];
    limits.into_iter().flatten().max().unwrap_or(Span::seconds(60))
}

fn remark(plan: &Plan, remarks: &mut Vec<String>) {
    for (name, service) in &plan.services {
        if service.is_silent() {
            remarks.push(format!(
                "service {name} has neither attest nor test_send: only a person can say that it uses the new version"
            ));
        } else if !service.attest {
            remarks.push(format!("service {name} has no attest: that it sends is known, but not with which version"));
        }
    }
    for (name, entry) in plan.entries.iter().filter(|(_, e)| e.write_only) {
        remarks.push(format!(
            "entry {name}: {} gives no value back; that it was written is known by the store's word and by a mark beside it, what \
             services got by asking them",
            entry.store_kind
        ));
    }
    if plan.arrival == ArrivalKind::None {
        remarks.push("arrival of mail is not looked for: acceptance by the server is the evidence".to_owned());
    }
    match plan.facts.shape {
        Shape::DeleteOnly => {
            remarks.push("this provider cannot disable: the old version stays live until `delete`, and then there is no way back".to_owned());
        }
        Shape::InPlace => remarks.push(
            "this provider has one password: mail fails from `generate` until the services are reloaded; staging is no rehearsal here"
                .to_owned(),
        ),
        Shape::Manual => remarks.push(
            "this provider has no API: its versions are known by their login names, and what nobody tells is seen by logins only"
                .to_owned(),
        ),
        _ => {}
    }
}

/// What nothing but a person can vouch for needs their word before the old version is retired (S11): a service that cannot say
/// which version it uses, and an entry that nobody can read and no such service reads.
fn refuse_unprovable(plan: &Plan) -> Result<(), EngineError> {
    if plan.compromised {
        return Ok(());
    }
    let retires = plan.playbook.steps.iter().any(|s| matches!(s, Step::Deactivate | Step::Delete));
    let unprovable = plan.services.iter().find(|(_, s)| !s.can_prove());
    if let (true, Some((name, _))) = (retires, unprovable)
        && plan.playbook.gates_of_proof().next().is_none()
    {
        return refuse(
            "HO0444",
            format!(
                "service {name} cannot say which version it uses, and playbook {} retires the old one without asking anyone",
                plan.playbook.name
            ),
            "give it `attest`, or put an `approve` step after the last `reload` and before `deactivate`",
        );
    }
    if let (true, Some(name)) = (retires, plan.unvouched().next())
        && plan.playbook.gates_of_proof().next().is_none()
    {
        return refuse(
            "HO0496",
            format!(
                "entry {name} gives nothing back, no service tells what it reads there, and playbook {} retires the old version \
                 without asking anyone",
                plan.playbook.name
            ),
            "give a service of this entry `attest`, or put an `approve` step after the last `reload` and before `deactivate`",
        );
    }
    Ok(())
}

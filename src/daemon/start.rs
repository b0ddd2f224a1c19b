//! Begins rotations: surveys, and begins under the trigger that wants it. In a leak it insists: while nothing has begun, nobody else
//! shuts the login out (safety.md L5).

use std::sync::Arc;
use std::time::Duration;

use handover_rotation::name::{CredentialName, RotationId, VersionId};
use handover_rotation::outcome::{Fault, FaultClass};

use super::crew::Crew;
use super::desk::Desk;
use super::news::News;
use crate::config::inventory::Credential;
use crate::config::playbooks::DEFAULT_PLAYBOOK;
use crate::engine::ports::Ports;
use crate::engine::prepare::{Prepared, Survey};
use crate::engine::{EngineError, Who, plan_hash};
use crate::journal::{Kind, Trigger};

/// The longest pause between two surveys of who insists.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What is to be begun.
#[derive(Clone, Debug)]
pub struct Begin {
    /// The credential.
    pub credential: CredentialName,
    /// The playbook.
    pub playbook: String,
    /// The hash of the plan that was agreed to, if a person has.
    pub plan: Option<String>,
    /// Who wants it.
    pub by: String,
    /// Why, in their words.
    pub reason: Option<String>,
    /// What sets it going, if that does so only once.
    pub trigger: Option<Trigger>,
    /// What the waits are divided by; only where the provider is the sandbox.
    pub time_scale: u32,
    /// The version that is to be replaced, where it must be this one: rotating another would leave what has leaked alone.
    pub replaces: Option<VersionId>,
}

/// Why nothing was begun.
#[derive(Debug)]
pub enum NotBegun {
    /// Another rotation of the account is under way.
    UnderWay(RotationId),
    /// What should set it going has done so before.
    Before,
    /// Something is in the way. It may pass by itself, or not: its class tells.
    Fault(Fault, Vec<String>),
}

impl From<EngineError> for NotBegun {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Journal(error) => match error.kind {
                Kind::OneRotation { ref other } => Self::UnderWay(other.clone()),
                Kind::Ticked => Self::Before,
                _ => Self::Fault(error.fault(), Vec::new()),
            },
            EngineError::Refused(refusal) => Self::Fault(refusal.fault, refusal.details),
            other => Self::Fault(other.fault(), Vec::new()),
        }
    }
}

impl NotBegun {
    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::UnderWay(id) => format!("rotation {id} of the same account is under way"),
            Self::Before => "it was begun before".to_owned(),
            Self::Fault(fault, _) => fault.to_string(),
        }
    }

    /// Whether another try may go otherwise.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(self, Self::Fault(fault, _) if matches!(fault.class, FaultClass::Temporary | FaultClass::Environment))
    }
}

/// The playbook of a leak where the inventory names none.
const LEAK_PLAYBOOK: &str = "leak";

/// The playbook of a credential: of its schedule, or of a leak; those that are shipped where it names none.
#[must_use]
pub(super) fn playbook_of(credential: &Credential, leak: bool) -> String {
    let (named, default) = match leak {
        true => (credential.on_leak.clone(), LEAK_PLAYBOOK),
        false => (credential.schedule.as_ref().map(|s| s.playbook.clone()), DEFAULT_PLAYBOOK),
    };
    named.unwrap_or_else(|| default.to_owned())
}

impl Desk {
    /// The playbook that contains a leak of a credential.
    #[must_use]
    pub fn leak_playbook(&self, credential: &CredentialName) -> String {
        let files = self.files.now();
        files.inventory.credentials.get(credential).map_or_else(|| LEAK_PLAYBOOK.to_owned(), |c| playbook_of(c, true))
    }

    /// Looks, and says what would be done; `leaked` is the version that an alert fits, if one does. Changes nothing.
    ///
    /// # Errors
    /// There is no such credential or playbook, or it cannot be planned now.
    pub async fn plan(
        &self,
        credential: &CredentialName,
        playbook: &str,
        time_scale: u32,
        leaked: Option<&VersionId>,
    ) -> Result<(Prepared, Arc<Ports>), NotBegun> {
        let files = self.files.now();
        let unknown = |what: &str, name: &str, code: &str| {
            let fault = Fault::new(FaultClass::Permanent, code, format!("there is no {what} {name}"));
            NotBegun::Fault(fault.hint("see `handover check`"), Vec::new())
        };
        if !files.inventory.credentials.contains_key(credential) {
            return Err(unknown("credential", credential.as_str(), "HO0440"));
        }
        let Some(playbook) = files.playbooks.get(playbook) else { return Err(unknown("playbook", playbook, "HO0447")) };
        let ports = self.ports(&files.inventory, credential, playbook.containment.is_some());
        let ports = ports.map_err(|fault| NotBegun::Fault(fault, Vec::new()))?;
        let ports = Arc::new(ports);
        let survey = Survey { time_scale, leaked, ..Survey::default() };
        let prepared = self.engine.survey(&files.inventory, credential, playbook, &ports, survey).await?;
        Ok((prepared, ports))
    }
}

impl Crew {
    /// Begins one rotation and runs it.
    ///
    /// # Errors
    /// Nothing was begun, and why.
    pub async fn begin(self: &Arc<Self>, what: &Begin) -> Result<RotationId, NotBegun> {
        let files = self.desk.files.now();
        let (prepared, ports) =
            self.desk.plan(&what.credential, &what.playbook, what.time_scale, what.replaces.as_ref()).await?;
        if let Some(wanted) = &what.replaces
            && *wanted != prepared.plan.old.id
        {
            let current = &prepared.plan.old.id;
            let message = format!("version {wanted} is not the current one of {}, which is {current}", what.credential);
            let hint = format!(
                "a rotation would replace {current} and leave {wanted} alone: revoke {wanted} at its provider by hand"
            );
            return Err(NotBegun::Fault(Fault::new(FaultClass::Permanent, "HO1023", message).hint(hint), Vec::new()));
        }
        let hash = plan_hash(&prepared.plan);
        if let Some(agreed) = &what.plan
            && *agreed != hash
        {
            let fault = Fault::new(
                FaultClass::Permanent,
                "HO0448",
                format!("the plan is {hash} now, not {agreed}: nothing was changed"),
            );
            return Err(NotBegun::Fault(fault.hint("something changed since it was made: read it again"), Vec::new()));
        }
        let who = Who { by: what.by.clone(), reason: what.reason.clone(), trigger: what.trigger.clone() };
        let runner = self.desk.engine.begin(prepared.plan, ports, prepared.old, &who).await?;
        let id = runner.rotation().id.clone();
        self.run(runner, files).await;
        Ok(id)
    }

    /// Begins one rotation of a leak, and surveys again and again while what is in the way may pass.
    ///
    /// # Errors
    /// Nothing was begun, and never will be by trying again.
    pub async fn insist(self: &Arc<Self>, what: &Begin) -> Result<RotationId, NotBegun> {
        let mut pause = Duration::from_millis(500);
        loop {
            match self.begin(what).await {
                Err(why) if why.passes() && !self.stopping() => {
                    self.desk.tell(News::NotBegun { credential: what.credential.clone(), why: why.words() });
                    tracing::warn!(credential = %what.credential, "the leaked login is not being shut out yet: {}", why.words());
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                other => return other,
            }
        }
    }
}

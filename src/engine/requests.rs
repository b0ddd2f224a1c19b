//! What people ask of a rotation: told to it directly by the process that runs it, or left for that process in the journal's
//! inbox. A secret lies there sealed, bound to rotation and slot, and is gone when the request is taken or the rotation ends.

use handover_rotation::apply::Illegal;
use handover_rotation::command::Command;
use handover_rotation::event::Event;
use handover_rotation::name::{RotationId, Slot, Username};
use handover_rotation::time::Span;

use super::by_hand;
use super::error::EngineError;
use super::keyring::sealed_name;
use super::known;
use super::runner::{Observer, Runner};
use crate::journal::{JournalError, SealedBlob, Sealer};
use crate::mutant::{Mutant, broken};
use crate::secret::{Login, Secret};

/// What another process asks of a running rotation, through the journal's inbox.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Roll back.
    Abort {
        /// Who.
        by: String,
        /// Why.
        reason: Option<String>,
    },
    /// Open the gate.
    Approve {
        /// The step, from 0.
        step: usize,
        /// Who.
        by: String,
    },
    /// Take in the version that a person made (shape D).
    Supply {
        /// The version.
        slot: Slot,
        /// Its login name.
        username: Username,
        /// Its password, sealed for the way to whoever runs the rotation, in hex.
        sealed: String,
        /// Who.
        by: String,
    },
    /// A version is known to others.
    Compromised {
        /// The version.
        slot: Slot,
        /// How soon it must be dead.
        within: Span,
        /// Who said so.
        source: String,
    },
    /// A person has done what they were asked (shape D).
    Done {
        /// What they were asked.
        command: Command,
        /// Who.
        by: String,
    },
}

/// The name under which a secret is sealed while it is on its way: not that of the version, so that neither opens as the other.
fn on_its_way(slot: Slot) -> String {
    format!("supplied-{}", slot.0)
}

impl Request {
    /// A request to take in a version, its password sealed.
    ///
    /// # Errors
    /// It cannot be sealed.
    pub fn supply(sealer: &Sealer, id: &RotationId, slot: Slot, login: &Login, by: String) -> Result<Self, JournalError> {
        let sealed = hex::encode(sealer.seal(id, &on_its_way(slot), &login.password)?);
        Ok(Self::Supply { slot, username: login.username.clone(), sealed, by })
    }
}

fn opened(sealer: &Sealer, id: &RotationId, slot: Slot, sealed: &str) -> Option<Secret> {
    sealer.open(id, &on_its_way(slot), &hex::decode(sealed).ok()?).ok()
}

impl Runner {
    /// A person hands over the version that they made: its secret is sealed in the transaction that tells of it (S5).
    ///
    /// # Errors
    /// No version is asked for, or the journal cannot be written.
    pub async fn supply(
        &mut self,
        slot: Slot,
        login: Login,
        by: &str,
        observer: &mut dyn Observer,
    ) -> Result<(), EngineError> {
        let sealer = &self.engine.sealer;
        let fact = by_hand::made(&login, sealer).map_err(|fault| EngineError::Refused(fault.into()))?;
        let name = sealed_name(slot);
        // A person chose it: nobody knows how well.
        let known = known::of_secret(&self.engine, &login.password, false);
        let sealed = SealedBlob { blob: sealer.seal(&self.book.rotation.id, &name, &login.password)?, slot: name, known };
        self.book.stage(Event::Supplied { slot, fact, by: Some(by.to_owned()) }, vec![sealed])?;
        self.flush(observer).await?;
        self.keys.insert(slot, login);
        Ok(())
    }

    /// A person says that they did what they were asked. What nobody asked for now is not taken: it would be believed.
    ///
    /// # Errors
    /// It is not asked for, or the journal cannot be written.
    pub async fn done(&mut self, command: &Command, by: &str, observer: &mut dyn Observer) -> Result<(), EngineError> {
        if by_hand::asked(&self.book.rotation, self.book.now()).as_ref() != Some(command) {
            return Err(EngineError::Rule(Illegal { event: "task-done", why: format!("nobody is asked to {command}") }));
        }
        self.tell(Event::TaskDone { command: command.clone(), by: by.to_owned() }, observer).await
    }

    /// Takes in what other processes ask; whether there was anything.
    pub(super) async fn read_inbox(&mut self, observer: &mut dyn Observer) -> Result<bool, EngineError> {
        let id = self.book.rotation.id.clone();
        let mut asked = false;
        for (number, text) in self.book.journal().inbox(&id).await? {
            if broken(Mutant::RequestLost) {
                self.book.journal().take_from_inbox(&id, number).await?;
            }
            let result = match serde_json::from_str(&text) {
                Ok(request) => self.take_in(request, observer).await,
                Err(_) => Ok(()),
            };
            // A request that has no place any more is dropped: whoever asked sees it in `status`.
            match result {
                Ok(()) | Err(EngineError::Rule(_) | EngineError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
            self.book.journal().take_from_inbox(&id, number).await?;
            asked = true;
        }
        Ok(asked)
    }

    async fn take_in(&mut self, request: Request, observer: &mut dyn Observer) -> Result<(), EngineError> {
        match request {
            Request::Abort { by, reason } => self.tell(Event::AbortRequested { by, reason }, observer).await,
            Request::Approve { step, by } => self.tell(Event::Approved { step, by }, observer).await,
            Request::Compromised { slot, within, source } => {
                self.tell(Event::Compromised { slot, within, source }, observer).await
            }
            Request::Done { command, by } => self.done(&command, &by, observer).await,
            Request::Supply { slot, username, sealed, by } => {
                let id = &self.book.rotation.id;
                match opened(&self.engine.sealer, id, slot, &sealed) {
                    Some(password) => self.supply(slot, Login { username, password }, &by, observer).await,
                    None => {
                        tracing::warn!(rotation = %id, "a version that was handed over does not open, and is not taken");
                        Ok(())
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use handover_rotation::time::Millis;

    use super::*;
    use crate::journal::{
        Append, Journal, NewEvent, NewRotation, Options, Owner, Room, SqliteJournal, open_sealer, system_stamp,
    };

    const PASSWORD: &str = "hosb_the-password-that-a-person-made-0123456789";

    fn login() -> Login {
        let username = Username::new("shop-2").expect("a name");
        Login { username, password: Secret::new(PASSWORD.to_owned()) }
    }

    fn event() -> NewEvent {
        NewEvent { stamp: system_stamp(), at: Millis(1), payload: "{}".to_owned(), known: Vec::new() }
    }

    #[tokio::test]
    async fn what_is_handed_over_is_sealed_for_its_place_and_gone_with_the_rotation() {
        let dir = tempfile::tempdir().expect("a folder");
        let journal = SqliteJournal::open(Options::new(dir.path())).expect("a journal");
        let sealer = open_sealer(&journal, &dir.path().join("seal.key")).await.expect("a key");
        let (id, other) = (RotationId::new("shop-1").expect("an id"), RotationId::new("shop-2").expect("an id"));
        let request = Request::supply(&sealer, &id, Slot(1), &login(), "ana".to_owned()).expect("it is sealed");
        let text = serde_json::to_string(&request).expect("JSON");
        assert!(!text.contains(PASSWORD) && !format!("{request:?}").contains(PASSWORD));
        let Ok(Request::Supply { slot, username, sealed, by }) = serde_json::from_str(&text) else {
            panic!("{text}");
        };
        assert_eq!((slot, username.as_str(), by.as_str()), (Slot(1), "shop-2", "ana"));
        let found = opened(&sealer, &id, Slot(1), &sealed).expect("it opens where it belongs");
        assert!(found.matches(&login().password));
        assert!(opened(&sealer, &other, Slot(1), &sealed).is_none(), "in another rotation");
        assert!(opened(&sealer, &id, Slot(2), &sealed).is_none(), "as another version");
        let blob = hex::decode(&sealed).expect("hex");
        assert!(sealer.open(&id, &sealed_name(Slot(1)), &blob).is_err(), "as if it were taken already");
        assert!(opened(&sealer, &id, Slot(1), "zz").is_none() && opened(&sealer, &id, Slot(1), "").is_none());

        // One that nobody has taken goes with the end.
        let new = NewRotation {
            id: id.clone(),
            credential: "shop".to_owned(),
            lineage: "relay/shop".to_owned(),
            events: vec![event()],
            sealed: Vec::new(),
            trigger: None,
        };
        let claim = journal.begin(new, &Owner::current().expect("an owner")).await.expect("it begins");
        journal.post(&id, &text).await.expect("it is left");
        assert_eq!(journal.inbox(&id).await.expect("it reads").len(), 1);
        let last = Append {
            id: id.clone(),
            epoch: claim.epoch,
            expected_seq: claim.seq,
            events: vec![event()],
            sealed: Vec::new(),
            notices: Vec::new(),
            room: Room::Ordinary,
        };
        journal.finish(last).await.expect("it ends");
        assert_eq!(journal.inbox(&id).await.expect("it reads"), []);
    }
}

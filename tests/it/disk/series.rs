//! Two series of calls on a journal, and what the journal must hold after some of them: the model that `journal` compares with.

use std::collections::BTreeMap;

use handover::journal::{Room, Wrote};

/// One call. The names are those of the trait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Open,
    Key,
    Begin(&'static str),
    Append { rotation: &'static str, name: &'static str, rows: usize, size: usize, room: Room, seals: bool },
    Post(&'static str),
    Inbox(&'static str),
    Take(&'static str),
    Renew(&'static str),
    Release(&'static str),
    Claim(&'static str),
    Flush,
    Load(&'static str),
    Sealed(&'static str),
    Verify,
    Finish(&'static str),
}

/// The lineage of all rotations: only one of them may be open.
pub(super) const LINEAGE: &str = "ses/smtp-newsletter";
/// What is asked of the owner through the inbox.
pub(super) const REQUEST: &str = "please abort";
/// The slots that `begin` and `append` seal.
pub(super) const OLD: &str = "slot-0";
pub(super) const NEW: &str = "slot-1";

const fn append(rotation: &'static str, name: &'static str, rows: usize, room: Room) -> Call {
    Call::Append { rotation, name, rows, size: 200, room, seals: false }
}

const fn sealing(rotation: &'static str, name: &'static str, size: usize) -> Call {
    Call::Append { rotation, name, rows: 2, size, room: Room::Ordinary, seals: true }
}

/// A journal from its birth to the middle of its second rotation.
const FIRST: &[Call] = &[
    Call::Open,
    Call::Key,
    Call::Begin("one"),
    sealing("one", "intents", 200),
    Call::Post("one"),
    append("one", "outcome", 1, Room::Reserve),
    Call::Flush,
    Call::Inbox("one"),
    Call::Take("one"),
    Call::Renew("one"),
    // Pages of its own, and the secret in another place.
    sealing("one", "large", 6_000),
    Call::Release("one"),
    Call::Claim("one"),
    Call::Flush,
    Call::Load("one"),
    Call::Sealed("one"),
    Call::Finish("one"),
    Call::Begin("two"),
    sealing("two", "intents", 200),
];

/// What comes after the process of the first series was killed: a log to be recovered, a rotation to be taken over.
const SECOND: &[Call] = &[
    Call::Open,
    Call::Key,
    Call::Load("two"),
    Call::Claim("two"),
    append("two", "outcomes", 3, Room::Reserve),
    Call::Flush,
    Call::Sealed("two"),
    Call::Verify,
    Call::Finish("two"),
    Call::Begin("three"),
    sealing("three", "intents", 200),
];

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    First,
    Second,
}

impl Part {
    pub(super) fn calls(self) -> &'static [Call] {
        match self {
            Self::First => FIRST,
            Self::Second => SECOND,
        }
    }

    /// What the journal holds before the series, where each call before it came through.
    pub(super) fn before(self) -> Model {
        match self {
            Self::First => Model::default(),
            Self::Second => Self::First.calls().iter().fold(Model::default(), |model, call| model.after(*call)),
        }
    }
}

/// The payload of a row: its name, and as many bytes as the call wants.
pub(super) fn payload(name: &str, size: usize) -> String {
    format!(r#"{{"name":"{name}","filler":"{}"}}"#, "x".repeat(size))
}

/// A secret that is nowhere but here and, sealed, in the journal.
pub(super) fn secret(rotation: &str, name: &str) -> String {
    format!("PLANTED-{rotation}-{name}-c1f0a8e5d2")
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Ok,
    Err { code: String, wrote: Wrote },
}

/// What a journal holds, as far as a caller can tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) keyed: bool,
    pub(super) rotations: BTreeMap<String, Held>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) rows: Vec<String>,
    pub(super) sealed: BTreeMap<String, String>,
    pub(super) inbox: Vec<String>,
    pub(super) epoch: u64,
    pub(super) owned: bool,
    pub(super) finished: bool,
}

impl Model {
    /// The model after a call that came through.
    fn after(mut self, call: Call) -> Self {
        match call {
            Call::Open | Call::Inbox(_) | Call::Renew(_) | Call::Flush | Call::Load(_) | Call::Sealed(_) | Call::Verify => {}
            Call::Key => self.keyed = true,
            Call::Begin(id) => {
                let sealed = [(OLD.to_owned(), secret(id, "old"))].into();
                let rows = vec!["begun".to_owned()];
                let held = Held { rows, sealed, epoch: 1, owned: true, ..Held::default() };
                self.rotations.insert(id.to_owned(), held);
            }
            Call::Append { rotation, name, rows, seals, .. } => {
                let held = self.rotations.entry(rotation.to_owned()).or_default();
                held.rows.extend((0..rows).map(|n| format!("{name}-{n}")));
                if seals {
                    held.sealed.insert(NEW.to_owned(), secret(rotation, name));
                }
            }
            Call::Post(id) => self.rotations.entry(id.to_owned()).or_default().inbox.push(REQUEST.to_owned()),
            // Taking what is not there is no failure.
            Call::Take(id) => self.rotations.get_mut(id).into_iter().for_each(|held| held.inbox.clear()),
            Call::Release(id) => self.rotations.entry(id.to_owned()).or_default().owned = false,
            Call::Claim(id) => {
                let held = self.rotations.entry(id.to_owned()).or_default();
                held.epoch += 1;
                held.owned = true;
            }
            Call::Finish(id) => {
                let held = self.rotations.entry(id.to_owned()).or_default();
                held.rows.push("finished".to_owned());
                held.sealed.clear();
                held.owned = false;
                held.finished = true;
            }
        }
        self
    }

    /// Every state that these answers leave possible: what was refused has not happened, of what is unknown nobody can say.
    pub(super) fn possible(self, told: &[(Call, Answer)]) -> Vec<Self> {
        let mut possible = vec![self];
        for (call, answer) in told {
            possible = match answer {
                Answer::Ok => possible.into_iter().map(|m| m.after(*call)).collect(),
                Answer::Err { wrote: Wrote::No, .. } => possible,
                Answer::Err { wrote: Wrote::Unknown, .. } => {
                    possible.into_iter().flat_map(|m| [m.clone(), m.after(*call)]).collect()
                }
            };
        }
        possible
    }
}

//! News: what happens, as it happens, for those who watch: the API's streams, the metrics and the notices. Losing one loses
//! nothing: the journal has them all.

use handover_rotation::event::Event;
use handover_rotation::name::{CredentialName, RotationId};
use handover_rotation::state::Rotation;
use handover_rotation::time::Millis;
use std::sync::Arc;

use crate::notify::Notice;
use crate::usage::Assessment;

/// One piece of news.
#[derive(Clone, Debug)]
pub enum News {
    /// Events of a rotation were written, and this is its state after them.
    Recorded {
        /// The events, each with its trusted time.
        events: Arc<Vec<(Millis, Event)>>,
        /// The sequence number of the last.
        rotation: Arc<Rotation>,
    },
    /// A rotation could not be begun.
    NotBegun {
        /// The credential.
        credential: CredentialName,
        /// Why, in words.
        why: String,
    },
    /// A rotation under way cannot go on here for now.
    Halted {
        /// The rotation.
        rotation: RotationId,
        /// Why, in words.
        why: String,
    },
    /// An alert came in or was changed.
    Alert {
        /// Its number.
        number: u64,
    },
    /// The sources of evidence were asked whether a leaked login was used.
    Assessed {
        /// The rotation that contains it.
        rotation: RotationId,
        /// What they said.
        assessment: Arc<Assessment>,
    },
    /// People are to be told something of the daemon itself. Who makes it says it again while it lasts.
    Notice(Box<Notice>),
    /// The files were read again.
    Reloaded {
        /// The problem, where they were refused.
        refused: Option<String>,
    },
}

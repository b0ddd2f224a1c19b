//! Where a probe is looked for: proof that the server did with it what it said. Reads only; no message is changed, moved or
//! marked. One file a place.

mod imap;
mod maildir;

use std::time::Duration;

use handover_rotation::outcome::Fault;

use self::imap::Mailbox;
#[cfg(any(test, feature = "fuzzing"))]
pub(super) use self::imap::search;
use self::maildir::Maildir;
use super::Arrival;
use super::client::Timeouts;

/// What is said where nobody looks.
const NOWHERE: &str = "not looked for";

/// A place to look in.
pub(super) enum Place {
    Maildir(Maildir),
    Imap(Mailbox),
    Nowhere,
}

impl Place {
    pub(super) fn new(arrival: Arrival) -> Self {
        match arrival {
            Arrival::Maildir { path } => Self::Maildir(Maildir::new(path)),
            Arrival::Imap { host, port, ca_file, username, password, mailbox } => {
                Self::Imap(Mailbox { host, port, ca_file, username, password, mailbox })
            }
            Arrival::None => Self::Nowhere,
        }
    }

    /// Where the message with `nonce` is, as soon as it is there.
    pub(super) async fn look(&self, nonce: &str, within: Duration, timeouts: Timeouts) -> Result<String, Fault> {
        match self {
            Self::Maildir(maildir) => maildir.look(nonce, within).await,
            Self::Imap(mailbox) => mailbox.look(nonce, within, timeouts).await,
            Self::Nowhere => Ok(NOWHERE.to_owned()),
        }
    }
}

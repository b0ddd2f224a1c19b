//! Who may do what: four roles, each with all that the one before may; tokens of 256 bits, kept as hashes.

use aws_lc_rs::digest::{SHA256, digest};
use std::fmt;

use super::super::desk::Desk;
use super::serve::Peer;
use crate::journal::{JournalError, TokenRow};
use crate::random::{RandomError, hex_id};

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Look.
    Viewer,
    /// Plan, rotate, resume and abort.
    Operator,
    /// Open gates as well.
    Approver,
    /// Everything: also reload the files.
    Admin,
}

impl Role {
    /// All roles, the least first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Approver, Self::Admin];

    /// As it is kept and typed.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }

    /// The role of a text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.text() == text)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Who calls, and what they may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Their name, for the audit log.
    pub name: String,
    /// Their role.
    pub role: Role,
}

/// What tokens begin with, so that scanners know one.
const PREFIX: &str = "hot_";

/// A token that nobody has yet, and its hash.
///
/// # Errors
/// The system has no randomness.
pub fn new_token() -> Result<(String, [u8; 32]), RandomError> {
    let token = format!("{PREFIX}{}", hex_id(32)?);
    let hash = token_hash(&token);
    Ok((token, hash))
}

/// What is kept of a token. It has 256 bits of chance, so a plain hash does, and looking one up tells nothing by its time: whoever
/// could choose hashes could choose tokens.
#[must_use]
pub fn token_hash(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

/// The header in which the command line says who runs it, for the audit log: several people may be one user, or root.
pub const BY: &str = "handover-by";

/// Who calls: by the token, or by the user at the other end of the unix socket, who may do everything if the daemon is theirs.
/// Nobody, where neither tells.
///
/// # Errors
/// The journal cannot be read: that says nothing of the token.
pub(super) async fn caller(
    desk: &Desk,
    peer: &Peer,
    authorization: Option<&str>,
    said: Option<&str>,
) -> Result<Option<Caller>, JournalError> {
    match authorization.and_then(|text| text.strip_prefix("Bearer ")) {
        Some(token) => by_token(desk, &token_hash(token.trim())).await,
        None => Ok(by_user(peer, said)),
    }
}

/// Whose token this is the hash of, if anybody's.
///
/// # Errors
/// The journal cannot be read: that says nothing of the token.
pub(super) async fn by_token(desk: &Desk, hash: &[u8; 32]) -> Result<Option<Caller>, JournalError> {
    let found = desk.register.tokens().await?.into_iter().find(|known| known.hash == *hash);
    let caller = |found: TokenRow| Some(Caller { name: format!("token {}", found.name), role: Role::parse(&found.role)? });
    Ok(found.and_then(caller))
}

/// Who is at the other end of the unix socket, if they may do anything.
pub(super) fn by_user(peer: &Peer, said: Option<&str>) -> Option<Caller> {
    match peer {
        Peer::User(uid) if *uid == 0 || *uid == rustix::process::geteuid().as_raw() => {
            let said = said.map(|text| text.chars().filter(|c| !c.is_control()).take(120).collect::<String>());
            let name = said.map_or_else(|| format!("uid {uid}"), |said| format!("{said} (uid {uid})"));
            Some(Caller { name, role: Role::Admin })
        }
        _ => None,
    }
}

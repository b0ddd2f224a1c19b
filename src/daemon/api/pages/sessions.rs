//! Sessions of those who have signed in with a token: 256 bits of chance in a cookie, kept here as a hash, in memory only. A session
//! says which token it is of and nothing of what that may do: this is looked up at each request, so that a token that is removed
//! ends its sessions at once.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use tokio::sync::Semaphore;

use super::super::access::token_hash;
use crate::random::{RandomError, hex_id};

/// How long a session lasts.
pub(super) const LASTS: Duration = Duration::from_secs(8 * 3600);
/// The most sessions; the oldest goes.
const MOST: usize = 1000;
/// The most sessions of one token; the oldest goes.
const MOST_OF_ONE: usize = 20;
/// The most refusals of a sign-in that are held back at once.
const HELD_BACK: usize = 64;

/// All sessions.
pub(in super::super) struct Sessions {
    open: Mutex<BTreeMap<[u8; 32], Session>>,
    /// What stands in the forms of those who come by the unix socket, by their user.
    users: Mutex<BTreeMap<u32, String>>,
    /// Refused sign-ins that wait for their answer.
    pub(super) refusals: Semaphore,
}

struct Session {
    token: [u8; 32],
    form: String,
    secure: bool,
    since: Instant,
}

/// The session of a request.
#[derive(Clone, PartialEq, Eq)]
pub(in super::super) struct Visit {
    /// What its forms must bring back, so that no other site can send them.
    pub form: String,
    /// Its name here; `None` for those who need none, on the unix socket.
    pub session: Option<[u8; 32]>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { open: Mutex::default(), users: Mutex::default(), refusals: Semaphore::new(HELD_BACK) }
    }
}

impl Sessions {
    /// Begins one for the token of this hash; `secure` where the browser speaks TLS. Gives what goes into the cookie.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(super) fn begin(&self, token: [u8; 32], secure: bool, now: Instant) -> Result<String, RandomError> {
        let (id, form) = (hex_id(32)?, hex_id(32)?);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, session| now.saturating_duration_since(session.since) < LASTS);
        let oldest = |open: &BTreeMap<[u8; 32], Session>, of: Option<[u8; 32]>| {
            let mine = open.iter().filter(|(_, session)| of.is_none_or(|token| session.token == token));
            mine.min_by_key(|(_, session)| session.since).map(|(name, _)| *name)
        };
        let gone = match open.values().filter(|session| session.token == token).count() {
            MOST_OF_ONE.. => oldest(&open, Some(token)),
            _ if open.len() >= MOST => oldest(&open, None),
            _ => None,
        };
        gone.map(|name| open.remove(&name));
        open.insert(token_hash(&id), Session { token, form, secure, since: now });
        Ok(id)
    }

    /// The session of a cookie, and the hash of its token. One that was begun over TLS is known by the cookie of TLS only.
    pub(super) fn find(&self, id: &str, secure: bool, now: Instant) -> Option<(Visit, [u8; 32])> {
        let name = token_hash(id);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let session = open.get(&name)?;
        if now.saturating_duration_since(session.since) >= LASTS {
            open.remove(&name);
            return None;
        }
        let visit = Visit { form: session.form.clone(), session: Some(name) };
        (session.secure == secure).then_some((visit, session.token))
    }

    /// Ends one.
    pub(super) fn end(&self, name: &[u8; 32]) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// The visit of a user on the unix socket.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(super) fn user(&self, uid: u32) -> Result<Visit, RandomError> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let form = match users.get(&uid) {
            Some(form) => form.clone(),
            None => users.entry(uid).or_insert(hex_id(32)?).clone(),
        };
        Ok(Visit { form, session: None })
    }
}

impl Visit {
    /// Whether a form was made for this session.
    pub(super) fn made(&self, form: &str) -> bool {
        verify_slices_are_equal(self.form.as_bytes(), form.as_bytes()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_after_some_hours_and_when_it_is_told_to() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let id = sessions.begin([1; 32], false, now).expect("chance");
        let other = sessions.begin([1; 32], false, now).expect("chance");
        let (visit, token) = sessions.find(&id, false, now + LASTS - Duration::from_secs(1)).expect("it is open");
        assert_eq!(token, [1; 32]);
        assert!(sessions.find(&id, true, now).is_none(), "the cookie of TLS is another one");
        assert!(sessions.find(&"0".repeat(64), false, now).is_none());
        assert!(sessions.find(&id, false, now + LASTS).is_none(), "it is over");
        assert!(sessions.find(&id, false, now).is_none(), "and is forgotten");
        let (second, _) = sessions.find(&other, false, now).expect("it is open");
        assert!(second.made(&second.form) && !second.made(&visit.form) && !second.made(""));
        sessions.end(&second.session.expect("a session"));
        assert!(sessions.find(&other, false, now).is_none());
    }

    #[test]
    fn sessions_are_bounded_in_number_for_each_token_and_in_all() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let at = |n: usize| now + Duration::from_millis(n as u64);
        let ids: Vec<String> = (0..=MOST_OF_ONE).map(|n| sessions.begin([1; 32], false, at(n)).expect("chance")).collect();
        assert!(sessions.find(&ids[0], false, at(99)).is_none(), "the oldest goes");
        assert!(ids[1..].iter().all(|id| sessions.find(id, false, at(99)).is_some()));
        for n in 0..MOST {
            let mut token = [2; 32];
            token[..8].copy_from_slice(&(n as u64).to_be_bytes());
            sessions.begin(token, false, at(100 + n)).expect("chance");
        }
        assert_eq!(sessions.open.lock().expect("a lock").len(), MOST);
        assert!(sessions.find(&ids[1], false, at(5000)).is_none());
    }
}

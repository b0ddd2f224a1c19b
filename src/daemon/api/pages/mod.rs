//! Pages for people with a browser, made here and readable without any script. What needs a person comes first.
//!
//! ```text
//!   sign  sessions  guard    who looks; whether a form comes from a page of ours (threats T17, T25)
//!   home  needs  pending     what needs a person now, and every credential
//!   credential               one of them, its plan, and its beginning
//!   rotation  acts           one rotation as it goes on; what is asked before something is done to it
//!   alerts                   leak alerts with the seconds that each part took
//!   trouble  escape  parts   why not; how text comes into a page (threat T19); what pages share
//! ```
//!
//! A page shows what the API shows, by the same functions, and acts by the same functions. No page has a secret, a script or a style
//! within itself; what comes from anywhere else is only text.

mod acts;
mod alerts;
mod credential;
pub(in crate::daemon::api) mod escape;
mod guard;
mod home;
mod needs;
mod parts;
mod pending;
mod rotation;
mod sessions;
mod sign;
mod trouble;

pub(super) use self::acts::{abort, approve, ask_abort, ask_approve, ask_resume, resume};
pub(super) use self::alerts::alerts;
pub(super) use self::credential::{credential, plan, rotate};
pub(super) use self::guard::{check, is_local, visitor};
pub(super) use self::home::home;
pub(super) use self::parts::{script, secured, style};
pub(super) use self::pending::Pending;
pub(super) use self::rotation::{rotation, watch};
pub(super) use self::sessions::{Sessions, Visit};
pub(super) use self::sign::{ask_login, login, logout};
pub(super) use self::trouble::trouble;

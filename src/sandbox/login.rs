//! The server's verdict on a login: the ledger, the faults and the clock in, 235, 535 or 454 out, and a note of it.

use handover_rotation::outcome::Fault;

use super::sasl::Presented;
use crate::providers::sandbox::account::{Account, Version};
use crate::providers::sandbox::faults::{Faults, RefuseAuth, Stage};
use crate::providers::sandbox::files::now_ms;
use crate::providers::sandbox::ledger::{Ledger, Sight};

/// What to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// 235, with what the mechanism wants said before it.
    Accepted(Option<String>),
    Refused,
    Later,
}

/// Judges a login. Reads and writes files: call it where waiting is allowed.
pub(super) fn judge(ledger: &Ledger, username: &str, presented: &Presented) -> Result<Verdict, Fault> {
    let faults = Faults::load(ledger.dir())?;
    if faults.smtp_4xx == Some(Stage::Auth) {
        return Ok(Verdict::Later);
    }
    let Some(account) = ledger.account_of(username)? else { return Ok(Verdict::Refused) };
    let now = now_ms();
    // Where a login name had several passwords, the one that was presented tells which version is meant.
    let mut meant: Vec<&Version> = account.versions.iter().rev().filter(|v| v.username.as_str() == username).collect();
    meant.sort_by_key(|v| !v.accepted_at(now));
    let matched = meant.into_iter().find(|v| presented.matches(&v.password));
    let accepted = matched.filter(|v| v.accepted_at(now) && !refused_by_fault(&faults, &account, v));
    let (verdict, sight) = match accepted {
        Some(version) => (Verdict::Accepted(presented.last_word(&version.password)), Sight::Used),
        None => (Verdict::Refused, Sight::Refused),
    };
    if let Some(version) = matched.or_else(|| account.newest_of(username)) {
        ledger.note(&account.name, &version.id, sight, now)?;
    }
    Ok(verdict)
}

fn refused_by_fault(faults: &Faults, account: &Account, version: &Version) -> bool {
    match &faults.refuse_auth {
        None => false,
        Some(RefuseAuth::All) => true,
        Some(RefuseAuth::New) => account.is_new(version),
        Some(RefuseAuth::Username(name)) => version.username.as_str() == name,
    }
}

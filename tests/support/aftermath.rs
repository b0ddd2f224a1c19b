//! What a rotation that was broken off, however often, must have left when it was taken up again and has come to rest.

use super::ledger::Status;
use super::world::CREDENTIAL;
use super::{Case, Run, World, exit};

/// How it came to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rest {
    Done,
    RolledBack,
    /// It was broken off before it had begun, and a new one ended in done.
    NothingBegun,
    /// It had ended before it was taken up.
    OverAlready,
    /// It did not: this is wrong.
    Otherwise,
}

/// What was done to it.
pub(crate) struct Broken<'a> {
    pub(crate) playbook: &'a str,
    /// How often its process was broken off. Each may lose the secret of one version, and no more.
    pub(crate) times: usize,
    /// Whether the services may have been refused: where the playbook or a fault says so.
    pub(crate) mail_stops: bool,
    /// Whether the version before can be got rid of: one that was changed in place stays in the books.
    pub(crate) in_place: bool,
}

/// How it came to rest, and all that is wrong. `before` are the books before it, `last` is the run that took it up last.
pub(crate) fn look(world: &World, case: &Case<'_>, before: &Status, last: &Run, broken: &Broken<'_>) -> (Rest, Vec<String>) {
    let old = before.account(CREDENTIAL).active()[0].id.clone();
    let rest = match last.code() {
        exit::DONE => Rest::Done,
        exit::ROLLED_BACK => Rest::RolledBack,
        exit::BAD_INPUT if last.said().contains("HO0457") => Rest::NothingBegun,
        exit::REFUSED if last.said().contains("HO0458") => Rest::OverAlready,
        _ => Rest::Otherwise,
    };
    if rest == Rest::NothingBegun {
        let mut wrong = world.unclean(Some(&old));
        if world.account() != *before.account(CREDENTIAL) {
            wrong.push("nothing was begun, and the account was changed".to_owned());
        }
        let again = case.rotate(broken.playbook);
        if ![exit::DONE, exit::ROLLED_BACK].contains(&again.code()) {
            wrong.push(format!("a rotation after that ended with {}: {again}", again.code()));
        }
        return (rest, wrong);
    }
    let after = world.status();
    let account = after.account(CREDENTIAL);
    let new: Vec<_> =
        account.versions.iter().filter(|v| !before.account(CREDENTIAL).versions.iter().any(|b| b.id == v.id)).collect();
    let mut wrong = match rest {
        Rest::Done => {
            let target = new.last().map_or("a new version", |v| v.id.as_str());
            world.unclean_by(&after, Some(target))
        }
        Rest::RolledBack => world.unclean_by(&after, Some(&old)),
        Rest::OverAlready => world.unclean_by(&after, None),
        Rest::Otherwise | Rest::NothingBegun => vec![format!("the recovery ended with {}", last.code())],
    };
    if account.kept().len() != 1 && !broken.in_place {
        wrong.push(format!("versions are left over: {:?}", account.kept()));
    }
    if new.len() > 1 + broken.times {
        wrong.push(format!("{} versions were made in {} deaths: {new:?}", new.len(), broken.times));
    }
    if let Some(foreign) = new.iter().find(|v| !v.tag.as_deref().is_some_and(|t| t.starts_with("handover:"))) {
        wrong.push(format!("{} has no tag of ours", foreign.id));
    }
    let (sent, then) = (after.traffic(), before.traffic());
    if !broken.mail_stops && (sent.refused != then.refused || sent.failed != then.failed) {
        wrong.push(format!("mail of the services was lost: {then:?}, then {sent:?}"));
    }
    wrong.extend(case.broken_journal(true));
    (rest, wrong)
}

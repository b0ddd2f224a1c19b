//! What a fact means where it was asked for: good enough to go on, or trouble.

use crate::command::{Command, Fact, SeenVersion, Which};
use crate::name::{EntryName, Slot};
use crate::outcome::{Fault, FaultClass};
use crate::plan::Shape;
use crate::playbook::Step;
use crate::state::{Live, Phase, Rotation};

/// Judges a fact. `Err` is a fault as if the command had failed.
pub(crate) fn judge(r: &Rotation, command: &Command, fact: &Fact) -> Result<(), Fault> {
    let rolling_back = r.phase == Phase::RollingBack;
    let step = if rolling_back { None } else { r.current_step() };
    match (command, fact) {
        (Command::ListVersions, Fact::Versions(list)) => match step {
            Some(Step::Preflight) => current_is_active(r, list).and_then(|()| quota_is_free(r, list)),
            // In a leak a look is advice: whether one more fits, the provider says.
            Some(Step::Generate) if !r.is_leak() => quota_is_free(r, list),
            Some(Step::Watch { .. }) => nobody_uses_old(r),
            _ => Ok(()),
        },
        (Command::ReadEntry(entry), Fact::Holds(which)) => match step {
            // Nobody can read what was there before: its services tell whether it is the old version.
            Some(Step::Preflight) if *which == Which::Nothing && is_unwritten(r, entry) => Ok(()),
            Some(Step::Preflight) => expect_held(r, entry.as_str(), *which, Slot::OLD),
            Some(Step::Deactivate | Step::Delete) => expect_held(r, entry.as_str(), *which, r.target),
            _ => Ok(()),
        },
        (Command::Probe(entry), Fact::Holds(which)) => match expect_held(r, entry.as_str(), *which, r.target) {
            // It was read in between: the next try sends.
            Ok(()) => {
                Err(Fault::new(FaultClass::Temporary, "HO0403", format!("entry {entry} was changed while it was read")))
            }
            changed => changed,
        },
        (Command::Attest(service), Fact::Presents(which)) => {
            let wanted = match step {
                Some(Step::Preflight) => Slot::OLD,
                Some(_) => r.target,
                None => Slot::OLD,
            };
            if *which == Which::Slot(wanted) { Ok(()) } else { Err(presents(r, service.as_str(), *which, wanted)) }
        }
        (Command::Auth(slot), Fact::Login { accepted, reply }) if is_deleted(r, *slot) => match accepted {
            false => Ok(()),
            true => Err(Fault::new(
                FaultClass::Temporary,
                "HO0429",
                format!("the {slot} version was said to be deleted, and its login is still accepted: {reply}"),
            )
            .hint("delete it at the provider, then resume")),
        },
        (Command::Auth(slot), Fact::Login { accepted: false, reply }) => {
            let expected =
                slot.is_old() && matches!(step, Some(Step::Confirm | Step::Delete)) || (slot.is_old() && r.containing);
            if expected {
                return Ok(());
            }
            let hint = if slot.is_old() {
                "see whether the server refuses every login, which no rotation mends; if only this one, check the account, and run \
                 the `emergency` playbook"
            } else {
                "the provider may need longer to spread the new version"
            };
            Err(Fault::new(FaultClass::Credential, "HO0410", format!("login with the {slot} version was refused: {reply}"))
                .hint(hint))
        }
        _ => Ok(()),
    }
}

/// Whether a new version was said to be deleted.
fn is_deleted(r: &Rotation, slot: Slot) -> bool {
    !slot.is_old() && r.versions.get(&slot).is_some_and(|v| v.live == Live::Deleted)
}

fn current_is_active(r: &Rotation, list: &[SeenVersion]) -> Result<(), Fault> {
    let id = &r.plan.old.id;
    match list.iter().find(|v| v.id == *id) {
        // In containment it was shut out on purpose.
        Some(seen) if seen.active || r.containing => Ok(()),
        None if r.containing && r.old().live == Live::Deleted => Ok(()),
        Some(_) => {
            Err(Fault::new(FaultClass::Permanent, "HO0411", format!("the current version {id} is disabled at the provider"))
                .hint("enable it, or run the `emergency` playbook"))
        }
        None => {
            Err(Fault::new(FaultClass::Permanent, "HO0412", format!("the provider does not list the current version {id}"))
                .hint("check `account` in the inventory: the entries may belong to another account"))
        }
    }
}

/// S3: one more must fit, inactive ones counted. Versions of this rotation are cleaned up by itself; foreign ones are only named.
fn quota_is_free(r: &Rotation, list: &[SeenVersion]) -> Result<(), Fault> {
    if !matches!(r.shape(), Shape::Reversible | Shape::DeleteOnly) {
        return Ok(());
    }
    let quota = usize::from(r.plan.facts.quota);
    let ours: Vec<_> = r.versions.keys().filter(|s| !s.is_old()).map(|s| r.tag(*s)).collect();
    let others: Vec<&SeenVersion> = list.iter().filter(|v| v.tag.as_ref().is_none_or(|t| !ours.contains(t))).collect();
    if others.len() < quota {
        return Ok(());
    }
    let names: Vec<String> = others.iter().filter(|v| v.id != r.plan.old.id).map(|v| v.id.to_string()).collect();
    Err(Fault::new(
        FaultClass::Permanent,
        "HO0413",
        format!("the account {} has {} of {quota} versions: there is no room for a new one", r.plan.account, others.len()),
    )
    .hint(match &names[..] {
        [] => "have the provider allow one more: the only version there is the one in use, and must stay".to_owned(),
        names => format!(
            "find out who uses {} and delete it; Handover never removes a version that it did not make",
            names.join(", ")
        ),
    }))
}

fn nobody_uses_old(r: &Rotation) -> Result<(), Fault> {
    let old = r.old();
    let Some((used, refused)) = old.baseline else { return Ok(()) };
    let (what, when) = if old.last_used > used {
        ("was used", old.last_used)
    } else if old.last_refused > refused {
        ("was tried", old.last_refused)
    } else {
        return Ok(());
    };
    if r.is_leak() {
        // Expected where a version has leaked: it is evidence for the report, not a reason to stop.
        return Ok(());
    }
    Err(Fault::new(
        FaultClass::Permanent,
        "HO0414",
        format!("the old version {} {what} after it was retired {}", r.plan.old.id, when.map(utc).unwrap_or_default()),
    )
    .hint("a consumer is missing from the inventory: find it by the server's log, add it as a service, and rotate again"))
}

/// A time as people and logs write it, such as ` (at 2026-03-01 03:12:04 UTC)`.
fn utc(ms: u64) -> String {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut day, second) = (ms / 86_400_000, ms / 1000 % 86_400);
    let mut year = 1970;
    while year < 9999 && day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for days in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < days {
            break;
        }
        day -= days;
        month += 1;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!(" (at {year}-{month:02}-{:02} {hour:02}:{minute:02}:{second:02} UTC)", day + 1)
}

/// Whether an entry gives no value back and was not written by this rotation.
fn is_unwritten(r: &Rotation, entry: &EntryName) -> bool {
    let write_only = r.plan.entries.get(entry).is_some_and(|planned| planned.write_only);
    write_only && r.entries.get(entry).is_some_and(|state| !state.touched)
}

fn expect_held(r: &Rotation, entry: &str, which: Which, wanted: Slot) -> Result<(), Fault> {
    if which == Which::Slot(wanted) {
        return Ok(());
    }
    let place = r.plan.entries.iter().find(|(n, _)| n.as_str() == entry).map_or("", |(_, e)| e.location.as_str());
    Err(Fault::new(
        FaultClass::Permanent,
        "HO0415",
        format!("entry {entry} ({place}) holds {which}, not the {wanted} version"),
    )
    .hint("someone changed it, or it belongs to another credential: compare it with the other entries"))
}

fn presents(r: &Rotation, service: &str, which: Which, wanted: Slot) -> Fault {
    let owner = r.plan.services.iter().find(|(n, _)| n.as_str() == service).and_then(|(_, s)| s.owner.clone());
    let whom = owner.map_or_else(String::new, |o| format!(" (owner {o})"));
    let entry = r.plan.services.iter().find(|(n, _)| n.as_str() == service).map(|(_, s)| &s.entry);
    let held = entry.and_then(|e| Some((e, r.entries.get(e)?.holds?)));
    let hint = match held {
        Some((entry, held)) if held != Which::Slot(wanted) => {
            format!(
                "its entry {entry} holds {held}: the entry comes first, a restart of {service}{whom} alone changes nothing"
            )
        }
        _ => format!("its reload may not re-read the entry: restart {service}{whom}"),
    };
    Fault::new(FaultClass::Temporary, "HO0416", format!("service {service} presents {which}, not the {wanted} version"))
        .hint(hint)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_time_is_one_that_people_read() {
        let table = [
            (0, "1970-01-01 00:00:00"),
            (951_782_400_000, "2000-02-29 00:00:00"),
            (1_772_334_724_999, "2026-03-01 03:12:04"),
            (1_795_339_999_717, "2026-11-22 09:33:19"),
            (1_735_603_200_000, "2024-12-31 00:00:00"),
            (1_798_761_599_000, "2026-12-31 23:59:59"),
        ];
        for (ms, text) in table {
            assert_eq!(super::utc(ms), format!(" (at {text} UTC)"));
        }
        // What cannot be a time ends the search at the last year that has four digits.
        assert!(super::utc(u64::MAX).starts_with(" (at 9999-12-"));
    }
}

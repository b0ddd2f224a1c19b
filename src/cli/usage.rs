//! `usage`: who used a credential, from where, and what is unusual. Asks the sources of the inventory; changes nothing, and begins no
//! journal.

use chrono::{DateTime, Local, NaiveDate, NaiveDateTime, TimeZone};
use handover_rotation::name::CredentialName;
use handover_rotation::outcome::{Fault, FaultClass};

use super::args::UsageArgs;
use super::context::{Context, credential_name};
use super::failure::{Exit, Failure};
use super::out;
use super::plan::missing;
use crate::config::duration;
use crate::daemon::used::{MOST_MS, USUAL_MS, Window, assessed, past_of};
use crate::engine::uses::Past;
use crate::journal::system_stamp;
use crate::view;

const DAY_MS: u64 = 86_400_000;

pub(super) async fn run(context: &Context, args: UsageArgs) -> Result<Exit, Failure> {
    let inventory = context.inventory()?;
    let name = credential_name(&args.credential)?;
    if !inventory.credentials.contains_key(&name) {
        return Err(missing("credential", &args.credential, inventory.credentials.keys().map(|n| n.as_str()), "HO0440"));
    }
    let until_ms = system_stamp().wall_ms;
    let leaked_ms = args.leaked_at.as_deref().map(|text| moment(text, until_ms)).transpose()?;
    let since_ms = match args.since.as_deref() {
        Some(text) => moment(text, until_ms)?,
        None => leaked_ms.unwrap_or_else(|| until_ms.saturating_sub(USUAL_MS)),
    };
    if until_ms - since_ms > MOST_MS {
        let fault =
            Fault::new(FaultClass::Permanent, "HO0968", format!("the window is longer than {} days", MOST_MS / DAY_MS));
        return Err(Failure::new(Exit::BadInput, fault.hint("give a later --since")));
    }
    let window = Window { since_ms, until_ms, leaked_ms, patience: None };
    let (assessment, remark) = assessed(&inventory, &name, read_past(context, &name).await, &window).await;
    if let Some(remark) = remark {
        context.say(&remark);
    }
    if context.global.json {
        let text = serde_json::to_string(&assessment).unwrap_or_default();
        context.text(&text)?;
    } else {
        context.text(&view::usage::usage(&assessment, out::stdout_style()))?;
    }
    Ok(Exit::Done)
}

/// What the journal knows. Without one, or with one that cannot be read, nothing, which is told: a leak must not wait for that.
async fn read_past(context: &Context, name: &CredentialName) -> Past {
    let read = async {
        let journal = context.existing_journal().await?;
        Ok::<_, Failure>(past_of(journal.as_ref(), name).await?)
    };
    match read.await {
        Ok(past) => past,
        Err(failure) => {
            if let Failure::Fault(_, fault) = &failure {
                context.say(&format!("note: without the journal's versions and their times: {fault}"));
            }
            Past::default()
        }
    }
}

/// A moment as people write it: RFC 3339, a date, a date with a time of this machine's zone, or how long ago (`7d`, `36h`).
fn moment(text: &str, now_ms: u64) -> Result<u64, Failure> {
    let local = |at: NaiveDateTime| Local.from_local_datetime(&at).earliest().map(|at| at.timestamp_millis());
    let day = |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
    let minute = |text: &str| {
        let text = text.replace('T', " ");
        ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"].iter().find_map(|form| NaiveDateTime::parse_from_str(&text, form).ok())
    };
    let ago = || Some(now_ms.saturating_sub(duration::parse(text.trim_end_matches(" ago")).ok()?.0));
    let written = || {
        let exact = DateTime::parse_from_rfc3339(text).ok().map(|at| at.timestamp_millis());
        let ms = exact.or_else(|| day(text).or_else(|| minute(text)).and_then(local))?;
        u64::try_from(ms).ok()
    };
    let refuse = |what: String, hint: &str| {
        Err(Failure::new(Exit::BadInput, Fault::new(FaultClass::Permanent, "HO0968", what).hint(hint)))
    };
    match written().or_else(ago) {
        Some(ms) if ms > now_ms => refuse(format!("{text:?} is in the future"), "is the zone right?"),
        Some(ms) => Ok(ms),
        None => refuse(
            format!("{text:?} is no time"),
            "write it as 2026-11-20, \"2026-11-20 14:30\", 2026-11-20T14:30:00Z, or as how long ago: 7d, 36h",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_people_write_them() {
        let now: u64 = 1_795_000_000_000;
        let local = |text: &str| {
            let at = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").expect("a time");
            u64::try_from(Local.from_local_datetime(&at).earliest().expect("a time").timestamp_millis()).ok()
        };
        for (text, expected) in [
            ("7d", Some(now - 7 * DAY_MS)),
            ("36h ago", Some(now - DAY_MS * 3 / 2)),
            ("0s", Some(now)),
            ("2026-11-01T10:00:00Z", Some(1_793_527_200_000)),
            ("2026-11-01T12:00:00+02:00", Some(1_793_527_200_000)),
            ("2026-11-01", local("2026-11-01 00:00")),
            ("2026-11-01 10:30", local("2026-11-01 10:30")),
            ("2026-11-01T10:30", local("2026-11-01 10:30")),
            ("2027-11-01", None),
            ("yesterday", None),
            ("", None),
            ("7", None),
            ("1960-01-01T00:00:00Z", None),
            ("2026-13-01", None),
        ] {
            let found = moment(text, now);
            if let Err(Failure::Fault(Exit::BadInput, fault)) = &found {
                assert_eq!(fault.code, "HO0968");
            }
            assert_eq!(found.ok(), expected, "{text}");
        }
    }
}

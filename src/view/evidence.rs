//! What is known of versions, entries and services, each with its evidence, in words.

use handover_rotation::command::Which;
use handover_rotation::name::{EntryName, ServiceName, Slot};
use handover_rotation::state::{Live, Rotation};
use handover_rotation::time::Millis;
use handover_rotation::word::proved_wrong;

use super::plan::gap_most;
use super::story::{Mailed, Served, Story};
use super::style::Style;
use super::words;

/// A version: its state and the last word of the server on it.
pub(super) fn version(story: &Story, slot: Slot, now: Millis, style: Style) -> Vec<String> {
    let r = &story.last;
    let Some(version) = r.versions.get(&slot) else { return Vec::new() };
    let mut state = match version.live {
        Live::Doubt => "in doubt: the last call has no certain answer".to_owned(),
        other => words::live(other).to_owned(),
    };
    if !r.shape().lists() && proved_wrong(version) {
        state = format!("said to be {state}, and is not");
    }
    if version.compromised {
        state.push_str(", COMPROMISED");
    }
    let login = version.username.as_ref().map_or_else(String::new, ToString::to_string);
    let seen = story.logins.iter().rev().find(|l| l.slot == slot).map_or_else(String::new, |l| {
        let word = if l.accepted { "accepted" } else { "refused" };
        format!("{word} {} ({})", style.moment(l.at, now), l.reply)
    });
    vec![words::version(r, slot), state, login, seen]
}

/// An entry: what it holds and what was sent with it.
pub(super) fn entry(story: &Story, name: &EntryName) -> String {
    let r = &story.last;
    let Some(state) = r.entries.get(name) else { return String::new() };
    let holds = match state.holds {
        Some(which) => format!("holds {}", words::which(r, which)),
        None if state.touched => "in doubt: a write has no certain answer, or was not read back yet".to_owned(),
        None => "not read yet".to_owned(),
    };
    let mails = match state.holds {
        Some(Which::Slot(slot)) => mails_with(&story.entries.get(name).map(|e| e.mails.clone()).unwrap_or_default(), slot),
        _ => 0,
    };
    if mails == 0 { holds } else { format!("{holds}; {} sent", words::count(mails, "mail")) }
}

/// A service: what it uses, and how that is known.
pub(super) fn service(story: &Story, name: &ServiceName) -> String {
    let r = &story.last;
    let (Some(state), Some(plan), Some(told)) = (r.services.get(name), r.plan.services.get(name), story.services.get(name))
    else {
        return String::new();
    };
    let mut parts = Vec::new();
    match (state.presents, told.attested.last()) {
        (Some(which), _) => parts.push(format!("presents {}", words::which(r, which))),
        (None, Some((_, which))) => {
            parts.push(format!("presented {} when last asked", words::which(r, *which)));
        }
        (None, None) => {}
    }
    if plan.test_send && state.sends > 0 {
        parts.push(format!("{} sent", words::count(usize::from(state.sends), "mail")));
    }
    if !r.target.is_old() && r.is_proven(name, r.target) && plan.can_prove() {
        parts.push("proven".to_owned());
    }
    match (state.reloading, state.reloaded) {
        (_, Some(slot)) if !plan.attest => parts.push(format!("reloaded with {}", words::version(r, slot))),
        (Some(_), None) => parts.push("reload under way or in doubt".to_owned()),
        _ => {}
    }
    if plan.is_silent() {
        parts.push("can prove nothing itself".to_owned());
    } else if !plan.can_prove() {
        parts.push("cannot say which version it uses".to_owned());
    }
    if parts.is_empty() {
        parts.push(format!("not asked yet; taken to use {}", words::version(r, told.uses)));
    }
    parts.join("; ")
}

/// Services that use a version which the server refuses, or may refuse.
pub(super) fn without_mail(story: &Story) -> Vec<(&ServiceName, Slot, Served)> {
    let cut_off = story.services.iter().filter(|(_, s)| s.served.is_cut_off());
    cut_off.map(|(name, s)| (name, s.uses, s.served)).collect()
}

/// Why a service cannot send, such as `uses old AKIA1, which is disabled`.
pub(super) fn why_cut_off(r: &Rotation, uses: Slot, served: Served, now: Millis, style: Style) -> String {
    let uses = words::version(r, uses);
    match served {
        Served::Refused(at) => format!("uses {uses}, which the server refused at {}", style.moment(at, now)),
        Served::Retired(Live::Doubt) => format!("uses {uses}, of which it is in doubt whether it still works"),
        Served::Retired(live) => format!("uses {uses}, which is {}", words::live(live)),
        Served::Yes | Served::Unproven | Served::Foreign => format!("uses {uses}"),
    }
}

/// How long old and new were both accepted, in words.
pub(super) fn overlap(story: &Story, now: Millis) -> String {
    let (low, high) = story.overlap(now);
    let unseen = story.overlap.is_open() && story.last.old().live != Live::Active;
    let text = match (low.0, high.0) {
        (_, 0) => "old and new were never both accepted, as far as is known".to_owned(),
        (0, _) => format!("old and new were both accepted for at most {high}"),
        _ if low.to_string() == high.to_string() => format!("old and new were both accepted for {high}"),
        _ => format!("old and new were both accepted for at least {low}, at most {high}"),
    };
    if unseen { format!("{text} so far: the old one was not seen to be refused yet") } else { text }
}

/// What mail a service lost or may have lost: a line for each gap, for what is not known, and never an all-clear beyond what
/// was seen.
pub(super) fn gaps(story: &Story, now: Millis, style: Style) -> Vec<String> {
    let r = &story.last;
    let (mut lines, mut unproven, mut all_seen) = (Vec::new(), None, true);
    for (name, service) in &story.services {
        let gap = story.gap(name, now);
        if let Some(gap) = gap {
            all_seen = false;
            let end = match service.served {
                Served::Retired(_) | Served::Refused(_) => ", and still is".to_owned(),
                Served::Unproven | Served::Foreign => " so far; whether it has one now is not known".to_owned(),
                Served::Yes => ", at most".to_owned(),
            };
            lines.push(format!("gap: {name} was without a login that works for {gap}{end}"));
        } else if matches!(service.served, Served::Unproven | Served::Foreign) {
            all_seen = false;
            let why = if service.served == Served::Foreign {
                "it presents a value not of this rotation"
            } else {
                "it was not seen to send since its reload"
            };
            let since =
                service.unproven_since.map_or_else(String::new, |t| format!(" since {}", style.moment(t, r.started_at)));
            lines.push(format!("not known: whether {name} has a login that works{since}: {why}"));
        } else if r.plan.services.get(name).is_some_and(|p| p.is_silent()) {
            all_seen = false;
            lines.push(format!("not known: whether {name} was without a login that works: it can prove nothing itself"));
        }
        unproven = unproven.max(Some((service.unproven, name)).filter(|(span, _)| span.0 > 0));
    }
    lines.extend(measured(story, now));
    if all_seen {
        lines.push("no service was seen without a login that works".to_owned());
    }
    if let Some((span, name)) = unproven {
        lines.push(format!("between a reload and the first proof: at most {span} ({name})"));
    }
    lines
}

/// Where the password is changed in place: the longest gap beside what the plan had foreseen (IP3).
pub(super) fn measured(story: &Story, now: Millis) -> Option<String> {
    let r = &story.last;
    if r.shape().overlaps() {
        return None;
    }
    let (gap, name) = story.services.keys().filter_map(|name| Some((story.gap(name, now)?, name))).max()?;
    let most = gap_most(&r.plan);
    if gap <= most {
        return Some(format!("the longest gap is {gap}; the plan had foreseen up to {most}"));
    }
    let owner = r.plan.services.get(name).and_then(|p| p.owner.clone());
    let whom = owner.map_or_else(|| "whoever answers for it".to_owned(), |o| format!("its owner {o}"));
    Some(format!(
        "WARNING: {name} was without mail for {gap}, longer than the {most} that the plan had foreseen: tell {whom}"
    ))
}

/// How many mails were sent with a version.
pub(super) fn mails_with(mails: &[Mailed], slot: Slot) -> usize {
    mails.iter().filter(|m| m.slot == Some(slot)).count()
}

/// The mails with a version: how many, and the last few with nonce and place.
pub(super) fn mail_lines(r: &Rotation, mails: &[Mailed], slot: Slot, style: Style) -> Vec<String> {
    const SHOWN: usize = 3;
    let with: Vec<&Mailed> = mails.iter().filter(|m| m.slot == Some(slot)).collect();
    if with.is_empty() {
        return Vec::new();
    }
    let arrived = with.iter().filter(|m| m.arrived.is_some()).count();
    let found = match arrived {
        0 => "accepted; arrival was not looked for".to_owned(),
        n if n == with.len() => "all found on arrival".to_owned(),
        n => format!("{n} found on arrival"),
    };
    let mut lines = vec![format!("{} sent with {}, {found}", words::count(with.len(), "mail"), words::version(r, slot))];
    for mail in with.iter().take(SHOWN) {
        let place = mail.arrived.as_ref().map_or_else(String::new, |p| format!(" {} {p}", style.arrow()));
        lines.push(format!("  {} {}{place}", style.moment(mail.at, r.started_at), mail.message));
    }
    if with.len() > SHOWN {
        lines.push(format!("  and {} more, to {}", with.len() - SHOWN, style.moment(with[with.len() - 1].at, r.started_at)));
    }
    lines
}

//! The closing report: how it ended, what changed, and the evidence. Printed when `rotate`, `resume` or `abort` leave.

use handover_rotation::event::{Ending, Event};
use handover_rotation::name::{ServiceName, Slot};
use handover_rotation::plan::Shape;
use handover_rotation::state::{Live, Phase, Rotation};
use handover_rotation::time::Millis;

use super::evidence::{gaps, mail_lines, overlap};
use super::next::{next, undo, waiting};
use super::page::{Page, Paint, paint};
use super::story::{LoginStory, Story, Trouble};
use super::style::{Style, took};
use super::timeline;
use super::words::{self, distance};

/// The report as a page. `events` are those that `r` was folded from.
#[must_use]
pub fn report(r: &Rotation, events: &[(Millis, Event)], now: Millis, style: Style) -> String {
    let mut page = Page::new(style);
    let now = now.max(r.at);
    outcome(&mut page, r);
    let Some(story) = Story::of(events) else { return page.finish() };
    circumstances(&mut page, &story, now);
    reason(&mut page, &story);
    changes(&mut page, &story);
    proofs(&mut page, &story);
    cost(&mut page, &story, now);
    troubles(&mut page, &story);
    page.heading("timeline");
    timeline::draw(&mut page, &story, now);
    todo(&mut page, &story);
    if r.ended().is_none() {
        remaining(&mut page, r, now);
    }
    page.gap();
    page.labelled("next: ", &next(r, now, None, style).line());
    page.labelled("undo: ", undo(r).short());
    page.finish()
}

/// The outcome in one line, such as `DONE  newsletter uses AKIA2; AKIA1 is deleted`.
#[must_use]
pub fn headline(r: &Rotation) -> String {
    let credential = &r.plan.credential;
    let old = &r.plan.old.id;
    let new = r.new_version().and_then(|v| v.id.as_ref());
    let new = new.map_or_else(|| "the new version".to_owned(), ToString::to_string);
    let old_state = match (r.shape(), r.old().live) {
        (Shape::InPlace, Live::Inactive | Live::Deleted) => format!("the old password of {old} is gone"),
        (_, live) => format!("{old} is {}", words::live(live)),
    };
    match r.phase {
        Phase::Ended(Ending::Done) => format!("DONE  {credential} uses {new} everywhere; {old_state}"),
        Phase::Ended(Ending::RolledBack) => format!("ROLLED BACK  {credential} uses {old} everywhere, as before"),
        Phase::Ended(Ending::Refused) => format!("REFUSED  nothing was changed; {credential} uses {old} as before"),
        Phase::Stuck { .. } => format!("STUCK  {credential} needs a person; {old_state}"),
        Phase::RollingBack => format!("ROLLING BACK  {credential} is not done; {old_state}"),
        Phase::Forward if r.old().live == Live::Active && r.new_version().is_some_and(|v| v.live == Live::Active) => {
            format!("NOT FINISHED  {credential} goes on later; {old} and {new} both work")
        }
        Phase::Forward => format!("NOT FINISHED  {credential} goes on later; {old_state}"),
    }
}

fn outcome(page: &mut Page, r: &Rotation) {
    let colour = match r.phase {
        Phase::Ended(Ending::Done) => Paint::Green,
        Phase::Ended(_) | Phase::Forward => Paint::Yellow,
        _ => Paint::Red,
    };
    let line = headline(r);
    match line.split_once("  ") {
        Some((word, rest)) => page.labelled(&format!("{}  ", paint(colour, word)), rest),
        None => page.line(&line),
    }
}

fn circumstances(page: &mut Page, story: &Story, now: Millis) {
    let (r, style) = (&story.last, page.style());
    let end = if r.ended().is_some() { format!(" to {}", style.moment(r.at, r.started_at)) } else { String::new() };
    page.labelled("  rotation   ", &format!("{}, playbook {}", r.id, r.plan.playbook.name));
    let took = took(story.took(now));
    page.labelled("  took       ", &format!("{took}, {}{end}", style.date(r.started_at)));
    page.labelled("  started by ", &story.by);
    if let Some(reason) = &story.reason {
        page.labelled("  reason     ", reason);
    }
    if let Some(broken) = &story.broken {
        let text = format!("the events do not follow, so this report stops early: {broken}");
        page.labelled("  WARNING    ", &paint(Paint::Red, &text));
    }
}

/// Why it did not end in done.
fn reason(page: &mut Page, story: &Story) {
    let r = &story.last;
    if r.ended() == Some(Ending::Done) || story.failures.is_empty() {
        return;
    }
    let style = page.style();
    page.heading("why");
    for (at, failure) in &story.failures {
        words::failure(page, r, &format!("  {}  ", style.moment(*at, r.started_at)), failure);
    }
}

/// What the rest asks of people: near the end, where the eye is when the run has stopped.
fn todo(page: &mut Page, story: &Story) {
    if !matches!(story.last.phase, Phase::Stuck { .. }) {
        return;
    }
    page.heading("where things stand, and what to do");
    for (i, line) in story.todo.iter().enumerate() {
        page.labelled(&format!("  {}. ", i + 1), line);
    }
}

fn changes(page: &mut Page, story: &Story) {
    let (r, style) = (&story.last, page.style());
    if !r.has_changed_anything() {
        return;
    }
    let back = r.ended() == Some(Ending::RolledBack);
    page.heading(if back { "what was put back" } else { "what changed" });
    let old = r.old().live;
    match r.new_version() {
        Some(new) if !back => {
            let name = |v: &handover_rotation::state::Version| {
                let id = v.id.as_ref().map_or_else(|| "(not made)".to_owned(), ToString::to_string);
                let login = v.username.as_ref().map_or_else(String::new, |u| format!(" (login {u})"));
                format!("{id}{login}")
            };
            let text = format!("{} {} {}", name(r.old()), style.arrow(), name(new));
            page.labelled("  version  ", &text);
        }
        _ => page.labelled("  version  ", &format!("{} is {}", r.plan.old.id, words::live(old))),
    }
    for (slot, version) in r.versions.iter().filter(|(s, v)| v.id.is_some() && (back || **s != r.target)) {
        if slot.is_old() && back {
            continue;
        }
        let compromised = if version.compromised { ", compromised" } else { "" };
        let text = format!("{} is {}{compromised}", words::version(r, *slot), words::live(version.live));
        page.labelled("           ", &text);
    }
    for (name, entry) in &story.entries {
        let plan = r.plan.entries.get(name);
        let place = plan.map_or("", |e| e.location.as_str());
        let state = r.entries.get(name);
        let Some((at, slot)) = entry.writes.last() else {
            if state.is_some_and(|e| e.touched && e.holds.is_none()) {
                let text = format!("{place} was to be written; whether it was is not known, nothing was read back");
                page.labelled(&format!("  entry    {name}  "), &text);
            }
            continue;
        };
        let held = state.and_then(|e| e.holds);
        let read_back = held == Some(handover_rotation::command::Which::Slot(*slot));
        let checked = if read_back { ", read back" } else { "" };
        let text =
            format!("{place} {} {}, {}{checked}", style.arrow(), words::version(r, *slot), style.moment(*at, r.started_at));
        page.labelled(&format!("  entry    {name}  "), &text);
    }
    for (name, service) in &story.services {
        let Some(at) = service.reloads.last() else { continue };
        let times = service.reloads.len();
        let more = if times > 1 { format!(" ({} in all)", words::count(times, "reload")) } else { String::new() };
        page.labelled(&format!("  service  {name}  "), &format!("reloaded {}{more}", style.moment(*at, r.started_at)));
    }
}

fn proofs(page: &mut Page, story: &Story) {
    let (r, style) = (&story.last, page.style());
    let slot = if r.ended() == Some(Ending::RolledBack) { Slot::OLD } else { r.target };
    if !r.has_changed_anything() {
        return;
    }
    page.heading("evidence");
    logins(page, story);
    for name in story.services.keys() {
        let lines = service_proof(story, name, slot, style);
        page.line(&format!("  {name}"));
        for line in lines {
            page.line(&format!("    {line}"));
        }
    }
    for (name, entry) in &story.entries {
        let lines = mail_lines(r, &entry.mails, slot, style);
        if lines.is_empty() {
            continue;
        }
        page.line(&format!("  entry {name}, tried by Handover"));
        for line in lines {
            page.line(&format!("    {line}"));
        }
    }
}

fn service_proof(story: &Story, name: &ServiceName, slot: Slot, style: Style) -> Vec<String> {
    let r = &story.last;
    let (Some(service), Some(plan)) = (story.services.get(name), r.plan.services.get(name)) else { return Vec::new() };
    let mut lines = Vec::new();
    if let Some((at, which)) = service.attested.last() {
        lines.push(format!("presents {}, asked {}", words::which(r, *which), style.moment(*at, r.started_at)));
    } else if plan.attest {
        lines.push("was not asked what it presents".to_owned());
    }
    lines.extend(mail_lines(r, &service.mails, slot, style));
    if !plan.can_prove() {
        let by = story.approvals.last().map_or_else(|| "nobody".to_owned(), |(_, _, by)| by.clone());
        let what = if plan.is_silent() { "can prove nothing itself" } else { "cannot say which version it uses" };
        lines.push(format!("{what}; approved by {by}"));
    }
    if lines.is_empty() {
        lines.push("none".to_owned());
    }
    lines
}

fn logins(page: &mut Page, story: &Story) {
    let (r, style) = (&story.last, page.style());
    if story.logins.is_empty() {
        return;
    }
    page.line("  logins on fresh connections");
    let say = |page: &mut Page, login: &LoginStory, last: &LoginStory, streak: usize| {
        let word = if login.accepted { "accepted" } else { "refused" };
        let times = if streak > 1 { format!(", {streak} in a row") } else { String::new() };
        let after = match story.retired_at {
            Some(retired) if login.slot.is_old() && !login.accepted => {
                format!(", first {} after it was retired", login.at.since(retired))
            }
            _ if streak > 1 => format!(", last {}", style.moment(last.at, r.started_at)),
            _ => format!(", {}", style.moment(login.at, r.started_at)),
        };
        let name = words::version(r, login.slot);
        page.labelled(&format!("    {name}  "), &format!("{word}: {}{times}{after}", login.reply));
    };
    for slot in r.versions.keys() {
        let all: Vec<&LoginStory> = story.logins.iter().filter(|l| l.slot == *slot).collect();
        let Some(last) = all.last() else { continue };
        let streak = all.iter().rev().take_while(|l| l.accepted == last.accepted).count();
        say(page, all[all.len() - streak], last, streak);
    }
}

fn cost(page: &mut Page, story: &Story, now: Millis) {
    let r = &story.last;
    if !r.has_changed_anything() {
        return;
    }
    page.heading("mail");
    if r.shape().overlaps() {
        page.labelled("  ", &overlap(story, now));
    } else {
        page.line("  old and new never overlap at this provider: the password is changed in place");
    }
    for line in gaps(story, now, page.style()) {
        page.labelled("  ", &line);
    }
}

fn troubles(page: &mut Page, story: &Story) {
    if story.troubles.is_empty() {
        return;
    }
    let (r, style) = (&story.last, page.style());
    page.heading("trouble on the way");
    for trouble in &story.troubles {
        let times = if trouble.count > 1 { format!(", {} times", trouble.count) } else { String::new() };
        let what = words::command(r, &trouble.command);
        page.labelled(&format!("  {}  ", style.moment(trouble.first, r.started_at)), &format!("{what}{times}"));
        let why = match &trouble.fault {
            Some(fault) if trouble.doubt => format!("no certain answer: {fault}"),
            Some(fault) => fault.to_string(),
            None => "the process ended while it was under way".to_owned(),
        };
        page.labelled("            ", &why);
        let end = match &trouble.resolved {
            Some((at, how)) => format!("{how}, {} later", at.since(trouble.first)),
            None => unresolved(story, trouble).to_owned(),
        };
        page.labelled(&format!("            {} ", style.arrow()), &end);
    }
}

/// What became of trouble that did not pass.
fn unresolved(story: &Story, trouble: &Trouble) -> &'static str {
    let fatal = story.failures.iter().any(|(_, f)| f.command.as_ref() == Some(&trouble.command));
    match (fatal, story.last.phase) {
        (true, Phase::Ended(Ending::RolledBack)) => "not resolved: it was rolled back because of this",
        (true, Phase::Ended(_)) => "not resolved: it was refused because of this",
        (true, _) => "not resolved: it stopped because of this",
        (false, Phase::Ended(_)) => "not needed any more",
        (false, _) => "not resolved yet",
    }
}

/// What is left of a rotation that goes on later.
fn remaining(page: &mut Page, r: &Rotation, now: Millis) {
    if !matches!(r.phase, Phase::Forward) {
        return;
    }
    let style = page.style();
    page.heading("left to do");
    let waiting = waiting(r, now);
    if let Some(until) = waiting.until {
        let on = waiting.on.first().map_or("the time", String::as_str);
        page.line(&format!("  waits for {on}: {} ({})", style.moment(until, now), distance(until, now)));
    }
    let left: Vec<String> = r.plan.playbook.steps.iter().skip(r.step).map(words::step).collect();
    page.labelled("  steps: ", &left.join(", "));
}

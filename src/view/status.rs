//! The view of one rotation as it stands: for the person who has to decide something at 3 a.m. First where it stands, then what
//! is live, then what is safe, last what to type.

use handover_rotation::event::Event;
use handover_rotation::name::Slot;
use handover_rotation::state::{Live, Phase, Rotation};
use handover_rotation::time::Millis;
use serde_json::{Value, json};

use super::by_hand;
use super::evidence;
use super::next::{next, safety, undo, waiting};
use super::page::{Page, Paint, paint, table};
use super::standing::{Standing, standing};
use super::story::Story;
use super::style::{Style, took};
use super::words::{self, distance};

/// How a rotation goes on that nobody holds.
const GOES_ON: &str = "`handover resume --due`, run from the system's cron, goes on with it where no daemon does";

/// The status as a page. `events` are those that `r` was folded from; `holder` is the live process that has it.
#[must_use]
pub fn status(r: &Rotation, events: &[(Millis, Event)], now: Millis, holder: Option<&str>, style: Style) -> String {
    let mut page = Page::new(style);
    let now = now.max(r.at);
    head(&mut page, r, now, holder);
    by_hand::section(&mut page, r, now);
    let story = Story::of(events);
    if let Some(story) = &story {
        trouble(&mut page, story, now);
        if r.ended().is_none() {
            outside(&mut page, story, now);
        }
    }
    advice(&mut page, r, story.as_ref(), now, holder);
    page.finish()
}

fn head(page: &mut Page, r: &Rotation, now: Millis, holder: Option<&str>) {
    let style = page.style();
    let standing = standing(r, now, holder);
    let colour = match (standing, r.phase) {
        (Standing::Stuck | Standing::NotShutOut, _) => Paint::Red,
        (Standing::Stopped, _) | (_, Phase::RollingBack) => Paint::Yellow,
        _ => Paint::Bold,
    };
    let (word, text) = standing.head(r);
    page.labelled(&format!("{}  ", paint(colour, &word)), &text);
    page.labelled("  started    ", &format!("{} ({})", style.moment(r.started_at, now), distance(r.started_at, now)));
    if r.ended().is_some() {
        page.labelled("  ended      ", &format!("{}, after {}", style.moment(r.at, now), took(r.at.since(r.started_at))));
        return;
    }
    let of = r.plan.playbook.steps.len();
    let step = match (r.phase, r.current_step()) {
        (Phase::RollingBack | Phase::Stuck { rolling_back: true }, _) => "rolling back".to_owned(),
        (_, Some(step)) => format!("{} of {of}: {}", r.step + 1, words::step(step)),
        (_, None) => format!("all {of} done; the last look is left"),
    };
    let since = match (r.phase, r.step_started) {
        (Phase::Forward, Some(at)) => format!(" (since {}, {})", style.moment(at, now), took(now.since(at))),
        _ => String::new(),
    };
    page.labelled("  step       ", &format!("{step}{since}"));
    let waiting = waiting(r, now);
    if matches!(r.phase, Phase::Stuck { .. }) {
        page.labelled("  waiting    ", "for a person");
    } else {
        let on = match waiting.on.len() {
            0 if waiting.due => "nothing, it can go on now".to_owned(),
            0 => "the time".to_owned(),
            n if n > 3 => format!("{} and {} more", waiting.on[..3].join("; "), n - 3),
            _ => waiting.on.join("; "),
        };
        let label = match (waiting.calls, holder) {
            (true, Some(_)) => "  under way  ",
            (true, None) => "  due        ",
            (false, _) => "  waiting    for ",
        };
        page.labelled(label, &on);
    }
    if let Some(until) = waiting.until {
        page.labelled("  until      ", &format!("{} ({})", style.moment(until, now), distance(until, now)));
    }
    page.labelled("  held by    ", holder.unwrap_or("nobody"));
    if let Some(due) = r.contain_by.filter(|_| r.is_leak()) {
        let old = &r.plan.old.id;
        let text = match r.old().live {
            Live::Inactive | Live::Deleted => format!("{old} is {}", words::live(r.old().live)),
            _ if standing == Standing::NotShutOut => {
                let word = if due <= now { "had to be" } else { "has to be" };
                format!(
                    "{old} is NOT being shut out: nobody is at work; it {word} by {} ({})",
                    style.moment(due, now),
                    distance(due, now)
                )
            }
            _ if due <= now => format!("{old} is being shut out since {}", style.moment(due, now)),
            _ => format!("{old} is shut out at {} ({})", style.moment(due, now), distance(due, now)),
        };
        page.labelled("  leak       ", &text);
    }
}

fn trouble(page: &mut Page, story: &Story, now: Millis) {
    let (r, style) = (&story.last, page.style());
    let resting = !matches!(r.phase, Phase::Forward);
    if let Some(failure) = r.failure.as_ref().filter(|_| resting) {
        page.heading("why");
        words::failure(page, r, "  ", failure);
    }
    if matches!(r.phase, Phase::Stuck { .. }) {
        page.heading("where things stand, and what to do");
        for (i, line) in story.todo.iter().enumerate() {
            page.labelled(&format!("  {}. ", i + 1), line);
        }
        return;
    }
    if r.ended().is_none() && !r.tries.is_empty() {
        page.heading("trouble");
        for (command, tries) in &r.tries {
            let times = words::count(usize::from(tries.count), "time");
            let what = words::command(r, command);
            page.labelled("  - ", &format!("{what}: failed {times}, last {}", style.moment(tries.last, now)));
            page.labelled("    ", &tries.fault.message);
            words::fault_hint(page, 4, &tries.fault);
        }
    }
}

fn outside(page: &mut Page, story: &Story, now: Millis) {
    let (r, style) = (&story.last, page.style());
    let width = style.width.saturating_sub(2);
    page.heading(&format!("versions at {} (account {})", r.plan.provider, r.plan.account));
    let shown = r.versions.iter().filter(|(_, v)| v.live != Live::Absent || v.id.is_some());
    let rows: Vec<_> = shown.map(|(slot, _)| evidence::version(story, *slot, now, style)).collect();
    page.block(2, &table(&["version", "state", "login", "server said"], rows, width, &[]));
    page.heading("entries");
    let rows = r
        .plan
        .entries
        .iter()
        .map(|(name, entry)| vec![name.to_string(), entry.environment.to_string(), evidence::entry(story, name)]);
    page.block(2, &table(&["entry", "environment", "state"], rows, width, &[]));
    if !r.plan.services.is_empty() {
        page.heading("services");
        let rows =
            r.plan.services.iter().map(|(name, service)| {
                vec![name.to_string(), service.environment.to_string(), evidence::service(story, name)]
            });
        page.block(2, &table(&["service", "environment", "state"], rows, width, &[]));
    }
    if let Some(text) = evidence::measured(story, now).filter(|text| text.starts_with("WARNING")) {
        page.labelled("  ", &paint(Paint::Red, &text));
    }
    for (name, slot, served) in evidence::without_mail(story) {
        let text = format!("{name} {}: it cannot send", evidence::why_cut_off(r, slot, served, now, style));
        page.labelled(&format!("  {} ", style.bad()), &paint(Paint::Red, &text));
    }
}

fn advice(page: &mut Page, r: &Rotation, story: Option<&Story>, now: Millis, holder: Option<&str>) {
    let without = story.map(evidence::without_mail).unwrap_or_default();
    let (safe, not_safe) = safety(r, now, holder, &without);
    page.gap();
    for line in &safe {
        page.labelled("safe now: ", line);
    }
    for line in &not_safe {
        page.labelled("not safe: ", line);
    }
    if !safe.is_empty() || !not_safe.is_empty() {
        page.gap();
    }
    let style = page.style();
    page.labelled("next: ", &next(r, now, holder, style).line());
    page.labelled("undo: ", undo(r).short());
    // A gate, a task and a rest are opened by people, not by a clock.
    let by_itself = match standing(r, now, holder) {
        Standing::Waiting | Standing::Stopped => !waiting(r, now).person,
        Standing::NotShutOut => !matches!(r.phase, Phase::Stuck { .. }),
        _ => false,
    };
    if by_itself {
        page.labelled("cron: ", GOES_ON);
    }
}

/// The status as one JSON object.
#[must_use]
pub fn status_json(r: &Rotation, events: &[(Millis, Event)], now: Millis, holder: Option<&str>) -> Value {
    let now = now.max(r.at);
    let style = Style::plain();
    let waiting = waiting(r, now);
    let story = Story::of(events);
    let without = story.as_ref().map(evidence::without_mail).unwrap_or_default();
    let (safe, not_safe) = safety(r, now, holder, &without);
    let cut_off: Vec<_> = without.iter().map(|(name, ..)| *name).collect();
    let versions: Vec<Value> = r.versions.keys().map(|slot| version_json(r, *slot)).collect();
    let entries: Vec<Value> = r
        .entries
        .iter()
        .map(|(name, e)| {
            json!({ "entry": name, "holds": e.holds.map(|w| words::which(r, w)), "touched": e.touched, "mails": e.probes })
        })
        .collect();
    let services: Vec<Value> = r
        .services
        .iter()
        .map(|(name, s)| {
            json!({
                "service": name,
                "presents": s.presents.map(|w| words::which(r, w)),
                "mails": s.sends,
                "proven": !r.target.is_old() && r.is_proven(name, r.target),
                "can_send": !cut_off.contains(&name),
            })
        })
        .collect();
    json!({
        "rotation": r.id,
        "credential": r.plan.credential,
        "playbook": r.plan.playbook.name,
        "phase": words::phase(r),
        "standing": standing(r, now, holder).word(),
        "started_at": r.started_at,
        "last_event_at": r.at,
        "step": {
            "number": (r.step + 1).min(r.plan.playbook.steps.len()),
            "of": r.plan.playbook.steps.len(),
            "name": r.current_step().map(words::step),
            "started_at": r.step_started,
        },
        "asked": by_hand::json(r, now),
        "waiting": { "for": waiting.on, "until": waiting.until, "due": waiting.due },
        "holder": holder,
        "contain_by": r.contain_by.filter(|_| r.is_leak()),
        "point_of_no_return": r.no_return,
        "versions": versions,
        "entries": entries,
        "services": services,
        "failure": r.failure,
        "todo": story.as_ref().map(|s| s.todo.clone()).filter(|_| matches!(r.phase, Phase::Stuck { .. })).unwrap_or_default(),
        "safe_now": safe,
        "not_safe": not_safe,
        "next": next(r, now, holder, style).json(),
        "undo": undo(r).json(),
    })
}

fn version_json(r: &Rotation, slot: Slot) -> Value {
    let Some(v) = r.versions.get(&slot) else { return Value::Null };
    json!({
        "slot": slot.to_string(),
        "id": v.id,
        "username": v.username,
        "fingerprint": v.fingerprint,
        "state": words::live(v.live).replace(' ', "-"),
        "compromised": v.compromised,
        "last_login": v.login.map(|l| json!({ "at": l.at, "accepted": l.accepted })),
    })
}

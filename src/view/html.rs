//! The audit report of one rotation as a page that needs nothing else: no script, no font, no picture from anywhere. Everything
//! in it is escaped by the template.

mod describe;
mod svg;

use askama::Template;
use handover_rotation::event::Event;
use handover_rotation::state::Rotation;
use handover_rotation::time::Millis;
use serde_json::{Value, json};

use super::evidence;
use super::report::headline;
use super::story::Story;
use super::style::{Style, Zone, took, visible};
use super::words;
use svg::Picture;

/// One row of the journal, as an audit reads it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct AuditRow {
    /// Its number within the rotation, from 1.
    pub seq: u64,
    /// When.
    pub at: Millis,
    /// The fencing epoch of its writer.
    pub epoch: u64,
    /// Its hash in hex.
    pub hash: String,
    /// The hash of the row before it in hex.
    pub prev: String,
    /// What happened.
    pub event: Event,
}

/// What the sources of evidence said of a leak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// When they were asked.
    pub at: Millis,
    /// In words.
    pub text: String,
    /// As it was kept.
    pub assessment: Value,
}

impl Used {
    /// As the journal keeps it; `None` if it is of a form that this release does not know.
    #[must_use]
    pub fn read(at: Millis, document: &str) -> Option<Self> {
        let mut kept: Value = serde_json::from_str(document).ok()?;
        if kept["format"] != 1 {
            return None;
        }
        let text = kept["text"].as_str()?.to_owned();
        Some(Self { at, text, assessment: kept["assessment"].take() })
    }
}

#[derive(Template)]
#[template(path = "report.html")]
struct Report<'a> {
    r: &'a Rotation,
    headline: String,
    tone: &'static str,
    facts: Vec<(&'static str, String)>,
    picture: Picture,
    failures: Vec<(String, String, String, String)>,
    todo: Vec<String>,
    versions: Vec<Vec<String>>,
    entries: Vec<[String; 4]>,
    services: Vec<[String; 5]>,
    mails: Vec<[String; 5]>,
    logins: Vec<[String; 4]>,
    troubles: Vec<[String; 5]>,
    /// Of a leak: when the sources were asked, and what they said.
    used: Option<(String, String)>,
    rows: Vec<Row>,
    head: String,
    broken: String,
    written: String,
}

/// The timeline alone.
#[derive(Template)]
#[template(path = "picture.html")]
struct Alone {
    picture: Picture,
}

/// The timeline of a rotation as SVG without any style of its own, for a page that has one; empty where nothing has begun.
///
/// # Errors
/// If the template cannot be filled, which no content causes.
pub fn picture(story: &Story, now: Millis, zone: Zone) -> Result<String, askama::Error> {
    let style = Style { zone, unicode: true, ..Style::plain() };
    if story.rows.is_empty() {
        return Ok(String::new());
    }
    Alone { picture: Picture::of(story, now, style) }.render()
}

struct Row {
    seq: u64,
    at: String,
    epoch: u64,
    name: String,
    what: String,
    hash: String,
    short: String,
    tone: &'static str,
}

/// The report as HTML. `rows` are all of the rotation's, in order; `r` is their fold; `used` is what was said of a leak, if anybody
/// was asked.
///
/// # Errors
/// If the template cannot be filled, which no content causes.
pub fn html(rows: &[AuditRow], r: &Rotation, used: Option<&Used>, now: Millis, zone: Zone) -> Result<String, askama::Error> {
    let style = Style { zone, unicode: true, ..Style::plain() };
    let events: Vec<(Millis, Event)> = rows.iter().map(|row| (row.at, row.event.clone())).collect();
    let story = Story::of(&events);
    let mut report = Report {
        r,
        headline: headline(r),
        tone: tone(r),
        facts: facts(r, story.as_ref(), now, style),
        picture: story.as_ref().map(|s| Picture::of(s, now, style)).unwrap_or_default(),
        failures: Vec::new(),
        todo: Vec::new(),
        versions: Vec::new(),
        entries: Vec::new(),
        services: Vec::new(),
        mails: Vec::new(),
        logins: Vec::new(),
        troubles: Vec::new(),
        used: told_of_use(r, used, style),
        rows: table(rows, r, style),
        head: rows.last().map(|row| row.hash.clone()).unwrap_or_default(),
        broken: String::new(),
        written: style.full(now),
    };
    if let Some(story) = &story {
        report.fill(story, now, style);
    }
    report.render()
}

fn told_of_use(r: &Rotation, used: Option<&Used>, style: Style) -> Option<(String, String)> {
    let name = &r.plan.credential;
    match used {
        _ if !r.versions.values().any(|version| version.compromised) => None,
        Some(used) => {
            let text: Vec<String> = used.text.lines().map(visible).collect();
            Some((format!("Asked {}.", style.full(used.at)), text.join("\n")))
        }
        None => {
            let hint = format!("`handover usage {name} --leaked-at TIME` asks them now.");
            Some(("The sources of evidence were not asked.".to_owned(), hint))
        }
    }
}

fn tone(r: &Rotation) -> &'static str {
    match words::phase(r) {
        "done" => "good",
        "stuck" => "bad",
        _ => "warn",
    }
}

fn facts(r: &Rotation, story: Option<&Story>, now: Millis, style: Style) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("rotation", r.id.to_string()),
        ("credential", r.plan.credential.to_string()),
        ("playbook", r.plan.playbook.name.clone()),
        ("provider", format!("{} ({}), account {}", r.plan.provider, r.plan.facts.kind, r.plan.account)),
        ("shape", r.plan.facts.shape.describe().to_owned()),
        ("server", r.plan.smtp.clone()),
        ("started", style.full(r.started_at)),
    ];
    if let Some(story) = story {
        if r.ended().is_some() {
            facts.push(("ended", style.full(r.at)));
        }
        facts.push(("took", took(story.took(now))));
        facts.push(("started by", story.by.clone()));
        if let Some(reason) = &story.reason {
            facts.push(("reason", reason.clone()));
        }
        for (at, step, by) in &story.approvals {
            facts.push(("approved", format!("step {} by {by}, {}", step + 1, style.full(*at))));
        }
        facts.push(("plan hash", story.plan_hash.clone()));
        if r.shape().overlaps() {
            facts.push(("overlap", evidence::overlap(story, now)));
        }
        facts.extend(evidence::gaps(story, now, style).into_iter().map(|line| ("mail", line)));
    }
    facts.into_iter().map(|(name, value)| (name, visible(&value))).collect()
}

impl Report<'_> {
    fn fill(&mut self, story: &Story, now: Millis, style: Style) {
        let r = &story.last;
        let mails = |kind: &str, name: &str, mails: &[super::story::Mailed]| -> Vec<[String; 5]> {
            let row = |m: &super::story::Mailed| {
                let place = m.arrived.clone().unwrap_or_else(|| "accepted by the server; not looked for".to_owned());
                let who = format!("{kind} {name}");
                [
                    style.full(m.at),
                    who,
                    m.slot.map_or_else(|| "another value".to_owned(), |s| words::version(r, s)),
                    visible(&m.message),
                    visible(&place),
                ]
            };
            mails.iter().map(row).collect()
        };
        self.versions = r
            .versions
            .keys()
            .map(|slot| evidence::version(story, *slot, now, style))
            .map(|v| v.iter().map(|c| visible(c)).collect())
            .collect();
        for (name, plan) in &r.plan.entries {
            let state = evidence::entry(story, name);
            let place = visible(&format!("{} {}", plan.store_kind, plan.location));
            self.entries.push([name.to_string(), plan.environment.to_string(), place, state]);
            if let Some(entry) = story.entries.get(name) {
                self.mails.extend(mails("Handover, with entry", name.as_str(), &entry.mails));
            }
        }
        for (name, plan) in &r.plan.services {
            let Some(told) = story.services.get(name) else { continue };
            let attested = told.attested.last().map_or_else(
                || "was not asked".to_owned(),
                |(at, which)| format!("{}, {}", words::which(r, *which), style.full(*at)),
            );
            let owner = visible(plan.owner.as_deref().unwrap_or("none"));
            let state = evidence::service(story, name);
            self.services.push([name.to_string(), plan.environment.to_string(), owner, attested, state]);
            self.mails.extend(mails("service", name.as_str(), &told.mails));
        }
        self.mails.sort();
        for login in &story.logins {
            let word = if login.accepted { "accepted" } else { "refused" };
            let version = words::version(r, login.slot);
            self.logins.push([style.full(login.at), version, word.to_owned(), visible(&login.reply)]);
        }
        for t in &story.troubles {
            let fault = t.fault.as_ref().map_or_else(|| "the process ended meanwhile".to_owned(), ToString::to_string);
            let kind = if t.doubt { "no certain answer" } else { "failed" };
            let end = t
                .resolved
                .as_ref()
                .map_or_else(|| "not resolved".to_owned(), |(at, how)| format!("{how}, {} later", at.since(t.first)));
            let what = format!("{} ({kind}, {})", words::command(r, &t.command), words::count(t.count, "time"));
            self.troubles.push([style.full(t.first), what, visible(&fault), end, String::new()]);
        }
        for (at, failure) in &story.failures {
            let what =
                failure.command.as_ref().map_or_else(String::new, |c| format!("failed to {}: ", words::command(r, c)));
            let hint = visible(failure.fault.hint.as_deref().unwrap_or_default());
            let text = visible(&format!("{what}{}", failure.fault.message));
            self.failures.push((style.full(*at), text, hint, failure.fault.code.clone()));
        }
        self.todo = story.todo.iter().map(|t| visible(t)).collect();
        self.broken = story.broken.clone().unwrap_or_default();
    }
}

fn table(rows: &[AuditRow], r: &Rotation, style: Style) -> Vec<Row> {
    rows.iter()
        .map(|row| {
            let (name, what, tone) = describe::describe(&row.event, r);
            Row {
                seq: row.seq,
                at: style.date(row.at),
                epoch: row.epoch,
                name: name.to_owned(),
                what: visible(&what),
                short: row.hash.chars().take(12).collect(),
                hash: row.hash.clone(),
                tone,
            }
        })
        .collect()
}

/// The same as JSON: the rotation, its outcome, and every row with its hashes, so that the chain can be checked elsewhere.
#[must_use]
pub fn audit_json(rows: &[AuditRow], r: &Rotation, used: Option<&Used>, now: Millis) -> Value {
    json!({
        "format": 1,
        "rotation": r.id,
        "credential": r.plan.credential,
        "playbook": r.plan.playbook.name,
        "outcome": words::phase(r),
        "started_at": r.started_at,
        "last_event_at": r.at,
        "written_at": now,
        "head": rows.last().map(|row| &row.hash),
        "usage": used.map(|used| json!({"asked_at": used.at, "assessment": used.assessment})),
        "rows": rows,
    })
}

//! The view of a rehearsal: what the plan comes to, the worst first, and what would make it better.

use askama::Template;
use handover_rotation::command::Command;
use handover_rotation::plan::Plan;
use serde_json::{Value, json};

use super::page::{Page, Paint, paint};
use super::style::{Style, took};
use super::words;
use crate::rehearse::{Case, Ends, Fault, Finding, Lasting, Rehearsal};

/// How many cases are told in full.
const TOLD: usize = 12;
const ALL: [Ends; 5] = [Ends::Broken, Ends::Stuck, Ends::RolledBack, Ends::Refused, Ends::Done];

/// The rehearsal as a page of text. With `all` every case is told.
#[must_use]
pub fn rehearsal(rehearsal: &Rehearsal, all: bool, style: Style) -> String {
    let mut page = Page::new(style);
    let plan = &rehearsal.plan;
    page.line(&paint(Paint::Bold, &format!("rehearsal: {} with playbook {}", plan.credential, plan.playbook.name)));
    page.labelled("  provider   ", &format!("{} ({})", plan.provider, plan.facts.shape.describe()));
    page.labelled("  tried      ", &tried(rehearsal));
    page.labelled(
        "  without    ",
        &format!("a failure it is {} after {}", end(rehearsal.plain.ends), took(rehearsal.plain.took)),
    );
    if let Some(failure) = rehearsal.plain.failure.as_ref().filter(|_| rehearsal.plain.ends != Ends::Done) {
        page.labelled("             ", failure);
    }
    page.labelled("  verdict    ", &verdict(rehearsal));
    page.heading("what the failures end in");
    for ends in ALL {
        let count = rehearsal.count(ends);
        if count > 0 {
            page.labelled(&format!("  {count:>6}  "), &format!("{}: {}", end(ends), means(ends)));
        }
    }
    let grave: Vec<&Finding> =
        rehearsal.findings.iter().filter(|f| all || f.ends >= Ends::Stuck || !f.outages.is_empty()).collect();
    if !grave.is_empty() {
        page.heading("the worst first");
        let most = if all { usize::MAX } else { TOLD };
        for (finding, alike) in grouped(plan, &grave).into_iter().take(most) {
            tell(&mut page, plan, finding, alike);
        }
        if grave.len() > TOLD && !all {
            page.line("  the others are like these: --all tells every case, --html FILE as a page");
        }
    }
    if !rehearsal.advice.is_empty() {
        page.heading("what would make it better");
        for advice in &rehearsal.advice {
            page.labelled("  - ", &format!("{}: {}", advice.weak, advice.mend));
        }
    }
    page.finish()
}

fn tried(rehearsal: &Rehearsal) -> String {
    let pairs = if rehearsal.findings.iter().any(|f| f.cases.len() > 1) {
        "one and every two failures"
    } else {
        "every failure at every step, one at a time"
    };
    format!("{pairs}: {} runs of the real machine, {} different states", rehearsal.findings.len(), rehearsal.states)
}

fn verdict(rehearsal: &Rehearsal) -> String {
    let lasting = rehearsal.harmful().count();
    let leak = rehearsal.plan.compromised;
    match (rehearsal.plain.ends, rehearsal.count(Ends::Broken), lasting) {
        (_, 1.., _) => paint(Paint::Red, "a rule of safety is broken: this is a defect of Handover, please report it"),
        (Ends::Done, _, 0) if leak => paint(
            Paint::Green,
            "sound: whatever fails, the compromised version is shut out as soon as the provider allows, and never comes back",
        ),
        (Ends::Done, _, 0) => paint(Paint::Green, "sound: no failure by itself leaves a service without a login that works"),
        (Ends::Done, _, n) => paint(
            Paint::Red,
            &format!("not sound: {} leave a service unable to send until a person acts", words::count(n, "failure")),
        ),
        _ => paint(Paint::Red, "not sound: it does not come through even when nothing goes wrong"),
    }
}

fn end(ends: Ends) -> &'static str {
    match ends {
        Ends::Done => "done",
        Ends::Refused => "refused",
        Ends::RolledBack => "rolled back",
        Ends::Stuck => "stuck",
        Ends::Broken => "BROKEN",
    }
}

fn means(ends: Ends) -> &'static str {
    match ends {
        Ends::Done => "unharmed, everything uses the new version",
        Ends::Refused => "nothing was changed",
        Ends::RolledBack => "everything is back on the old version",
        Ends::Stuck => "it rests, and a person must act",
        Ends::Broken => "a rule of safety does not hold",
    }
}

/// Findings that tell a person the same, with how many there are, in the order of the first of each.
fn grouped<'f>(plan: &Plan, findings: &[&'f Finding]) -> Vec<(&'f Finding, usize)> {
    let mut groups: Vec<(&'f Finding, String, usize)> = Vec::new();
    for finding in findings {
        let key = format!("{:?}{}{:?}", finding.ends, case_text(plan, &finding.cases, false), outage_text(finding, false));
        match groups.iter_mut().find(|(_, k, _)| *k == key) {
            Some((_, _, count)) => *count += 1,
            None => groups.push((finding, key, 1)),
        }
    }
    groups.into_iter().map(|(finding, _, count)| (finding, count)).collect()
}

fn tell(page: &mut Page, plan: &Plan, finding: &Finding, alike: usize) {
    let colour = if finding.outages.iter().any(|o| o.lasting) || finding.uncontained { Paint::Red } else { Paint::Yellow };
    let more = if alike > 1 { format!(" ({} more like it)", alike - 1) } else { String::new() };
    page.labelled("  ", &format!("{}: {}{more}", paint(colour, end(finding.ends)), case_text(plan, &finding.cases, true)));
    if finding.uncontained {
        page.labelled("      ", "the compromised version stays accepted meanwhile");
    }
    for line in outage_text(finding, true) {
        page.labelled("      ", &line);
    }
    if let Some(failure) = finding.failure.as_ref().filter(|f| !f.contains("that is tried here")) {
        page.labelled("      why: ", failure);
    }
    for line in &finding.broken {
        page.labelled("      bug: ", line);
    }
    for line in finding.todo.first().into_iter().map(|line| mend(line)) {
        page.labelled("      do:  ", &line);
    }
}

/// What to mend, without the command that goes on afterwards: there is no such rotation.
fn mend(todo: &str) -> String {
    let text = ["; then `", "; see `", " unless told so: `"]
        .iter()
        .fold(todo, |text, command| text.split(command).next().unwrap_or(text));
    text.replace("have this mended: the failure that is tried here", "mend what fails, then resume")
}

fn outage_text(finding: &Finding, exact: bool) -> Vec<String> {
    let one = |o: &crate::rehearse::Outage| match (o.lasting, exact) {
        (true, _) => format!("{} cannot send until a person acts", o.service),
        (false, true) => format!("{} cannot send for {}", o.service, took(o.span)),
        (false, false) => format!("{} cannot send", o.service),
    };
    finding.outages.iter().map(one).collect()
}

fn case_text(plan: &Plan, cases: &[Case], exact: bool) -> String {
    let one = |case: &Case| {
        let step = plan.playbook.steps.get(case.moment.step).map_or_else(|| "the last look".to_owned(), words::step);
        let fault = fault_text(&case.fault, &case.moment.command);
        if exact { format!("at {step}, {fault}") } else { format!("at {step}, {:?}", case.fault) }
    };
    let texts: Vec<String> = cases.iter().map(one).collect();
    texts.join("; then ")
}

fn fault_text(fault: &Fault, command: &Command) -> String {
    match fault {
        Fault::FailsOnce => format!("\"{command}\" fails once"),
        Fault::NoAnswer => format!("\"{command}\" is not answered and not done"),
        Fault::DoneUnanswered => format!("\"{command}\" is done, and the answer is lost"),
        Fault::DoneLate => format!("\"{command}\" is not answered, and done later"),
        Fault::DoneTwice => format!("\"{command}\" is done twice"),
        Fault::KilledBefore => format!("Handover is killed before \"{command}\""),
        Fault::KilledAfter => format!("Handover is killed after \"{command}\""),
        Fault::Frozen => format!("Handover is frozen at \"{command}\", and another one takes over"),
        Fault::Breaks(Lasting::Provider) => "the provider gives no answer from here on".to_owned(),
        Fault::Breaks(Lasting::Store(store)) => format!("the store {store} gives no answer from here on"),
        Fault::Breaks(Lasting::Mail) => "the mail server takes no mail from here on".to_owned(),
        Fault::Breaks(Lasting::NewMail) => "no mail passes with the new version from here on".to_owned(),
        Fault::Breaks(Lasting::DeafService(service)) => format!("{service} says that it reloads, and does not"),
        Fault::Breaks(Lasting::Call) => format!("\"{command}\" fails whenever it is tried"),
        Fault::Abort => "someone asks to stop".to_owned(),
        Fault::OldLeaks => "the old version leaks".to_owned(),
        Fault::NewLeaks => "the new version leaks".to_owned(),
        Fault::SomeoneDeletesNew => "someone else deletes the new version".to_owned(),
        Fault::SomeoneEdits => "someone else edits an entry".to_owned(),
        Fault::Restarts => "the services restart by themselves".to_owned(),
    }
}

/// The rehearsal as JSON, one object a line: every finding, then the sum.
#[must_use]
pub fn json(rehearsal: &Rehearsal) -> Vec<Value> {
    let plan = &rehearsal.plan;
    let mut lines: Vec<Value> = rehearsal.findings.iter().map(|f| finding_json(plan, f)).collect();
    let counts: serde_json::Map<String, Value> =
        ALL.iter().map(|e| (end(*e).to_lowercase().replace(' ', "-"), json!(rehearsal.count(*e)))).collect();
    lines.push(json!({
        "event": "rehearsed",
        "credential": plan.credential,
        "playbook": plan.playbook.name,
        "sound": rehearsal.is_sound(),
        "plain": end(rehearsal.plain.ends).replace(' ', "-"),
        "runs": rehearsal.findings.len(),
        "states": rehearsal.states,
        "ends": counts,
        "advice": rehearsal.advice.iter().map(|a| json!({"weak": a.weak, "mend": a.mend})).collect::<Vec<_>>(),
    }));
    lines
}

fn finding_json(plan: &Plan, finding: &Finding) -> Value {
    json!({
        "event": "finding",
        "what": case_text(plan, &finding.cases, true),
        "steps": finding.cases.iter().map(|c| c.moment.step).collect::<Vec<_>>(),
        "ends": end(finding.ends).to_lowercase().replace(' ', "-"),
        "took_ms": finding.took.0,
        "uncontained": finding.uncontained,
        "outages": finding.outages.iter().map(|o| json!({"service": o.service, "ms": o.span.0, "lasting": o.lasting})).collect::<Vec<_>>(),
        "failure": finding.failure,
        "todo": finding.todo,
        "broken": finding.broken,
    })
}

#[derive(Template)]
#[template(path = "rehearsal.html")]
struct Sheet {
    title: String,
    verdict: String,
    sound: bool,
    facts: Vec<(&'static str, String)>,
    bars: Vec<Bar>,
    height: usize,
    findings: Vec<[String; 5]>,
    advice: Vec<(String, String)>,
}

/// One step as a bar of the picture: how the failures at it end.
struct Bar {
    y: usize,
    step: String,
    parts: Vec<(f64, f64, &'static str, String)>,
    count: usize,
}

/// The rehearsal as a page that needs nothing else.
///
/// # Errors
/// The template cannot be filled.
pub fn page(rehearsal: &Rehearsal, _style: Style) -> Result<String, askama::Error> {
    let plan = &rehearsal.plan;
    let bars = bars(rehearsal);
    let plainly = |text: &str| text.chars().filter(|c| !('\u{f0000}'..='\u{f0010}').contains(c)).collect::<String>();
    let refs: Vec<&Finding> = rehearsal.findings.iter().collect();
    let findings = grouped(plan, &refs)
        .into_iter()
        .map(|(f, alike)| {
            let what = case_text(plan, &f.cases, true);
            let what = if alike > 1 { format!("{what} ({} more like it)", alike - 1) } else { what };
            [
                end(f.ends).to_owned(),
                what,
                outage_text(f, true).join("; "),
                took(f.took),
                f.todo.first().map_or_else(String::new, |t| mend(t)),
            ]
        })
        .collect();
    Sheet {
        title: format!("Rehearsal: {} with playbook {}", plan.credential, plan.playbook.name),
        verdict: plainly(&verdict(rehearsal)),
        sound: rehearsal.is_sound(),
        facts: vec![
            ("provider", format!("{} ({})", plan.provider, plan.facts.shape.describe())),
            ("tried", tried(rehearsal)),
            ("without a failure", format!("{} after {}", end(rehearsal.plain.ends), took(rehearsal.plain.took))),
        ],
        height: bars.len() * 26 + 30,
        bars,
        findings,
        advice: rehearsal.advice.iter().map(|a| (a.weak.clone(), a.mend.clone())).collect(),
    }
    .render()
}

fn bars(rehearsal: &Rehearsal) -> Vec<Bar> {
    let plan = &rehearsal.plan;
    let at = |step: usize| rehearsal.findings.iter().filter(move |f| f.cases.first().is_some_and(|c| c.moment.step == step));
    let most = (0..=plan.playbook.steps.len()).map(|s| at(s).count()).max().unwrap_or(1).max(1);
    let mut bars = Vec::new();
    for step in 0..=plan.playbook.steps.len() {
        let count = at(step).count();
        let (mut x, mut parts) = (0.0, Vec::new());
        for ends in ALL {
            let n = at(step).filter(|f| f.ends == ends).count();
            let width = n as f64 * 560.0 / most as f64;
            if n > 0 {
                parts.push((170.0 + x, width, class(ends), format!("{n} {}", end(ends))));
            }
            x += width;
        }
        if count > 0 {
            let name = plan.playbook.steps.get(step).map_or_else(|| "last look".to_owned(), words::step);
            bars.push(Bar { y: bars.len() * 26 + 6, step: name, parts, count });
        }
    }
    bars
}

fn class(ends: Ends) -> &'static str {
    match ends {
        Ends::Done => "done",
        Ends::Refused => "refused",
        Ends::RolledBack => "back",
        Ends::Stuck => "stuck",
        Ends::Broken => "broken",
    }
}

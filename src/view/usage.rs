//! The view of a credential's use: the verdict first, then what is unusual, then what each source could see.

use handover_rotation::time::Millis;

use super::page::{Page, Paint, paint};
use super::style::Style;
use super::words;
use crate::usage::{Assessment, Count, Flag, Network, SourceReport, Standing, Strangers, Verdict, Weight};

/// Flags of one kind that are shown.
const MOST_FLAGS: usize = 20;
/// Stretches of a source that are shown.
const MOST_STRETCHES: usize = 3;

/// The assessment as a page.
#[must_use]
pub fn usage(assessment: &Assessment, style: Style) -> String {
    let a = assessment;
    let mut page = Page::new(style);
    let (word, colour) = match a.verdict {
        Verdict::Used => ("used", Paint::Bold),
        Verdict::NoEvidence => ("no evidence of use", Paint::Green),
        Verdict::CannotTell => ("cannot tell whether it was used", Paint::Yellow),
    };
    page.line(&paint(colour, &format!("{}: {word}", a.credential)));
    let (others, colour) = match a.strangers {
        Strangers::Flagged => ("something speaks for it", Paint::Red),
        Strangers::NothingUnusual => ("nothing speaks for it", Paint::Green),
        Strangers::CannotTell => ("cannot tell", Paint::Yellow),
    };
    page.labelled("  by others  ", &paint(colour, others));
    page.labelled("  window     ", &format!("{} to {}", style.minute(Millis(a.since_ms)), style.full(Millis(a.until_ms))));
    if let Some(leaked) = a.leaked_ms {
        page.labelled("  leaked     ", &format!("first exposed {}", style.minute(Millis(leaked))));
    }
    page.labelled("  usual      ", &usual(a, style));
    page.heading("why");
    for line in &a.why {
        page.labelled("  - ", line);
    }
    for line in a.strangers_why.iter().filter(|line| !a.why.contains(line)) {
        page.labelled("  - others: ", line);
    }
    page.heading("unusual");
    if a.flags.is_empty() {
        page.line("  nothing that was seen");
    }
    for flag in a.flags.iter().take(MOST_FLAGS) {
        let (mark, colour) = match flag.weight() {
            Weight::Alarm => ("ALARM", Paint::Red),
            Weight::Warning => ("warning", Paint::Yellow),
            Weight::Note => ("note", Paint::Dim),
        };
        page.labelled(&format!("  {} ", painted(colour, mark, 8)), &told(flag, style));
    }
    if a.flags.len() > MOST_FLAGS {
        page.line(&format!("  and {} more: --json has them all", a.flags.len() - MOST_FLAGS));
    }
    page.heading("sources");
    if a.sources.is_empty() {
        page.line("  none: name them under `usage` in the inventory, see docs/usage.md");
    }
    for source in &a.sources {
        one(&mut page, source, style);
    }
    page.heading("versions");
    if a.versions.is_empty() {
        page.line("  none is known");
    }
    for version in &a.versions {
        let at = |label: &str, ms: Option<u64>| ms.map(|ms| format!("{label} {}", style.minute(Millis(ms))));
        let compromised = version.compromised.then(|| "known to others".to_owned());
        let parts = [at("made", version.created_ms), at("revoked", version.revoked_ms), compromised];
        let text: Vec<String> = parts.into_iter().flatten().collect();
        let text = if text.is_empty() { "nothing more is known".to_owned() } else { text.join(", ") };
        page.labelled(&format!("  {}  ", version.version), &text);
    }
    page.gap();
    page.line(&next(a));
    page.finish()
}

/// A painted word that takes so many columns.
fn painted(colour: Paint, text: &str, columns: usize) -> String {
    format!("{}{}", paint(colour, text), " ".repeat(columns.saturating_sub(text.len())))
}

fn next(a: &Assessment) -> String {
    let name = &a.credential;
    if a.flags.iter().any(|flag| matches!(flag, Flag::AfterRevocation { .. })) {
        return format!("next: handover status {name}   (is the revoked version really disabled?)");
    }
    match a.strangers {
        Strangers::Flagged => {
            format!("next: handover plan {name} --playbook leak   (shows the replacement; changes nothing)")
        }
        Strangers::NothingUnusual | Strangers::CannotTell => format!("next: handover impact {name}   (who depends on it)"),
    }
}

fn usual(a: &Assessment, style: Style) -> String {
    let l = &a.learned;
    let Some(first) = l.first_ms else { return "nothing is known from before".to_owned() };
    let mut text = format!(
        "{} on {} {} since {}",
        uses(l.uses),
        l.days,
        if l.days == 1 { "day" } else { "days" },
        style.minute(Millis(first))
    );
    if !l.networks.is_empty() {
        let more = if l.more_networks > 0 { format!(" and {} more", l.more_networks) } else { String::new() };
        text.push_str(&format!(", from {}{more}", words::list(&l.networks)));
    }
    text.push_str(&format!(", at {} UTC", hours(&l.hours)));
    if !l.enough {
        text.push_str("; too little to call an hour odd");
    }
    text
}

/// Hours of the day as ranges: `06-19, 23`.
fn hours(list: &[u8]) -> String {
    let mut ranges: Vec<(u8, u8)> = Vec::new();
    for hour in list {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *hour => *last = *hour,
            _ => ranges.push((*hour, *hour)),
        }
    }
    let text = |(from, to): &(u8, u8)| if from == to { format!("{from:02}") } else { format!("{from:02}-{to:02}") };
    words::list(ranges.iter().map(text))
}

fn uses(times: u64) -> String {
    words::count(usize::try_from(times).unwrap_or(usize::MAX), "use")
}

/// `3 uses, from 2026-11-20 08:00 to 2026-11-21 09:30`.
fn span(count: &Count, one: &str, style: Style) -> String {
    let text = words::count(usize::try_from(count.times).unwrap_or(usize::MAX), one);
    match (count.first_ms, count.last_ms) {
        (Some(first), Some(last)) if first == last => format!("{text}, {}", style.minute(Millis(first))),
        (Some(first), Some(last)) => {
            format!("{text}, from {} to {}", style.minute(Millis(first)), style.minute(Millis(last)))
        }
        _ => text,
    }
}

fn from(networks: &[Network]) -> String {
    if networks.is_empty() { String::new() } else { format!(", from {}", words::list(networks)) }
}

/// A flag in words.
fn told(flag: &Flag, style: Style) -> String {
    match flag {
        Flag::AfterRevocation { source, version, revoked_ms, uses, networks } => format!(
            "{version} was revoked {} and still accepted: {}{} ({source})",
            style.minute(Millis(*revoked_ms)),
            span(uses, "use", style),
            from(networks)
        ),
        Flag::ApiCall { source, call, calls, recon } => {
            let why = if *recon { "as whoever finds a key does" } else { "which a login for SMTP has no business with" };
            format!("it called {call}, {why}: {} ({source})", span(calls, "call", style))
        }
        Flag::UnfamiliarAddress { source, network, uses } => {
            format!("{network} was never seen before: {} ({source})", span(uses, "use", style))
        }
        Flag::ManyMoreAddresses { source, uses } => {
            format!("it came from more networks than are kept apart: {} ({source})", span(uses, "further use", style))
        }
        Flag::OddHours { source, hours: list, uses: times } => {
            format!("{} at {} UTC, when there was none before ({source})", uses(*times), hours(list))
        }
        Flag::VolumeSpike { source, at_ms, per, uses: times, most_before } => {
            let at = style.minute(Millis(*at_ms));
            format!("{} in the {per} from {at}; the most before was {most_before} ({source})", uses(*times))
        }
        Flag::ManyAddresses { source, at_ms, networks, most_before } => {
            let at = style.minute(Millis(*at_ms));
            format!("{networks} networks or more in the day from {at}; the most before was {most_before} ({source})")
        }
        Flag::OldNameRefused { source, version, tries, networks } => format!(
            "{version} is revoked, and somebody still tries it: {}{} ({source})",
            span(tries, "refused login", style),
            from(networks)
        ),
        Flag::WhileSpreading { source, version, uses } => {
            format!("{version} was accepted while its revocation spread: {} ({source})", span(uses, "use", style))
        }
        Flag::AfterExposure { source, uses } => format!("since the leak: {} ({source})", span(uses, "use", style)),
    }
}

fn one(page: &mut Page, source: &SourceReport, style: Style) {
    let what = match source.standing {
        Standing::Used => span(&source.uses, "use", style),
        Standing::Perhaps => format!("{}, of this credential or another", span(&source.uses, "use", style)),
        Standing::Nothing => "no use in all of the window".to_owned(),
        Standing::NotAll => "no use, in what it has seen".to_owned(),
        Standing::Failed => paint(Paint::Red, "could not be asked"),
    };
    page.labelled(&format!("  {}  ", paint(Paint::Bold, &source.name)), &format!("{}: {what}", source.kind));
    if let Some(fault) = &source.fault {
        page.labelled("      why     ", &fault.message);
        if let Some(hint) = &fault.hint {
            page.labelled("      hint    ", hint);
        }
        page.labelled("      more    ", &format!("handover explain {}", fault.code));
        return;
    }
    page.labelled("      sees    ", &source.sees);
    let all = source.covered.stretches();
    let mut covers: Vec<String> = all
        .iter()
        .rev()
        .take(MOST_STRETCHES)
        .map(|s| format!("{} to {}", style.minute(Millis(s.from_ms)), style.minute(Millis(s.to_ms))))
        .collect();
    covers.reverse();
    let mut text = if covers.is_empty() { "nothing".to_owned() } else { covers.join(", ") };
    if all.len() > MOST_STRETCHES {
        text = format!("{} earlier parts, {text}", all.len() - MOST_STRETCHES);
    }
    if !source.whole {
        text.push_str(": not all of the window");
    }
    page.labelled("      covers  ", &text);
    if source.refused.times > 0 {
        page.labelled("      refused ", &span(&source.refused, "login", style));
    }
    if source.own > 0 {
        page.labelled(
            "      own     ",
            &format!(
                "{} of Handover itself left out",
                words::count(usize::try_from(source.own).unwrap_or(usize::MAX), "login")
            ),
        );
    }
    for note in &source.notes {
        page.labelled("      note    ", note);
    }
}

#[cfg(test)]
#[path = "usage_tests.rs"]
mod tests;

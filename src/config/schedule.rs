//! Reads the schedule of a credential: its times, and what moves them. When it fires is the business of `crate::schedule`.

use std::str::FromStr;

use handover_rotation::time::Span;

use super::diagnostic::Problem;
use super::fields::Fields;
use super::inventory::Schedule;
use super::node::Value;
use super::suggest;
use crate::schedule::{Blackout, CatchUp, Cron, End, InBlackout, Rule, Window};

/// More windows are a mistake.
const MOST_WINDOWS: usize = 100;
const DAY: Span = Span::minutes(1440);

/// The schedule of this credential; `None` if a problem has been reported.
pub(super) fn read(fields: &mut Fields<'_>, credential: &str) -> Option<Schedule> {
    let playbook = fields.required_str("playbook");
    let cron = fields.required_str("cron").and_then(|text| told(fields, "HO0130", "cron", Cron::parse(&text)));
    let zone = fields.required_str("timezone").and_then(|text| told(fields, "HO0131", "timezone", timezone(&text)));
    let jitter = fields.optional_duration("jitter", Span(0)..=DAY);
    let blackouts = blackouts(fields);
    let in_blackout = [("defer", InBlackout::Defer), ("skip", InBlackout::Skip)];
    let in_blackout = fields.optional_choice("in_blackout", &in_blackout);
    let max_age = fields.optional_duration("max_age", Span::minutes(60)..=Span(3660 * DAY.0));
    let catch_up = fields.optional_choice("catch_up", &[("once", CatchUp::Once), ("skip", CatchUp::Skip)]);
    let min_interval = fields.optional_duration("min_interval", Span::minutes(1)..=Span(90 * DAY.0));
    let rule = Rule {
        jitter: jitter.unwrap_or_default(),
        blackouts: blackouts?,
        in_blackout: in_blackout.unwrap_or_default(),
        max_age,
        catch_up: catch_up.unwrap_or_default(),
        min_interval: min_interval.unwrap_or(Rule::MIN_INTERVAL),
        ..Rule::new(credential, cron?, zone?)
    };
    makes_sense(fields, &rule);
    Some(Schedule { playbook: playbook?, rule })
}

/// The time zone, or what is wrong and what to do.
pub(super) fn timezone(text: &str) -> Result<chrono_tz::Tz, (String, String)> {
    chrono_tz::Tz::from_str(text).map_err(|_| {
        let near = suggest::nearest(text, chrono_tz::TZ_VARIANTS.iter().map(|tz| tz.name()));
        let hint = near.map_or("write an IANA name such as `Europe/Berlin` or `UTC`".to_owned(), |near| {
            format!("did you mean `{near}`?")
        });
        (format!("`{text}` is not a time zone"), hint)
    })
}

/// What was read, or nothing after the problem was told.
fn told<T>(fields: &mut Fields<'_>, code: &'static str, key: &str, read: Result<T, (String, String)>) -> Option<T> {
    read.map_err(|(message, hint)| fields.problem(code, key, message, hint)).ok()
}

fn blackouts(fields: &mut Fields<'_>) -> Option<Vec<Blackout>> {
    let Some(pair) = fields.pair("blackout") else { return Some(Vec::new()) };
    let example = "write a list of windows: `[{from: FRI 18:00, to: MON 06:00}]`";
    let items = match &pair.value.value {
        Value::List(items) => items,
        Value::Hidden => return None,
        _ => {
            let message = format!("`blackout` must be a list, but is {}", pair.value.describe());
            fields.problem("HO0112", "blackout", message, example);
            return None;
        }
    };
    if items.is_empty() || items.len() > MOST_WINDOWS {
        let message = format!("`blackout` has {} windows", items.len());
        fields.problem("HO0113", "blackout", message, format!("1 to {MOST_WINDOWS}, or leave the key out; {example}"));
        return None;
    }
    let mut windows = Vec::new();
    for (item, n) in items.iter().zip(1..) {
        let mut inner = Fields::new(item, format!("window {n} of `blackout` of {}", fields.what())).at(&item.at);
        windows.push(blackout(&mut inner));
        for problem in inner.finish() {
            fields.push(problem);
        }
    }
    windows.into_iter().collect()
}

fn blackout(fields: &mut Fields<'_>) -> Option<Blackout> {
    let (from, to) = (fields.required_str("from"), fields.required_str("to"));
    let reason = fields.optional_str("reason");
    match Window::parse(&from?, &to?) {
        Ok(window) => Some(Blackout { window, reason }),
        Err((end, message, hint)) => {
            let key = if end == End::From { "from" } else { "to" };
            fields.problem("HO0150", key, message, hint);
            None
        }
    }
}

/// What is well written and still cannot be meant.
fn makes_sense(fields: &mut Fields<'_>, rule: &Rule) {
    if !rule.fires() {
        let message = format!("`{}` never fires: all of its times are in a blackout", rule.cron.text());
        let hint = match rule.in_blackout {
            InBlackout::Skip => "leave some of its times out of them, or write `in_blackout: defer`",
            InBlackout::Defer => "the windows leave no minute of the week: make one of them shorter",
        };
        fields.problem("HO0151", "blackout", message, hint);
    }
    let apart = Span::minutes(rule.cron.spacing().into());
    if apart < rule.min_interval.min(DAY)
        && let Some(pair) = fields.pair("cron")
    {
        let text = rule.cron.text();
        let message = format!("`{text}` has times {apart} apart, but rotations begin at least {} apart", rule.min_interval);
        let hint = "write one that comes less often, or a shorter `min_interval`";
        fields.push(Problem::warning("HO0152", &pair.value.at, message).hint(hint));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_zones_are_known_by_their_names() {
        assert_eq!(timezone("Europe/Berlin"), Ok(chrono_tz::Tz::Europe__Berlin));
        assert!(timezone("Europe/Berln").is_err_and(|(_, hint)| hint.contains("Europe/Berlin")));
        assert!(timezone("CEST+2").is_err());
    }
}

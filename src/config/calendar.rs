//! Checks of schedules: five-field cron expressions and time zones. When they fire is the daemon's business.

use std::str::FromStr;

use chrono::{TimeZone, Utc};

use super::suggest;

/// What is wrong with a cron expression, and what to do; nothing if it can be used.
pub(super) fn check_cron(text: &str) -> Result<(), (String, String)> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let fail = |message: String, hint: &str| Err((message, hint.to_owned()));
    if text.starts_with('@') {
        return fail(format!("`{text}` is not a cron expression here"), "write it in five parts: `0 3 * * SUN`");
    }
    let [_, _, day, _, weekday] = parts.as_slice() else {
        let message = format!("the cron expression has {} parts instead of 5", parts.len());
        return fail(message, "minute, hour, day of month, month, weekday: `0 3 * * SUN` is Sundays at 03:00");
    };
    let numeric =
        weekday.split(',').any(|item| item.split('/').next().is_some_and(|r| r.contains(|c: char| c.is_ascii_digit())));
    if numeric {
        let hint = "write SUN, MON, TUE, WED, THU, FRI, SAT: whether 1 is Sunday or Monday depends on whom you ask";
        return fail(format!("the weekday `{weekday}` is a number"), hint);
    }
    let open = |field: &str| matches!(field, "*" | "?");
    if !open(day) && !open(weekday) {
        let hint = "leave one of them `*`: some crons fire when either matches, others when both do";
        return fail(format!("both a day of month (`{day}`) and a weekday (`{weekday}`) are given"), hint);
    }
    if let Some(part) = parts.iter().find(|part| !is_one_field(part)) {
        let hint = "a part is `*`, `3`, `1-5`, or a list of these with commas; every fourth is `*/4`";
        return fail(format!("`{part}` in `{text}` is not one part of a cron expression"), hint);
    }
    let Ok(schedule) = cron::Schedule::from_str(&format!("0 {text}")) else {
        let hint = "minute 0-59, hour 0-23, day of month 1-31, month 1-12 or JAN-DEC, weekday SUN-SAT";
        return fail(format!("`{text}` is not a cron expression"), hint);
    };
    let some_day = Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).single();
    if some_day.is_some_and(|day| schedule.after(&day).next().is_none()) {
        return fail(format!("`{text}` never comes"), "no month has that day");
    }
    Ok(())
}

/// Whether a part is one field. The reader of expressions needs no space between two: to it, `*4` is `* 4`, and all that follows
/// moves by one place.
fn is_one_field(part: &str) -> bool {
    let word = |word: &str| {
        let all = |is: fn(&u8) -> bool| word.as_bytes().iter().all(is);
        !word.is_empty() && (all(u8::is_ascii_digit) || all(u8::is_ascii_alphabetic))
    };
    part.split(',').all(|item| {
        let (range, step) = item.split_once('/').unwrap_or((item, "1"));
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        word(step) && (matches!(range, "*" | "?") || word(from) && word(to))
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cron_expressions_that_mean_one_thing_pass_and_others_do_not() {
        for text in ["0 3 * * SUN", "*/15 * * * *", "0 3 1 * *", "30 2 29 2 *", "0 0 * JAN-MAR MON-FRI", "0 3 * * MON,THU"] {
            assert_eq!(check_cron(text), Ok(()), "{text}");
        }
        for (text, want) in [
            ("0 3 * * 0", "is a number"),
            ("0 3 * * 1-5", "is a number"),
            ("0 3 * * MON-5", "is a number"),
            ("0 3 * *", "4 parts"),
            ("0 0 3 * * SUN", "6 parts"),
            ("@daily", "not a cron expression"),
            ("61 3 * * *", "not a cron expression"),
            ("0 3 30 2 *", "never comes"),
            ("0 3 1 * MON", "both"),
            ("0 3 * * Sonntag", "not a cron expression"),
            ("", "0 parts"),
            ("*5 * * * *", "`*5` in"),
            (",30 2 * * *", "`,30` in"),
            ("0 3 * * SUN*", "`SUN*` in"),
            ("0 3,, * * *", "`3,,` in"),
            ("*/ 3 * * *", "`*/` in"),
            ("1-2-3 3 * * *", "`1-2-3` in"),
        ] {
            assert!(check_cron(text).is_err_and(|(message, _)| message.contains(want)), "{text}: {:?}", check_cron(text));
        }
    }

    #[test]
    fn time_zones_are_known_by_their_names() {
        assert_eq!(timezone("Europe/Berlin"), Ok(chrono_tz::Tz::Europe__Berlin));
        assert!(timezone("Europe/Berln").is_err_and(|(_, hint)| hint.contains("Europe/Berlin")));
        assert!(timezone("CEST+2").is_err());
    }
}

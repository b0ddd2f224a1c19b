//! Lengths of time as people write them: `90s`, `30m`, `4h`, `1d`, `1m30s`.

use handover_rotation::time::Span;

/// Reads a length of time. The error is what is wrong with it, to be read after "`24 hours` ".
///
/// # Errors
/// What is wrong with the text.
pub fn parse(text: &str) -> Result<Span, &'static str> {
    const UNITS: [(&str, u64); 5] = [("ms", 1), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
    let mut rest = text;
    let mut total: u64 = 0;
    let mut smallest = u64::MAX;
    if rest.is_empty() {
        return Err("is empty");
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits == 0 {
            return Err("is not a length of time");
        }
        let (number, tail) = rest.split_at(digits);
        let Some((unit, factor)) = UNITS.iter().find(|(unit, _)| tail.starts_with(unit)) else {
            return Err(if tail.is_empty() { "has no unit" } else { "is not a length of time" });
        };
        if *factor >= smallest {
            return Err("has its units in the wrong order");
        }
        smallest = *factor;
        let part = number.parse::<u64>().ok().and_then(|n| n.checked_mul(*factor));
        total = part.and_then(|p| total.checked_add(p)).ok_or("is too long")?;
        rest = &tail[unit.len()..];
    }
    Ok(Span(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_and_others_refused() {
        for (text, want) in [
            ("30m", Ok(1_800_000)),
            ("4h", Ok(14_400_000)),
            ("1d", Ok(86_400_000)),
            ("90s", Ok(90_000)),
            ("1m30s", Ok(90_000)),
            ("500ms", Ok(500)),
            ("1d2h3m4s5ms", Ok(93_784_005)),
            ("0s", Ok(0)),
            ("", Err("is empty")),
            ("30", Err("has no unit")),
            ("30 m", Err("is not a length of time")),
            ("-1s", Err("is not a length of time")),
            ("1.5h", Err("is not a length of time")),
            ("30s1m", Err("has its units in the wrong order")),
            ("1m1m", Err("has its units in the wrong order")),
            ("99999999999999999999d", Err("is too long")),
        ] {
            assert_eq!(parse(text).map(|s| s.0), want, "{text}");
        }
    }
}

//! A mail log in which the other side chose a name, a password, a host, a sender or a subject: nobody passes for somebody else by it, and
//! whoever has the login does not hide by it. And lines and records of anything.

use super::{below, panic_at};
use crate::usage::doors::{
    DovecotFormat, EximFormat, LogFormat, PostfixFormat, Said, moments, said_by, ses_record, trail_records,
};

/// The credential's name, that of whoever writes, and the address that they come from.
const OURS: &str = "newsletter";
const THEIRS: &str = "evil";
const FROM: &str = "192.0.2.9";

/// Runs one input: what was chosen, and at the same time a whole log.
pub(super) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for line in text.lines().take(64) {
        anything::<PostfixFormat>(line);
        anything::<DovecotFormat>(line);
        anything::<EximFormat>(line);
    }
    for at in moments(text.lines().take(64), 1_795_694_400_000 + i64::try_from(below(data, 1, 1 << 40)).unwrap_or(0)) {
        assert!((-70_000_000_000_000..300_000_000_000_000).contains(&at), "{at}");
    }
    let _ = ses_record(data);
    let _ = trail_records(data, &mut |record| record.at_ms() != Some(7));
    // Servers write no control character.
    let chosen: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).take(2000).collect();
    refused(&chosen);
    accepted(&chosen);
}

fn anything<F: LogFormat>(line: &str) {
    if let Some((rest, Said::Login { name, times, .. })) = said_by::<F>(line) {
        assert!(rest.contains(name) && (1..=1000).contains(&times), "{name:?} of {rest:?}");
    }
}

fn said<F: LogFormat>(line: &str) -> Said<'_> {
    said_by::<F>(line).unwrap_or_else(|| panic_at("a line", &format!("has no time: {line:?}"))).1
}

/// A refused login is never an accepted one, and is of the name that was tried or of nobody.
fn refused(chosen: &str) {
    let word = chosen.replace(' ', "_");
    let of_name = [
        format!(
            "Nov 26 22:01:02 mx postfix/smtpd[1]: warning: x[{FROM}]: SASL PLAIN authentication failed: r, sasl_username={chosen}"
        ),
        format!(
            "Nov 26 22:01:02 mx dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<{chosen}>, method=PLAIN, rip={FROM}, lip=192.0.2.1, TLS, session=<s>"
        ),
        format!("Nov 26 22:01:02 mx dovecot: auth: passwd-file({chosen},{FROM},<s>): unknown user"),
        format!("Nov 26 22:01:02 auth({chosen},{FROM},sasl:plain)<s>: Info: sql: Password mismatch"),
        format!(
            "2026-11-26 22:01:02 plain authenticator failed for (web) [{FROM}]: 535 Incorrect authentication data (set_id={chosen})"
        ),
    ];
    let of_others = [
        format!(
            "Nov 26 22:01:02 mx dovecot: auth: passwd-file({THEIRS},{FROM},<s>): Password mismatch (given password: {chosen})"
        ),
        format!(
            "Nov 26 22:01:02 auth({THEIRS},{FROM},sasl:plain)<s>: Info: sql: Password mismatch (given password: {chosen})"
        ),
        format!(
            "2026-11-26 22:01:02 plain authenticator failed for ({word}) [{FROM}]: 535 Incorrect authentication data (set_id={THEIRS})"
        ),
    ];
    for (lines, tried) in [(&of_name[..], chosen), (&of_others[..], THEIRS)] {
        for line in lines {
            for said in [said::<PostfixFormat>(line), said::<DovecotFormat>(line), said::<EximFormat>(line)] {
                let (name, address) = match said {
                    Said::Login { name, address, accepted: false, .. } | Said::Unknown { name, address } => (name, address),
                    Said::Login { .. } => panic_at(line, "is taken for an accepted login"),
                    _ => continue,
                };
                assert!(name == tried, "{name:?} for {tried:?}: {line}");
                assert!(address.is_none_or(|ip| ip.to_string() == FROM), "{address:?}: {line}");
            }
        }
    }
}

/// An accepted login is of whoever logged in, whatever else they chose.
fn accepted(chosen: &str) {
    let word = chosen.replace(' ', "_");
    let quoted = chosen.replace('\\', "\\\\").replace('"', "\\\"");
    for name in [OURS, THEIRS] {
        let postfix = format!(
            "Nov 26 22:01:02 mx postfix/smtpd[1]: A1: client=x[{FROM}], sasl_method=PLAIN, sasl_username={name}, sasl_sender={chosen}"
        );
        must::<PostfixFormat>(&postfix, name);
        for line in [
            format!("1abcDE-0002Fg-Hi <= \"{quoted}\"@e H=e [{FROM}] P=esmtpa A=plain:{name} S=9 T=\"{quoted}\""),
            format!("1abcDE-0002Fg-Hi <= a@e H=({word}) [{FROM}] P=esmtpa A=plain:{name} S=9 id={word} T=\"{chosen}\""),
        ] {
            must::<EximFormat>(&format!("2026-11-26 22:01:02 {line}"), name);
        }
    }
    // Mail without a login.
    let line =
        format!("2026-11-26 22:01:02 1abcDE-0002Fg-Hi <= \"{quoted}\"@e H=({word}) [{FROM}] P=esmtp S=9 T=\"{chosen}\"");
    if let Said::Login { name, .. } = said::<EximFormat>(&line) {
        panic_at(&line, &format!("passes for a login of {name}"));
    }
}

fn must<F: LogFormat>(line: &str, expected: &str) {
    match said::<F>(line) {
        Said::Login { name, address: Some(address), accepted: true, times: 1 } => {
            assert!(name == expected && address.to_string() == FROM, "{name} from {address}: {line}");
        }
        other => panic_at(line, &format!("is {other:?}")),
    }
}

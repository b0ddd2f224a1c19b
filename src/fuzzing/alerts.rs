//! Leak reports that say anything: they are read or refused, what is shown of them is bounded, calm and without the secrets, and no
//! refusal repeats what was read.

use super::{below, panic_at, steers};
use crate::alerts::files::{self, Format};
use crate::alerts::{MOST_RAW, Report, doors};

/// As long as this, a piece of the input stands in a refusal by no chance.
const TELLING: usize = 32;

/// Runs one input: a file, read as what it looks like and as one format, and the body of a delivery.
pub(super) fn run(data: &[u8]) {
    let names: Vec<&str> = Format::names().collect();
    let one = Format::named(names[below(data, 1, names.len())]).unwrap_or(Format::Auto);
    for format in [Format::Auto, one] {
        match files::read("leaks.json", data, format) {
            Ok(reports) => reports.iter().for_each(hold),
            Err(fault) => {
                let told = fault.to_string();
                let pieces = data.windows(TELLING).filter_map(|w| std::str::from_utf8(w).ok());
                if let Some(piece) = pieces.filter(|w| told.contains(w)).find(|w| !is_our_own(data, w, format)) {
                    panic_at("a fault", &format!("repeats {piece:?}"));
                }
                assert!(told.chars().all(|c| !steers(c)) && told.starts_with("leaks.json:"), "{told:?}");
            }
        }
    }
    doors::told(data).iter().flatten().for_each(hold);
}

/// Whether a piece of the input stands in a refusal without it as well: the input has copied our words.
fn is_our_own(data: &[u8], piece: &str, format: Format) -> bool {
    let other = String::from_utf8_lossy(data).replace(piece, &"x".repeat(piece.len()));
    files::read("leaks.json", other.as_bytes(), format).is_err_and(|fault| fault.to_string().contains(piece))
}

fn hold(report: &Report) {
    let url = report.url.as_deref().unwrap_or_default();
    for shown in [&report.source, &report.reference, url] {
        if shown.chars().any(steers) || shown.chars().count() > 10_000 {
            panic_at("a report", &format!("is shown as {shown:?}"));
        }
    }
    assert!(report.raw.len() <= MOST_RAW && report.raw.iter().all(|raw| !raw.expose().is_empty()));
    assert!(url.is_empty() || ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)), "{url:?}");
    for raw in report
        .raw
        .iter()
        .filter(|raw| raw.expose().len() >= TELLING && raw.expose().bytes().all(|b| b.is_ascii_alphanumeric()))
    {
        assert!(
            !report.reference.contains(raw.expose()) && !url.contains(raw.expose()),
            "a secret is shown: {}",
            report.reference
        );
    }
}

//! TruffleHog, version 3: a finding a line. `Raw` is the secret or the name that belongs to it, `RawV2` both together; old versions
//! write them in base64.

use super::super::Report;
use super::super::json::Json;
use super::super::verify::rfc3339;
use super::{Unfit, first_has, items, place, shown};

pub(super) fn is(document: &Json) -> bool {
    first_has(document, &["DetectorName"]) || first_has(document, &["SourceMetadata"])
}

pub(super) fn read(name: &str, document: &Json) -> Result<Vec<Report>, Unfit> {
    items(document).iter().map(|item| finding(name, item)).collect()
}

fn finding(name: &str, item: &Json) -> Result<Report, Unfit> {
    if item.get("Raw").is_none() && item.get("RawV2").is_none() && item.get("Redacted").is_none() {
        return Err(Unfit("a finding has none of Raw, RawV2 and Redacted".to_owned()));
    }
    // `Data` has one key, which says what was scanned.
    let data = item.at(&["SourceMetadata", "Data"]).and_then(|data| data.pairs().first()).map(|(_, data)| data);
    let told = |key: &str| data.and_then(|data| data.text(&[key]));
    let line = data.and_then(|data| data.number(&["line"]));
    let mut values: Vec<&str> = ["Raw", "RawV2"].iter().filter_map(|key| shown(item.text(&[key]))).collect();
    values.extend(item.get("SecretParts").map(Json::texts).unwrap_or_default());
    let file = told("file").or_else(|| told("link")).or_else(|| told("repository"));
    Ok(Report::new(name, &place(file, line, told("commit")))
        .url(told("link").or_else(|| told("repository")))
        .exposed(told("timestamp").and_then(time))
        .found(&values))
}

/// `2022-06-16 10:17:40 -0700`, or RFC 3339.
fn time(text: &str) -> Option<u64> {
    let git = || chrono::DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S %z").ok();
    rfc3339(text).or_else(|| u64::try_from(git()?.timestamp_millis()).ok())
}

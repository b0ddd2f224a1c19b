//! Events of AWS: Health's risk codes and GuardDuty's findings about access keys, as EventBridge sends them and as the two services'
//! own APIs answer. Both name the access key id, which is the login name at SES.

use chrono::DateTime;

use super::Report;
use super::json::Json;
use super::verify::rfc3339;
use crate::marks::Mark;

/// The severity of GuardDuty from which a finding is a leak and not a suspicion, where the inventory does not say: its "high".
pub(super) const LEAST_SEVERITY: f64 = 7.0;

/// The codes of AWS Health about credentials that are out.
const CODES: [&str; 5] = [
    "AWS_RISK_CREDENTIALS_COMPROMISED",
    "AWS_RISK_CREDENTIALS_COMPROMISE_SUSPECTED",
    "AWS_RISK_CREDENTIALS_EXPOSED",
    "AWS_RISK_CREDENTIALS_EXPOSURE_SUSPECTED",
    "AWS_RISK_IAM_QUARANTINE",
];

/// The reports of an event of EventBridge: one for each access key; none of events that tell of something else.
pub(super) fn reports(source: &str, event: &Json, least_severity: f64) -> Vec<Report> {
    let Some(detail) = event.get("detail") else { return Vec::new() };
    match event.text(&["source"]) {
        Some("aws.health") => health(source, detail),
        Some("aws.guardduty") => finding(source, detail, least_severity).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// Whether it is an event of one of the two services.
pub(super) fn is_event(event: &Json) -> bool {
    matches!(event.text(&["source"]), Some("aws.health" | "aws.guardduty")) && event.get("detail").is_some()
}

fn health(source: &str, detail: &Json) -> Vec<Report> {
    let code = detail.text(&["eventTypeCode"]).unwrap_or_default();
    if detail.text(&["service"]) != Some("RISK") && !code.starts_with("AWS_RISK_") {
        return Vec::new();
    }
    let arn = detail.text(&["eventArn"]).unwrap_or(code);
    let began = detail.text(&["startTime"]).and_then(time);
    let make = |key: Option<&str>| {
        let reference = key.map_or_else(|| arn.to_owned(), |key| format!("{arn} {key}"));
        let mut report = Report::new(source, &reference).exposed(began).mark(key.and_then(Mark::key_id));
        report.closing = detail.text(&["statusCode"]) == Some("closed");
        // A code that is not known yet is told to people.
        report.suspected = !CODES.contains(&code);
        report
    };
    let keys: Vec<&str> = detail.list(&["affectedEntities"]).iter().filter_map(|e| e.text(&["entityValue"])).collect();
    match keys.is_empty() {
        true => vec![make(None)],
        false => keys.into_iter().map(|key| make(Some(key))).collect(),
    }
}

/// The reports of `aws health describe-affected-entities`: the code stands in the ARN of the event.
pub(super) fn affected_entities(source: &str, answer: &Json) -> Vec<Report> {
    let risky =
        answer.list(&["entities"]).iter().filter(|e| e.text(&["eventArn"]).is_some_and(|a| a.contains("/AWS_RISK_")));
    let report = |entity: &Json| {
        let arn = entity.text(&["eventArn"]).unwrap_or_default();
        let key = entity.text(&["entityValue"]).unwrap_or_default();
        let mut report = Report::new(source, &format!("{arn} {key}")).mark(Mark::key_id(key));
        report.suspected = !CODES.iter().any(|code| arn.contains(&format!("/{code}/")));
        report.closing = entity.text(&["statusCode"]) == Some("RESOLVED");
        report
    };
    risky.map(report).collect()
}

/// The report of a finding of GuardDuty; `None` if it is about no access key. EventBridge writes its keys with a small first
/// letter, the API with a capital.
pub(super) fn finding(source: &str, finding: &Json, least_severity: f64) -> Option<Report> {
    let either = |small: &[&str], capital: &[&str]| finding.at(small).or_else(|| finding.at(capital));
    let key = either(&["resource", "accessKeyDetails", "accessKeyId"], &["Resource", "AccessKeyDetails", "AccessKeyId"])?;
    let id = either(&["id"], &["Id"]).and_then(|id| id.text(&[])).unwrap_or("a finding without an id");
    let first = either(&["service", "eventFirstSeen"], &["Service", "EventFirstSeen"]).and_then(|at| at.text(&[]));
    let severity = either(&["severity"], &["Severity"]).and_then(|s| s.float(&[])).unwrap_or_default();
    let archived = either(&["service", "archived"], &["Service", "Archived"]);
    let mut report = Report::new(source, id).exposed(first.and_then(time)).mark(key.text(&[]).and_then(Mark::key_id));
    report.suspected = severity < least_severity;
    report.closing = archived.is_some_and(|archived| archived.is_true(&[]));
    Some(report)
}

/// Times as the two write them: RFC 3339, or that of mail.
fn time(text: &str) -> Option<u64> {
    let mail = || u64::try_from(DateTime::parse_from_rfc2822(text).ok()?.timestamp_millis()).ok();
    rfc3339(text).or_else(mail)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An event of Health about these keys.
    pub(in crate::alerts) fn health_event(code: &str, keys: &[&str], status: &str) -> String {
        let keys: Vec<String> = keys.iter().map(|key| format!(r#"{{"entityValue": "{key}"}}"#)).collect();
        format!(
            r#"{{"version": "0", "id": "e1", "detail-type": "AWS Health Event", "source": "aws.health", "account": "123456789012",
            "time": "2016-06-05T06:27:57Z", "region": "us-east-1", "resources": [], "detail": {{
            "eventArn": "arn:aws:health:us-east-1::event/{code}", "service": "RISK", "eventTypeCode": "{code}",
            "eventTypeCategory": "issue", "startTime": "Sat, 05 Jun 2016 15:10:09 GMT", "statusCode": "{status}",
            "eventDescription": [{{"language": "en_US", "latestDescription": "key-id:AKIAOTHER0000000000"}}],
            "affectedEntities": [{}]}}}}"#,
            keys.join(", ")
        )
    }

    fn read(text: &str) -> Json {
        Json::read(text.as_bytes()).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    #[test]
    fn every_key_of_a_health_event_is_a_report() {
        let keys = ["AKIAIOSFODNN7EXAMPLE", "AKIAI44QH8DHBEXAMPLE"];
        for code in CODES {
            let found = reports("aws", &read(&health_event(code, &keys, "open")), LEAST_SEVERITY);
            let marks: Vec<_> = found.iter().flat_map(|r| r.marks.clone()).collect();
            assert_eq!(marks, keys.iter().filter_map(|k| Mark::key_id(k)).collect::<Vec<_>>(), "{code}");
            assert!(found.iter().all(|r| !r.suspected && !r.closing));
        }
        // A date that mail would refuse: a Saturday that was a Sunday.
        let found = reports("aws", &read(&health_event(CODES[2], &keys, "closed")), LEAST_SEVERITY);
        assert!(found.iter().all(|r| r.closing && r.exposed_ms.is_none()));
        let dated = health_event(CODES[2], &keys, "open").replace("Sat,", "Sun,");
        assert_eq!(reports("aws", &read(&dated), LEAST_SEVERITY)[0].exposed_ms, Some(1_465_139_409_000));
        assert_eq!(reports("aws", &read(&health_event(CODES[2], &[], "open")), LEAST_SEVERITY).len(), 1);
        assert!(reports("aws", &read(&health_event("AWS_RISK_NEW", &keys, "open")), LEAST_SEVERITY)[0].suspected);
        let other = health_event("AWS_EC2_X", &keys, "open").replace("RISK\"", "EC2\"");
        assert!(reports("aws", &read(&other), LEAST_SEVERITY).is_empty());
    }

    #[test]
    fn a_finding_of_guardduty_is_a_leak_from_a_severity_on() {
        let event = |severity: &str| {
            format!(
                r#"{{"source": "aws.guardduty", "detail-type": "GuardDuty Finding", "detail": {{"id": "f1", "severity": {severity},
                "type": "UnauthorizedAccess:IAMUser/MaliciousIPCaller", "resource": {{"resourceType": "AccessKey",
                "accessKeyDetails": {{"accessKeyId": "AKIAIOSFODNN7EXAMPLE", "userName": "smtp", "userType": "IAMUser"}}}},
                "service": {{"eventFirstSeen": "2023-12-29T17:38:06Z", "archived": false}}}}}}"#
            )
        };
        for (severity, suspected) in
            [("8", false), ("7.0", false), ("6.9", true), ("2", true), ("\"8\"", true), ("null", true)]
        {
            let found = reports("aws", &read(&event(severity)), LEAST_SEVERITY);
            assert_eq!((found.len(), found[0].suspected), (1, suspected), "{severity}");
            assert_eq!(found[0].exposed_ms, Some(1_703_871_486_000));
        }
        let api = r#"{"Id": "f1", "Severity": 8.5, "Resource": {"AccessKeyDetails": {"AccessKeyId": "AKIAIOSFODNN7EXAMPLE"}},
            "Service": {"Archived": true}}"#;
        let found = finding("aws", &read(api), LEAST_SEVERITY).expect("a report");
        assert!(found.closing && !found.suspected && found.marks.len() == 1);
        assert!(finding("aws", &read(r#"{"id": "f1", "resource": {"resourceType": "Instance"}}"#), 7.0).is_none());
    }

    #[test]
    fn what_the_api_of_health_answers_is_read_as_well() {
        let answer = r#"{"entities": [
            {"eventArn": "arn:aws:health:global::event/RISK/AWS_RISK_CREDENTIALS_EXPOSED/x", "entityValue": "AKIAIOSFODNN7EXAMPLE"},
            {"eventArn": "arn:aws:health:global::event/EC2/AWS_EC2_X/x", "entityValue": "i-1"}]}"#;
        let found = affected_entities("aws", &read(answer));
        assert!(found.len() == 1 && !found[0].suspected && found[0].marks.len() == 1);
    }
}

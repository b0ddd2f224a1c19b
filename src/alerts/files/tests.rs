use std::io::{BufReader, Cursor};

use super::*;
use crate::marks::{Mark, of_leaked};

const SECRET: &str = "BAhXAO5H0bpXZnYEIXxJNvCyGpqLtDzjRzPUVSGWnI8T";
/// The same in base64, as old versions of TruffleHog write it.
const BASE64: &str = "QkFoWEFPNUgwYnBYWm5ZRUlYeEpOdkN5R3BxTHREempSelBVVlNHV25JOFQ=";

/// A document of each format that tells of the secret, or of what stands for it there, written from the tool's own output.
fn documents() -> Vec<(&'static str, String)> {
    let trufflehog = |raw: &str, v2: &str| {
        format!(
            r#"{{"SourceMetadata":{{"Data":{{"Git":{{"commit":"fbc14303ffbf8fb1c2c1914e8dda7d0121633aca","file":"smtp.env","email":"a <a@b>","repository":"https://github.com/acme/shop","timestamp":"2022-06-16 10:17:40 -0700","line":4}}}}}},"SourceID":1,"SourceType":16,"SourceName":"trufflehog - git","DetectorType":2,"DetectorName":"AWS","DecoderName":"PLAIN","Verified":true,"Raw":"{raw}","RawV2":"{v2}","Redacted":"AKIAIOSFODNN7EXAMPLE","ExtraData":null,"StructuredData":null}}"#
        )
    };
    vec![
        ("trufflehog", trufflehog("AKIAIOSFODNN7EXAMPLE", &format!("AKIAIOSFODNN7EXAMPLE:{SECRET}"))),
        ("trufflehog", trufflehog(BASE64, "")),
        (
            "gitleaks",
            format!(
                r#"[{{"RuleID": "generic-api-key", "Description": "x", "StartLine": 20, "EndLine": 20, "StartColumn": 19, "EndColumn": 38,
                "Match": "SMTP_PASSWORD=\"{SECRET}\"", "Secret": "{SECRET}", "File": "smtp.env", "SymlinkFile": "",
                "Commit": "1b6da43b82b22e4eaa10bcf8ee591e91abbfc587", "Entropy": 4.9, "Author": "a", "Email": "a@b",
                "Date": "2021-11-02T23:37:53Z", "Message": "x", "Tags": [], "Fingerprint": "1b6d:smtp.env:generic-api-key:20"}}]"#
            ),
        ),
        (
            "gitleaks",
            format!(
                r#"[{{"line": "password = {SECRET}", "lineNumber": 3, "offender": "{SECRET}", "offenderEntropy": -1, "commit": "abc",
                "repo": "x", "rule": "Generic", "file": "smtp.env", "leakURL": "", "date": "2021-11-02T23:37:53Z", "tags": "key"}}]"#
            ),
        ),
        (
            "sarif",
            format!(
                r#"{{"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [{{"tool": {{"driver":
                {{"name": "gitleaks", "semanticVersion": "v8.0.0"}}}}, "results": [{{"message": {{"text": "generic has detected secret"}},
                "ruleId": "generic-api-key", "locations": [{{"physicalLocation": {{"artifactLocation": {{"uri": "smtp.env"}},
                "region": {{"startLine": 1, "snippet": {{"text": "{SECRET}"}}}}}}}}], "partialFingerprints": {{"commitSha": "1b6d",
                "date": "2021-11-02T23:37:53Z"}}, "properties": {{"tags": []}}}}]}}]}}"#
            ),
        ),
        (
            "ggshield",
            format!(
                r#"{{"id": "x", "type": "path_scan", "total_incidents": 1, "total_occurrences": 1, "secrets_engine_version": "2.96.0",
                "scans": [{{"id": "1b6da43b82b2", "type": "commit", "extra_info": {{"author": "a", "email": "a@b", "date": "x"}},
                "entities_with_incidents": [{{"mode": "FILE", "filename": "smtp.env", "incidents": [{{"policy": "Secrets detection",
                "type": "SMTP credentials", "validity": "valid", "ignore_sha": "{}", "total_occurrences": 1, "incident_url":
                "https://dashboard.gitguardian.com/workspace/1/incidents/2", "known_secret": true, "occurrences": [
                {{"match": "smtp.example.com", "type": "host", "line_start": 2}},
                {{"match": "{SECRET}", "type": "password", "line_start": null}}]}}]}}]}}]}}"#,
                "0".repeat(64)
            ),
        ),
        (
            "detect-secrets",
            r#"{"version": "1.4.0", "plugins_used": [{"name": "KeywordDetector"}], "filters_used": [], "results": {"smtp.env": [
                {"type": "Secret Keyword", "filename": "smtp.env", "hashed_secret": "dd512c6b021d082cbae6baaeddf4f737eef1ac84",
                "is_verified": false, "line_number": 3, "is_secret": false}]}, "generated_at": "2022-01-01T00:00:00Z"}"#
                .to_owned(),
        ),
        (
            "gitlab",
            format!(
                r#"{{"version": "15.0.7", "vulnerabilities": [{{"id": "x", "name": "SMTP password", "severity": "Critical",
                "raw_source_code_extract": "{SECRET}", "location": {{"file": "smtp.env", "commit": {{"date": "2021-06-02T09:13:09Z",
                "sha": "1b6da43b82b22e4eaa10bcf8ee591e91abbfc587"}}, "start_line": 4, "end_line": 4}}, "identifiers": []}}],
                "scan": {{"scanner": {{"id": "gitleaks"}}, "type": "secret_detection", "start_time": "2021-06-02T09:13:09"}}}}"#
            ),
        ),
        (
            "gitguardian",
            r#"[{"id": 3759, "date": "2019-08-22T14:15:22Z", "hmsl_hash":
                "743d9fde380b7064cc6a8d3071184fc47905cf7440e5615cd46c7b6cbfb46d47", "gitguardian_url":
                "https://dashboard.gitguardian.com/workspace/1/incidents/3759", "status": "TRIGGERED"}]"#
                .to_owned(),
        ),
        (
            "gitguardian",
            r#"{"source": "GitGuardian", "action": "incident_triggered", "incident": {"id": 3759, "hmsl_hash":
                "743d9fde380b7064cc6a8d3071184fc47905cf7440e5615cd46c7b6cbfb46d47", "status": "triggered"}}"#
                .to_owned(),
        ),
        (
            "github",
            format!(
                r#"[{{"number": 2, "created_at": "2020-11-06T18:48:51Z", "state": "open", "secret_type": "smtp", "secret": "{SECRET}",
                "html_url": "https://github.com/acme/shop/security/secret-scanning/2"}}]"#
            ),
        ),
        (
            "github",
            format!(
                r#"{{"action": "created", "alert": {{"number": 2, "secret_type": "smtp", "secret": "{SECRET}"}},
                "repository": {{"full_name": "acme/shop"}}}}"#
            ),
        ),
        ("aws-health", super::super::aws_event::tests::health_event("AWS_RISK_CREDENTIALS_EXPOSED", &["AKIAIOSFODNN7EXAMPLE"], "open")),
        (
            "aws-health",
            r#"{"entities": [{"eventArn": "arn:aws:health:global::event/RISK/AWS_RISK_CREDENTIALS_EXPOSED/x",
                "entityValue": "AKIAIOSFODNN7EXAMPLE"}]}"#
                .to_owned(),
        ),
        (
            "aws-health",
            r#"{"Findings": [{"Id": "f", "Severity": 8, "Resource": {"AccessKeyDetails": {"AccessKeyId": "AKIAIOSFODNN7EXAMPLE"}}}]}"#
                .to_owned(),
        ),
    ]
}

/// Whether a report would be matched: by the raw secret, its SHA-1, its HMSL hash (of another secret here) or the key id.
fn tells(report: &Report) -> bool {
    let ours = of_leaked(&crate::secret::Secret::new(SECRET.to_owned()));
    let known = [
        Mark::key_id("AKIAIOSFODNN7EXAMPLE"),
        Mark::sha1("dd512c6b021d082cbae6baaeddf4f737eef1ac84"),
        Mark::hmsl("743d9fde380b7064cc6a8d3071184fc47905cf7440e5615cd46c7b6cbfb46d47"),
    ];
    report.raw.iter().any(|raw| of_leaked(raw) == ours) || report.marks.iter().any(|m| known.contains(&Some(m.clone())))
}

fn reports(text: &str, format: Format) -> Result<Vec<Report>, Fault> {
    read("scan.json", text.as_bytes(), format)
}

#[test]
fn each_format_is_recognised_and_tells_of_the_secret() {
    let mut seen = std::collections::BTreeSet::new();
    for (name, text) in documents() {
        let format = Format::named(name).expect("a format");
        let kind =
            KINDS.iter().filter(|kind| (kind.is)(&Json::read(text.as_bytes()).unwrap_or_else(|e| panic!("{name}: {e}"))));
        let kinds: Vec<&str> = kind.map(|kind| kind.name).collect();
        assert_eq!(kinds, [name], "each document is of one format");
        for format in [Format::Auto, format] {
            let found = reports(&text, format).unwrap_or_else(|f| panic!("{name}: {f}"));
            let [report] = found.as_slice() else { panic!("{name}: {} reports", found.len()) };
            assert!(tells(report), "{name}: {}", report.reference);
            assert!(!report.closing && !report.look && !report.suspected, "{name}");
            assert!(!report.reference.contains(SECRET) && report.source == "scan.json");
        }
        seen.insert(name);
    }
    assert_eq!(seen.len() + 1, Format::names().count(), "{seen:?}");
}

#[test]
fn places_are_told_as_the_tool_tells_them() {
    for (format, place) in [
        ("trufflehog", "smtp.env:4 in fbc14303ffbf"),
        ("gitleaks", "smtp.env:20 in 1b6da43b82b2"),
        ("sarif", "smtp.env:1 in 1b6d"),
        ("ggshield", "smtp.env:2 in 1b6da43b82b2"),
        ("detect-secrets", "smtp.env:3"),
        ("gitlab", "smtp.env:4 in 1b6da43b82b2"),
        ("gitguardian", "3759"),
        ("github", "acme/shop#2"),
    ] {
        let (_, text) = documents().into_iter().find(|(name, _)| *name == format).expect("a document");
        assert_eq!(reports(&text, Format::Auto).expect("reports")[0].reference, place, "{format}");
    }
    let exposed: Vec<_> =
        documents().iter().map(|(_, text)| reports(text, Format::Auto).expect("reports")[0].exposed_ms).collect();
    assert_eq!(exposed[0], Some(1_655_399_860_000), "TruffleHog's own form of a time");
    assert!(exposed.iter().filter(|at| at.is_some()).count() > 7);
}

#[test]
fn json_lines_are_streamed_and_logs_and_blank_lines_passed_over() {
    let (_, line) = documents().into_iter().next().expect("a document");
    let log = r#"{"level":"info-0","ts":"2023-11-14T22:13:20Z","logger":"trufflehog","msg":"finished scanning"}"#;
    let text = format!("\u{feff}{log}\n\n{line}\r\n   \n{line}\n{log}\n{line}");
    assert_eq!(reports(&text, Format::Auto).expect("reports").len(), 3);
    assert_eq!(reports("", Format::Auto).expect("reports").len(), 0);
    assert_eq!(reports("\n \n", Format::Auto).expect("reports").len(), 0);
    assert_eq!(reports("[]\n", Format::Auto).expect("nothing was found").len(), 0);
    // A small buffer: lines are put together however they come.
    let mut count = 0;
    let mut reader = BufReader::with_capacity(7, Cursor::new(text));
    let all = stream("x", &mut reader, Format::Trufflehog, &mut |report| {
        count += usize::from(tells(&report));
        Ok(())
    });
    assert_eq!((all.expect("read"), count), (3, 3));
}

#[test]
fn what_was_found_before_a_fault_is_handed_over_and_a_fault_of_the_taker_ends_it() {
    let (_, line) = documents().into_iter().next().expect("a document");
    let text = format!("{line}\n{line}\n{{broken\n{line}");
    let mut count = 0;
    let result = stream("x", &mut text.as_bytes(), Format::Auto, &mut |_| {
        count += 1;
        Ok(())
    });
    assert_eq!((result.err().map(|f| f.code), count), (Some("HO1142".to_owned()), 2));
    let full = Fault::new(FaultClass::Temporary, "HO9999", "full");
    let result = stream("x", &mut text.as_bytes(), Format::Auto, &mut |_| Err(full.clone()));
    assert_eq!(result.err(), Some(full));
}

#[test]
fn a_fault_says_file_and_line_and_not_what_stands_there() {
    let (_, line) = documents().into_iter().next().expect("a document");
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain("{}".encode_utf16().flat_map(u16::to_le_bytes)).collect();
    for (text, format, code, starts) in [
        (
            format!("{line}\n{{\"x\": hunter2}}").into_bytes(),
            Format::Auto,
            "HO1142",
            "scan.json:2: it is no JSON, at column ",
        ),
        (format!("{line}\n{{\"hunter2\": 1}}").into_bytes(), Format::Auto, "HO1141", "scan.json:2: its format is not known"),
        (b"{\n  \"a\": 1,\n  \"b\": hunter2\n}".to_vec(), Format::Auto, "HO1142", "scan.json:3: it is no JSON, at column "),
        (b"\n\n{\n  \"hunter2\": ".to_vec(), Format::Auto, "HO1142", "scan.json:4: it ends in the middle"),
        (b"{\"hunter2\": \"\xff\"}".to_vec(), Format::Auto, "HO1142", "scan.json:1: it is not UTF-8"),
        (b"hunter2".to_vec(), Format::Gitleaks, "HO1142", "scan.json:1: it is no JSON"),
        (utf16, Format::Auto, "HO1142", "scan.json:1: it is UTF-16"),
        (b"{\"hunter2\": 1}".to_vec(), Format::Gitleaks, "HO1143", "scan.json:1: this is not of the format gitleaks: "),
        (b"{\"hunter2\": 1}".to_vec(), Format::Trufflehog, "HO1143", "scan.json:1: "),
        (b"{\"hunter2\": 1}".to_vec(), Format::Sarif, "HO1143", "scan.json:1: "),
        (b"[\"hunter2\"]".to_vec(), Format::Ggshield, "HO1143", "scan.json:1: "),
        (b"{\"results\": {\"hunter2\": [{}]}}".to_vec(), Format::DetectSecrets, "HO1143", "scan.json:1: "),
        (b"{\"hunter2\": 1}".to_vec(), Format::Gitlab, "HO1143", "scan.json:1: "),
        (b"{\"hunter2\": 1}".to_vec(), Format::Gitguardian, "HO1143", "scan.json:1: "),
        (b"{\"hunter2\": 1}".to_vec(), Format::Github, "HO1143", "scan.json:1: "),
        (b"{\"hunter2\": 1}".to_vec(), Format::AwsHealth, "HO1143", "scan.json:1: "),
        (b"{\"a\": 1, \"a\": \"hunter2\"}".to_vec(), Format::Auto, "HO1142", "scan.json:1: it has a key twice"),
        (format!("{}1", "[".repeat(2_000)).into_bytes(), Format::Auto, "HO1142", "scan.json:1: it is nested too deeply"),
    ] {
        let shown = String::from_utf8_lossy(&text[..text.len().min(60)]).into_owned();
        let fault = read("scan.json", &text, format).err().unwrap_or_else(|| panic!("{shown}"));
        assert_eq!(fault.code, code, "{shown}");
        assert!(fault.message.starts_with(starts), "{shown}: {fault}");
        assert!(!fault.to_string().contains("hunter2"), "{fault}");
        assert!(fault.hint.is_some());
    }
}

#[test]
fn what_is_too_large_is_refused_without_being_held() {
    /// A line without an end.
    struct Endless;
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            buffer.fill(b' ');
            Ok(buffer.len())
        }
    }
    let (_, line) = documents().into_iter().next().expect("a document");
    let long = Cursor::new(format!("{line}\n")).chain(Endless);
    let fault =
        stream("x", &mut BufReader::with_capacity(1 << 16, long), Format::Auto, &mut |_| Ok(())).expect_err("a fault");
    assert_eq!((&*fault.code, &*fault.message), ("HO1140", "x:2: the line is longer than 4 MiB"));
    let large = Cursor::new("{\n").chain(Endless);
    let fault =
        stream("x", &mut BufReader::with_capacity(1 << 16, large), Format::Auto, &mut |_| Ok(())).expect_err("a fault");
    assert_eq!((&*fault.code, &*fault.message), ("HO1140", "x:1: the document is larger than 32 MiB"));
}

#[test]
fn a_document_in_one_line_may_be_as_large_as_one_in_many() {
    let (_, list) = documents().into_iter().find(|(name, _)| *name == "gitleaks").expect("a document");
    let one: String = list.trim_matches(['[', ']']).split_whitespace().collect::<Vec<_>>().join(" ");
    let filler = format!("{{\"RuleID\": \"x\", \"Secret\": \"REDACTED\", \"Fingerprint\": \"{}\"}}", "f".repeat(1 << 20));
    let text = format!("[{filler},{filler},{filler},{filler},{filler},{one}]");
    assert!(u64::try_from(text.len()).expect("a length") > MOST_LINE);
    let found = reports(&text, Format::Auto).expect("reports");
    assert_eq!((found.len(), tells(&found[5])), (6, true));
}

#[test]
fn what_was_redacted_is_a_report_without_a_secret() {
    for (text, format) in [
        (
            r#"[{"RuleID": "x", "Secret": "REDACTED", "Match": "REDACTED", "File": "a", "Fingerprint": "f"}]"#,
            Format::Gitleaks,
        ),
        (r#"{"DetectorName": "SMTP", "Redacted": "smtp://u:********@h", "Raw": ""}"#, Format::Trufflehog),
        (
            r#"{"secrets_engine_version": "x", "entities_with_incidents": [{"filename": "a", "incidents": [
            {"occurrences": [{"match": "&dtzi36g3****************1t"}]}]}]}"#,
            Format::Ggshield,
        ),
        (r#"[{"number": 1, "secret_type": "x", "state": "open"}]"#, Format::Github),
        (r#"{"version": "2.1.0", "runs": [{"results": [{"message": {"text": "x"}}]}]}"#, Format::Sarif),
    ] {
        let found = reports(text, format).unwrap_or_else(|f| panic!("{f}"));
        assert_eq!(found.len(), 1, "{text}");
        assert!(found[0].raw.is_empty() && found[0].marks.is_empty() && !found[0].suspected, "{text}");
    }
}

#[test]
fn a_key_id_alone_is_a_suspicion_and_a_path_that_is_the_secret_is_masked() {
    let only = r#"[{"RuleID": "aws-access-token", "Secret": "AKIAIOSFODNN7EXAMPLE", "Match": "AKIAIOSFODNN7EXAMPLE",
        "File": "smtp.env", "StartLine": 1, "Fingerprint": "f"}]"#;
    let found = reports(only, Format::Auto).expect("reports");
    assert!(found[0].suspected && found[0].marks.len() == 1);
    let text = format!(r#"[{{"RuleID": "x", "Secret": "{SECRET}", "File": "keys/{SECRET}/a", "Fingerprint": "f"}}]"#);
    assert_eq!(reports(&text, Format::Auto).expect("reports")[0].reference, "keys/***/a");
}

#[test]
fn formats_have_names() {
    let names: Vec<&str> = Format::names().collect();
    assert_eq!(names.first(), Some(&"auto"));
    assert!(names.iter().all(|name| Format::named(name).is_some()));
    assert_eq!(Format::named("yaml"), None);
}

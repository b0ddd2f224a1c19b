//! The section `alerts`: what the reader takes and the schema lets pass, and what people read where it is wrong.

use super::shipped::tree;
use super::{SOUND, inventory, inventory_by, with};
use crate::config::inventory_schema;
use crate::registry::Registry;

fn with_alerts(section: &str) -> String {
    with(SOUND, "services:\n", &format!("alerts: {section}\nservices:\n"))
}

#[test]
fn reader_and_schema_agree_on_the_sources_of_this_build() {
    let schema = jsonschema::validator_for(&inventory_schema(&Registry)).expect("a schema");
    for (section, taken) in [
        ("", true),
        ("{}", true),
        ("{gg: {kind: gitguardian, secret: {env: S}}}", true),
        ("{gg: {kind: gitguardian, api: {key: {file: k}, every: 10m}}}", true),
        ("{gg: {kind: gitguardian}}", false),
        ("{gg: {kind: gitguardian, previous_secret: {env: S}, api: {key: {env: K}}}}", false),
        ("{gg: {kind: gitguardian, api: {}}}", false),
        ("{gg: {kind: gitguardian, secret: {env: S}, extra: 1}}", false),
        ("{gh: {kind: github, secret: {env: S}, previous_secret: {env: T}}}", true),
        ("{gh: {kind: github, api: {key: {env: K}, organization: acme, repositories: [acme/shop]}}}", true),
        ("{gh: {kind: github, api: {key: {env: K}}}}", false),
        ("{gh: {kind: github, api: {key: {env: K}, repositories: []}}}", false),
        ("{gh: {kind: github, api: {key: {env: K}, repositories: [shop]}}}", false),
        ("{gl: {kind: gitlab, token: {env: T}}}", true),
        ("{gl: {kind: gitlab, signing_token: {env: T}, previous_signing_token: {env: U}}}", true),
        ("{gl: {kind: gitlab, token: {env: T}, signing_token: {env: U}}}", false),
        ("{gl: {kind: gitlab}}", false),
        ("{aws: {kind: aws-sns, topic: \"arn:aws:sns:eu-central-1:123456789012:leaks\"}}", true),
        ("{aws: {kind: aws-sns, topic: \"arn:aws:sns:eu-central-1:123456789012:leaks\", least_severity: 11}}", false),
        ("{aws: {kind: aws-sns, topic: leaks}}", false),
        ("{pd: {kind: pagerduty, secret: {env: S}}}", true),
        ("{pd: {kind: pagerduty}}", false),
        ("{am: {kind: alertmanager, token: {env: S}}}", true),
        ("{am: {kind: alertmanager, secret: {env: S}}}", false),
        ("{mine: {kind: standard-webhooks, secret: {file: s}}}", true),
        ("{mine: {kind: standard-webhook, secret: {file: s}}}", false),
        ("{hmsl: {kind: hasmysecretleaked}}", true),
        ("{hmsl: {kind: hasmysecretleaked, every: 5m}}", false),
        ("{\"a b\": {kind: hasmysecretleaked}}", false),
        ("[gitguardian]", false),
    ] {
        let text = with_alerts(section);
        let read = inventory_by(&Registry, &[("a.yaml", &text)]);
        assert_eq!(read.is_ok(), taken, "the reader on {section}: {:?}", read.err().map(|p| p.to_string()));
        assert_eq!(schema.is_valid(&tree(&text)), taken, "the schema on {section}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_what_was_meant() {
    for (section, code, says) in [
        ("{a: {kind: hok, secret: {env: S}}}", "HO0121", "did you mean `hook`?"),
        ("{a: {kind: hook, secert: {env: S}}}", "HO0110", "did you mean `secret`?"),
        ("{a: {kind: hook}}", "HO0111", "alert source `a` lacks the key `secret`"),
        ("{a: {secret: {env: S}}}", "HO0111", "alert source `a` lacks the key `kind`"),
        ("{a: {kind: hook, secret: hunter2}}", "", "name where it is"),
    ] {
        let problems = inventory(&[("a.yaml", &with_alerts(section))]).err().unwrap_or_else(|| panic!("{section}"));
        let text = problems.to_string();
        assert!(text.contains(code) && text.contains(says) && !text.contains("hunter2"), "{section}: {text}");
    }
    let twice = inventory(&[
        ("a.yaml", &with_alerts("{a: {kind: hook, secret: {env: S}}}")),
        ("b.yaml", "version: 1\nalerts: {a: {kind: hook, secret: {env: S}}}\n"),
    ]);
    assert!(twice.is_err_and(|p| p.to_string().contains("alert `a` is defined twice")));
}

//! The shipped files are inputs of tests: they load without a warning, and their schemas agree.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::kinds::TestKinds;
use super::{SOUND, SOUND_PLAYBOOK, inventory, inventory_by, playbook, shipped_playbooks, with};
use crate::config::playbooks::environments_of;
use crate::config::{Node, Value, check_named, inventory_schema, load_inventory, playbook_schema};
use crate::registry::Registry;

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A tree as JSON, for the validator.
fn json(node: &Node) -> Json {
    match &node.value {
        Value::Null | Value::Hidden => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Number(raw) => serde_json::from_str(raw).unwrap_or_else(|_| json!(raw)),
        Value::Text(text) => json!(text),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(pairs) => Json::Object(pairs.iter().map(|p| (p.key.clone(), json(&p.value))).collect()),
    }
}

pub(super) fn tree(text: &str) -> Json {
    json(&Node::from_yaml("test.yaml", Path::new("/"), text).unwrap_or_else(|p| panic!("{p}\n{text}")))
}

#[test]
fn shipped_inventories_load_without_a_warning_alone_and_together() {
    let playbooks = shipped_playbooks();
    for (name, credentials) in [("inventory/example.yaml", 2), ("inventory/sandbox.yaml", 1), ("inventory", 3)] {
        let inventory = load_inventory(&shipped(name), &TestKinds).unwrap_or_else(|p| panic!("{name}: {p}"));
        assert!(inventory.warnings.is_empty(), "{name}: {}", inventory.warnings);
        assert_eq!(inventory.credentials.len(), credentials, "{name}");
        let named = check_named(&inventory, &playbooks);
        assert!(named.is_empty(), "{name}: {named}");
    }
}

#[test]
fn the_example_of_the_readme_is_sound_and_the_shipped_playbooks_fit_it() {
    let readme = std::fs::read_to_string(shipped("README.md")).unwrap();
    let text = readme.split("```yaml\n").nth(1).and_then(|t| t.split("```").next()).expect("the README has an example");
    let inventory = inventory(&[("inventory.yaml", text)]).unwrap_or_else(|p| panic!("{p}"));
    assert!(inventory.warnings.is_empty(), "{}", inventory.warnings);
    let playbooks = shipped_playbooks();
    let named = check_named(&inventory, &playbooks);
    assert!(named.is_empty(), "{named}");
    for credential in inventory.credentials.values() {
        let environments = environments_of(credential);
        for (name, playbook) in &playbooks {
            assert_eq!(playbook.check_order(&environments), [], "{name}");
        }
    }
}

#[test]
fn shipped_playbooks_are_the_four_and_are_what_they_say() {
    let playbooks = shipped_playbooks();
    assert_eq!(playbooks.keys().collect::<Vec<_>>(), ["drill", "emergency", "leak", "scheduled"]);
    assert!(playbooks["emergency"].revokes_first());
    assert!(playbooks["leak"].containment.is_some() && !playbooks["leak"].revokes_first());
    let words = |name: &str| playbooks[name].steps.iter().map(|s| s.word()).collect::<Vec<_>>();
    assert_eq!(words("drill"), words("scheduled"));
}

#[test]
fn shipped_files_validate_and_broken_ones_do_not() {
    let inventories = jsonschema::validator_for(&inventory_schema(&TestKinds)).unwrap();
    let playbooks = jsonschema::validator_for(&playbook_schema()).unwrap();
    for name in ["inventory/example.yaml", "inventory/sandbox.yaml"] {
        let text = std::fs::read_to_string(shipped(name)).unwrap();
        assert!(inventories.validate(&tree(&text)).is_ok(), "{name}: {:?}", inventories.validate(&tree(&text)));
    }
    for name in ["scheduled", "leak", "emergency", "drill"] {
        let text = std::fs::read_to_string(shipped(&format!("playbooks/{name}.yaml"))).unwrap();
        assert!(playbooks.validate(&tree(&text)).is_ok(), "{name}: {:?}", playbooks.validate(&tree(&text)));
    }
    assert!(inventories.is_valid(&tree(SOUND)));
    assert!(playbooks.is_valid(&tree(SOUND_PLAYBOOK)));
    // What one file can be wrong in, the schema finds as the loader does.
    for (part, by) in [
        ("version: 1", "version: 2"),
        ("version: 1\n", ""),
        ("kind: sandbox", "kind: sandbux"),
        ("dir: sandbox", "dri: sandbox"),
        ("port: 587", "port: 70000"),
        ("port: 587", "port: \"587\""),
        ("tls: starttls", "tls: none"),
        ("from: probe@example.com", "from: probe"),
        ("arrival: none", "arrival: maildir"),
        ("arrival: none", "arrival: {maildir: x, imap: {}}"),
        ("    account: newsletter\n", ""),
        ("cron: \"0 3 * * SUN\"", "cron: \"0 3 * *\""),
        ("criticality: high", "criticality: higher"),
        ("    criticality: high", "    critical: high"),
        ("reload: {command: [systemctl, restart, web]}", "reload: systemctl"),
        ("    reload: {command: [systemctl, restart, web]}\n", ""),
        ("argv: [systemctl, restart, web]", "argv: systemctl"),
        ("services:\n  web-staging:", "services:\n  web staging:"),
        ("providers:", "provider:"),
    ] {
        let text = with(SOUND, part, by);
        assert!(!inventories.is_valid(&tree(&text)), "the schema lets pass {by:?}");
        assert!(inventory(&[("a.yaml", &text)]).is_err(), "the loader lets pass {by:?}");
    }
    for (part, by) in [
        ("version: 1\n", ""),
        ("name: routine\n", ""),
        ("  - preflight\n", "  - preflihgt\n"),
        ("  - preflight\n", "  - preflight: {}\n"),
        ("- push: {to: staging}", "- push: staging"),
        ("- push: {to: staging}", "- push: {into: staging}"),
        ("for: 30m", "for: 30"),
        ("for: 30m", "for: 30 minutes"),
        ("for: 30m", "for: \"\""),
        ("within: 4h", "within: 4h, extra: 1"),
        ("on_failure: roll-back", "on_failure: rollback"),
        ("on_failure: roll-back", "containment: soon"),
        ("on_failure: roll-back", "on_error: stop"),
    ] {
        let text = with(SOUND_PLAYBOOK, part, by);
        assert!(!playbooks.is_valid(&tree(&text)), "the schema lets pass {by:?}");
        assert!(playbook("routine", &text).is_err(), "the loader lets pass {by:?}");
    }
}

/// The schema that `handover schema inventory` prints is that of the kinds of this build, not of those above.
#[test]
fn the_schema_of_the_kinds_of_this_build_agrees_with_their_reader() {
    let schema = jsonschema::validator_for(&inventory_schema(&Registry)).unwrap();
    for name in ["inventory/example.yaml", "inventory/sandbox.yaml"] {
        let text = std::fs::read_to_string(shipped(name)).unwrap();
        assert!(schema.validate(&tree(&text)).is_ok(), "{name}: {:?}", schema.validate(&tree(&text)));
    }
    const PROVIDER: &str = "{kind: sandbox, dir: sandbox}";
    const COMMAND: &str = "{command: [systemctl, restart, web]}";
    /// Where a section is added; what it is replaced by is made of the options below.
    const NAMED: &str = "credentials:\n";
    const URL: &str = "\"http://127.0.0.1:8080/test\"";
    const SERVICES: &str = "services:\n";
    const SLACK: &str = "notify: {ops: {kind: slack, url: {file: x}";
    const SMTP: &str = "smtp: {host: mail.example.com, port: 587, tls: starttls}";
    for (part, by, taken) in [
        (PROVIDER, PROVIDER, true),
        (PROVIDER, "{kind: sandbox}", false),
        (PROVIDER, "{kind: sandbox, dir: sandbox, shape: manual}", false),
        (PROVIDER, "{kind: manual}", true),
        (PROVIDER, "{kind: manual, console: there, instructions: click, propagation: 1h30m}", true),
        (PROVIDER, "{kind: manual, propagation: an hour}", false),
        (PROVIDER, "{kind: manual, propagation: 60}", false),
        (PROVIDER, "{kind: manual, console: \"\"}", false),
        (PROVIDER, "{kind: manual, dir: sandbox}", false),
        ("{kind: env-file}", "{kind: env-file, dialect: systemd}", true),
        (
            SERVICES,
            "audit: {here: {kind: file, path: /var/log/handover/audit.jsonl}, log: {kind: syslog}}\nservices:\n",
            true,
        ),
        (SERVICES, "audit: {siem: {kind: webhook, url: \"https://siem.example.com\", secret: {env: S}}}\nservices:\n", true),
        (SERVICES, "audit: {here: {kind: file}}\nservices:\n", false),
        (SERVICES, "audit: {log: {kind: syslog, socket: /dev/log, path: x}}\nservices:\n", false),
        ("{kind: env-file}", "{kind: env-file, dialect: sh}", false),
        ("method: POST", "method: PUT", true),
        ("method: POST", "method: GET", false),
        ("method: POST", "timeout: 1m", true),
        ("method: POST", "timeout: 1 minute", false),
        ("method: POST", "timeout: 60", false),
        ("method: POST", "body: x", false),
        (URL, "HTTPS://mail.example.com", true),
        (URL, "ftp://mail.example.com", false),
        (URL, "mail.example.com/test", false),
        (COMMAND, "{command: [/bin/nc, localhost, 25]}", true),
        (COMMAND, "{command: {argv: [nc], timeout: 1m}}", true),
        (COMMAND, "{command: {argv: [nc], timeout: soon}}", false),
        (COMMAND, "{command: []}", false),
        (COMMAND, "{command: [bin/nc]}", false),
        (COMMAND, "{command: [\"\"]}", false),
        (COMMAND, "{command: [nc, \"\"]}", false),
        (COMMAND, "{command: [nc, [x]]}", false),
        (COMMAND, "{command: {argv: [nc], method: POST}}", false),
        (SERVICES, &format!("{SLACK}}}}}\nservices:\n"), true),
        (SERVICES, &format!("{SLACK}, on: [stuck, page], credentials: [newsletter], timeout: 5s}}}}\nservices:\n"), true),
        (SERVICES, &format!("{SLACK}, on: [stuk]}}}}\nservices:\n"), false),
        (SERVICES, &format!("{SLACK}, on: []}}}}\nservices:\n"), false),
        (SERVICES, &format!("{SLACK}, channel: x}}}}\nservices:\n"), false),
        (SERVICES, "notify: {ops: {kind: slack}}\nservices:\n", false),
        (SERVICES, "notify: {ops: {kind: slakc, url: {file: x}}}\nservices:\n", false),
        (SERVICES, "notify: {p: {kind: pagerduty, routing_key: {env: X}, region: eu}}\nservices:\n", true),
        (SERVICES, "notify: {p: {kind: pagerduty, routing_key: {env: X}, region: mars}}\nservices:\n", false),
        (SERVICES, "notify: {h: {kind: webhook, url: \"https://x.example.com/h\", secret: {env: X}}}\nservices:\n", true),
        (SERVICES, "notify: {h: {kind: webhook, url: \"https://x.example.com/h\"}}\nservices:\n", false),
        (
            SERVICES,
            &format!(
                "notify: {{m: {{kind: email, {SMTP}, username: u, password: {{env: X}}, from: a@example.com, to: [b@example.com]}}}}\nservices:\n"
            ),
            true,
        ),
        (
            SERVICES,
            &format!(
                "notify: {{m: {{kind: email, {SMTP}, username: u, password: {{env: X}}, from: a@example.com, to: [b]}}}}\nservices:\n"
            ),
            false,
        ),
        (SERVICES, "egress: {allow: [10.0.0.0/8, \"::1\"]}\nservices:\n", true),
        (SERVICES, "egress: {allow: []}\nservices:\n", false),
        (SERVICES, "egress: {deny: [10.0.0.0/8]}\nservices:\n", false),
        (NAMED, "{kind: postfix-log, path: /var/log/mail.log}", true),
        (
            NAMED,
            "{kind: dovecot-log, path: a.log, timezone: Europe/Berlin, usernames: [a, b], quiet: 3d, only_way: true}",
            true,
        ),
        (NAMED, "{kind: exim-log, path: a.log, quiet: 3}", false),
        (NAMED, "{kind: exim-log}", false),
        (NAMED, "{kind: exim-log, path: a.log, usernames: []}", false),
        (NAMED, "{kind: ses-events, path: events}", true),
        (NAMED, "{kind: ses-events, path: events, timezone: UTC}", false),
        (NAMED, "{kind: sendgrid-activity, api_key: {file: k}, subuser: shop, retention: 30d}", true),
        (NAMED, "{kind: sendgrid-activity, retention: 30d}", false),
        (NAMED, "{kind: mailgun-events, api_key: {env: K}, region: eu}", true),
        (NAMED, "{kind: mailgun-events, api_key: {env: K}, region: asia}", false),
    ] {
        let by = &match part {
            NAMED => {
                let open = by.strip_suffix('}').expect("a map");
                format!("usage:\n  log: {open}, credentials: [newsletter]}}\ncredentials:\n")
            }
            _ => by.to_owned(),
        };
        let text = with(SOUND, part, by);
        let read = inventory_by(&Registry, &[("a.yaml", &text)]);
        assert_eq!(read.is_ok(), taken, "the loader on {by:?}: {:?}", read.err().map(|p| p.to_string()));
        assert_eq!(schema.is_valid(&tree(&text)), taken, "the schema on {by:?}");
    }
}

#[test]
fn the_types_hold_what_the_file_says() {
    use crate::config::inventory::{Arrival, Criticality, SecretRef, Tls};
    let text =
        with(SOUND, "arrival: none", "arrival: {imap: {host: imap.example.com, username: u, password: {file: imap.txt}}}");
    let text = with(&text, "tls: starttls}", "tls: starttls, ca_file: ca.pem}");
    let inventory = inventory(&[("a.yaml", &text)]).unwrap_or_else(|p| panic!("{p}"));
    let (name, credential) = inventory.credentials.iter().next().unwrap();
    assert_eq!((name.as_str(), credential.account.as_str()), ("newsletter", "newsletter"));
    assert_eq!((credential.smtp.port, credential.smtp.tls), (587, Tls::StartTls));
    assert_eq!(credential.smtp.ca_file, Some("/srv/handover/ca.pem".into()));
    let Arrival::Imap { port: 993, mailbox, password, .. } = &credential.probe.arrival else { panic!("{credential:?}") };
    assert_eq!((mailbox.as_str(), password), ("INBOX", &SecretRef::File("/srv/handover/imap.txt".into())));
    assert_eq!(credential.on_leak.as_deref(), Some("leak"));
    let paths: Vec<&str> = credential.entries.values().map(|e| e.path.as_str()).collect();
    assert_eq!(paths, ["/srv/handover/production.env", "/srv/handover/staging.env"]);
    let rule = &credential.schedule.as_ref().unwrap().rule;
    assert_eq!((rule.name.as_str(), rule.timezone), ("newsletter", chrono_tz::Tz::Europe__Berlin));
    let service = &inventory.services.values().next().unwrap();
    assert_eq!((service.criticality, service.reload.as_ref().unwrap().kind.as_str()), (Criticality::High, "command"));
    assert_eq!(inventory.services_of(name).count(), 2);
}

#[test]
fn a_schedule_holds_what_the_file_says_and_its_schema_agrees() {
    use crate::schedule::{Blackout, CatchUp, InBlackout, Window};
    use handover_rotation::time::Span;
    let schema = jsonschema::validator_for(&inventory_schema(&TestKinds)).unwrap();
    let plain = "timezone: Europe/Berlin}";
    let full = "timezone: Europe/Berlin, jitter: 10m, max_age: 90d, catch_up: skip, in_blackout: skip, min_interval: 1d,
      blackout: [{from: FRI 18:00, to: SAT 06:00}, {from: 08:00, to: 18:00, reason: office hours},
        {from: 2026-12-19 00:00, to: \"2027-01-04 06:00\"}]}";
    let rule = |text: &str| {
        let inventory = inventory(&[("a.yaml", text)]).unwrap_or_else(|p| panic!("{p}"));
        assert!(inventory.warnings.is_empty(), "{}", inventory.warnings);
        inventory.credentials.values().next().unwrap().schedule.as_ref().unwrap().rule.clone()
    };
    let given = rule(&with(SOUND, plain, full));
    assert!(schema.is_valid(&tree(&with(SOUND, plain, full))));
    let spans = |rule: &crate::schedule::Rule| (rule.jitter, rule.max_age, rule.min_interval);
    assert_eq!(spans(&given), (Span::minutes(10), Some(Span::minutes(90 * 1440)), Span::minutes(1440)));
    assert_eq!((given.catch_up, given.in_blackout), (CatchUp::Skip, InBlackout::Skip));
    let texts: Vec<String> = given.blackouts.iter().map(Blackout::to_string).collect();
    let dated = "2026-12-19 00:00 to 2027-01-04 06:00";
    assert_eq!(texts, ["FRI 18:00 to SAT 06:00", "08:00 to 18:00 (office hours)", dated]);
    assert!(matches!(given.blackouts[1].window, Window::Daily(480, 1080)));
    let page = std::fs::read_to_string(shipped("docs/schedules.md")).unwrap();
    let example = page.split("```yaml\n").nth(1).and_then(|t| t.split("```").next()).expect("the page has an example");
    let line = "    schedule: {playbook: scheduled, cron: \"0 3 * * SUN\", timezone: Europe/Berlin}\n";
    let (shown, usual) = (rule(&with(SOUND, line, example)), rule(SOUND));
    assert_eq!((shown.blackouts.len(), shown.catch_up, shown.in_blackout), (2, usual.catch_up, usual.in_blackout));
    assert_eq!(shown.min_interval, usual.min_interval);
    assert_eq!(spans(&usual), (Span(0), None, Span::minutes(60)));
    assert_eq!((usual.catch_up, usual.in_blackout), (CatchUp::Once, InBlackout::Defer));
    for by in [
        "catch_up: twice",
        "in_blackout: wait",
        "jitter: 10",
        "blackout: []",
        "blackout: [{from: 08:00}]",
        "blackout: [{from: 08:00, to: 18:00, way: x}]",
        "blackout: [{from: 8, to: 18:00}]",
        "blackout: {from: 08:00, to: 18:00}",
    ] {
        let text = with(SOUND, plain, &format!("timezone: Europe/Berlin, {by}}}"));
        assert!(!schema.is_valid(&tree(&text)), "the schema lets pass {by:?}");
        assert!(inventory(&[("a.yaml", &text)]).is_err(), "the loader lets pass {by:?}");
    }
}

#[test]
fn every_code_of_this_module_has_an_explain_page_and_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let page = std::fs::read_to_string(root.join("explain/config.md")).unwrap();
    let explained: Vec<&str> = page.lines().filter_map(|l| l.strip_prefix("# ")).filter_map(|l| l.get(..6)).collect();
    let mut used = std::collections::BTreeSet::new();
    let mut shown = String::new();
    let mut folders = vec![root.join("config")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            if path.extension().is_some_and(|e| e == "snap") || path.ends_with("tests/disk.rs") {
                shown.push_str(&text);
            } else if !path.components().any(|c| c.as_os_str() == "tests") {
                let codes = text.match_indices("\"HO0").filter_map(|(at, _)| text.get(at + 1..at + 7));
                // Others tell what came of a secret that the inventory names, which the engine's page explains.
                used.extend(codes.filter(|code| code.starts_with("HO01") || code.starts_with("HO02")).map(str::to_owned));
            }
        }
    }
    assert!(used.len() > 30, "{used:?}");
    assert_eq!(used.iter().map(String::as_str).collect::<Vec<_>>(), explained);
    let unshown: Vec<&String> = used.iter().filter(|code| !shown.contains(code.as_str())).collect();
    assert!(unshown.is_empty(), "no golden text or test for {unshown:?}");
}

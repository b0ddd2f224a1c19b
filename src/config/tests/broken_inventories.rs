//! Broken inventories, each with what a tired person reads about it.

use super::{SOUND, golden, inventory, shipped_playbooks, with};
use crate::config::check_named;

/// Name, the part of the sound inventory that is replaced, and by what.
const BROKEN: &[(&str, &str, &str)] = &[
    // The text.
    ("empty_file", SOUND, "# nothing\n"),
    ("not_a_map", SOUND, "- newsletter\n- invoices\n"),
    ("tab", "  relay: {kind", "\trelay: {kind"),
    ("unclosed_brace", "dir: sandbox}", "dir: sandbox"),
    ("unclosed_quote", "Europe/Berlin}", "\"Europe/Berlin}"),
    ("bad_indentation", "    account: newsletter\n", "   account: newsletter\n"),
    ("missing_space_after_colon", "    account: newsletter\n", "    account:newsletter\n"),
    ("colon_in_text", "    account: newsletter\n", "    account: newsletter: the old one\n"),
    ("two_documents", "stores:\n", "---\nstores:\n"),
    ("anchor_and_alias", "production:\n        store: hosts", "production: &p\n        store: *p"),
    ("alias_in_cron", "cron: \"0 3 * * SUN\"", "cron: */5 * * * *"),
    ("tag", "account: newsletter", "account: !!str 5"),
    ("too_deep", "dir: sandbox}", "dir: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}"),
    ("duplicate_key", "    account: newsletter\n", "    account: newsletter\n    provider: other\n"),
    ("key_is_a_list", "    account: newsletter\n", "    account: newsletter\n    [a, b]: c\n"),
    ("key_is_empty", "    account: newsletter\n", "    account: newsletter\n    ~: c\n"),
    // Keys and types.
    ("version_missing", "version: 1\n", ""),
    ("version_of_the_future", "version: 1", "version: 2"),
    ("version_in_quotes", "version: 1", "version: \"1\""),
    ("unknown_section", "stores:\n", "store:\n"),
    ("misspelt_key", "    account: newsletter\n", "    acount: newsletter\n"),
    ("unknown_key", "    account: newsletter\n", "    account: newsletter\n    colour: blue\n"),
    ("missing_keys", "    provider: relay\n    account: newsletter\n", ""),
    ("credential_is_a_text", "  newsletter:\n    provider: relay", "  other: relay\n  newsletter:\n    provider: relay"),
    ("section_is_a_list", "providers:\n  relay: {kind: sandbox, dir: sandbox}", "providers: [relay]"),
    ("number_for_text", "account: newsletter", "account: 0042"),
    ("value_missing", "account: newsletter", "account:"),
    ("text_is_empty", "account: newsletter", "account: \" \""),
    ("line_break_in_text", "account: newsletter", "account: \"news\\nletter\""),
    ("bad_name", "  newsletter:\n    provider", "  \"news letter\":\n    provider"),
    ("port_out_of_range", "port: 587", "port: 99999"),
    ("port_in_quotes", "port: 587", "port: \"587\""),
    ("port_is_no_number", "port: 587", "port: submission"),
    ("host_with_scheme", "host: smtp.example.com", "host: \"smtp://smtp.example.com\""),
    ("host_with_port", "host: smtp.example.com", "host: \"smtp.example.com:587\""),
    ("no_tls", "tls: starttls", "tls: none"),
    ("misspelt_tls", "tls: starttls", "tls: start-tls"),
    ("bad_address", "from: probe@example.com", "from: Probe <probe@example.com>"),
    ("arrival_unknown", "arrival: none", "arrival: webhook"),
    ("arrival_imap_incomplete", "arrival: none", "arrival: {imap: {host: imap.example.com, user: inbox}}"),
    ("duration_without_unit", "timeout: 30s", "timeout: 30"),
    ("duration_too_long", "timeout: 30s", "timeout: 2h"),
    ("misspelt_choice", "criticality: high", "criticality: hihg"),
    (
        "one_field_for_both",
        "{username: SMTP_USERNAME, password: SMTP_PASSWORD}, env",
        "{username: SMTP_LOGIN, password: SMTP_LOGIN}, env",
    ),
    // Kinds.
    ("unknown_provider_kind", "kind: sandbox", "kind: sandbx"),
    ("provider_kind_left_out", "kind: sandbox", "kind: ses"),
    ("provider_without_kind", "kind: sandbox, ", ""),
    ("unknown_store_kind", "kind: env-file", "kind: vault"),
    ("unknown_provider_option", "dir: sandbox}", "dir: sandbox, shpae: manual}"),
    ("option_missing", ", dir: sandbox}", "}"),
    ("unknown_reload_kind", "{command: [systemctl, restart, web]}\n    attest", "{systemd: web}\n    attest"),
    ("reload_is_a_shell_line", "{command: [systemctl, restart, web]}\n    attest", "systemctl restart web\n    attest"),
    (
        "reload_of_two_kinds",
        "{command: [systemctl, restart, web]}\n    attest",
        "{command: [a], http: {url: \"http://b\"}}\n    attest",
    ),
    ("command_is_a_text", "argv: [systemctl, restart, web]", "argv: systemctl restart web"),
    ("command_is_empty", "{command: [systemctl, restart, web]}", "{command: []}"),
    ("bad_url", "url: \"http://127.0.0.1:8080/test\"", "url: 127.0.0.1:8080/test"),
    // Secrets in the clear.
    ("password_in_the_clear", "dir: sandbox}", "dir: sandbox, password: hunter2hunter2, bogus: 1}"),
    ("password_misspelt", "dir: sandbox}", "dir: sandbox, passwrod: hunter2hunter2}"),
    (
        "password_in_a_block",
        "  relay: {kind: sandbox, dir: sandbox}",
        "  relay:\n    kind: sandbox\n    dir: sandbox\n    api_key: |\n      hunter2hunter2\n      hunter2hunter2",
    ),
    ("password_in_a_broken_file", "dir: sandbox}", "dir: sandbox, password: \"hunter2hunter2}"),
    ("password_in_a_url", "url: \"http://127.0.0.1:8080/test\"", "url: \"http://joe:hunter2hunter2@127.0.0.1:8080/test\""),
    ("password_in_a_command", "argv: [systemctl, restart, web]", "argv: [reload-it, --password=hunter2hunter2]"),
    ("token_in_a_header", "argv: [systemctl, restart, web]", "argv: [curl, -H, \"Authorization: Bearer hunter2hunter2\"]"),
    (
        "password_wrapped",
        "arrival: none",
        "arrival: {imap: {host: a.example.com, username: u, password: {value: hunter2hunter2}}}",
    ),
    (
        "secret_from_elsewhere",
        "arrival: none",
        "arrival: {imap: {host: a.example.com, username: u, password: {vault: hunter2hunter2}}}",
    ),
    // References.
    ("no_such_provider", "provider: relay", "provider: realy"),
    ("no_such_store", "{store: hosts, path: staging", "{store: host, path: staging"),
    ("no_such_credential", "credential: newsletter\n    entry: staging", "credential: newsleter\n    entry: staging"),
    ("no_entry_serves_the_service", "entry: staging\n", "entry: stagin\n"),
    ("wrong_environment", "entry: staging\n    environment: staging", "entry: staging\n    environment: production"),
    (
        "entry_without_reader",
        "    entry: production\n    environment: production",
        "    entry: staging\n    environment: staging",
    ),
    (
        "credential_without_entries",
        "services:\n",
        "  other:\n    provider: relay\n    account: other\n    smtp: {host: smtp.example.com, port: 587, tls: starttls}\n    probe: {from: a@example.com, to: b@example.com, arrival: none}\n    entries: {}\nservices:\n",
    ),
    ("two_entries_one_file", "path: staging.env", "path: ./production.env"),
    (
        "two_credentials_one_account",
        "services:\n",
        "  other:\n    provider: relay\n    account: newsletter\n    smtp: {host: smtp.example.com, port: 587, tls: starttls}\n    probe: {from: a@example.com, to: b@example.com, arrival: none}\n    entries: {main: {store: hosts, path: production.env, fields: {username: U, password: P}, environment: production}}\nservices:\n  other: {credential: other, entry: main, environment: production, reload: {command: [x]}, attest: {http: {url: \"http://x\"}}}\n",
    ),
    ("no_reload", "    reload: {command: [systemctl, restart, web]}\n    attest", "    attest"),
    ("misspelt_store_option", "kind: env-file}", "kind: env-file, dialect: dockr}"),
    (
        "a_persons_word_unchecked",
        "{command: {argv: [systemctl, restart, web], timeout: 30s}}",
        "{manual: {task: have it restarted}}",
    ),
    ("weak_evidence", "    attest: {http: {url: \"http://127.0.0.1:8080/fingerprint\"}}\n", "    colour: blue\n"),
    // Sources of evidence.
    (
        "usage_of_no_such_credential",
        "services:\n",
        "usage:\n  log: {kind: postfix-log, path: mail.log, credentials: [newsleter]}\nservices:\n",
    ),
    ("usage_without_credentials", "services:\n", "usage:\n  log: {kind: postfix-log, path: mail.log}\nservices:\n"),
    (
        "usage_of_an_unknown_kind",
        "services:\n",
        "usage:\n  log: {kind: postfix-logs, path: mail.log, credentials: [newsletter]}\nservices:\n",
    ),
    (
        "usage_with_a_misspelt_option",
        "services:\n",
        "usage:\n  log: {kind: postfix-log, paht: mail.log, credentials: [newsletter]}\nservices:\n",
    ),
    (
        "usage_of_one_credential_as_a_text",
        "services:\n",
        "usage:\n  log: {kind: postfix-log, path: mail.log, credentials: newsletter}\nservices:\n",
    ),
    // Schedules.
    ("cron_with_numeric_weekday", "0 3 * * SUN", "0 3 * * 0"),
    ("cron_with_six_parts", "0 3 * * SUN", "0 0 3 * * SUN"),
    ("cron_nonsense", "0 3 * * SUN", "0 25 * * SUN"),
    ("cron_that_never_comes", "0 3 * * SUN", "0 3 31 2 *"),
    ("cron_day_and_weekday", "0 3 * * SUN", "0 3 13 * FRI"),
    ("unknown_timezone", "Europe/Berlin", "Europe/Berln"),
    (
        "blackout_unreadable",
        "Europe/Berlin}",
        "Europe/Berlin, blackout: [{from: FRI, to: MON 06:00}, {from: 08:00, to: 8pm}]}",
    ),
    ("blackout_of_two_forms", "Europe/Berlin}", "Europe/Berlin, blackout: [{from: 08:00, to: MON 06:00}]}"),
    ("blackout_without_end", "Europe/Berlin}", "Europe/Berlin, blackout: [{from: 00:00, to: 24:00}]}"),
    (
        "blackout_ends_too_soon",
        "Europe/Berlin}",
        "Europe/Berlin, blackout: [{from: 2026-12-20 00:00, to: 2026-12-19 00:00}]}",
    ),
    ("blackout_is_a_map", "Europe/Berlin}", "Europe/Berlin, blackout: {from: FRI 18:00, to: MON 06:00}}"),
    ("blackout_is_empty", "Europe/Berlin}", "Europe/Berlin, blackout: []}"),
    ("blackout_misspelt_key", "Europe/Berlin}", "Europe/Berlin, blackout: [{form: FRI 18:00, to: MON 06:00}]}"),
    (
        "blackout_over_all_times",
        "Europe/Berlin}",
        "Europe/Berlin, in_blackout: skip, blackout: [{from: FRI 18:00, to: MON 06:00}]}",
    ),
    (
        "blackout_over_the_week",
        "Europe/Berlin}",
        "Europe/Berlin, blackout: [{from: 06:00, to: 18:00}, {from: 18:00, to: 06:00}]}",
    ),
    ("schedule_misspelt_choices", "Europe/Berlin}", "Europe/Berlin, catch_up: onse, in_blackout: wait}"),
    ("schedule_spans", "Europe/Berlin}", "Europe/Berlin, jitter: 2d, max_age: 5m, min_interval: 10s}"),
];

#[test]
fn broken_inventories_are_told_in_words_that_help() {
    assert!(inventory(&[("inventory.yaml", SOUND)]).is_ok_and(|i| i.warnings.is_empty()));
    for (name, part, by) in BROKEN {
        let text = with(SOUND, part, by);
        let Err(problems) = inventory(&[("inventory.yaml", &text)]) else { panic!("{name} passes") };
        let shown = problems.render(false);
        assert!(!shown.contains("hunter2"), "{name} shows a secret:\n{shown}");
        golden(&format!("inventory_{name}"), by, &shown);
    }
}

#[test]
fn warnings_do_not_forbid_the_use() {
    let text = with(SOUND, "    attest: {http: {url: \"http://127.0.0.1:8080/fingerprint\"}}\n", "");
    let text = with(&text, "port: 587", "port: 465");
    let text = with(&text, "0 3 * * SUN", "*/15 3 * * SUN");
    let text = with(&text, "stores:\n", "  spare: {kind: sandbox, dir: spare}\nstores:\n");
    let inventory = inventory(&[("inventory.yaml", &text)]).unwrap_or_else(|p| panic!("{p}"));
    golden(
        "inventory_warnings",
        "no attest, port 465 with starttls, times too close, a provider too many",
        &inventory.warnings.render(false),
    );
}

#[test]
fn names_defined_twice_point_at_both_files() {
    let second = "version: 1\nstores:\n  hosts: {kind: env-file}\nservices:\n  web: {credential: newsletter}\n";
    let problems = inventory(&[("inventory/a.yaml", SOUND), ("inventory/b.yaml", second)]).unwrap_err();
    golden("inventory_defined_twice", second, &problems.render(false));
}

#[test]
fn playbooks_that_the_inventory_names_must_exist_and_fit() {
    let playbooks = shipped_playbooks();
    for (name, part, by) in [
        ("no_such_playbook", "playbook: scheduled", "playbook: schedulde"),
        ("leak_without_containment", "on_leak: {playbook: leak}", "on_leak: {playbook: scheduled}"),
        ("scheduled_emergency", "playbook: scheduled", "playbook: emergency"),
    ] {
        let inventory = inventory(&[("inventory.yaml", &with(SOUND, part, by))]).unwrap_or_else(|p| panic!("{p}"));
        golden(&format!("inventory_{name}"), by, &check_named(&inventory, &playbooks).render(false));
    }
    let text = SOUND.replace("staging", "canary");
    let inventory = inventory(&[("inventory.yaml", &text)]).unwrap_or_else(|p| panic!("{p}"));
    golden("inventory_playbook_does_not_fit", "canary for staging", &check_named(&inventory, &playbooks).render(false));
    // Rotated by hand, and no shipped playbook is for production alone.
    let text = text.lines().filter(|l| !l.contains("schedule:") && !l.contains("on_leak:")).collect::<Vec<_>>().join("\n");
    let inventory = super::inventory(&[("inventory.yaml", &text)]).unwrap_or_else(|p| panic!("{p}"));
    let told = check_named(&inventory, &playbooks);
    assert!(!told.has_errors());
    golden("inventory_default_playbook_does_not_fit", "no schedule", &told.render(false));
}

#[test]
fn problems_are_told_to_programs_too() {
    let problems = inventory(&[("inventory.yaml", &with(SOUND, "port: 587", "port: 0"))]).unwrap_err();
    golden("inventory_json", "port: 0", &serde_json::to_string_pretty(&problems).unwrap());
}

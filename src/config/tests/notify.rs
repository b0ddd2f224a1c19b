//! The sections `notify` and `egress`: what is read, and what a tired person reads about what is not.

use super::{SOUND, golden, inventory, with};
use crate::config::notify::NoticeKind;

/// The sound inventory with these sections.
fn with_sections(sections: &str) -> String {
    format!("{}{sections}", with(SOUND, "    criticality: high\n", "    criticality: high\n    owner: web@example.com\n"))
}

#[test]
fn notifiers_are_read_with_what_they_are_told_of() {
    let text = with_sections(
        "notify:
  ops: {kind: hook, secret: {file: hook}, on: [stuck, containment], credentials: [newsletter], owners: [web@example.com]}
  mail: {kind: post, host: mail.example.com, username: handover, password: {env: MAIL}}
egress: {allow: [127.0.0.1, 10.0.0.0/8]}
",
    );
    let second = "version: 1\nnotify:\n  more: {kind: hook, secret: {env: MORE}}\negress: {allow: [\"fd00::/8\"]}\n";
    let inventory = inventory(&[("a.yaml", &text), ("b.yaml", second)]).unwrap_or_else(|p| panic!("{p}"));
    assert!(inventory.warnings.is_empty(), "{}", inventory.warnings);
    assert_eq!(inventory.notify.keys().collect::<Vec<_>>(), ["mail", "more", "ops"]);
    let ops = &inventory.notify["ops"];
    let on: Vec<_> = ops.on.iter().flatten().copied().collect();
    assert_eq!(on, [NoticeKind::Stuck, NoticeKind::Containment]);
    assert_eq!((ops.credentials.len(), ops.owners.len()), (1, 1));
    let keys: Vec<&str> = ops.spec.options.pairs().iter().map(|p| p.key.as_str()).collect();
    assert_eq!(keys, ["secret"], "what is shared is not the kind's");
    assert_eq!(inventory.notify["mail"].on, None);
    for (ip, denied) in [("127.0.0.1", false), ("10.9.9.9", false), ("fd00::1", false), ("127.0.0.2", true), ("::1", true)] {
        assert_eq!(inventory.egress.denies(ip.parse().unwrap()).is_some(), denied, "{ip}");
    }
}

/// Each with its name and its sections.
const BROKEN: &[(&str, &str)] = &[
    ("unknown_kind", "notify:\n  ops: {kind: hok, secret: {file: x}}\n"),
    ("kind_missing", "notify:\n  ops: {secret: {file: x}, on: [stuk]}\n"),
    ("misspelt_topic", "notify:\n  ops: {kind: hook, secret: {file: x}, on: [failures]}\n"),
    ("misspelt_shared_key", "notify:\n  ops: {kind: hook, secret: {file: x}, credential: [newsletter]}\n"),
    ("no_such_credential", "notify:\n  ops: {kind: hook, secret: {file: x}, credentials: [newsleter]}\n"),
    ("no_such_owner", "notify:\n  ops: {kind: hook, secret: {file: x}, owners: [wbe@example.com]}\n"),
    ("secret_in_the_clear", "notify:\n  ops: {kind: hook, secret: hunter2hunter2}\n"),
    ("a_name_with_a_slash", "notify:\n  ops/night: {kind: hook, secret: {file: x}}\n"),
    ("not_a_map", "notify: [ops]\n"),
    ("allowed_by_name", "egress: {allow: [localhost]}\n"),
    ("allowed_with_bits", "egress: {allow: [10.1.2.3/8]}\n"),
    ("allow_misspelt", "egress: {alow: [10.0.0.0/8]}\n"),
    // Mail through what is rotated here: by its login, and by the file that an entry keeps its password in.
    ("own_login", "notify:\n  mail: {kind: post, host: SMTP.example.com., username: newsletter, password: {env: X}}\n"),
    (
        "own_entry",
        "notify:\n  mail: {kind: post, host: other.example.com, username: x, password: {file: ./production.env}}\n",
    ),
];

#[test]
fn broken_sections_are_told_in_words_that_help() {
    let mut told = String::new();
    for (name, sections) in BROKEN {
        let Err(problems) = inventory(&[("inventory.yaml", &with_sections(sections))]) else { panic!("{name} passes") };
        let shown = problems.render(false);
        assert!(!shown.contains("hunter2"), "{name} shows a secret:\n{shown}");
        told.push_str(&format!("--- {name}\n{shown}\n"));
    }
    golden("inventory_notify", "sections that are broken", &told);
}

#[test]
fn a_login_of_the_same_name_elsewhere_is_worth_a_word() {
    let sections = "notify:\n  mail: {kind: post, host: other.example.com, username: newsletter, password: {env: X}}\n";
    let inventory = inventory(&[("inventory.yaml", &with_sections(sections))]).unwrap_or_else(|p| panic!("{p}"));
    golden("inventory_notify_same_name", sections, &inventory.warnings.render(false));
}

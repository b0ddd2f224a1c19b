//! The section `audit`: what is read, and what a tired person reads about what is not.

use super::{SOUND, golden, inventory};

#[test]
fn sinks_are_read_by_name_and_merged() {
    let text = format!("{SOUND}audit:\n  here: {{kind: file, path: audit.jsonl}}\n");
    let second = "version: 1\naudit:\n  siem: {kind: hook, secret: {env: SIEM}}\n";
    let inventory = inventory(&[("a.yaml", &text), ("b.yaml", second)]).unwrap_or_else(|p| panic!("{p}"));
    let kinds: Vec<(&str, &str)> = inventory.audit.iter().map(|(name, spec)| (name.as_str(), spec.kind.as_str())).collect();
    assert_eq!(kinds, [("here", "file"), ("siem", "hook")]);
}

/// Each with its name and its section.
const BROKEN: &[(&str, &str)] = &[
    ("unknown_kind", "audit:\n  here: {kind: fil, path: x}\n"),
    ("kind_missing", "audit:\n  here: {path: x}\n"),
    ("misspelt_key", "audit:\n  here: {kind: file, pth: x}\n"),
    ("secret_in_the_clear", "audit:\n  siem: {kind: hook, secret: hunter2hunter2}\n"),
    ("a_name_with_a_slash", "audit:\n  a/b: {kind: file, path: x}\n"),
    ("not_a_map", "audit: [here]\n"),
    ("misspelt_section", "audits:\n  here: {kind: file, path: x}\n"),
];

#[test]
fn broken_sections_are_told_in_words_that_help() {
    let mut told = String::new();
    for (name, section) in BROKEN {
        let Err(problems) = inventory(&[("inventory.yaml", &format!("{SOUND}{section}"))]) else { panic!("{name} passes") };
        let shown = problems.render(false);
        assert!(!shown.contains("hunter2"), "{name} shows a secret:\n{shown}");
        told.push_str(&format!("--- {name}\n{shown}\n"));
    }
    golden("inventory_audit", "sections that are broken", &told);
}

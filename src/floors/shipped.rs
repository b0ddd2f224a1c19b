//! What is shipped is sound: inventories and playbooks by the kinds of this build, and the papers by what they promise.

use super::{read, root};
use crate::config::{check_named, load_inventory, load_playbooks};
use crate::registry::Registry;

#[test]
fn shipped_files_pass_check_alone_and_together() {
    let playbooks = load_playbooks(&root().join("playbooks")).unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(playbooks.keys().collect::<Vec<_>>(), ["drill", "emergency", "leak", "scheduled"]);
    for name in ["inventory", "inventory/example.yaml", "inventory/sandbox.yaml"] {
        let inventory = load_inventory(&root().join(name), &Registry).unwrap_or_else(|p| panic!("{name}: {p}"));
        assert!(inventory.warnings.is_empty(), "{name}: {}", inventory.warnings);
        let named = check_named(&inventory, &playbooks);
        assert!(named.is_empty(), "{name}: {named}");
    }
}

/// The commands of the only fenced block of a section.
fn command(section: &str) -> String {
    let readme = read("README.md");
    let text = readme.split(&format!("\n## {section}\n")).nth(1).and_then(|rest| rest.split("\n## ").next());
    let text = text.unwrap_or_else(|| panic!("README.md has no section {section}"));
    let blocks: Vec<&str> = text.split("```").skip(1).step_by(2).collect();
    let [block] = blocks.as_slice() else { panic!("section {section} has {} fenced blocks", blocks.len()) };
    let lines: Vec<&str> = block.lines().skip(1).filter(|l| !l.trim().is_empty()).collect();
    assert_eq!(lines.len(), 1, "section {section} has more than one command: {lines:?}");
    lines[0].to_owned()
}

#[test]
fn the_newcomer_needs_two_commands() {
    assert_eq!(command("Quick start"), "cargo run --locked -- rotate newsletter --sandbox");
    let tests = command("Tests");
    assert!(root().join(&tests).is_file(), "{tests} is not a file");
    assert!(read(".ci/run").lines().any(|l| l.trim_end() == format!("exec {tests}")), ".ci/run does not call {tests}");
}

#[test]
fn the_papers_name_files_that_exist() {
    for paper in ["README.md", "ARCHITECTURE.md", "SECURITY.md", "CONTRIBUTING.md"] {
        let text = read(paper);
        let mut seen = 0;
        for word in text.split('`').skip(1).step_by(2) {
            let path = word.trim_end_matches('/');
            let looks = ["src/", "tests/", "benches/", "playbooks/", "inventory/", "scripts/", ".ci/", ".config/"];
            if looks.iter().any(|l| path.starts_with(l)) && !path.contains(['*', '<', '{', ' ']) {
                seen += 1;
                assert!(root().join(path).exists(), "{paper} names {word}, which is not there");
            }
        }
        assert!(seen > 0, "{paper} names no file");
    }
}

#[test]
fn the_inventory_in_the_readme_passes_check() {
    let readme = read("README.md");
    let text = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("inventory.yaml");
    std::fs::write(&file, text).expect("writes");
    let inventory = load_inventory(&file, &Registry).unwrap_or_else(|p| panic!("{p}"));
    assert!(inventory.warnings.is_empty(), "{}", inventory.warnings);
}

/// The names of functions, which is what the tests of a table are cited by.
fn functions() -> Vec<String> {
    let texts = ["src", "tests"].into_iter().flat_map(|folder| super::scan::files(&root().join(folder)));
    let mut names = Vec::new();
    for (_, text) in texts {
        for (at, _) in text.match_indices("fn ") {
            names.push(text[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    names
}

/// What stands in code marks.
fn names(column: &str) -> impl Iterator<Item = &str> {
    column.split('`').skip(1).step_by(2)
}

#[test]
fn every_rule_has_its_row_and_every_row_names_tests_that_exist() {
    let text = read("ARCHITECTURE.md");
    let rows: Vec<Vec<&str>> =
        text.lines().filter(|l| l.starts_with("| ")).map(|l| l.trim_matches('|').split('|').collect()).collect();
    let rules = [("S", 31), ("IP", 7), ("L", 9), ("P", 12)];
    let expected: Vec<String> = rules.iter().flat_map(|(name, n)| (1..=*n).map(move |i| format!("{name}{i}"))).collect();
    let found: Vec<&str> = rows.iter().filter_map(|r| r[0].split_whitespace().next()).filter(|w| *w != "rule").collect();
    assert_eq!(found, expected);
    let functions = functions();
    let breaks = read("src/rotation/mutant.rs") + &read("src/mutant.rs");
    let (mut cited, mut broken) = (0, 0);
    for row in rows {
        let [_, _, tests, notices] = row[..] else { panic!("{} has {} columns", row[0].trim(), row.len()) };
        for name in names(notices) {
            broken += 1;
            assert!(
                breaks.contains(&format!("    {name},\n")),
                "{} names the break {name}, which is not there",
                row[0].trim()
            );
        }
        let tests = names(tests).filter(|w| w.matches('_').count() > 1);
        for test in tests.filter(|t| !t.contains('/')) {
            cited += 1;
            assert!(functions.iter().any(|f| f == test), "{} names the test {test}, which is not there", row[0].trim());
        }
    }
    assert!(cited > 20, "only {cited} tests are cited");
    assert!(broken > 40, "only {broken} breaks are named");
}

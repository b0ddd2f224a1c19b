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

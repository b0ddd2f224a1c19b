//! The pages of the kinds: each kind has one, and what it shows as an inventory is one.

use super::root;
use crate::config::kinds::{Kinds, Role};
use crate::config::load_inventory;
use crate::registry::Registry;

/// The whole inventories that a page shows.
fn inventories(page: &str) -> Vec<&str> {
    let shown = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    shown.filter(|example| example.starts_with("version: 1")).collect()
}

#[test]
fn the_inventories_on_the_pages_of_kinds_pass_check() {
    let pages = std::fs::read_dir(root().join("docs/kinds")).into_iter().flatten().map(|e| e.expect("lists").path());
    let mut seen = 0;
    for page in pages {
        let text = std::fs::read_to_string(&page).expect("text");
        for example in inventories(&text) {
            let folder = tempfile::tempdir().expect("a folder");
            let file = folder.path().join("inventory.yaml");
            std::fs::write(&file, example).expect("writes");
            let inventory = load_inventory(&file, &Registry).unwrap_or_else(|p| panic!("{}: {p}", page.display()));
            assert!(inventory.warnings.is_empty(), "{}: {}", page.display(), inventory.warnings);
            seen += 1;
        }
    }
    assert!(seen > 5, "only {seen} were seen");
}

#[test]
fn the_page_of_alerts_has_a_section_and_an_example_of_each_kind_and_format() {
    let page = std::fs::read_to_string(root().join("docs/alerts.md")).expect("the page");
    let examples = inventories(&page);
    for example in &examples {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("inventory.yaml");
        std::fs::write(&file, example).expect("writes");
        let inventory = load_inventory(&file, &Registry).unwrap_or_else(|p| panic!("{p}"));
        assert!(inventory.warnings.is_empty(), "{}", inventory.warnings);
    }
    for kind in Registry.names(Role::Alert) {
        assert!(examples.iter().any(|example| example.contains(&format!("kind: {kind}"))), "no example of {kind}");
        let section = page.split(&format!("\n## `{kind}`\n")).nth(1).and_then(|rest| rest.split("\n## ").next());
        let section = section.unwrap_or_else(|| panic!("no section {kind}"));
        assert!(section.contains("**Set up.**") && section.contains("**What it can tell.**"), "{kind}");
    }
    for format in crate::alerts::files::Format::names().filter(|name| *name != "auto") {
        assert!(page.contains(&format!("| `{format}` |")), "no row of {format}");
    }
}

#[test]
fn the_page_of_usage_has_every_kind_and_an_inventory_that_passes_check() {
    let text = std::fs::read_to_string(root().join("docs/usage.md")).expect("text");
    let examples = inventories(&text);
    assert_eq!(examples.len(), 1);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("inventory.yaml");
    std::fs::write(&file, examples[0]).expect("writes");
    let inventory = load_inventory(&file, &Registry).unwrap_or_else(|p| panic!("{p}"));
    assert!(inventory.warnings.is_empty(), "{}", inventory.warnings);
    for kind in Registry.names(Role::Usage) {
        assert!(text.contains(&format!("| `{kind}` |")), "{kind} has no row");
        assert!(text.contains(&format!("**`{kind}`.**")), "{kind} has no paragraph");
        assert!(text.contains(&format!("kind: {kind}")), "{kind} has no example");
    }
}

#[test]
fn the_page_of_notifiers_has_a_section_and_an_example_of_each_kind() {
    let page = std::fs::read_to_string(root().join("docs/notify.md")).expect("the page");
    let examples = inventories(&page);
    for example in &examples {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("inventory.yaml");
        std::fs::write(&file, example).expect("writes");
        let inventory = load_inventory(&file, &Registry).unwrap_or_else(|p| panic!("{p}"));
        assert!(inventory.warnings.is_empty(), "{}", inventory.warnings);
    }
    for kind in Registry.names(Role::Notifier) {
        assert!(examples.iter().any(|example| example.contains(&format!("kind: {kind}"))), "no example of {kind}");
        assert!(page.contains(&format!("## `{kind}`")), "no section {kind}");
    }
    for notice in crate::notify::NoticeKind::ALL {
        assert!(page.contains(&format!("| `{}` |", notice.word())), "no row of {}", notice.word());
    }
}

#[test]
fn the_page_of_audit_sinks_has_a_section_and_an_example_of_each_kind() {
    let page = std::fs::read_to_string(root().join("docs/audit.md")).expect("the page");
    let examples = inventories(&page);
    for example in &examples {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("inventory.yaml");
        std::fs::write(&file, example).expect("writes");
        let inventory = load_inventory(&file, &Registry).unwrap_or_else(|p| panic!("{p}"));
        assert!(inventory.warnings.is_empty(), "{}", inventory.warnings);
    }
    for kind in Registry.names(Role::Audit) {
        assert!(examples.iter().any(|example| example.contains(&format!("kind: {kind}"))), "no example of {kind}");
        assert!(page.contains(&format!("## `{kind}`")), "no section {kind}");
    }
}

#[test]
fn every_kind_of_provider_and_store_has_a_page_with_an_example() {
    for role in [Role::Provider, Role::Store] {
        // The sandbox has a command that makes its inventory.
        for kind in Registry.names(role).into_iter().filter(|kind| *kind != "sandbox") {
            // A kind of both has two.
            let own = root().join(format!("docs/kinds/{kind}-provider.md"));
            let page = match role == Role::Provider && own.exists() {
                true => own,
                false => root().join(format!("docs/kinds/{kind}.md")),
            };
            let text = std::fs::read_to_string(&page).unwrap_or_default();
            let shown = inventories(&text).iter().any(|example| example.contains(&format!("kind: {kind}")));
            assert!(shown, "{} has no example", page.display());
            for section in ["## What it guarantees", "## Limits"] {
                assert!(text.contains(section), "{} has no section {section}", page.display());
            }
        }
    }
}

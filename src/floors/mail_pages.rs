//! The pages of the kinds that keep their own mail server's logins: each has an example that passes `check`.

use super::read;
use crate::config::load_inventory;
use crate::registry::Registry;

#[test]
fn the_examples_of_the_mail_servers_pages_pass_check() {
    for kind in [
        "dovecot",
        #[cfg(feature = "ldap")]
        "ldap",
    ] {
        let page = read(&format!("docs/kinds/{kind}.md"));
        let example = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
        let example = example.unwrap_or_else(|| panic!("docs/kinds/{kind}.md has no example"));
        assert!(example.contains(&format!("kind: {kind}")), "the example of {kind} does not use it");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("inventory.yaml");
        std::fs::write(&file, example).expect("writes");
        let inventory = load_inventory(&file, &Registry).unwrap_or_else(|p| panic!("docs/kinds/{kind}.md: {p}"));
        assert!(inventory.warnings.is_empty(), "docs/kinds/{kind}.md: {}", inventory.warnings);
        for section in ["## Options", "## Permissions", "## What it guarantees", "## Limits"] {
            assert!(page.contains(section), "docs/kinds/{kind}.md has no section {section}");
        }
    }
}

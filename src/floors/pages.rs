//! The pages of the kinds: what they show as an inventory is one.

use super::{root, scan};
use crate::config::load_inventory;
use crate::registry::Registry;

#[test]
fn the_inventories_on_the_pages_of_kinds_pass_check() {
    let pages = std::fs::read_dir(root().join("docs/kinds")).into_iter().flatten().map(|e| e.expect("lists").path());
    for page in pages {
        let text = std::fs::read_to_string(&page).expect("text");
        let shown = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
        for example in shown.filter(|example| example.starts_with("version: 1")) {
            let folder = tempfile::tempdir().expect("a folder");
            let file = folder.path().join("inventory.yaml");
            std::fs::write(&file, example).expect("writes");
            let inventory = load_inventory(&file, &Registry).unwrap_or_else(|p| panic!("{}: {p}", page.display()));
            assert!(inventory.warnings.is_empty(), "{}: {}", page.display(), inventory.warnings);
        }
    }
}

/// Every kind that talks to a vendor has a page with an example.
#[test]
fn every_vendors_kind_has_a_page() {
    for (path, text) in scan::files(&root().join("src/providers")) {
        let Some(kind) = path.strip_suffix(".rs").filter(|_| text.contains("use super::rest::")) else { continue };
        // One that is a kind of store as well has two.
        let pages =
            [format!("docs/kinds/{kind}-provider.md"), format!("docs/kinds/{kind}.md")].map(|page| root().join(page));
        let page = pages.iter().find(|page| page.exists()).unwrap_or(&pages[1]);
        let shown = std::fs::read_to_string(page).unwrap_or_default();
        assert!(shown.contains("```yaml\nversion: 1"), "{} has no example", page.display());
    }
}

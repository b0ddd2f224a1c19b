//! Playbooks: any text is a sound playbook or a list of problems that name their places, and a secret in the clear is never
//! shown. A sound one goes through JSON, as journals keep it, and comes back.

use handover_rotation::playbook::Playbook;

use super::problems::{assert_hidden, check, planted};
use crate::config::doors::playbook;

/// Runs one input: the text of a file.
pub(super) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match playbook(text) {
        Ok(playbook) => {
            assert!(playbook.check_order(&[]).is_empty(), "it is out of order");
            let json = serde_json::to_string(&playbook).unwrap_or_default();
            assert_eq!(serde_json::from_str::<Playbook>(&json).ok().as_ref(), Some(&playbook), "{json}");
        }
        Err(problems) => check(text, &problems),
    }
    let text = planted(text);
    if let Err(problems) = playbook(&text) {
        assert_hidden(&text, &problems);
    }
}

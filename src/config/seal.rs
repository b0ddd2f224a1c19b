//! Reads the file that says where the sealing key is kept: `version: 1` and one source under `seal`. Which sources there are is
//! for the caller to know.

use std::path::Path;

use super::diagnostic::Problems;
use super::fields::Fields;
use super::load::version;
use super::node::Node;
use super::{files, source::Place};

/// Loads the file at `path`; `read` reads the map `seal`.
///
/// # Errors
/// All problems of the file.
pub fn load_seal<T>(path: &Path, read: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> Result<T, Problems> {
    let mut problems = Problems::default();
    let node = files::read(path, &mut problems);
    build(node.as_ref(), read, problems)
}

fn build<T>(
    node: Option<&Node>,
    read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
    mut problems: Problems,
) -> Result<T, Problems> {
    let mut value = None;
    let mut at: Option<Place> = None;
    if let Some(node) = node {
        let mut fields = Fields::new(node, "the file of the sealing key");
        version(&mut fields);
        value = fields.required_map("seal", read);
        at = Some(fields.place().clone());
        problems.extend(fields.finish());
    }
    problems.sort();
    match value {
        Some(value) if !problems.has_errors() => Ok(value),
        _ => {
            if !problems.has_errors()
                && let Some(at) = at
            {
                let problem = super::Problem::error("HO0113", &at, "`seal` cannot be read");
                problems.push(problem.hint("see docs/sealing.md"));
            }
            Err(problems)
        }
    }
}

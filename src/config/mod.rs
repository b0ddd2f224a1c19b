//! Configuration: YAML files to checked types, with line and column for every problem.
//!
//! ```text
//! text → node (tree with places) → fields (typed reading) → load / playbooks (types) → references (cross-checks)
//! ```
//!
//! Every problem of every file is collected before anything is said: `diagnostic` holds and draws them. This module knows
//! kinds only through the trait `Kinds`, never an adapter.

mod credential;
pub mod diagnostic;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod doors;
pub mod duration;
mod egress;
pub mod fields;
mod files;
pub mod hook;
pub mod inventory;
pub mod kinds;
pub mod load;
pub mod node;
pub mod notify;
pub mod playbooks;
mod references;
mod schedule;
pub mod schema;
pub mod seal;
mod secrets;
mod service;
pub mod source;
pub mod suggest;
mod syntax;
mod usage;

pub use credential::{mail_address, smtp_server};
pub use diagnostic::{Problem, Problems, Severity};
pub use fields::Fields;
pub use files::digest;
pub use kinds::{Kinds, Role};
pub use load::load_inventory;
pub use node::{Node, Pair, Value};
pub use playbooks::{check_credential, check_named, load_playbooks};
pub use schema::{inventory_schema, playbook_schema};
pub use source::{Place, Source};

#[cfg(test)]
mod tests;

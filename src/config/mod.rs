//! Configuration: YAML files to checked types, with line and column for every problem.
//!
//! ```text
//! text → node (tree with places) → fields (typed reading) → load / playbooks (types) → references (cross-checks)
//! ```
//!
//! Every problem of every file is collected before anything is said: `diagnostic` holds and draws them. This module knows
//! kinds only through the trait `Kinds`, never an adapter.

pub mod diagnostic;
pub mod duration;
pub mod fields;
pub mod inventory;
pub mod node;
mod secrets;
pub mod source;
pub mod suggest;
mod syntax;

pub use diagnostic::{Problem, Problems, Severity};
pub use fields::Fields;
pub use node::{Node, Pair, Value};
pub use source::{Place, Source};

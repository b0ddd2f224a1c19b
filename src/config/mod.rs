//! Configuration: YAML files to checked types, with line and column for every problem.

pub mod inventory;
pub mod node;

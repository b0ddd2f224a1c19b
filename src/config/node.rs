//! YAML as a tree of values that know where they stand, so that every problem of a file can be reported at once.

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node;

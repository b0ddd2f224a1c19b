//! The fuzz targets: each takes bytes, feeds them to one reader of untrusted things, and asserts what must hold whatever
//! they are. `fuzz/` runs them under libFuzzer, and `replay` runs the committed corpora with the other tests. Not part of
//! the product: built for tests, and with the feature `fuzzing`.

mod escaping;

/// A target: panics where a property does not hold.
pub type Target = fn(&[u8]);

/// The targets by name.
pub const TARGETS: &[(&str, Target)] = &[("escaping", escaping::run)];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}

#![no_main]
//! One program for all targets: HANDOVER_FUZZ_TARGET says which. The targets themselves are in src/fuzzing/ of the product.

use std::sync::OnceLock;

use handover::fuzzing::{Target, target};
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<Target> = OnceLock::new();

fn chosen() -> Target {
    let name = std::env::var("HANDOVER_FUZZ_TARGET").unwrap_or_default();
    target(&name).unwrap_or_else(|| panic!("HANDOVER_FUZZ_TARGET=`{name}` is no target"))
}

fuzz_target!(|data: &[u8]| {
    TARGET.get_or_init(chosen)(data);
});

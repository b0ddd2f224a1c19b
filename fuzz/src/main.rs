#![no_main]
//! One program for all targets: `HANDOVER_FUZZ_TARGET` says which. The targets are in `src/fuzzing/` of the product, so that its
//! tests can replay them; here is only what libFuzzer needs. It must not hold a property of its own.

use std::sync::OnceLock;

use handover::fuzzing::{TARGETS, Target, target};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fn chosen() -> Target {
    static TARGET: OnceLock<Target> = OnceLock::new();
    *TARGET.get_or_init(|| {
        let name = std::env::var("HANDOVER_FUZZ_TARGET").unwrap_or_default();
        target(&name).unwrap_or_else(|| {
            let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
            panic!("HANDOVER_FUZZ_TARGET is `{name}`, and must be one of {}", names.join(", "))
        })
    })
}

fuzz_target!(|data: &[u8]| chosen()(data));

// Most inputs are lines, and what is wrong with files, replies and journals is often the order or the number of their lines:
// every third change is one of lines, the others are libFuzzer's own.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    if seed.is_multiple_of(3)
        && let Some(changed) = lines(&data[..size], seed / 3).filter(|c| c.len() <= max_size)
    {
        data[..changed.len()].copy_from_slice(&changed);
        return changed.len();
    }
    fuzzer_mutate(data, size, max_size)
});

/// The text with a line dropped, doubled, exchanged with another one, or cut off after it.
fn lines(text: &[u8], seed: u32) -> Option<Vec<u8>> {
    let mut lines: Vec<&[u8]> = text.split_inclusive(|b| *b == b'\n').collect();
    if lines.len() < 2 {
        return None;
    }
    let pick = |shift: u32| (seed.rotate_right(shift) as usize) % lines.len();
    let (one, other) = (pick(5), pick(17));
    match seed % 5 {
        0 => drop(lines.remove(one)),
        1 => lines.insert(other, lines[one]),
        2 => lines.swap(one, other),
        3 => lines.truncate(one + 1),
        _ => {
            let moved = lines.remove(one);
            lines.insert(other.min(lines.len()), moved);
        }
    }
    Some(lines.concat())
}

//! Sealed blobs: nothing opens but what was sealed, and only in its place (safety.md S24).
//!
//! An input is a list of changes to a genuine blob, three bytes each: what to do, where, with what. It is also tried as a blob
//! by itself.

use std::sync::OnceLock;

use handover_rotation::name::RotationId;

use crate::journal::Sealer;
use crate::secret::Secret;

const SECRET: &str = "correct-horse-battery";
const SLOT: &str = "slot-1";

struct Genuine {
    sealer: Sealer,
    elsewhere: Sealer,
    rotation: RotationId,
    blob: Vec<u8>,
}

/// Runs one input.
pub(super) fn run(data: &[u8]) {
    static GENUINE: OnceLock<Genuine> = OnceLock::new();
    let genuine = GENUINE.get_or_init(prepare);
    refused(genuine, data);
    let changed = change(&genuine.blob, data);
    if changed == genuine.blob {
        let opened = genuine.sealer.open(&genuine.rotation, SLOT, &changed);
        assert_eq!(opened.ok().map(|s| s.expose().to_owned()).as_deref(), Some(SECRET));
    } else {
        refused(genuine, &changed);
    }
    // The genuine one opens in no other slot, rotation or journal.
    let name = String::from_utf8_lossy(data);
    if name != SLOT {
        assert!(genuine.sealer.open(&genuine.rotation, &name, &genuine.blob).is_err(), "it opens as {name:?}");
    }
    if let Ok(other) = RotationId::new(name.clone())
        && other != genuine.rotation
    {
        assert!(genuine.sealer.open(&other, SLOT, &genuine.blob).is_err(), "it opens for {other}");
    }
    assert!(genuine.elsewhere.open(&genuine.rotation, SLOT, &genuine.blob).is_err(), "it opens in another journal");
}

fn refused(genuine: &Genuine, blob: &[u8]) {
    match genuine.sealer.open(&genuine.rotation, SLOT, blob) {
        Ok(_) => assert_eq!(blob, genuine.blob, "a blob opens that was never sealed"),
        Err(error) => {
            assert_eq!(error.code, "HO0321");
            assert!(error.halts(), "what does not open is no reason to go on");
            assert!(!format!("{error} {error:?}").contains(SECRET));
        }
    }
}

fn change(blob: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut blob = blob.to_vec();
    for step in changes.chunks_exact(3) {
        let at = usize::from(step[1]) % blob.len().max(1);
        match step[0] % 5 {
            0 if !blob.is_empty() => blob[at] ^= step[2],
            1 => blob.truncate(at),
            2 => blob.insert(at, step[2]),
            3 if !blob.is_empty() => drop(blob.remove(at)),
            _ => blob.rotate_left(at),
        }
    }
    blob
}

/// A random key for this process, in a file that is gone when this returns: with one that stays the same, what one run has seen
/// sealed would be genuine in the next.
#[expect(clippy::expect_used, reason = "a fuzz target cannot go on without its key")]
fn prepare() -> Genuine {
    let path = std::env::temp_dir().join(format!("handover-fuzz-key-{}", std::process::id()));
    let sealer = Sealer::from_file_or_new(&path, "fuzzed").expect("makes a key");
    let elsewhere = Sealer::from_file(&path, "elsewhere").expect("opens the key");
    std::fs::remove_file(&path).expect("removes the key");
    let rotation = RotationId::new("R1").expect("an id");
    let blob = sealer.seal(&rotation, SLOT, &Secret::new(SECRET.to_owned())).expect("seals");
    Genuine { sealer, elsewhere, rotation, blob }
}

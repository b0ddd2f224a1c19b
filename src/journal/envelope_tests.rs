//! The envelope: whatever is killed, missing, changed or down, the key that seals is the same or nothing opens, and none is made anew.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use handover_rotation::name::RotationId;
use handover_rotation::outcome::FaultClass;
use tempfile::TempDir;

use super::*;
use crate::journal::{Options, SqliteJournal};
use crate::secret::Secret;

/// A server in memory: it remembers what it wrapped for which journal, and has a key with versions.
#[derive(Default)]
struct Memory {
    name: &'static str,
    down: AtomicBool,
    version: AtomicUsize,
    made: Mutex<BTreeMap<String, (String, Key)>>,
}

impl Memory {
    fn new(name: &'static str) -> Self {
        Self { name, version: AtomicUsize::new(1), ..Self::default() }
    }

    fn keep(&self, instance: &str, key: &Key) -> Result<Wrapped, Fault> {
        if self.down.load(Ordering::SeqCst) {
            return Err(Fault::new(FaultClass::Temporary, "HO0395", "memory: no connection").hint("is it up?"));
        }
        let version = self.version.load(Ordering::SeqCst);
        let mut made = self.made.lock().unwrap();
        let text = format!("v{version}:{}", made.len());
        made.insert(text.clone(), (instance.to_owned(), key.clone()));
        Ok(Wrapped { text, version: Some(version as u64) })
    }
}

#[async_trait]
impl KeySource for Memory {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn id(&self) -> String {
        self.name.to_owned()
    }

    fn strength(&self) -> String {
        String::new()
    }

    async fn make(&self, instance: &str) -> Result<(Key, Wrapped), Fault> {
        let mut key = Key::default();
        rand::fill(key.as_mut_slice()).unwrap();
        let wrapped = self.keep(instance, &key)?;
        Ok((key, wrapped))
    }

    async fn unwrap(&self, instance: &str, text: &str) -> Result<Key, Fault> {
        if self.down.load(Ordering::SeqCst) {
            return Err(Fault::new(FaultClass::Temporary, "HO0395", "memory: no connection"));
        }
        let refuse = || Fault::new(FaultClass::Permanent, "HO0395", "memory: refused");
        let made = self.made.lock().unwrap();
        let (of, key) = made.get(text).ok_or_else(refuse)?;
        if of == instance { Ok(key.clone()) } else { Err(refuse()) }
    }

    async fn rewrap(&self, instance: &str, text: &str) -> Result<Option<Wrapped>, Fault> {
        let key = self.unwrap(instance, text).await?;
        self.keep(instance, &key).map(Some)
    }
}

struct World {
    dir: TempDir,
    journal: SqliteJournal,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let journal = SqliteJournal::open(Options::new(dir.path())).unwrap();
        Self { dir, journal }
    }

    async fn open(&self, source: Option<&dyn KeySource>) -> Result<Sealer, JournalError> {
        open_seal(&self.journal, self.dir.path(), source).await
    }

    async fn refused(&self, source: Option<&dyn KeySource>) -> JournalError {
        self.open(source).await.err().expect("it is refused")
    }

    /// What concerns the key in the folder, with its bytes.
    fn keys(&self) -> BTreeMap<String, Vec<u8>> {
        let names = fs::read_dir(self.dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let ours = names.filter(|n| n.starts_with("seal"));
        ours.map(|n| (n.clone(), fs::read(self.dir.path().join(n)).unwrap())).collect()
    }

    fn names(&self) -> Vec<String> {
        self.keys().into_keys().filter(|n| !n.starts_with(super::super::envelope_file::TEMPORARY)).collect()
    }
}

fn id() -> RotationId {
    RotationId::new("r1").unwrap()
}

fn seal(sealer: &Sealer) -> Vec<u8> {
    sealer.seal(&id(), "new", &Secret::new("of-the-mail".to_owned())).unwrap()
}

fn opens(sealer: &Sealer, blob: &[u8]) -> bool {
    sealer.open(&id(), "new", blob).is_ok_and(|s| s.expose() == "of-the-mail")
}

const GO: Passing<'static> = &|_| Ok(());

#[tokio::test]
async fn a_new_journal_takes_the_source_that_is_named_and_keeps_no_key_in_the_clear() {
    let (world, memory) = (World::new(), Memory::new("m"));
    let first = world.open(Some(&memory)).await.unwrap();
    let blob = seal(&first);
    assert_eq!(world.names(), ["seal.json"]);
    let mode = fs::metadata(world.dir.path().join("seal.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = world.open(Some(&memory)).await.unwrap();
    assert_eq!(first.mark(), again.mark());
    assert!(opens(&again, &blob));
    assert_eq!(
        wrapped_by(world.dir.path()).unwrap(),
        Some(WrappedBy { kind: "memory".to_owned(), id: "m".to_owned(), version: Some(1) })
    );
    // Neither another source nor none is taken for it.
    for source in [None, Some(&Memory::new("other") as &dyn KeySource)] {
        assert_eq!(world.refused(source).await.code, "HO0391");
    }
}

#[tokio::test]
async fn a_source_that_is_down_refuses_and_changes_nothing() {
    let (world, memory) = (World::new(), Memory::new("m"));
    memory.down.store(true, Ordering::SeqCst);
    let error = world.refused(Some(&memory)).await;
    assert_eq!((&error.kind, error.code), (&Kind::Source { class: FaultClass::Temporary }, "HO0392"));
    assert!(error.halts() && error.fault().class == FaultClass::Temporary);
    assert_eq!(world.keys(), BTreeMap::new());
    memory.down.store(false, Ordering::SeqCst);
    world.open(Some(&memory)).await.unwrap();
    let before = world.keys();
    memory.down.store(true, Ordering::SeqCst);
    assert_eq!(world.refused(Some(&memory)).await.code, "HO0392");
    let rotated = rotate_seal(&world.journal, world.dir.path(), Some(&memory), GO).await;
    assert_eq!(rotated.unwrap_err().code, "HO0392");
    let moved = migrate_seal(&world.journal, world.dir.path(), Some(&memory), None, GO).await;
    assert_eq!(moved.unwrap_err().code, "HO0392");
    assert_eq!(world.keys(), before);
}

#[tokio::test]
async fn no_key_is_made_for_a_journal_that_has_one() {
    let (world, memory) = (World::new(), Memory::new("m"));
    world.open(None).await.unwrap();
    assert_eq!(world.refused(Some(&memory)).await.code, "HO0391", "it has a key file");
    fs::remove_file(world.dir.path().join("seal.key")).unwrap();
    assert_eq!(world.refused(Some(&memory)).await.code, "HO0390", "it had one");
    assert_eq!(world.refused(None).await.code, "HO0319");
    assert!(world.keys().is_empty() && memory.made.lock().unwrap().is_empty());

    let world = World::new();
    world.open(Some(&memory)).await.unwrap();
    fs::remove_file(world.dir.path().join("seal.json")).unwrap();
    assert_eq!(world.refused(Some(&memory)).await.code, "HO0390");
    assert_eq!(world.refused(None).await.code, "HO0319");
    let rotated = rotate_seal(&world.journal, world.dir.path(), Some(&memory), GO).await;
    assert_eq!(rotated.unwrap_err().code, "HO0390");
    assert!(world.keys().is_empty());
}

#[tokio::test]
async fn there_is_nothing_to_wrap_before_the_first_rotation() {
    let (world, memory) = (World::new(), Memory::new("m"));
    for source in [None, Some(&memory as &dyn KeySource)] {
        let rotated = rotate_seal(&world.journal, world.dir.path(), source, GO).await;
        assert_eq!(rotated.unwrap_err().code, "HO0394");
    }
    assert!(world.keys().is_empty());
}

#[tokio::test]
async fn what_was_changed_or_is_of_another_journal_does_not_open() {
    let (one, two, memory) = (World::new(), World::new(), Memory::new("m"));
    one.open(Some(&memory)).await.unwrap();
    two.open(Some(&memory)).await.unwrap();
    let path = one.dir.path().join("seal.json");
    let own = fs::read_to_string(&path).unwrap();
    let others = fs::read_to_string(two.dir.path().join("seal.json")).unwrap();
    let record: Record = serde_json::from_str(&own).unwrap();
    let other: Record = serde_json::from_str(&others).unwrap();
    let text = |record: &Record| serde_json::to_string(record).unwrap();
    let mut flipped = record.data_key.clone().into_bytes();
    flipped[40] = if flipped[40] == b'0' { b'1' } else { b'0' };
    let flipped = String::from_utf8(flipped).unwrap();
    for (what, changed, code) in [
        ("another journal's", others.clone(), "HO0390"),
        (
            "another journal's under this one's name",
            text(&Record { instance: record.instance.clone(), ..other.clone() }),
            "HO0392",
        ),
        ("another journal's data key", text(&Record { data_key: other.data_key.clone(), ..record.clone() }), "HO0393"),
        ("a bit", text(&Record { data_key: flipped, ..record.clone() }), "HO0393"),
        ("cut short", text(&Record { data_key: "00".to_owned(), ..record.clone() }), "HO0393"),
        ("half of it", own[..own.len() / 2].to_owned(), "HO0390"),
        ("empty", String::new(), "HO0390"),
        ("a later format", own.replace("\"format\": 1", "\"format\": 2"), "HO0390"),
    ] {
        assert_ne!(changed, own, "{what}");
        fs::write(&path, &changed).unwrap();
        assert_eq!(one.refused(Some(&memory)).await.code, code, "{what}");
        let rotated = rotate_seal(&one.journal, one.dir.path(), Some(&memory), GO).await;
        assert_eq!(rotated.unwrap_err().code, code, "{what}");
        assert_eq!(fs::read_to_string(&path).unwrap(), changed, "{what}: it is left as it is");
    }
    fs::write(&path, &own).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(one.refused(Some(&memory)).await.code, "HO0390", "open to others");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    one.open(Some(&memory)).await.unwrap();
}

#[tokio::test]
async fn a_source_with_versions_wraps_the_same_key_by_its_newest() {
    let (world, memory) = (World::new(), Memory::new("m"));
    let blob = seal(&world.open(Some(&memory)).await.unwrap());
    let same = rotate_seal(&world.journal, world.dir.path(), Some(&memory), GO).await.unwrap();
    assert!(!same.changed);
    memory.version.store(2, Ordering::SeqCst);
    let done = rotate_seal(&world.journal, world.dir.path(), Some(&memory), GO).await.unwrap();
    assert!(done.changed);
    assert_eq!((done.before.unwrap().version, done.after.version), (Some(1), Some(2)));
    assert!(opens(&world.open(Some(&memory)).await.unwrap(), &blob));
}

/// Every change of the wrapping, each stopped at every point that it passes: as a kill there leaves it.
#[tokio::test]
async fn a_change_that_is_killed_anywhere_leaves_a_key_that_opens() {
    type Named<'a> = Option<&'a dyn KeySource>;
    let memory = Memory::new("m");
    let other = Memory::new("other");
    let mut points = 0;
    for (what, first, from, to) in [
        ("a key file that seals by itself, rotated", None, None as Named<'_>, None as Named<'_>),
        ("a key file moved to a source", None, None, Some(&memory as &dyn KeySource)),
        ("a source, rotated", Some(&memory as &dyn KeySource), Some(&memory as &dyn KeySource), Some(&memory)),
        ("a source moved to another", Some(&memory), Some(&memory), Some(&other as &dyn KeySource)),
        ("a source moved to a key file", Some(&memory), Some(&memory), None),
    ] {
        for stop in 0.. {
            let world = World::new();
            let folder = world.dir.path();
            let sealer = world.open(first).await.unwrap();
            let blob = seal(&sealer);
            // Once before, so that a wrapped key file is rotated too.
            if first.is_none() && from.is_none() && stop % 2 == 1 {
                rotate_seal(&world.journal, folder, None, GO).await.unwrap();
            }
            let passed = AtomicUsize::new(0);
            let at = Mutex::new(String::new());
            let kill = |name: &'static str| {
                if passed.fetch_add(1, Ordering::SeqCst) == stop / 2 {
                    name.clone_into(&mut at.lock().unwrap());
                    return Err(JournalError::new(Kind::Io, "HO0317", "killed"));
                }
                Ok(())
            };
            let ended = migrate_seal(&world.journal, folder, from, to, &kill).await;
            let at = at.into_inner().unwrap();
            let opened = match world.open(to).await {
                Ok(opened) => opened,
                Err(_) => world.open(from).await.unwrap_or_else(|e| panic!("{what}, killed at {at}: {e}")),
            };
            assert!(opened.mark() == sealer.mark() && opens(&opened, &blob), "{what}, killed at {at}");
            // The next one ends well, and leaves only what is needed.
            let now = if world.open(from).await.is_ok() { from } else { to };
            migrate_seal(&world.journal, folder, now, to, GO).await.unwrap_or_else(|e| panic!("{what}, {at}: {e}"));
            assert!(opens(&world.open(to).await.unwrap(), &blob), "{what}, after {at}");
            let keys = world.names();
            assert_eq!(keys.len(), if to.is_none() { 2 } else { 1 }, "{what}, after {at}: {keys:?}");
            assert!(!keys.contains(&"seal.key".to_owned()), "{what}, after {at}");
            if ended.is_ok() {
                break;
            }
            points += 1;
        }
    }
    assert!(points > 50, "only {points} points were passed");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_opens_while_it_is_rotated_gets_the_same_key() {
    let world = World::new();
    let sealer = world.open(None).await.unwrap();
    let (journal, folder) = (&world.journal, world.dir.path());
    let rotate = async {
        for _ in 0..20 {
            rotate_seal(journal, folder, None, GO).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let open = async {
        for _ in 0..200 {
            assert_eq!(open_seal(journal, folder, None).await.unwrap().mark(), sealer.mark());
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(rotate, open);
}

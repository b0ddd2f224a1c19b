//! The store against real folders; `fault_tests` makes its file operations fail.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use handover_rotation::name::EntryName;
use tempfile::TempDir;

use super::*;

pub(super) const OLD: &str = "# mail\nexport SMTP_USERNAME='u-old'\r\n\nOTHER=\"x y\"\nSMTP_PASSWORD=p-old # note";
pub(super) const NEW: &str = "# mail\nexport SMTP_USERNAME='u-new'\r\n\nOTHER=\"x y\"\nSMTP_PASSWORD=p-new # note";

pub(super) struct Scene {
    pub(super) folder: TempDir,
    pub(super) entry: EntryRef,
}

impl Scene {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temp folder");
        let entry = entry(&folder.path().canonicalize().expect("it exists").join("smtp.env"));
        Self { folder, entry }
    }

    pub(super) fn with(text: &str) -> Self {
        let scene = Self::new();
        fs::write(scene.file(), text).expect("the folder is ours");
        scene
    }

    pub(super) fn file(&self) -> PathBuf {
        PathBuf::from(&self.entry.path)
    }

    pub(super) fn text(&self) -> String {
        fs::read_to_string(self.file()).expect("the file is there")
    }

    pub(super) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).expect("the folder is there");
        entries.map(|e| e.expect("listing works").file_name().to_string_lossy().into_owned()).collect()
    }
}

pub(super) fn entry(path: &Path) -> EntryRef {
    EntryRef {
        name: EntryName::new("host").expect("a name"),
        path: path.to_string_lossy().into_owned(),
        username_field: "SMTP_USERNAME".to_owned(),
        password_field: "SMTP_PASSWORD".to_owned(),
    }
}

pub(super) fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

pub(super) fn login(username: &str, password: &str) -> Login {
    Login { username: Username::new(username).expect("a username"), password: secret(password) }
}

pub(super) fn store() -> EnvFileStore {
    EnvFileStore::new(EnvFileOptions::default())
}

pub(super) async fn write_new(store: &EnvFileStore, entry: &EntryRef) -> Outcome<()> {
    store.write(entry, &login("u-new", "p-new"), &[&secret("p-other"), &secret("p-old")]).await
}

async fn held(store: &EnvFileStore, entry: &EntryRef) -> Option<(String, String)> {
    match store.read(entry).await {
        Outcome::Done(Held::Login(l)) => Some((l.username.as_str().to_owned(), l.password.expose().to_owned())),
        Outcome::Done(Held::Nothing | Held::Hidden(_)) => None,
        Outcome::NotDone(fault) | Outcome::Unknown(fault) => panic!("reading failed: {fault}"),
    }
}

pub(super) fn code<T>(outcome: &Outcome<T>) -> String {
    match outcome {
        Outcome::Done(_) => "done".to_owned(),
        Outcome::NotDone(fault) => format!("not-done {}", fault.code),
        Outcome::Unknown(fault) => format!("unknown {}", fault.code),
    }
}

#[tokio::test]
async fn a_login_is_read_replaced_and_put_back() {
    let scene = Scene::with(OLD);
    let store = store();
    assert_eq!(store.kind(), "env-file");
    assert_eq!(held(&store, &scene.entry).await, Some(("u-old".to_owned(), "p-old".to_owned())));
    assert_eq!(write_new(&store, &scene.entry).await, Outcome::Done(()));
    assert_eq!(scene.text(), NEW);
    assert_eq!(held(&store, &scene.entry).await, Some(("u-new".to_owned(), "p-new".to_owned())));
    let back = store.write(&scene.entry, &login("u-old", "p-old"), &[&secret("p-new")]).await;
    assert_eq!(back, Outcome::Done(()));
    assert_eq!(scene.text(), OLD);
    assert_eq!(scene.names(), ["smtp.env"]);
}

#[tokio::test]
async fn only_an_expected_password_is_replaced() {
    let scene = Scene::with(OLD);
    for expect in [vec![], vec![secret("p-other")], vec![secret("")]] {
        let expect: Vec<&Secret> = expect.iter().collect();
        let outcome = store().write(&scene.entry, &login("u-new", "p-new"), &expect).await;
        assert_eq!(code(&outcome), "not-done HO0611");
    }
    assert_eq!(scene.text(), OLD);
}

#[tokio::test]
async fn what_is_missing_or_empty_is_nothing_and_is_added_only_when_nothing_is_expected() {
    for text in [None, Some(""), Some("A=1\n"), Some("SMTP_USERNAME=u\n"), Some("SMTP_USERNAME=u\nSMTP_PASSWORD=''\n")] {
        let scene = text.map_or_else(Scene::new, Scene::with);
        assert_eq!(held(&store(), &scene.entry).await, None, "{text:?}");
        assert_eq!(code(&write_new(&store(), &scene.entry).await), "not-done HO0611", "{text:?}");
        assert_eq!(store().write(&scene.entry, &login("u-new", "p-new"), &[]).await, Outcome::Done(()), "{text:?}");
        assert_eq!(held(&store(), &scene.entry).await, Some(("u-new".to_owned(), "p-new".to_owned())), "{text:?}");
        if text.is_none() {
            let mode = fs::metadata(scene.file()).expect("it was made").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}

#[tokio::test]
async fn an_entry_that_holds_the_wanted_login_is_not_written_again() {
    let scene = Scene::with(NEW);
    let before = fs::metadata(scene.file()).expect("it is there").ino();
    let synced = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&synced);
    let watching = store().with_hook(Box::new(move |op, _| {
        assert!(!matches!(op, Op::Create | Op::Rename), "{op:?}");
        counter.fetch_add(usize::from(matches!(op, Op::SyncFile | Op::SyncFolder)), Ordering::SeqCst);
        None
    }));
    assert_eq!(write_new(&watching, &scene.entry).await, Outcome::Done(()));
    assert_eq!(synced.load(Ordering::SeqCst), 2, "a killed writer may have left it unsynced");
    assert_eq!(fs::metadata(scene.file()).expect("it is there").ino(), before);
}

#[tokio::test]
async fn dangerous_places_are_refused_and_untouched() {
    type Prepare = fn(&Scene) -> EntryRef;
    let table: [(&str, &str, Prepare); 13] = [
        ("link to a file", "HO0601", |s| {
            let target = s.folder.path().join("target");
            fs::write(&target, OLD).expect("the folder is ours");
            symlink(target, s.file()).expect("links work");
            s.entry.clone()
        }),
        ("link to nothing", "HO0601", |s| {
            symlink(s.folder.path().join("none"), s.file()).expect("links work");
            s.entry.clone()
        }),
        ("link to a folder on the way", "HO0601", |s| {
            let real = s.folder.path().join("real");
            fs::create_dir(&real).expect("the folder is ours");
            fs::write(real.join("smtp.env"), OLD).expect("the folder is ours");
            symlink(&real, s.folder.path().join("link")).expect("links work");
            entry(&s.file().with_file_name("link").join("smtp.env"))
        }),
        ("FIFO", "HO0602", |s| {
            rustix::fs::mknodat(rustix::fs::CWD, s.file(), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
                .expect("FIFOs work");
            s.entry.clone()
        }),
        ("folder", "HO0602", |s| {
            fs::create_dir(s.file()).expect("the folder is ours");
            s.entry.clone()
        }),
        ("device", "HO0602", |_| entry(Path::new("/dev/null"))),
        ("hard link", "HO0603", |s| {
            fs::write(s.file(), OLD).expect("the folder is ours");
            fs::hard_link(s.file(), s.folder.path().join("second")).expect("links work");
            s.entry.clone()
        }),
        ("folder that everyone may write in", "HO0604", |s| {
            fs::write(s.file(), OLD).expect("the folder is ours");
            fs::set_permissions(s.folder.path(), fs::Permissions::from_mode(0o1777)).expect("it is ours");
            s.entry.clone()
        }),
        ("folder on the way that everyone may write in", "HO0604", |s| below(s, 0o777)),
        ("relative path", "HO0605", |_| entry(Path::new("smtp.env"))),
        ("way up", "HO0605", |s| entry(&s.folder.path().join("x/../smtp.env"))),
        ("large file", "HO0606", |s| {
            fs::write(s.file(), vec![b'\n'; (1 << 20) + 1]).expect("the folder is ours");
            s.entry.clone()
        }),
        ("no such folder", "HO0621", |s| entry(&s.file().with_file_name("none").join("smtp.env"))),
    ];
    for (what, expected, prepare) in table {
        let scene = Scene::new();
        let entry = prepare(&scene);
        let before = scene.names();
        let store = store();
        let read = store.read(&entry).await;
        let check = store.check_writable(&entry).await;
        let write = write_new(&store, &entry).await;
        for outcome in [code(&read), code(&check), code(&write)] {
            assert_eq!(outcome, format!("not-done {expected}"), "{what}");
        }
        assert_eq!(scene.names(), before, "{what}");
        for name in ["target", "real/smtp.env", "second"] {
            let path = scene.folder.path().join(name);
            assert!(!path.exists() || fs::read_to_string(path).expect("it is text") == OLD, "{what}");
        }
    }
}

/// An entry two folders below one of this mode.
fn below(scene: &Scene, mode: u32) -> EntryRef {
    let open = scene.file().with_file_name("open");
    fs::create_dir_all(open.join("app/etc")).expect("the folder is ours");
    fs::write(open.join("app/etc/smtp.env"), OLD).expect("the folder is ours");
    fs::set_permissions(&open, fs::Permissions::from_mode(mode)).expect("it is ours");
    entry(&open.join("app/etc/smtp.env"))
}

#[tokio::test]
async fn a_folder_on_the_way_that_anyone_could_swap_is_named_and_one_with_the_sticky_bit_is_fine() {
    for (mode, refused) in [(0o777, true), (0o757, true), (0o1777, false), (0o775, false), (0o755, false)] {
        let scene = Scene::new();
        let entry = below(&scene, mode);
        let open = scene.file().with_file_name("open");
        match store().read(&entry).await {
            Outcome::Done(_) if !refused => {}
            Outcome::NotDone(fault) if refused => {
                assert_eq!(fault.code, "HO0604");
                assert_eq!(fault.hint, Some(format!("chmod o-w {}", open.display())), "{mode:o}");
                assert!(fault.message.contains(&format!("everyone may write in {},", open.display())), "{fault}");
            }
            other => panic!("{mode:o}: {}", code(&other)),
        }
        assert_eq!(write_new(&store(), &entry).await.fault().is_some(), refused, "{mode:o}");
    }
}

#[test]
fn the_walk_for_old_kernels_refuses_the_same_links() {
    let scene = Scene::new();
    let root = scene.folder.path().canonicalize().expect("it exists");
    fs::create_dir_all(root.join("real/deep")).expect("the folder is ours");
    symlink("real", root.join("link")).expect("links work");
    symlink("deep", root.join("real/last")).expect("links work");
    fs::write(root.join("plain"), "").expect("the folder is ours");
    let table = [
        ("real/deep", None),
        ("", None),
        ("link/deep", Some(Errno::LOOP)),
        ("link", Some(Errno::LOOP)),
        ("real/last", Some(Errno::LOOP)),
        ("plain", Some(Errno::NOTDIR)),
        ("none", Some(Errno::NOENT)),
    ];
    for (path, errno) in table {
        assert_eq!(disk::open_by_steps(&root.join(path)).err(), errno, "{path}");
        assert_eq!(Disk::default().open_folder(Path::new("/x"), &root.join(path)).err(), errno, "{path}");
    }
}

#[tokio::test]
async fn a_file_that_everyone_may_write_to_is_refused_and_one_that_everyone_may_read_is_told_of() {
    let path = |scene: &Scene| scene.entry.path.clone();
    for (mode, refused, told) in [
        (0o600, false, false),
        (0o640, false, false),
        (0o660, false, false),
        (0o601, false, false),
        (0o644, false, true),
        (0o604, false, true),
        (0o602, true, false),
        (0o666, true, false),
    ] {
        let scene = Scene::with(OLD);
        fs::set_permissions(scene.file(), fs::Permissions::from_mode(mode)).expect("it is ours");
        let store = store();
        let warnings = store.warnings(&scene.entry).await;
        assert_eq!(warnings.len(), usize::from(told), "{mode:o}: {warnings:?}");
        for warning in warnings {
            let chmod = format!("chmod o-rwx {}", path(&scene));
            assert!(warning.contains(&format!("{mode:04o}")) && warning.contains(&chmod), "{warning}");
        }
        let outcomes = [
            code(&store.read(&scene.entry).await),
            code(&store.check_writable(&scene.entry).await),
            code(&write_new(&store, &scene.entry).await),
        ];
        let expected = if refused { "not-done HO0623" } else { "done" };
        assert_eq!(outcomes, [expected; 3], "{mode:o}");
        assert_eq!(scene.text(), if refused { OLD } else { NEW }, "{mode:o}");
        let kept = fs::metadata(scene.file()).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(kept, mode);
    }
}

#[tokio::test]
async fn what_an_entry_lacks_is_named() {
    for (text, lack) in [
        (None, "the file is missing"),
        (Some("A=1\n"), "the file has no `SMTP_USERNAME`"),
        (Some("SMTP_USERNAME=u\n"), "the file has no `SMTP_PASSWORD`"),
        (Some("SMTP_USERNAME=u\nSMTP_PASSWORD=''\n"), "`SMTP_PASSWORD` is empty"),
    ] {
        let scene = text.map_or_else(Scene::new, Scene::with);
        assert_eq!(store().lacks(&scene.entry).await, lack, "{text:?}");
        let Outcome::NotDone(fault) = write_new(&store(), &scene.entry).await else { panic!("{text:?}") };
        assert!(fault.message.contains(lack), "{}", fault.message);
    }
}

#[tokio::test]
async fn owner_and_mode_are_kept_and_nobody_else_could_read_before() {
    for mode in [0o600, 0o640, 0o400, 0o644] {
        let scene = Scene::with(OLD);
        let root = rustix::process::geteuid().is_root();
        if root {
            std::os::unix::fs::chown(scene.file(), Some(1234), Some(2345)).expect("we are root");
        }
        fs::set_permissions(scene.file(), fs::Permissions::from_mode(mode)).expect("it is ours");
        let before = fs::metadata(scene.file()).expect("it is there");
        let folder = scene.folder.path().to_owned();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let births = Arc::clone(&seen);
        let store = store().with_hook(Box::new(move |op, _| {
            if matches!(op, Op::Write | Op::Own | Op::SetMode) {
                for file in fs::read_dir(&folder).expect("it is there").flatten() {
                    if file.file_name().to_string_lossy().starts_with(".handover-env-") {
                        births.lock().expect("one thread").push(file.metadata().expect("it is there").mode() & 0o777);
                    }
                }
            }
            None
        }));
        assert_eq!(write_new(&store, &scene.entry).await, Outcome::Done(()));
        let after = fs::metadata(scene.file()).expect("it is there");
        assert_eq!((after.mode() & 0o777, after.uid(), after.gid()), (mode, before.uid(), before.gid()));
        assert_ne!(after.ino(), before.ino());
        let seen = seen.lock().expect("one thread").clone();
        assert_eq!(seen, vec![0o600; if root { 3 } else { 2 }]);
        assert_eq!(scene.text(), NEW);
    }
}

/// An access list of version 2 that lets user 4321 read, for a file of mode 0640.
#[cfg(target_os = "linux")]
fn access_list() -> Vec<u8> {
    let none = u32::MAX;
    let rows = [(0x01_u16, 6_u16, none), (0x02, 4, 4321), (0x04, 0, none), (0x10, 4, none), (0x20, 0, none)];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, may, id) in rows {
        list.extend(tag.to_le_bytes().into_iter().chain(may.to_le_bytes()).chain(id.to_le_bytes()));
    }
    list
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_access_list_is_kept_and_one_of_the_folder_is_not_taken() {
    use rustix::fs::{XattrFlags, getxattr, setxattr};
    const OWN: &str = "system.posix_acl_access";
    let scene = Scene::with(OLD);
    match setxattr(scene.file(), OWN, &access_list(), XattrFlags::empty()) {
        Ok(()) => {}
        Err(Errno::NOTSUP) => return, // This file system has none, so there is nothing to keep.
        Err(errno) => panic!("setting an access list: {errno}"),
    }
    let mut held = [0; 256];
    assert_eq!(write_new(&store(), &scene.entry).await, Outcome::Done(()));
    let n = getxattr(scene.file(), OWN, &mut held).expect("the list was kept");
    assert_eq!(held[..n], access_list());

    let scene = Scene::with(OLD);
    setxattr(scene.folder.path(), "system.posix_acl_default", &access_list(), XattrFlags::empty()).expect("lists work");
    assert_eq!(write_new(&store(), &scene.entry).await, Outcome::Done(()));
    assert_eq!(getxattr(scene.file(), OWN, &mut held), Err(Errno::NODATA));
}

#[tokio::test]
async fn a_check_proves_the_write_and_changes_nothing() {
    let scene = Scene::with(OLD);
    let before = fs::metadata(scene.file()).expect("it is there");
    assert_eq!(store().check_writable(&scene.entry).await, Outcome::Done(()));
    let after = fs::metadata(scene.file()).expect("it is there");
    assert_eq!(
        (after.ino(), after.mtime_nsec(), after.ctime_nsec()),
        (before.ino(), before.mtime_nsec(), before.ctime_nsec())
    );
    assert_eq!((scene.text().as_str(), scene.names()), (OLD, vec!["smtp.env".to_owned()]));
    for op in [Op::OpenFolder, Op::Lock, Op::Look, Op::Open, Op::Read, Op::Create, Op::Write, Op::SetMode, Op::SyncFile] {
        let failing = store().with_hook(Box::new(move |o, _| (o == op).then_some(Trouble::Before(Errno::ACCESS))));
        assert!(matches!(failing.check_writable(&scene.entry).await, Outcome::NotDone(_)), "{op:?}");
        assert_eq!((scene.text().as_str(), scene.names()), (OLD, vec!["smtp.env".to_owned()]), "{op:?}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_edited_fails_the_check() {
    let table = [
        ("SMTP_PASSWORD=a\nSMTP_PASSWORD=b\n", "HO0612"),
        ("SMTP_PASSWORD=a#b\n", "HO0613"),
        ("X='\nSMTP_PASSWORD=a\n", "HO0614"),
        ("SMTP_USERNAME='a b'\nSMTP_PASSWORD=x\n", "HO0622"),
    ];
    for (text, expected) in table {
        let scene = Scene::with(text);
        let read = code(&store().read(&scene.entry).await);
        assert_eq!(read, format!("not-done {expected}"));
        if expected != "HO0622" {
            assert_eq!(code(&store().check_writable(&scene.entry).await), read);
        }
    }
    let mut same = Scene::with("A=1\n");
    same.entry.password_field = "SMTP_USERNAME".to_owned();
    assert_eq!(code(&store().check_writable(&same.entry).await), "not-done HO0616");
    let scene = Scene::with(OLD);
    let odd = store().write(&scene.entry, &login("u-new", "it's $5"), &[&secret("p-old")]).await;
    assert_eq!(code(&odd), "not-done HO0615");
}

#[tokio::test]
async fn without_the_right_to_write_the_fault_says_so() {
    if rustix::process::geteuid().is_root() {
        return; // Root may write everywhere; the mapping is tested by injection above.
    }
    let scene = Scene::with(OLD);
    fs::set_permissions(scene.folder.path(), fs::Permissions::from_mode(0o555)).expect("it is ours");
    let outcome = store().check_writable(&scene.entry).await;
    fs::set_permissions(scene.folder.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    assert_eq!(code(&outcome), "not-done HO0607");
}

#[tokio::test]
async fn no_fault_shows_a_secret() {
    let marked = "MARK-7f3a-secret";
    let texts = [
        format!("SMTP_USERNAME=u\nSMTP_PASSWORD={marked} x\n"),
        format!("SMTP_USERNAME='{marked} !'\nSMTP_PASSWORD={marked}\n"),
        format!("SMTP_USERNAME=u\nSMTP_PASSWORD={marked}\n"),
        format!("SMTP_PASSWORD={marked}\nSMTP_PASSWORD={marked}\n"),
    ];
    for text in texts {
        let scene = Scene::with(&text);
        let other = format!("{marked}'\\");
        let expected = [&secret(marked)];
        let outcomes = [
            store().read(&scene.entry).await.map(|_| ()),
            store().check_writable(&scene.entry).await,
            store().write(&scene.entry, &login("u", &other), &expected).await,
            store().write(&scene.entry, &login("u", &other), &[&secret(&other)]).await,
        ];
        let faults: Vec<&Fault> = outcomes.iter().filter_map(Outcome::fault).collect();
        assert!(faults.len() >= 2, "{text}");
        assert!(!format!("{faults:?}").contains("MARK"), "{faults:?}");
    }
}

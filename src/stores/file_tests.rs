use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use handover_rotation::name::EntryName;
use rustix::io::Errno;

use super::*;
use crate::files::disk::{Op, Trouble};

fn login(username: &str, password: &str) -> Login {
    Login { username: Username::new(username).expect("a name"), password: Secret::new(password.to_owned()) }
}

fn entry(folder: &Path) -> EntryRef {
    EntryRef {
        name: EntryName::new("files").expect("a name"),
        path: folder.to_str().expect("a text").to_owned(),
        username_field: "user".to_owned(),
        password_field: "pass".to_owned(),
    }
}

fn store() -> FileStore {
    FileStore::open(FileOptions).expect("a store")
}

fn old() -> Secret {
    Secret::new("old".to_owned())
}

fn code<T>(outcome: &Outcome<T>) -> &str {
    outcome.fault().map_or("", |fault| fault.code.as_str())
}

#[tokio::test]
async fn a_file_keeps_its_mode_and_its_line_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let (user, pass) = (folder.path().join("user"), folder.path().join("pass"));
    for (end, kept) in [("", ""), ("\n", "\n"), ("\r\n", "\r\n")] {
        fs::write(&user, format!("one{end}")).expect("it is written");
        fs::write(&pass, format!("old{end}")).expect("it is written");
        fs::set_permissions(&pass, fs::Permissions::from_mode(0o440)).expect("a mode");
        let done = store().write(&entry(folder.path()), &login("two", "new"), &[&old()]).await;
        assert!(matches!(done, Outcome::Done(())), "{done:?}");
        assert_eq!(fs::read_to_string(&user).expect("a text"), format!("two{kept}"));
        assert_eq!(fs::read_to_string(&pass).expect("a text"), format!("new{kept}"));
        assert_eq!(fs::metadata(&pass).expect("a file").permissions().mode() & 0o777, 0o440);
    }
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2, "nothing is left behind");
}

#[tokio::test]
async fn files_that_cannot_be_what_is_meant_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (user, pass) = (folder.path().join("user"), folder.path().join("pass"));
    let here = entry(folder.path());
    assert!(store().lacks(&here).await.contains("there is no file"));
    assert!(matches!(store().read(&here).await, Outcome::Done(Held::Nothing)));
    fs::write(&user, "one").expect("it is written");
    fs::write(&pass, "\n").expect("it is written");
    assert!(store().lacks(&here).await.contains("pass is empty"));
    assert_eq!(code(&store().write(&here, &login("two", "new"), &[&old()]).await), "HO0611");
    for text in [&b"a\nb\n"[..], b"a\0b", b"\xff\xfe"] {
        fs::write(&pass, text).expect("it is written");
        assert_eq!(code(&store().read(&here).await), "HO0634", "{text:?}");
        assert_eq!(code(&store().check_writable(&here).await), "HO0634", "{text:?}");
    }
    fs::remove_file(&pass).expect("it goes");
    symlink(&user, &pass).expect("a link");
    assert_eq!(code(&store().read(&here).await), "HO0601");
    for field in ["../user", "/etc/passwd", ".hidden", ".."] {
        let odd = EntryRef { password_field: field.to_owned(), ..here.clone() };
        assert_eq!(code(&store().read(&odd).await), "HO0616", "{field}");
    }
    let relative = EntryRef { path: "some/folder".to_owned(), ..here.clone() };
    assert_eq!(code(&store().read(&relative).await), "HO0605");
    assert_eq!(code(&store().can_hold(&here, &login("one", "a\nb")).await), "HO0615");
    assert_eq!(code(&store().can_hold(&here, &login("one", "a ")).await), "HO0615");
    fs::remove_file(&pass).expect("it goes");
    fs::write(&pass, "old").expect("it is written");
    fs::set_permissions(&pass, fs::Permissions::from_mode(0o644)).expect("a mode");
    assert_eq!(store().warnings(&here).await.len(), 1);
}

/// A store whose disk fails at the nth operation of a kind on the password's file.
fn failing(op: Op, trouble: Trouble) -> FileStore {
    let hook = move |at: Op, path: &Path| (at == op && path.ends_with("pass")).then_some(trouble);
    FileStore { disk: Arc::new(Disk { hook: Some(Box::new(hook)) }) }
}

#[tokio::test]
async fn a_password_that_cannot_be_written_leaves_no_new_username() {
    let folder = tempfile::tempdir().expect("a folder");
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).expect("a text");
    let here = entry(folder.path());
    for op in [Op::Create, Op::Write, Op::SetMode, Op::SyncFile, Op::Rename] {
        fs::write(folder.path().join("user"), "one\n").expect("it is written");
        fs::write(folder.path().join("pass"), "old\n").expect("it is written");
        let outcome = failing(op, Trouble::Before(Errno::IO)).write(&here, &login("two", "new"), &[&old()]).await;
        assert!(matches!(outcome, Outcome::NotDone(_)), "{op:?}: {outcome:?}");
        assert_eq!((read("user").as_str(), read("pass").as_str()), ("one\n", "old\n"), "{op:?}");
    }
    // What cannot be seen to have failed is unknown, and a second write settles it.
    for op in [Op::Rename, Op::SyncFolder] {
        fs::write(folder.path().join("user"), "one").expect("it is written");
        fs::write(folder.path().join("pass"), "old").expect("it is written");
        let outcome = failing(op, Trouble::After(Errno::IO)).write(&here, &login("two", "new"), &[&old()]).await;
        assert!(matches!(outcome, Outcome::Unknown(_)), "{op:?}: {outcome:?}");
        let outcome = store().write(&here, &login("two", "new"), &[&old()]).await;
        assert!(matches!(outcome, Outcome::Done(())), "{op:?}: {outcome:?}");
        assert_eq!((read("user").as_str(), read("pass").as_str()), ("two", "new"), "{op:?}");
    }
    // Cut off between the two: the truth is told, and either way mends it.
    fs::write(folder.path().join("user"), "two").expect("it is written");
    fs::write(folder.path().join("pass"), "old").expect("it is written");
    let Outcome::Done(Held::Login(held)) = store().read(&here).await else { panic!("it reads") };
    assert_eq!((held.username.as_str(), held.password.expose()), ("two", "old"));
    let outcome = store().write(&here, &login("one", "old"), &[&old()]).await;
    assert!(matches!(outcome, Outcome::Done(())), "{outcome:?}");
    assert_eq!((read("user").as_str(), read("pass").as_str()), ("one", "old"));
}

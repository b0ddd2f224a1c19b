//! The store with failing disks, killed writers, and others in the same folder: old bytes or new ones, never else.

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::tests::{NEW, OLD, Scene, code, entry, login, secret, store, write_new};
use super::*;

#[tokio::test]
async fn a_full_disk_leaves_the_old_file_and_no_other() {
    let scene = Scene::with(OLD);
    let full = Arc::new(AtomicBool::new(true));
    let (switch, path) = (Arc::clone(&full), scene.file());
    let store = store().with_fault(Box::new(move |entry| entry == path && switch.load(Ordering::SeqCst)));
    assert_eq!(code(&store.check_writable(&scene.entry).await), "not-done HO0608");
    assert_eq!(code(&write_new(&store, &scene.entry).await), "not-done HO0608");
    assert_eq!((scene.text().as_str(), scene.names()), (OLD, vec!["smtp.env".to_owned()]));
    full.store(false, Ordering::SeqCst);
    assert_eq!(write_new(&store, &scene.entry).await, Outcome::Done(()));
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Blow {
    Before(Errno),
    After(Errno),
    /// The process is gone: nothing works from here on, not even cleaning up.
    Death {
        effect: bool,
    },
}

/// Runs one write with the `nth` operation failing; also gives the operations that were tried.
async fn struck(scene: &Scene, nth: usize, blow: Blow) -> (Outcome<()>, Vec<Op>) {
    let ops = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&ops);
    let store = store().with_hook(Box::new(move |op, _| {
        let mut ops = log.lock().expect("one thread");
        ops.push(op);
        match (blow, ops.len() - 1) {
            (Blow::Before(errno), n) if n == nth => Some(Trouble::Before(errno)),
            (Blow::After(errno), n) if n == nth => Some(Trouble::After(errno)),
            (Blow::Death { effect: true }, n) if n == nth => Some(Trouble::After(Errno::IO)),
            (Blow::Death { .. }, n) if n >= nth => Some(Trouble::Before(Errno::IO)),
            _ => None,
        }
    }));
    let outcome = write_new(&store, &scene.entry).await;
    let ops = ops.lock().expect("one thread").clone();
    (outcome, ops)
}

#[tokio::test]
async fn whichever_operation_fails_the_path_holds_the_old_bytes_or_the_new() {
    let (outcome, sound) = struck(&Scene::with(OLD), usize::MAX, Blow::Before(Errno::IO)).await;
    assert_eq!(outcome, Outcome::Done(()));
    let mut points = 0;
    for (nth, op) in sound.iter().enumerate() {
        let errnos = [Errno::NOSPC, Errno::IO].into_iter();
        let blows = errnos.flat_map(|errno| [Blow::Before(errno), Blow::After(errno)]);
        for blow in blows.chain([Blow::Death { effect: false }, Blow::Death { effect: true }]) {
            let at = format!("{op:?} ({nth}) {blow:?}");
            let scene = Scene::with(OLD);
            let (outcome, _) = struck(&scene, nth, blow).await;
            let text = scene.text();
            match outcome {
                Outcome::Done(()) => assert_eq!(text, NEW, "{at}"),
                Outcome::NotDone(_) => assert_eq!(text, OLD, "{at}"),
                Outcome::Unknown(_) => {
                    assert!(text == OLD || text == NEW, "{at}");
                    assert!(matches!(op, Op::Rename | Op::SyncFolder), "{at}");
                }
            }
            // A file system may also have made the file that it says it could not make; the next writer sweeps that.
            let lost = matches!((op, blow), (Op::Remove, _) | (_, Blow::Death { .. }));
            assert!(lost || scene.names() == ["smtp.env"], "{at}: {:?}", scene.names());
            assert_eq!(write_new(&store(), &scene.entry).await, Outcome::Done(()), "{at}");
            assert_eq!((scene.text().as_str(), scene.names()), (NEW, vec!["smtp.env".to_owned()]), "{at}");
            points += 1;
        }
    }
    assert!(points >= 6 * 14, "only {points} points were tried");
}

#[tokio::test]
async fn the_bytes_are_on_the_disk_before_the_name_and_the_name_before_done() {
    let scene = Scene::with(OLD);
    let (outcome, ops) = struck(&scene, usize::MAX, Blow::Before(Errno::IO)).await;
    assert_eq!(outcome, Outcome::Done(()));
    let order: Vec<Op> = ops.into_iter().skip_while(|op| *op != Op::Create).filter(|op| *op != Op::Own).collect();
    let expected = [Op::Create, Op::Write, Op::CopyAccess, Op::SetMode, Op::SyncFile, Op::Look, Op::Rename, Op::SyncFolder];
    assert_eq!(order, expected);
}

#[tokio::test]
async fn leftovers_are_swept_and_look_alikes_are_not() {
    let scene = Scene::with(OLD);
    let alike = [".handover-env-0123.tmp", "handover-env-0123456789abcdef0123456789abcdef.tmp", ".handover-env-x"];
    for name in alike.iter().chain(&[".handover-env-0123456789abcdef0123456789abcdef.tmp"]) {
        fs::write(scene.folder.path().join(name), "left").expect("the folder is ours");
    }
    assert_eq!(write_new(&store(), &scene.entry).await, Outcome::Done(()));
    let mut names = scene.names();
    names.sort();
    let mut expected = [&alike[..], &["smtp.env"]].concat();
    expected.sort_unstable();
    assert_eq!(names, expected);
}

#[tokio::test]
async fn a_change_by_someone_else_in_between_is_not_overwritten() {
    let scene = Scene::with(OLD);
    let file = scene.file();
    let store = store().with_hook(Box::new(move |op, _| {
        if op == Op::SyncFile {
            fs::write(&file, "SMTP_PASSWORD=theirs\n").expect("the folder is ours");
        }
        None
    }));
    assert_eq!(code(&write_new(&store, &scene.entry).await), "not-done HO0618");
    assert_eq!((scene.text().as_str(), scene.names()), ("SMTP_PASSWORD=theirs\n", vec!["smtp.env".to_owned()]));
}

#[tokio::test]
async fn writers_in_one_folder_wait_for_each_other_and_readers_see_whole_files() {
    let scene = Scene::with(OLD);
    let others: Vec<EntryRef> = (0..8)
        .map(|i| {
            let path = scene.folder.path().canonicalize().expect("it exists").join(format!("{i}.env"));
            fs::write(&path, OLD).expect("the folder is ours");
            entry(&path)
        })
        .collect();
    let stop = Arc::new(AtomicBool::new(false));
    let (ended, file) = (Arc::clone(&stop), scene.file());
    let reader = std::thread::spawn(move || {
        let mut reads = 0;
        while !ended.load(Ordering::SeqCst) || reads == 0 {
            let text = fs::read_to_string(&file).expect("the file is there at every instant");
            assert!(text == OLD || text == NEW, "{text:?}");
            reads += 1;
        }
        reads
    });
    let store = store();
    for outcome in futures::future::join_all(others.iter().map(|entry| write_new(&store, entry))).await {
        assert_eq!(outcome, Outcome::Done(()));
    }
    for _ in 0..20 {
        assert_eq!(write_new(&store, &scene.entry).await, Outcome::Done(()));
        let back = store.write(&scene.entry, &login("u-old", "p-old"), &[&secret("p-new")]).await;
        assert_eq!(back, Outcome::Done(()));
    }
    stop.store(true, Ordering::SeqCst);
    assert!(reader.join().expect("the reader saw whole files") > 0);
    assert_eq!(scene.names().len(), 9);
}

/// Each break of the store turns the test red that is there for it, which by itself is green.
#[cfg(feature = "mutants")]
#[test]
fn every_break_of_the_env_file_is_noticed() {
    use std::process::{Command, Stdio};

    use crate::mutant::{Mutant, variable};

    let breaks = [
        (Mutant::WrittenInPlace, "fault_tests::whichever_operation_fails_the_path_holds_the_old_bytes_or_the_new"),
        (Mutant::ModeForgotten, "tests::owner_and_mode_are_kept_and_nobody_else_could_read_before"),
    ];
    let is_green = |test: &str, broken: Option<Mutant>| {
        let mut command = Command::new(std::env::current_exe().expect("a path"));
        command.args(["--exact", &format!("stores::env_file::{test}")]).envs(broken.map(variable));
        let output = command.stdin(Stdio::null()).output().expect("a child");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("running 1 test"), "there is no test {test}: {text}");
        output.status.success()
    };
    for (mutant, test) in breaks {
        assert!(is_green(test, None), "{test} fails by itself");
        assert!(!is_green(test, Some(mutant)), "{mutant:?} is not noticed by {test}");
        println!("{mutant:?} turns {test} red");
    }
    println!("{0} of {0} breaks noticed", breaks.len());
}

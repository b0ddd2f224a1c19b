//! Every call of the store on a disk that fails at the n-th operation, for every n: what the outcome says is what is there.
//! `fault_tests` holds the stories; this is the sweep over all of them.

use std::fs;
use std::sync::Mutex;

use super::tests::{NEW, OLD, Scene, login, secret, store, write_new};
use super::*;

/// A call, and the file that it meets.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    /// Puts a new login in the place of the old one.
    Replace,
    /// Makes a file that was not there.
    Make,
    /// Finds that the file holds the new login already.
    Again,
    Check,
    Read,
    Lacks,
}

/// How it fails.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Blow {
    /// This one, before anything of it has happened.
    Before(Errno),
    /// This one halfway: of a write, half of the bytes are there.
    After(Errno),
    /// From this one on there is no room for anything new.
    Full,
    /// From this one on nothing works, after this one has happened or not.
    Dead { effect: bool },
}

const BLOWS: [Blow; 7] = [
    Blow::Before(Errno::IO),
    Blow::Before(Errno::NOSPC),
    Blow::After(Errno::IO),
    Blow::After(Errno::NOSPC),
    Blow::Full,
    Blow::Dead { effect: false },
    Blow::Dead { effect: true },
];

impl Blow {
    fn strikes(self, op: Op, number: usize, nth: usize) -> Option<Trouble> {
        let grows = matches!(op, Op::Create | Op::Write | Op::CopyAccess);
        match self {
            Self::Before(errno) if number == nth => Some(Trouble::Before(errno)),
            Self::After(errno) if number == nth => Some(Trouble::After(errno)),
            Self::Full if number >= nth && grows => Some(Trouble::After(Errno::NOSPC)),
            Self::Dead { effect: true } if number == nth => Some(Trouble::After(Errno::IO)),
            Self::Dead { .. } if number >= nth => Some(Trouble::Before(Errno::IO)),
            _ => None,
        }
    }
}

/// What the file holds where the call has not happened, and where it has.
fn texts(call: Call) -> (Option<&'static str>, Option<&'static str>) {
    match call {
        Call::Replace => (Some(OLD), Some(NEW)),
        Call::Make => (None, Some("SMTP_USERNAME=u-new\nSMTP_PASSWORD=p-new\n")),
        Call::Again => (Some(NEW), Some(NEW)),
        Call::Check | Call::Read | Call::Lacks => (Some(OLD), Some(OLD)),
    }
}

/// Makes the call with the `nth` operation failing. Gives what came of it, the operations that were tried, and how many failed.
async fn struck(scene: &Scene, call: Call, nth: usize, blow: Blow) -> (Outcome<()>, Vec<Op>, usize) {
    let seen = Arc::new(Mutex::new((Vec::new(), 0)));
    let log = Arc::clone(&seen);
    let store = store().with_hook(Box::new(move |op, _| {
        let mut seen = log.lock().expect("one thread");
        let trouble = blow.strikes(op, seen.0.len(), nth);
        seen.0.push(op);
        seen.1 += usize::from(trouble.is_some());
        trouble
    }));
    let outcome = match call {
        Call::Replace | Call::Again => write_new(&store, &scene.entry).await,
        Call::Make => store.write(&scene.entry, &login("u-new", "p-new"), &[]).await,
        Call::Check => store.check_writable(&scene.entry).await,
        Call::Read => store.read(&scene.entry).await.map(|held| match held {
            Held::Login(l) => assert!(l.password.matches(&secret("p-old")), "another password was read"),
            Held::Nothing | Held::Hidden(_) => panic!("a login that is there was not seen"),
        }),
        Call::Lacks => {
            assert!(!store.lacks(&scene.entry).await.is_empty());
            Outcome::Done(())
        }
    };
    let (ops, failed) = seen.lock().expect("one thread").clone();
    (outcome, ops, failed)
}

#[tokio::test]
async fn every_call_on_a_failing_disk_says_what_is_there() {
    let mut points = 0;
    for call in [Call::Replace, Call::Make, Call::Again, Call::Check, Call::Read, Call::Lacks] {
        let (old, new) = texts(call);
        let scene = || old.map_or_else(Scene::new, Scene::with);
        let (outcome, sound, failed) = struck(&scene(), call, usize::MAX, Blow::Before(Errno::IO)).await;
        assert_eq!((outcome, failed), (Outcome::Done(()), 0), "{call:?}");
        for (nth, op) in sound.iter().enumerate() {
            for blow in BLOWS {
                let at = format!("{call:?}, {op:?} ({nth}) {blow:?}");
                let scene = scene();
                let (outcome, _, failed) = struck(&scene, call, nth, blow).await;
                if blow == Blow::Full && failed == 0 {
                    // It is full too late to matter.
                    assert_eq!(outcome, Outcome::Done(()), "{at}");
                    continue;
                }
                assert!(failed > 0, "{at}: it never failed");
                points += 1;
                let text = fs::read_to_string(scene.file()).ok();
                match &outcome {
                    Outcome::Done(()) => assert_eq!(text.as_deref(), new, "{at}"),
                    Outcome::NotDone(fault) => {
                        assert_eq!(text.as_deref(), old, "{at}");
                        assert!(fault.code.starts_with("HO06"), "{at}: {fault}");
                    }
                    Outcome::Unknown(fault) => {
                        assert!(text.as_deref() == old || text.as_deref() == new, "{at}: {text:?}");
                        assert!(matches!(call, Call::Replace | Call::Make), "{at}: {fault}");
                    }
                }
                // The next writer sweeps what could not be removed, and goes on.
                if matches!(call, Call::Replace | Call::Make) {
                    let again = store().write(&scene.entry, &login("u-new", "p-new"), &expected(text.is_some())).await;
                    assert_eq!(again, Outcome::Done(()), "{at}");
                    assert_eq!((Some(scene.text().as_str()), scene.names()), (new, vec!["smtp.env".to_owned()]), "{at}");
                }
            }
        }
        assert!(sound.len() >= 4, "{call:?} has only {} operations", sound.len());
    }
    println!("env file on a failing disk: {points} points");
    assert!(points >= 300, "only {points} points were tried");
}

fn expected(there: bool) -> Vec<&'static Secret> {
    use std::sync::LazyLock;
    static OLD_PASSWORD: LazyLock<Secret> = LazyLock::new(|| secret("p-old"));
    if there { vec![&*OLD_PASSWORD] } else { Vec::new() }
}

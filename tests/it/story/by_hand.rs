//! A relay without an API (shape D): a person makes and revokes at its console, Handover does everything else and checks them.

use std::path::PathBuf;

use serde_json::Value;

use super::{clean, ends, live};
use crate::support::exit::{BAD_INPUT, DONE, REFUSED, ROLLED_BACK, STUCK, WAITING};
use crate::support::person::{asked, done, made, person, supplying};
use crate::support::world::CREDENTIAL;
use crate::support::{Case, Going, Run, World, login, service};

fn relay() -> World {
    World::with(&["--shape", "manual"])
}

fn supply(case: &Case<'_>, made: &(String, String)) -> Run {
    case.run(&supplying(made))
}

/// It rests, asks for this, and names the command that goes on.
#[track_caller]
fn asks(run: &Run, case: &Case<'_>, action: &str, command: &str) -> Value {
    ends(run, WAITING);
    assert_eq!(run.outcome(), "waiting", "{run}");
    let next = run.finished()["next"]["command"].as_str().unwrap_or_default().to_owned();
    assert!(next.contains(&format!(" {command} ")), "{next}: {run}");
    let asked = asked(case);
    assert_eq!(asked["action"], action, "{asked}");
    asked
}

/// The login of the version that every entry holds.
fn held(world: &World) -> String {
    let [staging, production] = ["staging", "production"].map(|e| service::held(&world.env_file(e)).0);
    assert_eq!(staging, production);
    production
}

#[test]
fn a_person_creates_and_revokes_and_handover_does_the_rest_and_checks_them() {
    let world = relay();
    let case = world.case("one");
    let old = live(&world);
    let (old_name, old_password) = service::held(&world.env_file("production"));

    let plan = case.run(&["plan", CREDENTIAL, "--playbook", "drill"]);
    ends(&plan, DONE);
    let plan = plan.events().pop().expect("a plan");
    assert_eq!(plan["shape"], "D: no API, a person creates and revokes");
    let tasks: Vec<&Value> = plan["by_hand"].as_array().expect("tasks").iter().map(|t| &t["step"]).collect();
    assert_eq!(tasks, [2, 10, 13]);

    // It cannot make a version itself.
    let first = case.rotate("drill");
    let create = asks(&first, &case, "create", "supply");
    assert!(create["console"].as_str().is_some_and(|c| c.contains("--person")), "{create}");
    assert_eq!((world.account().versions.len(), held(&world)), (1, old_name.clone()));
    asks(&case.resume(), &case, "create", "supply");

    let new = made(&world);
    let moved = supply(&case, &new);
    assert!(moved.events().iter().any(|e| e["event"] == "supplied" && e["by"].is_string()), "{moved}");
    let disable = asks(&moved, &case, "disable", "done");
    assert_eq!((&disable["username"], &disable["again"]), (&Value::from(old_name.clone()), &Value::Null));
    assert_eq!(held(&world), new.0);
    assert_eq!(world.account().active().len(), 2, "the old one lives until the person revokes it");

    // Said too early: the server accepts it still.
    let early = done(&case);
    let again = asks(&early, &case, "disable", "done");
    assert!(again["again"].as_str().is_some_and(|a| a.contains("still accepts")), "{again}");
    assert_eq!(world.account().active().len(), 2);

    person(&world, "disable", &old_name);
    asks(&done(&case), &case, "delete", "done");
    person(&world, "delete", &old_name);
    let last = done(&case);
    ends(&last, DONE);
    let now = live(&world);
    assert_ne!(old, now);
    clean(&world, &now);
    assert_eq!(case.broken_journal(true), Vec::<String>::new());
    if login::has_python() {
        let (name, password) = service::held(&world.env_file("production"));
        let smtp = world.status().smtp;
        assert_eq!(login::reply(&smtp, &old_name, &old_password), 535, "the old login");
        assert_eq!(login::reply(&smtp, &name, &password), 235, "the new login");
    }
    for over in [done(&case), supply(&case, &new)] {
        ends(&over, REFUSED);
        assert_eq!(over.finished()["fault"]["code"], "HO0458", "{over}");
    }
}

#[test]
fn what_cannot_be_used_is_refused_in_words_and_nothing_is_taken() {
    let world = relay();
    let case = world.case("one");
    ends(&case.rotate("drill"), WAITING);
    let (old_name, old_password) = service::held(&world.env_file("production"));
    let new = made(&world);
    let file = |name: &str, text: &str| {
        let path: PathBuf = world.dir().join(name);
        std::fs::write(&path, text).expect("the file can be written");
        path.to_string_lossy().into_owned()
    };
    let wrong = "not-the-password-that-it-has-0123456789";
    let table = [
        ("the old login", old_name.as_str(), new.1.clone(), REFUSED, "HO0470", "login of the old version"),
        ("the old password", &new.0, file("old", &old_password), REFUSED, "HO0470", "password of the old version"),
        ("no login name", "a b", new.1.clone(), BAD_INPUT, "HO0470", "not a login name"),
        ("no file", &new.0, "/nowhere/at-all".to_owned(), BAD_INPUT, "HO0469", "cannot be read"),
        ("an empty file", &new.0, file("empty", "\n"), BAD_INPUT, "HO0469", "is empty"),
        ("two lines", &new.0, file("two", "one\ntwo\n"), BAD_INPUT, "HO0469", "more than one line"),
        ("no entry can hold it", &new.0, file("odd", "it's-\"odd\"-$x`y\\"), REFUSED, "HO0615", "entry "),
        ("a slip in the password", &new.0, file("slip", wrong), REFUSED, "HO0471", "refuses the login"),
        ("a slip in the name", "newsletter.99", new.1.clone(), REFUSED, "HO0471", "refuses the login"),
    ];
    // The last hash of the chain of all rows.
    let head = || {
        let export = case.run(&["audit", "export", CREDENTIAL, "--format", "json"]);
        let export: Value = serde_json::from_str(&export.stdout).expect("JSON");
        export["head"].as_str().expect("a hash").to_owned()
    };
    let before = head();
    for (what, username, file, code, fault, words) in table {
        let run = supply(&case, &(username.to_owned(), file));
        ends(&run, code);
        let told = run.finished()["fault"].clone();
        assert_eq!(told["code"], fault, "{what}: {run}");
        assert!(told["message"].as_str().is_some_and(|m| m.contains(words)), "{what}: {told}");
        assert!(!run.said().contains(wrong) && !run.said().contains(&old_password), "{what}");
        assert_eq!(asked(&case)["action"], "create", "{what}");
    }
    let run = done(&case);
    ends(&run, REFUSED);
    let told = run.finished()["fault"].clone();
    assert_eq!(told["code"], "HO0472", "{run}");
    assert!(told["hint"].to_string().contains(" supply "), "{told}");
    assert_eq!(head(), before, "nothing was written down");

    asks(&supply(&case, &new), &case, "disable", "done");
    let twice = supply(&case, &new);
    ends(&twice, REFUSED);
    assert_eq!(twice.finished()["fault"]["code"], "HO0474", "{twice}");
    assert_eq!(held(&world), new.0);
}

/// The next thing that a running rotation asks of a person.
fn wait_for_ask(going: &mut Going, action: &str) -> Value {
    going
        .wait_for(|e| e["event"] == "asked" && e["asked"]["action"] == action)
        .unwrap_or_else(|| panic!("it asks to {action}"))
}

#[track_caller]
fn taken(run: &Run) {
    ends(run, WAITING);
    assert_eq!(run.events().pop().map(|e| e["taken"].clone()), Some(Value::Bool(true)), "{run}");
}

#[test]
fn what_a_person_did_reaches_the_process_that_runs_it() {
    let world = relay();
    let case = world.case("one");
    let (old_name, _) = service::held(&world.env_file("production"));
    let mut command = case.rotation_command("drill");
    command.arg("--wait");
    let mut going = Going::start(command);
    wait_for_ask(&mut going, "create");
    ends(&done(&case), REFUSED);
    let new = made(&world);
    taken(&supply(&case, &new));
    wait_for_ask(&mut going, "disable");
    let twice = supply(&case, &new);
    ends(&twice, REFUSED);
    // Said too early, it is asked again, with the reason.
    taken(&done(&case));
    let again = going.wait_for(|e| e["event"] == "asked" && e["asked"]["again"].is_string()).expect("it asks again");
    assert!(again["asked"]["again"].to_string().contains("still accepts"), "{again}");
    person(&world, "disable", &old_name);
    taken(&done(&case));
    wait_for_ask(&mut going, "delete");
    person(&world, "delete", &old_name);
    taken(&done(&case));
    ends(&going.end(), DONE);
    clean(&world, &live(&world));
    assert_eq!(held(&world), new.0);
    assert_eq!(case.broken_journal(true), Vec::<String>::new());
}

#[test]
fn a_leak_is_contained_by_a_person_while_it_holds_the_terminal() {
    let world = relay();
    let case = world.case("one");
    let (old_name, _) = service::held(&world.env_file("production"));
    let mut going = case.rotating("leak");
    wait_for_ask(&mut going, "create");
    let new = made(&world);
    taken(&supply(&case, &new));
    wait_for_ask(&mut going, "disable");
    assert_eq!(held(&world), new.0);
    person(&world, "disable", &old_name);
    taken(&done(&case));
    // Shut out, and proven: what is left may wait.
    asks(&going.end(), &case, "delete", "done");
    person(&world, "delete", &old_name);
    ends(&done(&case), DONE);
    clean(&world, &live(&world));
    assert_eq!(case.broken_journal(true), Vec::<String>::new());
}

#[test]
fn in_an_emergency_the_person_shuts_it_out_first() {
    let world = relay();
    let case = world.case("one");
    let (old_name, _) = service::held(&world.env_file("production"));
    let mut going = case.rotating("emergency");
    wait_for_ask(&mut going, "disable");
    going.signal(rustix::process::Signal::INT);
    let left = going.end();
    ends(&left, STUCK);
    assert!(left.finished()["next"]["command"].as_str().is_some_and(|c| c.contains(" done ")), "{left}");
    ends(&case.run(&["status", CREDENTIAL]), STUCK);
    // What is only said does not contain it.
    let mut going = Going::start(case.command(&["done", CREDENTIAL]));
    going.wait_for(|e| e["event"] == "asked" && e["asked"]["again"].is_string()).expect("it asks again");
    person(&world, "disable", &old_name);
    taken(&done(&case));
    let shut_out = going.end();
    asks(&shut_out, &case, "create", "supply");
    let moved = supply(&case, &made(&world));
    asks(&moved, &case, "delete", "done");
    person(&world, "delete", &old_name);
    ends(&done(&case), DONE);
    clean(&world, &live(&world));
    assert_eq!(case.broken_journal(true), Vec::<String>::new());
}

#[test]
fn killed_right_after_the_handing_over_it_goes_on_with_what_was_sealed() {
    let world = relay();
    let case = world.case("one");
    ends(&case.rotate("drill"), WAITING);
    let new = made(&world);
    let mut going = Going::start(case.command(&supplying(&new)));
    going.wait_for(|e| e["event"] == "supplied").expect("it is taken");
    going.signal(rustix::process::Signal::KILL);
    assert!(going.end().was_killed());
    std::fs::remove_file(&new.1).expect("nobody needs the file any more");
    asks(&case.resume(), &case, "disable", "done");
    assert_eq!(held(&world), new.0);
    assert_eq!(case.broken_journal(false), Vec::<String>::new());
}

#[test]
fn an_abort_asks_the_person_to_take_back_what_they_did() {
    let world = relay();
    let case = world.case("one");
    let old = live(&world);
    let (old_name, _) = service::held(&world.env_file("production"));
    ends(&case.rotate("drill"), WAITING);
    let new = made(&world);
    ends(&supply(&case, &new), WAITING);
    person(&world, "disable", &old_name);
    asks(&done(&case), &case, "delete", "done");

    let aborted = case.run(&["abort", CREDENTIAL]);
    let enable = asks(&aborted, &case, "enable", "done");
    assert_eq!(enable["username"], Value::from(old_name.clone()));
    let early = asks(&done(&case), &case, "enable", "done");
    assert!(early["again"].to_string().contains("still refuses"), "{early}");
    assert_eq!(held(&world), new.0, "nothing is moved to a login that is refused");
    person(&world, "enable", &old_name);
    let delete = asks(&done(&case), &case, "delete", "done");
    assert_eq!(delete["username"], Value::from(new.0.clone()));
    assert_eq!(held(&world), old_name);
    let early = asks(&done(&case), &case, "delete", "done");
    assert!(early["again"].to_string().contains("still accepts"), "{early}");
    person(&world, "delete", &new.0);
    ends(&done(&case), ROLLED_BACK);
    clean(&world, &old);
    assert_eq!(case.broken_journal(true), Vec::<String>::new());

    // Nothing was handed over: nothing is asked, and what was made is told of.
    let case = world.case("two");
    ends(&case.rotate("drill"), WAITING);
    let unused = made(&world);
    let aborted = case.run(&["abort", CREDENTIAL]);
    ends(&aborted, REFUSED);
    assert!(aborted.stderr.contains("delete it there"), "{aborted}");
    person(&world, "delete", &unused.0);
    clean(&world, &old);
}

#[test]
fn people_read_what_to_do_where_and_how_to_say_it() {
    let world = relay();
    let case = world.case("one").in_words();
    let plan = case.run(&["plan", CREDENTIAL, "--playbook", "drill"]);
    ends(&plan, DONE);
    let rotate = case.rotate("drill");
    ends(&rotate, WAITING);
    let status = case.run(&["status", CREDENTIAL]);
    for (what, text, words) in [
        ("plan", &plan.stdout, &["asked of a person", "make a new login of newsletter", "`done` says"][..]),
        ("rotate, under way", &rotate.stderr, &["a person is asked to make a new version", "console: ", "then: handover "]),
        ("rotate, at rest", &rotate.stdout, &["asked of a person", "console ", "supply newsletter-"]),
        ("status", &status.stdout, &["asked of a person", "WAITING", "--password-file FILE"]),
    ] {
        for word in words {
            assert!(text.contains(word), "{what} lacks {word:?}:\n{text}");
        }
    }
    let new = made(&world);
    let moved = supply(&case, &new);
    ends(&moved, WAITING);
    assert!(moved.stderr.contains("can be deleted"), "{moved}");
    assert!(moved.stdout.contains("disable the old version newsletter.1"), "{moved}");
}

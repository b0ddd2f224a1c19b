//! Stores that keep the username and the password apart, and a write that is cut off between the two: each half is of a version of
//! the rotation's own, so it is written again and nobody is asked.

use std::fs;
use std::path::Path;

use crate::support::exit::{DONE, STUCK};
use crate::support::{Case, World};

/// A program that writes one half and dies, as often as the file `tears` says.
const PROGRAM: &str = r#"
import json, os, re, sys
request = json.load(sys.stdin)
folder, first = sys.argv[1], sys.argv[2]
path, fields = request["entry"]["path"], request["entry"]["fields"]
text = open(path).read()

def value(half):
    found = re.search("^" + fields[half] + "=(.*)$", text, re.M)
    return found.group(1).strip("'\"") if found else ""

def put(half, new):
    with open(path, "w") as file:
        file.write(re.sub("^" + fields[half] + "=.*$", lambda _: fields[half] + "=" + new, text, flags=re.M))

if request["call"] == "read":
    held = {half: value(half) for half in fields}
    print(json.dumps({"outcome": "done", "login": held if all(held.values()) else None}))
elif request["call"] == "write":
    tears = os.path.join(folder, "tears-" + request["entry"]["name"])
    left = int(open(tears).read()) if os.path.exists(tears) else 0
    for half in (first, "password" if first == "username" else "username"):
        put(half, request["login"][half])
        text = open(path).read()
        if left:
            open(tears, "w").write(str(left - 1))
            sys.exit(9)
    print(json.dumps({"outcome": "done"}))
else:
    print(json.dumps({"outcome": "done"}))
"#;

/// The sandbox's inventory with its env files behind the program.
fn case<'w>(world: &'w World, first: &str) -> Case<'w> {
    let program = world.dir().join("store.py");
    fs::write(&program, PROGRAM).expect("it is written");
    let text = fs::read_to_string(world.dir().join("inventory.yaml")).expect("the inventory");
    let exec = format!("argv: [/usr/bin/python3, -I, {}, {}, {first}]", program.display(), world.dir().display());
    let lines = text.lines().map(|line| {
        let environment = ["staging", "production"].into_iter().find(|e| line.contains(&format!("-{e}.env")));
        match environment {
            Some(environment) => format!("        path: {}", world.env_file(environment).display()),
            None => line.replace("kind: env-file", &format!("kind: exec, timeout: 2s, {exec}")),
        }
    });
    let text: String = lines.map(|line| line + "\n").collect();
    assert!(text.contains("kind: exec"), "{text}");
    let inventory = world.dir().join("torn.yaml");
    fs::write(&inventory, text).expect("it is written");
    world.case("torn").scale(8).inventory(inventory)
}

fn tears(folder: &Path, entry: &str, many: usize) {
    fs::write(folder.join(format!("tears-{entry}")), many.to_string()).expect("it is written");
}

fn left(folder: &Path, entry: &str) -> String {
    fs::read_to_string(folder.join(format!("tears-{entry}"))).expect("it is there")
}

fn is_written_again(first: &str) {
    let world = World::start();
    let case = case(&world, first);
    tears(world.dir(), "staging", 1);
    tears(world.dir(), "production", 1);
    let run = case.rotate("drill");
    assert_eq!(run.code(), DONE, "{run}");
    assert_eq!((left(world.dir(), "staging").as_str(), left(world.dir(), "production").as_str()), ("0", "0"));
    assert_eq!(world.unclean(None), Vec::<String>::new());
}

#[test]
fn a_write_that_was_cut_off_after_the_username_is_written_again() {
    is_written_again("username");
}

#[test]
fn a_write_that_was_cut_off_after_the_password_is_written_again() {
    is_written_again("password");
}

#[test]
fn a_half_that_is_anybody_elses_is_not_overwritten() {
    let world = World::start();
    let case = case(&world, "username");
    tears(world.dir(), "production", 1);
    let going = case.rotating("drill");
    // As soon as the half is there, somebody puts a password of their own beside it.
    let path = world.env_file("production");
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while left(world.dir(), "production") != "0" {
        assert!(std::time::Instant::now() < end, "it is never written");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let text = fs::read_to_string(&path).expect("a text");
    let held = text.split("\nSMTP_PASSWORD=").nth(1).and_then(|t| t.split('\n').next()).expect("a password").to_owned();
    fs::write(&path, text.replace(&held, "of-somebody-else")).expect("it is written");
    let run = going.end();
    assert_eq!(run.code(), STUCK, "{run}");
    assert!(fs::read_to_string(&path).expect("a text").contains("of-somebody-else"));
    assert!(run.said().contains("HO0417") || run.said().contains("HO0611"), "{run}");
}

//! A leak while no store answers: which version is current is told by what is left, and nothing of it is in the way (L5).

use std::path::PathBuf;

use serde_json::Value;

use super::{ends, names};
use crate::support::World;
use crate::support::exit::{DONE, REFUSED, STUCK, WAITING};
use crate::support::person::person;
use crate::support::world::CREDENTIAL;

/// The env files, out of the way: in their places stand links, which are not read.
struct Hidden(Vec<(PathBuf, Vec<u8>)>);

impl Hidden {
    fn of(world: &World) -> Self {
        let hide = |environment: &str| {
            let path = world.env_file(environment);
            let held = std::fs::read(&path).expect("the entry");
            std::fs::remove_file(&path).expect("it can be removed");
            std::os::unix::fs::symlink("/dev/null", &path).expect("a link");
            (path, held)
        };
        Self(["staging", "production"].map(hide).into())
    }

    fn back(self) {
        for (path, held) in self.0 {
            let whole = path.with_extension("whole");
            std::fs::write(&whole, held).expect("it can be written");
            std::fs::rename(&whole, &path).expect("it comes back");
        }
    }
}

fn live(world: &World) -> Vec<String> {
    world.account().active().iter().map(|v| v.id.clone()).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[test]
fn l5_with_every_store_down_the_journal_tells_what_has_leaked() {
    let world = World::start();
    let case = world.case("one").scale(8);
    ends(&case.rotate("drill"), DONE);
    let leaked = live(&world).remove(0);
    let other = person(&world, "create", CREDENTIAL);
    let hidden = Hidden::of(&world);
    ends(&case.rotate("drill"), REFUSED);
    let mut going = case.rotating("emergency");
    let started = going.wait_for(|e| e["event"] == "started").expect("it begins");
    assert_eq!(text(&started["plan"]["old"]["id"]), leaked);
    let disabled = |e: &Value| e["event"] == "settled" && e["command"]["disable"] == 0 && !e["outcome"]["done"].is_null();
    going.wait_for(disabled).expect("it is shut out");
    assert_eq!(live(&world), [text(&other["id"])], "the other one is left alone");
    // Room for a new version, and the stores again.
    person(&world, "delete", &text(&other["username"]));
    hidden.back();
    let run = going.end();
    names(&run, &[&format!("{leaked}, which this journal's last rotation has left, is taken")]);
    // What the entries hold was never seen, so a person says that it may go.
    ends(&run, STUCK);
    names(&run, &["HO0417"]);
    let run = case.run(&["resume", CREDENTIAL, "--overwrite", "production", "--overwrite", "staging"]);
    assert!([DONE, WAITING].contains(&run.code()), "{run}");
    let now = live(&world);
    assert!(now.len() == 1 && now[0] != leaked, "{now:?}");
}

#[test]
fn l5_without_a_journal_it_is_tried_until_a_store_answers() {
    let world = World::start();
    let case = world.case("one").scale(8);
    let leaked = live(&world).remove(0);
    let other = person(&world, "create", CREDENTIAL);
    let hidden = Hidden::of(&world);
    let refused = case.run(&["plan", CREDENTIAL, "--playbook", "leak"]);
    ends(&refused, REFUSED);
    let mut going = case.rotating("leak");
    let told = going.wait_for(|e| e["event"] == "retrying").expect("it does not give up");
    assert_eq!(told["fault"]["code"], "HO0443", "{told}");
    hidden.back();
    let started = going.wait_for(|e| e["event"] == "started").expect("it begins");
    assert_eq!(text(&started["plan"]["old"]["id"]), leaked);
    person(&world, "delete", &text(&other["username"]));
    ends(&going.end(), DONE);
    assert_ne!(live(&world), [leaked]);
}

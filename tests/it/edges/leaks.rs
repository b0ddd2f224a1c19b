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

#[test]
fn l5_what_cannot_be_opened_beside_the_provider_is_not_in_the_way_of_containment() {
    let world = World::start();
    let case = world.case("one").scale(8);
    let leaked = live(&world).remove(0);
    let path = world.dir().join("inventory.yaml");
    let text = std::fs::read_to_string(&path).expect("the inventory");
    let missing = world.dir().join("not-there");
    let missing = missing.display();
    // A store whose certificates are gone, and a mailbox whose password is.
    let store = format!(
        "stores:\n  far: {{kind: conjur, address: \"https://127.0.0.1:9\", account: a, login: host/h, api_key: {{file: {missing}}}, ca_file: {missing}}}\n"
    );
    let entry = "    entries:\n      far:\n        store: far\n        path: mail/newsletter\n        fields: {username: username, password: password}\n        environment: staging\n";
    let begin = text.find("arrival: {").expect("an arrival");
    let end = begin + text[begin..].find("}}").expect("its end") + 1;
    let imap = format!("arrival: {{imap: {{host: 127.0.0.1, port: 9, username: u, password: {{file: {missing}}}}}}}");
    let text = format!("{}{imap}{}", &text[..begin], &text[end..]);
    let text = text.replacen("stores:\n", &store, 1).replacen("    entries:\n", entry, 1);
    let service = "services:\n  far-away: {credential: newsletter, entry: far, environment: staging, owner: o@example.com, \
         reload: {command: [/bin/true]}, attest: {http: {url: \"http://127.0.0.1:9/\"}}}\n";
    let text = text.replacen("services:\n", service, 1);
    std::fs::write(&path, text).expect("it writes");

    // Routine work wants all of it.
    ends(&case.rotate("drill"), REFUSED);
    // In a leak they are told of, and nothing waits for them.
    let plan = case.run(&["plan", CREDENTIAL, "--playbook", "emergency"]);
    ends(&plan, DONE);
    names(&plan, &["not-there"]);
    let mut going = case.rotating("emergency");
    let disabled = |e: &Value| e["event"] == "settled" && e["command"]["disable"] == 0 && !e["outcome"]["done"].is_null();
    going.wait_for(disabled).expect("it is shut out");
    assert!(!live(&world).contains(&leaked));
}

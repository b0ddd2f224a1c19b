//! A service that only a person restarts: they are asked, and what they say is looked at.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use serde_json::Value;

use super::{clean, ends, live};
use crate::support::exit::{BAD_INPUT, DONE, REFUSED, ROLLED_BACK, WAITING};
use crate::support::person::{asked, done};
use crate::support::world::CREDENTIAL;
use crate::support::{Case, World};

const TASK: &str = "ring the night shift: restart MAILOUT on MVS3";

/// The sandbox, where only a person restarts the service in production; and how they do it.
struct Shop {
    world: World,
    inventory: PathBuf,
    path: String,
}

impl Shop {
    fn start() -> Self {
        let world = World::start();
        let text = std::fs::read_to_string(world.dir().join("inventory.yaml")).expect("the inventory");
        let line = text.lines().find(|l| l.contains("reload:") && l.contains("production")).expect("a reload");
        let url = line.split('"').nth(1).expect("an address");
        let path = url.splitn(4, '/').nth(3).expect("a path").to_owned();
        let own = text.replace(line, &format!("    reload: {{manual: {{task: \"{TASK}\"}}}}"));
        let inventory = world.dir().join("by-hand.yaml");
        std::fs::write(&inventory, own).expect("it is written");
        Self { world, inventory, path }
    }

    fn case(&self, name: &str) -> Case<'_> {
        self.world.case(name).inventory(self.inventory.clone())
    }

    fn restart(&self) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.world.http_port())).expect("the service");
        let ask = format!("POST /{} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", self.path);
        stream.write_all(ask.as_bytes()).expect("it is asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
    }
}

#[track_caller]
fn asks_to_restart(case: &Case<'_>) -> Value {
    let asked = asked(case);
    assert_eq!((asked["action"].as_str(), asked["instructions"].as_str()), (Some("restart"), Some(TASK)), "{asked}");
    assert!(asked["command"].as_str().is_some_and(|command| command.contains(" done ")), "{asked}");
    asked
}

#[test]
fn a_person_restarts_what_nothing_else_does_and_is_asked_again_if_they_did_not() {
    let shop = Shop::start();
    let case = shop.case("one");
    let old = live(&shop.world);
    let plan = case.run(&["plan", CREDENTIAL, "--playbook", "drill"]);
    ends(&plan, DONE);
    let plan = plan.events().pop().expect("a plan");
    assert!(plan["by_hand"].to_string().contains(TASK), "{}", plan["by_hand"]);
    ends(&case.rotate("drill"), WAITING);
    assert!(asks_to_restart(&case)["again"].is_null());
    let early = done(&case);
    ends(&early, WAITING);
    let again = asks_to_restart(&case)["again"].to_string();
    assert!(again.contains("was said to be restarted, and presents old newsletter#1"), "{again}");
    shop.restart();
    let through = done(&case);
    ends(&through, DONE);
    assert_ne!(live(&shop.world), old);
    clean(&shop.world, &live(&shop.world));
    assert_eq!(case.broken_journal(true), Vec::<String>::new());
    // Nobody is asked any more.
    ends(&done(&case), REFUSED);
}

#[test]
fn on_the_way_back_the_service_is_asked_and_a_person_only_if_it_moved() {
    let shop = Shop::start();
    let old = live(&shop.world);
    // They have restarted it and not said so.
    let case = shop.case("one");
    ends(&case.rotate("drill"), WAITING);
    shop.restart();
    ends(&case.run(&["abort", CREDENTIAL]), WAITING);
    asks_to_restart(&case);
    shop.restart();
    ends(&done(&case), ROLLED_BACK);
    clean(&shop.world, &old);
    // They have not: nothing is asked of them.
    let case = shop.case("two");
    ends(&case.rotate("drill"), WAITING);
    ends(&case.run(&["abort", CREDENTIAL]), ROLLED_BACK);
    clean(&shop.world, &old);
}

#[test]
fn a_word_that_nothing_could_check_is_refused_before() {
    let shop = Shop::start();
    let text = std::fs::read_to_string(&shop.inventory).expect("the inventory");
    let (before, after) = text.split_once(TASK).expect("the task");
    let attest = after.lines().find(|l| l.contains("attest:")).expect("its attest");
    std::fs::write(&shop.inventory, format!("{before}{TASK}{}", after.replacen(attest, "", 1))).expect("it is written");
    let case = shop.case("one").in_words();
    let check = case.run(&["check"]);
    ends(&check, BAD_INPUT);
    assert!(check.said().contains("HO0138"), "{check}");
}

//! Others who change things outside meanwhile: nothing of theirs is overwritten or deleted.

use handover::providers::Provider;
use handover::providers::sandbox::{SandboxProvider, SandboxProviderOptions};
use handover_rotation::name::Tag;
use handover_rotation::outcome::Outcome;

use super::{clean, ends, live};
use crate::support::exit::{DONE, REFUSED, ROLLED_BACK, STUCK};
use crate::support::world::CREDENTIAL;
use crate::support::{Case, Run, World, service};

const THEIRS: &str = "SMTP_PASSWORD=set-by-someone-else";

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

#[test]
fn a_foreign_version_fills_the_quota_and_stays() {
    let world = World::start();
    let case = world.case("one").scale(8);
    let old = live(&world);
    let provider =
        SandboxProvider::open(SandboxProviderOptions { dir: world.dir().to_path_buf() }).expect("the sandbox is there");
    let tag = Tag::new("terraform").expect("a tag");
    let Outcome::Done(made) = wait(provider.create(CREDENTIAL, &tag, None)) else { panic!("it is not made") };
    let before = world.account();
    for playbook in ["drill", "scheduled"] {
        let run = case.rotate(playbook);
        ends(&run, REFUSED);
        assert!(run.said().contains(made.id.as_str()), "{} is not named: {run}", made.id);
        assert_eq!(world.account(), before, "nothing of the account was changed");
        assert_eq!(service::held(&world.env_file("production")).0, before.versions[0].username);
    }
    assert!(before.active().iter().any(|v| v.id == made.id.as_str()));
    assert_eq!(case.broken_journal(true), Vec::<String>::new());
    // Its owner takes it away: then there is room.
    assert_eq!(wait(provider.delete(CREDENTIAL, &made.id)), Outcome::Done(()));
    clean(&world, &old);
    ends(&case.rotate("drill"), DONE);
    clean(&world, &live(&world));
}

/// Puts another password into the entry of production when `step` begins; the run, and the file as it was left by them.
fn edited_at(world: &World, case: &Case<'_>, step: usize) -> (Run, Vec<u8>) {
    let mut going = case.rotating("drill");
    going.wait_for_step(step).expect("it comes to the step");
    let path = world.env_file("production");
    let text = std::fs::read_to_string(&path).expect("the entry can be read");
    let lines = text.lines().map(|l| if l.starts_with("SMTP_PASSWORD=") { THEIRS } else { l });
    let theirs = lines.map(|l| format!("{l}\n")).collect::<String>();
    assert!(theirs.contains(THEIRS));
    std::fs::write(&path, &theirs).expect("the entry can be written");
    (going.end(), theirs.into_bytes())
}

#[test]
fn an_entry_changed_by_someone_else_before_its_push_is_not_overwritten() {
    let world = World::start();
    let (old, case) = (live(&world), world.case("one"));
    let mine = std::fs::read(world.env_file("production")).expect("the entry");
    // Its write is refused by the file itself, and what is there is not known to be right: that takes a person.
    let (run, theirs) = edited_at(&world, &case, 1);
    ends(&run, STUCK);
    assert_eq!(std::fs::read(world.env_file("production")).expect("the entry"), theirs);
    assert!(world.account().active().iter().any(|v| v.id == old), "the old version lives");
    let todo = run.events().into_iter().find(|e| e["event"] == "stuck").expect("it says what is to do");
    assert!(todo["todo"].to_string().contains("production"), "{todo}");
    ends(&case.run(&["status"]), STUCK);
    ends(&case.resume(), STUCK);
    assert_eq!(std::fs::read(world.env_file("production")).expect("the entry"), theirs, "nor by another try");
    // Put back by a person, it ends by itself.
    std::fs::write(world.env_file("production"), mine).expect("the entry can be written");
    ends(&case.resume(), ROLLED_BACK);
    clean(&world, &old);
    assert_eq!(case.broken_journal(true), Vec::<String>::new());
}

#[test]
fn an_entry_changed_by_someone_else_after_its_push_is_not_overwritten() {
    let world = World::start();
    let (run, theirs) = edited_at(&world, &world.case("one"), 8);
    ends(&run, STUCK);
    assert_eq!(std::fs::read(world.env_file("production")).expect("the entry"), theirs);
    assert!(!world.account().active().is_empty());
    let todo = run.events().into_iter().find(|e| e["event"] == "stuck").expect("it says what is to do");
    assert!(todo["todo"].to_string().contains("production"), "{todo}");
}

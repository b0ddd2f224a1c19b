//! The gap of a change in place, as people see it: how long it may be before anyone agrees, how long it was after (IP3).

use crate::support::World;
use crate::support::exit::DONE;
use crate::support::world::CREDENTIAL;

#[test]
fn ip3_the_program_tells_the_gap_before_and_after() {
    let world = World::with(&["--shape", "in-place"]);
    let case = world.case("one").scale(8);
    let plan = ["plan", CREDENTIAL, "--playbook", "drill", "--time-scale", "8"];
    let planned = case.run(&plan).events().pop().expect("a plan");
    let (about, most) = (planned["gap_ms_estimate"].as_u64(), planned["gap_ms_most"].as_u64());
    assert!(about > Some(0) && about <= most, "{planned}");
    let told = case.clone().in_words().run(&plan);
    assert!(told.stdout.contains("without mail, from `generate`") && told.stdout.contains("told if it"), "{told}");
    assert!(told.stdout.contains("whether refused logins lock newsletter"), "{told}");
    let run = case.clone().in_words().rotate("drill");
    assert_eq!(run.code(), DONE, "{run}");
    let said = run.said();
    let measured = said.lines().find(|l| l.contains("the longest gap is ")).unwrap_or_else(|| panic!("{said}"));
    assert!(measured.contains("the plan had foreseen up to"), "{measured}");
    assert!(said.contains("was without a login that works for"), "{said}");
    assert_eq!(world.unclean(None), Vec::<String>::new());
}

#[test]
fn where_old_and_new_overlap_no_gap_is_planned() {
    let world = World::start();
    let planned = world.case("one").run(&["plan", CREDENTIAL, "--playbook", "drill"]).events().pop().expect("a plan");
    assert!(planned["plan_hash"].is_string(), "{planned}");
    assert_eq!((planned["gap_ms_estimate"].as_u64(), planned["gap_ms_most"].as_u64()), (None, None));
}

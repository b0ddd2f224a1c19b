//! Whole stories: what people do with the built program besides letting it run, and what others do to it meanwhile.

mod by_hand;
mod others;
mod people;
mod restarts;
mod typed;
mod words;
mod write_only;

use crate::support::exit::{DONE, ROLLED_BACK};
use crate::support::{Run, World, login, service};

/// The exit status must be this one.
#[track_caller]
fn ends(run: &Run, code: i32) {
    assert_eq!(run.code(), code, "{run}");
}

/// Nothing may be left over: one version kept, the wanted one, and everything holds and presents it.
#[track_caller]
fn clean(world: &World, wanted: &str) {
    assert_eq!(world.unclean(Some(wanted)), Vec::<String>::new());
    let account = world.account();
    assert_eq!(account.kept().len(), 1, "{:?}", account.kept());
}

/// The id of the version that is live.
fn live(world: &World) -> String {
    let account = world.account();
    let active = account.active();
    assert_eq!(active.len(), 1, "{active:?}");
    active[0].id.clone()
}

/// A playbook made of the shipped drill, under another name and with `from` replaced by `to`.
fn playbook(world: &World, name: &str, from: &str, to: &str) {
    let folder = world.dir().join("playbooks");
    let drill = std::fs::read_to_string(folder.join("drill.yaml")).expect("the drill is there");
    assert!(drill.contains(from) && drill.contains("name: drill"), "{drill}");
    let text = drill.replace("name: drill", &format!("name: {name}")).replace(from, to);
    std::fs::write(folder.join(format!("{name}.yaml")), text).expect("the playbook can be written");
}

#[test]
fn the_old_login_is_refused_and_the_new_accepted_by_a_client_that_is_not_ours() {
    let world = World::start();
    let case = world.case("one").scale(8);
    let old_id = live(&world);
    let (old_name, old_password) = service::held(&world.env_file("production"));
    let foreign = login::has_python();
    let smtp = world.status().smtp;
    if foreign {
        assert_eq!(login::reply(&smtp, &old_name, &old_password), 235, "the old login before");
    }
    ends(&case.rotate("drill"), DONE);
    let (new_name, new_password) = service::held(&world.env_file("production"));
    assert_eq!(service::held(&world.env_file("staging")), (new_name.clone(), new_password.clone()));
    assert_ne!((&old_name, &old_password), (&new_name, &new_password));
    let new_id = live(&world);
    assert_ne!(old_id, new_id);
    // All other bytes of the files are looked at there too.
    clean(&world, &new_id);
    assert_eq!(case.broken_journal(true), Vec::<String>::new());
    if foreign {
        assert_eq!(login::reply(&smtp, &old_name, &old_password), 535, "the old login after");
        assert_eq!(login::reply(&smtp, &new_name, &new_password), 235, "the new login after");
        assert_eq!(login::reply(&smtp, &new_name, &old_password), 535, "the new name with the old password");
    }
}

#[test]
fn two_rotations_in_a_row_are_done() {
    let world = World::start();
    let case = world.case("one").scale(8);
    let mut seen = vec![live(&world)];
    for _ in 0..2 {
        ends(&case.rotate("drill"), DONE);
        let now = live(&world);
        assert!(!seen.contains(&now), "{now} again, after {seen:?}");
        clean(&world, &now);
        seen.push(now);
    }
    assert_eq!(case.broken_journal(true), Vec::<String>::new());
    assert_eq!(case.run(&["history"]).events().len(), 2);
}

/// How each shape ends when all goes well and when production never takes the new version.
fn done_and_rolled_back(shape: &str) {
    let world = World::with(&["--shape", shape]);
    let done = world.case("done").scale(8);
    let before = live(&world);
    let run = done.rotate("drill");
    ends(&run, DONE);
    let now = live(&world);
    assert_ne!(before, now);
    assert_eq!(world.unclean(Some(&now)), Vec::<String>::new(), "{shape}");
    assert_eq!(done.broken_journal(true), Vec::<String>::new(), "{shape}");
    world.fault("ignore-reload=all");
    let back = world.case("back").scale(8);
    ends(&back.rotate("drill"), ROLLED_BACK);
    assert_eq!(world.unclean(Some(&now)), Vec::<String>::new(), "{shape}, rolled back");
    assert_eq!(back.broken_journal(true), Vec::<String>::new(), "{shape}, rolled back");
}

#[test]
fn every_shape_is_done_and_rolled_back_delete_only() {
    done_and_rolled_back("delete-only");
}

#[test]
fn every_shape_is_done_and_rolled_back_alternating() {
    done_and_rolled_back("alternating");
}

#[test]
fn every_shape_is_done_and_rolled_back_in_place() {
    done_and_rolled_back("in-place");
}

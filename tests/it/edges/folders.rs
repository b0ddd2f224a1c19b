//! Folders that are not a sandbox's, and files of a sandbox that a person has edited.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{ends, names};
use crate::support::exit::{BAD_INPUT, DONE};
use crate::support::world::CREDENTIAL;
use crate::support::{Going, HANDOVER, Run, World};

fn handover(args: &[&str], dir: &Path) -> Run {
    let mut command = Command::new(HANDOVER);
    command.args(args).arg("--dir").arg(dir).stdin(Stdio::null());
    Going::start(command).end()
}

/// Everything below a folder, with its bytes.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                all.insert(path.clone(), Vec::new());
                folders.push(path);
            } else {
                all.insert(path.clone(), std::fs::read(&path).expect("a file"));
            }
        }
    }
    all
}

#[test]
fn a_folder_of_somebody_else_is_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path();
    std::fs::create_dir(dir.join("playbooks")).expect("a folder");
    std::fs::write(dir.join("inventory.yaml"), "version: 1 # mine\n").expect("a file");
    std::fs::write(dir.join("playbooks/drill.yaml"), "mine\n").expect("a file");
    let before = contents(dir);
    for args in [
        &["sandbox"][..],
        &["sandbox", "--json"],
        &["rotate", CREDENTIAL, "--sandbox"],
        &["plan", CREDENTIAL, "--sandbox"],
        &["sandbox", "--fault", "slow=1s"],
    ] {
        let run = handover(args, dir);
        ends(&run, BAD_INPUT);
        assert!(args.contains(&"--fault") || run.said().contains("HO0911"), "{args:?}: {run}");
        assert_eq!(contents(dir), before, "{args:?}");
    }
    // An empty folder is taken, and one that a killed start has only begun.
    for begun in [&[][..], &["running.lock", "ports.json"]] {
        let dir = dir.join(format!("empty-{}", begun.len()));
        std::fs::create_dir(&dir).expect("a folder");
        for name in begun {
            let text = r#"{"starttls":1,"tls":1,"http":1}"#;
            std::fs::write(dir.join(name), if *name == "ports.json" { text } else { "" }).expect("a file");
        }
        ends(&handover(&["check", "--sandbox"], &dir), DONE);
    }
}

#[test]
fn what_a_person_edited_in_a_sandbox_is_kept_and_told_of() {
    let mut world = World::start();
    let (drill, inventory) = (world.dir().join("playbooks/drill.yaml"), world.dir().join("inventory.yaml"));
    let shipped = std::fs::read_to_string(&drill).expect("the drill");
    let mine = shipped.replace("soak: {for: 2s}", "soak: {for: 1s}");
    assert_ne!(mine, shipped);
    std::fs::write(&drill, &mine).expect("it can be written");
    let text = std::fs::read_to_string(&inventory).expect("the inventory") + "# mine\n";
    std::fs::write(&inventory, &text).expect("it can be written");
    world.stop();
    let run = handover(&["check", "--sandbox"], world.dir());
    ends(&run, DONE);
    names(&run, &["drill.yaml was edited", "drill.yaml.new", "inventory.yaml was edited"]);
    assert_eq!(std::fs::read_to_string(&drill).expect("the drill"), mine);
    assert_eq!(std::fs::read_to_string(&inventory).expect("the inventory"), text);
    assert_eq!(std::fs::read_to_string(drill.with_file_name("drill.yaml.new")).expect("the shipped one"), shipped);
    // Taken away, they are written again, and there is nothing more to tell.
    std::fs::remove_file(&drill).expect("it can be removed");
    std::fs::remove_file(&inventory).expect("it can be removed");
    let run = handover(&["check", "--sandbox"], world.dir());
    ends(&run, DONE);
    assert!(!run.stderr.contains("edited"), "{run}");
    assert_eq!(std::fs::read_to_string(&drill).expect("the drill"), shipped);
    assert!(!drill.with_file_name("drill.yaml.new").exists(), "what was beside it is of no use any more");
    world.serve(&[]);
}

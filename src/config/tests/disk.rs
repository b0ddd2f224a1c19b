//! What the disk can do to a loader: files that are missing, too large, not regular, or twice there.

use std::fs;
use std::path::Path;

use super::kinds::TestKinds;
use super::{SOUND, SOUND_PLAYBOOK, with};
use crate::config::{Problems, load_inventory, load_playbooks};

fn codes(problems: &Problems) -> Vec<&'static str> {
    problems.iter().map(|p| p.code).collect()
}

fn inventory_codes(path: &Path) -> Vec<&'static str> {
    load_inventory(path, &TestKinds).err().map(|p| codes(&p)).unwrap_or_default()
}

#[test]
fn files_that_cannot_be_read_are_told_and_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.yaml");
    assert_eq!(inventory_codes(&path), ["HO0101"], "missing");
    assert_eq!(inventory_codes(dir.path()), ["HO0108"], "a folder without files");
    fs::write(&path, vec![b'#'; 256 * 1024 + 1]).unwrap();
    assert_eq!(inventory_codes(&path), ["HO0102"], "too large");
    fs::write(&path, b"version: 1\nx: \xff\n").unwrap();
    assert_eq!(inventory_codes(&path), ["HO0101"], "not UTF-8");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(inventory_codes(dir.path()), ["HO0101"], "a folder with the name of a file");
    fs::remove_dir(&path).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    assert_eq!(inventory_codes(&path), ["HO0101"], "a socket");
    drop(socket);
    fs::remove_file(&path).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    assert_eq!(inventory_codes(dir.path()), ["HO0101"], "a FIFO, which would block for ever");
}

#[test]
fn a_folder_is_read_as_one_inventory_and_hidden_files_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let (head, tail) = SOUND.split_at(SOUND.find("services:").unwrap());
    fs::write(dir.path().join("a.yaml"), head).unwrap();
    fs::write(dir.path().join("b.yml"), format!("version: 1\n{tail}")).unwrap();
    fs::write(dir.path().join(".c.yaml"), "{{{").unwrap();
    fs::write(dir.path().join("d.txt"), "{{{").unwrap();
    let inventory = load_inventory(dir.path(), &TestKinds).unwrap();
    assert_eq!((inventory.credentials.len(), inventory.services.len()), (1, 2));
    assert!(inventory.warnings.is_empty());
}

#[test]
fn relative_paths_start_from_the_folder_of_the_file_even_through_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let real = dir.path().canonicalize().unwrap();
    fs::create_dir_all(real.join("deep/inventory")).unwrap();
    let text = with(SOUND, "path: staging.env", "path: ../x/staging.env");
    fs::write(real.join("deep/inventory/a.yaml"), text).unwrap();
    std::os::unix::fs::symlink(real.join("deep/inventory"), real.join("link")).unwrap();
    let inventory = load_inventory(&real.join("link/a.yaml"), &TestKinds).unwrap();
    let credential = inventory.credentials.values().next().unwrap();
    let paths: Vec<_> = credential.entries.values().map(|e| e.path.as_str()).collect();
    let want = [real.join("deep/inventory/production.env"), real.join("deep/x/staging.env")];
    assert_eq!(paths, want.each_ref().map(|p| p.to_str().unwrap()));
}

#[test]
fn all_problems_of_all_files_are_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.yaml"), with(&with(SOUND, "port: 587", "port: 0"), "kind: env-file", "kind: envfile"))
        .unwrap();
    fs::write(dir.path().join("b.yaml"), "version: 2\nstores: {other: {kind: env-file, dialekt: systemd}}\n").unwrap();
    fs::write(dir.path().join("c.yaml"), "version: [\n").unwrap();
    let problems = load_inventory(dir.path(), &TestKinds).unwrap_err();
    let mut found = codes(&problems);
    found.sort_unstable();
    assert_eq!(found, ["HO0103", "HO0109", "HO0110", "HO0113", "HO0121"]);
}

#[test]
fn playbooks_are_found_by_the_names_of_their_files() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("routine.yaml"), SOUND_PLAYBOOK).unwrap();
    let playbooks = load_playbooks(dir.path()).unwrap();
    assert_eq!(playbooks.keys().collect::<Vec<_>>(), ["routine"]);
    fs::write(dir.path().join("routine.yml"), SOUND_PLAYBOOK).unwrap();
    fs::write(dir.path().join("other.yaml"), SOUND_PLAYBOOK).unwrap();
    let problems = load_playbooks(dir.path()).unwrap_err();
    let mut found = codes(&problems);
    found.sort_unstable();
    assert_eq!(found, ["HO0120", "HO0203"], "{problems}");
}

#[test]
fn the_largest_file_allowed_does_not_keep_anyone_waiting() {
    let most = crate::config::node::MOST_BYTES - 200;
    let many = |head: &str, line: &dyn Fn(usize) -> String| {
        let mut text = head.to_owned();
        for n in 0.. {
            let next = line(n);
            if text.len() + next.len() > most {
                break;
            }
            text.push_str(&next);
        }
        text
    };
    let (head, _) = SOUND.split_at(SOUND.find("      staging: {store").unwrap());
    for (name, text) in [
        ("entries", many(head, &|n| format!("      e{n}: {{}}\n"))),
        ("unknown keys", many("version: 1\n", &|n| format!("k{n}:\n"))),
        ("references", many("version: 1\nservices:\n", &|n| format!("  s{n}: {{credential: d{n}, entry: e}}\n"))),
        ("brackets", many("version: 1\nx: ", &|_| "[".to_owned())),
        ("braces", many("version: 1\nx: ", &|_| "{a: ".to_owned())),
        ("question marks", many("version: 1\nx: ", &|_| "? ".to_owned())),
        ("secrets", many("version: 1\nstores:\n  a: {", &|n| format!("password{n}_token: x, "))),
    ] {
        let started = std::time::Instant::now();
        let problems = super::inventory(&[("a.yaml", &text)]).unwrap_err();
        assert!(problems.render(false).len() < 10_000_000, "{name}");
        assert!(started.elapsed().as_secs() < 20, "{name} took {:?}", started.elapsed());
    }
}

//! Rehearsals as a person runs them: the shipped example, and a plan with weaknesses planted. What they print is kept as golden
//! texts, so that it changes only on purpose.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::exit::{BAD_INPUT, DONE, STUCK};
use crate::support::{HANDOVER, Run};

/// Two weaknesses of services: one does not say which login it uses, the other is never asked to send.
const WEAK_SERVICES: [(&str, &str); 2] = [
    ("    test_send: {http: {method: POST, url: \"http://127.0.0.1:8081/test-mail\"}}\n", ""),
    ("    attest: {http: {url: \"http://127.0.0.1:8080/smtp-fingerprint\", timeout: 10s}}\n", ""),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rehearse(inventory: &Path, playbooks: &Path, rest: &[&str]) -> Run {
    let mut command = std::process::Command::new(HANDOVER);
    command.arg("--inventory").arg(inventory).arg("--playbooks").arg(playbooks).args(["rehearse", "shop-mail"]).args(rest);
    // A width of its own, and no terminal: the same text everywhere.
    command.env("COLUMNS", "80").env("NO_COLOR", "1");
    crate::support::Going::start(command).end()
}

fn changed(text: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "the shipped file has no {from:?}");
        text.replace(from, to)
    })
}

/// The shipped files in a folder of their own, as they are or with weaknesses. The example names a sandbox beside its folder: in
/// the checkout there may be one, which tells more of itself than the files do.
struct Weak {
    folder: tempfile::TempDir,
}

impl Weak {
    /// The example and a routine playbook, changed.
    fn new(inventory: &[(&str, &str)], playbook: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let example = std::fs::read_to_string(root().join("inventory/example.yaml")).expect("the example");
        let files = folder.path().join("files");
        std::fs::create_dir_all(files.join("playbooks")).expect("a folder");
        std::fs::write(files.join("inventory.yaml"), changed(&example, inventory)).expect("written");
        let scheduled = std::fs::read_to_string(root().join("playbooks/scheduled.yaml")).expect("the playbook");
        std::fs::write(files.join("playbooks/scheduled.yaml"), changed(&scheduled, playbook)).expect("written");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("files").join(name)
    }

    fn rehearse(&self, rest: &[&str]) -> Run {
        rehearse(&self.path("inventory.yaml"), &self.path("playbooks"), rest)
    }

    /// What was said, wherever the folder is.
    fn said(&self, run: &Run) -> String {
        run.said().trim().replace(&self.path("").to_string_lossy().into_owned(), "FOLDER/")
    }
}

#[test]
fn the_example_is_rehearsed() {
    let run = Weak::new(&[], &[]).rehearse(&[]);
    assert_eq!(run.code(), DONE, "{run}");
    insta::assert_snapshot!("rehearsal_example", run.stdout);
}

#[test]
fn planted_weaknesses_are_told() {
    let weak =
        Weak::new(&WEAK_SERVICES, &[("for: 30m", "for: 1s"), ("for: 24h", "for: 1m"), ("  # - approve:", "  - approve:")]);
    let page = weak.path("page.html");
    let run = weak.rehearse(&["--strict", "--html", &page.to_string_lossy()]);
    assert_eq!(run.code(), STUCK, "advice is enough to stop it: {run}");
    insta::assert_snapshot!("rehearsal_weak", run.stdout);
    assert!(!run.stdout.contains("BROKEN"), "a weak plan is no defect of Handover");
    let page = std::fs::read_to_string(&page).expect("a page");
    assert!(page.contains("<svg") && page.contains("has no attest"), "{page}");
    assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://"), "it needs nothing else");
}

/// An order that could retire a version before its replacement is proven, and a service that nothing moves, are errors: there is
/// nothing to rehearse.
#[test]
fn a_plan_without_proof_is_refused_before_it_is_rehearsed() {
    let reload = "    reload: {command: [/usr/bin/systemctl, restart, shop-staging]}\n";
    let verify = "  - verify: {services: staging}\n";
    for (name, weak) in [
        ("rehearsal_unmoved", Weak::new(&[(reload, "")], &[])),
        ("rehearsal_unsoaked", Weak::new(&[], &[("for: 30m", "for: 0s")])),
        ("rehearsal_unproven", Weak::new(&[], &[(verify, "")])),
    ] {
        let run = weak.rehearse(&[]);
        assert_eq!(run.code(), BAD_INPUT, "{run}");
        insta::assert_snapshot!(name, weak.said(&run));
    }
}

/// A pull request is guarded by the exit status and the last line.
#[test]
fn ci_is_told_in_json() {
    let weak = Weak::new(&WEAK_SERVICES, &[("  # - approve:", "  - approve:")]);
    let run = weak.rehearse(&["--json"]);
    assert_eq!(run.code(), DONE, "no failure by itself does lasting harm: {run}");
    assert_eq!(weak.rehearse(&["--json", "--strict"]).code(), STUCK, "there is advice");
    let lines: Vec<Value> = run.stdout.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let last = lines.last().expect("a line");
    assert_eq!((&last["event"], &last["sound"]), (&Value::from("rehearsed"), &Value::from(true)));
    assert_eq!(last["runs"].as_u64(), Some(lines.len() as u64 - 1));
    assert!(last["advice"].as_array().is_some_and(|all| all.len() == 2), "{last}");
    let sound = rehearse(&root().join("inventory/example.yaml"), &root().join("playbooks"), &["--json", "--strict"]);
    assert_eq!(sound.code(), DONE, "the example gives no advice: {sound}");
}

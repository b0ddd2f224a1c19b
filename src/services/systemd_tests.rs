//! A `systemctl` that says what is written beside it.

use std::path::Path;

use super::*;
use crate::config::Node;

const SYSTEMCTL: &str = r#"cd "$(dirname "$0")" || exit 9
echo "$*" >> said
case "$*" in
    "show --property=LoadState,ActiveState,InvocationID,NRestarts,ActiveEnterTimestampMonotonic -- mailer.service") cat life ;;
    "restart -- mailer.service") sh ./restart ;;
    *) exit 7 ;;
esac
"#;

fn read(text: &str) -> Option<SystemdReload> {
    let node = Node::from_yaml("test.yaml", Path::new("/"), text).expect("YAML");
    let mut fields = Fields::new(&node, "reload");
    let read = SystemdReload::options(&mut fields);
    if fields.finish().has_errors() { None } else { read }
}

fn life(load: &str, active: &str, invocation: &str, entered: &str) -> String {
    format!(
        "LoadState={load}\nActiveState={active}\nInvocationID={invocation}\nNRestarts=0\n\
         ActiveEnterTimestampMonotonic={entered}\n"
    )
}

/// What came of a restart that leaves this life, or does what the script says, and what the program was told.
async fn reload(before: &str, restart: &str, after: &str) -> (String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("systemctl"), SYSTEMCTL).expect("written");
    std::fs::write(at("life"), before).expect("written");
    std::fs::write(at("after"), after).expect("written");
    std::fs::write(at("restart"), format!("cp after life; {restart}")).expect("written");
    let text = format!("{{unit: mailer.service, systemctl: [/bin/sh, {}]}}", at("systemctl").display());
    let ended = match read(&text).expect("options").reload().await {
        Outcome::Done(()) => "done".to_owned(),
        Outcome::NotDone(fault) => format!("not-done {}", fault.code),
        Outcome::Unknown(fault) => format!("unknown {}", fault.code),
    };
    (ended, std::fs::read_to_string(at("said")).expect("it was run"))
}

#[test]
fn its_options_are_read_and_others_refused() {
    let options = read("{unit: newsletter@1.service, systemctl: [sudo, -n, systemctl], timeout: 2m}").expect("options");
    assert_eq!(options.describe(), "systemd newsletter@1.service");
    for wrong in ["{}", "{unit: --all}", "{unit: \"a b\"}", "{unit: x, action: reload}", "{unit: x, systemctl: [bin/x]}"] {
        assert!(read(wrong).is_none(), "{wrong}");
    }
}

#[tokio::test]
async fn only_another_life_is_a_restart() {
    let old = life("loaded", "active", "aaaa", "100");
    for (restart, after, expected) in [
        ("true", life("loaded", "active", "bbbb", "200"), "done"),
        ("true", life("loaded", "active", "aaaa", "100"), "not-done HO0741"),
        // Old releases of systemd have no number of a life.
        ("true", life("loaded", "active", "", "200"), "done"),
        ("true", life("loaded", "active", "", "100"), "not-done HO0741"),
        ("true", life("loaded", "failed", "bbbb", "200"), "not-done HO0741"),
        ("true", life("loaded", "activating", "bbbb", "200"), "not-done HO0741"),
        ("exit 1", life("loaded", "active", "bbbb", "200"), "not-done HO0703"),
        ("kill -9 $PPID", life("loaded", "active", "bbbb", "200"), "unknown HO0703"),
        ("rm life", String::new(), "unknown HO0703"),
    ] {
        assert_eq!(reload(&old, restart, &after).await.0, expected, "{restart} {after}");
    }
    // One that does not run yet is begun.
    let (ended, _) = reload(&life("loaded", "inactive", "", "0"), "true", &life("loaded", "active", "bbbb", "200")).await;
    assert_eq!(ended, "done");
}

#[tokio::test]
async fn a_unit_that_is_not_there_is_not_restarted() {
    let (ended, said) = reload(&life("not-found", "inactive", "", "0"), "true", "").await;
    assert_eq!(ended, "not-done HO0741");
    assert!(!said.contains("restart"), "{said}");
}

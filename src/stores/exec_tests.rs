use std::path::Path;

use handover_rotation::name::EntryName;

use super::*;
use crate::config::Node;

fn options(text: &str) -> Result<ExecOptions, String> {
    let node = Node::from_yaml("test.yaml", Path::new("/"), text).unwrap_or_else(|p| panic!("{p}"));
    let mut fields = Fields::new(&node, "store `own`");
    let read = ExecStore::options(&mut fields);
    let problems = fields.finish();
    read.filter(|_| !problems.has_errors()).ok_or_else(|| problems.to_string())
}

#[test]
fn exec_options_name_a_program() {
    let read = options("argv: [/opt/store, --team, mail]\ntimeout: 5s\n").expect("they are sound");
    assert_eq!((read.argv.len(), read.timeout), (3, Span::seconds(5)));
    assert_eq!(options("argv: [store]\n").expect("they are sound").timeout, DEFAULT_TIMEOUT);
    for (text, says) in [
        ("timeout: 5s\n", "lacks the key `argv`"),
        ("argv: []\n", "is empty"),
        ("argv: [bin/store]\n", "relative path"),
        ("argv: [/opt/store]\ntimeout: 5h\n", "too long"),
        ("argv: /opt/store\n", "must be a list"),
    ] {
        let problems = options(text).expect_err(text);
        assert!(problems.contains(says), "{text}: {problems}");
    }
}

fn entry() -> EntryRef {
    EntryRef {
        name: EntryName::new("own").expect("a name"),
        path: "mail/x".to_owned(),
        username_field: "u".to_owned(),
        password_field: "p".to_owned(),
    }
}

/// A program that answers `read` with `old`, and anything else by `script`.
fn store(script: &str) -> ExecStore {
    let whole = format!(
        "IFS= read -r request; case $request in *'\"call\":\"read\"'*) \
         echo '{{\"outcome\":\"done\",\"login\":{{\"username\":\"one\",\"password\":\"p-old\"}}}}'; exit;; esac; {script}"
    );
    let argv = ["/bin/sh", "-c", &whole].map(str::to_owned).to_vec();
    ExecStore::open(ExecOptions { argv, timeout: Span::seconds(1) }).unwrap_or_else(|fault| panic!("{fault}"))
}

#[tokio::test]
async fn what_a_program_does_not_say_is_unknown_for_a_write_and_not_done_for_a_look() {
    let login = || Login { username: Username::new("two").expect("a name"), password: Secret::new("new".to_owned()) };
    for (script, write, check) in [
        ("echo '{\"outcome\":\"done\"}'", "done", "done"),
        ("echo '{\"outcome\":\"not-done\"}'", "not-done HO0634", "not-done HO0634"),
        ("echo '{\"outcome\":\"not-done\",\"because\":\"forbidden\"}'", "not-done HO0632", "not-done HO0632"),
        ("echo '{\"outcome\":\"not-done\",\"because\":\"changed\"}'", "not-done HO0611", "not-done HO0611"),
        ("echo '{\"outcome\":\"not-done\",\"because\":\"missing\"}'", "not-done HO0635", "not-done HO0635"),
        ("echo '{\"outcome\":\"not-done\",\"because\":\"unreachable\"}'", "not-done HO0630", "not-done HO0630"),
        ("echo '{\"outcome\":\"unknown\",\"because\":\"busy\"}'", "unknown HO0633", "not-done HO0633"),
        // Not in the words of the protocol, or not with status 0.
        ("echo '{\"outcome\":\"ok\"}'", "unknown HO0634", "not-done HO0634"),
        ("echo '{\"outcome\":\"not-done\",\"because\":\"new was wrong\"}'", "unknown HO0634", "not-done HO0634"),
        ("echo '{\"outcome\":\"done\",\"more\":1}'", "unknown HO0634", "not-done HO0634"),
        ("echo '{\"outcome\":\"not-done\"}'; exit 1", "unknown HO0633", "not-done HO0633"),
        ("echo new was; echo p-old", "unknown HO0634", "not-done HO0634"),
        ("exit 0", "unknown HO0634", "not-done HO0634"),
        ("exit 7", "unknown HO0633", "not-done HO0633"),
        ("kill -9 $$", "unknown HO0633", "not-done HO0633"),
        ("sleep 30", "unknown HO0631", "not-done HO0631"),
    ] {
        let store = store(script);
        let said = |outcome: &Outcome<()>| match outcome {
            Outcome::Done(()) => "done".to_owned(),
            Outcome::NotDone(fault) => format!("not-done {}", fault.code),
            Outcome::Unknown(fault) => format!("unknown {}", fault.code),
        };
        let outcome = store.write(&entry(), &login(), &[&Secret::new("p-old".to_owned())]).await;
        assert_eq!(said(&outcome), write, "{script}");
        let shown = format!("{outcome:?}");
        assert!(!shown.contains("new was") && !shown.contains("p-old"), "{shown}");
        assert_eq!(said(&store.check_writable(&entry()).await), check, "{script}");
    }
    let nowhere = ExecOptions { argv: vec!["/no/such/program".to_owned()], timeout: Span::seconds(1) };
    let nowhere = ExecStore::open(nowhere).unwrap_or_else(|fault| panic!("{fault}"));
    let outcome = nowhere.write(&entry(), &login(), &[]).await;
    assert!(matches!(&outcome, Outcome::NotDone(fault) if fault.class == FaultClass::Permanent), "{outcome:?}");
}

#[tokio::test]
async fn a_program_gets_what_the_contract_says_and_no_secret_on_its_command_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let seen = folder.path().join("seen");
    let script = format!(
        "printf '%s\\n' \"$request\" >{0}; tr '\\0' ' ' </proc/$$/cmdline >{0}.args; env >{0}.env; echo '{{\"outcome\":\"done\"}}'",
        seen.display()
    );
    let login = Login { username: Username::new("two").expect("a name"), password: Secret::new("marked\"new\\".to_owned()) };
    let done = store(&script).write(&entry(), &login, &[&Secret::new("p-old".to_owned())]).await;
    assert!(matches!(done, Outcome::Done(())), "{done:?}");
    let request: Value = serde_json::from_str(&std::fs::read_to_string(&seen).expect("a text")).expect("json");
    let expected = json!({
        "handover": 1, "call": "write",
        "entry": {"name": "own", "path": "mail/x", "fields": {"username": "u", "password": "p"}},
        "login": {"username": "two", "password": "marked\"new\\"}, "expect": ["p-old"],
    });
    assert_eq!(request, expected);
    for more in ["args", "env"] {
        let text = std::fs::read_to_string(seen.with_extension(more)).expect("a text");
        assert!(!text.contains("marked"), "{text}");
    }
}

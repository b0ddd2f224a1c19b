//! Commands that end, hang, hide and chatter.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, test_kill_process};
use tempfile::TempDir;
use tokio::time::sleep;

use super::*;
use crate::process::GRACE;

const CHALLENGE: &str = "00112233445566778899aabbccddeeff";

fn action(argv: &[&str], timeout: Span) -> CommandAction {
    CommandAction::new(argv.iter().map(|word| (*word).to_owned()).collect(), timeout).expect("the command is sound")
}

fn sh(script: &str) -> CommandAction {
    action(&["/bin/sh", "-c", script, "sh"], Span::seconds(20))
}

fn code<T>(outcome: &Outcome<T>) -> String {
    match outcome {
        Outcome::Done(_) => "done".to_owned(),
        Outcome::NotDone(fault) => format!("not-done {}", fault.code),
        Outcome::Unknown(fault) => format!("unknown {}", fault.code),
    }
}

#[tokio::test]
async fn a_reload_is_what_the_status_says() {
    let table = [
        ("exit 0", "done"),
        ("exit 1", "not-done HO0703"),
        ("exit 127", "not-done HO0703"),
        ("kill -9 $$", "unknown HO0703"),
    ];
    for (script, expected) in table {
        assert_eq!(code(&sh(script).reload().await), expected, "{script}");
    }
    assert_eq!(sh("exit 0").describe(), "command sh");
}

#[tokio::test]
async fn programs_are_found_in_the_safe_path_only() {
    assert_eq!(action(&["true"], DEFAULT_TIMEOUT).reload().await, Outcome::Done(()));
    for program in ["no-such-program-here", "/no/such/program", "/etc"] {
        assert_eq!(code(&action(&[program], DEFAULT_TIMEOUT).reload().await), "not-done HO0702", "{program}");
    }
    for argv in [vec![], vec![""], vec!["bin/true"], vec!["./true"], vec!["../true"], vec!["true", "a\0b"]] {
        let argv: Vec<String> = argv.into_iter().map(str::to_owned).collect();
        let refused = CommandAction::new(argv.clone(), DEFAULT_TIMEOUT).err().map(|fault| fault.code);
        assert_eq!(refused.as_deref(), Some("HO0701"), "{argv:?}");
    }
}

#[tokio::test]
async fn nothing_is_inherited() {
    // Cargo and nextest set this for every test: the variable that must not come through.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let Run::Ended(status, text) = action(&["/usr/bin/env"], DEFAULT_TIMEOUT).run(&[], true).await else {
        panic!("`env` ends")
    };
    assert!(status.success());
    let mut lines: Vec<String> = String::from_utf8_lossy(&text).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["HOME=/", "LANG=C.UTF-8", &format!("PATH={SAFE_PATH}")]);
    let script = "test \"$(pwd)\" = / && test -z \"$(cat)\" && test \"$(ps -o pgid= -p $$ | tr -d ' ')\" = $$";
    assert_eq!(sh(script).reload().await, Outcome::Done(()));
}

#[tokio::test]
async fn arguments_are_never_read_by_a_shell() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let planted = folder.path().join("planted");
    let inject = format!("x; touch {}", planted.display());
    assert_eq!(action(&["true", &inject], DEFAULT_TIMEOUT).test_send("$(reboot)", &inject).await, Outcome::Done(()));
    assert!(!planted.exists());
}

#[tokio::test]
async fn a_test_send_gets_nonce_and_recipient_and_its_answer_counts() {
    let table = [
        ("test \"$#:$1:$2\" = 2:n-1:to@example.com", "done"),
        ("exit 1", "unknown HO0703"),
        ("kill -9 $$", "unknown HO0703"),
        ("echo '{\"accepted\": true}'", "done"),
        ("echo '{\"accepted\": false, \"reply\": \"535 5.7.8 MARK\"}'", "not-done HO0710"),
        ("echo '{\"accepted\": false, \"reply\": \"451 4.3.0\"}'; exit 1", "not-done HO0711"),
        ("echo '{\"accepted\": false}'; exit 1", "not-done HO0712"),
    ];
    for (script, expected) in table {
        let outcome = sh(script).test_send("n-1", "to@example.com").await;
        assert_eq!(code(&outcome), expected, "{script}");
        assert!(!format!("{outcome:?}").contains("MARK"));
    }
    assert_eq!(code(&sh("exit 0").test_send("n-1", "-oq@example.com").await), "not-done HO0701");
}

#[tokio::test]
async fn an_attestation_gets_the_challenge_and_is_read_from_the_output() {
    let proof = "ab".repeat(32);
    let good = format!("test $1 = {CHALLENGE} && echo MARK >&2 && echo '{{\"username\": \"u-1\", \"proof\": \"{proof}\"}}'");
    let expected = Attestation { username: "u-1".to_owned(), proof };
    assert_eq!(sh(&good).attest(CHALLENGE).await, Outcome::Done(expected));
    let table = [
        ("echo MARK", "not-done HO0709"),
        ("echo MARK; exit 3", "not-done HO0703"),
        ("head -c 3000000 /dev/zero", "not-done HO0709"),
    ];
    for (script, expected) in table {
        let outcome = sh(script).attest(CHALLENGE).await;
        assert_eq!(code(&outcome), expected, "{script}");
        assert!(!format!("{outcome:?}").contains("MARK"));
    }
}

#[tokio::test]
async fn output_beyond_the_cap_keeps_no_command_waiting() {
    let chatty = sh("head -c 3000000 /dev/zero; echo lots >&2").test_send("n", "to").await;
    assert_eq!(chatty, Outcome::Done(()));
}

#[tokio::test]
async fn what_a_command_leaves_running_does_not_hold_it_up() {
    let start = Instant::now();
    assert_eq!(sh("sleep 15 & exit 0").test_send("n", "to").await, Outcome::Done(()));
    assert!(start.elapsed() < Duration::from_secs(10));
}

/// Writes its process number and that of one it started to `DIR/pids`, and ignores SIGTERM in both.
fn stubborn(folder: &TempDir) -> CommandAction {
    let pids = folder.path().join("pids");
    let script = format!(
        "trap '' TERM; (while :; do sleep 1; done) & echo $$ $! > {0}.new; mv {0}.new {0}; while :; do sleep 1; done",
        pids.display()
    );
    action(&["/bin/sh", "-c", &script], Span(1500))
}

async fn pids(folder: &TempDir) -> Vec<i32> {
    let path = folder.path().join("pids");
    for _ in 0..1000 {
        if let Ok(text) = fs::read_to_string(&path) {
            return text.split_whitespace().map(|word| word.parse().expect("a number")).collect();
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("the command never started")
}

/// Gone, or dead and waiting for whoever has to collect it.
fn is_dead(pid: i32) -> bool {
    let Some(number) = Pid::from_raw(pid) else { return false };
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    test_kill_process(number).is_err() || stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

async fn all_die(pids: &[i32]) {
    assert_eq!(pids.len(), 2);
    for _ in 0..1000 {
        if pids.iter().all(|pid| is_dead(*pid)) {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("still running: {pids:?}");
}

#[tokio::test]
async fn after_the_timeout_the_whole_group_dies_and_nothing_is_known() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let start = Instant::now();
    let outcome = stubborn(&folder).reload().await;
    assert_eq!(code(&outcome), "unknown HO0704");
    assert!(start.elapsed() >= Duration::from_millis(1500) + GRACE, "SIGTERM comes first");
    all_die(&pids(&folder).await).await;
    for outcome in [
        code(&action(&["sleep", "60"], Span(50)).test_send("1", "1").await),
        code(&action(&["sleep"], Span(50)).attest("60").await),
    ] {
        assert_eq!(outcome, "unknown HO0704");
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_nothing_running() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let mut command = stubborn(&folder);
    command.timeout = Span::minutes(5);
    let call = tokio::spawn(async move { command.reload().await });
    let pids = pids(&folder).await;
    assert!(!is_dead(pids[0]));
    call.abort();
    all_die(&pids).await;
}

#[test]
fn a_call_ends_within_what_it_says() {
    let longest = action(&["true"], Span::seconds(30)).request_timeout();
    assert!(longest.0 >= 30_000 + 2 * 2_000);
}

use std::path::Path;

use super::*;
use crate::config::Node;

fn options(text: &str) -> Result<GithubOptions, String> {
    let node = Node::from_yaml("test.yaml", Path::new("/etc/handover"), text).unwrap_or_else(|p| panic!("{p}"));
    let mut fields = Fields::new(&node, "store `ci`");
    let read = GithubActionsStore::options(&mut fields);
    let problems = fields.finish();
    read.filter(|_| !problems.has_errors()).ok_or_else(|| problems.to_string())
}

#[test]
fn github_options_are_read_and_mistakes_are_told() {
    let read = options("token: {file: token}\n").expect("they are sound");
    assert_eq!(read.token, SecretRef::File("/etc/handover/token".into()));
    assert!(GithubActionsStore::open(read).is_ok());
    assert!(options("token: {env: T}\naddress: https://git.internal/api/v3\n").is_ok());
    for (text, says) in [
        ("address: https://git\n", "lacks the key `token`"),
        ("token: {file: t}\naddress: git\n", "`address`"),
        ("token: {file: t}\nscope: x\n", "has no key `scope`"),
    ] {
        let problems = options(text).expect_err(text);
        assert!(problems.contains(says), "{text}: {problems}");
    }
}

#[test]
fn a_change_is_told_by_its_time_but_for_two_within_one_second() {
    let (early, late) = ("2026-11-26T10:00:00Z", "2026-11-26T10:00:01Z");
    let at = |text: &str| Some(DateTime::parse_from_rfc3339(text).expect("a time").timestamp());
    for (before, after, dated, expected) in [
        (early, late, at(late), true),
        (early, late, None, true),
        (early, early, at(early), true),
        (early, early, at("2026-11-26T10:00:05Z"), true),
        (early, early, at("2026-11-26T10:00:06Z"), false),
        (early, early, None, false),
        ("", "", at(early), false),
    ] {
        assert_eq!(landed(before, after, dated), expected, "{before} {after} {dated:?}");
    }
}

#[test]
fn the_end_of_a_token_is_read_as_github_writes_it() {
    for text in ["2026-12-31 10:00:00 UTC", "2026-12-31 12:00:00 +0200"] {
        assert_eq!(expiry(text).map(|at| at.timestamp()), Some(1_798_711_200), "{text}");
    }
    assert_eq!(expiry("soon"), None);
}

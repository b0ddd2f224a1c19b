//! Whatever a file holds, the loader answers, and shows no planted secret.

use proptest::prelude::*;

use super::{SOUND, SOUND_PLAYBOOK, inventory, playbook};
use crate::config::Problems;

/// Draws the problems too: that must not panic either.
fn draw(problems: &Problems) -> String {
    let _ = problems.render(true);
    let _ = serde_json::to_string(problems).unwrap();
    problems.render(false)
}

/// A sound text with a stretch replaced by something else.
fn mangled(sound: &'static str) -> impl Strategy<Value = String> {
    let bits = prop_oneof![
        "[\\PC\\n\\t]{0,12}",
        "[ \\n\\t:{}\\[\\],&*!|>'\"%@`#?~<-]{0,8}",
        Just("\u{0}\u{feff}\u{2028}é\u{10ffff}".to_owned()),
        Just("&a [*a, *a]".to_owned()),
        Just("---\n".to_owned()),
        Just("? {a: b}\n: c\n".to_owned()),
        Just("password: |\n  x\n".to_owned()),
    ];
    (any::<prop::sample::Index>(), 0..40usize, bits).prop_map(move |(at, length, bit)| {
        let boundary = |mut i: usize| {
            while !sound.is_char_boundary(i) {
                i -= 1;
            }
            i
        };
        let start = boundary(at.index(sound.len()));
        let end = boundary((start + length).min(sound.len()));
        format!("{}{bit}{}", &sound[..start], &sound[end..])
    })
}

#[test]
fn a_carriage_return_by_itself_ends_a_line_and_moves_no_mask() {
    let part = "    account: newsletter\n";
    let text = SOUND.replacen(part, &format!("{part}    password: hunter2Zq9\n    bogus: 1\n"), 1);
    let problems = inventory(&[("a.yaml", &format!("# one\r# two\n{text}"))]).expect_err("a secret in the clear");
    let shown = draw(&problems);
    assert!(shown.contains("bogus: 1") && shown.contains("password: ***") && !shown.contains("hunter2"), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn arbitrary_text_never_panics(text in "[\\PC\\n\\t\\r\\x00]{0,200}") {
        if let Err(problems) = inventory(&[("a.yaml", &text)]) { draw(&problems); }
        if let Err(problems) = playbook("a", &text) { draw(&problems); }
    }

    #[test]
    fn mangled_inventories_never_panic(text in mangled(SOUND)) {
        if let Err(problems) = inventory(&[("a.yaml", &text), ("b.yaml", &text)]) {
            prop_assert!(!problems.is_empty());
            draw(&problems);
        }
    }

    #[test]
    fn mangled_playbooks_never_panic(text in mangled(SOUND_PLAYBOOK)) {
        if let Err(problems) = playbook("routine", &text) {
            prop_assert!(!problems.is_empty());
            draw(&problems);
        }
    }

    #[test]
    fn a_planted_secret_is_never_shown(
        secret in "[A-Za-z0-9+]{6,20}Zq9",
        key in prop_oneof![
            Just("password"), Just("api_key"), Just("secret_id"), Just("client-secret"), Just("passwrod"), Just("Token"),
            Just("smtp_password"), Just("authorization"),
        ],
        style in 0..9usize,
        breakage in prop_oneof![Just(""), Just("x: {\n"), Just("\t- : ]\n"), Just("a: b: c\n"), Just("u: \"open\n")],
    ) {
        let value = match style {
            0 => secret.clone(),
            1 => format!("\"{secret}\""),
            2 => format!("'{secret}'"),
            3 => format!("|\n      {secret}\n      {secret}"),
            4 => format!("[{secret}, {secret}]"),
            5 => format!("{{value: {secret}}}"),
            6 => format!(">-\n      {secret}"),
            7 => format!("\"{secret}\n      {secret}\""),
            _ => format!("{{{secret}: 1}}"),
        };
        let text = SOUND.replacen("dir: sandbox}", &format!("dir: sandbox}}\n  other:\n    kind: sandbox\n    dir: x\n    {key}: {value}\n    bogus: 1"), 1);
        let text = format!("{text}{breakage}");
        let problems = inventory(&[("a.yaml", &text)]);
        prop_assert!(problems.is_err(), "{text}");
        if let Err(problems) = problems {
            let shown = draw(&problems);
            prop_assert!(!shown.contains(&secret), "{shown}");
            let debug = format!("{problems:?}");
            prop_assert!(!debug.contains(&secret), "{debug}");
        }
    }
}

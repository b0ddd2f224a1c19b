//! Broken playbooks, each with what a tired person reads about it.

use super::{SOUND_PLAYBOOK, golden, playbook, with};

const BROKEN: &[(&str, &str, &str)] = &[
    // Keys and steps.
    ("name_is_not_the_file", "name: routine", "name: rutine"),
    ("no_summary", "summary: A routine rotation.\n", ""),
    ("unknown_key", "on_failure: roll-back", "on_faliure: roll-back"),
    ("unknown_on_failure", "on_failure: roll-back", "on_failure: rollback"),
    ("steps_are_a_map", "  - preflight\n  - generate\n", "  preflight:\n  generate:\n"),
    ("unknown_step", "  - deactivate\n", "  - deactivat\n"),
    ("unknown_step_with_options", "  - soak: {for: 30m}\n", "  - wait: {for: 30m}\n"),
    ("step_without_options", "  - push: {to: staging}\n", "  - push\n"),
    ("step_with_short_options", "  - push: {to: staging}\n", "  - push: staging\n"),
    ("plain_step_with_options", "  - deactivate\n", "  - deactivate: {after: 5m}\n"),
    ("step_with_two_keys", "  - soak: {for: 30m}\n", "  - soak: {for: 30m}\n    watch: {for: 1h}\n"),
    ("option_at_the_wrong_depth", "  - soak: {for: 30m}\n", "  - soak:\n    for: 30m\n"),
    ("step_is_a_number", "  - deactivate\n", "  - 7\n"),
    ("misspelt_option", "  - push: {to: staging}\n", "  - push: {too: staging}\n"),
    ("wait_without_unit", "soak: {for: 30m}", "soak: {for: 30}"),
    ("wait_in_words", "soak: {for: 30m}", "soak: {for: half an hour}"),
    ("wait_of_nothing", "soak: {for: 30m}", "soak: {for: 0s}"),
    ("wait_too_long", "watch: {for: 24h}", "watch: {for: 400d}"),
    ("approval_without_end", "{by: oncall@example.com, within: 4h}", "{by: oncall@example.com}"),
    ("containment_without_deadline", "on_failure: roll-back", "containment: 10m"),
    ("containment_of_nothing", "on_failure: roll-back", "containment: {deadline: 0s}"),
    // Order.
    ("no_steps", SOUND_PLAYBOOK, "version: 1\nname: routine\nsummary: Nothing.\nsteps: []\n"),
    ("no_preflight", "  - preflight\n", ""),
    ("no_generate", "  - generate\n", ""),
    ("push_before_generate", "  - generate\n  - push: {to: staging}\n", "  - push: {to: staging}\n  - generate\n"),
    ("push_twice", "  - reload: {services: staging}\n", "  - push: {to: staging}\n  - reload: {services: staging}\n"),
    (
        "reload_before_push",
        "  - push: {to: staging}\n  - reload: {services: staging}\n",
        "  - reload: {services: staging}\n  - push: {to: staging}\n",
    ),
    ("verify_without_reload", "  - reload: {services: production}\n", ""),
    ("retired_before_proven", "  - verify: {services: production}\n", ""),
    (
        "production_with_staging",
        "  - verify: {services: staging}\n  - push: {to: production}\n",
        "  - push: {to: production}\n  - verify: {services: staging}\n",
    ),
    ("deactivate_before_push", "  - push: {to: production}\n", "  - deactivate\n  - push: {to: production}\n"),
    ("never_retired", "  - deactivate\n  - confirm\n  - watch: {for: 24h}\n  - delete\n", ""),
    ("confirm_before_deactivate", "  - deactivate\n  - confirm\n", "  - confirm\n  - deactivate\n"),
    ("soak_after_deactivate", "  - deactivate\n", "  - deactivate\n  - soak: {for: 1h}\n"),
    ("delete_without_deactivate", "  - deactivate\n  - confirm\n  - watch: {for: 24h}\n", ""),
    ("delete_without_confirm", "  - confirm\n", ""),
    ("delete_without_watch", "  - watch: {for: 24h}\n", ""),
    ("step_after_delete", "  - delete\n", "  - delete\n  - approve: {by: me, within: 1h}\n"),
    ("soak_past_the_deadline", "on_failure: roll-back", "containment: {deadline: 10m}"),
    ("revoke_first_revokes_last", "on_failure: roll-back", "containment: revoke-first"),
];

#[test]
fn broken_playbooks_are_told_in_words_that_help() {
    assert!(playbook("routine", SOUND_PLAYBOOK).is_ok(), "{:?}", playbook("routine", SOUND_PLAYBOOK));
    for (name, part, by) in BROKEN {
        let Err(problems) = playbook("routine", &with(SOUND_PLAYBOOK, part, by)) else { panic!("{name} passes") };
        golden(&format!("playbook_{name}"), by, &problems.render(false));
    }
}

#[test]
fn summaries_may_be_folded_and_what_is_left_out_has_a_default() {
    use handover_rotation::playbook::{OnFailure, default_hold};
    let text = with(SOUND_PLAYBOOK, "summary: A routine rotation.", "summary: >\n  A routine\n  rotation.\n");
    let text = with(&text, "on_failure: roll-back\n", "");
    let playbook = playbook("routine", &text).unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(playbook.summary, "A routine rotation.");
    assert_eq!((playbook.on_failure, playbook.hold), (OnFailure::RollBack, default_hold()));
}

/// Found by fuzzing: the renderer lets the marks through that turn writing around.
#[test]
fn a_shown_line_turns_no_writing_around() {
    for mark in ['\u{61c}', '\u{200e}', '\u{200f}', '\u{202e}', '\u{2066}'] {
        let text = format!("{mark},");
        let Err(problems) = crate::config::doors::playbook(&text) else { panic!("a text is no playbook") };
        for shown in [problems.render(false), problems.render(true)] {
            assert!(!shown.contains(mark), "{}", shown.escape_debug());
        }
    }
}

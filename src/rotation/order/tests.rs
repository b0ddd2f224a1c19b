//! Sound and broken orders, in short.

use super::*;
use crate::playbook::{OnFailure, default_hold};

/// A playbook in short: `push:staging` has an environment, `soak=60` lasts seconds.
fn playbook(steps: &str, containment: Option<Containment>) -> Playbook {
    let steps = steps.split_whitespace().map(|word| {
        let environment = || Environment::new(word.split(':').nth(1).unwrap()).unwrap();
        let lasting = || Span::seconds(word.split('=').nth(1).unwrap().parse().unwrap());
        match word.split([':', '=']).next().unwrap() {
            "preflight" => Step::Preflight,
            "generate" => Step::Generate,
            "push" => Step::Push { to: environment() },
            "reload" => Step::Reload { services: environment() },
            "verify" => Step::Verify { services: environment() },
            "soak" => Step::Soak { lasting: lasting() },
            "approve" => Step::Approve { by: "oncall".into(), within: lasting() },
            "deactivate" => Step::Deactivate,
            "confirm" => Step::Confirm,
            "watch" => Step::Watch { lasting: lasting() },
            "delete" => Step::Delete,
            other => panic!("{other}"),
        }
    });
    Playbook {
        name: "test".into(),
        summary: "test".into(),
        steps: steps.collect(),
        on_failure: OnFailure::RollBack,
        hold: default_hold(),
        containment,
    }
}

const WAVES: &str = "push:staging reload:staging verify:staging push:production reload:production verify:production";

#[test]
fn sound_orders_pass() {
    let deadline = Some(Containment::Deadline(Span::minutes(10)));
    for (steps, containment) in [
        (format!("preflight generate {WAVES} soak=60 deactivate confirm watch=60 delete"), None),
        (format!("preflight generate {WAVES} soak=60 approve=60 approve=60 deactivate confirm watch=60 delete"), None),
        (format!("preflight generate {WAVES} deactivate confirm"), None),
        ("preflight generate push:live reload:live verify:live deactivate confirm watch=1 delete".into(), None),
        (format!("preflight generate {WAVES} soak=60 deactivate confirm delete"), deadline),
        // Once the old version is shut out, a gate may wait past the deadline.
        (format!("preflight generate {WAVES} deactivate confirm approve=6000 delete"), deadline),
        (format!("preflight deactivate generate {WAVES} confirm delete"), Some(Containment::RevokeFirst)),
        (format!("preflight deactivate confirm generate {WAVES} delete"), Some(Containment::RevokeFirst)),
        (format!("preflight deactivate generate {WAVES} soak=60 confirm delete"), Some(Containment::RevokeFirst)),
    ] {
        assert_eq!(playbook(&steps, containment).check_order(&[]), [], "{steps}");
    }
}

#[test]
fn each_broken_rule_is_found_at_its_step() {
    let deadline = Some(Containment::Deadline(Span::minutes(10)));
    let first = Some(Containment::RevokeFirst);
    let end = "deactivate confirm watch=60 delete";
    let one = "push:live reload:live verify:live";
    for (steps, containment, at, what) in [
        (String::new(), None, None, "has no steps"),
        (format!("generate {one} {end}"), None, Some(0), "first step must be"),
        (format!("preflight {one} {end}"), None, None, "no `generate`"),
        (format!("preflight generate {end}"), None, None, "no `push`"),
        (format!("preflight generate {one}"), None, None, "no `deactivate`"),
        (format!("preflight generate generate {one} {end}"), None, Some(2), "stands twice"),
        (format!("preflight generate push:live {one} {end}"), None, Some(3), "stands twice"),
        (format!("preflight push:live generate reload:live verify:live {end}"), None, Some(1), "no new version yet"),
        (format!("preflight generate reload:live push:live verify:live {end}"), None, Some(2), "old version again"),
        (format!("preflight generate push:live verify:live reload:live {end}"), None, Some(3), "old version"),
        (format!("preflight generate push:live reload:live {end}"), None, Some(4), "before `live` is proven"),
        (
            "preflight generate push:live reload:live deactivate verify:live confirm watch=1 delete".to_owned(),
            None,
            Some(4),
            "before `live` is proven",
        ),
        ("preflight generate push:live reload:live".to_owned(), None, Some(2), "nothing proves afterwards"),
        (format!("preflight generate deactivate {one} confirm watch=1 delete"), None, Some(3), "comes after `deactivate`"),
        (format!("preflight generate push:a push:b reload:a reload:b verify:a verify:b {end}"), None, Some(3), "reach both"),
        // Proven before it was pushed is not proven.
        (format!("preflight generate verify:a push:a reload:a push:b reload:b verify:b {end}"), None, Some(5), "reach both"),
        (
            format!(
                "preflight generate {} push:staging reload:staging verify:staging {end}",
                one.replace("live", "production")
            ),
            None,
            Some(2),
            "before staging",
        ),
        (format!("preflight generate {one} confirm deactivate watch=1 delete"), None, Some(5), "before `deactivate`"),
        (format!("preflight generate {one} watch=1 deactivate confirm delete"), None, Some(5), "before `deactivate`"),
        (
            format!("preflight generate {one} deactivate soak=60 confirm watch=1 delete"),
            None,
            Some(6),
            "no two live versions",
        ),
        (format!("preflight soak=60 generate {one} {end}"), None, Some(1), "no new version yet"),
        (format!("preflight generate {one} deactivate"), None, Some(5), "without `confirm`"),
        (format!("preflight generate {one} deactivate watch=1 delete"), None, Some(7), "without `confirm`"),
        (format!("preflight generate {one} deactivate confirm delete"), None, Some(7), "without `watch`"),
        (format!("preflight generate {one} delete"), None, Some(5), "without `deactivate`"),
        (format!("preflight generate {one} delete deactivate confirm watch=1"), None, Some(6), "nothing to disable"),
        (format!("preflight generate {one} {end} soak=60"), None, Some(9), "after `delete`"),
        (
            format!("preflight generate {one} soak=600 deactivate confirm delete"),
            deadline,
            Some(5),
            "past the containment deadline",
        ),
        (
            format!("preflight generate {one} soak=300 approve=300 deactivate confirm delete"),
            deadline,
            Some(6),
            "past the containment deadline",
        ),
        (format!("preflight generate {one} deactivate confirm delete"), first, Some(5), "comes late"),
        (
            "preflight deactivate generate push:live reload:live confirm delete".to_owned(),
            first,
            Some(3),
            "nothing proves afterwards",
        ),
        ("preflight deactivate confirm delete".to_owned(), first, None, "no `push`"),
    ] {
        let found = playbook(&steps, containment).check_order(&[]);
        assert!(found.iter().any(|p| p.step == at && p.message.contains(what)), "{steps}: {what}: {found:?}");
    }
}

#[test]
fn a_playbook_must_fit_the_environments_of_the_credential() {
    let book = playbook("preflight generate push:a reload:a verify:a deactivate confirm watch=1 delete", None);
    let env = |name: &str| Environment::new(name).unwrap();
    assert_eq!(book.check_order(&[env("a")]), []);
    let found = book.check_order(&[env("b")]);
    assert_eq!(found.iter().map(|p| p.step).collect::<Vec<_>>(), [Some(2), Some(3), Some(4), None], "{found:?}");
}

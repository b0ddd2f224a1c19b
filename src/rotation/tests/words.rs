//! What names, times, commands, steps and faults are, and how they read: the smallest parts, as tables.

use std::collections::BTreeMap;

use handover_rotation::command::{Command, Which};
use handover_rotation::name::{CredentialName, NameError, RotationId, Slot, Tag, VersionId};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::{Bindings, Plan, Policy, Shape};
use handover_rotation::playbook::{Containment, Playbook, Step, default_hold};
use handover_rotation::time::{Millis, Span};

use crate::world::plans::{PLAYBOOKS, entry, plan, service};

fn environment(name: &str) -> handover_rotation::name::Environment {
    handover_rotation::name::Environment::new(name).expect("a name")
}

#[test]
fn names_and_ids_are_checked_at_the_border() {
    let name = |text: &str| CredentialName::new(text).map(|n| n.as_str().to_owned());
    let id = |text: &str| VersionId::new(text).map(|n| n.to_string());
    for good in ["a", "news-letter_2.eu", &"a".repeat(64)] {
        assert_eq!(name(good).as_deref(), Ok(good));
    }
    for good in ["AKIA0", "a._:@/+=-#z", &"i".repeat(256)] {
        assert_eq!(id(good).as_deref(), Ok(good));
    }
    assert_eq!((name(""), id("")), (Err(NameError::Empty), Err(NameError::Empty)));
    assert_eq!(name(&"a".repeat(65)), Err(NameError::TooLong(64)));
    assert_eq!(id(&"i".repeat(257)), Err(NameError::TooLong(256)));
    // What could be a path, a terminal's command or another line has no place in a name.
    for (bad, character) in [("a b", ' '), ("a/b", '/'), ("a\n", '\n'), ("a\u{1b}[m", '\u{1b}'), ("ü", 'ü')] {
        assert_eq!(name(bad), Err(NameError::Character(character)), "{bad:?}");
    }
    for (bad, character) in [("a b", ' '), ("a\n", '\n'), ("a\"", '"'), ("ü", 'ü')] {
        assert_eq!(id(bad), Err(NameError::Character(character)), "{bad:?}");
    }
    // The same rule holds for what is read back from a journal.
    assert_eq!(serde_json::from_str::<VersionId>("\"v1\"").expect("an id").as_str(), "v1");
    serde_json::from_str::<VersionId>("\"v 1\"").expect_err("a space");
    assert_eq!(serde_json::to_string(&VersionId::new("v1").expect("an id")).expect("text"), "\"v1\"");
}

#[test]
fn a_tag_names_its_rotation_and_slot_and_is_known_as_ours() {
    let rotation = RotationId::new("rot-1").expect("an id");
    let tag = Tag::of(&rotation, Slot(2));
    assert_eq!(tag.as_str(), "handover:rot-1.2");
    assert!(tag.is_ours());
    assert!(!Tag::new("someone:rot-1.2").expect("a tag").is_ours());
}

#[test]
fn a_slot_is_the_old_version_a_new_one_or_a_stray() {
    let table = [
        (0, "old", true, false),
        (1, "new", false, false),
        (2, "new#2", false, false),
        (127, "new#127", false, false),
        (128, "stray#1", false, true),
        (130, "stray#3", false, true),
    ];
    for (number, text, old, stray) in table {
        let slot = Slot(number);
        assert_eq!((slot.to_string().as_str(), slot.is_old(), slot.is_stray()), (text, old, stray));
    }
    assert_eq!(format!("{:>5}|", Slot(1)), "  new|");
}

#[test]
fn times_add_up_and_never_go_below_nothing() {
    assert_eq!(Millis(5).after(Span(3)), Millis(8));
    assert_eq!(Millis(u64::MAX).after(Span(3)), Millis(u64::MAX));
    assert_eq!(Millis(8).since(Millis(5)), Span(3));
    assert_eq!(Millis(5).since(Millis(8)), Span(0));
    assert_eq!((Span::seconds(2), Span::minutes(2)), (Span(2000), Span(120_000)));
    assert_eq!((Span(90).scaled(3), Span(90).scaled(1), Span(90).scaled(0)), (Span(30), Span(90), Span(90)));
    for (ms, text) in [
        (999, "999ms"),
        (1000, "1s"),
        (1050, "1.0s"),
        (9_999, "9.9s"),
        (10_001, "10s"),
        (59_999, "59s"),
        (60_000, "1m"),
        (3_599_000, "59m59s"),
        (86_399_000, "23h59m"),
        (86_400_000, "1d"),
        (86_460_000, "1d"),
    ] {
        assert_eq!(Span(ms).to_string(), text, "{ms}");
    }
    assert_eq!(format!("{:>6}|", Span(4000)), "    4s|");
}

/// Every command: its words, whether its intent must be durable first, whether mail proves it, the version it changes.
#[test]
fn commands_say_what_they_do() {
    let (e, s) = (entry("e"), service("s"));
    let (old, new) = (Some(Slot::OLD), Some(Slot(1)));
    let table = [
        (Command::CheckHost, "check this machine", false, false, None),
        (Command::ListVersions, "list versions", false, false, None),
        (Command::CheckWritable(e.clone()), "check that e can be written", false, false, None),
        (Command::ReadEntry(e.clone()), "read e", false, false, None),
        (Command::Auth(Slot::OLD), "log in with the old version", false, true, None),
        (Command::Attest(s.clone()), "ask s what it presents", false, false, None),
        (Command::Create(Slot(1)), "create the new version", true, false, new),
        (Command::Disable(Slot::OLD), "disable the old version", true, false, old),
        (Command::Enable(Slot::OLD), "enable the old version", true, false, old),
        (Command::Delete(Slot(1)), "delete the new version", true, false, new),
        (Command::Write(e.clone(), Slot(1)), "write the new version to e", true, false, None),
        (Command::Reload(s.clone()), "reload s", true, false, None),
        (Command::Probe(e), "send with what e holds", true, true, None),
        (Command::TestSend(s), "have s send a mail", true, true, None),
        (Command::Control, "control send with the old version", true, false, None),
    ];
    for (command, text, effect, mail, slot) in table {
        assert_eq!(command.to_string(), text);
        assert_eq!((command.is_effect(), command.is_mail(), command.slot_changed()), (effect, mail, slot), "{text}");
    }
    for (which, text) in [
        (Which::Slot(Slot::OLD), "the old version"),
        (Which::Foreign, "a value that this rotation does not know"),
        (Which::Nothing, "nothing"),
    ] {
        assert_eq!(which.to_string(), text);
    }
}

#[test]
fn steps_have_a_word_a_text_and_perhaps_an_environment() {
    let live = environment("live");
    let lasting = Span::minutes(30);
    let table = [
        (Step::Preflight, "preflight", "preflight", false),
        (Step::Generate, "generate", "generate", false),
        (Step::Push { to: live.clone() }, "push", "push to live", true),
        (Step::Reload { services: live.clone() }, "reload", "reload live", true),
        (Step::Verify { services: live.clone() }, "verify", "verify live", true),
        (Step::Soak { lasting }, "soak", "soak 30m", false),
        (Step::Approve { by: "ann".into(), within: lasting }, "approve", "approve by ann within 30m", false),
        (Step::Deactivate, "deactivate", "deactivate", false),
        (Step::Confirm, "confirm", "confirm", false),
        (Step::Watch { lasting }, "watch", "watch 30m", false),
        (Step::Delete, "delete", "delete", false),
    ];
    for (step, word, text, placed) in table {
        assert_eq!((step.word(), step.to_string().as_str()), (word, text));
        assert_eq!(step.environment(), placed.then_some(&live), "{text}");
    }
}

#[test]
fn shapes_decide_what_a_rotation_can_promise() {
    let table = [
        (Shape::Reversible, "A: ", true, true),
        (Shape::DeleteOnly, "B: ", true, true),
        (Shape::Alternating, "C: ", false, true),
        (Shape::InPlace, "C: ", false, false),
        (Shape::Manual, "D: ", false, true),
    ];
    let mut texts = Vec::new();
    for (shape, letter, several, overlaps) in table {
        assert!(shape.describe().starts_with(letter), "{shape:?}");
        assert_eq!((shape.keeps_several(), shape.overlaps()), (several, overlaps), "{shape:?}");
        texts.push(shape.describe());
    }
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), 5, "no two shapes are told alike");
}

#[test]
fn a_plan_knows_its_environments_and_what_is_in_them() {
    let mut plan = plan("scheduled", Shape::Reversible);
    let [production, staging] = ["production", "staging"].map(environment);
    assert_eq!(plan.environments(), [production.clone(), staging.clone()], "in order, each once");
    assert_eq!(plan.entries_in(&staging).collect::<Vec<_>>(), [&entry("staging")]);
    assert_eq!(plan.services_in(&production).collect::<Vec<_>>(), [&service("api-production")]);
    let prove = plan.services.get_mut(&service("api-production")).expect("a service");
    for (attest, test_send, can) in [(true, true, true), (true, false, true), (false, true, false), (false, false, false)] {
        (prove.attest, prove.test_send) = (attest, test_send);
        assert_eq!(prove.can_prove(), can, "mail passes with the old version too");
        assert_eq!(prove.is_silent(), !attest && !test_send);
    }
    plan.entries = BTreeMap::new();
    assert_eq!(plan.environments().len(), 2, "those of services count");
}

/// What a plan is bound to is part of what was approved; a plan of before there were bindings is still read and hashed as it was.
#[test]
fn what_a_plan_is_bound_to_is_written_and_nothing_is_written_of_nothing() {
    let bare = plan("scheduled", Shape::Reversible);
    let text = serde_json::to_string(&bare).expect("text");
    assert!(!text.contains("bindings"), "{text}");
    assert_eq!(serde_json::from_str::<Plan>(&text).expect("a plan"), bare);
    type Part = fn(&mut Bindings) -> &mut BTreeMap<String, String>;
    let parts: [Part; 3] = [|b| &mut b.targets, |b| &mut b.evidence, |b| &mut b.means];
    for (number, part) in parts.into_iter().enumerate() {
        let mut bound = bare.clone();
        part(&mut bound.bindings).insert("provider sandbox".into(), "a digest".into());
        let text = serde_json::to_string(&bound).expect("text");
        assert_eq!(serde_json::from_str::<Plan>(&text).expect("a plan").bindings, bound.bindings, "line {number}");
    }
}

#[test]
fn the_deadline_of_containment_counts_only_where_the_old_version_leaked() {
    let book = |name: &str| plan(name, Shape::Reversible);
    let sound = |mut plan: Plan| {
        plan.compromised = false;
        plan
    };
    let table = [
        (book("leak"), Some(Span::minutes(10)), false),
        (book("emergency"), Some(Span(0)), true),
        (book("scheduled"), None, false),
        (sound(book("leak")), None, false),
        (sound(book("emergency")), None, true),
    ];
    for (plan, deadline, first) in table {
        let name = &plan.playbook.name;
        assert_eq!((plan.containment_deadline(), plan.playbook.revokes_first()), (deadline, first), "{name}");
    }
    let mut scheduled = book("scheduled");
    scheduled.compromised = true;
    assert_eq!(scheduled.containment_deadline(), None, "the alert itself says how soon");
}

#[test]
fn a_playbook_that_says_no_hold_holds_for_ten_minutes() {
    assert_eq!(default_hold(), Span::minutes(10));
    let text = r#"{"name":"n","summary":"s","steps":["preflight"],"on_failure":"roll-back"}"#;
    let book: Playbook = serde_json::from_str(text).expect("a playbook");
    assert_eq!((book.hold, book.containment), (Span::minutes(10), None));
    let all = PLAYBOOKS.map(|name| plan(name, Shape::Reversible).playbook.containment);
    let expected = [None, None, Some(Containment::Deadline(Span::minutes(10))), Some(Containment::RevokeFirst)];
    assert_eq!(all, expected);
}

/// The numbers that safety rests on: three sends (S11), few attempts and bounded waits (L7).
#[test]
fn the_numbers_of_the_machine_are_those_of_the_design() {
    let Policy { sends, attempts, backoff, backoff_most, sample, arrival } = Policy::default();
    assert_eq!((sends, attempts), (3, 5));
    assert_eq!((backoff, backoff_most), (Span(500), Span::seconds(30)));
    assert_eq!((sample, arrival), (Span::seconds(60), Span::minutes(2)));
}

#[test]
fn a_fault_is_safe_to_show_and_an_outcome_keeps_it() {
    let fault = Fault::new(FaultClass::Temporary, "HO0001", "it\u{1b}[31m is\nso").hint("look");
    assert_eq!(fault.to_string(), "it\u{fffd}[31m is\u{fffd}so (HO0001)");
    assert_eq!(fault.hint.as_deref(), Some("look"));
    assert_eq!(Fault::new(FaultClass::Temporary, "HO0001", "x".repeat(700)).message.len(), 600);
    let (done, not, unknown) = (Outcome::Done(2), Outcome::NotDone(fault.clone()), Outcome::Unknown(fault.clone()));
    assert_eq!((done.fault(), not.fault(), unknown.fault()), (None, Some(&fault), Some(&fault)));
    let double = |outcome: Outcome<i32>| outcome.map(|n| n * 2);
    assert_eq!(double(done), Outcome::Done(4));
    assert_eq!(double(not), Outcome::NotDone(fault.clone()), "what is not done stays so");
    assert_eq!(double(unknown), Outcome::Unknown(fault), "and a doubt never becomes a failure");
}

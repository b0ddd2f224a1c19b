//! Rehearsals of plans that are known: sound ones, and ones with a weakness planted.

use std::path::Path;

use handover_rotation::name::CredentialName;
use handover_rotation::plan::{Plan, Shape};
use handover_rotation::playbook::Step;
use handover_rotation::time::Span;

use super::advice::advise;
use super::case::{Ends, Fault, Lasting};
use super::{Extent, Rehearsal, rehearse};
use crate::config::{load_inventory, load_playbooks};
use crate::engine::sketch::{sketch, usual_facts};

fn plan(credential: &str, playbook: &str, shape: Shape) -> Plan {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let inventory = load_inventory(&root.join("inventory/example.yaml"), &crate::registry::Registry).expect("the example");
    let playbooks = load_playbooks(&root.join("playbooks")).expect("the shipped playbooks");
    let mut facts = usual_facts("sandbox");
    facts.shape = shape;
    sketch(&inventory, &CredentialName::new(credential).expect("a name"), &playbooks[playbook], facts).expect("it fits")
}

fn tried(plan: &Plan) -> Rehearsal {
    rehearse(plan, Extent::default(), |_, _| {})
}

fn broken(r: &Rehearsal) -> Vec<&Vec<String>> {
    r.findings.iter().filter(|f| f.ends == Ends::Broken).map(|f| &f.broken).collect()
}

#[test]
fn the_shipped_playbooks_are_sound_for_the_example() {
    for playbook in ["scheduled", "leak", "emergency"] {
        let r = tried(&plan("shop-mail", playbook, Shape::Reversible));
        assert_eq!(broken(&r), Vec::<&Vec<String>>::new(), "{playbook}");
        assert_eq!(r.plain.ends, Ends::Done, "{playbook}");
        assert!(r.is_sound(), "{playbook}: {:#?}", r.harmful().next());
        assert!(r.findings.len() > 200 && r.count(Ends::Done) > 0, "{playbook}: {} runs", r.findings.len());
    }
}

#[test]
fn every_end_is_reached_and_told_apart() {
    let r = tried(&plan("shop-mail", "scheduled", Shape::Reversible));
    for ends in [Ends::Done, Ends::Refused, Ends::RolledBack, Ends::Stuck] {
        assert!(r.count(ends) > 0, "{ends:?}");
    }
    let deaf = |f: &&super::Finding| matches!(&f.cases[0].fault, Fault::Breaks(Lasting::DeafService(_)));
    assert!(r.findings.iter().filter(deaf).all(|f| matches!(f.ends, Ends::RolledBack | Ends::Stuck)));
    let sorted = r.findings.windows(2).all(|w| w[0].badness() >= w[1].badness());
    assert!(sorted, "the worst comes first");
}

#[test]
fn a_planted_weakness_is_named() {
    let mut weak = plan("shop-mail", "scheduled", Shape::DeleteOnly);
    weak.playbook.steps.retain(|s| !matches!(s, Step::Verify { services } if services.as_str() == "staging"));
    for step in &mut weak.playbook.steps {
        if let Step::Soak { lasting } = step {
            *lasting = Span(0);
        }
    }
    let first = weak.services.keys().next().cloned().expect("a service");
    weak.services.get_mut(&first).expect("it").reload = None;
    let r = tried(&weak);
    assert_eq!(r.plain.ends, Ends::RolledBack, "a service that nothing reloads never moves");
    assert!(!r.is_sound());
    let advice: Vec<&str> = r.advice.iter().map(|a| a.weak.as_str()).collect();
    for word in ["has no reload", "nothing verifies staging", "soak 0", "there is no way back"] {
        assert!(advice.iter().any(|a| a.contains(word)), "{word}: {advice:?}");
    }
}

#[test]
fn what_a_service_is_advised_to_add_is_what_lifts_its_weakness() {
    let word = "`approve` step";
    for (playbook, asks) in [("scheduled", true), ("leak", false)] {
        for (attest, test_send, wanted) in [
            (false, false, vec!["add `attest`", "`test_send` to see that it can send"]),
            (false, true, vec!["add `attest`"]),
            (true, false, vec!["add `test_send`"]),
            (true, true, vec![]),
        ] {
            let mut weak = plan("shop-mail", playbook, Shape::Reversible);
            let (name, service) = weak.services.iter_mut().next().expect("a service");
            (service.attest, service.test_send) = (attest, test_send);
            let (name, proves) = (name.clone(), service.can_prove());
            let about = format!("service {name} ");
            let mends: Vec<String> =
                advise(&weak, &[]).into_iter().filter(|a| a.weak.starts_with(&about)).map(|a| a.mend).collect();
            assert_eq!(mends.len(), usize::from(!wanted.is_empty()), "{mends:?}");
            let mend = mends.concat();
            assert!(wanted.iter().all(|w| mend.contains(w)), "{mend}");
            assert_eq!(mend.contains("`attest`"), !proves, "only that proves which login it uses: {mend}");
            assert_eq!(mend.contains(word), !proves && asks, "a leak is contained without asking: {mend}");
        }
    }
}

#[test]
fn a_change_in_place_has_a_gap_that_is_told() {
    let r = tried(&plan("shop-mail", "scheduled", Shape::InPlace));
    assert_eq!(broken(&r), Vec::<&Vec<String>>::new());
    assert!(!r.plain.outages.is_empty(), "even when nothing goes wrong, mail fails for a while");
    assert!(r.plain.outages.iter().all(|o| !o.lasting));
}

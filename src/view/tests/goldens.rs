//! The texts themselves.

use std::collections::BTreeSet;

use handover_rotation::command::Command;
use handover_rotation::name::{CredentialName, EntryName, Environment, ProviderName, ServiceName, Slot, StoreName};
use handover_rotation::plan::{ArrivalKind, Shape};
use handover_rotation::playbook::Containment;
use handover_rotation::time::{Millis, Span};

use super::stories::{self, Events, START, STYLE, UNICODE, fold};
use crate::config::inventory::{Arrival, Credential, Criticality, Entry, Inventory, Probe, Service, SmtpServer, Tls};
use crate::view::board::board;
use crate::view::history::history;
use crate::view::impact::impact;
use crate::view::line::{Closing, finished_line};
use crate::view::plan::{plan, plan_json};
use crate::view::report::report;
use crate::view::status::{status, status_json};

const HASH: &str = "3f9a1c77e0b24d6f8a5590c1d2e3f4a5b6c7d8e9f00112233445566778899aab";

macro_rules! golden {
    ($name:expr, $text:expr) => {
        insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($name, $text);
        })
    };
}

fn end(events: &Events) -> Millis {
    events[events.len() - 1].0.after(Span::seconds(41))
}

fn status_of(events: &Events, now: Millis, holder: Option<&str>) -> String {
    status(&fold(events), events, now, holder, STYLE)
}

fn report_of(events: &Events) -> String {
    report(&fold(events), events, end(events), STYLE)
}

#[test]
fn plans() {
    let scheduled = stories::plan("scheduled", Shape::Reversible);
    golden!("plan_scheduled", plan(&scheduled, HASH, &["the disk of /etc has 92 % in use".to_owned()], STYLE));
    let mut in_place = stories::plan("drill", Shape::InPlace);
    in_place.arrival = ArrivalKind::None;
    in_place.time_scale = 60;
    for service in in_place.services.values_mut() {
        (service.attest, service.owner) = (false, None);
    }
    golden!("plan_in_place", plan(&in_place, HASH, &[], STYLE));
    golden!("plan_leak", plan(&stories::plan("leak", Shape::DeleteOnly), "9a31", &[], UNICODE));
    golden!("plan_by_hand", plan(&stories::by_hand("scheduled"), HASH, &[], STYLE));
    let mut emergency = stories::by_hand("emergency");
    (emergency.compromised, emergency.playbook.containment) = (true, Some(Containment::RevokeFirst));
    let emergency = plan(&emergency, HASH, &[], STYLE);
    assert!(emergency.contains("step 1     disable AKIA4711 of smtp-newsletter, at once"), "{emergency}");
    let json = plan_json(&scheduled, HASH, &[]);
    assert_eq!(json["steps"][12]["point_of_no_return"], true);
    assert_eq!(json["command"], format!("handover rotate newsletter --playbook scheduled --plan {HASH}"));
}

#[test]
fn statuses() {
    let holder = Some("ana@ops1 4711");
    let verifying = stories::until_step(stories::drill(), 7);
    golden!("status_verifying", status_of(&verifying, end(&verifying), holder));
    let mut soaking = stories::until(stories::scheduled(), Span::minutes(12));
    golden!("status_soaking", status_of(&soaking, START.after(Span::minutes(13)), None));
    soaking = stories::until(stories::scheduled(), Span::minutes(12 * 60));
    golden!("status_watching", status_of(&soaking, START.after(Span::minutes(12 * 60)), None));
    let waits = stories::waits_for_approval();
    golden!("status_approval", status_of(&waits, end(&waits), None));
    let person = stories::waits_for_person();
    golden!("status_person", status_of(&person, end(&person), None));
    let retrying = {
        let events = stories::rolled_back();
        let at = events.iter().position(|(_, e)| matches!(e, handover_rotation::event::Event::RollbackStarted { .. }));
        events[..at.expect("a rollback")].to_vec()
    };
    golden!("status_trouble", status_of(&retrying, retrying[retrying.len() - 1].0, holder));
    let stuck = stories::stuck();
    golden!("status_stuck", status_of(&stuck, end(&stuck), None));
    let leak = stories::leak_stuck();
    golden!("status_leak_stuck", status_of(&leak, end(&leak), None));
    let leak = stories::until(leak, Span::minutes(4));
    golden!("status_leak_running", status_of(&leak, START.after(Span::minutes(4)), holder));
    let done = stories::drill();
    golden!("status_done", status_of(&done, end(&done), None));
    let back = stories::rolled_back();
    golden!("status_rolled_back", status_of(&back, end(&back), None));
}

#[test]
fn a_status_as_json_has_what_a_program_needs() {
    let events = stories::waits_for_approval();
    let json = status_json(&fold(&events), &events, end(&events), None);
    golden!("status_json", serde_json::to_string_pretty(&json).expect("JSON"));
}

#[test]
fn reports() {
    golden!("report_done", report_of(&stories::drill()));
    golden!("report_done_after_trouble", report_of(&stories::done_after_trouble()));
    golden!("report_rolled_back", report_of(&stories::rolled_back()));
    golden!("report_refused", report_of(&stories::refused_in_preflight()));
    golden!("report_stuck", report_of(&stories::stuck()));
    golden!("report_leak_stuck", report_of(&stories::leak_stuck()));
    golden!("report_in_place", report_of(&stories::in_place()));
    golden!("report_scheduled", report_of(&stories::scheduled()));
    let waits = stories::waits_for_approval();
    let r = fold(&waits);
    golden!("report_waiting", report(&r, &waits, end(&waits), UNICODE));
}

#[test]
fn histories() {
    let all = [
        stories::waits_for_approval(),
        stories::stuck(),
        stories::rolled_back(),
        stories::refused_in_preflight(),
        stories::scheduled(),
    ];
    let all: Vec<_> = all.iter().map(fold).collect();
    golden!("history", history(&all, START.after(Span::minutes(3)), STYLE));
    golden!("history_empty", history(&[], START, STYLE));
}

#[test]
fn boards() {
    let events = stories::until_step(stories::drill(), 4);
    let running = BTreeSet::from([Command::Probe(EntryName::new("staging").expect("a name")), Command::ListVersions]);
    let probing = board(&fold(&events), &running, None, STYLE);
    let lines: Vec<String> = probing.targets.into_iter().map(|t| t.text).collect();
    golden!("board", format!("{}\n{}", probing.head, lines.join("\n")));
    let create = Command::Create(Slot(1));
    let asks = board(&fold(&stories::waits_for_person()), &BTreeSet::new(), Some(&create), STYLE);
    assert_eq!(asks.head, "step 2 of 13: generate: a person is asked to make a new version of smtp-newsletter at ses");
}

#[test]
fn last_lines() {
    let stuck = fold(&stories::stuck());
    let lines = [
        finished_line(Some(&stuck.id), Closing::Stuck, 5, Some(&stuck), START, None),
        finished_line(None, Closing::Refused, 2, None, START, None),
    ];
    golden!("finished_lines", lines.join("\n"));
    let codes: Vec<u8> =
        [Closing::Done, Closing::Refused, Closing::RolledBack, Closing::Stuck, Closing::Waiting].map(Closing::exit).into();
    assert_eq!(codes, [0, 3, 4, 5, 6]);
}

fn inventory() -> Inventory {
    let entry = |path: &str, environment: &str| Entry {
        store: StoreName::new("hosts").expect("a name"),
        path: path.to_owned(),
        username_field: "SMTP_USERNAME".into(),
        password_field: "SMTP_PASSWORD".into(),
        environment: Environment::new(environment).expect("a name"),
    };
    let name = |text: &str| EntryName::new(text).expect("a name");
    let credential = CredentialName::new("newsletter").expect("a name");
    let service = |entry: &str, environment: &str, owner: Option<&str>, criticality| Service {
        credential: credential.clone(),
        entry: name(entry),
        environment: Environment::new(environment).expect("a name"),
        owner: owner.map(str::to_owned),
        criticality,
        reload: None,
        test_send: None,
        attest: None,
    };
    let spec = Credential {
        provider: ProviderName::new("ses").expect("a name"),
        account: "smtp-newsletter".into(),
        smtp: SmtpServer { host: "email-smtp.example.com".into(), port: 587, tls: Tls::StartTls, ca_file: None },
        probe: Probe { from: "probe@example.com".into(), to: "probe@example.com".into(), arrival: Arrival::None },
        entries: [
            (name("staging"), entry("/etc/newsletter/staging.env", "staging")),
            (name("production"), entry("/etc/newsletter/production.env", "production")),
            (name("batch"), entry("/etc/batch.env", "production")),
        ]
        .into(),
        schedule: None,
        on_leak: None,
    };
    let owner = Some("growth-oncall@example.com");
    let mut inventory = Inventory::default();
    inventory.credentials = [(credential.clone(), spec)].into();
    inventory.services = [
        ("api-staging", service("staging", "staging", None, Criticality::Low)),
        ("api", service("production", "production", owner, Criticality::High)),
        ("worker", service("production", "production", owner, Criticality::Medium)),
    ]
    .map(|(n, s)| (ServiceName::new(n).expect("a name"), s))
    .into();
    inventory
}

#[test]
fn impacts() {
    let inventory = inventory();
    golden!("impact", impact(&inventory, &CredentialName::new("newsletter").expect("a name"), STYLE));
    golden!("impact_unknown", impact(&inventory, &CredentialName::new("other").expect("a name"), STYLE));
}

//! Cases: what a seed is about. The shipped files are read by the real loader and planned by the real `prepare`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use handover::config::inventory::Inventory;
use handover::config::{load_inventory, load_playbooks};
use handover::engine::ports::{EntryPort, Ports, ServicePorts};
use handover::registry::Registry;
use handover::stores::EntryRef;
use handover_rotation::name::CredentialName;
use handover_rotation::plan::{ProviderFacts, Shape};
use handover_rotation::playbook::{Playbook, Step};
use handover_rotation::time::Span;

use super::chance::Chance;
use super::mail::Server;
use super::net::{Port, Process};
use super::places::{Entry, Service};
use super::provider::{ACCOUNT, Account};
use super::world::{Sim, State, Version, World};

/// What a seed is about.
pub(crate) struct Case {
    pub(crate) facts: ProviderFacts,
    pub(crate) playbook: Playbook,
    pub(crate) sample: Span,
    /// Successful mails in a row that prove something.
    pub(crate) sends: u8,
    /// Timeout and landing of the stores.
    pub(crate) store: (u64, u64),
    /// Whether the production service can be asked to send.
    pub(crate) asked: bool,
    /// Whether a process stays for long waits.
    pub(crate) patient: bool,
    /// The wall clock at the beginning.
    pub(crate) wall: i64,
    /// Another version in the account that is not ours.
    pub(crate) foreign: bool,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn inventory() -> &'static Inventory {
    static READ: OnceLock<Inventory> = OnceLock::new();
    READ.get_or_init(|| load_inventory(&root().join("inventory/sandbox.yaml"), &Registry).expect("a sound inventory"))
}

fn playbooks() -> &'static BTreeMap<String, Playbook> {
    static READ: OnceLock<BTreeMap<String, Playbook>> = OnceLock::new();
    READ.get_or_init(|| load_playbooks(Path::new(&root().join("playbooks"))).expect("sound playbooks"))
}

/// A shipped playbook.
pub(crate) fn playbook(name: &str) -> Playbook {
    playbooks()[name].clone()
}

pub(crate) fn credential() -> CredentialName {
    CredentialName::new(ACCOUNT).expect("a name")
}

/// Noons and midnights before changes of civil time, in Berlin and in New York, and around leap days and turns of the year.
const NIGHTS: [i64; 8] = [
    1_774_699_200_000, // the noon before 2026-03-29, Berlin springs forward
    1_792_843_200_000, // the noon before 2026-10-25, Berlin falls back
    1_772_928_000_000, // 2026-03-08, New York springs forward
    1_793_491_200_000, // 2026-11-01, New York falls back
    1_835_395_200_000, // 2028-02-29
    1_798_758_000_000, // 2026-12-31, an hour before midnight
    1_786_000_000_000,
    1_793_000_000_000,
];

impl Case {
    pub(crate) fn draw(chance: &mut Chance) -> Self {
        let shape = chance.pick(&[Shape::Reversible, Shape::DeleteOnly, Shape::Alternating, Shape::InPlace]);
        let names = ["scheduled", "scheduled", "scheduled", "drill", "leak", "leak", "emergency"];
        let mut playbook = playbooks()[chance.pick(&names)].clone();
        let scheduled = playbook.name == "scheduled";
        if scheduled && chance.hits(250) {
            let at = playbook.steps.iter().position(|s| *s == Step::Deactivate).unwrap_or_default();
            playbook.steps.insert(at, Step::Approve { by: "oncall@example.com".to_owned(), within: Span::minutes(240) });
        }
        let foreign = chance.hits(60) && shape != Shape::InPlace;
        let second = Span::seconds;
        let facts = ProviderFacts {
            kind: "simulated".to_owned(),
            shape,
            quota: chance.pick(&[2, 2, 2, 3, 5]),
            propagation: chance.pick(&[second(0), second(2), second(30), Span::minutes(10)]),
            request_timeout: chance.pick(&[second(2), second(10), second(30), second(90)]),
            landing: chance.pick(&[second(0), second(5), second(60)]),
            chooses_secret: matches!(shape, Shape::Alternating | Shape::InPlace),
            tells_last_use: chance.hits(300),
        };
        Self {
            facts,
            sample: chance.pick(&[Span::minutes(1), Span::minutes(10), Span::minutes(360)]),
            store: (chance.pick(&[2000, 10_000, 60_000]), chance.pick(&[0, 0, 10_000])),
            sends: 3,
            asked: chance.hits(800),
            patient: !scheduled,
            wall: chance.pick(&NIGHTS) + i64::try_from(chance.below(86_400_000)).unwrap_or_default(),
            foreign,
            playbook,
        }
    }

    /// The world in which a case begins: one version, which every entry holds and every service uses.
    pub(crate) fn furnish(&self, world: &mut World) {
        let username = match self.facts.shape {
            Shape::InPlace => ACCOUNT.to_owned(),
            Shape::Alternating => format!("{ACCOUNT}-a"),
            _ => format!("{ACCOUNT}.0"),
        };
        let old = (username, "the old password of the account".to_owned());
        let version = |pair: &(String, String)| Version {
            username: pair.0.clone(),
            password: pair.1.clone(),
            tag: None,
            turns: vec![(0, State::Active)],
            used: None,
            refused: None,
        };
        world.versions.insert("v0".to_owned(), version(&old));
        if self.foreign {
            let other = (format!("{ACCOUNT}.other"), "the password of someone else".to_owned());
            world.versions.insert("other".to_owned(), version(&other));
        }
        let inventory = inventory();
        for name in inventory.credentials[&credential()].entries.keys() {
            world.entries.insert(name.to_string(), old.clone());
        }
        for (name, service) in inventory.services_of(&credential()) {
            world.services.insert(name.to_string(), (service.entry.to_string(), old.clone()));
        }
    }

    /// The adapters of one process.
    pub(crate) fn ports(&self, sim: &Arc<Sim>, process: &Arc<Process>) -> Arc<Ports> {
        let port = |name: &str, timeout: u64, landing: u64| Port {
            sim: Arc::clone(sim),
            process: Arc::clone(process),
            name: name.to_owned(),
            landing,
            timeout,
        };
        let inventory = inventory();
        let found = &inventory.credentials[&credential()];
        let entries = found.entries.iter().map(|(name, entry)| {
            let place = EntryRef {
                name: name.clone(),
                path: entry.path.clone(),
                username_field: "U".to_owned(),
                password_field: "P".to_owned(),
            };
            let store = Arc::new(Entry(port(name.as_str(), self.store.0, self.store.1)));
            (name.clone(), EntryPort { store, place })
        });
        let name = credential();
        let services = inventory.services_of(&name).map(|(name, service)| {
            let port = Arc::new(Service(port(name.as_str(), 10_000, 0)));
            let sends = self.asked || service.environment.as_str() == "staging";
            let test_send: Option<Arc<dyn handover::services::TestSend>> = if sends { Some(port.clone()) } else { None };
            let ports = ServicePorts { reload: Some(port.clone()), attest: Some(port), test_send };
            (name.clone(), ports)
        });
        let limit = self.facts.request_timeout.0;
        Arc::new(Ports {
            provider: Arc::new(Account(port("provider", limit, self.facts.landing.0), self.facts.clone())),
            account: ACCOUNT.to_owned(),
            entries: entries.collect(),
            services: services.collect(),
            mail: Arc::new(Server(port("mail", 45_000, 0), self.facts.propagation.0)),
        })
    }

    pub(crate) fn describe(&self) -> String {
        let gate = self.playbook.steps.iter().any(|s| matches!(s, Step::Approve { .. }));
        format!(
            "{}{} on {:?}, propagation {}, timeout {}, landing {}, quota {}, samples every {}, stores {:?}, patient {}",
            self.playbook.name,
            if gate { " with a gate" } else { "" },
            self.facts.shape,
            self.facts.propagation,
            self.facts.request_timeout,
            self.facts.landing,
            self.facts.quota,
            self.sample,
            self.store,
            self.patient
        )
    }
}

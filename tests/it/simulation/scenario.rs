//! Scenarios of the sweep: the ways that a rotation can go when nothing goes wrong but what a scenario is about.

use handover_rotation::plan::{ProviderFacts, Shape};
use handover_rotation::playbook::Playbook;
use handover_rotation::time::Span;

use super::case::{Case, playbook};
use super::script::{Act, Manner, Script, Strike, When};

/// A way that a rotation can go.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    playbook: &'static str,
    shape: Shape,
    cues: &'static [(When, Act)],
    /// A service that reads its entry only after so many minutes.
    deaf: Option<(&'static str, u64)>,
    /// How many versions there may be: with more than two, what is made twice is left over.
    quota: u8,
    /// Mails in a row that prove something.
    sends: u8,
    /// Where processes die without a strike, their recovery must go the same way in each run.
    pub(crate) manner: Option<Manner>,
    /// How it ends when nothing strikes.
    pub(crate) ending: &'static str,
}

const fn scenario(name: &'static str, playbook: &'static str, shape: Shape, ending: &'static str) -> Scenario {
    Scenario { name, playbook, shape, cues: &[], deaf: None, quota: 2, sends: 1, manner: None, ending }
}

const NEAR: Manner = Manner { elsewhere: false, late: true, dies: false };
const FAR: Manner = Manner { elsewhere: true, late: true, dies: false };

/// A cue, and from there on it is swept.
const fn at(step: &'static str, act: Act) -> [(When, Act); 2] {
    [(When::Starts(step), Act::Open), (When::Starts(step), act)]
}

/// The owner dies as this step starts, and what its successor does is swept until the next one.
const fn taken_over(step: &'static str, until: &'static str) -> [(When, Act); 3] {
    [(When::Starts(step), Act::Open), (When::Starts(step), Act::Die), (When::Starts(until), Act::Close)]
}

use Shape::{Alternating, DeleteOnly, InPlace, Reversible};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { sends: 3, ..scenario("forward", "drill", Reversible, "done") },
    // Pushes, reloads and verifications know no shape: `forward` has swept them.
    Scenario { cues: &[(When::Starts("soak"), Act::Open)], ..scenario("delete-only", "drill", DeleteOnly, "done") },
    Scenario {
        cues: &[
            (When::Starts("preflight"), Act::Open),
            (When::Starts("reload staging"), Act::Close),
            (When::Starts("soak"), Act::Open),
        ],
        ..scenario("alternating", "drill", Alternating, "done")
    },
    scenario("in-place", "drill", InPlace, "done"),
    Scenario { quota: 5, ..scenario("leak", "leak", Reversible, "done") },
    scenario("emergency", "emergency", Reversible, "done"),
    Scenario { cues: &at("push staging", Act::Abort), ..scenario("back-from-generate", "drill", Reversible, "rolled back") },
    Scenario {
        cues: &at("verify staging", Act::Abort),
        ..scenario("back-from-staging", "drill", Reversible, "rolled back")
    },
    // It says that it has reloaded, and keeps what it had.
    Scenario {
        cues: &[(When::Starts("reload production"), Act::Open)],
        deaf: Some(("newsletter-production", u64::MAX)),
        ..scenario("back-from-production", "drill", Reversible, "rolled back")
    },
    Scenario { cues: &at("confirm", Act::Abort), ..scenario("back-from-confirm", "drill", Reversible, "rolled back") },
    Scenario {
        cues: &[(When::Lists("watch"), Act::Open), (When::Lists("watch"), Act::LogIn)],
        ..scenario("back-from-watch", "drill", Reversible, "rolled back")
    },
    Scenario {
        cues: &at("verify production", Act::Abort),
        ..scenario("back-alternating", "drill", Alternating, "rolled back")
    },
    Scenario { cues: &at("verify production", Act::Abort), ..scenario("back-in-place", "drill", InPlace, "rolled back") },
    // Its deadline comes before the last service is moved.
    Scenario {
        cues: &[(When::Contains, Act::Open)],
        deaf: Some(("newsletter-production", 20)),
        ..scenario("leak-contained", "leak", Reversible, "done")
    },
    // It is written again, and nothing is sent with it.
    Scenario {
        cues: &[
            (When::Starts("verify production"), Act::Open),
            (When::Starts("verify production"), Act::PutBack),
            (When::Starts("deactivate"), Act::Close),
        ],
        ..scenario("leak-put-back", "leak", Reversible, "done")
    },
    // Containment is tried until it is done, however often it has failed.
    Scenario {
        cues: &[(When::Contains, Act::Outage(12)), (When::Starts("delete"), Act::Open)],
        ..scenario("leak-in-the-dark", "emergency", Reversible, "done")
    },
    Scenario {
        cues: &at("verify production", Act::Leak),
        manner: Some(NEAR),
        ..scenario("leak-of-the-old", "drill", Reversible, "done")
    },
    Scenario {
        cues: &at("soak", Act::LeakNew),
        manner: Some(FAR),
        ..scenario("leak-of-the-new", "drill", Reversible, "rolled back")
    },
    Scenario {
        cues: &taken_over("push production", "verify production"),
        manner: Some(NEAR),
        ..scenario("adoption-near", "drill", Reversible, "done")
    },
    Scenario {
        cues: &taken_over("reload production", "soak"),
        manner: Some(FAR),
        ..scenario("adoption-by-lease", "drill", Reversible, "done")
    },
    Scenario {
        cues: &taken_over("generate", "push staging"),
        manner: Some(FAR),
        ..scenario("adoption-in-place", "drill", InPlace, "done")
    },
    Scenario {
        cues: &[(When::Starts("confirm"), Act::Abort), (When::RollsBack, Act::Open), (When::RollsBack, Act::Die)],
        manner: Some(FAR),
        ..scenario("adoption-of-a-rollback", "drill", Reversible, "rolled back")
    },
];

impl Scenario {
    /// The case: a provider with two slots, mail that arrives, a process that stays for waits.
    pub(crate) fn case(&self) -> Case {
        let facts = ProviderFacts {
            kind: "simulated".to_owned(),
            shape: self.shape,
            quota: self.quota,
            propagation: Span::seconds(2),
            request_timeout: Span::seconds(10),
            landing: Span::seconds(5),
            chooses_secret: matches!(self.shape, Alternating | InPlace),
            tells_last_use: false,
        };
        let playbook: Playbook = playbook(self.playbook);
        Case {
            facts,
            sample: Span::minutes(1),
            store: (10_000, 5000),
            sends: self.sends,
            asked: true,
            patient: true,
            // An hour before summer time begins in Berlin.
            wall: 1_774_742_400_000,
            foreign: false,
            playbook,
        }
    }

    pub(crate) fn script(&self, strikes: Vec<Strike>, manner: Manner) -> Script {
        let deaf = self.deaf.map(|(service, minutes)| (service, minutes.saturating_mul(60_000)));
        Script::new(self.cues.to_vec(), deaf, strikes, manner)
    }
}

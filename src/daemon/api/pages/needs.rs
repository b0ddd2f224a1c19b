//! What needs a person now, the worst first: leaks that are not contained, rotations that are stuck, what could not be begun, files
//! that are refused, then gates and tasks. All of it is in memory or a bounded read, so that it is there at once when it counts.

use std::collections::BTreeSet;

use super::super::Api;
use super::super::access::Role;
use super::super::call::Trouble;
use super::parts::Moment;
use crate::daemon::ledger::Latest;
use crate::journal::{Alert, AlertState};

/// The most of one sort that are shown; how many more there are is said.
const MOST: usize = 20;
/// An alert that fits nothing is to be looked at by somebody within so long.
const LOOK_MS: u64 = 86_400_000;

/// One thing that needs a person.
pub(super) struct Need {
    /// How bad: `bad` or `warn`. Said by the word as well.
    pub(super) tone: &'static str,
    pub(super) word: &'static str,
    pub(super) title: String,
    pub(super) link: String,
    pub(super) text: String,
    pub(super) at: Moment,
    /// What can be done here: where, and the words of the button.
    pub(super) act: Option<(String, &'static str)>,
}

/// What needs a person.
#[derive(Default)]
pub(super) struct Needs {
    pub(super) all: Vec<Need>,
    /// How many are not shown.
    pub(super) more: usize,
}

impl Needs {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.all.len() + self.more
    }

    /// How bad the worst is.
    pub(super) fn tone(&self) -> &'static str {
        self.all.first().map_or("good", |need| need.tone)
    }

    fn take(&mut self, needs: impl IntoIterator<Item = Need>) {
        let mut needs = needs.into_iter();
        self.all.extend(needs.by_ref().take(MOST));
        self.more += needs.count();
    }
}

fn of_rotation(name: &str, latest: &Latest, now_ms: u64) -> Need {
    Need {
        tone: "bad",
        word: "",
        title: name.to_owned(),
        link: format!("/rotations/{}", latest.id),
        text: String::new(),
        at: Moment::of(latest.at_ms, now_ms),
        act: None,
    }
}

fn of_alert(alert: &Alert, now_ms: u64) -> Need {
    let (tone, word) = match alert.state {
        AlertState::Unknown => ("warn", "FITS NOTHING"),
        _ => ("bad", "LEAK, NOT CONTAINED"),
    };
    let known = alert.credential.clone().unwrap_or_else(|| "of what is not known yet".to_owned());
    let note = match (alert.note.is_empty(), alert.state) {
        (false, _) => alert.note.clone(),
        (true, AlertState::Containing) => "it is being contained".to_owned(),
        (true, _) => "it is being looked at".to_owned(),
    };
    Need {
        tone,
        word,
        title: format!("alert {} of {}: {known}", alert.number, alert.source),
        link: alert.rotation.as_ref().map_or_else(|| "/alerts".to_owned(), |id| format!("/rotations/{id}")),
        text: note,
        at: Moment::of(alert.at_ms, now_ms),
        act: None,
    }
}

/// What needs a person, with the buttons that a role may press.
pub(super) async fn needs(api: &Api, role: Role, now_ms: u64) -> Result<Needs, Trouble> {
    let mut needs = Needs::default();
    let register = &api.desk.register;
    let mut alerts = register.alerts(Some(AlertState::Containing), 1000).await?;
    alerts.extend(register.alerts(Some(AlertState::New), 1000).await?);
    // What is contained already waits only for its source.
    let told: BTreeSet<_> = alerts.iter().filter_map(|alert| alert.rotation.clone()).collect();
    needs.take(alerts.iter().map(|alert| of_alert(alert, now_ms)));
    let open = api.desk.ledger.open();
    let exposed = open.iter().filter(|(_, latest)| latest.exposed && !told.contains(&latest.id));
    needs.take(exposed.map(|(name, latest)| Need {
        word: "LEAK, NOT SHUT OUT",
        text: format!("a compromised version may still be accepted; next is step {}", latest.step),
        ..of_rotation(name, latest, now_ms)
    }));
    let resume = |latest: &Latest| (role >= Role::Operator).then(|| (format!("/rotations/{}/resume", latest.id), "Resume"));
    let stuck = open.iter().filter(|(_, latest)| latest.is_stuck());
    needs.take(stuck.map(|(name, latest)| Need {
        word: "STUCK",
        text: "it rests until somebody has done what its page lists".to_owned(),
        act: resume(latest),
        ..of_rotation(name, latest, now_ms)
    }));
    let halted = api.pending.halted();
    let halted = halted.iter().filter_map(|(id, why)| Some((why, open.iter().find(|(_, latest)| latest.id == *id)?)));
    needs.take(halted.map(|(why, (name, latest))| Need {
        word: "CANNOT GO ON",
        text: why.why.clone(),
        at: Moment::of(why.at_ms, now_ms),
        ..of_rotation(name, latest, now_ms)
    }));
    needs.take(api.pending.not_begun(api).into_iter().map(|(name, why)| Need {
        tone: "bad",
        word: "NOT BEGUN",
        link: format!("/credentials/{name}"),
        title: name,
        text: why.why,
        at: Moment::of(why.at_ms, now_ms),
        act: None,
    }));
    needs.take(api.pending.files_ms().map(|since| Need {
        tone: "bad",
        word: "FILES REFUSED",
        title: "inventory or playbooks have changed and have problems".to_owned(),
        link: "/".to_owned(),
        text: "those that were read before stay in force; `handover check` shows every problem with its place".to_owned(),
        at: Moment::of(since, now_ms),
        act: None,
    }));
    let asked = |approval: bool| {
        open.iter()
            .filter_map(move |(name, latest)| Some((name, latest, latest.asked.as_ref()?)))
            .filter(move |(_, latest, asked)| asked.approval == approval && !latest.is_stuck())
    };
    needs.take(asked(true).map(|(name, latest, asked)| Need {
        tone: "warn",
        word: "WAITS FOR APPROVAL",
        text: format!("it waits for {}", asked.text),
        act: (role >= Role::Approver).then(|| (format!("/rotations/{}/approve", latest.id), "Approve")),
        ..of_rotation(name, latest, now_ms)
    }));
    needs.take(asked(false).map(|(name, latest, asked)| Need {
        tone: "warn",
        word: "WAITS FOR A PERSON",
        text: format!("it waits for {}", asked.text),
        ..of_rotation(name, latest, now_ms)
    }));
    let unknown = register.alerts(Some(AlertState::Unknown), 1000).await?;
    let recent = unknown.iter().filter(|alert| now_ms.saturating_sub(alert.at_ms) < LOOK_MS);
    needs.take(recent.map(|alert| of_alert(alert, now_ms)));
    Ok(needs)
}

//! The view of a credential's death: which services stop, whom to call, and what is not known about them.

use std::collections::BTreeMap;

use handover_rotation::name::CredentialName;
use serde_json::{Value, json};

use super::page::{Page, Paint, paint};
use super::style::Style;
use super::words;
use crate::config::inventory::{Arrival, Credential, Criticality, Inventory, Service};
use crate::registry::Registry;

/// The impact as a page.
#[must_use]
pub fn impact(inventory: &Inventory, credential: &CredentialName, style: Style) -> String {
    let mut page = Page::new(style);
    let Some(spec) = inventory.credentials.get(credential) else {
        page.line(&format!("no credential {credential} in the inventory"));
        return page.finish();
    };
    let victims = victims(inventory, credential);
    let most = victims.iter().map(|v| v.criticality).max();
    let head = match most {
        None => format!("if {credential} dies: no service of the inventory stops"),
        Some(most) => format!(
            "if {credential} dies: {} {} sending mail (highest criticality: {})",
            words::count(victims.len(), "service"),
            if victims.len() == 1 { "stops" } else { "stop" },
            criticality(most)
        ),
    };
    page.line(&paint(Paint::Bold, &head));
    page.labelled("  provider   ", &format!("{}, account {}", spec.provider, spec.account));
    page.labelled("  server     ", &format!("{}:{}", spec.smtp.host, spec.smtp.port));
    let mut groups: BTreeMap<&str, Vec<&Victim>> = BTreeMap::new();
    for victim in &victims {
        groups.entry(&victim.environment).or_default().push(victim);
    }
    for (environment, mut group) in groups {
        page.heading(environment);
        group.sort_by(|a, b| (b.criticality, &a.owner, &a.name).cmp(&(a.criticality, &b.owner, &b.name)));
        for victim in group {
            one(&mut page, victim);
        }
    }
    let unknown = unknown(spec, credential, &victims);
    page.heading("what is not known");
    for line in &unknown {
        page.labelled("  - ", line);
    }
    page.gap();
    page.line(&format!("next: handover plan {credential}   (a safe replacement; changes nothing)"));
    page.finish()
}

fn one(page: &mut Page, victim: &Victim) {
    let owner = victim.owner.as_deref().unwrap_or("no owner");
    let word = criticality(victim.criticality);
    let word = if victim.criticality == Criticality::High { paint(Paint::Red, "HIGH") } else { word.to_owned() };
    page.labelled(&format!("  {}  ", paint(Paint::Bold, &victim.name)), &format!("{word}, {owner}"));
    page.labelled("      reads   ", &format!("{} ({})", victim.entry, victim.place));
    page.labelled("      reload  ", victim.reload.as_deref().unwrap_or("none: a person must restart it"));
    if let Some(rereads) = victim.reload.as_deref().and_then(|kind| Registry.rereads(kind)) {
        page.labelled("              ", rereads);
    }
    let proof = match (&victim.test_send, &victim.attest) {
        (Some(_), Some(_)) => "sends a test mail, tells which version it presents",
        (Some(_), None) => "sends a test mail",
        (None, Some(_)) => "tells which version it presents",
        (None, None) => "none",
    };
    page.labelled("      proof   ", proof);
}

/// A service that stops.
struct Victim {
    name: String,
    environment: String,
    owner: Option<String>,
    criticality: Criticality,
    entry: String,
    place: String,
    reload: Option<String>,
    test_send: Option<String>,
    attest: Option<String>,
}

impl Victim {
    fn of(spec: &Credential, name: &str, service: &Service) -> Self {
        let place = spec
            .entries
            .get(&service.entry)
            .map_or_else(|| "not an entry of the credential".to_owned(), |e| format!("{} {}", e.store, e.path));
        Self {
            name: name.to_owned(),
            environment: service.environment.to_string(),
            owner: service.owner.clone(),
            criticality: service.criticality,
            entry: service.entry.to_string(),
            place,
            reload: service.reload.as_ref().map(|k| k.kind.clone()),
            test_send: service.test_send.as_ref().map(|k| k.kind.clone()),
            attest: service.attest.as_ref().map(|k| k.kind.clone()),
        }
    }
}

fn victims(inventory: &Inventory, credential: &CredentialName) -> Vec<Victim> {
    let Some(spec) = inventory.credentials.get(credential) else { return Vec::new() };
    inventory.services_of(credential).map(|(name, s)| Victim::of(spec, name.as_str(), s)).collect()
}

fn criticality(value: Criticality) -> &'static str {
    match value {
        Criticality::Low => "low",
        Criticality::Medium => "medium",
        Criticality::High => "high",
    }
}

fn unknown(spec: &Credential, credential: &CredentialName, victims: &[Victim]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut say = |text: &str, test: &dyn Fn(&Victim) -> bool| {
        let names: Vec<&str> = victims.iter().filter(|v| test(v)).map(|v| v.name.as_str()).collect();
        if !names.is_empty() {
            lines.push(format!("{text}: {}", names.join(", ")));
        }
    };
    say("whom to call (no `owner`)", &|v| v.owner.is_none());
    say("whether they use it at all (neither `attest` nor `test_send`)", &|v| v.attest.is_none() && v.test_send.is_none());
    say("which version they present (no `attest`)", &|v| v.attest.is_none() && v.test_send.is_some());
    say("whether they can send (no `test_send`)", &|v| v.test_send.is_none() && v.attest.is_some());
    let unread: Vec<String> = spec
        .entries
        .iter()
        .filter(|(name, _)| !victims.iter().any(|v| v.entry == name.as_str()))
        .map(|(name, e)| format!("{name} ({} {})", e.store, e.path))
        .collect();
    if !unread.is_empty() {
        lines.push(format!("who reads these entries (no service says so): {}", unread.join(", ")));
    }
    if matches!(spec.probe.arrival, Arrival::None) {
        lines.push("whether its mail arrives (`arrival: none`)".to_owned());
    }
    lines.push(format!("who else has the login of {credential} without being in the inventory"));
    lines
}

/// The impact as one JSON object.
#[must_use]
pub fn impact_json(inventory: &Inventory, credential: &CredentialName) -> Value {
    let victims = victims(inventory, credential);
    let services: Vec<Value> = victims
        .iter()
        .map(|v| {
            json!({
                "service": v.name,
                "environment": v.environment,
                "owner": v.owner,
                "criticality": criticality(v.criticality),
                "entry": v.entry,
                "reload": v.reload,
                "test_send": v.test_send,
                "attest": v.attest,
            })
        })
        .collect();
    let unknown = inventory.credentials.get(credential).map(|spec| unknown(spec, credential, &victims));
    json!({ "credential": credential, "services": services, "unknown": unknown.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::super::style::Style;
    use super::*;
    use crate::config::load_inventory;

    #[test]
    fn what_a_reload_reads_again_is_told_where_the_kind_says_so() {
        let page = include_str!("../../docs/kinds/systemd.md");
        let text = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("inventory.yaml");
        std::fs::write(&file, text).expect("writes");
        let inventory = load_inventory(&file, &Registry).unwrap_or_else(|p| panic!("{p}"));
        let name = CredentialName::new("newsletter").expect("a name");
        let shown = impact(&inventory, &name, Style::plain());
        let words: Vec<&str> = shown.split_whitespace().collect();
        assert!(words.join(" ").contains("reload systemd a restart begins a new process"), "{shown}");
    }
}

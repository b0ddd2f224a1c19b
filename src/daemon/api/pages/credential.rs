//! One credential: what stops if it dies, how old it is, what was done to it; and a rotation of it, planned first, then agreed to by
//! the hash of the plan that was read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use handover_rotation::name::CredentialName;
use serde_json::Value;

use super::super::Api;
use super::super::call::{Call, Trouble};
use super::super::rotations::{begin_it, plain};
use super::home::{State, state};
use super::parts::{Frame, Moment, STYLE_OF_PAGES, coarse, go, page};
use crate::config::inventory::Credential as Settings;
use crate::daemon::files::InForce;
use crate::daemon::start::{Begin, playbook_of};
use crate::engine::{plan_hash, replay};
use crate::journal::Filter;
use crate::view::history::history_json;
use crate::view::impact::impact_json;
use crate::view::plan::plan as plan_text;

/// How many of its rotations are shown.
const HISTORY: u32 = 20;
/// How long a page waits until a containment has begun, which is tried for ever.
const PATIENCE: Duration = Duration::from_secs(10);

struct Service {
    name: String,
    owner: String,
    criticality: String,
    entry: String,
    reload: String,
    proof: &'static str,
}

struct Past {
    id: String,
    playbook: String,
    began: Moment,
    phase: String,
    versions: String,
    failure: String,
}

#[derive(Template)]
#[template(path = "credential.page")]
struct Credential {
    frame: Frame,
    name: String,
    facts: Vec<(&'static str, String)>,
    state: State,
    open: String,
    made: Option<Moment>,
    next: Option<Moment>,
    next_local: String,
    environments: BTreeMap<String, Vec<Service>>,
    services: usize,
    unknown: Vec<String>,
    past: Vec<Past>,
    playbooks: Vec<(String, String, bool)>,
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(String::new, ToOwned::to_owned)
}

fn services(impact: &Value) -> BTreeMap<String, Vec<Service>> {
    let mut all: BTreeMap<String, Vec<Service>> = BTreeMap::new();
    for service in impact["services"].as_array().into_iter().flatten() {
        all.entry(text(&service["environment"])).or_default().push(Service {
            name: text(&service["service"]),
            owner: service["owner"].as_str().unwrap_or("nobody is named").to_owned(),
            criticality: text(&service["criticality"]),
            entry: text(&service["entry"]),
            reload: service["reload"].as_str().unwrap_or("by a person").to_owned(),
            proof: match (service["test_send"].is_string(), service["attest"].is_string()) {
                (true, true) => "sends a test mail, tells its version",
                (true, false) => "sends a test mail",
                (false, true) => "tells its version",
                (false, false) => "none",
            },
        });
    }
    for group in all.values_mut() {
        group.sort_by(|a, b| (&a.owner, &a.name).cmp(&(&b.owner, &b.name)));
    }
    all
}

/// The credential of the path and what the inventory says of it.
fn known<'f>(files: &'f InForce, call: &Call) -> Result<(CredentialName, &'f Settings), Trouble> {
    let name = call.credential()?;
    let settings = files.inventory.credentials.get(&name).ok_or_else(|| Trouble::missing("credential"))?;
    Ok((name, settings))
}

pub(in super::super) async fn credential(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    let (files, now_ms) = (api.desk.files.now(), api.desk.wall_ms());
    let (name, settings) = known(&files, &call)?;
    let account = api.desk.ledger.account(name.as_str());
    let impact = impact_json(&files.inventory, &name);
    let environments = services(&impact);
    let next = api.desk.next_run(&name, settings, now_ms);
    let mut facts = vec![
        ("provider", settings.provider.to_string()),
        ("account", settings.account.clone()),
        ("server", format!("{}:{}", settings.smtp.host, settings.smtp.port)),
        ("entries", settings.entries.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    ];
    match &settings.schedule {
        Some(s) => {
            let (cron, zone) = (s.rule.cron.text(), s.rule.timezone.name());
            facts.push(("schedule", format!("{cron} in {zone}, playbook {}", s.playbook)));
        }
        None => facts.push(("schedule", "none".to_owned())),
    }
    facts.push(("on a leak", format!("playbook {}", playbook_of(settings, true))));
    let mut past = Vec::new();
    let filter = Filter { credential: Some(name.to_string()), limit: Some(HISTORY), ..Filter::default() };
    for header in api.desk.engine.journal.list(filter).await? {
        let rows = api.desk.engine.journal.load(&header.id).await.unwrap_or_default();
        let began = Moment::of(header.created_at.0, now_ms);
        // One that cannot be read hides no other.
        let json = replay(&header.id, &rows).map_or(Value::Null, |rotation| history_json(&rotation));
        past.push(Past {
            id: header.id.to_string(),
            playbook: text(&json["playbook"]),
            began,
            phase: json["phase"].as_str().unwrap_or("cannot be read").replace('-', " "),
            versions: format!("{} → {}", text(&json["old"]), json["new"].as_str().unwrap_or("none yet")),
            failure: text(&json["failure"]["message"]),
        });
    }
    let chosen = playbook_of(settings, false);
    let playbooks =
        files.playbooks.values().map(|playbook| (playbook.name.clone(), playbook.summary.clone(), playbook.name == chosen));
    let shown = Credential {
        frame: Frame::of(&call, name.to_string(), now_ms),
        facts,
        state: state(&account),
        open: account.latest.as_ref().filter(|latest| latest.is_open()).map(|l| l.id.to_string()).unwrap_or_default(),
        made: account.current_ms.map(|made| Moment::of(made, now_ms)),
        next_local: next.as_ref().map(|tick| tick.local.clone()).unwrap_or_default(),
        next: next.map(|tick| Moment::of(tick.fires_ms, now_ms)),
        services: environments.values().map(Vec::len).sum(),
        environments,
        unknown: impact["unknown"].as_array().into_iter().flatten().map(text).collect(),
        past,
        playbooks: playbooks.collect(),
        name: name.to_string(),
    };
    page(StatusCode::OK, &shown)
}

#[derive(Template)]
#[template(path = "plan.page")]
struct Planned {
    frame: Frame,
    name: String,
    playbook: String,
    hash: String,
    lines: Vec<String>,
    /// Whether the credential is taken for leaked, so that its name is asked for.
    leak: bool,
    reason: String,
    wrong: &'static str,
    scale: u32,
    took: String,
}

/// What the waits are divided by, for the sandbox; anything else than a number counts as one.
fn scale(form: &BTreeMap<String, String>) -> u32 {
    form.get("scale").and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Plans, and shows it to be agreed to.
async fn planned(api: &Api, call: &Call, status: StatusCode, wrong: &'static str) -> Result<Response, Trouble> {
    let (files, form, began) = (api.desk.files.now(), call.form()?, std::time::Instant::now());
    let (name, settings) = known(&files, call)?;
    let playbook = form.get("playbook").cloned().unwrap_or_else(|| playbook_of(settings, false));
    let (prepared, _) = api.desk.plan(&name, &playbook, scale(&form), None).await?;
    let hash = plan_hash(&prepared.plan);
    let shown = Planned {
        frame: Frame::of(call, format!("plan for {name}"), api.desk.wall_ms()),
        leak: prepared.plan.compromised,
        lines: plan_text(&prepared.plan, &hash, &prepared.told(), STYLE_OF_PAGES).lines().map(ToOwned::to_owned).collect(),
        name: name.to_string(),
        playbook,
        hash,
        reason: form.get("reason").map(|reason| plain(reason)).unwrap_or_default(),
        wrong,
        scale: scale(&form),
        took: coarse(u64::try_from(began.elapsed().as_millis()).unwrap_or_default().max(1000)),
    };
    page(status, &shown)
}

pub(in super::super) async fn plan(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    planned(&api, &call, StatusCode::OK, "").await
}

pub(in super::super) async fn rotate(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    let (files, form) = (api.desk.files.now(), call.form()?);
    let (name, settings) = known(&files, &call)?;
    let field = |key: &str| form.get(key).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let playbook = field("playbook").unwrap_or_else(|| playbook_of(settings, false));
    let Some(hash) = field("plan") else {
        let trouble = Trouble::new(StatusCode::BAD_REQUEST, "HO1035", "no plan was agreed to");
        return Err(trouble.hint("nothing was begun; plan a rotation, read the plan, and begin that one"));
    };
    let leak = files.playbooks.get(&playbook).is_some_and(|playbook| playbook.containment.is_some());
    if leak && field("name").as_deref() != Some(name.as_str()) {
        return planned(&api, &call, StatusCode::BAD_REQUEST, "The name that was typed is not that of the credential.")
            .await;
    }
    let begin = Begin {
        credential: name,
        playbook,
        plan: Some(hash),
        by: call.by(),
        reason: field("reason").map(|reason| plain(&reason)),
        trigger: None,
        time_scale: scale(&form),
        replaces: None,
    };
    let begins = tokio::spawn({
        let api = Arc::clone(&api);
        async move { begin_it(&api, &begin).await }
    });
    match tokio::time::timeout(PATIENCE, begins).await {
        Ok(Ok(Ok(id))) => Ok(go(&format!("/rotations/{id}"))),
        Ok(Ok(Err(why))) => Err(why.into()),
        Ok(Err(_)) => Err(Trouble::new(StatusCode::INTERNAL_SERVER_ERROR, "HO1024", "the call broke off inside Handover")
            .hint("look whether it was begun before it is repeated; please report it")),
        // It goes on being tried: the first page says why it has not begun yet.
        Err(_) => Ok(go("/")),
    }
}

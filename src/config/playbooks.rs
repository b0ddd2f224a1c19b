//! Loads playbooks: YAML to steps, and the rules of their order, each problem at the line of its step.

use std::collections::BTreeMap;
use std::path::Path;

use handover_rotation::name::{CredentialName, Environment};
use handover_rotation::playbook::{Containment, OnFailure, OrderProblem, Playbook, Step, default_hold};
use handover_rotation::time::Span;

use super::diagnostic::{Problem, Problems};
use super::fields::Fields;
use super::files;
use super::inventory::{Credential, Inventory};
use super::load::version;
use super::node::{Node, Pair, Value};
use super::source::Place;
use super::suggest;

/// The longest soak or watch.
const MOST_WAIT: Span = Span::seconds(90 * 86_400);
/// The longest wait for an approval.
const MOST_APPROVAL: Span = Span::seconds(30 * 86_400);
/// The longest time that a compromised version may stay valid.
const MOST_DEADLINE: Span = Span::seconds(86_400);

/// The longest hold.
const MOST_HOLD: Span = Span::seconds(7 * 86_400);

const WORDS: [&str; 11] =
    ["preflight", "generate", "push", "reload", "verify", "soak", "approve", "deactivate", "confirm", "watch", "delete"];

/// Loads the playbooks of a folder, or a single file, by name. Each is sound by itself.
///
/// # Errors
/// All problems of all files.
pub fn load_playbooks(path: &Path) -> Result<BTreeMap<String, Playbook>, Problems> {
    let mut problems = Problems::default();
    let mut playbooks = BTreeMap::new();
    let mut places: BTreeMap<String, Place> = BTreeMap::new();
    for file in files::find(path, "playbooks", &mut problems) {
        let Some(node) = files::read(&file, &mut problems) else { continue };
        let stem = file.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
        let Some(playbook) = read(&node, Some(stem), &mut problems) else { continue };
        let at = node.get("name").map_or(&node.at, |name| &name.at).clone();
        if let Some(first) = places.get(&playbook.name) {
            // Only `x.yaml` beside `x.yml` can come here, since names and files agree.
            let problem = Problem::error("HO0120", &at, format!("playbook `{}` is defined twice", playbook.name));
            problems.push(problem.related(first, "first here").hint("remove one of the two files"));
        }
        places.insert(playbook.name.clone(), at);
        playbooks.insert(playbook.name.clone(), playbook);
    }
    problems.sort();
    if problems.is_empty() { Ok(playbooks) } else { Err(problems) }
}

/// Reads one playbook. `stem` is the file's name without its ending, which the playbook must have as its name.
pub(super) fn read(node: &Node, stem: Option<&str>, problems: &mut Problems) -> Option<Playbook> {
    let mut fields = Fields::new(node, "the playbook");
    version(&mut fields);
    let name = fields.required_str("name");
    if let (Some(name), Some(stem)) = (&name, stem)
        && name != stem
    {
        let message = format!("the playbook is named `{name}`, but its file `{stem}`");
        fields.problem("HO0203", "name", message, "give both the same name: `--playbook` finds it by that");
    }
    let summary = summary(&mut fields);
    let on_failure = fields
        .optional_choice("on_failure", &[("roll-back", OnFailure::RollBack), ("stop", OnFailure::Stop)])
        .or((!fields.has("on_failure")).then_some(OnFailure::RollBack));
    let hold = fields.optional_duration("hold", Span::seconds(1)..=MOST_HOLD).or((!fields.has("hold")).then(default_hold));
    let containment = containment(&mut fields);
    let steps = steps(&mut fields);
    let found = fields.finish();
    let sound = !found.has_errors();
    problems.extend(found);
    let steps_at = node.pairs().iter().find(|pair| pair.key == "steps").map_or(&node.at, |pair| &pair.key_at);
    let (steps, at): (Vec<Step>, Vec<Place>) = steps?.into_iter().unzip();
    let playbook =
        Playbook { hold: hold?, name: name?, summary: summary?, steps, on_failure: on_failure?, containment: containment? };
    let order = playbook.check_order(&[]);
    let ordered = order.is_empty();
    for OrderProblem { step, message, hint } in order {
        let at = step.and_then(|step| at.get(step)).unwrap_or(steps_at);
        problems.push(Problem::error("HO0204", at, message).hint(hint));
    }
    (sound && ordered).then_some(playbook)
}

/// The summary, which may be folded over several lines.
fn summary(fields: &mut Fields<'_>) -> Option<String> {
    let pair = fields.required_pair("summary")?;
    if let Value::Text(text) = &pair.value.value {
        let words: Vec<&str> = text.split_whitespace().collect();
        if !words.is_empty() {
            return Some(words.join(" "));
        }
    }
    fields.optional_str("summary")
}

/// The containment; the outer `None` means that a problem has been reported.
#[expect(clippy::option_option, reason = "a part that may be missing, and reading it may have failed")]
fn containment(fields: &mut Fields<'_>) -> Option<Option<Containment>> {
    let Some(pair) = fields.pair("containment") else { return Some(None) };
    match &pair.value.value {
        Value::Text(text) if text == "revoke-first" => Some(Some(Containment::RevokeFirst)),
        Value::Map(_) => {
            let deadline = fields.required_map("containment", |fields| {
                fields.required_duration("deadline", Span::seconds(1)..=MOST_DEADLINE)
            });
            deadline.map(|span| Some(Containment::Deadline(span)))
        }
        Value::Hidden => None,
        _ => {
            let hint = "write `containment: {deadline: 10m}` to replace first, or `containment: revoke-first`";
            fields.problem("HO0205", "containment", "`containment` must be a deadline or `revoke-first`", hint);
            None
        }
    }
}

/// The steps with their places; `None` if one of them could not be read.
fn steps(fields: &mut Fields<'_>) -> Option<Vec<(Step, Place)>> {
    let pair = fields.required_pair("steps")?;
    let Value::List(items) = &pair.value.value else {
        if !matches!(pair.value.value, Value::Hidden) {
            let message = format!("`steps` must be a list, but is {}", pair.value.describe());
            fields.problem("HO0112", "steps", message, "write `- preflight` and so on, one step a line");
        }
        return None;
    };
    let steps: Vec<Option<(Step, Place)>> = items.iter().map(|item| step(item, fields)).collect();
    steps.into_iter().collect()
}

fn step(item: &Node, fields: &mut Fields<'_>) -> Option<(Step, Place)> {
    match (&item.value, item.pairs()) {
        (Value::Text(word), _) => plain_step(word, &item.at, fields).map(|step| (step, item.at.clone())),
        (Value::Map(_), [only]) => step_with_options(only, fields).map(|step| (step, only.key_at.clone())),
        (Value::Hidden, _) => None,
        (Value::Map(pairs), _) => {
            let message = format!("a step has one key, but here are {}", pairs.len());
            let first =
                pairs.first().filter(|pair| matches!(pair.value.value, Value::Null)).and_then(|pair| example(&pair.key));
            let hint = match first {
                Some(example) => format!("write `- {example}`, or indent its options deeper"),
                None => "begin each step with `- `, and write its options in braces: `- push: {to: staging}`".to_owned(),
            };
            fields.push(Problem::error("HO0202", &item.at, message).hint(hint));
            None
        }
        _ => {
            let message = format!("a step must be a word or a map with one key, but this is {}", item.describe());
            fields.push(Problem::error("HO0202", &item.at, message).hint("write `- preflight` or `- soak: {for: 30m}`"));
            None
        }
    }
}

fn plain_step(word: &str, at: &Place, fields: &mut Fields<'_>) -> Option<Step> {
    let step = match word {
        "preflight" => Step::Preflight,
        "generate" => Step::Generate,
        "deactivate" => Step::Deactivate,
        "confirm" => Step::Confirm,
        "delete" => Step::Delete,
        _ => {
            fields.push(match example(word) {
                Some(example) => Problem::error("HO0202", at, format!("step `{word}` lacks its options"))
                    .hint(format!("write `- {example}`")),
                None => unknown(word, at),
            });
            return None;
        }
    };
    Some(step)
}

fn unknown(word: &str, at: &Place) -> Problem {
    Problem::error("HO0201", at, format!("there is no step `{word}`")).hint(suggest::hint(word, WORDS))
}

/// How a step with options is written.
fn example(word: &str) -> Option<&'static str> {
    match word {
        "push" => Some("push: {to: staging}"),
        "reload" => Some("reload: {services: staging}"),
        "verify" => Some("verify: {services: staging}"),
        "soak" => Some("soak: {for: 30m}"),
        "watch" => Some("watch: {for: 24h}"),
        "approve" => Some("approve: {by: oncall@example.com, within: 4h}"),
        _ => None,
    }
}

fn step_with_options(pair: &Pair, fields: &mut Fields<'_>) -> Option<Step> {
    let word = pair.key.as_str();
    let Some(example) = example(word) else {
        fields.push(if WORDS.contains(&word) {
            Problem::error("HO0202", &pair.key_at, format!("step `{word}` takes no options"))
                .hint(format!("write `- {word}`"))
        } else {
            unknown(word, &pair.key_at)
        });
        return None;
    };
    if !matches!(pair.value.value, Value::Map(_) | Value::Hidden) {
        let message = format!("the options of `{word}` must be a map, but are {}", pair.value.describe());
        fields.push(Problem::error("HO0202", &pair.key_at, message).hint(format!("write `- {example}`")));
        return None;
    }
    let mut inner = Fields::new(&pair.value, format!("step `{word}`")).at(&pair.key_at);
    let wait = Span::seconds(1)..=MOST_WAIT;
    let step = match word {
        "push" => inner.required_name("to").map(|to| Step::Push { to }),
        "reload" => inner.required_name("services").map(|services| Step::Reload { services }),
        "verify" => inner.required_name("services").map(|services| Step::Verify { services }),
        "soak" => inner.required_duration("for", wait).map(|lasting| Step::Soak { lasting }),
        "watch" => inner.required_duration("for", wait).map(|lasting| Step::Watch { lasting }),
        _ => {
            let by = inner.required_str("by");
            let within = inner.required_duration("within", Span::seconds(1)..=MOST_APPROVAL);
            by.zip(within).map(|(by, within)| Step::Approve { by, within })
        }
    };
    let found = inner.finish();
    let sound = !found.has_errors();
    for problem in found {
        fields.push(problem);
    }
    step.filter(|_| sound)
}

/// What is wrong with a playbook for a credential whose entries are in `environments`, beyond what is wrong with it anyway.
#[must_use]
pub fn check_credential(playbook: &Playbook, environments: &[Environment]) -> Vec<OrderProblem> {
    let anyway = playbook.check_order(&[]);
    playbook.check_order(environments).into_iter().filter(|problem| !anyway.contains(problem)).collect()
}

/// Why a playbook does not fit, in one sentence: a missing wave is many problems of order, and one for a reader.
fn misfit(playbook: &Playbook, environments: &[Environment]) -> String {
    let list = |names: Vec<&Environment>| names.iter().map(|e| format!("`{e}`")).collect::<Vec<_>>().join(", ");
    let mut foreign: Vec<&Environment> = playbook.steps.iter().filter_map(Step::environment).collect();
    foreign.retain(|e| !environments.contains(e));
    foreign.dedup();
    let pushed = |e: &&Environment| playbook.steps.iter().any(|s| matches!(s, Step::Push { to } if to == *e));
    let missing: Vec<&Environment> = environments.iter().filter(|e| !pushed(e)).collect();
    let mut parts = Vec::new();
    if !foreign.is_empty() {
        parts.push(format!("it works on {}, where the credential has no entry", list(foreign)));
    }
    if !missing.is_empty() {
        parts.push(format!("it never pushes to {}, whose entries would keep the old version", list(missing)));
    }
    parts.join("; ")
}

/// The environments of a credential's entries, each once.
#[must_use]
pub fn environments_of(credential: &Credential) -> Vec<Environment> {
    let mut all: Vec<Environment> = credential.entries.values().map(|entry| entry.environment.clone()).collect();
    all.sort();
    all.dedup();
    all
}

/// Checks the playbooks that an inventory names: that they exist, fit the credential, and are of the right sort.
#[must_use]
pub fn check_named(inventory: &Inventory, playbooks: &BTreeMap<String, Playbook>) -> Problems {
    let mut problems = Problems::default();
    for (name, credential) in &inventory.credentials {
        problems.extend(unnamed(inventory, name, credential, playbooks));
        let named =
            [("schedule", credential.schedule.as_ref().map(|s| &s.playbook)), ("on_leak", credential.on_leak.as_ref())];
        for (what, playbook) in named {
            let Some(wanted) = playbook else { continue };
            // Made by hand in a test, an inventory has no places: then there is nothing to point at.
            let Some(at) = inventory.places.get(&format!("credential `{name}` {what}")) else { continue };
            let Some(playbook) = playbooks.get(wanted) else {
                let hint = suggest::hint(wanted, playbooks.keys().map(String::as_str));
                problems.push(Problem::error("HO0132", at, format!("there is no playbook `{wanted}`")).hint(hint));
                continue;
            };
            let environments = environments_of(credential);
            if !check_credential(playbook, &environments).is_empty() {
                let message =
                    format!("playbook `{wanted}` does not fit credential `{name}`: {}", misfit(playbook, &environments));
                let hint = "name one that fits, or copy this one and give its steps the environments of the entries";
                problems.push(Problem::error("HO0133", at, message).hint(hint));
            }
            if what == "on_leak" && playbook.containment.is_none() {
                let message =
                    format!("playbook `{wanted}` has no `containment`: a leaked login would stay valid for its waits");
                let hint = "name one with `containment: {deadline: 10m}`, such as the shipped `leak`";
                problems.push(Problem::error("HO0136", at, message).hint(hint));
            }
            if what == "schedule" && playbook.revokes_first() {
                let message = format!("playbook `{wanted}` revokes first: each scheduled run would stop mail for a while");
                problems
                    .push(Problem::error("HO0136", at, message).hint("name one without, such as the shipped `scheduled`"));
            }
        }
    }
    problems
}

/// The playbook that `rotate` takes where none is named.
pub const DEFAULT_PLAYBOOK: &str = "scheduled";

/// A credential without a schedule is rotated by hand: the playbook that is taken then should fit, or another one.
fn unnamed(
    inventory: &Inventory,
    name: &CredentialName,
    credential: &Credential,
    playbooks: &BTreeMap<String, Playbook>,
) -> Option<Problem> {
    let at = inventory.places.get(&format!("credential `{name}`")).filter(|_| credential.schedule.is_none())?;
    let environments = environments_of(credential);
    let fits = |playbook: &Playbook| check_credential(playbook, &environments).is_empty();
    let taken = playbooks.get(DEFAULT_PLAYBOOK).filter(|taken| !fits(taken))?;
    let others: Vec<&str> = playbooks.values().filter(|p| fits(p)).map(|p| p.name.as_str()).collect();
    let message = format!(
        "playbook `{DEFAULT_PLAYBOOK}`, which `rotate` takes where none is named, does not fit credential `{name}`: {}",
        misfit(taken, &environments)
    );
    let hint = if others.is_empty() {
        "no playbook fits: add the missing entries, or copy one and give its steps the environments of the entries"
            .to_owned()
    } else {
        format!("give `--playbook` with one that fits: {}", others.join(", "))
    };
    Some(Problem::warning("HO0137", at, message).hint(hint))
}

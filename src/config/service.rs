//! Reads one service of an inventory into its type.

use super::diagnostic::Problem;
use super::fields::Fields;
use super::inventory::{Criticality, KindSpec, Service};
use super::kinds::{Kinds, Role};
use super::node::Value;
use super::suggest;

/// The service; `None` if a problem has been reported.
pub(super) fn read(fields: &mut Fields<'_>, kinds: &dyn Kinds) -> Option<Service> {
    let credential = fields.required_name("credential");
    let entry = fields.required_name("entry");
    let environment = fields.required_name("environment");
    let owner = fields.optional_str("owner");
    let levels = [("low", Criticality::Low), ("medium", Criticality::Medium), ("high", Criticality::High)];
    let criticality = fields.optional_choice("criticality", &levels).unwrap_or_default();
    let actions = [Role::Reload, Role::TestSend, Role::Attest].map(|role| action(fields, role, kinds));
    abilities(fields);
    let [reload, test_send, attest] = actions;
    if reload.as_ref().is_some_and(|reload| reload.kind == "manual") && !fields.has("attest") {
        let message = format!("{} is restarted by a person, and has no `attest` to check their word", fields.what());
        let hint = "add `attest`: it shows whether the service presents the new login";
        fields.problem("HO0138", "reload", message, hint);
    }
    Some(Service {
        credential: credential?,
        entry: entry?,
        environment: environment?,
        owner,
        criticality,
        reload,
        test_send,
        attest,
    })
}

/// What a service must be able to do, and what it should.
fn abilities(fields: &mut Fields<'_>) {
    let what = fields.what().to_owned();
    let at = fields.place().clone();
    if !fields.has("reload") {
        let problem = Problem::error("HO0128", &at, format!("{what} has no `reload`: it would go on with the old login"));
        fields.push(
            problem.hint("say how it is made to read its login again: `reload: {command: [systemctl, restart, NAME]}`"),
        );
    }
    if !fields.has("test_send") && !fields.has("attest") {
        let message = format!("{what} has neither `attest` nor `test_send`: its evidence is weak");
        let hint = "add `attest`, and `test_send` if it can; without `attest` only an `approve` step before `deactivate` lets it through";
        fields.push(Problem::warning("HO0129", &at, message).hint(hint));
    }
}

/// One of the three actions: a map with a single key, the kind.
fn action(fields: &mut Fields<'_>, role: Role, kinds: &dyn Kinds) -> Option<KindSpec> {
    let key = role.word();
    let pair = fields.pair(key)?;
    let names = kinds.names(role);
    let example = match role {
        Role::Reload => "reload: {command: [systemctl, restart, NAME]}",
        Role::TestSend => "test_send: {http: {url: \"http://127.0.0.1:8080/test-send\"}}",
        _ => "attest: {http: {url: \"http://127.0.0.1:8080/smtp-fingerprint\"}}",
    };
    let [only] = pair.value.pairs() else {
        if !matches!(pair.value.value, Value::Hidden) {
            let message = match &pair.value.value {
                Value::Map(pairs) if pairs.len() > 1 => format!("`{key}` names {} kinds, but takes one", pairs.len()),
                _ => format!("`{key}` must be a map with one key, the kind, but is {}", pair.value.describe()),
            };
            fields.problem("HO0112", key, message, format!("write `{example}`"));
        }
        return None;
    };
    if !names.contains(&only.key.as_str()) {
        let message = format!("{key} kind `{}` is not known", only.key);
        let hint = suggest::hint(&only.key, names.iter().copied());
        fields.push(Problem::error("HO0121", &only.key_at, message).hint(hint));
        return None;
    }
    let mut inner = Fields::new(&only.value, format!("`{}` of `{key}` of {}", only.key, fields.what())).at(&only.key_at);
    kinds.check(role, &only.key, &mut inner);
    for problem in inner.finish() {
        fields.push(problem);
    }
    Some(KindSpec { kind: only.key.clone(), options: only.value.clone() })
}

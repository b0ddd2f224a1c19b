//! Reads the section `usage`: sources that tell whether credentials were used. What a source is about stands beside its kind; the
//! rest is read by the kind.

use handover_rotation::name::CredentialName;

use super::diagnostic::Problems;
use super::inventory::UsageSource;
use super::kinds::{Kinds, Role};
use super::load::{fields_of, kind_spec};
use super::node::{Node, Pair, Value};

/// The key that names the credentials.
pub(super) const CREDENTIALS: &str = "credentials";

/// The source; `None` if a problem has been reported. That its credentials exist is `references`' business.
pub(super) fn read(pair: &Pair, kinds: &dyn Kinds, problems: &mut Problems) -> Option<UsageSource> {
    let mut fields = fields_of(pair, "usage");
    // The other keys are the kind's.
    let _ = fields.named();
    let listed = fields.required_list(CREDENTIALS);
    let mut credentials = Vec::new();
    for name in listed.iter().flatten() {
        match CredentialName::new(name.as_str()) {
            Ok(name) => credentials.push(name),
            Err(error) => {
                let hint = "names are made of letters, digits, `-`, `_` and `.`";
                fields.problem("HO0113", CREDENTIALS, format!("the name `{name}` {error}"), hint);
            }
        }
    }
    let sound = listed.is_some_and(|listed| listed.len() == credentials.len());
    problems.extend(fields.finish());
    let others = pair.value.pairs().iter().filter(|p| p.key != CREDENTIALS).cloned().collect();
    let value = match pair.value.value {
        Value::Map(_) => Node { value: Value::Map(others), at: pair.value.at.clone() },
        // What is no map has been reported.
        _ => return None,
    };
    let spec = kind_spec(&Pair { value, ..pair.clone() }, Role::Usage, kinds, problems)?;
    sound.then_some(UsageSource { credentials, spec })
}

//! Who is told what: the section `notify` of an inventory, a map of notifiers by name. Which kinds there are and what they need is
//! for the registry to know; here is what all of them share, and what only the whole inventory can show.

use std::collections::{BTreeMap, BTreeSet};

use handover_rotation::name::CredentialName;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::credential::text_of;
use super::diagnostic::{Problem, Problems};
use super::fields::Fields;
use super::inventory::{KindSpec, SecretRef};
use super::kinds::{Kinds, Role};
use super::load::{Merged, bad_name};
use super::node::{Node, Pair, Value};
use super::suggest;

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeKind {
    /// A rotation is about to begin, or has begun.
    Before,
    /// A person is waited for: to approve, or to do something at a provider.
    Gate,
    /// Something failed: it is undone, or nothing was changed.
    Failure,
    /// A rotation rests and needs a person.
    Stuck,
    /// A login leaked and is shut out: each step of it.
    Containment,
    /// A leak alert that fits no login that was ever known: nothing was changed.
    Alert,
    /// A rotation has ended.
    End,
    /// The daemon itself needs a person: a missed schedule, an audit that is blocked, a permission that was lost.
    Page,
}

impl NoticeKind {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Before, Self::Gate, Self::Failure, Self::Stuck, Self::Containment, Self::Alert, Self::End, Self::Page];

    /// The word for it in an inventory and in messages to programs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Gate => "gate",
            Self::Failure => "failure",
            Self::Stuck => "stuck",
            Self::Containment => "containment",
            Self::Alert => "alert",
            Self::End => "end",
            Self::Page => "page",
        }
    }
}

/// One notifier of an inventory.
#[derive(Clone, Debug)]
pub struct NotifierSpec {
    /// Its kind and the kind's options.
    pub spec: KindSpec,
    /// What it is told of; what is usual for its kind if `None`.
    pub on: Option<BTreeSet<NoticeKind>>,
    /// The credentials that it is told of; all if empty.
    pub credentials: BTreeSet<CredentialName>,
    /// The owners of services that it is for: it is told only what concerns one of these. Everything if empty.
    pub owners: BTreeSet<String>,
}

/// A login that a notifier sends mail with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailLogin {
    /// The server's host.
    pub host: String,
    /// The login name.
    pub username: String,
    /// Where the password is.
    pub password: SecretRef,
}

/// The keys that every notifier may have.
const SHARED: [&str; 3] = ["on", "credentials", "owners"];

/// The notifiers.
pub(super) fn read(merged: &Merged<'_>, kinds: &dyn Kinds, problems: &mut Problems) -> BTreeMap<String, NotifierSpec> {
    let mut all = BTreeMap::new();
    for (name, pair) in &merged.notify {
        // The same rule as for every other name.
        if let Err(error) = CredentialName::new(*name) {
            problems.push(bad_name(pair, &error));
        }
        if let Some(spec) = notifier(pair, kinds, problems) {
            all.insert((*name).to_owned(), spec);
        }
    }
    check(merged, kinds, problems);
    all
}

fn notifier(pair: &Pair, kinds: &dyn Kinds, problems: &mut Problems) -> Option<NotifierSpec> {
    let mut fields = Fields::new(&pair.value, format!("notifier `{}`", pair.key)).at(&pair.key_at);
    let kind = fields.required_str("kind");
    let on = topics(&mut fields);
    let credentials = fields.optional_list("credentials").unwrap_or_default();
    let owners = fields.optional_list("owners").unwrap_or_default();
    let names = kinds.names(Role::Notifier);
    let Some(kind) = kind.filter(|kind| names.contains(&kind.as_str())) else {
        if let Some(kind) = pair.value.get("kind").and_then(text_of) {
            let hint = suggest::hint(kind, names.iter().copied());
            fields.problem("HO0121", "kind", format!("notifier kind `{kind}` is not known"), hint);
        }
        // Which keys are known depends on the kind: only what concerns the shared ones can be told.
        problems.extend(fields.finish().into_iter().filter(|p| p.code != "HO0110"));
        return None;
    };
    kinds.check(Role::Notifier, &kind, &mut fields);
    problems.extend(fields.finish());
    Some(NotifierSpec {
        spec: KindSpec { kind, options: options(pair) },
        on,
        // Those that are no names are found by the check that they exist.
        credentials: credentials.into_iter().filter_map(|c| CredentialName::new(c).ok()).collect(),
        owners: owners.into_iter().collect(),
    })
}

/// What belongs to the kind.
fn options(pair: &Pair) -> Node {
    let own = |p: &&Pair| p.key != "kind" && !SHARED.contains(&p.key.as_str());
    Node { value: Value::Map(pair.value.pairs().iter().filter(own).cloned().collect()), at: pair.key_at.clone() }
}

fn topics(fields: &mut Fields<'_>) -> Option<BTreeSet<NoticeKind>> {
    let words = fields.optional_list("on")?;
    let mut on = BTreeSet::new();
    for word in words {
        match NoticeKind::ALL.iter().find(|k| k.word() == word) {
            Some(kind) => {
                on.insert(*kind);
            }
            None => {
                let hint = suggest::hint(&word, NoticeKind::ALL.iter().map(|k| k.word()));
                fields.problem("HO0113", "on", format!("there are no notices of `{word}`"), hint);
            }
        }
    }
    Some(on)
}

/// What only the whole can show: that names lead somewhere, and that mail about a login does not go through that login.
fn check(merged: &Merged<'_>, kinds: &dyn Kinds, problems: &mut Problems) {
    let owners: BTreeSet<&str> = merged.services.values().filter_map(|s| s.value.get("owner").and_then(text_of)).collect();
    for (name, pair) in &merged.notify {
        let items = |key: &str| match pair.value.get(key).map(|node| &node.value) {
            Some(Value::List(items)) => items.iter().filter_map(|n| Some((text_of(n)?, &n.at))).collect(),
            _ => Vec::new(),
        };
        for (credential, at) in items("credentials") {
            if !merged.credentials.contains_key(credential) {
                let hint = suggest::hint(credential, merged.credentials.keys().copied());
                problems.push(Problem::error("HO0122", at, format!("there is no credential `{credential}`")).hint(hint));
            }
        }
        for (owner, at) in items("owners") {
            if !owners.contains(owner) {
                let hint = suggest::hint(owner, owners.iter().copied());
                problems.push(Problem::error("HO0122", at, format!("no service has the owner `{owner}`")).hint(hint));
            }
        }
        let kind = pair.value.get("kind").and_then(text_of).unwrap_or_default();
        let options = options(pair);
        if let Some(login) = kinds.mail_login(kind, &mut Fields::new(&options, "notifier")) {
            own_login(name, pair, &login, merged, kinds, problems);
        }
    }
}

/// Refuses a notifier that logs in with what this inventory rotates: its mail would fail just when it is needed, and each mail
/// would be a login with a version that is being retired (issue of an e-mail "refused through the credential being rotated").
fn own_login(name: &str, pair: &Pair, login: &MailLogin, merged: &Merged<'_>, kinds: &dyn Kinds, problems: &mut Problems) {
    for credential in merged.credentials.values() {
        let host = credential.value.get("smtp").and_then(|s| s.get("host")).and_then(text_of).unwrap_or_default();
        let account = credential.value.get("account").and_then(text_of).unwrap_or_default();
        let same_host = same(host, &login.host);
        let from_entry = entry_of(credential, login, merged, kinds);
        let hint = "give it a login of its own at the server, one that Handover does not rotate";
        let at = pair.value.get("username").map_or(&pair.key_at, |n| &n.at);
        if from_entry.is_some() || same_host && same(account, &login.username) {
            let how = from_entry.map_or_else(String::new, |e| format!(", with the password of its entry `{e}`"));
            let message = format!("notifier `{name}` sends mail as credential `{}`{how}", credential.key);
            let problem = Problem::error("HO1230", at, message).related(&credential.key_at, "which is rotated here");
            problems.push(problem.hint(hint));
        } else if same(account, &login.username) {
            let message = format!(
                "notifier `{name}` logs in as `{}`, like credential `{}` at another host",
                login.username, credential.key
            );
            let problem = Problem::warning("HO1231", at, message).related(&credential.key_at, "which is rotated here");
            problems
                .push(problem.hint("if both hosts are one server, its mail will be refused: give it a login of its own"));
        }
    }
}

/// Names of hosts and logins, without what does not tell them apart.
fn same(a: &str, b: &str) -> bool {
    let plain = |text: &str| text.trim().trim_end_matches('.').to_ascii_lowercase();
    !a.trim().is_empty() && plain(a) == plain(b)
}

/// The entry of a credential that keeps its password in the file that the notifier reads.
fn entry_of<'n>(credential: &'n Pair, login: &MailLogin, merged: &Merged<'_>, kinds: &dyn Kinds) -> Option<&'n str> {
    let SecretRef::File(file) = &login.password else { return None };
    let entries = credential.value.get("entries").map_or(&[][..], Node::pairs);
    let found = entries.iter().find(|entry| {
        let store = entry.value.get("store").and_then(text_of).and_then(|name| merged.stores.get(name));
        let keeps = store.and_then(|s| super::credential::kind_of(s)).is_some_and(|kind| kinds.keeps_files(kind));
        let path = entry.value.get("path").and_then(|n| Some(n.at.resolve(text_of(n)?)));
        keeps && path.is_some_and(|path| path.components().eq(file.components()))
    });
    found.map(|entry| entry.key.as_str())
}

/// The JSON Schema of what every notifier may have beside its kind's options.
pub(super) fn shared_schema() -> Json {
    let words: Vec<&str> = NoticeKind::ALL.iter().map(|k| k.word()).collect();
    let texts = json!({ "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/text" } });
    json!({
        "on": { "type": "array", "minItems": 1, "items": { "enum": words } },
        "credentials": texts,
        "owners": texts,
    })
}

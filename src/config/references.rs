//! Checks what only the whole inventory can show: that names lead somewhere, that each entry is read and each place written
//! by one credential. It works on the merged trees, so that a fault inside of a part hides no other fault.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use handover_rotation::name::CredentialName;

use super::credential::{kind_of, text_of};
use super::diagnostic::{Problem, Problems};
use super::kinds::Kinds;
use super::load::Merged;
use super::node::{Node, Pair, Value};
use super::source::Place;
use super::suggest;
use super::usage::CREDENTIALS;

/// Checks everything.
pub(super) fn check(merged: &Merged<'_>, kinds: &dyn Kinds, problems: &mut Problems) {
    names(merged, problems);
    services(merged, problems);
    readers(merged, problems);
    places(merged, kinds, problems);
    accounts(merged, problems);
    // While a name is mistyped, what it should have named looks unused.
    if !problems.has_errors() {
        unused(merged, problems);
    }
}

/// The entries of a credential.
fn entries(credential: &Pair) -> &[Pair] {
    credential.value.get("entries").map_or(&[], Node::pairs)
}

/// The text of a key, with where it stands.
fn text<'n>(pair: &'n Pair, key: &str) -> Option<(&'n str, &'n Place)> {
    let node = pair.value.get(key)?;
    text_of(node).map(|text| (text, &node.at))
}

/// Reports a name that leads nowhere.
fn must_exist(what: &str, name: Option<(&str, &Place)>, known: &BTreeMap<&str, &Pair>, problems: &mut Problems) {
    if let Some((name, at)) = name
        && !known.contains_key(name)
    {
        let problem = Problem::error("HO0122", at, format!("there is no {what} `{name}`"));
        problems.push(problem.hint(if known.is_empty() {
            format!("add it under `{what}s`: there is none yet")
        } else {
            suggest::hint(name, known.keys().copied())
        }));
    }
}

/// The credentials that a source tells of, each with where it stands.
fn told_of(source: &Pair) -> impl Iterator<Item = (&str, &Place)> {
    let items = match source.value.get(CREDENTIALS).map(|node| &node.value) {
        Some(Value::List(items)) => items.as_slice(),
        _ => &[],
    };
    items.iter().filter_map(|item| Some((text_of(item)?, &item.at)))
}

fn names(merged: &Merged<'_>, problems: &mut Problems) {
    for source in merged.usage.values() {
        for name in told_of(source) {
            must_exist("credential", Some(name), &merged.credentials, problems);
        }
    }
    for credential in merged.credentials.values() {
        must_exist("provider", text(credential, "provider"), &merged.providers, problems);
        for entry in entries(credential) {
            must_exist("store", text(entry, "store"), &merged.stores, problems);
        }
        let none = credential.value.get("entries").is_some_and(|node| match &node.value {
            Value::Map(pairs) => pairs.is_empty(),
            _ => false,
        });
        if none {
            let message = format!("credential `{}` has no entries: nothing reads it", credential.key);
            let problem = Problem::error("HO0125", &credential.key_at, message);
            problems.push(problem.hint("add the places where its services read it from, under `entries`"));
        }
    }
    for service in merged.services.values() {
        must_exist("credential", text(service, "credential"), &merged.credentials, problems);
    }
}

/// Each service reads an entry that exists and is of its environment.
fn services(merged: &Merged<'_>, problems: &mut Problems) {
    for service in merged.services.values() {
        let (Some((credential, _)), Some((entry, entry_at))) = (text(service, "credential"), text(service, "entry")) else {
            continue;
        };
        let Some(credential) = merged.credentials.get(credential) else { continue };
        let known = entries(credential);
        let Some(found) = known.iter().find(|pair| pair.key == entry) else {
            let message =
                format!("no entry serves service `{}`: credential `{}` has no entry `{entry}`", service.key, credential.key);
            let hint = suggest::hint(entry, known.iter().map(|pair| pair.key.as_str()));
            let problem = Problem::error("HO0122", entry_at, message).hint(hint);
            problems.push(problem.related(&credential.key_at, "the credential"));
            continue;
        };
        if let (Some((mine, at)), Some((its, its_at))) = (text(service, "environment"), text(found, "environment"))
            && mine != its
        {
            let message = format!("service `{}` is in `{mine}`, but reads an entry of `{its}`", service.key);
            let hint = format!("a bad version would reach `{mine}` with the wave of `{its}`: give it an entry of its own");
            problems.push(Problem::error("HO0123", at, message).related(its_at, "the entry it reads").hint(hint));
        }
    }
}

/// Each entry is read by a service.
fn readers(merged: &Merged<'_>, problems: &mut Problems) {
    // A mistyped name is reported where it stands; here it counts for what it was meant to be.
    let meant = |service: &Pair| -> Option<(String, String)> {
        let (credential, entry) = (text(service, "credential")?.0, text(service, "entry")?.0);
        let known = merged.credentials.keys().copied();
        let credential = match merged.credentials.get(credential) {
            Some(found) => found,
            None => merged.credentials.get(suggest::nearest(credential, known)?)?,
        };
        let names = entries(credential).iter().map(|pair| pair.key.as_str());
        let entry = if names.clone().any(|name| name == entry) { entry } else { suggest::nearest(entry, names)? };
        Some((credential.key.clone(), entry.to_owned()))
    };
    let read: BTreeSet<(String, String)> = merged.services.values().filter_map(|service| meant(service)).collect();
    for credential in merged.credentials.values() {
        if CredentialName::new(credential.key.as_str()).is_err() {
            // Its name is a problem of its own, and nothing can name it.
            continue;
        }
        for entry in entries(credential) {
            if read.contains(&(credential.key.clone(), entry.key.clone())) {
                continue;
            }
            let message = format!("no service reads entry `{}` of credential `{}`", entry.key, credential.key);
            let hint = "add the service that reads it, or remove the entry: what nobody is known to read, nobody can prove";
            problems.push(Problem::error("HO0124", &entry.key_at, message).hint(hint));
        }
    }
}

/// Each place is written by one entry.
fn places(merged: &Merged<'_>, kinds: &dyn Kinds, problems: &mut Problems) {
    let mut seen: BTreeMap<(String, PathBuf), (&Pair, &Pair, &Place)> = BTreeMap::new();
    for credential in merged.credentials.values() {
        for entry in entries(credential) {
            let (Some((store, _)), Some((path, at))) = (text(entry, "store"), text(entry, "path")) else { continue };
            let Some(kind) = merged.stores.get(store).and_then(|pair| kind_of(pair)) else { continue };
            // Two stores of a kind that keeps files reach the same disk.
            let place = if kinds.keeps_files(kind) {
                (kind.to_owned(), at.resolve(path).components().collect())
            } else {
                (format!("store {store}"), PathBuf::from(path.trim_matches('/')))
            };
            let Some((other, first, first_at)) = seen.get(&place) else {
                seen.insert(place, (credential, entry, at));
                continue;
            };
            let message = if other.key == credential.key {
                format!("entries `{}` and `{}` of credential `{}` are one place", first.key, entry.key, other.key)
            } else {
                format!("credentials `{}` and `{}` would write to one place", other.key, credential.key)
            };
            let hint = "give each entry a place of its own; services that read the same place share one entry";
            problems.push(Problem::error("HO0126", at, message).related(first_at, "the other one").hint(hint));
        }
    }
}

/// Each account has one credential: it is the account that has a quota and an old and a new version.
fn accounts(merged: &Merged<'_>, problems: &mut Problems) {
    let mut seen: BTreeMap<(&str, &str), (&Pair, &Place)> = BTreeMap::new();
    for credential in merged.credentials.values() {
        let (Some((provider, _)), Some((account, at))) = (text(credential, "provider"), text(credential, "account")) else {
            continue;
        };
        let Some((other, first_at)) = seen.get(&(provider, account)) else {
            seen.insert((provider, account), (credential, at));
            continue;
        };
        let message = format!(
            "credentials `{}` and `{}` share account `{account}` of provider `{provider}`",
            other.key, credential.key
        );
        let hint = "rotating one would retire the other's login: keep one credential with the entries of both, or make a second account";
        problems.push(Problem::error("HO0127", at, message).related(first_at, "the other one").hint(hint));
    }
}

/// Providers and stores that nothing uses are worth a look.
fn unused(merged: &Merged<'_>, problems: &mut Problems) {
    let providers: BTreeSet<&str> =
        merged.credentials.values().filter_map(|c| text(c, "provider")).map(|(name, _)| name).collect();
    let stores: BTreeSet<&str> = merged
        .credentials
        .values()
        .flat_map(|c| entries(c))
        .filter_map(|e| text(e, "store"))
        .map(|(name, _)| name)
        .collect();
    for (what, defined, used) in [("provider", &merged.providers, providers), ("store", &merged.stores, stores)] {
        for (name, pair) in defined.iter().filter(|(name, _)| !used.contains(*name)) {
            let problem = Problem::warning("HO0135", &pair.key_at, format!("{what} `{name}` is not used by any credential"));
            problems.push(problem.hint("remove it, or name it where it is meant to be used"));
        }
    }
}

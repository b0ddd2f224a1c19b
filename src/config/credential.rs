//! Reads one credential of an inventory into its type. References to other parts are `references`' business.

use std::collections::BTreeMap;

use super::diagnostic::Problem;
use super::fields::Fields;
use super::inventory::{Arrival, Credential, Entry, Probe, SmtpServer, Tls};
use super::kinds::Kinds;
use super::load::{Merged, bad_name};
use super::node::{Node, Pair, Value};
use super::schedule;
use super::source::Place;

/// The credential of this name; `None` if a problem has been reported.
pub(super) fn read(
    fields: &mut Fields<'_>,
    name: &str,
    merged: &Merged<'_>,
    kinds: &dyn Kinds,
    places: &mut BTreeMap<String, Place>,
) -> Option<Credential> {
    let what = fields.what().to_owned();
    let provider = fields.required_name("provider");
    let account = fields.required_str("account");
    let smtp = fields.required_map("smtp", smtp_server);
    let probe = fields.required_map("probe", probe);
    let entries = fields.required_map("entries", |fields| entries(fields, merged, kinds));
    let schedule = fields.optional_map("schedule", |fields| {
        remember(fields, "playbook", &format!("{what} schedule"), places);
        schedule::read(fields, name)
    });
    let on_leak = fields.optional_map("on_leak", |fields| {
        remember(fields, "playbook", &format!("{what} on_leak"), places);
        fields.required_str("playbook")
    });
    Some(Credential {
        provider: provider?,
        account: account?,
        smtp: smtp?,
        probe: probe?,
        entries: entries?,
        schedule,
        on_leak,
    })
}

/// Keeps where a playbook is named, for the check that needs the playbooks.
fn remember(fields: &mut Fields<'_>, key: &str, name: &str, places: &mut BTreeMap<String, Place>) {
    if let Some(pair) = fields.pair(key) {
        places.insert(name.to_owned(), pair.value.at.clone());
    }
}

/// A submission server: `{host, port, tls, ca_file}`.
pub fn smtp_server(fields: &mut Fields<'_>) -> Option<SmtpServer> {
    let host = host(fields);
    let port = fields.required_port("port");
    let tls = tls(fields);
    let ca_file = fields.optional_path("ca_file");
    if let (Some(port), Some(tls)) = (port, tls) {
        let usual = match (port, tls) {
            (465, Tls::StartTls) => Some("`tls: implicit`"),
            (587, Tls::Implicit) => Some("`tls: starttls`"),
            _ => None,
        };
        if let (Some(usual), Some(pair)) = (usual, fields.pair("tls")) {
            let message = format!("port {port} usually goes with {usual}");
            fields.push(
                Problem::warning("HO0134", &pair.value.at, message).hint("ask the provider which one it offers there"),
            );
        }
    }
    Some(SmtpServer { host: host?, port: port?, tls: tls?, ca_file })
}

fn tls(fields: &mut Fields<'_>) -> Option<Tls> {
    let pair = fields.required_pair("tls")?;
    let text = match &pair.value.value {
        Value::Text(text) => text.as_str(),
        Value::Bool(true) => "true",
        Value::Bool(false) | Value::Null => "none",
        _ => "",
    };
    match text {
        "starttls" => Some(Tls::StartTls),
        "implicit" => Some(Tls::Implicit),
        _ if matches!(pair.value.value, Value::Hidden) => None,
        "none" | "off" | "no" | "plain" | "false" | "disabled" | "insecure" | "optional" | "opportunistic" => {
            let hint = "write `starttls` or `implicit`; for a server of your own, name its certificate with `ca_file`";
            fields.problem(
                "HO0113",
                "tls",
                "there is no mode without TLS: a login would cross the network in the clear",
                hint,
            );
            None
        }
        _ => {
            let hint = "write `starttls` (begins in the clear, usual on port 587) or `implicit` (usual on port 465)";
            fields.problem("HO0113", "tls", "`tls` must be `starttls` or `implicit`", hint);
            None
        }
    }
}

/// A host name or an IP address, without a scheme and a port.
fn host(fields: &mut Fields<'_>) -> Option<String> {
    let host = fields.required_str("host")?;
    let message = if host.contains("://") {
        "`host` is a name, not an address with `://`"
    } else if host.parse::<std::net::IpAddr>().is_ok() {
        return Some(host);
    } else if host.contains(':') {
        "`host` is a name without a port"
    } else if host.chars().any(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))) || host.len() > 253 {
        "`host` is not a host name"
    } else {
        return Some(host);
    };
    fields.problem("HO0113", "host", message, "write `host: smtp.example.com` and the port under `port`");
    None
}

fn probe(fields: &mut Fields<'_>) -> Option<Probe> {
    let from = email(fields, "from");
    let to = email(fields, "to");
    let arrival = arrival(fields);
    Some(Probe { from: from?, to: to?, arrival: arrival? })
}

/// Whether a text is a mail address, minimally checked: the servers know better.
#[must_use]
pub fn mail_address(text: &str) -> bool {
    text.len() <= 254
        && text.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.is_empty() && !domain.contains('@') && !domain.starts_with('.')
        })
        && !text.contains(|c: char| c.is_whitespace() || "<>,;:\"()[]\\".contains(c))
}

/// A mail address that must be there.
fn email(fields: &mut Fields<'_>, key: &str) -> Option<String> {
    let text = fields.required_str(key)?;
    if mail_address(&text) {
        return Some(text);
    }
    let message = format!("`{key}`: `{text}` is not a mail address");
    fields.problem("HO0113", key, message, "write only the address: `probe@example.com`");
    None
}

fn arrival(fields: &mut Fields<'_>) -> Option<Arrival> {
    let pair = fields.required_pair("arrival")?;
    match (&pair.value.value, pair.value.pairs()) {
        (Value::Text(text), _) if text == "none" => Some(Arrival::None),
        (Value::Hidden, _) => None,
        (Value::Map(_), [only]) if matches!(only.key.as_str(), "maildir" | "imap") => {
            fields.optional_map("arrival", |fields| match only.key.as_str() {
                "maildir" => fields.required_path("maildir").map(Arrival::Maildir),
                _ => fields.required_map("imap", imap),
            })
        }
        _ => {
            let hint = "write `arrival: none`, `arrival: {maildir: PATH}` or `arrival: {imap: {host: …, username: …, password: …}}`";
            fields.problem("HO0113", "arrival", "`arrival` must say where probes are looked for", hint);
            None
        }
    }
}

fn imap(fields: &mut Fields<'_>) -> Option<Arrival> {
    let host = host(fields);
    let port = fields.optional_port("port").unwrap_or(993);
    let ca_file = fields.optional_path("ca_file");
    let username = fields.required_str("username");
    let password = fields.required_secret("password");
    let mailbox = fields.optional_str("mailbox").unwrap_or_else(|| "INBOX".to_owned());
    Some(Arrival::Imap { host: host?, port, ca_file, username: username?, password: password?, mailbox })
}

fn entries<T>(fields: &mut Fields<'_>, merged: &Merged<'_>, kinds: &dyn Kinds) -> Option<BTreeMap<T, Entry>>
where
    T: TryFrom<String, Error = handover_rotation::name::NameError> + Ord,
{
    let what = fields.what().trim_start_matches("`entries` of ").to_owned();
    let mut all = BTreeMap::new();
    for pair in fields.named() {
        let mut inner = Fields::new(&pair.value, format!("entry `{}` of {what}", pair.key)).at(&pair.key_at);
        let value = entry(&mut inner, merged, kinds);
        for problem in inner.finish() {
            fields.push(problem);
        }
        match T::try_from(pair.key.clone()) {
            Ok(name) => {
                value.map(|value| all.insert(name, value));
            }
            Err(error) => fields.push(bad_name(pair, &error)),
        }
    }
    Some(all)
}

fn entry(fields: &mut Fields<'_>, merged: &Merged<'_>, kinds: &dyn Kinds) -> Option<Entry> {
    let store = fields.required_name("store");
    let path = entry_path(fields, merged, kinds);
    let names = fields.required_map("fields", |fields| {
        let username = fields.required_str("username");
        let password = fields.required_str("password");
        Some((username?, password?, fields.place().clone()))
    });
    let environment = fields.required_name("environment");
    let (username_field, password_field, at) = names?;
    if username_field == password_field {
        let problem = Problem::error("HO0113", &at, "username and password are kept in one and the same field");
        fields.push(problem.hint("name two fields: `{username: SMTP_USERNAME, password: SMTP_PASSWORD}`"));
        return None;
    }
    if let (Some(kind), Some(path)) = (store_kind(fields, merged), &path)
        && let Some((key, message)) = kinds.misnamed(kind, path, [&username_field, &password_field])
    {
        let hint = format!("`docs/kinds/{kind}.md` shows how entries of a store `{kind}` are written");
        fields.problem("HO0113", key, message, hint);
        return None;
    }
    Some(Entry { store: store?, path: path?, username_field, password_field, environment: environment? })
}

/// The path of an entry. Where the store keeps files, a relative one starts from the folder of the inventory file; else it
/// is the store's own, and stays as written.
fn entry_path(fields: &mut Fields<'_>, merged: &Merged<'_>, kinds: &dyn Kinds) -> Option<String> {
    let text = fields.required_str("path")?;
    let kind = store_kind(fields, merged);
    if !kind.is_some_and(|kind| kinds.keeps_files(kind)) {
        return Some(text);
    }
    let at = &fields.pair("path")?.value.at;
    match at.resolve(&text).to_str() {
        Some(path) => Some(path.to_owned()),
        None => {
            fields.problem("HO0113", "path", "the folder of this file has a name that is not UTF-8", "move the inventory");
            None
        }
    }
}

/// The kind of the store of an entry, where both are named.
fn store_kind<'m>(fields: &mut Fields<'_>, merged: &'m Merged<'_>) -> Option<&'m str> {
    let store = fields.pair("store").and_then(|pair| text_of(&pair.value));
    store.and_then(|name| merged.stores.get(name)).and_then(|pair| kind_of(pair))
}

/// The text of a node, if it is one.
pub(super) fn text_of(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// The kind of a provider or a store.
pub(super) fn kind_of(pair: &Pair) -> Option<&str> {
    pair.value.get("kind").and_then(text_of)
}

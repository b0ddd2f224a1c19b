//! Which version is current: what the entries hold, settled by the mail server where they do not hold the same. It only
//! looks, and blames no entry without an answer that speaks against what it holds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use handover_rotation::name::{EntryName, Username, VersionId};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::{OldVersion, Shape};
use handover_rotation::time::Span;

use super::elsewhere;
use super::error::Refusal;
use super::last::Last;
use super::ports::Ports;
use crate::journal::Sealer;
use crate::mail::Verdict;
use crate::providers::{ListedVersion, LiveState, Provider};
use crate::secret::Login;
use crate::stores::{Held, Hidden};

/// What the entries were found to hold.
#[derive(Default)]
pub(super) struct Entries {
    values: Vec<Value>,
    /// Entries without a login and entries that could not be read, each with the reason.
    pub(super) lacking: Vec<String>,
    pub(super) unread: Vec<String>,
    /// Whether one of those may be read by another try.
    passing: bool,
    /// Entries that nobody can read.
    hidden: Vec<Kept>,
}

/// An entry that nobody can read.
struct Kept {
    /// As `production (owner/repository)`.
    entry: String,
    holds: Hidden,
    /// Why it is not known to hold what Handover wrote, in words.
    why: String,
}

/// One login, and the entries that hold it.
struct Value {
    login: Login,
    /// As `production (/etc/app/smtp.env)`.
    held_by: Vec<String>,
    said: Said,
    name: Name,
}

/// What is known of the text that an entry gives as a login name. Where its two fields are swapped that is the password.
enum Name {
    /// The provider lists it: it is one.
    Listed,
    /// What the entry gives as the password is listed as a login name.
    Swapped,
    /// Nobody says that it is one.
    Unlisted,
}

/// What is said of an entry whose password is a login name.
const SWAPPED: &str = "its two fields are swapped: what it gives as the password is a login name of this account";

impl Value {
    /// The login name, as far as it may be shown: only if somebody else knows it as one, since it may be a password (S21).
    fn shown(&self) -> String {
        match self.name {
            Name::Listed => self.login.username.to_string(),
            Name::Swapped | Name::Unlisted => {
                let start: String = self.login.username.as_str().chars().take(3).collect();
                format!("{start}… (not shown: the provider does not know it, and it may be a password)")
            }
        }
    }

    fn words(&self) -> String {
        match self.name {
            Name::Swapped => SWAPPED.to_owned(),
            Name::Listed | Name::Unlisted => self.said.words(),
        }
    }
}

/// What speaks for a login or against it.
enum Said {
    NotAsked,
    Accepted,
    Refused(String),
    /// The provider lists no such login in the account.
    Unlisted,
    NoAnswer(String),
}

impl Said {
    fn speaks_against(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Unlisted)
    }

    fn words(&self) -> String {
        match self {
            Self::NotAsked => "not tried".to_owned(),
            Self::Accepted => "the server accepts it".to_owned(),
            Self::Refused(reply) => format!("the server refuses it ({reply})"),
            Self::Unlisted => "the provider lists no such login in this account".to_owned(),
            Self::NoAnswer(why) => format!("could not be tried: {why}"),
        }
    }
}

/// In a leak, so long is waited for entries when one has told the login, and for looks that only warn.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// The same where the leaked version is known, so that entries tell nothing that it rests on: the first try is due within 5 s.
pub(super) const NAMED: Span = Span::seconds(1);

/// Reads every entry. In a leak one that has told the login is enough, and none where the leaked version is `named`: a store that does
/// not answer must not keep the login open (safety.md L5).
pub(super) async fn read(ports: &Ports, leak: bool, named: bool) -> Entries {
    let mut waiting: BTreeSet<&EntryName> = ports.entries.keys().collect();
    let mut reads: FuturesUnordered<_> = ports
        .entries
        .iter()
        .map(|(name, port)| async move {
            let limit = port.store.request_timeout();
            let held = super::prepare::look(limit, port.store.read(&port.place)).await;
            let lack = match held {
                Outcome::Done(Held::Nothing | Held::Hidden(Hidden::Changed | Hidden::Unknown)) => {
                    port.store.lacks(&port.place).await
                }
                _ => String::new(),
            };
            (name, held, lack)
        })
        .collect();
    let mut found = BTreeMap::new();
    let mut told = named;
    let limit = if named { Duration::from_millis(NAMED.0) } else { PATIENCE };
    let patience = tokio::time::sleep(limit);
    tokio::pin!(patience);
    loop {
        tokio::select! {
            biased;
            read = reads.next() => match read {
                Some((name, held, lack)) => {
                    told |= matches!(held, Outcome::Done(Held::Login(_)));
                    waiting.remove(name);
                    found.insert(name, (held, lack));
                }
                None => break,
            },
            () = &mut patience, if leak && !patience.is_elapsed() => {}
        }
        if leak && told && patience.is_elapsed() {
            break;
        }
    }
    drop(reads);
    let mut entries = Entries::default();
    for name in waiting {
        let fault = Fault::new(FaultClass::Temporary, "HO0401", format!("no answer within {}s", limit.as_secs()));
        found.insert(name, (Outcome::Unknown(fault), String::new()));
    }
    for (name, (held, lack)) in found {
        let Some(port) = ports.entries.get(name) else { continue };
        let path = &port.place.path;
        match held {
            Outcome::Done(Held::Login(login)) => entries.add(format!("{name} ({path})"), login),
            Outcome::Done(Held::Nothing) => entries.lacking.push(format!("entry {name} ({path}) holds no login: {lack}")),
            Outcome::Done(Held::Hidden(holds)) => {
                entries.hidden.push(Kept { entry: format!("{name} ({path})"), holds, why: lack });
            }
            Outcome::NotDone(fault) | Outcome::Unknown(fault) => {
                entries.passing |= super::error::passes(&fault);
                // Most faults of files begin with the path already.
                let place = if fault.message.contains(path) { name.to_string() } else { format!("{name} ({path})") };
                let hint = fault.hint.as_ref().map_or_else(String::new, |h| format!("; {h}"));
                entries.unread.push(format!("entry {place} cannot be read: {fault}{hint}"));
            }
        }
    }
    entries
}

impl Entries {
    fn add(&mut self, held_by: String, login: Login) {
        let same = |v: &&mut Value| v.login.username == login.username && v.login.password.matches(&login.password);
        match self.values.iter_mut().find(same) {
            Some(value) => value.held_by.push(held_by),
            None => self.values.push(Value { login, held_by: vec![held_by], said: Said::NotAsked, name: Name::Unlisted }),
        }
    }

    /// Compares what the entries give as login names with those that the provider lists, and those that are known otherwise.
    fn name(&mut self, listed: &[ListedVersion], is_known: impl Fn(&str) -> bool) {
        for value in &mut self.values {
            let password = &value.login.password;
            value.name = if listed.iter().any(|v| v.username == value.login.username) {
                Name::Listed
            } else if is_known(password.expose()) || listed.iter().any(|v| password.expose() == v.username.as_str()) {
                Name::Swapped
            } else {
                Name::Unlisted
            };
        }
    }

    /// What stands in for a list where a provider has none: each login name that the entries hold is the id of a version, which is
    /// taken for active until the server says otherwise. A text counts as a login name only if this inventory or journal knows it
    /// as one, or the server accepts it: it may be a password (S21).
    pub(super) async fn by_name(&mut self, ports: &Ports, last: Option<&Last>, leak: bool) -> Vec<ListedVersion> {
        let known = |text: &str| is_known(ports, last, text);
        let unknown = |v: &&mut Value| !known(v.login.username.as_str()) && !known(v.login.password.expose());
        let asked = self.values.iter_mut().filter(unknown).map(|value| async move {
            value.said = tried(ports, &value.login, leak).await;
        });
        futures::future::join_all(asked).await;
        let sound = |v: &&Value| known(v.login.username.as_str()) || matches!(v.said, Said::Accepted);
        let mut names: Vec<&Username> = self.values.iter().filter(sound).map(|v| &v.login.username).collect();
        names.sort_unstable();
        names.dedup();
        let version = |name: &Username| {
            let id = version_of(name)?;
            let (username, state) = (name.clone(), LiveState::Active);
            Some(ListedVersion {
                id,
                username,
                tag: None,
                state,
                created_at: None,
                last_used_at: None,
                last_refused_at: None,
            })
        };
        names.into_iter().filter_map(version).collect()
    }

    /// Entries that give no login, each with the reason.
    fn without(&self) -> Vec<String> {
        self.lacking.iter().chain(&self.unread).cloned().collect()
    }

    /// Compares what cannot be read with the login that the others hold, by its mark.
    ///
    /// # Errors
    /// Something else was written there, and it is no leak.
    fn agree(&self, login: &Login, sealer: &Sealer, leak: bool, remarks: &mut Vec<String>) -> Result<(), Refusal> {
        let mark = sealer.mark_of(login);
        for Kept { entry, holds, why } in &self.hidden {
            let what = match holds {
                Hidden::Marked(held) if *held == mark => continue,
                Hidden::Unknown => {
                    let ask = "only its services can tell whether it holds the current login";
                    remarks.push(format!("entry {entry}: {why}: {ask}"));
                    continue;
                }
                Hidden::Marked(_) => "its mark is of another login than the other entries hold",
                Hidden::Changed => why,
            };
            let message = format!("entry {entry} does not hold the current login: {what}");
            if leak {
                remarks.push(message);
                continue;
            }
            let hint = "put the current login there; if it is there, delete the mark, and it counts as not known";
            return Err(Fault::new(FaultClass::Permanent, "HO0497", message).hint(hint).into());
        }
        Ok(())
    }

    /// Why entries that nobody can read are of no use here.
    fn unreadable(&self) -> impl Iterator<Item = String> {
        self.hidden.iter().map(|kept| {
            format!("entry {} gives nothing back: keep the login in an entry that can be read as well", kept.entry)
        })
    }

    /// Who holds what: a line an entry, with the fingerprint in the password's stead.
    fn lines(&self, sealer: &Sealer) -> Vec<String> {
        let line = |value: &Value, entry: &String| match value.name {
            Name::Swapped => format!("entry {entry}: {SWAPPED}"),
            _ => {
                let (username, said) = (value.shown(), value.words());
                format!("entry {entry}: login {username}, fingerprint {}: {said}", sealer.fingerprint(&value.login.password))
            }
        };
        self.values.iter().flat_map(|value| value.held_by.iter().map(move |entry| line(value, entry))).collect()
    }

    /// Asks the server about every login, side by side: each is tried once, and a second time only where there was no answer
    /// (IP4). A leak cannot wait for a server that is slow.
    async fn ask(&mut self, ports: &Ports, listed: &[ListedVersion], leak: bool) {
        let fresh = self.values.iter_mut().filter(|value| matches!(value.said, Said::NotAsked));
        let asked = fresh.map(|value| async move {
            value.said = match listing(ports.provider.as_ref(), listed, &value.login) {
                Some(_) => tried(ports, &value.login, leak).await,
                None => Said::Unlisted,
            };
        });
        futures::future::join_all(asked).await;
    }
}

async fn tried(ports: &Ports, login: &Login, leak: bool) -> Said {
    let (limit, tries) = if leak { (Duration::from_secs(3), 1) } else { (Duration::from_secs(45), 2) };
    let mut why = String::new();
    for _ in 0..tries {
        why = match tokio::time::timeout(limit, ports.mail.auth(login)).await {
            Ok(Outcome::Done(report)) if report.verdict == Verdict::Accepted => return Said::Accepted,
            Ok(Outcome::Done(report)) => {
                let enhanced = report.enhanced.map_or_else(String::new, |e| format!(" {e}"));
                return Said::Refused(format!("{}{enhanced}", report.code));
            }
            Ok(Outcome::NotDone(fault) | Outcome::Unknown(fault)) => fault.to_string(),
            Err(_) => format!("no answer within {}s", limit.as_secs()),
        };
    }
    Said::NoAnswer(why)
}

/// The version of a login: one that is active, if there is one.
fn listing<'l>(provider: &dyn Provider, listed: &'l [ListedVersion], login: &Login) -> Option<&'l ListedVersion> {
    let mut found: Vec<_> = listed.iter().filter(|v| provider.may_be(v, login)).collect();
    found.sort_by_key(|v| v.state != LiveState::Active);
    found.first().copied()
}

/// Refuses a login that may be several versions': the wrong one would be retired, in a leak as well.
fn only_one(
    provider: &dyn Provider,
    listed: &[ListedVersion],
    login: &Login,
    version: &ListedVersion,
) -> Result<(), Refusal> {
    // In place, what was replaced keeps its name and counts for nothing.
    let counts = |v: &ListedVersion| v.state == LiveState::Active || provider.facts().shape != Shape::InPlace;
    let alike = |v: &&ListedVersion| v.state == version.state && counts(v) && provider.may_be(v, login);
    let ids: Vec<String> = listed.iter().filter(alike).map(|v| v.id.to_string()).collect();
    if ids.len() < 2 {
        return Ok(());
    }
    let message = format!(
        "the entries hold a login that may be any of {}: this provider does not tell which password belongs to which",
        ids.join(", ")
    );
    let hint = "find out at the provider which of them nobody uses and remove it there, then start again; in a leak, revoke \
                there what has leaked";
    Err(Fault::new(FaultClass::Permanent, "HO0490", message).hint(hint).into())
}

/// Whether a text is known as a login name without asking anyone.
fn is_known(ports: &Ports, last: Option<&Last>, text: &str) -> bool {
    text == ports.account || last.is_some_and(|last| last.names.iter().any(|name| name.as_str() == text))
}

/// The id of a version that is known by nothing but its login name.
pub(super) fn version_of(username: &Username) -> Option<VersionId> {
    VersionId::new(username.as_str()).ok()
}

/// The version that the entries hold and the provider lists. In a leak with no readable entry it is the one that has leaked, the
/// only active one, or what the last rotation has left: no store may be in the way of containment (safety.md L5).
///
/// # Errors
/// The entries hold nothing, or not the same and it matters.
pub(super) async fn find(
    ports: &Ports,
    listed: &[ListedVersion],
    mut entries: Entries,
    sealer: &Sealer,
    (last, known, leaked): (Option<&Last>, Option<&BTreeSet<String>>, Option<&VersionId>),
    leak: bool,
    (remarks, warnings): (&mut Vec<String>, &mut Vec<String>),
) -> Result<(OldVersion, Option<Login>), Refusal> {
    let provider = ports.provider.as_ref();
    let lists = provider.facts().shape.lists();
    entries.name(listed, |text| !lists && is_known(ports, last, text));
    if entries.values.len() > 1 {
        entries.ask(ports, listed, leak).await;
    }
    if leak {
        remarks.extend(entries.without());
        if entries.values.len() > 1 {
            remarks.push("the entries hold different logins; what works is taken for the one that has leaked".to_owned());
            remarks.extend(entries.lines(sealer));
        }
        entries.values.sort_by_key(|v| (!matches!(v.said, Said::Accepted), v.said.speaks_against()));
    } else {
        agreed(&entries, ports, listed, sealer, known)?;
        remarks.extend(entries.unread.iter().cloned());
    }
    for active in [true, false] {
        for Value { login, .. } in &entries.values {
            let version = listing(provider, listed, login).filter(|v| (v.state == LiveState::Active) == active);
            if let Some(found @ ListedVersion { id, username, .. }) = version {
                only_one(provider, listed, login, found)?;
                entries.agree(login, sealer, leak, remarks)?;
                let fingerprint = Some(sealer.fingerprint(&login.password));
                let old = OldVersion { id: id.clone(), username: username.clone(), fingerprint };
                return Ok((old, Some(login.duplicate())));
            }
        }
    }
    if leak
        && entries.values.is_empty()
        && let Some((id, username, known)) = untold(listed, lists, last, leaked)
    {
        warnings.push(format!("no entry gives a login: {id}, {known}, is taken for the version that has leaked"));
        return Ok((OldVersion { id, username, fingerprint: None }, None));
    }
    Err(unfound(ports, listed, &entries, sealer, leak))
}

/// The version that is current where no entry tells: the one that an alert names, the only active one, or the one that the last
/// rotation has left.
fn untold(
    listed: &[ListedVersion],
    lists: bool,
    last: Option<&Last>,
    leaked: Option<&VersionId>,
) -> Option<(VersionId, Username, &'static str)> {
    let active: Vec<_> = listed.iter().filter(|v| v.state == LiveState::Active).collect();
    if let Some(named) = active.iter().find(|v| Some(&v.id) == leaked) {
        return Some((named.id.clone(), named.username.clone(), "which the alert fits"));
    }
    if let [only] = active.as_slice() {
        return Some((only.id.clone(), only.username.clone(), "the only active one"));
    }
    let (id, username) = last?.left.clone()?;
    let live = !lists || active.iter().any(|v| v.id == id);
    live.then_some((id, username, "which this journal's last rotation has left"))
}

/// The refusal where the current version cannot be told. Another look may find it where something gave no answer and may answer yet;
/// in a leak, whatever the reason was.
fn unfound(ports: &Ports, listed: &[ListedVersion], entries: &Entries, sealer: &Sealer, leak: bool) -> Refusal {
    let all: Vec<String> = listed.iter().map(|v| v.id.to_string()).collect();
    let has = if all.is_empty() { "it has none".to_owned() } else { format!("it has: {}", all.join(", ")) };
    let silent = !entries.unread.is_empty() || entries.values.iter().any(|v| matches!(v.said, Said::NoAnswer(_)));
    let class = match entries.passing || leak && silent {
        true => FaultClass::Temporary,
        false => FaultClass::Permanent,
    };
    let hint_of = |otherwise| match entries.values.iter().any(|value| matches!(value.name, Name::Swapped)) {
        true => "swap the entry's `fields` in the inventory, or the two values where they are kept",
        false => otherwise,
    };
    let (message, details, hint) = if entries.values.is_empty() {
        let hint = "mend what each entry lacks: the login that works belongs in all of them";
        let without = entries.without().into_iter().chain(entries.unreadable()).collect();
        ("no entry gives a login, so the current version is not known".to_owned(), without, hint)
    } else if !ports.provider.facts().shape.lists() {
        let hint = hint_of(
            "what an entry gives as a login name may be a password: see whether its two `fields` are swapped, then put the login \
             that works into all entries",
        );
        let message = "no entry holds a login that the server accepts, or a name that this journal knows".to_owned();
        (message, entries.lines(sealer), hint)
    } else {
        let hint = hint_of("compare the entries with the provider; `account` in the inventory may be wrong");
        (format!("no entry holds a version of the account {} ({has})", ports.account), entries.lines(sealer), hint)
    };
    Refusal { fault: Fault::new(class, "HO0443", message).hint(hint), details }
}

/// Refuses entries that do not all hold the same login: which of them is wrong, if that can be told.
fn agreed(
    entries: &Entries,
    ports: &Ports,
    listed: &[ListedVersion],
    sealer: &Sealer,
    known: Option<&BTreeSet<String>>,
) -> Result<(), Refusal> {
    let refusal = |code: &str, message: String, hint: String, details: Vec<String>| {
        Err(Refusal { fault: Fault::new(FaultClass::Permanent, code, message).hint(hint), details })
    };
    if let (false, [first, rest @ ..]) = (entries.values.is_empty(), entries.lacking.as_slice()) {
        let message = if rest.is_empty() { first.clone() } else { format!("{} entries hold no login", rest.len() + 1) };
        let details = if rest.is_empty() { Vec::new() } else { entries.lacking.clone() };
        let hint = "put the current login there, as the other entries have it, or take the entry out of the inventory";
        return refusal("HO0481", message, hint.to_owned(), details);
    }
    let listed_at_all = entries.values.iter().any(|v| !matches!(v.said, Said::Unlisted));
    if entries.values.len() < 2 || !listed_at_all {
        return Ok(());
    }
    let accepted: Vec<&Value> = entries.values.iter().filter(|v| matches!(v.said, Said::Accepted)).collect();
    let wrong: Vec<&Value> = entries.values.iter().filter(|v| v.said.speaks_against()).collect();
    if let [right] = accepted.as_slice()
        && wrong.len() + 1 == entries.values.len()
    {
        let names: Vec<String> = wrong.iter().flat_map(|v| v.held_by.iter().cloned()).collect();
        let why = match wrong.as_slice() {
            [one] => one.words(),
            _ => "each is refused, or is not of this account".to_owned(),
        };
        let message = match names.as_slice() {
            [one] => format!("entry {one} holds a wrong login: {why}; what {} holds works", right.held_by.join(" and ")),
            _ => {
                format!("{} hold wrong logins: {why}; what {} holds works", names.join(" and "), right.held_by.join(" and "))
            }
        };
        let hint = match wrong.iter().any(|value| matches!(value.name, Name::Swapped)) {
            true => format!("swap `fields` of {} in the inventory, or the two values there", names.join(" and ")),
            false => format!("put the login that works into {}, then start again", names.join(" and ")),
        };
        return refusal("HO0482", message, hint, entries.lines(sealer));
    }
    if accepted.len() > 1
        && let Some(known) = known
    {
        let live = accepted.iter().filter_map(|v| listing(ports.provider.as_ref(), listed, &v.login));
        let (theirs, ours): (Vec<_>, Vec<_>) = live.partition(|v| elsewhere::maker(v, known).is_some());
        if let ([version, ..], false) = (theirs.as_slice(), ours.is_empty()) {
            return Err(elsewhere::refusal(version, known, &ports.account, "it is in some entries and not in others"));
        }
    }
    let told = match accepted.len() {
        0 => "none of them could be shown to work",
        1 => "not all of them could be tried",
        _ => "the server accepts more than one of them",
    };
    let message = format!("the entries hold different logins, and {told}: which one is current is not known");
    let hint = "put the one that services are to use into all entries, then start again".to_owned();
    refusal("HO0443", message, hint, entries.lines(sealer))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Fields, Node};
    use crate::providers::manual::ManualProvider;
    use crate::secret::Secret;

    fn version(id: &str, username: &str, state: LiveState) -> ListedVersion {
        ListedVersion {
            id: VersionId::new(id).expect("an id"),
            username: Username::new(username).expect("a name"),
            tag: None,
            state,
            created_at: None,
            last_used_at: None,
            last_refused_at: None,
        }
    }

    #[test]
    fn l5_where_no_entry_tells_the_version_that_an_alert_fits_is_taken_and_only_if_it_lives() {
        let listed = [
            version("a", "one", LiveState::Active),
            version("b", "two", LiveState::Active),
            version("c", "three", LiveState::Inactive),
        ];
        let taken = |leaked: &str| {
            let leaked = VersionId::new(leaked).expect("an id");
            untold(&listed, true, None, Some(&leaked)).map(|(id, ..)| id.to_string())
        };
        assert_eq!((taken("b").as_deref(), taken("a").as_deref()), (Some("b"), Some("a")));
        assert_eq!((taken("c"), taken("nobody")), (None, None));
        assert!(untold(&listed, true, None, None).is_none());
    }

    #[test]
    fn a_login_that_may_be_two_versions_is_none() {
        let node = Node::from_yaml("test.yaml", Path::new("/"), "{}").expect("YAML");
        let options = ManualProvider::options(&mut Fields::new(&node, "provider")).expect("options");
        let provider = ManualProvider::open(options).expect("it opens");
        let login = Login { username: Username::new("apikey").expect("a name"), password: Secret::new("x".to_owned()) };
        use LiveState::{Active, Inactive};
        for (listed, id, told) in [
            (vec![("a", "apikey", Active), ("b", "other", Active)], "a", true),
            (vec![("a", "apikey", Inactive), ("b", "apikey", Active)], "b", true),
            (vec![("a", "apikey", Active), ("b", "apikey", Active)], "a", false),
            (vec![("a", "apikey", Inactive), ("b", "apikey", Inactive)], "a", false),
        ] {
            let listed: Vec<_> = listed.into_iter().map(|(id, name, state)| version(id, name, state)).collect();
            let found = listing(&provider, &listed, &login).expect("it is listed");
            assert_eq!(found.id.as_str(), id);
            match only_one(&provider, &listed, &login, found) {
                Ok(()) => assert!(told),
                Err(refusal) => {
                    assert!(!told);
                    assert!(refusal.fault.code == "HO0490" && refusal.fault.message.contains("a, b"), "{}", refusal.fault);
                }
            }
        }
    }
}

//! One conversation with a directory: TLS always, a bind, and requests whose ends are told in three values.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::plan::Shape;
use ldap3::controls::{Assertion, Control, MakeCritical, RawControl};
use ldap3::exop::PasswordModify;
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, Mod, Scope, SearchEntry};
use rustls::ClientConfig;

use super::entry::{Entry, LOCKED, Value};
use super::options::LdapOptions;
use crate::files::replace::Failure;
use crate::secret::Secret;
use crate::web::client_tls;

const CONNECTING: Duration = Duration::from_secs(5);
const ANSWERING: Duration = Duration::from_secs(8);
/// The control of password policies: who asks by it gets it back from a directory that has them in force, even if they say nothing.
const PASSWORD_POLICY: &str = "1.3.6.1.4.1.42.2.27.8.5.1";

/// A change of an entry's attributes.
pub(super) type Change = Mod<Vec<u8>>;

/// The values of a change.
pub(super) fn values<const N: usize>(values: [&[u8]; N]) -> HashSet<Vec<u8>> {
    values.into_iter().map(<[u8]>::to_vec).collect()
}

/// A connection that is bound.
pub(super) struct Talk<'o> {
    ldap: Ldap,
    options: &'o LdapOptions,
    /// The result code of the last change that was answered.
    last: u32,
    /// Whether the directory has password policies in force, as far as it has told who wants two passwords.
    pub(super) policies: bool,
}

impl<'o> Talk<'o> {
    /// Connects and binds.
    pub(super) async fn begin(options: &'o LdapOptions) -> Result<Self, Fault> {
        let password = options.bind_password.read()?;
        let settings = LdapConnSettings::new()
            .set_conn_timeout(CONNECTING)
            .set_starttls(options.starttls)
            .set_config(Arc::new(tls(options.ca_file.as_deref())?));
        let (connection, mut ldap) =
            LdapConnAsync::with_settings(settings, &options.url).await.map_err(|error| unreachable(options, &error))?;
        // It ends with the handle.
        tokio::spawn(async move {
            let _ = connection.drive().await;
        });
        ldap.with_timeout(ANSWERING);
        if options.shape == Shape::Reversible {
            ldap.with_controls(RawControl { ctype: PASSWORD_POLICY.to_owned(), crit: false, val: None });
        }
        let bound = ldap.simple_bind(&options.bind_dn, password.expose()).await;
        let bound = bound.map_err(|error| unreachable(options, &error))?;
        match bound.rc {
            0 => {
                let policies = bound.ctrls.iter().any(|Control(_, control)| control.ctype == PASSWORD_POLICY);
                Ok(Self { ldap, options, last: 0, policies })
            }
            49 => {
                let message =
                    format!("{}: {} is refused with the password in `bind_password`", options.url, options.bind_dn);
                Err(Fault::new(FaultClass::Permanent, "HO0515", message)
                    .hint("renew the password where the inventory says that it is"))
            }
            rc => Err(refused(options, "bind", rc)),
        }
    }

    /// Reads the entry of a login; one that is not there is `None`.
    pub(super) async fn read(&mut self, login: &str) -> Result<Option<Entry>, Fault> {
        let dn = self.options.dn_of(login);
        let note = self.options.note.as_str();
        let wanted = ["userPassword", note, "pwdAccountLockedTime", "pwdChangedTime", "pwdPolicySubentry"];
        self.ldap.with_timeout(ANSWERING);
        let found = self.ldap.search(&dn, Scope::Base, "(objectClass=*)", wanted).await;
        let found = found.map_err(|error| unreachable(self.options, &error))?;
        match found.1.rc {
            0 => {}
            32 => return Ok(None),
            rc => return Err(refused(self.options, "read an entry", rc)),
        }
        let Some(first) = found.0.into_iter().next() else { return Ok(None) };
        // The library panics at an answer that is no entry.
        let Ok(seen) = catch_unwind(AssertUnwindSafe(|| SearchEntry::construct(first))) else {
            let message = format!("{}: the answer is no entry", self.options.url);
            return Err(Fault::new(FaultClass::Permanent, "HO0517", message));
        };
        let mut entry = Entry::new(login, &dn);
        let mut hashes = Vec::new();
        for (name, texts) in seen.attrs {
            if name.eq_ignore_ascii_case("userPassword") {
                hashes.extend(texts.into_iter().map(|text| Value::new(text.into_bytes())));
            } else if name.eq_ignore_ascii_case(note) {
                texts.into_iter().for_each(|text| entry.take_note(text));
            } else if name.eq_ignore_ascii_case("pwdAccountLockedTime") {
                entry.locked = texts.iter().any(|time| time == LOCKED);
            } else if name.eq_ignore_ascii_case("pwdChangedTime") || name.eq_ignore_ascii_case("pwdPolicySubentry") {
                entry.governed = true;
            }
        }
        for (name, blobs) in seen.bin_attrs {
            if name.eq_ignore_ascii_case("userPassword") {
                hashes.extend(blobs.into_iter().map(Value::new));
            }
        }
        let several = self.options.shape == Shape::Reversible;
        if hashes.len() > 1 && !several {
            let message = format!("login {login} has {} passwords at once ({dn})", hashes.len());
            let hint = "leave it the one that services use, or use `accounts: two-values` where no policy forbids it";
            return Err(Fault::new(FaultClass::Permanent, "HO0518", message).hint(hint));
        }
        entry.value = hashes.pop();
        entry.more = hashes;
        if entry.all().any(|value| !value.is_salted()) {
            let message = format!("the password of login {login} is kept in the clear or without a salt ({dn})");
            let hint = "have the directory hash passwords, such as by `olcPasswordHash: {ARGON2}` or {SSHA}, and set this one again";
            return Err(Fault::new(FaultClass::Permanent, "HO0518", message).hint(hint));
        }
        Ok(Some(entry))
    }

    /// Changes attributes of an entry, all or none.
    pub(super) async fn modify(&mut self, dn: &str, changes: Vec<Change>) -> Result<(), Failure> {
        self.ldap.with_timeout(ANSWERING);
        let done = self.ldap.modify(dn, changes).await;
        self.ended("change an entry", done)
    }

    /// Puts a value, switched off or on, in the place of itself, if it still stands there. Not as a value deleted and one added: a
    /// password policy takes that for somebody who gives the old password, and finds that it is none.
    pub(super) async fn switch(&mut self, dn: &str, value: &Value, more: Vec<Change>) -> Result<(), Failure> {
        // Byte by byte, since a hash may end in what is no text: OpenLDAP's ARGON2 does at times.
        let mut filter = String::with_capacity(value.bytes().len() * 3 + 16);
        filter.push_str("(userPassword=");
        for byte in value.bytes() {
            filter.push_str(&format!("\\{byte:02x}"));
        }
        filter.push(')');
        let control = Assertion { filter }.critical();
        let switched = value.switched();
        let mut changes = vec![Mod::Replace(b"userPassword".to_vec(), values([switched.bytes()]))];
        changes.extend(more);
        self.ldap.with_controls(control);
        self.modify(dn, changes).await
    }

    /// Sets a password by the extended operation of RFC 3062: the directory checks it by its policy, and hashes it.
    pub(super) async fn set_password(&mut self, dn: &str, password: &Secret) -> Result<(), Failure> {
        self.ldap.with_timeout(ANSWERING);
        let request = PasswordModify { user_id: Some(dn), old_pass: None, new_pass: Some(password.expose()) };
        let done = self.ldap.extended(request).await;
        self.ended("set a password", done.map(|answer| answer.1))
    }

    /// Says goodbye, so that the server logs no lost connection.
    pub(super) async fn end(mut self) {
        let _ = self.ldap.unbind().await;
    }

    /// Whether the last change was refused because the entry would lack what it has to have.
    pub(super) fn lacked(&self) -> bool {
        self.last == 65
    }

    /// Whether the last change was refused because a value is not allowed there.
    pub(super) fn constrained(&self) -> bool {
        self.last == 19
    }

    fn ended(&mut self, doing: &str, done: Result<LdapResult, LdapError>) -> Result<(), Failure> {
        self.last = done.as_ref().map_or(0, |answer| answer.rc);
        match done {
            Ok(LdapResult { rc: 0, .. }) => Ok(()),
            // What these mean for a request that was under way, nobody has promised.
            Ok(LdapResult { rc: rc @ (1 | 3 | 51 | 52 | 80), .. }) => {
                let message = format!(
                    "{}: the directory is busy or in trouble (result {rc}) and was asked to {doing}",
                    self.options.url
                );
                Err(Failure::Maybe(Fault::new(FaultClass::Temporary, "HO0516", message)))
            }
            Ok(LdapResult { rc, .. }) => Err(Failure::Before(refused(self.options, doing, rc))),
            Err(_) => {
                let message = format!("{}: the answer was lost, after the directory was asked to {doing}", self.options.url);
                Err(Failure::Maybe(Fault::new(FaultClass::Temporary, "HO0505", message)))
            }
        }
    }
}

/// An answer that says no, or that something is not as it should be. The server's own words are left out: they may quote.
pub(super) fn refused(options: &LdapOptions, doing: &str, rc: u32) -> Fault {
    use FaultClass::{Permanent, Temporary};
    let (class, code, what, hint) = match rc {
        122 => {
            (Temporary, "HO0517", "somebody else has changed it meanwhile", "find out who sets passwords besides Handover")
        }
        12 => {
            (Permanent, "HO0517", "it cannot compare before it changes (RFC 4528)", "`disable_by: lock` needs no comparison")
        }
        13 | 8 => (Permanent, "HO0517", "it wants a stronger protection of the connection", "use ldaps://"),
        17 | 16 => {
            (Permanent, "HO0517", "it has no such attribute", "`disable_by: hash` needs no policy; see `note_attribute` too")
        }
        19 => {
            let hint = "does the policy ask for longer passwords, refuse hashed ones (then `disable_by: lock`), or forbid changes so soon?";
            (Permanent, "HO0517", "the password policy or the schema refuses it", hint)
        }
        21 | 65 => {
            (Permanent, "HO0517", "the schema refuses it", "may the entries have `note_attribute` and no `userPassword`?")
        }
        32 => (Permanent, "HO0502", "there is no such entry", "compare `dn` and `account` with the directory"),
        50 => {
            let hint =
                "let `bind_dn` write userPassword, the notes and, for locks, pwdAccountLockedTime: see docs/kinds/ldap.md";
            (Permanent, "HO0515", "the access rules do not let us", hint)
        }
        53 => (Permanent, "HO0517", "it is unwilling", "is it a replica that takes no changes, or does a policy lock this?"),
        51 | 52 => (Temporary, "HO0516", "it is busy", "nothing is to be done"),
        _ => (Permanent, "HO0517", "it says no", "look for the result code in the directory's log"),
    };
    let message = format!("{}: cannot {doing}: {what} (result {rc})", options.url);
    Fault::new(class, code, message).hint(hint)
}

/// Before anything was asked to change: nothing has.
fn unreachable(options: &LdapOptions, error: &LdapError) -> Fault {
    let why = match error {
        LdapError::Io { source } if source.get_ref().is_some_and(|e| e.is::<rustls::Error>()) => {
            "TLS fails: check `ca_file` and the name"
        }
        LdapError::Io { .. } => "no connection",
        LdapError::Timeout { .. } => "no answer in time",
        LdapError::LdapResult { .. } => "it does not offer StartTLS",
        _ => "the connection ended",
    };
    let message = format!("{}: the directory cannot be reached: {why}", options.url);
    Fault::new(FaultClass::Temporary, "HO0501", message).hint("check `url`; TLS is always asked for")
}

fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, Fault> {
    client_tls(ca_file)
        .map_err(|why| Fault::new(FaultClass::Permanent, "HO0517", why).hint("give a file of PEM certificates as `ca_file`"))
}

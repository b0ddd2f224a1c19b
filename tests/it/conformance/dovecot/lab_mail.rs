//! The bench, and what the suite does not ask: the traps of this server.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use handover::config::{Fields, Node};
use handover::providers::dovecot::DovecotProvider;
use handover::providers::{LiveState, Permitted, Provider};
use handover::secret::Secret;
use handover_rotation::name::{RotationId, Slot, Tag, VersionId};
use handover_rotation::outcome::{FaultClass, Outcome};

use super::super::providers::{ProviderBench, run};
use super::super::table::hold;
use crate::support::lab::mail::{Mail, Users, hash};

pub(super) const FIRST: &str = "First-password-0123456789";

pub(super) fn provider(options: &str) -> Arc<dyn Provider> {
    let node = Node::from_yaml("test.yaml", Path::new("/"), options).expect("YAML");
    let mut fields = Fields::new(&node, "provider");
    let options = DovecotProvider::options(&mut fields);
    let problems = fields.finish();
    assert!(!problems.has_errors(), "{problems}");
    Arc::new(DovecotProvider::open(options.expect("options")).expect("a provider"))
}

fn tag(rotation: &str) -> Tag {
    Tag::of(&RotationId::new(rotation).expect("an id"), Slot(1))
}

struct Bench {
    mail: Mail,
    sql: bool,
}

impl Bench {
    fn start(sql: bool) -> Self {
        Self { mail: Mail::start(if sql { &Users::Sqlite } else { &Users::File }), sql }
    }

    fn options(&self, more: &str) -> String {
        let place = match self.sql {
            true => format!("sql: {{sqlite: {}}}", self.mail.database().display()),
            false => format!("passwd_file: {}", self.mail.users_file().display()),
        };
        format!("{{{place}, auth_socket: {}{more}}}", self.mail.auth_socket().display())
    }

    fn tool(&self, name: &str, script: &str) -> PathBuf {
        tool(&self.mail, name, script)
    }

    fn add(&self, login: &str, field: &str) {
        if self.sql {
            let base = rusqlite::Connection::open(self.mail.database()).expect("the database");
            base.execute("INSERT INTO users (username, password) VALUES (?1, ?2)", [login, field]).expect("a row");
        } else {
            let mut file = std::fs::OpenOptions::new().append(true).open(self.mail.users_file()).expect("the file");
            writeln!(file, "{login}:{field}:::::: nodelay").expect("a line");
        }
    }
}

/// A tool in the place of doveadm, which is this shell script.
pub(super) fn tool(mail: &Mail, name: &str, script: &str) -> PathBuf {
    let path = mail.dir().join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("is written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    path
}

/// The id of the version with this field, made without the adapter.
pub(super) fn id(login: &str, field: &str) -> VersionId {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, field.as_bytes());
    VersionId::new(format!("{login}#{}", hex::encode(&digest.as_ref()[..8]))).expect("an id")
}

#[async_trait]
impl ProviderBench for Bench {
    fn provider(&self) -> Arc<dyn Provider> {
        provider(&self.options(""))
    }

    fn nowhere(&self) -> Result<Arc<dyn Provider>, &'static str> {
        Err("its users are read on this machine, server or none; that changes need the server is tested apart")
    }

    async fn forbidden(&self) -> Result<Arc<dyn Provider>, &'static str> {
        let tool = self.tool("as-nobody", "exec /usr/sbin/runuser -u nobody -- /usr/bin/doveadm \"$@\"");
        Ok(provider(&self.options(&format!(", doveadm: {}", tool.display()))))
    }

    async fn cutting(&self) -> Result<Arc<dyn Provider>, &'static str> {
        let seen = self.mail.dir().join("flushed-once");
        let script = format!(
            "case \"$*\" in *flush*) if [ -e {0} ]; then exit 1; fi; : >{0};; esac\nexec /usr/bin/doveadm \"$@\"",
            seen.display()
        );
        let tool = self.tool("once", &script);
        Ok(provider(&self.options(&format!(", doveadm: {}", tool.display()))))
    }

    async fn account(&self, name: &str) -> (String, VersionId) {
        let (first, field) = (format!("{name}-a"), hash(FIRST));
        self.add(&first, &field);
        if self.sql {
            self.add(&format!("{name}-b"), "!");
        }
        (name.to_owned(), id(&first, &field))
    }

    async fn accepts(&self, _account: &str, username: &str, password: &Secret) -> bool {
        if !self.sql {
            // The server looks at its file once a second.
            tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        }
        self.mail.accepts(username, password.expose())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_with_a_passwd_file() {
    hold("dovecot", &run(&Bench::start(false)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_with_a_table_and_a_cache() {
    hold("dovecot (sql)", &run(&Bench::start(true)).await);
}

async fn made(provider: &dyn Provider, account: &str, rotation: &str, password: &str) -> VersionId {
    match provider.create(account, &tag(rotation), Some(&Secret::new(password.to_owned()))).await {
        Outcome::Done(made) => made.id,
        Outcome::NotDone(fault) | Outcome::Unknown(fault) => panic!("it makes none: {fault}"),
    }
}

/// The trap: with the size the same and the second too, the server keeps the old file for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_same_size_in_the_same_second_is_seen() {
    use std::os::unix::fs::MetadataExt;
    let bench = Bench::start(false);
    let users = bench.mail.users_file();
    let seconds = || std::fs::metadata(&users).expect("the file").mtime();
    bench.add("news", &hash("one"));
    let in_place = provider(&bench.options(", accounts: in-place, scheme: SHA512-CRYPT"));
    made(&*in_place, "news", "r-1", "two").await;
    let before = made(&*in_place, "news", "r-2", "six").await;
    let (size, second) = (std::fs::metadata(&users).expect("the file").len(), seconds());
    assert!(bench.accepts("", "news", &Secret::new("six".to_owned())).await);
    // Each has the size of the one before, and would have its second, had the adapter let it.
    for (rotation, password) in [("r-3", "ten"), ("r-4", "six"), ("r-5", "ten")] {
        made(&*in_place, "news", rotation, password).await;
    }
    let newest = made(&*in_place, "news", "r-6", "two").await;
    assert_eq!(std::fs::metadata(&users).expect("the file").len(), size);
    assert!(seconds() >= second + 4, "four changes have four seconds of their own");
    assert!(bench.accepts("", "news", &Secret::new("two".to_owned())).await);
    assert!(!bench.accepts("", "news", &Secret::new("ten".to_owned())).await);
    match in_place.list("news").await {
        Outcome::Done(list) => assert!(list.iter().all(|v| v.id != before) && list.len() == 2, "{list:?}"),
        other => panic!("{other:?}"),
    }
    // In place the one before can be put back.
    let last = match in_place.list("news").await {
        Outcome::Done(list) => list.into_iter().find(|v| v.id != newest).expect("it is kept").id,
        other => panic!("{other:?}"),
    };
    let done = in_place.enable("news", &last, None).await;
    assert!(matches!(done, Outcome::Done(())), "{done:?}");
    assert!(bench.accepts("", "news", &Secret::new("ten".to_owned())).await);
    assert!(!bench.accepts("", "news", &Secret::new("two".to_owned())).await);
}

/// The control of the trap: a change that is made as others make it is not seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_without_a_new_second_is_missed_by_the_server() {
    let bench = Bench::start(false);
    let users = bench.mail.users_file();
    let write = |password: &str| {
        let beside = users.with_extension("new");
        std::fs::write(&beside, format!("news:{}\n", hash(password))).expect("is written");
        let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
        std::fs::File::options().write(true).open(&beside).and_then(|f| f.set_modified(time)).expect("a time");
        std::fs::rename(&beside, &users).expect("is renamed");
    };
    write("one");
    assert!(bench.accepts("", "news", &Secret::new("one".to_owned())).await);
    write("two");
    assert!(bench.accepts("", "news", &Secret::new("one".to_owned())).await, "the server has learned to look closer");
    assert!(!bench.accepts("", "news", &Secret::new("two".to_owned())).await);
}

/// Why `nologin` is not how a version is disabled.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_nologin_is_accepted_by_postfix() {
    let bench = Bench::start(false);
    let line = format!("news:{}::::::nologin\n", hash(FIRST));
    std::fs::write(bench.mail.users_file(), line).expect("is written");
    assert!(bench.accepts("", "news", &Secret::new(FIRST.to_owned())).await);
}

/// The server's cache holds the old password for an hour: a change is in force only after a flush.
#[tokio::test(flavor = "multi_thread")]
async fn a_cached_password_is_refused_at_once_after_it_was_disabled() {
    let bench = Bench::start(true);
    let (account, first) = bench.account("news").await;
    let password = Secret::new(FIRST.to_owned());
    assert!(bench.accepts(&account, "news-a", &password).await);
    // The control: without a flush it goes on.
    let base = rusqlite::Connection::open(bench.mail.database()).expect("the database");
    let field: String =
        base.query_row("SELECT password FROM users WHERE username = 'news-a'", [], |r| r.get(0)).expect("a row");
    base.execute("UPDATE users SET password = '!' WHERE username = 'news-a'", []).expect("is set");
    assert!(bench.accepts(&account, "news-a", &password).await, "the cache holds it");
    base.execute("UPDATE users SET password = ?1 WHERE username = 'news-a'", [field]).expect("is set");
    let provider = bench.provider();
    assert!(matches!(provider.disable(&account, &first).await, Outcome::Done(())));
    assert!(!bench.accepts(&account, "news-a", &password).await);
    assert!(matches!(provider.enable(&account, &first, None).await, Outcome::Done(())));
    assert!(bench.accepts(&account, "news-a", &password).await);
    let quota: i64 = base.query_row("SELECT quota FROM users WHERE username = 'news-a'", [], |r| r.get(0)).expect("a row");
    assert_eq!(quota, 7, "other columns are left alone");
}

/// L5: what has leaked is shut out of the file at least, whatever becomes of the cache.
#[tokio::test(flavor = "multi_thread")]
async fn l5_in_a_leak_it_is_written_although_it_cannot_be_put_into_force() {
    let bench = Bench::start(false);
    let (account, first) = bench.account("news").await;
    let gone = provider(&format!("{{passwd_file: {}, auth_socket: /nowhere}}", bench.mail.users_file().display()));
    let gone = gone.in_leak().expect("it acts otherwise in a leak");
    for _again in 0..2 {
        match gone.disable(&account, &first).await {
            Outcome::Unknown(fault) => assert_eq!(fault.code, "HO0531"),
            other => panic!("{other:?}"),
        }
    }
    assert!(!bench.accepts(&account, "news-a", &Secret::new(FIRST.to_owned())).await);
    let there = bench.provider().in_leak().expect("it acts otherwise in a leak");
    assert!(matches!(there.disable(&account, &first).await, Outcome::Done(())));
}

/// Without the server nothing is begun in a routine rotation; where it goes away in between, the change is in doubt.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_changed_that_could_not_be_put_into_force() {
    let bench = Bench::start(false);
    let (account, first) = bench.account("news").await;
    let before = std::fs::read(bench.mail.users_file()).expect("the file");
    let gone = provider(&format!("{{passwd_file: {}, auth_socket: /nowhere}}", bench.mail.users_file().display()));
    for outcome in [
        gone.create(&account, &tag("r-1"), Some(&Secret::new("x".to_owned()))).await.map(drop),
        gone.disable(&account, &first).await,
        gone.delete(&account, &first).await,
        gone.permitted(&account).await.map(drop),
    ] {
        match outcome {
            Outcome::NotDone(fault) => assert_eq!((fault.class, fault.code.as_str()), (FaultClass::Temporary, "HO0501")),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(std::fs::read(bench.mail.users_file()).expect("the file"), before);
    let cutting = bench.cutting().await.expect("there is one");
    match cutting.disable(&account, &first).await {
        Outcome::Unknown(fault) => assert_eq!(fault.code, "HO0531"),
        other => panic!("{other:?}"),
    }
    let provider = bench.provider();
    match provider.list(&account).await {
        Outcome::Done(list) => assert_eq!(list[0].state, LiveState::Inactive),
        other => panic!("{other:?}"),
    }
    let may = provider.permitted(&account).await;
    assert!(matches!(may, Outcome::Done(Permitted::Yes)), "{may:?}");
}

/// What stands in the file beside the account, and the file's owner and mode, are not ours.
#[tokio::test(flavor = "multi_thread")]
async fn other_lines_owner_and_mode_are_kept_and_links_refused() {
    use std::os::unix::fs::MetadataExt;
    let bench = Bench::start(false);
    let users = bench.mail.users_file();
    let text = format!("# head\r\n\nann:{{PLAIN}}x\nnews-a:{}:1:1::/home/n::userdb_quota=1:2 nodelay\n#foot", hash(FIRST));
    std::fs::write(&users, &text).expect("is written");
    std::fs::set_permissions(&users, std::fs::Permissions::from_mode(0o640)).expect("a mode");
    std::os::unix::fs::chown(&users, Some(65534), Some(65534)).expect("an owner");
    // Dovecot's own user has to read it on.
    std::fs::set_permissions(&users, std::fs::Permissions::from_mode(0o644)).expect("a mode");
    let provider = bench.provider();
    let new = made(&*provider, "news", "r-1", "new-password").await;
    let held = std::fs::read_to_string(&users).expect("the file");
    assert!(held.starts_with(&text), "{held}");
    assert!(held.trim_end().ends_with(":1:1::/home/n::userdb_quota=1:2 nodelay"), "{held}");
    let seen = std::fs::metadata(&users).expect("the file");
    assert_eq!((seen.uid(), seen.gid(), seen.mode() & 0o7777), (65534, 65534, 0o644));
    assert!(bench.accepts("", "news-b", &Secret::new("new-password".to_owned())).await);
    let warned = provider.warnings("news").await;
    assert_eq!(warned.len(), 1, "{warned:?}");
    let link = bench.mail.dir().join("auth/link");
    std::os::unix::fs::symlink(&users, &link).expect("a link");
    let linked = provider_at(&bench, &link);
    match linked.disable("news", &new).await {
        Outcome::NotDone(fault) => assert_eq!(fault.code, "HO0601"),
        other => panic!("{other:?}"),
    }
}

fn provider_at(bench: &Bench, file: &Path) -> Arc<dyn Provider> {
    provider(&format!("{{passwd_file: {}, auth_socket: {}}}", file.display(), bench.mail.auth_socket().display()))
}

/// What the kind's page says of a user that is not root.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_is_not_root_flushes_through_a_socket_of_its_own() {
    let bench = Bench::start(true);
    let (account, _) = bench.account("news").await;
    let tool = bench.tool("as-nobody", "exec /usr/sbin/runuser -u nobody -- /usr/bin/doveadm \"$@\"");
    let socket = bench.mail.dir().join("run/handover-master");
    let options = format!(
        "{{sql: {{sqlite: {}}}, auth_socket: {}, doveadm: {}}}",
        bench.mail.database().display(),
        socket.display(),
        tool.display()
    );
    let may = provider(&options).permitted(&account).await;
    assert!(matches!(may, Outcome::Done(Permitted::Yes)), "{may:?}");
    match bench.forbidden().await.expect("there is one").permitted(&account).await {
        Outcome::NotDone(fault) => assert_eq!(fault.code, "HO0515"),
        other => panic!("{other:?}"),
    }
}

/// Many rotations on one file at once: each holds the lock while it reads, changes and replaces.
#[tokio::test(flavor = "multi_thread")]
async fn changes_of_many_accounts_at_once_lose_none() {
    let bench = Bench::start(false);
    let provider = provider(&bench.options(", scheme: SHA512-CRYPT"));
    let mut accounts = Vec::new();
    for n in 0..6 {
        accounts.push(bench.account(&format!("news{n}")).await.0);
    }
    let changes = accounts.iter().map(|account| made(&*provider, account, "r-1", "new-password"));
    futures::future::join_all(changes).await;
    for account in &accounts {
        match provider.list(account).await {
            Outcome::Done(list) => assert_eq!(list.len(), 2, "{account}: {list:?}"),
            other => panic!("{other:?}"),
        }
    }
    assert!(bench.accepts("", "news0-b", &Secret::new("new-password".to_owned())).await);
    assert!(bench.accepts("", "news5-b", &Secret::new("new-password".to_owned())).await);
}

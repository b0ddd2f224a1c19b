//! The suite with a table in PostgreSQL, which a real Dovecot reads; and what is its own: locks, ends of a commit, and who may do what.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use handover::providers::{LiveState, Permitted, Provider};
use handover::secret::Secret;
use handover_rotation::name::VersionId;
use handover_rotation::outcome::{FaultClass, Outcome};

use super::super::providers::{ProviderBench, run};
use super::super::table::hold;
use super::lab_mail::{FIRST, id, provider, tool};
use crate::support::lab::free_port;
use crate::support::lab::mail::{Mail, Users, hash};
use crate::support::lab::postgres::{Database, READER, ROTATOR};
use crate::support::lab::proxy::Proxy;

struct Bench {
    database: Database,
    mail: Mail,
}

impl Bench {
    fn start() -> Self {
        let database = Database::start();
        let mail = Mail::start(&Users::Sql(database.dovecot_settings()));
        Self { database, mail }
    }

    fn by(&self, place: &str, more: &str) -> Arc<dyn Provider> {
        provider(&format!("{{{place}, auth_socket: {}{more}}}", self.mail.auth_socket().display()))
    }

    fn over_tls(&self, port: u16, user: &str) -> Arc<dyn Provider> {
        self.by(&self.database.over_tls(port, user), "")
    }

    fn add(&self, login: &str, field: &str) {
        self.database.run(&format!("INSERT INTO users (username, password) VALUES ('{login}', '{field}')"));
    }

    fn field(&self, login: &str) -> String {
        self.database.run(&format!("SELECT password FROM users WHERE username = '{login}'"))
    }
}

#[async_trait]
impl ProviderBench for Bench {
    fn provider(&self) -> Arc<dyn Provider> {
        self.over_tls(self.database.port, ROTATOR)
    }

    fn nowhere(&self) -> Result<Arc<dyn Provider>, &'static str> {
        Ok(self.over_tls(free_port(), ROTATOR))
    }

    async fn forbidden(&self) -> Result<Arc<dyn Provider>, &'static str> {
        Ok(self.over_tls(self.database.port, READER))
    }

    async fn cutting(&self) -> Result<Arc<dyn Provider>, &'static str> {
        let seen = self.mail.dir().join("flushed-once");
        let script = format!(
            "case \"$*\" in *flush*) if [ -e {0} ]; then exit 1; fi; : >{0};; esac\nexec /usr/bin/doveadm \"$@\"",
            seen.display()
        );
        let tool: PathBuf = tool(&self.mail, "once", &script);
        let place = self.database.over_tls(self.database.port, ROTATOR);
        Ok(self.by(&place, &format!(", doveadm: {}", tool.display())))
    }

    async fn account(&self, name: &str) -> (String, VersionId) {
        let (first, field) = (format!("{name}-a"), hash(FIRST));
        self.add(&first, &field);
        self.add(&format!("{name}-b"), "!");
        (name.to_owned(), id(&first, &field))
    }

    async fn accepts(&self, _account: &str, username: &str, password: &Secret) -> bool {
        self.mail.accepts(username, password.expose())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_with_a_table_in_postgresql() {
    let bench = Bench::start();
    hold("dovecot (postgres)", &run(&bench).await);
    let said = bench.database.said();
    assert!(said.contains("UPDATE \"users\"") && !said.contains("Chosen-marked"), "{said}");
}

fn not_done<T: std::fmt::Debug>(outcome: Outcome<T>) -> (FaultClass, String) {
    match outcome {
        Outcome::NotDone(fault) => (fault.class, fault.code),
        other => panic!("{other:?}"),
    }
}

async fn state(provider: &dyn Provider, account: &str) -> LiveState {
    match provider.list(account).await {
        Outcome::Done(list) => list[0].state,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_ends_and_permissions_are_told_as_they_are() {
    let bench = Bench::start();
    let (account, first) = bench.account("news").await;
    // Through the socket, where the server knows who we are; no other column is written, or may be.
    let by_socket = bench.by(&bench.database.by_socket(ROTATOR), "");
    let may = by_socket.permitted(&account).await;
    assert!(matches!(may, Outcome::Done(Permitted::Yes)), "{may:?}");
    let before = bench.field("news-a");
    assert!(matches!(by_socket.disable(&account, &first).await, Outcome::Done(())));
    assert!(!bench.accepts(&account, "news-a", &Secret::new(FIRST.to_owned())).await);
    assert!(matches!(by_socket.enable(&account, &first, None).await, Outcome::Done(())));
    assert!(bench.accepts(&account, "news-a", &Secret::new(FIRST.to_owned())).await);
    assert_eq!(bench.field("news-a"), before, "it comes back byte for byte");
    assert_eq!(bench.database.run("SELECT quota FROM users WHERE username = 'news-a'"), "7");

    // Who may only read is told before anything is begun.
    let reader = bench.over_tls(bench.database.port, READER);
    assert_eq!(not_done(reader.permitted(&account).await), (FaultClass::Permanent, "HO0515".to_owned()));
    // Another password, another database, another table, an authority that did not sign, and no TLS.
    let sound = bench.database.over_tls(bench.database.port, ROTATOR);
    let wrong = bench.mail.dir().join("wrong.txt");
    std::fs::write(&wrong, "wrong").expect("is written");
    let other_ca = crate::support::lab::ca::Ca::make(&bench.mail.dir().join("other")).ca;
    for (part, by, class, code) in [
        (bench.database.password_file().display().to_string(), wrong.display().to_string(), FaultClass::Permanent, "HO0515"),
        ("database: mail".to_owned(), "database: male".to_owned(), FaultClass::Permanent, "HO0502"),
        (bench.database.ca.display().to_string(), other_ca.display().to_string(), FaultClass::Temporary, "HO0501"),
        (bench.database.ca.display().to_string(), "/dev/null".to_owned(), FaultClass::Permanent, "HO0517"),
        ("sql: {".to_owned(), "sql: {table: nothing, ".to_owned(), FaultClass::Permanent, "HO0517"),
        ("sql: {".to_owned(), "sql: {hash_column: quota, ".to_owned(), FaultClass::Permanent, "HO0515"),
    ] {
        assert!(sound.contains(&part), "{part}");
        let provider = bench.by(&sound.replace(&part, &by), "");
        assert_eq!(not_done(provider.list(&account).await), (class, code.to_owned()), "{by}");
    }

    // Somebody else holds the row.
    let holder = std::thread::scope(|scope| {
        let database = &bench.database;
        let hold = "BEGIN; SELECT 1 FROM users WHERE username = 'news-a' FOR UPDATE; SELECT pg_sleep(30); COMMIT";
        let held = scope.spawn(move || {
            // Ended from outside, it ends with an error.
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| database.run(hold))).is_err()
        });
        while database.run("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND pid <> pg_backend_pid() AND wait_event = 'PgSleep'") != "1" {
            std::thread::sleep(Duration::from_millis(20));
        }
        let blocked =
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(by_socket.disable(&account, &first)));
        database.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
        assert_eq!(not_done(blocked), (FaultClass::Temporary, "HO0501".to_owned()));
        held.join().expect("it ends")
    });
    assert!(holder);
    assert_eq!(state(&*by_socket, &account).await, LiveState::Active);
}

/// A commit that the server refuses has not happened; one whose answer is lost may have, and has.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_refused_or_its_answer_is_lost() {
    let bench = Bench::start();
    let (account, first) = bench.account("news").await;
    let at_commit = |body: &str| {
        bench.database.run(&format!(
            "CREATE OR REPLACE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN {body}; RETURN NULL; END $$;
             DROP TRIGGER IF EXISTS at_commit ON users;
             CREATE CONSTRAINT TRIGGER at_commit AFTER UPDATE ON users DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION at_commit()"
        ));
    };
    let provider = bench.provider();
    at_commit("RAISE EXCEPTION 'not-to-be-told'");
    let refused = provider.disable(&account, &first).await;
    assert!(!format!("{refused:?}").contains("not-to-be-told"), "{refused:?}");
    assert_eq!(not_done(refused), (FaultClass::Permanent, "HO0517".to_owned()));
    assert_eq!(state(&*provider, &account).await, LiveState::Active);

    // While the server is at it, the way back is cut.
    at_commit("PERFORM pg_sleep(1)");
    let proxy = Proxy::before(bench.database.port).await;
    let through = bench.over_tls(proxy.port(), ROTATOR);
    let cut = async {
        let committing = "SELECT count(*) FROM pg_stat_activity WHERE query = 'COMMIT' AND state = 'active'";
        while tokio::task::block_in_place(|| bench.database.run(committing)) != "1" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        proxy.cut_answers();
    };
    let (outcome, ()) = futures::future::join(through.disable(&account, &first), cut).await;
    match outcome {
        Outcome::Unknown(fault) => assert_eq!(fault.code, "HO0505"),
        other => panic!("{other:?}"),
    }
    assert_eq!(proxy.cut(), 1);
    assert_eq!(state(&*provider, &account).await, LiveState::Inactive, "and it was done");
}

//! A table in PostgreSQL, read and changed in one transaction with its rows locked. Always over TLS with a verified certificate, but
//! through a socket of this machine.
//!
//! What the server says in words is left out of faults: it may quote a row. Its code (SQLSTATE) is told.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use handover_rotation::outcome::{Fault, FaultClass};
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Error, NoTls, Transaction};
use tokio_postgres_rustls::MakeRustlsConnect;
use zeroize::Zeroizing;

use super::books::{Account, no_row};
use super::logins::{Field, Login, Logins, Note};
use super::options::{Columns, Server};
use crate::files::replace::Failure;
use crate::web::client_tls;

const CONNECTING: Duration = Duration::from_secs(4);
/// A conversation from its beginning to its end.
const WHOLE: Duration = Duration::from_secs(8);
/// For locks of others, and for one statement, in milliseconds: it must end before the whole does.
const LIMITS: &str = "SET LOCAL lock_timeout = 3000; SET LOCAL statement_timeout = 5000";

/// A table in a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PostgresTable {
    pub(super) server: Server,
    pub(super) columns: Columns,
}

impl PostgresTable {
    pub(super) fn read(&self, account: &Account<'_>) -> Result<Logins, Fault> {
        let look = async {
            let mut client = self.open().await?;
            let act = self.begin(&mut client).await?;
            Ok(account.with(self.rows(&act, account.logins, "").await?))
        };
        block(look, || self.slow())
    }

    pub(super) fn change<T>(
        &self,
        account: &Account<'_>,
        change: impl FnOnce(&mut Logins) -> Result<T, Fault>,
    ) -> Result<T, Failure> {
        let sent = AtomicBool::new(false);
        let unconfirmed = || {
            let message = format!("{}: the change was not confirmed", self.server.who());
            Failure::Maybe(Fault::new(FaultClass::Temporary, "HO0505", message).hint("look which password the row has"))
        };
        let work = async {
            let before = Failure::Before;
            let mut client = self.open().await.map_err(before)?;
            let act = self.begin(&mut client).await.map_err(before)?;
            let rows = self.rows(&act, account.logins, " FOR UPDATE").await.map_err(before)?;
            let mut logins = account.with(rows);
            let value = change(&mut logins).map_err(before)?;
            for login in logins.all.iter().filter(|login| login.changed) {
                self.put(&act, login).await.map_err(before)?;
            }
            sent.store(true, Ordering::SeqCst);
            match act.commit().await {
                Ok(()) => Ok(value),
                // The server says that it was not done.
                Err(error) if error.as_db_error().is_some() => Err(before(self.trouble("write to it", &error))),
                Err(_) => Err(unconfirmed()),
            }
        };
        block(work, || if sent.load(Ordering::SeqCst) { unconfirmed() } else { Failure::Before(self.slow()) })
    }

    pub(super) fn permitted(&self, account: &Account<'_>) -> Result<(), Fault> {
        let trial = async {
            let mut client = self.open().await?;
            let act = self.begin(&mut client).await?;
            let logins = account.with(self.rows(&act, account.logins, " FOR UPDATE").await?);
            logins.versions()?;
            for login in &logins.all {
                if login.field.is_none() {
                    return Err(no_row(&self.columns.table, &login.name));
                }
                self.put(&act, login).await?;
            }
            // Done and undone inside the transaction: nobody saw it.
            act.rollback().await.map_err(|error| self.trouble("write to it", &error))
        };
        block(trial, || self.slow())
    }

    async fn open(&self) -> Result<Client, Fault> {
        let Server { host, port, user, database, password, ca_file } = &self.server;
        let mut config = Config::new();
        config.user(user).dbname(database).port(*port).connect_timeout(CONNECTING).application_name("handover");
        // A standby takes no changes, and tells of them late.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        if let Some(password) = password {
            config.password(password.read()?.expose());
        }
        let unreachable = |error: Error| self.unreachable(&error);
        if let Some(folder) = self.server.socket() {
            config.host_path(Path::new(folder)).ssl_mode(SslMode::Disable);
            let (client, connection) = config.connect(NoTls).await.map_err(unreachable)?;
            // It ends with the client.
            tokio::spawn(connection);
            return Ok(client);
        }
        config.host(host).ssl_mode(SslMode::Require);
        let tls = client_tls(ca_file.as_deref()).map_err(|why| {
            Fault::new(FaultClass::Permanent, "HO0517", why).hint("give a file of PEM certificates as `ca_file`")
        })?;
        let (client, connection) = config.connect(MakeRustlsConnect::new(tls)).await.map_err(unreachable)?;
        tokio::spawn(connection);
        Ok(client)
    }

    async fn begin<'c>(&self, client: &'c mut Client) -> Result<Transaction<'c>, Fault> {
        let trouble = |error: Error| self.trouble("read the table", &error);
        let act = client.transaction().await.map_err(trouble)?;
        act.batch_execute(LIMITS).await.map_err(trouble)?;
        Ok(act)
    }

    async fn rows(&self, act: &Transaction<'_>, names: &[String], lock: &str) -> Result<Vec<Login>, Fault> {
        let Columns { table, username, password } = &self.columns;
        let ask = format!("SELECT \"{password}\" FROM \"{table}\" WHERE \"{username}\" = $1{lock}");
        let mut logins = Vec::new();
        for name in names {
            let mut login = Login::new(name);
            let trouble = |error: Error| self.trouble("read the table", &error);
            for row in act.query(&ask, &[name]).await.map_err(trouble)? {
                let field: Option<Zeroizing<String>> =
                    row.try_get::<_, Option<String>>(0).map_err(trouble)?.map(Zeroizing::new);
                let text = field.as_ref().map_or("", |text| text.as_str());
                if login.field.replace(Field::new(text)).is_some() {
                    let message = format!("login {name} stands in the table {table} twice");
                    return Err(Fault::new(FaultClass::Permanent, "HO0518", message).hint("remove one of the two rows"));
                }
            }
            let trouble = |error: Error| self.trouble("read the table handover_notes", &error);
            let notes = act.query("SELECT note FROM handover_notes WHERE login = $1 ORDER BY note", &[name]).await;
            for row in notes.map_err(trouble)? {
                let text = Zeroizing::new(row.try_get::<_, String>(0).map_err(trouble)?);
                login.notes.extend(Note::read(&text));
            }
            logins.push(login);
        }
        Ok(logins)
    }

    async fn put(&self, act: &Transaction<'_>, login: &Login) -> Result<(), Fault> {
        let Columns { table, username, password } = &self.columns;
        let trouble = |error: Error| self.trouble("write to it", &error);
        let field = login.field.as_ref().map_or("", Field::expose);
        let set = format!("UPDATE \"{table}\" SET \"{password}\" = $2 WHERE \"{username}\" = $1");
        if act.execute(&set, &[&login.name, &field]).await.map_err(trouble)? != 1 {
            return Err(no_row(table, &login.name));
        }
        act.execute("DELETE FROM handover_notes WHERE login = $1", &[&login.name]).await.map_err(trouble)?;
        for note in &login.notes {
            let text = note.text();
            let add = "INSERT INTO handover_notes (login, note) VALUES ($1, $2)";
            act.execute(add, &[&login.name, &text.as_str()]).await.map_err(trouble)?;
        }
        Ok(())
    }

    fn slow(&self) -> Fault {
        let message = format!("{}: no answer within {}s", self.server.who(), WHOLE.as_secs());
        Fault::new(FaultClass::Temporary, "HO0501", message).hint("is the database up, and who holds its rows?")
    }

    /// Before anything was asked to change: nothing has.
    fn unreachable(&self, error: &Error) -> Fault {
        let who = self.server.who();
        let fault = |class, code: &str, what: &str| Fault::new(class, code, format!("{who}: {what}"));
        let Some(state) = error.code() else {
            let hint = "is it up, does it speak TLS, and is `ca_file` its CA? A standby is not used";
            return fault(FaultClass::Temporary, "HO0501", "it cannot be reached, or takes no changes").hint(hint);
        };
        let shown = format!("it refuses to talk to us (SQLSTATE {})", state.code());
        match state {
            &SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                fault(FaultClass::Permanent, "HO0515", &shown)
                    .hint("compare `user` and `password` with the database, and its pg_hba.conf")
            }
            &SqlState::INVALID_CATALOG_NAME => fault(FaultClass::Permanent, "HO0502", &shown).hint("correct `database`"),
            &SqlState::INSUFFICIENT_PRIVILEGE => {
                fault(FaultClass::Permanent, "HO0515", &shown).hint("let `user` connect to `database`")
            }
            _ => fault(FaultClass::Temporary, "HO0501", &shown),
        }
    }

    fn trouble(&self, doing: &str, error: &Error) -> Fault {
        let who = self.server.who();
        let Some(state) = error.code() else {
            if error.is_closed() || error.as_db_error().is_some() {
                let message = format!("{who}: cannot {doing}: the connection was lost");
                return Fault::new(FaultClass::Temporary, "HO0501", message);
            }
            let message = format!("{who}: cannot {doing}: a column is not of text");
            return Fault::new(FaultClass::Permanent, "HO0517", message)
                .hint("compare `table`, `login_column` and `hash_column` with the database");
        };
        let fault = |class, code: &str, what: &str| {
            Fault::new(class, code, format!("{who}: cannot {doing}: {what} (SQLSTATE {})", state.code()))
        };
        match state.code() {
            "42501" => fault(FaultClass::Permanent, "HO0515", "we may not")
                .hint("see Permissions in docs/kinds/dovecot.md for what `user` is to be granted"),
            "55P03" | "57014" | "40001" | "40P01" => {
                fault(FaultClass::Temporary, "HO0501", "somebody else holds the rows").hint("find out who keeps them locked")
            }
            "25006" => fault(FaultClass::Permanent, "HO0517", "it takes no changes").hint("name the primary as `host`"),
            "53100" => fault(FaultClass::Permanent, "HO0517", "the disk is full"),
            code if code.starts_with("53") || code.starts_with("57") || code.starts_with("08") => {
                fault(FaultClass::Temporary, "HO0501", "it is busy, or going down")
            }
            _ => fault(FaultClass::Permanent, "HO0517", "the table is not as it should be").hint(
                "compare `table`, `login_column` and `hash_column`; make the notes: CREATE TABLE handover_notes (login TEXT NOT NULL, note TEXT NOT NULL)",
            ),
        }
    }
}

/// Runs a conversation on this thread, which may wait, for as long as one may take.
fn block<T, E>(work: impl Future<Output = Result<T, E>>, late: impl FnOnce() -> E) -> Result<T, E> {
    let bounded = async { tokio::time::timeout(WHOLE, work).await };
    tokio::runtime::Handle::current().block_on(bounded).unwrap_or_else(|_| Err(late()))
}

//! Where a Dovecot's users stand, read and changed under a lock: a passwd-file, or a table in SQLite or PostgreSQL.

use std::path::Path;
use std::time::Duration;

use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::plan::Shape;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, params};
use zeroize::Zeroizing;

use super::logins::{Field, Login, Logins, Note};
use super::options::{Columns, Place, Table};
use super::passwd;
use crate::files::disk::Disk;
use crate::files::replace::{self, Failure, Loaded};

/// The largest passwd-file: some hundred thousand users.
const MOST_BYTES: usize = 64 << 20;
/// For other writers of the database.
const BUSY: Duration = Duration::from_secs(5);

/// Which account is meant.
pub(super) struct Account<'a> {
    pub(super) name: &'a str,
    pub(super) shape: Shape,
    pub(super) logins: &'a [String],
}

impl Account<'_> {
    pub(super) fn with(&self, all: Vec<Login>) -> Logins {
        Logins { account: self.name.to_owned(), shape: self.shape, all }
    }
}

impl Place {
    /// What stands there.
    pub(super) fn read(&self, account: &Account<'_>) -> Result<Logins, Fault> {
        match self {
            Self::PasswdFile(path) => {
                let disk = Disk::default();
                let (_, loaded) = open(&disk, path, false)?;
                Ok(account.with(passwd::read(&loaded.text, account.logins)?))
            }
            Self::Sqlite(table) => Ok(account.with(table.read(&table.open()?, account.logins)?)),
            #[cfg(feature = "postgres")]
            Self::Postgres(table) => table.read(account),
        }
    }

    /// Changes what stands there, all of it or nothing.
    pub(super) fn change<T>(
        &self,
        account: &Account<'_>,
        change: impl FnOnce(&mut Logins) -> Result<T, Fault>,
    ) -> Result<T, Failure> {
        match self {
            Self::PasswdFile(path) => {
                let disk = Disk::default();
                let (place, loaded) = open(&disk, path, true).map_err(Failure::Before)?;
                let mut logins = account.with(passwd::read(&loaded.text, account.logins).map_err(Failure::Before)?);
                let value = change(&mut logins).map_err(Failure::Before)?;
                if !logins.all.iter().any(|l| l.changed) {
                    return place.settle(&loaded).map(|()| value).map_err(Failure::Before);
                }
                let text = passwd::write(&loaded.text, &logins.all).map_err(Failure::Before)?;
                place.replace(Some(&loaded), &text).map(|()| value)
            }
            Self::Sqlite(table) => table.change(account, change),
            #[cfg(feature = "postgres")]
            Self::Postgres(table) => table.change(account, change),
        }
    }

    /// Proves that it can be changed, and changes nothing.
    pub(super) fn permitted(&self, account: &Account<'_>) -> Result<(), Fault> {
        match self {
            Self::PasswdFile(path) => {
                let disk = Disk::default();
                let (place, loaded) = open(&disk, path, true)?;
                account.with(passwd::read(&loaded.text, account.logins)?).versions()?;
                // Room for a new line and its notes.
                place.probe(Some(&loaded), loaded.text.len() + 4096)
            }
            Self::Sqlite(table) => table.permitted(account),
            #[cfg(feature = "postgres")]
            Self::Postgres(table) => table.permitted(account),
        }
    }

    /// Whether everyone on this machine may read it.
    pub(super) fn is_open_to_others(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let path = match self {
            Self::PasswdFile(path) => path,
            Self::Sqlite(table) => &table.database,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => return false,
        };
        std::fs::metadata(path).is_ok_and(|seen| seen.mode() & 0o004 != 0)
    }
}

fn open<'d>(disk: &'d Disk, path: &Path, lock: bool) -> Result<(replace::Place<'d>, Loaded), Fault> {
    let place = replace::Place::open(disk, &path.to_string_lossy())?.at_most(MOST_BYTES).in_a_new_second();
    if lock {
        place.lock()?;
        place.sweep()?;
    }
    let loaded = place.load()?.ok_or_else(|| {
        let message = format!("{}: there is no such file", path.display());
        Fault::new(FaultClass::Permanent, "HO0502", message).hint("correct `passwd_file`; Handover makes no new one")
    })?;
    Ok((place, loaded))
}

impl Table {
    fn open(&self) -> Result<Connection, Fault> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let base = Connection::open_with_flags(&self.database, flags).map_err(|e| self.trouble("open it", &e))?;
        base.busy_timeout(BUSY).map_err(|e| self.trouble("open it", &e))?;
        Ok(base)
    }

    fn read(&self, base: &Connection, names: &[String]) -> Result<Vec<Login>, Fault> {
        let Columns { table, username, password } = &self.columns;
        let mut logins = Vec::new();
        for name in names {
            let mut login = Login::new(name);
            let ask = format!("SELECT \"{password}\" FROM \"{table}\" WHERE \"{username}\" = ?1");
            let mut rows = base.prepare(&ask).map_err(|e| self.trouble("read the table", &e))?;
            let found = rows.query_map([name], |row| row.get::<_, Option<String>>(0).map(Zeroizing::new));
            for field in found.map_err(|e| self.trouble("read the table", &e))? {
                let field = field.map_err(|e| self.trouble("read the table", &e))?;
                if login.field.replace(Field::new(field.as_deref().unwrap_or_default())).is_some() {
                    let message = format!("login {name} stands in the table {table} twice");
                    return Err(Fault::new(FaultClass::Permanent, "HO0518", message).hint("remove one of the two rows"));
                }
            }
            let notes = base.prepare("SELECT note FROM handover_notes WHERE login = ?1 ORDER BY rowid");
            let mut notes = notes.map_err(|e| self.trouble("read the table handover_notes", &e))?;
            let texts = notes.query_map([name], |row| row.get::<_, String>(0).map(Zeroizing::new));
            for text in texts.map_err(|e| self.trouble("read the table handover_notes", &e))? {
                let text = text.map_err(|e| self.trouble("read the table handover_notes", &e))?;
                login.notes.extend(Note::read(&text));
            }
            logins.push(login);
        }
        Ok(logins)
    }

    fn change<T>(&self, account: &Account<'_>, change: impl FnOnce(&mut Logins) -> Result<T, Fault>) -> Result<T, Failure> {
        let before = Failure::Before;
        let write = |e: &rusqlite::Error| before(self.trouble("write to it", e));
        let mut base = self.open().map_err(before)?;
        let act = base.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|e| write(&e))?;
        let mut logins = account.with(self.read(&act, account.logins).map_err(before)?);
        let value = change(&mut logins).map_err(before)?;
        for login in logins.all.iter().filter(|l| l.changed) {
            self.put(&act, login).map_err(|e| write(&e))?.map_err(before)?;
        }
        act.commit().map_err(|e| match e.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => write(&e),
            _ => {
                let message = format!("{}: the change was not confirmed", self.database.display());
                Failure::Maybe(Fault::new(FaultClass::Temporary, "HO0505", message).hint("look which password the row has"))
            }
        })?;
        Ok(value)
    }

    /// Writes a login; the inner error is of a login without a row.
    fn put(&self, base: &Connection, login: &Login) -> rusqlite::Result<Result<(), Fault>> {
        let Columns { table, username, password } = &self.columns;
        let field = login.field.as_ref().map_or("", Field::expose);
        let set = format!("UPDATE \"{table}\" SET \"{password}\" = ?2 WHERE \"{username}\" = ?1");
        if base.execute(&set, params![login.name, field])? != 1 {
            return Ok(Err(no_row(table, &login.name)));
        }
        base.execute("DELETE FROM handover_notes WHERE login = ?1", [&login.name])?;
        for note in &login.notes {
            let text = note.text();
            base.execute("INSERT INTO handover_notes (login, note) VALUES (?1, ?2)", params![login.name, text.as_str()])?;
        }
        Ok(Ok(()))
    }

    fn permitted(&self, account: &Account<'_>) -> Result<(), Fault> {
        let mut base = self.open()?;
        let act =
            base.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|e| self.trouble("write to it", &e))?;
        let logins = account.with(self.read(&act, account.logins)?);
        logins.versions()?;
        for login in &logins.all {
            if login.field.is_none() {
                return Err(no_row(&self.columns.table, &login.name));
            }
            self.put(&act, login).map_err(|e| self.trouble("write to it", &e))??;
        }
        // Done and undone inside the transaction: nobody saw it.
        act.rollback().map_err(|e| self.trouble("write to it", &e))
    }

    fn trouble(&self, doing: &str, error: &rusqlite::Error) -> Fault {
        let path = self.database.display();
        let fault = |class, code: &str, what: &str| Fault::new(class, code, format!("{path}: cannot {doing}: {what}"));
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                fault(FaultClass::Temporary, "HO0501", "another program holds it").hint("find out who keeps it locked")
            }
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
                fault(FaultClass::Permanent, "HO0515", "we may not").hint("let Handover's user write the file and its folder")
            }
            Some(ErrorCode::CannotOpen) => {
                fault(FaultClass::Permanent, "HO0502", "it cannot be opened").hint("correct `sqlite`; links are not followed")
            }
            Some(ErrorCode::DiskFull) => fault(FaultClass::Permanent, "HO0517", "the disk is full"),
            _ => fault(FaultClass::Permanent, "HO0517", "the table is not as it should be").hint(
                "compare `table`, `login_column` and `hash_column`; make the notes: CREATE TABLE handover_notes (login TEXT NOT NULL, note TEXT NOT NULL)",
            ),
        }
    }
}

pub(super) fn no_row(table: &str, login: &str) -> Fault {
    Fault::new(FaultClass::Permanent, "HO0502", format!("login {login} has no row in the table {table}"))
        .hint("add it with the password `!`, and with everything else as the other login of the account has it")
}

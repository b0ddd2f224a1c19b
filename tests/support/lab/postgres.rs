//! A real PostgreSQL, with TLS on a free loopback port and a socket of its own, and a table of mail users in it. It refuses to run as
//! root, so it runs as `nobody`; its data is in a temporary folder and not synced.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::ca::Ca;
use super::{Server, free_port};

/// May do what Handover needs.
pub(crate) const ROTATOR: &str = "handover";
/// May read what the rotator reads, and write nothing.
pub(crate) const READER: &str = "reader";
const PASSWORD: &str = "database-password";

const NOBODY: u32 = 65_534;

/// A database server that runs, with the database `mail`.
pub(crate) struct Database {
    folder: TempDir,
    pub(crate) port: u16,
    pub(crate) ca: PathBuf,
    server: Server,
}

impl Database {
    pub(crate) fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("handover-pg-").tempdir().expect("a folder");
        let dir = folder.path();
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        let Ca { ca, certificate, key, .. } = Ca::make(&dir.join("tls"));
        for name in ["data", "socket"] {
            std::fs::create_dir(dir.join(name)).expect("a folder");
        }
        std::fs::set_permissions(dir.join("data"), std::fs::Permissions::from_mode(0o700)).expect("a mode");
        std::fs::set_permissions(dir.join("socket"), std::fs::Permissions::from_mode(0o755)).expect("a mode");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("a mode");
        for path in [&dir.join("data"), &dir.join("socket"), &key] {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("the lab's servers need root");
        }
        let data = dir.join("data");
        let init = as_nobody("initdb", dir)
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&data)
            .output()
            .expect("initdb runs");
        assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
        let port = free_port();
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{socket}'\nfsync = off\nssl = on\n\
             ssl_cert_file = '{certificate}'\nssl_key_file = '{key}'\npassword_encryption = 'scram-sha-256'\n\
             log_statement = 'all'\nshared_buffers = '16MB'\nautovacuum = off\n",
            socket = dir.join("socket").display(),
            certificate = certificate.display(),
            key = key.display(),
        );
        std::fs::write(data.join("postgresql.conf"), settings).expect("is written");
        // Nothing without TLS over the network, and nothing without a password.
        std::fs::write(data.join("pg_hba.conf"), "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n")
            .expect("is written");
        let mut command = as_nobody("postgres", dir);
        command.arg("-D").arg(&data);
        let mut server = Server::start("postgres", &mut command, dir.join("postgres.log"));
        server.listens(port);
        let database = Self { ca, port, server, folder };
        // It listens before it takes anybody in.
        while !database.psql("postgres", "SELECT 1").0 {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        database.run_in("postgres", "CREATE DATABASE mail");
        database.run(&format!(
            "CREATE TABLE users (username TEXT PRIMARY KEY, password VARCHAR(300), quota INTEGER NOT NULL DEFAULT 7);
             CREATE TABLE handover_notes (login TEXT NOT NULL, note TEXT NOT NULL);
             CREATE ROLE {ROTATOR} LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE {READER} LOGIN PASSWORD '{PASSWORD}';
             GRANT SELECT (username, password), UPDATE (password) ON users TO {ROTATOR};
             GRANT SELECT, INSERT, DELETE ON handover_notes TO {ROTATOR};
             GRANT SELECT ON users, handover_notes TO {READER}"
        ));
        std::fs::write(database.password_file(), PASSWORD).expect("is written");
        database
    }

    pub(crate) fn dir(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir().join("socket")
    }

    pub(crate) fn password_file(&self) -> PathBuf {
        self.dir().join("password.txt")
    }

    /// What it has written: every statement, among it.
    pub(crate) fn said(&self) -> String {
        self.server.said()
    }

    /// The place of the users for an inventory, over TLS at this port.
    pub(crate) fn over_tls(&self, port: u16, user: &str) -> String {
        format!(
            "sql: {{postgres: {{host: 127.0.0.1, port: {port}, user: {user}, database: mail, ca_file: {}, password: {{file: {}}}}}}}",
            self.ca.display(),
            self.password_file().display()
        )
    }

    /// The same through the socket.
    pub(crate) fn by_socket(&self, user: &str) -> String {
        let host = self.socket();
        format!("sql: {{postgres: {{host: {}, port: {}, user: {user}, database: mail}}}}", host.display(), self.port)
    }

    /// Runs statements as the database's owner, by PostgreSQL's own client, and gives what they give.
    pub(crate) fn run(&self, sql: &str) -> String {
        self.run_in("mail", sql)
    }

    fn run_in(&self, database: &str, sql: &str) -> String {
        let (well, said) = self.psql(database, sql);
        assert!(well, "{said}");
        said.trim().to_owned()
    }

    fn psql(&self, database: &str, sql: &str) -> (bool, String) {
        let mut command = Command::new(binary("psql"));
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-h"]);
        command.arg(self.socket()).args(["-p", &self.port.to_string(), "-f", "-"]);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("psql starts");
        child.stdin.take().expect("piped").write_all(sql.as_bytes()).expect("psql reads");
        let out = child.wait_with_output().expect("psql ends");
        (out.status.success(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
    }

    /// Dovecot's settings for this table.
    pub(crate) fn dovecot_settings(&self) -> String {
        format!(
            "driver = pgsql\nconnect = host={} port={} dbname=mail user={READER}\n\
             password_query = SELECT username AS user, password FROM users WHERE username = '%u'\n",
            self.socket().display(),
            self.port
        )
    }
}

/// A program of the newest PostgreSQL here.
fn binary(name: &str) -> PathBuf {
    let releases = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = releases.map(|entry| entry.path().join("bin").join(name)).filter(|p| p.exists()).collect();
    found.sort();
    found.pop().unwrap_or_else(|| panic!("{name} is missing: run scripts/lab"))
}

fn as_nobody(name: &str, dir: &Path) -> Command {
    let mut command = Command::new(binary(name));
    command.uid(NOBODY).gid(NOBODY).current_dir(dir).env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C");
    command
}

//! A real mail server: Postfix for submission, with Dovecot for its logins, its mailboxes and IMAP. It uses nothing of the system's
//! folders, and runs as root, as mail servers do.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::ca::Ca;
use super::{Server, free_port};
use crate::support::ledger::Smtp;
use crate::support::login;

/// Where Dovecot reads the users that may send.
#[derive(Clone, Debug)]
pub(crate) enum Users {
    /// `auth/users`, a passwd-file.
    File,
    /// `auth/users.db`, a table in SQLite, with a cache of an hour.
    Sqlite,
    /// Another table, by the text of a passdb's settings file (`driver = pgsql`), with a cache of an hour.
    #[cfg(feature = "postgres")]
    Sql(String),
    /// Another directory, by the text of a passdb's settings file (`driver = ldap`).
    Ldap(String),
}

/// Who gets the probes.
pub(crate) const INBOX: &str = "inbox@lab.test";
pub(crate) const INBOX_PASSWORD: &str = "inbox-password";

/// A mail server that runs.
pub(crate) struct Mail {
    folder: TempDir,
    pub(crate) smtp: Smtp,
    pub(crate) imap_port: u16,
    certificates: Ca,
    dovecot: Server,
    postfix: Server,
}

impl Mail {
    pub(crate) fn start(users: &Users) -> Self {
        let folder = tempfile::Builder::new().prefix("handover-mail-").tempdir().expect("a folder");
        // The servers give up being root.
        open_to_all(folder.path());
        for name in ["auth", "postfix", "postfix/queue", "postfix/data", "run", "state", "mail"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder");
            open_to_all(&folder.path().join(name));
        }
        let certificates = Ca::make(&folder.path().join("tls"));
        own(&folder.path().join("postfix/data"), "postfix");
        own(&folder.path().join("mail"), "nobody");
        let (submission, imap_port) = (free_port(), free_port());
        let dovecot = dovecot(folder.path(), &certificates, users, imap_port);
        let postfix = postfix(folder.path(), &certificates, submission);
        let smtp = Smtp {
            host: "127.0.0.1".to_owned(),
            starttls_port: submission,
            ca_file: certificates.ca.to_string_lossy().into_owned(),
        };
        Self { folder, smtp, imap_port, certificates, dovecot, postfix }
    }

    /// Ends Postfix without a warning.
    pub(crate) fn stop_submission(&self) {
        let pid = std::fs::read_to_string(self.dir().join("postfix/queue/pid/master.pid")).unwrap_or_default();
        let Some(pid) = pid.trim().parse().ok().and_then(rustix::process::Pid::from_raw) else { return };
        // The pid is still that of this server: its folder stands in its command line.
        let line = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(&*self.dir().to_string_lossy()) {
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }

    /// Starts Postfix again, on the same port.
    pub(crate) fn start_submission(&mut self) {
        self.postfix = postfix(self.folder.path(), &self.certificates, self.smtp.starttls_port);
    }

    /// The certificate of both servers, which each reads when it starts.
    pub(crate) fn certificates(&self) -> &Ca {
        &self.certificates
    }

    /// Lets Dovecot stand still: it takes connections and answers nothing.
    pub(crate) fn hold_dovecot(&self, still: bool) {
        self.dovecot.signal(if still { rustix::process::Signal::STOP } else { rustix::process::Signal::CONT });
    }

    pub(crate) fn dir(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn users_file(&self) -> PathBuf {
        self.dir().join("auth/users")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.dir().join("auth/users.db")
    }

    pub(crate) fn auth_socket(&self) -> PathBuf {
        self.dir().join("run/auth-master")
    }

    /// Whether a client that is not ours may log in.
    pub(crate) fn accepts(&self, username: &str, password: &str) -> bool {
        match login::reply(&self.smtp, username, password) {
            235 => true,
            535 => false,
            other => panic!("a login of {username} got {other}: {}", self.said()),
        }
    }

    /// What both servers have written.
    pub(crate) fn said(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.dir().join(name)).unwrap_or_default();
        [self.dovecot.said(), self.postfix.said(), read("dovecot.log")].join("\n")
    }
}

impl Drop for Mail {
    fn drop(&mut self) {
        self.stop_submission();
    }
}

/// The hash of a password, by Dovecot's own tool, as somebody else would have it made.
pub(crate) fn hash(password: &str) -> String {
    use std::io::Write as _;
    let mut child = Command::new("doveadm")
        .args(["-O", "pw", "-s", "SHA512-CRYPT"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("doveadm starts");
    write!(child.stdin.take().expect("piped"), "{password}\n{password}\n").expect("doveadm reads");
    let out = child.wait_with_output().expect("doveadm ends");
    String::from_utf8(out.stdout).expect("a text").trim().to_owned()
}

fn open_to_all(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
}

fn own(path: &Path, user: &str) {
    let status = Command::new("chown").arg(user).arg(path).status().expect("chown runs");
    assert!(status.success(), "the lab's servers need root");
}

fn dovecot(folder: &Path, certificates: &Ca, users: &Users, imap_port: u16) -> Server {
    let dir = folder.display();
    let Ca { certificate, key, .. } = certificates;
    let passdb = match users {
        Users::File => format!("driver = passwd-file\n  args = {dir}/auth/users"),
        Users::Sqlite => {
            let settings = format!(
                "driver = sqlite\nconnect = {dir}/auth/users.db\n\
                 password_query = SELECT username AS user, password FROM users WHERE username = '%u'\n"
            );
            std::fs::write(folder.join("auth/sql.conf"), settings).expect("is written");
            format!("driver = sql\n  args = {dir}/auth/sql.conf")
        }
        #[cfg(feature = "postgres")]
        Users::Sql(settings) => {
            std::fs::write(folder.join("auth/sql.conf"), settings).expect("is written");
            format!("driver = sql\n  args = {dir}/auth/sql.conf")
        }
        Users::Ldap(settings) => {
            std::fs::write(folder.join("auth/ldap.conf"), settings).expect("is written");
            format!("driver = ldap\n  args = {dir}/auth/ldap.conf")
        }
    };
    std::fs::write(folder.join("auth/mailboxes"), format!("{INBOX}:{}\n", hash(INBOX_PASSWORD))).expect("is written");
    let cache = if matches!(users, Users::File | Users::Ldap(_)) { "0" } else { "1M" };
    let settings = format!(
        "base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/dovecot.log
auth_verbose = yes
protocols = imap lmtp
listen = 127.0.0.1
ssl = required
ssl_cert = <{certificate}
ssl_key = <{key}
auth_mechanisms = plain login
auth_failure_delay = 0
auth_cache_size = {cache}
auth_cache_ttl = 1h
mail_location = maildir:{dir}/mail/%u
first_valid_uid = 1
passdb {{
  driver = passwd-file
  args = {dir}/auth/mailboxes
}}
passdb {{
  {passdb}
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={dir}/mail/%u allow_all_users=yes
}}
service auth {{
  unix_listener postfix-auth {{
    mode = 0666
  }}
}}
service auth {{
  unix_listener handover-master {{
    user = nobody
    mode = 0600
  }}
}}
service lmtp {{
  unix_listener lmtp-postfix {{
    mode = 0666
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service imap-login {{
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    port = {imap_port}
    ssl = yes
  }}
}}
",
        certificate = certificate.display(),
        key = key.display(),
    );
    let path = folder.join("dovecot.conf");
    std::fs::write(&path, settings).expect("is written");
    // A file that is not there is a temporary failure of every lookup.
    match users {
        Users::File => std::fs::write(folder.join("auth/users"), "# The logins of the lab.\n").expect("is written"),
        Users::Sqlite => {
            let base = rusqlite::Connection::open(folder.join("auth/users.db")).expect("a database");
            base.execute_batch(
                "CREATE TABLE users (username TEXT PRIMARY KEY, password TEXT, quota INTEGER NOT NULL DEFAULT 7);
                 CREATE TABLE handover_notes (login TEXT NOT NULL, note TEXT NOT NULL);",
            )
            .expect("tables");
        }
        #[cfg(feature = "postgres")]
        Users::Sql(_) => {}
        Users::Ldap(_) => {}
    }
    let mut server = Server::start(
        "dovecot",
        Command::new("/usr/sbin/dovecot").arg("-F").arg("-c").arg(&path),
        folder.join("dovecot.out"),
    );
    server.listens(imap_port);
    server
}

fn postfix(folder: &Path, certificates: &Ca, port: u16) -> Server {
    let dir = folder.display();
    let main = format!(
        "compatibility_level = 3.6
queue_directory = {dir}/postfix/queue
data_directory = {dir}/postfix/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = /dev/stdout
myhostname = localhost
mydestination =
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
virtual_mailbox_domains = lab.test
virtual_transport = lmtp:unix:{dir}/run/lmtp-postfix
alias_maps =
alias_database =
local_recipient_maps =
smtputf8_enable = no
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {dir}/run/postfix-auth
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
smtpd_error_sleep_time = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_connection_count_limit = 0
smtpd_client_auth_rate_limit = 0
smtpd_peername_lookup = no
disable_dns_lookups = yes
",
        certificate = certificates.certificate.display(),
        key = certificates.key.display(),
    );
    let mut master = format!("127.0.0.1:{port} inet n - n - - smtpd\npostlog unix-dgram n - n - 1 postlogd\n");
    for (name, kind, private, wake, program) in [
        ("pickup", "unix", "n", "60", "pickup"),
        ("cleanup", "unix", "n", "-", "cleanup"),
        ("qmgr", "unix", "n", "300", "qmgr"),
        ("tlsmgr", "unix", "-", "1000?", "tlsmgr"),
        ("rewrite", "unix", "-", "-", "trivial-rewrite"),
        ("bounce", "unix", "-", "-", "bounce"),
        ("defer", "unix", "-", "-", "bounce"),
        ("trace", "unix", "-", "-", "bounce"),
        ("proxymap", "unix", "-", "-", "proxymap"),
        ("error", "unix", "-", "-", "error"),
        ("retry", "unix", "-", "-", "error"),
        ("lmtp", "unix", "-", "-", "lmtp"),
        ("smtp", "unix", "-", "-", "smtp"),
        ("anvil", "unix", "-", "-", "anvil"),
    ] {
        // Some refuse to begin with another limit than this.
        let most = match name {
            "pickup" | "qmgr" | "tlsmgr" | "anvil" => "1",
            "cleanup" | "bounce" | "defer" | "trace" => "0",
            _ => "-",
        };
        let _ = writeln!(master, "{name} {kind} {private} - n {wake} {most} {program}");
    }
    let conf = folder.join("postfix");
    std::fs::write(conf.join("main.cf"), main).expect("is written");
    std::fs::write(conf.join("master.cf"), master).expect("is written");
    let checked = Command::new("/usr/sbin/postfix").arg("-c").arg(&conf).arg("check").output().expect("postfix runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    // It wants to be the head of a session of its own, and as the head of a process group it cannot: it ends at once, without a
    // word. So a shell is the head, and the session is ended by its pid file. A run of the tests that is killed leaves it for so long.
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "/usr/lib/postfix/sbin/master -c \"$1\" -s -e 900; exit $?", "sh"])
        .arg(&conf)
        .env("MAIL_CONFIG", &conf);
    let mut server = Server::start("postfix", &mut command, folder.join("postfix.out"));
    server.listens(port);
    server
}

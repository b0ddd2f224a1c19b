//! A Dovecot behind a Postfix: the drill there and back, and what is left of it.

use crate::support::Going;
use crate::support::exit::{DONE, ROLLED_BACK, WAITING};
use crate::support::lab::mail::{Mail, Users, hash};
use crate::support::lab::sender::Sender;

const FIRST: &str = "First-password-0123456789";

/// The provider's options, with a passwd-file.
fn provider(mail: &Mail, more: &str) -> String {
    let (users, socket) = (mail.users_file(), mail.auth_socket());
    format!("{{kind: dovecot, passwd_file: {}, auth_socket: {}{more}}}", users.display(), socket.display())
}

fn rotates(mail: &Mail, provider: &str) -> Sender {
    let sender = Sender::new(mail, provider, "newsletter-a", FIRST);
    assert!(mail.accepts("newsletter-a", FIRST));
    let run = sender.rotate("drill");
    assert_eq!(run.code(), DONE, "{run}\n{}", mail.said());
    let (username, password) = sender.held("production");
    assert_eq!((username.as_str(), sender.held("staging")), ("newsletter-b", (username.clone(), password.clone())));
    assert!(mail.accepts("newsletter-b", &password), "the new login is accepted");
    assert!(!mail.accepts("newsletter-a", FIRST), "the old login is refused");
    assert!(!run.said().contains(&password) && !run.said().contains(FIRST), "a secret was shown");
    // And back: the login that was retired gets a password again.
    let run = sender.rotate("drill");
    assert_eq!(run.code(), DONE, "{run}\n{}", mail.said());
    let (username, newest) = sender.held("production");
    assert_eq!(username, "newsletter-a");
    assert!(mail.accepts("newsletter-a", &newest) && !mail.accepts("newsletter-b", &password));
    assert!(!mail.accepts("newsletter-a", FIRST));
    sender
}

#[test]
fn a_drill_moves_the_services_from_one_login_to_the_other_and_back() {
    let mail = Mail::start(&Users::File);
    let others = "# The logins.\nann:{PLAIN}hers:::::: nodelay\n";
    std::fs::write(mail.users_file(), format!("{others}newsletter-a:{}\n", hash(FIRST))).expect("is written");
    rotates(&mail, &provider(&mail, ""));
    let users = std::fs::read_to_string(mail.users_file()).expect("the file");
    assert!(users.starts_with(others), "{users}");
    assert!(!users.contains(FIRST) && !users.contains(" kept="), "nothing of what was deleted is kept: {users}");
    assert!(mail.accepts("ann", "hers"));
}

#[test]
fn a_drill_against_a_table_with_a_cache() {
    let mail = Mail::start(&Users::Sqlite);
    let base = rusqlite::Connection::open(mail.database()).expect("the database");
    for (login, field) in [("newsletter-a", hash(FIRST)), ("newsletter-b", "!".to_owned())] {
        base.execute("INSERT INTO users (username, password) VALUES (?1, ?2)", [login, &field]).expect("a row");
    }
    let provider = format!(
        "{{kind: dovecot, sql: {{sqlite: {}}}, auth_socket: {}, scheme: BLF-CRYPT}}",
        mail.database().display(),
        mail.auth_socket().display()
    );
    rotates(&mail, &provider);
    let notes: i64 = base.query_row("SELECT count(*) FROM handover_notes", [], |r| r.get(0)).expect("a count");
    assert_eq!(notes, 1, "only the version that is live has a note");
}

#[test]
fn a_drill_in_place_ends_with_the_new_password_alone() {
    let mail = Mail::start(&Users::File);
    let line = |password: &str| format!("newsletter:{}:1000:1000::/home/n::nodelay\n", hash(password));
    std::fs::write(mail.users_file(), line(FIRST)).expect("is written");
    let sender = Sender::new(&mail, &provider(&mail, ", accounts: in-place, scheme: SHA512-CRYPT"), "newsletter", FIRST);
    let run = sender.rotate("drill");
    assert_eq!(run.code(), DONE, "{run}\n{}", mail.said());
    let (username, password) = sender.held("production");
    assert_eq!(username, "newsletter");
    assert!(mail.accepts("newsletter", &password) && !mail.accepts("newsletter", FIRST));
    let users = std::fs::read_to_string(mail.users_file()).expect("the file");
    assert!(users.trim_end().ends_with(":1000:1000::/home/n::nodelay"), "{users}");
    // The way back stays until the next rotation.
    assert_eq!(users.matches(" kept=").count(), 1, "{users}");
}

/// Killed with both versions live, and given up by a person: the old login goes on, the new one is gone from the file.
#[test]
fn a_drill_that_was_killed_is_rolled_back_to_the_old_line() {
    let mail = Mail::start(&Users::File);
    let first = format!("newsletter-a:{}\n", hash(FIRST));
    std::fs::write(mail.users_file(), &first).expect("is written");
    let sender = Sender::new(&mail, &provider(&mail, ""), "newsletter-a", FIRST);
    let mut going = Going::start(sender.command(&["rotate", "newsletter", "--playbook", "drill", "--yes", "--wait"]));
    let deactivate = going.wait_for(|e| e["event"] == "intended" && e["command"].get("disable").is_some());
    assert!(deactivate.is_some(), "it disables");
    going.signal(rustix::process::Signal::KILL);
    assert!(going.end().was_killed());
    let run = Going::start(sender.command(&["abort", "newsletter"])).end();
    assert_eq!(run.code(), ROLLED_BACK, "{run}\n{}", mail.said());
    assert_eq!(sender.held("production"), ("newsletter-a".to_owned(), FIRST.to_owned()));
    assert_eq!(sender.held("staging"), ("newsletter-a".to_owned(), FIRST.to_owned()));
    assert!(mail.accepts("newsletter-a", FIRST));
    let users = std::fs::read_to_string(mail.users_file()).expect("the file");
    assert!(users.starts_with(&first), "the old line is as it was: {users}");
    assert!(users[first.len()..].starts_with("newsletter-b:{SHA512-CRYPT}$6$HandoverLocked$"), "{users}");
}

/// In an emergency the old login is shut out first, and nothing brings it back.
#[test]
fn an_emergency_shuts_the_old_login_out_and_moves_on() {
    let mail = Mail::start(&Users::File);
    std::fs::write(mail.users_file(), format!("newsletter-a:{}\n", hash(FIRST))).expect("is written");
    let sender = Sender::new(&mail, &provider(&mail, ""), "newsletter-a", FIRST);
    let mut going = Going::start(sender.command(&["rotate", "newsletter", "--playbook", "emergency", "--yes"]));
    assert!(going.wait_for(|e| e["event"] == "intended" && e["command"].get("create").is_some()).is_some(), "it makes one");
    assert!(!mail.accepts("newsletter-a", FIRST), "the old login is refused before a new one is made");
    let run = going.end();
    assert!([DONE, WAITING].contains(&run.code()), "{run}\n{}", mail.said());
    let (username, password) = sender.held("production");
    assert_eq!(username, "newsletter-b");
    assert!(mail.accepts("newsletter-b", &password) && !mail.accepts("newsletter-a", FIRST));
}

/// L5: a cache that cannot be flushed keeps nothing accepted that could be shut out: the hash is gone from the table, the flush is
/// tried again, and the end is a refused login.
#[test]
fn l5_what_has_leaked_is_shut_out_although_the_cache_cannot_be_flushed() {
    let mail = Mail::start(&Users::Sqlite);
    let base = rusqlite::Connection::open(mail.database()).expect("the database");
    for (login, field) in [("newsletter-a", hash(FIRST)), ("newsletter-b", "!".to_owned())] {
        base.execute("INSERT INTO users (username, password) VALUES (?1, ?2)", [login, &field]).expect("a row");
    }
    let socket = mail.dir().join("later-master");
    let provider = format!(
        "{{kind: dovecot, sql: {{sqlite: {}}}, auth_socket: {}, propagation: 1s}}",
        mail.database().display(),
        socket.display()
    );
    let sender = Sender::new(&mail, &provider, "newsletter-a", FIRST);
    assert!(mail.accepts("newsletter-a", FIRST));
    let mut going = Going::start(sender.command(&["rotate", "newsletter", "--playbook", "emergency", "--yes"]));
    let doubt = |e: &serde_json::Value| e["command"].get("disable").is_some() && e["outcome"].get("unknown").is_some();
    assert!(going.wait_for(doubt).is_some(), "nobody acknowledges it");
    let field: String =
        base.query_row("SELECT password FROM users WHERE username = 'newsletter-a'", [], |r| r.get(0)).expect("a row");
    assert!(field.contains("HandoverLocked"), "{field}");
    assert!(mail.accepts("newsletter-a", FIRST), "the cache has it still");
    std::os::unix::fs::symlink(mail.auth_socket(), &socket).expect("a link");
    let run = going.end();
    assert!([DONE, WAITING].contains(&run.code()), "{run}\n{}", mail.said());
    let (username, password) = sender.held("production");
    assert_eq!(username, "newsletter-b");
    assert!(mail.accepts("newsletter-b", &password) && !mail.accepts("newsletter-a", FIRST));
}

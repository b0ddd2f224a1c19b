//! A directory that a Dovecot binds to at each login: drills there and back, by each way of disabling.

use crate::support::exit::DONE;
use crate::support::lab::ldap::{Directory, ROTATOR, dovecot_settings};
use crate::support::lab::mail::{Mail, Users};
use crate::support::lab::sender::Sender;

const FIRST: &str = "First-password-0123456789";

fn drills(directory: &Directory, url: &str, more: &str) {
    directory.add("newsletter-a", "inetOrgPerson", Some(FIRST));
    directory.add("newsletter-b", "inetOrgPerson", None);
    let mail = Mail::start(&Users::Ldap(dovecot_settings(directory)));
    let provider = directory.options(url, ROTATOR, more).replacen('{', "{kind: ldap, ", 1);
    let sender = Sender::new(&mail, &provider, "newsletter-a", FIRST);
    assert!(mail.accepts("newsletter-a", FIRST), "{}", mail.said());
    let run = sender.rotate("drill");
    assert_eq!(run.code(), DONE, "{run}\n{}\n{}", mail.said(), directory.said());
    let (username, password) = sender.held("production");
    assert_eq!((username.as_str(), sender.held("staging")), ("newsletter-b", (username.clone(), password.clone())));
    assert!(mail.accepts("newsletter-b", &password), "the new login is accepted");
    assert!(!mail.accepts("newsletter-a", FIRST), "the old login is refused");
    assert!(!run.said().contains(&password) && !run.said().contains(FIRST), "a secret was shown");
    // And back: the login that was retired gets a password again.
    let run = sender.rotate("drill");
    assert_eq!(run.code(), DONE, "{run}\n{}\n{}", mail.said(), directory.said());
    let (username, newest) = sender.held("production");
    assert_eq!(username, "newsletter-a");
    assert!(mail.accepts("newsletter-a", &newest) && !mail.accepts("newsletter-b", &password));
    assert!(!mail.accepts("newsletter-a", FIRST));
}

#[test]
fn a_drill_by_hashes_that_nothing_fits() {
    let directory = Directory::start(None);
    drills(&directory, &directory.tls_url(), "");
}

#[test]
fn a_drill_by_locks_under_a_policy_over_starttls() {
    let directory = Directory::start(Some("pwdMinLength: 12\npwdCheckQuality: 2\npwdInHistory: 5\npwdLockout: TRUE"));
    drills(&directory, &directory.plain_url(), ", disable_by: lock");
}

#[test]
fn a_drill_in_place_under_a_policy() {
    let directory = Directory::start(Some("pwdMinLength: 12\npwdCheckQuality: 2\npwdLockout: TRUE"));
    directory.add("newsletter", "account", Some(FIRST));
    let mail = Mail::start(&Users::Ldap(dovecot_settings(&directory)));
    let options = directory.options(&directory.tls_url(), ROTATOR, ", accounts: in-place, disable_by: lock");
    let sender = Sender::new(&mail, &options.replacen('{', "{kind: ldap, ", 1), "newsletter", FIRST);
    let run = sender.rotate("drill");
    assert_eq!(run.code(), DONE, "{run}\n{}\n{}", mail.said(), directory.said());
    let (username, password) = sender.held("production");
    assert_eq!(username, "newsletter");
    assert!(mail.accepts("newsletter", &password) && !mail.accepts("newsletter", FIRST));
}

//! A login of a directory, kept in OpenBao.

use super::ends;
use super::lab_mail_lab_bao::{FIRST, furnish, in_vault, vault};
use crate::support::exit::DONE;
use crate::support::lab::bao::Bao;
use crate::support::lab::desk::Desk;
use crate::support::lab::ldap::{Directory, ROTATOR, dovecot_settings};
use crate::support::lab::mail::{Mail, Users};

#[tokio::test(flavor = "multi_thread")]
async fn a_login_of_a_directory_is_replaced_in_openbao() {
    let directory = Directory::start(None);
    directory.add("newsletter-a", "inetOrgPerson", Some(FIRST));
    directory.add("newsletter-b", "inetOrgPerson", None);
    let mail = Mail::start(&Users::Ldap(dovecot_settings(&directory)));
    let (bao, desk) = (Bao::start().await, Desk::new());
    let kept = [vault(&bao, "tried", "staging").await, vault(&bao, "used", "production").await];
    let provider = directory.options(&directory.tls_url(), ROTATOR, "").replacen('{', "{kind: ldap, ", 1);
    let _app = furnish(&desk, &mail, &provider, &kept);
    ends(&desk.rotate("drill"), DONE);
    let (username, password) = in_vault(&bao, "used").await;
    assert_eq!(in_vault(&bao, "tried").await, (username.clone(), password.clone()));
    assert_eq!(username, "newsletter-b");
    assert!(mail.accepts(&username, &password), "the new login: {}", mail.said());
    assert!(!mail.accepts("newsletter-a", FIRST), "the old login");
    assert!(directory.accepts(&username, &password) && !directory.accepts("newsletter-a", FIRST));
}

//! Whole rotations by the built program against the lab's real servers, looked at by clients that are not ours.

mod dovecot_lab_mail;
#[cfg(feature = "ldap")]
mod ldap_lab_ldap_lab_mail;
mod sandbox_lab_sops_lab_creds;
mod vendor;
mod weather_lab_mail;

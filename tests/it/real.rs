//! Whole rotations by the built program on real parts: what the sandbox proves, proven where people run it.

mod amazon;
#[cfg(feature = "ldap")]
mod lab_ldap_lab_mail_lab_bao;
mod lab_mail_lab_bao;
mod lab_mail_lab_bao_serve;
mod lab_moto;
mod lab_moto_lab_bao;

use crate::support::Run;

#[track_caller]
fn ends(run: &Run, code: i32) {
    assert_eq!(run.code(), code, "{run}");
}

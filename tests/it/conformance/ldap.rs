//! The suite against a real OpenLDAP: without a policy, with one that refuses what it can, and with two passwords at once.

mod cut;
mod lab_ldap;
mod lab_ldap_pair;

//! The suite against a real OpenLDAP: without a policy, and with one that refuses what it can.

mod cut;
mod lab_ldap;

//! The suite against a real Dovecot behind a real Postfix: with a passwd-file, and with a table and a cache.

mod lab_mail;

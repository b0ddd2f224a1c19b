//! The suite against a real Dovecot behind a real Postfix: with a passwd-file, and with a table in SQLite or
//! PostgreSQL and a cache.

mod lab_mail;
#[cfg(feature = "postgres")]
mod lab_mail_lab_postgres;

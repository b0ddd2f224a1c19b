//! Reading a service's env file as a service would: the last assignment of a key counts, quotes are taken off. Writing is
//! the store's work.

use std::path::Path;

use handover_rotation::name::Username;
use handover_rotation::outcome::{Fault, FaultClass};
use zeroize::Zeroizing;

use crate::providers::sandbox::files::file_fault;
use crate::secret::{Login, Secret};

/// The key of the username.
pub(super) const USERNAME: &str = "SMTP_USERNAME";
/// The key of the password.
pub(super) const PASSWORD: &str = "SMTP_PASSWORD";

/// The login in an env file.
pub(super) fn read_login(path: &Path) -> Result<Login, Fault> {
    let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(|e| file_fault("HO0908", "read", path, &e))?;
    let missing = |key: &str| {
        Fault::new(FaultClass::Permanent, "HO0908", format!("{} has no {key}", path.display()))
            .hint("delete the file: the next start of the sandbox writes it anew")
    };
    let username = value(&text, USERNAME).ok_or_else(|| missing(USERNAME))?;
    let username = Username::new(username).map_err(|_| missing(USERNAME))?;
    let password = value(&text, PASSWORD).filter(|p| !p.is_empty()).ok_or_else(|| missing(PASSWORD))?;
    Ok(Login { username, password: Secret::new(password.to_owned()) })
}

fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let assigned = |line: &'a str| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        line.strip_prefix(key)?.trim_start().strip_prefix('=')
    };
    let value = text.lines().rev().find_map(assigned)?.trim();
    ['"', '\'']
        .iter()
        .find_map(|q| value.strip_prefix(*q)?.split(*q).next())
        .or_else(|| value.split(" #").next().map(str::trim))
}

/// The env file of a new entry: the login among lines that have nothing to do with it, so that it can be seen that those
/// stay as they are.
pub(super) fn first_content(service: &str, environment: &str, login: &Login) -> Zeroizing<String> {
    let (username, password) = (&login.username, login.password.expose());
    Zeroizing::new(format!(
        "# Settings of {service}, a sample service of the Handover sandbox.\n\
         # Handover changes the two {USERNAME} and {PASSWORD} lines and no other byte.\n\
         APP_ENV={environment}\n\
         LISTEN_ADDR=127.0.0.1\n\
         \n\
         \x20 # who the mail comes from\n\
         MAIL_FROM=\"Newsletter <newsletter@sandbox.test>\"\n\
         {USERNAME}={username}\n\
         {PASSWORD}={password}\n\
         \n\
         export FEATURES='digest, unsubscribe'\t# quotes, a tab and a remark\n\
         EMPTY=\n\
         LAST=\"a line without an end\""
    ))
}

#[cfg(test)]
mod tests {
    use super::{first_content, value};
    use crate::secret::{Login, Secret};
    use handover_rotation::name::Username;

    #[test]
    fn values_are_read_as_services_read_them() {
        let table = [
            ("KEY=plain", Some("plain")),
            ("KEY=a\nKEY=b\n", Some("b")),
            ("export KEY='quo ted' # remark", Some("quo ted")),
            ("  KEY = \"x\"\r\n", Some("x")),
            ("KEY=x # remark", Some("x")),
            ("KEY=a#b", Some("a#b")),
            ("# KEY=x\nKEYS=y\n", None),
            ("KEY=", Some("")),
        ];
        for (text, expected) in table {
            assert_eq!(value(text, "KEY"), expected, "{text:?}");
        }
    }

    #[test]
    fn the_first_content_holds_the_login() {
        let login = Login { username: Username::new("me.1").expect("valid"), password: Secret::new("hosb_x-_".into()) };
        let text = first_content("me-staging", "staging", &login);
        assert_eq!(value(&text, "SMTP_USERNAME"), Some("me.1"));
        assert_eq!(value(&text, "SMTP_PASSWORD"), Some("hosb_x-_"));
        assert_eq!(value(&text, "FEATURES"), Some("digest, unsubscribe"));
    }
}

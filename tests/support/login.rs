//! Logins with a client that is not ours: Python's smtplib.

use std::io::Write;
use std::process::{Command, Stdio};

use super::ledger::Smtp;

const CLIENT: &str = r#"
import smtplib, ssl, sys
host, port, ca = sys.argv[1:4]
username, password = sys.stdin.read().split("\n")[:2]
client = smtplib.SMTP(host, int(port), timeout=20)
client.starttls(context=ssl.create_default_context(cafile=ca))
client.ehlo()
try:
    code, _ = client.login(username, password)
except smtplib.SMTPAuthenticationError as refused:
    code = refused.smtp_code
print(code)
"#;

/// Whether there is a Python to log in with; says so if not.
pub(crate) fn has_python() -> bool {
    let found = Command::new("python3").args(["-c", "import smtplib, ssl"]).stderr(Stdio::null()).status();
    let found = found.is_ok_and(|s| s.success());
    if !found {
        println!("SKIPPED: logins with a foreign client: there is no python3 with smtplib and ssl");
    }
    found
}

/// The server's reply code to a login.
pub(crate) fn reply(smtp: &Smtp, username: &str, password: &str) -> u16 {
    let mut child = Command::new("python3")
        .args(["-c", CLIENT, &smtp.host, &smtp.starttls_port.to_string(), &smtp.ca_file])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(format!("{username}\n{password}\n").as_bytes()).expect("python3 reads");
    drop(stdin);
    let out = child.wait_with_output().expect("python3 ends");
    let text = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    text.parse().unwrap_or_else(|_| panic!("no reply code in {text:?}"))
}

//! The sample services, asked directly: which login each presents, proven by its fingerprint.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::hmac;

const CHALLENGE: &str = "00112233445566778899aabbccddeeff";

/// The username and password in an env file: the lines as they are, without any dialect.
pub(crate) fn held(env_file: &Path) -> (String, String) {
    let text = std::fs::read_to_string(env_file).expect("the env file can be read");
    let value = |key: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_else(|| panic!("{key} in {text}"));
        line.to_owned()
    };
    (value("SMTP_USERNAME="), value("SMTP_PASSWORD="))
}

/// The bytes of an env file that are not the login.
pub(crate) fn rest(text: &[u8]) -> Vec<u8> {
    let lines = text.split_inclusive(|b| *b == b'\n');
    lines.filter(|l| !l.starts_with(b"SMTP_USERNAME=") && !l.starts_with(b"SMTP_PASSWORD=")).flatten().copied().collect()
}

/// What a service says that it presents, if its proof fits `password`.
pub(crate) fn presents(http_port: u16, service: &str, password: &str) -> Result<String, String> {
    let answer = get(http_port, &format!("/{service}/smtp-fingerprint?challenge={CHALLENGE}"))?;
    let json: serde_json::Value = serde_json::from_str(&answer).map_err(|e| format!("{service}: {e}: {answer}"))?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, password.as_bytes());
    let expected = hex::encode(hmac::sign(&key, CHALLENGE.as_bytes()));
    if json["proof"] != expected.as_str() {
        return Err(format!("{service} presents another password than its entry holds: it says {answer}"));
    }
    Ok(json["username"].as_str().unwrap_or_default().to_owned())
}

fn get(http_port: u16, path: &str) -> Result<String, String> {
    exchange(http_port, &format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"))
}

fn exchange(port: u16, request: &str) -> Result<String, String> {
    let asked = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = asked().map_err(|e| format!("port {port}: {e}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("no answer: {answer:?}"))?;
    if head.starts_with("HTTP/1.1 200") { Ok(body.to_owned()) } else { Err(format!("{head}\n{body}")) }
}

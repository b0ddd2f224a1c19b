//! The system's log: each line as one message of RFC 5424 to a datagram socket of this machine.
//!
//! A daemon that takes datagrams answers nothing: what it has done with a message nobody can say, and a long one may be cut.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use serde_json::{Value, json};

use super::{Batch, Sink};
use crate::config::fields::Fields;

/// Facility 13, the audit; severity 5, a normal condition worth a note.
const PRIORITY: u8 = 13 * 8 + 5;
/// Each line is a message of its own; so many bytes of them in one go.
const MOST: usize = 64 << 10;
const TIMEOUT: Span = Span::seconds(5);

/// The options of the kind.
pub struct Options {
    socket: PathBuf,
}

/// The socket of one daemon.
pub struct Syslog {
    socket: PathBuf,
}

impl Syslog {
    /// Reads the options: `{socket}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<Options> {
        let named = fields.has("socket");
        let socket = fields.optional_path("socket");
        if named && socket.is_none() {
            return None;
        }
        Some(Options { socket: socket.unwrap_or_else(|| PathBuf::from("/dev/log")) })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        json!({ "properties": { "socket": { "$ref": "#/$defs/text" } } })
    }

    /// Makes it of its options. The socket is opened at each call.
    ///
    /// # Errors
    /// None.
    pub fn open(options: Options) -> Result<Self, Fault> {
        Ok(Self { socket: options.socket })
    }
}

#[async_trait]
impl Sink for Syslog {
    fn request_timeout(&self) -> Span {
        TIMEOUT
    }

    fn most(&self) -> usize {
        MOST
    }

    async fn last(&self) -> Result<Option<String>, Fault> {
        // It cannot be asked.
        Ok(None)
    }

    async fn put(&self, batch: &Batch) -> Outcome<()> {
        let (socket, lines) = (self.socket.clone(), batch.lines.clone());
        let sent = tokio::task::spawn_blocking(move || send(&socket, &lines)).await;
        sent.unwrap_or_else(|_| Outcome::Unknown(fault(&self.socket, FaultClass::Temporary, "the call broke off")))
    }
}

fn fault(socket: &Path, class: FaultClass, what: &str) -> Fault {
    Fault::new(class, "HO1085", format!("syslog at {}: {what}", socket.display())).hint("does a log daemon listen there?")
}

fn send(path: &Path, lines: &[String]) -> Outcome<()> {
    let open = || {
        let socket = UnixDatagram::unbound()?;
        // A daemon that does not read fills its queue: then sending would wait for ever.
        socket.set_write_timeout(Some(std::time::Duration::from_secs(2)))?;
        socket.connect(path)?;
        Ok(socket)
    };
    let socket = match open() {
        Ok(socket) => socket,
        Err(error) => {
            let error: std::io::Error = error;
            return Outcome::NotDone(fault(path, FaultClass::Temporary, &error.to_string()));
        }
    };
    for line in lines {
        if let Err(error) = socket.send(message(line, &now()).as_bytes()) {
            let class = match error.kind() {
                // Larger than a datagram can be: it will not pass the next time either.
                _ if error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) => FaultClass::Permanent,
                ErrorKind::PermissionDenied => FaultClass::Permanent,
                _ => FaultClass::Temporary,
            };
            return Outcome::Unknown(fault(path, class, &error.to_string()));
        }
    }
    Outcome::Done(())
}

fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// No host name: a daemon of this machine knows it. The line has no line end and is UTF-8, which the standard marks by a BOM; JSON
/// begins without one.
fn message(line: &str, now: &str) -> String {
    format!("<{PRIORITY}>1 {now} - handover {} audit - {line}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_line_is_a_message_and_a_socket_that_nobody_has_takes_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let sink = Syslog { socket: path.clone() };
        let batch = Batch { id: "x".to_owned(), lines: vec![r#"{"n":1}"#.to_owned(), r#"{"n":2}"#.to_owned()] };
        let Outcome::NotDone(fault) = sink.put(&batch).await else { panic!("nobody listens") };
        assert_eq!((fault.code.as_str(), fault.class), ("HO1085", FaultClass::Temporary));
        let daemon = UnixDatagram::bind(&path).unwrap();
        assert_eq!(sink.put(&batch).await, Outcome::Done(()));
        let mut heard = Vec::new();
        for _ in 0..2 {
            let mut block = [0; 4096];
            let n = daemon.recv(&mut block).unwrap();
            heard.push(String::from_utf8_lossy(&block[..n]).into_owned());
        }
        for (n, text) in heard.iter().enumerate() {
            let words: Vec<&str> = text.splitn(8, ' ').collect();
            assert_eq!(
                (words[0], words[2], words[3], words[5], words[6]),
                ("<109>1", "-", "handover", "audit", "-"),
                "{text}"
            );
            assert_eq!(words[7], batch.lines[n]);
            assert!(chrono::DateTime::parse_from_rfc3339(words[1]).is_ok(), "{text}");
        }
        // Too large for a datagram: it says so, and does not hang.
        let large = Batch { id: "y".to_owned(), lines: vec!["x".repeat(16 << 20)] };
        let Outcome::Unknown(fault) = sink.put(&large).await else { panic!("it cannot be sent") };
        assert_eq!(fault.class, FaultClass::Permanent);
    }
}

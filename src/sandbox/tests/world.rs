//! A sandbox in a temporary folder, and a bare SMTP client to talk to it line by line.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handover_rotation::name::Tag;
use handover_rotation::outcome::Outcome;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufStream};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::providers::sandbox::{SandboxProvider, SandboxProviderOptions};
use crate::providers::{CreatedVersion, Provider as _};
use crate::sandbox::{RunningSandbox, Sandbox, SandboxOptions, Status, set_fault, status};
use crate::secret::{Login, Secret};

/// A running sandbox and its folder.
pub(super) struct World {
    pub(super) sandbox: RunningSandbox,
    pub(super) provider: SandboxProvider,
    pub(super) dir: tempfile::TempDir,
}

impl World {
    pub(super) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(super) async fn start_with(change: impl FnOnce(&mut SandboxOptions)) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let mut options = SandboxOptions::new(dir.path());
        change(&mut options);
        let sandbox = Sandbox::start(options).await.expect("starts");
        let provider = SandboxProvider::open(SandboxProviderOptions { dir: dir.path().to_path_buf() }).expect("opens");
        Self { sandbox, provider, dir }
    }

    pub(super) fn fault(&self, text: &str) {
        set_fault(self.dir.path(), text).expect(text);
    }

    pub(super) fn status(&self) -> Status {
        status(self.dir.path()).expect("has a status")
    }

    pub(super) async fn create(&self, tag: &str) -> CreatedVersion {
        let secret = self.provider.facts().chooses_secret.then(|| Secret::new(format!("hosb_chosen_for_{tag}")));
        let mut made = done(self.provider.create("newsletter", &Tag::new(tag).expect("valid"), secret.as_ref()).await);
        made.secret = made.secret.or(secret);
        made
    }

    /// The login in an entry's file, read as a service reads it.
    pub(super) fn entry(&self, entry: &str) -> Login {
        let file = self.sandbox.layout().env_file("newsletter", entry);
        crate::sandbox::env::read_login(&file).expect("has a login")
    }

    /// Connects to the TLS port and says EHLO.
    pub(super) async fn client(&self) -> Client<impl AsyncRead + AsyncWrite + Unpin + use<>> {
        let socket = self.socket(self.sandbox.ports().tls).await;
        let mut client = Client::new(self.secure(socket).await.expect("TLS"));
        assert!(client.read().await.starts_with("220 "));
        assert!(client.say("EHLO tests").await.starts_with("250"));
        client
    }

    pub(super) async fn socket(&self, port: u16) -> TcpStream {
        TcpStream::connect(("127.0.0.1", port)).await.expect("connects")
    }

    /// Begins TLS and checks the certificate against `ca.pem`.
    pub(super) async fn secure(&self, socket: TcpStream) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let pem = std::fs::read(self.sandbox.layout().ca_file()).expect("reads");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&pem).expect("a certificate")).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, socket).await
    }

    /// The reply to AUTH PLAIN on a fresh connection.
    pub(super) async fn auth(&self, username: &str, password: &str) -> String {
        self.client().await.say(&plain(username, password)).await
    }

    pub(super) fn mails(&self) -> Vec<String> {
        let folder = self.sandbox.layout().mail().join("new");
        let read = |e: std::io::Result<std::fs::DirEntry>| std::fs::read_to_string(e.expect("entry").path()).expect("text");
        std::fs::read_dir(folder).expect("a Maildir").map(read).collect()
    }

    /// Asks a service over HTTP and answers status and body.
    pub(super) async fn http(&self, method: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
        let url = format!("http://127.0.0.1:{}{path}", self.sandbox.ports().http);
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let answer = client.request(method, url).body(body.to_owned()).send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.expect("a body")).unwrap_or_default())
    }
}

pub(super) fn done<T>(outcome: Outcome<T>) -> T {
    match outcome {
        Outcome::Done(value) => value,
        Outcome::NotDone(fault) | Outcome::Unknown(fault) => panic!("{fault}"),
    }
}

/// The AUTH PLAIN command.
pub(super) fn plain(username: &str, password: &str) -> String {
    format!("AUTH PLAIN {}", STANDARD.encode(format!("\0{username}\0{password}")))
}

/// A client that sends what it is told and reads whole replies, with a limit on its patience.
pub(super) struct Client<S> {
    stream: BufStream<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream: BufStream::new(stream) }
    }

    pub(super) fn into_inner(self) -> S {
        self.stream.into_inner()
    }

    /// Sends a line and reads the reply; empty when the connection is gone.
    pub(super) async fn say(&mut self, line: &str) -> String {
        self.send(&format!("{line}\r\n")).await;
        self.read().await
    }

    pub(super) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.expect("sends");
        self.stream.flush().await.expect("sends");
    }

    pub(super) async fn read(&mut self) -> String {
        let mut reply = String::new();
        let lines = async {
            loop {
                let start = reply.len();
                match self.stream.read_line(&mut reply).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) if reply.as_bytes().get(start + 3) != Some(&b'-') => return,
                    Ok(_) => {}
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), lines).await.expect("a reply in time");
        reply
    }
}

/// Asks again until the answer is as wanted; fails after a while.
pub(super) async fn eventually<T>(mut ask: impl AsyncFnMut() -> T, wanted: impl Fn(&T) -> bool) -> T {
    let asking = async {
        loop {
            let answer = ask().await;
            if wanted(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asking).await.expect("it came true in time")
}

pub(super) fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).expect("text").lines().map(str::to_owned).collect()
}

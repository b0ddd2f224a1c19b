//! A server that plays a script: each act is something it says, waits for, or does. It checks what it hears, and hands back
//! every line that it heard.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, SupportedProtocolVersion, version};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// One thing that the server does.
pub(super) enum Act {
    /// Sends these bytes.
    Say(Cow<'static, str>),
    /// Sends this many bytes of one letter, or as many as the client takes.
    Flood(usize),
    /// Reads a line, which must begin so.
    Expect(Cow<'static, str>),
    /// Reads a line and sends what this makes of it.
    Reply(Box<dyn FnMut(&str) -> String + Send>),
    /// Reads the handshake.
    Tls,
    /// Reads up to the last dot, and keeps the message.
    Message,
    /// Reads this many bytes.
    Bytes(usize),
    /// Says nothing more until the client goes.
    Hang,
}

impl Act {
    pub(super) fn say(text: &'static str) -> Self {
        Self::Say(text.into())
    }

    pub(super) fn expect(text: &'static str) -> Self {
        Self::Expect(text.into())
    }
}

/// A server at work.
pub(super) struct Running {
    pub(super) port: u16,
    task: JoinHandle<Vec<String>>,
}

impl Running {
    /// Every line that was heard. Fails if the client left the script.
    pub(super) async fn heard(self) -> Vec<String> {
        self.task.await.unwrap()
    }
}

/// What a client needs to trust the server.
pub(super) struct Trusting {
    pub(super) host: &'static str,
    pub(super) ca_file: PathBuf,
    pub(super) _dir: tempfile::TempDir,
}

/// A CA of our own.
pub(super) struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Ca {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    pub(super) fn trusting(&self) -> Trusting {
        let dir = tempfile::tempdir().unwrap();
        let ca_file = dir.path().join("ca.pem");
        std::fs::write(&ca_file, self.issuer.pem()).unwrap();
        Trusting { host: "127.0.0.1", ca_file, _dir: dir }
    }

    pub(super) fn server(&self, names: &[&str]) -> (TlsAcceptor, Trusting) {
        (self.acceptor(names, 2096, &[&version::TLS13, &version::TLS12]), self.trusting())
    }

    pub(super) fn acceptor(
        &self,
        names: &[&str],
        until_year: i32,
        versions: &[&'static SupportedProtocolVersion],
    ) -> TlsAcceptor {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(until_year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// Plays one script a connection, in order, on a free port.
pub(super) async fn start(acceptor: TlsAcceptor, scripts: Vec<Vec<Act>>) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let mut heard = Vec::new();
        for script in scripts {
            let (stream, _) = listener.accept().await.unwrap();
            let mut talk = Talk { stream: Some(Box::new(stream)), buffer: Vec::new() };
            for act in script {
                if talk.act(act, &acceptor, &mut heard).await.is_err() {
                    break;
                }
            }
        }
        heard
    });
    Running { port, task }
}

/// A port without a server.
pub(super) fn nobody(port: u16) -> Running {
    Running { port, task: tokio::spawn(async { Vec::new() }) }
}

struct Talk {
    stream: Option<Box<dyn Io>>,
    buffer: Vec<u8>,
}

impl Talk {
    fn stream(&mut self) -> &mut Box<dyn Io> {
        self.stream.as_mut().unwrap()
    }

    async fn act(&mut self, act: Act, acceptor: &TlsAcceptor, heard: &mut Vec<String>) -> std::io::Result<()> {
        match act {
            Act::Say(text) => {
                self.stream().write_all(text.as_bytes()).await?;
                self.stream().flush().await?;
            }
            Act::Flood(count) => {
                let chunk = vec![b'x'; 64 * 1024];
                for _ in 0..count.div_ceil(chunk.len()) {
                    self.stream().write_all(&chunk).await?;
                }
            }
            Act::Expect(start) => {
                let line = self.line().await?;
                assert!(line.starts_with(start.as_ref()), "heard {line:?}, expected {start:?}");
                heard.push(line);
            }
            Act::Reply(mut make) => {
                let line = self.line().await?;
                let answer = make(&line);
                heard.push(line);
                self.stream().write_all(answer.as_bytes()).await?;
                self.stream().flush().await?;
            }
            Act::Tls => {
                let stream = self.stream.take().unwrap();
                self.stream = Some(Box::new(acceptor.accept(stream).await?));
            }
            Act::Message => loop {
                let line = self.line().await?;
                let last = line == ".";
                heard.push(line);
                if last {
                    break;
                }
            },
            Act::Bytes(count) => {
                let mut bytes = vec![0; count];
                self.stream().read_exact(&mut bytes).await?;
            }
            Act::Hang => {
                let mut sink = Vec::new();
                self.stream().read_to_end(&mut sink).await?;
            }
        }
        Ok(())
    }

    async fn line(&mut self) -> std::io::Result<String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|w| w == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            let mut chunk = [0; 4096];
            let count = self.stream().read(&mut chunk).await?;
            if count == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            self.buffer.extend_from_slice(&chunk[..count]);
        }
    }
}

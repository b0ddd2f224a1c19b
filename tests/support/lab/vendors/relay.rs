//! The SMTP endpoint of a vendor: it takes the logins that the vendor's API has given out, and no others, and puts mails into a
//! Maildir. STARTTLS first, then AUTH PLAIN.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{Served, Vendor};
use crate::support::lab::ca::Ca;
use crate::support::ledger::Smtp;

static MAILS: AtomicUsize = AtomicUsize::new(0);

/// A relay that is served. It ends with the runtime.
pub(crate) struct Relay {
    pub(crate) smtp: Smtp,
    folder: tempfile::TempDir,
}

impl Relay {
    /// One before a vendor.
    pub(crate) async fn of<V: Vendor>(server: &Served<V>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for part in ["mail/new", "mail/cur", "mail/tmp"] {
            std::fs::create_dir_all(folder.path().join(part)).expect("a Maildir");
        }
        let ca = Ca::make(&folder.path().join("tls"));
        let chain = CertificateDer::pem_file_iter(&ca.certificate).expect("a certificate");
        let chain: Vec<_> = chain.map(|c| c.expect("a certificate")).collect();
        let key = PrivateKeyDer::from_pem_file(&ca.key).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .expect("TLS");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let starttls_port = listener.local_addr().expect("an address").port();
        let (vendor, inbox) = (Arc::clone(&server.vendor), folder.path().join("mail"));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (vendor, inbox, acceptor) = (Arc::clone(&vendor), inbox.clone(), acceptor.clone());
                let accepts = move |username: &str, password: &str| {
                    vendor.lock().expect("no test has failed in it").accepts(username, password)
                };
                // A client that hangs up is none of the tests' business.
                tokio::spawn(async move { serve(stream, &acceptor, &inbox, accepts).await.ok() });
            }
        });
        let smtp = Smtp { host: "127.0.0.1".to_owned(), starttls_port, ca_file: ca.ca.display().to_string() };
        Self { smtp, folder }
    }

    pub(crate) fn maildir(&self) -> PathBuf {
        self.folder.path().join("mail")
    }
}

async fn serve(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
    inbox: &std::path::Path,
    accepts: impl Fn(&str, &str) -> bool,
) -> std::io::Result<()> {
    let mut plain = BufReader::new(stream);
    say(&mut plain, "220 relay.lab ESMTP").await?;
    loop {
        match verb(&line(&mut plain).await?).as_str() {
            "EHLO" => say(&mut plain, "250-relay.lab\r\n250 STARTTLS").await?,
            "STARTTLS" => break,
            "QUIT" => return say(&mut plain, "221 2.0.0 Bye").await,
            _ => say(&mut plain, "530 5.7.0 Must issue a STARTTLS command first").await?,
        }
    }
    say(&mut plain, "220 2.0.0 Ready").await?;
    let mut safe = BufReader::new(acceptor.accept(plain.into_inner()).await?);
    let mut known = false;
    loop {
        let text = line(&mut safe).await?;
        match verb(&text).as_str() {
            "EHLO" => say(&mut safe, "250-relay.lab\r\n250 AUTH PLAIN").await?,
            "AUTH" => {
                known = text.split(' ').nth(2).and_then(login).is_some_and(|(name, password)| accepts(&name, &password));
                let reply = if known { "235 2.7.0 Accepted" } else { "535 5.7.8 Authentication failed: wrong key" };
                say(&mut safe, reply).await?;
            }
            "MAIL" | "RCPT" | "DATA" if !known => say(&mut safe, "530 5.7.0 Authentication required").await?,
            "MAIL" | "RCPT" | "RSET" | "NOOP" => say(&mut safe, "250 2.0.0 Ok").await?,
            "DATA" => {
                say(&mut safe, "354 Go on").await?;
                let mut mail = String::new();
                loop {
                    let text = line(&mut safe).await?;
                    if text == "." {
                        break;
                    }
                    mail += text.strip_prefix('.').unwrap_or(&text);
                    mail += "\r\n";
                }
                let name = format!("{}.lab", MAILS.fetch_add(1, Ordering::SeqCst));
                std::fs::write(inbox.join("tmp").join(&name), mail)?;
                std::fs::rename(inbox.join("tmp").join(&name), inbox.join("new").join(&name))?;
                say(&mut safe, "250 2.0.0 Ok: queued").await?;
            }
            "QUIT" => return say(&mut safe, "221 2.0.0 Bye").await,
            _ => say(&mut safe, "502 5.5.2 Not known here").await?,
        }
    }
}

/// The name and the password of AUTH PLAIN.
fn login(coded: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(coded).ok()?).ok()?;
    let mut parts = text.split('\0').skip(1).map(str::to_owned);
    parts.next().zip(parts.next())
}

fn verb(line: &str) -> String {
    line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase()
}

/// The next line without its end.
async fn line(from: &mut (impl AsyncBufReadExt + Unpin)) -> std::io::Result<String> {
    let mut text = String::new();
    if from.read_line(&mut text).await? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

async fn say(to: &mut BufReader<impl AsyncRead + AsyncWrite + Unpin>, reply: &str) -> std::io::Result<()> {
    let to = to.get_mut();
    to.write_all(format!("{reply}\r\n").as_bytes()).await?;
    to.flush().await
}

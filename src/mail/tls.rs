//! TLS for everything in the mail room: one way to set it up, so that there is one place to check. TLS 1.2 and up, the
//! system's roots or only a named file, the host name always verified, no resumption, and no switch that turns any of it
//! off (threat T4). The crypto provider is passed by hand: a process default may be missing or another.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use handover_rotation::outcome::Fault;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, ClientConfig, ProtocolVersion, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::faults;

/// A CA file larger than this is not one.
const MOST_CA_FILE: u64 = 1024 * 1024;

/// The system's roots, read once. A failure is not kept.
static SYSTEM: OnceCell<Arc<RootCertStore>> = OnceCell::const_new();

/// Whom to trust, and as whom to know the server.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    /// The name that the certificate must have.
    pub(super) host: String,
    /// Trust only the certificates in this file.
    pub(super) ca_file: Option<PathBuf>,
}

impl Trust {
    /// Reads the roots. A named file is read anew each time, so that a renewed CA needs no restart.
    pub(super) async fn config(&self) -> Result<Arc<ClientConfig>, Fault> {
        let roots = match &self.ca_file {
            Some(path) => Arc::new(from_file(path).await?),
            None => Arc::clone(SYSTEM.get_or_try_init(from_system).await?),
        };
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|e| faults::tls("HO0825", format!("TLS cannot be set up: {e}"), "this is a fault of this build"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Every probe verifies the certificate anew.
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }

    /// The handshake over `stream`.
    pub(super) async fn handshake<S>(
        &self,
        config: Arc<ClientConfig>,
        stream: S,
        limit: Duration,
    ) -> Result<TlsStream<S>, Fault>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(self.host.clone()).map_err(|_| faults::unwritable("the host name"))?;
        match tokio::time::timeout(limit, TlsConnector::from(config).connect(name, stream)).await {
            Err(_) => Err(faults::slow("the TLS handshake", limit)),
            Ok(Err(error)) => Err(self.fault(&error)),
            Ok(Ok(stream)) => Ok(stream),
        }
    }

    fn fault(&self, error: &std::io::Error) -> Fault {
        let Some(error) = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) else {
            return faults::lost("the TLS handshake", Some(error));
        };
        let host = &self.host;
        let rustls::Error::InvalidCertificate(error) = error else {
            // The words of other errors may quote the peer; their names do not.
            return faults::tls(
                "HO0825",
                format!("no TLS with {host}: {}", short(&error.to_string())),
                "check that the port speaks TLS the way `tls` says",
            );
        };
        match error {
            // A wrong signature is what another CA of the same name looks like: one that was made anew.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => faults::tls(
                "HO0822",
                format!("the certificate of {host} is not issued by a CA that is trusted here"),
                "name the right CA with `ca_file`; if the CA is right, this may be another server",
            ),
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => faults::tls(
                "HO0823",
                format!("the certificate of {host} is not valid at this time"),
                "have it renewed, and check this machine's clock",
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => faults::tls(
                "HO0824",
                format!("the certificate that {host} shows is for another name"),
                "use the name that is in the certificate; if the name is right, this may be another server",
            ),
            other => faults::tls(
                "HO0825",
                format!("the certificate of {host} is not acceptable: {}", short(&other.to_string())),
                "look at the server's certificate chain",
            ),
        }
    }
}

fn short(text: &str) -> String {
    super::reply::escape(text.as_bytes()).chars().take(120).collect()
}

/// Protocol and cipher of an established connection, such as `TLSv1.3 TLS13_AES_256_GCM_SHA384`.
pub(super) fn describe<S>(stream: &TlsStream<S>) -> String {
    let connection = stream.get_ref().1;
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3".to_owned(),
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2".to_owned(),
        other => format!("{other:?}"),
    };
    let cipher = connection.negotiated_cipher_suite().map_or_else(String::new, |s| format!(" {:?}", s.suite()));
    version + &cipher
}

async fn from_file(path: &Path) -> Result<RootCertStore, Fault> {
    let unreadable = |why: &dyn std::fmt::Display| faults::roots(format!("{}: {why}", path.display()));
    let mut text = Vec::new();
    let file = tokio::fs::File::open(path).await.map_err(|e| unreadable(&e))?;
    file.take(MOST_CA_FILE + 1).read_to_end(&mut text).await.map_err(|e| unreadable(&e))?;
    if text.len() as u64 > MOST_CA_FILE {
        return Err(unreadable(&"larger than 1 MiB"));
    }
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|_| unreadable(&"is not a PEM file"))?;
        roots.add(certificate).map_err(|_| unreadable(&"holds a certificate that cannot be read"))?;
    }
    if roots.is_empty() {
        return Err(unreadable(&"holds no certificate"));
    }
    Ok(roots)
}

async fn from_system() -> Result<Arc<RootCertStore>, Fault> {
    let none = || faults::roots("this system has no trusted certificates".to_owned());
    let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await.map_err(|_| none())?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() { Err(none()) } else { Ok(Arc::new(roots)) }
}

//! Stands between Handover and a directory, ends the TLS of both, and cuts the connection in the place of the answer to a
//! password that was set, or to another change.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// An answer to an extended operation (RFC 4511), by which passwords are set: a sequence, a message id, and this.
pub(super) const EXTENDED: u8 = 0x78;
/// An answer to a modify operation, likewise.
pub(super) const MODIFY: u8 = 0x67;

/// Listens until the runtime ends, and cuts answers of this kind; gives the port.
pub(super) async fn before(port: u16, tls: &Path, kind: u8) -> u16 {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let read = |name: &str| CertificateDer::from_pem_file(tls.join(name)).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(tls.join("server.key")).expect("a key");
    let near =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().expect("TLS");
    let near = near.with_no_client_auth().with_single_cert(vec![read("server.pem")], key).expect("a server");
    let mut roots = RootCertStore::empty();
    roots.add(read("ca.pem")).expect("a root");
    let far = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("TLS");
    let far = TlsConnector::from(Arc::new(far.with_root_certificates(roots).with_no_client_auth()));
    let near = TlsAcceptor::from(Arc::new(near));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let own = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (near, far) = (near.clone(), far.clone());
            tokio::spawn(async move { forward(stream, port, kind, &near, &far).await });
        }
    });
    own
}

async fn forward(stream: TcpStream, port: u16, kind: u8, near: &TlsAcceptor, far: &TlsConnector) -> Option<()> {
    let near = near.accept(stream).await.ok()?;
    let far = far.connect(ServerName::try_from("127.0.0.1").ok()?, TcpStream::connect(("127.0.0.1", port)).await.ok()?);
    let (mut near_read, mut near_write) = tokio::io::split(near);
    let (mut far_read, mut far_write) = tokio::io::split(far.await.ok()?);
    let up = async { tokio::io::copy(&mut near_read, &mut far_write).await.ok() };
    let down = async {
        let mut some = vec![0; 64 * 1024];
        loop {
            let n = far_read.read(&mut some).await.ok().filter(|n| *n > 0)?;
            if is_of(kind, &some[..n]) {
                return None::<u64>;
            }
            near_write.write_all(&some[..n]).await.ok()?;
            near_write.flush().await.ok()?;
        }
    };
    tokio::select! { _ = up => {}, _ = down => {} }
    Some(())
}

/// Whether this is an answer of this kind; answers come one at a time here.
fn is_of(kind: u8, answer: &[u8]) -> bool {
    let [0x30, length, rest @ ..] = answer else { return false };
    let more = if *length < 0x80 { 0 } else { usize::from(*length & 0x7f) };
    let Some([0x02, id, rest @ ..]) = rest.get(more..) else { return false };
    rest.get(usize::from(*id)) == Some(&kind)
}

//! Connections: a unix socket for this machine, TCP where it is asked for, TLS where it leaves the machine. Each is limited in time
//! and number, so that nobody who only holds a connection open keeps an alert out (threat T20).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use handover_rotation::outcome::{Fault, FaultClass};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::Api;
use super::routes::router;

/// How long the head of a request may take to come.
const HEAD: Duration = Duration::from_secs(10);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The most connections at once on one listener.
const CONNECTIONS: usize = 512;

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A process of this user, on the unix socket: the kernel says so (threat T3).
    User(u32),
    /// Anybody who reaches the address.
    Network,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A unix socket, which is made with mode 0600.
    Unix(PathBuf),
    /// An address.
    Tcp(SocketAddr),
}

impl Listen {
    /// Reads `unix:PATH` or `ADDRESS:PORT`.
    ///
    /// # Errors
    /// It is neither; in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        text.parse()
            .map(Self::Tcp)
            .map_err(|_| format!("{text:?} is neither ADDRESS:PORT, such as 127.0.0.1:8443, nor unix:PATH"))
    }
}

/// What is being served.
#[derive(Debug)]
pub struct Serving {
    /// Where, with the port that was chosen.
    pub listen: Listen,
}

fn fault(code: &str, message: String) -> Fault {
    Fault::new(FaultClass::Permanent, code, message)
}

/// Listens, and serves until `stop` says so.
///
/// # Errors
/// It cannot listen there, or should not: an address that others reach needs TLS.
pub async fn serve(
    api: &Arc<Api>,
    listen: Listen,
    tls: Option<TlsAcceptor>,
    stop: watch::Receiver<bool>,
) -> Result<Serving, Fault> {
    let router = router(api);
    match listen {
        Listen::Unix(path) => {
            let listener = unix(&path).await?;
            tokio::spawn(accept_unix(listener, router, stop));
            Ok(Serving { listen: Listen::Unix(path) })
        }
        Listen::Tcp(address) => {
            if !address.ip().is_loopback() && tls.is_none() {
                let fault = fault("HO1013", format!("{address} is reached by others, and there is no TLS"));
                return Err(fault.hint("give --tls-cert and --tls-key, or listen on 127.0.0.1 behind a proxy that has TLS"));
            }
            let cannot = |e: std::io::Error| {
                fault("HO1014", format!("cannot listen on {address}: {e}")).hint("see `ss -ltnp` for who does")
            };
            let listener = TcpListener::bind(address).await.map_err(cannot)?;
            let address = listener.local_addr().map_err(cannot)?;
            tokio::spawn(accept_tcp(listener, router, tls, stop));
            Ok(Serving { listen: Listen::Tcp(address) })
        }
    }
}

/// Makes the socket. One that nobody listens on any more is left from a process that was killed, and goes.
async fn unix(path: &Path) -> Result<UnixListener, Fault> {
    let cannot = |e: std::io::Error| fault("HO1014", format!("cannot listen on {}: {e}", path.display()));
    if tokio::net::UnixStream::connect(path).await.is_ok() {
        let fault = fault("HO1015", format!("another daemon listens on {}", path.display()));
        return Err(fault.hint("one daemon a state folder is enough: they share the work only badly"));
    }
    if let Ok(meta) = std::fs::symlink_metadata(path) {
        use std::os::unix::fs::FileTypeExt;
        if !meta.file_type().is_socket() {
            return Err(fault("HO1014", format!("{} is there and is no socket", path.display())));
        }
        std::fs::remove_file(path).map_err(cannot)?;
    }
    // Nobody else may connect in the moment before its mode is set.
    let before = rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o177));
    let listener = UnixListener::bind(path);
    rustix::process::umask(before);
    listener.map_err(cannot)
}

async fn accept_unix(listener: UnixListener, router: Router, mut stop: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let peer = stream.peer_cred().map_or(Peer::Network, |cred| Peer::User(cred.uid()));
                    let (router, stop) = (router.clone(), stop.clone());
                    tokio::spawn(async move {
                        connection(stream, peer, router, stop).await;
                        drop(permit);
                    });
                }
                Err(error) => rest(&error).await,
            },
            _ = stop.changed() => return,
        }
    }
}

async fn accept_tcp(listener: TcpListener, router: Router, tls: Option<TlsAcceptor>, mut stop: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (router, stop, tls) = (router.clone(), stop.clone(), tls.clone());
                    tokio::spawn(async move {
                        drop(stream.set_nodelay(true));
                        match tls {
                            None => connection(stream, Peer::Network, router, stop).await,
                            Some(tls) => if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                                connection(stream, Peer::Network, router, stop).await;
                            },
                        }
                        drop(permit);
                    });
                }
                Err(error) => rest(&error).await,
            },
            _ = stop.changed() => return,
        }
    }
}

/// After a connection could not be taken, as when there are no more file descriptors, others need a moment to end.
async fn rest(error: &std::io::Error) {
    tracing::warn!("a connection cannot be taken: {error}");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

async fn connection<S>(stream: S, peer: Peer, router: Router, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(router.layer(axum::Extension(peer)));
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_headers(64).max_buf_size(64 << 10);
    let served = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    tokio::select! {
        ended = &mut served => drop(ended),
        _ = stop.changed() => {
            // What is under way is answered; streams of events end with it.
            served.as_mut().graceful_shutdown();
            drop(tokio::time::timeout(Duration::from_secs(2), served).await);
        }
    }
}

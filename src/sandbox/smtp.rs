//! The submission server: listens, begins TLS, and hands each connection to a `session`.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::ca::Certificates;
use super::deliver::Maildir;
use super::session::{End, Session};
use crate::providers::sandbox::faults::Faults;
use crate::providers::sandbox::ledger::Ledger;

/// Connections at once; more wait.
const MOST_CONNECTIONS: usize = 512;
const HANDSHAKE: Duration = Duration::from_secs(10);
const LONGEST_SESSION: Duration = Duration::from_secs(600);

/// What all connections share.
pub(super) struct Server {
    pub(super) ledger: Arc<Ledger>,
    pub(super) mail: Maildir,
    pub(super) certificates: Certificates,
}

/// How TLS begins on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    StartTls,
    Implicit,
}

impl Server {
    /// The faults that are on. A file of faults that cannot be read is no reason to stop serving.
    pub(super) fn faults(&self) -> Faults {
        load_faults(self.ledger.dir())
    }

    fn acceptor(&self) -> &TlsAcceptor {
        if self.faults().tls_expired { &self.certificates.expired } else { &self.certificates.good }
    }

    async fn connection(self: Arc<Self>, socket: TcpStream, port: Port) -> io::Result<()> {
        // Answers are short and each is waited for.
        socket.set_nodelay(true)?;
        let socket = if port == Port::StartTls {
            match Session::new(Arc::clone(&self), socket, false).run(true).await? {
                End::StartTls(socket) => socket,
                End::Closed => return Ok(()),
            }
        } else {
            socket
        };
        let handshake = timeout(HANDSHAKE, self.acceptor().accept(socket));
        let stream = handshake.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        Session::new(Arc::clone(&self), stream, true).run(port == Port::Implicit).await.map(drop)
    }
}

/// Serves one port until `stop` turns true or its sender goes; connections end with it.
pub(super) async fn serve(server: Arc<Server>, listener: TcpListener, port: Port, mut stop: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let socket = match accepted {
            Ok((socket, _)) => socket,
            Err(error) => {
                // Out of file handles, for instance: let some connections end.
                tracing::warn!(%error, "sandbox: cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (server, room) = (Arc::clone(&server), Arc::clone(&room));
        connections.spawn(async move {
            let Ok(_place) = room.acquire_owned().await else { return };
            let work = Box::pin(server.connection(socket, port));
            match timeout(LONGEST_SESSION, work).await {
                Ok(Ok(())) | Err(_) => {}
                Ok(Err(error)) => tracing::debug!(%error, "sandbox: an SMTP connection ended early"),
            }
        });
    }
}

/// The faults that are on in `dir`; none, with a warning, if their file cannot be read.
pub(super) fn load_faults(dir: &Path) -> Faults {
    Faults::load(dir).unwrap_or_else(|fault| {
        tracing::warn!(%fault, "sandbox: no faults are on");
        Faults::default()
    })
}

//! A proxy that stands before a server and can be told to cut the connection after the server has acted: the request gets
//! through, the answer does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PASS: u8 = 0;
const CUT: u8 = 1;
const STALL: u8 = 2;

/// Forwards whole connections to one address on loopback.
pub(crate) struct Proxy {
    port: u16,
    mode: Arc<AtomicU8>,
    cut: Arc<AtomicUsize>,
}

impl Proxy {
    /// One before a port of this machine. It ends with the runtime.
    pub(crate) async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("an address").port();
        let (mode, cut) = (Arc::new(AtomicU8::new(PASS)), Arc::new(AtomicUsize::new(0)));
        let (told, count) = (Arc::clone(&mode), Arc::clone(&cut));
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (told, count) = (Arc::clone(&told), Arc::clone(&count));
                tokio::spawn(async move { forward(near, port, &told, &count).await });
            }
        });
        Self { port: own, mode, cut }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// From now on every answer is cut off before its first byte.
    pub(crate) fn cut_answers(&self) {
        self.mode.store(CUT, Ordering::SeqCst);
    }

    /// From now on answers do not come, and connections stay open.
    pub(crate) fn stall_answers(&self) {
        self.mode.store(STALL, Ordering::SeqCst);
    }

    pub(crate) fn pass(&self) {
        self.mode.store(PASS, Ordering::SeqCst);
    }

    /// How many answers were cut off.
    pub(crate) fn cut(&self) -> usize {
        self.cut.load(Ordering::SeqCst)
    }
}

async fn forward(near: TcpStream, port: u16, mode: &AtomicU8, cut: &AtomicUsize) {
    let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let (mut near_read, mut near_write) = near.into_split();
    let (mut far_read, mut far_write) = far.into_split();
    let up = async {
        let _ = tokio::io::copy(&mut near_read, &mut far_write).await;
        let _ = far_write.shutdown().await;
    };
    let down = async {
        let mut some = vec![0; 16 * 1024];
        loop {
            match far_read.read(&mut some).await {
                Ok(0) | Err(_) => break,
                Ok(n) => match mode.load(Ordering::SeqCst) {
                    PASS => {
                        if near_write.write_all(&some[..n]).await.is_err() {
                            break;
                        }
                    }
                    CUT => {
                        cut.fetch_add(1, Ordering::SeqCst);
                        break;
                    }
                    _ => std::future::pending::<()>().await,
                },
            }
        }
    };
    // Whichever ends first ends both: dropping the halves closes the connection.
    tokio::select! { () = up => {}, () = down => {} }
}

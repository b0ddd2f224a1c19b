//! A proxy that stands before a server and can be told to cut the connection after the server has acted: the request gets
//! through, the answer does not.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PASS: u8 = 0;
const CUT: u8 = 1;
const CUT_ONE: u8 = 2;

/// Forwards whole connections to one address on loopback.
pub(crate) struct Proxy {
    port: u16,
    mode: Arc<AtomicU8>,
    cut: Arc<AtomicUsize>,
    only: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Proxy {
    /// One before a port of this machine. It ends with the runtime.
    pub(crate) async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("an address").port();
        let (mode, cut) = (Arc::new(AtomicU8::new(PASS)), Arc::new(AtomicUsize::new(0)));
        let only = Arc::new(Mutex::new(None));
        let (told, count, which) = (Arc::clone(&mode), Arc::clone(&cut), Arc::clone(&only));
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (told, count, which) = (Arc::clone(&told), Arc::clone(&count), Arc::clone(&which));
                tokio::spawn(async move { forward(near, port, &told, &count, &which).await });
            }
        });
        Self { port: own, mode, cut, only }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// From now on every answer is cut off before its first byte.
    pub(crate) fn cut_answers(&self) {
        self.mode.store(CUT, Ordering::SeqCst);
    }

    /// The same for requests with these words in them only, such as `POST /v1/secret`: plain HTTP, one request a connection.
    pub(crate) fn cut_answers_to(&self, words: &str) {
        *self.only.lock().expect("the words") = Some(words.as_bytes().to_vec());
        self.cut_answers();
    }

    /// The same for the first of them only.
    pub(crate) fn cut_answer_to(&self, words: &str) {
        *self.only.lock().expect("the words") = Some(words.as_bytes().to_vec());
        self.mode.store(CUT_ONE, Ordering::SeqCst);
    }

    pub(crate) fn pass(&self) {
        self.mode.store(PASS, Ordering::SeqCst);
    }

    /// How many answers were cut off.
    pub(crate) fn cut(&self) -> usize {
        self.cut.load(Ordering::SeqCst)
    }
}

async fn forward(near: TcpStream, port: u16, mode: &AtomicU8, cut: &AtomicUsize, only: &Mutex<Option<Vec<u8>>>) {
    let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let (mut near_read, mut near_write) = near.into_split();
    let (mut far_read, mut far_write) = far.into_split();
    let words = only.lock().expect("the words").clone();
    let meant = AtomicBool::new(words.is_none());
    let up = async {
        let mut some = vec![0; 16 * 1024];
        while let Ok(n @ 1..) = near_read.read(&mut some).await {
            if words.as_ref().is_some_and(|words| some[..n].windows(words.len()).any(|part| part == words)) {
                meant.store(true, Ordering::SeqCst);
            }
            if far_write.write_all(&some[..n]).await.is_err() {
                break;
            }
        }
        let _ = far_write.shutdown().await;
    };
    let down = async {
        let mut some = vec![0; 16 * 1024];
        loop {
            match far_read.read(&mut some).await {
                Ok(0) | Err(_) => break,
                Ok(n) => match if meant.load(Ordering::SeqCst) { mode.load(Ordering::SeqCst) } else { PASS } {
                    PASS => {
                        if near_write.write_all(&some[..n]).await.is_err() {
                            break;
                        }
                    }
                    _ => {
                        let _ = mode.compare_exchange(CUT_ONE, PASS, Ordering::SeqCst, Ordering::SeqCst);
                        cut.fetch_add(1, Ordering::SeqCst);
                        break;
                    }
                },
            }
        }
    };
    // Whichever ends first ends both: dropping the halves closes the connection.
    tokio::select! { () = up => {}, () = down => {} }
}

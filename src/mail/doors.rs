//! Ways in for the fuzz targets: what the SMTP and IMAP readers make of a server that says these bytes, in these pieces. Not
//! part of the product.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};

use super::classify::{Phase, classify};
use super::client::Client;
use super::reply::Reply;
use super::transcript::Transcript;

/// The password that the readers have sent and must not show.
pub(crate) const PASSWORD: &str = "pencil-Zq9";

/// One reply, and what it means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) phase: &'static str,
    pub(crate) code: u16,
    pub(crate) class: String,
    pub(crate) enhanced: Option<String>,
    pub(crate) lines: Vec<String>,
}

/// What was heard on one connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// The replies, one a phase.
    pub(crate) replies: Vec<Said>,
    /// The replies in one line, as messages quote them, in 240 characters.
    pub(crate) summaries: Vec<String>,
    /// What ended it.
    pub(crate) end: String,
    /// The evidence.
    pub(crate) transcript: Vec<String>,
}

const PHASES: [Phase; 8] =
    [Phase::Greeting, Phase::Ehlo, Phase::StartTls, Phase::Auth, Phase::Mail, Phase::Rcpt, Phase::Data, Phase::Message];

/// What an SMTP client hears.
pub(crate) fn smtp(pieces: &[&[u8]]) -> Heard {
    let transcript = Transcript::default();
    let mut heard = Heard { replies: Vec::new(), summaries: Vec::new(), end: String::new(), transcript: Vec::new() };
    let mut client = Client::listening(Script::of(pieces), transcript.clone(), PASSWORD.as_bytes());
    wait(async {
        for phase in PHASES {
            match client.reply(phase).await {
                Ok(reply) => {
                    let class = format!("{:?}", classify(phase, &reply));
                    heard.summaries.push(reply.summary(240));
                    let enhanced = reply.enhanced.map(|e| e.to_string());
                    let Reply { code, lines, .. } = reply;
                    heard.replies.push(Said { phase: phase.word(), code, class, enhanced, lines });
                }
                Err(fault) => {
                    heard.end = fault.to_string();
                    break;
                }
            }
        }
    });
    heard.transcript = transcript.lines();
    heard
}

/// What a search over IMAP comes to.
pub(crate) fn imap(pieces: &[&[u8]]) -> Result<Option<u32>, String> {
    let search = super::arrival::search(Script::of(pieces), PASSWORD, Duration::from_secs(60));
    wait(search).map_err(|fault| format!("{fault} {}", fault.hint.as_deref().unwrap_or_default()))
}

/// Text of a server as it is shown.
pub(crate) fn escape(bytes: &[u8]) -> String {
    super::reply::escape(bytes)
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    thread_local!(static RUNTIME: RefCell<Option<Runtime>> = const { RefCell::new(None) });
    RUNTIME.with_borrow_mut(|runtime| {
        #[expect(clippy::expect_used, reason = "a fuzz target cannot go on without a runtime")]
        let made = || Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.get_or_insert_with(made).block_on(work)
    })
}

/// A server that says its pieces one after the other, hears nothing, and closes.
struct Script(VecDeque<Vec<u8>>);

impl Script {
    fn of(pieces: &[&[u8]]) -> Self {
        Self(pieces.iter().filter(|p| !p.is_empty()).map(|p| p.to_vec()).collect())
    }
}

impl AsyncRead for Script {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(piece) = self.0.front_mut() {
            let now = piece.len().min(buffer.remaining());
            buffer.put_slice(&piece[..now]);
            piece.drain(..now);
            if piece.is_empty() {
                self.0.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

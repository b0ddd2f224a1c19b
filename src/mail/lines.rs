//! Lines over a connection, for SMTP and IMAP: reads are capped before they are buffered, every read and write has a time
//! limit, and what is left in the buffer can be asked for. It does not know what the lines mean.

use std::time::Duration;

use handover_rotation::outcome::Fault;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::faults;
use super::reply::{MOST_LINE, ReplyError};

/// The least room that is made for a read.
const CHUNK: usize = 4096;

/// A connection with its read buffer.
pub(super) struct Lines<S> {
    stream: S,
    // A server may echo a password: what came in is wiped as what went out.
    buffer: Zeroizing<Vec<u8>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Lines<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, buffer: Zeroizing::new(Vec::new()) }
    }

    /// The connection, for what the buffer has no part in.
    pub(super) fn stream(&self) -> &S {
        &self.stream
    }

    /// Whether something has come that nobody has read.
    pub(super) fn has_unread(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Gives the connection back if the buffer is empty.
    pub(super) fn into_stream(self) -> Option<S> {
        self.buffer.is_empty().then_some(self.stream)
    }

    /// Writes all of `bytes` and flushes.
    pub(super) async fn write(&mut self, bytes: &[u8], limit: Duration, what: &str) -> Result<(), Fault> {
        let written = timeout(limit, async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        });
        match written.await {
            Err(_) => Err(faults::slow(what, limit)),
            Ok(Err(error)) => Err(faults::lost(what, Some(&error))),
            Ok(Ok(())) => Ok(()),
        }
    }

    /// One line without its end.
    pub(super) async fn line(&mut self, limit: Duration, what: &str) -> Result<Zeroizing<Vec<u8>>, Fault> {
        match timeout(limit, self.read_line(what)).await {
            Err(_) => Err(faults::slow(what, limit)),
            Ok(line) => line,
        }
    }

    /// Exactly `count` bytes.
    pub(super) async fn exactly(&mut self, count: usize, limit: Duration, what: &str) -> Result<Vec<u8>, Fault> {
        let filled = timeout(limit, async {
            while self.buffer.len() < count {
                self.fill(what).await?;
            }
            Ok(())
        });
        filled.await.map_err(|_| faults::slow(what, limit))??;
        Ok(self.buffer.drain(..count).collect())
    }

    async fn read_line(&mut self, what: &str) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let mut looked = 0;
        loop {
            if let Some(at) = self.buffer[looked..].iter().position(|b| *b == b'\n').map(|at| at + looked) {
                let mut line: Vec<u8> = self.buffer.drain(..=at).collect();
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                let line = Zeroizing::new(line);
                // Asked of the line and not only of the buffer, so that it does not matter in which pieces it came.
                return if line.len() > MOST_LINE { Err(faults::garbled(what, ReplyError::TooLong)) } else { Ok(line) };
            }
            looked = self.buffer.len();
            // One more than a line may have is a carriage return whose line feed is still on its way.
            if looked > MOST_LINE + 1 {
                return Err(faults::garbled(what, ReplyError::TooLong));
            }
            self.fill(what).await?;
        }
    }

    async fn fill(&mut self, what: &str) -> Result<(), Fault> {
        self.buffer.reserve(CHUNK);
        match self.stream.read_buf(&mut *self.buffer).await {
            Ok(0) => Err(faults::lost(what, None)),
            Ok(_) => Ok(()),
            Err(error) => Err(faults::lost(what, Some(&error))),
        }
    }
}

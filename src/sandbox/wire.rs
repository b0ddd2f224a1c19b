//! Lines and messages of SMTP on a stream, with a cap on each and a timeout on all of it. It knows bytes and line ends, not
//! what they mean: that is `session`.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use zeroize::{Zeroize as _, Zeroizing};

/// The longest line; RFC 4954 asks for 12,288 bytes in an AUTH exchange.
const MOST_LINE: usize = 12_288;
/// The largest message.
pub(super) const MOST_MESSAGE: usize = 1 << 20;
/// How long the other side may be silent.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection, read in lines.
pub(super) struct Wire<S> {
    stream: S,
    /// What was read and not yet used. It may hold passwords, so it is wiped.
    buffer: Zeroizing<Vec<u8>>,
}

/// A line of a dialogue.
pub(super) enum Line {
    /// With its line end.
    Text(Zeroizing<Vec<u8>>),
    /// Longer than allowed; it was skipped.
    TooLong,
    /// The other side has gone.
    Closed,
}

/// The content of a message.
pub(super) enum Content {
    /// As the sender wrote it: dots unstuffed, line ends kept.
    Taken(Vec<u8>),
    /// Larger than allowed; it was skipped.
    TooBig,
    /// The other side has gone.
    Closed,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, buffer: Zeroizing::new(Vec::new()) }
    }

    /// The bare stream, for TLS to begin on. What was sent ahead in clear is dropped: nobody has proven who wrote it.
    pub(super) fn into_stream(self) -> S {
        self.stream
    }

    pub(super) async fn line(&mut self) -> io::Result<Line> {
        let mut too_long = false;
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line = self.take(end + 1);
                return Ok(if too_long || line.len() > MOST_LINE { Line::TooLong } else { Line::Text(line) });
            }
            if self.buffer.len() > MOST_LINE {
                too_long = true;
                self.buffer.zeroize();
            }
            if !self.fill().await? {
                return Ok(Line::Closed);
            }
        }
    }

    /// Reads until the line with a single dot. Only CRLF ends a line here: taking less would let a message smuggle another
    /// behind it.
    pub(super) async fn content(&mut self) -> io::Result<Content> {
        let mut taken = Vec::new();
        let mut too_big = false;
        let mut at_start = true;
        loop {
            while let Some(end) = find_crlf(&self.buffer) {
                let line = self.take(end + 2);
                if at_start && *line == *b".\r\n" {
                    return Ok(if too_big { Content::TooBig } else { Content::Taken(taken) });
                }
                too_big |= !append(&mut taken, &line, at_start);
                at_start = true;
            }
            // A piece of a long line: all but its last byte, which may be the CR of a line end. A short rest waits whole,
            // so that a dot at its start is seen together with what follows.
            if self.buffer.len() > 8192 {
                let piece = self.take(self.buffer.len() - 1);
                too_big |= !append(&mut taken, &piece, at_start);
                at_start = false;
            }
            if !self.fill().await? {
                return Ok(Content::Closed);
            }
        }
    }

    pub(super) async fn send(&mut self, text: &str) -> io::Result<()> {
        let work = async {
            self.stream.write_all(text.as_bytes()).await?;
            self.stream.flush().await
        };
        timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Ends the connection in order, as far as the other side lets it.
    pub(super) async fn close(mut self) {
        drop(timeout(Duration::from_secs(1), self.stream.shutdown()).await);
    }

    fn take(&mut self, length: usize) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.buffer.drain(..length).collect())
    }

    async fn fill(&mut self) -> io::Result<bool> {
        let mut chunk = Zeroizing::new([0_u8; 4096]);
        let count = match timeout(PATIENCE, self.stream.read(&mut *chunk)).await {
            Ok(Ok(count)) => count,
            // Many clients leave TLS without saying so.
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        };
        self.buffer.extend_from_slice(&chunk[..count]);
        Ok(count > 0)
    }
}

/// Adds a line or a piece of one; `false` if it would become too much.
fn append(taken: &mut Vec<u8>, line: &[u8], at_start: bool) -> bool {
    let line = if at_start { line.strip_prefix(b".").unwrap_or(line) } else { line };
    if taken.len() + line.len() > MOST_MESSAGE {
        return false;
    }
    taken.extend_from_slice(line);
    true
}

fn find_crlf(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|pair| pair == b"\r\n")
}

#[cfg(test)]
mod tests {
    use super::{Content, Line, MOST_MESSAGE, Wire};
    use tokio::io::AsyncWriteExt as _;

    async fn content_of(sent: Vec<u8>) -> (Content, String) {
        let (mut near, far) = tokio::io::duplex(256);
        let writer = tokio::spawn(async move {
            near.write_all(&sent).await.expect("the far side reads");
            near.write_all(b"QUIT\r\n").await.expect("the far side reads");
            near
        });
        let mut wire = Wire::new(far);
        let content = wire.content().await.expect("reads");
        let rest = match wire.line().await.expect("reads") {
            Line::Text(line) => String::from_utf8(line.to_vec()).expect("text"),
            Line::TooLong | Line::Closed => String::new(),
        };
        drop(writer.await);
        (content, rest)
    }

    #[tokio::test]
    async fn a_message_ends_at_its_dot_and_nowhere_else() {
        let long = format!(".{}\r\n", "x".repeat(20_000));
        let table: [(&str, &str); 6] = [
            (".\r\n", ""),
            ("a\r\n.\r\n", "a\r\n"),
            ("..a\r\n...\r\n.\r\n", ".a\r\n..\r\n"),
            ("a\n.\nb\r\n.\r\n", "a\n.\nb\r\n"),
            ("a\r\n.\nb\r\n.\r\n", "a\r\n\nb\r\n"),
            ("no\r.\rend\r\n.\r\n", "no\r.\rend\r\n"),
        ];
        for (sent, expected) in table {
            let (content, rest) = content_of(sent.into()).await;
            assert!(matches!(content, Content::Taken(taken) if taken == expected.as_bytes()), "{sent:?}");
            assert_eq!(rest, "QUIT\r\n", "{sent:?}");
        }
        let (content, rest) = content_of(format!(".{long}.\r\n").into()).await;
        assert!(matches!(content, Content::Taken(taken) if taken == long.as_bytes()));
        assert_eq!(rest, "QUIT\r\n");
    }

    #[tokio::test]
    async fn a_message_over_the_cap_is_skipped_to_its_end() {
        let line = format!("{}\r\n", "y".repeat(998));
        let sent = format!("{}.\r\n", line.repeat(MOST_MESSAGE / line.len() + 1));
        let (content, rest) = content_of(sent.into()).await;
        assert!(matches!(content, Content::TooBig));
        assert_eq!(rest, "QUIT\r\n");
    }

    #[tokio::test]
    async fn a_line_over_the_cap_is_skipped_to_its_end() {
        let (mut near, far) = tokio::io::duplex(64);
        let writer = tokio::spawn(async move {
            near.write_all(format!("EHLO {}\r\nNOOP\r\n", "z".repeat(100_000)).as_bytes()).await.expect("reads");
        });
        let mut wire = Wire::new(far);
        assert!(matches!(wire.line().await.expect("reads"), Line::TooLong));
        assert!(matches!(wire.line().await.expect("reads"), Line::Text(line) if *line == *b"NOOP\r\n"));
        assert!(matches!(wire.line().await.expect("reads"), Line::Closed));
        writer.await.expect("writes");
    }
}

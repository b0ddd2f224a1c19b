//! Lines of a stream of any size in a buffer of one size: what of a line is longer is passed over.

use std::io::{self, BufRead, Read};

/// The most that is kept of a line of a log. Syslog's own are shorter.
pub(super) const LOG_LINE: usize = 16 << 10;
/// The most that is kept of a line of JSON: a record of SES with a mail's headers.
pub(super) const JSON_LINE: usize = 1 << 20;

/// The lines of a stream.
#[derive(Debug)]
pub(super) struct Lines<R> {
    inner: R,
    most: usize,
    line: Vec<u8>,
    /// How many lines were longer than what is kept.
    pub cut: u64,
}

impl<R: BufRead> Lines<R> {
    /// Reads from `inner` and keeps `most` bytes of a line.
    pub(super) fn new(inner: R, most: usize) -> Self {
        Self { inner, most, line: Vec::new(), cut: 0 }
    }

    /// The next line without its end; `None` at the end of the stream.
    ///
    /// # Errors
    /// The stream cannot be read, or is no whole gzip.
    pub(super) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        let most = u64::try_from(self.most).unwrap_or(u64::MAX);
        let read = self.inner.by_ref().take(most).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        match self.line.last() {
            Some(b'\n') => drop(self.line.pop()),
            _ if read == self.most && self.inner.skip_until(b'\n')? > 0 => self.cut += 1,
            _ => {}
        }
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        Ok(Some(&self.line))
    }

    /// How much room the buffer takes.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.line.capacity()
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn lines(text: &[u8], most: usize) -> (Vec<String>, u64) {
        // A small buffer, so that lines go over its end.
        let mut lines = Lines::new(BufReader::with_capacity(3, text), most);
        let mut all = Vec::new();
        while let Some(line) = lines.next().expect("memory") {
            all.push(String::from_utf8_lossy(line).into_owned());
        }
        (all, lines.cut)
    }

    #[test]
    fn lines_end_as_they_may_and_what_is_too_long_is_cut() {
        for (text, most, expected, cut) in [
            (&b""[..], 8, &[][..], 0),
            (b"a\nb\n", 8, &["a", "b"], 0),
            (b"a\r\n\nb", 8, &["a", "", "b"], 0),
            (b"12345678\nx", 8, &["12345678", "x"], 1),
            (b"1234567\nx", 8, &["1234567", "x"], 0),
            (b"123456789012345678901234567890\nx\n", 8, &["12345678", "x"], 1),
            (b"123456789", 8, &["12345678"], 1),
            (b"12345678", 8, &["12345678"], 0),
        ] {
            assert_eq!(lines(text, most), (expected.iter().map(|s| (*s).to_owned()).collect(), cut), "{text:?}");
        }
    }
}

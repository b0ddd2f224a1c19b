//! Checkpoints: the head of the chain at some time, signed, so that a copy of it elsewhere is a witness against whoever rewrites the
//! journal and its anchor (safety.md S23, threat T5).
//!
//! The signing key is derived from what the sealing key is derived from, so that it is kept where that one is kept, is bound to the
//! journal, and can neither be lost alone nor lie about in a file of its own. What is signed is a text of five lines: whoever has the
//! public key can check it with any tool that knows Ed25519. It reads no file.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::error::JournalError;
use super::record::Head;
use super::seal::broken;

const TITLE: &str = "handover-checkpoint 1";
/// The form of the lines in which checkpoints and rows are sent elsewhere.
pub(super) const FORM: u16 = 1;
/// Before a public key, as people keep it.
const ALGORITHM: &str = "ed25519:";
const PUBLIC_LEN: usize = 32;

/// The key that checkpoints of a journal are checked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; PUBLIC_LEN]);

impl PublicKey {
    /// The key of a text as `Display` writes it; `ed25519:` may be left out.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let bytes = BASE64.decode(text.strip_prefix(ALGORITHM).unwrap_or(text)).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// What tells it from other keys, in sixteen digits.
    #[must_use]
    pub fn id(&self) -> String {
        hex::encode(&digest(&SHA256, &self.0).as_ref()[..8])
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALGORITHM}{}", BASE64.encode(self.0))
    }
}

/// Signs checkpoints of one journal.
pub struct Signer {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl Signer {
    /// The signer of a seed, which the caller wipes.
    pub(super) fn new(seed: &[u8]) -> Result<Self, JournalError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| broken())?;
        let public = PublicKey(pair.public_key().as_ref().try_into().map_err(|_| broken())?);
        Ok(Self { pair, public })
    }

    /// One for the tests of other rooms.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn new_for_tests() -> Self {
        Self::new(&[1; 32]).unwrap()
    }

    /// What its signatures are checked with.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// A signed checkpoint of a journal.
    #[must_use]
    pub fn sign(&self, journal: &str, head: Head, wall_ms: u64) -> Checkpoint {
        let mut made =
            Checkpoint { journal: journal.to_owned(), head, wall_ms, key: self.public.id(), signature: Vec::new() };
        made.signature = self.pair.sign(made.signed().as_bytes()).as_ref().to_vec();
        made
    }
}

/// The head of a journal at some time, signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The journal's name.
    pub journal: String,
    /// Its head.
    pub head: Head,
    /// When, by the wall clock.
    pub wall_ms: u64,
    /// The id of the key.
    pub key: String,
    /// Over [`Checkpoint::signed`].
    pub signature: Vec<u8>,
}

/// As it is sent.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    kind: String,
    form: u16,
    journal: String,
    n: u64,
    hash: String,
    wall_ms: u64,
    key: String,
    signature: String,
}

impl Checkpoint {
    /// The text that is signed, and nothing besides: five lines, each with its end.
    #[must_use]
    pub fn signed(&self) -> String {
        format!("{TITLE}\n{}\n{}\n{}\n{}\n", self.journal, self.head, self.wall_ms, self.key)
    }

    /// Whether a key has signed it.
    #[must_use]
    pub fn is_by(&self, key: &PublicKey) -> bool {
        let known = UnparsedPublicKey::new(&ED25519, key.0);
        self.key == key.id() && known.verify(self.signed().as_bytes(), &self.signature).is_ok()
    }

    /// As a line of JSON, without its end.
    #[must_use]
    pub fn line(&self) -> String {
        let line = Line {
            kind: "checkpoint".to_owned(),
            form: FORM,
            journal: self.journal.clone(),
            n: self.head.n,
            hash: hex::encode(self.head.hash),
            wall_ms: self.wall_ms,
            key: self.key.clone(),
            signature: BASE64.encode(&self.signature),
        };
        // Texts and numbers only: it can be written.
        serde_json::to_string(&line).unwrap_or_default()
    }

    /// The checkpoint of a line; `None` if it is none of this form.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let line: Line = serde_json::from_str(line).ok()?;
        // What is signed is made of lines.
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric());
        if line.kind != "checkpoint" || line.form != FORM || !plain(&line.journal) || !plain(&line.key) {
            return None;
        }
        let hash = hex::decode(&line.hash).ok()?.try_into().ok()?;
        Some(Self {
            journal: line.journal,
            head: Head { n: line.n, hash },
            wall_ms: line.wall_ms,
            key: line.key,
            signature: BASE64.decode(&line.signature).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(seed: u8) -> (Checkpoint, PublicKey) {
        let signer = Signer::new(&[seed; 32]).unwrap();
        (signer.sign("abc", Head { n: 7, hash: [9; 32] }, 1_764_194_400_000), signer.public().clone())
    }

    #[test]
    fn s23_a_checkpoint_is_believed_only_as_it_was_signed_and_by_its_own_key() {
        let (good, key) = checkpoint(1);
        assert!(good.is_by(&key));
        assert_eq!(Checkpoint::parse(&good.line()), Some(good.clone()), "{}", good.line());
        type Change = fn(&mut Checkpoint);
        let changes: [(&str, Change); 6] = [
            ("journal", |c| c.journal = "abd".to_owned()),
            ("row", |c| c.head.n += 1),
            ("hash", |c| c.head.hash[31] ^= 1),
            ("time", |c| c.wall_ms += 1),
            ("key", |c| c.key = "0".repeat(16)),
            ("signature", |c| c.signature[0] ^= 1),
        ];
        for (what, change) in changes {
            let mut bad = good.clone();
            change(&mut bad);
            assert!(!bad.is_by(&key), "{what}");
        }
        let (other, foreign) = checkpoint(2);
        assert!(!other.is_by(&key) && !good.is_by(&foreign));
        // Under the id of the right key it is still the wrong one's.
        assert!(!Checkpoint { key: key.id(), ..other }.is_by(&key));
        assert_eq!(PublicKey::parse(&key.to_string()), Some(key.clone()));
        assert_eq!(PublicKey::parse("ed25519:AAAA"), None);
    }

    #[test]
    fn a_line_that_is_no_checkpoint_is_none() {
        let line = checkpoint(1).0.line();
        for bad in [
            String::new(),
            line.replace("checkpoint", "row"),
            line.replace("\"form\":1", "\"form\":2"),
            line.replace("\"abc\"", "\"abc\\n8:00\""),
            line.replace("\"n\":7", "\"n\":7,\"m\":1"),
            line[..line.len() - 1].to_owned(),
        ] {
            assert_eq!(Checkpoint::parse(&bad), None, "{bad}");
        }
    }
}

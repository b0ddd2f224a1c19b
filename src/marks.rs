//! Marks: what a leak alert may know a version by, without the secret itself: the provider's key id, and plain hashes that
//! scanners send. A mark is no secret, but a plain hash of a weak one can be guessed back: those are never made.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// The least entropy of a secret whose plain hashes may be kept (handover.md, Secrets).
pub const LEAST_BITS: f64 = 128.0;

/// What HasMySecretLeaked salts with: the SHA-256 of this word.
const PEPPER: &[u8] = b"GitGuardian";

/// What an alert may know a version by, without the secret itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// The provider's id of a key, such as an AWS access key id: letters, digits and `._:@/+=-#`, at most 256.
    KeyId(String),
    /// The hash of HasMySecretLeaked: scrypt with a public salt, which is cheap to guess against.
    Hmsl([u8; 32]),
    /// SHA-256 of the secret's UTF-8 bytes.
    Sha256([u8; 32]),
    /// SHA-1 of the same.
    Sha1([u8; 20]),
}

impl Mark {
    /// The mark of a key id; `None` if no provider would give such an id.
    #[must_use]
    pub fn key_id(id: &str) -> Option<Self> {
        let sound =
            !id.is_empty() && id.len() <= 256 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:@/+=-#".contains(&b));
        sound.then(|| Self::KeyId(id.to_owned()))
    }

    /// The mark of 64 hex digits that HasMySecretLeaked or GitGuardian tell.
    #[must_use]
    pub fn hmsl(text: &str) -> Option<Self> {
        bytes(text).map(Self::Hmsl)
    }

    /// The mark of a SHA-256 in 64 hex digits.
    #[must_use]
    pub fn sha256(text: &str) -> Option<Self> {
        bytes(text).map(Self::Sha256)
    }

    /// The mark of a SHA-1 in 40 hex digits.
    #[must_use]
    pub fn sha1(text: &str) -> Option<Self> {
        bytes(text).map(Self::Sha1)
    }

    /// The mark as a word: `key-id:AKIA…`, `hmsl:<hex>`, `sha256:<hex>`, `sha1:<hex>`.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::KeyId(id) => format!("key-id:{id}"),
            Self::Hmsl(hash) => format!("hmsl:{}", hex::encode(hash)),
            Self::Sha256(hash) => format!("sha256:{}", hex::encode(hash)),
            Self::Sha1(hash) => format!("sha1:{}", hex::encode(hash)),
        }
    }

    /// The mark that a word stands for; the case of hex digits does not matter.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, value) = text.split_once(':')?;
        match kind {
            "key-id" => Self::key_id(value),
            "hmsl" => Self::hmsl(value),
            "sha256" => Self::sha256(value),
            "sha1" => Self::sha1(value),
            _ => None,
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// A text that is no mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no mark: they are written key-id:…, hmsl:…, sha256:… or sha1:…")]
pub struct NoMark;

impl FromStr for Mark {
    type Err = NoMark;

    fn from_str(text: &str) -> Result<Self, NoMark> {
        Self::parse(text).ok_or(NoMark)
    }
}

/// Hex digits of exactly `N` bytes.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    hex::decode(text).ok()?.try_into().ok()
}

/// The plain hashes of a secret of 128 bits or more; none of a weaker one. It takes a few milliseconds and 2 MiB.
#[must_use]
pub fn of_secret(secret: &Secret) -> Vec<Mark> {
    if strength(secret) < LEAST_BITS {
        return Vec::new();
    }
    let mut marks = vec![of_leaked(secret), Mark::Sha1(array(&digest::SHA1_FOR_LEGACY_USE_ONLY, secret))];
    marks.extend(hmsl(secret).map(Mark::Hmsl));
    marks
}

/// The mark by which a raw value that an alert brings is looked up among those of [`of_secret`]. One hash is enough, and this one
/// takes microseconds: a report may hold ten thousand values.
#[must_use]
pub fn of_leaked(raw: &Secret) -> Mark {
    Mark::Sha256(array(&digest::SHA256, raw))
}

/// The hash of HasMySecretLeaked, of a secret of any strength: not to be kept or sent on without [`strength`]. `None` where scrypt
/// refuses its parameters, which are constants.
#[must_use]
pub fn hmsl(secret: &Secret) -> Option<[u8; 32]> {
    let salt = digest::digest(&digest::SHA256, PEPPER);
    // N = 2^11, r = 8, p = 1.
    let params = scrypt::Params::new(11, 8, 1).ok()?;
    let mut hash = Zeroizing::new([0_u8; 32]);
    scrypt::scrypt(secret.expose().as_bytes(), salt.as_ref(), &params, &mut hash[..]).ok()?;
    Some(*hash)
}

fn array<const N: usize>(algorithm: &'static digest::Algorithm, secret: &Secret) -> [u8; N] {
    let hash = digest::digest(algorithm, secret.expose().as_bytes());
    let mut array = [0; N];
    array.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
    array
}

/// How many bits a guesser has to guess, as far as the text can tell. What is drawn by chance is rarely taken for weaker than it is
/// (of a million passwords that Handover makes, none); words, names and years are found, but not in every long phrase that a person
/// thinks out.
///
/// Hex digits count four bits each; a UUID counts as its 32 digits, though six of its bits are fixed. In other texts each character
/// counts as drawn from the smallest usual alphabet that all are of, unless it could be guessed from those before it.
#[must_use]
pub fn strength(secret: &Secret) -> f64 {
    let text: Vec<char> = secret.expose().chars().collect();
    let has = |kind: fn(&char) -> bool| text.iter().any(kind);
    let (lower, upper, digit) = (has(char::is_ascii_lowercase), has(char::is_ascii_uppercase), has(char::is_ascii_digit));
    let is_hex = digit && lower != upper && text.iter().all(|c| *c == '-' || c.is_ascii_hexdigit());
    let (length, each) = match is_hex {
        true => {
            let digits: Vec<char> = text.iter().copied().filter(|c| *c != '-').collect();
            (digits.len() - repeated(&digits, 8).count(), 4.0)
        }
        false => {
            // Two for all others, as base64 has: of which alphabet they are cannot be told.
            let others = has(|c| !c.is_ascii_alphanumeric());
            let letters = [(lower, 26_u8), (upper, 26), (digit, 10), (others, 2)];
            let size: u8 = letters.iter().filter(|(there, _)| *there).map(|(_, size)| size).sum();
            let guessed: BTreeSet<usize> = repeated(&text, 3).chain(expected(&text)).collect();
            (text.len() - guessed.len(), f64::from(size.max(1)).log2())
        }
    };
    // `abab…` is long and says little.
    let different = text.iter().collect::<BTreeSet<_>>().len();
    (count(length) * each).min(count(different) * 16.0)
}

/// The characters that end a piece of this length which has been there before.
fn repeated(text: &[char], length: usize) -> impl Iterator<Item = usize> {
    let mut seen = BTreeSet::new();
    text.windows(length)
        .enumerate()
        .filter(move |(_, piece)| !seen.insert(piece.to_vec()))
        .map(move |(at, _)| at + length - 1)
}

/// The pairs of letters that make up half of English.
const PAIRS: &str = "th he in er an re on at en nd ti es or te of ed is it al ar st to nt ng se ha as ou io le ve co me de hi ri ro ic \
                     ne ea ra ce li ch ll be ma si om ur la el ta ca no";

/// The rows of a keyboard, the alphabet and the digits: people go along them.
const ROWS: &str = "qwertyuiop asdfghjkl zxcvbnm abcdefghijklmnopqrstuvwxyz 01234567890";

/// The characters that follow from the one before: in a word, in a row, in a year, or as a separator that has been there twice.
fn expected(text: &[char]) -> impl Iterator<Item = usize> {
    let mut separators: BTreeMap<char, usize> = BTreeMap::new();
    let mut digits = 0;
    let mut last = String::new();
    text.iter().enumerate().filter_map(move |(at, c)| {
        let this = c.to_ascii_lowercase().to_string();
        let pair = format!("{last}{this}");
        let in_word = PAIRS.split_whitespace().any(|known| known == pair);
        let in_row = pair.len() == 2 && ROWS.contains(&pair);
        last = this;
        digits = if c.is_ascii_digit() { digits + 1 } else { 0 };
        let seen = separators.entry(*c).or_default();
        *seen += 1;
        let again = !c.is_ascii_alphanumeric() && *seen > 2;
        (in_word || in_row || again || digits > 2).then_some(at)
    })
}

/// A small number as another type.
fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[test]
    fn hmsl_hashes_as_ggshield_does() {
        for (text, hash) in [
            ("test", "bdbfe17c6018147f07ce79f8ec415a075d761ccacc14803e7d645155bf21a75f"),
            ("password", "743d9fde380b7064cc6a8d3071184fc47905cf7440e5615cd46c7b6cbfb46d47"),
        ] {
            assert_eq!(hmsl(&secret(text)).map(hex::encode).as_deref(), Some(hash), "{text}");
        }
    }

    #[test]
    fn the_plain_hashes_are_those_of_the_utf8_bytes() {
        // By sha256sum and sha1sum.
        let strong = secret("BAhXAO5H0bpXZnYEIXxJNvCyGpqLtDzjRzPUVSGWnI8T");
        let marks: Vec<String> = of_secret(&strong).iter().map(Mark::text).collect();
        let [sha256, sha1, hmsl] = marks.as_slice() else { panic!("{marks:?}") };
        assert_eq!(sha256, "sha256:296a6ee588885b47cc86b9c630d1f46c911616da3c82d5a4c3a8eb0b70e86ca3");
        assert_eq!(sha1, "sha1:dd512c6b021d082cbae6baaeddf4f737eef1ac84");
        assert!(hmsl.starts_with("hmsl:") && hmsl.len() == 69, "{hmsl}");
        assert_eq!(of_leaked(&strong).text(), *sha256);
    }

    #[test]
    fn no_plain_hash_is_made_of_a_weak_secret() {
        for weak in [
            "",
            "hunter2",
            "correct horse battery staple",
            "CorrectHorseBatteryStaple2024",
            "Summer2024!Summer2024!",
            "newsletter-production-smtp-2023-08-14",
            "this-is-the-smtp-password-of-the-newsletter",
            "qwertyuiopasdfghjklzxcvbnm123456",
            "abcdefghijklmnopqrstuvwxyz0123456789",
            "0123456789abcdef0123456789abcdef",
            "1234567890123456789012345678901234567890",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "0101010101010101010101010101010101010101010101010101",
            "a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0",
            "deadbeefdeadbeef",
            "passwordpasswordpasswordpasswordpassword",
        ] {
            assert!(of_secret(&secret(weak)).is_empty(), "{weak}: {}", strength(&secret(weak)));
        }
    }

    #[test]
    fn what_providers_and_handover_make_is_strong() {
        let made = (0..500).map(|_| crate::random::generate_password(40, crate::random::ALPHABET).expect("a password"));
        let base64 = (0..500).map(|_| {
            use base64::Engine as _;
            let bytes = hex::decode(crate::random::hex_id(33).expect("chance")).expect("hex");
            secret(&base64::prelude::BASE64_STANDARD.encode(bytes))
        });
        let hex = (0..500).map(|_| secret(&crate::random::hex_id(16).expect("chance")));
        let fixed = [
            "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
            "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",
        ];
        for secret in made.chain(base64).chain(hex).chain(fixed.map(secret)) {
            assert!(strength(&secret) >= LEAST_BITS, "{}: {}", secret.expose(), strength(&secret));
        }
    }

    #[test]
    fn a_mark_is_a_word_and_comes_back() {
        let marks = of_secret(&secret("BAhXAO5H0bpXZnYEIXxJNvCyGpqLtDzjRzPUVSGWnI8T"));
        for mark in marks.into_iter().chain(Mark::key_id("AKIAIOSFODNN7EXAMPLE")) {
            assert_eq!(mark.text().parse(), Ok(mark.clone()));
            assert_eq!(mark.to_string(), mark.text());
        }
        let upper = "sha1:DD512C6B021D082CBAE6BAAEDDF4F737EEF1AC84";
        assert_eq!(Mark::parse(upper).map(|m| m.text()), Some(upper.to_ascii_lowercase().replace("SHA1", "sha1")));
        for bad in
            ["", "sha1", "sha1:", "sha1:00", "sha256:zz", "hmsl:00", "md5:00", "key-id:", "key-id:a b", "key-id:\u{1b}[0m"]
        {
            assert_eq!(Mark::parse(bad), None, "{bad:?}");
        }
        assert_eq!(Mark::key_id(&"a".repeat(257)), None);
    }
}

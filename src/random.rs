//! Random passwords and ids, from the system's generator through aws-lc-rs. Nothing here may log or keep what it makes.

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Letters, digits, `_` and `-`: safe unquoted in every dialect of env files, in URLs, JSON, LDAP and SMTP AUTH.
pub const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

/// The length of a password from [`ALPHABET`]: 40 characters of 6 bits are 240 bits.
pub const PASSWORD_LENGTH: usize = 40;

/// The least entropy of a password that is handed out, so that its plain hashes may be kept (handover.md, Secrets).
pub const LEAST_BITS: f64 = 192.0;

/// Why nothing was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RandomError {
    /// The system's generator failed.
    #[error("the system's random generator failed")]
    Source,
    /// The length and alphabet give less than [`LEAST_BITS`].
    #[error("a password of this length and alphabet has less than 192 bits")]
    Weak,
    /// The alphabet has a character twice, one that is not printable ASCII, or less than two.
    #[error("the alphabet must be at least two different printable ASCII characters without blanks")]
    Alphabet,
}

/// A password of `len` characters, each drawn from `alphabet` with equal chance.
///
/// # Errors
/// [`RandomError`]; a weak password is refused, never made.
pub fn generate_password(len: usize, alphabet: &str) -> Result<Secret, RandomError> {
    let letters = alphabet.as_bytes();
    let sound =
        letters.len() >= 2 && letters.iter().enumerate().all(|(i, c)| c.is_ascii_graphic() && !letters[..i].contains(c));
    if !sound {
        return Err(RandomError::Alphabet);
    }
    if !strong(len, letters.len()) {
        return Err(RandomError::Weak);
    }
    draw(len, letters, |block| rand::fill(block).map_err(|_| RandomError::Source)).map(Secret::new)
}

/// `bytes` random bytes in lower-case hex, for ids, nonces and challenges.
///
/// # Errors
/// [`RandomError::Source`].
pub fn hex_id(bytes: usize) -> Result<String, RandomError> {
    let mut buffer = vec![0; bytes];
    rand::fill(&mut buffer).map_err(|_| RandomError::Source)?;
    Ok(hex::encode(buffer))
}

fn strong(len: usize, letters: usize) -> bool {
    let (Ok(len), Ok(letters)) = (u32::try_from(len), u32::try_from(letters)) else { return false };
    f64::from(len) * f64::from(letters).log2() >= LEAST_BITS
}

/// Draws by rejection: a byte above the largest multiple of the alphabet's size would favour its first letters.
fn draw(
    len: usize,
    letters: &[u8],
    mut fill: impl FnMut(&mut [u8]) -> Result<(), RandomError>,
) -> Result<String, RandomError> {
    let fair = 256 - 256 % letters.len();
    let mut text = String::with_capacity(len);
    let mut block = Zeroizing::new([0_u8; 64]);
    while text.len() < len {
        fill(&mut block[..])?;
        let wanted = len - text.len();
        text.extend(
            block
                .iter()
                .filter(|b| usize::from(**b) < fair)
                .take(wanted)
                .map(|b| char::from(letters[usize::from(*b) % letters.len()])),
        );
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn passwords_have_their_length_and_alphabet_and_differ() {
        let mut seen = BTreeSet::new();
        for _ in 0..50 {
            let password = generate_password(PASSWORD_LENGTH, ALPHABET).expect("the generator works");
            assert_eq!(password.expose().len(), PASSWORD_LENGTH);
            assert!(password.expose().chars().all(|c| ALPHABET.contains(c)));
            seen.insert(password.expose().to_owned());
        }
        assert_eq!(seen.len(), 50);
    }

    #[test]
    fn weak_lengths_and_unsound_alphabets_are_refused() {
        let table = [
            (31, ALPHABET, RandomError::Weak),
            (191, "ab", RandomError::Weak),
            (0, ALPHABET, RandomError::Weak),
            (64, "a", RandomError::Alphabet),
            (64, "", RandomError::Alphabet),
            (64, "aba", RandomError::Alphabet),
            (64, "ab c", RandomError::Alphabet),
            (64, "abé", RandomError::Alphabet),
        ];
        for (len, alphabet, error) in table {
            assert_eq!(generate_password(len, alphabet).err(), Some(error), "{len} of {alphabet:?}");
        }
        assert!(generate_password(32, ALPHABET).is_ok());
        assert!(generate_password(192, "ab").is_ok());
    }

    #[test]
    fn drawing_rejects_the_bytes_that_would_favour_some_letters() {
        // Every byte once: with 10 letters, 250..=255 are rejected and each letter comes up 25 times.
        let mut next = 0_u8;
        let all = |block: &mut [u8]| {
            for b in block {
                *b = next;
                next = next.wrapping_add(1);
            }
            Ok(())
        };
        let text = draw(250, b"0123456789", all).expect("the bytes are given");
        for letter in '0'..='9' {
            assert_eq!(text.chars().filter(|c| *c == letter).count(), 25, "{letter}");
        }
    }

    #[test]
    fn a_failing_generator_is_an_error() {
        assert_eq!(draw(40, b"ab", |_| Err(RandomError::Source)), Err(RandomError::Source));
    }

    #[test]
    fn ids_are_hex_of_the_asked_length() {
        let id = hex_id(16).expect("the generator works");
        assert_eq!(id.len(), 32);
        assert!(id.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')));
        assert_ne!(id, hex_id(16).expect("the generator works"));
    }
}

//! The client's side of SCRAM-SHA-1 and SCRAM-SHA-256 (RFC 5802, 7677): the server learns that we know the password, not
//! the password, and has to prove that it knows the login as well. Pure but for the nonce, which is an argument.
//!
//! Without channel binding: TLS has verified the host by name before.

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

/// Fewer would make a stolen exchange cheap to guess from (RFC 5802 section 4).
const FEWEST_ITERATIONS: u32 = 4096;
/// More would let a server keep us computing for seconds.
const MOST_ITERATIONS: u32 = 1_000_000;

/// Which hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    /// SCRAM-SHA-1.
    Sha1,
    /// SCRAM-SHA-256.
    Sha256,
}

impl Hash {
    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
        }
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        }
    }
}

/// Why an exchange is not sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ScramError {
    /// A message that is not as RFC 5802 writes it.
    #[error("the server's SCRAM message cannot be read")]
    Syntax,
    /// The server's nonce does not begin with ours.
    #[error("the server did not take up the nonce")]
    Nonce,
    /// An iteration count out of bounds.
    #[error("the server asks for {0} iterations, not for {FEWEST_ITERATIONS} to {MOST_ITERATIONS}")]
    Iterations(u32),
    /// The server's signature is not right: it does not know the login.
    #[error("the server could not prove that it knows the login")]
    Signature,
}

/// What the server's last message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Final {
    /// The server proved that it knows the login.
    Proven,
    /// An error instead of a proof (`e=`): the login failed, and the reply says how.
    Failed,
}

/// Whether SASLprep leaves `password` as it is. Others are not sent by SCRAM, since we do not normalise.
pub(super) fn can_carry(password: &str) -> bool {
    password.bytes().all(|b| matches!(b, b' '..=b'~'))
}

/// An exchange that waits for the server's first message.
pub(super) struct Scram {
    hash: Hash,
    nonce: String,
    bare: String,
}

/// An exchange that waits for the server's last message.
#[derive(Debug)]
pub(super) struct Awaiting {
    signature: Vec<u8>,
}

impl Scram {
    /// Begins an exchange. `nonce` is printable, fresh and without a comma.
    pub(super) fn new(hash: Hash, username: &str, nonce: String) -> Self {
        let name = username.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={name},r={nonce}");
        Self { hash, nonce, bare }
    }

    /// The client's first message.
    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// Answers the server's first message with the client's last one. Takes up to a second of computing.
    pub(super) fn answer(self, server_first: &str, password: &str) -> Result<(String, Awaiting), ScramError> {
        let (nonce, salt, iterations) = parse_first(server_first)?;
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err(ScramError::Nonce);
        }
        let count = NonZeroU32::new(iterations)
            .filter(|n| (FEWEST_ITERATIONS..=MOST_ITERATIONS).contains(&n.get()))
            .ok_or(ScramError::Iterations(iterations))?;

        let mut salted = Zeroizing::new(vec![0; self.hash.digest().output_len()]);
        pbkdf2::derive(self.hash.pbkdf2(), count, &salt, password.as_bytes(), &mut salted);
        let salted = hmac::Key::new(self.hash.hmac(), &salted);
        let client_key = hmac::sign(&salted, b"Client Key");
        let stored_key = digest::digest(self.hash.digest(), client_key.as_ref());

        let last_bare = format!("c=biws,r={nonce}");
        let said = format!("{},{server_first},{last_bare}", self.bare);
        let client_signature = hmac::sign(&hmac::Key::new(self.hash.hmac(), stored_key.as_ref()), said.as_bytes());
        let proof: Vec<u8> =
            client_key.as_ref().iter().zip(client_signature.as_ref()).map(|(key, sign)| key ^ sign).collect();
        let server_key = hmac::sign(&salted, b"Server Key");
        let signature = hmac::sign(&hmac::Key::new(self.hash.hmac(), server_key.as_ref()), said.as_bytes());
        let message = format!("{last_bare},p={}", BASE64.encode(proof));
        Ok((message, Awaiting { signature: signature.as_ref().to_vec() }))
    }
}

impl Awaiting {
    /// Checks the server's last message.
    pub(super) fn check(&self, server_final: &str) -> Result<Final, ScramError> {
        if server_final.starts_with("e=") {
            return Ok(Final::Failed);
        }
        let text = server_final.split(',').next().and_then(|f| f.strip_prefix("v=")).ok_or(ScramError::Syntax)?;
        let signature = BASE64.decode(text).map_err(|_| ScramError::Syntax)?;
        constant_time::verify_slices_are_equal(&signature, &self.signature)
            .map(|()| Final::Proven)
            .map_err(|_| ScramError::Signature)
    }
}

fn parse_first(message: &str) -> Result<(&str, Vec<u8>, u32), ScramError> {
    let mut fields = message.split(',');
    let mut field = |name| fields.next().and_then(|f: &str| f.strip_prefix(name)).ok_or(ScramError::Syntax);
    let nonce = field("r=")?;
    let salt = BASE64.decode(field("s=")?).map_err(|_| ScramError::Syntax)?;
    let iterations = field("i=")?.parse().map_err(|_| ScramError::Syntax)?;
    let printable = nonce.bytes().all(|b| matches!(b, b'!'..=b'~'));
    if salt.is_empty() || !printable {
        return Err(ScramError::Syntax);
    }
    Ok((nonce, salt, iterations))
}

#[cfg(test)]
mod tests {
    use super::{Final, Hash, Scram, ScramError, can_carry};

    struct Vector {
        hash: Hash,
        nonce: &'static str,
        first: &'static str,
        server_first: &'static str,
        last: &'static str,
        server_final: &'static str,
    }

    /// RFC 5802 section 5 and RFC 7677 section 3: `user` with `pencil`.
    const VECTORS: [Vector; 2] = [
        Vector {
            hash: Hash::Sha1,
            nonce: "fyko+d2lbbFgONRv9qkxdawL",
            first: "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
            server_first: "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            last: "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            server_final: "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        },
        Vector {
            hash: Hash::Sha256,
            nonce: "rOprNGfwEbeRWgbNEkqO",
            first: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            server_first: "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            last: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            server_final: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        },
    ];

    #[test]
    fn the_vectors_of_the_rfcs() {
        for vector in VECTORS {
            let scram = Scram::new(vector.hash, "user", vector.nonce.to_owned());
            assert_eq!(scram.first(), vector.first);
            let (last, awaiting) = scram.answer(vector.server_first, "pencil").unwrap();
            assert_eq!(last, vector.last);
            assert_eq!(awaiting.check(vector.server_final), Ok(Final::Proven));
            assert_eq!(awaiting.check("e=invalid-proof"), Ok(Final::Failed));
            assert_eq!(awaiting.check("v=AAAA"), Err(ScramError::Signature));
            assert_eq!(awaiting.check("v=***"), Err(ScramError::Syntax));
            assert_eq!(awaiting.check(""), Err(ScramError::Syntax));
        }
    }

    #[test]
    fn a_server_that_is_not_sound_is_not_answered() {
        let table = [
            ("", ScramError::Syntax),
            ("r=abcdef,s=,i=4096", ScramError::Syntax),
            ("r=abcdef,s=%,i=4096", ScramError::Syntax),
            ("r=abcdef,s=QSXC,i=x", ScramError::Syntax),
            ("r=abcdef,s=QSXC", ScramError::Syntax),
            ("m=x,r=abcdef,s=QSXC,i=4096", ScramError::Syntax),
            ("r=abc\u{1},s=QSXC,i=4096", ScramError::Syntax),
            ("r=abc,s=QSXC,i=4096", ScramError::Nonce),
            ("r=xbcdef,s=QSXC,i=4096", ScramError::Nonce),
            ("r=abcdef,s=QSXC,i=0", ScramError::Iterations(0)),
            ("r=abcdef,s=QSXC,i=4095", ScramError::Iterations(4095)),
            ("r=abcdef,s=QSXC,i=1000001", ScramError::Iterations(1_000_001)),
        ];
        for (message, want) in table {
            let scram = Scram::new(Hash::Sha256, "user", "abc".to_owned());
            assert_eq!(scram.answer(message, "pencil").map(|(last, _)| last), Err(want), "{message}");
        }
    }

    #[test]
    fn names_are_escaped_and_odd_passwords_left_to_others() {
        assert_eq!(Scram::new(Hash::Sha1, "a=b,c", "x".to_owned()).first(), "n,,n=a=3Db=2Cc,r=x");
        assert!(can_carry("p w~!"));
        assert!(!can_carry("gr\u{fc}n"));
        assert!(!can_carry("a\0b"));
    }
}

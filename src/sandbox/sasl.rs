//! The server's side of PLAIN (RFC 4616), LOGIN and SCRAM-SHA-256 (RFC 5802, 7677), without any input or output.

use std::num::NonZeroU32;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::secret::Secret;

const ITERATIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(4095);

/// What a client showed as proof of its password.
pub(super) enum Presented {
    /// The password itself.
    Password(Secret),
    /// A proof of SCRAM.
    Scram(Proof),
}

impl Presented {
    /// Whether it proves `password`.
    pub(super) fn matches(&self, password: &Secret) -> bool {
        match self {
            Self::Password(presented) => presented.matches(password),
            Self::Scram(proof) => proof.proves(password),
        }
    }

    /// What the server has to say, besides yes, to a client that proved `password`.
    pub(super) fn last_word(&self, password: &Secret) -> Option<String> {
        match self {
            Self::Password(_) => None,
            Self::Scram(proof) => Some(proof.server_final(password)),
        }
    }
}

/// Decodes a base64 line of the dialogue. `=` stands for an empty one (RFC 4954).
pub(super) fn decode(line: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let line = line.trim_ascii();
    if line == b"=" {
        return Some(Zeroizing::new(Vec::new()));
    }
    STANDARD.decode(line).ok().map(Zeroizing::new)
}

/// Encodes for a challenge.
pub(super) fn encode(text: &str) -> String {
    STANDARD.encode(text)
}

/// A decoded piece of an exchange as a password.
pub(super) fn secret(bytes: &[u8]) -> Option<Secret> {
    std::str::from_utf8(bytes).ok().map(|text| Secret::new(text.to_owned()))
}

/// Takes PLAIN apart: the username and the password. Acting for another (an authzid of its own) is not offered.
pub(super) fn plain(message: &[u8]) -> Option<(String, Secret)> {
    let mut parts = message.split(|b| *b == 0);
    let (acting_for, username, password) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || !(acting_for.is_empty() || acting_for == username) {
        return None;
    }
    Some((String::from_utf8(username.to_vec()).ok()?, secret(password)?))
}

/// SCRAM after the client's first message.
pub(super) struct Scram {
    pub(super) username: String,
    gs2_header: String,
    client_first_bare: String,
    nonce: String,
    salt: [u8; 16],
    server_first: String,
}

/// SCRAM after the client's last message: all that a password can be tried on.
pub(super) struct Proof {
    salt: [u8; 16],
    auth_message: String,
    proof: Vec<u8>,
}

impl Scram {
    /// Reads the client's first message.
    pub(super) fn begin(message: &[u8]) -> Option<Self> {
        let mut random = [0_u8; 34];
        rand::fill(&mut random).ok()?;
        let (salt, nonce) = random.split_first_chunk::<16>()?;
        Self::begin_with(message, *salt, &STANDARD.encode(nonce))
    }

    fn begin_with(message: &[u8], salt: [u8; 16], server_nonce: &str) -> Option<Self> {
        let message = std::str::from_utf8(message).ok()?;
        // n: the client knows no channel binding; y: it thinks that the server does not. p needs SCRAM-SHA-256-PLUS.
        let (flag, rest) = message.split_once(',')?;
        let (acting_for, bare) = rest.split_once(',')?;
        if !matches!(flag, "n" | "y") || !acting_for.is_empty() {
            return None;
        }
        let mut fields = bare.split(',');
        let username = fields.next()?.strip_prefix("n=")?.replace("=2C", ",").replace("=3D", "=");
        let client_nonce = fields.next()?.strip_prefix("r=").filter(|n| !n.is_empty())?;
        let nonce = format!("{client_nonce}{server_nonce}");
        let server_first = format!("r={nonce},s={},i={ITERATIONS}", STANDARD.encode(salt));
        let gs2_header = format!("{flag},,");
        Some(Self { username, gs2_header, client_first_bare: bare.to_owned(), nonce, salt, server_first })
    }

    /// What the server says first.
    pub(super) fn server_first(&self) -> &str {
        &self.server_first
    }

    /// Reads the client's last message.
    pub(super) fn finish(&self, message: &[u8]) -> Option<Proof> {
        let message = std::str::from_utf8(message).ok()?;
        let (without_proof, proof) = message.rsplit_once(",p=")?;
        let mut fields = without_proof.split(',');
        let binding = STANDARD.decode(fields.next()?.strip_prefix("c=")?).ok()?;
        let nonce = fields.next()?.strip_prefix("r=")?;
        if binding != self.gs2_header.as_bytes() || nonce != self.nonce {
            return None;
        }
        let auth_message = format!("{},{},{without_proof}", self.client_first_bare, self.server_first);
        Some(Proof { salt: self.salt, auth_message, proof: STANDARD.decode(proof).ok()? })
    }
}

impl Proof {
    fn proves(&self, password: &Secret) -> bool {
        let salted = self.salted(password);
        let client_key = Zeroizing::new(mac(&*salted, b"Client Key"));
        let stored_key = digest::digest(&digest::SHA256, &*client_key);
        let signature = mac(stored_key.as_ref(), self.auth_message.as_bytes());
        let expected: Vec<u8> = client_key.iter().zip(signature).map(|(key, sign)| key ^ sign).collect();
        verify_slices_are_equal(&expected, &self.proof).is_ok()
    }

    /// What the server says last, which proves that it knows the password too.
    fn server_final(&self, password: &Secret) -> String {
        let server_key = Zeroizing::new(mac(&*self.salted(password), b"Server Key"));
        format!("v={}", STANDARD.encode(mac(&*server_key, self.auth_message.as_bytes())))
    }

    fn salted(&self, password: &Secret) -> Zeroizing<[u8; 32]> {
        let mut salted = Zeroizing::new([0_u8; 32]);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, &self.salt, password.expose().as_bytes(), &mut *salted);
        salted
    }
}

fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    out.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
    out
}

#[cfg(test)]
mod tests {
    use super::{Presented, STANDARD, Scram, decode, plain};
    use crate::secret::Secret;
    use base64::Engine as _;

    #[test]
    fn the_example_of_rfc_7677_is_accepted_and_no_other_password() {
        let salt: [u8; 16] = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64").try_into().expect("16 bytes");
        let nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let scram = Scram::begin_with(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", salt, nonce).expect("a first message");
        assert_eq!(
            scram.server_first(),
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let last = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
            p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let proof = scram.finish(last).expect("a last message");
        let pencil = Secret::new("pencil".to_owned());
        assert_eq!(proof.server_final(&pencil), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        let presented = Presented::Scram(proof);
        assert!(presented.matches(&pencil));
        assert!(!presented.matches(&Secret::new("pencils".to_owned())));
    }

    #[test]
    fn scram_refuses_channel_binding_and_foreign_nonces() {
        for first in ["p=tls-exporter,,n=user,r=abc", "n,a=other,n=user,r=abc", "n,,n=user,r=", "n=user,r=abc", ""] {
            assert!(Scram::begin(first.as_bytes()).is_none(), "{first:?}");
        }
        let scram = Scram::begin_with(b"y,,n=a=2Cb=3D,r=abc", [0; 16], "def").expect("a first message");
        assert_eq!(scram.username, "a,b=");
        for last in ["c=biws,r=abcdef,p=AAAA", "c=eSws,r=abcxyz,p=AAAA", "c=eSws,r=abcdef", "c=eSws,r=abcdef,p=?"] {
            assert!(scram.finish(last.as_bytes()).is_none(), "{last:?}");
        }
        assert!(scram.finish(b"c=eSws,r=abcdef,p=AAAA").is_some());
    }

    #[test]
    fn plain_is_taken_apart() {
        let (username, password) = plain(b"\0me\0pa ss").expect("sound");
        assert_eq!((username.as_str(), password.expose()), ("me", "pa ss"));
        assert!(plain(b"me\0me\0pass").is_some());
        for unsound in [&b"other\0me\0pass"[..], b"me\0pass", b"\0me\0pa\0ss", b"", b"\0me\0\xff"] {
            assert!(plain(unsound).is_none(), "{unsound:?}");
        }
        assert_eq!(*decode(b"=\r\n").expect("empty"), b"");
        assert!(decode(b"no base64!\r\n").is_none());
    }
}

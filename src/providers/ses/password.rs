//! The SMTP password of SES: derived from the secret access key, for one region
//! (docs.aws.amazon.com/ses/latest/dg/smtp-credentials.html).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// The first byte of a password of today's form.
const VERSION: u8 = 0x04;
/// The first byte of those from before 10 January 2019, which are good in every region.
const LEGACY: u8 = 0x02;

/// The SMTP password for `region`. The same key and region give the same password always.
#[must_use]
pub fn derive(secret_access_key: &str, region: &str) -> Secret {
    let start = Zeroizing::new(format!("AWS4{secret_access_key}"));
    let mut signature = Zeroizing::new(start.as_bytes().to_vec());
    for part in ["11111111", region, "ses", "aws4_request", "SendRawEmail"] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &signature);
        signature = Zeroizing::new(hmac::sign(&key, part.as_bytes()).as_ref().to_vec());
    }
    let mut bytes = Zeroizing::new(vec![VERSION]);
    bytes.extend_from_slice(&signature);
    Secret::new(STANDARD.encode(&*bytes))
}

/// Whether a password is of the form that AWS asks to delete.
#[must_use]
pub(super) fn is_legacy(password: &Secret) -> bool {
    let bytes = Zeroizing::new(STANDARD.decode(password.expose()).unwrap_or_default());
    bytes.len() == 33 && bytes[0] == LEGACY
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published by others, and made from the example key of AWS's documentation.
    const VECTORS: [(&str, &str, &str); 9] = [
        ("some+secret+key", "eu-central-1", "BMXhUYlu5Z3gSXVQORxlVa7XPaz91aGWdfHxvkOZdWZ2"),
        ("another+secret+key", "eu-central-1", "BBbphbrQmrKMx42d1N6+C7VINYEBGI5v9VsZeTxwskfh"),
        ("some+secret+key", "us-west-1", "BH+jbMzper5WwlwUar9E1ySBqHa9whi0GPo+sJ0mVYJj"),
        ("another+secret+key", "us-west-1", "BKVmjjMDFk/qqw8EROW99bjCS65PF8WKvK5bSr4Y6EqF"),
        ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1", "BLBM/9hSUELfq8Gw+rU1YcBjkOxGbhT2XG763xVLGWL9"),
        ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "eu-west-1", "BMW5RDrXmmVs0lV7GpI4oLkHXpZ4stDsk6q91z1g38Pk"),
        ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-gov-west-1", "BHW/eHvx1MM9YwW4wrJG6MGVQmLDCAM99G9YiSdGEIAw"),
        ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "af-south-1", "BD5mL7q+7MF4DKNm+vH6nVWlT1Zo5h6ynyTeKhcKJYIV"),
        ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "il-central-1", "BD7vfJRJIEIT+tun5tNpa4uZd4OwRFBxhWE4PTgXnX0Q"),
    ];

    #[test]
    fn passwords_are_those_that_others_derive() {
        for (key, region, password) in VECTORS {
            assert_eq!(derive(key, region).expose(), password, "{key} {region}");
            assert!(!is_legacy(&derive(key, region)));
        }
    }

    #[test]
    fn a_password_from_before_2019_is_known_by_its_first_byte() {
        for old in ["AnkqhOiWEcszZZzTMCQbOY1sPGoLFgMH9zhp4eNgSjo4", "Akwqr0Giwi8FsQFgW3DXWCC2DiiQ/jZjqLDWK8TeTBgL"] {
            assert!(is_legacy(&Secret::new(old.to_owned())), "{old}");
        }
        for other in ["", "A", "hunter2", "BMXhUYlu5Z3gSXVQORxlVa7XPaz91aGWdfHxvkOZdWZ2"] {
            assert!(!is_legacy(&Secret::new(other.to_owned())), "{other}");
        }
    }
}

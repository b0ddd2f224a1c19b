//! Networks, by which addresses are known again: /24 of IPv4, /48 of IPv6. A provider moves a machine within its network more often
//! than out of it, and whoever has a /48 has it alone.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Serialize, Serializer};

/// A network of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Network {
    /// A /24.
    V4([u8; 3]),
    /// A /48.
    V6([u16; 3]),
}

impl Network {
    /// The network of an address. An IPv4 address that is written as IPv6 is taken as what it is.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                Self::V4([a, b, c])
            }
            IpAddr::V6(v6) => {
                let [a, b, c, ..] = v6.segments();
                Self::V6([a, b, c])
            }
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4([a, b, c]) => write!(f, "{}/24", Ipv4Addr::new(*a, *b, *c, 0)),
            Self::V6([a, b, c]) => write!(f, "{}/48", Ipv6Addr::new(*a, *b, *c, 0, 0, 0, 0, 0)),
        }
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The address in a text as servers write it: with or without brackets, a port behind it, or `IPv6:` before it. `None` for
/// `unknown` and whatever else is no address.
#[must_use]
pub(super) fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let text = match text.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        None => text,
    };
    let text = text.strip_prefix("IPv6:").unwrap_or(text);
    // A zone, such as `fe80::1%eth0`.
    let text = text.split('%').next()?;
    text.parse::<IpAddr>().map(|ip| ip.to_canonical()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_known_by_their_network() {
        for (text, expected) in [
            ("192.0.2.77", Some("192.0.2.0/24")),
            ("[192.0.2.77]:4711", Some("192.0.2.0/24")),
            ("::ffff:192.0.2.77", Some("192.0.2.0/24")),
            ("2001:db8:17:4::1", Some("2001:db8:17::/48")),
            ("[IPv6:2001:db8:17:4::1]:25", Some("2001:db8:17::/48")),
            ("fe80::1%eth0", Some("fe80::/48")),
            ("unknown", None),
            ("", None),
            ("[]", None),
            ("192.0.2.77.example.com", None),
            ("AWS Internal", None),
        ] {
            assert_eq!(address(text).map(|ip| Network::of(ip).to_string()).as_deref(), expected, "{text}");
        }
    }
}

//! Which addresses a call may go to: pure, a table of networks. Whatever is not on the public internet is denied, unless the
//! inventory names it (safety.md S27, threat T17).
//!
//! The networks are those of IANA's registries of special-purpose addresses (RFC 6890 and what came after it), and the places
//! where clouds serve metadata with credentials in it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Net {
    base: IpAddr,
    bits: u8,
}

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// It is no address with an optional prefix length.
    #[error("is not an address, or an address and a prefix length")]
    Syntax,
    /// It has bits set behind its prefix, so that it is not clear what is meant.
    #[error("has bits set behind its prefix; the network is {0}")]
    Bits(Net),
}

impl Net {
    const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Self {
        Self { base: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), bits }
    }

    const fn v6(base: [u16; 8], bits: u8) -> Self {
        let [a, b, c, d, e, f, g, h] = base;
        Self { base: IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)), bits }
    }

    /// Whether the address is in it.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.base.is_ipv4() && masked(ip, self.bits) == masked(self.base, self.bits)
    }

    /// Whether it is this one address and no other.
    fn is_only(&self, ip: IpAddr) -> bool {
        self.base == ip && self.bits == width(ip)
    }
}

impl FromStr for Net {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let base: IpAddr = address.parse().map_err(|_| NetError::Syntax)?;
        let bits = match bits {
            None => width(base),
            Some(bits) if bits.bytes().all(|b| b.is_ascii_digit()) => bits.parse().map_err(|_| NetError::Syntax)?,
            Some(_) => return Err(NetError::Syntax),
        };
        if bits > width(base) {
            return Err(NetError::Syntax);
        }
        // A mapped address is judged as what it stands for: a network of them would never be asked about.
        if matches!(base, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
            return Err(NetError::Syntax);
        }
        let network = Self { base: masked(base, bits), bits };
        if network.base == base { Ok(network) } else { Err(NetError::Bits(network)) }
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

fn width(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

fn masked(ip: IpAddr, bits: u8) -> IpAddr {
    let left = u32::from(width(ip).saturating_sub(bits));
    match ip {
        IpAddr::V4(v4) => {
            IpAddr::V4(u32::MAX.checked_shl(left).map_or(Ipv4Addr::UNSPECIFIED, |m| (v4.to_bits() & m).into()))
        }
        IpAddr::V6(v6) => {
            IpAddr::V6(u128::MAX.checked_shl(left).map_or(Ipv6Addr::UNSPECIFIED, |m| (v6.to_bits() & m).into()))
        }
    }
}

/// The networks that an inventory allows beside the public internet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed(Vec<Net>);

impl Allowed {
    /// These networks.
    #[must_use]
    pub fn new(nets: Vec<Net>) -> Self {
        Self(nets)
    }

    /// Allows one more.
    pub fn add(&mut self, net: Net) {
        self.0.push(net);
    }

    /// Why a call may not go to the address; `None` if it may.
    #[must_use]
    pub fn denies(&self, ip: IpAddr) -> Option<&'static str> {
        let ip = ip.to_canonical();
        let why = why_not(ip)?;
        let allowed = match why {
            // A wide network does not open these by the way: they give credentials to whoever asks.
            METADATA => self.0.iter().any(|net| net.is_only(ip)),
            _ => self.0.iter().any(|net| net.contains(ip)),
        };
        (!allowed).then_some(why)
    }
}

const METADATA: &str = "where a cloud serves metadata";

const SERVED: [Net; 6] = [
    // Most clouds; AWS for tasks; AWS over IPv6; Alibaba; Oracle; Azure's host, which is a public address.
    Net::v4(169, 254, 169, 254, 32),
    Net::v4(169, 254, 170, 2, 32),
    Net::v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128),
    Net::v4(100, 100, 100, 200, 32),
    Net::v4(192, 0, 0, 192, 32),
    Net::v4(168, 63, 129, 16, 32),
];

const V4: [(Net, &str); 15] = [
    (Net::v4(0, 0, 0, 0, 8), "an address of this network"),
    (Net::v4(10, 0, 0, 0, 8), "a private address"),
    (Net::v4(100, 64, 0, 0, 10), "a shared address behind a provider's NAT"),
    (Net::v4(127, 0, 0, 0, 8), "this machine"),
    (Net::v4(169, 254, 0, 0, 16), "a link-local address"),
    (Net::v4(172, 16, 0, 0, 12), "a private address"),
    (Net::v4(192, 0, 0, 0, 24), "an address for protocols"),
    (Net::v4(192, 0, 2, 0, 24), "an address for examples"),
    (Net::v4(192, 88, 99, 0, 24), "a relay of 6to4"),
    (Net::v4(192, 168, 0, 0, 16), "a private address"),
    (Net::v4(198, 18, 0, 0, 15), "an address for benchmarks"),
    (Net::v4(198, 51, 100, 0, 24), "an address for examples"),
    (Net::v4(203, 0, 113, 0, 24), "an address for examples"),
    (Net::v4(224, 0, 0, 0, 4), "a multicast address"),
    (Net::v4(240, 0, 0, 0, 4), "a reserved address"),
];

const V6: [(Net, &str); 7] = [
    (Net::v6([0, 0, 0, 0, 0, 0, 0, 1], 128), "this machine"),
    (Net::v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), "a private address"),
    (Net::v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), "a link-local address"),
    (Net::v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), "an address for protocols or a tunnel"),
    (Net::v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), "an address for examples"),
    (Net::v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), "a tunnel to an IPv4 address"),
    (Net::v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), "an address for examples"),
];

/// The networks of IPv6 that are given out to the world.
const GLOBAL: Net = Net::v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);
/// How networks without IPv4 reach it (RFC 6052): the last 32 bits are the address.
const NAT64: Net = Net::v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

/// Why an address, already in its canonical form, is not one of the public internet.
fn why_not(ip: IpAddr) -> Option<&'static str> {
    if SERVED.iter().any(|net| net.contains(ip)) {
        return Some(METADATA);
    }
    let found = |table: &[(Net, &'static str)]| table.iter().find(|(net, _)| net.contains(ip)).map(|(_, why)| *why);
    match ip {
        IpAddr::V4(_) => found(&V4),
        IpAddr::V6(v6) if NAT64.contains(ip) => {
            let [.., a, b, c, d] = v6.octets();
            why_not(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
        }
        IpAddr::V6(_) => found(&V6).or((!GLOBAL.contains(ip)).then_some("not an address of the internet")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    fn allowed(nets: &[&str]) -> Allowed {
        Allowed::new(nets.iter().map(|n| n.parse().unwrap_or_else(|e| panic!("{n}: {e}"))).collect())
    }

    #[test]
    fn what_is_not_on_the_internet_is_denied() {
        let nothing = Allowed::default();
        // First and last of each network, and its neighbours outside.
        let denied = [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.0.0",
            "169.254.169.254",
            "169.254.170.2",
            "169.254.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.0",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "239.255.255.255",
            "233.252.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "100.100.100.200",
            "168.63.129.16",
            "::",
            "::1",
            "::2",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "fc00::1",
            "fd00:ec2::254",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:1ff:ffff::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "3fff:fff::1",
            "4000::1",
            "5f00::1",
        ];
        for text in denied {
            assert!(nothing.denies(ip(text)).is_some(), "{text}");
        }
        let open = [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "168.63.129.17",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a00::1",
            "3ffe::1",
            "3fff:1000::1",
        ];
        for text in open {
            assert_eq!(nothing.denies(ip(text)), None, "{text}");
        }
    }

    #[test]
    fn what_the_inventory_names_is_allowed_and_nothing_beside_it() {
        let some = allowed(&["127.0.0.1", "10.1.0.0/16", "fd12:3456::/32"]);
        for text in ["127.0.0.1", "::ffff:127.0.0.1", "10.1.0.0", "10.1.255.255", "fd12:3456::9"] {
            assert_eq!(some.denies(ip(text)), None, "{text}");
        }
        for text in ["127.0.0.2", "10.2.0.0", "10.0.255.255", "fd12:3457::1", "::1"] {
            assert!(some.denies(ip(text)).is_some(), "{text}");
        }
        let all = allowed(&["0.0.0.0/0", "::/0"]);
        for text in ["127.0.0.1", "10.0.0.1", "fe80::1", "169.254.1.1"] {
            assert_eq!(all.denies(ip(text)), None, "{text}");
        }
        for text in ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "168.63.129.16"] {
            assert_eq!(all.denies(ip(text)), Some(METADATA), "{text}");
            assert_eq!(Allowed::new(vec![text.parse().unwrap_or(Net::v4(169, 254, 169, 254, 32))]).denies(ip(text)), None);
        }
    }

    #[test]
    fn networks_are_read_as_they_are_meant_or_not_at_all() {
        for (text, shown) in
            [("127.0.0.1", "127.0.0.1/32"), ("10.0.0.0/8", "10.0.0.0/8"), ("::1", "::1/128"), ("fc00::/7", "fc00::/7")]
        {
            assert_eq!(text.parse::<Net>().map(|n| n.to_string()).as_deref(), Ok(shown), "{text}");
        }
        let syntax = [
            "",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10/8",
            "0x7f000001",
            "2130706433",
            "127.1",
            "localhost",
            "::1/129",
            "::ffff:10.0.0.0/104",
            "10.0.0.0/8/8",
            " 10.0.0.0/8",
        ];
        for text in syntax {
            assert_eq!(text.parse::<Net>(), Err(NetError::Syntax), "{text}");
        }
        let bits = "10.1.2.3/8".parse::<Net>();
        assert!(matches!(bits, Err(NetError::Bits(net)) if net.to_string() == "10.0.0.0/8"), "{bits:?}");
    }
}

//! Subnets in CIDR notation (RFC 4632 §3.1, RFC 4291 §2.3).

use std::fmt;
use std::net::IpAddr;

/// An address range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    address: IpAddr,
    /// Leading bits that count, at most 32 or 128.
    bits: u8,
}

impl Subnet {
    /// Reads `10.20.0.0/16`; bits behind the prefix do not count, as in the engine. IPv4 in IPv6's clothes is refused: the
    /// engine takes it for IPv4.
    pub fn parse(text: &str) -> Option<Subnet> {
        let (address, bits) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let bits: u8 = bits.parse().ok()?;
        let mapped = matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
        (bits <= width(address) && !mapped).then_some(Subnet { address, bits })
    }

    /// Whether all of `other` lies within.
    pub fn holds(&self, other: &Subnet) -> bool {
        self.address.is_ipv4() == other.address.is_ipv4()
            && self.bits <= other.bits
            && self.prefix(self.address) == self.prefix(other.address)
    }

    fn prefix(&self, address: IpAddr) -> u128 {
        let value = match address {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        value
            .checked_shr(u32::from(width(address) - self.bits))
            .unwrap_or(0)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::Subnet;

    #[test]
    fn a_subnet_holds_what_lies_within_and_nothing_else() {
        let subnet = |text| Subnet::parse(text).expect("a subnet");
        let ours = subnet("10.20.0.0/16");
        for within in [
            "10.20.0.0/16",
            "10.20.3.0/24",
            "10.20.3.9/24",
            "10.20.255.255/32",
        ] {
            assert!(ours.holds(&subnet(within)), "{within}");
        }
        for outside in ["10.0.0.0/8", "10.21.0.0/24", "0.0.0.0/0", "::/0"] {
            assert!(!ours.holds(&subnet(outside)), "{outside}");
        }
        assert!(subnet("::/0").holds(&subnet("fd00::/8")));
        assert!(subnet("fd00::/8").holds(&subnet("fd12:3456::/32")));
        assert!(!subnet("fd00::/8").holds(&subnet("fe80::/10")));
        for wrong in [
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "::ffff:10.20.0.0/112",
            "10.0.0.0/-1",
            "",
            "x/8",
        ] {
            assert_eq!(Subnet::parse(wrong), None, "{wrong}");
        }
    }
}

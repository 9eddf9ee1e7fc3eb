//! Which places are for everybody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is of the public network: none of this machine, of a private network, of a neighbour, of a group, or
/// reserved (RFC 6890, and the registries of special addresses that it began). One of IPv6 that carries one of IPv4 is what
/// that is.
#[must_use]
pub fn is_public(place: IpAddr) -> bool {
    match place {
        IpAddr::V4(place) => is_public_v4(place),
        IpAddr::V6(place) => match place.segments() {
            // IPv4-mapped (RFC 4291 section 2.5.5.2); translated (RFC 6052 section 2.1).
            [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(v4(high, low)),
            // Teredo and other protocols' (RFC 2928), 6to4 (RFC 3056), examples (RFC 3849, RFC 9637).
            [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => false,
            // All else that is given out is within 2000::/3.
            [first, ..] => first & 0xe000 == 0x2000,
        },
    }
}

fn is_public_v4(place: Ipv4Addr) -> bool {
    !matches!(
        place.octets(),
        [0 | 10 | 127 | 224.., ..]
            | [100, 64..=127, ..]
            | [169, 254, ..]
            | [172, 16..=31, ..]
            | [192, 0, 0 | 2, _]
            | [192, 88, 99, _]
            | [192, 168, ..]
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
    )
}

fn v4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
}

/// Why a text names no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not ADDRESS/BITS, such as 10.1.0.0/16 or fd00::/8")]
pub struct NoNetwork;

/// Addresses with the same first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    bits: u32,
}

impl Network {
    /// Reads `ADDRESS/BITS`, or one address.
    ///
    /// # Errors
    /// [`NoNetwork`].
    pub fn read(text: &str) -> Result<Self, NoNetwork> {
        let (first, bits) = text.split_once('/').map_or((text, None), |(first, bits)| (first, Some(bits)));
        let first: IpAddr = first.parse().map_err(|_| NoNetwork)?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| NoNetwork))?;
        if bits > most { Err(NoNetwork) } else { Ok(Self { first, bits }) }
    }

    /// Whether the address is one of it.
    #[must_use]
    pub fn has(&self, place: IpAddr) -> bool {
        let number = |place: IpAddr| match place {
            IpAddr::V4(place) => (u128::from(place.to_bits()) << 96, true),
            IpAddr::V6(place) => (Ipv6Addr::to_bits(place), false),
        };
        let ((one, of_v4), (other, other_of_v4)) = (number(self.first), number(place));
        let differ = (one ^ other).checked_shr(128 - self.bits).unwrap_or(0);
        of_v4 == other_of_v4 && differ == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-NODE-90: nothing that is not of the public network counts as such, however it is written.
    #[test]
    fn what_is_not_for_everybody_is_known() {
        for private in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.8.9.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "fc00::1",
            "fd00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(private.parse().expect(private)), "{private}");
        }
        for public in [
            "1.1.1.1",
            "9.255.255.255",
            "100.63.0.1",
            "100.128.0.1",
            "128.0.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2001:200::1",
            "2606:4700::1111",
            "3fff:1000::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
        ] {
            assert!(is_public(public.parse().expect(public)), "{public}");
        }
    }

    #[test]
    fn a_network_has_its_addresses_and_no_others() {
        let has = |network: &str, place: &str| Network::read(network).expect(network).has(place.parse().expect(place));
        assert!(has("10.1.0.0/16", "10.1.255.1") && !has("10.1.0.0/16", "10.2.0.1"));
        assert!(has("fd00::/8", "fd12::1") && !has("fd00::/8", "fe00::1"));
        assert!(has("127.0.0.1", "127.0.0.1") && !has("127.0.0.1", "127.0.0.2") && !has("::1", "::2"));
        assert!(has("0.0.0.0/0", "1.2.3.4") && !has("0.0.0.0/0", "::1") && !has("::/0", "1.2.3.4"));
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0.0/", "a/8", "10.0.0.0/-1", "10.0.0.0/8/8"] {
            assert_eq!(Network::read(wrong), Err(NoNetwork), "{wrong}");
        }
    }
}

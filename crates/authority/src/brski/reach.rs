//! Which addresses of MASAs a registrar goes to. The address stands in the certificate of a device that may be a stranger's:
//! without a look at it, whoever brings a device would have the hub knock at doors of its own network.

use medlock_node::brski::MasaUrl;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::time::timeout;

/// How long a name may take to be looked up.
const LOOK_UP: Duration = Duration::from_secs(5);

/// Where the registrar may go to reach it: the operator named the address, or everything it stands for is public. The name
/// is looked up this once: a second answer, to whoever connects, could be another.
///
/// # Errors
/// Why it may not go there.
pub(super) async fn places(masa: &MasaUrl, named: &[String]) -> Result<Vec<SocketAddr>, String> {
    let address = masa.address.as_str();
    let looked_up = timeout(LOOK_UP, lookup_host(address)).await;
    let found = looked_up.map_err(|_| format!("{address}: the name is not answered"))?;
    let found: Vec<_> = found.map_err(|error| format!("{address}: {error}"))?.collect();
    let known = |one: &String| MasaUrl::read(one).is_some_and(|one| one.address.eq_ignore_ascii_case(address));
    if named.iter().any(known) || found.iter().all(|place| is_public(place.ip())) {
        return Ok(found);
    }
    Err(format!("{address} is in a network that is not public: if the maker is there, name the address in `masas`"))
}

/// Whether an address is for everybody (the IANA registries of special-purpose addresses, RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_4(address),
        IpAddr::V6(address) => is_public_6(address),
    }
}

fn is_public_4(address: Ipv4Addr) -> bool {
    let special = address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation();
    // This network, shared by carriers, protocol assignments, benchmarks, reserved.
    let reserved = match address.octets() {
        [0 | 240..=255, ..] | [192, 0, 0, _] | [198, 18 | 19, ..] => true,
        [100, second, ..] => (64..128).contains(&second),
        _ => false,
    };
    !special && !reserved
}

fn is_public_6(address: Ipv6Addr) -> bool {
    let [first, second, third, ..] = address.segments();
    let [.., a, b, c, d] = address.octets();
    let inside = Ipv4Addr::new(a, b, c, d);
    match (first, second) {
        // Addresses of IPv4 in another dress: mapped, translated, tunnelled.
        (0, 0) => address.to_ipv4_mapped().is_some_and(is_public_4),
        (0x64, 0xff9b) => third == 0 && is_public_4(inside),
        (0x2002, _) => {
            let ([a, b], [c, d]) = (second.to_be_bytes(), third.to_be_bytes());
            is_public_4(Ipv4Addr::new(a, b, c, d))
        }
        (0x2001, 0xdb8 | ..0x200) => false,
        // Global unicast is 2000::/3; local, link-local, site-local and multicast are outside it.
        _ => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-PROV-33.
    #[test]
    fn only_public_addresses_are_public() {
        for address in ["192.0.1.1", "8.8.8.8", "100.63.0.1", "100.128.0.1", "172.32.0.1", "198.20.0.1", "2a00:1450::1"]
        {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "127.0.0.1",
            "127.255.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "0.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::808:808",
            "2002:a00:1::1",
            "2001:db8::1",
            "2001::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    /// Shows REQ-PROV-33.
    #[tokio::test]
    async fn a_registrar_goes_to_public_places_and_to_those_it_was_told_of() {
        let reach = async |text: &str, named: &[&str]| {
            let named: Vec<String> = named.iter().map(|one| (*one).to_owned()).collect();
            places(&MasaUrl::read(text).unwrap(), &named).await
        };
        for text in ["127.0.0.1:8443", "[::1]:8443", "localhost", "10.0.0.1", "[fe80::1]", "https://192.168.0.1/a"] {
            assert!(reach(text, &["other.example:443"]).await.unwrap_err().contains("masas"), "{text}");
        }
        assert_eq!(reach("127.0.0.1:8443", &["127.0.0.1:8443"]).await, Ok(vec!["127.0.0.1:8443".parse().unwrap()]));
        let local = reach("LOCALHOST/x", &["https://localhost"]).await.unwrap();
        assert!(!local.is_empty() && local.iter().all(|place| place.ip().is_loopback() && place.port() == 443));
        assert!(reach("127.0.0.1:8444", &["127.0.0.1:8443"]).await.is_err());
        assert_eq!(reach("192.0.1.1", &[]).await, Ok(vec!["192.0.1.1:443".parse().unwrap()]));
    }
}

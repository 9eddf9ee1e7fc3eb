//! Addresses that are called: `https://HOST[:PORT]/PATH[?QUERY]`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Characters of an address, at most; of a name, and of a part of it (RFC 1035 section 2.3.4).
const LONGEST: usize = 1_024;
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// Why an address is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAddress {
    /// It is of another form.
    #[error(
        "the address is not https://HOST[:PORT]/PATH of at most {LONGEST} characters, without a user and a fragment"
    )]
    Form,
    /// Its host is neither a name nor an address as they are written.
    #[error("the address's host is neither a name nor an IP address as it is usually written")]
    Host,
}

/// An address that was read. Nothing of it is decoded, so that two readers cannot differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    literal: Option<IpAddr>,
    port: u16,
    path: String,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// [`NoAddress`].
    pub fn read(text: &str) -> Result<Self, NoAddress> {
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\#\"<>`{}|^".contains(&byte));
        let rest = text.strip_prefix("https://").filter(|_| plain && text.len() <= LONGEST).ok_or(NoAddress::Form)?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).ok_or(NoAddress::Form)?;
        let (host, port) = split(authority).ok_or(NoAddress::Form)?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let host = host.to_ascii_lowercase();
        let literal = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(inner) => Some(IpAddr::V6(inner.parse::<Ipv6Addr>().map_err(|_| NoAddress::Host)?)),
            None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        };
        if literal.is_none() && !is_name(&host) {
            return Err(NoAddress::Host);
        }
        // An IP address has many forms, and one that is compared.
        let host = literal.map_or(host, |literal| literal.to_string());
        Ok(Self { host, literal, port, path })
    }

    /// Its host, in small letters and without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its host, if that is an IP address.
    #[must_use]
    pub const fn literal(&self) -> Option<IpAddr> {
        self.literal
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Its path with the query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Host and port, as they stand in a request.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = match self.literal {
            Some(IpAddr::V6(literal)) => format!("[{literal}]"),
            _ => self.host.clone(),
        };
        if self.port == 443 { host } else { format!("{host}:{}", self.port) }
    }
}

/// Host and port.
fn split(authority: &str) -> Option<(&str, u16)> {
    let behind = if authority.starts_with('[') { authority.find(']')? } else { 0 };
    let at = authority.get(behind..)?.find(':').map(|at| behind.saturating_add(at));
    let Some(at) = at else { return Some((authority, 443)) };
    let (host, port) = authority.split_at_checked(at)?;
    let digits = port.strip_prefix(':').filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))?;
    let port = digits.parse().ok().filter(|port| *port != 0)?;
    Some((host, port))
}

/// A name of the host's own, not a number in disguise: systems take `2130706433`, `0x7f.1` and `0177.0.0.1` for addresses.
fn is_name(host: &str) -> bool {
    let label = |label: &str| {
        (1..=LONGEST_LABEL).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    let numeric = last.starts_with(|first: char| first.is_ascii_digit());
    host.len() <= LONGEST_NAME && host.split('.').all(label) && !numeric
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-NODE-91: an address is read in one way, or not at all.
    #[test]
    fn an_address_is_read_in_one_way() {
        for (text, host, port, path, authority) in [
            ("https://keys.example", "keys.example", 443, "/", "keys.example"),
            ("https://Keys.Example:8443/a/b?c=d", "keys.example", 8443, "/a/b?c=d", "keys.example:8443"),
            ("https://keys.example?x", "keys.example", 443, "/?x", "keys.example"),
            ("https://keys.example:443/%2e%2e/", "keys.example", 443, "/%2e%2e/", "keys.example"),
            ("https://10.0.0.1/x", "10.0.0.1", 443, "/x", "10.0.0.1"),
            ("https://[::FFFF:127.0.0.1]:1/", "::ffff:127.0.0.1", 1, "/", "[::ffff:127.0.0.1]:1"),
            ("https://[::fff2:127.0.0.1]/", "::fff2:7f00:1", 443, "/", "[::fff2:7f00:1]"),
            ("https://localhost/", "localhost", 443, "/", "localhost"),
        ] {
            let read = Address::read(text).expect(text);
            assert_eq!((read.host(), read.port(), read.path()), (host, port, path), "{text}");
            assert_eq!(read.authority(), authority, "{text}");
        }
        for wrong in [
            "",
            "keys.example",
            "http://keys.example/",
            "HTTPS://keys.example/",
            "https://",
            "https:///x",
            "https://a b/",
            "https://user@keys.example/",
            "https://keys.example@evil.example/",
            "https://keys.example:0/",
            "https://keys.example:99999/",
            "https://keys.example:x/",
            "https://keys.example:/",
            "https://keys.example:+1/",
            "https://keys.example/#x",
            "https://keys.example\\@evil.example/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0177.0.0.1/",
            "https://127.1/",
            "https://127.0.0.1./",
            "https://keys..example/",
            "https://.example/",
            "https://-x.example/",
            "https://k\u{e9}ys.example/",
            "https://[::1/",
            "https://[fe80::1%25eth0]/",
            "https://[::1]x/",
            "https://keys.example/\r\nHost: x",
            "file:///etc/passwd",
            "https://127.0.0.0x1/",
        ] {
            assert!(Address::read(wrong).is_err(), "{wrong}");
        }
        assert!(Address::read(&format!("https://keys.example/{}", "x".repeat(LONGEST))).is_err());
    }
}

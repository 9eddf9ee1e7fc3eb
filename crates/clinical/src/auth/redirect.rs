//! Where codes may be sent (RFC 6749, section 3.1.2).

use std::net::IpAddr;

/// Characters of an address, at most.
const LONGEST: usize = 512;

/// Whether a code may be sent to this address: over TLS, or to software on the same machine (RFC 8252 section 7.3).
pub(super) fn is_redirect(address: &str) -> bool {
    let Some((scheme, rest)) = address.split_once("://") else { return false };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        _ => authority,
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let plain = !bare.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-[]:".contains(&byte));
    let here = bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let visible = address.len() <= LONGEST && address.bytes().all(|byte| byte.is_ascii_graphic());
    plain && visible && !address.contains(['#', '"', '\'', ';', ',']) && (scheme == "https" || scheme == "http" && here)
}

/// Whether a code may be sent to `said` where `known` is registered: letter by letter. But software on the same machine listens at
/// whichever port is free, if it is registered by the number of that (RFC 8252 section 7.3).
pub(super) fn is_registered(known: &str, said: &str) -> bool {
    known == said || without_port(known).is_some_and(|known| without_port(said) == Some(known))
}

/// The number of this machine, and what follows its port.
fn without_port(address: &str) -> Option<(&str, &str)> {
    let rest = address.strip_prefix("http://")?;
    let host = ["127.0.0.1", "[::1]"].into_iter().find(|host| rest.starts_with(host))?;
    let behind = rest.strip_prefix(host)?;
    let path = match behind.strip_prefix(':') {
        Some(behind) => {
            let (port, path) =
                behind.split_at(behind.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(behind.len()));
            port.parse::<u16>().ok()?;
            path
        }
        None => behind,
    };
    (path.is_empty() || path.starts_with(['/', '?'])).then_some((host, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-SMART-34: `redirect_with_fragment`, `redirect_userinfo`: no such address is registered.
    #[test]
    fn codes_are_sent_over_tls_or_on_the_same_machine() {
        for fine in [
            "https://app.example/callback",
            "https://app.example:8443/x?y=z",
            "http://127.0.0.1:4567/",
            "http://[::1]/x",
            "http://localhost/x",
        ] {
            assert!(is_redirect(fine), "{fine}");
        }
        for wrong in [
            "",
            "app",
            "http://app.example/",
            "https://app.example/#x",
            "https://user@app.example/",
            "https://user:1@app.example/",
            "javascript:alert(1)",
            "javascript://x/%0aalert(1)",
            "https:///x",
            "https://app.example/ x",
            "https://app.example/\n",
            "http://localhost.example/",
            "https://app.example;script-src/",
        ] {
            assert!(!is_redirect(wrong), "{wrong}");
        }
    }

    /// Shows REQ-SMART-191.
    #[test]
    fn software_on_the_same_machine_listens_at_any_port() {
        for (known, said) in [
            ("http://127.0.0.1/callback", "http://127.0.0.1:51004/callback"),
            ("http://127.0.0.1:4567/callback", "http://127.0.0.1:51004/callback"),
            ("http://127.0.0.1:4567/callback?x=y", "http://127.0.0.1/callback?x=y"),
            ("http://[::1]:4567", "http://[::1]:1"),
            ("https://app.example/x", "https://app.example/x"),
        ] {
            assert!(is_registered(known, said), "{known} {said}");
        }
        for (known, said) in [
            ("http://127.0.0.1:4567/callback", "http://127.0.0.1:4567/other"),
            ("http://127.0.0.1:4567/callback", "http://127.0.0.1:4567/callback/"),
            ("http://127.0.0.1:4567/callback", "http://127.0.0.1:65536/callback"),
            ("http://127.0.0.1:4567/callback", "http://127.0.0.1:/callback"),
            ("http://127.0.0.1:4567/callback", "https://127.0.0.1:4567/callback"),
            ("http://127.0.0.1:4567/callback", "http://127.0.0.1:4567@app.example/callback"),
            ("http://127.0.0.1/callback", "http://127.0.0.1.example/callback"),
            ("http://127.0.0.1:4567", "http://127.0.0.1:4567/"),
            ("http://[::1]:4567/x", "http://127.0.0.1:4567/x"),
            ("http://localhost:4567/x", "http://localhost:4568/x"),
            ("https://app.example/x", "https://app.example:8443/x"),
        ] {
            assert!(!is_registered(known, said), "{known} {said}");
        }
    }
}

//! Proof key for code exchange (RFC 7636), by SHA-256 alone.

use data_encoding::BASE64URL_NOPAD;
use medlock_node::provider::{same_secret, sha256};

/// What an application committed itself to when it asked for a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge([u8; 32]);

impl Challenge {
    /// Reads `code_challenge`, whose method must be `S256`: `plain` proves nothing to who has seen the request, and is what a
    /// method that is not said means (section 4.3).
    #[must_use]
    pub fn read(method: Option<&str>, challenge: &str) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(challenge.as_bytes()).ok()?;
        method.filter(|method| *method == "S256")?;
        bytes.try_into().ok().map(Self)
    }

    /// The challenge of a verifier, as it is sent.
    #[must_use]
    pub fn of(verifier: &str) -> String {
        BASE64URL_NOPAD.encode(&sha256(verifier.as_bytes()))
    }

    /// A challenge that was kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// To keep it.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether this is the verifier: 43 to 128 unreserved characters (section 4.1) with this hash.
    #[must_use]
    pub fn is_met_by(&self, verifier: &str) -> bool {
        let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        (43..=128).contains(&verifier.len())
            && verifier.bytes().all(unreserved)
            && same_secret(&sha256(verifier.as_bytes()), &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-SMART-30: RFC 7636 appendix B, and nothing but S256.
    #[test]
    fn the_example_of_the_standard_is_met_and_nothing_else() {
        let (verifier, challenge) =
            ("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        let read = Challenge::read(Some("S256"), challenge).unwrap();
        assert!(read.is_met_by(verifier));
        assert_eq!(Challenge::of(verifier), challenge);
        assert_eq!(Challenge::from_bytes(*read.as_bytes()), read);
        for wrong in ["", &verifier[1..], &format!("{verifier}A"), &verifier.replace('d', "e"), challenge] {
            assert!(!read.is_met_by(wrong), "{wrong:?}");
        }
        let with_space = format!(" {}", &verifier[1..]);
        let of_space = Challenge(sha256(with_space.as_bytes()));
        assert!(!of_space.is_met_by(&with_space));
        for method in [None, Some("plain"), Some("s256"), Some("")] {
            assert_eq!(Challenge::read(method, challenge), None, "{method:?}");
        }
        for wrong in ["", verifier.get(1..).unwrap(), &format!("{challenge}="), &challenge.replace('E', "+")] {
            assert_eq!(Challenge::read(Some("S256"), wrong), None, "{wrong:?}");
        }
    }
}

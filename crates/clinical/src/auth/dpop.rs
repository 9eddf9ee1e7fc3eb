//! Proofs that whoever shows a token has its key (DPoP, RFC 9449).

use crate::jose::{Algorithm, Compact};
use data_encoding::BASE64URL_NOPAD;
use medlock_node::provider::{same_secret, sha256};
use medlock_trust::Time;

/// A proof may have been made so long before or after now, in seconds: clocks differ.
pub const SKEW_SECONDS: i64 = 60;
/// The most characters of a proof's own number.
const MOST_JTI: usize = 128;

/// Why a proof proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no token that its own key has signed.
    #[error("the proof is not signed by its own key: {0}")]
    Token(#[from] crate::jose::Refused),
    /// It is another kind of token.
    #[error("the proof's header has no typ \"dpop+jwt\", or no key (jwk)")]
    Header,
    /// It is signed by an algorithm that is not taken for proofs.
    #[error("a proof is signed with ES256, EdDSA or RS256")]
    Algorithm,
    /// It was made for another request.
    #[error("the proof is for another request: its {0} is not that of this one")]
    Request(&'static str),
    /// It was made too long ago, or will be made.
    #[error("the proof's iat is more than {SKEW_SECONDS} seconds from now: sign it with the nonce of DPoP-Nonce")]
    Time,
    /// Its nonce is none of ours, or an old one.
    #[error("the proof's nonce is not one of this server, or too old: sign it with the nonce of DPoP-Nonce")]
    Nonce,
    /// It is for another token, or for none.
    #[error("the proof's ath is not the hash of the access token")]
    OtherToken,
}

/// What a proof must be for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The request's method.
    pub method: &'a str,
    /// The request's address, without query and fragment.
    pub url: &'a str,
    /// The access token that is shown with it, if one is.
    pub token: Option<&'a str>,
    /// What time it is.
    pub now: Time,
}

/// What a proof proves, once its number is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The thumbprint of the key (RFC 7638): the token must be bound to it.
    pub thumbprint: [u8; 32],
    /// Its number, hashed: it counts once until [`Proof::until`].
    pub number: [u8; 32],
    /// Until when the number must be remembered.
    pub until: Time,
}

impl Proof {
    /// Checks a proof (RFC 9449 section 4.3), all but whether its number came before. `nonces` says until when a nonce of
    /// this server is good.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn check(proof: &str, asked: &Asked<'_>, nonces: impl Fn(&str) -> Option<Time>) -> Result<Self, Refused> {
        let read = Compact::read(proof)?;
        let header = read.header();
        let key = header.key.clone().filter(|_| header.typ.as_deref() == Some("dpop+jwt")).ok_or(Refused::Header)?;
        if !matches!(header.algorithm, Algorithm::Es256 | Algorithm::EdDsa | Algorithm::Rs256) {
            return Err(Refused::Algorithm);
        }
        let claims = read.verify(&key)?;
        let text = |name| claims.text(name).map_err(crate::jose::Refused::from);
        let number = text("jti")?;
        if number.is_empty() || number.len() > MOST_JTI {
            return Err(Refused::Request("jti"));
        }
        if text("htm")? != asked.method {
            return Err(Refused::Request("htm"));
        }
        let url = text("htu")?;
        let plain = url.split(['?', '#']).next().unwrap_or_default();
        if !same_address(plain, asked.url) {
            return Err(Refused::Request("htu"));
        }
        let made = claims.time("iat").map_err(crate::jose::Refused::from)?;
        let until = match claims.optional_text("nonce").map_err(crate::jose::Refused::from)? {
            // It was asked for at a moment of ours: the clock of who signs it says nothing more.
            Some(nonce) => nonces(&nonce).filter(|until| *until > asked.now).ok_or(Refused::Nonce)?,
            None if made.unix().abs_diff(asked.now.unix()) > SKEW_SECONDS.unsigned_abs() => return Err(Refused::Time),
            None => made.plus_seconds(2 * SKEW_SECONDS),
        };
        if let Some(token) = asked.token {
            let hash = BASE64URL_NOPAD.encode(&sha256(token.as_bytes()));
            let said = claims.optional_text("ath").map_err(crate::jose::Refused::from)?;
            if !said.is_some_and(|said| same_secret(said.as_bytes(), hash.as_bytes())) {
                return Err(Refused::OtherToken);
            }
        }
        let thumbprint = *key.thumbprint();
        Ok(Self { thumbprint, number: sha256(&[&thumbprint, number.as_bytes()].concat()), until })
    }
}

/// Scheme and host are the same in capital letters (RFC 3986 section 6.2.2.1), and a slash at the end changes nothing here; all
/// else is compared as it stands.
fn same_address(one: &str, other: &str) -> bool {
    let split = |address: &str| {
        let start = address.find("://").map_or(0, |at| at + 3);
        let end = address.get(start..).and_then(|rest| rest.find('/')).map_or(address.len(), |at| start + at);
        let (origin, path) = address.split_at_checked(end).unwrap_or((address, ""));
        (origin.to_ascii_lowercase(), path.strip_suffix('/').unwrap_or(path).to_owned())
    };
    split(one) == split(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::signing_input;
    use medlock_node::provider::SigningKey;

    const NOW: i64 = 1_800_000_000;
    const URL: &str = "https://hub.example/fhir/Observation";
    const ASKED: Asked<'_> = Asked { method: "POST", url: URL, token: None, now: Time::from_unix(NOW) };

    fn jwk(key: &SigningKey) -> String {
        let (x, y) = key.public_key().bits[1..].split_at(32);
        let encoded = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        format!(r#"{{"kty":"EC","crv":"P-256","x":"{}","y":"{}"}}"#, encoded(x), encoded(y))
    }

    fn proof(key: &SigningKey, header: &str, claims: &str) -> String {
        let input = signing_input(header.as_bytes(), claims.as_bytes());
        format!("{input}.{}", BASE64URL_NOPAD.encode(&key.sign_cose(&[input.as_bytes()])))
    }

    /// Shows REQ-SMART-29: a proof is for one request, one token, one moment, and its own key; each difference is refused.
    #[test]
    fn a_proof_is_for_one_request_by_one_key() {
        let key = SigningKey::generate();
        let header = format!(r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{}}}"#, jwk(&key));
        let hash = BASE64URL_NOPAD.encode(&sha256(b"token"));
        let claims = format!(r#"{{"jti":"n1","htm":"POST","htu":"{URL}","iat":{NOW},"ath":"{hash}"}}"#);
        let check = |header: &str, claims: &str, asked| Proof::check(&proof(&key, header, claims), &asked, |_| None);
        let fine = check(&header, &claims, ASKED).unwrap();
        let with_token = Asked { token: Some("token"), ..ASKED };
        assert_eq!(check(&header, &claims, with_token), Ok(fine.clone()));
        assert_eq!(fine.until, Time::from_unix(NOW + 120));
        assert_eq!(check(&header, &claims, Asked { token: Some("other"), ..ASKED }), Err(Refused::OtherToken));
        let without = claims.replace(&format!(r#","ath":"{hash}""#), "");
        assert_eq!(check(&header, &without, with_token), Err(Refused::OtherToken));
        for (from, to, why) in [
            ("POST", "GET", Refused::Request("htm")),
            ("POST", "post", Refused::Request("htm")),
            ("/fhir/", "/fhir/../", Refused::Request("htu")),
            ("https", "http", Refused::Request("htu")),
            ("hub.example", "hub.example:8443", Refused::Request("htu")),
            ("\"n1\"", "\"\"", Refused::Request("jti")),
            ("1800000000", "1799999939", Refused::Time),
            ("1800000000", "1800000061", Refused::Time),
        ] {
            let changed = claims.replace(from, to);
            assert_ne!(changed, claims);
            assert_eq!(check(&header, &changed, ASKED), Err(why), "{changed}");
        }
        for (from, to) in
            [("hub.example", "HUB.example"), ("Observation", "Observation/?x=1#y"), ("1800000000", "1799999940")]
        {
            assert!(check(&header, &claims.replace(from, to), ASKED).is_ok(), "{to}");
        }
        // With a nonce of ours it is as young as that, whatever its own time is.
        let until = Time::from_unix(NOW + 7);
        let with_nonce = claims.replace("1800000000", r#"1500000000,"nonce":"ours""#);
        let nonced = |known: &str, asked: Asked<'_>| {
            Proof::check(&proof(&key, &header, &with_nonce), &asked, |nonce| (nonce == known).then_some(until))
        };
        assert_eq!(nonced("ours", ASKED).map(|proof| proof.until), Ok(until));
        assert_eq!(nonced("other", ASKED), Err(Refused::Nonce));
        assert_eq!(nonced("ours", Asked { now: until, ..ASKED }), Err(Refused::Nonce));
        for missing in ["jti", "htm", "htu", "iat"] {
            let refused = check(&header, &claims.replace(missing, "other"), ASKED);
            assert!(matches!(refused, Err(Refused::Token(crate::jose::Refused::Claims(_)))), "{missing}: {refused:?}");
        }
        assert_eq!(check(&header.replace("dpop+jwt", "JWT"), &claims, ASKED), Err(Refused::Header));
        assert_eq!(check(r#"{"typ":"dpop+jwt","alg":"ES256"}"#, &claims, ASKED), Err(Refused::Header));
        let other = header.replace(&jwk(&key), &jwk(&SigningKey::generate()));
        assert_eq!(check(&other, &claims, ASKED), Err(Refused::Token(crate::jose::Refused::Forged)));
        let again = check(&header, &claims.replace("n1", "n2"), ASKED).unwrap();
        assert_ne!(again.number, fine.number);
        assert_eq!(again.thumbprint, fine.thumbprint);
    }
}

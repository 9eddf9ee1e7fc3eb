//! Keys of the web, which sign two things and nothing else. An ID token (OpenID Connect Core, section 2) says to one piece of software
//! who has signed in at one hub, for an hour at most. A notice (HTTP Message Signatures, RFC 9421) is a request to a subscriber's
//! server: its signature says that it is this hub's. Neither can be taken for the other: one is base64url, one begins with a quote.

use super::protocol::MAX_TOKEN;
use super::{Signer as _, SignerError};
use crate::Authority;
use crate::keys::KeyDirectory;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use medlock_node::files;
use medlock_node::provider::{WebAlgorithm, WebKey};
use serde::Deserialize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The file with the issuer in whose name tokens are signed.
const ISSUER: &str = "web-issuer";
/// How long a token may be good, in seconds.
const LONGEST: i64 = 3_600;

/// The keys that were used, and the issuer.
#[derive(Debug, Default)]
pub(super) struct Web(Mutex<Loaded>);

#[derive(Debug, Default)]
struct Loaded {
    keys: [Option<Arc<WebKey>>; 2],
    issuer: Option<String>,
}

/// The whole of a header.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    #[serde(rename = "kid")]
    _kid: String,
}

/// What every ID token claims.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    #[serde(rename = "sub")]
    _sub: String,
    #[serde(rename = "aud")]
    _aud: String,
    iat: i64,
    exp: i64,
}

impl Web {
    /// The public half of the key.
    pub(super) fn public_key(&self, folder: &KeyDirectory, algorithm: WebAlgorithm) -> Result<Vec<u8>, SignerError> {
        Ok(self.key(folder, algorithm)?.spki().to_vec())
    }

    /// Signs an ID token, the first of which decides for whom this signer speaks; or a notice.
    pub(super) fn sign(
        &self,
        folder: &KeyDirectory,
        algorithm: WebAlgorithm,
        input: &str,
    ) -> Result<Vec<u8>, SignerError> {
        let refused = |what: &str, why: &str| SignerError::Refused(format!("this is no {what}: {why}"));
        if input.starts_with('"') {
            check_notice(algorithm, input).map_err(|why| refused("notice", why))?;
        } else {
            let issuer = check(algorithm, input).map_err(|why| refused("ID token", &why))?;
            self.speak_for(folder, issuer)?;
        }
        Ok(self.key(folder, algorithm)?.sign(input.as_bytes()))
    }

    fn key(&self, folder: &KeyDirectory, algorithm: WebAlgorithm) -> Result<Arc<WebKey>, SignerError> {
        let mut loaded = self.loaded();
        let [es256, rs256] = &mut loaded.keys;
        let place = match algorithm {
            WebAlgorithm::Es256 => es256,
            WebAlgorithm::Rs256 => rs256,
        };
        if let Some(key) = place {
            return Ok(Arc::clone(key));
        }
        Ok(Arc::clone(place.insert(Arc::new(folder.web_key(algorithm)?))))
    }

    fn speak_for(&self, folder: &KeyDirectory, issuer: String) -> Result<(), SignerError> {
        let mut loaded = self.loaded();
        let path = folder.directory().join(ISSUER);
        let failed = |error: medlock_node::Error| SignerError::KeyFile(error.to_string());
        if loaded.issuer.is_none() {
            let kept = files::read(&path).map_err(failed)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            if kept.is_none() {
                files::replace(&path, issuer.as_bytes()).map_err(failed)?;
            }
            loaded.issuer = Some(kept.unwrap_or_else(|| issuer.clone()));
        }
        match &loaded.issuer {
            Some(known) if *known == issuer => Ok(()),
            known => Err(SignerError::Refused(format!(
                "ID tokens are signed for {:?} here, not for {issuer:?}: if the hub's public address has changed, stop the \
                 signer and remove {}",
                known.as_deref().unwrap_or_default(),
                path.display()
            ))),
        }
    }

    fn loaded(&self) -> MutexGuard<'_, Loaded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Authority {
    /// The public half (`SubjectPublicKeyInfo`, DER) of the key that signs ID tokens, and notices, by this algorithm. Blocks.
    ///
    /// # Errors
    /// [`SignerError`].
    pub fn web_key(&self, algorithm: WebAlgorithm) -> Result<Vec<u8>, SignerError> {
        self.signer.web_key(algorithm)
    }

    /// Has an ID token signed, or a notice. Blocks.
    ///
    /// # Errors
    /// [`SignerError`].
    pub fn sign_token(&self, algorithm: WebAlgorithm, input: &str) -> Result<Vec<u8>, SignerError> {
        self.signer.sign_token(algorithm, input)
    }
}

/// Whether this is the signing input of an ID token, and who speaks in it.
fn check(algorithm: WebAlgorithm, input: &str) -> Result<String, String> {
    if input.len() > MAX_TOKEN {
        return Err(format!("it has more than {MAX_TOKEN} characters"));
    }
    let (header, claims) = input.split_once('.').ok_or("it has no two parts")?;
    let decode = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|error| error.to_string());
    let (header, claims) = (decode(header)?, decode(claims)?);
    let header: Header<'_> = serde_json::from_slice(&header).map_err(|error| format!("its header: {error}"))?;
    if header.alg != algorithm.name() || header.typ != "JWT" {
        return Err(format!("its header is not that of a JWT signed with {algorithm}"));
    }
    let claims: Claims = serde_json::from_slice(&claims).map_err(|error| format!("its claims: {error}"))?;
    let seconds = claims.exp.checked_sub(claims.iat);
    if claims.iat < 0 || seconds.is_none_or(|seconds| !(1..=LONGEST).contains(&seconds)) {
        return Err(format!("it is good for longer than {LONGEST} seconds, or for none"));
    }
    Ok(claims.iss)
}

/// Whether this is the signature base of a notice (RFC 9421 section 2.5), in the one form that a hub writes.
fn check_notice(algorithm: WebAlgorithm, base: &str) -> Result<(), &'static str> {
    if algorithm != WebAlgorithm::Es256 || base.len() > MAX_TOKEN {
        return Err("it is signed by ES256, and is not so long");
    }
    let mut lines = base.split('\n');
    let mut line = |name: &str| lines.next().and_then(|line| line.strip_prefix(name));
    if !line("\"@method\": ").is_some_and(|method| matches!(method, "PUT" | "POST")) {
        return Err("it neither puts nor posts");
    }
    let address = line("\"@target-uri\": ").filter(|address| address.bytes().all(|byte| byte.is_ascii_graphic()));
    if !address.is_some_and(|address| address.starts_with("https://")) {
        return Err("its address is not https://…");
    }
    let digest = line("\"content-digest\": ").and_then(|digest| digest.strip_prefix("sha-256=:")?.strip_suffix(':'));
    if digest.and_then(|digest| BASE64.decode(digest.as_bytes()).ok()).is_none_or(|digest| digest.len() != 32) {
        return Err("it has no digest of its body");
    }
    let is_id = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !line("\"medlock-subscription\": ").is_some_and(is_id) {
        return Err("it does not say for which Subscription it is");
    }
    let covered = line(
        "\"@signature-params\": (\"@method\" \"@target-uri\" \"content-digest\" \"medlock-subscription\");created=",
    );
    let named = covered.and_then(|covered| covered.split_once(";keyid=\""));
    let Some((created, name)) = named else { return Err("it covers something else") };
    let name = name.strip_suffix("\";alg=\"ecdsa-p256-sha256\";tag=\"medlock-notice\"");
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if created.is_empty() || !created.bytes().all(|byte| byte.is_ascii_digit()) || !name.is_some_and(is_name) {
        return Err("it does not say when, by which key, and that it is a notice");
    }
    if lines.next().is_some() { Err("there is more behind it") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::InProcess;
    use medlock_node::provider::AwsLc;
    use medlock_trust::crypto::{Crypto as _, Signature, SignatureAlgorithm};
    use medlock_trust::x509::SubjectPublicKeyInfo;

    const HEADER: &str = r#"{"alg":"ES256","kid":"1","typ":"JWT"}"#;
    const CLAIMS: &str = r#"{"iss":"https://hub","sub":"1","aud":"app","iat":100,"exp":3700,"nonce":"n"}"#;

    fn input(header: &str, claims: &str) -> String {
        format!("{}.{}", BASE64URL_NOPAD.encode(header.as_bytes()), BASE64URL_NOPAD.encode(claims.as_bytes()))
    }

    /// Shows REQ-KEYS-100: the signer's web keys sign ID tokens of one issuer, for an hour at most, and nothing else.
    #[test]
    fn id_tokens_of_one_issuer_are_signed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let keys = InProcess::open(folder.path()).unwrap();
        let fine = input(HEADER, CLAIMS);
        let signature = keys.sign_token(WebAlgorithm::Es256, &fine).unwrap();
        let spki = keys.web_key(WebAlgorithm::Es256).unwrap();
        let public = SubjectPublicKeyInfo::from_der(&spki).unwrap();
        let verified = AwsLc.verify(
            SignatureAlgorithm::EcdsaSha256,
            public.public_key().unwrap(),
            &[fine.as_bytes()],
            Signature::Cose(&signature),
        );
        assert_eq!(verified, Ok(()));
        let refused = |header: &str, claims: &str| {
            let answer = keys.sign_token(WebAlgorithm::Es256, &input(header, claims));
            assert!(matches!(answer, Err(SignerError::Refused(_))), "{header} {claims}");
        };
        for (from, to) in [
            ("ES256", "RS256"),
            ("ES256", "none"),
            ("JWT", "at+jwt"),
            (r#""typ""#, r#""crit":["typ"],"typ""#),
            (r#""kid":"1","#, ""),
            (r#""kid":"1""#, r#""kid":"1","kid":"2""#),
        ] {
            let changed = HEADER.replace(from, to);
            assert_ne!(changed, HEADER);
            refused(&changed, CLAIMS);
        }
        for (from, to) in [
            ("https://hub", "https://other"),
            ("3700", "3701"),
            ("3700", "100"),
            ("\"iat\":100", "\"iat\":-9223372036854775808"),
            (r#""sub":"1","#, ""),
            (r#""aud":"app","#, ""),
            (r#""iss":"https://hub""#, r#""iss":"https://hub","iss":"https://hub""#),
            ("\"n\"", &format!("\"{}\"", "n".repeat(8_000))),
        ] {
            let changed = CLAIMS.replace(from, to);
            assert_ne!(changed, CLAIMS);
            refused(HEADER, &changed);
        }
        for text in ["", "a", ".", "e30.e30", "MIIB"] {
            assert!(keys.sign_token(WebAlgorithm::Es256, text).is_err(), "{text}");
        }
        // A signer that is started anew knows its keys and its issuer.
        let again = InProcess::open(folder.path()).unwrap();
        assert_eq!(again.web_key(WebAlgorithm::Es256).unwrap(), spki);
        assert!(again.sign_token(WebAlgorithm::Es256, &input(HEADER, &CLAIMS.replace("https://hub", "x"))).is_err());
        assert!(again.sign_token(WebAlgorithm::Rs256, &input(&HEADER.replace("ES256", "RS256"), CLAIMS)).is_ok());
    }

    /// Shows REQ-SUB-16, REQ-SUB-51, REQ-KEYS-100: the signer signs notices in their one form, and nothing that is like one.
    #[test]
    fn notices_are_signed_and_nothing_that_is_like_one() {
        let folder = tempfile::tempdir().unwrap();
        let keys = InProcess::open(folder.path()).unwrap();
        let digest = BASE64.encode(&[7; 32]);
        let fine = format!(
            "\"@method\": PUT\n\"@target-uri\": https://a.example/x\n\"content-digest\": sha-256=:{digest}:\n\
             \"medlock-subscription\": 01k8\n\
             \"@signature-params\": (\"@method\" \"@target-uri\" \"content-digest\" \"medlock-subscription\");\
             created=100;keyid=\"k-1\";alg=\"ecdsa-p256-sha256\";tag=\"medlock-notice\""
        );
        assert!(keys.sign_token(WebAlgorithm::Es256, &fine).is_ok());
        assert!(keys.sign_token(WebAlgorithm::Rs256, &fine).is_err());
        for (from, to) in [
            ("PUT", "GET"),
            ("PUT\n", "PUT\n\n"),
            ("https://", "http://"),
            ("/x", "/x y"),
            (digest.as_str(), "AAAA"),
            ("sha-256", "sha-512"),
            (" \"medlock-subscription\")", ")"),
            (" \"content-digest\" ", " "),
            ("01k8", ""),
            ("01k8", "01\"8"),
            ("=100", "="),
            ("=100", "=100;expires=200"),
            ("k-1", "k\"1"),
            ("medlock-notice", "other"),
            ("-notice\"", "-notice\"\n\"x\": y"),
            (fine.as_str(), &format!("\"{}", "x".repeat(9_000))),
            (fine.as_str(), "\""),
        ] {
            let changed = fine.replacen(from, to, 1);
            assert_ne!(changed, fine);
            assert!(keys.sign_token(WebAlgorithm::Es256, &changed).is_err(), "{changed}");
        }
    }
}

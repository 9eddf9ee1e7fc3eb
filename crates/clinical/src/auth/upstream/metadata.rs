//! What a provider says of itself (OpenID Connect Discovery 1.0, section 3).

use crate::jose::Algorithm;
use crate::json::{Document, Limits, Node};
use medlock_node::outbound::Address;

/// Where it stands, behind the issuer (section 4).
pub(super) const PATH: &str = "/.well-known/openid-configuration";
const LIMITS: Limits = Limits { bytes: 64 << 10, depth: 8, nodes: 4_000, members: 256, number: 40 };

/// The addresses of a provider, and what it can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Where people sign in.
    pub(super) authorization: String,
    /// Where a code is redeemed.
    pub(super) token: String,
    /// Where its keys are.
    pub(super) keys: String,
    /// How it signs, as far as that is taken here.
    pub(super) algorithms: Vec<Algorithm>,
    /// Whether its answers say whose they are (RFC 9207 section 3).
    pub(super) names_itself: bool,
    /// Whether a secret is sent in the form: it takes no other (`client_secret_post`).
    pub(super) secret_in_form: bool,
}

impl Metadata {
    /// Reads what the provider `issuer` says of itself.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &[u8], issuer: &str) -> Result<Self, String> {
        let document = Document::read(text, &LIMITS).map_err(|error| error.to_string())?;
        let root = document.root();
        // Section 4.3: what another says of itself would send people and codes elsewhere.
        let told = root.member("issuer").and_then(Node::text);
        if told.as_deref() != Some(issuer) {
            return Err(format!("its issuer is {told:?}, and {issuer:?} was asked"));
        }
        let address = |name: &str| {
            let address = root.member(name).and_then(Node::text).filter(|address| Address::read(address).is_ok());
            address
                .map(std::borrow::Cow::into_owned)
                .ok_or_else(|| format!("its {name} is missing or no https address"))
        };
        let has = |name: &str, value: &str| {
            root.member(name).map(|list| list.items().any(|item| item.text().is_some_and(|text| text == value)))
        };
        if has("response_types_supported", "code") != Some(true) {
            return Err("it gives no codes (response_types_supported)".to_owned());
        }
        // What says nothing of proof keys may know them all the same; what knows others is not trusted with a code.
        if has("code_challenge_methods_supported", "S256") == Some(false) {
            return Err("it does not know S256 (code_challenge_methods_supported)".to_owned());
        }
        let signs =
            |algorithm: &Algorithm| has("id_token_signing_alg_values_supported", algorithm.name()) == Some(true);
        let algorithms: Vec<_> = Algorithm::ALL.into_iter().filter(signs).collect();
        if algorithms.is_empty() {
            return Err("it signs by no algorithm that is taken (id_token_signing_alg_values_supported)".to_owned());
        }
        let methods = "token_endpoint_auth_methods_supported";
        let in_form =
            has(methods, "client_secret_basic") == Some(false) && has(methods, "client_secret_post") == Some(true);
        let names_itself = root.member("authorization_response_iss_parameter_supported").and_then(Node::flag);
        Ok(Self {
            authorization: address("authorization_endpoint")?,
            token: address("token_endpoint")?,
            keys: address("jwks_uri")?,
            algorithms,
            names_itself: names_itself == Some(true),
            secret_in_form: in_form,
        })
    }
}

/// The ID token of an answer of the token address (OpenID Connect Core 1.0, section 3.1.3.3).
pub(super) fn id_token(answer: &[u8]) -> Option<String> {
    let document = Document::read(answer, &LIMITS).ok()?;
    document.root().member("id_token").and_then(Node::text).map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};
    use serde_json::{Value, json};

    const ISSUER: &str = "https://login.example";

    fn told() -> Value {
        json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://login.example/authorize",
            "token_endpoint": "https://login.example/token",
            "jwks_uri": "https://keys.example/keys",
            "response_types_supported": ["code", "code id_token"],
            "id_token_signing_alg_values_supported": ["none", "HS256", "RS256", "ES384", "PS256"],
        })
    }

    /// Shows REQ-SMART-81.
    #[test]
    fn a_provider_is_believed_about_itself_alone() {
        let read = |value: &Value| Metadata::read(value.to_string().as_bytes(), ISSUER);
        let fine = read(&told()).expect("a provider");
        assert_eq!(fine.algorithms, [Algorithm::Es384, Algorithm::Rs256]);
        assert!(!fine.names_itself && !fine.secret_in_form);
        let but = |name: &str, value: Value| {
            let mut told = told();
            told[name] = value;
            read(&told)
        };
        for (name, value) in [
            ("issuer", json!("https://login.example/")),
            ("issuer", json!("https://evil.example")),
            ("issuer", Value::Null),
            ("authorization_endpoint", json!("http://login.example/authorize")),
            ("authorization_endpoint", json!("javascript:alert(1)")),
            ("authorization_endpoint", json!("https://login.example/#x")),
            ("token_endpoint", Value::Null),
            ("jwks_uri", json!(["https://login.example/keys"])),
            ("response_types_supported", json!(["id_token"])),
            ("code_challenge_methods_supported", json!(["plain"])),
            ("id_token_signing_alg_values_supported", json!(["none", "HS256"])),
            ("id_token_signing_alg_values_supported", Value::Null),
        ] {
            assert!(but(name, value.clone()).is_err(), "{name} {value}");
        }
        let told = but("token_endpoint_auth_methods_supported", json!(["client_secret_post"]));
        assert!(told.expect("a provider").secret_in_form);
        let told = but("token_endpoint_auth_methods_supported", json!(["client_secret_post", "client_secret_basic"]));
        assert!(!told.expect("a provider").secret_in_form);
        let told = but("authorization_response_iss_parameter_supported", json!(true));
        assert!(told.expect("a provider").names_itself);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(bytes in any::<Vec<u8>>()) {
            let _ = (Metadata::read(&bytes, ISSUER), id_token(&bytes));
        }
    }
}

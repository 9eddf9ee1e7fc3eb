//! ID tokens: who has signed in (OpenID Connect Core 1.0, section 2). The signer process makes the signature.

use super::answer::{OAuthError, away};
use super::clients::{Account, Client};
use crate::Clinical;
use crate::jose::{Key, signing_input};
use crate::seam::NeedError;
use crate::store::PublicKey;
use data_encoding::BASE64URL_NOPAD;
use medlock_node::provider::WebAlgorithm;
use serde::Serialize;
use serde_json::{Value, json};

/// How long an ID token is good, in seconds.
const SECONDS: i64 = 300;
/// How long the keys of a hub are shown that is not seen any more, in seconds.
const SEEN: i64 = 7 * 86_400;

/// Who has signed in, and to whom it is said.
pub(super) struct Person<'a> {
    pub(super) client: &'a Client,
    pub(super) account: &'a Account,
    pub(super) nonce: Option<&'a str>,
    pub(super) signed_in: Option<i64>,
    /// Whether the person's resource is told.
    pub(super) fhir_user: bool,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    #[serde(rename = "fhirUser", skip_serializing_if = "Option::is_none")]
    fhir_user: Option<String>,
}

/// An ID token. Blocks.
pub(super) fn of(clinical: &Clinical, person: &Person<'_>, now: i64) -> Result<String, OAuthError> {
    let Person { client, account, nonce, signed_in, fhir_user } = person;
    let issuer = clinical.settings().public_url.as_str();
    let claims = Claims {
        iss: issuer,
        sub: &account.subject,
        aud: &client.id,
        iat: now,
        exp: now.saturating_add(SECONDS),
        auth_time: *signed_in,
        nonce: *nonce,
        fhir_user: fhir_user.then(|| format!("{issuer}/fhir/{}/{}", account.kind, account.id)),
    };
    let algorithm = client.algorithm;
    let key = key(clinical, algorithm).map_err(|error| away(&error))?;
    let header = json!({ "alg": algorithm.name(), "kid": name_of(&key), "typ": "JWT" });
    let claims = serde_json::to_vec(&claims).map_err(|error| away(&error))?;
    let input = signing_input(header.to_string().as_bytes(), &claims);
    let signature = clinical.web_keys().sign(algorithm, &input).map_err(|error| away(&error))?;
    Ok(format!("{input}.{}", BASE64URL_NOPAD.encode(&signature)))
}

fn key(clinical: &Clinical, algorithm: WebAlgorithm) -> Result<Key, String> {
    let spki = clinical.web_keys().public_key(algorithm).map_err(|error| error.to_string())?;
    key_in(&spki)
}

fn key_in(spki: &[u8]) -> Result<Key, String> {
    Key::from_spki(spki).ok_or_else(|| "the key is none for tokens".to_owned())
}

/// A key is called by its thumbprint.
fn name_of(key: &Key) -> String {
    BASE64URL_NOPAD.encode(key.thumbprint())
}

/// `/auth/keys`: what ID tokens and notices are checked with (RFC 7517 section 5), of this hub and of all others of its store. Blocks.
pub(super) fn key_set(clinical: &Clinical) -> Result<Vec<u8>, OAuthError> {
    let mut keys = clinical.own_web_keys().map_err(|error| away(&error))?;
    let since = clinical.clock().now().unix().saturating_sub(SEEN);
    let others = clinical.records().web_keys(since).map_err(|error| away(&error))?;
    let others: Vec<_> = others.into_iter().filter(|other| !keys.contains(other)).collect();
    keys.extend(others);
    set_of(&keys)
}

impl Clinical {
    /// Lets the other hubs of the store show the keys of this one: who is told by it, or signs in at it, may ask any of them. Makes
    /// the keys where there are none yet. Blocks.
    pub(crate) fn publish_web_keys(&self) {
        let kept = self.own_web_keys().map_err(|error| error.to_string()).and_then(|keys| {
            self.records().keep_web_keys(keys, self.clock().now().unix()).map_err(|error| error.to_string())
        });
        if let Err(error) = kept {
            tracing::warn!(error, "other hubs do not know the keys of this one for ID tokens and notices");
        }
    }

    fn own_web_keys(&self) -> Result<Vec<PublicKey>, NeedError> {
        let spki = |algorithm| Ok((self.web_keys().public_key(algorithm)?, algorithm));
        WebAlgorithm::ALL.into_iter().map(spki).collect()
    }
}

/// Keys (`SubjectPublicKeyInfo`, DER) with their algorithms, as a set.
pub(super) fn set_of(all: &[(Vec<u8>, WebAlgorithm)]) -> Result<Vec<u8>, OAuthError> {
    let mut keys = Vec::new();
    for (spki, algorithm) in all {
        let key = key_in(spki).map_err(|error| away(&error))?;
        let mut members = serde_json::from_str::<Value>(key.to_json()).map_err(|error| away(&error))?;
        if let Value::Object(members) = &mut members {
            let more = [("kid", name_of(&key)), ("use", "sig".to_owned()), ("alg", algorithm.name().to_owned())];
            members.extend(more.map(|(name, value)| (name.to_owned(), Value::from(value))));
        }
        keys.push(members);
    }
    serde_json::to_vec(&json!({ "keys": keys })).map_err(|error| away(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::fixture::House;
    use medlock_node::provider::WebKey;

    /// Shows REQ-SMART-130: a hub shows the keys of all hubs of its store, and no more those of one that has been gone for a week.
    #[test]
    fn each_hub_shows_the_keys_of_all() {
        for house in House::both() {
            let shown = || {
                let told: Value = serde_json::from_slice(&key_set(&house.clinical).expect("a set")).expect("JSON");
                let keys = told["keys"].as_array().expect("keys").iter();
                keys.map(|key| (key["kid"].clone(), key["alg"].clone())).collect::<Vec<_>>()
            };
            let own = shown();
            let other = WebKey::generate(WebAlgorithm::Es256);
            let kid = BASE64URL_NOPAD.encode(Key::from_spki(other.spki()).expect("a key").thumbprint());
            let now = house.site.clock.now().unix();
            let keys = vec![(other.spki().to_vec(), WebAlgorithm::Es256)];
            house.clinical.records().keep_web_keys(keys, now).expect("kept");
            let all = shown();
            assert_eq!((all.len(), &all[..own.len()]), (own.len() + 1, &own[..]), "its own come first, and once");
            assert_eq!(all[own.len()], (kid.into(), "ES256".into()));
            house.site.clock.advance(8 * 86_400);
            assert_eq!(shown(), own, "its own are shown whenever");
        }
    }
}

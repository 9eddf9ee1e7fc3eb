//! ID tokens: who has signed in (OpenID Connect Core 1.0, section 2). The signer process makes the signature.

use super::answer::{OAuthError, away};
use super::clients::{Account, Client};
use crate::Clinical;
use crate::jose::{Key, signing_input};
use crate::seam::NeedError;
use crate::store::{NotedKey, PublicKey};
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

/// `/auth/keys`: what ID tokens and notices are checked with (RFC 7517 section 5), of this hub and of all others of its store, but for
/// those of hubs that have left the site and those that were dropped. While the store is away they are this hub's own. Blocks.
pub(super) fn key_set(clinical: &Clinical) -> Result<Vec<u8>, OAuthError> {
    let mut keys = clinical.own_web_keys().map_err(|error| away(&error))?;
    let noted = clinical.web_keys_seen().unwrap_or_else(|error| {
        tracing::warn!(%error, "the keys of other hubs are not shown now");
        Vec::new()
    });
    let own = keys.clone();
    for (name, noted) in noted {
        let shown = clinical.standing(&own, &name, &noted) == Standing::Shown;
        keys.retain(|other| shown || *other != noted.key);
        if shown && !keys.contains(&noted.key) {
            keys.push(noted.key);
        }
    }
    set_of(&keys)
}

/// Whether a key that some hub has said that it has is shown, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Shown,
    /// An administrator has said that nobody is to believe it.
    Dropped,
    /// Its hub is none of the site any more.
    Left,
    /// Whether its hub is one of the site cannot be told now.
    Unknown,
}

impl Clinical {
    /// Lets the other hubs of the store show the keys of this one: who is told by it, or signs in at it, may ask any of them. Makes
    /// the keys where there are none yet. Blocks.
    pub(crate) fn publish_web_keys(&self) {
        let kept = self.own_web_keys().map_err(|error| error.to_string()).and_then(|keys| {
            let (hub, now) = (self.web_keys().hub(), self.clock().now().unix());
            self.records().keep_web_keys(keys, hub, now).map_err(|error| error.to_string())
        });
        if let Err(error) = kept {
            tracing::warn!(error, "other hubs do not know the keys of this one for ID tokens and notices");
        }
    }

    /// The keys that hubs of the store have had of late, by their names; what is no key is passed over. Blocks.
    pub(super) fn web_keys_seen(&self) -> Result<Vec<(String, NotedKey)>, medlock_store::Error> {
        let since = self.clock().now().unix().saturating_sub(SEEN);
        let named = |noted: NotedKey| {
            let key = Key::from_spki(&noted.key.0);
            if key.is_none() {
                tracing::warn!("what is noted as a key of a hub is none, and is not shown");
            }
            Some((name_of(&key?), noted))
        };
        Ok(self.records().web_keys(since)?.into_iter().filter_map(named).collect())
    }

    /// How a key that is noted stands at this hub, which has its `own`. Blocks.
    pub(super) fn standing(&self, own: &[PublicKey], key: &str, noted: &NotedKey) -> Standing {
        if noted.dropped {
            return Standing::Dropped;
        }
        // Noted before hubs were: for a week at most.
        let Some((hub, credential)) = noted.hub.filter(|_| !own.contains(&noted.key)) else { return Standing::Shown };
        match self.devices().has_left(&hub, credential) {
            Ok(false) => Standing::Shown,
            Ok(true) => Standing::Left,
            Err(error) => {
                tracing::warn!(%error, key, %hub, "a hub's key is not shown now");
                Standing::Unknown
            }
        }
    }

    pub(super) fn own_web_keys(&self) -> Result<Vec<PublicKey>, NeedError> {
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
    use crate::auth::Told;
    use crate::tests::fixture::House;
    use medlock_node::provider::WebKey;
    use medlock_trust::{DeviceName, Role};

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
            house.clinical.records().keep_web_keys(keys, None, now).expect("kept");
            let all = shown();
            assert_eq!((all.len(), &all[..own.len()]), (own.len() + 1, &own[..]), "its own come first, and once");
            assert_eq!(all[own.len()], (kid.into(), "ES256".into()));
            house.site.clock.advance(8 * 86_400);
            assert_eq!(shown(), own, "its own are shown whenever");
        }
    }

    /// Shows REQ-SUB-45, REQ-SUB-46: no key is shown of a hub that has left the site, nor one that was dropped, whoever has it; what
    /// is no key takes no other away.
    #[test]
    fn a_hub_that_has_left_and_a_key_that_was_dropped_are_not_shown() {
        for house in House::both() {
            let shown = || {
                let told: Value = serde_json::from_slice(&key_set(&house.clinical).expect("a set")).expect("JSON");
                let keys = told["keys"].as_array().expect("keys").iter();
                keys.map(|key| key["kid"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
            };
            let state = |key: &str| {
                let Ok(Told::WebKeys { keys }) = house.clinical.list_web_keys() else { panic!("no list") };
                keys.into_iter().find(|one| one.key == key).expect("listed").state
            };
            let own = shown();
            let hub = house.device("hub-b", Role::Hub);
            let credential = hub.peer().identified.expect("identified").credential();
            let (records, now) = (house.clinical.records(), house.site.clock.now().unix());
            let kept = |spki: &[u8]| {
                let keys = vec![(spki.to_vec(), WebAlgorithm::Es256)];
                records.keep_web_keys(keys, Some((name("hub-b"), credential)), now).expect("kept");
            };
            let other = WebKey::generate(WebAlgorithm::Es256);
            kept(other.spki());
            let kid = name_of(&Key::from_spki(other.spki()).expect("a key"));
            kept(b"no key");
            assert!(shown().contains(&kid) && shown().len() == own.len() + 1);
            assert_eq!(state(&kid), "shown");
            house.remove("hub-b");
            assert_eq!(shown(), own);
            assert_eq!(state(&kid), "its hub has left");

            // One of a hub that is there, and one of this hub.
            let third = WebKey::generate(WebAlgorithm::Es256);
            let keys = vec![(third.spki().to_vec(), WebAlgorithm::Es256)];
            records.keep_web_keys(keys, None, now).expect("kept");
            let third = name_of(&Key::from_spki(third.spki()).expect("a key"));
            assert!(shown().contains(&third));
            for dropped in [&third, &own[0]] {
                house.clinical.drop_web_key(dropped).expect("dropped");
                house.clinical.publish_web_keys();
                assert!(!shown().contains(dropped), "also when its hub has said again that it has it");
                assert_eq!(state(dropped), "dropped");
            }
            assert_eq!(shown(), own[1..]);
            assert!(house.clinical.drop_web_key("nothing").is_err());
            let gone = records.database().write_single("break the store", |sql| sql.batch("DROP TABLE web_key"));
            gone.expect("broken");
            assert_eq!(shown(), own, "what this hub signs is checked, whatever became of the store");
        }
    }

    fn name(text: &str) -> DeviceName {
        DeviceName::new(text).expect("a name")
    }
}

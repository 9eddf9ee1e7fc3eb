//! The provider, as the hub talks to it: what it says of itself, its keys, and an ID token for a code.

use super::config::{HubProof, SignInConfig, derived};
use super::metadata::{self, Metadata, PATH};
use super::told::{self, Told};
use crate::Error;
use crate::auth::key_sets::{KeySets, NoKey};
use crate::jose::{Compact, Key, signing_input};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderValue, Method};
use medlock_node::clock::Clock;
use medlock_node::outbound::{Outbound, OutboundConfig, Refused};
use medlock_node::provider::{WebKey, random};
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use zeroize::Zeroizing;

/// How long what it says of itself is used, and how long where it cannot be asked again, in seconds.
const FRESH: i64 = 3_600;
const STALE: i64 = 86_400;
/// How long it is not asked again after it was asked in vain, in seconds.
const PAUSE: i64 = 10;
/// How long an assertion is good, in seconds.
const ASSERTION: i64 = 60;

/// Why nobody is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotSignedIn {
    /// The provider does not answer, or not as one. Trying again may help.
    Away(String),
    /// What came from there is not taken.
    Refused(String),
}

/// How many wait for the provider at once: each holds a thread, and those serve all else too.
const AT_ONCE: usize = 16;
/// Answers that are remembered, at most: a quarter of an hour's, at more than a hundred a second.
const REMEMBERED: usize = 1 << 17;

/// What it said of itself, and when; whether somebody asks it anew; when it was asked last in vain, and why that was.
#[derive(Debug, Default)]
struct Known {
    said: Option<(Arc<Metadata>, i64)>,
    asked: bool,
    failed: Option<(i64, String)>,
}

/// The provider at which people sign in.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(super) config: SignInConfig,
    proof: HubProof,
    outbound: Outbound,
    key_sets: KeySets,
    known: Mutex<Known>,
    calls: Semaphore,
    /// Answers that came, hashed, each until when it would count.
    came: Mutex<HashMap<[u8; 32], i64>>,
}

/// One sign-in: what only this browser brings back, and what only the hub knows of it.
pub(super) struct Visit<'a> {
    pub(super) seed: &'a [u8; 32],
    /// When it began, in seconds since 1970.
    pub(super) begun: i64,
    /// How old a sign-in may have been then, in seconds.
    pub(super) oldest: Option<i64>,
    /// Where the provider sends the browser back to.
    pub(super) redirect: &'a str,
}

impl Visit<'_> {
    pub(super) fn nonce(&self) -> String {
        derived("nonce", self.seed)
    }

    /// 43 characters (RFC 7636 section 4.1).
    pub(super) fn verifier(&self) -> String {
        derived("verifier", self.seed)
    }
}

impl Upstream {
    /// Reads with what the hub proves itself. Blocks.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn open(config: &SignInConfig, outbound: &OutboundConfig) -> Result<Self, Error> {
        config.check()?;
        let outbound = config.outbound(outbound)?;
        let key_sets = KeySets::new(outbound.clone());
        let (known, calls, came) = (Mutex::default(), Semaphore::new(AT_ONCE), Mutex::default());
        Ok(Self { proof: config.proof()?, config: config.clone(), outbound, key_sets, known, calls, came })
    }

    /// The key with which the hub proves itself, if it does so with one.
    pub(super) const fn key(&self) -> Option<&WebKey> {
        match &self.proof {
            HubProof::Key(key) => Some(key),
            HubProof::Secret(_) => None,
        }
    }

    /// Whether an answer to this question did not come before, which may be redeemed until then: it is spent now, whatever comes of it.
    pub(super) fn spend(&self, question: [u8; 32], until: i64, now: i64) -> bool {
        let mut came = locked(&self.came);
        if came.len() >= REMEMBERED {
            came.retain(|_, until| *until > now);
        }
        // Then it is the store alone that counts sign-ins once.
        if came.len() >= REMEMBERED {
            came.clear();
        }
        came.insert(question, until).is_none()
    }

    /// What it says of itself. What is older than an hour is used while one asks anew. Blocks, within the runtime.
    ///
    /// # Errors
    /// [`NotSignedIn::Away`].
    pub(super) fn metadata(&self, clock: &Clock) -> Result<Arc<Metadata>, NotSignedIn> {
        let now = clock.now().unix();
        let within = |known: &Known, seconds: i64| match &known.said {
            Some((said, at)) if now.abs_diff(*at) < seconds.unsigned_abs() => Some(Arc::clone(said)),
            _ => None,
        };
        {
            let mut known = locked(&self.known);
            if let Some(said) = within(&known, FRESH) {
                return Ok(said);
            }
            let stale = within(&known, STALE);
            let failed = known.failed.as_ref().filter(|(at, _)| now.abs_diff(*at) < PAUSE.unsigned_abs());
            match (stale, failed) {
                (Some(said), failed) if known.asked || failed.is_some() => return Ok(said),
                (None, Some((_, why))) => return Err(NotSignedIn::Away(why.clone())),
                (Some(_) | None, _) => known.asked = true,
            }
        }
        // Nobody waits for this but who asks.
        let asked = self.ask();
        let mut known = locked(&self.known);
        known.asked = false;
        match asked {
            Ok(said) => {
                let said = Arc::new(said);
                *known = Known { said: Some((Arc::clone(&said), now)), ..Known::default() };
                Ok(said)
            }
            Err(why) => {
                tracing::warn!(issuer = self.config.issuer, why, "the provider does not say what it is");
                known.failed = Some((clock.now().unix(), why.clone()));
                within(&known, STALE).ok_or(NotSignedIn::Away(why))
            }
        }
    }

    /// A place among those who wait for it.
    fn call(&self) -> Result<SemaphorePermit<'_>, String> {
        self.calls.try_acquire().map_err(|_| format!("{AT_ONCE} wait for it already"))
    }

    fn ask(&self) -> Result<Metadata, String> {
        let _call = self.call()?;
        let issuer = self.config.issuer.as_str();
        let address = format!("{}{PATH}", issuer.trim_end_matches('/'));
        let answer = Handle::current().block_on(self.outbound.get(&address, "application/json"));
        let answer = answer.map_err(|error| in_words(&error))?;
        if answer.status().as_u16() != 200 {
            return Err(format!("{address} answers {}", answer.status().as_u16()));
        }
        Metadata::read(answer.body(), issuer).map_err(|why| format!("{address}: {why}"))
    }

    /// Who signed in, by the code that the browser brought. Blocks, within the runtime.
    ///
    /// # Errors
    /// [`NotSignedIn`].
    pub(super) fn redeem(
        &self,
        metadata: &Metadata,
        code: &str,
        visit: &Visit<'_>,
        now: i64,
    ) -> Result<Told, NotSignedIn> {
        let _call = self.call().map_err(NotSignedIn::Away)?;
        let token = self.id_token(metadata, code, visit, now)?;
        let refused = |why: String| NotSignedIn::Refused(format!("the ID token is not believed: {why}"));
        let read = Compact::read(&token).map_err(|error| refused(error.to_string()))?;
        let (name, algorithm) = (read.header().key_id.clone(), read.header().algorithm);
        if !metadata.algorithms.contains(&algorithm) {
            return Err(refused(format!("the provider does not say that it signs by {}", algorithm.name())));
        }
        let set = self.key_sets.find(&metadata.keys, name.as_deref(), algorithm, now);
        let set = set.map_err(|error| match error {
            NoKey::Unfetched(why) => NotSignedIn::Away(why),
            NoKey::Unknown => refused("the provider has no key with its kid and alg".to_owned()),
        })?;
        let key = set.find(name.as_deref(), algorithm).ok_or_else(|| refused("there is no such key".to_owned()))?;
        let claims = read.verify(key).map_err(|error| refused(error.to_string()))?;
        let SignInConfig { issuer, client_id, claim, .. } = &self.config;
        let nonce = visit.nonce();
        let asked = told::Asked { issuer, client_id, claim, nonce: &nonce, begun: visit.begun, oldest: visit.oldest };
        told::check(&claims, &asked, now).map_err(refused)
    }

    /// OpenID Connect Core 1.0, section 3.1.3.
    fn id_token(&self, metadata: &Metadata, code: &str, visit: &Visit<'_>, now: i64) -> Result<String, NotSignedIn> {
        let verifier = visit.verifier();
        let mut pairs = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", visit.redirect),
            ("code_verifier", &verifier),
        ];
        let mut headers = vec![(ACCEPT, HeaderValue::from_static("application/json"))];
        let id = self.config.client_id.as_str();
        let assertion;
        match &self.proof {
            HubProof::Secret(secret) if metadata.secret_in_form => {
                pairs.extend([("client_id", id), ("client_secret", secret.as_str())]);
            }
            HubProof::Secret(secret) => headers.push((AUTHORIZATION, basic(id, secret))),
            HubProof::Key(key) => {
                assertion = signed(key, id, &metadata.token, now);
                let sort = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                pairs.extend([("client_id", id), ("client_assertion_type", sort), ("client_assertion", &assertion)]);
            }
        }
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let sort = "application/x-www-form-urlencoded";
        let mut line = self.outbound.line();
        let sent = line.send(Method::POST, &metadata.token, sort, &headers, form.into());
        let answer = Handle::current().block_on(sent).map_err(|error| NotSignedIn::Away(in_words(&error)))?;
        let status = answer.status().as_u16();
        match metadata::id_token(answer.body()) {
            Some(token) if status == 200 => Ok(token),
            _ if status >= 500 => Err(NotSignedIn::Away(format!("{} answers {status}", metadata.token))),
            _ => {
                // It says why in words for its clients' logs (RFC 6749 section 5.2), and who is asked does not choose ours.
                let why: String = String::from_utf8_lossy(answer.body()).escape_debug().take(300).collect();
                Err(NotSignedIn::Refused(format!("{} answers {status}: {why}", metadata.token)))
            }
        }
    }
}

/// A call that was refused, with the setting that is meant here.
fn in_words(error: &Refused) -> String {
    match error {
        Refused::Host(host) => format!("{host} is not the host of issuer: add it to hosts in [clinical.sign_in]"),
        other => other.to_string(),
    }
}

/// RFC 6749 section 2.3.1: each is encoded as in a form first.
fn basic(id: &str, secret: &str) -> HeaderValue {
    let encoded = |text: &str| -> String { form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    let both = Zeroizing::new(format!("{}:{}", encoded(id), encoded(secret)));
    let text = Zeroizing::new(format!("Basic {}", BASE64.encode(both.as_bytes())));
    // Base64 is visible ASCII.
    let mut value = HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("Basic"));
    value.set_sensitive(true);
    value
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An assertion of the hub's (RFC 7523 section 3; OpenID Connect Core 1.0, section 9).
fn signed(key: &WebKey, id: &str, address: &str, now: i64) -> String {
    let name = Key::from_spki(key.spki()).map(|key| BASE64URL_NOPAD.encode(key.thumbprint()));
    let header = json!({ "alg": key.algorithm().name(), "kid": name, "typ": "JWT" });
    let claims = json!({
        "iss": id, "sub": id, "aud": address, "iat": now, "exp": now.saturating_add(ASSERTION),
        "jti": BASE64URL_NOPAD.encode(&random::<16>()),
    });
    let input = signing_input(header.to_string().as_bytes(), claims.to_string().as_bytes());
    format!("{input}.{}", BASE64URL_NOPAD.encode(&key.sign(input.as_bytes())))
}

//! Assertions of software that has keys (RFC 7523; SMART App Launch 2.2, sections 5.2 and 8).

use super::answer::{OAuthError, Refused, TokenBody, away, token_type};
use super::clients::{Client, Proof};
use super::form::{Form, wrong};
use super::key_sets::NoKey;
use super::scope::{Scopes, Word};
use super::secret::Secret;
use super::udap;
use crate::Clinical;
use crate::access::{Binding, Holder, Verb};
use crate::jose::{Algorithm, Claims, Compact, Header, KeySet};
use crate::store::{Given, NewLeave, NewToken, Spent};
use medlock_node::provider::sha256;

/// The one type of assertions.
const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How far ahead an assertion may end, and how far clocks may differ, in seconds.
const AHEAD: i64 = 300;
const SKEW: i64 = 60;
/// How long its number is kept behind its end, in seconds: longer than clocks differ.
const KEPT: i64 = 120;
/// Bytes of its number, at most.
const MOST_JTI: usize = 256;

/// An assertion that was believed.
pub(super) struct Assertion {
    /// What of it is still to be spent.
    pub(super) spent: Spent,
    /// Of software of a community: for whom it asks, and what for, or why it does not say so.
    pub(super) on_behalf: Option<Result<udap::OnBehalf, OAuthError>>,
}

pub(super) fn refused(text: impl Into<std::borrow::Cow<'static, str>>) -> OAuthError {
    OAuthError::new(Refused::InvalidClient, text)
}

/// Who made it is none of ours, or no more.
fn unknown() -> OAuthError {
    refused("the client is not registered, or not for assertions")
}

/// An assertion that came before.
pub(super) fn replayed() -> OAuthError {
    refused("the assertion's jti came before: make one for each request")
}

/// The client whose assertion this is. `address` is where it asks.
///
/// # Errors
/// The first check that fails answers.
pub(super) fn assertion(clinical: &Clinical, form: &Form, address: &str) -> Result<(Client, Assertion), OAuthError> {
    if form.get("client_assertion_type") != Some(TYPE) {
        return Err(wrong(format!("client_assertion_type is not {TYPE}")));
    }
    let read = Compact::read(form.need("client_assertion")?).map_err(|error| refused(error.to_string()))?;
    let header = read.header().clone();
    if header.typ.as_deref().is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
        return Err(refused("the assertion's typ is not JWT"));
    }
    let issuer = read.danger_issuer().ok_or_else(|| refused("the assertion has no iss"))?;
    if form.get("client_id").is_some_and(|said| said != issuer) {
        return Err(refused("client_id is another than the assertion's iss"));
    }
    let client = clinical.client(&issuer).map_err(|error| away(&error))?;
    let client = client.ok_or_else(unknown)?;
    let key = match &client.proof {
        Proof::Community(member) => {
            if form.get("udap") != Some("1") {
                return Err(wrong("udap is not 1"));
            }
            udap::key(clinical, member, &header)?
        }
        Proof::None | Proof::Secret(_) | Proof::Keys { .. } => {
            if !matches!(header.algorithm, Algorithm::Rs384 | Algorithm::Es384) {
                return Err(refused("an assertion is signed with RS384 or ES384"));
            }
            let set = keys(clinical, &client, &header)?;
            let key = set.find(header.key_id.as_deref(), header.algorithm);
            key.ok_or_else(|| refused(NoKey::Unknown.to_string()))?.clone()
        }
    };
    let claims = read.verify(&key).map_err(|error| refused(error.to_string()))?;
    let now = clinical.clock().now().unix();
    let mut assertion = check(&claims, &issuer, address, now)?;
    if let Proof::Community(member) = &client.proof {
        udap::check_age(&claims)?;
        assertion.on_behalf = Some(udap::on_behalf(&claims));
        assertion.spent.chain = Some(header.certificates).filter(|chain| member.chain != *chain);
    }
    Ok((client, assertion))
}

/// The keys of a client.
fn keys(clinical: &Clinical, client: &Client, header: &Header) -> Result<KeySet, OAuthError> {
    let Proof::Keys { inline, url } = &client.proof else {
        return Err(unknown());
    };
    // `jku` chooses nothing: it may only say what is known (RFC 8725 section 3.10).
    if header.key_set_url.is_some() && header.key_set_url != *url {
        return Err(refused("the assertion's jku is not the registered address of keys"));
    }
    match (inline, url) {
        (Some(inline), _) => KeySet::from_json(inline.as_bytes()).map_err(|error| refused(error.to_string())),
        (None, Some(url)) => {
            let now = clinical.clock().now().unix();
            let found = clinical.key_sets().find(url, header.key_id.as_deref(), header.algorithm, now);
            found.map_err(|error| refused(error.to_string()))
        }
        (None, None) => Err(refused("the client is registered without keys")),
    }
}

/// What an assertion claims (SMART App Launch 2.2, section 8.1.3).
fn check(claims: &Claims, issuer: &str, address: &str, now: i64) -> Result<Assertion, OAuthError> {
    let wrong = |error: crate::jose::Wrong| refused(format!("the assertion's claims: {error}"));
    if claims.text("iss").map_err(wrong)? != issuer || claims.text("sub").map_err(wrong)? != issuer {
        return Err(refused("the assertion's iss and sub are not both the client's identifier"));
    }
    if claims.audiences().map_err(wrong)? != [address] {
        return Err(refused(format!("the assertion's aud is not {address} alone")));
    }
    let until = claims.time("exp").map_err(wrong)?.unix();
    if until <= now.saturating_sub(SKEW) {
        return Err(refused("the assertion has expired"));
    }
    if until > now.saturating_add(AHEAD) {
        return Err(refused(format!("the assertion's exp is more than {AHEAD} seconds ahead")));
    }
    for claim in ["nbf", "iat"] {
        let from = claims.optional_time(claim).map_err(wrong)?;
        if from.is_some_and(|from| from.unix() > now.saturating_add(SKEW)) {
            return Err(refused("the assertion is not valid yet"));
        }
    }
    let number = claims.text("jti").map_err(wrong)?;
    if number.is_empty() || number.len() > MOST_JTI {
        return Err(refused(format!("the assertion's jti has no character, or more than {MOST_JTI}")));
    }
    let spent = Spent { number: sha256(number.as_bytes()), until: until.saturating_add(KEPT), chain: None };
    Ok(Assertion { spent, on_behalf: None })
}

/// A token for software in its own name, whose assertion was believed. Blocks.
///
/// # Errors
/// The first check that fails answers.
pub(super) fn token(
    clinical: &Clinical,
    form: &Form,
    (client, assertion): (Client, Assertion),
    binding: Binding,
) -> Result<TokenBody, OAuthError> {
    if let Some(on_behalf) = assertion.on_behalf {
        let udap::OnBehalf { organization, purposes } = on_behalf?;
        tracing::info!(client = client.id, organization, purposes, "software of a community asks for a token");
    }
    let invalid = |text: String| OAuthError::new(Refused::InvalidScope, text);
    let text = form.need("scope")?;
    let asked = Scopes::read_known(text).map_err(|error| invalid(error.to_string()))?;
    let kinds = &clinical.settings().kinds;
    let within = asked.within(&client.scopes, kinds);
    let scopes = within.narrowed(kinds, |_: Verb, _| true);
    let scopes = if within.has(Word::Opens) { scopes.with(Word::Opens) } else { scopes };
    if scopes.is_nothing() {
        let others = || "no scope is left: the client is registered for others".to_owned();
        return Err(invalid(Scopes::read(text).map_or_else(|error| error.to_string(), |_| others())));
    }
    let (made, seconds) = (clinical.clock().now().unix(), clinical.settings().backend_seconds);
    let until = made.saturating_add(seconds);
    let (token, scope) = (Secret::new(), scopes.to_string());
    let holder = Holder::Software { client: client.id };
    let leave = NewLeave { holder, scopes: scopes.clone(), made, until };
    let kept = NewToken { hash: token.hash, scopes, binding, until };
    let given = clinical.records().keep_token_once((leave, kept), assertion.spent);
    match given.map_err(|error| away(&error))? {
        Given::Kept => {}
        Given::Before => return Err(replayed()),
        Given::Ended => return Err(unknown()),
    }
    let token_type = token_type(binding);
    Ok(TokenBody { access_token: token.text, token_type, expires_in: seconds, scope, ..TokenBody::default() })
}

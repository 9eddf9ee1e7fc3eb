//! A browser's way to the provider and back; of whom nobody knows here, twice, since an account is linked to who signs in just then.

use super::config::Unknown;
use super::link;
use super::provider::{NotSignedIn, Upstream, Visit};
use crate::Clinical;
use crate::auth::authorize::{self, Problem, answer_address};
use crate::auth::browser::{Answered, Browser, PATIENCE, ask, blocking, go_to, told};
use crate::auth::form::Form;
use crate::auth::idtoken;
use crate::auth::pkce::Challenge;
use crate::auth::returning;
use crate::auth::screen::{self, Wrong};
use crate::store::Sworn;
use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use medlock_node::accept::PeerInfo;
use medlock_node::clock::Clock;
use medlock_node::provider::{random, sha256};
use std::sync::Arc;

/// The steps for which tickets are sealed.
const BEGIN: &str = "upstream";
const ANSWER: &str = "upstream-answer";
/// Where it does not matter how old a sign-in is.
const ANY_AGE: i64 = -1;
/// How long a sign-in counts as done, in seconds: longer than its ticket.
pub(super) const KEPT: i64 = 3_600;

/// What the page on which one signs in offers of it: the provider's name, and where it leads.
pub(in crate::auth) fn offer(clinical: &Clinical, ticket: impl FnOnce(&str) -> String) -> Option<(&str, String)> {
    let upstream = clinical.upstream()?;
    Some((&upstream.config.name, format!("/auth/upstream?ticket={}", ticket(BEGIN))))
}

/// `GET /auth/upstream`
pub(crate) async fn begin(
    State(clinical): State<Arc<Clinical>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    blocking(clinical, move |clinical| send(clinical, &headers, &query.unwrap_or_default())).await
}

/// `GET /auth/upstream/answer`
pub(crate) async fn answer(
    State(clinical): State<Arc<Clinical>>,
    Extension(peer): Extension<PeerInfo>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let origin = peer.origin.to_string();
    blocking(clinical, move |clinical| come_back(clinical, &headers, &query.unwrap_or_default(), origin)).await
}

/// `GET /auth/upstream/keys`: what the hub proves itself with to the provider (RFC 7517 section 5).
pub(crate) async fn keys(State(clinical): State<Arc<Clinical>>) -> Response {
    let Some(key) = clinical.upstream().and_then(Upstream::key) else { return StatusCode::NOT_FOUND.into_response() };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("max-age=300")),
    ];
    match idtoken::set_of(&[(key.spki().to_vec(), key.algorithm())]) {
        Ok(set) => (headers, set).into_response(),
        Err(error) => error.into_response(),
    }
}

pub(super) fn upstream(clinical: &Clinical) -> Result<&Upstream, Problem> {
    clinical.upstream().ok_or_else(|| Problem::Told("People sign in here, and nowhere else.".to_owned()))
}

fn redirect(clinical: &Clinical) -> String {
    format!("{}/auth/upstream/answer", clinical.settings().public_url)
}

fn again() -> Problem {
    Problem::Told("This sign-in was begun in another browser, too long ago, or is done already.".to_owned())
}

fn send(clinical: &Clinical, headers: &HeaderMap, query: &str) -> Answered {
    let upstream = upstream(clinical)?;
    let form = Form::read(query.as_bytes(), &[]).map_err(|error| Problem::Told(error.description.into_owned()))?;
    let browser = Browser::of(clinical, headers);
    let asked = form.get("ticket").and_then(|ticket| browser.open(clinical, BEGIN, ticket)).ok_or_else(again)?;
    let oldest = authorize::read(clinical, &asked)?.oldest;
    go_there(clinical, upstream, (headers, &browser), &asked, oldest)
}

/// Sends the browser to the provider, for a sign-in that is not older, in seconds; with 0 the provider asks anew who sits there.
fn go_there(
    clinical: &Clinical,
    upstream: &Upstream,
    (headers, browser): (&HeaderMap, &Browser),
    asked: &[u8],
    oldest: Option<i64>,
) -> Answered {
    let now = clinical.clock().now().unix();
    let metadata = match upstream.metadata(clinical.clock()) {
        Ok(metadata) => metadata,
        Err(why) => return in_vain(clinical, headers, asked, why),
    };
    let seed = random::<32>();
    let state = [seed.as_slice(), &now.to_be_bytes(), &oldest.unwrap_or(ANY_AGE).to_be_bytes(), asked].concat();
    let state = browser.ticket(clinical, ANSWER, &state, now);
    let redirect = redirect(clinical);
    let visit = Visit { seed: &seed, begun: now, oldest, redirect: &redirect };
    let (nonce, challenge) = (visit.nonce(), Challenge::of(&visit.verifier()));
    // `sub` needs nothing more; other claims come with the profile, and so does what a person is shown before an account is linked.
    let scope = match oldest {
        Some(0) => "openid profile email",
        _ if upstream.config.claim == "sub" => "openid",
        _ => "openid profile",
    };
    let max_age = oldest.map(|seconds| seconds.to_string());
    let mut parameters = vec![
        ("response_type", "code"),
        ("client_id", upstream.config.client_id.as_str()),
        ("redirect_uri", &redirect),
        ("scope", scope),
        ("state", &state),
        ("nonce", &nonce),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    parameters.extend(max_age.as_deref().map(|seconds| ("max_age", seconds)));
    if oldest == Some(0) {
        parameters.push(("prompt", "login"));
    }
    Ok(go_to(&answer_address(&metadata.authorization, &parameters)))
}

fn come_back(clinical: &Clinical, headers: &HeaderMap, query: &str, origin: String) -> Answered {
    let upstream = upstream(clinical)?;
    let form = Form::read(query.as_bytes(), &[]).map_err(|error| Problem::Told(error.description.into_owned()))?;
    let browser = Browser::of(clinical, headers);
    let state = form.get("state").ok_or_else(again)?;
    let sealed = browser.open(clinical, ANSWER, state).ok_or_else(again)?;
    let (seed, rest) = sealed.split_first_chunk::<32>().ok_or_else(again)?;
    let (begun, rest) = rest.split_first_chunk().ok_or_else(again)?;
    let (oldest, asked) = rest.split_first_chunk().ok_or_else(again)?;
    let oldest = Some(i64::from_be_bytes(*oldest)).filter(|seconds| *seconds != ANY_AGE);
    let wish = authorize::read(clinical, asked)?;
    let redirect = redirect(clinical);
    let visit = Visit { seed, begun: i64::from_be_bytes(*begun), oldest, redirect: &redirect };
    let now = clinical.clock().now().unix();
    let question = sha256(state.as_bytes());
    // Each answer costs a call of the provider in the hub's name: also one that signs nobody in comes once.
    if !upstream.spend(question, visit.begun.saturating_add(PATIENCE), now) {
        return Err(again());
    }
    let person = match redeemed(upstream, &form, &visit, clinical.clock()) {
        Ok(person) => person,
        Err(why) => return in_vain(clinical, headers, asked, why),
    };
    let sworn = Sworn {
        issuer: upstream.config.issuer.clone(),
        claim: upstream.config.claim.clone(),
        subject: person.subject,
        question: (question, now.saturating_add(KEPT)),
        client: wish.client.id,
        origin,
    };
    let records = clinical.records();
    if let Some(account) = records.account_of(&sworn).map_err(told)? {
        let (session, signed_in) = returning::begin(person.since, now);
        if !records.sign_in_upstream(account, sworn, signed_in).map_err(told)? {
            return Err(again());
        }
        return Ok(returning::go_on(clinical, &session, asked));
    }
    // Who signed in there may be whoever sat here before: an account is only linked to who signs in now.
    if oldest != Some(0) {
        return go_there(clinical, upstream, (headers, &browser), asked, Some(0));
    }
    tracing::info!(issuer = sworn.issuer, subject = sworn.subject, "who signed in at the provider has no account here");
    match upstream.config.unknown {
        Unknown::Refuse => Ok(screen::unknown(&upstream.config.name, (&person.shown, &sworn.subject))),
        Unknown::Code => {
            let asked = String::from_utf8_lossy(asked).into_owned();
            let page = link::Pending { sworn, shown: person.shown, since: person.since, asked };
            Ok(link::page(clinical, &browser, &upstream.config.name, &page, false))
        }
    }
}

/// Who signed in, by what the browser brought from the provider.
fn redeemed(
    upstream: &Upstream,
    form: &Form,
    visit: &Visit<'_>,
    clock: &Clock,
) -> Result<super::told::Told, NotSignedIn> {
    let metadata = upstream.metadata(clock)?;
    // RFC 9207 section 2.4: before anything of the answer is used.
    let issuer = form.get("iss");
    if metadata.names_itself && issuer.is_none() || issuer.is_some_and(|said| said != upstream.config.issuer) {
        return Err(NotSignedIn::Refused("the answer is not this provider's (iss)".to_owned()));
    }
    if let Some(error) = form.get("error") {
        let error: String = error.escape_debug().take(100).collect();
        return Err(match error.as_str() {
            "server_error" | "temporarily_unavailable" => NotSignedIn::Away(error),
            _ => NotSignedIn::Refused(format!("the provider signs nobody in: {error}")),
        });
    }
    let code = form.get("code").ok_or_else(|| NotSignedIn::Refused("the answer has no code".to_owned()))?;
    upstream.redeem(&metadata, code, visit, clock.now().unix())
}

/// The page on which one signs in, again.
fn in_vain(clinical: &Clinical, headers: &HeaderMap, asked: &[u8], why: NotSignedIn) -> Answered {
    let wrong = match why {
        NotSignedIn::Away(why) => {
            tracing::warn!(why, "the provider of sign-ins is away");
            Wrong::Away
        }
        NotSignedIn::Refused(why) => {
            tracing::warn!(why, "a sign-in at the provider was refused");
            Wrong::Upstream
        }
    };
    ask(clinical, headers, asked, Err(wrong))
}

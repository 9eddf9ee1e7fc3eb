//! Back to what was asked, once somebody has signed in for it: software may want that for each question (`prompt=login`, `max_age`,
//! OpenID Connect Core, section 3.1.2.1), and who sits at a computer next is not who sat there before.

use super::browser::{Browser, SIGNED_IN, go_to, with_cookie};
use super::choice::FIND;
use super::secret::Secret;
use crate::Clinical;
use crate::store::SignedIn;
use axum::response::Response;
use medlock_node::provider::{same_secret, sha256};

/// The parameter that says that somebody has signed in for this question: ours, beside those of the software.
const FOR_THIS: &str = "signed_in";
/// The step for which its value is sealed.
const STEP: &str = "signed-in";

/// A session of who signed in at `made`, in seconds since 1970, under a new name: who knew the one before knows nothing of this.
pub(super) fn begin(made: i64, now: i64) -> (Secret, SignedIn) {
    let name = Secret::new();
    let signed_in = SignedIn { session: name.hash, made, until: now.saturating_add(SIGNED_IN) };
    (name, signed_in)
}

/// Sends a browser to what was asked.
pub(super) fn to(clinical: &Clinical, query: &str) -> Response {
    go_to(&format!("{}/auth/authorize?{query}", clinical.settings().public_url))
}

/// Sends a browser on to what was asked, with the session that has just begun for it.
pub(super) fn go_on(clinical: &Clinical, session: &Secret, query: &[u8]) -> Response {
    let browser = Browser::with_session(session.hash);
    let ticket = browser.ticket(clinical, STEP, &question(query), clinical.clock().now().unix());
    let asked = without(query, &[FOR_THIS]);
    with_cookie(clinical, &session.text, to(clinical, &format!("{asked}&{FOR_THIS}={ticket}")))
}

/// Whether the session of this browser began for this question, and not long ago.
pub(super) fn signed_in_for(clinical: &Clinical, browser: &Browser, query: &[u8]) -> bool {
    let said = form_urlencoded::parse(query).find(|(name, _)| name == FOR_THIS);
    let opened = said.and_then(|(_, ticket)| browser.open(clinical, STEP, &ticket));
    opened.is_some_and(|sealed| same_secret(&sealed, &question(query)))
}

/// SHA-256 of what the software has asked, whatever the person looks for meanwhile.
fn question(query: &[u8]) -> [u8; 32] {
    sha256(without(query, &[FOR_THIS, FIND]).as_bytes())
}

fn without(query: &[u8], ours: &[&str]) -> String {
    let others = form_urlencoded::parse(query).filter(|(name, _)| !ours.contains(&&**name));
    form_urlencoded::Serializer::new(String::new()).extend_pairs(others).finish()
}

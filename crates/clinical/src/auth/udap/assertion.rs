//! What software of a community shows at the token address (UDAP JWT-Based Client Authentication, STU 1; section 5.2 of the guide).

use super::community::ALGORITHMS;
use crate::Clinical;
use crate::auth::answer::{OAuthError, Refused};
use crate::auth::backend::refused;
use crate::auth::clients::Member;
use crate::jose::{Claims, Header, Key};
use crate::json::Node;
use std::borrow::Cow;

/// How long an assertion may be good, in seconds.
const LONGEST: i64 = 300;
/// Characters of what is logged, at most.
const MOST: usize = 256;

/// For whom software asks, and what for (section 5.2.1.1): it is logged, and gives nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::auth) struct OnBehalf {
    pub(in crate::auth) organization: String,
    pub(in crate::auth) purposes: String,
}

/// The key of a chain that the client's community vouches for now, and that names the client.
///
/// # Errors
/// Why it does not count.
pub(in crate::auth) fn key(clinical: &Clinical, member: &Member, header: &Header) -> Result<Key, OAuthError> {
    if !ALGORITHMS.contains(&header.algorithm) {
        return Err(refused("an assertion is signed with RS256, ES256, RS384 or ES384"));
    }
    let community = clinical.communities().named(&member.community);
    let community = community.ok_or_else(|| refused("the client's community is not believed here any more"))?;
    let vouched = community.vouches(&header.certificates, clinical.clock().now());
    let vouched = vouched.map_err(|why| refused(format!("the assertion's chain (x5c) does not count: {why}")))?;
    if vouched.is(&member.uri) {
        Ok(vouched.key)
    } else {
        Err(refused("the assertion's certificate names another client"))
    }
}

/// Whether an assertion says when it was made, and is good for five minutes at most.
///
/// # Errors
/// If not.
pub(in crate::auth) fn check_age(claims: &Claims) -> Result<(), OAuthError> {
    let time = |name| claims.time(name).map_err(|error| refused(format!("the assertion's claims: {error}")));
    let (made, until) = (time("iat")?.unix(), time("exp")?.unix());
    if until.saturating_sub(made) > LONGEST {
        return Err(refused(format!("the assertion's exp is more than {LONGEST} seconds behind its iat")));
    }
    Ok(())
}

/// For whom software asks in its own name.
///
/// # Errors
/// If it does not say so.
pub(in crate::auth) fn on_behalf(claims: &Claims) -> Result<OnBehalf, OAuthError> {
    let read = claims.with("extensions", |node| {
        let said = node.member("hl7-b2b")?;
        let text = |name: &str| said.member(name).and_then(Node::text).map(Cow::into_owned);
        let purposes = said.member("purpose_of_use")?.items().map(|item| item.text().map(Cow::into_owned));
        let purposes = purposes.take(MOST).collect::<Option<Vec<_>>>()?.join(" ");
        let organization = text("organization_id").filter(|text| !text.is_empty())?;
        (text("version").as_deref() == Some("1") && !purposes.is_empty()).then_some((organization, purposes))
    });
    let (organization, purposes) = read.ok_or_else(|| {
        let text = "the assertion does not say for whom it asks (extensions, hl7-b2b: version, organization_id, purpose_of_use)";
        OAuthError::new(Refused::InvalidGrant, text)
    })?;
    let short = |text: String| text.chars().take(MOST).collect();
    Ok(OnBehalf { organization: short(organization), purposes: short(purposes) })
}

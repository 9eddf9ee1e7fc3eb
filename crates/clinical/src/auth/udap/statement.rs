//! A software statement: what software wants to be registered as (section 3.1 of the guide).

use crate::auth::redirect::is_redirect;
use crate::auth::register::{MOST_ADDRESSES, is_name};
use crate::auth::scope::{Scopes, Word};
use crate::jose::{Claims, Wrong};
use medlock_node::provider::sha256;
use std::borrow::Cow;

/// How long a statement may be good, and how far clocks may differ, in seconds.
const LONGEST: i64 = 300;
const SKEW: i64 = 60;
/// How long its number is kept behind its end, in seconds: longer than clocks differ.
const KEPT: i64 = 120;
/// Texts of one claim, and characters of a number, at most.
const MOST: usize = 16;
const MOST_JTI: usize = 256;

/// How software comes to its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A person lets it.
    Code {
        /// It stays connected.
        refreshes: bool,
    },
    /// In its own name.
    Own,
}

impl Way {
    pub(super) fn grant_types(self) -> Vec<&'static str> {
        match self {
            Self::Code { refreshes: true } => vec!["authorization_code", "refresh_token"],
            Self::Code { refreshes: false } => vec!["authorization_code"],
            Self::Own => vec!["client_credentials"],
        }
    }
}

/// What it wants to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) way: Way,
    pub(super) redirects: Vec<String>,
    pub(super) scopes: Scopes,
    pub(super) contacts: Vec<String>,
    pub(super) logo: Option<String>,
}

/// A statement that its key has confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// Its number, hashed, and until when that counts as come.
    pub(super) number: ([u8; 32], i64),
    /// `None`: what was registered ends.
    pub(super) wanted: Option<Wanted>,
}

/// Why it registers nothing (RFC 7591 section 3.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// The statement itself.
    Statement(Cow<'static, str>),
    /// What it asks for.
    Metadata(Cow<'static, str>),
    /// An address for answers.
    Redirect(Cow<'static, str>),
}

/// Reads what it claims. `uri` is the address that its certificate names, `address` where it is sent to.
///
/// # Errors
/// The first check that fails answers.
pub(super) fn read(claims: &Claims, uri: &str, address: &str, now: i64) -> Result<Statement, Unfit> {
    let wrong = |error: Wrong| Unfit::Statement(format!("the software statement's claims: {error}").into());
    let need = |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(Unfit::Statement(what.into())) };
    need(claims.text("iss").map_err(wrong)? == uri, "iss is another than the certificate names")?;
    need(claims.text("sub").map_err(wrong)? == uri, "sub is not iss")?;
    if claims.audiences().map_err(wrong)? != [address] {
        return Err(Unfit::Statement(format!("aud is not {address} alone").into()));
    }
    let (made, until) = (claims.time("iat").map_err(wrong)?.unix(), claims.time("exp").map_err(wrong)?.unix());
    need(made <= now.saturating_add(SKEW), "it was made in the future (iat)")?;
    need(until > now.saturating_sub(SKEW), "it has expired")?;
    need((made..=made.saturating_add(LONGEST)).contains(&until), "exp is not within 300 seconds of iat")?;
    let number = claims.text("jti").map_err(wrong)?;
    need((1..=MOST_JTI).contains(&number.len()), "jti has no character, or more than 256")?;
    let number = sha256(&[uri.as_bytes(), b"\n", number.as_bytes()].concat());
    Ok(Statement { number: (number, until.saturating_add(KEPT)), wanted: wanted(claims)? })
}

fn wanted(claims: &Claims) -> Result<Option<Wanted>, Unfit> {
    let unfit = |text: &'static str| Unfit::Metadata(text.into());
    let texts = |name: &'static str| {
        let read = texts(claims, name);
        read.ok_or_else(|| Unfit::Metadata(format!("{name} is not a list of at most {MOST} texts").into()))
    };
    let text = |name: &'static str| claims.text(name).map_err(|error| Unfit::Metadata(error.to_string().into()));
    let grants = texts("grant_types")?.ok_or_else(|| unfit("grant_types is missing"))?;
    if grants.is_empty() {
        return Ok(None);
    }
    let way = way(&grants).ok_or_else(|| {
        unfit("grant_types is neither client_credentials, nor authorization_code, perhaps with refresh_token")
    })?;
    let name = text("client_name")?;
    if !is_name(&name) {
        return Err(unfit("client_name has no character, more than 100, or one that is invisible"));
    }
    if text("token_endpoint_auth_method")? != "private_key_jwt" {
        return Err(unfit("token_endpoint_auth_method is not private_key_jwt"));
    }
    let contacts = texts("contacts")?.unwrap_or_default();
    if !contacts.iter().any(|contact| contact.strip_prefix("mailto:").is_some_and(|address| address.contains('@'))) {
        return Err(unfit("contacts has no mailto: address"));
    }
    let scopes = Scopes::read_known(&text("scope")?).map_err(|error| Unfit::Metadata(error.to_string().into()))?;
    let (redirects, answers) = (texts("redirect_uris")?, texts("response_types")?);
    let logo = claims.optional_text("logo_uri").map_err(|error| Unfit::Metadata(error.to_string().into()))?;
    let (redirects, scopes) = match way {
        Way::Own => {
            if redirects.is_some() || answers.is_some() {
                return Err(unfit("redirect_uris and response_types are for authorization_code alone"));
            }
            (Vec::new(), scopes.of_software())
        }
        Way::Code { refreshes } => {
            let redirects = redirects.filter(|all| (1..=MOST_ADDRESSES).contains(&all.len()));
            let redirects = redirects.ok_or_else(|| unfit("redirect_uris is missing"))?;
            if let Some(no) = redirects.iter().find(|one| !one.starts_with("https://") || !is_redirect(one)) {
                return Err(Unfit::Redirect(format!("{no:?} is no https address without a fragment").into()));
            }
            if answers.is_none_or(|answers| answers != ["code"]) {
                return Err(unfit("response_types is not [\"code\"]"));
            }
            if !logo.as_ref().is_some_and(|logo| logo.starts_with("https://")) {
                return Err(unfit("logo_uri is missing, or no https address"));
            }
            let scopes = scopes.of_people();
            // What does not refresh does not stay connected.
            (redirects, if refreshes { scopes } else { scopes.without(Word::Offline).without(Word::Online) })
        }
    };
    Ok(Some(Wanted { name, way, redirects, scopes, contacts, logo }))
}

fn way(grants: &[String]) -> Option<Way> {
    let mut grants: Vec<&str> = grants.iter().map(String::as_str).collect();
    grants.sort_unstable();
    match grants.as_slice() {
        ["authorization_code"] => Some(Way::Code { refreshes: false }),
        ["authorization_code", "refresh_token"] => Some(Way::Code { refreshes: true }),
        ["client_credentials"] => Some(Way::Own),
        _ => None,
    }
}

/// A claim that is a list of texts; `Some(None)`: it is not there.
fn texts(claims: &Claims, name: &str) -> Option<Option<Vec<String>>> {
    let read = claims.with(name, |node| {
        let list = (node.sort() == crate::json::Sort::Array).then(|| {
            let texts = node.items().take(MOST + 1).map(|item| item.text().map(Cow::into_owned));
            texts.collect::<Option<Vec<_>>>().filter(|texts| texts.len() <= MOST)
        });
        Some(list.flatten())
    });
    match read {
        None => Some(None),
        Some(None) => None,
        Some(texts) => Some(texts),
    }
}

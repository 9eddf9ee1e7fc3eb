//! Who asks: registered software, and how it proves that it is itself.

use super::answer::{OAuthError, Refused, away};
use super::backend;
use super::form::{Form, wrong};
use super::scope::Scopes;
use crate::Clinical;
use crate::kind::{Id, Kind, Row};
use data_encoding::BASE64;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use medlock_node::provider::{WebAlgorithm, same_secret, sha256};

/// How software proves that it is itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It cannot: it runs where everybody sees all of it (RFC 6749 section 2.1).
    None,
    /// It has a secret, kept as its SHA-256.
    Secret([u8; 32]),
    /// It has keys: their public halves as a set, or where the set is found.
    Keys {
        /// The set (RFC 7517).
        inline: Option<String>,
        /// Its address.
        url: Option<String>,
    },
    /// It has registered by itself, and shows a chain of certificates each time (UDAP).
    Community(Member),
}

/// Software of a community, as it showed itself last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The community that vouches for it.
    pub community: String,
    /// The address that its certificates name.
    pub uri: String,
    /// The chain (DER) that it showed last, its own certificate first. It proves nothing: what was granted lives while it is valid.
    pub chain: Vec<Vec<u8>>,
}

impl Proof {
    /// As discovery names it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Secret(_) => "client_secret_basic",
            Self::Keys { .. } => "private_key_jwt",
            Self::Community(_) => "udap",
        }
    }
}

/// Registered software.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its identifier.
    pub id: String,
    /// Its name, as people are shown it.
    pub name: String,
    /// How it proves that it is itself.
    pub proof: Proof,
    /// Where codes may be sent.
    pub redirects: Vec<String>,
    /// What it may ask, at most.
    pub scopes: Scopes,
    /// How its ID tokens are signed.
    pub algorithm: WebAlgorithm,
    /// Whether it may ask what the tokens of others are.
    pub introspects: bool,
}

/// Somebody who signs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its number.
    pub number: i64,
    /// The name with which one signs in.
    pub name: String,
    /// Who it is to software (`sub`): random, and never another's.
    pub subject: String,
    /// The person's resource: its row,
    pub row: Row,
    /// its kind,
    pub kind: Kind,
    /// and its identifier.
    pub id: Id,
}

impl Account {
    /// The one patient whom the person may see; `None`: all.
    #[must_use]
    pub fn only(&self) -> Option<Row> {
        (self.kind == Kind::PATIENT).then_some(self.row)
    }
}

/// The client that asks, having proved what it is registered to prove. `address` is where it asks.
///
/// # Errors
/// When it is unknown, or has proved something else, or in two ways.
pub(super) fn authenticate(
    clinical: &Clinical,
    form: &Form,
    headers: &HeaderMap,
    address: &str,
) -> Result<Client, OAuthError> {
    let basic = basic(headers)?;
    let (secret, assertion) = (form.get("client_secret"), form.get("client_assertion"));
    if [basic.is_some(), secret.is_some(), assertion.is_some()].iter().filter(|one| **one).count() > 1 {
        return Err(wrong("the client is authenticated in two ways: choose one"));
    }
    if assertion.is_some() {
        let (client, assertion) = backend::assertion(clinical, form, address)?;
        let new = clinical.records().spend_assertion(&client.id, assertion.spent);
        return if new.map_err(|error| away(&error))? { Ok(client) } else { Err(backend::replayed()) };
    }
    let (id, secret) = match &basic {
        Some((id, secret)) if form.get("client_id").is_none_or(|said| said == id) => {
            (id.clone(), Some(secret.as_str()))
        }
        Some(_) => return Err(wrong("client_id is another than that of Authorization")),
        None => (client_named(clinical, form)?, secret),
    };
    let client = clinical.client(&id).map_err(|error| away(&error))?;
    let right = match (client.as_ref().map(|client| &client.proof), secret) {
        (Some(Proof::None), None) => true,
        (Some(Proof::Secret(expected)), Some(secret)) => same_secret(&sha256(secret.as_bytes()), expected),
        _ => false,
    };
    client.filter(|_| right).ok_or_else(|| {
        OAuthError::new(
            Refused::InvalidClient,
            "the client is unknown, or does not prove what it is registered to prove",
        )
    })
}

/// The client that a request names. Who refreshes need not say who it is: the refresh token does (RFC 6749 section 6).
fn client_named(clinical: &Clinical, form: &Form) -> Result<String, OAuthError> {
    let refreshes = form.get("grant_type") == Some("refresh_token") && form.get("client_id").is_none();
    if let Some(token) = form.get("refresh_token").filter(|_| refreshes) {
        let kept = clinical.records().refresh_token(sha256(token.as_bytes())).map_err(|error| away(&error))?;
        if let Some(kept) = kept {
            return Ok(kept.client);
        }
    }
    form.need("client_id").map(str::to_owned)
}

/// Identifier and secret of HTTP Basic, each encoded as in a form (RFC 6749 section 2.3.1).
fn basic(headers: &HeaderMap) -> Result<Option<(String, String)>, OAuthError> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (Some(one), None) = (all.next(), all.next()) else {
        return if headers.contains_key(AUTHORIZATION) { Err(wrong("Authorization stands twice")) } else { Ok(None) };
    };
    let read = || {
        let (scheme, text) = one.to_str().ok()?.split_once(' ')?;
        let decoded = BASE64.decode(text.as_bytes()).ok().filter(|_| scheme.eq_ignore_ascii_case("Basic"))?;
        let decoded = String::from_utf8(decoded).ok()?;
        let (id, secret) = decoded.split_once(':')?;
        // A name and a value: what a form's parser takes apart.
        let part = |text: &str| {
            let form = format!("x={text}");
            form_urlencoded::parse(form.as_bytes()).next().map(|(_, value)| value.into_owned())
        };
        Some((part(id)?, part(secret)?))
    };
    read().map(Some).ok_or_else(|| wrong("Authorization is not: Basic and base64 of client and secret"))
}

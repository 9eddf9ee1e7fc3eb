//! Tokens for software that a person uses: for a code, and for a refresh token.

use super::answer::{OAuthError, Refused, TokenBody, away, token_type};
use super::clients::{Account, Client};
use super::form::Form;
use super::idtoken;
use super::launch::Context;
use super::pkce::Challenge;
use super::scope::{Scopes, Word};
use super::secret::Secret;
use crate::Clinical;
use crate::access::Binding;
use crate::kind::{Kind, Row};
use crate::store::{Given, NewRefresh, NewToken};
use medlock_node::provider::{same_secret, sha256};

fn invalid(text: &'static str) -> OAuthError {
    OAuthError::new(Refused::InvalidGrant, text)
}

/// What was granted, and to whom.
struct Granted<'a> {
    client: &'a Client,
    account: Account,
    patient: Option<Row>,
    /// All of it.
    scopes: Scopes,
    /// What else is told with it.
    context: Context,
    /// For an ID token.
    nonce: Option<String>,
    signed_in: Option<i64>,
}

/// Tokens with what they have to keep.
struct Issued {
    token: (Secret, NewToken),
    refresh: Option<(Secret, NewRefresh)>,
}

/// Tokens for a code (RFC 6749 section 4.1.3), bound to what the request proves. The first check that fails answers. Blocks.
pub(super) fn redeem(
    clinical: &Clinical,
    client: &Client,
    form: &Form,
    binding: Binding,
) -> Result<TokenBody, OAuthError> {
    let hash = sha256(form.need("code")?.as_bytes());
    let now = clinical.clock().now().unix();
    let records = clinical.records();
    let code = records.code(hash).map_err(|error| away(&error))?;
    let code = code.filter(|code| code.client == client.id).ok_or_else(|| invalid("the code is not known"))?;
    if code.used || code.ended {
        tracing::warn!(client = client.id, "a code came twice: all that was granted by it has ended");
        clinical.end_leave(code.leave).map_err(|error| away(&error))?;
        return Err(invalid("the code came before: what was granted by it has ended"));
    }
    if form.get("redirect_uri") != Some(code.redirect.as_str()) {
        return Err(invalid("redirect_uri is not the one to which the code was sent"));
    }
    let verifier = form.get("code_verifier").unwrap_or_default();
    if !Challenge::from_bytes(code.challenge).is_met_by(verifier) {
        // Who guesses, guesses once.
        records.redeem(hash, None).map_err(|error| away(&error))?;
        return Err(invalid("code_verifier is not what code_challenge was made of"));
    }
    if code.until <= now {
        return Err(invalid("the code has expired: ask for another one"));
    }
    if !is_by(code.key, binding) {
        return Err(invalid("the code was asked for with a key (dpop_jkt), and this request does not prove it"));
    }
    let account = account(clinical, code.account)?;
    let (patient, scopes, nonce) = (code.patient, code.scopes, code.nonce);
    let context = code.context.as_deref().map(Context::read).unwrap_or_default();
    let granted = Granted { client, account, patient, scopes, context, nonce, signed_in: Some(code.signed_in) };
    let issued = issue(clinical, &granted.scopes, &granted.scopes, binding, now);
    // The person's ID token is made before anything is spent.
    let body = body(clinical, &granted, &issued, &granted.scopes, now)?;
    let tokens = (issued.token.1, issued.refresh.map(|(_, kept)| kept));
    match records.redeem(hash, Some(tokens)).map_err(|error| away(&error))? {
        Given::Kept => Ok(body),
        Given::Before => {
            clinical.forget_leave(code.leave);
            Err(invalid("the code came before: what was granted by it has ended"))
        }
        Given::Ended => Err(invalid("what was granted by the code has ended")),
    }
}

/// Tokens for a refresh token (RFC 6749 section 6), which serves no more. The first check that fails answers. Blocks.
pub(super) fn refresh(
    clinical: &Clinical,
    client: &Client,
    form: &Form,
    binding: Binding,
) -> Result<TokenBody, OAuthError> {
    let hash = sha256(form.need("refresh_token")?.as_bytes());
    let now = clinical.clock().now().unix();
    let records = clinical.records();
    let kept = records.refresh_token(hash).map_err(|error| away(&error))?;
    let kept = kept.filter(|kept| kept.client == client.id).ok_or_else(|| invalid("the refresh token is not known"))?;
    if kept.used {
        tracing::warn!(client = client.id, "a refresh token came twice: all that was granted with it has ended");
        clinical.end_leave(kept.leave).map_err(|error| away(&error))?;
        return Err(invalid("the refresh token came before: what was granted with it has ended"));
    }
    if kept.until <= now {
        return Err(invalid("the refresh token has expired"));
    }
    if !is_by(kept.key, binding) {
        return Err(invalid("the refresh token is bound to a key, and this request does not prove it"));
    }
    let account = account(clinical, kept.account)?;
    let kinds = &clinical.settings().kinds;
    let scopes = match form.get("scope") {
        None => kept.scopes.clone(),
        Some(asked) => {
            let asked =
                Scopes::read(asked).map_err(|error| OAuthError::new(Refused::InvalidScope, error.to_string()))?;
            if asked.within(&kept.scopes, kinds) != asked {
                return Err(OAuthError::new(Refused::InvalidScope, "more is asked than was granted"));
            }
            asked
        }
    };
    // What the client is registered for may have become less.
    let scopes = scopes.within(&client.scopes, kinds);
    let context = kept.context.as_deref().map(Context::read).unwrap_or_default();
    let (patient, granted) = (kept.patient, kept.scopes);
    let granted = Granted { client, account, patient, scopes: granted, context, nonce: None, signed_in: None };
    let issued = issue(clinical, &scopes, &granted.scopes, binding, now);
    let Issued { token, refresh: Some(next) } = issued else { return Err(invalid("nothing is refreshed here")) };
    match records.rotate(hash, token.1.clone(), next.1).map_err(|error| away(&error))? {
        Given::Kept => {}
        Given::Before => {
            clinical.forget_leave(kept.leave);
            return Err(invalid("the refresh token came before: what was granted with it has ended"));
        }
        Given::Ended => return Err(invalid("what was granted with the refresh token has ended")),
    }
    body(clinical, &granted, &Issued { token, refresh: Some(next) }, &scopes, now)
}

/// Whether the request proves the key that something is bound to, if it is bound to one.
fn is_by(key: Option<[u8; 32]>, binding: Binding) -> bool {
    key.is_none_or(|key| matches!(binding, Binding::Key(shown) if same_secret(&shown, &key)))
}

fn account(clinical: &Clinical, number: i64) -> Result<Account, OAuthError> {
    let account = clinical.records().account(number).map_err(|error| away(&error))?;
    account.ok_or_else(|| invalid("the person's account has ended"))
}

fn issue(clinical: &Clinical, scopes: &Scopes, granted: &Scopes, binding: Binding, now: i64) -> Issued {
    let settings = clinical.settings();
    let (token, refresh) = (Secret::new(), Secret::new());
    let until = now.saturating_add(settings.access_seconds);
    let kept = NewToken { hash: token.hash, scopes: scopes.clone(), binding, until };
    // Without the person it lives for long, else as long as one is signed in.
    let lives = if granted.has(Word::Offline) { settings.refresh_seconds } else { 12 * 3_600 };
    let next = NewRefresh { hash: refresh.hash, until: now.saturating_add(lives) };
    let refreshes = granted.has(Word::Offline) || granted.has(Word::Online);
    Issued { token: (token, kept), refresh: refreshes.then_some((refresh, next)) }
}

fn body(
    clinical: &Clinical,
    granted: &Granted<'_>,
    issued: &Issued,
    scopes: &Scopes,
    now: i64,
) -> Result<TokenBody, OAuthError> {
    let Granted { client, account, patient, context, nonce, signed_in, .. } = granted;
    let patient = match patient {
        None => None,
        Some(row) if *row == account.row && account.kind == Kind::PATIENT => Some(account.id),
        Some(row) => clinical.records().id_of(*row).map_err(|error| away(&error))?,
    };
    let id_token = if scopes.has(Word::OpenId) {
        let fhir_user = scopes.has(Word::FhirUser);
        let person = idtoken::Person { client, account, nonce: nonce.as_deref(), signed_in: *signed_in, fhir_user };
        Some(idtoken::of(clinical, &person, now)?)
    } else {
        None
    };
    Ok(TokenBody {
        access_token: issued.token.0.text.clone(),
        token_type: token_type(issued.token.1.binding),
        expires_in: clinical.settings().access_seconds,
        scope: scopes.to_string(),
        refresh_token: issued.refresh.as_ref().map(|(refresh, _)| refresh.text.clone()),
        id_token,
        need_patient_banner: patient.is_some().then_some(context.need_patient_banner.unwrap_or(true)),
        fhir_context: context.fhir_context.clone(),
        intent: context.intent.clone(),
        patient: patient.map(|id| id.to_string()),
    })
}

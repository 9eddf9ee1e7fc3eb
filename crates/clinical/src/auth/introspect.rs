//! What a token is (RFC 7662), and the end of it (RFC 7009).

use super::answer::{OAuthError, Refused, away};
use super::clients::{Client, Proof};
use super::form::Form;
use crate::Clinical;
use crate::access::{Binding, Grant, Holder};
use data_encoding::BASE64URL_NOPAD;
use medlock_node::provider::sha256;
use serde_json::{Value, json};

/// Whose a token is, as far as clients are concerned.
fn client_of(holder: &Holder) -> Option<&str> {
    match holder {
        Holder::Device { .. } => None,
        Holder::Software { client } | Holder::Person { client, .. } => Some(client),
    }
}

/// What the client is told about a token: nothing about one that is none, or not its own. Blocks.
pub(super) fn introspect(clinical: &Clinical, client: &Client, form: &Form) -> Result<Value, OAuthError> {
    if client.proof == Proof::None {
        let text = "who asks what a token is proves who it is";
        return Err(OAuthError::new(Refused::UnauthorizedClient, text));
    }
    let token = form.need("token")?;
    let grant = clinical.records().token(sha256(token.as_bytes())).map_err(|error| away(&error))?;
    let now = clinical.clock().now().unix();
    let told =
        |grant: &Grant| grant.until > now && (client.introspects || client_of(&grant.holder) == Some(&client.id));
    let grant = grant.filter(told).filter(|grant| clinical.gate().vouched(grant).is_ok());
    match grant.map(|grant| clinical.gate().bounded(grant)) {
        None => Ok(json!({ "active": false })),
        Some(grant) => active(clinical, &grant),
    }
}

fn active(clinical: &Clinical, grant: &Grant) -> Result<Value, OAuthError> {
    let issuer = &clinical.settings().public_url;
    let mut told = json!({
        "active": true, "iss": issuer, "scope": grant.scopes.to_string(), "exp": grant.until, "token_type": "Bearer",
    });
    let mut tell =
        |name: &str, value: Value| _ = told.as_object_mut().and_then(|told| told.insert(name.to_owned(), value));
    match &grant.holder {
        Holder::Device { name, .. } => {
            tell("client_id", name.as_str().into());
            tell("sub", name.as_str().into());
        }
        Holder::Software { client } => {
            tell("client_id", client.as_str().into());
            tell("sub", client.as_str().into());
        }
        Holder::Person { account, client, patient } => {
            tell("client_id", client.as_str().into());
            let account = clinical.records().account(*account).map_err(|error| away(&error))?;
            if let Some(account) = account {
                tell("sub", account.subject.as_str().into());
                tell("fhirUser", format!("{issuer}/fhir/{}/{}", account.kind, account.id).into());
            }
            let patient = patient.map(|row| clinical.records().id_of(row)).transpose().map_err(|error| away(&error))?;
            if let Some(patient) = patient.flatten() {
                tell("patient", patient.to_string().into());
            }
        }
    }
    match grant.binding {
        Binding::Bearer => {}
        Binding::Certificate { certificate, .. } => {
            tell("cnf", json!({ "x5t#S256": BASE64URL_NOPAD.encode(&certificate) }));
        }
        Binding::Key(bound) => {
            tell("token_type", "DPoP".into());
            tell("cnf", json!({ "jkt": BASE64URL_NOPAD.encode(&bound) }));
        }
    }
    Ok(told)
}

/// Ends what the client's own token stands for, with all tokens of it; of others nothing is said. Blocks.
pub(super) fn revoke(clinical: &Clinical, client: &Client, form: &Form) -> Result<(), OAuthError> {
    let hash = sha256(form.need("token")?.as_bytes());
    let records = clinical.records();
    let access = records.token(hash).map_err(|error| away(&error))?;
    let access = access.filter(|grant| client_of(&grant.holder) == Some(&client.id)).map(|grant| grant.leave);
    let leave = match access {
        Some(leave) => Some(leave),
        None => {
            let refresh = records.refresh_token(hash).map_err(|error| away(&error))?;
            refresh.filter(|refresh| refresh.client == client.id).map(|refresh| refresh.leave)
        }
    };
    match leave {
        Some(leave) => clinical.end_leave(leave, clinical.clock().now().unix()).map_err(|error| away(&error)),
        None => Ok(()),
    }
}

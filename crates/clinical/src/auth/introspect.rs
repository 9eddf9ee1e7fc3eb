//! What a token is (RFC 7662), and the end of it (RFC 7009).

use super::answer::{OAuthError, away};
use super::clients::Client;
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
    let hash = sha256(form.need("token")?.as_bytes());
    let grant = clinical.records().token(hash).map_err(|error| away(&error))?;
    let now = clinical.clock().now().unix();
    let told =
        |grant: &Grant| grant.until > now && (client.introspects || client_of(&grant.holder) == Some(&client.id));
    let grant = grant.filter(told).filter(|grant| clinical.gate().vouched(grant).is_ok());
    let grant = match grant.map(|grant| clinical.gate().bounded(grant)) {
        Some(grant) => standing(clinical, hash, grant)?,
        None => None,
    };
    grant.map_or_else(|| Ok(json!({ "active": false })), |grant| active(clinical, &grant))
}

/// What of a device's token it could use here at this moment: who asks sees neither the register nor the news of thefts.
fn standing(clinical: &Clinical, hash: [u8; 32], grant: Grant) -> Result<Option<Grant>, OAuthError> {
    let Holder::Device { name, own } = &grant.holder else { return Ok(Some(grant)) };
    let device = clinical.devices().device(name).map_err(|error| away(&error))?;
    let chain = clinical.records().chain_of_token(hash).map_err(|error| away(&error))?;
    let chain: Vec<_> = chain.into_iter().map(Into::into).collect();
    let (Some(device), Ok(who)) = (device, clinical.knowledge().identify(&chain)) else { return Ok(None) };
    if own.is_none() && !device.is_gateway(&who) {
        return Ok(None);
    }
    let left = grant.scopes.narrowed(&clinical.settings().kinds, |verb, kind| {
        let may = |operation| clinical.knowledge().judge(&who, operation).is_allowed();
        verb.operation(kind).is_some_and(may) && verb.needs_too(kind).is_none_or(may)
    });
    Ok((!left.is_empty()).then(|| grant.good_for(left)))
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
        Some(leave) => clinical.end_leave(leave).map_err(|error| away(&error)),
        None => Ok(()),
    }
}

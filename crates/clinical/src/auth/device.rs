//! A device asks for a token with its operational credential.

use super::answer::{OAuthError, Refused, TokenBody, away};
use super::form::Form;
use super::scope::Scopes;
use super::secret::Secret;
use crate::access::{Binding, Holder, Verb, names_its_device, verified};
use crate::kind::{Kind, Row};
use crate::seam::RegisteredDevice;
use crate::store::{Given, NewLeave, NewToken};
use crate::{Clinical, DEVICE_SYSTEM};
use medlock_node::accept::PeerInfo;
use medlock_node::provider::sha256;
use medlock_trust::authenticate::CredentialKind;
use medlock_trust::{Identified, Operation, Verdict};

/// The checks, one after the other; the first that fails answers. Blocks.
pub(super) fn token(clinical: &Clinical, peer: &PeerInfo, form: &Form) -> Result<TokenBody, OAuthError> {
    let (Some(who), Some(certificate)) = (&peer.identified, peer.chain.first()) else {
        let text = "show the device's operational credential as client certificate";
        return Err(OAuthError::new(Refused::InvalidClient, text));
    };
    if form.grant_type()? != "client_credentials" {
        return Err(OAuthError::new(Refused::UnsupportedGrantType, "a device asks with grant_type=client_credentials"));
    }
    if form.get("client_id").is_some_and(|client| client != who.device_name().as_str()) {
        let text = "client_id is another than the name in the certificate: leave it out";
        return Err(OAuthError::new(Refused::InvalidClient, text));
    }
    if who.kind() != CredentialKind::Operational {
        let text = "birth-credential: enrol the device at its site and use its operational credential";
        return Err(OAuthError::new(Refused::InvalidClient, text));
    }
    let device = registered(clinical, who)?;
    let asked = Scopes::read(form.get("scope").unwrap_or_default())
        .map_err(|error| OAuthError::new(Refused::InvalidScope, error.to_string()))?;
    if asked.is_empty() {
        return Err(OAuthError::new(
            Refused::InvalidScope,
            "say for what the token shall be: scope=system/Observation.c",
        ));
    }
    let is_gateway = device.is_gateway(who);
    let scopes = permitted(clinical, who, &asked, is_gateway)?;
    let own = if is_gateway { None } else { Some(own_row(clinical, who)?) };
    let token = Secret::new();
    let (made, seconds) = (clinical.clock().now().unix(), clinical.settings().access_seconds);
    let scope = scopes.to_string();
    let until = made.saturating_add(seconds);
    let holder = Holder::Device { name: *who.device_name(), own };
    let leave = NewLeave { holder, scopes: scopes.clone(), made, until };
    let kept = NewToken {
        hash: token.hash,
        scopes,
        binding: Binding::Certificate { certificate: sha256(certificate), credential: who.credential() },
        until,
    };
    let given = clinical.records().keep_token(leave, kept, verified(&peer.chain, who));
    match given.map_err(|error| away(&error))? {
        Given::Kept => {}
        Given::Before | Given::Ended => {
            let text = "the device has just been bound to another Device, or released: ask again";
            return Err(OAuthError::new(Refused::UnauthorizedClient, text));
        }
    }
    Ok(TokenBody { access_token: token.text, token_type: "Bearer", expires_in: seconds, scope, ..TokenBody::default() })
}

fn registered(clinical: &Clinical, who: &Identified) -> Result<RegisteredDevice, OAuthError> {
    let device = clinical.devices().device(who.device_name()).map_err(|error| away(&error))?;
    device.ok_or_else(|| OAuthError::new(Refused::InvalidClient, "the device is not in the register of this site"))
}

/// What of `asked` the verdict allows at this moment. Of a device that works for itself, only kinds that name their device.
fn permitted(clinical: &Clinical, who: &Identified, asked: &Scopes, is_gateway: bool) -> Result<Scopes, OAuthError> {
    let operations = [Operation::Read, Operation::Report, Operation::Store];
    let verdicts = operations.map(|operation| (operation, clinical.knowledge().judge(who, operation)));
    let verdict = |verb: Verb, kind: Kind| {
        let of = |operation: Operation| verdicts.iter().find(|(of, _)| *of == operation).map(|(_, verdict)| verdict);
        let own = of(verb.operation(kind)?)?;
        let too = verb.needs_too(kind).and_then(of).filter(|too| !too.is_allowed());
        Some(too.filter(|_| own.is_allowed()).unwrap_or(own))
    };
    let reaches = |verb: Verb, kind: Kind| {
        // A device neither makes nor changes devices and patients.
        let reads = matches!(verb, Verb::Read | Verb::Search);
        let own = names_its_device(kind) && (reads || !matches!(kind, Kind::DEVICE | Kind::PATIENT));
        // Nor does it state consents, nor is it told anything.
        let others = kind == Kind::CONSENT && !reads || kind == Kind::SUBSCRIPTION;
        (is_gateway || own) && !others && verb.operation(kind).is_some()
    };
    let kinds = &clinical.settings().kinds;
    let served = asked.narrowed(kinds, reaches);
    if served.is_empty() {
        let text = "no scope is left of those that were asked: a device asks for system/..., and one that is no gateway has its own alone";
        return Err(OAuthError::new(Refused::InvalidScope, text));
    }
    let allowed = |verb, kind| verdict(verb, kind).is_some_and(Verdict::is_allowed);
    let scopes = served.narrowed(kinds, allowed);
    if !scopes.is_empty() {
        return Ok(scopes);
    }
    let each = served.resources().iter().flat_map(|scope| scope.verbs.iter().map(move |verb| (verb, scope.kind)));
    let denied = each.filter_map(|(verb, kind)| match verdict(verb, kind?)? {
        Verdict::Deny(denied) => Some(denied.code),
        Verdict::Allow(_) => None,
    });
    let why = denied.map(|code| format!("{}: {}", code.as_str(), code.remedy())).next();
    Err(OAuthError::new(Refused::UnauthorizedClient, why.unwrap_or_default()))
}

/// The resource that a device is.
fn own_row(clinical: &Clinical, who: &Identified) -> Result<Row, OAuthError> {
    let row = clinical.records().row_of_device(who.device_name()).map_err(|error| away(&error))?;
    row.ok_or_else(|| {
        let identifier = format!("{DEVICE_SYSTEM}|{}", who.device_name());
        let text = format!(
            "no Device here is {identifier}: have a gateway of the site write it, or the administrator say which one it is"
        );
        OAuthError::new(Refused::UnauthorizedClient, text)
    })
}

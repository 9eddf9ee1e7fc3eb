//! A maker's authorised signing authority (MASA): vouchers for sites to which a device was sold.
//!
//! Whose a device is, the maker's record says; who asks is found out from the signatures. Nobody becomes an owner by asking.

use super::{Decided, Rejected, answer, is_voucher_request, unsupported};
use crate::voucher::{VoucherForm, VoucherOrder};
use crate::{Authority, Error};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use data_encoding::{BASE64, HEXLOWER};
use http::{HeaderMap, StatusCode};
use medlock_node::brski::cms::SignedJson;
use medlock_node::brski::{REGISTRAR_PURPOSE, REQUEST_VOUCHER, VoucherRequest, is_for};
use medlock_node::provider::{self, AwsLc};
use medlock_trust::path::{self, AuthorityKind};
use medlock_trust::x509::Certificate;
use medlock_trust::{Anchor, Budget, DeviceName, Role};
use std::sync::Arc;

/// For how many days a voucher without a nonce is good that was asked for over the network.
const DAYS: u32 = 365;

pub(crate) fn router() -> Router<Arc<Authority>> {
    Router::new().route(REQUEST_VOUCHER, post(request_voucher))
}

async fn request_voucher(State(authority): State<Arc<Authority>>, headers: HeaderMap, body: Bytes) -> Response {
    if !is_voucher_request(&headers) {
        return unsupported();
    }
    let made = tokio::task::spawn_blocking(move || authority.asked_for_voucher(&body)).await;
    answer(made.unwrap_or_else(|error| Err(Error::Conflict(format!("it was not finished: {error}")))))
}

impl Authority {
    /// A voucher for the site whose registrar signed this request (RFC 8995 section 5.5), or why it gets none.
    ///
    /// # Errors
    /// Store and signer.
    pub(crate) fn asked_for_voucher(&self, body: &[u8]) -> Decided<Vec<u8>> {
        let order = match self.order_of(body)? {
            Ok(order) => order,
            Err(rejected) => return Ok(Err(rejected)),
        };
        match self.issue_voucher(&order) {
            Err(error @ (Error::Conflict(_) | Error::Invalid { .. })) => {
                Ok(Err(Rejected::forbidden(error.to_string())))
            }
            made => made.map(Ok),
        }
    }

    fn order_of(&self, body: &[u8]) -> Decided<VoucherOrder> {
        let read =
            SignedJson::read(body).and_then(|signed| VoucherRequest::read(signed.json).map(|read| (signed, read)));
        let (signed, request) = match read {
            Ok(read) => read,
            Err(why) => return Ok(Err(Rejected::malformed(why))),
        };
        let domain = match domain(&signed.chain) {
            Ok(domain) => domain,
            Err(rejected) => return Ok(Err(rejected)),
        };
        let serial = &request.serial_number;
        let births = match DeviceName::new(serial) {
            Some(name) => self.store.credentials_of(name)?,
            None => Vec::new(),
        };
        let births: Vec<_> =
            births.into_iter().filter(|one| one.record.purpose == crate::store::Purpose::Birth).collect();
        if births.is_empty() {
            let reason = format!("{} gave no device the serial {serial}", self.name());
            return Ok(Err(Rejected::new(StatusCode::NOT_FOUND, reason)));
        }
        if let Some(prior) = &request.prior {
            let pledge = match pledge(prior, &request, &signed) {
                Ok(pledge) => pledge,
                Err(rejected) => return Ok(Err(rejected)),
            };
            let Some(birth) = births.iter().find(|birth| birth.certificate == pledge) else {
                let reason = format!("the device's request is not signed with the birth credential of {serial}");
                return Ok(Err(Rejected::forbidden(reason)));
            };
            if let Some(standing) = self.worst(birth)? {
                let reason = format!("the birth credential of {serial} does not count any more: {}", standing.reason);
                return Ok(Err(Rejected::forbidden(reason)));
            }
        } else if request.nonce.is_some() {
            return Ok(Err(Rejected::malformed("a nonce counts in the device's own signed request only")));
        }
        match self.owner(serial)? {
            Some(owner) if owner == domain.fingerprint => {}
            Some(_) => {
                let reason = format!("{serial} belongs to another owner, who has to let it go first");
                return Ok(Err(Rejected::forbidden(reason)));
            }
            None => {
                let reason = format!("as far as {} knows, nobody bought {serial}: ask whoever sold it", self.name());
                return Ok(Err(Rejected::forbidden(reason)));
            }
        }
        let days = request.nonce.is_none().then_some(DAYS);
        let nonce = request.nonce.as_ref().map(|nonce| HEXLOWER.encode(nonce));
        let domain = BASE64.encode(domain.root);
        Ok(Ok(VoucherOrder { serial: serial.clone(), domain, nonce, days, form: VoucherForm::Cms }))
    }
}

/// Who asks: the root of the site whose registrar signed.
struct Domain<'a> {
    root: &'a [u8],
    fingerprint: [u8; 32],
}

fn domain<'a>(chain: &[&'a [u8]]) -> Result<Domain<'a>, Rejected> {
    let rootless = || Rejected::malformed("the chain of its signer does not lead to the root of a site");
    let root = chain.iter().find(|der| Certificate::from_der(der).is_ok_and(|read| read.is_self_issued()));
    let read = root.and_then(|der| Certificate::from_der(der).ok().map(|read| (*der, read)));
    let (root, read) = read.ok_or_else(rootless)?;
    let anchor = Anchor::for_everything(&read, AuthorityKind::Site, &AwsLc).ok_or_else(rootless)?;
    let path = path::validate(chain, &[anchor], &mut Budget::default(), &AwsLc).map_err(Rejected::malformed)?;
    let roles = path.leaf().extensions().role().map(|role| role.roles);
    if !is_for(path.leaf(), REGISTRAR_PURPOSE) && !roles.is_some_and(|roles| roles.contains(Role::Hub)) {
        return Err(Rejected::forbidden("who signed it is no registrar (id-kp-cmcRA) of its site"));
    }
    Ok(Domain { root, fingerprint: provider::sha256(read.spki()) })
}

/// The certificate of the device that asked first, if it asked for what its registrar passes on, and asked this registrar.
fn pledge(prior: &[u8], request: &VoucherRequest, registrar: &SignedJson<'_>) -> Result<Vec<u8>, Rejected> {
    let signed = SignedJson::read(prior).map_err(Rejected::malformed)?;
    let own = VoucherRequest::read(signed.json).map_err(Rejected::malformed)?;
    if own.serial_number != request.serial_number || own.nonce != request.nonce {
        return Err(Rejected::malformed("it says something else than the device's own request in it"));
    }
    if own.proximity.as_deref() != registrar.chain.first().copied() {
        return Err(Rejected::forbidden("the device asked another registrar (proximity-registrar-cert)"));
    }
    signed
        .chain
        .first()
        .map(|der| der.to_vec())
        .ok_or_else(|| Rejected::malformed("its signer's certificate is missing"))
}

//! A site's registrar: it passes the requests of registered devices on to their makers, and judges what comes back. Devices
//! that nobody registered get nothing, and are shown to the operator.

mod history;
mod pledges;

pub use pledges::PledgeView;

use super::{Decided, Rejected, answer, is_voucher_request, reach, text, unsupported};
use crate::enrolment::maker_serial;
use crate::{Authority, Error, MadeAs, status};
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use axum::{Extension, Router};
use http::{HeaderMap, Method, StatusCode};
use medlock_node::accept::PeerInfo;
use medlock_node::brski::cms::SignedJson;
use medlock_node::brski::{
    self, ENROLL_STATUS, MAX_MESSAGE, MasaUrl, REQUEST_VOUCHER, Telemetry, VOUCHER_CMS, VOUCHER_STATUS, VoucherRequest,
};
use medlock_node::http::{Client, Limits};
use medlock_node::tls::{Believed, Connector};
use medlock_trust::authenticate::CredentialKind;
use medlock_trust::x509::Certificate;
use medlock_trust::{DeviceName, Identified, KeyId, Role};
use std::sync::Arc;
use std::time::Duration;

/// What a question to a MASA may cost.
const LIMITS: Limits =
    Limits { connect: Duration::from_secs(5), request: Duration::from_secs(15), body_bytes: MAX_MESSAGE };
/// The alarm that a registered device is here, and its maker gives no voucher for it.
pub(crate) const NO_VOUCHER: &str = "no-voucher";
/// How often at most that is counted, of one device.
const TOLD_AGAIN_SECONDS: i64 = 60;
/// The most letters of a reason that somebody else gave.
const MAX_REASON: usize = 300;

pub(crate) fn router() -> Router<Arc<Authority>> {
    Router::new()
        .route(REQUEST_VOUCHER, post(request_voucher))
        .route(VOUCHER_STATUS, post(voucher_status))
        .route(ENROLL_STATUS, post(|state, peer, body| told(state, peer, body, "enrolment-failed")))
}

/// What a registered device asks its maker through this site.
struct Passed {
    request: VoucherRequest,
    /// The maker's key on the trust list that vouches for the device.
    maker: KeyId,
    masa: Option<MasaUrl>,
    /// From where it asked.
    from: String,
    /// The registrar's own request, signed.
    message: Vec<u8>,
}

/// What became of a question to a MASA.
enum Asked {
    Gave(Vec<u8>),
    /// It answers, and says no.
    Refused(String),
    /// It does not answer, or somebody else does.
    Away(String),
}

async fn request_voucher(
    State(authority): State<Arc<Authority>>,
    Extension(peer): Extension<PeerInfo>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !is_voucher_request(&headers) {
        return unsupported();
    }
    let site = authority.clone();
    let passed = blocking(move || site.pass_on(&peer, &body)).await;
    let passed = match passed {
        Ok(Ok(passed)) => passed,
        Ok(Err(rejected)) => return answer(Ok(Err(rejected))),
        Err(error) => return answer(Err(error)),
    };
    let asked = match &passed.masa {
        Some(masa) => ask(&authority, masa, passed.maker, "requestvoucher", passed.message.clone()).await,
        None => Asked::Away("its birth credential does not say where".to_owned()),
    };
    answer(blocking(move || authority.judge_voucher(&passed, asked)).await)
}

/// Asks a MASA that shows a certificate of the maker of this device: nobody else's word would count.
async fn ask(authority: &Authority, masa: &MasaUrl, maker: KeyId, resource: &str, message: Vec<u8>) -> Asked {
    let places = match reach::places(masa, &authority.rules().masas).await {
        Ok(places) => places,
        Err(why) => return Asked::Away(why),
    };
    let away = |error: medlock_node::Error| Asked::Away(error.to_string());
    let believed = Believed::Knowledge(authority.knowledge().clone());
    let connector = match Connector::new(None, believed, None) {
        Ok(connector) => connector,
        Err(error) => return away(error),
    };
    let client = Client::tls(masa.address.as_str(), connector).at(places).with_limits(LIMITS);
    let mut connection = match client.connection().await {
        Ok(connection) => connection,
        Err(error) => return away(error),
    };
    let who = authority.knowledge().identify(connection.chain()).ok();
    let own = connection.chain().first().and_then(|own| Certificate::from_der(own).ok());
    let serves = own.is_some_and(|own| brski::is_for(&own, crate::encode::oid::SERVER_AUTH));
    if !serves || who.is_none_or(|who| who.authority() != Some(maker) || !who.claimed_roles().contains(Role::Hub)) {
        return Asked::Away(format!("{} is not run by the maker of the device", masa.address));
    }
    let request = client.request(Method::POST, &masa.path(resource), Some(VOUCHER_CMS), message.into());
    let answered = match request {
        Ok(request) => connection.send(request).await,
        Err(error) => Err(error),
    };
    let answered = match answered {
        Ok(answered) => answered,
        Err(error) => return away(error),
    };
    let said = || {
        let text = String::from_utf8_lossy(answered.body()).into_owned();
        text.chars().filter(|letter| !letter.is_control()).take(MAX_REASON).collect::<String>()
    };
    match answered.status() {
        StatusCode::OK => Asked::Gave(answered.into_body().to_vec()),
        status if status.is_client_error() => Asked::Refused(said()),
        status => Asked::Away(format!("{} answered {}: {}", masa.address, status.as_u16(), said())),
    }
}

impl Authority {
    /// Checks a pledge's request, and makes the registrar's of it (RFC 8995 section 5.5).
    fn pass_on(&self, peer: &PeerInfo, body: &[u8]) -> Decided<Passed> {
        let (Some(who), Some(own)) = (&peer.identified, peer.chain.first()) else {
            let reason = "show the birth credential as client certificate in TLS";
            return Ok(Err(Rejected::new(StatusCode::UNAUTHORIZED, reason)));
        };
        if who.kind() != CredentialKind::Birth {
            return Ok(Err(Rejected::forbidden(
                "this certificate is no birth credential: renew it with simplereenroll",
            )));
        }
        if let Err(denied) = self.knowledge().judge_enrolment(who) {
            return Ok(Err(Rejected::forbidden(format!("{}: {}", denied.code.as_str(), denied.code.remedy()))));
        }
        let request = match pledge_request(own, body) {
            Ok(request) => request,
            Err(rejected) => return Ok(Err(rejected)),
        };
        let Some(identity) = self.hub_identity().current() else {
            return Err(Error::Conflict("the hub has no identity yet".to_owned()));
        };
        if request.proximity.as_deref() != Some(identity.own().as_ref()) {
            let reason = "it was made for another registrar than this one (proximity-registrar-cert)";
            return Ok(Err(Rejected::malformed(reason)));
        }
        let Some(maker) = who.authority() else {
            return Ok(Err(Rejected::forbidden("nobody vouches for the birth credential")));
        };
        let from = peer.origin.to_string();
        if let Err(rejected) = self.may_have_voucher(who, maker, &request.serial_number, &from)? {
            return Ok(Err(rejected));
        }
        let masa = Certificate::from_der(own).ok().and_then(|own| MasaUrl::of(&own));
        let now = self.clock.now();
        let own_request =
            VoucherRequest { created_on: now, proximity: None, prior: Some(body.to_vec()), ..request.clone() };
        let message = brski::sign(&identity, &own_request.write(), now);
        let message = message.map_err(|error| Error::Conflict(error.to_string()))?;
        Ok(Ok(Passed { request, maker, masa, from, message }))
    }

    /// Only devices of the register are asked for: the maker's record shall not say that this site wants others.
    fn may_have_voucher(&self, who: &Identified, maker: KeyId, serial: &str, from: &str) -> Decided<()> {
        let Some(device) = self.registered(who, serial)? else {
            let made_as = MadeAs::of(who);
            self.note_pledge(maker, serial, made_as, from)?;
            let made = made_as.map_or_else(|| "--role ROLE".to_owned(), |made| made.arguments());
            return Ok(Err(Rejected::forbidden(format!(
                "no device with the maker's serial {serial} is registered at this site, where `medlock device list` shows who \
                 asked: register it with `medlock device register NAME {made} --maker-serial {serial} --maker-key {maker}`"
            ))));
        };
        if let Some(standing) = status::of_device(&*self.store, device.name)? {
            let reason = format!("{} is {}: see `medlock device show`", device.name, standing.reason);
            return Ok(Err(Rejected::forbidden(reason)));
        }
        Ok(Ok(()))
    }

    /// Tells people that a registered device came whose maker gives this site no voucher for it.
    fn tell_of_elsewhere(&self, device: DeviceName, why: &str) -> Result<(), Error> {
        let last = self.store.last_alarm(NO_VOUCHER, device)?;
        let now = self.clock.now();
        if last.is_some_and(|last| now.seconds_since(last.last) < TOLD_AGAIN_SECONDS) {
            return Ok(());
        }
        let text =
            format!("it is here, and its maker gives this site no voucher for it: {why}. It may be another site's");
        self.alarm(NO_VOUCHER, Some(device), text)
    }

    /// What the pledge gets: the maker's answer, or, where the maker cannot be asked, a voucher that was imported.
    fn judge_voucher(&self, passed: &Passed, asked: Asked) -> Decided<Vec<u8>> {
        let request = &passed.request;
        let serial = &request.serial_number;
        match asked {
            Asked::Refused(why) => {
                // It may be another site's.
                self.note_refused(
                    &format!("device {serial}"),
                    &passed.from,
                    serial,
                    &format!("its maker says: {why}"),
                )?;
                if let Some(device) = self.store.device_with_maker_serial(serial)? {
                    self.tell_of_elsewhere(device.name, &why)?;
                }
                Ok(Err(Rejected::forbidden(format!("the maker gives no voucher for {serial}: {why}"))))
            }
            Asked::Away(why) => match self.imported_voucher(serial, request.idevid_issuer.as_deref())? {
                Some(voucher) => {
                    tracing::info!(serial, why, "the maker cannot be asked: the voucher that was imported is given");
                    Ok(Ok(voucher))
                }
                None => {
                    // How a connection failed is not for the device, which says where the connection goes.
                    tracing::warn!(serial, why, "the maker cannot be asked, and no voucher was imported");
                    let reason = format!(
                        "the maker of {serial} cannot be asked, the hub's log says why, and no voucher was imported for it: \
                         `medlock voucher import FILE`"
                    );
                    Ok(Err(Rejected::new(StatusCode::BAD_GATEWAY, reason)))
                }
            },
            Asked::Gave(bytes) => {
                let bad = |why: String| {
                    Ok(Err(Rejected::new(
                        StatusCode::BAD_GATEWAY,
                        format!("the maker's voucher does not count: {why}"),
                    )))
                };
                let (voucher, makers) = match self.own_voucher(&bytes) {
                    Ok(read) => read,
                    Err(why) => return bad(why.to_string()),
                };
                if !makers.contains(&passed.maker) || voucher.serial_number != *serial || voucher.nonce != request.nonce
                {
                    return bad("it is about another device or another request".to_owned());
                }
                // The first one says whose the device is; a device that asks again and again does not fill the record.
                if self.owner(serial)?.is_none() {
                    self.keep_voucher(&voucher, &bytes)?;
                }
                Ok(Ok(bytes))
            }
        }
    }
}

/// The request in `body`, if the device with this birth credential made it about itself.
fn pledge_request(own: &[u8], body: &[u8]) -> Result<VoucherRequest, Rejected> {
    let signed = SignedJson::read(body).map_err(Rejected::malformed)?;
    if signed.chain.first().is_none_or(|signer| *signer != own) {
        return Err(Rejected::malformed("another key signed it than the birth credential's in TLS"));
    }
    let request = VoucherRequest::read(signed.json).map_err(Rejected::malformed)?;
    let serial = maker_serial(own).ok_or_else(|| {
        Rejected::forbidden("the birth credential names no serial (hardwareModuleName or serialNumber)")
    })?;
    if request.serial_number != serial {
        let reason = format!("its serial is {:?}, and the birth credential's {serial:?}", request.serial_number);
        return Err(Rejected::malformed(reason));
    }
    Ok(request)
}

/// A device tells whether it believed the voucher. If so, its maker is asked who else has one.
async fn voucher_status(state: State<Arc<Authority>>, Extension(peer): Extension<PeerInfo>, body: Bytes) -> Response {
    let believed = serde_json::from_slice::<Telemetry>(&body).is_ok_and(|told| told.status);
    let (authority, device) = (state.0.clone(), peer.clone());
    let answer = told(state, Extension(peer), body, "voucher-refused").await;
    if believed && answer.status() == StatusCode::OK {
        tokio::spawn(history::look_up(authority, device));
    }
    answer
}

/// A device tells how it went (RFC 8995 sections 5.7 and 5.9.4). What went wrong, a person should see.
async fn told(
    State(authority): State<Arc<Authority>>,
    Extension(peer): Extension<PeerInfo>,
    body: Bytes,
    kind: &'static str,
) -> Response {
    let Some(who) = peer.identified else {
        return text(StatusCode::UNAUTHORIZED, "show the birth or operational credential in TLS");
    };
    let telemetry = match serde_json::from_slice::<Telemetry>(&body) {
        Ok(telemetry) if telemetry.version == 1 => telemetry,
        Ok(_) => return text(StatusCode::BAD_REQUEST, "version 1 is understood here"),
        Err(error) => return text(StatusCode::BAD_REQUEST, &format!("this cannot be read: {error}")),
    };
    let noted = blocking(move || authority.note_told(&who, &telemetry, kind)).await;
    match noted {
        Ok(()) => text(StatusCode::OK, "noted"),
        Err(error) => {
            tracing::error!(%error, "what a device told could not be noted");
            text(StatusCode::SERVICE_UNAVAILABLE, "it could not be noted: try again")
        }
    }
}

impl Authority {
    fn note_told(&self, who: &Identified, told: &Telemetry, kind: &str) -> Result<(), Error> {
        let name = who.device_name();
        if told.status {
            tracing::info!(device = %name, kind, "a device tells that all went well");
            return Ok(());
        }
        let reason: String = told.reason.chars().filter(|letter| !letter.is_control()).take(MAX_REASON).collect();
        let device = match who.kind() {
            CredentialKind::Birth => self.registered(who, name.as_str())?.map(|device| device.name),
            CredentialKind::Operational => Some(*name),
        };
        self.alarm_about(kind, device, name.to_string(), format!("the device {name} says: {reason}"))
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    let unfinished = |error: tokio::task::JoinError| Error::Conflict(format!("it was not finished: {error}"));
    tokio::task::spawn_blocking(work).await.map_err(unfinished)?
}

//! A maker's authorised signing authority (MASA): vouchers for sites to which a device was sold.
//!
//! Whose a device is, the maker's record says; who asks is found out from the signatures. Nobody becomes an owner by asking.
//! Whoever was an owner may read to whom else vouchers of the device were given (RFC 8995 section 5.8).

use super::{Decided, Rejected, answer, is_voucher_request, text, unsupported};
use crate::store::{OwnerEvent, Purpose};
use crate::voucher::{VoucherForm, VoucherOrder};
use crate::{Authority, Error};
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Extension, Router};
use data_encoding::{BASE64, HEXLOWER};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use medlock_node::accept::PeerInfo;
use medlock_node::brski::cms::SignedJson;
use medlock_node::brski::{
    AuditEvent, AuditLog, REGISTRAR_PURPOSE, REQUEST_AUDIT_LOG, REQUEST_VOUCHER, VoucherData, VoucherRequest,
    domain_id, is_for,
};
use medlock_node::provider::{self, AwsLc};
use medlock_trust::path::{self, AuthorityKind, VerifiedPath};
use medlock_trust::voucher::{Pinned, Signed};
use medlock_trust::x509::Certificate;
use medlock_trust::{Anchor, Budget, DeviceName, Role, Time};
use std::sync::Arc;

/// How far the time of a registrar's request may be from ours, in seconds: what it signed is good for no longer.
const FRESH_SECONDS: i64 = 3_600;
/// How many vouchers of one device are recorded in a day for requests over the network.
const A_DAY: u16 = 32;

/// How many vouchers of a device are read for its log.
const READ: u16 = 1_000;
/// How many of them are told: each is the newest one of a domain.
const TOLD: usize = 256;

/// What is said of a registrar whose chain has no root.
const ROOTLESS: &str = "the chain of its signer does not lead to the root of a site";

/// For how long behind its end the certificate of a registrar counts, in seconds: as long as a device's does. A hub that was
/// away renews its own; one that was stolen years ago asks in vain.
const GRACE_SECONDS: i64 = 90 * 86_400;

/// For how many days a voucher without a nonce is good that was asked for over the network.
const DAYS: u32 = 365;

pub(crate) fn router() -> Router<Arc<Authority>> {
    Router::new().route(REQUEST_VOUCHER, post(request_voucher)).route(REQUEST_AUDIT_LOG, post(request_audit_log))
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
    let from = peer.origin.to_string();
    let made = tokio::task::spawn_blocking(move || authority.asked_for_voucher(&body, &from)).await;
    answer(made.unwrap_or_else(|error| Err(Error::Conflict(format!("it was not finished: {error}")))))
}

async fn request_audit_log(State(authority): State<Arc<Authority>>, headers: HeaderMap, body: Bytes) -> Response {
    if !is_voucher_request(&headers) {
        return unsupported();
    }
    let made = tokio::task::spawn_blocking(move || authority.asked_for_log(&body)).await;
    match made.unwrap_or_else(|error| Err(Error::Conflict(format!("it was not finished: {error}")))) {
        Ok(Ok(log)) => (StatusCode::OK, [(CONTENT_TYPE, "application/json")], log.write()).into_response(),
        Ok(Err(rejected)) => {
            tracing::info!(status = %rejected.status, reason = rejected.reason, "no log of vouchers");
            text(rejected.status, &rejected.reason)
        }
        Err(error) => answer(Err(error)),
    }
}

impl Authority {
    /// A voucher for the site whose registrar signed this request (RFC 8995 section 5.5) and that asks `from` there, or why it
    /// gets none.
    ///
    /// # Errors
    /// Store and signer.
    pub(crate) fn asked_for_voucher(&self, body: &[u8], from: &str) -> Decided<Vec<u8>> {
        let order = match self.order_of(body, from)? {
            Ok(order) => order,
            Err(rejected) => return Ok(Err(rejected)),
        };
        if self.is_in_doubt()? {
            let reason =
                "this maker was brought back from a backup and does not know yet whose the device is: ask again later";
            return Ok(Err(Rejected::new(StatusCode::SERVICE_UNAVAILABLE, reason)));
        }
        if self.clocks_agree().is_err() {
            return Ok(Err(Rejected::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "this maker's clock is being looked at: ask again later",
            )));
        }
        // Of two that ask the same at once, the second finds the answer of the first.
        let _one = DeviceName::new(&order.serial).and_then(|name| self.device_lock(name));
        match self.answered(&order)? {
            Answered::Before(voucher) => return Ok(Ok(voucher)),
            Answered::TooOften => {
                let reason =
                    format!("{A_DAY} vouchers were given for {} within a day: ask again tomorrow", order.serial);
                return Ok(Err(Rejected::new(StatusCode::TOO_MANY_REQUESTS, reason)));
            }
            Answered::Not => {}
        }
        match self.issue_voucher(&order) {
            Err(error @ (Error::Conflict(_) | Error::Invalid { .. })) => {
                Ok(Err(Rejected::forbidden(error.to_string())))
            }
            made => made.map(Ok),
        }
    }

    /// Whether this was asked and answered: with the same nonce, or, without one, by a voucher that is good for at least half of
    /// its time yet, and no longer than one that is asked for here. What stands below a key that was stolen since is no answer.
    fn answered(&self, order: &VoucherOrder) -> Result<Answered, Error> {
        let now = self.clock.now();
        let given = self.store.owners(&order.serial, A_DAY)?;
        let domain = self.store.owner_now(&order.serial)?.domain;
        let since = now.plus_seconds(-86_400);
        let recent = given.iter().filter(|event| event.voucher.is_some() && event.at > since).count();
        // What was said before the device changed hands is of another time.
        let own = given.into_iter().take_while(|event| event.voucher.is_some() && Some(event.domain) == domain);
        for event in own {
            let Some(bytes) = event.voucher else { continue };
            let Ok(signed) = SignedJson::read(&bytes) else { continue };
            let Ok(voucher) = VoucherData::read(signed.json) else { continue };
            if signed.chain.first().is_none_or(|signer| self.is_below_stolen_key(signer)) {
                continue;
            }
            let longest = i64::from(DAYS) * 86_400;
            let lasts = |end: Time| (longest / 2 + 1..=longest).contains(&end.seconds_since(now));
            let same = match voucher.nonce {
                Some(nonce) => order.nonce.as_ref() == Some(&HEXLOWER.encode(&nonce)),
                None => order.nonce.is_none() && event.expires.is_some_and(lasts),
            };
            if same {
                return Ok(Answered::Before(bytes));
            }
        }
        Ok(if recent >= usize::from(A_DAY) { Answered::TooOften } else { Answered::Not })
    }

    /// To whom vouchers of a device were given, for a site whose it is or was (RFC 8995 section 5.8).
    ///
    /// # Errors
    /// Store.
    pub(crate) fn asked_for_log(&self, body: &[u8]) -> Decided<AuditLog> {
        let Asked { request, domain, .. } = match self.asked(body)? {
            Ok(asked) => asked,
            Err(rejected) => return Ok(Err(rejected)),
        };
        if self.is_in_doubt()? {
            let reason =
                "this maker was brought back from a backup and does not know yet of all its vouchers: ask again later";
            return Ok(Err(Rejected::new(StatusCode::SERVICE_UNAVAILABLE, reason)));
        }
        let serial = &request.serial_number;
        let events = self.store.owners(serial, READ)?;
        if !events.iter().any(|event| domain.own_root(event.domain, &events).is_some()) {
            let reason = format!("as far as {} knows, {serial} was never yours", self.name());
            return Ok(Err(Rejected::new(StatusCode::NOT_FOUND, reason)));
        }
        let told = events.iter().filter_map(|event| {
            let (domain, nonce, assertion) = given(event.voucher.as_deref()?)?;
            let (date, assertion) = (event.at.to_string(), assertion.to_owned());
            let domain_id = domain.unwrap_or_else(|| BASE64.encode(&event.domain));
            Some(AuditEvent { date, domain_id, nonce, assertion, truncated: 0 })
        });
        let mut log = AuditLog::of(told, 0);
        let left = log.events.drain(TOLD.min(log.events.len())..).count() as u64;
        log.truncation.arbitrary = left + u64::from(events.len() == usize::from(READ));
        Ok(Ok(log))
    }

    /// Who asks about which device, if the request counts.
    fn asked<'a>(&self, body: &'a [u8]) -> Decided<Asked<'a>> {
        let read =
            SignedJson::read(body).and_then(|signed| VoucherRequest::read(signed.json).map(|read| (signed, read)));
        let (signed, request) = match read {
            Ok(read) => read,
            Err(why) => return Ok(Err(Rejected::malformed(why))),
        };
        let domain = match domain(signed.chain.clone(), self.clock.now()) {
            Ok(domain) => domain,
            Err(rejected) => return Ok(Err(rejected)),
        };
        if request.created_on.seconds_since(self.clock.now()).abs() > FRESH_SECONDS {
            let reason = format!(
                "it was made at {}, which is not within an hour of now: is the clock right?",
                request.created_on
            );
            return Ok(Err(Rejected::malformed(reason)));
        }
        let serial = &request.serial_number;
        let births = match DeviceName::new(serial) {
            Some(name) => self.store.credentials_of(name)?,
            None => Vec::new(),
        };
        let births: Vec<_> = births.into_iter().filter(|one| one.record.purpose == Purpose::Birth).collect();
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
            if let Some(standing) = self.worst_of_itself(birth)? {
                let reason = format!("the birth credential of {serial} does not count any more: {}", standing.reason);
                return Ok(Err(Rejected::forbidden(reason)));
            }
        } else if request.nonce.is_some() {
            return Ok(Err(Rejected::malformed("a nonce counts in the device's own signed request only")));
        }
        Ok(Ok(Asked { request, domain }))
    }

    fn order_of(&self, body: &[u8], from: &str) -> Decided<VoucherOrder> {
        let Asked { request, domain } = match self.asked(body)? {
            Ok(asked) => asked,
            Err(rejected) => return Ok(Err(rejected)),
        };
        let serial = &request.serial_number;
        let root = match self.owner(serial)? {
            Some(owner) => domain
                .own_root(owner, &self.store.owners(serial, READ)?)
                .ok_or_else(|| format!("{serial} belongs to another owner, who has to let it go first")),
            None => Err(format!("as far as {} knows, nobody bought {serial}: ask whoever sold it", self.name())),
        };
        let root = match root {
            Ok(root) => root,
            Err(reason) => {
                // The device itself is there: it has signed. That is worth a line; what a stranger asks about any serial is
                // not.
                if request.prior.is_some() {
                    let who = format!("site {}", HEXLOWER.encode(&domain.fingerprint));
                    self.note_refused(&who, from, serial, &reason)?;
                }
                return Ok(Err(Rejected::forbidden(reason)));
            }
        };
        let days = request.nonce.is_none().then_some(DAYS);
        let nonce = request.nonce.as_ref().map(|nonce| HEXLOWER.encode(nonce));
        let domain = BASE64.encode(&root);
        let (serial, form) = (request.serial_number, VoucherForm::Cms);
        Ok(Ok(VoucherOrder { serial, domain, nonce, days, form, owner_known: false }))
    }
}

/// A request that counts: signed by a site's registrar a short time ago, about a device of this maker and, if the device's own
/// request is in it, by that device.
struct Asked<'a> {
    request: VoucherRequest,
    domain: Domain<'a>,
}

/// Whom a voucher of ours names, as logs call it, if it names a certificate; its nonce, as the device wrote it, and how we
/// knew.
fn given(voucher: &[u8]) -> Option<(Option<String>, Option<String>, &'static str)> {
    let domain = pinned(voucher).and_then(|der| domain_id(&der));
    if let Ok(signed) = SignedJson::read(voucher) {
        let read = VoucherData::read(signed.json).ok()?;
        return Some((domain, read.nonce.map(|nonce| BASE64.encode(&nonce)), read.assertion.name()));
    }
    let signed = Signed::read(voucher).ok()?;
    let read = signed.danger_content().ok()?;
    Some((domain, read.nonce.map(|nonce| BASE64.encode(nonce)), read.assertion.name()))
}

/// What was answered to a request before.
enum Answered {
    Not,
    Before(Vec<u8>),
    TooOften,
}

/// Who asks: a site, by the chain of its registrar.
struct Domain<'a> {
    chain: Vec<&'a [u8]>,
    /// The root that the chain ends with.
    root: &'a [u8],
    /// SHA-256 of that root's key.
    fingerprint: [u8; 32],
}

impl Domain<'_> {
    /// The certificate of the root that an owner was recorded by, if the owner is this site: the chain leads to it, also where
    /// another root has taken its place since, which it certified (RFC 4210 section 4.4: NewWithOld).
    fn own_root(&self, owner: [u8; 32], events: &[OwnerEvent]) -> Option<Vec<u8>> {
        if self.fingerprint == owner {
            return Some(self.root.to_vec());
        }
        // The chain need not have it any more: what was given out names it.
        let vouchers = events.iter().filter(|event| event.domain == owner).filter_map(|event| event.voucher.as_deref());
        vouchers.filter_map(pinned).find(|root| below(&self.chain, root).is_ok())
    }
}

/// The path from a registrar to this root.
fn below<'a>(chain: &[&'a [u8]], root: &'a [u8]) -> Result<VerifiedPath<'a>, Rejected> {
    let anchor = Certificate::from_der(root).ok();
    let anchor = anchor.and_then(|root| Anchor::for_everything(&root, AuthorityKind::Site, &AwsLc));
    let anchor = anchor.ok_or_else(|| Rejected::malformed(ROOTLESS))?;
    path::validate(chain, &[anchor], &mut Budget::default(), &AwsLc).map_err(Rejected::malformed)
}

/// The certificate that a voucher of ours pins, if it pins one.
fn pinned(voucher: &[u8]) -> Option<Vec<u8>> {
    if let Ok(signed) = SignedJson::read(voucher) {
        return VoucherData::read(signed.json).ok().map(|read| read.pinned);
    }
    let signed = Signed::read(voucher).ok()?;
    match signed.danger_content().ok()?.pinned {
        Pinned::Certificate(der) => Some(der.to_vec()),
        Pinned::Key(_) | Pinned::Hash(_) => None,
    }
}

fn domain(chain: Vec<&[u8]>, now: Time) -> Result<Domain<'_>, Rejected> {
    // The last that signs itself: what a former root has certified is self-issued as well.
    let signs_itself = |der: &&&[u8]| {
        let read = Certificate::from_der(der).ok();
        read.is_some_and(|read| read.public_key().is_some_and(|key| read.verify_with(key, &AwsLc).is_ok()))
    };
    let root = chain.iter().rev().find(signs_itself).copied().ok_or_else(|| Rejected::malformed(ROOTLESS))?;
    let path = below(&chain, root)?;
    let end = path.validity().not_after;
    if now.seconds_since(end) > GRACE_SECONDS {
        return Err(Rejected::forbidden(format!(
            "the certificate of the registrar that signed it ended on {end}: renew it"
        )));
    }
    let roles = path.leaf().extensions().role().map(|role| role.roles);
    if !is_for(path.leaf(), REGISTRAR_PURPOSE) && !roles.is_some_and(|roles| roles.contains(Role::Hub)) {
        return Err(Rejected::forbidden("who signed it is no registrar (id-kp-cmcRA) of its site"));
    }
    let fingerprint = Certificate::from_der(root).map(|root| provider::sha256(root.spki()));
    let fingerprint = fingerprint.map_err(|_| Rejected::malformed(ROOTLESS))?;
    Ok(Domain { chain, root, fingerprint })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AuthorityConfig;
    use crate::admin::{Asker, Request};
    use crate::provision::{BirthProfileConfig, Row};
    use crate::signer::InProcess;
    use medlock_node::brski::sign;
    use medlock_node::clock::Clock;
    use medlock_node::identity::Identity;
    use medlock_node::provider::SigningKey;

    struct World {
        clock: Clock,
        maker: Authority,
        site: Authority,
        birth: Identity,
        _folder: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let clock = Clock::manual(Time::from_utc(2026, 11, 22, 12, 0, 0).unwrap());
            let open = |config: AuthorityConfig| {
                let signer = Arc::new(InProcess::open(&config.dir.join("signer")).unwrap());
                Authority::open(&config, clock.clone(), signer).unwrap()
            };
            let maker = open(AuthorityConfig::maker(folder.path().join("maker"), "Pump Works"));
            let site = open(AuthorityConfig::site(folder.path().join("site"), "Sankt Anna"));
            let key = Arc::new(SigningKey::generate());
            let profile = BirthProfileConfig { roles: vec!["actuator".into()], ..BirthProfileConfig::default() };
            let row = Row { serial: Some("P-1".into()), material: BASE64.encode(key.spki()), ..Row::default() };
            let chain = maker.provision_one(profile, row).unwrap();
            let birth = Identity::new(key, chain.into_iter().map(Into::into).collect()).unwrap();
            let domain = BASE64.encode(&site.root().der);
            let form = VoucherForm::Cms;
            let sold = VoucherOrder { serial: "P-1".into(), domain, days: Some(30), form, ..VoucherOrder::default() };
            maker.issue_voucher(&sold).unwrap();
            Self { clock, maker, site, birth, _folder: folder }
        }

        fn ask(&self, nonce: Option<u8>, late: i64) -> Result<Vec<u8>, StatusCode> {
            let body = self.question(nonce, late);
            self.maker.asked_for_voucher(&body, "192.0.2.1:1").unwrap().map_err(|rejected| rejected.status)
        }

        /// What the site's registrar asks, `late` seconds before now, with the device's own request of this nonce.
        fn question(&self, nonce: Option<u8>, late: i64) -> Vec<u8> {
            let registrar = self.site.hub_identity().current().unwrap();
            let created_on = self.clock.now().plus_seconds(-late);
            let nonce = nonce.map(|byte| vec![byte; 16]);
            let mut request = VoucherRequest {
                created_on,
                nonce: nonce.clone(),
                serial_number: "P-1".into(),
                idevid_issuer: None,
                proximity: Some(registrar.own().to_vec()),
                prior: None,
            };
            let pledge = sign(&self.birth, &request.write(), created_on).unwrap();
            request.proximity = None;
            request.prior = nonce.map(|_| pledge);
            sign(&registrar, &request.write(), created_on).unwrap()
        }

        fn recorded(&self) -> usize {
            self.maker.store.owners("P-1", 100).unwrap().len()
        }
    }

    /// Shows REQ-STORE-192: a maker that does not know all it has said of a device shows no part of it as the whole.
    #[test]
    fn a_maker_in_doubt_shows_no_record_of_a_device() {
        let world = World::new();
        let question = world.question(Some(1), 0);
        let record = || world.maker.asked_for_log(&question).unwrap().map_err(|rejected| rejected.status);
        assert_eq!(record().unwrap().events.len(), 1);
        crate::doubt::begin_again(&world.maker).unwrap();
        assert_eq!(record().unwrap_err(), StatusCode::SERVICE_UNAVAILABLE);
    }

    /// Shows REQ-PROV-30, REQ-PROV-31: what a registrar signed is good for an hour, and the same question has one answer.
    #[test]
    fn an_old_request_is_refused_and_a_repeated_one_gets_the_same_voucher() {
        let world = World::new();
        for late in [3_601, -3_601, 86_400] {
            assert_eq!(world.ask(Some(1), late), Err(StatusCode::BAD_REQUEST), "{late}");
        }
        assert_eq!(world.recorded(), 1);
        let first = world.ask(Some(1), 3_600).unwrap();
        assert_eq!(world.recorded(), 2);
        assert_eq!(world.ask(Some(1), 0).unwrap(), first);
        assert_eq!(world.ask(Some(1), -3_600).unwrap(), first);
        assert_eq!(world.recorded(), 2);
        assert_ne!(world.ask(Some(2), 0).unwrap(), first);
        let long = world.ask(None, 0).unwrap();
        assert_eq!((world.ask(None, 0).unwrap(), world.recorded()), (long.clone(), 4));
        world.clock.advance(200 * 86_400);
        world.site.tick().unwrap();
        assert_ne!(world.ask(None, 0).unwrap(), long, "it is good for less than half of its time");
    }

    /// Shows REQ-PROV-66.
    #[test]
    fn a_registrar_whose_certificate_ended_long_ago_gets_nothing() {
        let world = World::new();
        let own = world.site.hub_identity().current().unwrap();
        let (_, end) = own.validity();
        world.clock.advance(end.seconds_since(world.clock.now()) + GRACE_SECONDS);
        world.ask(Some(1), 0).unwrap();
        world.clock.advance(1);
        assert_eq!(world.ask(Some(2), 0), Err(StatusCode::FORBIDDEN));
        assert_eq!(world.ask(None, 0), Err(StatusCode::FORBIDDEN));
        assert_eq!(world.ask(Some(1), 0), Err(StatusCode::FORBIDDEN), "also what was answered before");
    }

    /// Shows REQ-PROV-67: a paper for the life of the device is handed to its owner, and to nobody who asks over the network.
    #[test]
    fn what_is_asked_for_over_the_network_is_good_for_a_year_at_most() {
        let world = World::new();
        let (domain, form) = (BASE64.encode(&world.site.root().der), VoucherForm::Cms);
        let paper =
            VoucherOrder { serial: "P-1".into(), domain, nonce: None, days: Some(36_500), form, owner_known: false };
        let paper = world.maker.issue_voucher(&paper).unwrap();
        let given = world.ask(None, 0).unwrap();
        assert_ne!(given, paper);
        let read = SignedJson::read(&given).and_then(|signed| VoucherData::read(signed.json)).unwrap();
        let end = read.expires_on.unwrap();
        assert_eq!(end.seconds_since(world.clock.now()), i64::from(DAYS) * 86_400);
        assert_eq!(world.ask(None, 0).unwrap(), given, "one is enough");
    }

    /// Shows REQ-PROV-63: what was answered below a key that was stolen since is no answer.
    #[test]
    fn nobody_gets_a_voucher_again_that_stands_below_a_stolen_key() {
        let world = World::new();
        let (fresh, long) = (world.ask(Some(1), 0).unwrap(), world.ask(None, 0).unwrap());
        let change =
            Request::ChangeKeys { change: "compromised issuing".parse().unwrap(), anyway: false, why: String::new() };
        world.maker.administer(&Asker::uid(1000), change).unwrap();
        for (nonce, before) in [(Some(1), fresh), (None, long)] {
            let again = world.ask(nonce, 0).unwrap();
            assert_ne!(again, before);
            assert_eq!(world.ask(nonce, 0).unwrap(), again, "that one is the answer from now on");
            let signed = SignedJson::read(&again).unwrap();
            assert!(!world.maker.is_below_stolen_key(signed.chain[0]));
        }
    }

    /// Shows REQ-PROV-32.
    #[test]
    fn the_record_of_a_device_grows_by_so_much_a_day() {
        let world = World::new();
        let given = (0..=40).take_while(|nonce| world.ask(Some(*nonce), 0).is_ok()).count();
        assert_eq!((given, world.recorded()), (31, 32), "the sale is one of the day's 32");
        assert_eq!(world.ask(Some(50), 0), Err(StatusCode::TOO_MANY_REQUESTS));
        assert!(world.ask(Some(30), 0).is_ok(), "what was answered is answered");
        world.clock.advance(86_401);
        assert!(world.ask(Some(50), 0).is_ok());
    }
}

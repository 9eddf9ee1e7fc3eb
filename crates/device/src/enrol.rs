//! Enrolment and renewal at a hub, over CoAP and OSCORE (draft-ietf-ace-coap-est-oscore).
//!
//! The request is a C509 certification request of type 2, signed by the new key; the answer one certificate, C509 or
//! X.509. The session proves the device: with its birth credential the first time, with the operational one, expired or
//! not, when it renews. What the hub answers is believed only if it leads to the site's authority and is for this key.

use crate::call::Way;
use crate::device::Device;
use crate::event::{CallId, Event, Peer, Resource};
use crate::identity::first_of;
use crate::objects::{CREDENTIAL, NotTaken};
use crate::platform::{KeySlot, KeyStore, Parts, Platform, Ticks};
use crate::request::{Asks, Request};
use crate::settings::CallError;
use medlock_proto::crypto::OwnKey;
use medlock_trust::c509::{RequestTemplate, Subject};
use medlock_trust::cbor::Reader;
use medlock_trust::crypto::{KeyAlgorithm, PublicKey, SignatureAlgorithm};
use medlock_trust::role::Role;
use medlock_trust::x509::Certificate;

/// CoAP content format of a C509 certification request. The draft's number is not assigned yet (TBD4): one of the range
/// for experiments.
pub const C509_REQUEST: u16 = 65_004;
/// CoAP content format of a C509 certificate (TBD3 in the draft).
pub const C509_CERTIFICATE: u16 = 65_003;

/// The most bytes of a request: names, a compressed key, a code of 64 characters and a signature.
const REQUEST: usize = 320;
/// The most bytes of a certificate that comes as items, to be put together.
const CERTIFICATE: usize = 512;

impl<P: Platform, const SESSIONS: usize, const EXCHANGES: usize, const BYTES: usize>
    Device<'_, P, SESSIONS, EXCHANGES, BYTES>
{
    /// Asks the hub at the other end of a session for an operational credential: the first with the birth credential, a
    /// renewed one otherwise. A new key is made, unless one is left from a request that brought none; `code` is the enrolment code, if the site gave one.
    /// [`Event::Enrolled`], [`Event::Answered`] with a refusal, or [`Event::Unanswered`] follows.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn enrol(&mut self, now: Ticks, hub: Peer, code: Option<&str>) -> Result<CallId, CallError> {
        if !self.identified(hub).ok_or(CallError::Closed)?.roles().contains(Role::Hub) {
            return Err(CallError::NotAHub);
        }
        let Self { parts: Parts { keys, flash, .. }, objects, settings, .. } = self;
        // A request whose answer was lost is made again with the same key: another key for the same right looks to the hub
        // like a second device.
        if keys.public_key(KeySlot::Next).map_err(|_| CallError::KeyStore)?.is_none() {
            keys.generate_next().map_err(|_| CallError::KeyStore)?;
        }
        let public = keys.public_key(KeySlot::Next).ok().flatten().ok_or(CallError::KeyStore)?;
        let key = keys.key(KeySlot::Next).ok().flatten().ok_or(CallError::KeyStore)?;
        let held = objects.store.own(CREDENTIAL, flash).map(|(_, file)| file);
        let (leaf, resource) = match held {
            Some(file) => (first_of(file), Resource::Renew),
            None => (settings.birth.first().copied(), Resource::Enrol),
        };
        let leaf = leaf.and_then(|leaf| Certificate::read(leaf).ok()).ok_or(CallError::NoCredential)?;
        let template = RequestTemplate {
            algorithm: SignatureAlgorithm::EcdsaSha256,
            subject: Subject::Name(leaf.subject()),
            key: PublicKey { algorithm: KeyAlgorithm::P256, bits: &public },
            extensions: &[],
            challenge_password: code,
        };
        let mut request = [0; REQUEST];
        let signed = template.sign(&mut request, |tbs| key.sign(&[tbs]).map_err(|_| CallError::KeyStore));
        let length = signed.map_err(|_| CallError::TooLong)?.len();
        drop(key);
        let payload = request.get(..length).unwrap_or_default();
        let request = Request { format: C509_REQUEST, ..Request::post(resource, payload) };
        let mut asks = Asks::of(&request).ok_or(CallError::TooLong)?;
        asks.enrols = true;
        self.begin_call(now, Way::Session(hub), asks, request.payload)
    }

    /// The hub answered: installs what it gave.
    pub(crate) fn enrolled<'b>(&mut self, answer: &[u8]) -> Result<Event<'b>, NotTaken> {
        let mut room = [0; CERTIFICATE];
        let certificate = match answer {
            // A whole certificate: DER, or a C509 array.
            [0x30 | 0x8b, ..] => answer,
            // COSE_C509: the items of one, in a byte string.
            _ => {
                let mut reader = Reader::new(answer);
                let items = reader.bytes().map_err(|_| NotTaken::Unknown)?;
                reader.finish().map_err(|_| NotTaken::Unknown)?;
                let whole = room.get_mut(..items.len().saturating_add(1)).ok_or(NotTaken::Unknown)?;
                whole.iter_mut().zip([&0x8b].into_iter().chain(items)).for_each(|(to, from)| *to = *from);
                whole
            }
        };
        self.install_credential(&[certificate])?;
        let device = self.own.ok_or(NotTaken::NoCredential)?;
        Ok(Event::Enrolled { device })
    }
}

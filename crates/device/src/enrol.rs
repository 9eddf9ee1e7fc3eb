//! Enrolment and renewal at a hub, over CoAP and OSCORE (draft-ietf-ace-coap-est-oscore).
//!
//! The request is a C509 certification request of type 2, signed by the new key; the answer one certificate, C509 or
//! X.509. The session proves the device: with its birth credential the first time, with the operational one, expired or
//! not, when it renews. What the hub answers is believed only if it leads to the site's authority and is for this key.

use crate::call::Way;
use crate::device::Device;
use crate::event::{CallId, Event, Peer, Resource};
use crate::identity::{Identifying, MAX_CHAIN, REMEMBERED, first_of, read_chain};
use crate::objects::{CREDENTIAL, NotTaken};
use crate::platform::{KeySlot, KeyStore, Parts, Platform, Ticks};
use crate::request::{Asks, Request, Then};
use crate::serve::copy;
use crate::settings::CallError;
use medlock_proto::coap::content_format;
use medlock_proto::crypto::OwnKey;
use medlock_proto::edhoc::coap::edhoc_unique;
use medlock_trust::c509::{CERTIFICATE_HEAD, RequestTemplate, Subject};
use medlock_trust::cbor::Reader;
use medlock_trust::crypto::{KeyAlgorithm, PublicKey, SignatureAlgorithm};
use medlock_trust::decide::Code;
use medlock_trust::role::Role;
use medlock_trust::x509::Certificate;
use medlock_trust::{Operation, Unidentified, Verdict, path};

/// The most bytes of a request: names, a compressed key, a code, the session's binding and a signature.
const REQUEST: usize = 400;
/// The most characters of an enrolment code.
const CODE: usize = 96;
/// Characters of base64 for 32 bytes.
const BINDING: usize = 44;
/// The most bytes of a certificate that comes as items, to be put together.
const CERTIFICATE: usize = 512;

impl<P: Platform, const SESSIONS: usize, const EXCHANGES: usize, const BYTES: usize>
    Device<'_, P, SESSIONS, EXCHANGES, BYTES>
{
    /// Asks the hub at the other end of a session for an operational credential: the first with the birth credential or, if
    /// the site gave one, with an enrolment `code` as the hub shows it; a renewed one otherwise. The request is bound to the
    /// session. A new key is made, unless one is left from a request that brought none.
    /// [`Event::Enrolled`], [`Event::Answered`] with a refusal, or [`Event::Unanswered`] follows.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn enrol(&mut self, now: Ticks, hub: Peer, code: Option<&str>) -> Result<CallId, CallError> {
        let session = &self.open(hub).ok_or(CallError::Closed)?.session;
        let hub_of_site = self.objects.is_of_own_site(session.peer(), &self.parts.flash);
        if !hub_of_site || !session.peer().roles().contains(Role::Hub) {
            return Err(CallError::NotAHub);
        }
        let unique = edhoc_unique(session, &self.parts.crypto).map_err(|_| CallError::Closed)?;
        let mut challenge = [0; CODE + 1 + BINDING];
        let challenge = challenge_password(code.unwrap_or_default(), &unique, &mut challenge);
        let challenge = challenge.ok_or(CallError::TooLong)?;
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
            Some(file) if code.is_none() => (first_of(file), Resource::Renew),
            Some(file) => (first_of(file), Resource::Enrol),
            None => (settings.birth.first().copied(), Resource::Enrol),
        };
        let leaf = leaf.and_then(|leaf| Certificate::read(leaf).ok()).ok_or(CallError::NoCredential)?;
        let template = RequestTemplate {
            algorithm: SignatureAlgorithm::EcdsaSha256,
            subject: Subject::Name(leaf.subject()),
            key: PublicKey { algorithm: KeyAlgorithm::P256, bits: &public },
            extensions: &[],
            challenge_password: Some(challenge),
        };
        let mut request = [0; REQUEST];
        let signed = template.sign(&mut request, |tbs| key.sign(&[tbs]).map_err(|_| CallError::KeyStore));
        let length = signed.map_err(|_| CallError::TooLong)?.len();
        drop(key);
        let payload = request.get(..length).unwrap_or_default();
        let request = Request { format: content_format::C509_REQUEST, ..Request::post(resource, payload) };
        let mut asks = Asks::of(&request).ok_or(CallError::TooLong)?;
        asks.then = Then::Enrol;
        self.begin_call(now, Way::Session(hub), asks, request.payload)
    }

    /// Whether nobody believes this device any more, because the key that issued its credential is in wrong hands. The hub
    /// of its site knows what it has issued itself and renews it: when [`Event::News`] came and this says so, go there and
    /// call [`Device::enrol`].
    #[must_use]
    pub fn lost_its_issuer(&self, now: Ticks) -> bool {
        let Self { parts: Parts { flash, crypto, .. }, objects, met, .. } = self;
        let mut room: [&[u8]; MAX_CHAIN] = [&[]; MAX_CHAIN];
        let chain = objects.store.own(CREDENTIAL, flash).and_then(|(_, file)| read_chain(file, &mut room));
        let own = chain.and_then(|chain| Identifying { objects, flash, met, crypto }.identify(chain).ok());
        let verdict = own.map(|own| self.verdict(now, &own, Operation::Renew));
        matches!(verdict, Some(Verdict::Deny(denied)) if denied.code == Code::IssuerCompromised)
    }

    /// The hub answered: installs what it gave.
    pub(crate) fn enrolled<'b>(&mut self, hub: Peer, answer: &[u8]) -> Result<Event<'b>, NotTaken> {
        let mut room = [0; CERTIFICATE];
        let certificate = match answer {
            // A whole certificate: DER, or a C509 array.
            [0x30 | CERTIFICATE_HEAD, ..] => answer,
            // COSE_C509: the items of one, in a byte string.
            _ => {
                let mut reader = Reader::new(answer);
                let items = reader.bytes().map_err(|_| NotTaken::Unknown)?;
                reader.finish().map_err(|_| NotTaken::Unknown)?;
                let whole = room.get_mut(..items.len().saturating_add(1)).ok_or(NotTaken::Unknown)?;
                whole.iter_mut().zip([&CERTIFICATE_HEAD].into_iter().chain(items)).for_each(|(to, from)| *to = *from);
                whole
            }
        };
        match self.install_credential(&[certificate]) {
            // A hub gives the certificate alone. What is between it and the root, the hub showed, or the old one has.
            Err(NotTaken::Credential(Unidentified::Path(path::Error::UnknownIssuer))) => {
                let mut file = [0; REMEMBERED];
                let file = self.issuers(hub, &mut file);
                let mut chain: [&[u8]; MAX_CHAIN] = [&[]; MAX_CHAIN];
                let count = read_chain(file, &mut chain).unwrap_or_default().len();
                if let Some(leaf) = chain.first_mut() {
                    *leaf = certificate;
                }
                self.install_credential(chain.get(..count.max(1)).unwrap_or_default())?;
            }
            installed => installed?,
        }
        let device = self.own.ok_or(NotTaken::NoCredential)?;
        Ok(Event::Enrolled { device })
    }

    /// A chain whose issuers may be those of a new credential: that of the hub, or of the credential in use.
    fn issuers<'o>(&self, hub: Peer, out: &'o mut [u8; REMEMBERED]) -> &'o [u8] {
        let Self { parts: Parts { flash, .. }, objects, met, .. } = self;
        let shown = self.open(hub).and_then(|open| met.chain_at(open.address));
        let chain = shown.or_else(|| objects.store.own(CREDENTIAL, flash).map(|(_, file)| file));
        copy(chain.unwrap_or_default(), out)
    }
}

/// The challenge password: what binds the request to its session (RFC 7030 section 3.5 has it in base64), behind an
/// enrolment code if there is one. `None` if the code is longer than any.
fn challenge_password<'o>(code: &str, unique: &[u8; 32], out: &'o mut [u8; CODE + 1 + BINDING]) -> Option<&'o str> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = unique.chunks(3).flat_map(|three| {
        let [a, b, c] = [0, 1, 2].map(|at| u32::from(three.get(at).copied().unwrap_or_default()));
        let bits = (a << 16) | (b << 8) | c;
        let digit = move |shift: u32| DIGITS.get(((bits >> shift) & 63) as usize).copied().unwrap_or_default();
        let last = if three.len() == 3 { digit(0) } else { b'=' };
        [digit(18), digit(12), digit(6), last]
    });
    let space = (!code.is_empty()).then_some(b' ');
    let length = code.len().checked_add(BINDING)?.checked_add(usize::from(space.is_some()))?;
    let text = out.get_mut(..length)?;
    text.iter_mut().zip(code.bytes().chain(space).chain(digits)).for_each(|(to, from)| *to = from);
    core::str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_password_is_base64_behind_a_code() {
        let unique: [u8; 32] = core::array::from_fn(|at| at as u8 * 7);
        let mut out = [0; CODE + 1 + BINDING];
        let base64 = "AAcOFRwjKjE4P0ZNVFtiaXB3foWMk5qhqK+2vcTL0tk=";
        assert_eq!(challenge_password("", &unique, &mut out), Some(base64));
        let with_code = challenge_password("MEDLOCK-A", &unique, &mut out).unwrap();
        assert_eq!(with_code.split_once(' '), Some(("MEDLOCK-A", base64)));
        let long = core::str::from_utf8(&[b'a'; CODE + 1]).unwrap();
        assert_eq!(challenge_password(long, &unique, &mut out), None);
    }
}

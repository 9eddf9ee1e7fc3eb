//! Who this device is, and who a peer is.
//!
//! The operational credential lies in flash as one file, a CBOR array of its chain; its key lies in the key store. A new
//! one is installed in two steps that power loss may part: the file is replaced, then the key promoted. What is found at
//! the next start says what is left to do.

use crate::device::Device;
use crate::met::Met;
use crate::objects::{CREDENTIAL, Kind, NotTaken, Objects};
use crate::platform::{KeySlot, KeyStore, MappedFlash, Parts, Platform};
use crate::settings::Settings;
use medlock_proto::crypto::Crypto;
use medlock_proto::edhoc::{
    AuthenticationKey, CertHash, Certificates, Credential, CredentialReference, IdCred, OwnCredential, PeerCredential,
};
use medlock_trust::authenticate::authenticate;
use medlock_trust::c509::CERTIFICATE_HEAD;
use medlock_trust::cbor::{Reader, Writer};
use medlock_trust::crypto::{KeyAlgorithm, PublicKey};
use medlock_trust::list::AuthorityState;
use medlock_trust::x509::{Certificate, ids};
use medlock_trust::{Anchor, Budget, DeviceId, DeviceName, Identified, Unidentified, path};
use minicbor::encode::write::Cursor;

/// The most certificates of a chain, one's own or a peer's: the device's, two between, and a root that some send along.
pub(crate) const MAX_CHAIN: usize = 4;
/// Anchors that may fit one chain: an authority in both lists, before and after it changed its key.
const MAX_ANCHORS: usize = 4;
/// Bytes of a chain of C509 certificates, which are put together again before they are read.
const CHAIN_ROOM: usize = 768;
/// The most bytes of a chain that is remembered: a certificate in X.509, or some in C509.
pub(crate) const REMEMBERED: usize = 800;

/// Room for what a peer shows.
pub(crate) struct PeerRoom {
    chain: [u8; CHAIN_ROOM],
    point: [u8; 65],
}

impl PeerRoom {
    pub(crate) const fn new() -> Self {
        Self { chain: [0; CHAIN_ROOM], point: [0; 65] }
    }
}

/// What is needed to find out who a peer is.
pub(crate) struct Identifying<'a, F, C> {
    pub(crate) objects: &'a Objects,
    pub(crate) flash: &'a F,
    pub(crate) met: &'a Met<'a>,
    pub(crate) crypto: &'a C,
}

/// Why it is not known who a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotIdentified {
    /// It named a credential that is not known here: it may show it.
    UnknownName,
    /// Nobody who is believed vouches for what it showed.
    Nobody(Unidentified),
}

impl From<Unidentified> for NotIdentified {
    fn from(why: Unidentified) -> Self {
        Self::Nobody(why)
    }
}

/// Who a peer is, and its certificates, its own first.
pub(crate) struct Shown<'m> {
    pub(crate) peer: PeerCredential<'m>,
    chain: [&'m [u8]; MAX_CHAIN],
    count: usize,
}

impl Shown<'_> {
    /// The chain, written into `out` to be remembered; nothing if it does not fit.
    pub(crate) fn write<'o>(&self, out: &'o mut [u8; REMEMBERED]) -> &'o [u8] {
        let length = self.chain.get(..self.count).and_then(|chain| write_chain(chain, out));
        out.get(..length.unwrap_or_default()).unwrap_or_default()
    }
}

impl<F: MappedFlash, C: Crypto> Identifying<'_, F, C> {
    /// The credential a peer shows, or names, its key, and who that makes it. Its certificate must say that the key is for
    /// signing, if the peer `signs`, or else for agreeing on secrets.
    pub(crate) fn peer<'m>(
        &'m self,
        shown: IdCred<'m>,
        signs: bool,
        room: &'m mut PeerRoom,
    ) -> Result<Shown<'m>, NotIdentified> {
        let PeerRoom { chain: chain_room, point } = room;
        let empty = Unidentified::Path(path::Error::EmptyChain);
        let mut chain: [&[u8]; MAX_CHAIN] = [&[]; MAX_CHAIN];
        let (credential, count) = match shown.reference() {
            Some(CredentialReference::X5chain(certificates)) => {
                let count = fill(&mut chain, certificates.iter());
                (Credential::X509(certificates.iter().next().ok_or(empty)?), count)
            }
            Some(CredentialReference::C5c(certificates)) => {
                let count = put_together(&mut chain, certificates, chain_room);
                (Credential::C509Items(certificates.iter().next().ok_or(empty)?), count)
            }
            Some(CredentialReference::C5t(hash) | CredentialReference::X5t(hash)) => {
                let file = self.met.chain(&hash, self.crypto).ok_or(NotIdentified::UnknownName)?;
                let mut known: [&[u8]; MAX_CHAIN] = [&[]; MAX_CHAIN];
                let known = read_chain(file, &mut known).ok_or(NotIdentified::UnknownName)?;
                let count = fill(&mut chain, known.iter().copied());
                (Credential::certificate(known.first().ok_or(empty)?), count)
            }
            Some(_) => return Err(NotIdentified::UnknownName),
            None => return Err(empty.into()),
        };
        let certificates = chain.get(..count).unwrap_or_default();
        let identified = self.identify(certificates)?;
        let leaf = Certificate::read(certificates.first().ok_or(empty)?).map_err(|_| empty)?;
        let allowed = if signs { leaf.key_may_sign() } else { leaf.key_may_agree() };
        let key = leaf.public_key().filter(|_| allowed).ok_or(empty)?;
        let bits = keep(key, point).ok_or(empty)?;
        let key = AuthenticationKey::of(PublicKey { bits, ..key }).ok_or(empty)?;
        Ok(Shown { peer: PeerCredential { credential, key, identified }, chain, count })
    }

    /// Who shows this chain.
    pub(crate) fn identify(&self, chain: &[&[u8]]) -> Result<Identified, Unidentified> {
        let is_issuer = |anchor: &Anchor<'_>| {
            chain.iter().filter_map(|one| Certificate::read(one).ok()).any(|one| one.issuer().matches(&anchor.subject))
        };
        // Those in good standing first: where the root was replaced often, more have its name than there is room for.
        let authorities = [true, false].into_iter().flat_map(|listed| {
            let all = self.objects.lists(self.flash).flat_map(|list| list.authorities());
            all.filter(move |authority| (authority.state == AuthorityState::Listed) == listed)
        });
        let mut fitting = authorities.filter_map(|authority| authority.anchor()).filter(is_issuer);
        let first = fitting.next().ok_or(Unidentified::Path(path::Error::UnknownIssuer))?;
        let mut anchors = [first; MAX_ANCHORS];
        let rest = anchors.iter_mut().skip(1).zip(fitting);
        let count = rest.fold(1_usize, |count, (slot, anchor)| {
            *slot = anchor;
            count.saturating_add(1)
        });
        let mut budget = Budget { signatures: 6, steps: 400, bytes: 8 * 1024 };
        authenticate(chain, anchors.get(..count).unwrap_or_default(), &mut budget, self.crypto)
    }
}

fn fill<'m>(chain: &mut [&'m [u8]; MAX_CHAIN], from: impl Iterator<Item = &'m [u8]>) -> usize {
    chain.iter_mut().zip(from).fold(0, |count: usize, (slot, one)| {
        *slot = one;
        count.saturating_add(1)
    })
}

/// Puts the heads of C509 certificates back, which messages leave out.
fn put_together<'m>(
    chain: &mut [&'m [u8]; MAX_CHAIN],
    certificates: Certificates<'_>,
    mut room: &'m mut [u8],
) -> usize {
    let mut count: usize = 0;
    for (slot, items) in chain.iter_mut().zip(certificates.iter()) {
        let Some((place, rest)) = core::mem::take(&mut room).split_at_mut_checked(items.len().saturating_add(1)) else {
            break;
        };
        place.iter_mut().zip([&CERTIFICATE_HEAD].into_iter().chain(items)).for_each(|(to, from)| *to = *from);
        *slot = place;
        room = rest;
        count = count.saturating_add(1);
    }
    count
}

fn keep<'p>(key: PublicKey<'_>, point: &'p mut [u8; 65]) -> Option<&'p [u8]> {
    let room = point.get_mut(..key.bits.len())?;
    room.iter_mut().zip(key.bits).for_each(|(to, from)| *to = *from);
    Some(room)
}

/// Calls `with` with the credential this device shows, or names if `named` says so: the operational one, or else the birth
/// credential. `None` if it has none or the key store fails.
pub(crate) fn with_own<P: Platform, R>(
    parts: &Parts<P>,
    objects: &Objects,
    settings: &Settings<'_>,
    named: bool,
    with: impl FnOnce(&OwnCredential<'_>, &P::Crypto) -> R,
) -> Option<R> {
    let mut room: [&[u8]; MAX_CHAIN] = [&[]; MAX_CHAIN];
    let (chain, slot) = match objects.store.own(CREDENTIAL, &parts.flash) {
        Some((_, file)) => (read_chain(file, &mut room)?, KeySlot::Operational),
        None => (settings.birth, KeySlot::Birth),
    };
    let leaf = chain.first()?;
    // A message carries certificates of one form.
    let is_c509 = |one: &&[u8]| one.first() == Some(&CERTIFICATE_HEAD);
    let alike = chain.iter().position(|one| is_c509(one) != is_c509(leaf)).unwrap_or(chain.len());
    let chain = chain.get(..alike)?;
    let key = parts.keys.key(slot).ok()??;
    let credential = Credential::certificate(leaf);
    let hash = credential.thumbprint(&parts.crypto);
    let reference = match (is_c509(leaf), named) {
        (true, true) => CredentialReference::C5t(CertHash::short(&hash)),
        (false, true) => CredentialReference::X5t(CertHash::short(&hash)),
        (true, false) => CredentialReference::C5c(Certificates::c509(chain)),
        (false, false) => CredentialReference::X5chain(Certificates::x509(chain)),
    };
    Some(with(&OwnCredential::new(credential, reference, &key), &parts.crypto))
}

/// The first certificate of a credential file.
pub(crate) fn first_of(file: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(file);
    reader.array(u64::MAX).ok()?;
    reader.bytes().ok()
}

/// The chain in a credential file.
pub(crate) fn read_chain<'r, 'f>(file: &'f [u8], room: &'r mut [&'f [u8]; MAX_CHAIN]) -> Option<&'r [&'f [u8]]> {
    let mut reader = Reader::new(file);
    let count = reader.array(MAX_CHAIN as u64).ok()?;
    for (slot, _) in room.iter_mut().zip(0..count) {
        *slot = reader.bytes().ok()?;
    }
    reader.finish().ok()?;
    room.get(..usize::try_from(count).ok()?)
}

pub(crate) fn write_chain(chain: &[&[u8]], out: &mut [u8]) -> Option<usize> {
    let mut cursor = Cursor::new(out);
    let mut writer = Writer::new(&mut cursor);
    writer.array(chain.len() as u64).ok()?;
    chain.iter().try_for_each(|one| writer.bytes(one).map(drop)).ok()?;
    Some(cursor.position())
}

/// The name in a credential.
fn name(leaf: &Certificate<'_>) -> Option<DeviceName> {
    DeviceName::from_text(leaf.subject().only(ids::SERIAL_NUMBER)?)
}

/// Whether the key of `certificate` is the public key of a slot: a compressed point of P-256.
fn is_key_of(certificate: &Certificate<'_>, public: Option<[u8; 33]>) -> bool {
    let (Some(key), Some(public)) = (certificate.public_key(), public) else { return false };
    let ([_, x @ ..], KeyAlgorithm::P256) = (key.bits, key.algorithm) else { return false };
    let [form, own_x @ ..] = &public;
    // Both points with this x have one private key up to its sign; the form must fit as well.
    let odd = match key.bits {
        [4, .., last] => last & 1,
        [form @ (2 | 3), ..] => form & 1,
        _ => return false,
    };
    x.first_chunk() == Some(own_x) && *form == 2 | odd
}

impl<P: Platform, const SESSIONS: usize, const EXCHANGES: usize, const BYTES: usize>
    Device<'_, P, SESSIONS, EXCHANGES, BYTES>
{
    /// Finds out who this device is, and finishes an installation that power loss cut.
    pub(crate) fn open_identity(&mut self) -> Result<(), ()> {
        let Parts { flash, keys, crypto, .. } = &mut self.parts;
        let Some((_, file)) = self.objects.store.own(CREDENTIAL, flash) else { return Ok(()) };
        let mut room: [&[u8]; MAX_CHAIN] = [&[]; MAX_CHAIN];
        let leaf = read_chain(file, &mut room).and_then(|chain| Certificate::read(chain.first()?).ok());
        let Some(leaf) = leaf else { return Ok(()) };
        let operational = keys.public_key(KeySlot::Operational).map_err(drop)?;
        if !is_key_of(&leaf, operational) && is_key_of(&leaf, keys.public_key(KeySlot::Next).map_err(drop)?) {
            keys.promote_next().map_err(drop)?;
        }
        self.own = name(&leaf).map(|name| DeviceId::of(&name, crypto));
        Ok(())
    }

    /// Installs an operational credential: its chain must end in an authority of the site, and its key must be the one in
    /// [`KeySlot::Next`], or the one in use.
    ///
    /// # Errors
    /// [`NotTaken`]. The one in use stays in use.
    pub fn install_credential(&mut self, chain: &[&[u8]]) -> Result<(), NotTaken> {
        let Parts { flash, keys, crypto, .. } = &mut self.parts;
        let identifying =
            Identifying { objects: &self.objects, flash: &*flash, met: &Met::new(&mut []), crypto: &*crypto };
        let identified = identifying.identify(chain).map_err(NotTaken::Credential)?;
        if !self.objects.is_of_own_site(&identified, flash) {
            return Err(NotTaken::NotOurs);
        }
        let leaf = chain.first().and_then(|leaf| Certificate::read(leaf).ok()).ok_or(NotTaken::Unknown)?;
        let public = |slot| keys.public_key(slot).map_err(|_| NotTaken::KeyStore);
        let is_next = is_key_of(&leaf, public(KeySlot::Next)?);
        if !is_next && !is_key_of(&leaf, public(KeySlot::Operational)?) {
            return Err(NotTaken::NotOurs);
        }
        let length =
            write_chain(chain, self.settings.staging).ok_or(NotTaken::Store(crate::objects::StoreError::TooLong))?;
        let file = self.settings.staging.get(..length).unwrap_or_default();
        self.objects.keep_own(CREDENTIAL, file, flash, crypto)?;
        if is_next {
            keys.promote_next().map_err(|_| NotTaken::KeyStore)?;
        }
        self.own = Some(identified.device());
        self.met.own_is_new();
        Ok(())
    }

    /// Forgets everything that came from a site.
    pub(crate) fn leave_site(&mut self) -> Result<(), NotTaken> {
        let Parts { flash, crypto, .. } = &mut self.parts;
        // What another site has signed before is not void.
        let bonds = self.objects.bonds.ended_at(None);
        self.objects.keep_bonds(bonds, flash, crypto)?;
        let goes = |kind: u8| kind == CREDENTIAL || Kind::from_number(kind).is_some();
        for slot in 0..crate::store::MAX_SLOTS {
            let there = self.objects.store.files(flash).any(|(at, label, _)| at == slot && goes(label.kind));
            if there {
                self.objects.store.remove(slot, flash)?;
            }
        }
        self.objects.policy = medlock_trust::Policy::default();
        self.own = None;
        self.met.clear();
        Ok(())
    }
}

//! Whose the device is: its maker's voucher, or the owner's transfer, before a site is trusted (RFC 8366,
//! draft-ietf-anima-constrained-voucher).
//!
//! What was believed last is kept in flash, and leaving a site does not remove it: an older word brings no former owner
//! back. A word for the owner of today may be older: it takes nothing from anybody.

use crate::device::Device;
use crate::not_taken::NotTaken;
use crate::objects::{OWNER, Objects};
use crate::platform::{MappedFlash, Parts, Platform, Ticks};
use crate::settings::PhysicalAct;
use core::fmt;
use medlock_trust::crypto::PublicKey;
use medlock_trust::voucher::{Expected, Refused, Signed, Transfer};
use medlock_trust::x509::{Certificate, SubjectPublicKeyInfo, ids};
use medlock_trust::{DeviceName, KeyId, Time};

/// Why a voucher or transfer changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotOwned {
    /// It is not believed.
    Refused(Refused),
    /// Its site is not taken.
    Site(NotTaken),
}

impl From<Refused> for NotOwned {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<NotTaken> for NotOwned {
    fn from(not_taken: NotTaken) -> Self {
        Self::Site(not_taken)
    }
}

impl fmt::Display for NotOwned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => refused.fmt(f),
            Self::Site(not_taken) => not_taken.fmt(f),
        }
    }
}

impl core::error::Error for NotOwned {}

/// The newest word about the owner that was believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    created_on: Time,
    /// SHA-256 of the `SubjectPublicKeyInfo` of the owner's root.
    domain: [u8; 32],
}

impl Word {
    const LENGTH: usize = 40;

    fn held<F: MappedFlash>(objects: &Objects, flash: &F) -> Option<Self> {
        let (_, bytes) = objects.store.own(OWNER, flash)?;
        let (time, domain) = bytes.split_first_chunk()?;
        Some(Self { created_on: Time::from_unix(i64::from_be_bytes(*time)), domain: *domain.first_chunk()? })
    }

    fn to_bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        let time = self.created_on.unix().to_be_bytes();
        bytes.iter_mut().zip(time.iter().chain(&self.domain)).for_each(|(to, from)| *to = *from);
        bytes
    }
}

impl<P: Platform, const SESSIONS: usize, const EXCHANGES: usize, const BYTES: usize>
    Device<'_, P, SESSIONS, EXCHANGES, BYTES>
{
    /// Takes the site that a voucher names for its own; any carrier may bring one. `maker` is the maker's voucher key, which
    /// the firmware knows; `nonce` what the device asked with, if it asked. A device that has another site leaves it by a
    /// physical act alone, as in [`Device::pin_site`].
    ///
    /// # Errors
    /// [`NotOwned`]; then nothing has changed.
    pub fn take_voucher(
        &mut self,
        now: Ticks,
        voucher: &[u8],
        nonce: Option<&[u8]>,
        maker: PublicKey<'_>,
        act: Option<PhysicalAct>,
    ) -> Result<(), NotOwned> {
        let leaf = self.birth().ok_or(NotTaken::NoCredential)?;
        let name = serial(&leaf).ok_or(NotTaken::NoCredential)?;
        let Parts { flash, crypto, .. } = &self.parts;
        let voucher = Signed::read(voucher)?.verify(maker, crypto)?;
        // Whoever wants the device has to prove this key in each session.
        let domain = voucher.pinned.fingerprint(crypto).ok_or(Refused::OtherDomain)?;
        let held = Word::held(&self.objects, flash);
        let floor = held.filter(|held| held.domain != domain).map_or(Time::from_unix(0), |held| held.created_on);
        let expected = Expected {
            serial_number: name.as_str(),
            idevid_issuer: leaf.extensions().authority_key_id().and_then(|issuer| issuer.key_id),
            nonce,
            domain: &domain,
            time: self.time(now),
            floor,
        };
        voucher.judge(&expected, crypto)?;
        // The floor is of words for others too: a nonce makes a voucher new, not newer than another owner's. What was made in
        // the same second as that owner's is older: who sells a device may have made both.
        if held.is_some_and(|held| held.domain != domain && voucher.created_on <= held.created_on) {
            return Err(Refused::Older.into());
        }
        let newest = held.map_or(voucher.created_on, |held| held.created_on.max(voucher.created_on));
        self.belong(Word { created_on: newest, domain }, act)
    }

    /// Takes the next owner's site for its own, to which the owner of today transfers the device: with the key of its root,
    /// `owner` (`SubjectPublicKeyInfo`). It works where the maker is gone.
    ///
    /// # Errors
    /// [`NotOwned`]; then nothing has changed.
    pub fn take_transfer(
        &mut self,
        now: Ticks,
        transfer: &[u8],
        owner: &[u8],
        act: Option<PhysicalAct>,
    ) -> Result<(), NotOwned> {
        let leaf = self.birth().ok_or(NotTaken::NoCredential)?;
        let name = serial(&leaf).ok_or(NotTaken::NoCredential)?;
        let Parts { flash, crypto, .. } = &self.parts;
        let held = Word::held(&self.objects, flash).ok_or(Refused::OtherDomain)?;
        let spki = SubjectPublicKeyInfo::from_der(owner).map_err(|_| Refused::Forged)?;
        let key = spki.public_key().ok_or(Refused::Forged)?;
        let transfer = Transfer::verify(transfer, key, owner, crypto)?;
        let domain = transfer.to.ok_or(Refused::OtherDomain)?;
        let expected = Expected {
            serial_number: name.as_str(),
            idevid_issuer: None,
            nonce: None,
            domain,
            time: self.time(now),
            floor: held.created_on,
        };
        transfer.judge(&held.domain, &expected)?;
        // Who signs a transfer dates it too: what the seller made until now counts no more, whatever the transfer says.
        let created_on = transfer.created_on.max(expected.time.earliest());
        self.belong(Word { created_on, domain: *domain }, act)
    }

    fn birth(&self) -> Option<Certificate<'_>> {
        self.settings.birth.first().and_then(|leaf| Certificate::read(leaf).ok())
    }

    /// Keeps the word, then takes the site: cut off between, the same word counts again.
    fn belong(&mut self, word: Word, act: Option<PhysicalAct>) -> Result<(), NotOwned> {
        let short = word.domain.first_chunk().copied().unwrap_or_default();
        let root = KeyId::from_bytes(short);
        if act.is_none() && self.objects.site.is_some_and(|held| held != root) {
            return Err(NotTaken::NeedsPhysicalAct.into());
        }
        let Parts { flash, crypto, .. } = &mut self.parts;
        self.objects.keep_own(OWNER, &word.to_bytes(), flash, crypto).map_err(NotTaken::Store)?;
        Ok(self.pin_site(root, act)?)
    }
}

fn serial(leaf: &Certificate<'_>) -> Option<DeviceName> {
    DeviceName::from_text(leaf.subject().only(ids::SERIAL_NUMBER)?)
}

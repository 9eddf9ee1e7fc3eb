//! The platform that C gives, as the SDK asks for it.

use crate::numbers;
use crate::pointers;
use crate::records::Platform;
use crate::refused::Refused;
use core::ptr;
use medlock_device::platform::{Flash, KeySlot, KeyStore, MappedFlash, Parts, Rng};
use medlock_proto::crypto::{OwnKey, Secret};
use medlock_rustcrypto::RustCrypto;
use medlock_trust::Crypto as _;
use medlock_trust::crypto::Message;
use zeroize::Zeroize;

/// The platform of a firmware in C.
#[derive(Debug)]
pub(crate) struct C;

impl medlock_device::platform::Platform for C {
    type Crypto = RustCrypto;
    type Rng = CRandom;
    type Flash = CFlash;
    type Keys = CKeys;
}

/// A function of the platform failed, or the range is outside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Broken;

/// Flash that C programs and erases.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CFlash(&'static Platform);

/// Random numbers that C draws.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CRandom(&'static Platform);

/// Keys that C guards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CKeys(&'static Platform);

/// One of them.
#[derive(Debug)]
pub(crate) struct CKey {
    platform: &'static Platform,
    slot: i32,
}

/// Checks that everything is there.
pub(crate) fn check(platform: &Platform) -> Result<(), Refused> {
    let there = !platform.flash.is_null()
        && platform.flash_program.is_some()
        && platform.flash_erase.is_some()
        && platform.random.is_some()
        && platform.key_public.is_some()
        && platform.key_sign.is_some()
        && platform.key_agree.is_some()
        && platform.key_generate_next.is_some()
        && platform.key_promote_next.is_some();
    let size = platform.flash_pages.checked_mul(CFlash::PAGE).and_then(|size| isize::try_from(size).ok());
    match (there, size) {
        (false, _) => Err(Refused::NULL),
        (true, None) => Err(Refused(numbers::ERROR_LAYOUT)),
        (true, Some(_)) => Ok(()),
    }
}

/// The parts of a firmware, from what [`check`] found whole.
pub(crate) const fn parts(platform: &'static Platform) -> Parts<C> {
    Parts { crypto: RustCrypto, rng: CRandom(platform), flash: CFlash(platform), keys: CKeys(platform) }
}

/// The flash alone.
pub(crate) const fn flash(platform: &'static Platform) -> CFlash {
    CFlash(platform)
}

const fn done(result: i32) -> Result<(), Broken> {
    if result == numbers::PLATFORM_DONE { Ok(()) } else { Err(Broken) }
}

impl CFlash {
    fn is_inside(&self, offset: usize, length: usize) -> Result<(), Broken> {
        let size = self.0.flash_pages.checked_mul(Self::PAGE).ok_or(Broken)?;
        if offset.checked_add(length).is_some_and(|end| end <= size) { Ok(()) } else { Err(Broken) }
    }
}

impl Flash for CFlash {
    type Error = Broken;
    const PAGE: usize = numbers::PAGE_BYTES as usize;
    const WORD: usize = numbers::WORD_BYTES as usize;

    fn pages(&self) -> usize {
        self.0.flash_pages
    }

    fn read(&self, offset: usize, to: &mut [u8]) -> Result<(), Broken> {
        self.is_inside(offset, to.len())?;
        if let Some(read) = self.0.flash_read {
            // SAFETY: the firmware gave this function for this use; it writes so many bytes, for which there is room.
            return done(unsafe { read(self.0.user, offset, to.as_mut_ptr(), to.len()) });
        }
        let from = self.bytes().get(offset..).ok_or(Broken)?;
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        Ok(())
    }

    fn program(&mut self, offset: usize, bytes: &[u8]) -> Result<(), Broken> {
        self.is_inside(offset, bytes.len())?;
        if !offset.is_multiple_of(Self::WORD) || !bytes.len().is_multiple_of(Self::WORD) {
            return Err(Broken);
        }
        let program = self.0.flash_program.ok_or(Broken)?;
        // SAFETY: the firmware gave this function for this use; it reads so many bytes, which are there.
        done(unsafe { program(self.0.user, offset, bytes.as_ptr(), bytes.len()) })
    }

    fn erase(&mut self, page: usize) -> Result<(), Broken> {
        if page >= self.0.flash_pages {
            return Err(Broken);
        }
        let erase = self.0.flash_erase.ok_or(Broken)?;
        // SAFETY: the firmware gave this function for this use, and there is such a page.
        done(unsafe { erase(self.0.user, page) })
    }
}

impl MappedFlash for CFlash {
    fn bytes(&self) -> &[u8] {
        let size = self.0.flash_pages.saturating_mul(Self::PAGE);
        // SAFETY: the firmware says that so many bytes lie there, and that nothing changes them but its own functions to
        // program and erase, which are called with `&mut self`.
        unsafe { pointers::bytes(self.0.flash, size) }.unwrap_or_default()
    }
}

impl Rng for CRandom {
    fn fill(&mut self, bytes: &mut [u8]) {
        if let Some(random) = self.0.random {
            // SAFETY: the firmware gave this function for this use; it writes so many bytes, for which there is room.
            unsafe { random(self.0.user, bytes.as_mut_ptr(), bytes.len()) };
        }
    }
}

impl KeyStore for CKeys {
    type Key<'k> = CKey;
    type Error = Broken;

    fn key(&self, slot: KeySlot) -> Result<Option<CKey>, Broken> {
        let Self(platform) = self;
        let slot = numbers::slot(slot);
        let public = platform.key_public.ok_or(Broken)?;
        // SAFETY: the firmware gave this function for this use; null asks only whether there is a key.
        match unsafe { public(platform.user, slot, ptr::null_mut()) } {
            numbers::PLATFORM_DONE => Ok(Some(CKey { platform, slot })),
            numbers::PLATFORM_EMPTY => Ok(None),
            _ => Err(Broken),
        }
    }

    fn public_key(&self, slot: KeySlot) -> Result<Option<[u8; 33]>, Broken> {
        let mut key = [0; 33];
        let public = self.0.key_public.ok_or(Broken)?;
        // SAFETY: the firmware gave this function for this use; it writes 33 bytes, for which there is room.
        match unsafe { public(self.0.user, numbers::slot(slot), key.as_mut_ptr()) } {
            numbers::PLATFORM_DONE => Ok(Some(key)),
            numbers::PLATFORM_EMPTY => Ok(None),
            _ => Err(Broken),
        }
    }

    fn generate_next(&mut self) -> Result<(), Broken> {
        let generate = self.0.key_generate_next.ok_or(Broken)?;
        // SAFETY: the firmware gave this function for this use.
        done(unsafe { generate(self.0.user) })
    }

    fn promote_next(&mut self) -> Result<(), Broken> {
        let promote = self.0.key_promote_next.ok_or(Broken)?;
        // SAFETY: the firmware gave this function for this use.
        done(unsafe { promote(self.0.user) })
    }
}

impl OwnKey for CKey {
    type Error = Broken;

    fn sign(&self, message: &dyn Message) -> Result<[u8; 64], Broken> {
        let digest = RustCrypto.sha256(message);
        let mut signature = [0; 64];
        let sign = self.platform.key_sign.ok_or(Broken)?;
        // SAFETY: the firmware gave this function for this use; it reads 32 bytes and writes 64.
        done(unsafe { sign(self.platform.user, self.slot, digest.as_ptr(), signature.as_mut_ptr()) })?;
        Ok(signature)
    }

    fn agree(&self, public: &[u8; 32]) -> Result<Secret, Broken> {
        let mut shared = [0; 32];
        let agree = self.platform.key_agree.ok_or(Broken)?;
        // SAFETY: the firmware gave this function for this use; it reads 32 bytes and writes 32.
        let agreed = done(unsafe { agree(self.platform.user, self.slot, public.as_ptr(), shared.as_mut_ptr()) });
        let secret = Secret::from_bytes(shared);
        shared.zeroize();
        agreed.map(|()| secret)
    }
}

//! What the firmware gives to the SDK. Each trait is small; a bare-metal port of all of them is about two hundred lines.

use core::fmt;
use medlock_proto::crypto::OwnKey;

/// Time since boot: it never goes back, and begins anew at each boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticks(u64);

impl Ticks {
    /// This many milliseconds since boot.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since boot.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Milliseconds from `earlier` to now; zero if `earlier` is later.
    #[must_use]
    pub const fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This many milliseconds later.
    #[must_use]
    pub const fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

/// Random numbers that nobody can foresee.
pub trait Rng {
    /// Fills `bytes`. Blocks until there is enough entropy; a device without entropy must not start.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// Flash: erased by pages to 0xff, programmed once between erasures.
///
/// Power may go at any instant. The contract is that of NOR flash: a program or erase that was cut may leave any mixture
/// in the bytes it was about and changes no others; one that returned is durable.
pub trait Flash {
    /// Why it failed.
    type Error: fmt::Debug;
    /// Bytes of a page: the unit of erasure.
    const PAGE: usize;
    /// Bytes that are programmed at once: each such word is programmed at most once between erasures.
    const WORD: usize;

    /// The number of pages.
    fn pages(&self) -> usize;

    /// Reads `to.len()` bytes from `offset`.
    ///
    /// # Errors
    /// If the device fails, or the range is outside.
    fn read(&self, offset: usize, to: &mut [u8]) -> Result<(), Self::Error>;

    /// Programs `bytes` at `offset`; both are multiples of [`Flash::WORD`].
    ///
    /// # Errors
    /// If the device fails, or the range is outside or not aligned.
    fn program(&mut self, offset: usize, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Erases page `page` to 0xff.
    ///
    /// # Errors
    /// If the device fails, or there is no such page.
    fn erase(&mut self, page: usize) -> Result<(), Self::Error>;
}

/// Which of its own keys a device uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeySlot {
    /// The maker's: the key of the birth credential. Made once, never leaves.
    Birth,
    /// The key of the operational credential in use.
    Operational,
    /// The key a renewal is being asked for. It becomes [`KeySlot::Operational`] when the new credential is installed.
    Next,
}

/// Where the device's own private keys are: a secure element, a protected part of flash.
pub trait KeyStore {
    /// One key, usable.
    type Key<'k>: OwnKey
    where
        Self: 'k;
    /// Why it failed.
    type Error: fmt::Debug;

    /// The key in `slot`; `None` if the slot is empty.
    ///
    /// # Errors
    /// If the store fails.
    fn key(&self, slot: KeySlot) -> Result<Option<Self::Key<'_>>, Self::Error>;

    /// The public key in `slot`: a compressed point on P-256.
    ///
    /// # Errors
    /// If the store fails.
    fn public_key(&self, slot: KeySlot) -> Result<Option<[u8; 33]>, Self::Error>;

    /// Makes a new key in [`KeySlot::Next`], in place of one that may be there.
    ///
    /// # Errors
    /// If the store fails.
    fn generate_next(&mut self) -> Result<(), Self::Error>;

    /// Makes the key in [`KeySlot::Next`] the one in [`KeySlot::Operational`], in one step that power loss cannot halve.
    ///
    /// # Errors
    /// If the store fails, or there is no next key.
    fn promote_next(&mut self) -> Result<(), Self::Error>;
}

/// Flash that the processor sees among its addresses, as it does its internal flash. Trust objects are judged where they
/// lie, without a copy in memory.
pub trait MappedFlash: Flash {
    /// All pages, one after another. Within the contract of [`Flash`], what is read here is what [`Flash::read`] gives.
    fn bytes(&self) -> &[u8];
}

/// The parts of one firmware: which provider of cryptography, which random numbers, which flash, which key store.
pub trait Platform {
    /// Its cryptography.
    type Crypto: medlock_proto::crypto::Crypto;
    /// Its random numbers.
    type Rng: Rng;
    /// Its flash: the pages that are the SDK's.
    type Flash: MappedFlash;
    /// Its private keys.
    type Keys: KeyStore;
}

/// What a firmware hands over when the device starts.
#[derive(Debug)]
pub struct Parts<P: Platform> {
    /// Cryptography.
    pub crypto: P::Crypto,
    /// Random numbers.
    pub rng: P::Rng,
    /// The pages that are the SDK's, from the first: see [`Layout`](crate::Layout).
    pub flash: P::Flash,
    /// Private keys.
    pub keys: P::Keys,
}

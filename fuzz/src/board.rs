//! A board for whole devices: flash in memory, randomness that counts, at most one key.

use medlock_device::platform::{Flash, KeySlot, KeyStore, MappedFlash, Parts, Platform, Rng};
use medlock_proto::crypto::Crypto;
use medlock_rustcrypto::SoftwareKey;
use std::marker::PhantomData;

/// The platform, with a provider to choose.
#[derive(Debug)]
pub struct Board<C>(PhantomData<C>);

impl<C: Crypto> Platform for Board<C> {
    type Crypto = C;
    type Rng = Count;
    type Flash = Ram;
    type Keys = Keys;
}

/// What a device is made of.
pub fn parts<C: Crypto>(crypto: C, flash: Ram, keys: Keys) -> Parts<Board<C>> {
    Parts { crypto, rng: Count(0), flash, keys }
}

/// Each byte is one more than the one before.
#[derive(Debug)]
pub struct Count(u8);

impl Rng for Count {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
    }
}

/// Flash of whole pages.
#[derive(Clone, Debug)]
pub struct Ram(pub Vec<u8>);

impl Flash for Ram {
    type Error = ();
    const PAGE: usize = 1024;
    const WORD: usize = 8;

    fn pages(&self) -> usize {
        self.0.len() / Self::PAGE
    }

    fn read(&self, offset: usize, to: &mut [u8]) -> Result<(), ()> {
        to.copy_from_slice(self.0.get(offset..offset + to.len()).ok_or(())?);
        Ok(())
    }

    fn program(&mut self, offset: usize, bytes: &[u8]) -> Result<(), ()> {
        self.0.get_mut(offset..offset + bytes.len()).ok_or(())?.copy_from_slice(bytes);
        Ok(())
    }

    fn erase(&mut self, page: usize) -> Result<(), ()> {
        self.0.get_mut(page * Self::PAGE..(page + 1) * Self::PAGE).ok_or(())?.fill(0xff);
        Ok(())
    }
}

impl MappedFlash for Ram {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The key of every slot, if there is one: what signs, and what it says its public half is.
#[derive(Debug)]
pub struct Keys(pub Option<(fn() -> SoftwareKey, [u8; 33])>);

impl KeyStore for Keys {
    type Key<'k> = SoftwareKey;
    type Error = ();

    fn key(&self, _: KeySlot) -> Result<Option<SoftwareKey>, ()> {
        Ok(self.0.map(|(key, _)| key()))
    }

    fn public_key(&self, _: KeySlot) -> Result<Option<[u8; 33]>, ()> {
        Ok(self.0.map(|(_, public)| public))
    }

    fn generate_next(&mut self) -> Result<(), ()> {
        Err(())
    }

    fn promote_next(&mut self) -> Result<(), ()> {
        Err(())
    }
}

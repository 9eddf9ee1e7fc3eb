//! A simulated platform: flash that keeps to the rules of NOR, keys in memory, random numbers from a seed.

use medlock_device::platform::{Flash, KeySlot, KeyStore, MappedFlash, Platform, Rng};
use medlock_proto::crypto::Secret;
use medlock_rustcrypto::{PublicBits, RustCrypto, SoftwareKey};

pub(crate) const PAGES: usize = 48;

/// Numbers that follow from a seed (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn key(&mut self) -> SoftwareKey {
        let mut secret = [0; 32];
        self.fill(&mut secret);
        secret[0] &= 0x7f;
        SoftwareKey::p256(Secret::from_bytes(secret)).unwrap()
    }
}

impl Rng for Dice {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.iter_mut().for_each(|byte| *byte = self.next() as u8);
    }
}

/// The flash failed, or the power did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// NOR flash: programming clears bits only, and power may fail at any word or erasure.
#[derive(Clone, Debug)]
pub(crate) struct SimFlash {
    pub(crate) bytes: Vec<u8>,
    /// After so many more words or erasures the power goes.
    pub(crate) left: Option<u32>,
    pub(crate) steps: u32,
}

impl SimFlash {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0xff; PAGES * Self::PAGE], left: None, steps: 0 }
    }

    fn step(&mut self) -> Result<(), Broken> {
        match &mut self.left {
            Some(0) => return Err(Broken),
            Some(left) => *left -= 1,
            None => {}
        }
        self.steps += 1;
        Ok(())
    }
}

impl Flash for SimFlash {
    type Error = Broken;
    const PAGE: usize = 2048;
    const WORD: usize = 8;

    fn pages(&self) -> usize {
        PAGES
    }

    fn read(&self, offset: usize, to: &mut [u8]) -> Result<(), Broken> {
        to.copy_from_slice(&self.bytes[offset..][..to.len()]);
        Ok(())
    }

    fn program(&mut self, offset: usize, bytes: &[u8]) -> Result<(), Broken> {
        assert_eq!((offset % Self::WORD, bytes.len() % Self::WORD), (0, 0), "words only");
        for (at, word) in (offset..).step_by(Self::WORD).zip(bytes.chunks(Self::WORD)) {
            if self.step().is_err() {
                // A torn word: some bits were cleared, some not.
                for (held, new) in self.bytes[at..].iter_mut().zip(word).step_by(2) {
                    *held &= new | 0xa5;
                }
                return Err(Broken);
            }
            let held = &mut self.bytes[at..][..Self::WORD];
            assert!(held.iter().all(|byte| *byte == 0xff), "programmed twice between erasures");
            held.copy_from_slice(word);
        }
        Ok(())
    }

    fn erase(&mut self, page: usize) -> Result<(), Broken> {
        let torn = self.step().is_err();
        let bytes = &mut self.bytes[page * Self::PAGE..][..Self::PAGE];
        if torn {
            bytes.iter_mut().step_by(3).for_each(|byte| *byte = 0xff);
            return Err(Broken);
        }
        bytes.fill(0xff);
        Ok(())
    }
}

impl MappedFlash for SimFlash {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Keys in memory.
#[derive(Clone)]
pub(crate) struct SimKeys {
    pub(crate) birth: Option<SoftwareKey>,
    pub(crate) operational: Option<SoftwareKey>,
    pub(crate) next: Option<SoftwareKey>,
    pub(crate) dice: Dice,
    /// The power goes before the next promotion.
    pub(crate) broken: bool,
}

impl SimKeys {
    fn slot(&self, slot: KeySlot) -> Option<&SoftwareKey> {
        match slot {
            KeySlot::Birth => self.birth.as_ref(),
            KeySlot::Operational => self.operational.as_ref(),
            KeySlot::Next => self.next.as_ref(),
        }
    }
}

impl KeyStore for SimKeys {
    type Key<'k> = SoftwareKey;
    type Error = Broken;

    fn key(&self, slot: KeySlot) -> Result<Option<SoftwareKey>, Broken> {
        Ok(self.slot(slot).cloned())
    }

    fn public_key(&self, slot: KeySlot) -> Result<Option<[u8; 33]>, Broken> {
        Ok(self.slot(slot).map(compressed))
    }

    fn generate_next(&mut self) -> Result<(), Broken> {
        self.next = Some(self.dice.key());
        Ok(())
    }

    fn promote_next(&mut self) -> Result<(), Broken> {
        if self.broken {
            return Err(Broken);
        }
        self.operational = Some(self.next.take().ok_or(Broken)?);
        Ok(())
    }
}

/// A full point.
pub(crate) fn point(key: &SoftwareKey) -> [u8; 65] {
    let PublicBits::P256(point) = key.public() else { unreachable!("a key on P-256") };
    point
}

fn compressed(key: &SoftwareKey) -> [u8; 33] {
    let point = point(key);
    let mut short = [0; 33];
    short[0] = 2 | (point[64] & 1);
    short[1..].copy_from_slice(&point[1..33]);
    short
}

/// The parts of a simulated firmware.
#[derive(Debug)]
pub(crate) struct Sim;

impl Platform for Sim {
    type Crypto = RustCrypto;
    type Rng = Dice;
    type Flash = SimFlash;
    type Keys = SimKeys;
}

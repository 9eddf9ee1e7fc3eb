//! What the maker and the site put into a pump before it is used. In a real one it lies in flash.

use medlock_proto::crypto::Secret;
use medlock_rustcrypto::SoftwareKey;
use medlock_trust::DeviceId;

/// The most it takes together.
const ROOM: usize = 1536;

/// Key, seed, controller of the bond, own credential and site list, one behind the other as they came.
pub struct Provision {
    bytes: [u8; ROOM],
    credential: usize,
    list: usize,
}

const KEY: usize = 32;
const SEED: usize = 32;
const CONTROLLER: usize = 16;
const DEVICE: usize = 16;
const FIXED: usize = KEY + SEED + CONTROLLER + DEVICE;

impl Provision {
    /// Takes key, seed, controller, own device, and credential and list, each behind its length in two bytes.
    pub fn take(&mut self, from: &[u8]) -> Option<()> {
        let (fixed, rest) = from.split_at_checked(FIXED)?;
        let (credential, rest) = counted(rest)?;
        let (list, _) = counted(rest)?;
        let all = fixed.iter().chain(credential).chain(list);
        if FIXED + credential.len() + list.len() > ROOM {
            return None;
        }
        self.bytes.iter_mut().zip(all).for_each(|(to, from)| *to = *from);
        (self.credential, self.list) = (credential.len(), list.len());
        Some(())
    }

    pub fn key(&self) -> Option<SoftwareKey> {
        SoftwareKey::p256(Secret::from_bytes(*self.bytes.first_chunk()?))
    }

    pub fn seed(&self) -> &[u8] {
        self.bytes.get(KEY..KEY + SEED).unwrap_or_default()
    }

    pub fn controller(&self) -> Option<DeviceId> {
        self.id(KEY + SEED)
    }

    pub fn device(&self) -> Option<DeviceId> {
        self.id(KEY + SEED + CONTROLLER)
    }

    fn id(&self, at: usize) -> Option<DeviceId> {
        Some(DeviceId::from_bytes(self.bytes.get(at..at + DEVICE)?.try_into().ok()?))
    }

    pub fn credential(&self) -> &[u8] {
        self.bytes.get(FIXED..FIXED + self.credential).unwrap_or_default()
    }

    pub fn list(&self) -> &[u8] {
        let start = FIXED + self.credential;
        self.bytes.get(start..start + self.list).unwrap_or_default()
    }
}

fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

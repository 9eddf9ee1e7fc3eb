//! A key store in a folder. A demonstration's: the keys lie there for their owner to read.

use data_encoding::HEXLOWER;
use medlock_device::platform::{KeySlot, KeyStore};
use medlock_node::{files, provider};
use medlock_proto::crypto::Secret;
use medlock_rustcrypto::SoftwareKey;
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Keys on P-256 in a folder, one file each.
#[derive(Debug)]
pub struct FileKeys {
    folder: PathBuf,
}

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// A file cannot be used.
    #[error("a key file cannot be used: {0}")]
    File(#[from] io::Error),
    /// A file has no key.
    #[error("{} has no key in it", .0.display())]
    Damaged(PathBuf),
    /// There is no next key to promote.
    #[error("there is no next key")]
    NoNext,
}

impl FileKeys {
    /// The store in `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// If the folder cannot be used.
    pub fn open(folder: &Path) -> Result<Self, KeysError> {
        std::fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Makes a new key in `slot`, as a maker does when it builds a device.
    ///
    /// # Errors
    /// If the folder cannot be used.
    pub fn generate(&self, slot: KeySlot) -> Result<SoftwareKey, KeysError> {
        loop {
            let secret = Zeroizing::new(provider::random::<32>());
            // Fewer than one number in four thousand million is no key.
            if let Some(key) = SoftwareKey::p256(Secret::from_bytes(*secret)) {
                files::replace(&self.path(slot), HEXLOWER.encode(&*secret).as_bytes()).map_err(io::Error::other)?;
                return Ok(key);
            }
        }
    }

    fn path(&self, slot: KeySlot) -> PathBuf {
        self.folder.join(match slot {
            KeySlot::Birth => "birth.key",
            KeySlot::Operational => "operational.key",
            KeySlot::Next => "next.key",
        })
    }
}

impl KeyStore for FileKeys {
    type Key<'k> = SoftwareKey;
    type Error = KeysError;

    fn key(&self, slot: KeySlot) -> Result<Option<SoftwareKey>, KeysError> {
        let path = self.path(slot);
        let text = match std::fs::read(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let secret = HEXLOWER.decode(&text).ok().map(Zeroizing::new);
        let secret = secret.and_then(|secret| <[u8; 32]>::try_from(secret.as_slice()).ok());
        let key = secret.and_then(|secret| SoftwareKey::p256(Secret::from_bytes(secret)));
        key.map(Some).ok_or(KeysError::Damaged(path))
    }

    fn public_key(&self, slot: KeySlot) -> Result<Option<[u8; 33]>, KeysError> {
        Ok(self.key(slot)?.and_then(|key| compressed(&key)))
    }

    fn generate_next(&mut self) -> Result<(), KeysError> {
        self.generate(KeySlot::Next).map(drop)
    }

    fn promote_next(&mut self) -> Result<(), KeysError> {
        match std::fs::rename(self.path(KeySlot::Next), self.path(KeySlot::Operational)) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(KeysError::NoNext),
            Err(error) => Err(error.into()),
        }
    }
}

/// The public key as a compressed point (SEC 1 section 2.3.3).
fn compressed(key: &SoftwareKey) -> Option<[u8; 33]> {
    let public = key.public();
    let (_, x_and_y) = public.verifier()?.bits.split_first()?;
    let odd = x_and_y.last()? & 1 == 1;
    let mut point = [0; 33];
    point[0] = if odd { 3 } else { 2 };
    point[1..].copy_from_slice(x_and_y.get(..32)?);
    Some(point)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_and_are_promoted_in_one_step() {
        let folder = tempfile::tempdir().unwrap();
        let mut keys = FileKeys::open(folder.path()).unwrap();
        assert!(keys.public_key(KeySlot::Operational).unwrap().is_none());
        assert!(matches!(keys.promote_next(), Err(KeysError::NoNext)));
        keys.generate_next().unwrap();
        let next = keys.public_key(KeySlot::Next).unwrap().unwrap();
        assert!(matches!(next[0], 2 | 3));
        keys.promote_next().unwrap();
        let keys = FileKeys::open(folder.path()).unwrap();
        assert_eq!(keys.public_key(KeySlot::Operational).unwrap(), Some(next));
        assert_eq!(keys.public_key(KeySlot::Next).unwrap(), None);
    }
}

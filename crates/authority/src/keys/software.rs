//! Keys in a directory, one encrypted file each.

use crate::signer::{KeyLabel, SignerError};
use medlock_node::files;
use medlock_node::provider::{self, SigningAlgorithm, SigningKey, WebAlgorithm, WebKey};
use pkcs8::der::{Decode as _, Encode as _, asn1::OctetStringRef};
use pkcs8::{EncryptedPrivateKeyInfoOwned, EncryptedPrivateKeyInfoRef, SecretDocument, pkcs5::pbes2};
use std::path::{Path, PathBuf};
use zeroize::{Zeroize as _, Zeroizing};

/// Cost of the key derivation, as OpenSSL 3 also reads it. The passphrase is random, so this need not be slow.
const SCRYPT_LOG_N: u8 = 14;
const SCRYPT_R: u32 = 8;
const SCRYPT_P: u32 = 1;
/// Characters a passphrase file has at least.
const SHORTEST_PASSPHRASE: usize = 20;

/// A directory of encrypted keys and the file with their passphrase.
#[derive(Clone, Debug)]
pub struct KeyDirectory {
    directory: PathBuf,
    passphrase: Passphrase,
}

/// Where the passphrase is.
#[derive(Clone)]
enum Passphrase {
    File(PathBuf),
    /// Two persons have said it.
    Halves(Zeroizing<Vec<u8>>),
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Halves(_) => f.write_str("Halves"),
        }
    }
}

impl KeyDirectory {
    /// Opens the directory, making it (0700) and a random passphrase (0600, file `passphrase`) if they are not there.
    ///
    /// # Errors
    /// [`SignerError::KeyFile`].
    pub fn open(directory: &Path) -> Result<Self, SignerError> {
        Self::open_with_passphrase(directory, &directory.join("passphrase"))
    }

    /// As [`KeyDirectory::open`], with the passphrase in a file elsewhere: on another disk, or handed over by the
    /// service manager.
    ///
    /// # Errors
    /// [`SignerError::KeyFile`].
    pub fn open_with_passphrase(directory: &Path, passphrase_file: &Path) -> Result<Self, SignerError> {
        let failed = |error: medlock_node::Error| SignerError::KeyFile(error.to_string());
        files::private_directory(directory).map_err(failed)?;
        let passphrase_file = passphrase_file.to_owned();
        if files::read(&passphrase_file).map_err(failed)?.is_none() {
            if let Some(key) = labels(directory)?.into_iter().next() {
                return Err(SignerError::KeyFile(format!(
                    "{} is missing, and {} cannot be read without it: bring it back from where you keep it; what `medlock authority \
                     backup` copies has no passphrase",
                    passphrase_file.display(),
                    file(directory, key).display()
                )));
            }
            make_passphrase(&passphrase_file)?;
        }
        Ok(Self { directory: directory.to_owned(), passphrase: Passphrase::File(passphrase_file) })
    }

    /// Opens the directory with a passphrase of which two persons have a half each: neither opens it alone, and it is
    /// written nowhere.
    ///
    /// # Errors
    /// [`SignerError::KeyFile`], also when a half has less than 10 characters.
    pub fn open_with_halves(directory: &Path, halves: [&str; 2]) -> Result<Self, SignerError> {
        files::private_directory(directory).map_err(|error| SignerError::KeyFile(error.to_string()))?;
        if halves.iter().any(|half| half.trim().chars().count() < SHORTEST_PASSPHRASE / 2) {
            let least = SHORTEST_PASSPHRASE / 2;
            return Err(SignerError::KeyFile(format!("each half of the passphrase has at least {least} characters")));
        }
        // What separates them keeps a letter from moving from one half to the other.
        let whole = Zeroizing::new(halves.map(str::trim).join("\n").into_bytes());
        Ok(Self { directory: directory.to_owned(), passphrase: Passphrase::Halves(whole) })
    }

    /// Where the keys are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The key, or `None` if its file is not there.
    ///
    /// # Errors
    /// [`SignerError::KeyFile`] when the file cannot be read or decrypted.
    pub fn load(&self, key: KeyLabel) -> Result<Option<SigningKey>, SignerError> {
        let path = file(&self.directory, key);
        let damaged = |what: &str| {
            SignerError::KeyFile(format!("{}: {what}; bring the file back from your backup", path.display()))
        };
        let Some(bytes) = files::read(&path).map_err(|error| SignerError::KeyFile(error.to_string()))? else {
            return Ok(None);
        };
        open(&bytes, &self.passphrase()?).map(Some).map_err(|what| damaged(&what))
    }

    /// Makes a new key and stores it durably before it is used.
    ///
    /// # Errors
    /// [`SignerError::KeyFile`], also if the key is already there: a key is never overwritten.
    pub fn create(&self, key: KeyLabel, algorithm: SigningAlgorithm) -> Result<SigningKey, SignerError> {
        let path = file(&self.directory, key);
        if path.exists() {
            return Err(SignerError::KeyFile(format!("{} is already there", path.display())));
        }
        let made = SigningKey::generate_with(algorithm);
        let bytes = seal(&made.to_pkcs8(), &self.passphrase()?)
            .ok_or_else(|| SignerError::KeyFile(format!("{}: the key cannot be encrypted", path.display())))?;
        files::replace(&path, &bytes).map_err(|error| SignerError::KeyFile(error.to_string()))?;
        Ok(made)
    }

    /// The key for tokens of the web, made and stored durably if it is not there.
    ///
    /// # Errors
    /// [`SignerError::KeyFile`].
    pub fn web_key(&self, algorithm: WebAlgorithm) -> Result<WebKey, SignerError> {
        let path = self.directory.join(format!("web-{}.key", algorithm.name().to_ascii_lowercase()));
        let wrong = |what: String| SignerError::KeyFile(format!("{}: {what}", path.display()));
        let passphrase = self.passphrase()?;
        if let Some(bytes) = files::read(&path).map_err(|error| SignerError::KeyFile(error.to_string()))? {
            let plain = plain(&bytes, &passphrase).map_err(wrong)?;
            return WebKey::from_pkcs8(algorithm, plain.as_bytes()).map_err(|error| wrong(error.to_string()));
        }
        let made = WebKey::generate(algorithm);
        let bytes =
            seal(&made.to_pkcs8(), &passphrase).ok_or_else(|| wrong("the key cannot be encrypted".to_owned()))?;
        files::replace(&path, &bytes).map_err(|error| SignerError::KeyFile(error.to_string()))?;
        Ok(made)
    }

    /// Renames the key's file, encrypted as it is, so that it is used no more; who has the right to the folder may bring it
    /// back or remove it.
    ///
    /// # Errors
    /// [`SignerError::KeyFile`]; asking again goes on.
    pub fn set_aside(&self, key: KeyLabel) -> Result<(), SignerError> {
        let path = file(&self.directory, key);
        match std::fs::rename(&path, path.with_extension("key.retired")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(SignerError::KeyFile(format!("{}: {error}", path.display())))
            }
            _ => Ok(()),
        }
    }

    fn passphrase(&self) -> Result<Zeroizing<Vec<u8>>, SignerError> {
        match &self.passphrase {
            Passphrase::File(file) => passphrase(file),
            Passphrase::Halves(whole) => Ok(whole.clone()),
        }
    }
}

fn passphrase(file: &Path) -> Result<Zeroizing<Vec<u8>>, SignerError> {
    let missing = || {
        SignerError::KeyFile(format!(
            "{} is missing or shorter than {SHORTEST_PASSPHRASE} characters: bring it back from where you keep it",
            file.display()
        ))
    };
    let text = files::read(file)
        .map_err(|error| SignerError::KeyFile(error.to_string()))?
        .map(Zeroizing::new)
        .ok_or_else(missing)?;
    let trimmed = text.trim_ascii();
    if trimmed.len() < SHORTEST_PASSPHRASE {
        return Err(missing());
    }
    Ok(Zeroizing::new(trimmed.to_vec()))
}

/// The key in an encrypted PKCS#8 document, or what is wrong with it.
fn open(document: &[u8], passphrase: &[u8]) -> Result<SigningKey, String> {
    SigningKey::from_pkcs8(plain(document, passphrase)?.as_bytes()).map_err(|error| error.to_string())
}

/// The PKCS#8 document in an encrypted one, erased from memory when dropped.
fn plain(document: &[u8], passphrase: &[u8]) -> Result<SecretDocument, String> {
    let encrypted = EncryptedPrivateKeyInfoRef::from_der(document)
        .map_err(|_| "it is not an encrypted PKCS#8 key (EncryptedPrivateKeyInfo, DER)")?;
    encrypted.decrypt(passphrase).map_err(|_| "the passphrase does not open it, or it is damaged".to_owned())
}

/// A PKCS#8 document, encrypted.
fn seal(plain: &[u8], passphrase: &[u8]) -> Option<Vec<u8>> {
    let cost = pkcs8::pkcs5::scrypt::Params::new(SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P).ok()?;
    let parameters =
        pbes2::Parameters::generate_scrypt_aes256cbc(cost, &provider::random::<16>(), provider::random::<16>()).ok()?;
    let sealed = parameters.encrypt(passphrase, plain).ok()?;
    let encrypted_data = OctetStringRef::new(&sealed).ok()?;
    let info = pkcs8::EncryptedPrivateKeyInfo { encryption_algorithm: parameters.into(), encrypted_data };
    let bytes = info.to_der().ok()?;
    debug_assert!(EncryptedPrivateKeyInfoOwned::from_der(&bytes).is_ok());
    Some(bytes)
}

/// The one key in a file, as a member of an alliance has it: encrypted PKCS#8 (DER), and the file with its passphrase.
///
/// # Errors
/// [`SignerError::KeyFile`].
pub fn key_file(path: &Path, passphrase_file: &Path) -> Result<SigningKey, SignerError> {
    let wrong = |what: &str| SignerError::KeyFile(format!("{}: {what}", path.display()));
    let bytes = files::read(path).map_err(|error| SignerError::KeyFile(error.to_string()))?;
    let bytes = bytes.ok_or_else(|| wrong("there is no such file; make a key with `medlock trust-list member-key`"))?;
    open(&bytes, &passphrase(passphrase_file)?).map_err(|what| wrong(&what))
}

/// Makes a key in a file of its own. If there is no passphrase file, a random passphrase is written there.
///
/// # Errors
/// [`SignerError::KeyFile`], also if the key file is there: a key is never overwritten.
pub fn make_key_file(
    path: &Path,
    passphrase_file: &Path,
    algorithm: SigningAlgorithm,
) -> Result<SigningKey, SignerError> {
    if path.exists() {
        return Err(SignerError::KeyFile(format!("{} is already there", path.display())));
    }
    if !passphrase_file.exists() {
        make_passphrase(passphrase_file)?;
    }
    let made = SigningKey::generate_with(algorithm);
    let sealed = seal(&made.to_pkcs8(), &passphrase(passphrase_file)?);
    let bytes = sealed.ok_or_else(|| SignerError::KeyFile("the key cannot be encrypted".to_owned()))?;
    files::replace(path, &bytes).map_err(|error| SignerError::KeyFile(error.to_string()))?;
    Ok(made)
}

fn make_passphrase(file: &Path) -> Result<(), SignerError> {
    let mut secret = provider::random::<32>();
    let text = Zeroizing::new(data_encoding::BASE64URL_NOPAD.encode(&secret));
    secret.zeroize();
    files::replace(file, text.as_bytes()).map_err(|error| SignerError::KeyFile(error.to_string()))
}

fn file(directory: &Path, key: KeyLabel) -> PathBuf {
    directory.join(format!("{key}.key"))
}

/// The keys that have a file in the directory, ascending.
fn labels(directory: &Path) -> Result<Vec<KeyLabel>, SignerError> {
    let failed = |error: std::io::Error| SignerError::KeyFile(format!("{}: {error}", directory.display()));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let label =
            name.to_str().and_then(|name| name.strip_suffix(".key")).and_then(|text| text.parse::<KeyLabel>().ok());
        found.extend(label);
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::KeyRole;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn keys_come_back_and_lie_encrypted_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let keys = KeyDirectory::open(dir.path()).unwrap();
        assert!(keys.load(KeyLabel::ROOT).unwrap().is_none());
        let made = keys.create(KeyLabel::ROOT, SigningAlgorithm::P256).unwrap();
        assert_eq!(KeyDirectory::open(dir.path()).unwrap().load(KeyLabel::ROOT).unwrap().unwrap().spki(), made.spki());
        assert!(keys.create(KeyLabel::ROOT, SigningAlgorithm::P256).is_err(), "a key was overwritten");
        let at_rest = std::fs::read(dir.path().join("root.key")).unwrap();
        let plain = made.to_pkcs8();
        assert!(!at_rest.windows(16).any(|part| plain.windows(16).any(|secret| secret == part)));
        for name in ["root.key", "passphrase"] {
            let mode = std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn lost_passphrase_and_damaged_key_are_named_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let keys = KeyDirectory::open(dir.path()).unwrap();
        keys.create(KeyLabel::ISSUING, SigningAlgorithm::P256).unwrap();
        let path = dir.path().join("issuing.key");
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(keys.load(KeyLabel::ISSUING).unwrap_err().to_string().contains("issuing.key"));
        std::fs::remove_file(dir.path().join("passphrase")).unwrap();
        assert!(KeyDirectory::open(dir.path()).unwrap_err().to_string().contains("passphrase"));
        assert!(!dir.path().join("passphrase").exists());
    }

    /// Shows REQ-KEYS-03.
    #[test]
    fn keys_of_one_role_lie_beside_one_another_each_with_its_algorithm() {
        let dir = tempfile::tempdir().unwrap();
        let keys = KeyDirectory::open(dir.path()).unwrap();
        let label = |number| KeyLabel::new(KeyRole::Issuing, number).unwrap();
        let made = SigningAlgorithm::ALL.into_iter().zip(1..);
        let made: Vec<_> = made.map(|(with, number)| keys.create(label(number), with).unwrap()).collect();
        assert!(dir.path().join("issuing.key").exists() && dir.path().join("issuing-2.key").exists());
        for (key, number) in made.iter().zip(1..) {
            let loaded = keys.load(label(number)).unwrap().unwrap();
            assert_eq!((loaded.spki(), loaded.algorithm()), (key.spki(), key.algorithm()));
        }
        std::fs::remove_file(dir.path().join("passphrase")).unwrap();
        assert!(KeyDirectory::open(dir.path()).is_err(), "keys are there that the new passphrase would not open");
    }
}

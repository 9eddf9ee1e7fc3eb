//! Lists of revoked certificates (RFC 5280 section 5), which a site puts into files and keeps fresh there.

use medlock_node::provider::AwsLc;
use medlock_trust::Time;
use medlock_trust::crypto::{Crypto as _, KeyAlgorithm, PublicKey, Signature};
use medlock_trust::der::{Error, Reader, tag};
use medlock_trust::x509::{AlgorithmIdentifier, Certificate, Name};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

/// Bytes of a file, at most: some hundred thousand certificates.
const MOST: u64 = 16 << 20;

/// A list as it was read: whose it says it is, and who is on it. Nothing is believed before its issuer's key has confirmed it.
#[derive(Debug)]
pub struct List {
    signed: Vec<u8>,
    algorithm: Vec<u8>,
    signature: Vec<u8>,
    fields: Fields,
    /// The key that has confirmed it: that takes a while, where a list is long.
    confirmed: OnceLock<(KeyAlgorithm, Vec<u8>)>,
}

/// What is signed of it.
#[derive(Debug)]
struct Fields {
    /// DER.
    issuer: Vec<u8>,
    /// Until when a newer one is promised.
    until: Time,
    /// Serial numbers, without a zero in front.
    revoked: HashSet<Vec<u8>>,
}

impl List {
    /// Reads a list (DER). One of a part of its issuer's certificates, or one of changes, is none here.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(der: &[u8]) -> Result<Self, String> {
        let unreadable = |error: Error| format!("it is no list of revoked certificates: {error:?}");
        let mut outer = Reader::new(der);
        let mut list = outer.nested(tag::SEQUENCE).map_err(unreadable)?;
        outer.finish().map_err(unreadable)?;
        let signed = list.expect_element(tag::SEQUENCE).map_err(unreadable)?;
        let algorithm = list.expect_element(tag::SEQUENCE).map_err(unreadable)?;
        let signature = list.octets_in_bit_string().map_err(unreadable)?.to_vec();
        list.finish().map_err(unreadable)?;
        let fields = Fields::read(signed.content, algorithm.encoding).map_err(unreadable)?;
        let fields = fields.ok_or("it has critical extensions that are not known here, or no nextUpdate")?;
        Ok(Self {
            signed: signed.encoding.to_vec(),
            algorithm: algorithm.encoding.to_vec(),
            signature,
            fields,
            confirmed: OnceLock::new(),
        })
    }

    fn is_of(&self, issuer: &Name<'_>) -> bool {
        Name::from_der(&self.fields.issuer).is_ok_and(|name| name.matches(issuer))
    }

    /// Whether the key has signed it.
    fn is_by(&self, key: PublicKey<'_>) -> bool {
        if self
            .confirmed
            .get()
            .is_some_and(|(algorithm, bits)| (*algorithm, bits.as_slice()) == (key.algorithm, key.bits))
        {
            return true;
        }
        let Some(algorithm) =
            AlgorithmIdentifier::from_der(&self.algorithm).ok().and_then(|one| one.signature_algorithm())
        else {
            return false;
        };
        let is_by = AwsLc.verify(algorithm, key, &[self.signed.as_slice()], Signature::X509(&self.signature)).is_ok();
        if is_by {
            // Another thread that has set it has seen the same key, or one that is asked anew.
            let _ = self.confirmed.set((key.algorithm, key.bits.to_vec()));
        }
        is_by
    }
}

impl Fields {
    /// `None`: they say something that is not known here, or promise no newer list.
    fn read(content: &[u8], algorithm: &[u8]) -> Result<Option<Self>, Error> {
        let mut fields = Reader::new(content);
        fields.optional(tag::INTEGER)?;
        let mut known = fields.expect_element(tag::SEQUENCE)?.encoding == algorithm;
        let issuer = fields.expect_element(tag::SEQUENCE)?.encoding.to_vec();
        fields.time()?;
        let until = match fields.peek() {
            Some(tag::UTC_TIME | tag::GENERALIZED_TIME) => Some(fields.time()?),
            _ => None,
        };
        let mut revoked = HashSet::new();
        if fields.peek() == Some(tag::SEQUENCE) {
            let mut entries = fields.nested(tag::SEQUENCE)?;
            while !entries.is_empty() {
                let mut entry = entries.nested(tag::SEQUENCE)?;
                revoked.insert(magnitude(entry.integer()?).to_vec());
                entry.time()?;
                if !entry.is_empty() {
                    known &= !has_critical(&mut entry)?;
                }
                entry.finish()?;
            }
        }
        if !fields.is_empty() {
            known &= !has_critical(&mut fields.nested(tag::context_constructed(0))?)?;
        }
        fields.finish()?;
        Ok(until.filter(|_| known).map(|until| Self { issuer, until, revoked }))
    }
}

/// Whether one of a list of extensions is critical: none of them is known here.
fn has_critical(reader: &mut Reader<'_>) -> Result<bool, Error> {
    let (mut extensions, mut critical) = (reader.nested(tag::SEQUENCE)?, false);
    while !extensions.is_empty() {
        let mut extension = extensions.nested(tag::SEQUENCE)?;
        extension.oid()?;
        critical |= extension.boolean_default_false()?;
        extension.expect(tag::OCTET_STRING)?;
        extension.finish()?;
    }
    Ok(critical)
}

/// A serial number without a zero in front, as [`Certificate::serial_magnitude`] has it.
fn magnitude(number: &[u8]) -> &[u8] {
    number.strip_prefix(&[0]).unwrap_or(number)
}

/// The lists of a community, each in a file that is read again when it has changed.
#[derive(Debug)]
pub(super) struct Lists(Vec<File>);

#[derive(Debug)]
struct File {
    path: PathBuf,
    held: Mutex<Option<Held>>,
}

/// What was read of a file, and when that was written, and how long it is.
#[derive(Debug)]
struct Held {
    written: SystemTime,
    bytes: u64,
    list: Arc<List>,
}

impl Lists {
    pub(super) fn new(paths: &[PathBuf]) -> Self {
        Self(paths.iter().map(|path| File { path: path.clone(), held: Mutex::default() }).collect())
    }

    /// The first file that cannot be read, and why.
    pub(super) fn unreadable(&self) -> Option<(&Path, String)> {
        self.0.iter().find_map(|file| Some((file.path.as_path(), file.list().err()?)))
    }

    /// Whether a certificate, which this key has signed, is on no list; where there are lists, one of them has to be its issuer's.
    ///
    /// # Errors
    /// Why it does not count.
    pub(super) fn check(&self, certificate: &Certificate<'_>, key: PublicKey<'_>, now: Time) -> Result<(), String> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut why = "there is no list of what its issuer has revoked".to_owned();
        let mut fresh = false;
        for file in &self.0 {
            let list = match file.list() {
                Ok(list) => list,
                Err(wrong) => {
                    why = format!("{}: {wrong}", file.path.display());
                    continue;
                }
            };
            if !list.is_of(&certificate.issuer()) || !list.is_by(key) {
                continue;
            }
            if list.fields.revoked.contains(certificate.serial_magnitude()) {
                return Err("its issuer has revoked it".to_owned());
            }
            if now > list.fields.until {
                why = format!("{}: a newer list was promised: fetch it", file.path.display());
                continue;
            }
            fresh = true;
        }
        if fresh { Ok(()) } else { Err(why) }
    }
}

impl File {
    fn list(&self) -> Result<Arc<List>, String> {
        let about = std::fs::metadata(&self.path).map_err(|error| error.to_string())?;
        let (written, bytes) = (about.modified().map_err(|error| error.to_string())?, about.len());
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = &*held
            && (held.written, held.bytes) == (written, bytes)
        {
            return Ok(Arc::clone(&held.list));
        }
        if bytes > MOST {
            return Err(format!("it has more than {MOST} bytes"));
        }
        let list = Arc::new(List::read(&std::fs::read(&self.path).map_err(|error| error.to_string())?)?);
        *held = Some(Held { written, bytes, list: Arc::clone(&list) });
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(bytes in any::<Vec<u8>>()) {
            let _ = List::read(&bytes);
        }
    }
}

//! What makes one version of a list of another: less to carry than the whole, and the same bytes afterwards.
//!
//! ```cddl
//! delta   = [ form: 1, base: bstr .size 32,      ; SHA-256 of the payload of the list it starts from
//!             heading: bstr,                     ; the items of the new payload before its sections
//!             4*4 section,                       ; members, recovery keys, authorities, services
//!             protected: bstr, signatures: [+ signature] ]
//! section = [ removed: [* key-id], put: [* entry] ]
//! ```
//!
//! Nobody signs a delta. What it makes is a list, with the signatures of its members, and is verified as such.

use medlock_trust::cbor::{Error as CborError, ErrorKind, Reader, Writer};
use medlock_trust::list::{Error as ListError, List, MAX_LENGTH};
use std::collections::BTreeMap;

const FORM: u64 = 1;
/// The items of a payload: the heading's, and then the sections.
const PAYLOAD: u64 = 15;
const SECTIONS: usize = 4;
/// The most entries of one section (authorities).
const MAX_ENTRIES: u64 = 64;

type Section<'a> = BTreeMap<&'a [u8], &'a [u8]>;

/// Why a delta is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeltaError {
    /// The delta cannot be read.
    #[error("it is no delta: {0}")]
    Malformed(#[from] CborError),
    /// It starts from another list.
    #[error("it starts from another list than the one held: fetch the whole list")]
    OtherBase,
    /// What it makes is no list.
    #[error("what it makes is no list: {0}")]
    NoList(ListError),
}

impl From<ListError> for DeltaError {
    fn from(error: ListError) -> Self {
        Self::NoList(error)
    }
}

/// Writes what makes `new` of `old`; both are signed lists.
///
/// # Errors
/// [`DeltaError`] if one of them is no list.
pub fn make(old: &[u8], new: &[u8]) -> Result<Vec<u8>, DeltaError> {
    let (old, list) = (List::danger_open(old)?, List::danger_open(new)?);
    let ((_, before), (heading, after)) = (parts(old.payload())?, parts(list.payload())?);
    let (protected, signatures) = envelope(new)?;
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    infallible(writer.array(5 + SECTIONS as u64));
    infallible(writer.uint(FORM));
    infallible(writer.bytes(&crate::provider::sha256(old.payload())));
    infallible(writer.bytes(heading));
    for (before, after) in before.iter().zip(&after) {
        let removed: Vec<_> = before.keys().filter(|key| !after.contains_key(*key)).collect();
        let put: Vec<_> =
            after.iter().filter(|(key, entry)| before.get(*key) != Some(*entry)).map(|(_, entry)| entry).collect();
        infallible(writer.array(2));
        infallible(writer.array(removed.len() as u64));
        removed.iter().for_each(|key| infallible(writer.bytes(key)));
        infallible(writer.array(put.len() as u64));
        put.iter().for_each(|entry| infallible(writer.raw(entry)));
    }
    infallible(writer.bytes(protected));
    infallible(writer.raw(signatures));
    Ok(out)
}

/// Makes the new list of the old one. It is what was signed, bit for bit, or no list at all; verify it like any other.
///
/// # Errors
/// [`DeltaError`].
pub fn apply(old: &[u8], delta: &[u8]) -> Result<Vec<u8>, DeltaError> {
    let old = List::danger_open(old)?;
    let mut reader = Reader::new(delta);
    reader.array_of(5 + SECTIONS as u64)?;
    if reader.uint()? != FORM {
        return Err(DeltaError::Malformed(reader.error(ErrorKind::OutOfRange)));
    }
    if *reader.fixed::<32>()? != crate::provider::sha256(old.payload()) {
        return Err(DeltaError::OtherBase);
    }
    let heading = reader.bytes()?;
    let (_, mut sections) = parts(old.payload())?;
    for section in &mut sections {
        reader.array_of(2)?;
        for _ in 0..reader.array(MAX_ENTRIES)? {
            section.remove(reader.fixed::<16>()?.as_slice());
        }
        for _ in 0..reader.array(MAX_ENTRIES)? {
            let entry = reader.skip()?;
            section.insert(key(entry)?, entry);
        }
    }
    let protected = reader.bytes()?;
    let signatures = reader.skip()?;
    reader.finish()?;

    let mut payload = Vec::new();
    let mut writer = Writer::new(&mut payload);
    infallible(writer.array(PAYLOAD));
    infallible(writer.raw(heading));
    for section in &sections {
        infallible(writer.array(section.len() as u64));
        section.values().for_each(|entry| infallible(writer.raw(entry)));
    }
    if payload.len() > MAX_LENGTH {
        return Err(ListError::TooLong(payload.len()).into());
    }
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    infallible(writer.tag(98));
    infallible(writer.array(4));
    infallible(writer.bytes(protected));
    infallible(writer.map(0));
    infallible(writer.bytes(&payload));
    infallible(writer.raw(signatures));
    List::danger_open(&out)?;
    Ok(out)
}

/// The heading of a payload, and its sections by key.
fn parts(payload: &[u8]) -> Result<(&[u8], [Section<'_>; SECTIONS]), CborError> {
    let mut reader = Reader::new(payload);
    reader.array_of(PAYLOAD)?;
    let start = reader.position();
    for _ in SECTIONS as u64..PAYLOAD {
        reader.skip()?;
    }
    let heading = reader.read_since(start);
    let mut sections: [Section<'_>; SECTIONS] = Default::default();
    for section in &mut sections {
        for _ in 0..reader.array(MAX_ENTRIES)? {
            let entry = reader.skip()?;
            section.insert(key(entry)?, entry);
        }
    }
    Ok((heading, sections))
}

/// The first item of an entry: the identifier of its key.
fn key(entry: &[u8]) -> Result<&[u8], CborError> {
    let mut reader = Reader::new(entry);
    reader.array(u64::MAX)?;
    Ok(reader.fixed::<16>()?)
}

/// The protected header and the signatures of a signed list.
fn envelope(list: &[u8]) -> Result<(&[u8], &[u8]), CborError> {
    let mut reader = Reader::new(list);
    reader.tag(98)?;
    reader.array_of(4)?;
    let protected = reader.bytes()?;
    reader.map(0)?;
    reader.bytes()?;
    Ok((protected, reader.skip()?))
}

fn infallible<T>(written: Result<T, std::convert::Infallible>) {
    let Ok(_) = written;
}

//! `medlock trust-list …`, done.

pub(crate) mod hub;
pub(crate) mod members;
pub(crate) mod read;

use crate::Failure;
use medlock_node::clock::Clock;
use medlock_node::knowledge::suspensions;
use medlock_node::provider::AwsLc;
use medlock_trust::list::{List, Suspension};
use medlock_trust::x509::SubjectPublicKeyInfo;
use medlock_trust::{KeyId, Time};
use std::path::Path;

fn now() -> Time {
    Clock::system().now()
}

fn file(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()).into())
}

fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, content).map_err(|error| format!("{} cannot be written: {error}", path.display()).into())
}

/// A signed list that was verified before: it is compared with, and what it says counts for nothing without signatures.
fn opened<'b>(bytes: &'b [u8], path: &Path) -> Result<List<'b>, Failure> {
    List::danger_open(bytes).map_err(|error| format!("{} is no signed list: {error}", path.display()).into())
}

/// Of a sequence of suspensions, those that count now for who holds this list, with what they say.
fn suspensions_of<'b>(all: &'b [u8], list: &List<'_>) -> impl Iterator<Item = (&'b [u8], Suspension<'b>)> {
    let heading = list.heading();
    let (name, epoch, since, now) = (heading.name.to_owned(), heading.recovery_epoch, heading.issued, now());
    let opened = suspensions::each(all).filter_map(|one| Some((one, Suspension::danger_open(one).ok()?)));
    opened.filter(move |(_, one)| {
        let content = one.content();
        content.list == name && content.recovery_epoch == epoch && content.issued >= since && content.expires > now
    })
}

/// A key's identifier, or the file with a public key.
fn key_id(text: &str) -> Result<KeyId, Failure> {
    if let Ok(bytes) = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes())
        && let Ok(bytes) = bytes.try_into()
    {
        return Ok(KeyId::from_bytes(bytes));
    }
    let wrong =
        || format!("{text} is no key: give its identifier (32 hexadecimal digits) or the file with the public key");
    let pem = std::fs::read(text).map_err(|_| wrong())?;
    let der: rustls_pki_types::SubjectPublicKeyInfoDer<'_> =
        rustls_pki_types::pem::PemObject::from_pem_slice(&pem).map_err(|_| wrong())?;
    Ok(SubjectPublicKeyInfo::from_der(&der).map_err(|_| wrong())?.key_id(&AwsLc))
}

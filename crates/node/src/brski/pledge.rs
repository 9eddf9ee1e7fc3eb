//! The device's side: its birth credential, what it asks with, and when it believes the answer.

use super::cms::{self, SignedJson};
use super::{Refused, VoucherRequest, believe};
use crate::Error;
use crate::files;
use crate::identity::Identity;
use crate::provider::{AwsLc, sha256};
use data_encoding::HEXLOWER;
use medlock_trust::path::AuthorityKind;
use medlock_trust::voucher::{self, Expected};
use medlock_trust::x509::{Certificate, ids};
use medlock_trust::{Anchor, Budget, Knowledge, Time, authenticate};
use rustls::pki_types::CertificateDer;
use std::path::{Path, PathBuf};

/// How a device keeps its birth credential: a file that a reset leaves alone.
#[derive(Debug)]
pub struct Birth {
    file: PathBuf,
    identity: Identity,
    /// The maker's root, by which vouchers are believed.
    maker: CertificateDer<'static>,
    serial: String,
    issuer: Option<Vec<u8>>,
}

impl Birth {
    /// Reads a file with the private key (PKCS#8), the birth credential, and its chain up to the maker's root, all PEM.
    ///
    /// # Errors
    /// [`Error::File`], and [`Error::Damaged`] when the file is not that.
    pub fn open(file: &Path) -> Result<Self, Error> {
        let remedy = "it holds the private key, the birth credential and the chain up to the maker's root, as PEM";
        let damaged = |what: String| Error::Damaged { path: file.to_owned(), what, remedy };
        let text = files::read(file)?.ok_or_else(|| damaged("it is not there".to_owned()))?;
        let identity = Identity::from_pem(&zeroize::Zeroizing::new(text)).map_err(damaged)?;
        let maker = identity.chain().last().filter(|last| is_root(last)).cloned();
        let maker = maker.ok_or_else(|| damaged("its last certificate is not the maker's root".to_owned()))?;
        let own = Certificate::from_der(identity.own()).map_err(|error| damaged(error.to_string()))?;
        let module = own.extensions().subject_alt_names().find_map(|name| name.hardware_module_name());
        let serial = match module {
            Some(module) => std::str::from_utf8(module.serial).ok().map(str::to_owned),
            None => own.subject().only(ids::SERIAL_NUMBER).map(|text| text.to_string()),
        };
        let serial = serial.ok_or_else(|| damaged("the birth credential names no serial".to_owned()))?;
        let issuer = own.extensions().authority_key_id().and_then(|issuer| issuer.key_id).map(<[u8]>::to_vec);
        Ok(Self { file: file.to_owned(), identity, maker, serial, issuer })
    }

    /// Key and chain.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The serial the maker gave the device.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// The signed request for a voucher, to the registrar that showed this certificate.
    ///
    /// # Errors
    /// [`Error::Certificate`] if the birth credential cannot be read.
    pub fn request(&self, registrar: &[u8], nonce: Option<&[u8]>, at: Time) -> Result<Vec<u8>, Error> {
        let json = VoucherRequest {
            created_on: at,
            nonce: nonce.map(<[u8]>::to_vec),
            serial_number: self.serial.clone(),
            idevid_issuer: self.issuer.clone(),
            proximity: Some(registrar.to_vec()),
            prior: None,
        }
        .write();
        sign(&self.identity, &json, at)
    }

    /// Judges a voucher: whether the maker says that the device belongs to the site whose registrar showed this chain. Gives the
    /// certificate of the site's root that the voucher names, which may be a former one, and remembers when the maker said so.
    ///
    /// # Errors
    /// [`Refused`] in words ([`Error::Certificate`]); [`Error::File`] when it cannot be remembered: then it must not count.
    pub fn believe(
        &self,
        answer: &[u8],
        nonce: Option<&[u8]>,
        registrar: &[CertificateDer<'_>],
        knowledge: &Knowledge<'_>,
    ) -> Result<CertificateDer<'static>, Error> {
        let newest = self.newest()?;
        let (pinned, word) = self
            .judge(answer, nonce, registrar, knowledge, newest)
            .map_err(|why| Error::Certificate(format!("the site's voucher does not count: {why}")))?;
        // An older word of the same owner takes back nothing of what is known.
        let created_on = newest.map_or(word.created_on, |newest| newest.created_on.max(word.created_on));
        let word = Word { created_on, ..word };
        if newest != Some(word) {
            files::replace(&self.newest_file(), word.to_text().as_bytes())?;
        }
        Ok(pinned)
    }

    fn judge(
        &self,
        answer: &[u8],
        nonce: Option<&[u8]>,
        registrar: &[CertificateDer<'_>],
        knowledge: &Knowledge<'_>,
        newest: Option<Word>,
    ) -> Result<(CertificateDer<'static>, Word), Refused> {
        let signed = SignedJson::read(answer)?;
        let maker = Certificate::from_der(&self.maker).ok();
        let maker = maker.and_then(|maker| Anchor::for_everything(&maker, AuthorityKind::Maker, &AwsLc));
        let (voucher, _) = believe(&signed, maker.as_slice(), knowledge)?;
        let other = || Refused::Voucher(voucher::Refused::OtherDomain);
        // The registrar's own chain has to lead to what is pinned. A root that took the place of that one was certified by it.
        let pinned = Certificate::from_der(&voucher.pinned).map_err(|error| Refused::form(error.to_string()))?;
        let anchor = Anchor::for_everything(&pinned, AuthorityKind::Site, &AwsLc).ok_or_else(other)?;
        let chain: Vec<&[u8]> = registrar.iter().map(AsRef::as_ref).collect();
        authenticate(&chain, &[anchor], &mut Budget::default(), &AwsLc).map_err(|_| other())?;
        let domain = sha256(pinned.spki());
        // An older word for the same owner takes nothing back: after a reset, the papers of the device count again.
        let floor =
            newest.filter(|newest| newest.domain != domain).map_or(Time::from_unix(0), |newest| newest.created_on);
        let expected = Expected {
            serial_number: &self.serial,
            idevid_issuer: self.issuer.as_deref(),
            nonce,
            domain: &domain,
            time: knowledge.time,
            floor,
        };
        voucher.voucher().judge(&expected, &AwsLc)?;
        // As small devices do: a nonce makes a voucher new, not newer than another owner's, and what was made in the same second
        // as that owner's is older.
        if newest.is_some_and(|newest| newest.domain != domain && voucher.created_on <= newest.created_on) {
            return Err(voucher::Refused::Older.into());
        }
        let word = Word { created_on: voucher.created_on, domain };
        Ok((CertificateDer::from(voucher.pinned), word))
    }

    /// The newest word about its owner that the device ever believed. It stands beside the birth credential.
    fn newest(&self) -> Result<Option<Word>, Error> {
        let path = self.newest_file();
        let Some(text) = files::read(&path)? else { return Ok(None) };
        let remedy = "move it away only if you know that no former owner can reach the device";
        let what = "it does not hold a time and an owner".to_owned();
        Word::from_text(&text).map(Some).ok_or(Error::Damaged { path, what, remedy })
    }

    fn newest_file(&self) -> PathBuf {
        let mut name = self.file.clone().into_os_string();
        name.push(".owner");
        name.into()
    }
}

/// Whose the device is, and when its maker said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    created_on: Time,
    /// SHA-256 of the `SubjectPublicKeyInfo` of the owner's root.
    domain: [u8; 32],
}

impl Word {
    fn to_text(self) -> String {
        format!("{} {}\n", self.created_on.unix(), HEXLOWER.encode(&self.domain))
    }

    fn from_text(text: &[u8]) -> Option<Self> {
        let (seconds, domain) = std::str::from_utf8(text).ok()?.trim().split_once(' ')?;
        let domain = HEXLOWER.decode(domain.as_bytes()).ok()?.try_into().ok()?;
        Some(Self { created_on: Time::from_unix(seconds.parse().ok()?), domain })
    }
}

/// Signs a request for a voucher with an identity's key, its chain behind it.
///
/// # Errors
/// [`Error::Certificate`] if the identity's certificate cannot be read.
pub fn sign(identity: &Identity, json: &[u8], at: Time) -> Result<Vec<u8>, Error> {
    let attributes = cms::attributes(json, at);
    let key = identity.key();
    let signature = key.sign_x509(&[&attributes[..]]);
    let chain: Vec<&[u8]> = identity.chain().iter().map(AsRef::as_ref).collect();
    cms::signed_data(json, &attributes, key.algorithm(), &signature, &chain)
        .map_err(|error| Error::Certificate(error.to_string()))
}

fn is_root(der: &CertificateDer<'_>) -> bool {
    Certificate::from_der(der).is_ok_and(|certificate| certificate.is_self_issued())
}

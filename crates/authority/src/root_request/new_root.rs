//! A root that takes the place of another (RFC 4210 section 4.4): made where that one is, because each certifies the other.

use super::{RootRequest, refused};
use crate::issue::{self, Form, Issuer, Template};
use crate::keys::{AuthorityCertificate, Came};
use crate::root_crl::{self, RootCrl};
use crate::signer::{KeyLabel, KeyRole, Kind, Signer};
use crate::store::Purpose;
use crate::{Error, authority, encode};
use medlock_trust::Time;
use medlock_trust::x509::Certificate;

/// The certificates of a new root, and its first revocation list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRoot {
    /// By itself (NewWithNew).
    pub certificate: AuthorityCertificate,
    /// By the one before (NewWithOld), DER.
    pub link: Vec<u8>,
    /// The one before by this one (OldWithNew), DER.
    pub back: Vec<u8>,
    /// Its revocation list, DER.
    pub crl: Vec<u8>,
}

/// A root's certificate of a key.
struct Certified<'a> {
    organization: &'a str,
    label: KeyLabel,
    spki: &'a [u8],
    not_before: Time,
}

impl Certified<'_> {
    fn template(&self) -> Template<'_> {
        Template {
            form: Form::X509,
            purpose: Purpose::Root,
            organization: self.organization,
            device: None,
            authority: Some(self.label),
            maker_serial: None,
            spki: self.spki,
            parent: None,
            not_before: self.not_before,
            not_after: self.not_before.plus_seconds(authority::ROOT_SECONDS),
            addresses: None,
            masa: None,
        }
    }

    fn by(&self, issuer: &Issuer<'_>, signer: &dyn Signer) -> Result<Vec<u8>, Error> {
        let approved = issue::prepare(&self.template(), issuer, self.not_before)?;
        let tbs = approved.to_be_signed();
        Ok(encode::signed(tbs, &signer.sign(issuer.key, Kind::Certificate, tbs)?))
    }
}

/// Makes the root that takes the place of `old`. A key that an earlier answer has left is used again.
pub(super) fn make(asked: &RootRequest, old: &AuthorityCertificate, signer: &dyn Signer) -> Result<NewRoot, Error> {
    let label = KeyLabel::new(KeyRole::Root, old.label.number().saturating_add(1));
    let label = label.ok_or_else(|| refused(&"there were too many roots"))?;
    let tbs = asked.certificate.as_deref().ok_or_else(|| refused(&"it names no issuing key"))?;
    let not_before = with_tbs(tbs, |certificate| certificate.not_before())?;
    // Of the kind that the authority makes by now: a new root is how it comes to another algorithm.
    let spki = signer.generate(label, authority::algorithm_of(&asked.spki)?)?;
    let (organization, algorithm) = (asked.name.as_str(), authority::algorithm_of(&spki)?);
    let new = Certified { organization, label, spki: &spki, not_before };
    let itself = new.by(&Issuer { name: &old.subject, spki: &spki, key: label, algorithm }, signer)?;
    let certificate = AuthorityCertificate::read(label, itself)?;
    let before = Certified { organization, label: old.label, spki: &old.spki, not_before };
    let (link, back) = (new.by(&old.issuer(), signer)?, before.by(&certificate.issuer(), signer)?);
    let crl = asked.crl.as_deref().ok_or_else(|| refused(&"it asks for no revocation list"))?;
    let crl = RootCrl::read(crl).map_err(|error| refused(&error))?.empty_of(&certificate);
    let crl = root_crl::sign(&crl.to_be_signed(), &certificate, signer)?;
    Ok(NewRoot { certificate, link, back, crl })
}

impl NewRoot {
    /// Certifies the issuing key as the root before was asked to.
    pub(super) fn certify(&self, asked: &RootRequest, tbs: &[u8], signer: &dyn Signer) -> Result<Vec<u8>, Error> {
        let tbs = issue::reissued(tbs, &asked.name, asked.key, &self.certificate.issuer())?;
        Ok(encode::signed(&tbs, &signer.sign(self.certificate.label, Kind::Certificate, &tbs)?))
    }

    /// Whether a certificate of the issuing key says what the root before was asked to say.
    pub(super) fn has_certified(&self, asked: &RootRequest, tbs: &[u8], as_asked: &[u8]) -> bool {
        let what = |tbs: &[u8]| with_tbs(tbs, |read| (read.spki().to_vec(), read.not_before(), read.not_after())).ok();
        issue::is_plain_issuing(tbs, &asked.name, asked.key, &self.certificate.issuer()) && what(tbs) == what(as_asked)
    }

    /// Reads what an answer has: certificate, link, back and revocation list. Each root has signed what it must.
    pub(super) fn read(
        [certificate, link, back, crl]: [Vec<u8>; 4],
        asked: &RootRequest,
        old: &AuthorityCertificate,
    ) -> Result<Self, Error> {
        let label = KeyLabel::new(KeyRole::Root, old.label.number().saturating_add(1));
        let label = label.ok_or_else(|| refused(&"there were too many roots"))?;
        let certificate = AuthorityCertificate::read(label, certificate)?;
        let fits = certificate.key != old.key
            && is_root(&certificate.der, &asked.name, &certificate, &certificate)
            && is_root(&link, &asked.name, &certificate, old)
            && is_root(&back, &asked.name, old, &certificate);
        if !fits {
            return Err(refused(&"the new root and the one before have not certified one another as they should"));
        }
        if root_crl::verified(&crl, &certificate).is_none_or(|tbs| RootCrl::read(tbs).is_err()) {
            return Err(refused(&"the new root has not signed its revocation list"));
        }
        Ok(Self { certificate, link, back, crl })
    }

    /// How it came, with the site list that both have signed.
    pub(crate) fn came(&self, list: Option<Vec<u8>>) -> Came {
        Came { link: self.link.clone(), back: self.back.clone(), list }
    }
}

/// Whether this is a root's certificate of `subject`'s key by `issuer`, and says nothing else.
fn is_root(der: &[u8], organization: &str, subject: &AuthorityCertificate, issuer: &AuthorityCertificate) -> bool {
    let Ok(read) = Certificate::from_der(der) else { return false };
    let template = Certified { organization, label: subject.label, spki: &subject.spki, not_before: read.not_before() };
    issue::is_written(&read, &template.template(), &issuer.issuer()) && issuer.has_signed(&read)
}

fn with_tbs<T>(tbs: &[u8], read: impl FnOnce(&Certificate<'_>) -> T) -> Result<T, Error> {
    let whole = encode::signed(tbs, &[0; 8]);
    Certificate::from_der(&whole).map(|certificate| read(&certificate)).map_err(|error| refused(&error))
}

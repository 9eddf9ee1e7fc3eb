//! What a root is asked to sign, and its answer: files that travel, because a root may be kept offline. An authority whose
//! root is at hand makes and answers them by itself.
//!
//! ```cddl
//! request = #6.18([protected, {}, bstr .cbor asked, signature])   ; by the issuing key: the new one, if there is one
//! asked = [ 1, name: tstr, change: tstr, base: uint, root: bstr .size 16, key: tstr, spki: bstr,
//!           certificate: bstr / null,                             ; TBSCertificate (RFC 5280 section 4.1)
//!           list: bstr / null,                                    ; the payload of the site list
//!           crl: bstr / null ]                                    ; TBSCertList (RFC 5280 section 5.1)
//! answer = [ 3, request: bstr, certificate: bstr / null, list: bstr / null, crl: bstr / null, ; all signed
//!            new root: [ 4* bstr ] / null ]   ; certificate, the same by the root asked, that root's by the new, new crl
//! ```
//!
//! A request for a new root (RFC 4210 section 4.4) asks for the rest as if nothing else were wanted; whoever has the root
//! makes the new key there, lets it certify the issuing key, and names it in the site list, which both sign.
//!
//! Whoever has the root reads what it says ([`RootRequest`] displays it); what a root signs at all, the signer checks.

use crate::bytes::Sink;
use crate::keys::{AuthorityCertificate, KeyState, RootKey};
use crate::root_crl::{self, RootCrl};
use crate::signer::{KeyLabel, KeyRole, Kind, Signer};
use crate::{Error, encode, issue, status, trust_list};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use medlock_node::provider::{self, AwsLc};
use medlock_trust::cbor::{self, Fields, Writer};
use medlock_trust::cose::{ContentType, Place, Sign1};
use medlock_trust::list::{AuthorityState, List, ListKind, Pinned};
use medlock_trust::x509::{Certificate, SubjectPublicKeyInfo};
use medlock_trust::{Interval, KeyId};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

mod new_root;

pub use new_root::NewRoot;

/// The longest request or answer, in bytes.
pub const MAX_LENGTH: usize = 256 << 10;
const MAX_TEXT: usize = 128;
const WHAT: &str = "request to the root";
const PLACE: Place = Place::Header(ContentType::ROOT_REQUEST);

/// A change of an authority's issuing keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum KeyChange {
    /// A new key issues from now on.
    Rotate,
    /// A former key signs nothing any more.
    Retire(KeyLabel),
    /// A key is in wrong hands: nothing it has signed is believed. If it was the one that issued, a new one does.
    Compromised(KeyLabel),
    /// A key that went with a lost store, and of which nothing but its identifier is known here, may be in wrong hands: nothing
    /// it has signed is believed. No root is asked.
    Lost(KeyId),
    /// The keys stay as they are; the root signs its revocation list anew.
    RootCrl,
    /// A new root certifies from now on, and a new key below it issues.
    Root,
}

impl fmt::Display for KeyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rotate => f.write_str("rotate"),
            Self::Retire(label) => write!(f, "retire {label}"),
            Self::Compromised(label) => write!(f, "compromised {label}"),
            Self::Lost(key) => write!(f, "compromised {key}"),
            Self::RootCrl => f.write_str("root-crl"),
            Self::Root => f.write_str("root"),
        }
    }
}

impl FromStr for KeyChange {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::invalid("change", format!("{text:?} is none: issuing, root, retire KEY, compromised KEY, root-crl"))
        };
        let key = |label: &str| -> Result<KeyLabel, Error> {
            // People call the first ones so.
            let label = label.strip_suffix("-1").unwrap_or(label).parse().ok();
            let changes = |label: &KeyLabel| matches!(label.role(), KeyRole::Issuing | KeyRole::Root);
            label.filter(changes).ok_or_else(wrong)
        };
        match text.split_once(' ') {
            None if matches!(text, "rotate" | "issuing") => Ok(Self::Rotate),
            None if text == "root-crl" => Ok(Self::RootCrl),
            None if text == "root" => Ok(Self::Root),
            Some(("retire", label)) => Ok(Self::Retire(key(label)?)),
            Some(("compromised", label)) => {
                let unknown = HEXLOWER_PERMISSIVE.decode(label.as_bytes()).ok().and_then(|id| id.try_into().ok());
                unknown.map_or_else(|| key(label).map(Self::Compromised), |id| Ok(Self::Lost(KeyId::from_bytes(id))))
            }
            None | Some(_) => Err(wrong()),
        }
    }
}

impl TryFrom<String> for KeyChange {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<KeyChange> for String {
    fn from(change: KeyChange) -> Self {
        change.to_string()
    }
}

/// What a root is asked to sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootRequest {
    /// The organisation's name.
    pub name: String,
    /// What is to become of the keys.
    pub change: KeyChange,
    /// The version of the list of keys that is changed; 0 where there is none yet.
    pub base: u64,
    /// The root that is asked.
    pub root: KeyId,
    /// Which issuing key asks.
    pub key: KeyLabel,
    /// Its public half, `SubjectPublicKeyInfo`.
    pub spki: Vec<u8>,
    /// A `TBSCertificate` for that key.
    pub certificate: Option<Vec<u8>>,
    /// The payload of a site list.
    pub list: Option<Vec<u8>>,
    /// The `TBSCertList` of the root's revocation list.
    pub crl: Option<Vec<u8>>,
}

impl RootRequest {
    fn payload(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let written = (|| -> Result<(), std::convert::Infallible> {
            let mut writer = Writer::new(Sink(&mut bytes));
            writer.array(10)?.uint(1)?.text(&self.name)?.text(&self.change.to_string())?.uint(self.base)?;
            writer.bytes(self.root.as_bytes())?.text(&self.key.to_string())?.bytes(&self.spki)?;
            optional(&mut writer, self.certificate.as_deref())?;
            optional(&mut writer, self.list.as_deref())?;
            optional(&mut writer, self.crl.as_deref())
        })();
        match written {
            Ok(()) => bytes,
            Err(never) => match never {},
        }
    }

    /// The request as a file, signed by the key that asks.
    pub(crate) fn sign(&self, signer: &dyn Signer) -> Result<Vec<u8>, Error> {
        let spki = SubjectPublicKeyInfo::from_der(&self.spki).map_err(|error| refused(&error))?;
        let public = spki.public_key().and_then(|key| provider::SigningAlgorithm::of(key.algorithm));
        let algorithm = public.ok_or_else(|| refused(&"its key is of an unknown kind"))?;
        let mut out = Vec::new();
        let (payload, id) = (self.payload(), spki.key_id(&AwsLc));
        medlock_trust::cose::sign1(&payload, PLACE, algorithm.cose(), id.as_bytes(), Sink(&mut out), |parts| {
            signer.sign(self.key, Kind::Cose, &parts.concat())
        })
        .map_err(|error| status::not_signed(WHAT, error))?;
        Ok(out)
    }

    /// Reads a request, and checks that the key that asks has signed it and that its parts fit one another.
    ///
    /// # Errors
    /// [`Error::Object`].
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_LENGTH {
            return Err(refused(&"it is too long"));
        }
        let signed = Sign1::read(bytes).map_err(|error| refused(&error))?;
        let request = Self::read_payload(signed.payload())?;
        let spki = SubjectPublicKeyInfo::from_der(&request.spki).map_err(|error| refused(&error))?;
        let public = spki.public_key().ok_or_else(|| refused(&"its key is of an unknown kind"))?;
        signed.verify(PLACE, public, &AwsLc).map_err(|error| refused(&error))?;
        request.check()?;
        Ok(request)
    }

    fn read_payload(payload: &[u8]) -> Result<Self, Error> {
        let mut fields = Fields::new(payload);
        fields.array_of(10);
        let at = fields.position();
        let form = fields.uint();
        fields.ask(form == 1, at, cbor::ErrorKind::OutOfRange);
        let (name, change, base) = (fields.text(MAX_TEXT).to_owned(), fields.text(MAX_TEXT), fields.uint());
        let (root, key) = (KeyId::from_bytes(*fields.fixed()), fields.text(MAX_TEXT));
        let spki = fields.bytes().to_vec();
        let certificate = (!fields.null()).then(|| fields.bytes().to_vec());
        let list = (!fields.null()).then(|| fields.bytes().to_vec());
        let crl = (!fields.null()).then(|| fields.bytes().to_vec());
        fields.finish().map_err(|error| refused(&error))?;
        let key = key.parse().map_err(|error: crate::signer::NoLabel| refused(&error))?;
        Ok(Self { name, change: change.parse()?, base, root, key, spki, certificate, list, crl })
    }

    /// What the root would sign is of this organisation, this key and this root.
    fn check(&self) -> Result<(), Error> {
        if self.name.chars().any(char::is_control) {
            return Err(refused(&"its organisation's name has control characters"));
        }
        if self.key.role() != KeyRole::Issuing {
            return Err(refused(&"its key is no issuing key"));
        }
        if let Some(tbs) = &self.certificate {
            let whole = encode::signed(tbs, &[0; 8]);
            let certificate = Certificate::from_der(&whole).map_err(|error| refused(&error))?;
            let name = issue::authority_name(&self.name, self.key);
            if certificate.spki() != self.spki || certificate.subject().der() != name {
                return Err(refused(&"its certificate is of another key or name"));
            }
        }
        if let Some(payload) = &self.list {
            let list = List::danger_open_payload(payload).map_err(|error| refused(&error))?;
            let heading = list.heading();
            if heading.kind != ListKind::Site || heading.name != self.name || list.member(self.root).is_none() {
                return Err(refused(&"its site list is of another site or root"));
            }
        }
        if let Some(tbs) = &self.crl {
            RootCrl::read(tbs).map_err(|error| refused(&error))?;
        }
        if self.certificate.is_none() && self.list.is_none() && self.crl.is_none() {
            return Err(refused(&"it asks for nothing"));
        }
        Ok(())
    }

    /// Checks that what a root signs is what its own hub would have asked it, to the byte, and nothing that people do not see
    /// when they are shown the request: another member of the site list would outlast every later change of keys. `roots` are
    /// all there are, as they stand: what was retired comes back by no request.
    ///
    /// # Errors
    /// [`Error::Object`], which says what is wrong.
    pub fn check_for(&self, roots: &[RootKey]) -> Result<(), Error> {
        let root = self.asked(roots)?;
        if let KeyChange::Lost(key) = self.change {
            return Err(refused(&format!("no root is asked to withdraw the key {key}, which its hub does not know")));
        }
        // A former root goes on signing its revocation list.
        let crl_alone = self.change == KeyChange::RootCrl && self.list.is_none() && self.certificate.is_none();
        let former = roots.iter().any(|one| one.certificate.key == root.key && one.state == KeyState::Former);
        if let Some(newest) = roots.iter().rev().find(|root| root.state == KeyState::Current)
            && newest.certificate.key != root.key
            && !(crl_alone && former)
        {
            return Err(refused(&format!(
                "it asks {}, whose place {} has taken",
                root.label, newest.certificate.label
            )));
        }
        if let Some(payload) = &self.list {
            trust_list::check_follows(payload, roots, self.change)?;
        }
        if let Some(tbs) = &self.certificate
            && !issue::is_plain_issuing(tbs, &self.name, self.key, &root.issuer())
        {
            return Err(refused(&"its certificate says more than that this key issues"));
        }
        if let Some(tbs) = &self.crl
            && !RootCrl::read(tbs).is_ok_and(|list| list.is_of(root))
        {
            return Err(refused(&"its revocation list is not of this root"));
        }
        Ok(())
    }

    /// The root that it retires, as it stands then: of `roots`, for which it was checked.
    #[must_use]
    pub fn retires(&self, roots: &[RootKey]) -> Option<RootKey> {
        let KeyChange::Retire(label) = self.change else { return None };
        let root = roots.iter().find(|root| root.certificate.label == label)?;
        let list = List::danger_open_payload(self.list.as_deref()?).ok()?;
        let (since, until) = trust_list::retirement(&list, root.certificate.key)?;
        Some(RootKey::retired(AuthorityCertificate::clone(&root.certificate), since, until))
    }

    /// Which of the roots it asks.
    fn asked<'a>(&self, roots: &'a [RootKey]) -> Result<&'a AuthorityCertificate, Error> {
        let root = roots.iter().map(|root| root.certificate.as_ref()).find(|root| root.key == self.root);
        root.ok_or_else(|| {
            let here: Vec<String> = roots.iter().map(|root| root.certificate.key.to_string()).collect();
            refused(&format!("it asks the root {}, and this is {}", self.root, here.join(", ")))
        })
    }

    /// The SHA-256 of a request's file, which people compare.
    #[must_use]
    pub fn fingerprint(file: &[u8]) -> String {
        HEXLOWER.encode(&provider::sha256(file))
    }
}

fn optional<W: minicbor::encode::Write>(writer: &mut Writer<W>, bytes: Option<&[u8]>) -> Result<(), W::Error> {
    match bytes {
        None => writer.null().map(drop),
        Some(bytes) => writer.bytes(bytes).map(drop),
    }
}

impl fmt::Display for RootRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = HEXLOWER.encode(&provider::sha256(&self.spki));
        writeln!(f, "organisation  {}", self.name)?;
        writeln!(f, "change        {}", self.change)?;
        if self.change == KeyChange::Root {
            writeln!(
                f,
                "              a new root is made where this one is; it takes its place and certifies what follows"
            )?;
        }
        writeln!(f, "root key      {}", self.root)?;
        writeln!(f, "asks          {}, key SHA-256 {key}", self.key)?;
        if let Some(tbs) = &self.certificate {
            let whole = encode::signed(tbs, &[0; 8]);
            if let Ok(certificate) = Certificate::from_der(&whole) {
                let (subject, from, until) = (certificate.subject(), certificate.not_before(), certificate.not_after());
                writeln!(f, "certificate   {subject}, {from} to {until}")?;
                if let Some(address) = issue::root_crl_address(&certificate) {
                    writeln!(f, "  told at     {address}")?;
                }
            }
        }
        if let Some(list) = self.list.as_deref().and_then(|payload| List::danger_open_payload(payload).ok()) {
            writeln!(f, "site list     version {}, {}", list.heading().version, list.heading().issued)?;
            if list.heading().recovery_epoch > 0 {
                writeln!(
                    f,
                    "  recovery    {}: takes back lists that a clock ahead has signed",
                    list.heading().recovery_epoch
                )?;
            }
            for member in list.members() {
                writeln!(f, "  member      {}, which may sign the next list", member.key)?;
            }
            if let Some(service) = list.services().next() {
                writeln!(f, "  anchor      {}, in whose name the keys sign", service.authority)?;
            }
            for entry in list.authorities().filter(|entry| entry.state == AuthorityState::Retired) {
                let until = entry.until.map_or_else(String::new, |until| format!(", counts until {until}"));
                writeln!(f, "  retired     {} since {}{until}", entry.key, entry.since)?;
            }
            for service in list.services() {
                let until = service.until.map_or_else(String::new, |until| format!(" until {until}"));
                writeln!(f, "  may sign    {}{until}", service.key)?;
            }
        }
        match self.crl.as_deref().and_then(|tbs| RootCrl::read(tbs).ok()) {
            Some(list) => list.fmt(f),
            None => Ok(()),
        }
    }
}

/// What a root has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootAnswer {
    /// What it was asked.
    pub request: RootRequest,
    /// The certificate, DER.
    pub certificate: Option<Vec<u8>>,
    /// The signed site list.
    pub list: Option<Vec<u8>>,
    /// The root's revocation list, DER.
    pub crl: Option<Vec<u8>>,
    /// The root that takes the place of the one that was asked.
    pub root: Option<NewRoot>,
}

impl RootAnswer {
    /// Signs what a request asks for, with the root that it asks: the newest of `roots`, which are all that site lists may
    /// name, as they stand.
    ///
    /// # Errors
    /// [`Error::Object`] when it is none, asks another root, or for more than its change ([`RootRequest::check_for`]);
    /// [`Error::Signer`], also when the signer refuses.
    pub fn make(request: &[u8], roots: &[RootKey], signer: &dyn Signer) -> Result<Vec<u8>, Error> {
        let asked = RootRequest::read(request)?;
        asked.check_for(roots)?;
        let root = asked.asked(roots)?;
        let known: Vec<_> = roots.iter().map(|root| AuthorityCertificate::clone(&root.certificate)).collect();
        let new = if asked.change == KeyChange::Root { Some(new_root::make(&asked, root, signer)?) } else { None };
        let sign = |tbs: &Vec<u8>| -> Result<Vec<u8>, Error> {
            match &new {
                Some(new) => new.certify(&asked, tbs, signer),
                None => Ok(encode::signed(tbs, &signer.sign(root.label, Kind::Certificate, tbs)?)),
            }
        };
        let certificate = asked.certificate.as_ref().map(sign).transpose()?;
        let sign = |payload: &Vec<u8>| match &new {
            Some(new) => {
                let introducing = trust_list::introducing(payload, &known, &new.certificate)?;
                trust_list::sign_site_list(&introducing, &[root, &new.certificate], signer)
            }
            None => trust_list::sign_site_list(payload, &[root], signer),
        };
        let list = asked.list.as_ref().map(sign).transpose()?;
        let crl = asked.crl.as_ref().map(|tbs| root_crl::sign(tbs, root, signer)).transpose()?;
        let mut bytes = Vec::new();
        let written = (|| -> Result<(), std::convert::Infallible> {
            let mut writer = Writer::new(Sink(&mut bytes));
            writer.array(6)?.uint(3)?.bytes(request)?;
            optional(&mut writer, certificate.as_deref())?;
            optional(&mut writer, list.as_deref())?;
            optional(&mut writer, crl.as_deref())?;
            match &new {
                None => writer.null().map(drop),
                Some(NewRoot { certificate, link, back, crl }) => {
                    writer.array(4)?.bytes(&certificate.der)?.bytes(link)?.bytes(back)?.bytes(crl).map(drop)
                }
            }
        })();
        match written {
            Ok(()) => Ok(bytes),
            Err(never) => match never {},
        }
    }

    /// Reads an answer, and checks that the root that was asked, which is one of `known`, has signed all that the request
    /// asks for and nothing else.
    ///
    /// # Errors
    /// [`Error::Object`].
    pub fn read(bytes: &[u8], known: &[AuthorityCertificate]) -> Result<Self, Error> {
        if bytes.len() > 3 * MAX_LENGTH {
            return Err(refused(&"it is too long"));
        }
        let mut fields = Fields::new(bytes);
        fields.array_of(6);
        let at = fields.position();
        let form = fields.uint();
        fields.ask(form == 3, at, cbor::ErrorKind::OutOfRange);
        let request = fields.bytes();
        let certificate = (!fields.null()).then(|| fields.bytes().to_vec());
        let list = (!fields.null()).then(|| fields.bytes().to_vec());
        let crl = (!fields.null()).then(|| fields.bytes().to_vec());
        let new = (!fields.null()).then(|| {
            fields.array_of(4);
            [(); 4].map(|()| fields.bytes().to_vec())
        });
        fields.finish().map_err(|error| refused(&error))?;
        let request = RootRequest::read(request)?;
        let root =
            known.iter().find(|root| root.key == request.root).ok_or_else(|| refused(&"it is of another root"))?;
        if (request.change == KeyChange::Root) != new.is_some() {
            return Err(refused(&"it has a new root that was not asked for, or has none"));
        }
        let new = new.map(|new| NewRoot::read(new, &request, root)).transpose()?;
        let above = new.as_ref().map_or(root, |new| &new.certificate);
        let public = SubjectPublicKeyInfo::from_der(&above.spki).ok().and_then(|spki| spki.public_key());
        let public = public.ok_or_else(|| refused(&"the root's key cannot be read"))?;
        match (&request.certificate, &certificate) {
            (None, None) => {}
            (Some(tbs), Some(der)) => {
                let signed = Certificate::from_der(der).map_err(|error| refused(&error))?;
                let as_asked = match &new {
                    None => signed.tbs() == tbs,
                    Some(new) => new.has_certified(&request, signed.tbs(), tbs),
                };
                if !as_asked || signed.verify_with(public, &AwsLc).is_err() {
                    return Err(refused(&"its certificate is not what was asked for, or not signed by the root"));
                }
            }
            (Some(_), None) | (None, Some(_)) => return Err(refused(&"it has another certificate than was asked for")),
        }
        match (&request.list, &list) {
            (None, None) => {}
            (Some(payload), Some(list)) => {
                // All of them: the list that names a new root is signed by both.
                let keys: Vec<KeyId> = [Some(root), new.as_ref().map(|new| &new.certificate)]
                    .iter()
                    .flatten()
                    .map(|one| one.key)
                    .collect();
                let threshold = u8::try_from(keys.len()).unwrap_or(u8::MAX);
                let pinned = Pinned::Members { keys: &keys, threshold };
                let list = List::verify_pinned(list, &pinned, Interval::UNKNOWN, &AwsLc);
                let wanted = match &new {
                    None => payload.clone(),
                    Some(new) => trust_list::introducing(payload, known, &new.certificate)?,
                };
                if list.map_err(|error| refused(&error))?.payload() != wanted.as_slice() {
                    return Err(refused(&"its site list is not what was asked for"));
                }
            }
            (Some(_), None) | (None, Some(_)) => return Err(refused(&"it has another site list than was asked for")),
        }
        match (&request.crl, &crl) {
            (None, None) => {}
            (Some(tbs), Some(der)) if root_crl::verified(der, root) == Some(tbs.as_slice()) => {}
            (Some(_), _) | (None, Some(_)) => {
                return Err(refused(&"its revocation list is not what was asked for, or not signed by the root"));
            }
        }
        Ok(Self { request, certificate, list, crl, root: new })
    }
}

fn refused(why: &dyn fmt::Display) -> Error {
    Error::Object { what: WHAT, why: why.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::InProcess;
    use crate::trust_list::{SiteList, SiteRoots};
    use crate::{Authority, AuthorityConfig};
    use medlock_node::clock::Clock;
    use medlock_trust::list::{Authority as Listed, Content, Heading, Member, Service};
    use medlock_trust::path::AuthorityKind;
    use std::sync::Arc;

    /// Shows REQ-KEYS-24: what people would not see in a request, the root does not sign.
    #[test]
    fn a_root_signs_no_member_and_no_authority_but_itself() {
        let folder = tempfile::tempdir().unwrap();
        let signer = Arc::new(InProcess::open(&folder.path().join("keys")).unwrap());
        let config = AuthorityConfig::site(folder.path(), "Sankt Anna");
        let site = Authority::open(&config, Clock::system(), signer.clone()).unwrap();
        let (root, issuing, issued) = (site.root(), site.issuing(), site.clock.now());
        let keys = site.keys();
        let roots = SiteRoots::of(&keys).unwrap();
        let plain = SiteList { name: "Sankt Anna", recovery_epoch: 0, version: 2, issued, roots, keys: &keys }
            .encode()
            .unwrap();
        let asked = |list: Option<Vec<u8>>, certificate: Option<Vec<u8>>| {
            let request = RootRequest {
                name: "Sankt Anna".to_owned(),
                change: KeyChange::Rotate,
                base: 1,
                root: root.key,
                key: issuing.label,
                spki: issuing.spki.clone(),
                certificate,
                list,
                crl: None,
            };
            RootAnswer::make(&request.sign(&*signer).unwrap(), keys.roots(), &*signer).map(drop)
        };
        asked(Some(plain.clone()), None).unwrap();

        let list = List::danger_open_payload(&plain).unwrap();
        let services: Vec<Service<'_>> = list.services().collect();
        let own = Member { key: root.key, spki: &root.spki, name: "Sankt Anna" };
        let thief = Member { key: issuing.key, spki: &issuing.spki, name: "x" };
        let listed = |name| Listed {
            since: issued,
            ..Listed::for_everything(root.key, AuthorityKind::Site, name, &root.subject, &root.spki)
        };
        let evil = Listed { key: issuing.key, spki: &issuing.spki, subject: &issuing.subject, ..listed("Evil") };
        let written = |members: &mut [Member<'_>], authorities: &mut [Listed<'_>]| {
            members.sort_by_key(|member| member.key);
            authorities.sort_by_key(|authority| authority.key);
            let next = issued.plus_seconds(10 * 365 * 86_400);
            let heading = Heading { version: 2, ..Heading::first(ListKind::Site, "Sankt Anna", issued, next) };
            let content = Content { heading, members, recovery: &[], authorities, services: &services };
            let mut payload = Vec::new();
            content.encode(Sink(&mut payload)).unwrap();
            payload
        };
        assert_eq!(written(&mut [own], &mut [listed("Sankt Anna")]), plain);
        for more in [
            written(&mut [own, thief], &mut [listed("Sankt Anna")]),
            written(&mut [own], &mut [listed("Sankt Anna"), evil]),
        ] {
            let error = asked(Some(more), None).unwrap_err().to_string();
            assert!(error.contains("says more"), "{error}");
        }

        let certificate = Certificate::from_der(&issuing.der).unwrap();
        asked(None, Some(certificate.tbs().to_vec())).unwrap();
        // The same, but no end of the path behind it: `pathLenConstraint` 0 becomes 9.
        let mut longer = certificate.tbs().to_vec();
        let constraint = [0x30, 6, 1, 1, 0xff, 2, 1, 0];
        let at = longer.windows(constraint.len()).position(|bytes| bytes == constraint).unwrap();
        longer[at + constraint.len() - 1] = 9;
        let error = asked(None, Some(longer)).unwrap_err().to_string();
        assert!(error.contains("says more"), "{error}");
    }

    /// Shows REQ-KEYS-77, REQ-KEYS-78: whoever asks, no request brings a retired root back, moves its end or drops a member;
    /// an answer that does is not accepted either.
    #[test]
    fn a_retired_root_comes_back_by_no_request() {
        let folder = tempfile::tempdir().unwrap();
        let signer = Arc::new(InProcess::open(&folder.path().join("keys")).unwrap());
        let config = AuthorityConfig::site(folder.path(), "Sankt Anna");
        let site = Authority::open(&config, Clock::system(), signer.clone()).unwrap();
        let asked = |change: &str, roots: SiteRoots<'_>, issued| {
            let keys = site.keys();
            let list = SiteList { name: "Sankt Anna", recovery_epoch: 0, version: 9, issued, roots, keys: &keys }
                .encode()
                .unwrap();
            let complete = trust_list::is_complete(&List::danger_open_payload(&list).unwrap(), &keys);
            let (name, issuing, change) = ("Sankt Anna".to_owned(), site.issuing(), change.parse().unwrap());
            let (base, root, key, spki) = (keys.version, site.newest_root().key, issuing.label, issuing.spki.clone());
            let request =
                RootRequest { name, change, base, root, key, spki, certificate: None, list: Some(list), crl: None };
            (request.sign(&*signer).unwrap(), complete)
        };
        let refusal =
            |request: &[u8]| RootAnswer::make(request, site.keys().roots(), &*signer).unwrap_err().to_string();
        let now = site.clock.now();
        site.change_keys(KeyChange::Root, false).unwrap();
        let keys = site.keys();
        let [first, second] = keys.roots() else { panic!("two roots") };
        let [one, two] = [&*first.certificate, &*second.certificate];
        let both = || SiteRoots { anchor: one, coming: Some(two), retired: Vec::new() };
        let alone = |retired| SiteRoots { anchor: two, coming: None, retired };
        let (request, complete) = asked("rotate", both(), now);
        assert!(complete && RootAnswer::make(&request, keys.roots(), &*signer).is_ok());
        let (request, complete) = asked("rotate", alone(Vec::new()), now);
        assert!(!complete && refusal(&request).contains("leaves out root,"), "{}", refusal(&request));
        let ends = |since, until| trust_list::RetiredRoot { certificate: one, since, until: Some(until) };
        let (request, _) = asked("retire root", alone(vec![ends(now.plus_seconds(9), now)]), now);
        assert!(refusal(&request).contains("does not retire root"), "{}", refusal(&request));
        let (request, _) = asked("retire root-2", alone(vec![ends(now, now)]), now);
        assert!(refusal(&request).contains("no other root has replaced"), "{}", refusal(&request));

        let before = site.keys();
        site.change_keys("retire root".parse().unwrap(), true).unwrap();
        let keys = site.keys();
        let stands = &keys.roots()[0];
        let (since, until) = (stands.until.unwrap(), stands.vouches.unwrap());
        let (request, complete) = asked("rotate", alone(vec![ends(since, until)]), now);
        assert!(complete && RootAnswer::make(&request, keys.roots(), &*signer).is_ok());
        let shown = RootRequest::read(&request).unwrap().to_string();
        for part in [
            format!("member      {}", two.key),
            format!("anchor      {}", two.key),
            format!("retired     {} since {since}, counts until {until}", one.key),
        ] {
            assert!(shown.contains(&part), "{part}: {shown}");
        }
        for (roots, why) in [
            (SiteRoots { anchor: two, coming: Some(one), retired: Vec::new() }, "makes root a member again"),
            (alone(Vec::new()), "does not call root retired"),
            (alone(vec![ends(since.plus_seconds(1), until)]), "does not call root retired"),
            (alone(vec![ends(since, until.plus_seconds(1))]), "does not call root retired"),
        ] {
            let (request, complete) = asked("rotate", roots, now);
            assert!(!complete && refusal(&request).contains(why), "{why}: {}", refusal(&request));
            // A root that signs all that it is asked, as one of an earlier version.
            let known = [RootKey::former(one.clone()), RootKey::first(two.clone())];
            let Ok(answer) = RootAnswer::make(&request, &known, &*signer) else { continue };
            let said = site.accept_root(&answer).unwrap_err().to_string();
            assert!(said.contains(why), "{why}: {said}");
        }
        // The one whose place was taken is not asked any more.
        let mut request = RootRequest::read(&request).unwrap();
        request.root = one.key;
        assert!(request.check_for(before.roots()).unwrap_err().to_string().contains("whose place root-2 has taken"));
    }
}

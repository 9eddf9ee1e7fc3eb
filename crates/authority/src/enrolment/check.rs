//! What is checked of a request and of its key before anybody asks who may have a credential: one place for enrolment,
//! renewal and the birth credentials of a maker.

use super::Unfit;
use crate::issue::Form;
use crate::registry::Device;
use crate::store::{Issued, StandingState, Subject};
use crate::{Authority, Error};
use medlock_node::asn1;
use medlock_node::provider::{self, AwsLc, SigningAlgorithm};
use medlock_trust::crypto::PublicKey;
use medlock_trust::x509::{GeneralName, Request, SignedForm, ids};
use medlock_trust::{DeviceName, KeyId};
use std::borrow::Cow;
use std::net::IpAddr;

/// A request that was read and whose signature, and so possession of the key, was checked.
pub(crate) struct Checked<'a> {
    pub(crate) request: Request<'a>,
    pub(crate) key: KeyId,
    /// The key as `SubjectPublicKeyInfo`.
    pub(crate) spki: Cow<'a, [u8]>,
    /// A credential is written as its request was.
    pub(crate) form: Form,
}

impl Authority {
    /// Reads a request, checks possession of the key, and that request and key may have a credential at all.
    pub(crate) fn check<'a>(&self, bytes: &'a [u8]) -> Result<Result<Checked<'a>, Unfit>, Error> {
        let checked = match self.check_itself(bytes)? {
            Ok(checked) => checked,
            Err(unfit) => return Ok(Err(unfit)),
        };
        let compromised = self.compromised(&self.store.credentials_for(checked.key)?)?;
        Ok(compromised.map_or(Ok(checked), Err))
    }

    /// As [`Authority::check`], without asking the store: whether the key is compromised is to be asked later.
    pub(crate) fn check_itself<'a>(&self, bytes: &'a [u8]) -> Result<Result<Checked<'a>, Unfit>, Error> {
        let request = match Request::read(bytes) {
            Ok(request) => request,
            Err(error) => {
                return Ok(Err(Unfit::Malformed(format!("the certificate request cannot be read: {error}"))));
            }
        };
        let Some(public) = request.public_key() else {
            return Ok(Err(self.wrong_type("the request's key is of a kind this site does not use")));
        };
        let (spki, key) = match self.check_key_itself(public)? {
            Ok(checked) => checked,
            Err(unfit) => return Ok(Err(unfit)),
        };
        if request.verify(&AwsLc).is_err() {
            return Ok(Err(Unfit::BadSignature));
        }
        let asked = request.extensions();
        let authority = asked.basic_constraints().is_some_and(|constraints| constraints.ca)
            || asked.key_usage().is_some_and(|usage| usage.key_cert_sign() || usage.crl_sign());
        if authority {
            let what = "the request asks to be an authority: ask without basicConstraints and keyUsage".to_owned();
            return Ok(Err(Unfit::WrongProfile(what)));
        }
        let (spki, form) = match request.form() {
            SignedForm::X509 => (Cow::Borrowed(request.spki()), Form::X509),
            SignedForm::Native | SignedForm::Reencoded => (Cow::Owned(spki), Form::C509),
        };
        Ok(self.check_form(form).map(|()| Checked { request, key, spki, form }))
    }

    /// Whether this authority's key writes this form: C509 is for small devices, and they verify no ML-DSA.
    pub(crate) fn check_form(&self, form: Form) -> Result<(), Unfit> {
        if form == Form::C509 && self.issuing().algorithm.is_ml_dsa() {
            return Err(Unfit::WrongProfile(
                "this authority signs with ML-DSA, which small devices do not verify: it needs an issuing key on P-256 or \
                 Ed25519 for them, or the device asks for X.509"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// What is wrong with a key, and of which types the profile takes keys.
    pub(crate) fn wrong_type(&self, what: &str) -> Unfit {
        let rules = self.rules();
        let taken: Vec<&str> = rules.profile.key_types().map(SigningAlgorithm::name).collect();
        Unfit::KeyType(format!("{what}: make a key of type {}", taken.join(" or ")))
    }

    /// Checks a key without looking at who has it: its kind, that it is a point of its curve, and that nobody else is
    /// known to know its private half. Gives its `SubjectPublicKeyInfo`, the point in full, and its identifier. Whether a
    /// certificate for it is compromised ([`Authority::compromised`]) is to be asked as well.
    pub(crate) fn check_key_itself(&self, public: PublicKey<'_>) -> Result<Result<(Vec<u8>, KeyId), Unfit>, Error> {
        if !self.rules().profile.accepts(public.algorithm) {
            let name = SigningAlgorithm::of(public.algorithm).map_or("rsa", SigningAlgorithm::name);
            return Ok(Err(self.wrong_type(&format!("keys of type {name} get no credential here"))));
        }
        let Some(spki) = asn1::spki(public) else {
            return Ok(Err(Unfit::WeakKey("the key is no point of its curve")));
        };
        if provider::is_guessable(public) {
            return Ok(Err(Unfit::WeakKey("the private half of this key can be guessed")));
        }
        if let Some(source) = self.known_keys.who_knows(&provider::sha256(&spki))? {
            return Ok(Err(Unfit::KnownKey(source)));
        }
        let key = KeyId::of(&[spki.as_slice()], &AwsLc);
        if self.keys().root_with(key).is_some() || self.keys().has(key) {
            return Ok(Err(Unfit::KnownKey("it is the authority's own".to_owned())));
        }
        Ok(Ok((spki, key)))
    }

    /// Whether one of the certificates for a key was revoked because its private half is known to others.
    pub(crate) fn compromised(&self, of_key: &[Issued]) -> Result<Option<Unfit>, Error> {
        for issued in of_key {
            let standing = self.store.standing(Subject::Credential(issued.credential))?;
            if standing.is_some_and(|standing| standing.state == StandingState::Compromised) {
                return Ok(Some(Unfit::CompromisedKey));
            }
        }
        Ok(None)
    }

    /// Whether another device than this one has the key. Ask with the key's lock, or two may ask at once.
    pub(crate) fn has_another(&self, key: KeyId, name: DeviceName) -> Result<Option<Unfit>, Error> {
        Ok(another_of(&self.store.credentials_for(key)?, name))
    }

    /// Whether a request asks for another name than the device's, or for what the register does not say of it. A device
    /// may call itself by its maker's serial, which the register need not know; but not by one that is another's.
    pub(crate) fn asks_for_another(&self, request: &Request<'_>, device: &Device) -> Result<Option<Unfit>, Error> {
        let asked = request.subject().only(ids::SERIAL_NUMBER).map(|asked| asked.to_string());
        if let Some(asked) = asked.filter(|asked| asked != device.name.as_str()) {
            let others = match &device.maker_serial {
                Some(serial) => *serial != asked,
                None => {
                    let named = DeviceName::new(&asked).map(|name| self.store.device(name)).transpose()?.flatten();
                    named.is_some() || self.store.device_with_maker_serial(&asked)?.is_some()
                }
            };
            if others {
                return Ok(Some(Unfit::WrongName(format!(
                    "the request calls itself {asked:?} (serialNumber), and this device is {:?}: ask by that name or by none",
                    device.name.as_str()
                ))));
            }
        }
        Ok(asks_for_more(request, device))
    }
}

/// Whether one of the certificates for a key is of another device than this one.
pub(crate) fn another_of(issued: &[Issued], name: DeviceName) -> Option<Unfit> {
    let other = issued.iter().find_map(|issued| issued.record.device.filter(|device| *device != name));
    other.map(|other| Unfit::ReusedKey(other.to_string()))
}

/// Whether a request asks for addresses or a role that the register does not say of the device. A request that asks for
/// nothing gets what the register says; common names and other attributes that say nothing about devices are passed over.
fn asks_for_more(request: &Request<'_>, device: &Device) -> Option<Unfit> {
    let is = device.name.as_str();
    let unknown = |what: String| {
        let remedy = "ask for what the register says, or for none";
        Some(Unfit::WrongName(format!("the register has no {what} for {is:?}: {remedy}")))
    };
    for name in request.extensions().subject_alt_names() {
        match name {
            GeneralName::Dns(asked) if !device.dns.iter().any(|dns| dns.eq_ignore_ascii_case(asked)) => {
                return unknown(format!("DNS name {asked:?}"));
            }
            GeneralName::Ip(asked) if !device.ips.iter().any(|ip| octets(ip) == asked) => {
                return unknown(format!("IP address {}", data_encoding::HEXLOWER.encode(asked)));
            }
            _ => {}
        }
    }
    let role = request.extensions().role().filter(|asked| {
        !asked.roles.iter().all(|role| device.roles.contains(role))
            || (asked.device_type.is_some() && asked.device_type != device.device_type)
    });
    role.map(|_| {
        let what = format!("the request asks for roles or a device type that {is:?} does not have: ask for none");
        Unfit::WrongProfile(what)
    })
}

/// An address as certificates have it.
pub(super) fn octets(ip: &IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

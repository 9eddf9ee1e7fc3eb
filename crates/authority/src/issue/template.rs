//! The to-be-signed bytes of each kind of certificate (RFC 5280 section 4, IEEE 802.1AR section 8, C509).

use crate::Error;
use crate::encode::{self, context, context_primitive, extension, object_identifier, oid, sequence, tlv};
use crate::registry::Device;
use crate::signer::{KeyLabel, KeyRole, Kind};
use crate::store::{Purpose, Serial};
use medlock_node::provider::{self, AwsLc, SigningAlgorithm};
use medlock_trust::c509::{self, NewExtension};
use medlock_trust::crypto::Crypto as _;
use medlock_trust::x509::{KeyUsage, Name, SubjectPublicKeyInfo, ids, role_extension_der};
use medlock_trust::{CredentialId, Role, Time};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// keyUsage bits (RFC 5280 section 4.2.1.3).
const DIGITAL_SIGNATURE: u8 = 0;
const KEY_AGREEMENT: u8 = 4;
const KEY_CERT_SIGN: u8 = 5;
const CRL_SIGN: u8 = 6;
/// Where revocation lists are, below the base of all addresses.
const CRL_PATH: &str = "/crl/";
/// The kind of hardware in `hardwareModuleName`: our own arc, as makers of the demonstration have none.
const HARDWARE_KIND: &[u8] = oid::MEDLOCK_ROLE;

/// Where ordinary software finds revocations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// What all addresses begin with: `http://host:port`.
    pub base: String,
    /// How many parts the CRL has.
    pub crl_partitions: u16,
}

impl Addresses {
    /// The OCSP responder.
    #[must_use]
    pub fn ocsp(&self) -> String {
        format!("{}/ocsp", self.base)
    }

    /// Those whose [`Addresses::root_crl`] is this.
    pub(crate) fn of_root_crl(address: &str) -> Option<Self> {
        let (base, name) = address.rsplit_once(CRL_PATH)?;
        let label: KeyLabel = name.strip_suffix(".crl")?.parse().ok()?;
        (label.role() == KeyRole::Root).then(|| Self { base: base.to_owned(), crl_partitions: 1 })
    }

    /// The revocation list of this root.
    #[must_use]
    pub fn root_crl(&self, root: KeyLabel) -> String {
        format!("{}{CRL_PATH}{root}.crl", self.base)
    }

    /// The part of the CRL that tells of this certificate.
    #[must_use]
    pub fn partition_of(&self, serial: &Serial) -> u16 {
        let number = u128::from_be_bytes(*serial.as_bytes()) % u128::from(self.crl_partitions.max(1));
        u16::try_from(number).unwrap_or(0)
    }

    /// Where a part of an issuing key's CRL is: complete, or what has changed. The parts of the first key are called
    /// `issuing-3.crl`, those of later keys `issuing-2.3.crl`; where there are no parts, `issuing.crl` and `issuing-2.crl`.
    #[must_use]
    pub fn crl(&self, key: KeyLabel, partition: u16, delta: bool) -> String {
        let part = match (self.crl_partitions > 1, key.number()) {
            (false, _) => String::new(),
            (true, 1) => format!("-{partition}"),
            (true, _) => format!(".{partition}"),
        };
        format!("{}/crl/{key}{part}{}.crl", self.base, if delta { ".delta" } else { "" })
    }
}

/// How a credential is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// X.509, DER.
    X509,
    /// C509 type 2: for devices whose chips have no room for more. It has the device's name and role, and no addresses
    /// and host names; its key agrees on secrets as well as it signs (RFC 9528 section 3.5.3).
    C509,
}

impl Form {
    /// What is signed of it.
    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::X509 => Kind::Certificate,
            Self::C509 => Kind::C509,
        }
    }
}

/// Who signs.
#[derive(Clone, Copy, Debug)]
pub struct Issuer<'a> {
    /// Its name, DER.
    pub name: &'a [u8],
    /// Its key, `SubjectPublicKeyInfo`.
    pub spki: &'a [u8],
    /// Which key of the signer that is.
    pub key: KeyLabel,
    /// What it signs with.
    pub algorithm: SigningAlgorithm,
}

/// What a certificate is to say.
#[derive(Clone, Copy, Debug)]
pub struct Template<'a> {
    /// How it is written.
    pub form: Form,
    /// What it is for.
    pub purpose: Purpose,
    /// The organisation's name.
    pub organization: &'a str,
    /// The device, for credentials of devices.
    pub device: Option<&'a Device>,
    /// Which of its authorities, for certificates of authorities.
    pub authority: Option<KeyLabel>,
    /// The maker's serial, for birth credentials.
    pub maker_serial: Option<&'a str>,
    /// The key, `SubjectPublicKeyInfo`.
    pub spki: &'a [u8],
    /// The credential that asked for it, when it is a renewal.
    pub parent: Option<CredentialId>,
    /// From when it is good.
    pub not_before: Time,
    /// Until when it is good.
    pub not_after: Time,
    /// Where ordinary software finds revocations.
    pub addresses: Option<&'a Addresses>,
    /// Where sites ask the maker for vouchers, for birth credentials in X.509: `host:port`, or a URL.
    pub masa: Option<&'a str>,
}

impl Template<'_> {
    /// The `serialNumber` attribute of the subject: a device's name at its site, or the maker's serial.
    pub(super) fn subject_serial(&self) -> Option<String> {
        match self.purpose {
            Purpose::Root | Purpose::Issuing | Purpose::Voucher => None,
            Purpose::Birth => self.maker_serial.map(str::to_owned),
            Purpose::Operational => self.device.map(|device| device.name.as_str().to_owned()),
        }
    }
}

/// The name of an authority: `CN=organization` for the one that issues, as it stands in each certificate of each chip, and
/// `CN=organization root`. Later issuing keys have their number behind it, because CRL and OCSP know an issuer by its name. A
/// root that takes the place of another has its name: so a path from one to the other counts no longer than it was (RFC 5280
/// section 6.1.4 (l)).
pub(crate) fn authority_name(organization: &str, key: KeyLabel) -> Vec<u8> {
    let mut common = match key.role() {
        KeyRole::Root => format!("{organization} root"),
        KeyRole::Issuing | KeyRole::Log | KeyRole::Voucher => organization.to_owned(),
    };
    if key.number() > 1 && key.role() != KeyRole::Root {
        common.push_str(&format!(" {}", key.number()));
    }
    sequence(&[&encode::attribute(oid::COMMON_NAME, encode::UTF8_STRING, &common)])
}

/// The identifier of a key in SKI and AKI: the first 20 bytes of the SHA-256 of the key's bits (RFC 7093 section 2,
/// method 1).
pub(crate) fn key_identifier(spki: &[u8]) -> Vec<u8> {
    let bits = SubjectPublicKeyInfo::from_der(spki).ok().and_then(|spki| spki.public_key());
    let hash = bits.map_or_else(|| provider::sha256(spki), |key| AwsLc.sha256(&[key.bits]));
    hash.get(..20).unwrap_or_default().to_vec()
}

/// Writes the bytes to be signed.
pub(super) fn to_be_signed(template: &Template<'_>, issuer: &Issuer<'_>, serial: Serial) -> Result<Vec<u8>, Error> {
    match template.form {
        Form::X509 => Ok(x509(template, issuer, serial)),
        Form::C509 => c509(template, issuer, serial),
    }
}

/// The signed items of a native C509 certificate.
fn c509(template: &Template<'_>, issuer: &Issuer<'_>, serial: Serial) -> Result<Vec<u8>, Error> {
    let lint = |what: &str| Error::Lint(format!("{what} cannot be written as C509"));
    let (Some(device), Some(name)) = (template.device, template.subject_serial()) else {
        return Err(lint("an authority's certificate"));
    };
    let subject = [(ids::SERIAL_NUMBER, name.as_str())];
    let usage =
        KeyUsage::from_bits(1 << DIGITAL_SIGNATURE | 1 << KEY_AGREEMENT).ok_or_else(|| lint("the key usage"))?;
    let mut extensions = vec![NewExtension::KeyUsage(usage), NewExtension::Role(device.roles, device.device_type)];
    if let Some(serial) = template.maker_serial {
        extensions.push(NewExtension::HardwareModule { kind: ids::ROLE, serial: serial.as_bytes() });
    }
    let key = SubjectPublicKeyInfo::from_der(template.spki).map_err(|_| lint("this key"))?;
    let written = c509::Template {
        serial_number: serial.as_bytes(),
        algorithm: issuer.algorithm.signature(),
        issuer: Some(Name::from_der(issuer.name).map_err(|_| lint("the issuer's name"))?),
        not_before: template.not_before,
        not_after: template.not_after,
        subject: c509::Subject::Attributes(&subject),
        key: key.public_key().ok_or_else(|| lint("this key"))?,
        extensions: &extensions,
    };
    let mut space = [0; encode::MAX_C509];
    let tbs = written.tbs(&mut space).map_err(|error| Error::Lint(error.to_string()))?;
    Ok(tbs.to_vec())
}

fn x509(template: &Template<'_>, issuer: &Issuer<'_>, serial: Serial) -> Vec<u8> {
    let validity = sequence(&[&encode::time(template.not_before), &encode::time(template.not_after)]);
    let extensions = extensions(template, issuer, serial).concat();
    sequence(&[
        &context(0, &[&encode::unsigned(&[2])]),
        &encode::unsigned(serial.as_bytes()),
        &encode::signature_algorithm(issuer.algorithm),
        issuer.name,
        &validity,
        &subject(template),
        template.spki,
        &context(3, &[&sequence(&[&extensions])]),
    ])
}

fn subject(template: &Template<'_>) -> Vec<u8> {
    let organization = encode::attribute(oid::ORGANIZATION, encode::UTF8_STRING, template.organization);
    match template.purpose {
        Purpose::Root | Purpose::Issuing => {
            let first = if template.purpose == Purpose::Root { KeyLabel::ROOT } else { KeyLabel::ISSUING };
            authority_name(template.organization, template.authority.unwrap_or(first))
        }
        // It is not the name of the issuing certificate, nor that of a device.
        Purpose::Voucher => {
            let common = format!("{} vouchers", template.organization);
            sequence(&[&encode::attribute(oid::COMMON_NAME, encode::UTF8_STRING, &common)])
        }
        Purpose::Operational | Purpose::Birth => {
            let serial = template.subject_serial().unwrap_or_default();
            sequence(&[
                &organization,
                &encode::attribute(oid::SERIAL_NUMBER, printable(&serial), &serial),
                &encode::attribute(oid::COMMON_NAME, encode::UTF8_STRING, &serial),
            ])
        }
    }
}

/// `serialNumber` is a PrintableString (RFC 5280 appendix A.1). Names with characters beyond that set are written as
/// UTF8String, which a strict reader may dislike; see docs/divergences.md.
fn printable(text: &str) -> u8 {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte);
    if text.bytes().all(fits) { encode::PRINTABLE_STRING } else { encode::UTF8_STRING }
}

fn extensions(template: &Template<'_>, issuer: &Issuer<'_>, serial: Serial) -> Vec<Vec<u8>> {
    let own = key_identifier(template.spki);
    let authority = sequence(&[&context_primitive(0, &key_identifier(issuer.spki))]);
    let mut all = vec![
        extension(oid::AUTHORITY_KEY_IDENTIFIER, false, &authority),
        extension(oid::SUBJECT_KEY_IDENTIFIER, false, &tlv(encode::OCTET_STRING, &own)),
    ];
    match template.purpose {
        Purpose::Root => all.extend(authority_extensions(1)),
        Purpose::Issuing => {
            all.extend(authority_extensions(0));
            all.extend(template.addresses.map(|addresses| revocations(&addresses.root_crl(issuer.key))));
        }
        Purpose::Voucher => all.extend([
            extension(oid::BASIC_CONSTRAINTS, true, &sequence(&[])),
            extension(oid::KEY_USAGE, true, &encode::named_bits(&[DIGITAL_SIGNATURE])),
            extension(oid::EXTENDED_KEY_USAGE, true, &sequence(&[&object_identifier(oid::MEDLOCK_VOUCHER)])),
        ]),
        Purpose::Operational | Purpose::Birth => all.extend(device_extensions(template, issuer, serial)),
    }
    all
}

fn authority_extensions(path_length: u8) -> [Vec<u8>; 2] {
    let constraints = sequence(&[&encode::boolean_true(), &encode::unsigned(&[path_length])]);
    [
        extension(oid::BASIC_CONSTRAINTS, true, &constraints),
        extension(oid::KEY_USAGE, true, &encode::named_bits(&[KEY_CERT_SIGN, CRL_SIGN])),
    ]
}

/// Where the revocation list that tells of a certificate is.
fn revocations(address: &str) -> Vec<u8> {
    let point = crate::status::crl::point(address);
    extension(oid::CRL_DISTRIBUTION_POINTS, false, &sequence(&[&sequence(&[&point])]))
}

/// The key of a device signs, in TLS and EDHOC, and agrees on secrets, in EDHOC's methods 1 to 3 (RFC 9528 section 3.2).
fn device_extensions(template: &Template<'_>, issuer: &Issuer<'_>, serial: Serial) -> Vec<Vec<u8>> {
    let mut all = vec![
        extension(oid::BASIC_CONSTRAINTS, true, &sequence(&[])),
        extension(oid::KEY_USAGE, true, &encode::named_bits(&[DIGITAL_SIGNATURE, KEY_AGREEMENT])),
    ];
    if template.purpose == Purpose::Operational {
        let mut purposes = [oid::SERVER_AUTH, oid::CLIENT_AUTH].map(object_identifier).concat();
        // A hub also asks makers for vouchers (RFC 8995 section 5.5.4).
        if template.device.is_some_and(|device| device.roles.contains(Role::Hub)) {
            purposes.extend(object_identifier(oid::REGISTRAR_PURPOSE));
        }
        all.push(extension(oid::EXTENDED_KEY_USAGE, false, &sequence(&[&purposes])));
    }
    let names = alternative_names(template);
    if !names.is_empty() {
        all.push(extension(oid::SUBJECT_ALT_NAME, false, &sequence(&[&names.concat()])));
    }
    if let Some(addresses) = template.addresses {
        all.push(revocations(&addresses.crl(issuer.key, addresses.partition_of(&serial), false)));
        let access = sequence(&[&object_identifier(oid::OCSP), &context_primitive(6, addresses.ocsp().as_bytes())]);
        all.push(extension(oid::AUTHORITY_INFO_ACCESS, false, &sequence(&[&access])));
    }
    if let Some(masa) = template.masa {
        all.push(extension(oid::MASA_URL, false, &tlv(encode::IA5_STRING, masa.as_bytes())));
    }
    if let Some(device) = template.device {
        let mut space = [0; 64];
        all.push(extension(oid::MEDLOCK_ROLE, false, role_extension_der(device.roles, device.device_type, &mut space)));
    }
    all
}

fn alternative_names(template: &Template<'_>) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    if let Some(device) = template.device {
        names.extend(device.dns.iter().map(|name| context_primitive(2, name.as_bytes())));
        names.extend(device.ips.iter().map(|ip| match ip {
            IpAddr::V4(ip) => context_primitive(7, &ip.octets()),
            IpAddr::V6(ip) => context_primitive(7, &ip.octets()),
        }));
    }
    if let Some(serial) = template.maker_serial {
        // hardwareModuleName (RFC 4108 section 5), as IEEE 802.1AR section 8.10.4 asks of birth credentials.
        let module = sequence(&[&object_identifier(HARDWARE_KIND), &tlv(encode::OCTET_STRING, serial.as_bytes())]);
        names.push(context(0, &[&object_identifier(oid::HARDWARE_MODULE_NAME), &context(0, &[&module])]));
    }
    names
}

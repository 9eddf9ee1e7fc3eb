//! From a view to DER: how a re-encoded certificate becomes again what was signed.
//!
//! What a view took from DER is written as it stands there; what it took from C509 is written as the DER it was made
//! from. A view was checked when it was made, so writing cannot fail.

use super::{out::Out, registry};
use crate::{
    cbor,
    crypto::{Crypto, KeyAlgorithm, Message, PublicKey},
    der::{Oid, tag},
    time::Time,
    x509::{
        AlgorithmIdentifier, AuthorityKeyId, Certificate, Encoding, Extension, Extensions, GeneralName, Items, KeyForm,
        Name, OtherName, PolicyInformation, Request, RequestAttribute, SubjectPublicKeyInfo, X509, ids,
    },
};

/// A point in full, where one was compressed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FullPoint {
    bytes: [u8; 97],
    length: u8,
}

impl FullPoint {
    pub(crate) const NONE: Self = Self { bytes: [0; 97], length: 0 };

    /// The point of `key` if that is compressed and on its curve.
    pub(crate) fn of(key: Option<PublicKey<'_>>, crypto: &impl Crypto) -> Self {
        let mut point = Self::NONE;
        if let Some(key) = key.filter(PublicKey::is_compressed)
            && let Some(full) = crypto.decompress(key.algorithm, key.bits, &mut point.bytes)
        {
            point.length = u8::try_from(full.len()).unwrap_or_default();
        }
        point
    }

    pub(crate) fn as_bytes(&self) -> Option<&[u8]> {
        self.bytes.get(..usize::from(self.length)).filter(|bytes| !bytes.is_empty())
    }
}

/// A message that is DER rebuilt from a view.
pub(crate) enum Rebuilt<'c, 'a> {
    /// `tbsCertificate`.
    Tbs(&'c Certificate<'a>, FullPoint),
    /// A certificate.
    Certificate(&'c Certificate<'a>, FullPoint),
    /// `certificationRequestInfo`.
    Info(&'c Request<'a>, FullPoint),
    /// A request.
    Request(&'c Request<'a>, FullPoint),
    /// `SubjectPublicKeyInfo`.
    Spki(&'c SubjectPublicKeyInfo<'a>, FullPoint),
    /// `SubjectPublicKeyInfo` of a key.
    Key(PublicKey<'a>, FullPoint),
}

impl Message for Rebuilt<'_, '_> {
    fn feed(&self, to: &mut dyn FnMut(&[u8])) {
        self.write(&mut Out::new(to));
    }
}

impl Rebuilt<'_, '_> {
    pub(crate) fn write(&self, out: &mut Out<'_>) {
        match self {
            // Nothing is re-encoded without the feature: no such message is ever made.
            Self::Tbs(..) | Self::Certificate(..) | Self::Info(..) | Self::Request(..) | Self::Spki(..) if !X509 => {}
            Self::Tbs(certificate, point) => tbs(out, certificate, point),
            Self::Certificate(certificate, point) => out.der_of(tag::SEQUENCE, &|out| {
                tbs(out, certificate, point);
                signed(out, certificate.algorithm(), certificate.signature());
            }),
            Self::Info(request, point) => info(out, request, point),
            Self::Request(request, point) => out.der_of(tag::SEQUENCE, &|out| {
                info(out, request, point);
                signed(out, request.algorithm(), request.signature());
            }),
            Self::Spki(key, point) => spki(out, key, point),
            Self::Key(key, point) => {
                let row = match key.algorithm {
                    KeyAlgorithm::Rsa => Some(0),
                    KeyAlgorithm::P256 => Some(1),
                    KeyAlgorithm::P384 => Some(2),
                    KeyAlgorithm::Ed25519 => Some(12),
                    KeyAlgorithm::MlDsa44 | KeyAlgorithm::MlDsa65 => None,
                };
                let larger = X509 && key.algorithm == KeyAlgorithm::MlDsa65;
                let other = if larger { ids::ML_DSA_65 } else { ids::ML_DSA_44 };
                out.der_of(tag::SEQUENCE, &|out| {
                    match row.and_then(|row| registry::KEYS.content(row)) {
                        Some(content) => out.der(tag::SEQUENCE, content),
                        None => out.der_of(tag::SEQUENCE, &|out| out.der(tag::OID, other.as_bytes())),
                    }
                    out.der_octets_in_bits(&|out| out.bytes(point.as_bytes().unwrap_or(key.bits)));
                });
            }
        }
    }
}

fn tbs(out: &mut Out<'_>, certificate: &Certificate<'_>, point: &FullPoint) {
    out.der_of(tag::SEQUENCE, &|out| {
        // Version 3.
        out.bytes(&[tag::context_constructed(0), 3, tag::INTEGER, 1, 2]);
        out.der_unsigned(tag::INTEGER, certificate.serial_magnitude());
        algorithm(out, certificate.algorithm());
        name(out, &certificate.issuer());
        out.der_of(tag::SEQUENCE, &|out| {
            time(out, certificate.not_before());
            time(out, certificate.not_after());
        });
        name(out, &certificate.subject());
        spki(out, certificate.subject_public_key_info(), point);
        let all = certificate.extensions();
        if all.iter().next().is_some() {
            out.der_of(tag::context_constructed(3), &|out| extensions(out, all));
        }
    });
}

fn info(out: &mut Out<'_>, request: &Request<'_>, point: &FullPoint) {
    out.der_of(tag::SEQUENCE, &|out| {
        out.bytes(&[tag::INTEGER, 1, 0]);
        name(out, &request.subject());
        spki(out, request.subject_public_key_info(), point);
        out.der_of(tag::context_constructed(0), &|out| {
            request.attributes().for_each(|one| attribute(out, request, &one));
        });
    });
}

/// A registered attribute's value is written from what was read of it: there is one of each kind.
fn attribute(out: &mut Out<'_>, request: &Request<'_>, attribute: &RequestAttribute<'_>) {
    out.der_of(tag::SEQUENCE, &|out| {
        out.der(tag::OID, attribute.oid.as_bytes());
        match attribute.encoding {
            Encoding::Der => out.der(tag::SET, attribute.values),
            Encoding::C509 => out.der_of(tag::SET, &|out| match request.challenge_password() {
                Some(password) if attribute.oid == ids::CHALLENGE_PASSWORD => {
                    out.der(attribute.string_tag(), password.as_bytes());
                }
                Some(_) | None => extensions(out, request.extensions()),
            }),
        }
    });
}

/// The algorithm and the signature that follow what is signed.
fn signed(out: &mut Out<'_>, by: AlgorithmIdentifier<'_>, signature: &[u8]) {
    algorithm(out, by);
    let is_ecdsa = is_ecdsa(by);
    out.der_octets_in_bits(&|out| {
        if !is_ecdsa {
            return out.bytes(signature);
        }
        let (r, s) = signature.split_at_checked(signature.len() / 2).unwrap_or_default();
        out.der_of(tag::SEQUENCE, &|out| {
            out.der_unsigned(tag::INTEGER, super::out::strip_zeros(r));
            out.der_unsigned(tag::INTEGER, super::out::strip_zeros(s));
        });
    });
}

/// Whether signatures of this algorithm are two numbers: those the registry sends to the section about ECDSA.
pub(crate) fn is_ecdsa(algorithm: AlgorithmIdentifier<'_>) -> bool {
    matches!(algorithm.number(&registry::SIGNATURES), Some(-255 | 0..=4 | 8))
}

/// Whether it is a proof with a Diffie-Hellman key (RFC 6955), whose value has a form of its own that is not read here.
pub(crate) fn is_proof_of_possession(algorithm: AlgorithmIdentifier<'_>) -> bool {
    matches!(algorithm.number(&registry::SIGNATURES), Some(14..=16))
}

fn algorithm(out: &mut Out<'_>, algorithm: AlgorithmIdentifier<'_>) {
    out.der_of(tag::SEQUENCE, &|out| {
        out.der(tag::OID, algorithm.oid().as_bytes());
        out.bytes(algorithm.parameters().unwrap_or_default());
    });
}

fn spki(out: &mut Out<'_>, key: &SubjectPublicKeyInfo<'_>, point: &FullPoint) {
    out.der_of(tag::SEQUENCE, &|out| {
        algorithm(out, key.algorithm());
        out.der_octets_in_bits(&|out| match key.form() {
            KeyForm::Bits => out.bytes(key.bits()),
            KeyForm::Compressed(compressed) => out.bytes(point.as_bytes().unwrap_or(compressed.as_bytes())),
            KeyForm::Rsa { exponent } => out.der_of(tag::SEQUENCE, &|out| {
                out.der_unsigned(tag::INTEGER, key.bits());
                out.der_unsigned(tag::INTEGER, exponent);
            }),
        });
    });
}

/// A time as RFC 5280 section 4.1.2.5 has it: to the end of 2049 as `UTCTime`.
fn time(out: &mut Out<'_>, time: Time) {
    let (year, month, day, hour, minute, second) = time.to_utc();
    let two = |number: u8| [(number / 10).wrapping_add(b'0'), (number % 10).wrapping_add(b'0')];
    let century = u8::try_from(year.div_euclid(100)).unwrap_or_default();
    let short = u8::try_from(year.rem_euclid(100)).unwrap_or_default();
    if (1950..2050).contains(&year) {
        out.bytes(&[tag::UTC_TIME, 13]);
    } else {
        out.bytes(&[tag::GENERALIZED_TIME, 15]);
        out.bytes(&two(century));
    }
    for part in [short, month, day, hour, minute, second] {
        out.bytes(&two(part));
    }
    out.bytes(b"Z");
}

/// A distinguished name.
pub(crate) fn name(out: &mut Out<'_>, name: &Name<'_>) {
    if !name.der().is_empty() {
        return out.bytes(name.der());
    }
    out.der_of(tag::SEQUENCE, &|out| {
        for attribute in name.attributes() {
            out.der_of(tag::SET, &|out| {
                out.der_of(tag::SEQUENCE, &|out| {
                    out.der(tag::OID, attribute.kind().as_bytes());
                    let value = attribute.value();
                    out.der_of(attribute.tag(), &|out| value.bytes_in_pieces(&mut |piece| out.bytes(piece)));
                });
            });
        }
    });
}

fn extensions(out: &mut Out<'_>, all: &Extensions<'_>) {
    out.der_of(tag::SEQUENCE, &|out| {
        for extension in all.iter() {
            out.der_of(tag::SEQUENCE, &|out| {
                out.der(tag::OID, extension.oid.as_bytes());
                if extension.critical {
                    out.bytes(&[tag::BOOLEAN, 1, 0xff]);
                }
                out.der_of(tag::OCTET_STRING, &|out| match extension.encoding {
                    Encoding::Der => out.bytes(extension.value),
                    Encoding::C509 => value(out, &extension, all),
                });
            });
        }
    });
}

/// The value of an extension that is in C509's own form.
fn value(out: &mut Out<'_>, extension: &Extension<'_>, all: &Extensions<'_>) {
    let oid = extension.oid;
    if oid == ids::SUBJECT_KEY_ID {
        out.der(tag::OCTET_STRING, all.subject_key_id().unwrap_or_default());
    } else if oid == ids::KEY_USAGE {
        out.der_bits(tag::BIT_STRING, all.key_usage().map_or(0, |usage| u32::from(usage.bits())));
    } else if oid == ids::BASIC_CONSTRAINTS {
        let constraints = all.basic_constraints();
        out.der_of(tag::SEQUENCE, &|out| {
            if constraints.is_some_and(|constraints| constraints.ca) {
                out.bytes(&[tag::BOOLEAN, 1, 0xff]);
            }
            if let Some(length) = constraints.and_then(|constraints| constraints.path_length) {
                out.der_number(tag::INTEGER, length);
            }
        });
    } else if oid == ids::EXTENDED_KEY_USAGE {
        let purposes = all.extended_key_usage().unwrap_or(Items::EMPTY);
        out.der_of(tag::SEQUENCE, &|out| purposes.into_iter().for_each(|one| object(out, one)));
    } else if oid == ids::SUBJECT_ALT_NAME || oid == ids::ISSUER_ALT_NAME {
        let all = extension.names().unwrap_or(Items::EMPTY);
        out.der_of(tag::SEQUENCE, &|out| names(out, all));
    } else if oid == ids::AUTHORITY_KEY_ID {
        if let Some(id) = all.authority_key_id() {
            authority_key_id(out, id);
        }
    } else if oid == ids::AUTHORITY_INFO_ACCESS || oid == ids::SUBJECT_INFO_ACCESS {
        let list = extension.list::<crate::x509::AccessDescription<'_>>().unwrap_or(Items::EMPTY);
        out.der_of(tag::SEQUENCE, &|out| {
            for access in list {
                out.der_of(tag::SEQUENCE, &|out| {
                    object(out, access.method);
                    general_name(out, &access.location);
                });
            }
        });
    } else if oid == ids::CRL_DISTRIBUTION_POINTS || oid == ids::FRESHEST_CRL {
        distribution_points(out, extension);
    } else {
        constraint(out, extension, all);
    }
}

/// The values about what authorities may do, and the rare ones.
fn constraint(out: &mut Out<'_>, extension: &Extension<'_>, all: &Extensions<'_>) {
    let (oid, policy) = (extension.oid, all.policies());
    if oid == ids::NAME_CONSTRAINTS {
        let Some(constraints) = all.name_constraints() else { return };
        out.der_of(tag::SEQUENCE, &|out| {
            for (number, subtrees) in [(0, constraints.permitted()), (1, constraints.excluded())] {
                if subtrees.into_iter().next().is_some() {
                    out.der_of(tag::context_constructed(number), &|out| {
                        for subtree in subtrees {
                            out.der_of(tag::SEQUENCE, &|out| general_name(out, &subtree.base()));
                        }
                    });
                }
            }
        });
    } else if oid == ids::CERTIFICATE_POLICIES {
        let policies = policy.certificate_policies.unwrap_or(Items::EMPTY);
        out.der_of(tag::SEQUENCE, &|out| policies.into_iter().for_each(|one| policy_information(out, &one)));
    } else if oid == ids::POLICY_MAPPINGS {
        let mappings = policy.mappings.unwrap_or(Items::EMPTY);
        out.der_of(tag::SEQUENCE, &|out| {
            for mapping in mappings {
                out.der_of(tag::SEQUENCE, &|out| {
                    object(out, mapping.issuer_domain);
                    object(out, mapping.subject_domain);
                });
            }
        });
    } else if oid == ids::POLICY_CONSTRAINTS {
        let Some(constraints) = policy.constraints else { return };
        out.der_of(tag::SEQUENCE, &|out| {
            let both = [constraints.require_explicit_policy, constraints.inhibit_policy_mapping];
            for (number, count) in (0..2).zip(both) {
                if let Some(count) = count {
                    out.der_number(tag::context(number), count);
                }
            }
        });
    } else if oid == ids::INHIBIT_ANY_POLICY {
        out.der_number(tag::INTEGER, policy.inhibit_any_policy.unwrap_or_default());
    } else if oid == ids::TLS_FEATURE {
        out.der_of(tag::SEQUENCE, &|out| {
            let mut reader = cbor::Reader::new(extension.value);
            for _ in 0..reader.array(u64::from(u8::MAX)).unwrap_or_default() {
                out.der_number(
                    tag::INTEGER,
                    reader.uint().ok().and_then(|n| u32::try_from(n).ok()).unwrap_or_default(),
                );
            }
        });
    } else {
        // OCSP no check, precertificate signing certificate.
        out.bytes(&[tag::NULL, 0]);
    }
}

fn object(out: &mut Out<'_>, oid: Oid<'_>) {
    out.der(tag::OID, oid.as_bytes());
}

fn names(out: &mut Out<'_>, all: Items<'_, GeneralName<'_>>) {
    all.into_iter().for_each(|one| general_name(out, &one));
}

fn authority_key_id(out: &mut Out<'_>, id: &AuthorityKeyId<'_>) {
    out.der_of(tag::SEQUENCE, &|out| {
        out.der(tag::context(0), id.key_id.unwrap_or_default());
        if let Some(serial) = id.serial_number {
            out.der_of(tag::context_constructed(1), &|out| names(out, id.issuer));
            out.der_unsigned(tag::context(2), serial);
        }
    });
}

fn distribution_points(out: &mut Out<'_>, extension: &Extension<'_>) {
    let points = extension.distribution_points().unwrap_or(Items::EMPTY);
    out.der_of(tag::SEQUENCE, &|out| {
        for point in points {
            out.der_of(tag::SEQUENCE, &|out| {
                out.der_of(tag::context_constructed(0), &|out| {
                    out.der_of(tag::context_constructed(0), &|out| names(out, point.full_name));
                });
                if let Some(reasons) = point.reasons {
                    out.der_bits(tag::context(1), reasons);
                }
                if let Some(issuer) = point.issuer {
                    out.der_of(tag::context_constructed(2), &|out| {
                        general_name(out, &GeneralName::Directory(issuer));
                    });
                }
            });
        }
    });
}

fn policy_information(out: &mut Out<'_>, information: &PolicyInformation<'_>) {
    out.der_of(tag::SEQUENCE, &|out| {
        object(out, information.policy);
        let Some(qualifiers) = information.qualifiers else { return };
        out.der_of(tag::SEQUENCE, &|out| {
            let mut reader = cbor::Reader::new(qualifiers);
            for _ in 0..reader.array(crate::x509::MAX_QUALIFIERS).unwrap_or_default() / 2 {
                let (kind, text) = (reader.uint(), reader.any_text().unwrap_or_default());
                let kind = kind.ok().and_then(|kind| registry::QUALIFIERS.oid(kind));
                out.der_of(tag::SEQUENCE, &|out| {
                    object(out, kind.unwrap_or(ids::CPS));
                    if kind == Some(ids::CPS) {
                        out.der(tag::IA5_STRING, text.as_bytes());
                    } else {
                        out.der_of(tag::SEQUENCE, &|out| out.der(tag::UTF8_STRING, text.as_bytes()));
                    }
                });
            }
        });
    });
}

fn general_name(out: &mut Out<'_>, name: &GeneralName<'_>) {
    match *name {
        GeneralName::Other { kind, value } => out.der_of(tag::context_constructed(0), &|out| {
            object(out, kind);
            out.der_of(tag::context_constructed(0), &|out| match value {
                OtherName::Der(der) => out.bytes(der),
                OtherName::HardwareModule(module) => out.der_of(tag::SEQUENCE, &|out| {
                    object(out, module.kind);
                    out.der(tag::OCTET_STRING, module.serial);
                }),
                OtherName::SmtpUtf8(text) => out.der(tag::UTF8_STRING, text.as_bytes()),
                OtherName::Mac(address) => out.der(tag::OCTET_STRING, address),
            });
        }),
        GeneralName::Rfc822(text) => out.der(tag::context(1), text.as_bytes()),
        GeneralName::Dns(text) => out.der(tag::context(2), text.as_bytes()),
        GeneralName::X400(bytes) => out.der(tag::context_constructed(3), bytes),
        GeneralName::Directory(name) => out.der_of(tag::context_constructed(4), &|out| self::name(out, &name)),
        GeneralName::EdiParty(bytes) => out.der(tag::context_constructed(5), bytes),
        GeneralName::Uri(text) => out.der(tag::context(6), text.as_bytes()),
        GeneralName::Ip(bytes) => match bytes.split_last() {
            // C509's form of a range: the mask is written out.
            Some((bits, address)) if matches!(bytes.len(), 5 | 17) => out.der_of(tag::context(7), &|out| {
                out.bytes(address);
                let mut left = *bits;
                for _ in address {
                    let here = left.min(8);
                    left = left.saturating_sub(here);
                    out.bytes(&[!(0xff_u16 >> here).to_be_bytes()[1]]);
                }
            }),
            Some(_) | None => out.der(tag::context(7), bytes),
        },
        GeneralName::RegisteredId(oid) => out.der(tag::context(8), oid.as_bytes()),
    }
}

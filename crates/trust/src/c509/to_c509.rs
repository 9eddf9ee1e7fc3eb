//! From a view to C509: how a certificate in DER becomes a re-encoded one, and how names and values are written in a
//! new one.
//!
//! Every function says whether C509 can express what it was given. Whoever converts DER checks the result by building
//! the DER again, so a mistake here costs a refusal and never a wrong certificate.

use super::{
    out::{Out, strip_zeros},
    registry::{self, Table},
};
use crate::{
    crypto::KeyAlgorithm,
    der::{self, Oid, Reader, tag},
    time::Time,
    x509::{
        AlgorithmIdentifier, Encoding, Extension, Extensions, GeneralName, Items, Name, OtherName, PolicyInformation,
        RSA_EXPONENT, SubjectPublicKeyInfo, TAG_FIRST_ALTERNATIVE, TAG_MAC, Text, X509, coordinate, ids, number,
        number_length,
    },
};

/// How points are written (section "subjectPublicKey" leaves it to the encoder).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Points {
    /// Compressed, where the curve is P-256 or P-384: 32 or 48 bytes less.
    Compressed,
    /// As they are: no square root is needed to get the DER back.
    AsTheyAre,
}

/// Whether what was asked could be expressed.
pub(crate) type Expressed = Option<()>;

pub(crate) fn algorithm(out: &mut Out<'_>, algorithm: AlgorithmIdentifier<'_>, table: &'static Table) {
    match (algorithm.number(table), algorithm.parameters()) {
        (Some(number), _) => out.int(number),
        (None, None) => out.byte_string(algorithm.oid().as_bytes()),
        (None, Some(parameters)) => {
            out.array(2);
            out.byte_string(algorithm.oid().as_bytes());
            out.byte_string(parameters);
        }
    }
}

pub(crate) fn oid(out: &mut Out<'_>, oid: Oid<'_>, table: &Table) {
    match table.number(oid.as_bytes()) {
        Some(number) => out.int(i64::from(number)),
        None => out.byte_string(oid.as_bytes()),
    }
}

/// `SpecialText`.
pub(crate) fn special_text(out: &mut Out<'_>, text: Text<'_>) {
    if let Some(eui) = text.eui() {
        let parts = eui.parts();
        out.head(6, TAG_MAC);
        out.head(2, parts.iter().fold(0, |length: u64, part| length.saturating_add(part.len() as u64)));
        parts.iter().for_each(|part| out.bytes(part));
    } else if text.is_hex() {
        out.head(2, text.len() as u64 / 2);
        let mut high = None;
        for digit in text.bytes() {
            let value = crate::x509::nibble(digit);
            match high.take() {
                None => high = Some(value << 4),
                Some(high) => out.bytes(&[high | value]),
            }
        }
    } else {
        out.head(3, text.len() as u64);
        text.bytes_in_pieces(&mut |piece| out.bytes(piece));
    }
}

/// `Name`; `native` writes every string as UTF-8, as a natively signed certificate must.
pub(crate) fn name(out: &mut Out<'_>, name: &Name<'_>, native: bool) -> Expressed {
    if !name.has_single_attributes() {
        return None;
    }
    let count = name.attributes().fold(0_usize, |count, _| count.saturating_add(1));
    let number_of = |attribute: &crate::x509::Attribute<'_>| match attribute.number() {
        Some(number) if native => Some(number.saturating_abs()),
        number => number,
    };
    if count == 1
        && let Some(only) = name.attributes().next()
        && only.kind() == ids::COMMON_NAME
        && number_of(&only) == Some(1)
    {
        special_text(out, only.value());
        return Some(());
    }
    out.array(count.saturating_mul(2));
    for attribute in name.attributes() {
        match number_of(&attribute) {
            Some(number) => {
                out.int(number);
                special_text(out, attribute.value());
            }
            None => {
                let value = attribute.value();
                out.byte_string(attribute.kind().as_bytes());
                let value = value.as_bytes()?;
                let whole = |out: &mut Out<'_>| out.der(attribute.tag(), value);
                out.head(2, Out::measure(&whole) as u64);
                whole(out);
            }
        }
    }
    Some(())
}

/// Times from 1970 on have a number.
pub(crate) fn validity(out: &mut Out<'_>, not_before: Time, not_after: Time) -> Expressed {
    out.head(0, u64::try_from(not_before.unix()).ok()?);
    if not_after == Time::NEVER {
        out.null();
    } else {
        out.head(0, u64::try_from(not_after.unix()).ok()?);
    }
    Some(())
}

pub(crate) fn key(out: &mut Out<'_>, key: &SubjectPublicKeyInfo<'_>, points: Points) -> Expressed {
    algorithm(out, key.algorithm(), &registry::KEYS);
    let bits = key.bits();
    if key.algorithm().number(&registry::KEYS) == Some(0) {
        let mut outer = Reader::new(bits);
        let mut inner = outer.nested(tag::SEQUENCE).ok()?;
        outer.finish().ok()?;
        let (modulus, exponent) = (inner.integer().ok()?, inner.integer().ok()?);
        inner.finish().ok()?;
        let (modulus, exponent) = (strip_zeros(modulus), strip_zeros(exponent));
        if exponent != RSA_EXPONENT {
            out.array(2);
        }
        out.byte_string(modulus);
        if exponent != RSA_EXPONENT {
            out.byte_string(exponent);
        }
        return Some(());
    }
    match (coordinate(key.algorithm()).filter(|_| points == Points::Compressed), bits.split_first()) {
        (Some((_, length)), Some((4, both))) if both.len() == length.saturating_mul(2) => {
            point(out, both, 0xfe, 0xfd)?;
        }
        _ => out.byte_string(bits),
    }
    Some(())
}

/// A point compressed, given both its coordinates.
fn point(out: &mut Out<'_>, both: &[u8], even: u8, odd: u8) -> Expressed {
    let (x, y) = both.split_at_checked(both.len() / 2)?;
    out.head(2, x.len().saturating_add(1) as u64);
    out.bytes(&[if y.last()? & 1 == 0 { even } else { odd }]);
    out.bytes(x);
    Some(())
}

/// The key of a natively signed certificate: a point is compressed.
pub(crate) fn native_key(out: &mut Out<'_>, key: crate::crypto::PublicKey<'_>) -> Expressed {
    let number = match key.algorithm {
        KeyAlgorithm::P256 => 1,
        KeyAlgorithm::P384 => 2,
        KeyAlgorithm::Ed25519 => 12,
        KeyAlgorithm::MlDsa44 => {
            out.byte_string(ids::ML_DSA_44.as_bytes());
            out.byte_string(key.bits);
            return Some(());
        }
        KeyAlgorithm::MlDsa65 if X509 => {
            out.byte_string(ids::ML_DSA_65.as_bytes());
            out.byte_string(key.bits);
            return Some(());
        }
        // Devices have none, and an authority with such a key issues X.509.
        KeyAlgorithm::Rsa | KeyAlgorithm::MlDsa65 => return None,
    };
    out.int(number);
    match key.bits.split_first() {
        Some((4, both)) if number <= 2 => point(out, both, 2, 3)?,
        Some(_) | None => out.byte_string(key.bits),
    }
    Some(())
}

/// `issuerSignatureValue`, given the content of `signatureValue`.
pub(crate) fn signature(out: &mut Out<'_>, signature: &[u8], is_ecdsa: bool) -> Expressed {
    if !is_ecdsa {
        out.byte_string(signature);
        return Some(());
    }
    let mut outer = Reader::new(signature);
    let mut inner = outer.nested(tag::SEQUENCE).ok()?;
    outer.finish().ok()?;
    let (r, s) = (inner.integer().ok()?, inner.integer().ok()?);
    inner.finish().ok()?;
    if r.first().is_some_and(|first| *first >= 0x80) || s.first().is_some_and(|first| *first >= 0x80) {
        return None;
    }
    let (r, s) = (strip_zeros(r), strip_zeros(s));
    let length = number_length(r.len().max(s.len()))?;
    out.head(2, length.saturating_mul(2) as u64);
    for number in [r, s] {
        (number.len()..length).for_each(|_| out.bytes(&[0]));
        out.bytes(number);
    }
    Some(())
}

/// `Extensions`.
pub(crate) fn extensions(out: &mut Out<'_>, all: &Extensions<'_>) -> Expressed {
    let mut listed = all.iter();
    if let (Some(only), None) = (listed.next(), listed.next())
        && only.oid == ids::KEY_USAGE
    {
        let bits = i64::from(all.key_usage()?.bits());
        out.int(if only.critical { bits.saturating_neg() } else { bits });
        return Some(());
    }
    out.array(all.iter().count().saturating_mul(2));
    for extension in all.iter() {
        self::extension(out, &extension, all)?;
    }
    Some(())
}

fn extension(out: &mut Out<'_>, extension: &Extension<'_>, all: &Extensions<'_>) -> Expressed {
    if let Some(number) = registry::EXTENSIONS.number(extension.oid.as_bytes())
        && expresses(extension, all)
    {
        let number = i64::from(number);
        out.int(if extension.critical { number.saturating_neg() } else { number });
        return value(out, extension, all);
    }
    out.byte_string(extension.oid.as_bytes());
    if extension.critical {
        out.array(1);
    }
    out.byte_string(extension.value);
    (extension.encoding == Encoding::Der).then_some(())
}

/// Whether C509's own form can express the value: it is written to nobody to find out.
fn expresses(extension: &Extension<'_>, all: &Extensions<'_>) -> bool {
    let expressed = core::cell::Cell::new(false);
    Out::measure(&|out| expressed.set(value(out, extension, all).is_some()));
    expressed.get()
}

fn value(out: &mut Out<'_>, extension: &Extension<'_>, all: &Extensions<'_>) -> Expressed {
    let (oid, policies) = (extension.oid, all.policies());
    if oid == ids::SUBJECT_KEY_ID {
        out.byte_string(all.subject_key_id()?);
    } else if oid == ids::KEY_USAGE {
        out.int(i64::from(all.key_usage()?.bits()));
    } else if oid == ids::BASIC_CONSTRAINTS {
        let constraints = all.basic_constraints()?;
        out.int(match (constraints.ca, constraints.path_length) {
            (false, None) => -2,
            (true, None) => -1,
            (true, Some(length)) => i64::from(length),
            (false, Some(_)) => return None,
        });
    } else if oid == ids::EXTENDED_KEY_USAGE {
        let purposes = all.extended_key_usage()?;
        let count = purposes.into_iter().count();
        if count != 1 {
            out.array(count);
        }
        purposes.into_iter().for_each(|purpose| self::oid(out, purpose, &registry::PURPOSES));
    } else if oid == ids::SUBJECT_ALT_NAME || oid == ids::ISSUER_ALT_NAME {
        let names = extension.names().ok()?;
        let mut listed = names;
        if let (Some(GeneralName::Dns(name)), None) = (listed.next(), listed.next()) {
            out.text(name.as_bytes());
        } else {
            general_names(out, names)?;
        }
    } else if oid == ids::AUTHORITY_KEY_ID {
        let id = all.authority_key_id()?;
        match (id.serial_number, id.issuer.into_iter().next()) {
            (None, None) => out.byte_string(id.key_id?),
            (Some(serial), Some(_)) => {
                out.array(3);
                out.byte_string(id.key_id?);
                general_names(out, id.issuer)?;
                out.byte_string(strip_zeros(serial));
            }
            (Some(_), None) | (None, Some(_)) => return None,
        }
    } else if oid == ids::AUTHORITY_INFO_ACCESS || oid == ids::SUBJECT_INFO_ACCESS {
        let list: Items<'_, crate::x509::AccessDescription<'_>> = extension.list().ok()?;
        out.array(list.into_iter().count().saturating_mul(2));
        for access in list {
            let GeneralName::Uri(uri) = access.location else { return None };
            self::oid(out, access.method, &registry::ACCESS_METHODS);
            out.text(uri.as_bytes());
        }
    } else if oid == ids::CRL_DISTRIBUTION_POINTS || oid == ids::FRESHEST_CRL {
        distribution_points(out, extension)?;
    } else if oid == ids::NAME_CONSTRAINTS {
        name_constraints(out, all)?;
    } else if oid == ids::CERTIFICATE_POLICIES {
        let list = policies.certificate_policies?;
        out.array(list.into_iter().count().saturating_mul(2));
        for information in list {
            policy_information(out, &information)?;
        }
    } else if oid == ids::POLICY_MAPPINGS {
        let mappings = policies.mappings?;
        out.array(mappings.into_iter().count().saturating_mul(2));
        for mapping in mappings {
            self::oid(out, mapping.issuer_domain, &registry::POLICIES);
            self::oid(out, mapping.subject_domain, &registry::POLICIES);
        }
    } else if oid == ids::POLICY_CONSTRAINTS {
        let constraints = policies.constraints?;
        out.array(2);
        for count in [constraints.require_explicit_policy, constraints.inhibit_policy_mapping] {
            match count {
                Some(count) => out.int(i64::from(count)),
                None => out.null(),
            }
        }
    } else if oid == ids::INHIBIT_ANY_POLICY {
        out.int(i64::from(policies.inhibit_any_policy?));
    } else {
        rare(out, extension)?;
    }
    Some(())
}

/// Extensions that nothing here uses.
fn rare(out: &mut Out<'_>, extension: &Extension<'_>) -> Expressed {
    let mut reader = Reader::new(extension.value);
    if extension.oid == ids::OCSP_NO_CHECK || extension.oid == ids::PRECERTIFICATE_SIGNING {
        out.null();
        return (extension.value == [tag::NULL, 0]).then_some(());
    }
    if extension.oid != ids::TLS_FEATURE {
        return None;
    }
    let list = reader.nested(tag::SEQUENCE).ok()?;
    reader.finish().ok()?;
    let mut count = 0;
    let mut counted = list;
    while !counted.is_empty() {
        counted.unsigned().ok()?;
        count = usize::saturating_add(count, 1);
    }
    out.array(count);
    let mut list = list;
    while !list.is_empty() {
        out.int(i64::from(list.unsigned().ok()?));
    }
    Some(())
}

fn general_names(out: &mut Out<'_>, names: Items<'_, GeneralName<'_>>) -> Expressed {
    out.array(names.into_iter().count().saturating_mul(2));
    names.into_iter().try_for_each(|name| general_name(out, &name))
}

fn general_name(out: &mut Out<'_>, name: &GeneralName<'_>) -> Expressed {
    match *name {
        GeneralName::Other { kind, value } => match name.special().unwrap_or(value) {
            OtherName::HardwareModule(module) => {
                out.int(number::HARDWARE);
                out.array(2);
                out.byte_string(module.kind.as_bytes());
                out.byte_string(module.serial);
            }
            OtherName::SmtpUtf8(text) => {
                out.int(number::SMTP_UTF8);
                out.text(text.as_bytes());
            }
            OtherName::Mac(address) => {
                out.int(number::MAC);
                out.byte_string(address);
            }
            OtherName::Der(der) => {
                out.int(number::OTHER);
                out.array(2);
                out.byte_string(kind.as_bytes());
                out.byte_string(der);
            }
        },
        GeneralName::Rfc822(text) => {
            out.int(number::RFC822);
            out.text(text.as_bytes());
        }
        GeneralName::Dns(text) => {
            out.int(number::DNS);
            out.text(text.as_bytes());
        }
        GeneralName::Directory(directory) => {
            out.int(number::DIRECTORY);
            self::name(out, &directory, false)?;
        }
        GeneralName::Uri(text) => {
            out.int(number::URI);
            out.text(text.as_bytes());
        }
        GeneralName::Ip(bytes) => {
            out.int(number::IP);
            out.byte_string(bytes);
        }
        GeneralName::RegisteredId(oid) => {
            out.int(number::REGISTERED_ID);
            out.byte_string(oid.as_bytes());
        }
        GeneralName::X400(_) | GeneralName::EdiParty(_) => return None,
    }
    Some(())
}

fn distribution_points(out: &mut Out<'_>, extension: &Extension<'_>) -> Expressed {
    let points = extension.distribution_points().ok()?;
    if !points.into_iter().all(|point| point.has_c509) {
        return None;
    }
    let mut listed = points;
    let only = listed.next()?;
    if listed.next().is_none() && only.is_one_uri() {
        return uris(out, only.full_name);
    }
    out.array(points.into_iter().count());
    for point in points {
        out.array(3);
        uris(out, point.full_name)?;
        match point.reasons {
            Some(reasons) => out.int(i64::from(reasons)),
            None => out.null(),
        }
        match point.issuer {
            Some(issuer) => name(out, &issuer, false)?,
            None => out.null(),
        }
    }
    Some(())
}

/// One URI alone, several in an array.
fn uris(out: &mut Out<'_>, names: Items<'_, GeneralName<'_>>) -> Expressed {
    let count = names.into_iter().count();
    if count != 1 {
        out.array(count);
    }
    for name in names {
        let GeneralName::Uri(uri) = name else { return None };
        out.text(uri.as_bytes());
    }
    Some(())
}

fn name_constraints(out: &mut Out<'_>, all: &Extensions<'_>) -> Expressed {
    let constraints = all.name_constraints()?;
    out.array(2);
    for subtrees in [constraints.permitted(), constraints.excluded()] {
        let count = subtrees.into_iter().count();
        if count == 0 {
            out.null();
            continue;
        }
        out.array(count.saturating_mul(2));
        for subtree in subtrees {
            let base = subtree.base();
            if let GeneralName::Ip(bytes) = base
                && matches!(bytes.len(), 8 | 32)
            {
                let (address, mask) = bytes.split_at_checked(bytes.len() / 2)?;
                let ones = mask.iter().fold(0_u32, |ones, octet| ones.saturating_add(octet.count_ones()));
                out.int(number::IP);
                out.head(2, address.len().saturating_add(1) as u64);
                out.bytes(address);
                out.bytes(&[u8::try_from(ones).ok()?]);
            } else {
                general_name(out, &base)?;
            }
        }
    }
    Some(())
}

fn policy_information(out: &mut Out<'_>, information: &PolicyInformation<'_>) -> Expressed {
    oid(out, information.policy, &registry::POLICIES);
    let Some(qualifiers) = information.qualifiers else {
        out.array(0);
        return Some(());
    };
    let list = || Reader::new(qualifiers).nested(tag::SEQUENCE).ok();
    let mut counted = list()?;
    let mut count = 0_usize;
    while !counted.is_empty() {
        counted.element().ok()?;
        count = count.saturating_add(2);
    }
    out.array(count);
    let mut list = list()?;
    while !list.is_empty() {
        let mut qualifier = list.nested(tag::SEQUENCE).ok()?;
        let kind = qualifier.oid().ok()?;
        out.int(i64::from(registry::QUALIFIERS.number(kind.as_bytes())?));
        let text = if kind == ids::CPS {
            let text = qualifier.expect(tag::IA5_STRING).ok()?;
            core::str::from_utf8(text).ok().filter(|text| text.is_ascii())?
        } else {
            explicit_text(&mut qualifier).ok()?
        };
        qualifier.finish().ok()?;
        out.text(text.as_bytes());
    }
    Some(())
}

/// A user notice that is nothing but a UTF-8 text.
fn explicit_text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, der::Error> {
    let mut notice = reader.nested(tag::SEQUENCE)?;
    let text = notice.expect(tag::UTF8_STRING)?;
    notice.finish()?;
    core::str::from_utf8(text).map_err(|_| der::Error::String)
}

/// A challenge password: text, or tagged text of a `PrintableString`.
pub(crate) fn password(out: &mut Out<'_>, value: &[u8]) -> Expressed {
    let mut reader = Reader::new(value);
    let element = reader.element().ok()?;
    match element.tag {
        tag::UTF8_STRING => {}
        tag::PRINTABLE_STRING => out.head(6, TAG_FIRST_ALTERNATIVE),
        _ => return None,
    }
    out.text(core::str::from_utf8(element.content).ok()?.as_bytes());
    Some(())
}

//! Certificates and certificate requests.

use super::{Fields, Finding, hex};
use crate::Failure;
use medlock_node::provider::AwsLc;
use medlock_trust::x509::{self, Certificate, Extension, Extensions, GeneralName, Request, SignedForm, ids, name_of};
use medlock_trust::{KeyId, Time, crypto::PublicKey};

/// A certificate in DER or C509.
///
/// # Errors
/// Where and why it is none.
pub(super) fn certificate(bytes: &[u8]) -> Result<Finding, Failure> {
    let certificate = Certificate::read(bytes)?;
    let mut fields = Fields::default();
    form(certificate.form(), bytes.len(), &mut fields);
    fields.add("version", format!("{:?}", certificate.version()).to_lowercase());
    fields.add("serialNumber", hex(certificate.serial_number()));
    fields.add("signatureAlgorithm", named(&certificate.algorithm().oid()));
    fields.add("issuer", certificate.issuer());
    fields.add("notBefore", certificate.not_before());
    if certificate.not_after() == Time::NEVER {
        fields.explain("notAfter", certificate.not_after(), "no well-defined expiry (IEEE 802.1AR birth credentials)");
    } else {
        fields.add("notAfter", certificate.not_after());
    }
    fields.add("subject", certificate.subject());
    public_key(certificate.public_key(), certificate.key_id(&AwsLc), &mut fields);
    extensions(certificate.extensions(), &mut fields);
    fields.add("signature", hex(certificate.signature()));
    fields.explain("credential id", certificate.credential_id(&AwsLc), "what status lists and tickets call it");
    let what = if certificate.form() == SignedForm::X509 { "certificate" } else { "C509 certificate" };
    Ok(Finding { what, fields: fields.0 })
}

/// A certificate request in DER or C509.
///
/// # Errors
/// Where and why it is none.
pub(super) fn request(bytes: &[u8]) -> Result<Finding, Failure> {
    let request = Request::read(bytes)?;
    let mut fields = Fields::default();
    form(request.form(), bytes.len(), &mut fields);
    fields.add("subject", request.subject());
    public_key(request.public_key(), request.key_id(&AwsLc), &mut fields);
    for attribute in request.attributes() {
        fields.add("attribute", named(&attribute.oid));
    }
    if request.challenge_password().is_some() {
        fields.explain("challengePassword", "(not shown)", "a secret; it should not be in a file");
    }
    extensions(request.extensions(), &mut fields);
    fields.add("signatureAlgorithm", named(&request.algorithm().oid()));
    match request.verify(&AwsLc) {
        Ok(()) => fields.add("signature", "right: whoever made this has the key"),
        Err(error) => fields.add("signature", format!("WRONG or not checkable ({error:?})")),
    }
    let what = if request.form() == SignedForm::X509 { "certificate request" } else { "C509 certificate request" };
    Ok(Finding { what, fields: fields.0 })
}

/// What C509 says of itself; X.509 has no such field.
fn form(form: SignedForm, length: usize, fields: &mut Fields) {
    match form {
        SignedForm::X509 => {}
        SignedForm::Native => fields.explain("c509Type", 2, format!("signed as it is; {length} bytes")),
        SignedForm::Reencoded => {
            fields.explain("c509Type", 3, format!("stands for X.509, which is what is signed; {length} bytes"));
        }
    }
}

fn public_key(key: Option<PublicKey<'_>>, id: KeyId, fields: &mut Fields) {
    match key {
        Some(key) => fields.add("public key", format!("{:?}, {}", key.algorithm, hex(key.bits))),
        None => fields.add("public key", "of an algorithm that is not used here"),
    }
    fields.explain("key id", id, "what lists call the key");
}

fn extensions(extensions: &Extensions<'_>, fields: &mut Fields) {
    for extension in extensions.iter() {
        let critical = if extension.critical { " (critical)" } else { "" };
        let name = format!("{}{critical}", named(&extension.oid));
        match known(extensions, &extension) {
            Some((value, Some(meaning))) => fields.explain(name, value, meaning),
            Some((value, None)) => fields.add(name, value),
            None => fields.explain(name, hex(extension.value), "not read here; shown as it is"),
        }
    }
}

/// The value of an extension that the trust core reads, and what it means.
fn known(all: &Extensions<'_>, extension: &Extension<'_>) -> Option<(String, Option<String>)> {
    let oid = extension.oid;
    if oid == ids::BASIC_CONSTRAINTS {
        let constraints = all.basic_constraints()?;
        let value = match (constraints.ca, constraints.path_length) {
            (false, _) => "not an authority".to_owned(),
            (true, None) => "an authority".to_owned(),
            (true, Some(length)) => format!("an authority, at most {length} further authorities below"),
        };
        return Some((value, None));
    }
    if oid == ids::KEY_USAGE {
        return Some((all.key_usage()?.names().collect::<Vec<_>>().join(", "), None));
    }
    if oid == ids::EXTENDED_KEY_USAGE {
        return Some((lines(all.extended_key_usage()?.map(|purpose| named(&purpose))), None));
    }
    if oid == ids::SUBJECT_ALT_NAME {
        return Some((lines(all.subject_alt_names().map(general_name)), None));
    }
    if oid == ids::NAME_CONSTRAINTS {
        let constraints = all.name_constraints()?;
        let permitted = constraints.permitted().map(|tree| format!("permitted {}", general_name(tree.base())));
        let excluded = constraints.excluded().map(|tree| format!("excluded {}", general_name(tree.base())));
        return Some((lines(permitted.chain(excluded)), None));
    }
    if oid == ids::AUTHORITY_KEY_ID {
        return Some((hex(all.authority_key_id()?.key_id?), None));
    }
    if oid == ids::SUBJECT_KEY_ID {
        return Some((hex(all.subject_key_id()?), None));
    }
    if oid == ids::CERTIFICATE_POLICIES {
        return Some((lines(all.policies().certificate_policies?.map(|policy| policy.policy.to_string())), None));
    }
    if oid == ids::CRL_DISTRIBUTION_POINTS {
        return Some((lines(all.crl_distribution_points().map(general_name)), None));
    }
    if oid == ids::AUTHORITY_INFO_ACCESS {
        let places = all.authority_info_access();
        return Some((
            lines(places.map(|place| format!("{} {}", named(&place.method), general_name(place.location)))),
            None,
        ));
    }
    if oid == ids::ROLE {
        let role = all.role()?;
        let roles: Vec<_> = role.roles.iter().map(|role| role.name()).collect();
        let operations: Vec<_> = role.roles.operations().iter().map(|operation| operation.name()).collect();
        let kind = role.device_type.map(|kind| format!(", device type {}", kind.0)).unwrap_or_default();
        let meaning = format!("may ask, beside read and renew: {}", operations.join(", "));
        return Some((format!("{}{kind}", roles.join(", ")), Some(meaning)));
    }
    None
}

fn general_name(name: GeneralName<'_>) -> String {
    match name.hardware_module_name() {
        Some(module) => format!("hardwareModuleName {module}"),
        None => name.to_string(),
    }
}

fn lines(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join("\n")
}

fn named(oid: &x509::Oid<'_>) -> String {
    name_of(oid).map_or_else(|| oid.to_string(), str::to_owned)
}

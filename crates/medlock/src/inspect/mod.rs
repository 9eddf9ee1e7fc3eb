//! `medlock inspect`: what a file is, and what each of its fields says.

mod certificate;
mod crl;
mod object;
mod provenance;

use crate::cli::{InspectArgs, verifier_key};
use crate::output::say;
use crate::{Failure, Outcome, output};
use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use medlock_trust::c509;
use medlock_trust::x509::Certificate;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use serde::Serialize;
use std::io::Read as _;
use std::path::Path;

/// The most bytes a file may have. The largest thing we make is a revocation list.
const MAX_BYTES: u64 = 64 << 20;

/// One thing that was found in a file.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    /// What it is: `certificate`, `request`, `revocation-list`, or the kind of a signed object.
    pub(crate) what: &'static str,
    /// Its fields, in the order of its encoding.
    pub(crate) fields: Vec<Field>,
}

/// One field: its standard name, its value, and what that means where a name does not say it.
#[derive(Debug, Serialize)]
pub(crate) struct Field {
    /// The standard's name of the field.
    pub(crate) name: String,
    /// Its value, as people write it.
    pub(crate) value: String,
    /// What the value means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) meaning: Option<String>,
}

/// Fields as they are collected.
#[derive(Debug, Default)]
pub(crate) struct Fields(pub(crate) Vec<Field>);

impl Fields {
    /// Adds a field whose name says enough.
    pub(crate) fn add(&mut self, name: impl Into<String>, value: impl ToString) {
        self.0.push(Field { name: name.into(), value: value.to_string(), meaning: None });
    }

    /// Adds a field with what it means.
    pub(crate) fn explain(&mut self, name: impl Into<String>, value: impl ToString, meaning: impl ToString) {
        let meaning = Some(meaning.to_string());
        self.0.push(Field { name: name.into(), value: value.to_string(), meaning });
    }
}

/// `medlock inspect FILE`.
///
/// # Errors
/// When the file cannot be read or is nothing this command knows.
pub(crate) fn run(args: &InspectArgs) -> Result<Outcome, Failure> {
    let bytes = read(&args.file)?;
    if bytes.trim_ascii_start().first() == Some(&b'{') {
        return resource(&bytes, args).map_err(|error| format!("{}: {error}", args.file.display()).into());
    }
    show(&bytes, args.json).map_err(|error| format!("{}: {error}", args.file.display()).into())
}

/// Prints what a resource of FHIR says, and whether it agrees.
fn resource(bytes: &[u8], args: &InspectArgs) -> Result<Outcome, Failure> {
    let resource = serde_json::from_slice(bytes).map_err(|error| format!("this is no JSON: {error}"))?;
    let believed = provenance::Believed {
        root: args.root.as_deref().map(first_certificate).transpose()?,
        log: args.log_key.as_deref().map(verifier_key).transpose()?,
    };
    let (finding, agrees) = provenance::provenance(&resource, &believed)?;
    if args.json {
        output::json(&[finding])?;
    } else {
        print(&finding);
    }
    Ok(if agrees { Outcome::Done } else { Outcome::Refused })
}

/// Prints what is in `bytes`.
///
/// # Errors
/// When it is nothing this command knows.
pub(crate) fn show(bytes: &[u8], json: bool) -> Result<Outcome, Failure> {
    show_each(&[bytes], json)
}

/// Prints what is in each of these.
///
/// # Errors
/// When one is nothing this command knows.
pub(crate) fn show_each(all: &[&[u8]], json: bool) -> Result<Outcome, Failure> {
    let findings: Vec<Finding> =
        all.iter().map(|bytes| findings(bytes)).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    if json {
        output::json(&findings)?;
    } else {
        for (index, finding) in findings.iter().enumerate() {
            if index > 0 {
                say!("");
            }
            print(finding);
        }
    }
    Ok(Outcome::Done)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let failed = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    if path == Path::new("-") {
        std::io::stdin().take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        std::fs::File::open(path).map_err(failed)?.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    }
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("{} is larger than {MAX_BYTES} bytes", path.display()).into());
    }
    Ok(bytes)
}

/// The first certificate of a file: PEM, DER or C509, the latter also in hexadecimal or base64.
///
/// # Errors
/// When there is none.
pub(crate) fn first_certificate(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = read(path)?;
    let is_one = |bytes: &[u8]| Certificate::read(bytes).is_ok();
    if is_one(&bytes) {
        return Ok(bytes);
    }
    let found = match CertificateDer::pem_slice_iter(&bytes).next() {
        Some(Ok(certificate)) => Some(certificate.to_vec()),
        Some(Err(_)) | None => texts(&bytes).into_iter().find(|bytes| is_one(bytes)),
    };
    found.ok_or_else(|| format!("{} has no certificate that can be read", path.display()).into())
}

/// What is in `bytes`: PEM with any number of sections, DER, C509, or a signed object; each also in hexadecimal or base64.
///
/// # Errors
/// When it is nothing this command knows, or is damaged; the message names the field.
fn findings(bytes: &[u8]) -> Result<Vec<Finding>, Failure> {
    if bytes.is_empty() {
        return Err("the file is empty".into());
    }
    if bytes.windows(11).any(|window| window == b"-----BEGIN ") {
        return sections(bytes);
    }
    if let Some(finding) = binary(bytes) {
        return Ok(vec![finding?]);
    }
    let finding = texts(bytes).iter().find_map(|bytes| binary(bytes)).unwrap_or_else(|| {
        Err("this is neither PEM, nor DER, nor C509, nor a signed object (COSE_Sign1 or COSE_Sign), also not in hexadecimal \
             or base64; give one of these alone, without what stands around it"
            .into())
    })?;
    Ok(vec![finding])
}

/// The sections of PEM. C509 has no label of its own, so what a section holds is told by its first byte.
fn sections(pem: &[u8]) -> Result<Vec<Finding>, Failure> {
    let sections: Vec<(SectionKind, Vec<u8>)> = <(SectionKind, Vec<u8>)>::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("the PEM is damaged: {error}"))?;
    let is_key = |kind: &SectionKind| {
        matches!(kind, SectionKind::PrivateKey | SectionKind::EcPrivateKey | SectionKind::RsaPrivateKey)
    };
    if sections.is_empty() {
        return Err("no section of this PEM is one this command knows: they are CERTIFICATE, CERTIFICATE REQUEST and \
                    X509 CRL; change the label if one of these is inside"
            .into());
    }
    if sections.iter().all(|(kind, _)| is_key(kind)) {
        return Err("this is a private key; it is not shown, and should not be where others read it".into());
    }
    sections
        .into_iter()
        .filter(|(kind, _)| !is_key(kind))
        .map(|(kind, der)| match kind {
            SectionKind::Certificate => certificate::certificate(&der),
            SectionKind::Csr => certificate::request(&der),
            SectionKind::Crl => crl::crl(&der),
            other => Err(format!("PEM section {other:?} is nothing this command knows").into()),
        })
        .collect()
}

/// What `bytes` hold by their first ones; none if they begin like nothing that is known.
fn binary(bytes: &[u8]) -> Option<Result<Finding, Failure>> {
    /// CBOR tags 18 (COSE_Sign1) and 98 (COSE_Sign).
    const COSE_SIGN1: u8 = 0xd2;
    const COSE_SIGN: [u8; 2] = [0xd8, 0x62];
    const DER_SEQUENCE: u8 = 0x30;
    match bytes {
        [c509::CERTIFICATE_HEAD, ..] => Some(certificate::certificate(bytes)),
        [c509::REQUEST_HEAD, ..] => Some(certificate::request(bytes)),
        [COSE_SIGN1, ..] => Some(object::object(bytes)),
        [first, second, ..] if [*first, *second] == COSE_SIGN => Some(object::object(bytes)),
        // "0" is how COSE_Sign1 begins in base64.
        [DER_SEQUENCE, ..] if !bytes.iter().all(|c| c.is_ascii_graphic() || c.is_ascii_whitespace()) => {
            Some(der(bytes))
        }
        [..] => None,
    }
}

/// The bytes that a text stands for, white space aside: those of hexadecimal digits, and those of base64 of either
/// alphabet, padded or not. C509 has no PEM of its own, and is passed on so.
fn texts(text: &[u8]) -> Vec<Vec<u8>> {
    let text: Vec<u8> = text.iter().copied().filter(|c| !c.is_ascii_whitespace()).collect();
    let unpadded = text.strip_suffix(b"==").or(text.strip_suffix(b"=")).unwrap_or(&text);
    [HEXLOWER_PERMISSIVE.decode(&text), BASE64_NOPAD.decode(unpadded), BASE64URL_NOPAD.decode(unpadded)]
        .into_iter()
        .flatten()
        .collect()
}

fn der(bytes: &[u8]) -> Result<Finding, Failure> {
    // A certificate, a request and a list differ deep inside; the reader that gets furthest has the best complaint.
    match (certificate::certificate(bytes), certificate::request(bytes), crl::crl(bytes)) {
        (Ok(finding), _, _) | (_, Ok(finding), _) | (_, _, Ok(finding)) => Ok(finding),
        (Err(certificate), Err(request), Err(crl)) => Err(format!(
            "this DER is no certificate ({certificate}), no request ({request}) and no revocation list ({crl})"
        )
        .into()),
    }
}

fn print(finding: &Finding) {
    say!("{}", finding.what);
    let width = finding.fields.iter().map(|field| field.name.chars().count()).max().unwrap_or(0);
    for field in &finding.fields {
        let value = output::harmless(&field.value);
        let mut lines = value.lines();
        say!("  {:<width$}  {}", field.name, lines.next().unwrap_or_default());
        for line in lines {
            say!("  {:<width$}  {line}", "");
        }
        if let Some(meaning) = &field.meaning {
            say!("  {:<width$}    {meaning}", "");
        }
    }
}

/// Bytes in hexadecimal, shortened in the middle when they are many.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const SHOWN: usize = 48;
    let text = output::hex(bytes.get(..SHOWN).unwrap_or(bytes));
    if bytes.len() > SHOWN { format!("{text}… ({} bytes)", bytes.len()) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::harmless;

    /// The natively signed example of draft-ietf-cose-cbor-encoded-cert-20, appendix A.1.
    const NATIVE: &str = "8b024301f50d006b52464320746573742043411a63b0cd001a6955b900d830460123456789ab01582102b1216ab96e5\
         b3b3340f5bdf02e693f16213a04525ed44450b1019c2dfd3838ab015840eb0d472731f689bc00f5880b12c68b3f9fd38b23fadfca20950f3\
         f241b60a202579cac28cd3b7494d5fa5d8bbab4600357e550ab9fa9a65d9ba2b3b82e668cc6";

    fn native() -> Vec<u8> {
        HEXLOWER_PERMISSIVE.decode(NATIVE.as_bytes()).expect("hexadecimal")
    }

    fn assert_native(file: &[u8]) {
        let found = findings(file).expect("C509");
        assert_eq!(found[0].what, "C509 certificate");
        let value = |name: &str| found[0].fields.iter().find(|field| field.name == name).map(|field| &*field.value);
        assert_eq!(value("subject"), Some("CN=01-23-45-FF-FE-67-89-AB"));
        assert_eq!(value("c509Type"), Some("2"));
        assert_eq!(value("keyUsage"), Some("digitalSignature"));
    }

    /// Shows REQ-C509-14.
    #[test]
    fn c509_is_shown_also_from_hexadecimal() {
        let bytes = native();
        for file in [bytes.as_slice(), NATIVE.as_bytes(), NATIVE.to_uppercase().as_bytes()] {
            assert_native(file);
        }
        assert_native(NATIVE.as_bytes().chunks(9).collect::<Vec<_>>().join(&b'\n').as_slice());
        assert!(findings(&bytes[..bytes.len() - 1]).is_err());
    }

    /// Shows REQ-C509-15.
    #[test]
    fn c509_is_shown_also_from_base64_and_pem() {
        use data_encoding::{BASE64, BASE64URL};
        let bytes = native();
        let base64 = BASE64.encode(&bytes);
        assert_native(base64.as_bytes());
        assert_native(BASE64_NOPAD.encode(&bytes).as_bytes());
        assert_native(BASE64URL.encode(&bytes).as_bytes());
        assert_native(BASE64URL_NOPAD.encode(&bytes).as_bytes());
        assert_native(base64.as_bytes().chunks(64).collect::<Vec<_>>().join(&b"\r\n"[..]).as_slice());
        assert_native(format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n").as_bytes());
    }

    /// Shows REQ-C509-15.
    #[test]
    fn what_is_nothing_known_is_refused_with_what_to_do() {
        let refusal = |file: &[u8]| findings(file).expect_err("nothing known").to_string();
        let unknown = b"-----BEGIN C509 CERTIFICATE-----\niwI=\n-----END C509 CERTIFICATE-----\n";
        assert!(refusal(unknown).contains("change the label"));
        for file in [&b"Hello"[..], b"3330", b"abc", b"\x01\x02", format!("subject: {NATIVE}").as_bytes()] {
            assert!(refusal(file).contains("alone"), "{file:?}");
        }
        assert!(refusal(b"").contains("empty"));
        // Text that stands for something known is complained about as that.
        assert!(!refusal(&NATIVE.as_bytes()[..40]).contains("alone"));
    }

    /// Shows REQ-CLI-03.
    #[test]
    fn text_that_could_deceive_is_written_out() {
        assert_eq!(harmless("CN=pump\u{202e}1\u{1b}[2J"), "CN=pump\\u{202e}1\\u{1b}[2J");
        assert_eq!(harmless("two\nlines, Ärztehaus"), "two\nlines, Ärztehaus");
    }
}

//! `medlock inspect`: what a file is, and what each of its fields says.

mod certificate;
mod crl;
mod object;

use crate::cli::InspectArgs;
use crate::output::say;
use crate::{Failure, Outcome, output};
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
    show(&bytes, args.json).map_err(|error| format!("{}: {error}", args.file.display()).into())
}

/// Prints what is in `bytes`.
///
/// # Errors
/// When it is nothing this command knows.
pub(crate) fn show(bytes: &[u8], json: bool) -> Result<Outcome, Failure> {
    let findings = findings(bytes)?;
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

/// What is in `bytes`: PEM with any number of sections, DER, C509, or a signed object, also in hexadecimal.
///
/// # Errors
/// When it is nothing this command knows, or is damaged; the message names the field.
fn findings(bytes: &[u8]) -> Result<Vec<Finding>, Failure> {
    let is_pem = bytes.windows(11).any(|window| window == b"-----BEGIN ");
    if !is_pem {
        return Ok(vec![one(bytes)?]);
    }
    let sections: Vec<(SectionKind, Vec<u8>)> = <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("the PEM is damaged: {error}"))?;
    let is_key = |kind: &SectionKind| {
        matches!(kind, SectionKind::PrivateKey | SectionKind::EcPrivateKey | SectionKind::RsaPrivateKey)
    };
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

fn one(bytes: &[u8]) -> Result<Finding, Failure> {
    /// CBOR tags 18 (COSE_Sign1) and 98 (COSE_Sign).
    const COSE_SIGN1: u8 = 0xd2;
    const COSE_SIGN: [u8; 2] = [0xd8, 0x62];
    const DER_SEQUENCE: u8 = 0x30;
    /// Arrays of eleven and of seven items.
    const C509_CERTIFICATE: u8 = 0x8b;
    const C509_REQUEST: u8 = 0x87;
    match bytes {
        [C509_CERTIFICATE, ..] => certificate::certificate(bytes),
        [C509_REQUEST, ..] => certificate::request(bytes),
        [COSE_SIGN1, ..] => object::object(bytes),
        [first, second, ..] if [*first, *second] == COSE_SIGN => object::object(bytes),
        [DER_SEQUENCE, ..] => der(bytes),
        [] => Err("the file is empty".into()),
        [..] => match hexadecimal(bytes) {
            Some(bytes) => one(&bytes),
            None => Err("this is neither PEM, nor DER, nor C509, nor a signed object (COSE_Sign1 or COSE_Sign)".into()),
        },
    }
}

/// The bytes that a file of hexadecimal digits and white space stands for: C509 has no PEM, and is passed on so.
fn hexadecimal(text: &[u8]) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .iter()
        .filter(|c| !c.is_ascii_whitespace())
        .map(|c| char::from(*c).to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits.filter(|digits| !digits.is_empty() && digits.len().is_multiple_of(2))?;
    let bytes: Vec<u8> =
        digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    // Digits of digits are nobody's.
    bytes.first().filter(|first| !first.is_ascii_hexdigit() || (**first == b'0' && bytes.get(1) != Some(&b'3')))?;
    Some(bytes)
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

/// Text from a file, with what could deceive a terminal or an eye written out.
fn harmless(text: &str) -> String {
    let deceives = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().map(|c| if deceives(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

fn print(finding: &Finding) {
    say!("{}", finding.what);
    let width = finding.fields.iter().map(|field| field.name.chars().count()).max().unwrap_or(0);
    for field in &finding.fields {
        let value = harmless(&field.value);
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

    /// Shows REQ-C509-14.
    #[test]
    fn c509_is_shown_also_from_hexadecimal() {
        // The natively signed example of draft-ietf-cose-cbor-encoded-cert-20, appendix A.1.
        const NATIVE: &str = "8b024301f50d006b52464320746573742043411a63b0cd001a6955b900d830460123456789ab01582102b1216a\
             b96e5b3b3340f5bdf02e693f16213a04525ed44450b1019c2dfd3838ab015840eb0d472731f689bc00f5880b12c68b3f9fd38b23\
             fadfca20950f3f241b60a202579cac28cd3b7494d5fa5d8bbab4600357e550ab9fa9a65d9ba2b3b82e668cc6";
        let bytes = hexadecimal(NATIVE.as_bytes()).expect("hexadecimal");
        for file in [bytes.as_slice(), NATIVE.as_bytes(), NATIVE.to_uppercase().as_bytes()] {
            let found = findings(file).expect("C509");
            assert_eq!(found[0].what, "C509 certificate");
            let value = |name: &str| found[0].fields.iter().find(|field| field.name == name).map(|field| &*field.value);
            assert_eq!(value("subject"), Some("CN=01-23-45-FF-FE-67-89-AB"));
            assert_eq!(value("c509Type"), Some("2"));
            assert_eq!(value("keyUsage"), Some("digitalSignature"));
        }
        let wrong = [&bytes[..bytes.len() - 1], &[]].concat();
        assert!(findings(&wrong).is_err());
        assert!(hexadecimal(b"3330").is_none() && hexadecimal(b"abc").is_none() && hexadecimal(b"").is_none());
    }

    /// Shows REQ-CLI-03.
    #[test]
    fn text_that_could_deceive_is_written_out() {
        assert_eq!(harmless("CN=pump\u{202e}1\u{1b}[2J"), "CN=pump\\u{202e}1\\u{1b}[2J");
        assert_eq!(harmless("two\nlines, Ärztehaus"), "two\nlines, Ärztehaus");
    }
}

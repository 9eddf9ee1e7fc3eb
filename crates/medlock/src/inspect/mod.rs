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

/// What is in `bytes`: PEM with any number of sections, DER, or a signed object.
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
    match bytes {
        [COSE_SIGN1, ..] => object::object(bytes),
        [first, second, ..] if [*first, *second] == COSE_SIGN => object::object(bytes),
        [DER_SEQUENCE, ..] => der(bytes),
        [] => Err("the file is empty".into()),
        [..] => Err("this is neither PEM, nor DER, nor a signed object (COSE_Sign1 or COSE_Sign)".into()),
    }
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

    /// Shows REQ-CLI-03.
    #[test]
    fn text_that_could_deceive_is_written_out() {
        assert_eq!(harmless("CN=pump\u{202e}1\u{1b}[2J"), "CN=pump\\u{202e}1\\u{1b}[2J");
        assert_eq!(harmless("two\nlines, Ärztehaus"), "two\nlines, Ärztehaus");
    }
}

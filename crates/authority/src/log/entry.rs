//! What an entry of the log says, for those who watch names.

use crate::encode;
use medlock_node::provider::AwsLc;
use medlock_trust::DeviceName;
use medlock_trust::x509::{Certificate, GeneralName, SignedForm, ids};
use serde::Serialize;
use std::net::IpAddr;

/// The first byte of a native C509 certificate's signed items: the integer 2.
const C509: u8 = 0x02;

/// An entry, read: a certificate that was to be signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// `X.509` or `C509`.
    pub form: &'static str,
    /// The serial number, in hexadecimal digits.
    pub serial: String,
    /// The issuer's name.
    pub issuer: String,
    /// The subject's name.
    pub subject: String,
    /// The device's name, if the subject has one.
    pub device: Option<String>,
    /// DNS names and IP addresses.
    pub names: Vec<String>,
    /// Whether it may sign certificates.
    pub authority: bool,
    /// From when.
    pub not_before: String,
    /// Until when.
    pub not_after: String,
    /// The identifier of its key.
    pub key: String,
}

impl Entry {
    /// Reads an entry.
    ///
    /// # Errors
    /// What is wrong with it: a log of ours has nothing that cannot be read.
    pub fn read(entry: &[u8]) -> Result<Self, String> {
        // The view reads whole certificates; a signature of nothing stands where the real one is.
        let whole = match entry.first() {
            Some(&C509) => encode::signed_c509(entry, &[0; 64])?,
            _ => encode::signed(entry, &[0; 8]),
        };
        let read = Certificate::read(&whole).map_err(|error| error.to_string())?;
        let names = read.extensions().subject_alt_names().filter_map(|name| match name {
            GeneralName::Dns(name) => Some(name.to_owned()),
            GeneralName::Ip(bytes) => address(bytes),
            _ => None,
        });
        let device = read.subject().only(ids::SERIAL_NUMBER).and_then(DeviceName::from_text);
        Ok(Self {
            form: if read.form() == SignedForm::X509 { "X.509" } else { "C509" },
            serial: data_encoding::HEXLOWER.encode(read.serial_number()),
            issuer: read.issuer().to_string(),
            subject: read.subject().to_string(),
            device: device.map(|name| name.to_string()),
            names: names.collect(),
            authority: read.extensions().basic_constraints().is_some_and(|constraints| constraints.ca),
            not_before: read.not_before().to_string(),
            not_after: read.not_after().to_string(),
            key: read.key_id(&AwsLc).to_string(),
        })
    }

    /// Whether one of its names, its key or its serial number is as `pattern` says, in which `*` stands for anything.
    #[must_use]
    pub fn is_about(&self, pattern: &str) -> bool {
        let named = [&self.subject, &self.serial, &self.key].into_iter().chain(&self.device).chain(&self.names);
        named.into_iter().any(|name| fits(&name.to_lowercase(), &pattern.to_lowercase()))
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    let short = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    short.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok().map(|address| address.to_string())
}

fn fits(text: &str, pattern: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return text == pattern };
    let Some(mut left) = text.strip_prefix(first) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        // The first place is as good as any later one.
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (text, pattern, expected) in [
            ("ct-1", "ct-1", true),
            ("ct-1", "ct-*", true),
            ("ct-1", "*", true),
            ("ct-1", "*-1", true),
            ("ct-1.a.example", "ct-*.example", true),
            ("ct-1.a.example", "*.a.*", true),
            ("ct-1", "ct", false),
            ("ct-1", "*-2", false),
            ("aba", "ab*ba", false),
            ("ct-1.b.example", "*.a.*", false),
        ] {
            assert_eq!(fits(text, pattern), expected, "{text} {pattern}");
        }
    }
}

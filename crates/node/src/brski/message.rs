//! The JSON of vouchers, of requests for them, and of what is told afterwards (RFC 8366 section 5, RFC 8995 sections 3, 5.7
//! to 5.9).

use super::Refused;
use crate::asn1::{element, sequence};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use medlock_trust::Time;
use medlock_trust::der::{Reader, tag};
use medlock_trust::voucher::{Assertion, MAX_NONCE, MAX_SERIAL, MIN_NONCE, Pinned, Voucher, date_and_time};
use serde::{Deserialize, Serialize};

/// A voucher's members, and those of a request for one.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default)]
struct Members {
    created_on: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_on: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assertion: Option<String>,
    serial_number: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    idevid_issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pinned_domain_cert: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain_cert_revocation_checks: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_renewal_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prior_signed_voucher_request: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proximity_registrar_cert: Option<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(rename = "ietf-voucher:voucher", skip_serializing_if = "Option::is_none")]
    voucher: Option<Members>,
    #[serde(rename = "ietf-voucher-request:voucher", skip_serializing_if = "Option::is_none")]
    request: Option<Members>,
}

impl Document {
    fn read(json: &[u8]) -> Result<Self, Refused> {
        serde_json::from_slice(json).map_err(|error| Refused::Form(error.to_string()))
    }

    fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers, which JSON has")
    }
}

impl Members {
    fn common(&self) -> Result<Common, Refused> {
        let created = required(self.created_on.as_deref(), "created-on")?;
        let nonce = self.nonce.as_deref().map(decoded).transpose()?;
        if nonce.as_ref().is_some_and(|nonce| !(MIN_NONCE..=MAX_NONCE).contains(&nonce.len())) {
            return Err(Refused::form("its nonce has not 8 to 32 bytes"));
        }
        if self.serial_number.is_empty() || self.serial_number.len() > MAX_SERIAL {
            return Err(Refused::form("it names no serial number of at most 64 bytes"));
        }
        let issuer = self.idevid_issuer.as_deref().map(decoded).transpose()?;
        Ok(Common { created_on: date(created)?, nonce, idevid_issuer: issuer.map(key_identifier) })
    }
}

/// What a voucher and a request have in common.
struct Common {
    created_on: Time,
    nonce: Option<Vec<u8>>,
    idevid_issuer: Option<Vec<u8>>,
}

/// A voucher that was read from JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoucherData {
    /// How the maker knows that the device belongs to the domain.
    pub assertion: Assertion,
    /// When it was made.
    pub created_on: Time,
    /// Until when it is good, if it has no nonce.
    pub expires_on: Option<Time>,
    /// What the device asked with.
    pub nonce: Option<Vec<u8>>,
    /// The device's serial.
    pub serial_number: String,
    /// The authority key identifier of its birth credential.
    pub idevid_issuer: Option<Vec<u8>>,
    /// The certificate of the owner's authority, DER.
    pub pinned: Vec<u8>,
}

impl VoucherData {
    /// Reads a voucher.
    ///
    /// # Errors
    /// [`Refused::Form`].
    pub fn read(json: &[u8]) -> Result<Self, Refused> {
        let members = Document::read(json)?.voucher.ok_or_else(|| Refused::form("it is no voucher"))?;
        let Common { created_on, nonce, idevid_issuer } = members.common()?;
        let expires_on = members.expires_on.as_deref().map(date).transpose()?;
        if expires_on.is_none() && nonce.is_none() {
            return Err(Refused::form("it has neither a nonce nor an end"));
        }
        let known = [Assertion::Verified, Assertion::Logged, Assertion::Proximity];
        let assertion = known.into_iter().find(|known| Some(known.name()) == members.assertion.as_deref());
        Ok(Self {
            assertion: assertion.ok_or_else(|| Refused::form("its assertion is unknown"))?,
            created_on,
            expires_on,
            nonce,
            serial_number: members.serial_number,
            idevid_issuer,
            pinned: decoded(required(members.pinned_domain_cert.as_deref(), "pinned-domain-cert")?)?,
        })
    }

    /// As the trust core judges it.
    #[must_use]
    pub fn voucher(&self) -> Voucher<'_> {
        Voucher {
            assertion: self.assertion,
            created_on: self.created_on,
            expires_on: self.expires_on,
            nonce: self.nonce.as_deref(),
            serial_number: &self.serial_number,
            idevid_issuer: self.idevid_issuer.as_deref(),
            pinned: Pinned::Certificate(&self.pinned),
            last_renewal_date: None,
        }
    }
}

/// A voucher in JSON, which pins this certificate.
#[must_use]
pub fn write_voucher(voucher: &Voucher<'_>, pinned: &[u8]) -> Vec<u8> {
    let members = Members {
        created_on: Some(voucher.created_on.to_string()),
        expires_on: voucher.expires_on.map(|time| time.to_string()),
        assertion: Some(voucher.assertion.name().to_owned()),
        serial_number: voucher.serial_number.to_owned(),
        idevid_issuer: voucher.idevid_issuer.map(issuer_text),
        pinned_domain_cert: Some(STANDARD.encode(pinned)),
        nonce: voucher.nonce.map(|nonce| STANDARD.encode(nonce)),
        last_renewal_date: voucher.last_renewal_date.map(|time| time.to_string()),
        ..Members::default()
    };
    Document { voucher: Some(members), request: None }.write()
}

/// A request for a voucher (RFC 8995 section 3): a pledge's, or a registrar's that passes one on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoucherRequest {
    /// When it was made.
    pub created_on: Time,
    /// What the voucher is to answer.
    pub nonce: Option<Vec<u8>>,
    /// The device's serial.
    pub serial_number: String,
    /// The authority key identifier of its birth credential.
    pub idevid_issuer: Option<Vec<u8>>,
    /// A pledge's: the certificate that the registrar showed in TLS, DER.
    pub proximity: Option<Vec<u8>>,
    /// A registrar's: the pledge's request, signed.
    pub prior: Option<Vec<u8>>,
}

impl VoucherRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// [`Refused::Form`].
    pub fn read(json: &[u8]) -> Result<Self, Refused> {
        let members = Document::read(json)?.request.ok_or_else(|| Refused::form("it is no request for a voucher"))?;
        let Common { created_on, nonce, idevid_issuer } = members.common()?;
        Ok(Self {
            created_on,
            nonce,
            idevid_issuer,
            proximity: members.proximity_registrar_cert.as_deref().map(decoded).transpose()?,
            prior: members.prior_signed_voucher_request.as_deref().map(decoded).transpose()?,
            serial_number: members.serial_number,
        })
    }

    /// Writes it.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let base64 = |bytes: &Vec<u8>| STANDARD.encode(bytes);
        let members = Members {
            created_on: Some(self.created_on.to_string()),
            assertion: self.proximity.as_ref().map(|_| Assertion::Proximity.name().to_owned()),
            serial_number: self.serial_number.clone(),
            idevid_issuer: self.idevid_issuer.as_deref().map(issuer_text),
            nonce: self.nonce.as_ref().map(base64),
            prior_signed_voucher_request: self.prior.as_ref().map(base64),
            proximity_registrar_cert: self.proximity.as_ref().map(base64),
            ..Members::default()
        };
        Document { voucher: None, request: Some(members) }.write()
    }
}

/// What a pledge tells of a voucher or of its enrolment (RFC 8995 sections 5.7 and 5.9.4).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Telemetry {
    /// 1.
    pub version: u32,
    /// Whether it went well.
    pub status: bool,
    /// If not: why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl Telemetry {
    /// That it went well, or why not.
    #[must_use]
    pub fn new(failure: Option<String>) -> Self {
        Self { version: 1, status: failure.is_none(), reason: failure.unwrap_or_default() }
    }

    /// As it is sent.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers, which JSON has")
    }
}

fn required<'a>(value: Option<&'a str>, name: &str) -> Result<&'a str, Refused> {
    value.ok_or_else(|| Refused::Form(format!("{name} is missing")))
}

fn decoded(text: &str) -> Result<Vec<u8>, Refused> {
    STANDARD.decode(text).map_err(|_| Refused::form("a member is not base64"))
}

fn date(text: &str) -> Result<Time, Refused> {
    date_and_time(text).ok_or_else(|| Refused::Form(format!("{text:?} is no date and time in UTC")))
}

/// RFC 8366 writes `idevid-issuer` as the extension's OCTET STRING holds it.
fn issuer_text(issuer: &[u8]) -> String {
    STANDARD.encode(sequence(&[&element(tag::context(0), &[issuer])]))
}

/// The key identifier in an `AuthorityKeyIdentifier`; some write it bare.
fn key_identifier(bytes: Vec<u8>) -> Vec<u8> {
    let inner = |bytes: &[u8]| {
        let mut reader = Reader::new(bytes);
        let found = reader.nested(tag::SEQUENCE).ok()?.expect(tag::context(0)).ok()?.to_vec();
        reader.finish().ok().map(|()| found)
    };
    inner(&bytes).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request() -> VoucherRequest {
        VoucherRequest {
            created_on: Time::from_unix(1_800_000_000),
            nonce: Some(vec![7; 16]),
            serial_number: "P-1".into(),
            idevid_issuer: Some(vec![9; 20]),
            proximity: Some(vec![0x30, 0]),
            prior: None,
        }
    }

    #[test]
    fn requests_and_vouchers_are_read_as_they_are_written() {
        let request = request();
        assert_eq!(VoucherRequest::read(&request.write()), Ok(request.clone()));
        let data = VoucherData {
            assertion: Assertion::Verified,
            created_on: request.created_on,
            expires_on: None,
            nonce: request.nonce.clone(),
            serial_number: "P-1".into(),
            idevid_issuer: request.idevid_issuer.clone(),
            pinned: vec![0x30, 0],
        };
        let json = write_voucher(&data.voucher(), &data.pinned);
        assert_eq!(VoucherData::read(&json), Ok(data));
        // One is not taken for the other.
        assert!(VoucherRequest::read(&json).is_err() && VoucherData::read(&request.write()).is_err());
    }

    #[test]
    fn what_is_missing_or_out_of_bounds_is_refused() {
        let good = String::from_utf8(request().write()).unwrap();
        let nonce = STANDARD.encode([7; 16]);
        for (from, to) in [
            ("\"serial-number\":\"P-1\"", "\"serial-number\":\"\""),
            (nonce.as_str(), "BwcH"),
            (nonce.as_str(), "*"),
            ("created-on", "created-in"),
            ("Z\"", "\""),
        ] {
            assert!(good.contains(from), "{from}");
            assert!(VoucherRequest::read(good.replacen(from, to, 1).as_bytes()).is_err(), "{from}");
        }
        let endless = br#"{"ietf-voucher:voucher":{"created-on":"2027-01-01T00:00:00Z","assertion":"verified","serial-number":"a","pinned-domain-cert":"MAA="}}"#;
        assert!(matches!(VoucherData::read(endless), Err(Refused::Form(why)) if why.contains("neither")));
    }

    proptest! {
        #[test]
        fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = VoucherRequest::read(&bytes);
            let _ = crate::brski::cms::SignedJson::read(&bytes);
            let _ = crate::brski::AuditLog::read(&bytes);
        }
    }
}

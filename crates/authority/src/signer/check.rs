//! What each key may sign: the signer parses what it is given and refuses everything else.
//!
//! The kinds cannot be mistaken for one another: a `TBSCertificate` begins with `[0]`, a C509 certificate is CBOR and
//! begins with the integer 2, a `TBSCertList` has a time as its
//! fourth element, a `ResponseData` has none of these, a `Sig_structure` is CBOR and names its content type, and a
//! checkpoint is three lines of text.

use super::{KeyLabel, KeyRole, Kind};
use crate::encode;
use crate::root_crl::RootCrl;
use medlock_node::brski::cms;
use medlock_node::log::{Checkpoint, note};
use medlock_node::provider::SigningAlgorithm;
use medlock_trust::cbor;
use medlock_trust::cose::ContentType;
use medlock_trust::der::{self, Reader, tag};
use medlock_trust::voucher;
use medlock_trust::x509::{Certificate, SignedForm};

/// Why the signer does not sign.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The bytes are not what they are called.
    #[error("the bytes to be signed are not a {kind}: {why}")]
    NotThatKind {
        /// What they were called.
        kind: Kind,
        /// What is wrong.
        why: String,
    },
    /// This key does not sign such a thing.
    #[error("the {key} key does not sign {what}")]
    NotThatKey {
        /// Which key.
        key: KeyLabel,
        /// What it was asked to sign.
        what: String,
    },
}

/// Checks that `message` is of this kind, and that the key may sign it.
///
/// # Errors
/// [`Refused`].
pub fn check(key: KeyLabel, kind: Kind, message: &[u8]) -> Result<(), Refused> {
    let malformed = |why: String| Refused::NotThatKind { kind, why };
    if (key.role() == KeyRole::Log) != (kind == Kind::Checkpoint) {
        return Err(Refused::NotThatKey { key, what: format!("a {kind}") });
    }
    let vouches = matches!(kind, Kind::Voucher | Kind::VoucherAttributes);
    if (key.role() == KeyRole::Voucher) != vouches {
        return Err(Refused::NotThatKey { key, what: format!("a {kind}") });
    }
    match kind {
        // The view reads whole certificates; a signature of nothing stands where the real one will be.
        Kind::Certificate => certificate(key, kind, &encode::signed(message, &[0; 8])),
        Kind::C509 => certificate(key, kind, &encode::signed_c509(message, &[0; 64]).map_err(malformed)?),
        Kind::Crl => {
            revocation_list(message).map_err(|error| malformed(error.to_string()))?;
            match key.role() {
                // Of authorities, and nothing that a list of devices' certificates has.
                KeyRole::Root => RootCrl::read(message)
                    .map(drop)
                    .map_err(|why| Refused::NotThatKey { key, what: format!("this {kind}: {why}") }),
                KeyRole::Issuing | KeyRole::Log | KeyRole::Voucher => issuing_only(key, kind.name()),
            }
        }
        Kind::Ocsp => {
            response_data(message).map_err(|error| malformed(error.to_string()))?;
            issuing_only(key, kind.name())
        }
        Kind::Cose => object(key, message),
        Kind::Checkpoint => checkpoint(message).map_err(malformed),
        Kind::Voucher => voucher::read_to_be_signed(message).map(drop).map_err(|error| malformed(error.to_string())),
        Kind::VoucherAttributes => cms::check_attributes(message).map_err(malformed),
    }
}

/// Checks that keys of this role may be of this algorithm: checkpoints are signed with Ed25519 (C2SP signed-note).
pub(super) fn algorithm(key: KeyLabel, algorithm: SigningAlgorithm) -> Result<(), Refused> {
    if key.role() == KeyRole::Log && algorithm != SigningAlgorithm::Ed25519 {
        return Err(Refused::NotThatKey { key, what: format!("with {algorithm}: it is an Ed25519 key") });
    }
    Ok(())
}

fn issuing_only(key: KeyLabel, what: &str) -> Result<(), Refused> {
    match key.role() {
        KeyRole::Issuing => Ok(()),
        KeyRole::Root | KeyRole::Log | KeyRole::Voucher => Err(Refused::NotThatKey { key, what: format!("a {what}") }),
    }
}

/// The text of a checkpoint, with nothing behind its three lines and an origin that may name a key.
fn checkpoint(message: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(message).map_err(|error| error.to_string())?;
    let read = Checkpoint::read(text).map_err(|error| error.to_string())?;
    if read.to_string() != text {
        return Err("it has lines behind its root".to_owned());
    }
    if note::is_name(&read.origin) { Ok(()) } else { Err("its origin is no name".to_owned()) }
}

/// A certificate: of an authority for the root key, of a device for the issuing key.
fn certificate(key: KeyLabel, kind: Kind, whole: &[u8]) -> Result<(), Refused> {
    let read = if kind == Kind::C509 { Certificate::from_c509 } else { Certificate::from_der };
    let view = read(whole).map_err(|error| Refused::NotThatKind { kind, why: error.to_string() })?;
    let authority = view.extensions().basic_constraints().is_some_and(|constraints| constraints.ca);
    let signs = view.extensions().key_usage().is_some_and(|usage| usage.key_cert_sign() || usage.crl_sign());
    if view.form() == SignedForm::Reencoded {
        let why = "a re-encoded certificate is signed as DER".to_owned();
        return Err(Refused::NotThatKind { kind, why });
    }
    match key.role() {
        KeyRole::Root if authority => Ok(()),
        KeyRole::Log | KeyRole::Voucher => Err(Refused::NotThatKey { key, what: format!("a {kind}") }),
        KeyRole::Root => Err(Refused::NotThatKey { key, what: "a certificate of a device".to_owned() }),
        KeyRole::Issuing if authority || signs => {
            Err(Refused::NotThatKey { key, what: "a certificate of an authority".to_owned() })
        }
        KeyRole::Issuing => Ok(()),
    }
}

/// A `TBSCertList` (RFC 5280 section 5.1), its outer form.
fn revocation_list(tbs: &[u8]) -> Result<(), der::Error> {
    let mut outer = Reader::new(tbs);
    let mut list = outer.nested(tag::SEQUENCE)?;
    outer.finish()?;
    list.unsigned()?;
    list.expect(tag::SEQUENCE)?;
    list.expect(tag::SEQUENCE)?;
    list.time()?;
    list.time()?;
    list.optional(tag::SEQUENCE)?;
    list.optional(tag::context_constructed(0))?;
    list.finish()
}

/// A `ResponseData` (RFC 6960 section 4.2.1), its outer form.
fn response_data(data: &[u8]) -> Result<(), der::Error> {
    let mut outer = Reader::new(data);
    let mut response = outer.nested(tag::SEQUENCE)?;
    outer.finish()?;
    // The responder is named by its key ([2]) here, never by its name.
    response.nested(tag::context_constructed(2))?.expect(tag::OCTET_STRING)?;
    response.expect(tag::GENERALIZED_TIME)?;
    response.expect(tag::SEQUENCE)?;
    response.optional(tag::context_constructed(1))?;
    response.finish()
}

/// A `Sig_structure` (RFC 9052 section 4.4) of one of Medlock's objects: lists for the root key, the rest for the
/// issuing key.
fn object(key: KeyLabel, structure: &[u8]) -> Result<(), Refused> {
    let kind = Kind::Cose;
    let content = content_type(structure).map_err(|error| Refused::NotThatKind { kind, why: error.to_string() })?;
    let allowed: &[ContentType] = match key.role() {
        KeyRole::Voucher | KeyRole::Log => &[],
        KeyRole::Root => &[ContentType::LIST, ContentType::TRANSFER],
        KeyRole::Issuing => &[
            ContentType::STATUS,
            ContentType::REVOKED_SET,
            ContentType::TICKET,
            ContentType::POLICY,
            ContentType::ROUTES,
            ContentType::BOND,
            ContentType::ROOT_REQUEST,
        ],
    };
    if allowed.iter().any(|allowed| allowed.as_str().as_bytes() == content) {
        return Ok(());
    }
    Err(Refused::NotThatKey { key, what: format!("an object of type {:?}", String::from_utf8_lossy(&content)) })
}

/// The content type in the body's protected header, or, where that has none, in the external data.
fn content_type(structure: &[u8]) -> Result<Vec<u8>, cbor::Error> {
    let mut reader = cbor::Reader::new(structure);
    let wrong = reader.error(cbor::ErrorKind::OutOfRange);
    let members = reader.array(5)?;
    let context = reader.text(10)?;
    let body = reader.bytes()?;
    let external = match (context, members) {
        ("Signature1", 4) => reader.bytes()?,
        ("Signature", 5) => {
            reader.bytes()?;
            reader.bytes()?
        }
        _ => return Err(wrong),
    };
    reader.bytes()?;
    reader.finish()?;
    let mut header = cbor::Reader::new(body);
    let mut found = None;
    for _ in 0..header.map(3)? {
        match header.uint()? {
            3 => found = Some(header.text(64)?),
            _ => {
                header.skip()?;
            }
        }
    }
    header.finish()?;
    Ok(found.map_or_else(|| external.to_vec(), |text| text.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::{SEQUENCE, context, sequence, tlv, unsigned};
    use medlock_trust::Time;

    fn list() -> Vec<u8> {
        let time = encode::time(Time::from_unix(1_800_000_000));
        sequence(&[
            &unsigned(&[1]),
            &encode::signature_algorithm(SigningAlgorithm::P256),
            &tlv(SEQUENCE, &[]),
            &time,
            &time,
        ])
    }

    fn response() -> Vec<u8> {
        let by = context(2, &[&tlv(encode::OCTET_STRING, &[0; 20])]);
        sequence(&[&by, &tlv(tag::GENERALIZED_TIME, b"20300101000000Z"), &tlv(SEQUENCE, &[])])
    }

    fn structure(content: &str) -> Vec<u8> {
        let mut message = Vec::new();
        let mut signed = Vec::new();
        let place = medlock_trust::cose::Place::Header(match content {
            "list" => ContentType::LIST,
            "bond" => ContentType::BOND,
            _ => ContentType::STATUS,
        });
        let algorithm = medlock_trust::cose::Algorithm::Es256;
        medlock_trust::cose::sign1(b"x", place, algorithm, &[0; 16], crate::bytes::Sink(&mut signed), |parts| {
            message = parts.concat();
            Ok::<_, ()>([0_u8; 64])
        })
        .unwrap_or_default();
        message
    }

    /// Shows REQ-AUTH-08.
    #[test]
    fn a_key_signs_its_own_kinds_only() {
        let root = KeyLabel::new(KeyRole::Root, 2).unwrap();
        let issuing = KeyLabel::new(KeyRole::Issuing, 3).unwrap();
        assert_eq!(check(issuing, Kind::Crl, &list()), Ok(()));
        assert_eq!(check(issuing, Kind::Ocsp, &response()), Ok(()));
        assert_eq!(check(issuing, Kind::Cose, &structure("status")), Ok(()));
        assert_eq!(check(issuing, Kind::Cose, &structure("bond")), Ok(()));
        assert_eq!(check(root, Kind::Cose, &structure("list")), Ok(()));
        assert!(matches!(check(root, Kind::Crl, &list()), Err(Refused::NotThatKey { .. })));
        assert!(matches!(check(root, Kind::Ocsp, &response()), Err(Refused::NotThatKey { .. })));
        assert!(matches!(check(root, Kind::Cose, &structure("status")), Err(Refused::NotThatKey { .. })));
        assert!(matches!(check(root, Kind::Cose, &structure("bond")), Err(Refused::NotThatKey { .. })));
        assert!(matches!(check(issuing, Kind::Cose, &structure("list")), Err(Refused::NotThatKey { .. })));
    }

    /// Shows REQ-PROV-06.
    #[test]
    fn a_voucher_key_signs_vouchers_and_nothing_else_and_nobody_else_does() {
        use medlock_trust::voucher::{Assertion, Pinned, Voucher};
        let ordered = Voucher {
            assertion: Assertion::Verified,
            created_on: Time::from_unix(1_800_000_000),
            expires_on: None,
            nonce: Some(&[1; 16]),
            serial_number: "P-1",
            idevid_issuer: None,
            pinned: Pinned::Hash(&[2; 32]),
            last_renewal_date: None,
        };
        let (mut data, mut cose) = (Vec::new(), Vec::new());
        let Ok(()) = ordered.encode(crate::bytes::Sink(&mut data));
        let mut out = Vec::new();
        let signed = voucher::sign(&data, &[], crate::bytes::Sink(&mut out), |parts| {
            cose = parts.concat();
            Ok::<_, std::convert::Infallible>([0; 64])
        });
        assert_eq!(signed, Ok(()));
        let json = cms::attributes(b"{}", ordered.created_on);
        for (kind, bytes) in [(Kind::Voucher, &cose), (Kind::VoucherAttributes, &json)] {
            for called in Kind::ALL {
                assert_eq!(check(KeyLabel::VOUCHER, called, bytes).is_ok(), called == kind, "{kind} called {called}");
            }
            for other in [KeyLabel::ROOT, KeyLabel::ISSUING, KeyLabel::LOG] {
                assert!(check(other, kind, bytes).is_err(), "{other}");
            }
        }
        for (kind, bytes) in [(Kind::Crl, list()), (Kind::Ocsp, response()), (Kind::Cose, structure("status"))] {
            assert!(check(KeyLabel::VOUCHER, kind, &bytes).is_err(), "{kind}");
        }
        // The bytes of a voucher with something behind them.
        assert!(check(KeyLabel::VOUCHER, Kind::Voucher, &[&cose[..], &[0]].concat()).is_err());
    }

    /// Shows REQ-AUTH-08.
    #[test]
    fn bytes_of_one_kind_do_not_pass_for_another() {
        let samples = [(Kind::Crl, list()), (Kind::Ocsp, response()), (Kind::Cose, structure("status"))];
        for (is, bytes) in &samples {
            for called in Kind::ALL {
                assert_eq!(check(KeyLabel::ISSUING, called, bytes).is_ok(), called == *is, "{is} called {called}");
            }
        }
    }

    const CHECKPOINT: &str = "hub.example/log\n42\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";

    /// Shows REQ-KEYS-02.
    #[test]
    fn the_log_signs_checkpoints_and_nothing_else_and_nobody_else_does() {
        assert_eq!(check(KeyLabel::LOG, Kind::Checkpoint, CHECKPOINT.as_bytes()), Ok(()));
        for key in [KeyLabel::ROOT, KeyLabel::ISSUING] {
            assert!(matches!(check(key, Kind::Checkpoint, CHECKPOINT.as_bytes()), Err(Refused::NotThatKey { .. })));
        }
        let samples = [(Kind::Crl, list()), (Kind::Ocsp, response()), (Kind::Cose, structure("status"))];
        for (kind, bytes) in &samples {
            assert!(matches!(check(KeyLabel::LOG, *kind, bytes), Err(Refused::NotThatKey { .. })), "{kind}");
            assert!(
                matches!(check(KeyLabel::LOG, Kind::Checkpoint, bytes), Err(Refused::NotThatKind { .. })),
                "{kind}"
            );
        }
        let more = format!("{CHECKPOINT}another line\n");
        let spaced = CHECKPOINT.replace("hub.", "hub ");
        for wrong in ["", "hub.example/log\n42\n", CHECKPOINT.trim_end(), &more, &spaced] {
            let refused = check(KeyLabel::LOG, Kind::Checkpoint, wrong.as_bytes());
            assert!(matches!(refused, Err(Refused::NotThatKind { .. })), "{wrong:?}");
        }
    }

    #[test]
    fn a_key_of_the_log_is_ed25519() {
        for with in SigningAlgorithm::ALL {
            assert_eq!(algorithm(KeyLabel::LOG, with).is_ok(), with == SigningAlgorithm::Ed25519);
            assert_eq!(algorithm(KeyLabel::ROOT, with), Ok(()));
        }
    }
}

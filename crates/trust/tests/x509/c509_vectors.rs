//! Certificates and requests in both forms, as the standards' documents print them.

use crate::provider::Provider;
use medlock_trust::{
    c509::{self, Points},
    x509::{Certificate, Field, Problem, Request, SignedForm},
};

const VECTORS: &str = include_str!("../c509/vectors.txt");

struct Vector {
    is_request: bool,
    name: &'static str,
    points: &'static str,
    der: Option<Vec<u8>>,
    c509: Vec<u8>,
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.bytes().filter(|c| !c.is_ascii_whitespace()).map(|c| char::from(c).to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

pub(crate) fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut out) = (0_u32, 0, Vec::new());
    for c in text.bytes().filter(|c| !c.is_ascii_whitespace() && *c != b'=') {
        bits = bits << 6 | ALPHABET.iter().position(|known| *known == c).expect("base64") as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}

fn vectors() -> Vec<Vector> {
    let body: String =
        VECTORS.lines().filter(|line| !line.starts_with('#')).flat_map(|line| [line, "\n"]).collect::<String>();
    let body: &'static str = Box::leak(body.into_boxed_str());
    let mut all: Vec<Vector> = Vec::new();
    for part in body.split("== ").skip(1) {
        let (head, rest) = part.split_once('\n').unwrap();
        let [kind, name, points] = head.split(' ').collect::<Vec<_>>()[..] else { panic!("{head}") };
        let (der, c509) = rest.split_once("c509\n").unwrap();
        let der = match (der.trim().strip_prefix("der of "), der.trim().strip_prefix("der\n")) {
            (Some(other), _) => all.iter().find(|vector| vector.name == other).unwrap().der.clone(),
            (None, Some(der)) if der.bytes().all(|c| c.is_ascii_hexdigit() || c.is_ascii_whitespace()) => {
                Some(hex(der))
            }
            (None, Some(der)) => Some(base64(der)),
            (None, None) => None,
        };
        all.push(Vector { is_request: kind == "request", name, points, der, c509: hex(c509) });
    }
    all
}

fn vector(name: &str) -> Vector {
    vectors().into_iter().find(|vector| vector.name == name).unwrap()
}

fn convert(der: &[u8], is_request: bool, points: Points) -> Result<Vec<u8>, c509::Error> {
    let mut out = vec![0; 4096];
    let written = if is_request {
        c509::request_from_der(der, points, &mut out, &Provider)?
    } else {
        c509::from_der(der, points, &mut out, &Provider)?
    };
    Ok(written.to_vec())
}

fn back(c509: &[u8], is_request: bool) -> Result<Vec<u8>, c509::Error> {
    let mut out = vec![0; 4096];
    let written = if is_request {
        c509::request_to_der(c509, &mut out, &Provider)?
    } else {
        c509::to_der(c509, &mut out, &Provider)?
    };
    Ok(written.to_vec())
}

/// Shows REQ-C509-01.
#[test]
fn the_standards_vectors_convert_both_ways_bit_for_bit() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 35);
    for Vector { is_request, name, points, der, c509 } in vectors {
        let points = match points {
            "compressed" => Points::Compressed,
            "as-they-are" => Points::AsTheyAre,
            // RFC 5280 section 4.2.1.10 has name constraints critical; in these they are not. Section 4.1.2.6 has a critical
            // alternative name where the subject is empty; in the other there is none.
            "refused" | "nameless" => {
                let expected = match points {
                    "refused" => (Field::NameConstraints, Problem::Criticality),
                    _ => (Field::Subject, Problem::EmptyName),
                };
                let Err(c509::Error::Read(error)) = convert(&der.unwrap(), is_request, Points::AsTheyAre) else {
                    panic!("{name}")
                };
                assert_eq!((error.field, error.problem), expected, "{name}");
                let error = Certificate::read(&c509).unwrap_err();
                assert_eq!((error.field, error.problem), expected, "{name}");
                continue;
            }
            // Sections "Encoding of Extensions" and "C509 CR Attributes Registry": extensions 24 and 32 to 35, and the
            // statement that one possesses a key, are written as DER here, and so they come back.
            "in-der" => {
                let ours = convert(der.as_ref().unwrap(), is_request, Points::AsTheyAre).unwrap();
                assert_eq!((back(&ours, is_request), ours.len() > c509.len()), (Ok(der.unwrap()), true), "{name}");
                let error =
                    if is_request { Request::read(&c509).err() } else { Certificate::read(&c509).err() }.unwrap();
                assert_eq!(error.problem, Problem::Unregistered, "{name}: {error}");
                continue;
            }
            // Section "Certification Request": proofs by Diffie-Hellman are not used here.
            "unread" => {
                assert!(Request::read(&c509).is_err() && back(&c509, is_request).is_err(), "{name}");
                assert!(convert(&der.unwrap(), is_request, Points::AsTheyAre).is_err(), "{name}");
                continue;
            }
            "native" => continue,
            other => panic!("{name}: {other}"),
        };
        let der = der.unwrap();
        assert_eq!(convert(&der, is_request, points), Ok(c509.clone()), "{name}");
        assert_eq!(back(&c509, is_request), Ok(der), "{name}");
    }
}

/// Shows REQ-C509-02: 140 and 275 bytes, as the standard counts them without the array's head, and 164 with it.
#[test]
fn the_standards_examples_have_the_standards_sizes() {
    let size = |name: &str| vector(name).c509.len();
    assert_eq!(size("rfc7925-profile"), 140 + 1);
    assert_eq!(size("rfc7925-profile-native"), 140 + 1);
    assert_eq!(size("ieee-802.1ar"), 275 + 1);
    assert_eq!(size("ecdsa-p256"), 164);
}

#[test]
fn compressed_points_are_32_bytes_less_and_come_back() {
    for Vector { is_request, name, points, der, c509 } in vectors() {
        let Some(der) = der.filter(|_| points == "as-they-are" && name.ends_with("p256") | name.ends_with("p256r1"))
        else {
            continue;
        };
        let short = convert(&der, is_request, Points::Compressed).unwrap();
        assert_eq!(short.len() + 32, c509.len(), "{name}");
        assert_eq!(back(&short, is_request), Ok(der), "{name}");
    }
}

/// The issuer's key of the standard's example (section "Additional Keys for the Example Certificates").
const EXAMPLE_ISSUER: &str = "02AE4CDB01F614DEFC7121285FDC7F5C6D1D42C95647F061BA0080DF678867845E";

/// Shows REQ-C509-03: the signature of a re-encoded certificate is over DER that is rebuilt, that of a native one over
/// its own bytes.
#[test]
fn signatures_of_both_types_are_verified_with_the_issuers_key() {
    use medlock_trust::crypto::{KeyAlgorithm, PublicKey, VerifyError};
    let key = hex(EXAMPLE_ISSUER);
    let key = PublicKey { algorithm: KeyAlgorithm::P256, bits: &key };
    for (name, form) in [("rfc7925-profile", SignedForm::Reencoded), ("rfc7925-profile-native", SignedForm::Native)] {
        let vector = vector(name);
        let certificate = Certificate::read(&vector.c509).unwrap();
        assert_eq!(certificate.form(), form);
        assert_eq!(certificate.verify_with(key, &Provider), Ok(()), "{name}");
        let mut altered = vector.c509.clone();
        altered[20] ^= 1;
        let altered = Certificate::read(&altered).unwrap();
        assert_eq!(altered.verify_with(key, &Provider), Err(VerifyError::Invalid), "{name}");
    }
    for name in ["ecdsa-p256", "ecdsa-p256-native", "ecdsa-p384"] {
        let vector = vector(name);
        assert_eq!(Request::read(&vector.c509).unwrap().verify(&Provider), Ok(()), "{name}");
    }
}

/// Native certificates of draft-ietf-cose-c509-test-vectors-03: they are those of type 3 but for the type, a key
/// identifier, and the signature, which are given here. Whose key signed: its own, or the CA's.
const NATIVE: [(&str, [&str; 2], &str); 6] = [
    ("ca", ["7FCDB82D04952E1A36B90AF37A3CF166D15EF921", CA_KEY_ID], ""),
    (
        "selfsign-secp256r1",
        ["07E12C4CACE95C2285EC4A5B05A4A2BB0EC87A7A", "1F3BC19DE194830066C6EAE7CB9D211339EDD942"],
        "8A25E8AABBA4B19B8E0D1596A476C2C42F5068F5F3457606806E2F284A22E6E71EF91E63F35636A4D497E1FB4D3C393ADCDB09D92E02E0194D70\
         3ECD98EB2D79",
    ),
    (
        "selfsign-compress-secp256r1",
        ["07E12C4CACE95C2285EC4A5B05A4A2BB0EC87A7A", "26CD540B3E3D99A64AAB0B62ECA277B4359EAD04"],
        "8A25E8AABBA4B19B8E0D1596A476C2C42F5068F5F3457606806E2F284A22E6E7017CEE1E3B865C5EEA2A7946503C5BA1C39424F71ACDC6AFA5FB\
         55F7E397B83C",
    ),
    (
        "selfsign-secp384r1",
        NO_KEY_ID,
        "347EB5ED49E1F6536E2A3F3B5DF1C12D9BAEF440DFBC42BD45D31F4B3FDABDFA9D685A84582D98B1B2474210F1C785DA055BE26787AB4DD58FD3\
         30E3435AC84EBE49A4382FB964591C3EACC9A04F3814FC2964C1B4B201C013AE7CCB3727CDF7",
    ),
    (
        "ee-x25519",
        ["7FCDB82D04952E1A36B90AF37A3CF166D15EF921", CA_KEY_ID],
        "C85D9310C572C7BC037B217C06022234D9866069B1881D203EB3B6A0A4FAC8B4DF319465E9A2CDF6108F347C7983BA662313C35480434F890B7F\
         6D5819883505",
    ),
    (
        "ee-x448",
        ["7FCDB82D04952E1A36B90AF37A3CF166D15EF921", CA_KEY_ID],
        "9D81535FF622AE3C60E29391DBF16C22A411ED3F0FFBCF90E985F12D6F26160F8744DD7BC7DB893F2855EF433539F6E501A7843EDE246C0C9E97\
         615B7191120D",
    ),
];
const NO_KEY_ID: [&str; 2] = [""; 2];
const CA_KEY_ID: &str = "0369D71F96FE1258A746AC2B208E756E6D1D3ED9";

/// Shows REQ-C509-16.
#[test]
fn the_standards_native_certificates_are_read_and_their_signatures_are_right() {
    use medlock_trust::crypto::VerifyError;
    let ca = vector("ca").c509;
    for (name, [reencoded_id, native_id], signature) in NATIVE {
        let (mut bytes, signature) = (vector(name).c509, hex(signature));
        let start = bytes.len() - signature.len();
        bytes[1] = 2;
        bytes[start..].copy_from_slice(&signature);
        if let Some(at) = bytes.windows(20).position(|window| window == hex(reencoded_id)) {
            bytes[at..at + 20].copy_from_slice(&hex(native_id));
        }
        let certificate = match (name, Certificate::read(&bytes)) {
            // Section "subjectPublicKey": a native certificate has 02, 03 or 04 in front of a point; FD says that X.509 has
            // it in full.
            ("selfsign-compress-secp256r1", Err(error)) => {
                assert_eq!((error.field, error.problem), (Field::SubjectPublicKeyInfo, Problem::Value));
                continue;
            }
            ("ee-x25519", Err(error)) => {
                assert_eq!((error.field, error.problem), (Field::Subject, Problem::EmptyName));
                continue;
            }
            (_, certificate) => certificate.unwrap(),
        };
        assert_eq!(certificate.form(), SignedForm::Native, "{name}");
        let issuer = Certificate::read(if name.starts_with("ee-") { &ca } else { &bytes }).unwrap();
        assert!(certificate.issuer().matches(&issuer.subject()), "{name}");
        let Some(key) = issuer.public_key() else { panic!("{name}") };
        // "Unsigned" is no algorithm that anything is believed by.
        let expected = if name == "ca" { Err(VerifyError::Unsupported) } else { Ok(()) };
        assert_eq!(certificate.verify_with(key, &Provider), expected, "{name}");
        // One bit of the serial number.
        let mut altered = bytes.clone();
        altered[3] ^= 2;
        assert!(Certificate::read(&altered).unwrap().verify_with(key, &Provider).is_err(), "{name}");
    }
}

/// Templates of requests (same draft, section "Certification Request Templates") ask nothing: they are no requests.
#[test]
fn the_standards_templates_are_no_requests() {
    for template in ["8700F7F7F7F7F7F7", "87008102810084010101F78101F78303F4F7"] {
        let error = Request::read(&hex(template)).unwrap_err();
        assert_eq!((error.field, error.problem), (Field::Version, Problem::Version));
    }
}

/// Shows REQ-C509-04: the twin in the other form is the same credential with the same key.
#[test]
fn a_reencoded_certificate_is_the_same_credential_as_its_der() {
    for Vector { is_request, name, points, der, c509 } in vectors() {
        let Some(der) = der.filter(|_| !is_request && matches!(points, "as-they-are" | "compressed")) else { continue };
        let (der, c509) = (Certificate::read(&der).unwrap(), Certificate::read(&c509).unwrap());
        assert_eq!(der.credential_id(&Provider), c509.credential_id(&Provider), "{name}");
        assert_eq!(der.key_id(&Provider), c509.key_id(&Provider), "{name}");
        assert!(der.subject().matches(&c509.subject()) && c509.issuer().matches(&der.issuer()), "{name}");
        assert_eq!(der.subject().to_string(), c509.subject().to_string(), "{name}");
        assert_eq!((der.validity(), der.is_self_issued()), (c509.validity(), c509.is_self_issued()), "{name}");
    }
}

/// The working group's four pairs, where `MEDLOCK_VECTORS` has them. Each was made from another version of the draft;
/// what they differ in is checked byte by byte.
#[test]
fn the_working_groups_pairs_but_for_what_changed_since() {
    let folder = std::env::var_os("MEDLOCK_VECTORS")
        .map_or(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors").into(), std::path::PathBuf::from);
    let folder = folder.join("c509");
    if !folder.is_dir() {
        eprintln!("skipped: the working group's C509 pairs are not at {} (MEDLOCK_VECTORS)", folder.display());
        return;
    }
    for name in ["RFC7925", "IEEE_802.1AR", "CAB_ECDSA", "CAB_RSA"] {
        let der = std::fs::read(folder.join(format!("{name}.crt"))).unwrap();
        let theirs = hex(&std::fs::read_to_string(folder.join(format!("{name}.cbor.hex"))).unwrap());
        let ours = convert(&der, false, Points::Compressed).unwrap();
        assert_eq!(back(&ours, false).unwrap(), der, "{name}");
        let same = ours.iter().zip(&theirs).take_while(|(ours, theirs)| ours == theirs).count();
        let (ours_rest, theirs_rest) = (&ours[same..], &theirs[same..]);
        match name {
            // An EUI-64 was bytes with 01 in front; it is tag 48 now (section "issuer").
            "RFC7925" => {
                let rest = ours_rest.strip_prefix(b"\xd8\x30\x46").unwrap();
                assert_eq!(theirs_rest.strip_prefix(b"\x47\x01"), Some(rest));
            }
            "IEEE_802.1AR" => assert_eq!(ours, theirs),
            // CRL distribution points were texts in an array and are arrays of three, or one text alone; policies had
            // no empty array of qualifiers; signed certificate timestamps had the number 10, which the registry has
            // not (sections "Encoding of Extensions" and "C509 Extensions Registry"). The sizes are those of the
            // draft's examples.
            "CAB_ECDSA" => assert_eq!((ours.len(), ours_rest[0], theirs_rest[0]), (835 + 1, 0x83, 0x78)),
            _ => assert_eq!((ours_rest[0], theirs_rest[..2].to_vec()), (0x78, vec![0x81, 0x78])),
        }
        if name.starts_with("CAB") {
            assert_eq!(Certificate::read(&theirs).unwrap_err().problem, Problem::Unregistered, "{name}");
        }
    }
}

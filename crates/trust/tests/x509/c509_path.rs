//! C509 chains: issued natively, re-encoded, mixed with DER; and the device profile.

use crate::{
    maker::{anchor, authority_params, below, leaf, leaf_params, root},
    provider::Provider,
};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, ML_DSA_44_SIGNING, PqdsaKeyPair,
    },
};
use medlock_trust::{
    Anchor, Budget, DeviceType, KeyId, Role, Roles, Time, Unidentified, authenticate,
    c509::{self, NewExtension, Points, RequestTemplate, Subject, Template},
    crypto::{KeyAlgorithm, PublicKey, SignatureAlgorithm},
    path::{AuthorityKind, Error},
    x509::{Certificate, KeyUsage, Name, Request, SignedForm, ids},
};

struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn key(&self) -> PublicKey<'_> {
        PublicKey { algorithm: KeyAlgorithm::P256, bits: self.0.public_key().as_ref() }
    }

    fn sign(&self, message: &[u8]) -> Result<impl AsRef<[u8]> + use<>, &'static str> {
        self.0.sign(&SystemRandom::new(), message).map_err(|_| "no signature")
    }
}

fn day(year: u16) -> Time {
    Time::from_utc(year, 11, 21, 0, 0, 0).unwrap()
}

const DIGITAL_SIGNATURE: KeyUsage = KeyUsage::from_bits(1).unwrap();
const KEY_CERT_SIGN: KeyUsage = KeyUsage::from_bits(1 << 5 | 1 << 6).unwrap();

fn roles() -> Roles {
    Roles::of(&[Role::Actuator])
}

/// The device profile: the device's name as `serialNumber`, the role, and no key usage, since the one key of a device
/// signs and agrees.
fn device<'a>(
    issuer: Name<'a>,
    subject: Subject<'a>,
    key: PublicKey<'a>,
    extensions: &'a [NewExtension<'a>],
) -> Template<'a> {
    Template {
        serial_number: &[0x4d, 0x1f, 0x6e, 0x93, 0xa0, 0x27, 0x5c, 0x88],
        algorithm: SignatureAlgorithm::EcdsaSha256,
        issuer: Some(issuer),
        not_before: day(2026),
        not_after: day(2027),
        subject,
        key,
        extensions,
    }
}

fn site(name: &str) -> (Signer, Vec<u8>) {
    let signer = Signer::new();
    let mut out = [0; 512];
    let template = Template {
        serial_number: &[1],
        algorithm: SignatureAlgorithm::EcdsaSha256,
        issuer: None,
        not_before: day(2026),
        not_after: Time::NEVER,
        subject: Subject::Attributes(&[(ids::COMMON_NAME, name)]),
        key: signer.key(),
        extensions: &[NewExtension::KeyUsage(KEY_CERT_SIGN), NewExtension::Authority { path_length: Some(0) }],
    };
    let certificate = template.sign(&mut out, |tbs| signer.sign(tbs)).unwrap().to_vec();
    (signer, certificate)
}

fn native_anchor(certificate: &[u8]) -> Anchor<'_> {
    Anchor::for_everything(&Certificate::read(certificate).unwrap(), AuthorityKind::Site, &Provider).unwrap()
}

/// Shows REQ-C509-05: at most 180 bytes, no identifier cut.
#[test]
fn a_device_certificate_of_type_2_has_at_most_180_bytes() {
    let (signer, authority) = site("St. Anna");
    let authority = Certificate::read(&authority).unwrap();
    let key = Signer::new();
    let extensions = [NewExtension::Role(roles(), Some(DeviceType(300)))];
    let mut largest = 0;
    for name in ["G7-02117583", "0123456789abcdef0123", "00-1B-63-FF-FE-84-45-E6", "pump-6-07"] {
        let subject = [(ids::SERIAL_NUMBER, name)];
        let template = device(authority.subject(), Subject::Attributes(&subject), key.key(), &extensions);
        let mut out = [0; 256];
        let certificate = template.sign(&mut out, |tbs| signer.sign(tbs)).unwrap();
        println!("{name}: {} bytes", certificate.len());
        largest = largest.max(certificate.len());
        let identified =
            authenticate(&[certificate], &[native_anchor(authority.encoding())], &mut Budget::default(), &Provider)
                .unwrap();
        assert_eq!(identified.device_name().as_str(), name);
        assert_eq!((identified.roles(), identified.device_type()), (roles(), Some(DeviceType(300))));
        assert_eq!(identified.serial_number(), [0x4d, 0x1f, 0x6e, 0x93, 0xa0, 0x27, 0x5c, 0x88]);
        assert_eq!(identified.validity(), (day(2026), day(2027)));
    }
    assert!(largest <= 180, "{largest}");
}

/// Shows REQ-C509-06: one code path for DER, type 2 and type 3, also mixed in one chain; one key identifier.
#[test]
fn chains_of_der_and_both_types_mix() {
    let root = root(authority_params("Root", None));
    let issuing = below(&root, authority_params("Issuing", Some(0)));
    let mut params = leaf_params("pump-1", &["pump-1.example.org"]);
    params.serial_number = Some(rcgen::SerialNumber::from(vec![0x80, 1, 2]));
    let device = leaf(&issuing, &params);
    let reencoded = |der: &[u8]| {
        let mut out = vec![0; 2048];
        c509::from_der(der, Points::Compressed, &mut out, &Provider).unwrap().to_vec()
    };
    let (issuing_c509, device_c509) = (reencoded(&issuing.der), reencoded(&device));
    assert!(device_c509.len() * 2 < device.len() + 40, "{} of {}", device_c509.len(), device.len());
    let anchors = [anchor(&root.der)];
    let identify = |chain: &[&[u8]]| authenticate(chain, &anchors, &mut Budget::default(), &Provider);
    let expected = identify(&[&device, &issuing.der]).unwrap();
    for chain in [[&device_c509, &issuing.der], [&device, &issuing_c509], [&device_c509, &issuing_c509]] {
        assert_eq!(identify(&chain.map(Vec::as_slice)).unwrap(), expected);
    }
    let mut forged = device_c509;
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(identify(&[&forged, &issuing_c509]), Err(Unidentified::Path(Error::BadSignature { index: 0 })));
}

/// Shows REQ-C509-07: the issuer of a native certificate may be known by its DER name and in DER only.
#[test]
fn a_native_certificate_below_an_authority_in_der() {
    let signer = Signer::new();
    let (maker, authority) = site("St. Anna Hospital devices CA");
    let key = Signer::new();
    let authority = Certificate::read(&authority).unwrap();
    // The same name as a `PrintableString` in DER, in other letters.
    let der_name = {
        let value = crate::maker::der(0x13, b"st. anna  HOSPITAL devices CA");
        let attribute = crate::maker::der(0x30, &[&[6, 3, 0x55, 4, 3], &value[..]].concat());
        crate::maker::der(0x30, &crate::maker::der(0x31, &attribute))
    };
    let anchor = Anchor { subject: Name::from_der(&der_name).unwrap(), ..native_anchor(authority.encoding()) };
    let extensions = [NewExtension::KeyUsage(DIGITAL_SIGNATURE)];
    let subject = [(ids::SERIAL_NUMBER, "pump-1")];
    let mut out = [0; 256];
    let template = device(anchor.subject, Subject::Attributes(&subject), key.key(), &extensions);
    let certificate = template.sign(&mut out, |tbs| maker.sign(tbs)).unwrap().to_vec();
    assert!(authenticate(&[&certificate], &[anchor], &mut Budget::default(), &Provider).is_ok());
    assert!(Certificate::read(&certificate).unwrap().issuer().matches(&anchor.subject));
    assert_eq!(Certificate::read(&certificate).unwrap().key_id(&Provider), KeyId::of_key(key.key(), &Provider));
    // Another signer.
    let certificate = template.sign(&mut out, |tbs| signer.sign(tbs)).unwrap();
    assert_eq!(
        authenticate(&[certificate], &[anchor], &mut Budget::default(), &Provider),
        Err(Unidentified::Path(Error::BadSignature { index: 0 }))
    );
    // An anchor's own certificate is no peer.
    let own = native_anchor(authority.encoding());
    assert_eq!(
        authenticate(&[authority.encoding()], &[own], &mut Budget::default(), &Provider),
        Err(Unidentified::Path(Error::AnchorAsLeaf))
    );
}

/// Shows REQ-C509-08: a key has one identifier, whether its point is compressed, in DER or in C509.
#[test]
fn a_key_identifier_is_over_the_point_in_full() {
    let signer = Signer::new();
    let full = signer.key();
    let (x, y) = full.bits[1..].split_at(32);
    let short = [&[2 | (y[31] & 1)], x].concat();
    let short = PublicKey { algorithm: KeyAlgorithm::P256, bits: &short };
    assert!(full.is(&short) && short.is(&full));
    assert_eq!(KeyId::of_key(full, &Provider), KeyId::of_key(short, &Provider));
    const HEAD: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let spki = |bits: &[u8]| {
        let point = crate::maker::der(3, &[&[0], bits].concat());
        crate::maker::der(0x30, &[crate::maker::der(0x30, HEAD), point].concat())
    };
    let (in_full, compressed) = (spki(full.bits), spki(short.bits));
    let read = |der: &[u8]| medlock_trust::x509::SubjectPublicKeyInfo::from_der(der).unwrap().key_id(&Provider);
    assert_eq!(read(&in_full), KeyId::of(&[in_full.as_slice()], &Provider));
    assert_eq!(read(&compressed), read(&in_full));
    assert_eq!(KeyId::of_key(short, &Provider), read(&in_full));
}

/// Shows REQ-C509-09: Ed25519 and ML-DSA-44 certificates are issued, read and verified.
#[test]
fn other_algorithms_sign_and_are_certified() {
    let ed25519 = Ed25519KeyPair::generate().unwrap();
    let ml_dsa = PqdsaKeyPair::generate(&ML_DSA_44_SIGNING).unwrap();
    let ed25519_key = PublicKey { algorithm: KeyAlgorithm::Ed25519, bits: ed25519.public_key().as_ref() };
    let ml_dsa_key = PublicKey { algorithm: KeyAlgorithm::MlDsa44, bits: ml_dsa.public_key().as_ref() };
    let subject = [(ids::SERIAL_NUMBER, "monitor-1")];
    let by_ed25519 = |tbs: &[u8]| Ok::<_, ()>(ed25519.sign(tbs).as_ref().to_vec());
    let by_ml_dsa = |tbs: &[u8]| {
        let mut signature = vec![0; ML_DSA_44_SIGNING.signature_len()];
        ml_dsa.sign(tbs, &mut signature).map_err(|_| ())?;
        Ok::<_, ()>(signature)
    };
    type Sign<'s> = &'s dyn Fn(&[u8]) -> Result<Vec<u8>, ()>;
    let signers: [(SignatureAlgorithm, PublicKey<'_>, Sign<'_>); 2] = [
        (SignatureAlgorithm::Ed25519, ed25519_key, &by_ed25519),
        (SignatureAlgorithm::MlDsa44, ml_dsa_key, &by_ml_dsa),
    ];
    for (algorithm, key, sign) in signers {
        let template = Template {
            serial_number: &[7],
            algorithm,
            issuer: None,
            not_before: day(2026),
            not_after: Time::NEVER,
            subject: Subject::Attributes(&subject),
            key,
            extensions: &[NewExtension::KeyUsage(DIGITAL_SIGNATURE)],
        };
        let mut out = vec![0; 8192];
        let certificate = template.sign(&mut out, sign).unwrap().to_vec();
        let view = Certificate::read(&certificate).unwrap();
        assert_eq!((view.form(), view.signature_algorithm()), (SignedForm::Native, Some(algorithm)));
        assert_eq!(view.public_key(), Some(key));
        assert_eq!(view.verify_with(key, &Provider), Ok(()));
        assert!(view.is_self_issued());
        assert_eq!(view.key_id(&Provider), KeyId::of_key(key, &Provider));
        println!("{algorithm:?}: {} bytes", certificate.len());
        let tbs = template.tbs(&mut out).unwrap().to_vec();
        assert_eq!(c509::assemble(&tbs, view.signature(), &mut vec![0; 8192]), Ok(&certificate[..]));
    }
}

/// Shows REQ-C509-10: a native request says what was asked and proves its key.
#[test]
fn a_native_request_asks_and_proves() {
    let signer = Signer::new();
    let subject = [(ids::SERIAL_NUMBER, "pump-1")];
    let template = RequestTemplate {
        algorithm: SignatureAlgorithm::EcdsaSha256,
        subject: Subject::Attributes(&subject),
        key: signer.key(),
        extensions: &[NewExtension::HostName("pump-1.example.org")],
        challenge_password: Some("MEDLOCK-ABCD"),
    };
    let mut out = [0; 512];
    let request = template.sign(&mut out, |info| signer.sign(info)).unwrap();
    let view = Request::read(request).unwrap();
    assert_eq!(view.verify(&Provider), Ok(()));
    assert_eq!(view.challenge_password(), Some("MEDLOCK-ABCD"));
    assert_eq!(view.subject().to_string(), "serialNumber=pump-1");
    assert_eq!(view.extensions().subject_alt_names().count(), 1);
    assert_eq!(view.key_id(&Provider), KeyId::of_key(signer.key(), &Provider));
    let mut altered = request.to_vec();
    *altered.last_mut().unwrap() ^= 1;
    assert!(Request::read(&altered).unwrap().verify(&Provider).is_err());
}

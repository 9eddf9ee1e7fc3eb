//! Properties of C509: what is read has one encoding, conversion is the identity or a refusal, nothing panics.

use crate::{
    maker::{authority_params, below, leaf, leaf_params, request_params, root},
    pkits::folder,
    provider::Provider,
};
use medlock_trust::{
    c509::{self, Error, Points},
    crypto::{Crypto, KeyAlgorithm, Message, PublicKey, Signature, SignatureAlgorithm, VerifyError},
    x509::{Certificate, Request, SignedForm},
};
use proptest::{collection::vec, prelude::*};
use std::{fs, path::Path, sync::OnceLock};

/// A provider that has no curve: whatever is compressed stays so. Rebuilding must not depend on it to be safe.
struct NoCurve;

impl Crypto for NoCurve {
    fn verify(
        &self,
        _: SignatureAlgorithm,
        _: PublicKey<'_>,
        message: &dyn Message,
        _: Signature<'_>,
    ) -> Result<(), VerifyError> {
        message.feed(&mut |_| {});
        Err(VerifyError::Unsupported)
    }

    fn sha256(&self, message: &dyn Message) -> [u8; 32] {
        message.feed(&mut |_| {});
        [0; 32]
    }

    fn decompress<'o>(&self, _: KeyAlgorithm, _: &[u8], _: &'o mut [u8; 97]) -> Option<&'o [u8]> {
        None
    }
}

struct Made {
    device: Vec<u8>,
    issuing: Vec<u8>,
    request: Vec<u8>,
}

fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let root = root(authority_params("Root", None));
        let issuing = below(&root, authority_params("Issuing", Some(0)));
        let device = leaf(&issuing, &leaf_params("pump-1", &["pump-1.example.org", "10.0.0.7"]));
        let asked = request_params("pump-1", &["pump-1.example.org"]);
        let request = asked.serialize_request(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec();
        let mut out = vec![0; 2048];
        let mut convert = |der: &[u8]| c509::from_der(der, Points::AsTheyAre, &mut out, &Provider).unwrap().to_vec();
        let (device, issuing) = (convert(&device), convert(&issuing.der));
        let request = c509::request_from_der(&request, Points::AsTheyAre, &mut out, &Provider).unwrap().to_vec();
        Made { device, issuing, request }
    })
}

/// What is accepted must be what conversion makes of the DER it stands for, so there is no second encoding of it.
/// (Two choices are the standard's: points compressed or not, and an extension that has a form in part in DER.)
fn one_encoding(bytes: &[u8]) {
    let Ok(view) = Certificate::from_c509(bytes) else { return };
    let _ = format!("{} {} {view:?}", view.subject(), view.issuer());
    let _ = (view.public_key(), view.key_id(&NoCurve), view.credential_id(&NoCurve));
    if view.form() != SignedForm::Reencoded {
        return;
    }
    let (mut der, mut again) = (vec![0; 8192], vec![0; 8192]);
    let der = c509::to_der(bytes, &mut der, &NoCurve).unwrap();
    let in_der = view.extensions().iter().any(|one| one.encoding == medlock_trust::x509::Encoding::Der);
    match c509::from_der(der, Points::AsTheyAre, &mut again, &NoCurve) {
        Ok(again) if !in_der => assert_eq!(again, bytes),
        Ok(_) | Err(Error::Read(_) | Error::NotExpressible) => {}
        Err(error) => panic!("{error}"),
    }
}

fn one_encoding_of_request(bytes: &[u8]) {
    let Ok(view) = Request::from_c509(bytes) else { return };
    let _ = (format!("{view:?}"), view.verify(&NoCurve));
    if view.form() != SignedForm::Reencoded {
        return;
    }
    let (mut der, mut again) = (vec![0; 8192], vec![0; 8192]);
    let der = c509::request_to_der(bytes, &mut der, &NoCurve).unwrap();
    let in_der = view.extensions().iter().any(|one| one.encoding == medlock_trust::x509::Encoding::Der);
    if let Ok(again) = c509::request_from_der(der, Points::AsTheyAre, &mut again, &NoCurve)
        && !in_der
    {
        assert_eq!(again, bytes);
    }
}

#[derive(Clone, Debug)]
enum Change {
    Set(usize, u8),
    Insert(usize, u8),
    Remove(usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, to)| Change::Set(at, to)),
        (any::<usize>(), any::<u8>()).prop_map(|(at, to)| Change::Insert(at, to)),
        any::<usize>().prop_map(Change::Remove),
    ]
}

fn changed(bytes: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for change in changes {
        match *change {
            Change::Set(at, to) => {
                let at = at % bytes.len();
                bytes[at] = to;
            }
            Change::Insert(at, to) => bytes.insert(at % bytes.len(), to),
            Change::Remove(at) => drop(bytes.remove(at % bytes.len())),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Shows REQ-C509-12.
    #[test]
    fn no_change_of_a_real_one_gives_a_second_encoding(changes in vec(change(), 1..4)) {
        one_encoding(&changed(&made().device, &changes));
        one_encoding(&changed(&made().issuing, &changes));
        one_encoding_of_request(&changed(&made().request, &changes));
    }

    #[test]
    fn no_bytes_make_a_view_panic(mut bytes in vec(any::<u8>(), 0..200), native in any::<bool>()) {
        one_encoding(&bytes);
        bytes.splice(0..0, [0x8b, if native { 2 } else { 3 }]);
        one_encoding(&bytes);
        bytes[0] = 0x87;
        one_encoding_of_request(&bytes);
    }
}

/// Shows REQ-C509-19.
#[test]
fn each_choice_the_standard_makes_is_enforced() {
    let device = &made().device;
    assert!(Certificate::read(device).is_ok());
    let replaced = |from: &[u8], to: &[u8]| {
        let at = device.windows(from.len()).position(|window| window == from).unwrap_or_else(|| panic!("{from:02x?}"));
        [&device[..at], to, &device[at + from.len()..]].concat()
    };
    for (what, from, to) in [
        ("a length in more bytes", &b"\x66pump-1"[..], &b"\x78\x06pump-1"[..]),
        ("a number in more bytes", b"\x8b\x03", b"\x8b\x18\x03"),
        ("an identifier that has a number", b"\x21\x01", b"\x43\x55\x1d\x0f\x81\x44\x03\x02\x07\x80"),
        ("a negative key usage", b"\x21\x01", b"\x21\x20"),
        ("type 1", b"\x8b\x03", b"\x8b\x01"),
    ] {
        assert!(Certificate::read(&replaced(from, to)).is_err(), "{what}");
    }
    // The standard's RFC 7925 example, each part as it must not be.
    let example = crate::c509_vectors::hex(
        "8b034301f50d006b52464320746573742043411a63b0cd001a6955b900d830460123456789ab015821feb1216ab96e5b3b3340f5bdf02e69\
         3f16213a04525ed44450b1019c2dfd3838ab015840d4320b1d6849e309219d30037e138166f2508247dddae76cceea55053c108e90d551f6\
         d60106f1abb484cfbe6256c178e4ac3314ea19191e8b607da5ae3bda16",
    );
    assert!(Certificate::read(&example).is_ok());
    let hex = |text| crate::c509_vectors::hex(text);
    for (what, from, to) in [
        ("serial number with a zero in front", "4301f50d", "440001f50d"),
        ("a common name in an array", "6b5246432074657374204341", "82016b5246432074657374204341"),
        ("hexadecimal text as text", "6b5246432074657374204341", "6430316166"),
        ("an EUI-64 as text", "d830460123456789ab", "7730312d32332d34352d46462d46452d36372d38392d4142"),
        ("an EUI-48 as EUI-64", "d830460123456789ab", "d83048012345fffe6789ab"),
        ("the subject again as issuer", "6b5246432074657374204341", "d830460123456789ab"),
        ("no end as a number", "1a6955b900", "1b0000003afff4417f"),
        ("key usage in an array", "015840d4320b", "8202015840d4320b"),
        ("an algorithm with a number by its identifier", "0d006b", "0d482a8648ce3d0403026b"),
        ("an EC key by its identifier", "ab015821fe", "ab82472a8648ce3d020148082a8648ce3d0301075821fe"),
    ] {
        let (from, to) = (hex(from), hex(to));
        let at = example.windows(from.len()).position(|window| window == from).unwrap_or_else(|| panic!("{what}"));
        let wrong = [&example[..at], &to, &example[at + from.len()..]].concat();
        assert!(Certificate::read(&wrong).is_err(), "{what}");
    }
    assert!(Certificate::read(&[&example[..], &[0]].concat()).is_err(), "bytes behind the end");
}

/// Shows REQ-C509-13: every certificate of the public suite converts and comes back, or is refused.
#[test]
fn pkits_certificates_convert_and_come_back_or_are_refused() {
    let (mut converted, mut refused, mut bytes, mut short) = (0, Vec::new(), 0, 0);
    let mut files: Vec<_> = fs::read_dir(folder().join("certs")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "crt")) {
        let der = fs::read(file).unwrap();
        let (mut c509, mut again) = (vec![0; 8192], vec![0; 8192]);
        match c509::from_der(&der, Points::Compressed, &mut c509, &Provider) {
            Ok(c509) => {
                assert_eq!(c509::to_der(c509, &mut again, &Provider), Ok(&der[..]), "{}", file.display());
                converted += 1;
                bytes += der.len();
                short += c509.len();
            }
            Err(error) => refused.push(format!("{}: {error}", Path::new(file.file_name().unwrap()).display())),
        }
    }
    println!("{converted} converted, {bytes} bytes of DER, {short} of C509; refused {}: {refused:#?}", refused.len());
    assert_eq!((converted, refused.len()), (395, 10));
}

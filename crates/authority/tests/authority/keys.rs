//! Keys of every algorithm: what they issue and sign is believed by our own nodes and by others.

use crate::fixture::{Site, config, ct, issued, noon};
use medlock_authority::admin::Request;
use medlock_authority::enrolment::{Answer, RefusalKind};
use medlock_authority::profile::ProfileConfig;
use medlock_authority::signer::InProcess;
use medlock_authority::{Authority, AuthorityConfig};
use medlock_node::clock::Clock;
use medlock_node::provider::{AwsLc, SigningAlgorithm, SigningKey};
use medlock_trust::list::List;
use medlock_trust::status::StatusList;
use medlock_trust::x509::{Certificate, SignedForm, SubjectPublicKeyInfo};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// The settings of a site whose keys, and whose devices' keys, are of this algorithm.
pub(crate) fn config_with(dir: &Path, algorithm: SigningAlgorithm) -> AuthorityConfig {
    let profile = ProfileConfig { key_types: vec![algorithm.name().into(), "p256".into()], ..ProfileConfig::default() };
    AuthorityConfig { algorithm, profile, ..config(dir) }
}

/// A site whose keys are of this algorithm.
pub(crate) fn site_with(algorithm: SigningAlgorithm, clock: Clock) -> Site {
    let dir = tempfile::tempdir().unwrap();
    let signer = Arc::new(InProcess::open(&dir.path().join("signer")).unwrap());
    let authority = Authority::open(&config_with(dir.path(), algorithm), clock.clone(), signer).unwrap();
    Site { authority: Arc::new(authority), clock, dir }
}

/// Shows REQ-KEYS-04.
#[test]
fn an_authority_of_every_algorithm_issues_and_its_objects_are_believed() {
    for algorithm in SigningAlgorithm::ALL {
        let site = site_with(algorithm, Clock::manual(noon()));
        let (root, issuing) = (site.authority.root().clone(), site.authority.issuing());
        assert_eq!((root.algorithm, issuing.algorithm), (algorithm, algorithm));
        let key = SigningKey::generate_with(algorithm);
        let certificate = site.enrol("ct-1", &key);
        // The hub judges with the site list that the root has signed.
        let identified = site.identify(&certificate);
        assert!(site.authority.knowledge().with_knowledge(|knowledge, _| {
            let listed = knowledge.lists.iter().any(|list: &List<'_>| list.member(root.key).is_some());
            let told = knowledge.status.iter().any(|list: &StatusList<'_>| list.heading().authority == root.key);
            listed && told
        }));
        let view = Certificate::from_der(&certificate).unwrap();
        let by = SubjectPublicKeyInfo::from_der(&issuing.spki).unwrap();
        assert_eq!(view.signature_algorithm(), Some(algorithm.signature()));
        assert_eq!(view.verify_with(by.public_key().unwrap(), &AwsLc), Ok(()));
        assert_eq!(view.spki(), key.spki());
        // A renewal is asked for with the old key and gives a certificate for the new one.
        site.seen(&certificate);
        let next = SigningKey::generate_with(algorithm);
        let renewed = issued(site.renew(&certificate, &next));
        assert_eq!(Certificate::from_der(&renewed).unwrap().spki(), next.spki(), "{identified:?}");
        assert!(site.authority.ticket(crate::fixture::credential(&renewed), &[7; 16]).unwrap().is_some());
        site.ask(Request::Suspend { device: "ct-1".into(), why: "test".into() });
        assert!(!site.authority.crl().unwrap().is_empty());
    }
}

/// Shows REQ-KEYS-05.
#[test]
fn an_authority_keeps_the_algorithm_its_keys_were_made_with() {
    let Site { authority, clock, dir } = site_with(SigningAlgorithm::P384, Clock::manual(noon()));
    let before = (authority.root(), authority.issuing());
    drop(authority);
    let signer = Arc::new(InProcess::open(&dir.path().join("signer")).unwrap());
    let again = Authority::open(&config_with(dir.path(), SigningAlgorithm::Ed25519), clock, signer).unwrap();
    assert_eq!((again.root(), again.issuing()), before);
}

/// Shows REQ-KEYS-06.
#[test]
fn a_site_that_signs_with_ml_dsa_tells_small_devices_so() {
    let site = site_with(SigningAlgorithm::MlDsa65, Clock::manual(noon()));
    site.ask(Request::Register { device: ct("ct-1") });
    let code = site.code("ct-1");
    let request = crate::enrolment::small_request(&SigningKey::generate());
    let answer = site.authority.enrol_by_code(&code.user(), &code.password(), &request, crate::fixture::FROM).unwrap();
    match answer {
        Answer::Refused(refusal) => {
            assert_eq!(refusal.kind, RefusalKind::Malformed);
            assert!(refusal.reason.contains("ML-DSA"), "{}", refusal.reason);
        }
        other => panic!("{other:?}"),
    }
}

/// Shows REQ-KEYS-06.
#[test]
fn small_devices_get_c509_from_keys_that_are_not_ml_dsa() {
    for algorithm in [SigningAlgorithm::P256, SigningAlgorithm::P384, SigningAlgorithm::Ed25519] {
        let site = site_with(algorithm, Clock::manual(noon()));
        site.register("ct-1");
        let (code, key) = (site.code("ct-1"), SigningKey::generate());
        let request = crate::enrolment::small_request(&key);
        let ask =
            || site.authority.enrol_by_code(&code.user(), &code.password(), &request, crate::fixture::FROM).unwrap();
        assert!(matches!(ask(), Answer::Waits { .. }));
        site.approve_all();
        let certificate = issued(ask());
        let view = Certificate::read(&certificate).unwrap();
        assert_eq!((view.form(), view.signature_algorithm()), (SignedForm::Native, Some(algorithm.signature())));
        site.identify(&certificate);
    }
}

/// pyca/cryptography verifies a chain of ML-DSA keys and the CRL, and tells the algorithm.
const CHECK: &str = r#"
import sys
from cryptography import x509
root, issuing, device = (x509.load_der_x509_certificate(open(name, "rb").read()) for name in ("root", "issuing", "device"))
for below, above in ((root, root), (issuing, root), (device, issuing)):
    below.verify_directly_issued_by(above)
    assert below.signature_hash_algorithm is None, "ML-DSA hashes by itself"
crl = x509.load_der_x509_crl(open("crl", "rb").read())
issuing.public_key().verify(crl.signature, crl.tbs_certlist_bytes)
assert [entry.serial_number for entry in crl] == [device.serial_number]
print(device.signature_algorithm_oid.dotted_string)
"#;

/// Shows REQ-KEYS-07.
#[test]
fn cryptography_verifies_chain_and_crl_of_ml_dsa_keys() {
    for (algorithm, identifier) in
        [(SigningAlgorithm::MlDsa44, "2.16.840.1.101.3.4.3.17"), (SigningAlgorithm::MlDsa65, "2.16.840.1.101.3.4.3.18")]
    {
        let site = site_with(algorithm, Clock::manual(noon()));
        let device = site.enrol("ct-1", &SigningKey::generate_with(algorithm));
        site.ask(Request::Suspend { device: "ct-1".into(), why: "test".into() });
        let files = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(files.path().join(name), bytes).unwrap();
        write("root", &site.authority.root().der);
        write("issuing", &site.authority.issuing().der);
        write("device", &device);
        write("crl", &site.authority.crl().unwrap());
        let output = Command::new(medlock_testkit::peers::venv().join("bin/python3"))
            .args(["-c", CHECK])
            .current_dir(files.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success() && text.trim() == identifier, "{text}");
    }
}

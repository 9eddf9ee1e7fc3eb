use medlock_node::Error;
use medlock_node::enrol::Code;
use medlock_node::identity::{Identity, IdentityStore};
use medlock_node::provider::SigningKey;
use medlock_testkit::Site;
use medlock_trust::Role;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

/// Shows REQ-NODE-15.
#[test]
fn identity_and_request_key_survive_a_kill_at_each_step() {
    let (site, directory) = (Site::new("S"), tempfile::tempdir().expect("directory"));
    let open = || IdentityStore::open(directory.path()).expect("opened");
    // Killed after the key was made: the same key again, so the same request.
    let key = open().next_key().expect("key");
    let again = open().next_key().expect("key");
    assert_eq!(key.spki(), again.spki());
    // Killed after the chain was stored.
    let chain = site.issue("ct-1", &[Role::Modality], &key, site.present());
    let first = open().adopt(chain.clone()).expect("adopted");
    let store = open();
    assert_eq!(store.current().map(|identity| identity.credential()), Some(first.credential()));
    assert_eq!(store.current().expect("identity").chain(), &chain[..]);
    assert_ne!(store.next_key().expect("key").spki(), key.spki(), "a renewal has a new key");
    // Killed between storing the identity and removing the file of its key.
    let next = store.next_key().expect("key");
    let file = directory.path().join("next-key.pem");
    let kept = std::fs::read(&file).expect("file");
    store.adopt(site.issue("ct-1", &[Role::Modality], &next, site.present())).expect("adopted");
    assert!(!file.exists());
    std::fs::write(&file, kept).expect("put back");
    let store = open();
    assert!(!file.exists(), "it is the present key");
    assert_eq!(store.current().expect("identity").key().spki(), next.spki());
}

/// Shows REQ-NODE-16.
#[test]
fn private_keys_are_for_this_user_only() {
    let (site, directory) = (Site::new("S"), tempfile::tempdir().expect("directory"));
    let inner = directory.path().join("identity");
    let store = IdentityStore::open(&inner).expect("opened");
    let key = store.next_key().expect("key");
    let mode = |name: &str| std::fs::metadata(inner.join(name)).expect("file").permissions().mode() & 0o777;
    assert_eq!(mode("next-key.pem"), 0o600);
    store.adopt(site.issue("ct-1", &[], &key, site.present())).expect("adopted");
    assert_eq!(mode("identity.pem"), 0o600);
    assert_eq!(mode("."), 0o700);
    let code = Code::new(&[1; 16]);
    store.keep_code(&code).expect("kept");
    assert_eq!(mode("code"), 0o600);
    assert_eq!(store.kept_code().expect("read"), Some(code));
    store.forget_code().expect("forgotten");
    assert_eq!(store.kept_code().expect("read"), None);
    let shown = format!("{:?} {:?}", key, store.current());
    let secret = data_encoding::HEXLOWER.encode(&key.to_pkcs8()[36..68]);
    assert!(!shown.contains(&secret) && !shown.contains("PRIVATE"), "{shown}");
}

#[test]
fn chain_for_another_key_is_not_adopted() {
    let site = Site::new("S");
    let store = IdentityStore::in_memory(None);
    store.next_key().expect("key");
    let strange = site.issue("ct-1", &[], &SigningKey::generate(), site.present());
    assert!(matches!(store.adopt(strange.clone()), Err(Error::Certificate(_))));
    assert!(matches!(store.adopt(Vec::new()), Err(Error::Certificate(_))));
    assert!(store.current().is_none());
    assert!(Identity::new(Arc::new(SigningKey::generate()), strange).is_err());
}

/// Shows REQ-NODE-13.
#[test]
fn damaged_identity_is_named_with_what_to_do() {
    let directory = tempfile::tempdir().expect("directory");
    for (name, content) in
        [("identity.pem", "no PEM"), ("next-key.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")]
    {
        std::fs::write(directory.path().join(name), content).expect("write");
        let text = IdentityStore::open(directory.path()).expect_err("damaged").to_string();
        assert!(text.contains(name) && text.contains("enrol again"), "{text}");
        std::fs::remove_file(directory.path().join(name)).expect("remove");
    }
    std::fs::write(directory.path().join("code"), "MEDLOCK-AAAA").expect("write");
    let text = IdentityStore::open(directory.path()).expect("opened").kept_code().expect_err("damaged").to_string();
    assert!(text.contains("give the code again"), "{text}");
}

#[test]
fn keys_of_openssl_are_read_and_ours_by_openssl() {
    let output = std::process::Command::new("openssl")
        .args(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"])
        .output()
        .expect("openssl");
    let document = PrivatePkcs8KeyDer::from_pem_slice(&output.stdout).expect("PKCS#8");
    let key = SigningKey::from_pkcs8(document.secret_pkcs8_der()).expect("read");
    let directory = tempfile::tempdir().expect("directory");
    let file = directory.path().join("key.der");
    std::fs::write(&file, &*key.to_pkcs8()).expect("write");
    let output = std::process::Command::new("openssl")
        .args(["pkey", "-inform", "DER", "-pubout", "-outform", "DER", "-in"])
        .arg(&file)
        .output()
        .expect("openssl");
    assert_eq!(output.stdout, key.spki());
    assert!(SigningKey::from_pkcs8(b"nonsense").is_err());
}

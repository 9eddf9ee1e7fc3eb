//! The signer process: what it refuses, and what happens when it is killed.

use crate::fixture::{FROM, Site, Sleepy, config, ct, issued, noon, postgres};
use medlock_authority::admin::{Asker, Request};
use medlock_authority::directory::DATABASE;
use medlock_authority::enrolment::Answer;
use medlock_authority::issue::{Form, Issuer, Template, prepare};
use medlock_authority::keys::TokenConfig;
use medlock_authority::registry::Device;
use medlock_authority::signer::{
    self, InProcess, KeyLabel, KeyRole, Kind, MAX_MESSAGE, ProcessSigner, Signer, SignerError, Supervisor,
};
use medlock_authority::status::crl;
use medlock_authority::store::{Purpose, Serial, SqlStore};
use medlock_authority::{Authority, AuthorityConfig, Error};
use medlock_node::clock::Clock;
use medlock_node::enrol::certificate_request;
use medlock_node::provider::{AwsLc, SigningAlgorithm, SigningKey};
use medlock_testkit::SoftHsm;
use medlock_trust::crypto::{Crypto as _, Signature};
use medlock_trust::x509::SubjectPublicKeyInfo;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

const DIRECTORY: &str = "MEDLOCK_TEST_SIGNER_DIRECTORY";

const MODULE: &str = "MEDLOCK_TEST_SIGNER_MODULE";

/// The token of the tests.
fn token(directory: &Path, module: &Path) -> TokenConfig {
    TokenConfig { module: module.to_owned(), token: "medlock".into(), pin_file: directory.join("pin") }
}

/// This test binary as a signer process.
fn command(directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "signer::the_process_itself"]).env(DIRECTORY, directory);
    command.stdout(std::process::Stdio::null());
    command
}

/// Not a test: what the signer process of the other tests runs.
#[test]
fn the_process_itself() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        let directory = Path::new(&directory);
        let keys = match std::env::var_os(MODULE) {
            Some(module) => InProcess::in_token(token(directory, Path::new(&module)), "site", directory),
            None => InProcess::open(directory).unwrap(),
        };
        let listener = signer::listen(&directory.join("signer.sock"), signer::Callers::Owner).unwrap();
        signer::end_with_parent();
        signer::serve(&listener, &Arc::new(keys)).unwrap();
    }
}

fn process(directory: &Path) -> ProcessSigner {
    ProcessSigner::new(&directory.join("signer.sock"), Some(Supervisor::new(command(directory))))
}

/// Shows REQ-AUTH-17.
#[test]
fn a_killed_signer_is_started_again_and_the_authority_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("signer");
    std::fs::create_dir(&keys).unwrap();
    let signer = Arc::new(process(&keys));
    let authority = Authority::open(&config(dir.path()), Clock::manual(noon()), signer.clone()).unwrap();
    let mode = std::fs::metadata(keys.join("signer.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut ids = Vec::new();
    for round in 0..3 {
        let id = signer.supervisor().unwrap().process_id().unwrap();
        assert!(!ids.contains(&id), "the process was not started again");
        ids.push(id);
        // Only this one, by its id.
        assert!(Command::new("kill").args(["-9", &id.to_string()]).status().unwrap().success());
        let device = ct(&format!("ct-{round}"));
        authority.administer(&Asker::program(), Request::Register { device }).unwrap();
        authority.health().unwrap();
    }
    drop(authority);
    let id = signer.supervisor().unwrap().process_id().unwrap();
    drop(signer);
    let deadline = Instant::now() + Duration::from_secs(60);
    while Path::new(&format!("/proc/{id}")).exists() {
        assert!(Instant::now() < deadline, "the signer outlives its hub");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The to-be-signed bytes of a certificate, taken from the store's record.
fn to_be_signed(purpose: Purpose, signer: KeyLabel) -> Vec<u8> {
    let (key, issuer) = (SigningKey::generate(), SigningKey::generate());
    let device = Device::try_from(ct("ct-1")).unwrap();
    let name = [0x30, 13, 0x31, 11, 0x30, 9, 0x06, 3, 0x55, 4, 3, 0x0c, 2, b'C', b'A'];
    let template = Template {
        form: Form::X509,
        purpose,
        organization: "Sankt Anna",
        device: (purpose == Purpose::Operational).then_some(&device),
        authority: None,
        maker_serial: None,
        spki: key.spki(),
        parent: None,
        not_before: noon(),
        not_after: noon().plus_seconds(60),
        addresses: None,
        masa: None,
    };
    let approved = prepare(
        &template,
        &Issuer { name: &name, spki: issuer.spki(), key: signer, algorithm: SigningAlgorithm::P256 },
        noon(),
    )
    .unwrap();
    approved.to_be_signed().to_vec()
}

/// Shows REQ-KEYS-97: a revocation list of hundreds of thousands is signed; one beyond what the signer takes is refused before
/// it is tried, and takes no other request with it.
#[test]
fn a_long_revocation_list_is_signed_by_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let signer = process(dir.path());
    let spki = signer.generate(KeyLabel::ISSUING, SigningAlgorithm::P256).unwrap();
    let since = noon();
    let entry =
        |number: u32| crl::Entry { serial: Serial::from_random(u128::from(number).to_be_bytes()), since, reason: 4 };
    let tbs = crl::to_be_signed(&crl::Content {
        issuer: &[0x30, 0],
        algorithm: SigningAlgorithm::P256,
        key_identifier: &[7; 20],
        number: 9,
        this_update: noon(),
        next_update: noon().plus_seconds(60),
        partition: None,
        extent: crl::Extent::Complete(None),
        entries: &(0..250_000).map(entry).collect::<Vec<_>>(),
    });
    assert!(tbs.len() > 8 << 20, "{} bytes", tbs.len());
    let id = signer.supervisor().unwrap().process_id();
    let signed = signer.sign_all(KeyLabel::ISSUING, Kind::Crl, &[&tbs, b"no list"]);
    let [Ok(signature), Err(SignerError::Refused(_))] = &signed[..] else { panic!("{signed:?}") };
    let key = SubjectPublicKeyInfo::from_der(&spki).unwrap().public_key().unwrap();
    let algorithm = SigningAlgorithm::P256.signature();
    AwsLc.verify(algorithm, key, &[tbs.as_slice()], Signature::X509(signature)).unwrap();
    let Err(SignerError::Refused(why)) = signer.sign(KeyLabel::ISSUING, Kind::Crl, &vec![0; MAX_MESSAGE]) else {
        panic!("more than a message holds was signed");
    };
    assert!(why.contains("are more than"), "{why}");
    assert_eq!(signer.supervisor().unwrap().process_id(), id, "it is the same process all the time");
}

/// Shows REQ-AUTH-08.
#[test]
fn an_issuing_key_never_signs_an_authority_and_a_root_never_a_device() {
    let dir = tempfile::tempdir().unwrap();
    let signer = process(dir.path());
    signer.generate(KeyLabel::ISSUING, SigningAlgorithm::P256).unwrap();
    assert!(matches!(signer.sign(KeyLabel::ROOT, Kind::Crl, b""), Err(SignerError::NoKey(KeyLabel::ROOT))));
    assert_eq!(signer.public_key(KeyLabel::ROOT).unwrap(), None);
    signer.generate(KeyLabel::ROOT, SigningAlgorithm::P256).unwrap();
    let (root, issuing) = (KeyLabel::ROOT, KeyLabel::ISSUING);
    let authority = to_be_signed(Purpose::Issuing, root);
    let device = to_be_signed(Purpose::Operational, issuing);
    assert!(signer.sign(issuing, Kind::Certificate, &device).is_ok());
    assert!(signer.sign(root, Kind::Certificate, &authority).is_ok());
    let refused = |key, kind, bytes: &[u8]| matches!(signer.sign(key, kind, bytes), Err(SignerError::Refused(_)));
    assert!(refused(issuing, Kind::Certificate, &authority));
    assert!(refused(root, Kind::Certificate, &device));
    for kind in [Kind::Crl, Kind::Ocsp, Kind::Cose] {
        assert!(refused(issuing, kind, &device), "a certificate passes for a {kind}");
        assert!(refused(root, kind, &authority), "a certificate passes for a {kind}");
    }
    assert!(refused(issuing, Kind::Certificate, b"hello"));
    assert_eq!(
        signer.generate(root, SigningAlgorithm::P256).unwrap(),
        signer.public_key(root).unwrap().unwrap(),
        "a key was replaced"
    );
}

/// Shows REQ-AUTH-31.
#[test]
fn many_ask_at_once_and_each_gets_its_own_answer_also_when_the_signer_is_killed() {
    const ASKERS: usize = 24;
    let dir = tempfile::tempdir().unwrap();
    let signer = process(dir.path());
    // Ed25519 signs the same bytes always alike: each answer shows to which request it belongs.
    signer.generate(KeyLabel::ISSUING, SigningAlgorithm::Ed25519).unwrap();
    let sign = |message: &[u8]| signer.sign(KeyLabel::ISSUING, Kind::Certificate, message);
    let known: Vec<_> = (0..6)
        .map(|_| to_be_signed(Purpose::Operational, KeyLabel::ISSUING))
        .map(|message| (sign(&message).unwrap(), message))
        .collect();
    let all_begin = std::sync::Barrier::new(ASKERS + 1);
    std::thread::scope(|scope| {
        for asker in 0..ASKERS {
            let (known, all_begin, sign, signer) = (&known, &all_begin, &sign, &signer);
            scope.spawn(move || {
                all_begin.wait();
                for round in 0..40 {
                    let (signature, message) = &known[(asker + round) % known.len()];
                    assert_eq!(&sign(message).unwrap(), signature, "the answer to another request");
                    let refused = sign(format!("no certificate: {asker}").as_bytes());
                    assert!(matches!(refused, Err(SignerError::Refused(_))), "{refused:?}");
                    let missing = signer.sign(KeyLabel::VOUCHER, Kind::Certificate, message);
                    assert!(matches!(missing, Err(SignerError::NoKey(KeyLabel::VOUCHER))), "{missing:?}");
                }
            });
        }
        all_begin.wait();
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(30));
            // It may be about to be started again.
            if let Some(id) = signer.supervisor().unwrap().process_id() {
                let _ = Command::new("kill").args(["-9", &id.to_string()]).status();
            }
        }
    });
}

/// Whatever one asks of a retired key is refused, in words that say which and what to do.
fn forgotten(signer: &dyn Signer, key: KeyLabel, message: &[u8]) {
    let refused = [
        signer.sign(key, Kind::Certificate, message).map(drop),
        signer.public_key(key).map(drop),
        signer.generate(key, SigningAlgorithm::P256).map(drop),
    ];
    for refused in refused {
        let Err(SignerError::Refused(why)) = refused else { panic!("{refused:?}") };
        assert!(why.contains(&key.to_string()) && why.contains("retired.keys") && why.contains("rotate"), "{why}");
    }
    signer.retire(key).unwrap();
}

fn ended(signer: &ProcessSigner) {
    let id = signer.supervisor().unwrap().process_id().unwrap();
    assert!(Command::new("kill").args(["-9", &id.to_string()]).status().unwrap().success());
}

/// Shows REQ-KEYS-25.
#[test]
fn a_retired_key_is_refused_for_good_and_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let signer = process(dir.path());
    let device = to_be_signed(Purpose::Operational, KeyLabel::ISSUING);
    let second = KeyLabel::new(KeyRole::Issuing, 2).unwrap();
    signer.generate(KeyLabel::ISSUING, SigningAlgorithm::P256).unwrap();
    // Nobody who speaks to the signer can take an authority its last key.
    let newest = signer.retire(KeyLabel::ISSUING).unwrap_err().to_string();
    assert!(newest.contains("newest"), "{newest}");
    signer.sign(KeyLabel::ISSUING, Kind::Certificate, &device).unwrap();
    signer.generate(second, SigningAlgorithm::P256).unwrap();
    let file = dir.path().join("issuing.key");
    let copy = std::fs::read(&file).unwrap();
    signer.retire(KeyLabel::ISSUING).unwrap();
    assert!(!file.exists());
    assert_eq!(std::fs::read(dir.path().join("issuing.key.retired")).unwrap(), copy, "nothing is destroyed");
    // Only issuing keys are retired, whatever later one there is.
    for role in [KeyRole::Root, KeyRole::Log, KeyRole::Voucher] {
        let labels = [1, 2].map(|number| KeyLabel::new(role, number).unwrap());
        let algorithm = if role == KeyRole::Log { SigningAlgorithm::Ed25519 } else { SigningAlgorithm::P256 };
        labels.iter().for_each(|label| drop(signer.generate(*label, algorithm).unwrap()));
        assert!(signer.retire(labels[0]).unwrap_err().to_string().contains("only issuing keys"), "{role:?}");
        assert!(signer.public_key(labels[0]).unwrap().is_some());
    }
    forgotten(&signer, KeyLabel::ISSUING, &device);
    // Also in another process, and when the key comes back from a backup.
    std::fs::write(&file, copy).unwrap();
    forgotten(&signer, KeyLabel::ISSUING, &device);
    assert!(!file.exists(), "a key that came back stays");
    ended(&signer);
    forgotten(&signer, KeyLabel::ISSUING, &device);
    signer.sign(second, Kind::Certificate, &device).unwrap();
    // The third follows the first, though the second is retired too; and it is the newest.
    signer.generate(KeyLabel::new(KeyRole::Issuing, 3).unwrap(), SigningAlgorithm::P256).unwrap();
    for key in [second, KeyLabel::ISSUING] {
        signer.retire(key).unwrap();
    }
    assert!(signer.retire(KeyLabel::new(KeyRole::Issuing, 3).unwrap()).is_err());
}

#[test]
fn malformed_and_oversized_messages_do_not_stop_the_signer() {
    let dir = tempfile::tempdir().unwrap();
    let signer = process(dir.path());
    let spki = signer.generate(KeyLabel::ISSUING, SigningAlgorithm::P256).unwrap();
    for bytes in [&[0, 0, 0, 2, 0xff, 0xff][..], &[0xff; 64], &[0, 0, 0, 0], &[0, 0, 1, 0, 1]] {
        let mut stream = UnixStream::connect(dir.path().join("signer.sock")).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
    }
    assert_eq!(signer.public_key(KeyLabel::ISSUING).unwrap(), Some(spki));
}

#[test]
fn without_its_key_an_operation_says_what_to_do() {
    let site = Site::new();
    let keys = site.dir.path().join("signer");
    let Site { authority, clock, dir } = site;
    drop(authority);
    std::fs::remove_file(keys.join("issuing.key")).unwrap();
    let signer = Arc::new(InProcess::open(&keys).unwrap());
    let authority = Authority::open(&config(dir.path()), clock, signer).unwrap();
    let device = ct("ct-1");
    let error = authority.administer(&Asker::program(), Request::Register { device }).unwrap_err().to_string();
    assert!(error.contains("issuing.key"), "{error}");
    assert!(authority.health().is_err());
}

/// A new SoftHSM token in a folder of its own.
struct Hsm {
    dir: tempfile::TempDir,
    token: SoftHsm,
}

impl Hsm {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { token: SoftHsm::new(dir.path()), dir }
    }

    fn signer(&self) -> ProcessSigner {
        let mut command = command(self.dir.path());
        command.env("SOFTHSM2_CONF", self.token.conf()).env(MODULE, self.token.module());
        ProcessSigner::new(&self.dir.path().join("signer.sock"), Some(Supervisor::new(command)))
    }

    /// Takes the token away, or puts it back. The library may still have it in memory: the process is ended too.
    fn there(&self, there: bool, signer: &ProcessSigner) {
        self.token.there(there);
        if let Some(id) = signer.supervisor().unwrap().process_id().filter(|_| !there) {
            assert!(Command::new("kill").args(["-9", &id.to_string()]).status().unwrap().success());
        }
    }
}

/// Shows REQ-KEYS-09, REQ-KEYS-120.
#[test]
fn softhsm_makes_keeps_and_uses_the_keys_of_an_authority() {
    let hsm = Hsm::new();
    for algorithm in [SigningAlgorithm::P256, SigningAlgorithm::P384, SigningAlgorithm::Ed25519] {
        let dir = tempfile::tempdir().unwrap();
        let hsm = Hsm::new();
        let signer = Arc::new(hsm.signer());
        let config = crate::keys::config_with(dir.path(), algorithm);
        let clock = Clock::manual(noon());
        let authority = Arc::new(Authority::open(&config, clock.clone(), signer.clone()).unwrap());
        assert_eq!((authority.root().algorithm, authority.issuing().algorithm), (algorithm, algorithm));
        let site = Site { authority, clock, dir };
        // The hub's own objects were signed in the token and are believed.
        let certificate = site.enrol("ct-1", &SigningKey::generate());
        site.identify(&certificate);
        assert!(!site.authority.crl().unwrap().is_empty());
        let module = hsm.token.module().to_str().unwrap();
        let text = hsm.token.run(
            "pkcs11-tool",
            &["--module", module, "--login", "--pin", SoftHsm::PIN, "--list-objects", "--type", "privkey"],
        );
        for label in ["medlock site root", "medlock site issuing", "medlock site log"] {
            assert!(text.contains(label), "{label} is missing in {text}");
        }
        let access = text.lines().filter(|line| line.contains("Access:"));
        assert_eq!(
            access.filter(|line| line.contains("never extractable") && line.contains("always sensitive")).count(),
            3
        );
        assert!(!hsm.dir.path().join("issuing.key").exists());
    }
    let signer = hsm.signer();
    let error = signer.generate(KeyLabel::ISSUING, SigningAlgorithm::MlDsa65).unwrap_err().to_string();
    assert!(error.contains("ml-dsa-65") && error.contains("medlock"), "{error}");
    drop(signer);
    // A wrong PIN is tried once, however often one asks and whichever process: the right one still opens the token.
    std::fs::write(hsm.token.pin_file(), "000000").unwrap();
    let refused = hsm.dir.path().join("pin.refused");
    for _ in 0..3 {
        let signer = hsm.signer();
        for _ in 0..4 {
            let error = signer.generate(KeyLabel::ISSUING, SigningAlgorithm::P256).unwrap_err().to_string();
            assert!(error.contains("PIN") && error.contains(refused.to_str().unwrap()), "{error}");
        }
    }
    let noted = std::fs::read(&refused).unwrap();
    let signer = hsm.signer();
    std::fs::write(hsm.token.pin_file(), SoftHsm::PIN).unwrap();
    let made = signer.generate(KeyLabel::ISSUING, SigningAlgorithm::P256).unwrap();
    assert_eq!(signer.generate(KeyLabel::ISSUING, SigningAlgorithm::P384).unwrap(), made, "a key is not made twice");
    assert!(!refused.exists() && noted.len() == 48 && !String::from_utf8_lossy(&noted).contains("000000"));
}

/// Shows REQ-KEYS-25.
#[test]
fn softhsm_s_retired_key_is_refused_and_destroyed_by_people_alone() {
    let hsm = Hsm::new();
    let signer = hsm.signer();
    let device = to_be_signed(Purpose::Operational, KeyLabel::ISSUING);
    let keys = [1, 2].map(|number| KeyLabel::new(KeyRole::Issuing, number).unwrap());
    for key in keys {
        signer.generate(key, SigningAlgorithm::P256).unwrap();
    }
    signer.retire(keys[0]).unwrap();
    forgotten(&signer, keys[0], &device);
    ended(&signer);
    forgotten(&signer, keys[0], &device);
    signer.sign(keys[1], Kind::Certificate, &device).unwrap();
    let module = hsm.token.module().to_str().unwrap();
    let listed = ["--module", module, "--login", "--pin", SoftHsm::PIN, "--list-objects"];
    let text = hsm.token.run("pkcs11-tool", &listed);
    let labels: Vec<&str> = text.lines().filter(|line| line.contains("label:")).map(str::trim).collect();
    assert_eq!(labels.len(), 4, "{text}");
}

/// Shows REQ-STORE-135: where the keys of an authority are in a token and what it kept is not there, nothing is begun under its name,
/// neither in an empty folder nor in an empty store; a creation that was cut off behind its first keys goes on.
#[test]
fn softhsm_s_keys_are_of_one_authority_and_begin_no_other() {
    let (hsm, dir) = (Hsm::new(), tempfile::tempdir().unwrap());
    let clock = Clock::manual(noon());
    let config = config(dir.path());
    let open = |config: &AuthorityConfig| Authority::open(config, clock.clone(), Arc::new(hsm.signer()));
    let cut_off = Sleepy { inner: hsm.signer(), away: Arc::new(true.into()) };
    let cut = Authority::open(&config, clock.clone(), Arc::new(cut_off)).unwrap_err();
    assert!(matches!(cut, Error::Signer(SignerError::Away(_)) | Error::Log(_)), "{cut}");
    let made = hsm.signer().public_key(KeyLabel::ROOT).unwrap().expect("it was cut off before there was a key");
    let authority = Arc::new(open(&config).unwrap());
    assert_eq!(authority.root().spki, made, "it was begun anew");
    let site = Site { authority, clock: clock.clone(), dir };
    site.enrol("ct-1", &SigningKey::generate());
    let log = site.authority.log().key().name().to_owned();
    let Site { authority, dir, .. } = site;
    drop(authority);

    // What the signer of a hub remembers lies in the folder that is not there.
    let remembered = hsm.dir.path().join(signer::CHECKPOINTS);
    let kept = std::fs::read(&remembered).unwrap();
    std::fs::remove_file(&remembered).unwrap();
    let empty = tempfile::tempdir().unwrap();
    let in_file = AuthorityConfig { dir: empty.path().join("hub"), ..config.clone() };
    let on_server = AuthorityConfig { dir: empty.path().join("other"), store: Some(postgres()), ..config.clone() };
    let refused = |config: &AuthorityConfig| {
        let error = open(config).unwrap_err();
        assert!(
            matches!(&error, Error::NotHere(why) if why.contains("the log key") && why.contains("restore")),
            "{error}"
        );
    };
    for config in [&in_file, &in_file, &on_server, &on_server] {
        refused(config);
    }
    assert!(!in_file.dir.join(DATABASE).exists(), "a store was begun");
    drop(SqlStore::sqlite(&in_file.dir.join(DATABASE)).unwrap());
    refused(&in_file);
    assert!(!remembered.exists(), "a log was begun");

    std::fs::write(&remembered, kept).unwrap();
    let authority = open(&AuthorityConfig { dir: dir.path().to_owned(), ..config }).unwrap();
    assert_eq!((authority.log().key().name(), authority.root().spki.clone()), (log.as_str(), made));
}

/// Shows REQ-KEYS-10.
#[test]
fn softhsm_that_goes_away_is_named_and_loses_nothing() {
    let (hsm, dir) = (Hsm::new(), tempfile::tempdir().unwrap());
    let (signer, clock) = (Arc::new(hsm.signer()), Clock::manual(noon()));
    let authority = Arc::new(Authority::open(&config(dir.path()), clock.clone(), signer.clone()).unwrap());
    let site = Site { authority, clock, dir };
    let first = site.enrol("ct-1", &SigningKey::generate());
    site.register("ct-2");
    let (code, key) = (site.code("ct-2"), SigningKey::generate());
    assert!(matches!(site.by_code(&code, &key), Answer::Waits { .. }));
    site.approve_all();

    hsm.there(false, &signer);
    let request = certificate_request(&key, None);
    for _ in 0..2 {
        let error =
            site.authority.enrol_by_code(&code.user(), &code.password(), &request, FROM).unwrap_err().to_string();
        assert!(error.contains("\"medlock\"") && error.contains("libsofthsm2.so"), "{error}");
    }
    assert!(site.authority.health().is_err());

    hsm.there(true, &signer);
    let second = issued(site.by_code(&code, &key));
    site.authority.health().unwrap();
    for certificate in [&first, &second] {
        site.identify(certificate);
    }
    // One certificate for each device: what was not signed was given up, and what was given out is there.
    for (name, certificate) in [("ct-1", &first), ("ct-2", &second)] {
        assert_eq!(site.state(name).1.len(), 1, "{name}");
        assert!(site.authority.ticket(crate::fixture::credential(certificate), &[7; 16]).unwrap().is_some());
    }
}

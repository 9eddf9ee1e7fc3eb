//! The transparency log: what is given out is in it, it only grows, and anybody can check both.

use crate::fixture::{Site, config, credential, noon, open};
use medlock_authority::admin::{Request, Response};
use medlock_authority::log::{Entry, WitnessConfig};
use medlock_authority::signer::InProcess;
use medlock_authority::{Authority, AuthorityConfig, people_router};
use medlock_node::accept::{self, Limits};
use medlock_node::clock::Clock;
use medlock_node::log::{FollowError, Follower, Place, Proof, VerifierKey, Witness, WitnessRefusal, witness};
use medlock_node::provider::{AwsLc, SigningAlgorithm, SigningKey};
use medlock_node::stop;
use medlock_trust::log::Hash;
use medlock_trust::x509::Certificate;
use std::process::Command;
use std::sync::Arc;
use tokio::net::TcpListener;

/// The site's log, served, as long as this lives.
pub(crate) struct Served {
    pub(crate) place: Place,
    url: String,
    _stopper: stop::Stopper,
}

pub(crate) async fn serve(site: &Site) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/log", listener.local_addr().unwrap());
    let (stopper, stop) = stop::channel();
    tokio::spawn(accept::serve(listener, None, Limits::default(), people_router(site.authority.clone()), stop));
    Served { place: Place::parse(&url).unwrap(), url, _stopper: stopper }
}

pub(crate) fn key(site: &Site) -> VerifierKey {
    match site.ask(Request::Log) {
        Response::Log(log) => log.key.parse().unwrap(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn entry_of(certificate: &[u8]) -> Hash {
    Hash::of_entry(&[Certificate::read(certificate).unwrap().tbs()], &AwsLc)
}

pub(crate) fn proof(site: &Site, certificate: &[u8]) -> Vec<u8> {
    match site.ask(Request::Proof { credential: credential(certificate).to_string() }) {
        Response::Proof { proof } => proof.into_bytes(),
        other => panic!("{other:?}"),
    }
}

/// Shows REQ-LOG-01.
#[test]
fn whatever_is_given_out_is_in_the_log_and_can_be_proven_offline() {
    let site = Site::new();
    let key = key(&site);
    let devices = (1..=3).map(|number| site.enrol(&format!("ct-{number}"), &SigningKey::generate()));
    let mut certificates: Vec<Vec<u8>> = devices.collect();
    certificates.push(site.authority.root().der.clone());
    certificates.push(site.authority.issuing().der.clone());
    for certificate in &certificates {
        let bytes = proof(&site, certificate);
        let read = Proof::read(&bytes).unwrap();
        let cosigned = read.verify(entry_of(certificate), &key, &[]).unwrap();
        assert_eq!(cosigned.checkpoint.origin, key.name());
        for other in certificates.iter().filter(|other| *other != certificate) {
            assert!(read.verify(entry_of(other), &key, &[]).is_err(), "a proof of another entry");
        }
    }
    // Proofs of before stay good beside later checkpoints.
    let early = proof(&site, &certificates[0]);
    site.enrol("ct-9", &SigningKey::generate());
    Proof::read(&early).unwrap().verify(entry_of(&certificates[0]), &key, &[]).unwrap();
    assert!(site.refuses(Request::Proof { credential: "00".repeat(16) }).contains("no credential of this authority"));
}

/// Shows REQ-LOG-02.
#[tokio::test(flavor = "multi_thread")]
async fn a_monitor_sees_each_certificate_before_its_holder_can_use_it_and_a_restart_continues_the_log() {
    let site = Site::new();
    let served = serve(&site).await;
    let mut follower = Follower::new(key(&site));
    let mut names = Vec::new();
    let mut follow = |follower: &mut Follower| {
        let mut names = std::mem::take(&mut names);
        let handle = tokio::runtime::Handle::current();
        let place = served.place.clone();
        let mut follower_now = follower.clone();
        let names = tokio::task::block_in_place(move || {
            handle.block_on(async {
                follower_now
                    .advance(&place, &[], true, |_, entry| {
                        let entry = Entry::read(entry).unwrap();
                        names.push((entry.device.clone(), entry.authority));
                    })
                    .await
                    .unwrap();
            });
            (follower_now, names)
        });
        *follower = names.0;
        names.1
    };
    let first = follow(&mut follower);
    assert_eq!(first, [(None, true), (None, true), (Some("hub".to_owned()), false)]);
    for number in 0..300 {
        let name = format!("ct-{number}");
        tokio::task::block_in_place(|| site.enrol(&name, &SigningKey::generate()));
        if number % 100 == 0 {
            assert!(follow(&mut follower).contains(&(Some(name), false)), "given out and not in the log");
        }
    }
    follow(&mut follower);
    assert_eq!(follower.head().size, 303);
    // The process ends, and another one goes on.
    let Site { authority, dir, clock } = site;
    drop((authority, served));
    let reopened = tokio::task::block_in_place(|| {
        loop {
            // The listener's tasks let the authority go when they end.
            match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| open(dir.path(), &clock))) {
                Ok(authority) => break authority,
                Err(_) => std::thread::sleep(std::time::Duration::from_millis(50)),
            }
        }
    });
    let site = Site { authority: Arc::new(reopened), dir, clock };
    let served = serve(&site).await;
    tokio::task::block_in_place(|| site.enrol("late", &SigningKey::generate()));
    follower.advance(&served.place, &[], true, |number, _| assert_eq!(number, 303)).await.unwrap();
    assert_eq!(follower.head().size, 304);
}

/// Shows REQ-LOG-03.
#[test]
fn a_store_whose_entries_are_not_those_that_were_signed_is_not_opened() {
    let Site { authority, dir, clock } = Site::new();
    drop(authority);
    let database = rusqlite::Connection::open(dir.path().join("authority.sqlite")).unwrap();
    database.execute("UPDATE log_tile SET hashes = zeroblob(length(hashes))", []).unwrap();
    drop(database);
    // What is there is served; nothing new is signed, and whoever asks is told why.
    let authority = open(dir.path(), &clock);
    let site = Site { authority: Arc::new(authority), dir, clock };
    site.register("ct-1");
    let code = site.code("ct-1");
    let request = medlock_node::enrol::certificate_request(&SigningKey::generate(), None);
    let enrol = || site.authority.enrol_by_code(&code.user(), &code.password(), &request, crate::fixture::FROM);
    enrol().unwrap();
    site.approve_all();
    let why = enrol().unwrap_err().to_string();
    assert!(why.contains("not those that were signed"), "{why}");
}

/// Shows REQ-LOG-04.
#[test]
fn a_witness_cosigns_what_continues_and_nothing_else() {
    for algorithm in [SigningAlgorithm::Ed25519, SigningAlgorithm::MlDsa44] {
        let site = Site::new();
        let (log, dir) = (key(&site), tempfile::tempdir().unwrap());
        let clock = Clock::manual(noon());
        let secret = SigningKey::generate_with(algorithm);
        let pkcs8 = secret.to_pkcs8();
        let open = || {
            let key = SigningKey::from_pkcs8(&pkcs8).unwrap();
            Witness::open("witness.example", key, vec![log.clone()], dir.path().into(), clock.clone()).unwrap()
        };
        let mine = open();
        let first = site.authority.log().checkpoint().unwrap().unwrap();
        let line = mine.add_checkpoint(&witness::write_request(0, &[], &first.note)).unwrap();
        let whole = [first.note.as_slice(), line.as_bytes()].concat();
        let keys = [mine.key().clone()];
        let cosigned = medlock_node::log::Checkpoint::verify(&whole, &log, &keys).unwrap();
        assert_eq!(cosigned.witnesses, [(&keys[0], u64::try_from(noon().unix()).unwrap())]);

        site.enrol("ct-1", &SigningKey::generate());
        let second = site.authority.log().checkpoint().unwrap().unwrap();
        let path = site.authority.log().consistency(first.size, second.size).unwrap().unwrap();
        // It remembers, also after a restart.
        let mine = open();
        let refused = |old, path: &[Hash], note: &[u8]| {
            mine.add_checkpoint(&witness::write_request(old, path, note)).unwrap_err()
        };
        assert!(matches!(refused(0, &[], &second.note), WitnessRefusal::OtherSize(size) if size == first.size));
        assert!(matches!(refused(first.size, &[], &second.note), WitnessRefusal::Inconsistent));
        assert!(matches!(refused(second.size, &path, &first.note), WitnessRefusal::Malformed(_)));
        let mut forged = second.note.clone();
        let at = forged.len() - 10;
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        assert!(matches!(refused(first.size, &path, &forged), WitnessRefusal::NotSigned));
        let other = Site::new().authority.log().checkpoint().unwrap().unwrap();
        assert!(matches!(refused(0, &[], &other.note), WitnessRefusal::UnknownLog));
        mine.add_checkpoint(&witness::write_request(first.size, &path, &second.note)).unwrap();
    }
}

/// Shows REQ-LOG-04.
#[tokio::test(flavor = "multi_thread")]
async fn the_authority_has_its_log_cosigned_and_proofs_say_by_whom() {
    let (first, dir) = (tokio::task::block_in_place(Site::new), tempfile::tempdir().unwrap());
    let log = key(&first);
    let secret = SigningKey::generate_with(SigningAlgorithm::Ed25519);
    let witness = Arc::new(
        Witness::open("w.example", secret, vec![log.clone()], dir.path().into(), Clock::manual(noon())).unwrap(),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (_stopper, stop) = stop::channel();
    tokio::spawn(accept::serve(listener, None, Limits::default(), witness::router(witness.clone()), stop));
    let Site { authority, dir, clock } = first;
    drop(authority);
    let cosigner = WitnessConfig { key: witness.key().to_string(), url };
    let config = AuthorityConfig { log_witnesses: vec![cosigner], ..config(dir.path()) };
    let authority = tokio::task::block_in_place(|| {
        let signer = Arc::new(InProcess::open(&dir.path().join("signer")).unwrap());
        Arc::new(Authority::open(&config, clock.clone(), signer).unwrap())
    });
    let site = Site { authority, dir, clock };
    let keys = [witness.key().clone()];
    for number in 1..=2 {
        let certificate = tokio::task::block_in_place(|| site.enrol(&format!("ct-{number}"), &SigningKey::generate()));
        // Before the witness was asked, the log's own word has to do.
        let bytes = proof(&site, &certificate);
        let alone = Proof::read(&bytes).unwrap().verify(entry_of(&certificate), &log, &keys).unwrap();
        assert!(alone.witnesses.is_empty());
        site.authority.ask_witnesses().await.unwrap();
        let bytes = proof(&site, &certificate);
        let cosigned = Proof::read(&bytes).unwrap().verify(entry_of(&certificate), &log, &keys).unwrap();
        assert_eq!(cosigned.witnesses.len(), 1);
    }
    let served = serve(&site).await;
    let seen = Follower::new(log).advance(&served.place, &keys, true, |_, _| ()).await.unwrap();
    assert_eq!(seen.witnesses.len(), 1);
}

/// Shows REQ-LOG-05.
#[tokio::test(flavor = "multi_thread")]
async fn sumdb_of_go_reads_the_whole_log_and_every_proof() {
    let site = tokio::task::block_in_place(Site::new);
    for number in 0..260 {
        tokio::task::block_in_place(|| site.enrol(&format!("ct-{number}"), &SigningKey::generate()));
    }
    let served = serve(&site).await;
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/authority/tlog.go");
    let run = |key: String| {
        let url = served.url.clone();
        tokio::task::spawn_blocking(move || {
            let mut go = Command::new("go");
            go.args(["run", program, &url, &key]).env("GO111MODULE", "off").env("GOPATH", "/usr/share/gocode");
            go.env("GOFLAGS", "")
                .output()
                .unwrap_or_else(|error| panic!("go: {error}; `cargo xtask peers` installs it"))
        })
    };
    let output = run(key(&site).to_string()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "263 entries\n", "{text}");
    let another = tokio::task::block_in_place(Site::new);
    assert!(!run(key(&another).to_string()).await.unwrap().status.success(), "another log's key was accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_another_key_is_not_followed() {
    let (site, other) = tokio::task::block_in_place(|| (Site::new(), Site::new()));
    let served = serve(&site).await;
    let found = Follower::new(key(&other)).advance(&served.place, &[], false, |_, _| ()).await;
    assert!(matches!(found, Err(FollowError::Checkpoint(_))), "{found:?}");
}

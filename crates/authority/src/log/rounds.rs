//! When the sequencer's rounds begin.

use super::Sequencer;
use crate::signer::{InProcess, KeyLabel, Kind, Signer, SignerError};
use crate::store::{Issuances as _, Purpose, Record, Serial, SqlStore};
use medlock_node::log::Checkpoint;
use medlock_node::provider::SigningAlgorithm;
use medlock_store::postgres::Server;
use medlock_testkit::PostgresServer;
use medlock_trust::{KeyId, Time};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// After so long something does not come any more, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

/// Says what size of the log it is to sign, and signs it when it is let.
struct Gated {
    inner: InProcess,
    asked: Mutex<Sender<u64>>,
    let_go: Mutex<Receiver<()>>,
}

impl Signer for Gated {
    fn generate(&self, key: KeyLabel, algorithm: SigningAlgorithm) -> Result<Vec<u8>, SignerError> {
        self.inner.generate(key, algorithm)
    }

    fn public_key(&self, key: KeyLabel) -> Result<Option<Vec<u8>>, SignerError> {
        self.inner.public_key(key)
    }

    fn sign(&self, key: KeyLabel, kind: Kind, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let size = std::str::from_utf8(message).unwrap().lines().nth(1).unwrap().parse().unwrap();
        self.asked.lock().unwrap().send(size).unwrap();
        // A test that fails lets nothing go.
        let _ = self.let_go.lock().unwrap().recv_timeout(PATIENCE);
        self.inner.sign(key, kind, message)
    }

    fn retire(&self, key: KeyLabel) -> Result<(), SignerError> {
        self.inner.retire(key)
    }

    fn signed_checkpoint(&self, origin: &str) -> Result<Option<Checkpoint>, SignerError> {
        self.inner.signed_checkpoint(origin)
    }
}

fn record(number: u8) -> Record {
    Record {
        serial: Serial::from_random([number; 16]),
        purpose: Purpose::Operational,
        device: None,
        key: KeyId::from_bytes([number; 16]),
        parent: None,
        not_before: Time::from_unix(0),
        not_after: Time::from_unix(100),
        at: Time::from_unix(0),
        tbs: vec![number; 10],
    }
}

/// Records something, and waits until the log covers it.
fn cover(store: &SqlStore, sequencer: &Sequencer, number: u8) {
    let record = record(number);
    let serial = record.serial;
    store.record(record).unwrap();
    sequencer.await_covered(serial).unwrap();
}

/// One after another, and how long all took.
fn cover_all(store: &SqlStore, sequencer: &Sequencer, numbers: std::ops::Range<u8>) -> Duration {
    let begun = Instant::now();
    numbers.for_each(|number| cover(store, sequencer, number));
    begun.elapsed()
}

fn signer(dir: &Path) -> InProcess {
    InProcess::open(dir).unwrap()
}

/// Shows REQ-LOG-90: what comes while a slow signer works is one round, which begins when that one ends, and nothing is told before
/// it is signed.
#[test]
fn a_slow_signer_makes_larger_rounds() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(SqlStore::sqlite(&dir.path().join("store")).unwrap());
    let ((asked, sizes), (go, let_go)) = (channel(), channel());
    let gated = Gated { inner: signer(dir.path()), asked: Mutex::new(asked), let_go: Mutex::new(let_go) };
    let sequencer = Sequencer::open(store.clone(), Arc::new(gated), None).unwrap();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| cover(&store, &sequencer, 1));
        assert_eq!(sizes.recv_timeout(PATIENCE), Ok(1));
        let (recorded, all_recorded) = channel();
        let others: Vec<_> = (2..=9)
            .map(|number| {
                let (store, sequencer, recorded) = (&store, &sequencer, recorded.clone());
                scope.spawn(move || {
                    let record = record(number);
                    let expected = sequencer.expect(vec![record.serial]);
                    store.record(record).unwrap();
                    expected.recorded();
                    recorded.send(()).unwrap();
                    expected.wait_for(Serial::from_random([number; 16])).unwrap();
                })
            })
            .collect();
        others.iter().for_each(|_| all_recorded.recv_timeout(PATIENCE).unwrap());
        assert!(sizes.try_recv().is_err() && !first.is_finished(), "nobody was told of what is not signed");
        go.send(()).unwrap();
        assert_eq!(sizes.recv_timeout(PATIENCE), Ok(9), "all that had gathered are one round");
        first.join().unwrap();
        assert!(others.iter().all(|one| !one.is_finished()));
        go.send(()).unwrap();
        others.into_iter().for_each(|one| one.join().unwrap());
    });
}

/// Shows REQ-LOG-90: rounds that are held open for 200 ms would take 20 s.
#[test]
fn no_round_is_held_open() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(SqlStore::sqlite(&dir.path().join("store")).unwrap());
    let sequencer = Sequencer::open(store.clone(), Arc::new(signer(dir.path())), None).unwrap();
    let took = cover_all(&store, &sequencer, 0..100);
    assert!(took < Duration::from_secs(10), "a hundred rounds took {took:?}");
}

/// Shows REQ-LOG-91: looked for once a second only, they would take 10 s.
#[test]
fn records_of_another_hub_wait_no_longer_for_their_round() {
    let dir = tempfile::tempdir().unwrap();
    let running = PostgresServer::shared();
    let server = Server::new(&running.url(), &running.schema(), None, None).unwrap();
    let hubs = [(); 2].map(|()| {
        let store = Arc::new(SqlStore::postgres(server.clone()).unwrap());
        let sequencer = Sequencer::open(store.clone(), Arc::new(signer(dir.path())), None).unwrap();
        (store, sequencer)
    });
    let [(one, sequencer), (other, others)] = &hubs;
    cover(one, sequencer, 0);
    let took = cover_all(other, others, 1..11);
    assert!(took < Duration::from_secs(5), "ten rounds took {took:?}");
}

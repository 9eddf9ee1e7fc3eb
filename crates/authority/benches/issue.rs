//! How fast certificates come: prepare, record, sign, store, cover by the log, each durably, by one asker and by many at
//! once.
//!
//! The many show the group commit: each waits for the disk, and one commit serves all that wait.

use divan::counter::ItemsCount;
use medlock_authority::issue::{Form, Issuer, Line, Room, Template, issue};
use medlock_authority::log::Sequencer;
use medlock_authority::registry::{Device, DeviceConfig};
use medlock_authority::signer::{InProcess, KeyLabel, Signer};
use medlock_authority::store::{Purpose, SqlStore, Store};
use medlock_authority::{Authority, AuthorityConfig, tickets};
use medlock_node::clock::Clock;
use medlock_node::provider::{SigningAlgorithm, SigningKey};
use medlock_store::postgres::Server;
use medlock_testkit::PostgresServer;
use medlock_trust::Time;
use std::path::Path;
use std::sync::Arc;

fn main() {
    divan::main();
}

/// Certificates in one measured round.
const ROUND: usize = 512;
/// A name of an authority: `CN=CA`.
const NAME: [u8; 15] = [0x30, 13, 0x31, 11, 0x30, 9, 0x06, 3, 0x55, 4, 3, 0x0c, 2, b'C', b'A'];

#[divan::bench(args = [1, 8, 64, 256], sample_count = 10, sample_size = 1)]
fn sqlite(bencher: divan::Bencher<'_, '_>, threads: usize) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = SqlStore::sqlite(&dir.path().join("authority.sqlite")).expect("a new database");
    durable_certificates(bencher, threads, dir.path(), Arc::new(store));
}

/// A server of its own, on the same machine, that waits for the disk at each commit.
#[divan::bench(args = [1, 8, 64, 256], sample_count = 10, sample_size = 1)]
fn postgresql(bencher: divan::Bencher<'_, '_>, threads: usize) {
    let (dir, server) = (tempfile::tempdir().expect("a temporary directory"), PostgresServer::synchronous());
    let address = Server::new(&server.url(), "bench", None, None).expect("an address");
    let store = SqlStore::postgres(address).expect("a new schema");
    durable_certificates(bencher, threads, dir.path(), Arc::new(store));
}

fn durable_certificates(bencher: divan::Bencher<'_, '_>, threads: usize, dir: &Path, store: Arc<dyn Store>) {
    let signer: Arc<dyn Signer> = Arc::new(InProcess::open(dir).expect("a key directory"));
    let log = Sequencer::open(store.clone(), signer.clone(), None).expect("a log");
    let room = Room::default();
    let line = Line { store: &*store, signer: &*signer, log: &log, room: &room };
    let issuing = signer.generate(KeyLabel::ISSUING, SigningAlgorithm::P256).expect("a key");
    let config = DeviceConfig { name: "ct-1".into(), roles: vec!["modality".into()], ..DeviceConfig::default() };
    let device = Device::try_from(config).expect("a device");
    let key = SigningKey::generate();
    let now = Time::from_unix(1_800_000_000);
    let one = || {
        let template = Template {
            form: Form::X509,
            purpose: Purpose::Operational,
            organization: "Sankt Anna",
            device: Some(&device),
            authority: None,
            maker_serial: None,
            spki: key.spki(),
            parent: None,
            not_before: now,
            not_after: now.plus_seconds(86_400),
            addresses: None,
            masa: None,
        };
        let issuer = Issuer { name: &NAME, spki: &issuing, key: KeyLabel::ISSUING, algorithm: SigningAlgorithm::P256 };
        issue(&template, &issuer, now, &line).expect("a certificate")
    };
    bencher.counter(ItemsCount::new(ROUND)).bench_local(|| {
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| (0..ROUND / threads).for_each(|_| drop(one())));
            }
        });
    });
}

/// Status tickets with P-256, through the library, by one asker and by two at once.
#[divan::bench(args = [1, 2], sample_count = 10, sample_size = 1)]
fn tickets(bencher: divan::Bencher<'_, '_>, threads: usize) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let signer = Arc::new(InProcess::open(&dir.path().join("keys")).expect("a key directory"));
    let clock = Clock::manual(Time::from_unix(1_800_000_000));
    let config = AuthorityConfig::site(dir.path(), "Sankt Anna");
    let site = Authority::open(&config, clock, signer).expect("a site");
    let hub = site.hub_identity().current().expect("the hub's own credential").credential();
    let request = tickets::Request { nonce: vec![7; 16], credentials: vec![hub; ROUND / threads] };
    bencher.counter(ItemsCount::new(ROUND)).bench_local(|| {
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| drop(site.tickets(&request).expect("tickets")));
            }
        });
    });
}

//! Whatever fails or is killed at whatever moment: no acknowledged certificate is lost, no serial is used twice, no
//! certificate exists without its record.

use crate::fixture::{FROM, config, credential, ct, open_as, postgres};
use medlock_authority::admin::{Asker, Request, Response};
use medlock_authority::enrolment::Answer;
use medlock_authority::registry::Device;
use medlock_authority::signer::{InProcess, KeyLabel, Kind, Signer, SignerError};
use medlock_authority::store::{
    Alarm, AuditEntry, Claim, CodeRecord, CodeState, CredentialState, DeviceSearch, Enrolment, Holding, Issuances,
    Issued, Journal, Log, LogEntry, LogTile, Met, MetCertificate, Owner, OwnerEvent, Owners, Past, PendingRequest,
    PendingState, Pledge, PledgeRoom, Pledges, Published, Purpose, Record, Register, Serial, SignedCheckpoint,
    SqlStore, Standing, StandingChange, Standings, StoreError, Subject, Turn,
};
use medlock_authority::{Authority, AuthorityConfig, Error};
use medlock_node::clock::Clock;
use medlock_node::enrol::{Code, certificate_request};
use medlock_node::log::{Checkpoint, Tile};
use medlock_node::provider::{SigningAlgorithm, SigningKey};
use medlock_testkit::PostgresServer;
use medlock_trust::x509::Certificate;
use medlock_trust::{CredentialId, DeviceName, KeyId, Time};
use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Counts down; what is asked at zero fails, and everything after it: the process is gone.
#[derive(Debug)]
struct Fuse {
    left: AtomicI64,
    /// Whether the failing step itself still happens, unacknowledged.
    after: bool,
}

impl Fuse {
    fn step<T>(&self, act: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        if left > 0 {
            return act();
        }
        if left == 0 && self.after {
            let _ = act();
        }
        Err(StoreError::Failed { database: String::new(), doing: "test", why: "the fuse has blown".into() })
    }
}

struct Faulty {
    inner: SqlStore,
    fuse: Arc<Fuse>,
}

/// Stops a store and a signer together.
pub(crate) struct Stopping(Arc<Fuse>);

impl Stopping {
    /// They stop after so many steps from now on.
    pub(crate) fn after_steps(&self, steps: i64) {
        self.0.left.store(steps, Ordering::SeqCst);
    }

    pub(crate) fn has_stopped(&self) -> bool {
        self.0.left.load(Ordering::SeqCst) < 0
    }
}

/// An authority that stops when it is asked to; with `after`, the last step still happens.
pub(crate) fn stopping(config: &AuthorityConfig, clock: &Clock, after: bool) -> (Authority, Stopping) {
    let fuse = Arc::new(Fuse { left: AtomicI64::new(i64::MAX), after });
    let inner = SqlStore::sqlite(&config.dir.join("authority.sqlite")).unwrap();
    let store = Arc::new(Faulty { inner, fuse: fuse.clone() });
    let inner = InProcess::open(&config.dir.join("signer")).unwrap();
    let signer = Arc::new(FaultySigner { inner, fuse: fuse.clone() });
    (Authority::open_with(config, clock.clone(), signer, store).unwrap(), Stopping(fuse))
}

/// Verbs that change something go through the fuse, the others straight on.
macro_rules! through {
    ($($kind:ident: fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(through!(@ $kind $name ($($argument: $type),*) $result);)*
    };
    (@ write $name:ident ($($argument:ident: $type:ty),*) $result:ty) => {
        fn $name(&self, $($argument: $type),*) -> Result<$result, StoreError> {
            self.fuse.step(|| self.inner.$name($($argument),*))
        }
    };
    (@ read $name:ident ($($argument:ident: $type:ty),*) $result:ty) => {
        fn $name(&self, $($argument: $type),*) -> Result<$result, StoreError> {
            self.inner.$name($($argument),*)
        }
    };
}

impl Issuances for Faulty {
    through! {
        write: fn record(record: Record) -> ();
        read: fn turn_of(device: DeviceName, key: KeyId) -> Turn;
        read: fn past(device: DeviceName, key: KeyId) -> Past;
        write: fn record_in_turn(record: Record, turn: Turn) -> ();
        write: fn end_turns_of(device: DeviceName) -> ();
        read: fn orphans() -> Vec<Serial>;
        write: fn complete(serial: Serial, credential: CredentialId, certificate: Vec<u8>) -> ();
        write: fn abandon(serial: Serial, why: &str) -> ();
        read: fn unfinished() -> Vec<Record>;
        read: fn issued(credential: CredentialId) -> Option<Issued>;
        read: fn issued_with_serial(serial: Serial) -> Option<Issued>;
        read: fn newest(purpose: Purpose) -> Option<Issued>;
        read: fn credentials_of(device: DeviceName) -> Vec<Issued>;
        read: fn credentials_for(key: KeyId) -> Vec<Issued>;
        read: fn children(parent: CredentialId) -> Vec<Issued>;
        write: fn mark_used(credential: CredentialId) -> bool;
    }
}

impl Register for Faulty {
    through! {
        write: fn add_device(device: Device, at: Time) -> ();
        write: fn replace_device(read: Device, device: Device) -> ();
        write: fn remove_device(name: DeviceName) -> ();
        read: fn device_written_like(name: DeviceName) -> Option<DeviceName>;
        read: fn device(name: DeviceName) -> Option<Device>;
        read: fn device_with_maker_serial(serial: &str) -> Option<Device>;
        read: fn device_with_title(title: &str) -> Option<DeviceName>;
        read: fn devices_page(search: &DeviceSearch, after: Option<&str>, limit: u32) -> Vec<Device>;
        read: fn device_count() -> u64;
        read: fn devices_with_routes() -> Vec<Device>;
        read: fn hubs() -> Vec<Device>;
        write: fn add_code(code: CodeRecord) -> ();
        read: fn code(id: [u8; 5]) -> Option<CodeRecord>;
        read: fn enrolment(code: [u8; 5], key: KeyId) -> Option<Enrolment>;
        write: fn count_wrong_try(id: [u8; 5], most: u32) -> u32;
        write: fn set_code_state(id: [u8; 5], state: CodeState) -> ();
        write: fn void_open_codes() -> u64;
        write: fn void_claims_of(device: DeviceName) -> ();
        write: fn add_pending(pending: PendingRequest, most: u32) -> ();
        read: fn pending(id: [u8; 8]) -> Option<PendingRequest>;
        read: fn pending_by(claim: &Claim, key: KeyId) -> Option<PendingRequest>;
        read: fn waiting() -> Vec<PendingRequest>;
        write: fn settle(id: [u8; 8], state: PendingState, device: Option<DeviceName>) -> ();
    }
}

impl Standings for Faulty {
    through! {
        write: fn change_standings(changes: Vec<StandingChange>, now: Time) -> u64;
        write: fn hear_standings(heard: Vec<StandingChange>, by: KeyId, now: Time) -> usize;
        write: fn forget_heard(by: KeyId, now: Time) -> Vec<Subject>;
        read: fn each_standing(ended: Time, take: &mut (dyn FnMut(Met) -> bool + Send)) -> u64;
        read: fn each_revoked(now: Time, take: &mut (dyn FnMut(MetCertificate) + Send)) -> u64;
        read: fn epoch() -> u64;
        read: fn standings_of(credential: CredentialId, issuer: KeyId) -> Option<Vec<Standing>>;
        read: fn states(after: Option<CredentialId>, most: u32) -> Vec<CredentialState>;
        read: fn holdings(devices: &[DeviceName]) -> Vec<Holding>;
        read: fn standing(subject: Subject) -> Option<Standing>;
    }
}

impl Owners for Faulty {
    through! {
        write: fn give_owner(serial: &str, event: OwnerEvent) -> ();
        write: fn free_owner(serial: &str, event: OwnerEvent, promised: Option<[u8; 32]>) -> ();
        write: fn forget_promise(serial: &str, event: OwnerEvent) -> ();
        read: fn owner_now(serial: &str) -> Owner;
        read: fn owned_since(serial: &str) -> Option<Time>;
        read: fn owners(serial: &str, most: u16) -> Vec<OwnerEvent>;
    }
}

impl Pledges for Faulty {
    through! {
        write: fn note_pledge(pledge: Pledge, room: PledgeRoom) -> bool;
        read: fn pledge(maker: KeyId, serial: &str) -> Option<Pledge>;
        read: fn pledges(since: Time, most: u32) -> Vec<Pledge>;
    }
}

impl Journal for Faulty {
    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    through! {
        write: fn publish(kind: &'static str, object: Published) -> ();
        write: fn publish_all(objects: Vec<(&'static str, Published, Option<u64>)>) -> ();
        read: fn versions() -> Vec<(String, u64)>;
        read: fn server_time() -> Option<Time>;
        read: fn hold(what: &str, holder: [u8; 16], seconds: u32) -> bool;
        read: fn hubs_at_work() -> Vec<String>;
        read: fn clocks_of_the_server() -> Vec<String>;
        read: fn let_go(what: &str, holder: [u8; 16]) -> ();
        read: fn published(kind: &'static str) -> Option<Published>;
        write: fn next_number(series: &str, least: u64) -> u64;
        write: fn next_number_after(series: &'static str, least: u64, before: u64) -> u64;
        read: fn last_number(series: &str) -> u64;
        write: fn raise(alarm: Alarm) -> ();
        read: fn alarms() -> Vec<Alarm>;
        read: fn last_alarm(kind: &str, device: DeviceName) -> Option<Alarm>;
        read: fn last_alarms(kind: &str, devices: &[DeviceName]) -> HashMap<DeviceName, Alarm>;
        write: fn acknowledge(id: i64) -> ();
        write: fn note(entry: AuditEntry) -> ();
        read: fn audit(limit: u32) -> Vec<AuditEntry>;
        read: fn setting(name: &'static str) -> Option<String>;
        write: fn set_once(name: &'static str, value: &str) -> ();
    }
}

impl Log for Faulty {
    through! {
        write: fn take_lease(holder: [u8; 16], seconds: u32) -> Option<u64>;
        read: fn log_size() -> u64;
        read: fn waiting_entries(most: u32) -> Vec<LogEntry>;
        write: fn append_entries(term: u64, first: u64, serials: Vec<Serial>, tiles: Vec<LogTile>) -> ();
        read: fn log_tile(tile: Tile) -> Option<Vec<u8>>;
        read: fn log_entries(first: u64, count: u32) -> Vec<LogEntry>;
        read: fn place_of(serial: Serial) -> Option<u64>;
        read: fn place_of_credential(credential: CredentialId) -> Option<u64>;
        write: fn keep_checkpoint(term: u64, checkpoint: SignedCheckpoint) -> ();
        read: fn checkpoint() -> Option<SignedCheckpoint>;
        write: fn start_log_anew(origin: &str) -> ();
    }
}

struct FaultySigner {
    inner: InProcess,
    fuse: Arc<Fuse>,
}

impl Signer for FaultySigner {
    fn generate(&self, key: KeyLabel, algorithm: SigningAlgorithm) -> Result<Vec<u8>, SignerError> {
        self.fuse.step(|| Ok(())).map_err(|_| SignerError::Away("test".into()))?;
        self.inner.generate(key, algorithm)
    }

    fn public_key(&self, key: KeyLabel) -> Result<Option<Vec<u8>>, SignerError> {
        self.inner.public_key(key)
    }

    fn sign(&self, key: KeyLabel, kind: Kind, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.fuse.step(|| Ok(())).map_err(|_| SignerError::Away("test".into()))?;
        self.inner.sign(key, kind, message)
    }

    fn retire(&self, key: KeyLabel) -> Result<(), SignerError> {
        self.inner.retire(key)
    }

    fn signed_checkpoint(&self, origin: &str) -> Result<Option<Checkpoint>, SignerError> {
        self.inner.signed_checkpoint(origin)
    }
}

/// What a whole story has acknowledged before it stopped.
#[derive(Default)]
struct Acknowledged {
    certificates: Vec<Vec<u8>>,
    compromised: bool,
}

/// Hubs on a server are to have its time.
fn begin() -> Time {
    Clock::system().now()
}

/// Creates a site, enrols two devices, renews one, revokes the other; stops at the first error.
fn story(config: &AuthorityConfig, fuse: &Arc<Fuse>, done: &mut Acknowledged) -> Result<(), Error> {
    let (clock, dir) = (Clock::manual(begin()), &config.dir);
    let inner = match &config.store {
        None => SqlStore::sqlite(&dir.join("authority.sqlite"))?,
        Some(server) => SqlStore::postgres(server.address()?)?,
    };
    let store = Arc::new(Faulty { inner, fuse: fuse.clone() });
    let inner = InProcess::open(&dir.join("signer"))?;
    let signer = Arc::new(FaultySigner { inner, fuse: fuse.clone() });
    let authority = Authority::open_with(config, clock, signer, store)?;
    let ask = |request| authority.administer(&Asker::program(), request);
    let mut held = Vec::new();
    for name in ["ct-1", "ct-2"] {
        ask(Request::Register { device: ct(name) })?;
        let Response::Code { code, .. } = ask(Request::Code { device: name.into(), lifetime_seconds: None })? else {
            panic!("no code")
        };
        let (code, key): (Code, _) = (code.parse().unwrap(), SigningKey::generate());
        let request = certificate_request(&key, None);
        let enrol = || authority.enrol_by_code(&code.user(), &code.password(), &request, FROM);
        enrol()?;
        let Response::Pending { pending } = ask(Request::Pending)? else { panic!("no list") };
        ask(Request::Approve { id: pending[0].id.clone(), device: None })?;
        let Answer::Issued(certificate) = enrol()? else { panic!("not issued") };
        done.certificates.push(certificate.clone());
        held.push(certificate);
    }
    let chain = [held[0].clone(), authority.issuing().der.clone()].map(Into::into);
    let who = authority.knowledge().identify(&chain).unwrap();
    let request = certificate_request(&SigningKey::generate(), None);
    let Answer::Issued(renewed) = authority.renew(&who, &held[0], &request, FROM)? else { panic!("not renewed") };
    done.certificates.push(renewed);
    let reason = medlock_authority::admin::Reason::KeyCompromise;
    ask(Request::Revoke { device: "ct-2".into(), reason, why: "test".into() })?;
    done.compromised = true;
    Ok(())
}

/// Opens an authority whose store and signer fail behind so many steps; what it opened is closed again.
pub(crate) fn opens_within(config: &AuthorityConfig, clock: &Clock, left: i64, after: bool) -> bool {
    let fuse = Arc::new(Fuse { left: AtomicI64::new(left), after });
    let inner = SqlStore::sqlite(&config.dir.join("authority.sqlite")).unwrap();
    let store = Arc::new(Faulty { inner, fuse: fuse.clone() });
    let inner = InProcess::open(&config.dir.join("signer")).unwrap();
    let signer = Arc::new(FaultySigner { inner, fuse: fuse.clone() });
    Authority::open_with(config, clock.clone(), signer, store).is_ok() && fuse.left.load(Ordering::SeqCst) > 0
}

/// Serial, to-be-signed bytes, certificate and state of each record, as the database itself has them.
type Rows = Vec<(Vec<u8>, Vec<u8>, Option<Vec<u8>>, String)>;

fn rows(config: &AuthorityConfig) -> Rows {
    let Some(server) = &config.store else {
        let database = rusqlite::Connection::open(config.dir.join("authority.sqlite")).unwrap();
        let mut statement = database.prepare("SELECT serial, tbs, certificate, state FROM issuance").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)));
        return rows.unwrap().map(Result::unwrap).collect();
    };
    let sql = format!(
        "SELECT encode(serial, 'hex'), encode(tbs, 'hex'), encode(certificate, 'hex'), state FROM {}.issuance ORDER BY number",
        server.schema
    );
    let answer = PostgresServer::query_at(&server.url, &sql).unwrap();
    let row = |line: &str| {
        let mut columns = line.split('|');
        let mut next = || columns.next().unwrap();
        let bytes = |hex: &str| data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
        let (serial, tbs, certificate) = (bytes(next()), bytes(next()), bytes(next()));
        (serial, tbs, Some(certificate).filter(|bytes| !bytes.is_empty()), next().to_owned())
    };
    answer.lines().map(row).collect()
}

/// Where several hubs share a store, what nobody finishes is given up after a minute: here it has gone by.
fn a_minute_later(config: &AuthorityConfig) {
    if let Some(server) = &config.store {
        let schema = &server.schema;
        let sql = format!(
            "UPDATE {schema}.issuance SET since = since - 61; DELETE FROM {schema}.hold; UPDATE {schema}.log SET until = 0"
        );
        PostgresServer::query_at(&server.url, &sql).unwrap();
    }
}

/// Compares what the database has with what was acknowledged.
pub(crate) fn check(config: &AuthorityConfig, certificates: &[Vec<u8>]) {
    let mut records = HashMap::new();
    for (serial, tbs, certificate, state) in rows(config) {
        assert_ne!(state, "recorded", "a record was left unfinished after a start");
        if let Some(certificate) = &certificate {
            let read = Certificate::from_der(certificate).unwrap();
            assert_eq!(
                (read.serial_number(), read.tbs()),
                (&serial[..], &tbs[..]),
                "a certificate is not its record's"
            );
        }
        assert!(records.insert(serial, certificate).is_none());
    }
    let mut serials = HashSet::new();
    for certificate in certificates {
        let serial = Certificate::from_der(certificate).unwrap().serial_number().to_vec();
        assert_eq!(records.get(&serial), Some(&Some(certificate.clone())), "an acknowledged certificate is lost");
        assert!(serials.insert(serial), "a serial was used twice");
    }
}

/// Shows REQ-AUTH-18.
#[test]
fn a_failure_at_each_single_step_loses_nothing_and_the_next_start_mends_it() {
    a_failure_at_each_single_step(config);
}

/// Shows REQ-STORE-06.
#[test]
fn a_failure_at_each_single_step_loses_nothing_on_postgresql() {
    a_failure_at_each_single_step(|dir| AuthorityConfig { store: Some(postgres()), ..config(dir) });
}

fn a_failure_at_each_single_step(config: impl Fn(&Path) -> AuthorityConfig + Sync) {
    for after in [false, true] {
        let (next, most) = (AtomicI64::new(0), AtomicI64::new(i64::MAX));
        // Most of the time is waiting for a log that never comes.
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    loop {
                        let steps = next.fetch_add(1, Ordering::SeqCst);
                        if steps > most.load(Ordering::SeqCst) {
                            return;
                        }
                        let dir = tempfile::tempdir().unwrap();
                        if fails_and_is_mended(config(dir.path()), after, steps) {
                            most.fetch_min(steps, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        let steps = most.into_inner();
        assert!(steps > 30, "the story has only {steps} steps");
    }
}

/// Lets the story fail after so many steps, and opens the authority again with everything well. Returns whether the story
/// came to its end.
fn fails_and_is_mended(config: AuthorityConfig, after: bool, steps: i64) -> bool {
    let fuse = Arc::new(Fuse { left: AtomicI64::new(steps), after });
    let mut done = Acknowledged::default();
    let finished = story(&config, &fuse, &mut done).is_ok();
    a_minute_later(&config);
    let authority = open_as(&config, &Clock::manual(begin().plus_seconds(1)));
    check(&config, &done.certificates);
    authority.tick().unwrap();
    if done.compromised {
        let id = credential(&done.certificates[1]);
        let status = authority.news().current(medlock_authority::objects::Kind::Status).unwrap();
        let list = medlock_trust::status::StatusList::danger_open(&status.bytes).unwrap();
        let record = list.record(medlock_trust::status::Subject::Credential(id));
        assert_eq!(record.map(|record| record.state), Some(medlock_trust::status::State::Compromised));
    }
    for certificate in &done.certificates {
        assert!(authority.log_proof(credential(certificate)).unwrap().is_some(), "given out and not in the log");
    }
    assert!(authority.hub_identity().current().is_some());
    finished
}

/// The configuration of the process.
const DIRECTORY: &str = "MEDLOCK_TEST_CRASH_CONFIG";

/// Not a test: enrols devices in four threads as fast as it can and tells each certificate it has got.
#[test]
fn the_process_itself() {
    let Ok(place) = std::env::var(DIRECTORY) else { return };
    let config: AuthorityConfig = serde_json::from_str(&place).unwrap();
    let authority = Arc::new(open_as(&config, &Clock::system()));
    let tell = Arc::new(std::sync::Mutex::new(std::io::stderr()));
    let start = authority.store_count();
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (authority, tell) = (authority.clone(), tell.clone());
            std::thread::spawn(move || {
                for number in 0.. {
                    let name = format!("ct-{start}-{thread}-{number}");
                    let device =
                        medlock_authority::registry::DeviceConfig { ae_titles: Vec::new(), sidecar: None, ..ct(&name) };
                    authority.administer(&Asker::program(), Request::Register { device }).unwrap();
                    let ask = Request::Code { device: name.clone(), lifetime_seconds: None };
                    let Ok(Response::Code { code, .. }) = authority.administer(&Asker::program(), ask) else {
                        panic!()
                    };
                    let code: Code = code.parse().unwrap();
                    let request = certificate_request(&SigningKey::generate(), None);
                    let enrol = || authority.enrol_by_code(&code.user(), &code.password(), &request, FROM).unwrap();
                    enrol();
                    let Ok(Response::Pending { pending }) = authority.administer(&Asker::program(), Request::Pending)
                    else {
                        panic!()
                    };
                    let mine = pending.into_iter().find(|one| one.device.as_deref() == Some(&name)).unwrap();
                    authority.administer(&Asker::program(), Request::Approve { id: mine.id, device: None }).unwrap();
                    let Answer::Issued(certificate) = enrol() else { panic!() };
                    let line = format!("GOT {}\n", data_encoding::HEXLOWER.encode(&certificate));
                    tell.lock().unwrap().write_all(line.as_bytes()).unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

trait Count {
    fn store_count(&self) -> usize;
}

impl Count for Authority {
    fn store_count(&self) -> usize {
        match self.administer(&Asker::program(), Request::List).unwrap() {
            Response::Devices { devices } => devices.len(),
            other => panic!("{other:?}"),
        }
    }
}

/// Shows REQ-AUTH-18.
#[test]
fn sigkill_while_certificates_are_issued_loses_none_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    sigkill_while_certificates_are_issued(&config(dir.path()));
}

/// Shows REQ-STORE-06.
#[test]
fn sigkill_while_certificates_are_issued_loses_none_on_postgresql() {
    let dir = tempfile::tempdir().unwrap();
    sigkill_while_certificates_are_issued(&AuthorityConfig { store: Some(postgres()), ..config(dir.path()) });
}

fn sigkill_while_certificates_are_issued(config: &AuthorityConfig) {
    let mut got = Vec::new();
    for _ in 0..4 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::the_process_itself", "--nocapture"])
            .env(DIRECTORY, serde_json::to_string(config).unwrap())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
        let before = got.len();
        for line in lines {
            let line = line.unwrap();
            if let Some(hex) = line.strip_prefix("GOT ")
                && let Ok(certificate) = data_encoding::HEXLOWER.decode(hex.as_bytes())
                && Certificate::from_der(&certificate).is_ok()
            {
                got.push(certificate);
            }
            if got.len() == before + 10 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        a_minute_later(config);
        drop(open_as(config, &Clock::system()));
        check(config, &got);
    }
    assert!(got.len() >= 40, "only {} certificates", got.len());
}

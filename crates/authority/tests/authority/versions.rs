//! Stores that programs of several versions work on.

use crate::fixture::{Site, issued, noon, postgres};
use crate::hubs::{approve_all, claim, hub_at, register, two_on};
use crate::log;
use medlock_authority::Authority;
use medlock_authority::log::Entry;
use medlock_authority::store::{Issuances as _, Log as _, ServerConfig};
use medlock_node::clock::Clock;
use medlock_node::log::{Follower, Proof};
use medlock_node::provider::SigningKey;
use medlock_store::{Database, Schema, Step};
use medlock_testkit::PostgresServer;
use medlock_trust::DeviceName;
use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// What a newer program adds to the authority's tables.
const ADDED: [Step; 4] = [
    Step::Both("ALTER TABLE issuance ADD COLUMN region INTEGER NOT NULL DEFAULT 0"),
    Step::Index { name: "issuance_region", on: "issuance (region, number)" },
    Step::Both("CREATE TABLE region (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID"),
    Step::Code(|sql| sql.execute("UPDATE device SET turn = turn", &[]).map(drop)),
];

/// Brings the tables up to date as a newer program does: behind the steps that today's takes.
fn update(server: &ServerConfig) -> Database {
    let taken = format!("SELECT version FROM {}.tables_version", server.schema);
    let taken: usize = PostgresServer::shared().query(&taken).unwrap().parse().unwrap();
    let steps: Vec<Step> = std::iter::repeat_n(Step::Both(""), taken).chain(ADDED).collect();
    let schema = Schema { application: "medlock-authority", id: 0, oldest: taken, steps: Vec::leak(steps) };
    Database::postgres(server.address().unwrap(), &schema).unwrap()
}

/// Says that it is over when it goes.
struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Shows REQ-STORE-154: two hubs of one version issue; a newer one changes the tables meanwhile, which somebody holds for seconds.
/// Nobody waits longer than for a moment, also a hub of the version before starts behind it, and the log has no gap.
#[test]
fn hubs_go_on_issuing_while_a_newer_one_changes_their_tables() {
    let dir = tempfile::tempdir().unwrap();
    let server = postgres();
    let ([one, other], store) = two_on(&server, dir.path());
    let before = store.log_size().unwrap();
    let (count, over) = (AtomicU32::new(0), AtomicBool::new(false));
    let enrol = |at: &Authority| {
        let name = format!("ct-{}", count.fetch_add(1, Ordering::Relaxed));
        register(at, &name);
        let enrol = claim(at, &name);
        enrol(at).unwrap();
        approve_all(at);
        issued(enrol(at).unwrap());
        assert_eq!(store.credentials_of(DeviceName::new(&name).unwrap()).unwrap().len(), 1);
    };
    // By the server's clock, in seconds.
    let asked = |sql: &str| PostgresServer::shared().query(sql).unwrap().parse::<f64>().unwrap();
    const NOW: &str = "SELECT extract(epoch FROM clock_timestamp())";
    std::thread::scope(|scope| {
        // Who works ends also where this fails.
        let _over = Over(&over);
        let dump = scope.spawn(|| {
            asked(&format!("{NOW} FROM (SELECT count(*) FROM {}.issuance, pg_sleep(5)) held", server.schema))
        });
        let holds = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT extract%issuance, pg_sleep(5)) held' AND state = 'active'";
        while PostgresServer::shared().query(holds).unwrap() == "0" {
            std::thread::sleep(Duration::from_millis(10));
        }
        let working = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            while !over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                enrol(&other);
                longest = longest.max(begun.elapsed());
            }
            longest
        });
        drop(update(&server));
        let updated = asked(NOW);
        assert!(updated > dump.join().unwrap(), "a column came into a table that somebody held");
        over.store(true, Ordering::Relaxed);
        let longest = working.join().unwrap();
        assert!(longest < Duration::from_secs(3), "somebody waited for {longest:?}");
    });
    drop(one);
    let again = hub_at(&server, dir.path(), "hub-1", &Clock::system()).unwrap();
    enrol(&again);
    enrol(&other);
    let devices = u64::from(count.into_inner());
    assert_eq!(store.log_size().unwrap(), before + devices);
    assert!(store.waiting_entries(1).unwrap().is_empty(), "something was given out that the log does not have");
    let entries = store.log_entries(0, 10_000).unwrap();
    assert_eq!(entries.len() as u64, before + devices, "the log has a gap");
    assert_eq!(entries.iter().map(|entry| entry.serial).collect::<HashSet<_>>().len(), entries.len());
}

/// A site of an earlier version, its keys beside it: its database is the text of a dump, made into a file as that version made it.
fn earlier() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/authority/earlier");
    let signer = dir.path().join("signer");
    std::fs::create_dir(&signer).unwrap();
    std::fs::set_permissions(&signer, std::fs::Permissions::from_mode(0o700)).unwrap();
    for file in std::fs::read_dir(folder.join("signer")).unwrap() {
        let file = file.unwrap();
        let to = signer.join(file.file_name());
        std::fs::copy(file.path(), &to).unwrap();
        std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let database = rusqlite::Connection::open(dir.path().join("authority.sqlite")).unwrap();
    database.execute_batch(&std::fs::read_to_string(folder.join("authority.sql")).unwrap()).unwrap();
    dir
}

/// Shows REQ-STORE-155: what it has issued is still in its log and in its register, what was revoked stays so, and its devices renew.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_an_earlier_version_goes_on() {
    let dir = earlier();
    let certificates: Vec<(String, Vec<u8>)> = {
        let database = rusqlite::Connection::open(dir.path().join("authority.sqlite")).unwrap();
        let version: u32 = database.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        assert_eq!(version, 4);
        let sql = "SELECT coalesce(device, ''), certificate FROM issuance WHERE state = 'issued' ORDER BY number";
        let mut sql = database.prepare(sql).unwrap();
        sql.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    };
    let of = |name: &str| certificates.iter().rfind(|(device, _)| device == name).unwrap().1.clone();
    let clock = Clock::manual(noon().plus_seconds(3_600));
    let site = tokio::task::block_in_place(|| {
        let authority = Arc::new(crate::fixture::open(dir.path(), &clock));
        Site { authority, clock, dir }
    });
    let log = log::key(&site);
    tokio::task::block_in_place(|| {
        assert_eq!(site.state("ct-1"), ("enrolled".to_owned(), vec!["good".to_owned(), "superseded".to_owned()]));
        assert_eq!(site.state("ct-2"), ("revoked".to_owned(), vec!["compromised".to_owned()]));
        assert_eq!(site.state("ct-3").1, Vec::<String>::new());
        for (_, certificate) in &certificates {
            let proof = log::proof(&site, certificate);
            Proof::read(&proof).unwrap().verify(log::entry_of(certificate), &log, &[]).unwrap();
        }
        issued(site.renew(&of("ct-1"), &SigningKey::generate()));
        site.enrol_again("ct-3", &SigningKey::generate());
        site.enrol("ct-4", &SigningKey::generate());
    });
    let served = log::serve(&site).await;
    let mut follower = Follower::new(log);
    let mut serials = HashSet::new();
    let advanced = follower.advance(&served.place, &[], true, |_, entry| {
        serials.insert(Entry::read(entry).unwrap().serial);
    });
    advanced.await.unwrap();
    let database = rusqlite::Connection::open(site.dir.path().join("authority.sqlite")).unwrap();
    let recorded: u32 = database.query_row("SELECT count(*) FROM issuance", [], |row| row.get(0)).unwrap();
    // Beside those of before and the three of now the hub's own, which is made anew without its folder.
    let recorded = u64::from(recorded);
    assert!(recorded > certificates.len() as u64 + 3);
    assert_eq!((follower.head().size, serials.len() as u64), (recorded, recorded), "the log has not each of them once");
}

//! A site with many credentials: how much memory it needs for all it publishes of them, and how long a page and a search
//! take.
//!
//! `cargo bench -p medlock-authority --bench store [CREDENTIALS] [FOLDER]`
//!
//! Of four credentials of each device three are superseded, and those of one device in ten so lately that they are still told.
//! One device in a hundred is out of service, lost or suspended.

use medlock_authority::admin::{Asker, Request, Response, Search};
use medlock_authority::signer::InProcess;
use medlock_authority::{Authority, AuthorityConfig};
use medlock_node::clock::Clock;
use medlock_trust::Time;
use rusqlite::{Connection, params};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Credentials of one device.
const EACH: u64 = 4;
const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;
/// The lengths of a usual certificate, and of what is signed of it.
const LENGTHS: (usize, usize) = (360, 450);

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let credentials = arguments.next().map_or(20_000, |count| count.parse().expect("a number of credentials"));
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let folder = arguments.next().map_or_else(|| temporary.path().to_owned(), Into::into);
    if std::env::var_os("MEDLOCK_BENCH_FILL").is_some() {
        fill(&folder, credentials);
        return;
    }
    if !folder.join("authority.sqlite").exists() {
        drop(open(&folder));
        let began = Instant::now();
        // In another process: what it needs is not measured.
        let mut filling = std::process::Command::new(std::env::current_exe().expect("this program"));
        filling.arg(credentials.to_string()).arg(&folder).env("MEDLOCK_BENCH_FILL", "1");
        assert!(filling.status().expect("it starts").success());
        println!("filled in {:.0} s", began.elapsed().as_secs_f64());
    }
    // What was written past the store is not in the log yet: an authority that has issued it has it there.
    let began = Instant::now();
    while unlogged(&folder) > 0 {
        // Opening may want a new credential of the hub, which waits for the log: in vain, as long as it is that far behind.
        let site = try_open(&folder);
        std::thread::sleep(std::time::Duration::from_millis(200));
        drop(site);
    }
    println!("the log was completed in {:.0} s", began.elapsed().as_secs_f64());
    measure(&folder, credentials / EACH);
}

fn open(folder: &Path) -> Authority {
    try_open(folder).expect("a site")
}

fn try_open(folder: &Path) -> Result<Authority, medlock_authority::Error> {
    let config = AuthorityConfig::site(folder, "Sankt Anna");
    let signer = Arc::new(InProcess::open(&folder.join("keys")).expect("a key directory"));
    Authority::open(&config, Clock::manual(Time::from_unix(NOW)), signer)
}

/// Each number from 0 once, far from its neighbours.
fn scattered(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn serial(number: u64) -> [u8; 16] {
    (0x01_u128 << 120 | u128::from(scattered(number)) << 32 | 7).to_be_bytes()
}

fn identifier(number: u64) -> [u8; 16] {
    (u128::from(scattered(number)) << 64 | u128::from(number)).to_be_bytes()
}

fn name(device: u64) -> String {
    format!("pump-{device:08}")
}

/// How many records the log does not have.
fn unlogged(folder: &Path) -> i64 {
    let database = Connection::open(folder.join("authority.sqlite")).expect("the store");
    database.busy_timeout(std::time::Duration::from_secs(60)).expect("a setting");
    let sql = "SELECT (SELECT max(number) FROM issuance) - (SELECT size FROM log)";
    database.query_row(sql, [], |row| row.get(0)).expect("a number")
}

/// Writes the rows as the store would have, without asking it ten million times.
fn fill(folder: &Path, credentials: u64) {
    let mut database = Connection::open(folder.join("authority.sqlite")).expect("the store");
    database
        .execute_batch(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; PRAGMA cache_size = -3000000;
             PRAGMA locking_mode = EXCLUSIVE",
        )
        .expect("settings");
    let indices: Vec<(String, String)> = {
        let sql = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL
                       AND tbl_name IN ('issuance', 'device', 'standing')";
        let mut statement = database.prepare(sql).expect("a statement");
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
        rows.map(Result::unwrap).collect()
    };
    for (name, _) in &indices {
        database.execute(&format!("DROP INDEX {name}"), []).expect("dropped");
    }
    let before: i64 =
        database.query_row("SELECT max(number) FROM issuance", [], |row| row.get(0)).expect("the authority's own");
    let transaction = database.transaction().expect("a transaction");
    rows(&transaction, credentials, before);
    transaction.commit().expect("committed");
    for (_, sql) in &indices {
        database.execute(sql, []).expect("an index");
    }
}

fn rows(database: &Connection, credentials: u64, before: i64) {
    let prepare = |sql| database.prepare(sql).expect("a statement");
    let mut device = prepare(
        "INSERT INTO device (name, owner, maker_serial, roles, device_type, dns, ips, ae_titles, at)
         VALUES (?1, ?2, ?3, 2, NULL, '[]', '[]', '[]', 0)",
    );
    let mut issuance = prepare(
        "INSERT INTO issuance (number, serial, purpose, device, key, not_before, not_after, at, tbs, state, credential,
             certificate, used)
         VALUES (?1, ?2, 'operational', ?3, ?4, ?5, ?6, ?5, ?7, 'issued', ?8, ?9, 1)",
    );
    let mut standing = prepare(
        "INSERT INTO standing (kind, subject, state, reason, epoch, since, until) VALUES (?1, ?2, ?3, ?3, ?4, ?4, ?5)",
    );
    let (tbs, certificate) = (vec![0x5a_u8; LENGTHS.0], vec![0x5a_u8; LENGTHS.1]);
    for number in 0..credentials {
        let (of, generation) = (number / EACH, number % EACH);
        let name = name(of);
        if generation == 0 {
            device.execute(params![name, format!("ward-{}", of % 100), format!("SN{of:010}")]).expect("a device");
            let state = match of % 1_000 {
                0..4 => Some("suspended"),
                4..8 => Some("ceased"),
                8..10 => Some("compromised"),
                _ => None,
            };
            if let Some(state) = state {
                standing
                    .execute(params!["device", name.as_bytes(), state, NOW - DAY, None::<i64>])
                    .expect("a standing");
            }
        }
        // The last one is good for another month; those before it ended long ago, but for one device in ten.
        let current = generation == EACH - 1;
        let end = if current || of.is_multiple_of(10) { NOW + 30 * DAY } else { NOW - 200 * DAY };
        let id = identifier(number);
        let place = before + 1 + i64::try_from(number).expect("a number");
        let values = params![place, serial(number), name, id, end - 90 * DAY, end, tbs, id, certificate];
        issuance.execute(values).expect("a certificate");
        if !current {
            standing.execute(params!["credential", id, "superseded", end - 60 * DAY, end]).expect("a standing");
        }
    }
    let count = [i64::try_from(credentials.div_ceil(EACH)).expect("a number")];
    database.execute("UPDATE number SET last = last + ?1 WHERE series = 'devices'", count).expect("counted");
}

/// Resident memory now, and the most there was since [`forget_peak`], in MiB.
fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) / 1_024
    };
    (of("VmRSS:"), of("VmHWM:"))
}

fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn report<T>(what: &str, act: impl FnOnce() -> (T, String)) -> T {
    forget_peak();
    let began = Instant::now();
    let (value, detail) = act();
    let (took, (resident, peak)) = (began.elapsed().as_secs_f64() * 1e3, memory());
    println!("| {what} | {took:.1} | {resident} | {peak} | {detail} |");
    value
}

fn measure(folder: &Path, devices: u64) {
    println!("| what | ms | resident MiB | most MiB | |\n| --- | --- | --- | --- | --- |");
    let site = report("open", || (open(folder), String::new()));
    let ask = |request| match site.administer(&Asker::program(), request).expect("an answer") {
        Response::Devices { devices } => devices.len(),
        other => panic!("{other:?}"),
    };
    let find = |search, after, limit| Request::Find { search, after, limit };
    let worst = |what: &str, request: &dyn Fn(u64) -> Request, wanted: usize| {
        forget_peak();
        let mut longest = 0_f64;
        for round in 0..20 {
            let device = scattered(round + 3) % devices.saturating_sub(200).max(1);
            let began = Instant::now();
            assert!((1..=wanted).contains(&ask(request(device))), "{what}");
            longest = longest.max(began.elapsed().as_secs_f64() * 1e3);
        }
        let (resident, peak) = memory();
        println!("| {what}, the slowest of 20 | {longest:.1} | {resident} | {peak} | |");
    };
    let all = || Search::Name(String::new());
    worst("a page of 100 devices", &|device| find(all(), Some(name(device)), 100), 100);
    worst("search by name", &|device| find(Search::Name(name(device)), None, 100), 1);
    worst("search by maker's serial", &|device| find(Search::MakerSerial(format!("SN{device:010}")), None, 100), 1);
    worst("a page of an owner", &|device| find(Search::Owner(format!("ward-{}", device % 100)), None, 50), 50);
    let hexadecimal = |device: u64| data_encoding::HEXLOWER.encode(&serial(device * EACH + 1));
    worst("search by a certificate's serial", &|device| find(Search::Serial(hexadecimal(device)), None, 100), 1);
    for round in 0..2 {
        report(&format!("status list, round {round}"), || {
            site.administer(&Asker::program(), Request::Suspend { device: name(11 + round), why: "bench".into() })
                .expect("suspended");
            let list = site.news().current(medlock_authority::objects::Kind::Status).expect("a list");
            ((), format!("{} bytes", list.bytes.len()))
        });
    }
    report("revocation list", || ((), format!("{} bytes", site.crl().expect("a list").len())));
    report("revocation list, again", || ((), format!("{} bytes", site.crl().expect("a list").len())));
    report("compact set", || {
        site.publish_set().expect("a set");
        let set = site.news().current(medlock_authority::objects::Kind::RevokedSet).expect("a set");
        ((), format!("{} bytes", set.bytes.len()))
    });
}

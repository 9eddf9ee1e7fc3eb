//! A site with many credentials: how much memory it needs for all it publishes of them, and how long a page and a search
//! take.
//!
//! Of four credentials of each device three are superseded, and those of one device in ten so lately that they are still told.
//! One device in a hundred is out of service, lost or suspended.

use super::IssueArgs;
use crate::Failure;
use clap::ValueEnum;
use medlock_authority::admin::{Asker, Request, Response, Search};
use medlock_authority::objects::Kind;
use medlock_authority::signer::InProcess;
use medlock_authority::{Authority, AuthorityConfig};
use medlock_node::clock::Clock;
use medlock_trust::Time;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Credentials of one device.
const EACH: u64 = 4;
const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;
/// The lengths of what is signed of a usual certificate, and of the whole.
const LENGTHS: (usize, usize) = (360, 450);
/// How often each question is asked; the slowest counts.
const ASKED: u64 = 20;

/// What a process of its own does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Step {
    /// Fills the store.
    Fill,
    /// Opens the site and measures it.
    Measure,
}

/// What was measured.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) credentials: u64,
    filled_seconds: f64,
    open_milliseconds: f64,
    /// The slowest of so many of each kind.
    pub(super) questions: Vec<Question>,
    pub(super) target_milliseconds: f64,
    /// What the site publishes of all its credentials.
    published: Vec<Object>,
    /// Of the site's process, lists and sets of all credentials included.
    pub(super) most_megabytes: u64,
    pub(super) target_megabytes: u64,
}

/// A listing or a search.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Question {
    pub(super) question: String,
    pub(super) milliseconds: f64,
}

/// A list or a set.
#[derive(Debug, Serialize, Deserialize)]
struct Object {
    object: String,
    bytes: usize,
    milliseconds: f64,
    /// The most memory until it was made.
    most_megabytes: u64,
}

/// Fills a store and measures the site on it, each in a process of its own: the memory of others is not measured.
pub(super) fn measure(args: &IssueArgs, folder: &Path) -> Result<Stored, Failure> {
    std::fs::create_dir(folder)?;
    drop(open(folder)?);
    let began = Instant::now();
    step(args, folder, Step::Fill)?;
    // What was written past the store is not in the log yet: an authority that has issued it has it there.
    while unlogged(folder)? > 0 {
        // Opening may want a new credential of the hub, which waits for the log: in vain, as long as it is that far behind.
        let site = open(folder);
        std::thread::sleep(Duration::from_millis(200));
        drop(site);
    }
    let filled_seconds = began.elapsed().as_secs_f64();
    let measured: Stored = serde_json::from_slice(&step(args, folder, Step::Measure)?)?;
    Ok(Stored { filled_seconds, ..measured })
}

/// Does a step in a process of its own; what it printed.
fn step(args: &IssueArgs, folder: &Path, step: Step) -> Result<Vec<u8>, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    let name = step.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    command.args(["bench", "issue", "--stored", &args.stored.to_string(), "--stored-step", &name, "--stored-at"]);
    let output = command.arg(folder).stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if output.status.success() { Ok(output.stdout) } else { Err(format!("the step {name} has failed").into()) }
}

/// What the process does that was started for a step.
pub(super) fn run(step: Step, credentials: u64, folder: &Path) -> Result<(), Failure> {
    match step {
        Step::Fill => fill(folder, credentials),
        Step::Measure => Ok(crate::output::json(&ask(folder, credentials)?)?),
    }
}

fn open(folder: &Path) -> Result<Authority, Failure> {
    let config = AuthorityConfig::site(folder, "Sankt Anna");
    let signer = Arc::new(InProcess::open(&folder.join("keys"))?);
    Ok(Authority::open(&config, Clock::manual(Time::from_unix(NOW)), signer)?)
}

fn connect(folder: &Path) -> Result<Connection, Failure> {
    let database = Connection::open(folder.join("authority.sqlite"))?;
    database.busy_timeout(Duration::from_secs(60))?;
    Ok(database)
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
fn unlogged(folder: &Path) -> Result<i64, Failure> {
    let sql = "SELECT (SELECT max(number) FROM issuance) - (SELECT size FROM log)";
    Ok(connect(folder)?.query_row(sql, [], |row| row.get(0))?)
}

/// Writes the rows as the store would have, without asking it ten million times.
fn fill(folder: &Path, credentials: u64) -> Result<(), Failure> {
    let mut database = connect(folder)?;
    database.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; PRAGMA cache_size = -2000000;
         PRAGMA locking_mode = EXCLUSIVE",
    )?;
    let indices: Vec<(String, String)> = {
        let sql = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL
                       AND tbl_name IN ('issuance', 'device', 'standing')";
        let mut statement = database.prepare(sql)?;
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?
    };
    for (name, _) in &indices {
        database.execute(&format!("DROP INDEX {name}"), [])?;
    }
    let before: i64 = database.query_row("SELECT max(number) FROM issuance", [], |row| row.get(0))?;
    let transaction = database.transaction()?;
    rows(&transaction, credentials, before)?;
    transaction.commit()?;
    for (_, sql) in &indices {
        database.execute(sql, [])?;
    }
    Ok(())
}

fn rows(database: &Connection, credentials: u64, before: i64) -> Result<(), Failure> {
    let mut device = database.prepare(
        "INSERT INTO device (name, owner, maker_serial, roles, device_type, dns, ips, ae_titles, at)
         VALUES (?1, ?2, ?3, 2, NULL, '[]', '[]', '[]', 0)",
    )?;
    let mut issuance = database.prepare(
        "INSERT INTO issuance (number, serial, purpose, device, key, not_before, not_after, at, tbs, state, credential,
             certificate, used)
         VALUES (?1, ?2, 'operational', ?3, ?4, ?5, ?6, ?5, ?7, 'issued', ?8, ?9, 1)",
    )?;
    let mut standing = database.prepare(
        "INSERT INTO standing (kind, subject, state, reason, epoch, since, until) VALUES (?1, ?2, ?3, ?3, ?4, ?4, ?5)",
    )?;
    let (tbs, certificate) = (vec![0x5a_u8; LENGTHS.0], vec![0x5a_u8; LENGTHS.1]);
    for number in 0..credentials {
        let (of, generation) = (number / EACH, number % EACH);
        let name = name(of);
        if generation == 0 {
            device.execute(params![name, format!("ward-{}", of % 100), format!("SN{of:010}")])?;
            let state = match of % 1_000 {
                0..4 => Some("suspended"),
                4..8 => Some("ceased"),
                8..10 => Some("compromised"),
                _ => None,
            };
            if let Some(state) = state {
                standing.execute(params!["device", name.as_bytes(), state, NOW - DAY, None::<i64>])?;
            }
        }
        // The last one is good for another month; those before it ended long ago, but for one device in ten.
        let current = generation == EACH - 1;
        let end = if current || of.is_multiple_of(10) { NOW + 30 * DAY } else { NOW - 200 * DAY };
        let id = identifier(number);
        let place = before + 1 + i64::try_from(number)?;
        issuance.execute(params![place, serial(number), name, id, end - 90 * DAY, end, tbs, id, certificate])?;
        if !current {
            standing.execute(params!["credential", id, "superseded", end - 60 * DAY, end])?;
        }
    }
    let count = [i64::try_from(credentials.div_ceil(EACH))?];
    database.execute("UPDATE number SET last = last + ?1 WHERE series = 'devices'", count)?;
    Ok(())
}

/// The most memory of this process, in MiB.
fn most_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) / 1_024
}

fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}

fn ask(folder: &Path, credentials: u64) -> Result<Stored, Failure> {
    let began = Instant::now();
    let site = open(folder)?;
    let open_milliseconds = milliseconds(began);
    let questions = questions(&site, credentials / EACH)?;
    let published = publish(&site)?;
    Ok(Stored {
        credentials,
        filled_seconds: 0.0,
        open_milliseconds,
        questions,
        target_milliseconds: 50.0,
        published,
        most_megabytes: most_megabytes(),
        target_megabytes: 200,
    })
}

fn questions(site: &Authority, devices: u64) -> Result<Vec<Question>, Failure> {
    let find = |search, after, limit| Request::Find { search, after, limit };
    let slowest = |question: &str, request: &dyn Fn(u64) -> Request, wanted: usize| -> Result<Question, Failure> {
        let mut slowest = 0_f64;
        for round in 0..ASKED {
            let device = scattered(round + 3) % devices.saturating_sub(200).max(1);
            let began = Instant::now();
            let answer = site.administer(&Asker::program(), request(device))?;
            slowest = slowest.max(milliseconds(began));
            let Response::Devices { devices } = answer else { return Err("the site gave no devices".into()) };
            if !(1..=wanted).contains(&devices.len()) {
                return Err(format!("{question}: {} devices", devices.len()).into());
            }
        }
        Ok(Question { question: question.to_owned(), milliseconds: slowest })
    };
    let hexadecimal = |device: u64| data_encoding::HEXLOWER.encode(&serial(device * EACH + 1));
    Ok(vec![
        slowest("a page of 100 devices", &|one| find(Search::Name(String::new()), Some(name(one)), 100), 100)?,
        slowest("a page of 50 of an owner", &|one| find(Search::Owner(format!("ward-{}", one % 100)), None, 50), 50)?,
        slowest("search by name", &|one| find(Search::Name(name(one)), None, 100), 1)?,
        slowest("search by maker's serial", &|one| find(Search::MakerSerial(format!("SN{one:010}")), None, 100), 1)?,
        slowest("search by certificate", &|one| find(Search::Serial(hexadecimal(one)), None, 100), 1)?,
    ])
}

fn publish(site: &Authority) -> Result<Vec<Object>, Failure> {
    let length = |kind| site.news().current(kind).map(|object| object.bytes.len()).ok_or("nothing was published");
    let made = |object: &str, make: &dyn Fn() -> Result<usize, Failure>| -> Result<Object, Failure> {
        let began = Instant::now();
        let bytes = make()?;
        Ok(Object {
            object: object.to_owned(),
            bytes,
            milliseconds: milliseconds(began),
            most_megabytes: most_megabytes(),
        })
    };
    Ok(vec![
        made("status list", &|| {
            site.administer(&Asker::program(), Request::Suspend { device: name(11), why: "bench".into() })?;
            Ok(length(Kind::Status)?)
        })?,
        made("revocation list", &|| Ok(site.crl()?.len()))?,
        made("compact set", &|| {
            site.publish_set()?;
            Ok(length(Kind::RevokedSet)?)
        })?,
    ])
}

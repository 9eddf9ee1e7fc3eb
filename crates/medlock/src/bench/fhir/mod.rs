//! `medlock bench fhir`: what the clinical face of a hub can do in a second, as the product serves it: a hub in a process of its
//! own, TLS over loopback, a gateway with its credential, software with its key; rights, rules of FHIR, consents and audit on,
//! each write durable. Beside it a server that only keeps the bytes.

mod floor;
mod resources;
mod site;

use super::rate::{Rate, Rates};
use super::work::{Done, send_all};
use crate::output::{self, say};
use crate::{Failure, Outcome};
use bytes::Bytes;
use clap::Args;
use floor::Floor;
use http::Request;
use resources::Ward;
use serde::Serialize;
use site::{Caller, Site, Software};
use std::time::Duration;
use tokio::runtime::Runtime;

/// Resources in one transaction.
const TOGETHER: u32 = 100;
/// Transactions that are made before they are sent.
const SLAB: u32 = 200;

/// `medlock bench fhir`.
#[derive(Debug, Args)]
pub(crate) struct FhirArgs {
    /// How many Observations are searched, over a thousand patients.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..))]
    observations: u32,
    /// How many Observations each round creates, one by one.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(100..))]
    creates: u32,
    /// How many tokens each round gives out.
    #[arg(long, default_value_t = 3_000, value_parser = clap::value_parser!(u32).range(100..))]
    tokens: u32,
    /// How many searches are made.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(100..))]
    searches: u32,
    /// How many connections ask at once.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=200))]
    askers: u16,
    /// How many rounds; the middle one counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Keep the resources on this PostgreSQL server, in a schema of its own that is left there, and not in SQLite.
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What was measured, in wall-clock time; who asks and who answers share the cores.
#[derive(Debug, Default, Serialize)]
struct Measured {
    store: &'static str,
    askers: u16,
    rounds: u16,
    /// Work that waited for a processor when the run began, of this machine (the load average of a minute).
    load: f64,
    cores: usize,
    /// A server that only keeps the bytes: same TLS, same HTTP, same store, same commits.
    floor: Option<Rate>,
    /// Observations, one by one.
    creates: Option<Rate>,
    /// Resources, in transactions of a hundred.
    resources: Option<Rate>,
    /// Tokens of a device, by its credential.
    tokens: Option<Rate>,
    /// Tokens of software, by assertions (ES384).
    backend_tokens: Option<Rate>,
    /// How many Observations there are when it is searched.
    observations: u32,
    /// Observations, one by one, beside so many.
    creates_beside: Option<Rate>,
    /// Searches by software, one after another.
    search: Option<Searched>,
    /// The most memory of the hub, in MB; its signer is another process.
    memory_mb: f64,
    memory_target_mb: u32,
}

/// The newest twenty glucose values of a patient, each patient with a consent.
#[derive(Debug, Serialize)]
struct Searched {
    median_ms: f64,
    p99_ms: f64,
    most_ms: f64,
    target_p99_ms: f64,
    /// The same, while all askers search at once.
    crowded_p99_ms: f64,
    crowded_per_second: f64,
}

/// Measures and prints.
///
/// # Errors
/// When a part cannot be prepared or something fails in it.
pub(crate) fn run(args: &FhirArgs) -> Result<Outcome, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let measured = measure(args, &runtime);
    runtime.shutdown_background();
    let measured = measured?;
    if args.json {
        output::json(&measured)?;
    } else {
        print(&measured);
    }
    Ok(Outcome::Done)
}

fn measure(args: &FhirArgs, runtime: &Runtime) -> Result<Measured, Failure> {
    let folder = tempfile::Builder::new().prefix("medlock-bench-").tempdir()?;
    let postgres = args.postgres.as_deref();
    let mut measured = Measured {
        store: if postgres.is_some() { "PostgreSQL" } else { "SQLite" },
        askers: args.askers,
        rounds: args.rounds,
        load: load(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory_target_mb: 150,
        ..Measured::default()
    };
    let site = runtime.block_on(Site::start(folder.path(), postgres))?;
    let gateway = runtime.block_on(site.gateway())?;
    let software = runtime.block_on(site.software())?;
    let ward = runtime.block_on(async { Ward::make(&software.caller(&site).await?).await })?;
    let bench = Bench { args, runtime, site: &site, gateway: &gateway, software: &software, ward: &ward };

    let floor = runtime.block_on(Floor::start(&site, folder.path(), postgres))?;
    measured.floor = Some(bench.creates(&floor.caller, None)?);
    runtime.block_on(floor.stop())?;
    measured.creates = Some(bench.creates(&gateway, Some(5_000))?);
    measured.resources = Some(bench.resources()?);
    measured.tokens = Some(bench.rate(&gateway, args.tokens, Some(1_500), |_| gateway.asks_token())?);
    measured.backend_tokens = Some(bench.backend_tokens()?);
    // So many newer ones have ended the gateway's own.
    let gateway = bench.runtime.block_on(site.gateway())?;
    let bench = Bench { gateway: &gateway, ..bench };
    measured.observations = bench.fill()?;
    measured.creates_beside = Some(bench.creates(&gateway, None)?);
    measured.search = Some(bench.search()?);
    measured.memory_mb = site.memory_mb().ok_or("the hub has ended")?;
    runtime.block_on(site.stop())?;
    Ok(measured)
}

/// What every part needs.
struct Bench<'b> {
    args: &'b FhirArgs,
    runtime: &'b Runtime,
    site: &'b Site,
    gateway: &'b Caller,
    software: &'b Software,
    ward: &'b Ward,
}

impl Bench<'_> {
    /// Sends so many requests, round by round.
    fn rate(
        &self,
        caller: &Caller,
        count: u32,
        target: Option<u32>,
        make: impl Fn(u32) -> Result<Request<Bytes>, Failure>,
    ) -> Result<Rate, Failure> {
        let mut rounds = Vec::new();
        for _ in 0..self.args.rounds {
            rounds.push(self.send(caller, self.args.askers, (0..count).map(&make))?.took);
        }
        Ok(Rate::new(count, rounds, target))
    }

    fn send(
        &self,
        caller: &Caller,
        askers: u16,
        requests: impl Iterator<Item = Result<Request<Bytes>, Failure>>,
    ) -> Result<Done, Failure> {
        self.runtime.block_on(send_all(&caller.client, askers, requests))
    }

    /// Observations, one by one.
    fn creates(&self, caller: &Caller, target: Option<u32>) -> Result<Rate, Failure> {
        self.rate(caller, self.args.creates, target, |number| self.ward.create(caller, number))
    }

    /// As many in transactions.
    fn resources(&self) -> Result<Rate, Failure> {
        let mut rounds = Vec::new();
        let count = self.args.creates / TOGETHER;
        for _ in 0..self.args.rounds {
            let requests = (0..count).map(|number| self.ward.transaction(self.gateway, number, TOGETHER));
            rounds.push(self.send(self.gateway, self.args.askers, requests)?.took);
        }
        Ok(Rate::new(count * TOGETHER, rounds, Some(15_000)))
    }

    /// Tokens by assertions, which were signed before: that is not the hub's work.
    fn backend_tokens(&self) -> Result<Rate, Failure> {
        let mut rounds = Vec::new();
        for _ in 0..self.args.rounds {
            let assertions = self.software.assertions(self.site, self.args.tokens)?;
            let requests = assertions.iter().map(|assertion| Software::asks_token(assertion));
            rounds.push(self.send(self.gateway, self.args.askers, requests)?.took);
        }
        Ok(Rate::new(self.args.tokens, rounds, Some(1_500)))
    }

    /// Writes until there are as many Observations as are to be searched; how many there are.
    fn fill(&self) -> Result<u32, Failure> {
        let mut there = u32::from(self.args.rounds) * (self.args.creates + self.args.creates / TOGETHER * TOGETHER);
        while there < self.args.observations {
            let first = there / TOGETHER;
            let count = (self.args.observations - there).div_ceil(TOGETHER).min(SLAB);
            let requests = (first..first + count).map(|number| self.ward.transaction(self.gateway, number, TOGETHER));
            self.send(self.gateway, self.args.askers, requests)?;
            there += count * TOGETHER;
        }
        Ok(there)
    }

    fn search(&self) -> Result<Searched, Failure> {
        let reader = self.runtime.block_on(self.software.caller(self.site))?;
        let search = |askers, count: u32| {
            let requests = (0..count).map(|number| self.ward.search(&reader, number));
            self.send(&reader, askers, requests)
        };
        // What comes first fills caches, as it would have hours before.
        search(1, self.args.searches / 4)?;
        let alone = search(1, self.args.searches)?;
        let crowded = search(self.args.askers, self.args.searches)?;
        Ok(Searched {
            median_ms: percentile(&alone.each, 50),
            p99_ms: percentile(&alone.each, 99),
            most_ms: percentile(&alone.each, 100),
            target_p99_ms: 10.0,
            crowded_p99_ms: percentile(&crowded.each, 99),
            crowded_per_second: f64::from(self.args.searches) / crowded.took.seconds,
        })
    }
}

/// So many of a hundred are not slower, in milliseconds.
fn percentile(times: &[Duration], percent: usize) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    let place = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times.get(place).map_or(f64::INFINITY, |time| time.as_secs_f64() * 1e3)
}

/// The load average of the last minute.
fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(f64::NAN)
}

fn print(measured: &Measured) {
    let mut rates = Rates::new();
    rates.add("bodies by a server that only keeps them", measured.floor.as_ref());
    rates.add("Observations, one by one", measured.creates.as_ref());
    rates.add("resources, in transactions of 100", measured.resources.as_ref());
    rates.add("tokens of a device, by its credential", measured.tokens.as_ref());
    rates.add("tokens of software, by assertions", measured.backend_tokens.as_ref());
    rates.add(&format!("Observations beside {}", measured.observations), measured.creates_beside.as_ref());
    rates.print();
    if let Some(search) = &measured.search {
        say!(
            "\nthe newest twenty of a patient, of {} Observations: median {:.2} ms, p99 {:.2} ms (target {}), most {:.2} ms",
            measured.observations,
            search.median_ms,
            search.p99_ms,
            search.target_p99_ms,
            search.most_ms
        );
        say!(
            "  with all askers at once: p99 {:.2} ms, {:.0} a second",
            search.crowded_p99_ms,
            search.crowded_per_second
        );
    }
    say!("most memory of the hub: {:.0} MB (target {})", measured.memory_mb, measured.memory_target_mb);
    say!(
        "\n{}; wall-clock time, {} cores shared with those who ask, load {:.1} at the start; {} askers; the middle of {} rounds.",
        measured.store,
        measured.cores,
        measured.load,
        measured.askers,
        measured.rounds
    );
}

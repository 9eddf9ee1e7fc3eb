//! `medlock bench dicom`: images through two sidecars, beside plain DICOM, a stunnel pair and dcmtk's own TLS.

use super::peers::{self, Manner, StockTls, storescp, storescu};
use crate::demo::stage::{self, Sidecar};
use crate::hub::Hub;
use crate::output::say;
use crate::output::{self, Table};
use crate::{Failure, Outcome};
use clap::Args;
use medlock_authority::admin::Request;
use medlock_ward::object::{Object, Series};
use serde::Serialize;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// Runs of each leg; the middle one counts.
const RUNS: usize = 5;

/// `medlock bench dicom`.
#[derive(Debug, Args)]
pub(crate) struct DicomArgs {
    /// How many CT images of 525 kB are sent in each run.
    #[arg(long, default_value_t = 200)]
    count: u16,
    /// How many associations run in parallel in the last leg.
    #[arg(long, default_value_t = 8)]
    parallel: usize,
    /// Leave out the stock peers, whose stalls take ten seconds a run.
    #[arg(long)]
    no_stock: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What was measured.
#[derive(Debug, Default, Serialize)]
struct Measured {
    images: u16,
    bytes: u64,
    legs: Vec<Leg>,
    parallel: Option<Parallel>,
    /// Anonymous memory of the two sidecars at the end, in kB.
    sidecar_memory_kb: Vec<u64>,
    /// Whether all that the stock archive stored through the sidecars is what was sent, byte for byte.
    identical: Option<bool>,
    /// What was left out for want of a program.
    left_out: Vec<String>,
}

/// One way from CT to PACS.
#[derive(Debug, Serialize)]
struct Leg {
    peers: &'static str,
    way: &'static str,
    seconds: f64,
    /// How many times the time of the plain way with the same peers.
    of_plain: f64,
}

#[derive(Debug, Serialize)]
struct Parallel {
    associations: usize,
    megabytes_per_second: f64,
    /// The most anonymous memory of a sidecar meanwhile, in kB.
    most_memory_kb: u64,
}

/// Measures and prints.
///
/// # Errors
/// When dcmtk is missing or something fails.
pub(crate) fn run(args: &DicomArgs) -> Result<Outcome, Failure> {
    for program in ["storescu", "storescp"] {
        if !peers::installed(program) {
            return Err(format!(
                "{program} is not installed; `cargo xtask peers` or your system's package dcmtk has it"
            )
            .into());
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let measured = runtime.block_on(measure(args));
    runtime.shutdown_background();
    let measured = measured?;
    if args.json {
        output::json(&measured)?;
    } else {
        print(&measured);
    }
    Ok(Outcome::Done)
}

/// Two machines and their sidecars.
struct Pair {
    hub: Hub,
    ct: Sidecar,
    pacs: Sidecar,
    folder: tempfile::TempDir,
}

impl Pair {
    /// Sidecars in front of the archive at `archive`.
    async fn start(archive: SocketAddr) -> Result<Self, Failure> {
        let (hub, folder) = stage::start_hub().await?;
        let pacs = Sidecar::enrol(&hub, folder.path(), "pacs1", "archive", None, Some(archive)).await?;
        let ct = Sidecar::enrol(&hub, folder.path(), "ct1", "modality", None, None).await?;
        for (device, title, address) in [("pacs1", "PACS1", pacs.listen), ("ct1", "CT1", ct.listen)] {
            let (device, sidecar) = (device.to_owned(), address.to_string());
            stage::ask(&hub, Request::SetRoute { device, ae_titles: vec![title.into()], sidecar }).await?;
        }
        stage::until_routed(ct.plain).await?;
        Ok(Self { hub, ct, pacs, folder })
    }

    async fn stop(self) -> Result<(), Failure> {
        self.hub.stop().await?;
        drop(self.folder);
        Ok(())
    }
}

async fn measure(args: &DicomArgs) -> Result<Measured, Failure> {
    let images = tempfile::tempdir()?;
    let mut measured =
        Measured { images: args.count, bytes: write_images(images.path(), args.count)?, ..Measured::default() };

    let plain = storescp(Manner::NoDelay, None, None)?;
    let pair = Pair::start(plain.address).await?;
    // The first association pays for what later ones find warm.
    storescu(Manner::NoDelay, images.path(), pair.ct.plain, None)?;
    let ways = ways(plain.address, pair.ct.plain, &mut measured.left_out)?;
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); ways.len()];
    for _ in 0..RUNS {
        // Round by round, so that a disturbance meets all ways alike.
        for (way, times) in ways.iter().zip(&mut times) {
            let tls = way.tls.as_ref().filter(|_| way.sender_speaks_tls);
            times.push(storescu(Manner::NoDelay, images.path(), way.target, tls)?.as_secs_f64());
        }
    }
    let names = ways.iter().map(|way| way.name);
    measured.legs.extend(legs("dcmtk with TCP_NODELAY", names, times));
    measured.parallel = Some(parallel(args, images.path(), &pair, measured.bytes)?);
    measured.sidecar_memory_kb =
        [&pair.ct, &pair.pacs].into_iter().filter_map(|sidecar| memory_kb(sidecar.id()?)).collect();
    drop(ways);
    pair.stop().await?;
    if !args.no_stock {
        stock(images.path(), &mut measured).await?;
    }
    Ok(measured)
}

/// One way from CT to PACS, with what it needs for as long as it is used.
struct Way {
    name: &'static str,
    target: SocketAddr,
    sender_speaks_tls: bool,
    tls: Option<StockTls>,
    _servers: Vec<peers::Server>,
}

impl Way {
    fn plain(name: &'static str, target: SocketAddr) -> Self {
        Self { name, target, sender_speaks_tls: false, tls: None, _servers: Vec::new() }
    }
}

/// All ways for which there are programs; the others are named in `left_out`.
fn ways(plain: SocketAddr, guarded: SocketAddr, left_out: &mut Vec<String>) -> Result<Vec<Way>, Failure> {
    let mut ways = vec![Way::plain("plain", plain), Way::plain("two sidecars", guarded)];
    if !peers::installed("openssl") {
        left_out.push("dcmtk's own TLS and a stunnel pair: openssl is not installed".into());
        return Ok(ways);
    }
    let tls = StockTls::new()?;
    let server = storescp(Manner::NoDelay, None, Some(&tls))?;
    let target = server.address;
    ways.push(Way { name: "dcmtk's own TLS", target, sender_speaks_tls: true, tls: Some(tls), _servers: vec![server] });
    if !peers::installed(peers::stunnel()) {
        left_out.push("a stunnel pair: stunnel is not installed".into());
        return Ok(ways);
    }
    let tls = StockTls::new()?;
    let far = tls.stunnel(false, plain)?;
    let near = tls.stunnel(true, far.address)?;
    let target = near.address;
    ways.push(Way {
        name: "a stunnel pair",
        target,
        sender_speaks_tls: false,
        tls: Some(tls),
        _servers: vec![far, near],
    });
    Ok(ways)
}

/// Peers as they come, once each: their stalls leave no doubt.
async fn stock(images: &Path, measured: &mut Measured) -> Result<(), Failure> {
    let (direct, through) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let plain = storescp(Manner::Stock, Some(direct.path()), None)?;
    let plain_seconds = storescu(Manner::Stock, images, plain.address, None)?.as_secs_f64();
    let archive = storescp(Manner::Stock, Some(through.path()), None)?;
    let pair = Pair::start(archive.address).await?;
    let guarded_seconds = storescu(Manner::Stock, images, pair.ct.plain, None)?.as_secs_f64();
    pair.stop().await?;
    let names = ["plain", "two sidecars"].into_iter();
    measured.legs.extend(legs("dcmtk as it comes", names, vec![vec![plain_seconds], vec![guarded_seconds]]));
    measured.identical = Some(digests(images)? == digests(through.path())?);
    Ok(())
}

fn legs(peers: &'static str, names: impl Iterator<Item = &'static str>, times: Vec<Vec<f64>>) -> Vec<Leg> {
    let middles: Vec<f64> = times
        .into_iter()
        .map(|mut times| {
            times.sort_by(f64::total_cmp);
            times.get(times.len() / 2).copied().unwrap_or_default()
        })
        .collect();
    let plain = middles.first().copied().unwrap_or(1.0);
    names.zip(middles).map(|(way, seconds)| Leg { peers, way, seconds, of_plain: seconds / plain }).collect()
}

fn parallel(args: &DicomArgs, images: &Path, pair: &Pair, bytes: u64) -> Result<Parallel, Failure> {
    let target = pair.ct.plain;
    let began = Instant::now();
    let mut most_memory_kb = 0;
    std::thread::scope(|scope| -> Result<(), Failure> {
        let senders: Vec<_> = (0..args.parallel)
            .map(|_| scope.spawn(move || storescu(Manner::NoDelay, images, target, None).map(drop)))
            .collect();
        while senders.iter().any(|sender| !sender.is_finished()) {
            for sidecar in [&pair.ct, &pair.pacs] {
                most_memory_kb = sidecar.id().and_then(memory_kb).unwrap_or(0).max(most_memory_kb);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        for sender in senders {
            sender.join().map_err(|_| "a sender ended badly")??;
        }
        Ok(())
    })?;
    let total = bytes as f64 * args.parallel as f64;
    let megabytes_per_second = total / began.elapsed().as_secs_f64() / 1e6;
    Ok(Parallel { associations: args.parallel, megabytes_per_second, most_memory_kb })
}

fn write_images(folder: &Path, count: u16) -> Result<u64, Failure> {
    let series = Series::new("BENCH-0001", "PHANTOM^BENCH");
    let mut bytes = 0;
    for number in 1..=count {
        let image = series.image(number)?;
        bytes += image.data_set.len() as u64;
        std::fs::write(folder.join(format!("{number:05}.dcm")), image.to_file()?)?;
    }
    Ok(bytes)
}

/// How often each data set is in a folder, by its digest.
fn digests(folder: &Path) -> Result<HashMap<String, usize>, Failure> {
    let mut counts = HashMap::new();
    for (_, object) in Object::from_directory(folder)?.objects {
        *counts.entry(object.digest()).or_default() += 1;
    }
    Ok(counts)
}

/// Anonymous memory of a process, in kB.
fn memory_kb(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn print(measured: &Measured) {
    say!("{} CT images, {:.1} MB\n", measured.images, measured.bytes as f64 / 1e6);
    let mut table = Table::new(&["peers", "way", "seconds", "of plain"]);
    for leg in &measured.legs {
        table.row([
            leg.peers.to_owned(),
            leg.way.to_owned(),
            format!("{:.3}", leg.seconds),
            format!("{:.2} ×", leg.of_plain),
        ]);
    }
    table.print("Nothing was measured.");
    if let Some(parallel) = &measured.parallel {
        say!(
            "\n{} associations in parallel through two sidecars: {:.0} MB/s, at most {} kB of anonymous memory a sidecar",
            parallel.associations,
            parallel.megabytes_per_second,
            parallel.most_memory_kb
        );
    }
    match measured.identical {
        Some(true) => say!("What the stock archive stored through the sidecars is what was sent, byte for byte."),
        Some(false) => say!("WHAT THE STOCK ARCHIVE STORED IS NOT WHAT WAS SENT."),
        None => {}
    }
    for reason in &measured.left_out {
        say!("left out: {reason}");
    }
}

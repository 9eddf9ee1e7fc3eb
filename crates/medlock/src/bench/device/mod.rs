//! `medlock bench device`: what small devices cost a host: handshakes, protected messages, compact credentials, sealed
//! commands.

mod credentials;
mod handshake;
mod messages;

use crate::output::say;
use crate::output::{self, Table};
use crate::{Failure, Outcome};
use clap::{Args, ValueEnum};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// `medlock bench device`.
#[derive(Debug, Args)]
pub(crate) struct DeviceArgs {
    /// Measure these parts only.
    #[arg(long = "part", value_enum)]
    parts: Vec<Part>,
    /// How many rounds; the middle one counts.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Processor time of each row in a round, in milliseconds.
    #[arg(long, default_value_t = 20)]
    milliseconds: u64,
    /// A Python that has lakers, another implementation of EDHOC (`cargo xtask peers` makes one), for comparison.
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Part {
    /// One side of a handshake, by method, with the servers' cryptography and with that of chips.
    Edhoc,
    /// Messages of 100 bytes, protected at one end and opened at the other.
    Oscore,
    /// Certificates converted between DER and C509, and their signatures verified.
    C509,
    /// Sealed commands with challenge and receipt.
    Sealed,
}

impl Part {
    fn rows(self) -> Result<Vec<Row>, Failure> {
        match self {
            Self::Edhoc => handshake::rows(),
            Self::Oscore => messages::oscore(),
            Self::C509 => credentials::rows(),
            Self::Sealed => messages::sealed(),
        }
    }

    /// What is asked of a core in a second.
    fn target(self) -> Option<u32> {
        match self {
            Self::Edhoc => Some(2_500),
            Self::Oscore => Some(300_000),
            Self::C509 => Some(200_000),
            Self::Sealed => None,
        }
    }
}

/// Something that is measured.
struct Row {
    what: String,
    provider: &'static str,
    /// Whether the part's target is about it.
    has_target: bool,
    /// How many are done at once.
    each: u32,
    once: Box<dyn FnMut() -> Result<(), Failure>>,
}

impl Row {
    fn new(
        what: impl Into<String>,
        provider: &'static str,
        once: impl FnMut() -> Result<(), Failure> + 'static,
    ) -> Self {
        Self { what: what.into(), provider, has_target: true, each: 1, once: Box::new(once) }
    }

    fn without_target(self) -> Self {
        Self { has_target: false, ..self }
    }

    fn of_two(self) -> Self {
        Self { each: 2, ..self }
    }

    /// The processor time that so many take.
    fn time(&mut self, count: u32) -> Result<Duration, Failure> {
        let began = processor_time()?;
        for _ in 0..count {
            (self.once)()?;
        }
        Ok(processor_time()?.saturating_sub(began))
    }

    /// How many take about this long.
    fn count_for(&mut self, round: Duration) -> Result<u32, Failure> {
        let mut count = 1_u32;
        loop {
            let took = self.time(count)?;
            if took * 4 >= round || count >= 1 << 24 {
                let times = round.as_secs_f64() / took.as_secs_f64().max(1e-9);
                return Ok((f64::from(count) * times).max(1.0) as u32);
            }
            count *= 2;
        }
    }
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Measured {
    /// Always `thread CPU time`: what other processes do meanwhile is not in it, but for shared caches.
    clock: &'static str,
    rounds: u16,
    rows: Vec<Figure>,
    /// What was left out, and why.
    left_out: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Figure {
    part: Part,
    what: String,
    /// Whose cryptography it is; `lakers` is another implementation altogether.
    provider: &'static str,
    /// Of one, in the middle round.
    nanoseconds: f64,
    /// Of one, in the fastest round.
    least_nanoseconds: f64,
    per_second: f64,
    /// How many a second are asked of a core.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<u32>,
}

impl Figure {
    /// From the nanoseconds of one, round by round.
    fn new(part: Part, what: String, provider: &'static str, target: Option<u32>, mut rounds: Vec<f64>) -> Self {
        rounds.sort_by(f64::total_cmp);
        let nanoseconds = rounds.get(rounds.len() / 2).copied().unwrap_or_default();
        let least_nanoseconds = rounds.first().copied().unwrap_or_default();
        Self { part, what, provider, nanoseconds, least_nanoseconds, per_second: 1e9 / nanoseconds, target }
    }
}

/// Measures and prints.
///
/// # Errors
/// When a part cannot be prepared or something fails in it.
pub(crate) fn run(args: &DeviceArgs) -> Result<Outcome, Failure> {
    let measured = measure(args)?;
    if args.json {
        output::json(&measured)?;
    } else {
        print(&measured);
    }
    Ok(Outcome::Done)
}

fn measure(args: &DeviceArgs) -> Result<Measured, Failure> {
    let parts = if args.parts.is_empty() { Part::value_variants() } else { &args.parts };
    let round = Duration::from_millis(args.milliseconds);
    let mut rows = Vec::new();
    for part in parts {
        for mut row in part.rows()? {
            let count = row.count_for(round)?;
            rows.push((*part, row, count, Vec::new()));
        }
    }
    for _ in 0..args.rounds {
        // Round by round, so that a disturbance meets all rows alike.
        for (_, row, count, times) in &mut rows {
            times.push(row.time(*count)?.as_secs_f64() * 1e9 / f64::from(*count * row.each));
        }
    }
    let mut figures = Vec::new();
    for (part, row, _, rounds) in rows {
        let target = part.target().filter(|_| row.has_target);
        figures.push(Figure::new(part, row.what, row.provider, target, rounds));
    }
    let mut left_out = Vec::new();
    if parts.contains(&Part::Edhoc) {
        match lakers(args) {
            Ok(of_peer) => figures.push(of_peer),
            Err(reason) => left_out.push(format!("lakers: {reason}")),
        }
    }
    Ok(Measured { clock: "thread CPU time", rounds: args.rounds, rows: figures, left_out })
}

/// The same by lakers, which has method 3 only.
fn lakers(args: &DeviceArgs) -> Result<Figure, Failure> {
    let mut command = Command::new(&args.python);
    command.args(["-c", include_str!("peer.py")]).args([args.rounds.to_string(), args.milliseconds.to_string()]);
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| format!("{}: {error}", args.python.display()))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(text.trim_end().lines().next_back().unwrap_or("it failed").into());
    }
    let what = "a side of method 3 (static keys, raw)".into();
    Ok(Figure::new(Part::Edhoc, what, "lakers", None, serde_json::from_slice(&output.stdout)?))
}

/// The processor time of this thread.
fn processor_time() -> Result<Duration, Failure> {
    Ok(Duration::try_from(clock_gettime(ClockId::ThreadCPUTime))?)
}

fn print(measured: &Measured) {
    let mut table = Table::new(&["part", "what", "cryptography", "microseconds", "a second", "target"]);
    for figure in &measured.rows {
        table.row([
            format!("{:?}", figure.part).to_lowercase(),
            figure.what.clone(),
            figure.provider.to_owned(),
            format!("{:.2}", figure.nanoseconds / 1e3),
            format!("{:.0}", figure.per_second),
            figure.target.map_or_else(String::new, |target| {
                let verdict = if figure.per_second >= f64::from(target) { "met" } else { "missed" };
                format!("{target}: {verdict}")
            }),
        ]);
    }
    table.print("Nothing was measured.");
    say!("\nProcessor time of one thread; the middle of {} rounds.", measured.rounds);
    for reason in &measured.left_out {
        say!("left out: {reason}");
    }
}

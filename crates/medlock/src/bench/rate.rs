//! How often a second, and for how much of the processors.

use crate::Failure;
use crate::output::Table;
use serde::Serialize;
use std::time::{Duration, Instant};

/// How often something was done, in wall-clock time: what is measured waits for disks, and uses all cores.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Rate {
    pub(super) per_second: f64,
    /// The rate of the best round.
    best: f64,
    /// Processor time of one, in all processes that this one has started, in microseconds: the least of all rounds.
    processor_microseconds: f64,
    /// What is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<u32>,
}

impl Rate {
    /// From what `count` took, round by round.
    pub(super) fn new(count: u32, mut rounds: Vec<Took>, target: Option<u32>) -> Self {
        rounds.sort_by(|one, other| one.seconds.total_cmp(&other.seconds));
        let of = |took: Option<&Took>| f64::from(count) / took.map_or(f64::INFINITY, |took| took.seconds).max(1e-9);
        let processor = rounds.iter().map(|took| took.processor_microseconds(count)).fold(f64::INFINITY, f64::min);
        Self {
            per_second: of(rounds.get(rounds.len() / 2)),
            best: of(rounds.first()),
            processor_microseconds: processor,
            target,
        }
    }
}

/// Rates as people read them.
pub(super) struct Rates(Table);

impl Rates {
    pub(super) fn new() -> Self {
        Self(Table::new(&["what", "a second", "best round", "target", "µs of processors"]))
    }

    /// A line, if it was measured.
    pub(super) fn add(&mut self, what: &str, rate: Option<&Rate>) {
        let Some(rate) = rate else { return };
        let met = |target: u32| if rate.per_second >= f64::from(target) { "met" } else { "missed" };
        let target = rate.target.map(|target| format!("{target}: {}", met(target)));
        self.0.row([
            what.to_owned(),
            format!("{:.0}", rate.per_second),
            format!("{:.0}", rate.best),
            target.unwrap_or_default(),
            format!("{:.0}", rate.processor_microseconds),
        ]);
    }

    pub(super) fn print(&self) {
        self.0.print("Nothing was measured.");
    }
}

/// How long something took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Took {
    pub(super) seconds: f64,
    /// Processor time of this process and of those it has started.
    processor_seconds: f64,
}

impl Took {
    pub(super) fn processor_microseconds(&self, count: u32) -> f64 {
        self.processor_seconds * 1e6 / f64::from(count.max(1))
    }
}

/// When something began.
pub(super) struct Began {
    at: Instant,
    processor_seconds: f64,
}

impl Began {
    pub(super) fn now() -> Self {
        Self { at: Instant::now(), processor_seconds: processor_seconds() }
    }

    /// How long it took until now.
    pub(super) fn took(&self) -> Took {
        let seconds = self.at.elapsed().max(Duration::from_nanos(1)).as_secs_f64();
        Took { seconds, processor_seconds: processor_seconds() - self.processor_seconds }
    }
}

/// How long something takes.
pub(super) fn took<T>(act: impl FnOnce() -> Result<T, Failure>) -> Result<(T, Took), Failure> {
    let began = Began::now();
    let done = act()?;
    Ok((done, began.took()))
}

/// Processor time of this process and of those it has started and not yet ended (a hub, a signer), as `/proc` tells it: in
/// hundredths of a second.
fn processor_seconds() -> f64 {
    let own = std::process::id().to_string();
    let ticks = |stat: String| -> Option<u64> {
        // proc_pid_stat(5): behind the name in parentheses come the state, the parent, and as 12th and 13th the times.
        let (id, rest) = (stat.split(' ').next()?, stat.rsplit_once(") ")?.1);
        let fields: Vec<&str> = rest.split(' ').collect();
        let times = fields.get(11..13).filter(|_| id == own || fields.get(1) == Some(&own.as_str()))?;
        times.iter().map(|time| time.parse::<u64>().ok()).sum()
    };
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    // Others that stand there (`self`, `thread-self`) are a process once more.
    let numbered = processes.filter(|one| one.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok()));
    let stats = numbered.filter_map(|one| std::fs::read_to_string(one.path().join("stat")).ok());
    stats.filter_map(ticks).sum::<u64>() as f64 / 100.0
}

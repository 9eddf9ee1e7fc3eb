//! `medlock device provision`: rows go to the maker's authority in batches, and what became of each is written down.
//!
//! However large the input is, some batches are in memory. The file of outcomes is the place of a run: after a kill the next
//! run goes on behind its last line. Nothing depends on it: the authority knows who has what, and answers rows that come
//! again with what they have.

mod input;
mod outcomes;

use crate::admin::{self, Reached};
use crate::cli::HubArgs;
use crate::output::{self, say};
use crate::{Failure, Outcome};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use input::{Entry, Input};
use medlock_authority::admin::{AuthorityView, Request, Response};
use medlock_authority::issue::Form;
use medlock_authority::provision::{BirthProfileConfig, MAX_ROWS, RowOutcome};
use outcomes::Outcomes;
use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Instant;
use tokio::task::JoinHandle;

/// Batches that are being answered while the next is read: one waits for the disk, one for the processor.
const IN_FLIGHT: usize = 2;
/// The most characters of keys and requests in one batch.
const BATCH_CHARACTERS: usize = 1 << 20;

/// `medlock device provision`.
#[derive(Debug, Args)]
pub(crate) struct ProvisionArgs {
    /// What the credentials say: a file (TOML) with roles, device_type, device_types, serial_prefix, form.
    #[arg(long, value_name = "FILE")]
    profile: PathBuf,
    /// Where the devices' keys and requests are: CSV with a header, JSON lines, a single request, a folder of requests, or
    /// `-` for standard input. Columns: serial; key or request (PEM, base64 or hexadecimal); type.
    #[arg(long, value_name = "FILE|DIR|-")]
    input: PathBuf,
    /// The serial, where the input is a single request that names none.
    #[arg(long, value_name = "SERIAL")]
    serial: Option<String>,
    /// Where the outcomes go: outcomes.jsonl with every credential, chain.pem with the authority's certificates. A run
    /// that was stopped goes on with the same folder.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Write each credential to a file of its own too: SERIAL.pem or SERIAL.c509.
    #[arg(long)]
    files: bool,
    /// Write outcomes.csv too, when all is done.
    #[arg(long)]
    csv: bool,
    /// How credentials are written; overrides the profile.
    #[arg(long, value_name = "FORM")]
    form: Option<FormArg>,
    #[command(flatten)]
    hub: HubArgs,
}

/// How credentials are written.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormArg {
    /// X.509, DER.
    X509,
    /// C509, natively signed.
    C509,
}

/// Does what was asked. A row that is refused does not stop the others; then the exit code is 1.
///
/// # Errors
/// When input, authority or outcomes cannot be used, and when a private key is found in the input.
pub(crate) fn run(args: &ProvisionArgs) -> Result<Outcome, Failure> {
    let profile = profile(args)?;
    let input = Input::open(&args.input, args.serial.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let counts = runtime.block_on(provision(args, profile, input))?;
    if args.csv {
        outcomes::to_csv(&args.out)?;
    }
    counts.say(args)?;
    Ok(if counts.refused == 0 { Outcome::Done } else { Outcome::Refused })
}

fn profile(args: &ProvisionArgs) -> Result<BirthProfileConfig, Failure> {
    let file = args.profile.display();
    let text = std::fs::read_to_string(&args.profile).map_err(|error| format!("profile {file}: {error}"))?;
    let mut profile: BirthProfileConfig =
        toml::from_str(&text).map_err(|error| format!("profile {file} cannot be used: {error}"))?;
    let form = args.form.map(|form| match form {
        FormArg::X509 => Form::X509,
        FormArg::C509 => Form::C509,
    });
    profile.form = form.or(profile.form);
    Ok(profile)
}

/// How many rows came to what.
#[derive(Debug, Default)]
struct Counts {
    rows: u64,
    resumed: u64,
    issued: u64,
    before: u64,
    refused: u64,
    seconds: f64,
}

impl Counts {
    fn count(&mut self, outcome: &RowOutcome) {
        match outcome {
            RowOutcome::Issued(_) => self.issued += 1,
            RowOutcome::IssuedBefore(_) => self.before += 1,
            RowOutcome::Refused { .. } => self.refused += 1,
        }
    }

    fn say(&self, args: &ProvisionArgs) -> Result<(), Failure> {
        let file = args.out.join(outcomes::FILE);
        let per_second = if self.seconds > 0.0 { (self.rows - self.resumed) as f64 / self.seconds } else { 0.0 };
        if args.hub.json {
            output::json(&serde_json::json!({
                "rows": self.rows, "resumed": self.resumed, "issued": self.issued, "issued_before": self.before,
                "refused": self.refused, "seconds": self.seconds, "per_second": per_second, "outcomes": file,
            }))?;
            return Ok(());
        }
        say!("{} rows: {} issued, {} had theirs, {} refused", self.rows, self.issued, self.before, self.refused);
        if self.resumed > 0 {
            say!("  of these, {} in an earlier run that was stopped", self.resumed);
        }
        say!("  {:.1} s, {per_second:.0} a second", self.seconds);
        say!("  each row with its outcome: {}", file.display());
        Ok(())
    }
}

/// A batch on its way.
struct Batch {
    entries: Vec<Entry>,
    claims: HashSet<String>,
    answer: JoinHandle<Result<Response, Failure>>,
}

async fn provision(args: &ProvisionArgs, profile: BirthProfileConfig, mut input: Input) -> Result<Counts, Failure> {
    let hub = Reached::at(&args.hub.dir).await?;
    let authority = match hub.ask(Request::Authority).await? {
        Response::Authority(view) => view,
        other => return Err(admin::unexpected(&other)),
    };
    let mut counts = Counts::default();
    let mut outcomes = Outcomes::open(&args.out, &authority.root_fingerprint, &profile, args.files)?;
    write_chain(&args.out, &authority)?;
    outcomes.with_chain(authority.issuing_pem);
    for outcome in outcomes.of_earlier_run()? {
        let entry = input.next().transpose()?.ok_or("the input is shorter than in the run that was stopped")?;
        counts.count(&outcome?.checked(&entry)?);
        counts.rows += 1;
        counts.resumed += 1;
    }
    let bar = bar(&input, args.hub.json);
    bar.inc(counts.resumed);
    let started = Instant::now();
    let (mut flight, mut held) = (VecDeque::<Batch>::new(), None);
    loop {
        while flight.len() < IN_FLIGHT
            && let Some(entries) = held.take().map_or_else(|| batch(&mut input), |held| Ok(Some(held)))?
        {
            let claims = claims(&entries);
            // Of two rows for one device the earlier one wins: it is answered before the other is sent.
            if flight.iter().any(|earlier| !earlier.claims.is_disjoint(&claims)) {
                held = Some(entries);
                break;
            }
            let rows = entries.iter().filter_map(|entry| entry.row.clone().ok()).collect();
            let (hub, request) = (hub.clone(), Request::Provision { profile: profile.clone(), rows });
            flight.push_back(Batch { entries, claims, answer: tokio::spawn(async move { hub.ask(request).await }) });
        }
        let Some(Batch { entries, answer, .. }) = flight.pop_front() else { break };
        let answered = match answer.await?? {
            Response::Provisioned { outcomes } => outcomes,
            other => return Err(admin::unexpected(&other)),
        };
        let answered = in_order(&entries, answered)?;
        answered.iter().for_each(|outcome| counts.count(outcome));
        counts.rows += u64::try_from(answered.len()).unwrap_or(0);
        bar.inc(u64::try_from(answered.len()).unwrap_or(0));
        outcomes.add(entries.iter().zip(answered))?;
    }
    outcomes.finish()?;
    bar.finish_and_clear();
    counts.seconds = started.elapsed().as_secs_f64();
    Ok(counts)
}

/// What the rows are for: serials, and keys.
fn claims(entries: &[Entry]) -> HashSet<String> {
    let rows = entries.iter().filter_map(|entry| entry.row.as_ref().ok());
    rows.flat_map(|row| [row.serial.clone(), row.named_by.clone(), Some(row.material.clone())]).flatten().collect()
}

/// The outcome of each row: what the authority answered to those that could be read, and why the others could not.
fn in_order(entries: &[Entry], answered: Vec<RowOutcome>) -> Result<Vec<RowOutcome>, Failure> {
    let mut answered = answered.into_iter();
    let outcomes = entries.iter().map(|entry| match &entry.row {
        Ok(_) => answered.next().ok_or_else(|| "the authority answered fewer rows than it was asked".into()),
        Err(why) => Ok(RowOutcome::Refused {
            serial: String::new(),
            code: "malformed".to_owned(),
            reason: format!("row {} cannot be read: {why}", entry.number),
        }),
    });
    let outcomes = outcomes.collect::<Result<_, Failure>>()?;
    match answered.next() {
        None => Ok(outcomes),
        Some(_) => Err("the authority answered more rows than it was asked".into()),
    }
}

/// The next rows; `None` at the end of the input.
fn batch(input: &mut Input) -> Result<Option<Vec<Entry>>, Failure> {
    let (mut entries, mut characters) = (Vec::new(), 0);
    while entries.len() < MAX_ROWS && characters < BATCH_CHARACTERS {
        let Some(entry) = input.next().transpose()? else { break };
        characters += entry.row.as_ref().map_or(0, |row| row.material.len());
        entries.push(entry);
    }
    Ok(if entries.is_empty() { None } else { Some(entries) })
}

fn bar(input: &Input, quiet: bool) -> ProgressBar {
    let (bar, style) = match input.count() {
        Some(count) => (ProgressBar::new(count), "{bar:40} {pos} of {len}, {per_sec}, {eta} to go"),
        None => (ProgressBar::no_length(), "{spinner} {pos} devices, {per_sec}, {elapsed}"),
    };
    if quiet {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar
}

fn write_chain(out: &Path, authority: &AuthorityView) -> Result<(), Failure> {
    let file = out.join(format!("{}.pem", outcomes::CHAIN));
    std::fs::write(&file, format!("{}{}", authority.issuing_pem, authority.root_pem))
        .map_err(|error| format!("{}: {error}", file.display()).into())
}

//! `medlock bench issue`: what an authority can do in a second, each certificate recorded durably and covered by the log.

mod cfssl;
mod est;
mod library;
mod list;
mod rest;
mod revoked;
mod stored;

use super::rate::{Rate, Rates};
use crate::output::{self, say};
use crate::{Failure, Outcome};
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;
use stored::Question;

/// `medlock bench issue`.
#[derive(Debug, Args)]
pub(crate) struct IssueArgs {
    /// How many certificates each round of each part issues.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..))]
    certificates: u32,
    /// How many ask at once.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..))]
    askers: u16,
    /// How many rounds; the middle one counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// How many devices are provisioned in bulk; 0 leaves that part out.
    #[arg(long, default_value_t = 100_000)]
    bulk: u32,
    /// Also measure on this PostgreSQL server, in a schema of its own that is left there.
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
    /// How many credentials a store has in which is listed and searched, and the compact set tells of; 0 leaves that part out. Of ten
    /// million the store takes 13 GB of the folder for temporary files (`TMPDIR`).
    #[arg(long, default_value_t = 20_000, value_name = "CREDENTIALS")]
    stored: u64,
    /// A step of that part, for which the bench starts itself.
    #[arg(long, hide = true, requires = "stored_at")]
    stored_step: Option<stored::Step>,
    /// Where.
    #[arg(long, hide = true)]
    stored_at: Option<PathBuf>,
    /// Leave EST out.
    #[arg(long)]
    no_est: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What was measured, in wall-clock time: issuing waits for disks, and uses all cores.
#[derive(Debug, Default, Serialize)]
struct Measured {
    certificates: u32,
    askers: u16,
    rounds: u16,
    /// Through the library, on SQLite.
    sqlite: Option<Rate>,
    /// Through the library, on PostgreSQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    postgres: Option<Rate>,
    /// Over EST, TLS connections kept open.
    #[serde(skip_serializing_if = "Option::is_none")]
    est: Option<Rate>,
    /// Birth credentials in bulk, on SQLite.
    #[serde(skip_serializing_if = "Option::is_none")]
    bulk: Option<Bulk>,
    /// Status tickets.
    tickets: Option<Rate>,
    /// An inclusion proof.
    proof: Option<Proof>,
    /// Verifying a trust list.
    trust_list: Option<list::TrustList>,
    /// A site with many credentials in its store.
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<stored::Stored>,
    /// The compact set of as many credentials, and the changes of a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_set: Option<revoked::Revoked>,
    /// cfssl's server, over plain HTTP, without a database or a log.
    #[serde(skip_serializing_if = "Option::is_none")]
    cfssl: Option<Rate>,
    /// openssl's own authority, one process, its index in a text file that is written at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    openssl: Option<Rate>,
    /// What was left out, and why.
    left_out: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Bulk {
    devices: u32,
    seconds: f64,
    target_seconds: f64,
    /// Processor time of one device, in microseconds.
    processor_microseconds: f64,
}

#[derive(Debug, Serialize)]
struct Proof {
    /// How many entries the log has.
    entries: u64,
    /// Making one, from the store.
    made_microseconds: f64,
    /// Checking one, the signature of the checkpoint included.
    verified_microseconds: f64,
    /// Checking its hashes alone.
    path_microseconds: f64,
    target_microseconds: f64,
}

/// Measures and prints.
///
/// # Errors
/// When a part cannot be prepared or something fails in it.
pub(crate) fn run(args: &IssueArgs) -> Result<Outcome, Failure> {
    if let (Some(step), Some(folder)) = (args.stored_step, &args.stored_at) {
        stored::run(step, args.stored, folder)?;
        return Ok(Outcome::Done);
    }
    let measured = measure(args)?;
    if args.json {
        output::json(&measured)?;
    } else {
        print(&measured);
    }
    Ok(Outcome::Done)
}

fn measure(args: &IssueArgs) -> Result<Measured, Failure> {
    let mut measured =
        Measured { certificates: args.certificates, askers: args.askers, rounds: args.rounds, ..Measured::default() };
    let folder = tempfile::Builder::new().prefix("medlock-bench-").tempdir()?;
    let sqlite = library::Line::sqlite(&folder.path().join("sqlite"))?;
    measured.sqlite = Some(sqlite.rate(args, 5_000)?);
    measured.proof = Some(rest::proof(&sqlite)?);
    measured.tickets = Some(rest::tickets(args)?);
    drop(sqlite);
    match &args.postgres {
        Some(url) => {
            let postgres = library::Line::postgres(url, &folder.path().join("postgres"))?;
            measured.postgres = Some(postgres.rate(args, 2_000)?);
        }
        None => measured.left_out.push("PostgreSQL: give --postgres URL".to_owned()),
    }
    if args.no_est {
        measured.left_out.push("EST: --no-est".to_owned());
    } else {
        measured.est = Some(est::rate(args, &folder.path().join("est"))?);
    }
    if args.bulk > 0 {
        measured.bulk = Some(library::bulk(args.bulk, &folder.path().join("maker"))?);
    }
    measured.trust_list = Some(list::measure()?);
    if args.stored > 0 {
        measured.stored = Some(stored::measure(args, &folder.path().join("stored"))?);
        measured.revoked_set = Some(revoked::measure(args.stored)?);
    }
    match cfssl::rate(args, &folder.path().join("cfssl")) {
        Ok(rate) => measured.cfssl = Some(rate),
        Err(reason) => measured.left_out.push(format!("cfssl: {reason}")),
    }
    match rest::openssl(args, &folder.path().join("openssl")) {
        Ok(rate) => measured.openssl = Some(rate),
        Err(reason) => measured.left_out.push(format!("openssl: {reason}")),
    }
    Ok(measured)
}

fn print(measured: &Measured) {
    let mut rates = Rates::new();
    rates.add("certificates, SQLite, recorded and in the log", measured.sqlite.as_ref());
    rates.add("certificates, PostgreSQL, recorded and in the log", measured.postgres.as_ref());
    rates.add("certificates over EST, TLS kept open", measured.est.as_ref());
    rates.add("status tickets", measured.tickets.as_ref());
    rates.add("certificates by cfssl serve, plain HTTP", measured.cfssl.as_ref());
    rates.add("certificates by openssl ca", measured.openssl.as_ref());
    rates.print();
    if let Some(bulk) = &measured.bulk {
        say!(
            "\n{} birth credentials in bulk: {:.1} s (target {} s), {:.0} µs of processors each",
            bulk.devices,
            bulk.seconds,
            bulk.target_seconds,
            bulk.processor_microseconds
        );
    }
    if let Some(proof) = &measured.proof {
        say!(
            "inclusion proof, {} entries: made in {:.1} µs, verified in {:.1} µs, {:.1} of them for the hashes (target {} µs)",
            proof.entries,
            proof.made_microseconds,
            proof.verified_microseconds,
            proof.path_microseconds,
            proof.target_microseconds
        );
    }
    print_sizes(measured);
    say!(
        "\nWall-clock time, all cores; {} askers; the middle of {} rounds of {}.",
        measured.askers,
        measured.rounds,
        measured.certificates
    );
    for reason in &measured.left_out {
        say!("left out: {reason}");
    }
}

fn print_sizes(measured: &Measured) {
    if let Some(list) = &measured.trust_list {
        say!(
            "a trust list of {} members, {} of whom signed, and {} authorities, {} bytes: verified in {:.0} µs (target {} µs)",
            list.members,
            list.signatures,
            list.authorities,
            list.bytes,
            list.verified_microseconds,
            list.target_microseconds
        );
    }
    if let Some(stored) = &measured.stored {
        say!(
            "{} credentials stored: {} MB at most (target {} MB)",
            stored.credentials,
            stored.most_megabytes,
            stored.target_megabytes
        );
        for Question { question, milliseconds } in &stored.questions {
            say!("  {question}: {milliseconds:.1} ms at most (target {} ms)", stored.target_milliseconds);
        }
    }
    if let Some(revoked) = &measured.revoked_set {
        let target = revoked.target_bits_per_credential;
        for (what, sets) in [("not good", &revoked.sets), ("changed in a day", &revoked.daily_deltas)] {
            for set in sets {
                say!(
                    "compact set of {} credentials, {} in 10,000 {what}: {} bytes, {:.3} bits each (target {target})",
                    revoked.credentials,
                    set.in_ten_thousand,
                    set.bytes,
                    set.bits_per_credential
                );
            }
        }
    }
}

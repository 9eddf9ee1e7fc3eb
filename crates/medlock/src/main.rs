//! `medlock`: the trust layer made for care, one binary for hospitals and makers.
//!
//! This crate reads arguments and configuration, starts the rooms (authority, guard, …), connects them, and prints
//! what they say. What a peer may do is decided in `medlock-trust`, never here.

mod admin;
mod authorities;
mod bench;
mod cli;
mod clinical;
mod config;
mod conformance;
mod decide;
mod demo;
mod doors;
mod folder;
mod hub;
mod inspect;
mod monitoring;
mod output;
mod probe;
mod provision;
mod sidecar;
mod signer;
mod supervise;
mod trust_list;
mod up;

use clap::Parser;
use std::process::ExitCode;

/// What a command ended with, beside an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done: exit code 0.
    Done,
    /// Refused, or a step did not hold; already said to the person: exit code 1.
    Refused,
}

/// A failure a person reads: what was wrong, where, and what to do.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    // The demonstration provokes warnings and tells them in its own words.
    let usual = if cli.command.is_demonstration() { "error" } else { "warn" };
    output::start_log(cli.log.as_deref().unwrap_or(usual), cli.log_format);
    match cli::run(cli.command) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Refused) => ExitCode::from(1),
        Err(failure) => {
            eprintln!("medlock: {}", output::chain(&*failure));
            ExitCode::from(1)
        }
    }
}

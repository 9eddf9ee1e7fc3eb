//! `medlock trust-list …`: who may vouch for what.

use super::HubArgs;
use crate::admin::{self, ask};
use crate::output::say;
use crate::{Failure, Outcome, decide, inspect};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::{Args, Subcommand};
use medlock_authority::admin::{Request, Response};
use medlock_authority::objects::Kind;
use std::path::PathBuf;

/// `medlock trust-list …`.
#[derive(Debug, Subcommand)]
pub(crate) enum TrustListCommand {
    /// Show a list: a file, or the one a hub holds.
    Show {
        /// The signed list; without one, the hub's site list.
        file: Option<PathBuf>,
        /// Show the hub's trust list (of makers) instead of its site list.
        #[arg(long)]
        alliance: bool,
        /// Write the signed list to this file instead of showing it.
        #[arg(long, value_name = "FILE")]
        save: Option<PathBuf>,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Check that enough members signed a list. Exit code 0 if so.
    Verify(VerifyListArgs),
    /// Give a hub a trust list, so that devices of its makers may enrol by their birth credentials.
    Import {
        /// The signed list.
        file: PathBuf,
        /// At the first time: the key of a member one believes. Can be given several times.
        #[arg(long = "member", value_name = "KEY-ID")]
        members: Vec<String>,
        /// At the first time: how many members must have signed.
        #[arg(long, default_value_t = 0)]
        threshold: usize,
        #[command(flatten)]
        hub: HubArgs,
    },
}

/// `medlock trust-list verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyListArgs {
    /// The signed list.
    pub(crate) file: PathBuf,
    /// A certificate whose key is a member one believes (a site's root), as PEM. Can be given several times.
    #[arg(long = "root", value_name = "ROOT.pem")]
    pub(crate) roots: Vec<PathBuf>,
    /// The key of a member one believes. Can be given several times.
    #[arg(long = "member", value_name = "KEY-ID")]
    pub(crate) members: Vec<String>,
    /// How many of them must have signed.
    #[arg(long, default_value_t = 1)]
    pub(crate) threshold: u8,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Does what was asked.
///
/// # Errors
/// When a file cannot be read or a hub cannot be reached.
pub(crate) fn run(command: TrustListCommand) -> Result<Outcome, Failure> {
    match command {
        TrustListCommand::Show { file: Some(file), save: None, hub, .. } => {
            inspect::run(&super::InspectArgs { file, json: hub.json })
        }
        TrustListCommand::Show { file: Some(_), save: Some(_), .. } => {
            Err("--save writes the hub's list; there is no need to save a file that is there".into())
        }
        TrustListCommand::Show { file: None, alliance, save, hub } => {
            let bytes = held(&hub, if alliance { Kind::TrustList } else { Kind::SiteList })?;
            match save {
                Some(path) => {
                    std::fs::write(&path, &bytes).map_err(|error| format!("{}: {error}", path.display()))?;
                    say!("{} bytes written to {}", bytes.len(), path.display());
                    Ok(Outcome::Done)
                }
                None => inspect::show(&bytes, hub.json),
            }
        }
        TrustListCommand::Verify(args) => decide::verify_list(&args),
        TrustListCommand::Import { file, members, threshold, hub } => {
            let bytes = std::fs::read(&file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
            let object = BASE64.encode(bytes);
            super::device::done(&hub, Request::ImportTrustList { object, members, threshold })
        }
    }
}

fn held(hub: &HubArgs, kind: Kind) -> Result<Vec<u8>, Failure> {
    match ask(&hub.dir, Request::Object { object: kind })? {
        Response::Object { bytes, .. } => Ok(BASE64.decode(bytes)?),
        other => Err(admin::unexpected(&other)),
    }
}

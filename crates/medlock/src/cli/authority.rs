//! `medlock authority …`: who an authority is, and what it has to say.

use super::HubArgs;
use crate::admin::{self, ask};
use crate::output::{self, Table};
use crate::output::{say, say_raw};
use crate::{Failure, Outcome, hub};
use clap::{Args, Subcommand};
use medlock_authority::admin::{Request, Response};

/// `medlock authority …`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuthorityCommand {
    /// Show the authority of a hub: its name, its keys, its root certificate.
    Show {
        #[command(flatten)]
        hub: HubArgs,
    },
    /// List what a person must look at: reused codes, cloned credentials.
    Alarms {
        /// Mark this alarm as dealt with.
        #[arg(long, value_name = "NUMBER")]
        acknowledge: Option<i64>,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// List who did what at this authority, newest first.
    Audit {
        /// How many lines at most.
        #[arg(long, default_value_t = 100)]
        limit: u32,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Make a maker's authority: root and issuing key for birth credentials.
    CreateMaker(CreateMakerArgs),
}

/// `medlock authority create-maker`.
#[derive(Debug, Args)]
pub(crate) struct CreateMakerArgs {
    /// The maker's name, as it stands in every birth credential.
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

/// Does what was asked.
///
/// # Errors
/// When the authority cannot be reached or refuses.
pub(crate) fn run(command: AuthorityCommand) -> Result<Outcome, Failure> {
    match command {
        AuthorityCommand::Show { hub } => show(&hub),
        AuthorityCommand::Alarms { acknowledge: Some(id), hub } => {
            super::device::done(&hub, Request::AcknowledgeAlarm { id })
        }
        AuthorityCommand::Alarms { acknowledge: None, hub } => alarms(&hub),
        AuthorityCommand::Audit { limit, hub } => audit(limit, &hub),
        AuthorityCommand::CreateMaker(args) => {
            hub::create_maker(&args.hub.dir, &args.name)?;
            show(&args.hub)
        }
    }
}

fn show(hub: &HubArgs) -> Result<Outcome, Failure> {
    match ask(&hub.dir, Request::Authority)? {
        Response::Authority(view) if hub.json => output::json(&view)?,
        Response::Authority(view) => {
            say!("{} ({})", view.name, view.kind);
            say!("  root certificate SHA-256  {}", view.root_fingerprint);
            say!("  root key                  {}", view.root_key);
            say!("  issuing key               {}", view.issuing_key);
            say!("  devices                   {}\n", view.devices);
            say_raw!("{}{}", view.root_pem, view.issuing_pem);
        }
        other => return Err(admin::unexpected(&other)),
    }
    Ok(Outcome::Done)
}

fn alarms(hub: &HubArgs) -> Result<Outcome, Failure> {
    match ask(&hub.dir, Request::Alarms)? {
        answer @ Response::Alarms { .. } if hub.json => output::json(&answer)?,
        Response::Alarms { alarms } => {
            let mut table = Table::new(&["number", "when", "kind", "device", "seen", "what"]);
            for alarm in alarms {
                table.row([
                    alarm.id.to_string(),
                    alarm.at,
                    alarm.kind,
                    alarm.device.unwrap_or_else(|| "-".into()),
                    if alarm.acknowledged { "yes" } else { "no" }.into(),
                    alarm.text,
                ]);
            }
            table.print("No alarms.");
        }
        other => return Err(admin::unexpected(&other)),
    }
    Ok(Outcome::Done)
}

fn audit(limit: u32, hub: &HubArgs) -> Result<Outcome, Failure> {
    match ask(&hub.dir, Request::Audit { limit: Some(limit) })? {
        answer @ Response::Audit { .. } if hub.json => output::json(&answer)?,
        Response::Audit { entries } => {
            let mut table = Table::new(&["when", "who", "asked", "of", "outcome"]);
            for entry in entries {
                table.row([entry.at, entry.who, entry.verb, entry.subject, entry.outcome]);
            }
            table.print("Nothing was done yet.");
        }
        other => return Err(admin::unexpected(&other)),
    }
    Ok(Outcome::Done)
}

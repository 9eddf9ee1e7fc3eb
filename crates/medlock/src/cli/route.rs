//! `medlock route …`: which machine answers to which protocol name.

use super::{HubArgs, device};
use crate::admin::{self, ask};
use crate::output::say;
use crate::output::{self, Table};
use crate::{Failure, Outcome};
use clap::Subcommand;
use medlock_authority::admin::{Request, Response};

/// `medlock route …`.
#[derive(Debug, Subcommand)]
pub(crate) enum RouteCommand {
    /// List the routing table as it is signed now.
    List {
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Set a device's AE titles and where its sidecar is reached.
    Set {
        /// The device.
        device: String,
        /// An AE title it may use. Can be given several times.
        #[arg(long = "ae", value_name = "TITLE", required = true)]
        ae_titles: Vec<String>,
        /// Where other sidecars reach its sidecar.
        #[arg(long, value_name = "HOST:PORT")]
        address: String,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Take a device out of the routing table.
    Remove {
        /// The device.
        device: String,
        #[command(flatten)]
        hub: HubArgs,
    },
}

/// Does what was asked.
///
/// # Errors
/// When the hub cannot be reached or refuses.
pub(crate) fn run(command: RouteCommand) -> Result<Outcome, Failure> {
    match command {
        RouteCommand::List { hub } => list(&hub),
        RouteCommand::Set { device, ae_titles, address, hub } => {
            device::done(&hub, Request::SetRoute { device, ae_titles, sidecar: address })
        }
        RouteCommand::Remove { device, hub } => device::done(&hub, Request::RemoveRoute { device }),
    }
}

fn list(hub: &HubArgs) -> Result<Outcome, Failure> {
    match ask(&hub.dir, Request::Routes)? {
        answer @ Response::Routes { .. } if hub.json => output::json(&answer)?,
        Response::Routes { version, machines } => {
            let mut table = Table::new(&["device", "ae titles", "sidecar"]);
            for machine in machines {
                table.row([machine.device, machine.ae_titles.join(","), machine.sidecar]);
            }
            table.print("No routes. Set one with: medlock route set DEVICE --ae TITLE --address HOST:PORT");
            say!("version {version}");
        }
        other => return Err(admin::unexpected(&other)),
    }
    Ok(Outcome::Done)
}

//! `medlock device probe`: can a protected machine be reached past its sidecar?

use crate::admin::{self, ask};
use crate::cli::ProbeArgs;
use crate::output::say;
use crate::output::{self, Table};
use crate::{Failure, Outcome};
use medlock_authority::admin::{Request, Response};
use serde::Serialize;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

/// How long an address may take to answer. A firewall that drops instead of refusing costs this much.
const PATIENCE: Duration = Duration::from_secs(3);

/// What one address said.
#[derive(Debug, Serialize)]
struct Probed {
    address: String,
    /// `open`: it took a connection; `closed`: it refused; `silent`: nothing came back; `unknown`: no such host.
    state: &'static str,
}

/// Tries every address; refused if one of them takes a connection, or cannot be found.
///
/// # Errors
/// When the device is unknown or has no address.
pub(crate) fn run(args: &ProbeArgs) -> Result<Outcome, Failure> {
    let addresses = match args.target.rsplit_once(':') {
        Some(_) => vec![args.target.clone()],
        None => {
            let host = sidecar_host(args)?;
            args.ports.iter().map(|port| format!("{host}:{port}")).collect()
        }
    };
    let probed: Vec<Probed> = addresses.into_iter().map(|address| Probed { state: probe(&address), address }).collect();
    let reachable = probed.iter().any(|one| one.state == "open");
    let unknown: Vec<&str> =
        probed.iter().filter(|one| one.state == "unknown").map(|one| one.address.as_str()).collect();
    if args.hub.json {
        output::json(&serde_json::json!({ "reachable": reachable, "probed": probed }))?;
    } else {
        let mut table = Table::new(&["address", "state"]);
        for one in &probed {
            table.row([one.address.clone(), one.state.to_owned()]);
        }
        table.print("Nothing to probe.");
        if !unknown.is_empty() && !reachable {
            return Err(format!("nothing is known of {}: no address has this name", unknown.join(", ")).into());
        }
        if probed.iter().any(|one| one.address.starts_with("127.") || one.address.starts_with("localhost:")) {
            say!("This machine asked itself, which says nothing about others: probe from another host.");
            return Ok(Outcome::Done);
        }
        say!(
            "{}",
            if reachable {
                "REACHABLE: whoever is here can go past the sidecar. Bind the machine to loopback or its own interface."
            } else {
                "Not reachable from here."
            }
        );
    }
    Ok(if reachable || !unknown.is_empty() { Outcome::Refused } else { Outcome::Done })
}

fn sidecar_host(args: &ProbeArgs) -> Result<String, Failure> {
    match ask(&args.hub.dir, Request::Show { device: args.target.clone() })? {
        Response::Device(view) => view
            .entry
            .sidecar
            .as_deref()
            .and_then(|sidecar| sidecar.rsplit_once(':'))
            .map(|(host, _)| host.to_owned())
            .ok_or_else(|| format!("{} has no address in the register; name it as HOST:PORT", args.target).into()),
        other => Err(admin::unexpected(&other)),
    }
}

fn probe(address: &str) -> &'static str {
    let Ok(mut resolved) = address.to_socket_addrs() else { return "unknown" };
    let Some(first) = resolved.next() else { return "unknown" };
    match TcpStream::connect_timeout(&first, PATIENCE) {
        Ok(_) => "open",
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => "closed",
        Err(_) => "silent",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-CLI-07.
    #[test]
    fn an_open_port_is_told_from_a_closed_one() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert_eq!(probe(&address), "open");
        drop(listener);
        assert_eq!(probe(&address), "closed");
        assert_eq!(probe("no-such-host.invalid:104"), "unknown");
    }
}

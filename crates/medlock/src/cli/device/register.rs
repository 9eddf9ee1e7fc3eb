//! `medlock device register`: a device's entry in the site register, and its changes.

use super::{pending, view};
use crate::admin::{self, ask};
use crate::cli::HubArgs;
use crate::output::{self, say};
use crate::{Failure, Outcome};
use clap::{Args, ValueEnum};
use medlock_authority::admin::{Request, Response};
use medlock_authority::registry::DeviceConfig;
use std::net::IpAddr;

/// `medlock device register`.
#[derive(Debug, Args)]
pub(crate) struct RegisterArgs {
    /// The device's name at this site; it stands in its credential.
    name: String,
    /// What it is for: modality, archive, sensor, controller, actuator, monitor, gateway. Can be given several times.
    #[arg(long = "role", value_name = "ROLE", required_unless_present = "update")]
    roles: Vec<String>,
    /// A DICOM application entity title it may use. Can be given several times.
    #[arg(long = "ae", value_name = "TITLE")]
    ae_titles: Vec<String>,
    /// Where other sidecars reach its sidecar.
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// A DNS name for its credential.
    #[arg(long, value_name = "NAME")]
    dns: Vec<String>,
    /// An IP address for its credential.
    #[arg(long = "ip", value_name = "ADDRESS")]
    ips: Vec<IpAddr>,
    /// What kind of device it is, a number of docs/device-types.md.
    #[arg(long = "type", value_name = "NUMBER")]
    device_type: Option<u16>,
    /// The serial its maker gave it, by which its birth credential is recognised.
    #[arg(long, value_name = "SERIAL")]
    maker_serial: Option<String>,
    /// The key of the maker that may vouch for the serial, 32 hexadecimal digits of the trust list.
    #[arg(long, value_name = "HEX")]
    maker_key: Option<String>,
    /// Who answers for it.
    #[arg(long)]
    owner: Option<String>,
    /// A limit on the life of its credentials, in seconds.
    #[arg(long, value_name = "SECONDS")]
    validity_seconds: Option<u64>,
    /// Change the entry of a device that is registered already: what is given takes the place of what was there, all else stays.
    #[arg(long)]
    update: bool,
    /// With --update: take this out of the entry. Can be given several times.
    #[arg(long, value_name = "WHAT", requires = "update")]
    without: Vec<Without>,
    #[command(flatten)]
    hub: HubArgs,
}

/// What `--without` takes out of a device's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Without {
    /// Its application entity titles.
    Ae,
    /// Where its sidecar is reached.
    Address,
    /// Its DNS names.
    Dns,
    /// Its IP addresses.
    Ip,
    /// Its type.
    Type,
    /// Its maker's serial, and the maker's key with it.
    MakerSerial,
    /// The key of its maker.
    MakerKey,
    /// Who answers for it.
    Owner,
    /// The limit on the life of its credentials.
    ValiditySeconds,
}

impl RegisterArgs {
    /// Whether nothing is given but the name.
    fn says_nothing(&self) -> bool {
        let Self { name: _, update: _, hub: _, roles, ae_titles, address, dns, ips, device_type, .. } = self;
        let Self { maker_serial, maker_key, owner, validity_seconds, without, .. } = self;
        [roles, ae_titles, dns].iter().all(|given| given.is_empty())
            && [address, maker_serial, maker_key, owner].iter().all(|given| given.is_none())
            && (ips.is_empty() && device_type.is_none() && validity_seconds.is_none() && without.is_empty())
    }

    /// The entry that is meant: of one that is held, what is given is changed, what is named by `--without` is gone, and all else
    /// stays.
    fn entry(self, held: DeviceConfig) -> DeviceConfig {
        let mut entry = held;
        for what in self.without {
            match what {
                Without::Ae => entry.ae_titles.clear(),
                Without::Address => entry.sidecar = None,
                Without::Dns => entry.dns.clear(),
                Without::Ip => entry.ips.clear(),
                Without::Type => entry.device_type = None,
                Without::MakerSerial => (entry.maker_serial, entry.maker_key) = (None, None),
                Without::MakerKey => entry.maker_key = None,
                Without::Owner => entry.owner.clear(),
                Without::ValiditySeconds => entry.validity_seconds = None,
            }
        }
        fn given<T>(given: Vec<T>, held: Vec<T>) -> Vec<T> {
            if given.is_empty() { held } else { given }
        }
        DeviceConfig {
            name: self.name,
            owner: self.owner.unwrap_or(entry.owner),
            maker_serial: self.maker_serial.or(entry.maker_serial),
            maker_key: self.maker_key.or(entry.maker_key),
            roles: given(self.roles, entry.roles),
            device_type: self.device_type.or(entry.device_type),
            dns: given(self.dns, entry.dns),
            ips: given(self.ips, entry.ips),
            ae_titles: given(self.ae_titles, entry.ae_titles),
            sidecar: self.address.or(entry.sidecar),
            validity_seconds: self.validity_seconds.or(entry.validity_seconds),
        }
    }
}

/// Writes the entry, or changes it.
///
/// # Errors
/// When the hub cannot be reached or refuses.
pub(super) fn run(args: RegisterArgs) -> Result<Outcome, Failure> {
    let hub = HubArgs { dir: args.hub.dir.clone(), json: args.hub.json };
    let request = if args.update {
        if args.says_nothing() {
            return Err("say what is to be changed, or taken out by --without: all else stays as it is".into());
        }
        let held = view(args.name.clone(), &hub)?.entry;
        Request::Update { device: args.entry(held.clone()), read: Some(Box::new(held)) }
    } else {
        if args.maker_key.is_some() && args.maker_serial.is_none() {
            return Err("--maker-key says whose serial it is: give --maker-serial too".into());
        }
        Request::Register { device: args.entry(DeviceConfig::default()) }
    };
    match ask(&hub.dir, request)? {
        Response::Device(view) if hub.json => output::json(&view)?,
        Response::Device(view) => {
            let (name, dir) = (&view.entry.name, output::word(&hub.dir.to_string_lossy()));
            let typed = output::word(name.as_str());
            if let Some(warning) = &view.warning {
                say!("WARNING: {warning}.");
            }
            match (&view.entry.maker_serial, &view.entry.maker_key) {
                // What is warned of comes first.
                (Some(_), Some(_)) if view.warning.is_some() => say!("{name} is in the register."),
                (Some(_), Some(_)) => {
                    say!("{name} is in the register. It enrols by itself, with its birth credential.");
                }
                (Some(_), None) => say!(
                    "{name} is in the register. It enrols by itself with its birth credential; a person has to confirm it if the \
                     trust list has more than one maker, as no maker's key is given."
                ),
                (None, _) => say!("{name} is in the register. Next: medlock device code {typed} --dir {dir}"),
            }
            // It may have come before it was registered.
            for one in pending(&hub.dir)?.iter().filter(|one| one.device.is_none()) {
                say!(
                    "A request waits ({}). If it is {name}'s, compare the key and then: medlock device approve {} --device {typed}",
                    one.claims,
                    one.id
                );
            }
        }
        other => return Err(admin::unexpected(&other)),
    }
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: RegisterArgs,
    }

    fn typed(line: &str) -> RegisterArgs {
        Line::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{error}")).args
    }

    /// Shows REQ-CLI-48: what is not given stays as it was, and what is taken out goes.
    #[test]
    fn an_update_keeps_what_is_not_given() {
        let all = "register ct1 --role modality --role archive --ae CT1 --address ct1:2762 --dns ct1.example --ip 10.0.0.1 --type 7 \
                   --maker-serial S-1 --maker-key 00112233445566778899aabbccddeeff --owner radiology --validity-seconds 900";
        let held = typed(all).entry(DeviceConfig::default());
        let owned = typed("register ct1 --update --owner surgery").entry(held.clone());
        assert_eq!(owned, DeviceConfig { owner: "surgery".into(), ..held.clone() });
        let moved = typed("register ct1 --update --role modality --ae CT9 --without dns").entry(held.clone());
        let (roles, ae_titles) = (vec!["modality".into()], vec!["CT9".into()]);
        assert_eq!(moved, DeviceConfig { roles, ae_titles, dns: Vec::new(), ..held.clone() });
        let mut bare = "register ct1 --update".to_owned();
        for what in Without::value_variants() {
            bare += &format!(" --without {}", what.to_possible_value().unwrap().get_name());
        }
        let left = DeviceConfig { name: "ct1".into(), roles: held.roles.clone(), ..DeviceConfig::default() };
        assert_eq!(typed(&bare).entry(held), left);
        assert!(typed("register ct1 --update").says_nothing());
        let one_each = all.split(" --").skip(1).map(|given| format!("register ct1 --update --{given}"));
        for line in one_each.chain(["register ct1 --update --without ae".into()]) {
            assert!(!typed(&line).says_nothing(), "{line}");
        }
        assert!(Line::try_parse_from(["register", "ct1"]).is_err(), "a new one needs a role");
        assert!(Line::try_parse_from(["register", "ct1", "--role", "x", "--without", "ae"]).is_err());
    }
}

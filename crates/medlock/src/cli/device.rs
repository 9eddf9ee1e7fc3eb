//! `medlock device …`: the site register, approvals and revocations.

mod register;

use super::HubArgs;
use crate::admin::{self, ask};
use crate::output::say;
use crate::output::{self, Table};
use crate::provision::{self, ProvisionArgs};
use crate::{Failure, Outcome, probe};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, ValueEnum};
use medlock_authority::admin::{DeviceView, PendingView, PledgeView, Reason, Request, Response, Search};
use medlock_authority::settings::Kind;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

/// `medlock device …`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// Write a device into the site register: its name, what it is for, and the names it may use.
    Register(register::RegisterArgs),
    /// Take a device out of the register that was entered by mistake: only one that never had a credential.
    Remove {
        /// The device.
        name: String,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Make a one-time enrolment code for a registered device, to paste or to scan.
    Code {
        /// The device.
        name: String,
        /// How many minutes the code is good, a week at most.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=10_080))]
        minutes: u64,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// List the devices a page at a time, the requests that wait for a person, and devices that asked for a voucher without being
    /// registered.
    List(ListArgs),
    /// Show one device with all its credentials.
    Show {
        /// The device.
        name: String,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Let a device in: compare the key's fingerprint with the one the device shows, then confirm.
    Approve {
        /// The device, or the number of the waiting request.
        name: String,
        /// The beginning of the key's fingerprint as the device shows it, at least 8 digits.
        #[arg(long, value_name = "HEX")]
        key: Option<String>,
        /// Confirm whatever waits, without comparing keys: only where nobody else can reach the hub.
        #[arg(long, conflicts_with = "key")]
        without_comparing: bool,
        /// For a birth credential whose serial is not registered: the registered device it is.
        #[arg(long, value_name = "NAME")]
        device: Option<String>,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Turn a waiting request down; its code is void.
    Reject {
        /// The device, or the number of the waiting request.
        name: String,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Suspend a device until it is restored.
    Suspend {
        /// The device.
        name: String,
        /// Why, for the record.
        #[arg(long, value_parser = NonEmptyStringValueParser::new())]
        why: String,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Lift a suspension.
    Restore {
        /// The device.
        name: String,
        /// Why, for the record.
        #[arg(long, value_parser = NonEmptyStringValueParser::new())]
        why: String,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Revoke a device for good; live sessions end within a second.
    Revoke {
        /// The device.
        name: String,
        /// What happened; the consequences follow from it.
        #[arg(long)]
        reason: ReasonArg,
        /// In your words, for the record.
        #[arg(long, value_parser = NonEmptyStringValueParser::new())]
        why: String,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Sign a bond, for a device where nobody can hold a button: it may be commanded by another, or use its readings.
    Bond(BondArgs),
    /// Give devices their birth credentials, at a maker's authority: from the keys and requests their own chips made.
    Provision(ProvisionArgs),
    /// Look from here whether a protected machine's own port can be reached past its sidecar; exit code 1 if it can, or if its name
    /// is unknown.
    Probe(ProbeArgs),
}

/// `medlock device bond`.
#[derive(Debug, Args)]
pub(crate) struct BondArgs {
    /// The device that takes the bond: a pump, or a controller.
    name: String,
    /// With whom: the pump's controller, or the controller's sensor.
    #[arg(long, value_name = "NAME")]
    with: String,
    /// What that one may ask: treat, halt, configure; report, inform. Can be given several times.
    #[arg(long = "may", value_name = "OPERATION", required = true)]
    operations: Vec<String>,
    /// For which patient: 32 hexadecimal digits that say nothing about the person; drawn if absent.
    #[arg(long, value_name = "HEX")]
    patient: Option<String>,
    /// Write the signed bond to this file: whoever likes may bring it to the device.
    #[arg(long, value_name = "FILE")]
    save: PathBuf,
    #[command(flatten)]
    hub: HubArgs,
}

/// `medlock device probe`.
#[derive(Debug, Args)]
pub(crate) struct ProbeArgs {
    /// The device, or the address at which its machine must not answer, `HOST:PORT`.
    pub(crate) target: String,
    /// For a device: a port at its sidecar's host that must not answer. Can be given several times.
    #[arg(long = "port", value_name = "PORT", default_values_t = [104, 11_112, 4_242])]
    pub(crate) ports: Vec<u16>,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

/// Why a device is revoked.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ReasonArg {
    /// Others know its key: compromised. It may come back with a new key and a new code.
    KeyCompromise,
    /// It is in wrong hands: compromised, and its name is never used again.
    Stolen,
    /// It has left service.
    Retired,
    /// Its credentials were replaced by others.
    Superseded,
}

impl From<ReasonArg> for Reason {
    fn from(reason: ReasonArg) -> Self {
        match reason {
            ReasonArg::KeyCompromise => Self::KeyCompromise,
            ReasonArg::Stolen => Self::Stolen,
            ReasonArg::Retired => Self::Retired,
            ReasonArg::Superseded => Self::Superseded,
        }
    }
}

/// Does what was asked.
///
/// # Errors
/// When the hub cannot be reached or refuses.
pub(crate) fn run(command: DeviceCommand) -> Result<Outcome, Failure> {
    match command {
        DeviceCommand::Register(args) => register::run(args),
        DeviceCommand::Remove { name, hub } => done(&hub, Request::Remove { device: name }),
        DeviceCommand::Code { name, minutes, hub } => code(name, minutes, &hub),
        DeviceCommand::List(args) => list(args),
        DeviceCommand::Show { name, hub } => show(name, &hub),
        DeviceCommand::Approve { name, key, without_comparing, device, hub } => {
            let request = waiting(&hub.dir, &name)?;
            compare(&request, key.as_deref(), without_comparing)?;
            done(&hub, Request::Approve { id: request.id, device })
        }
        DeviceCommand::Reject { name, hub } => {
            let id = waiting(&hub.dir, &name)?.id;
            done(&hub, Request::Reject { id })
        }
        DeviceCommand::Suspend { name, why, hub } => done(&hub, Request::Suspend { device: name, why }),
        DeviceCommand::Restore { name, why, hub } => done(&hub, Request::Restore { device: name, why }),
        DeviceCommand::Revoke { name, reason, why, hub } => {
            done(&hub, Request::Revoke { device: name, reason: reason.into(), why })
        }
        DeviceCommand::Bond(args) => bond(args),
        DeviceCommand::Provision(args) => provision::run(&args),
        DeviceCommand::Probe(args) => probe::run(&args),
    }
}

/// Asks for something that is answered with "done".
///
/// # Errors
/// As [`ask`].
pub(crate) fn done(hub: &HubArgs, request: Request) -> Result<Outcome, Failure> {
    let answer = ask(&hub.dir, request)?;
    match &answer {
        Response::Done { .. } if hub.json => output::json(&answer)?,
        Response::Done { text } => say!("{text}"),
        other => return Err(admin::unexpected(other)),
    }
    Ok(Outcome::Done)
}

fn code(name: String, minutes: u64, hub: &HubArgs) -> Result<Outcome, Failure> {
    let lifetime_seconds = minutes.saturating_mul(60);
    match ask(&hub.dir, Request::Code { device: name, lifetime_seconds: Some(lifetime_seconds) })? {
        answer @ Response::Code { .. } if hub.json => output::json(&answer)?,
        Response::Code { code, device, expires } => {
            let picture = qrcode::QrCode::new(&code)?;
            say!("{}", picture.render::<qrcode::render::unicode::Dense1x2>().build());
            say!("{code}\n");
            say!("Good once, for {device}, until {expires}. It is not shown again.");
            say!(
                "Next, beside the machine: medlock sidecar dicom, which asks for it; then here: medlock device approve {}",
                output::word(device.as_str())
            );
        }
        other => return Err(admin::unexpected(&other)),
    }
    Ok(Outcome::Done)
}

fn bond(args: BondArgs) -> Result<Outcome, Failure> {
    let BondArgs { name, with, operations, patient, save, hub } = args;
    let request = Request::Bond { device: name.clone(), controller: with.clone(), patient, operations };
    match ask(&hub.dir, request)? {
        Response::Bond { epoch, patient, bytes } => {
            let bytes = BASE64.decode(bytes)?;
            std::fs::write(&save, &bytes).map_err(|error| format!("{}: {error}", save.display()))?;
            if hub.json {
                output::json(&serde_json::json!({ "epoch": epoch, "patient": patient, "file": save }))?;
            } else {
                say!(
                    "bond {epoch} of {name} with {with}, for patient {patient}: {} bytes in {}",
                    bytes.len(),
                    save.display()
                );
            }
        }
        other => return Err(admin::unexpected(&other)),
    }
    Ok(Outcome::Done)
}

/// `medlock device list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Those whose name begins like this.
    #[arg(long, value_name = "START", conflicts_with_all = ["maker_serial", "owner", "serial"])]
    search: Option<String>,
    /// Those whose maker's serial begins like this, in its order.
    #[arg(long, value_name = "START", conflicts_with_all = ["owner", "serial"])]
    maker_serial: Option<String>,
    /// Those of this owner.
    #[arg(long, conflicts_with = "serial")]
    owner: Option<String>,
    /// The one that the certificate with this serial number was issued to.
    #[arg(long, value_name = "HEX", conflicts_with = "after")]
    serial: Option<String>,
    /// Those behind this one: what the page before ended with.
    #[arg(long, value_name = "LAST")]
    after: Option<String>,
    /// How many at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    most: u32,
    #[command(flatten)]
    hub: HubArgs,
}

fn list(args: ListArgs) -> Result<Outcome, Failure> {
    let by_maker = args.maker_serial.is_some();
    let search = match (args.maker_serial, args.owner, args.serial) {
        (Some(start), ..) => Search::MakerSerial(start),
        (_, Some(owner), _) => Search::Owner(owner),
        (_, _, Some(serial)) => Search::Serial(serial),
        _ => Search::Name(args.search.unwrap_or_default()),
    };
    let everything = matches!(&search, Search::Name(start) if start.is_empty()) && args.after.is_none();
    let hub = args.hub;
    let devices = match ask(&hub.dir, Request::Find { search, after: args.after, limit: args.most })? {
        Response::Devices { devices } => devices,
        other => return Err(admin::unexpected(&other)),
    };
    let last = devices.last().filter(|_| devices.len() >= args.most as usize);
    let next =
        last.and_then(|last| if by_maker { last.entry.maker_serial.clone() } else { Some(last.entry.name.clone()) });
    let (pending, pledges) = (pending(&hub.dir)?, pledges(&hub.dir)?);
    if hub.json {
        let all = serde_json::json!({ "devices": devices, "pending": pending, "unregistered": pledges, "next": next });
        output::json(&all)?;
        return Ok(Outcome::Done);
    }
    let mut table = Table::new(&["device", "state", "roles", "ae titles", "sidecar", "credential until"]);
    for device in &devices {
        table.row([
            device.entry.name.clone(),
            device.state.clone(),
            device.entry.roles.join(","),
            device.entry.ae_titles.join(","),
            device.entry.sidecar.clone().unwrap_or_default(),
            device.credentials.first().map(|credential| credential.not_after.clone()).unwrap_or_default(),
        ]);
    }
    table.print(if devices.is_empty() && is_maker(&hub.dir)? {
        "A maker has no register of devices. What one of its devices has: medlock device show SERIAL"
    } else if !everything {
        "None of the register fits. All of it: medlock device list"
    } else {
        "No device is registered. Start with: medlock device register NAME --role modality --ae TITLE"
    });
    if let Some(next) = next {
        say!("\nThere may be more: --after {next:?}");
    }
    if !pending.is_empty() {
        say!("\nWaiting for you. Compare the key with the one the device shows, then: {}", approvals(&pending));
        let mut table = Table::new(&["request", "device", "by", "key", "from", "since", "says of itself"]);
        for request in &pending {
            table.row([
                request.id.clone(),
                request.device.clone().unwrap_or_else(|| "?".into()),
                request.by.clone(),
                output::grouped(&request.key_fingerprint),
                request.address.clone(),
                request.since.clone(),
                request.claims.clone(),
            ]);
        }
        table.print("");
    }
    if !pledges.is_empty() {
        print_pledges(&pledges);
    }
    Ok(Outcome::Done)
}

fn is_maker(dir: &Path) -> Result<bool, Failure> {
    match ask(dir, Request::Authority)? {
        Response::Authority(view) => Ok(view.kind == Kind::Maker.name()),
        other => Err(admin::unexpected(&other)),
    }
}

/// The roles and the type in the command that registers them, where all of them were made for the same.
fn made_for(pledges: &[PledgeView]) -> String {
    let made = |pledge: &PledgeView| (pledge.roles.clone(), pledge.device_type);
    let same = pledges.first().map(made).filter(|first| pledges.iter().all(|pledge| made(pledge) == *first));
    match same {
        Some((roles, kind)) if !roles.is_empty() => {
            let roles: String = roles.iter().map(|role| format!(" --role {role}")).collect();
            roles + &kind.map(|kind| format!(" --type {kind}")).unwrap_or_default()
        }
        _ => " --role ROLE --type TYPE".to_owned(),
    }
}

/// How those that wait are approved: one whose device nobody knows yet by its number.
fn approvals(pending: &[PendingView]) -> &'static str {
    let (known, unknown) = ("medlock device approve NAME", "medlock device approve REQUEST --device NAME");
    match (pending.iter().any(|one| one.device.is_some()), pending.iter().any(|one| one.device.is_none())) {
        (_, false) => known,
        (false, true) => unknown,
        (true, true) => {
            "medlock device approve NAME; where the device is \"?\": medlock device approve REQUEST --device NAME"
        }
    }
}

fn print_pledges(pledges: &[PledgeView]) {
    say!(
        "\nAsked for a voucher and not registered. To let one in, as its birth credential says what it was made for:\n\
         medlock device register NAME{} --maker-serial SERIAL --maker-key KEY",
        made_for(pledges)
    );
    let mut table =
        Table::new(&["maker", "serial", "maker's key", "made as", "type", "from", "since", "last", "times"]);
    for pledge in pledges {
        table.row([
            pledge.maker.clone(),
            pledge.serial.clone(),
            pledge.maker_key.clone(),
            pledge.roles.join(","),
            pledge.device_type.map(|kind| kind.to_string()).unwrap_or_default(),
            pledge.address.clone(),
            pledge.since.clone(),
            pledge.last.clone(),
            pledge.count.to_string(),
        ]);
    }
    table.print("");
}

fn view(name: String, hub: &HubArgs) -> Result<DeviceView, Failure> {
    match ask(&hub.dir, Request::Show { device: name })? {
        Response::Device(view) => Ok(view),
        other => Err(admin::unexpected(&other)),
    }
}

fn show(name: String, hub: &HubArgs) -> Result<Outcome, Failure> {
    let view = view(name, hub)?;
    if hub.json {
        output::json(&view)?;
    } else {
        print_device(&view);
    }
    Ok(Outcome::Done)
}

fn print_device(view: &DeviceView) {
    let entry = &view.entry;
    let or_none = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    match &view.reason {
        Some(reason) => say!("{} is {} ({reason})", entry.name, view.state),
        None => say!("{} is {}", entry.name, view.state),
    }
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let ips: Vec<String> = entry.ips.iter().map(ToString::to_string).collect();
    for (name, held) in [
        ("roles", entry.roles.join(", ")),
        ("type", number(entry.device_type.map(u64::from))),
        ("AE titles", entry.ae_titles.join(", ")),
        ("sidecar at", entry.sidecar.clone().unwrap_or_default()),
        ("DNS names", entry.dns.join(", ")),
        ("IP addresses", ips.join(", ")),
        ("maker serial", entry.maker_serial.clone().unwrap_or_default()),
        ("maker's key", entry.maker_key.clone().unwrap_or_default()),
        ("limit in s", number(entry.validity_seconds)),
        ("owner", entry.owner.clone()),
    ] {
        say!("  {name:<13} {}", or_none(&held));
    }
    say!("");
    let mut table = Table::new(&["credential", "state", "from", "until", "key", "serial"]);
    for credential in &view.credentials {
        table.row([
            credential.id.clone(),
            credential.state.clone(),
            credential.not_before.clone(),
            credential.not_after.clone(),
            credential.key.clone(),
            credential.serial.clone(),
        ]);
    }
    table.print("It has no credential yet.");
}

/// The digits of a fingerprint that somebody must at least have compared: one guess in four thousand million fits.
const COMPARED_DIGITS: usize = 8;

/// Makes sure that somebody compared the waiting key with the one the device shows.
fn compare(request: &PendingView, key: Option<&str>, without_comparing: bool) -> Result<(), Failure> {
    let fingerprint = request.key_fingerprint.to_lowercase();
    match key {
        Some(key) => {
            let expected: String = key.chars().filter(char::is_ascii_hexdigit).collect::<String>().to_lowercase();
            if expected.len() < COMPARED_DIGITS {
                return Err(
                    format!("give at least {COMPARED_DIGITS} digits of the fingerprint the device shows").into()
                );
            }
            if !fingerprint.starts_with(&expected) {
                let text = format!(
                    "the waiting key is {}, not {expected}…; nothing was approved",
                    output::grouped(&fingerprint)
                );
                return Err(text.into());
            }
            Ok(())
        }
        None if without_comparing => Ok(()),
        None if std::io::stdin().is_terminal() => {
            let device = request.device.as_deref().unwrap_or("the device");
            say!("{device} asks to be let in\n  key   {}\n  from  {}", output::grouped(&fingerprint), request.address);
            if !request.claims.is_empty() {
                say!("  says  {}", request.claims);
            }
            let yes = output::ask_person(&format!("Does {device} show a key that begins like this?"))?;
            if yes { Ok(()) } else { Err("nothing was approved".into()) }
        }
        None => Err("give --key with the beginning of the fingerprint the device shows".into()),
    }
}

fn pending(dir: &Path) -> Result<Vec<PendingView>, Failure> {
    match ask(dir, Request::Pending)? {
        Response::Pending { pending } => Ok(pending),
        other => Err(admin::unexpected(&other)),
    }
}

fn pledges(dir: &Path) -> Result<Vec<PledgeView>, Failure> {
    match ask(dir, Request::Pledges)? {
        Response::Pledges { pledges } => Ok(pledges),
        other => Err(admin::unexpected(&other)),
    }
}

fn waiting(dir: &Path, name: &str) -> Result<PendingView, Failure> {
    let mut fitting: Vec<PendingView> = pending(dir)?
        .into_iter()
        .filter(|request| request.id == name || request.device.as_deref() == Some(name))
        .collect();
    match (fitting.pop(), fitting.is_empty()) {
        (Some(request), true) => Ok(request),
        (Some(_), false) => {
            Err(format!("several requests wait for {name}; take one by its number from `medlock device list`").into())
        }
        (None, _) => Err(format!("nothing waits for {name}; `medlock device list` shows what does").into()),
    }
}

//! The command line: what can be said, and which function does it.

mod authority;
mod ceremony;
mod clinical;
pub(crate) mod device;
mod judge;
mod keys;
mod log;
mod route;
mod store;
pub(crate) mod trust_list;
mod voucher;

use crate::output::{LogFormat, say};
use crate::{Failure, Outcome, bench, config, conformance, decide, demo, inspect, sidecar, signer, up};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

pub(crate) use device::ProbeArgs;
pub(crate) use judge::{DecideArgs, NameArg, Question, StatusArg, VerifyArgs};
pub(crate) use log::verifier_key;
pub(crate) use trust_list::VerifyListArgs;

/// The trust layer made for care: devices get an identity by themselves and know what their peers may still do.
///
/// Exit codes: 0 done, 1 refused or failed, 2 wrong usage.
#[derive(Debug, Parser)]
#[command(name = "medlock", version, max_term_width = 110, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What to log to standard error, such as `info` or `medlock_guard=debug`.
    #[arg(long, global = true, env = "MEDLOCK_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// How to log.
    #[arg(
        long,
        global = true,
        env = "MEDLOCK_LOG_FORMAT",
        value_name = "text|json",
        hide_possible_values = true,
        default_value = "text"
    )]
    pub(crate) log_format: LogFormat,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a hub: a site's authority, its enrolment service and its news.
    Up(UpArgs),
    /// Start a guard on its own beside one machine.
    #[command(subcommand)]
    Sidecar(SidecarCommand),
    /// Show a hub's authorities, or run a maker's authority.
    #[command(subcommand)]
    Authority(authority::AuthorityCommand),
    /// Register, approve, list, suspend, restore, revoke and probe devices.
    #[command(subcommand)]
    Device(device::DeviceCommand),
    /// Say whose a device is, let it go to its next owner, and see whose it was.
    #[command(subcommand)]
    Voucher(voucher::VoucherCommand),
    /// Show and change which machine answers to which protocol name.
    #[command(subcommand)]
    Route(route::RouteCommand),
    /// Register software and people for the FHIR server.
    #[command(subcommand)]
    Clinical(clinical::ClinicalCommand),
    /// Make, sign, publish, verify, compare, show and import trust lists; suspend in an emergency; recover.
    #[command(subcommand)]
    TrustList(trust_list::TrustListCommand),
    /// Verify, follow and witness the transparency log of what an authority has issued.
    #[command(subcommand)]
    Log(log::LogCommand),
    /// Say what a file is and what each of its fields means.
    Inspect(InspectArgs),
    /// Judge a chain by trust list, status and policy files: what may this peer still do?
    Decide(DecideArgs),
    /// Judge a chain by anchors alone: is the path valid, and what may this peer still do?
    Verify(VerifyArgs),
    /// Print the configuration in force, with its defaults filled in.
    CheckConfig(CheckConfigArgs),
    /// Measure, side by side with peers where they are installed.
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Ask a FHIR server, this one or any other, whether it keeps to its standards.
    #[command(subcommand)]
    Conformance(ConformanceCommand),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write all of them to a folder.
    Man {
        /// Where to write one page for each command.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Hold an authority's keys and sign for its hub. A hub starts one of its own, unless it is told of another.
    Signer(signer::SignerArgs),
    /// Play a machine of the demonstration ward (started by the demonstration).
    #[command(hide = true, subcommand)]
    Ward(demo::WardCommand),
}

impl Command {
    /// Whether this is `up --demo`.
    pub(crate) fn is_demonstration(&self) -> bool {
        matches!(self, Self::Up(args) if args.demo)
    }
}

/// `medlock up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where the hub keeps its state (overrides the configuration).
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Make a new site though the passphrase of its keys is there already, as where a service manager hands it over. Never with keys
    /// that a token has already: those are another site's.
    #[arg(long)]
    pub(crate) new_site: bool,
    /// Show everything on one machine: a hub, a CT, a PACS, a glucose sensor, a dosing controller, an insulin pump (not for
    /// therapy), and those who should be refused.
    #[arg(long)]
    pub(crate) demo: bool,
    /// With --demo: send the DICOM files of this folder instead of made ones.
    #[arg(long, value_name = "DIR", requires = "demo")]
    pub(crate) images: Option<PathBuf>,
    /// With --demo: let the glucose sensor replay this CSV, as Dexcom Clarity exports it, instead of a virtual patient.
    #[arg(long, value_name = "FILE", requires = "demo")]
    pub(crate) cgm: Option<PathBuf>,
    /// With --demo: show one ward only.
    #[arg(long, value_name = "WARD", requires = "demo")]
    pub(crate) ward: Option<demo::Ward>,
    /// With --demo: end when all is shown; exit code 0 only if every step held. The diabetes ward alone always ends.
    #[arg(long, requires = "demo")]
    pub(crate) once: bool,
    /// Print JSON: with --demo the result, else where the hub listens.
    #[arg(long)]
    pub(crate) json: bool,
    /// End when standard input ends.
    #[arg(long, hide = true)]
    pub(crate) with_parent: bool,
}

/// `medlock sidecar …`.
#[derive(Debug, Subcommand)]
pub(crate) enum SidecarCommand {
    /// Guard a DICOM machine: plain DICOM towards it, mutual TLS towards other sidecars.
    Dicom(SidecarDicomArgs),
}

/// `medlock sidecar dicom`. Every value can stand in the configuration file; an argument overrides it.
#[derive(Debug, Args)]
pub(crate) struct SidecarDicomArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where the sidecar keeps its key, its credential and what it knows.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// The hub's address for devices.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) hub: Option<String>,
    /// The one-time enrolment code; needed at the first start only. Without it, you are asked; `-` reads it from
    /// standard input. Written here, everybody on this machine can see it in the list of processes.
    #[arg(long, env = "MEDLOCK_CODE", hide_env_values = true)]
    pub(crate) code: Option<String>,
    /// The file of the machine's birth credential (key, certificate, chain up to the maker's root, PEM): enrols without a
    /// code at the site that the maker's voucher names.
    #[arg(long, value_name = "FILE", conflicts_with = "code")]
    pub(crate) birth: Option<PathBuf>,
    /// Where other sidecars reach this one.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<std::net::SocketAddr>,
    /// Where the machine sends to: plain DICOM, loopback unless its source is allowed.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) plain: Option<std::net::SocketAddr>,
    /// Where the machine itself listens for DICOM, if it does.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) machine: Option<String>,
    /// The one address from which the machine may send [default: 127.0.0.1].
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) allow: Option<std::net::IpAddr>,
    /// Say what happens as JSON, one object a line.
    #[arg(long)]
    pub(crate) json: bool,
    /// End when standard input ends.
    #[arg(long, hide = true)]
    pub(crate) with_parent: bool,
}

/// `medlock inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// A certificate or request (X.509 or C509), certificate revocation list or signed object; PEM or as it is, the latter
    /// also in hexadecimal or base64. A Provenance that the hub answered (JSON): whether device, credential, proof and verdict
    /// agree; exit code 1 if not. `-` is standard input.
    pub(crate) file: PathBuf,
    /// For a Provenance: the site's root certificate, which its chain has to lead to.
    #[arg(long, value_name = "FILE")]
    pub(crate) root: Option<PathBuf>,
    /// For a Provenance: the key of the log (`medlock log show` prints it), or a file with it.
    #[arg(long, value_name = "KEY|FILE")]
    pub(crate) log_key: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `medlock check-config`.
#[derive(Debug, Args)]
pub(crate) struct CheckConfigArgs {
    /// The configuration file; without one, the defaults are shown.
    pub(crate) file: Option<PathBuf>,
}

/// `medlock bench …`.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Images per second: plain, through two sidecars, through stunnel, by native TLS.
    Dicom(bench::DicomArgs),
    /// Handshakes, messages, compact credentials and sealed commands per second and core.
    Device(bench::DeviceArgs),
    /// Certificates, status tickets and inclusion proofs per second.
    Issue(bench::IssueArgs),
    /// Observations, tokens and searches per second of a hub's clinical face.
    Fhir(bench::FhirArgs),
}

/// `medlock conformance …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConformanceCommand {
    /// SMART App Launch, Backend Services, mutual TLS and UDAP, with what must not work and must not be learned.
    Smart(Box<conformance::SmartArgs>),
    /// All that the CapabilityStatement lists, and requests by chance: nothing fails within, each refusal says why.
    FhirFuzz(conformance::FuzzArgs),
}

/// How the running hub is found by the commands that talk to it.
#[derive(Debug, Args)]
pub(crate) struct HubArgs {
    /// The hub's state folder; its admin socket is there.
    #[arg(long, env = "MEDLOCK_DIR", value_name = "DIR", default_value = config::DEFAULT_DIR)]
    pub(crate) dir: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What certificates stand for when nothing says it.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SettingArg {
    /// At home: a bonded device's status may be 14 days old.
    Home,
    /// In a hospital: 24 hours.
    Hospital,
}

/// Does what was asked.
///
/// # Errors
/// When it could not be done; the error says why and what to do.
pub(crate) fn run(command: Command) -> Result<Outcome, Failure> {
    match command {
        Command::Up(args) if args.demo => demo::run(args),
        Command::Up(args) => up::run(args),
        Command::Sidecar(SidecarCommand::Dicom(args)) => sidecar::run_dicom(args),
        Command::Authority(command) => authority::run(command),
        Command::Device(command) => device::run(command),
        Command::Voucher(command) => voucher::run(command),
        Command::Route(command) => route::run(command),
        Command::Clinical(command) => clinical::run(command),
        Command::TrustList(command) => trust_list::run(command),
        Command::Log(command) => log::run(command),
        Command::Inspect(args) => inspect::run(&args),
        Command::Decide(args) => decide::decide(&args),
        Command::Verify(args) => decide::verify(&args),
        Command::CheckConfig(args) => config::check(args.file.as_deref()),
        Command::Bench(BenchCommand::Dicom(args)) => bench::dicom(&args),
        Command::Bench(BenchCommand::Device(args)) => bench::device(&args),
        Command::Bench(BenchCommand::Issue(args)) => bench::issue(&args),
        Command::Bench(BenchCommand::Fhir(args)) => bench::fhir(&args),
        Command::Conformance(ConformanceCommand::Smart(args)) => conformance::smart(*args),
        Command::Conformance(ConformanceCommand::FhirFuzz(args)) => conformance::fhir_fuzz(args),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "medlock", &mut std::io::stdout());
            Ok(Outcome::Done)
        }
        Command::Man { dir } => man(dir),
        Command::Signer(args) => signer::run(args),
        Command::Ward(command) => demo::run_ward(command),
    }
}

fn man(dir: Option<PathBuf>) -> Result<Outcome, Failure> {
    match dir {
        Some(dir) => {
            std::fs::create_dir_all(&dir)?;
            clap_mangen::generate_to(Cli::command(), &dir)?;
            say!("manual pages written to {}", dir.display());
        }
        None => clap_mangen::Man::new(Cli::command()).render(&mut std::io::stdout())?,
    }
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}

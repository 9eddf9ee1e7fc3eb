//! `medlock voucher …`: whose a device is, in its maker's words.

use super::HubArgs;
use crate::admin::{self, ask};
use crate::output::{self, Table, say};
use crate::{Failure, Outcome};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::{Args, Subcommand, ValueEnum};
use medlock_authority::admin::{Request, Response};
use medlock_authority::voucher::{VoucherForm, VoucherOrder};
use std::path::{Path, PathBuf};

/// `medlock voucher …`.
#[derive(Debug, Subcommand)]
pub(crate) enum VoucherCommand {
    /// A maker's authority only: say that a device belongs to a site.
    Issue(IssueArgs),
    /// A maker's authority only: let a device go, so that its next owner can get a voucher.
    Release {
        /// The device's serial.
        #[arg(long)]
        serial: String,
        /// The transfer that its owner signed.
        #[arg(long, value_name = "FILE", requires = "owner", required_unless_present = "why")]
        transfer: Option<PathBuf>,
        /// The certificate of the owner's root, PEM.
        #[arg(long, value_name = "FILE", requires = "transfer")]
        owner: Option<PathBuf>,
        /// Without a transfer: why the maker decides so, for the record.
        #[arg(long, conflicts_with = "transfer")]
        why: Option<String>,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// A maker's authority only: list whose a device was, newest first.
    Owners {
        /// The device's serial.
        #[arg(long)]
        serial: String,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// A site only: keep makers' vouchers that are good for a time, so that devices enrol when their maker cannot be asked
    /// or is gone.
    Import {
        /// The vouchers in CMS, as makers give them with their devices.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// A site only: sign that a device is the next owner's; the maker takes it for a release, and where the maker is gone,
    /// the device itself believes it.
    Transfer {
        /// The serial its maker gave it.
        #[arg(long)]
        serial: String,
        /// The certificate of the next owner's root (PEM), or SHA-256 of its key in hexadecimal; without it, the maker may
        /// give the device to anybody.
        #[arg(long, value_name = "FILE|HEX")]
        to: Option<String>,
        /// Where to write it.
        #[arg(long, value_name = "FILE")]
        save: PathBuf,
        #[command(flatten)]
        hub: HubArgs,
    },
}

/// `medlock voucher issue`.
#[derive(Debug, Args)]
pub(crate) struct IssueArgs {
    /// The device's serial.
    #[arg(long)]
    serial: String,
    /// The certificate of the site's root (PEM), as `medlock authority show` prints it; with --form cose also SHA-256 of its
    /// key in hexadecimal.
    #[arg(long, value_name = "FILE|HEX")]
    domain: String,
    /// What the device asks with, in hexadecimal: the voucher answers that request alone.
    #[arg(long, value_name = "HEX", conflicts_with = "days", required_unless_present = "days")]
    nonce: Option<String>,
    /// Without a nonce: for how many days it is good. 36500 for one that goes with the papers of the device.
    #[arg(long)]
    days: Option<u32>,
    /// How it is written.
    #[arg(long, value_enum, default_value_t = FormArg::Cms)]
    form: FormArg,
    /// You know that the device is this owner's now. Needed at a maker that was brought back from a backup, which does not know
    /// what was sold since, before `medlock authority confirm-restore`.
    #[arg(long)]
    owner_known: bool,
    /// Where to write it.
    #[arg(long, value_name = "FILE")]
    save: PathBuf,
    #[command(flatten)]
    hub: HubArgs,
}

/// How a voucher is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormArg {
    /// JSON in CMS, for registrars on ordinary computers.
    Cms,
    /// CBOR in COSE, for small devices.
    Cose,
}

/// Does what was asked.
///
/// # Errors
/// When the authority cannot be reached or refuses.
pub(crate) fn run(command: VoucherCommand) -> Result<Outcome, Failure> {
    match command {
        VoucherCommand::Issue(args) => {
            let form = match args.form {
                FormArg::Cms => VoucherForm::Cms,
                FormArg::Cose => VoucherForm::Cose,
            };
            let (domain, nonce, days) = (domain(&args.domain)?, args.nonce, args.days);
            let (serial, owner_known) = (args.serial, args.owner_known);
            let order = VoucherOrder { serial, domain, nonce, days, form, owner_known };
            save(&args.hub, Request::IssueVoucher { order }, &args.save)
        }
        VoucherCommand::Release { serial, transfer, owner, why, hub } => {
            let transfer = transfer.map(|file| read(&file)).transpose()?.map(|bytes| BASE64.encode(bytes));
            let owner = owner.map(|file| read(&file)).transpose()?.map(String::from_utf8).transpose()?;
            let request = Request::ReleaseDevice { serial, transfer, owner, why: why.unwrap_or_default() };
            super::device::done(&hub, request)
        }
        VoucherCommand::Import { files, hub } => import(&files, &hub),
        VoucherCommand::Owners { serial, hub } => owners(serial, &hub),
        VoucherCommand::Transfer { serial, to, save: file, hub } => {
            let to = to.as_deref().map(domain).transpose()?;
            save(&hub, Request::TransferDevice { serial, to }, &file)
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()).into())
}

/// A file's text, or a fingerprint as it is.
fn domain(given: &str) -> Result<String, Failure> {
    if given.len() == 64 && given.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(given.to_owned());
    }
    Ok(String::from_utf8(read(Path::new(given))?)?)
}

fn save(hub: &HubArgs, request: Request, file: &Path) -> Result<Outcome, Failure> {
    match ask(&hub.dir, request)? {
        Response::Voucher { bytes } => {
            let bytes = BASE64.decode(bytes)?;
            std::fs::write(file, &bytes).map_err(|error| format!("{}: {error}", file.display()))?;
            if hub.json {
                output::json(&serde_json::json!({ "file": file, "bytes": bytes.len() }))?;
            } else {
                say!("{} bytes in {}", bytes.len(), file.display());
            }
        }
        other => return Err(admin::unexpected(&other)),
    }
    Ok(Outcome::Done)
}

fn import(files: &[PathBuf], hub: &HubArgs) -> Result<Outcome, Failure> {
    for file in files {
        let voucher = BASE64.encode(read(file)?);
        let done = super::device::done(hub, Request::ImportVoucher { voucher });
        done.map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(Outcome::Done)
}

fn owners(serial: String, hub: &HubArgs) -> Result<Outcome, Failure> {
    match ask(&hub.dir, Request::Owners { serial })? {
        answer @ Response::Owners { .. } if hub.json => output::json(&answer)?,
        Response::Owners { events } => {
            let mut table = Table::new(&["when", "what", "owner", "good until", "why"]);
            for event in events {
                let until = event.expires.unwrap_or_else(|| "-".into());
                table.row([event.at, event.what, event.domain, until, event.why]);
            }
            table.print("Nobody ever owned it, as far as this authority knows.");
        }
        other => return Err(admin::unexpected(&other)),
    }
    Ok(Outcome::Done)
}

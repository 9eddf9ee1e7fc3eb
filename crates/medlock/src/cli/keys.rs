//! `medlock authority keys | rotate | retire | compromised | request | accept`: the keys that issue, and their root.

use super::HubArgs;
use crate::admin::{self, ask};
use crate::config::{Config, DEFAULT_DIR};
use crate::output::{self, Table, say};
use crate::{Failure, Outcome, folder};
use clap::{Args, Subcommand, ValueEnum};
use data_encoding::BASE64;
use medlock_authority::AuthorityConfig;
use medlock_authority::admin::{Request, Response};
use medlock_authority::root_request::{KeyChange, RootRequest};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

/// What is done with the keys that issue.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// List the keys that issue or have issued, and the roots, and how each stands.
    Keys {
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Make a new key, which issues from now on; or a new root, which certifies from now on. The former one goes on signing
    /// until it is retired.
    Rotate {
        /// Which key.
        #[arg(value_enum)]
        key: RotatedKey,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Let a former key sign nothing any more. Refused while credentials hang on it.
    Retire {
        /// Its label: issuing (the first), issuing-2, …; root (the first), root-2, …
        key: String,
        /// Also while credentials hang on it: ordinary software that asks for their revocation list then refuses them.
        #[arg(long)]
        anyway: bool,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Withdraw a key that is in wrong hands: nothing that it has signed is believed any more, from now on and everywhere.
    /// Devices renew with what they have, because the hub knows what it has issued itself.
    Compromised {
        /// Its label: issuing (the first), issuing-2, …; or, of one that was lost with the store, its identifier.
        key: String,
        /// Also one of which this authority has never heard: that cannot be taken back.
        #[arg(long)]
        anyway: bool,
        /// Why, for the record.
        #[arg(long, default_value = "")]
        why: String,
        /// Do not ask again at a terminal.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Write what an offline root is to sign, for `sign-request` where the root is.
    Request(RequestArgs),
    /// Take in what an offline root has signed, and make the change that was asked for.
    Accept {
        /// What `sign-request` has written.
        answer: PathBuf,
        #[command(flatten)]
        hub: HubArgs,
    },
}

/// `medlock authority request`.
#[derive(Debug, Args)]
pub(crate) struct RequestArgs {
    /// What is to be done: issuing (a new key), root (a new root), retire KEY, compromised KEY, root-crl (the root's revocation list).
    #[arg(required = true, num_args = 1..=2, value_names = ["CHANGE", "KEY"])]
    change: Vec<String>,
    /// Where to write it.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Retire a key though credentials hang on it.
    #[arg(long)]
    anyway: bool,
    /// At the beginning of a site whose root is offline: the root's certificate.
    #[arg(long, value_name = "CERTIFICATE")]
    root: Option<PathBuf>,
    /// At the beginning: the configuration of the site, with its folder, unless --dir or MEDLOCK_DIR names another.
    #[arg(long, value_name = "FILE", requires = "root")]
    config: Option<PathBuf>,
    #[command(flatten)]
    hub: HubArgs,
}

/// Which key `rotate` makes anew.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RotatedKey {
    /// The key that issues.
    Issuing,
    /// The root, which certifies issuing keys and signs the site list.
    Root,
}

/// Does what was asked.
///
/// # Errors
/// When the authority cannot be reached or refuses.
pub(crate) fn run(command: KeysCommand) -> Result<Outcome, Failure> {
    match command {
        KeysCommand::Keys { hub } => show(&hub, ask(&hub.dir, Request::Keys)?),
        KeysCommand::Rotate { key: RotatedKey::Issuing, hub } => change(&hub, KeyChange::Rotate, false, String::new()),
        KeysCommand::Rotate { key: RotatedKey::Root, hub } => change(&hub, KeyChange::Root, false, String::new()),
        KeysCommand::Retire { key, anyway, hub } => change(&hub, named("retire", &key, &hub)?, anyway, String::new()),
        KeysCommand::Compromised { key, anyway, why, yes, hub } => {
            let withdrawal = named("compromised", &key, &hub)?;
            let question = format!(
                "Withdraw the key {key}? Nothing that it has signed is believed from then on, by nobody, and that cannot be taken back."
            );
            if !yes && std::io::stdin().is_terminal() && !output::ask_person(&question)? {
                return Err("nothing was withdrawn".into());
            }
            let outcome = change(&hub, withdrawal, anyway, why)?;
            if !hub.json {
                say!("Withdrawn. Who has not come back yet: `medlock device list` (must-renew, needs-code).");
            }
            Ok(outcome)
        }
        KeysCommand::Request(args) => request(&args),
        KeysCommand::Accept { answer, hub } => {
            let answer = read(&answer)?;
            let runs = std::os::unix::net::UnixStream::connect(hub.dir.join(admin::SOCKET)).is_ok();
            if !runs && folder::was_made(&hub.dir) && folder::finish(&hub.dir, &answer)? {
                return show(&hub, ask(&hub.dir, Request::Keys)?);
            }
            let answer = BASE64.encode(&answer);
            changed(&hub, Request::AcceptRoot { answer })
        }
    }
}

fn change(hub: &HubArgs, change: KeyChange, anyway: bool, why: String) -> Result<Outcome, Failure> {
    changed(hub, Request::ChangeKeys { change, anyway, why })
}

/// The change of the key that somebody has typed; of one that is none, which there are.
fn named(change: &str, key: &str, hub: &HubArgs) -> Result<KeyChange, Failure> {
    if let Ok(change) = format!("{change} {key}").parse() {
        return Ok(change);
    }
    let there = match ask(&hub.dir, Request::Keys)? {
        Response::Keys { keys, .. } => keys.into_iter().map(|key| key.label).collect::<Vec<_>>().join(", "),
        other => return Err(admin::unexpected(&other)),
    };
    Err(format!("there is no key {key:?}; there are {there}. Nothing was changed").into())
}

/// Shows the keys after a change, and which hubs need a copy of what was made here.
fn changed(hub: &HubArgs, change: Request) -> Result<Outcome, Failure> {
    let known = |answer: &Response| match answer {
        Response::Keys { keys, .. } => keys.iter().map(|key| key.label.clone()).collect::<Vec<_>>(),
        _ => Vec::new(),
    };
    let before = known(&ask(&hub.dir, Request::Keys)?);
    let answer = ask(&hub.dir, change)?;
    let made: Vec<String> = known(&answer).into_iter().filter(|label| !before.contains(label)).collect();
    let next = match &answer {
        Response::Keys { hubs: Some(hubs), .. } => copies(hub, &made, hubs),
        _ => None,
    };
    let outcome = show(hub, answer)?;
    if let Some(next) = next.filter(|_| !hub.json) {
        say!("{next}");
    }
    if !hub.json {
        say!("Make a new backup (`medlock authority backup`): one from before does not know of this change.");
    }
    Ok(outcome)
}

/// Which files to copy to the other hubs of the store. A key in a token or with a signer of its own is no file here.
fn copies(hub: &HubArgs, made: &[String], others: &[String]) -> Option<String> {
    let files = made.iter().map(|label| hub.dir.join("keys").join(format!("{label}.key"))).filter(|file| file.exists());
    let files: Vec<String> = files.map(|file| file.display().to_string()).collect();
    let at_work = if others.is_empty() { String::new() } else { format!(" ({} at work)", others.join(", ")) };
    let next = format!(
        "Next: copy {} to the keys folder of every other hub of this store{at_work}: until then they issue nothing.",
        files.join(" and ")
    );
    (!files.is_empty()).then_some(next)
}

fn request(args: &RequestArgs) -> Result<Outcome, Failure> {
    let change: KeyChange = args.change.join(" ").parse()?;
    if let Some(root) = &args.root {
        let mut config = Config::load(args.config.as_deref())?;
        // One that nobody named is not against the file's.
        if args.config.is_none() || args.hub.dir != Path::new(DEFAULT_DIR) {
            config.hub.dir.clone_from(&args.hub.dir);
        }
        let keys = folder::Keys::of(&config.hub);
        return begin(&config.hub.authority(), &keys, root, &args.out, args.hub.json);
    }
    match ask(&args.hub.dir, Request::RequestRoot { change, anyway: args.anyway })? {
        Response::RootRequest { bytes } => written(&BASE64.decode(bytes.as_bytes())?, &args.out, args.hub.json),
        other => Err(admin::unexpected(&other)),
    }
}

/// Begins an authority whose root is offline: writes what that is to sign first.
///
/// # Errors
/// When the authority has its issuing key already, or the certificate is not that of its root.
pub(super) fn begin(
    authority: &AuthorityConfig,
    keys: &folder::Keys,
    root: &Path,
    out: &Path,
    json: bool,
) -> Result<Outcome, Failure> {
    let request = folder::begin(authority, keys, &certificate(root)?)?;
    written(&request, out, json)
}

/// The certificate in a file, PEM or DER.
pub(super) fn certificate(file: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = read(file)?;
    if bytes.first() == Some(&0x30) {
        return Ok(bytes);
    }
    let wrong = |error: rustls_pki_types::pem::Error| format!("{}: {error}", file.display());
    Ok(CertificateDer::from_pem_slice(&bytes).map_err(wrong)?.to_vec())
}

/// Writes a request, and says what it asks and what its SHA-256 is, which people compare.
fn written(file: &[u8], to: &Path, json: bool) -> Result<Outcome, Failure> {
    let asked = RootRequest::read(file)?;
    new_file(to, file)?;
    let fingerprint = RootRequest::fingerprint(file);
    if json {
        output::json(&serde_json::json!({ "file": to, "sha256": fingerprint, "change": asked.change }))?;
    } else {
        say!("{asked}SHA-256       {fingerprint}");
        say!("Next: medlock authority sign-request {} … where the root is", to.display());
    }
    Ok(Outcome::Done)
}

fn show(hub: &HubArgs, answer: Response) -> Result<Outcome, Failure> {
    match answer {
        Response::Keys { keys, .. } if hub.json => output::json(&keys)?,
        Response::Keys { keys, .. } => {
            let mut table = Table::new(&["key", "state", "issues from", "issues until", "algorithm", "identifier"]);
            for key in keys {
                let time = |time: Option<String>| time.unwrap_or_else(|| "-".into());
                table.row([key.label, key.state, time(key.since), time(key.until), key.algorithm, key.key]);
            }
            table.print("There is no issuing key.");
        }
        other => return Err(admin::unexpected(&other)),
    }
    Ok(Outcome::Done)
}

pub(super) fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    Ok(std::fs::read(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?)
}

/// Writes a file that must not be there yet.
pub(super) fn new_file(path: &Path, content: &[u8]) -> Result<(), Failure> {
    use std::io::Write as _;
    let failed = |error: std::io::Error| format!("{} cannot be written: {error}", path.display());
    let mut file = std::fs::File::create_new(path).map_err(failed)?;
    file.write_all(content).map_err(failed)?;
    Ok(file.sync_all().map_err(failed)?)
}

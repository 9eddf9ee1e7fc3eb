//! `medlock authority …`: who an authority is, and what it has to say.

use super::{HubArgs, store};
use crate::admin::{self, ask};
use crate::authorities::{self, expected};
use crate::config::{AuthoritySection, Config};
use crate::folder::Keys;
use crate::output::{self, Table};
use crate::output::{say, say_raw};
use crate::{Failure, Outcome, folder};
use clap::{Args, Subcommand, ValueEnum};
use medlock_authority::AuthorityConfig;
use medlock_authority::admin::{Request, Response};
use medlock_authority::settings::Kind;
use std::path::{Path, PathBuf};

/// What the hub's own site is called among its authorities.
pub(super) const OWN: &str = "-";

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
        /// Mark these alarms as dealt with: their numbers, with commas between.
        #[arg(long, value_name = "NUMBER", value_delimiter = ',')]
        acknowledge: Vec<i64>,
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
    /// Manage the keys that issue: list, rotate, retire, withdraw, and let an offline root sign.
    #[command(flatten)]
    Keys(super::keys::KeysCommand),
    /// Make a maker's authority in a folder of its own: root and issuing key for birth credentials.
    CreateMaker(CreateMakerArgs),
    /// Make a further authority in a hub: another site, or a maker. A running hub serves it after SIGHUP.
    Create(CreateArgs),
    /// Give up a further authority of a hub whose folder was moved away or is lost: the hub misses it no more.
    Remove {
        /// Its short name.
        name: String,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Move what a stopped authority keeps from its file to a PostgreSQL server; the hub goes on there after one restart.
    MoveStore(store::MoveStoreArgs),
    /// Copy the stores and keys of a hub into a new folder, while it runs. Passphrases are not in it.
    Backup(store::BackupArgs),
    /// Bring a backup back into the folder of a stopped hub. What was there before is kept beside it.
    Restore(store::RestoreArgs),
    /// A maker's authority only, after a restore: all that was sold, released, passed on and revoked since the backup is entered
    /// again, so that it may give vouchers and sign revocation lists.
    ConfirmRestore {
        #[command(flatten)]
        hub: HubArgs,
    },
    /// List the authorities of a hub.
    List {
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Where the root is kept: make it, under a passphrase of which two persons have a half each.
    MakeRoot(super::ceremony::MakeRootArgs),
    /// Where the root is kept: sign what an authority asks, if two persons agree.
    SignRequest(super::ceremony::SignRequestArgs),
}

/// `medlock authority create`.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Its short name, which stands in paths: small letters, digits and hyphens.
    name: String,
    /// The organisation's name, as it stands in every credential. It cannot be changed later.
    #[arg(long, value_name = "NAME")]
    organization: String,
    /// What it is for.
    #[arg(long, value_enum)]
    kind: KindArg,
    /// The hub's configuration, for the addresses that stand in credentials, and for what `[authority.NAME]` says there:
    /// where the keys are, and of which algorithm.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Its root is kept elsewhere, and this is the root's certificate: what the root is to sign is written to --out.
    #[arg(long, value_name = "CERTIFICATE", requires = "out")]
    offline_root: Option<PathBuf>,
    /// Where to write what the offline root is to sign.
    #[arg(long, value_name = "FILE", requires = "offline_root")]
    out: Option<PathBuf>,
    #[command(flatten)]
    hub: HubArgs,
}

/// What an authority is for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum KindArg {
    /// It runs devices and gives operational credentials.
    Site,
    /// It makes devices and gives birth credentials.
    Maker,
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
        AuthorityCommand::Alarms { acknowledge, hub } if acknowledge.is_empty() => alarms(&hub),
        AuthorityCommand::Alarms { acknowledge, hub } => {
            for id in acknowledge {
                super::device::done(&hub, Request::AcknowledgeAlarm { id })?;
            }
            Ok(Outcome::Done)
        }
        AuthorityCommand::Audit { limit, hub } => audit(limit, &hub),
        AuthorityCommand::Keys(command) => super::keys::run(command),
        AuthorityCommand::CreateMaker(args) => {
            folder::create(&AuthorityConfig::maker(&args.hub.dir, &args.name), &Keys::default())?;
            show(&args.hub)?;
            if !args.hub.json {
                tell_of_passphrase(&args.hub.dir)?;
                let dir = output::word(&args.hub.dir.to_string_lossy());
                say!("Next: medlock device provision --dir {dir} --profile FILE --input FILE --out FOLDER");
            }
            Ok(Outcome::Done)
        }
        AuthorityCommand::Create(args) => create(args),
        AuthorityCommand::Remove { name, hub } => remove(&name, &hub),
        AuthorityCommand::MoveStore(args) => store::move_store(args),
        AuthorityCommand::Backup(args) => store::backup(&args),
        AuthorityCommand::Restore(args) => store::restore(&args),
        AuthorityCommand::ConfirmRestore { hub } => super::device::done(&hub, Request::ConfirmRestore),
        AuthorityCommand::List { hub } => list(&hub),
        AuthorityCommand::MakeRoot(args) => super::ceremony::make_root(&args),
        AuthorityCommand::SignRequest(args) => super::ceremony::sign_request(&args),
    }
}

fn create(args: CreateArgs) -> Result<Outcome, Failure> {
    let mut config = Config::load(args.config.as_deref())?;
    config.hub.dir = args.hub.dir;
    if !folder::was_made(&config.hub.dir) {
        return Err(format!("there is no hub in {}: start one with `medlock up`", config.hub.dir.display()).into());
    }
    // Before anything is written there that the hub could not read.
    folder::is_ours(&config.hub.dir)?;
    let kind = match args.kind {
        KindArg::Site => Kind::Site,
        KindArg::Maker => Kind::Maker,
    };
    let section = match config.authorities.get(&args.name) {
        None => AuthoritySection::new(args.organization, kind),
        Some(section) if section.organization == args.organization && section.kind == kind => section.clone(),
        Some(_) => {
            let name = &args.name;
            return Err(format!("[authority.{name}] of the configuration has another organization or kind").into());
        }
    };
    if let Some(why) = expected::missing(&config.hub.dir, &args.name)? {
        return Err(format!("{why}; another one is made after that").into());
    }
    let (settings, keys) = (authorities::authority_config(&config, &args.name, &section)?, authorities::keys(&section));
    if let (Some(root), Some(out)) = (&args.offline_root, &args.out) {
        return super::keys::begin(&settings, &keys, root, out, args.hub.json);
    }
    folder::create(&settings, &keys)?;
    expected::add(&config.hub.dir, [args.name.as_str()])?;
    let made = HubArgs { dir: settings.dir, json: args.hub.json };
    let outcome = show(&made)?;
    if !made.json {
        tell_of_passphrase(&made.dir)?;
    }
    Ok(outcome)
}

fn remove(name: &str, hub: &HubArgs) -> Result<Outcome, Failure> {
    expected::remove(&hub.dir, name)?;
    if hub.json {
        output::json(&serde_json::json!({ "removed": name }))?;
        return Ok(Outcome::Done);
    }
    say!(
        "This hub misses {name} no more. Where the configuration has [authority.{name}], take that section out too: at its next"
    );
    say!("start, or at SIGHUP, the hub makes a new authority of it otherwise, with a new root.");
    Ok(Outcome::Done)
}

/// Says where the passphrase lies: no backup has it.
fn tell_of_passphrase(dir: &Path) -> Result<(), Failure> {
    let Some(file) = folder::passphrase_in_force(dir)? else { return Ok(()) };
    if !file.starts_with(dir) {
        say!("The passphrase of its keys is in {}. No backup has it: keep a copy elsewhere.", file.display());
        return Ok(());
    }
    say!("The passphrase of its keys lies beside them, in {}: whoever has this folder has the key", file.display());
    say!("that vouches for all its devices, and who loses this disk has neither, as no backup has the passphrase.");
    say!("Take it elsewhere (`passphrase_file`), and keep the root offline where it matters");
    say!("(a PKCS#11 token or `medlock authority make-root`: section 2 of the operator's guide).");
    Ok(())
}

fn list(hub: &HubArgs) -> Result<Outcome, Failure> {
    let mut rows = Vec::new();
    let own = std::iter::once((OWN.to_owned(), hub.dir.clone()));
    let others = expected::with_made(&hub.dir)?.into_iter().map(|name| {
        let dir = authorities::folder(&hub.dir, &name)?;
        Ok((name, dir))
    });
    for named in own.map(Ok::<_, Failure>).chain(others) {
        let (name, dir) = named?;
        if name != OWN
            && let Some(why) = expected::missing(&hub.dir, &name)?
        {
            rows.push((name, dir, Err(why)));
            continue;
        }
        match ask(&dir, Request::Authority) {
            Ok(Response::Authority(view)) => rows.push((name, dir, Ok(view))),
            Ok(other) => return Err(admin::unexpected(&other)),
            // One that is off hides no other.
            Err(error) if name != OWN => rows.push((name, dir, Err(output::chain(&*error)))),
            Err(error) => return Err(error),
        }
    }
    if hub.json {
        let all: Vec<_> = rows
            .iter()
            .map(|(name, dir, view)| match view {
                Ok(view) => serde_json::json!({ "name": name, "dir": dir, "authority": view }),
                Err(why) => serde_json::json!({ "name": name, "dir": dir, "off": why }),
            })
            .collect();
        output::json(&all)?;
        return Ok(Outcome::Done);
    }
    let mut table = Table::new(&["name", "kind", "organization", "devices", "root key", "folder (--dir)"]);
    for (name, dir, view) in rows {
        let dir = dir.display().to_string();
        match view {
            Ok(view) => table.row([name, view.kind, view.name, view.devices.to_string(), view.root_key, dir]),
            Err(why) => table.row([name, "off".into(), "-".into(), "-".into(), "-".into(), format!("{dir}: {why}")]),
        }
    }
    table.print("There is no authority.");
    Ok(Outcome::Done)
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
            say!("Its root, which devices pin:");
            say_raw!("{}", view.root_pem);
            let mut titles = std::iter::once("Its issuing key, certified by its root:")
                .chain(std::iter::repeat("The root that takes the place of the one before, certified by that:"));
            for certificate in view.issuing_pem.split_inclusive("-----END CERTIFICATE-----\n") {
                say!("{}", titles.next().unwrap_or_default());
                say_raw!("{certificate}");
            }
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
                    alarm.last,
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

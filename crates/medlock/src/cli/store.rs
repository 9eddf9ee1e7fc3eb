//! Where an authority keeps what it does: moved to a server, backed up, restored.

use super::HubArgs;
use crate::output::{self, say};
use crate::{Failure, Outcome, authorities, hub};
use clap::Args;
use medlock_authority::Authority;
use medlock_authority::directory::DATABASE;
use medlock_authority::store::{ServerConfig, SqlStore};
use medlock_node::clock::Clock;
use medlock_node::files;
use std::path::{Path, PathBuf};

/// What the signer remembers of the logs it has signed, beside the keys.
const CHECKPOINTS: &str = "log.checkpoints";

/// `medlock authority move-store`.
#[derive(Debug, Args)]
pub(crate) struct MoveStoreArgs {
    /// The PostgreSQL server: `postgresql://USER@HOST/DATABASE`, without a password.
    #[arg(long, value_name = "URL")]
    to: String,
    /// The schema that is to be this authority's alone [default: medlock].
    #[arg(long)]
    schema: Option<String>,
    /// A file with the user's password.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// The authority (PEM) that the server's certificate is from.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    #[command(flatten)]
    hub: HubArgs,
}

/// `medlock authority backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The folder to make.
    to: PathBuf,
    #[command(flatten)]
    hub: HubArgs,
}

/// `medlock authority restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The folder that `backup` made.
    from: PathBuf,
    /// What was issued and revoked since the backup is lost for good: begin the transparency logs anew.
    #[arg(long, conflicts_with = "nothing_since")]
    accept_loss: bool,
    /// Nothing was issued since the backup: the hub was stopped before it was made. Needed where nothing here remembers how
    /// long the logs were, as on a new disk.
    #[arg(long)]
    nothing_since: bool,
    /// The newest site list that any device of this hub's sites has: `knowledge/site-list.cose` in a sidecar's folder. Needed
    /// where the folder has none: it says which issuing keys were withdrawn since the backup. Give it once for each site.
    #[arg(long, value_name = "FILE")]
    site_list: Vec<PathBuf>,
    /// No issuing key was rotated, retired or withdrawn since the backup: there is no newer site list.
    #[arg(long)]
    keys_unchanged: bool,
    #[command(flatten)]
    hub: HubArgs,
}

/// Moves a stopped authority from its file to a server.
///
/// # Errors
/// When it runs, or the server cannot be used.
pub(crate) fn move_store(args: MoveStoreArgs) -> Result<Outcome, Failure> {
    let mut server = ServerConfig { password_file: args.password_file, ca: args.ca, ..ServerConfig::new(args.to) };
    if let Some(schema) = args.schema {
        server.schema = schema;
    }
    let rows = hub::move_store(&args.hub.dir, &server)?;
    if args.hub.json {
        output::json(&serde_json::json!({ "rows": rows, "store": server.url, "store_schema": server.schema }))?;
        return Ok(Outcome::Done);
    }
    say!(
        "{rows} rows are on the server. The file in {} stays as it is, and no hub uses it again.",
        args.hub.dir.display()
    );
    say!("Write into the configuration of this authority, and start the hub:");
    say!("  store = {:?}", server.url);
    say!("  store_schema = {:?}", server.schema);
    for (key, file) in [("store_password_file", &server.password_file), ("store_ca", &server.ca)] {
        if let Some(file) = file {
            say!("  {key} = {:?}", file.display().to_string());
        }
    }
    Ok(Outcome::Done)
}

/// One authority of a hub: its short name, and its folder there and in a backup.
struct Part {
    name: String,
    hub: PathBuf,
    backup: PathBuf,
}

/// The authorities in the folder that `made` is asked about.
fn parts(hub: &Path, backup: &Path, made: &Path) -> Result<Vec<Part>, Failure> {
    let mut parts = vec![Part { name: "-".to_owned(), hub: hub.to_owned(), backup: backup.to_owned() }];
    for name in authorities::made(made)? {
        let (hub, backup) = (authorities::folder(hub, &name)?, authorities::folder(backup, &name)?);
        parts.push(Part { name, hub, backup });
    }
    Ok(parts)
}

/// Copies the stores and keys of a hub and all its authorities into a new folder, while it runs or not.
///
/// # Errors
/// When the folder is there, or something cannot be read.
pub(crate) fn backup(args: &BackupArgs) -> Result<Outcome, Failure> {
    let dir = &args.hub.dir;
    if !hub::was_made(dir) {
        return Err(format!("there is no hub in {}", dir.display()).into());
    }
    if args.to.exists() {
        return Err(format!("{} is there already: name a new folder", args.to.display()).into());
    }
    let (mut copied, mut elsewhere) = (Vec::new(), Vec::new());
    for part in parts(dir, &args.to, dir)? {
        files::private_directory(&part.backup)?;
        match hub::server_in_force(&part.hub)? {
            None => SqlStore::copy(&part.hub.join(DATABASE), &part.backup.join(DATABASE))?,
            Some(server) => elsewhere.push((part.name.clone(), server)),
        }
        // Behind the store: a key that it knows of is there.
        hub::copy_settings(&part.hub, &part.backup)?;
        copy_keys(&part.hub, &part.backup)?;
        copied.push(part.name);
    }
    if args.hub.json {
        let servers: Vec<_> = elsewhere
            .iter()
            .map(|(name, server)| serde_json::json!({ "authority": name, "schema": server.schema }))
            .collect();
        output::json(&serde_json::json!({ "folder": args.to, "authorities": copied, "on_servers": servers }))?;
        return Ok(Outcome::Done);
    }
    let here = copied.len() - elsewhere.len();
    say!("{}: the encrypted keys of {} authorities, and the stores of {here}.", args.to.display(), copied.len());
    for (name, server) in elsewhere {
        say!("The store of {name} is on a server. Save it now, behind the keys:");
        say!("  pg_dump --format=custom --schema={} --file=FILE {:?}", server.schema, server.url);
    }
    say!(
        "Not in it, and needed: the keys of signers that run on their own, the passphrases of the keys (or the token with its PIN), and the configuration."
    );
    Ok(Outcome::Done)
}

/// Brings a backup back into the folder of a hub that is stopped, or of one that is new.
///
/// # Errors
/// When the hub runs, or the backup is damaged.
pub(crate) fn restore(args: &RestoreArgs) -> Result<Outcome, Failure> {
    let dir = &args.hub.dir;
    if !hub::was_made(&args.from) {
        return Err(format!("{} is no backup", args.from.display()).into());
    }
    let lists = args.site_list.iter().map(|file| {
        let bytes = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok::<_, Failure>((file, bytes))
    });
    let mut lists = lists.collect::<Result<Vec<_>, _>>()?;
    let mut restored = Vec::new();
    for part in parts(dir, &args.from, &args.from)? {
        files::private_directory(&part.hub)?;
        let database = part.backup.join(DATABASE);
        let remembered = part.hub.join("keys").join(CHECKPOINTS);
        let remembered = std::fs::metadata(remembered).is_ok_and(|file| file.len() > 0);
        if database.exists() && !remembered && !args.accept_loss && !args.nothing_since {
            return Err(format!(
                "nothing in {} remembers how long the log was, so the restored one could fork it: bring back the newest \
                 keys/{CHECKPOINTS}; or say --nothing-since if the hub was stopped before the backup; or --accept-loss",
                part.hub.display()
            )
            .into());
        }
        if database.exists() {
            Authority::restore_store(&part.hub, &database, |store| hear_site_list(args, &part, store, &mut lists))?;
        }
        copy_keys(&part.backup, &part.hub)?;
        if !hub::was_made(&part.hub) {
            hub::copy_settings(&part.backup, &part.hub)?;
        }
        let log = if args.accept_loss && database.exists() {
            Some(Authority::start_log_anew(&hub::authority_in_force(&part.hub)?, &Clock::system())?.1)
        } else {
            None
        };
        restored.push((part.name, database.exists(), log));
    }
    if let Some((file, _)) = lists.first() {
        return Err(format!("{}: no site that was restored here has signed this list", file.display()).into());
    }
    if args.hub.json {
        let all: Vec<_> = restored
            .iter()
            .map(|(name, store, log)| serde_json::json!({ "authority": name, "store": store, "log": log }))
            .collect();
        output::json(&serde_json::json!({ "folder": dir, "restored": all }))?;
        return Ok(Outcome::Done);
    }
    for (name, store, log) in restored {
        match (store, log) {
            (false, _) => say!("{name}: its store is on a server: bring it back there, with pg_restore"),
            (true, None) => say!("{name}: store and keys are back"),
            (true, Some(log)) => say!("{name}: store and keys are back; its log goes on as {log}"),
        }
    }
    say!("Bring the passphrase (or the token) and the configuration too, and start the hub.");
    Ok(Outcome::Done)
}

/// Takes those lists that are of this authority, and refuses where nobody can say whether its keys were changed.
fn hear_site_list(
    args: &RestoreArgs,
    part: &Part,
    store: &SqlStore,
    lists: &mut Vec<(&PathBuf, Vec<u8>)>,
) -> Result<(), Failure> {
    let mut others = Vec::new();
    for (file, list) in lists.drain(..) {
        let heard = Authority::hear_site_list(&part.hub, store, &list);
        if !heard.map_err(|error| format!("{}: {error}", file.display()))? {
            others.push((file, list));
        }
    }
    *lists = others;
    if args.keys_unchanged || args.nothing_since || Authority::has_heard_site_list(&part.hub, store)? {
        return Ok(());
    }
    Err(format!(
        "nothing in {} says whether an issuing key was withdrawn since the backup, and a stolen one must not issue again: give \
         the newest site list that any device has with --site-list (knowledge/site-list.cose in a sidecar's folder), or say \
         --keys-unchanged",
        part.hub.display()
    )
    .into())
}

/// Copies the encrypted keys that are not there yet: a key is never replaced.
fn copy_keys(from: &Path, to: &Path) -> Result<(), Failure> {
    let (from, to) = (from.join("keys"), to.join("keys"));
    if !from.exists() {
        return Ok(());
    }
    files::private_directory(&to)?;
    for entry in std::fs::read_dir(&from).map_err(|error| format!("{}: {error}", from.display()))? {
        let path = entry?.path();
        let Some(name) = path.file_name() else { continue };
        let target = to.join(name);
        if path.extension().is_some_and(|extension| extension == "key") && !target.exists() {
            let bytes = files::read(&path)?.ok_or_else(|| format!("{} is gone", path.display()))?;
            files::replace(&target, &bytes)?;
        }
    }
    Ok(())
}

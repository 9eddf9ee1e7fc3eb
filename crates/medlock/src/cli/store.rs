//! Where an authority keeps what it does: moved to a server, backed up, restored.

use super::HubArgs;
use super::authority::OWN;
use crate::authorities::{self, expected};
use crate::config::Config;
use crate::output::{self, say};
use crate::{Failure, Outcome, folder};
use clap::Args;
use medlock_authority::directory::DATABASE;
use medlock_authority::heard::{Hearing, Source};
use medlock_authority::restoring::{Restoring, Since};
use medlock_authority::signer::{CHECKPOINTS, merge_retired};
use medlock_authority::store::{ServerConfig, SqlStore};
use medlock_authority::{Authority, AuthorityConfig};
use medlock_node::clock::Clock;
use medlock_node::files;
use medlock_node::knowledge::KnowledgeBase;
use medlock_trust::policy::Setting;
use std::path::{Path, PathBuf};

/// What a hub has believed, in its folder.
const KNOWLEDGE: &str = "knowledge";
/// The certificate of its root, there and in a backup.
const ROOT: &str = "root.der";

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

/// What people mean who say of no authority in particular that something is unchanged.
const ALL: &str = "";

/// Whether people have said it of this authority.
fn is_said(of: &[String], name: &str) -> bool {
    of.iter().any(|said| said == ALL || said == name)
}

/// `medlock authority restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The folder that `backup` made.
    from: PathBuf,
    /// What others have heard of this hub's authorities: the folder of a sidecar or of another hub, or a file: `site-list.cose`,
    /// `status.cose`, or the root's revocation list as `/crl/root.crl` gave it. It says which issuing keys were withdrawn since
    /// the backup. Give several, of devices that met the hub last; of each kind the newest counts. Needed where the hub's
    /// own folder is gone.
    #[arg(long, value_name = "FOLDER")]
    knowledge: Vec<PathBuf>,
    /// No issuing key was rotated, retired or withdrawn since the backup: of any authority, or of these alone, `-` for the site
    /// (`--keys-unchanged=pumps,clinic`).
    #[arg(long, value_name = "NAMES", num_args = 0..=1, require_equals = true, default_missing_value = ALL, value_delimiter = ',')]
    keys_unchanged: Vec<String>,
    /// No device of a site was suspended, revoked or reported stolen since the backup: of any site, or of these alone.
    #[arg(long, value_name = "NAMES", num_args = 0..=1, require_equals = true, default_missing_value = ALL, value_delimiter = ',')]
    revocations_unchanged: Vec<String>,
    /// Of makers: no device was sold, released, passed on or revoked since the backup: of any maker, or of these alone. Without it a
    /// maker that was brought back gives no vouchers and signs no revocation lists before `medlock authority confirm-restore`.
    #[arg(long, value_name = "NAMES", num_args = 0..=1, require_equals = true, default_missing_value = ALL, value_delimiter = ',')]
    owners_unchanged: Vec<String>,
    /// What was issued and revoked since the backup, and the keys made since, are lost for good: begin the transparency logs
    /// anew, and start without those keys (where another hub has them, copy its `keys/*.key` here first).
    #[arg(long, conflicts_with = "nothing_since")]
    accept_loss: bool,
    /// Nothing at all was issued, sold, suspended or revoked since the backup: the hub was stopped before it was made. Where
    /// nothing here remembers how long the logs were, as on a new disk, it is this or --accept-loss.
    #[arg(long)]
    nothing_since: bool,
    /// The configuration that the hub starts with: where a store is on a server, it is the one that is named there, not the
    /// one that was in force.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The PostgreSQL server on which stores are that were on one, wherever that was: `postgresql://USER@HOST/DATABASE`,
    /// without a password. It goes before --config.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// The schema there, of the one authority whose store is on a server [default: as it was].
    #[arg(long, value_name = "SCHEMA", requires = "store")]
    store_schema: Option<String>,
    /// A file with the user's password [default: as it was].
    #[arg(long, value_name = "FILE", requires = "store")]
    store_password_file: Option<PathBuf>,
    /// The authority (PEM) that the server's certificate is from [default: as it was].
    #[arg(long, value_name = "FILE", requires = "store")]
    store_ca: Option<PathBuf>,
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
    let rows = folder::move_store(&args.hub.dir, &server)?;
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

impl Part {
    /// Refuses to bring one authority back over another.
    fn is_of_who_is_there(&self) -> Result<(), Failure> {
        let Self { hub, backup, .. } = self;
        if !folder::was_made(hub) {
            return Ok(());
        }
        let (is, was) = (folder::authority_in_force(hub)?, folder::authority_in_force(backup)?);
        let why = if hub.canonicalize()? == backup.canonicalize()? {
            "it is that folder itself, and no backup of it".to_owned()
        } else if (&is.name, is.kind) != (&was.name, was.kind) {
            format!(
                "it is the backup of {}, and {} has {}: name another folder by --dir",
                was.name,
                hub.display(),
                is.name
            )
        } else if !self.is_of_its_root()? {
            format!(
                "it is the backup of another authority called {}, whose root {} has not believed: name another folder by --dir",
                was.name,
                hub.display()
            )
        } else {
            return Ok(());
        };
        Err(format!("{}: {why}. Nothing was changed.", backup.display()).into())
    }

    /// Whether the root that the backup names is one that the hub's folder has believed; also where either says nothing, as in the
    /// backups of an earlier version.
    fn is_of_its_root(&self) -> Result<bool, Failure> {
        let knowledge = self.hub.join(KNOWLEDGE);
        let Some(root) = files::read(&self.backup.join(ROOT))?.filter(|_| knowledge.join(ROOT).exists()) else {
            return Ok(true);
        };
        let heard = KnowledgeBase::open(&knowledge, Clock::system(), Setting::Hospital)?;
        Ok(heard.root().is_none_or(|pinned| pinned == root) || heard.is_root_of_site(&root))
    }
}

/// The authorities in the folder that `made` is asked about.
fn parts(hub: &Path, backup: &Path, made: &Path) -> Result<Vec<Part>, Failure> {
    let mut parts = vec![Part { name: OWN.to_owned(), hub: hub.to_owned(), backup: backup.to_owned() }];
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
    if !folder::was_made(dir) {
        return Err(format!("there is no hub in {}", dir.display()).into());
    }
    if args.to.exists() {
        return Err(format!("{} is there already: name a new folder", args.to.display()).into());
    }
    // A disk that is not mounted must not look like a backup.
    let above = std::path::absolute(&args.to)?.parent().map(Path::to_owned).unwrap_or_default();
    let Ok(above) = above.canonicalize() else {
        let (above, to) = (above.display(), args.to.display());
        return Err(format!(
            "{above}, in which {to} should be, is not there: is its disk mounted? Otherwise make it first"
        )
        .into());
    };
    if above.starts_with(dir.canonicalize()?) {
        return Err(format!("{} lies in the hub's own folder, and would be lost with it", args.to.display()).into());
    }
    let mut missing = Vec::new();
    for name in expected::names(dir)? {
        missing.extend(expected::missing(dir, &name)?);
    }
    let (mut copied, mut elsewhere, mut passphrases, mut keys) = (Vec::new(), Vec::new(), Vec::new(), 0_usize);
    for part in parts(dir, &args.to, dir)? {
        files::private_directory(&part.backup)?;
        match folder::server_in_force(&part.hub)? {
            None => SqlStore::copy(&part.hub.join(DATABASE), &part.backup.join(DATABASE))?,
            Some(server) => elsewhere.push((part.name.clone(), folder::section_in_force(&part.hub)?, server)),
        }
        // Behind the store: a key that it knows of is there.
        folder::copy_settings(&part.hub, &part.backup)?;
        if let Some(root) = files::read(&part.hub.join(KNOWLEDGE).join(ROOT))? {
            files::replace(&part.backup.join(ROOT), &root)?;
        }
        keys += copy_keys(&part.hub, &part.backup)?;
        passphrases.extend(Passphrase::of(&part.name, &part.hub)?);
        copied.push(part.name);
    }
    expected::add(&args.to, expected::with_made(dir)?.iter().map(String::as_str))?;
    if args.hub.json {
        let servers: Vec<_> = elsewhere
            .iter()
            .map(|(name, _, server)| serde_json::json!({ "authority": name, "schema": server.schema }))
            .collect();
        output::json(
            &serde_json::json!({ "folder": args.to, "authorities": copied, "on_servers": servers, "passphrases": passphrases,
                "missing": missing }),
        )?;
        return Ok(Outcome::Done);
    }
    let here = copied.len() - elsewhere.len();
    let keys = match keys {
        0 => "no keys, which are not in its folders".to_owned(),
        count => format!("{count} encrypted keys"),
    };
    say!("{} has {keys}, the settings of {} authorities, and {here} of their stores.", args.to.display(), copied.len());
    for why in missing {
        say!("NOT IN IT: {why}.");
    }
    for (_, section, server) in elsewhere {
        say!("The store of {} is on a server, and so not in this folder. Save it now:", section.organization);
        // Who works on the store now does not work on what is brought back.
        let schema = &server.schema;
        say!(
            "  pg_dump --format=custom --schema={schema} --exclude-table-data={schema}.hold --file=FILE {:?}",
            server.url
        );
    }
    say!(
        "Not in it, and needed: the configuration, tokens with their PINs, the keys of signers that run on their own."
    );
    tell_of_passphrases(&passphrases);
    Ok(Outcome::Done)
}

/// What else has to be there for the hub to start.
fn tell_of_passphrases(passphrases: &[Passphrase]) {
    for passphrase in passphrases {
        say!("Needed, and in no backup: {passphrase}");
    }
}

/// The file that has the passphrase of an authority's keys, which no backup has.
#[derive(Debug, serde::Serialize)]
struct Passphrase {
    authority: String,
    file: PathBuf,
    /// Whether it is there now.
    is_there: bool,
    /// Whether it lies in the authority's own folder, and is lost with it.
    beside_the_keys: bool,
}

impl Passphrase {
    /// That of the authority in this folder, if its hub has one.
    fn of(name: &str, dir: &Path) -> Result<Option<Self>, Failure> {
        let passphrase = |file: PathBuf| Self {
            authority: name.to_owned(),
            is_there: file.exists(),
            beside_the_keys: file.starts_with(dir),
            file,
        };
        Ok(folder::passphrase_in_force(dir)?.map(passphrase))
    }
}

impl std::fmt::Display for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let how = match (self.is_there, self.beside_the_keys) {
            (false, _) => ": IT IS NOT THERE",
            (true, true) => ": it lies beside the keys and is lost with them; copy it to another place now",
            (true, false) => "",
        };
        write!(f, "the passphrase of {}, {}{how}", called(&self.authority), self.file.display())
    }
}

/// What people call an authority.
fn called(name: &str) -> &str {
    if name == OWN { "the site" } else { name }
}

/// What became of one authority.
struct Restored {
    name: String,
    dir: PathBuf,
    /// The server with its store, where people have brought it back.
    server: Option<ServerConfig>,
    /// The name of its log, if that began anew.
    log: Option<String>,
    hearing: Hearing,
    /// Whether it is a maker that waits for a person's word before it gives vouchers.
    doubted: bool,
}

/// Brings a backup back into the folder of a hub that is stopped, or of one that is new; of a store on a server, where it was
/// brought back before, what was heard since.
///
/// # Errors
/// When the hub runs, or the backup is damaged; when nobody says what became of its keys and devices since. Then nothing is
/// changed, of none of its authorities.
pub(crate) fn restore(args: &RestoreArgs) -> Result<Outcome, Failure> {
    let dir = &args.hub.dir;
    if !folder::was_made(&args.from) {
        return Err(format!("{} is no backup", args.from.display()).into());
    }
    let mut sources = Vec::new();
    for path in &args.knowledge {
        sources.extend(Source::read(path)?);
    }
    let parts = parts(dir, &args.from, &args.from)?;
    parts.iter().try_for_each(Part::is_of_who_is_there)?;
    let said = [&args.keys_unchanged, &args.revocations_unchanged, &args.owners_unchanged].into_iter().flatten();
    if let Some(name) = said.into_iter().find(|said| *said != ALL && parts.iter().all(|part| part.name != **said)) {
        let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
        return Err(format!("this backup has no authority {name:?}: it has {}", names.join(", ")).into());
    }
    let servers = servers(args, &parts)?;
    let mut begun = Vec::new();
    for (part, server) in parts.into_iter().zip(servers) {
        let name = part.name.clone();
        let one = Begun::of(args, part, server, &mut sources);
        begun.push(one.map_err(|error| format!("{}: {error}\nNothing was changed.", called(&name)))?);
    }
    // Before what is missing is named: who gave the wrong file gave one.
    if let Some(source) = sources.first() {
        return Err(format!(
            "--knowledge {}: nothing that an authority restored here has published: neither {}. Nothing was changed.",
            source.path().display(),
            "a site list, a status list nor a root's revocation list of it"
        )
        .into());
    }
    for one in &begun {
        let checked = check_heard(args, &one.part, &one.hearing);
        checked.map_err(|error| format!("{}: {error}\nNothing was changed.", called(&one.part.name)))?;
    }
    let (mut restored, mut begun) = (Vec::new(), begun.into_iter());
    while let Some(one) = begun.next() {
        let name = one.part.name.clone();
        match one.finish(args) {
            Ok(one) => restored.push(one),
            Err(error) => {
                let mut left = vec![name.clone()];
                left.extend(begun.map(|one| one.part.name));
                tell(&restored);
                return Err(half_way(&name, &error, &left).into());
            }
        }
    }
    expected::add(dir, expected::with_made(&args.from)?.iter().map(String::as_str))?;
    let mut passphrases = Vec::new();
    for one in &restored {
        passphrases.extend(Passphrase::of(&one.name, &one.dir)?);
    }
    if args.hub.json {
        let heard = |one: &Restored| one.hearing.heard.iter().map(ToString::to_string).collect::<Vec<_>>();
        let all: Vec<_> = restored
            .iter()
            .map(|one| {
                serde_json::json!({
                    "authority": one.name, "store": one.server.is_none(), "log": one.log, "heard": heard(one),
                    "server": one.server.as_ref().map(|server| &server.url),
                    "schema": one.server.as_ref().map(|server| &server.schema),
                })
            })
            .collect();
        output::json(&serde_json::json!({ "folder": dir, "restored": all, "passphrases": passphrases }))?;
        return Ok(Outcome::Done);
    }
    tell(&restored);
    say!("Bring the configuration and tokens too, and start the hub.");
    tell_of_passphrases(&passphrases);
    Ok(Outcome::Done)
}

/// What to do where not all of a hub is back: one whose authorities are of different times must not start.
fn half_way(name: &str, error: &Failure, left: &[String]) -> String {
    format!(
        "{}: {error}\nNot brought back: {}. Start no hub here yet: mend this and give the same command again. What is back \
         already is brought back once more",
        called(name),
        left.iter().map(|name| called(name)).collect::<Vec<_>>().join(", ")
    )
}

/// Tells what became of those that are back.
fn tell(restored: &[Restored]) {
    for Restored { name, dir, server, log, hearing, doubted } in restored {
        let what = if server.is_some() {
            "keys are back, and its store is the one on the server"
        } else {
            "store and keys are back"
        };
        match log {
            None => say!("{}: {what}", called(name)),
            Some(log) => say!("{}: {what}; its log goes on as {log}", called(name)),
        }
        for heard in &hearing.heard {
            say!("  heard: {heard}");
        }
        if *doubted {
            say!(
                "  It gives no vouchers and signs no revocation lists before you have entered again what was sold, released,"
            );
            say!(
                "  passed on and revoked since the backup, and said so: medlock authority confirm-restore --dir {}",
                dir.display()
            );
        }
    }
}

/// The settings of this part that are newest: what was in force at the hub is newer than what the backup has of it.
fn newest_settings(part: &Part) -> &Path {
    if folder::was_made(&part.hub) { &part.hub } else { &part.backup }
}

/// On which server each part's store is now, if it was on one: the one that is named in the arguments, else in the
/// configuration, else the one that was in force. What is to be changed is said before anything is.
fn servers(args: &RestoreArgs, parts: &[Part]) -> Result<Vec<Option<ServerConfig>>, Failure> {
    let config = args.config.as_deref().map(|file| Config::load(Some(file))).transpose()?;
    let mut held = Vec::new();
    for part in parts {
        held.push(folder::server_in_force(newest_settings(part))?);
    }
    let count = held.iter().flatten().count();
    if args.store.is_some() && count == 0 {
        return Err("the stores of this backup are files in it: --store is for one that is on a server".into());
    }
    if args.store_schema.is_some() && count > 1 {
        return Err("several authorities of this backup have their stores on a server: say the schema of each in the \
                    configuration, and --config"
            .into());
    }
    let mut servers = Vec::new();
    for (part, held) in parts.iter().zip(held) {
        let named = |held: ServerConfig| match (&args.store, &config) {
            (Some(url), _) => Ok(ServerConfig {
                url: url.clone(),
                schema: args.store_schema.clone().unwrap_or(held.schema),
                password_file: args.store_password_file.clone().or(held.password_file),
                ca: args.store_ca.clone().or(held.ca),
            }),
            (None, Some(config)) => config
                .server_of(&part.name)
                .ok_or_else(|| format!("the configuration names no server for {}, whose store is on one", part.name)),
            (None, None) => Ok(held),
        };
        let server = held.map(named).transpose()?;
        if let Some(server) = &server {
            server.check()?;
            eprintln!("{}: its store is on {}, schema {}", part.name, server.url, server.schema);
        }
        servers.push(server);
    }
    Ok(servers)
}

/// One authority that was looked at, with all that its restore needs. Dropped, it leaves all as it was.
struct Begun {
    part: Part,
    server: Option<ServerConfig>,
    /// Whose settings it goes on with.
    settings: PathBuf,
    config: AuthorityConfig,
    hearing: Hearing,
    restoring: Restoring,
    made: Made,
}

impl Begun {
    /// Looks whether it can be brought back.
    fn of(
        args: &RestoreArgs,
        part: Part,
        server: Option<ServerConfig>,
        sources: &mut Vec<Source>,
    ) -> Result<Self, Failure> {
        let settings = newest_settings(&part).to_owned();
        let config =
            AuthorityConfig { dir: part.hub.clone(), store: server.clone(), ..folder::authority_in_force(&settings)? };
        let remembered = part.hub.join("keys").join(CHECKPOINTS);
        let remembered = std::fs::metadata(remembered).is_ok_and(|file| file.len() > 0);
        if !remembered && !args.accept_loss && !args.nothing_since {
            return Err(format!(
                "nothing in {} remembers how long the log was, so the restored one could fork it: bring back the newest \
                 keys/{CHECKPOINTS}; or say --nothing-since if the hub was stopped before the backup; or --accept-loss",
                part.hub.display()
            )
            .into());
        }
        let made = Made::before(&part.hub);
        files::private_directory(&part.hub)?;
        let restoring = match server {
            Some(_) => Authority::begin_restore_on_server(&config),
            None => Authority::begin_restore(&part.hub, &part.backup.join(DATABASE)),
        }?;
        if !args.accept_loss {
            Authority::check_log(&part.hub, restoring.store())?;
        }
        let hearing = restoring.hear(sources)?;
        Ok(Self { part, server, settings, config, hearing, restoring, made })
    }

    /// Brings it back.
    fn finish(self, args: &RestoreArgs) -> Result<Restored, Failure> {
        let Self { part, server, settings, config, hearing, restoring, made } = self;
        made.keep();
        // Before anybody could start it: a key that was retired signs nothing.
        copy_keys(&part.backup, &part.hub)?;
        let owners_unchanged = is_said(&args.owners_unchanged, &part.name);
        let doubted = hearing.is_maker && !owners_unchanged && !args.nothing_since;
        restoring.finish(Since { nothing: args.nothing_since, owners_unchanged, lost_keys: args.accept_loss })?;
        folder::settings_on(&settings, &part.hub, server.clone())?;
        let log = match args.accept_loss {
            true => Some(Authority::start_log_anew(&config, &Clock::system())?.1),
            false => None,
        };
        Ok(Restored { name: part.name, dir: part.hub, server, log, hearing, doubted })
    }
}

/// A folder that a restore makes before it knows whether it can; removed when this is dropped, unless it is kept.
struct Made(Option<PathBuf>);

impl Made {
    fn before(hub: &Path) -> Self {
        Self((!hub.exists()).then(|| hub.to_owned()))
    }

    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if let Some(folder) = &self.0 {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// Refuses where nobody can say whether its keys were changed, or its devices revoked.
fn check_heard(args: &RestoreArgs, part: &Part, hearing: &Hearing) -> Result<(), Failure> {
    if args.nothing_since {
        let since = hearing.heard.iter().find(|heard| heard.is_since());
        return since.map_or(Ok(()), |heard| {
            Err(format!(
                "--nothing-since is not true, as this was published after the backup: {heard}. Say --accept-loss, or bring back what \
                 is newer"
            )
            .into())
        });
    }
    let mut unknown = Vec::new();
    if !hearing.keys_wanted.is_empty() && !is_said(&args.keys_unchanged, &part.name) {
        let files = hearing.keys_wanted.join(" and ");
        unknown.push(format!(
            "whether an issuing key was withdrawn since the backup, and a stolen one must not issue again ({files}; or say \
             --keys-unchanged)"
        ));
    }
    if !hearing.devices_wanted.is_empty() && !is_said(&args.revocations_unchanged, &part.name) {
        let files = hearing.devices_wanted.join(" and ");
        unknown.push(format!(
            "which devices were revoked since, and a stolen one must stay so ({files}; or say --revocations-unchanged)"
        ));
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let mut text = format!(
        "nothing in {} says {}. Give what somebody has heard since with --knowledge: the folder of a sidecar or another hub, \
         or these files",
        part.hub.display(),
        unknown.join("; nor ")
    );
    for heard in &hearing.heard {
        text.push_str(&format!("\n  {heard}"));
    }
    Err(text.into())
}

/// Copies the encrypted keys that are not there yet, and which of them sign nothing any more: a key is never replaced, and one
/// that was retired stays so. Returns how many keys there are.
fn copy_keys(from: &Path, to: &Path) -> Result<usize, Failure> {
    let (from, to) = (from.join("keys"), to.join("keys"));
    if !from.exists() {
        return Ok(0);
    }
    let mut count = 0;
    files::private_directory(&to)?;
    for entry in std::fs::read_dir(&from).map_err(|error| format!("{}: {error}", from.display()))? {
        let path = entry?.path();
        let Some(name) = path.file_name() else { continue };
        let target = to.join(name);
        if path.extension().is_none_or(|extension| extension != "key") {
            continue;
        }
        count += 1;
        if !target.exists() {
            let bytes = files::read(&path)?.ok_or_else(|| format!("{} is gone", path.display()))?;
            files::replace(&target, &bytes)?;
        }
    }
    merge_retired(&from, &to)?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: RestoreArgs,
    }

    /// Shows REQ-CLI-56: what is unchanged is said of all, or of those that are named, and of no other.
    #[test]
    fn what_is_unchanged_is_said_of_those_that_are_named() {
        let said = |line: &str| {
            let args = Line::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{error}")).args;
            assert_eq!(args.from, Path::new("b"), "a name is taken for the backup");
            ["-", "pumps", "clinic"].map(|name| is_said(&args.keys_unchanged, name))
        };
        assert_eq!(said("restore b"), [false; 3]);
        assert_eq!(said("restore --keys-unchanged b"), [true; 3]);
        assert_eq!(said("restore b --keys-unchanged=pumps --revocations-unchanged"), [false, true, false]);
        assert_eq!(said("restore b --keys-unchanged=pumps,- --owners-unchanged=clinic"), [true, true, false]);
    }
}

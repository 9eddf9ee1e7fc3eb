//! The folder of an authority: what it was opened with last, where its keys are, and how it is opened.

use crate::config::{AuthoritySection, HubConfig};
use crate::{Failure, output};
use medlock_authority::directory::{DATABASE, IN_FORCE};
use medlock_authority::keys::TokenConfig;
use medlock_authority::settings::RootPlace;
use medlock_authority::signer::{ProcessSigner, Signer, Supervisor};
use medlock_authority::store::ServerConfig;
use medlock_authority::{Authority, AuthorityConfig, Error};
use medlock_node::clock::Clock;
use medlock_node::files;
use serde::{Deserialize, Serialize};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Opens the authority of a hub that does not run, for one command.
///
/// # Errors
/// When it runs after all, or its state is damaged.
pub(crate) fn open_for_command(dir: &Path) -> Result<Arc<Authority>, Failure> {
    open(dir, &in_force(dir)?.keys, &authority_in_force(dir)?, Clock::system())
}

/// Makes an authority in `dir`, or goes on where that was cut off.
///
/// # Errors
/// When there is one already, or the folder cannot be used.
pub(crate) fn create(authority: &AuthorityConfig, keys: &Keys) -> Result<(), Failure> {
    let dir = &authority.dir;
    if was_made(dir) {
        return Err(format!("{} has an authority already", dir.display()).into());
    }
    open(dir, keys, authority, Clock::system())?;
    Ok(())
}

/// What was in force when the authority was last opened, for commands while the hub is down.
#[derive(Debug, Deserialize, Serialize)]
struct InForce {
    authority: AuthorityConfig,
    #[serde(flatten)]
    keys: Keys,
}

/// Whether there is an authority in this folder.
pub(crate) fn was_made(dir: &Path) -> bool {
    dir.join(IN_FORCE).exists()
}

/// What an authority was last opened with.
///
/// # Errors
/// When that cannot be read.
pub(crate) fn section_in_force(dir: &Path) -> Result<AuthoritySection, Failure> {
    let InForce { authority, keys } = in_force(dir)?;
    let server = authority.store;
    Ok(AuthoritySection {
        store: server.as_ref().map(|server| server.url.clone()),
        store_schema: server.as_ref().map(|server| server.schema.clone()),
        store_password_file: server.as_ref().and_then(|server| server.password_file.clone()),
        store_ca: server.and_then(|server| server.ca),
        passphrase_file: keys.passphrase_file,
        pkcs11: keys.pkcs11,
        signer: keys.signer,
        algorithm: authority.algorithm,
        masa: authority.masa,
        root: authority.root,
        log_origin: authority.log_origin,
        log_witnesses: authority.log_witnesses,
        ..AuthoritySection::new(authority.name, authority.kind)
    })
}

/// The server that keeps what the authority in `dir` does, if it is not in a file there.
///
/// # Errors
/// When that cannot be read.
pub(crate) fn server_in_force(dir: &Path) -> Result<Option<ServerConfig>, Failure> {
    Ok(in_force(dir)?.authority.store)
}

/// The settings of the authority in `dir`, wherever that lay when they were written.
///
/// # Errors
/// When they cannot be read.
pub(crate) fn authority_in_force(dir: &Path) -> Result<AuthorityConfig, Failure> {
    Ok(AuthorityConfig { dir: dir.to_owned(), ..in_force(dir)?.authority })
}

/// The file with the passphrase of the keys of the authority in `dir`, whether or not it is there; `None` where no hub has it,
/// because a token or another's signer has the keys.
///
/// # Errors
/// When what was in force cannot be read.
pub(crate) fn passphrase_in_force(dir: &Path) -> Result<Option<PathBuf>, Failure> {
    Ok(in_force(dir)?.keys.passphrase(dir))
}

/// Copies what was in force.
///
/// # Errors
/// When it cannot be read or written.
pub(crate) fn copy_settings(from: &Path, to: &Path) -> Result<(), Failure> {
    let InForce { authority, keys } = in_force(from)?;
    keep_in_force(&AuthorityConfig { dir: to.to_owned(), ..authority }, &keys)
}

/// Writes what was in force in `from` as that of `to`, with its store on this server, or in a file.
///
/// # Errors
/// As [`copy_settings`].
pub(crate) fn settings_on(from: &Path, to: &Path, store: Option<ServerConfig>) -> Result<(), Failure> {
    let InForce { authority, keys } = in_force(from)?;
    keep_in_force(&AuthorityConfig { dir: to.to_owned(), store, ..authority }, &keys)
}

/// Moves what the stopped authority in `dir` keeps to a server; how many rows there were.
///
/// # Errors
/// When it runs, or the server cannot be used.
pub(crate) fn move_store(dir: &Path, server: &ServerConfig) -> Result<u64, Failure> {
    let InForce { authority, keys } = in_force(dir)?;
    if let Some(held) = authority.store {
        return Err(format!("its store is on a server already: {}, schema {}", held.url, held.schema).into());
    }
    let authority = AuthorityConfig { dir: dir.to_owned(), store: Some(server.clone()), ..authority };
    let rows = Authority::move_store(&authority)?;
    keep_in_force(&authority, &keys)?;
    Ok(rows)
}

fn in_force(dir: &Path) -> Result<InForce, Failure> {
    let file = dir.join(IN_FORCE);
    let text = std::fs::read(&file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    Ok(serde_json::from_slice(&text).map_err(|error| format!("{} is damaged: {error}", file.display()))?)
}

/// Where the authority's keys are: in `keys` of its folder, in a token, or with a signer that somebody else runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Keys {
    pub(crate) passphrase_file: Option<PathBuf>,
    #[serde(default)]
    pub(crate) pkcs11: Option<TokenConfig>,
    #[serde(default)]
    pub(crate) signer: Option<PathBuf>,
}

impl Keys {
    pub(crate) fn of(config: &HubConfig) -> Self {
        Self {
            passphrase_file: config.passphrase_file.clone(),
            pkcs11: config.pkcs11.clone(),
            signer: config.signer.clone(),
        }
    }

    /// The file with their passphrase, of the authority in `dir`, if its hub has one.
    fn passphrase(&self, dir: &Path) -> Option<PathBuf> {
        let beside = || dir.join("keys").join("passphrase");
        let own = self.pkcs11.is_none() && self.signer.is_none();
        own.then(|| self.passphrase_file.clone().unwrap_or_else(beside))
    }
}

/// Refuses to make an authority by the way where the passphrase of one is there already: its disk may not be. `or` is how people
/// make one that they mean.
///
/// # Errors
/// When nobody has made it, and the file with its passphrase is there.
pub(crate) fn expects_none(authority: &AuthorityConfig, keys: &Keys, or: &str) -> Result<(), Failure> {
    let (dir, name) = (&authority.dir, &authority.name);
    // A start that was cut off has left something. That a store on a server is empty says nothing: its name may be mistyped.
    let begun = was_made(dir) || dir.join(DATABASE).exists() || dir.join("keys").exists();
    let another = match &authority.store {
        Some(server) => format!(
            " Another hub of the store {}, schema {}, takes the files of `keys` from the first.",
            server.url, server.schema
        ),
        None => String::new(),
    };
    match keys.passphrase(dir).filter(|file| !begun && file.exists()) {
        None => Ok(()),
        Some(file) => Err(Error::NotHere(format!(
            "there is nothing of {name} in {0}, and the passphrase of its keys is there, in {1}: is the disk of {0} mounted? If it is \
             lost, `medlock authority restore BACKUP --dir {2}` brings it back.{another} To make a new one all the same, take that file away, or \
             {or}",
            dir.display(),
            file.display(),
            output::word(&dir.to_string_lossy())
        ))
        .into()),
    }
}

/// Refuses the folder of a sidecar before anything is written to it.
fn is_no_sidecars(dir: &Path) -> Result<(), Failure> {
    if was_made(dir) || !dir.join("identity").exists() {
        return Ok(());
    }
    Err(format!(
        "{} is the folder of a sidecar, and its machine's identity is in it: name the folder of a hub, or a new one",
        dir.display()
    )
    .into())
}

/// Refuses a folder of somebody else's before anything is written to it.
///
/// # Errors
/// When it belongs to another user, or is not there.
pub(crate) fn is_ours(dir: &Path) -> Result<(), Failure> {
    let (owner, us) = (std::fs::metadata(dir)?.uid(), rustix::process::geteuid().as_raw());
    if owner == us {
        return Ok(());
    }
    Err(format!(
        "{} belongs to the user with the number {owner}, and what another one writes there it could not read: run this as that user \
         (sudo -u '#{owner}' medlock …)",
        dir.display()
    )
    .into())
}

/// Opens the authority in `dir`, with a signer process of its own.
///
/// # Errors
/// When it is in use or damaged.
pub(crate) fn open(
    dir: &Path,
    keys: &Keys,
    authority: &AuthorityConfig,
    clock: Clock,
) -> Result<Arc<Authority>, Failure> {
    is_no_sidecars(dir)?;
    files::private_directory(dir)?;
    is_ours(dir)?;
    if authority.store.is_none()
        && was_made(dir)
        && let Some(server) = in_force(dir)?.authority.store
    {
        return Err(format!(
            "what is in {} belongs to the store at {}, schema {}, and the configuration names none: say `store` again",
            dir.display(),
            server.url,
            server.schema
        )
        .into());
    }
    let opened = Arc::new(Authority::open(authority, clock, signer_of(dir, keys, authority)?)?);
    keep_in_force(authority, keys)?;
    Ok(opened)
}

/// Begins an authority whose root is offline, in `dir`; gives what the root is to sign.
///
/// # Errors
/// When it has its issuing key already, or is in use or damaged.
pub(crate) fn begin(authority: &AuthorityConfig, keys: &Keys, root: &[u8]) -> Result<Vec<u8>, Failure> {
    let dir = &authority.dir;
    is_no_sidecars(dir)?;
    let authority = AuthorityConfig { root: RootPlace::Offline, ..authority.clone() };
    let request = Authority::begin(&authority, &Clock::system(), &signer_of(dir, keys, &authority)?, root)?;
    keep_in_force(&authority, keys)?;
    Ok(request)
}

/// Takes in the first answer of an offline root, where the authority in `dir` waits for it; else `false`.
///
/// # Errors
/// When it is in use or damaged, or that is not the answer.
pub(crate) fn finish(dir: &Path, answer: &[u8]) -> Result<bool, Failure> {
    let last = in_force(dir)?;
    let authority = AuthorityConfig { dir: dir.to_owned(), ..last.authority };
    let signer = signer_of(dir, &last.keys, &authority)?;
    Ok(Authority::finish(&authority, &Clock::system(), &signer, answer)?)
}

/// The signer of the authority in `dir`: one that somebody else has started, or a process of its own, which is started when
/// it is first asked.
fn signer_of(dir: &Path, keys: &Keys, authority: &AuthorityConfig) -> Result<Arc<dyn Signer>, Failure> {
    files::private_directory(dir)?;
    Ok(Arc::new(match &keys.signer {
        Some(socket) => ProcessSigner::new(socket, None),
        None => own_signer(dir, keys, authority)?,
    }))
}

/// For commands while the hub is down.
pub(crate) fn keep_in_force(authority: &AuthorityConfig, keys: &Keys) -> Result<(), Failure> {
    let in_force = InForce { authority: authority.clone(), keys: keys.clone() };
    Ok(files::replace(&authority.dir.join(IN_FORCE), &serde_json::to_vec(&in_force)?)?)
}

/// A signer process of the authority's own.
fn own_signer(dir: &Path, keys: &Keys, authority: &AuthorityConfig) -> Result<ProcessSigner, Failure> {
    let socket = dir.join("signer.sock");
    let mut command = std::process::Command::new(std::env::current_exe()?);
    output::log_as_we_do(&mut command);
    command.args(["signer", "--with-parent", "--socket"]).arg(&socket);
    if let Some(TokenConfig { module, token, pin_file }) = &keys.pkcs11 {
        command.arg("--pkcs11-module").arg(module).arg("--token").arg(token).arg("--pin-file").arg(pin_file);
        let folder = dir.join("keys");
        files::private_directory(&folder)?;
        command.arg("--authority").arg(&authority.name).arg("--checkpoints").arg(folder);
    } else {
        command.arg("--keys").arg(dir.join("keys"));
    }
    if let Some(file) = keys.passphrase_file.as_deref().filter(|_| keys.pkcs11.is_none()) {
        if let Some(folder) = file.parent().filter(|folder| !folder.exists()) {
            files::private_directory(folder)?;
        }
        command.arg("--passphrase-file").arg(file);
    }
    Ok(ProcessSigner::new(&socket, Some(Supervisor::new(command))))
}

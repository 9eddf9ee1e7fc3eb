//! The directory of an authority: whose it is, who works in it, the file of its database; and what is done with that file while
//! the authority is not open.

use crate::log::ORIGIN;
use crate::settings::AuthorityConfig;
use crate::signer::{CHECKPOINTS, KeyLabel, Signer};
use crate::store::{Journal as _, Published, ServerConfig, SqlStore, StoreError};
use crate::{Authority, Error};
use medlock_node::clock::Clock;
use medlock_node::files;
use std::fs::{File, Permissions, TryLockError};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

/// The file of the database in the authority's directory, unless it is on a server.
pub const DATABASE: &str = "authority.sqlite";
/// The file with what the authority in a directory was last opened with: where it is, there was one.
pub const IN_FORCE: &str = "in-force.json";
/// Where the tables of a store on a server are, as far as the store knows.
const PLACE: &str = "place";
/// Tries to get the directory's lock, 50 ms apart.
const LOCK_TRIES: usize = 20;

impl Authority {
    /// Moves everything an authority that is not open keeps from the file in its directory to the server that its settings
    /// name. Returns how many rows there were.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it is open; [`Error::Store`] when the server or the file cannot be used.
    pub fn move_store(config: &AuthorityConfig) -> Result<u64, Error> {
        let server = config.store.as_ref().ok_or_else(|| Error::invalid("store", "name the server"))?.address()?;
        let _lock = lock_directory(&config.dir)?;
        let file = config.dir.join(DATABASE);
        if !file.exists() {
            return Err(Error::Conflict(format!("there is no {}", file.display())));
        }
        Ok(SqlStore::move_to(&file, server)?)
    }
}

/// Notes that whatever was heard behind a copy is known where the tables are now.
pub(crate) fn note_place(store: &SqlStore) -> Result<(), Error> {
    let Some(place) = store.place()? else { return Ok(()) };
    let before = store.published(PLACE)?.map(|held| held.version);
    let (version, at) = (before.unwrap_or(0).saturating_add(1), Clock::system().now());
    match store.publish_after(PLACE, Published { version, at, bytes: place.into_bytes() }, before) {
        // Another hub that starts was faster.
        Err(StoreError::Taken { .. }) if before.is_none() => Ok(()),
        other => Ok(other?),
    }
}

/// Makes the directory, and closes one that was made wider to all others (0700). One that belongs to somebody else
/// stays as it is: what is in it is closed file by file.
pub(crate) fn own_directory(dir: &Path) -> Result<(), Error> {
    files::private_directory(dir).map_err(|error| Error::Conflict(error.to_string()))?;
    let mode = std::fs::metadata(dir).map_err(|error| Error::file(dir, error))?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    match std::fs::set_permissions(dir, Permissions::from_mode(0o700)) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            tracing::warn!(dir = %dir.display(), "others may look into the authority's directory, and it is not ours");
            Ok(())
        }
        other => other.map_err(|error| Error::file(dir, error)),
    }
}

/// Opens the store, wherever it is. One on a server that was brought back from a copy is not used before people have said what
/// was heard since.
pub(crate) fn open_store(config: &AuthorityConfig) -> Result<SqlStore, Error> {
    let store = connect(config)?;
    if let Some(server) = &config.store
        && config.dir.join(IN_FORCE).exists()
        && store.setting(ORIGIN)?.is_none()
    {
        return Err(Error::NotHere(format!(
            "there was an authority in {}, and {}",
            config.dir.display(),
            empty(server)
        )));
    }
    match (store.place()?, store.published(PLACE)?) {
        (Some(_), None) => note_place(&store)?,
        (Some(place), Some(held)) if held.bytes != place.as_bytes() => {
            return Err(Error::Conflict(
                "the store on the server was brought back from a copy, which does not know what was withdrawn since: `medlock \
                 authority restore BACKUP --knowledge FOLDER`, with the backup of this authority and what any device has heard"
                    .to_owned(),
            ));
        }
        _ => {}
    }
    Ok(store)
}

/// Says that nothing is where a store should be on a server, and what to do.
pub(crate) fn empty(server: &ServerConfig) -> String {
    format!(
        "its store on the server is empty: {}, schema {}. If that is another database than the one it had, correct the \
         configuration; if it is the one, bring the newest dump back there (`pg_restore --clean --if-exists --dbname=URL FILE`: this hub has \
         made empty tables), then `medlock authority restore BACKUP`",
        server.url, server.schema
    )
}

pub(crate) fn connect(config: &AuthorityConfig) -> Result<SqlStore, Error> {
    let file = config.dir.join(DATABASE);
    let Some(server) = &config.store else {
        if !file.exists() && was_opened(&config.dir) {
            return Err(Error::NotHere(format!(
                "there was an authority in {}, and its store is missing: bring {} back if it was moved, or `medlock authority \
                 restore BACKUP`; keep the folder, it has the keys",
                config.dir.display(),
                file.display()
            )));
        }
        return Ok(SqlStore::sqlite(&file)?);
    };
    if file.exists() && SqlStore::moved_to(&file)?.is_none() {
        return Err(Error::Conflict(format!(
            "{} has an authority, and the configuration names a server for it: move it there with `medlock authority \
             move-store`",
            file.display()
        )));
    }
    Ok(SqlStore::postgres(server.address()?)?)
}

/// Refuses to make a store where there is none, and to go on with one in which nothing was begun, while the signer has the keys of an
/// authority of this name: its store is elsewhere. With another one its log would have two histories under one name and key, and what
/// was withdrawn would be good again. A creation that was cut off has begun something before it made the first key.
///
/// # Errors
/// [`Error::NotHere`]; [`Error::Signer`].
pub(crate) fn expect_no_keys(config: &AuthorityConfig, signer: &dyn Signer) -> Result<(), Error> {
    for key in [KeyLabel::LOG, KeyLabel::ROOT, KeyLabel::ISSUING] {
        if signer.public_key(key)?.is_none() {
            continue;
        }
        let (name, dir) = (&config.name, config.dir.display());
        let place = match &config.store {
            None => format!("in {dir}: is its disk mounted, and is it the right folder?"),
            Some(server) => format!("at {}, schema {}: is it the right server?", server.url, server.schema),
        };
        return Err(Error::NotHere(format!(
            "the signer has keys of {name} already (the {key} key is there), and there is nothing of {name} {place} If it is lost, \
             `medlock authority restore BACKUP --dir {dir}` goes on with those keys. A new authority has keys of its own: name another \
             token, another signer, or another organisation; or, if nothing that those keys have signed is believed any more, take the \
             objects called `medlock {name} …` out of the token"
        )));
    }
    Ok(())
}

/// Whether an authority was opened in this directory before: its database was made first, so it is lost if it is not there.
pub(crate) fn was_opened(dir: &Path) -> bool {
    let of_signer = |path: &Path| path.extension().is_some_and(|extension| extension == "key");
    let keys = std::fs::read_dir(dir.join("keys")).into_iter().flatten().filter_map(Result::ok);
    dir.join(IN_FORCE).exists()
        || dir.join("keys").join(CHECKPOINTS).exists()
        || keys.into_iter().any(|entry| of_signer(&entry.path()))
}

/// Takes the directory for this process, as long as the file is held.
///
/// # Errors
/// [`Error::Conflict`] when a hub or another command has it.
pub(crate) fn lock_directory(dir: &Path) -> Result<File, Error> {
    let path = dir.join("lock");
    let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.map_err(|error| Error::file(&path, error))?;
    file.set_permissions(Permissions::from_mode(0o600)).map_err(|error| Error::file(&path, error))?;
    // A process that just ended, or one that is between fork and exec, may hold the lock for another moment.
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(50)),
            Err(TryLockError::Error(error)) => return Err(Error::file(&path, error)),
        }
    }
    Err(Error::Conflict(format!(
        "{} is in use by a running hub: other commands reach that hub with --dir; to start another one here, stop it first",
        dir.display()
    )))
}

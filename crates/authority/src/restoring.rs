//! An authority that is brought back from a backup: first all is looked at that its restore needs, beside what is there, and
//! nothing is changed; then it takes its place. A hub has several authorities, and all are looked at before the first is brought
//! back.

use crate::directory::{DATABASE, connect, empty, lock_directory, note_place, own_directory};
use crate::heard::{Hearing, Source, accept_lost_keys, hear_from};
use crate::keys::KeyList;
use crate::present::alone;
use crate::restored::knowledge_of;
use crate::settings::AuthorityConfig;
use crate::store::{Issuances as _, Purpose, Register as _, SqlStore, Standings as _};
use crate::{Authority, Error, counted, doubt};
use medlock_node::clock::Clock;
use medlock_node::files;
use medlock_node::knowledge::KnowledgeBase;
use medlock_trust::policy::Setting;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a person says of the time since the backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Since {
    /// Nothing at all was done: the hub was stopped before.
    pub nothing: bool,
    /// Of a maker: no device was sold, released, passed on or revoked.
    pub owners_unchanged: bool,
    /// The keys that were made are lost for good.
    pub lost_keys: bool,
}

/// An authority that is not open and about to be brought back. Dropped, it leaves all as it was.
#[derive(Debug)]
pub struct Restoring {
    dir: PathBuf,
    store: Arc<SqlStore>,
    /// The copy of a database in a file; `None` for one on a server, which was brought back there.
    copy: Option<Beside>,
    knowledge: Beside,
    _lock: File,
}

impl Authority {
    /// Begins to bring the copy of a database back into the directory of an authority that is not open.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it is open; [`Error::Store`] when the copy cannot be used; [`Error::File`].
    pub fn begin_restore(dir: &Path, copy: &Path) -> Result<Restoring, Error> {
        let lock = lock_directory(dir)?;
        // What a restore that was cut off has left: a journal beside another file would be taken for its own.
        let being = Beside::begin(dir.join(format!("{DATABASE}.restored")));
        SqlStore::copy(copy, &being.0)?;
        let store = Arc::new(SqlStore::sqlite(&being.0)?);
        Restoring::of(dir, store, Some(being), lock)
    }

    /// Begins to go on with a store on a server that was brought back there from a copy, for an authority that no hub has open.
    ///
    /// # Errors
    /// [`Error::Conflict`] when a hub works on it, or the server has none; [`Error::Store`].
    pub fn begin_restore_on_server(config: &AuthorityConfig) -> Result<Restoring, Error> {
        own_directory(&config.dir)?;
        let lock = lock_directory(&config.dir)?;
        let store = Arc::new(connect(config)?);
        if let (None, Some(server)) = (store.newest(Purpose::Root)?, &config.store) {
            return Err(Error::Conflict(empty(server)));
        }
        drop(alone(&store)?);
        Restoring::of(&config.dir, store, None, lock)
    }
}

impl Restoring {
    fn of(dir: &Path, store: Arc<SqlStore>, copy: Option<Beside>, lock: File) -> Result<Self, Error> {
        let knowledge = Beside::begin(dir.join("knowledge.restored"));
        copy_files(&knowledge_of(dir), &knowledge.0)?;
        is_of_who_was_here(dir, &knowledge.0, &store)?;
        Ok(Self { dir: dir.to_owned(), store, copy, knowledge, _lock: lock })
    }

    /// The store that is brought back; it is only read before [`Restoring::finish`].
    #[must_use]
    pub fn store(&self) -> &SqlStore {
        &self.store
    }

    /// Hears what others have kept; of `sources` those that are of other authorities stay.
    ///
    /// # Errors
    /// [`Error::Object`] when something says that it is signed by this authority's root and is not; [`Error::Store`];
    /// [`Error::File`].
    pub fn hear(&self, sources: &mut Vec<Source>) -> Result<Hearing, Error> {
        hear_from(&self.dir, &self.knowledge.0, &self.store, sources)
    }

    /// Puts what was heard and the store in their places. What was there is kept beside it, with the time in its name.
    ///
    /// # Errors
    /// [`Error::Conflict`] when a hub has started on the server meanwhile; [`Error::Store`]; [`Error::File`].
    pub fn finish(self, since: Since) -> Result<(), Error> {
        let Self { dir, store, copy, knowledge, _lock } = self;
        let now = Clock::system().now();
        let _alone = if copy.is_none() { Some(alone(&store)?) } else { None };
        copy_files(&knowledge.0, &knowledge_of(&dir))?;
        if since.lost_keys {
            accept_lost_keys(&knowledge_of(&dir), &store)?;
        }
        if !since.nothing {
            store.void_open_codes()?;
        }
        if doubt::is_of_maker(&store)? && !since.nothing && !since.owners_unchanged {
            doubt::begin(&store, now)?;
        }
        // Whoever brings a store back says what it lacks.
        counted::forget(&dir)?;
        // Status lists that were given out since have later epochs than the copy knows of.
        store.next_epoch(now)?;
        match copy {
            None => note_place(&store),
            Some(copy) => {
                drop(store);
                copy.take_place(&dir, now.unix())
            }
        }
    }
}

/// Refuses the store of another authority, whatever that is called: none of its roots is one that this folder has believed.
fn is_of_who_was_here(dir: &Path, heard: &Path, store: &SqlStore) -> Result<(), Error> {
    let heard = KnowledgeBase::open(heard, Clock::system(), Setting::Hospital);
    let heard = heard.map_err(|error| Error::Conflict(error.to_string()))?;
    let roots = match KeyList::held(store)? {
        Some(keys) => keys.roots().iter().map(|root| root.certificate.der.clone()).collect(),
        None => store.newest(Purpose::Root)?.map(|root| root.certificate).into_iter().collect::<Vec<_>>(),
    };
    let is_ours = |root: &Vec<u8>| heard.root().is_some_and(|pinned| pinned == *root) || heard.is_root_of_site(root);
    if heard.root().is_none() || roots.is_empty() || roots.iter().any(is_ours) {
        return Ok(());
    }
    Err(Error::Conflict(format!(
        "it is the backup of another authority of that name: no root of it is one that {} has believed. Give the backup of this one, or \
         name a folder of its own by --dir",
        dir.display()
    )))
}

/// A copy that is looked at before it takes the place of what is there; gone when this is dropped.
#[derive(Debug)]
struct Beside(PathBuf);

impl Beside {
    fn begin(path: PathBuf) -> Self {
        let being = Self(path);
        being.remove();
        being
    }

    fn remove(&self) {
        let _ = std::fs::remove_dir_all(&self.0);
        for suffix in SUFFIXES {
            let _ = std::fs::remove_file(with_suffix(&self.0, suffix));
        }
    }

    /// Takes the place of the database in `dir`, which is kept.
    fn take_place(self, dir: &Path, unix: i64) -> Result<(), Error> {
        let file = dir.join(DATABASE);
        // On the disk before it takes the other's place, and its place before anybody is told.
        let durable = |path: &Path| File::open(path).and_then(|open| open.sync_all());
        durable(&self.0).map_err(|error| Error::file(&self.0, error))?;
        let before = dir.join(format!("{DATABASE}.before-{unix}"));
        for suffix in SUFFIXES {
            match std::fs::rename(with_suffix(&file, suffix), with_suffix(&before, suffix)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::file(&file, error)),
                _ => {}
            }
        }
        std::fs::rename(&self.0, &file).and_then(|()| durable(dir)).map_err(|error| Error::file(&file, error))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A database, and what SQLite keeps beside it.
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Copies the files of a folder, if it is there, each as a whole; those that are the same stay.
fn copy_files(from: &Path, to: &Path) -> Result<(), Error> {
    if !from.exists() {
        return Ok(());
    }
    let failed = |error: medlock_node::Error| Error::Conflict(error.to_string());
    files::private_directory(to).map_err(failed)?;
    let entries = std::fs::read_dir(from).map_err(|error| Error::file(from, error))?;
    for entry in entries {
        let path = entry.map_err(|error| Error::file(from, error))?.path();
        let (Some(name), true) = (path.file_name(), path.is_file()) else { continue };
        let (bytes, target) = (files::read(&path).map_err(failed)?, to.join(name));
        let there = if target.exists() { files::read(&target).map_err(failed)? } else { None };
        if let Some(bytes) = bytes.filter(|bytes| there.as_ref() != Some(bytes)) {
            files::replace(&target, &bytes).map_err(failed)?;
        }
    }
    Ok(())
}

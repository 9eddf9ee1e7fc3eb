//! Which hubs work on a store that several share: each says so as long as it has the store open. Nobody brings a backup back,
//! or begins the log anew, under one that works.

use crate::Error;
use crate::authority::Held;
use crate::store::{Journal as _, Log as _, SqlStore, Store};
use medlock_node::{files, provider};
use medlock_trust::DeviceName;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// So long a hub that died counts as working, in seconds.
pub(crate) const LAPSES: u32 = 15;
/// The file with what makes this hub another than one of the same name.
const HOLDER: &str = "holder";
/// How often a hub says that it works.
const EVERY: Duration = Duration::from_secs(3);
/// For so many seconds who brings a store back has hubs wait that start.
const ALONE_SECONDS: u32 = 30;

/// A hub that works on a shared store, until this is dropped.
#[derive(Debug)]
pub(crate) struct Present {
    hub: String,
    /// Another hub has this one's name.
    displaced: Arc<AtomicBool>,
    /// Dropped, it ends the thread.
    ending: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Present {
    /// Says that this hub works on the store. One of a single process is not told.
    ///
    /// # Errors
    /// [`Error::Conflict`] when another hub of this name works on it.
    pub(crate) fn announce(store: Arc<dyn Store>, hub: &DeviceName, dir: &Path) -> Result<Self, Error> {
        let (hub, displaced) = (hub.to_string(), Arc::new(AtomicBool::new(false)));
        if !store.is_shared() {
            return Ok(Self { hub, displaced, ending: None, thread: None });
        }
        let what = format!("{}{hub}", SqlStore::HUB);
        // A hub that died and was started again goes on with what it held.
        let holder = holder(dir)?;
        if !store.hold(&what, holder, LAPSES)? {
            return Err(Error::Conflict(format!(
                "another hub called {hub:?} works on this store: give each a name of its own (hub_name in its configuration). If it \
                 is this hub, which was killed and has another folder or machine now, start it again in {LAPSES} seconds"
            )));
        }
        let (ending, ended) = channel();
        let by_another = displaced.clone();
        let thread = std::thread::Builder::new().name("authority-present".to_owned()).spawn(move || {
            while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                match store.hold(&what, holder, LAPSES) {
                    Ok(ours) => by_another.store(!ours, Ordering::Relaxed),
                    Err(error) => {
                        tracing::debug!(%error, "the store was not told that this hub works on it; it is told again");
                    }
                }
            }
            // What is not given back lapses.
            let _ = store.let_go(&what, holder);
        });
        let thread = thread.map_err(|error| Error::Conflict(format!("a thread cannot be started: {error}")))?;
        Ok(Self { hub, displaced, ending: Some(ending), thread: Some(thread) })
    }

    /// Refuses where another hub has taken this one's name meanwhile, because the store did not hear from this one for a while:
    /// two of one name would withdraw each other's credential.
    ///
    /// # Errors
    /// [`Error::Conflict`].
    pub(crate) fn check(&self) -> Result<(), Error> {
        if !self.displaced.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(Error::Conflict(format!(
            "another hub called {:?} works on this store since this one could not reach it for a while: this one issues and \
             publishes nothing; stop one of them",
            self.hub
        )))
    }
}

/// Who this hub is, in this folder on this machine: a copy of the folder elsewhere is another.
fn holder(dir: &Path) -> Result<[u8; 16], Error> {
    let file = dir.join(HOLDER);
    let failed = |error: medlock_node::Error| Error::Conflict(error.to_string());
    let drawn = match files::read(&file).map_err(failed)? {
        Some(drawn) => drawn,
        None => {
            let drawn = provider::random::<16>().to_vec();
            files::replace(&file, &drawn).map_err(failed)?;
            drawn
        }
    };
    let place = dir.canonicalize().map_err(|error| Error::file(dir, error))?;
    // Not every system has one.
    let machine = std::fs::read("/etc/machine-id").unwrap_or_default();
    let mut holder = [0; 16];
    holder.copy_from_slice(&provider::sha256(&[&drawn, place.as_os_str().as_bytes(), &machine].concat())[..16]);
    Ok(holder)
}

impl Drop for Present {
    fn drop(&mut self) {
        drop(self.ending.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Looks that no hub works on a store, and has those wait that start, as long as what this gives is held.
///
/// # Errors
/// [`Error::Conflict`] when one does.
pub(crate) fn alone(store: &Arc<SqlStore>) -> Result<Held, Error> {
    let starting = Held::wait(store.clone(), Held::STARTING, ALONE_SECONDS)?;
    let mut working = store.hubs_at_work()?.join(", ");
    // For no time: this looks whether another has it.
    if working.is_empty() && store.take_lease(provider::random(), 0)?.is_none() {
        "a hub".clone_into(&mut working);
    }
    if working.is_empty() {
        return Ok(starting);
    }
    Err(Error::Conflict(format!(
        "another hub works on this store ({working}), and nothing is changed under it: stop all of them first (one that was \
         killed counts for {LAPSES} seconds). To try a backup out, bring its dump back into another database, and name that \
         with --store"
    )))
}

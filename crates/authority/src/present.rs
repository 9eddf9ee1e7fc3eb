//! Which hubs work on a store that several share: each says so as long as it has the store open. Nobody brings a backup back,
//! or begins the log anew, under one that works.

use crate::Error;
use crate::authority::Held;
use crate::store::{Journal as _, Log as _, SqlStore, Store};
use medlock_node::provider;
use medlock_trust::DeviceName;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// So long a hub that died counts as working, in seconds.
const LAPSES: u32 = 15;
/// How often a hub says that it works.
const EVERY: Duration = Duration::from_secs(3);
/// For so many seconds who brings a store back has hubs wait that start.
const ALONE_SECONDS: u32 = 30;

/// A hub that works on a shared store, until this is dropped.
#[derive(Debug)]
pub(crate) struct Present {
    /// Dropped, it ends the thread.
    ending: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Present {
    /// Says that this hub works on the store. One of a single process is not told.
    pub(crate) fn announce(store: Arc<dyn Store>, hub: &DeviceName) -> Result<Self, Error> {
        if !store.is_shared() {
            return Ok(Self { ending: None, thread: None });
        }
        let what = format!("{}{hub}", SqlStore::HUB);
        // Of the name: a hub that died and was started again goes on with what it held.
        let mut holder = [0; 16];
        holder.copy_from_slice(&provider::sha256(what.as_bytes())[..16]);
        store.hold(&what, holder, LAPSES)?;
        let (ending, ended) = channel();
        let thread = std::thread::Builder::new().name("authority-present".to_owned()).spawn(move || {
            while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                if let Err(error) = store.hold(&what, holder, LAPSES) {
                    tracing::debug!(%error, "the store was not told that this hub works on it; it is told again");
                }
            }
            // What is not given back lapses.
            let _ = store.let_go(&what, holder);
        });
        let thread = thread.map_err(|error| Error::Conflict(format!("a thread cannot be started: {error}")))?;
        Ok(Self { ending: Some(ending), thread: Some(thread) })
    }
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

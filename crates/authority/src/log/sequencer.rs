//! The sequencer: gives records their places in the log, signs its checkpoints, and tells who waits.
//!
//! One thread. While it writes and signs, new records gather, and the next round takes them all: the busier the authority,
//! the larger its rounds. No round is held open for more to come: it begins at once, or when the one before it ends, and for
//! another hub's records within [`LOOK`].

use super::tiles::{Kept, Stored};
use crate::Error;
use crate::signer::{CHECKPOINTS, KeyLabel, Kind, Signer, SignerError, behind};
use crate::store::{LogEntry, LogTile, Serial, SignedCheckpoint, Store, StoreError};
use medlock_node::files;
use medlock_node::log::note::KeyKind;
use medlock_node::log::{Checkpoint, Edge, Tile, VerifierKey};
use medlock_node::provider::{self, AwsLc, SigningAlgorithm};
use medlock_trust::log::Hash;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The most entries of one round: bounds its memory (some megabytes) and what one failing write makes wait.
const ROUND: u32 = 4_096;
/// How long the lease of a sequencer lasts without being taken again, in seconds: so long a hub that died holds others up.
const LEASE_SECONDS: u32 = 3;
/// How often another hub's records are looked for, which wait for their round no longer.
const LOOK: Duration = Duration::from_millis(200);
/// How often where there is no other hub.
const IDLE: Duration = Duration::from_secs(1);
/// How often somebody waits for another hub's sequencer looks whether it has come.
const POLL: Duration = Duration::from_millis(20);
/// How long after a failure the next round begins.
const AFTER_FAILURE: Duration = Duration::from_millis(200);
/// After so many failures in a row, those who wait are told: they may ask again, and somebody should look.
const FAILURES: u32 = 3;
/// How long who asked for a certificate waits for the log: as long as for the signer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The file in a hub's folder with the newest checkpoint that it has seen.
const SEEN: &str = "log.seen";
/// The setting with the log's name.
pub(crate) const ORIGIN: &str = "log-origin";

/// Gives places in an authority's log, as long as it lives.
pub struct Sequencer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    store: Arc<dyn Store>,
    signer: Arc<dyn Signer>,
    /// The log's key; its name is the log's origin.
    key: VerifierKey,
    /// Who this is, among those who could hold the lease.
    holder: [u8; 16],
    state: Mutex<State>,
    changed: Condvar,
    kept: Kept,
    seen: Mutex<Seen>,
}

/// The newest checkpoint that was seen in the store: whatever is there later continues it.
#[derive(Default)]
struct Seen {
    newest: Option<Checkpoint>,
    /// Where it is kept, for a hub that is started again.
    file: Option<PathBuf>,
}

impl Seen {
    /// What was seen of the log `origin` by the hub in this folder.
    fn within(folder: &Path, origin: &str) -> Result<Self, Error> {
        let file = folder.join(SEEN);
        let bytes = files::read(&file).map_err(|error| Error::Conflict(error.to_string()))?;
        let newest = bytes.as_deref().and_then(|bytes| Checkpoint::read(std::str::from_utf8(bytes).ok()?).ok());
        if bytes.is_some() && newest.is_none() {
            tracing::warn!(file = %file.display(), "it cannot be read, and is begun anew: how far the log was seen is not known");
        }
        // A log that was begun anew has another name.
        Ok(Self { newest: newest.filter(|newest| newest.origin == origin), file: Some(file) })
    }

    fn note(&mut self, found: Option<Checkpoint>) {
        if self.newest != found
            && let (Some(file), Some(found)) = (&self.file, &found)
            && let Err(error) = files::replace_lazily(file, found.to_string().as_bytes())
        {
            tracing::warn!(%error, "how far the log was seen is not kept over a restart");
        }
        self.newest = found;
    }
}

/// A record that has its place, or why it has none.
type Placed = (Serial, Result<(), String>);

#[derive(Default)]
struct State {
    /// Something was recorded since the last round began.
    asked: bool,
    ending: bool,
    /// Who waits for the place of a record.
    expected: HashMap<Serial, SyncSender<Placed>>,
    /// Rounds that failed since one succeeded.
    failures: u32,
    /// It was found that the store's log has another name by now, or is not the one that was there.
    left_behind: bool,
}

/// The tree, as this sequencer holds it during one term of its lease.
struct Tree {
    term: u64,
    edge: Edge,
    taken: Instant,
}

impl Sequencer {
    /// Opens the log, making its key at the first time, and begins to give places. `origin` is the name of a new log: one
    /// that no other log has; without one it is made of the log's key. It stays for good.
    ///
    /// # Errors
    /// [`Error`]: store or signer failed, or `origin` cannot be the name of a log.
    pub fn open(store: Arc<dyn Store>, signer: Arc<dyn Signer>, origin: Option<&str>) -> Result<Self, Error> {
        Self::open_in(None, store, signer, origin)
    }

    /// The same, for a hub that keeps in its folder how far it has seen a log that several give places in.
    ///
    /// # Errors
    /// As [`Sequencer::open`]; [`Error::NotHere`] where the store's log does not go on from what was seen.
    pub(crate) fn open_in(
        folder: Option<&Path>,
        store: Arc<dyn Store>,
        signer: Arc<dyn Signer>,
        origin: Option<&str>,
    ) -> Result<Self, Error> {
        let origin_held = store.setting(ORIGIN)?;
        if origin_held.is_some() && signer.public_key(KeyLabel::LOG)?.is_none() {
            return Err(Error::Signer(SignerError::KeyFile(
                "the store has an authority whose keys are not here: bring the folder of its keys from another hub or a \
                 backup, or name the token that has them"
                    .to_owned(),
            )));
        }
        let spki = signer.generate(KeyLabel::LOG, SigningAlgorithm::Ed25519)?;
        let Some(key) = spki.last_chunk::<32>() else {
            return Err(Error::Object { what: "log's key", why: "it is not an Ed25519 key".to_owned() });
        };
        let name = match origin_held {
            Some(found) => found,
            None => {
                let hash = data_encoding::HEXLOWER.encode(&provider::sha256(&spki)[..16]);
                let name = origin.map_or_else(|| format!("medlock-log-{hash}"), str::to_owned);
                store.set_once(ORIGIN, &name)?;
                name
            }
        };
        let key = VerifierKey::new(&name, KeyKind::Ed25519, key).ok_or_else(|| {
            Error::invalid("log_origin", format!("{name:?} cannot name a log: no spaces, no +, 1 to 255"))
        })?;
        let size = store.log_size()?;
        match signer.signed_checkpoint(&name)? {
            Some(signed) if size < signed.head.size => return Err(Error::NotHere(behind(&signed, size))),
            Some(_) => {}
            None if size > 0 => tracing::warn!(
                size,
                "nothing beside the keys tells how long the log was ({CHECKPOINTS} is new or gone): until it is signed again, a store from \
                 before would not be noticed"
            ),
            None => {}
        }
        let folder = folder.filter(|_| store.is_shared());
        let seen = folder.map(|folder| Seen::within(folder, key.name())).transpose()?.unwrap_or_default();
        let state = Mutex::new(State { asked: true, ..State::default() });
        let shared = Arc::new(Shared {
            store,
            signer,
            key,
            holder: provider::random(),
            state,
            changed: Condvar::default(),
            kept: Kept::default(),
            seen: Mutex::new(seen),
        });
        if let Some(why) = shared.gone_back()? {
            return Err(Error::NotHere(why));
        }
        let thread = std::thread::Builder::new().name("authority-log".to_owned()).spawn({
            let shared = shared.clone();
            move || shared.run()
        });
        let thread = thread.map_err(|error| Error::Conflict(format!("the log's thread cannot be started: {error}")))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The key that signs the log's checkpoints; its name is the log's origin.
    #[must_use]
    pub fn key(&self) -> &VerifierKey {
        &self.shared.key
    }

    pub(super) fn store(&self) -> &dyn Store {
        &*self.shared.store
    }

    pub(super) fn tiles(&self) -> Stored<'_> {
        self.shared.tiles()
    }

    /// Why this sequencer does nothing, if the log was begun anew under it, or went back.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) fn left_behind(&self) -> Result<Option<String>, Error> {
        self.shared.left_behind()
    }

    /// To be called before records are written: so their places cannot be missed.
    pub(crate) fn expect(&self, serials: Vec<Serial>) -> Expected<'_> {
        let (sender, places) = sync_channel(serials.len());
        let mut state = self.shared.state();
        for serial in &serials {
            state.expected.insert(*serial, sender.clone());
        }
        drop(state);
        Expected { shared: &self.shared, serials, places }
    }

    /// Waits until a signed checkpoint covers a record that was written before.
    ///
    /// # Errors
    /// [`Error::Log`] when that takes too long.
    pub(crate) fn await_covered(&self, serial: Serial) -> Result<(), Error> {
        let expected = self.expect(vec![serial]);
        if self.shared.is_covered(serial)? {
            return Ok(());
        }
        expected.recorded();
        expected.wait_for(serial)
    }
}

impl Drop for Sequencer {
    fn drop(&mut self) {
        self.shared.state().ending = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A sequencer that panicked has lost nothing: the next one goes on from the store.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Sequencer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sequencer({})", self.shared.key.name())
    }
}

/// Records that are to get their places.
pub(crate) struct Expected<'s> {
    shared: &'s Shared,
    serials: Vec<Serial>,
    places: Receiver<Placed>,
}

impl Expected<'_> {
    /// The records are written: the sequencer may begin.
    pub(crate) fn recorded(&self) {
        self.shared.state().asked = true;
        self.shared.changed.notify_all();
    }

    /// Waits until a signed checkpoint covers these of the records, and tells of each whether one does: [`Error::Log`] when it
    /// takes too long.
    pub(crate) fn wait(&self, those: &[Serial]) -> Vec<Result<(), Error>> {
        let until = Instant::now() + PATIENCE;
        let (mut missing, mut told) = (those.iter().collect::<HashSet<_>>(), HashMap::new());
        while !missing.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            let Ok((serial, outcome)) = self.places.recv_timeout(left) else { break };
            missing.remove(&serial);
            told.insert(serial, outcome);
        }
        let late = || Err(format!("it took more than {} seconds", PATIENCE.as_secs()));
        those.iter().map(|serial| told.remove(serial).unwrap_or_else(late).map_err(Error::Log)).collect()
    }

    /// As [`Expected::wait`], for one of the records.
    ///
    /// # Errors
    /// [`Error::Log`].
    pub(crate) fn wait_for(&self, serial: Serial) -> Result<(), Error> {
        self.wait(&[serial]).into_iter().collect()
    }
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        for serial in &self.serials {
            state.expected.remove(serial);
        }
    }
}

impl Shared {
    fn tiles(&self) -> Stored<'_> {
        Stored { store: &*self.store, kept: &self.kept }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut tree = None;
        let mut pause = Duration::ZERO;
        while self.rest(pause) {
            pause = match self.round(&mut tree) {
                Ok(held) => {
                    let mut state = self.state();
                    (state.failures, state.left_behind) = (0, false);
                    drop(state);
                    match (held, self.store.is_shared()) {
                        (false, _) => POLL,
                        (true, true) => LOOK,
                        (true, false) => IDLE,
                    }
                }
                Err(error) => {
                    tree = None;
                    self.after_failure(&error)
                }
            };
        }
    }

    /// Says what failed. Returns how long the next round waits.
    fn after_failure(&self, error: &Error) -> Duration {
        if let Ok(Some(why)) = self.left_behind() {
            self.give_up_for_good(&why);
            return IDLE;
        }
        tracing::warn!(%error, "the log could not be written; it is tried again");
        self.give_up_if_often(error);
        AFTER_FAILURE
    }

    /// After some failures in a row, tells those who wait.
    fn give_up_if_often(&self, error: &Error) {
        let mut state = self.state();
        state.failures += 1;
        // Whoever asked meanwhile is served after the pause.
        state.asked = false;
        if state.failures >= FAILURES {
            for (serial, waits) in state.expected.drain() {
                let _ = waits.send((serial, Err(error.to_string())));
            }
        }
    }

    /// Tells those who wait that it is of no use, and whoever reads the log once.
    fn give_up_for_good(&self, why: &str) {
        let mut state = self.state();
        state.failures = 0;
        if !std::mem::replace(&mut state.left_behind, true) {
            tracing::error!("{why}");
        }
        for (serial, waits) in state.expected.drain() {
            let _ = waits.send((serial, Err(why.to_owned())));
        }
    }

    fn left_behind(&self) -> Result<Option<String>, Error> {
        let now = self.store.setting(ORIGIN)?.unwrap_or_default();
        if now != self.key.name() {
            let name = self.key.name();
            return Ok(Some(format!("the log {name} was begun anew as {now:?} while this hub ran: restart this hub")));
        }
        self.gone_back()
    }

    /// Why the log in the store is not the one that was seen there: a backup was brought back while this hub ran, or a server took
    /// over that has not got everything. When that one is there again, all is well.
    fn gone_back(&self) -> Result<Option<String>, Error> {
        // Before the store is read: who reads later, has seen as much.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.store.checkpoint()?;
        let found = found.map(|found| Checkpoint::verify(&found.note, &self.key, &[]).map(|read| read.checkpoint));
        let found = found.transpose().map_err(|error| damaged(format!("its checkpoint cannot be used: {error}")))?;
        if let Some(before) = seen.newest.as_ref().filter(|before| found.as_ref() != Some(before)) {
            let size = found.as_ref().map_or(0, |found| found.head.size);
            // Not from what is kept in memory, which may be of the store before.
            let tiles = Stored { store: &*self.store, kept: &Kept::default() };
            if let Some(why) = lacks(before, size, &tiles)? {
                return Ok(Some(why));
            }
        }
        seen.note(found);
        Ok(None)
    }

    fn check_not_left_behind(&self) -> Result<(), Error> {
        self.left_behind()?.map_or(Ok(()), |why| Err(Error::Conflict(why)))
    }

    /// Waits until somebody asks, or for the pause; `false` when it is to end.
    fn rest(&self, pause: Duration) -> bool {
        let mut state = self.state();
        let until = Instant::now() + pause;
        // After a failure the pause is taken in any case: a signer that starts again has its time.
        while (!state.asked || state.failures > 0) && !state.ending {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.asked = false;
        !state.ending
    }

    /// Gives places to all that waits, if this is the sequencer. Returns whether there is nothing left to look for.
    fn round(&self, held: &mut Option<Tree>) -> Result<bool, Error> {
        if held.is_some() && self.store.waiting_entries(1)?.is_empty() {
            if self.store.is_shared() {
                self.check_not_left_behind()?;
            }
            return self.tell_covered();
        }
        let fresh = held.is_none();
        let Some(tree) = self.lease(held)? else { return self.tell_covered() };
        let entries = self.store.waiting_entries(ROUND)?;
        let size = tree.edge.size();
        let mut tiles = Vec::new();
        for LogEntry { tbs, .. } in &entries {
            let hash = Hash::of_entry(&[tbs.as_slice()], &AwsLc);
            tree.edge.append(hash, &mut |tile, hashes| tiles.push(log_tile(tile, hashes)));
        }
        if !entries.is_empty() {
            tiles.extend(tree.edge.partial().map(|(tile, hashes)| log_tile(tile, hashes)));
            let serials = entries.iter().map(|entry| entry.serial).collect();
            self.store.append_entries(tree.term, size, serials, tiles)?;
        }
        let signed = self.store.checkpoint()?.map(|checkpoint| checkpoint.size);
        if signed != Some(tree.edge.size()) && tree.edge.size() > 0 {
            let checkpoint = self.sign(&tree.edge)?;
            self.store.keep_checkpoint(tree.term, checkpoint)?;
        }
        let mut state = self.state();
        for entry in &entries {
            if let Some(waits) = state.expected.remove(&entry.serial) {
                // It may have lost its patience meanwhile.
                let _ = waits.send((entry.serial, Ok(())));
            }
        }
        state.asked |= entries.len() == ROUND as usize;
        drop(state);
        // Else all that was covered has just been told.
        if fresh { self.tell_covered() } else { Ok(true) }
    }

    /// The lease and the tree: those held, as long as the lease lasts; else taken anew, and the tree read from the store.
    fn lease<'t>(&self, held: &'t mut Option<Tree>) -> Result<Option<&'t mut Tree>, Error> {
        let third = Duration::from_secs(u64::from(LEASE_SECONDS)) / 3;
        if held.as_ref().is_none_or(|tree| tree.taken.elapsed() > third) {
            // First: who is left behind does not keep the lease from those who are not.
            self.check_not_left_behind()?;
            let taken = Instant::now();
            let Some(term) = self.store.take_lease(self.holder, LEASE_SECONDS)? else {
                *held = None;
                return Ok(None);
            };
            match held {
                Some(tree) if tree.term == term => tree.taken = taken,
                _ => *held = Some(Tree { term, edge: self.read_tree()?, taken }),
            }
        }
        Ok(held.as_mut())
    }

    /// Reads the tree from the store, and checks that it continues what was signed.
    fn read_tree(&self) -> Result<Edge, Error> {
        let store = &*self.store;
        self.check_not_left_behind()?;
        let edge = Edge::open(store.log_size()?, &self.tiles())?;
        if let Some(signed) = store.checkpoint()? {
            let checkpoint = Checkpoint::verify(&signed.note, &self.key, &[]);
            let checkpoint = checkpoint.map_err(|error| damaged(format!("its checkpoint cannot be used: {error}")))?;
            let head = Edge::open(signed.size, &self.tiles())?.head();
            if checkpoint.checkpoint.head != head {
                return Err(damaged(format!("its first {} entries are not those that were signed", signed.size)));
            }
        }
        // A server that took over may lack what the one before it had: then nothing is added, or others would get places
        // that were given already.
        let signed = self.signer.signed_checkpoint(self.key.name())?;
        match signed.map(|signed| lacks(&signed, edge.size(), &self.tiles())).transpose()?.flatten() {
            Some(why) => Err(Error::Conflict(why)),
            None => Ok(edge),
        }
    }

    fn sign(&self, edge: &Edge) -> Result<SignedCheckpoint, Error> {
        let text = Checkpoint { origin: self.key.name().to_owned(), head: edge.head() }.to_string();
        let signature = self.signer.sign(KeyLabel::LOG, Kind::Checkpoint, text.as_bytes())?;
        let note = format!("{text}\n{}\n", self.key.line(signature)).into_bytes();
        // As everybody will check it: a wrong signature must not be published.
        let read = Checkpoint::verify(&note, &self.key, &[]);
        read.map_err(|error| Error::Lint(format!("the signer's checkpoint is not good: {error}")))?;
        Ok(SignedCheckpoint { size: edge.size(), note })
    }

    fn is_covered(&self, serial: Serial) -> Result<bool, StoreError> {
        let (place, signed) = (self.store.place_of(serial)?, self.store.checkpoint()?);
        Ok(place.zip(signed).is_some_and(|(place, signed)| place < signed.size))
    }

    /// Tells those who wait for a record that is covered already: by an earlier round, or by another hub's sequencer.
    /// Returns whether nobody is left.
    fn tell_covered(&self) -> Result<bool, Error> {
        let waiting: Vec<Serial> = self.state().expected.keys().copied().collect();
        if waiting.is_empty() {
            return Ok(true);
        }
        let Some(signed) = self.store.checkpoint()? else { return Ok(false) };
        for serial in waiting {
            if self.store.place_of(serial)?.is_some_and(|place| place < signed.size)
                && let Some(waits) = self.state().expected.remove(&serial)
            {
                let _ = waits.send((serial, Ok(())));
            }
        }
        Ok(self.state().expected.is_empty())
    }
}

/// Why the log of so many entries in these tiles does not go on from a checkpoint, if it does not.
fn lacks(before: &Checkpoint, size: u64, tiles: &Stored<'_>) -> Result<Option<String>, Error> {
    let goes_on = size >= before.head.size && Edge::open(before.head.size, tiles)?.head().root == before.head.root;
    Ok((!goes_on).then(|| behind(before, size)))
}

fn log_tile(tile: Tile, hashes: &[Hash]) -> LogTile {
    LogTile { tile, hashes: hashes.iter().flat_map(Hash::as_bytes).copied().collect() }
}

fn damaged(what: String) -> Error {
    Error::Object {
        what: "log",
        why: format!("{what}. Stop the hub, keep its folder for inspection, and restore a backup"),
    }
}

//! Room on the disk that is kept for the worst day: on a full disk no credential is issued, and a theft is recorded all the same.

use crate::authority::held;
use crate::{Authority, Error};
use medlock_node::files;
use std::path::Path;
use std::time::{Duration, Instant};

/// The file in the authority's directory that takes the room.
const RESERVE: &str = "reserve";
/// So many bytes: a full status list twice, in the store and beside it, and what goes with it.
const LENGTH: u64 = 8 << 20;
/// The store is asked to write no more often than this to find out whether it can; who asks in between hears the same.
const EVERY: Duration = Duration::from_secs(5);
/// The series of numbers of which one is taken to see that the store writes.
const SERIES: &str = "health";

/// So long whoever needs the room has it, before it is kept again.
const LENT: Duration = Duration::from_secs(60);

/// What is known of the room on the disk.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// What came of the last try to write.
    tried: Option<(Instant, Result<(), String>)>,
    /// When the reserve was let go.
    lent: Option<Instant>,
}

/// Makes the reserve if it is not there.
///
/// # Errors
/// [`Error::Conflict`] when the disk has no such room left.
pub(crate) fn keep(dir: &Path) -> Result<(), Error> {
    let file = dir.join(RESERVE);
    if file.exists() {
        return Ok(());
    }
    files::reserve(&file, LENGTH).map_err(|error| {
        let mib = LENGTH >> 20;
        Error::Conflict(format!("the disk has no {mib} MiB left to record a theft: make room ({error})"))
    })
}

/// Gives the room back, if there is any.
pub(crate) fn let_go(dir: &Path) -> bool {
    let file = dir.join(RESERVE);
    file.exists() && files::remove(&file).is_ok()
}

impl Authority {
    /// Whether the store can write and the reserve is there, tried at most every few seconds.
    ///
    /// # Errors
    /// What is not well.
    pub(crate) fn writes(&self) -> Result<(), Error> {
        if let Some((at, outcome)) = &held(&self.locks.room).tried
            && at.elapsed() < EVERY
        {
            return outcome.clone().map_err(Error::Conflict);
        }
        let written = self.store.next_number(SERIES, 0).map(drop).map_err(Error::from);
        let outcome = written.and_then(|()| self.keep_reserve());
        held(&self.locks.room).tried = Some((Instant::now(), outcome.as_ref().map(drop).map_err(ToString::to_string)));
        outcome
    }

    /// Makes the reserve again when it was let go and there is room.
    ///
    /// # Errors
    /// [`Error::Conflict`] as long as there is none.
    pub(crate) fn keep_reserve(&self) -> Result<(), Error> {
        let mut room = held(&self.locks.room);
        // Where there is as much again, it is kept at once: whoever needed it still has room.
        let has_room = || files::free(&self.settings.dir).is_ok_and(|free| free >= 2 * LENGTH);
        if room.lent.is_some_and(|lent| lent.elapsed() < LENT) && !has_room() {
            let why = "the disk is full, and the room that is kept to record a theft was used: make room";
            return Err(Error::Conflict(why.to_owned()));
        }
        room.lent = None;
        keep(&self.settings.dir)
    }

    /// Does what keeps others from harm; where store or disk fail, once more with the room that is kept for it.
    ///
    /// # Errors
    /// Those of the second try, or of the first where nothing was kept.
    pub(crate) fn protect<T>(&self, act: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
        let outcome = act();
        let error = match &outcome {
            // What was recorded and could not be told needs the room as well.
            Err(Error::NotSigned { why, .. }) => &**why,
            Err(error) => error,
            Ok(_) => return outcome,
        };
        if !matches!(error, Error::Store(_) | Error::File { .. } | Error::Object { .. }) {
            return outcome;
        }
        {
            let mut room = held(&self.locks.room);
            if !let_go(&self.settings.dir) {
                return outcome;
            }
            *room = Room { tried: None, lent: Some(Instant::now()) };
        }
        tracing::error!(%error, "the room on the disk that is kept for this is used: make more room");
        act()
    }
}

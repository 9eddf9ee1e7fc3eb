//! A server that took over without the last that the one before it had got, where the log says nothing: what a maker has sold,
//! released and revoked stands in no log. So a maker's acts are counted in the store, and each of its hubs keeps in its folder how far
//! it has seen that go: a store in which fewer were counted does not know what came since.

use crate::authority::held;
use crate::settings::Kind;
use crate::{Authority, Error, doubt};
use medlock_node::files;
use std::path::Path;

/// The file in a hub's folder with how many acts it has seen.
const SEEN: &str = "store.seen";
/// The acts' numbers in the store.
const ACTS: &str = "acts";

/// How many acts this hub has seen in the store, and what it knew of doubts there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    number: u64,
    /// How often the store's maker was in doubt, and in doubt no more: where that went on meanwhile, people know.
    doubts: u64,
}

impl Counted {
    /// Of the file's text, if it begins so.
    fn read(text: &str, whose: &str) -> Option<Self> {
        let mut words = text.strip_prefix(whose)?.split_whitespace().map(str::parse);
        Some(Self { number: words.next()?.ok()?, doubts: words.next()?.ok()? })
    }
}

/// Forgets how many acts the hub in this folder has seen.
///
/// # Errors
/// [`Error::File`].
pub(crate) fn forget(dir: &Path) -> Result<(), Error> {
    let file = dir.join(SEEN);
    match std::fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file(&file, error)),
        _ => Ok(()),
    }
}

impl Authority {
    /// Looks how many acts the store has, and keeps that.
    ///
    /// # Errors
    /// [`Error`]; the next call goes on.
    pub(crate) fn follow_acts(&self) -> Result<(), Error> {
        if !self.counts() {
            return Ok(());
        }
        self.look_back()?;
        self.keep_seen(self.store.last_number(ACTS)?)
    }

    /// Counts an act, which is done whatever becomes of this.
    pub(crate) fn count_act(&self) {
        if !self.counts() {
            return;
        }
        let counted = self.look_back().and_then(|()| self.keep_seen(self.store.next_number(ACTS, 0)?));
        if let Err(error) = counted {
            tracing::warn!(%error, "it was not counted in the store that something was done there");
        }
    }

    fn keep_seen(&self, number: u64) -> Result<(), Error> {
        let doubts = doubt::version(&*self.store)?;
        let mut counted = held(&self.locks.counted);
        let before = counted.unwrap_or_default();
        // Another thread may have counted on meanwhile.
        let now = Counted { number: number.max(before.number), doubts };
        if now == before {
            return Ok(());
        }
        *counted = Some(now);
        let text = format!("{}{} {}\n", self.whose(), now.number, now.doubts);
        if let Err(error) = files::replace_lazily(&self.settings.dir.join(SEEN), text.as_bytes()) {
            tracing::warn!(%error, "how far the store was seen is not kept over a restart");
        }
        Ok(())
    }

    /// Looks whether the store still has all that this hub has seen of it. If not, the maker is in doubt.
    ///
    /// # Errors
    /// [`Error`]: then nobody knows.
    pub(crate) fn look_back(&self) -> Result<(), Error> {
        if !self.counts() {
            return Ok(());
        }
        // Before the store is read: whoever counts meanwhile only counts on there.
        let before = self.counted()?;
        let number = self.store.last_number(ACTS)?;
        if number >= before.number {
            return Ok(());
        }
        let doubts = doubt::version(&*self.store)?;
        // Who noticed it first has told people, and maybe they have done since what is to be done.
        let doubts = if doubts > before.doubts { doubts } else { doubt::begin_again(self)? };
        *held(&self.locks.counted) = Some(Counted { number, doubts });
        Ok(())
    }

    fn counted(&self) -> Result<Counted, Error> {
        let mut counted = held(&self.locks.counted);
        if let Some(counted) = *counted {
            return Ok(counted);
        }
        let bytes = files::read(&self.settings.dir.join(SEEN)).map_err(|error| Error::Conflict(error.to_string()))?;
        let text = bytes.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok());
        let kept = text.and_then(|text| Counted::read(text, &self.whose()));
        Ok(*counted.insert(kept.unwrap_or_default()))
    }

    /// A store of one process lies in the hub's folder and goes back with it.
    fn counts(&self) -> bool {
        self.settings.kind == Kind::Maker && self.store.is_shared()
    }

    /// What the file begins with: a log that was begun anew was brought back by people.
    fn whose(&self) -> String {
        format!("{} ", self.log().key().name())
    }
}

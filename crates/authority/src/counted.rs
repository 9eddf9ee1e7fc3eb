//! A server that took over without the last that the one before it had got, where the log says nothing: what a maker has sold,
//! released and revoked stands in no log. So each hub of a maker counts on in the store, every second and behind whatever it did
//! there, and keeps in its folder how far it has counted: a store in which it has counted less does not know what came since.

use crate::authority::held;
use crate::settings::Kind;
use crate::{Authority, Error, doubt};
use medlock_node::files;

/// The file in a hub's folder with how far it has counted.
const SEEN: &str = "store.seen";

/// How far this hub has counted in the store, and what it knew of doubts there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    number: u64,
    /// How often the store's maker was in doubt, and in doubt no more: where that went on meanwhile, people know.
    doubts: u64,
}

impl Counted {
    /// Of the file's text, if it is of this hub and this log: one that was begun anew was brought back by people.
    fn read(text: &str, whose: &str) -> Option<Self> {
        let mut words = text.strip_prefix(whose)?.split_whitespace().map(str::parse);
        Some(Self { number: words.next()?.ok()?, doubts: words.next()?.ok()? })
    }
}

impl Authority {
    /// Counts on in the store, behind what was done there.
    ///
    /// # Errors
    /// [`Error`]; the next call counts on.
    pub(crate) fn count_on(&self) -> Result<(), Error> {
        if !self.counts() {
            return Ok(());
        }
        self.look_back()?;
        let mut counted = held(&self.locks.counted);
        let now = Counted { number: self.store.next_number(&self.series(), 0)?, doubts: doubt::version(&*self.store)? };
        *counted = Some(now);
        let text = format!("{} {} {}\n", self.whose(), now.number, now.doubts);
        if let Err(error) = files::replace_lazily(&self.settings.dir.join(SEEN), text.as_bytes()) {
            tracing::warn!(%error, "how far the store was seen is not kept over a restart");
        }
        Ok(())
    }

    /// The same behind an act, which is done whatever becomes of this.
    pub(crate) fn count_act(&self) {
        if let Err(error) = self.count_on() {
            tracing::warn!(%error, "it was not counted in the store that something was done there");
        }
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
        let number = self.store.last_number(&self.series())?;
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

    fn series(&self) -> String {
        format!("seen by {}", self.settings.hub_name)
    }

    fn whose(&self) -> String {
        format!("{} {}", self.log().key().name(), self.settings.hub_name)
    }
}

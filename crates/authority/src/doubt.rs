//! A maker that was brought back from a backup and does not know what was sold, released, passed on and revoked since. Nothing
//! that others keep tells it, so it does not guess: it gives no voucher and says of no device that it is in good standing before
//! a person has entered what is missing, and said so (docs/decisions/0031-what-a-restored-hub-may-say.md).

use crate::admin::Response;
use crate::settings::Kind;
use crate::store::{Alarm, Journal as _, Published, SqlStore, Store, StoreError};
use crate::{Authority, Error};
use medlock_trust::Time;

/// Whether the maker is in doubt: one byte, [`IN_DOUBT`] or another.
const DOUBT: &str = "restored-maker";
const IN_DOUBT: u8 = 1;

/// Notes that a maker was brought back, and tells people what it wants of them.
pub(crate) fn begin(store: &SqlStore, now: Time) -> Result<(), Error> {
    set(store, IN_DOUBT, now)?;
    let text = "this maker was brought back from a backup: it gives no vouchers and signs no revocation lists of devices before \
                somebody has entered again what was sold, released, passed on and revoked since, and said so: `medlock authority \
                confirm-restore`";
    let (kind, text) = ("maker-restored".to_owned(), text.to_owned());
    let (device, subject) = (None, String::new());
    store.raise(Alarm { id: 0, at: now, last: now, count: 1, kind, device, subject, text, acknowledged: false })?;
    Ok(())
}

/// The same of a store that went back under its hubs. Returns how often it was in doubt, or in doubt no more.
///
/// # Errors
/// [`Error::Store`].
pub(crate) fn begin_again(own: &Authority) -> Result<u64, Error> {
    let text = "the store does not know what this hub has seen there: a backup was brought back under it, or a server took over that has \
                not got everything. Bring the newer store back. If that is gone, enter again what was sold, released, passed on and \
                revoked since, and say so: `medlock authority confirm-restore`. Before that this maker gives no vouchers and signs no \
                revocation lists";
    match set(&*own.store, IN_DOUBT, own.clock.now()) {
        // Another hub has noticed it as well.
        Err(Error::Store(StoreError::Taken { .. })) => {}
        other => other?,
    }
    own.alarm_about("maker-restored", None, own.settings.hub_name.to_string(), text.to_owned())?;
    version(&*own.store)
}

/// How often a maker was in doubt, or in doubt no more.
pub(crate) fn version(store: &dyn Store) -> Result<u64, Error> {
    Ok(store.published(DOUBT)?.map_or(0, |held| held.version))
}

/// Whether this is a store of a maker.
pub(crate) fn is_of_maker(store: &SqlStore) -> Result<bool, Error> {
    Ok(store.setting("kind")?.as_deref() == Some(Kind::Maker.name()))
}

fn set(store: &dyn Store, doubt: u8, at: Time) -> Result<(), Error> {
    let before = store.published(DOUBT)?.map(|held| held.version);
    let object = Published { version: before.unwrap_or(0).saturating_add(1), at, bytes: vec![doubt] };
    Ok(store.publish_after(DOUBT, object, before)?)
}

impl Authority {
    /// Whether it is a maker that does not know what was sold and revoked since.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) fn is_in_doubt(&self) -> Result<bool, Error> {
        Ok(self.store_went_back()?.is_some() || self.was_brought_back()?)
    }

    /// Why the store went back under a maker, if it did: when the newer one is there again, that knows all.
    fn store_went_back(&self) -> Result<Option<String>, Error> {
        if self.settings.kind == Kind::Maker && self.store.is_shared() { self.log().left_behind() } else { Ok(None) }
    }

    fn was_brought_back(&self) -> Result<bool, Error> {
        if self.settings.kind != Kind::Maker {
            return Ok(false);
        }
        self.look_back()?;
        Ok(self.store.published(DOUBT)?.is_some_and(|held| held.bytes == [IN_DOUBT]))
    }

    /// Refuses `what` while the maker is in doubt.
    ///
    /// # Errors
    /// [`Error::Conflict`] with what a person has to do.
    pub(crate) fn not_in_doubt(&self, what: &str) -> Result<(), Error> {
        self.store_went_back()?.map_or(Ok(()), |why| Err(Error::Conflict(why)))?;
        if !self.was_brought_back()? {
            return Ok(());
        }
        Err(Error::Conflict(format!(
            "{} was brought back from a backup, and {what}: enter again what was sold, released, passed on and revoked since, then \
             `medlock authority confirm-restore`",
            self.settings.name
        )))
    }

    /// A person has entered all that the store did not know.
    pub(crate) fn confirm_restore(&self) -> Result<Response, Error> {
        self.store_went_back()?.map_or(Ok(()), |why| Err(Error::Conflict(why)))?;
        if !self.was_brought_back()? {
            return Err(Error::Conflict("there is nothing to confirm".to_owned()));
        }
        set(&*self.store, 0, self.clock.now())?;
        let text = format!("{} gives vouchers and signs revocation lists again", self.settings.name);
        Ok(Response::Done { text })
    }
}

//! A hub whose store was brought back from before a theft, and the nodes that heard of it: they go on with what they were told,
//! and give the hub the status list that told it, which it has signed itself.

use crate::objects::Kind;
use crate::{Authority, Error};
use medlock_node::provider::AwsLc;
use medlock_trust::status::StatusList;

const WHAT: &str = "status list";

impl Authority {
    /// Takes over what a status list tells that this site has signed, if its newest one has forgotten a compromise which that
    /// tells: a compromise is never taken back, so that the store does not know what came behind it. Returns whether that was
    /// anything new; then the alarm `store-was-behind` says so, and another list is given out.
    ///
    /// # Errors
    /// [`Error::Object`] if no key that signs for this site has signed it; [`Error::Store`], [`Error::Signer`].
    pub fn remind(&self, object: &[u8]) -> Result<bool, Error> {
        let refused = |why: String| Error::Object { what: WHAT, why };
        let told = self.with_heard_list(|list| StatusList::verify(object, list, &AwsLc));
        let told = told.ok_or_else(|| refused("there is no site list yet".to_owned()))?;
        let told = told.map_err(|error| refused(error.to_string()))?;
        if self.keys().root_with(told.heading().authority).is_none() {
            return Err(refused("it speaks for another authority".to_owned()));
        }
        let taken = {
            // Of many nodes that say the same, one is heard.
            let _one_at_a_time = self.publishing_lock();
            let newest = self.store.published(Kind::Status.name())?;
            let newest = newest.as_ref().and_then(|held| StatusList::danger_open(&held.bytes).ok());
            if newest.is_some_and(|newest| newest.remembers(&told).is_ok()) {
                return Ok(false);
            }
            self.take_back_standings(&told.records().collect::<Vec<_>>())?
        };
        if taken == 0 {
            return Ok(false);
        }
        let (epoch, issued) = (told.heading().epoch, told.heading().issued);
        self.alarm(
            "store-was-behind",
            None,
            format!(
                "a device has kept the status list {epoch} of {issued}, which the store does not know: it was brought back from \
                 before. It did not know what that list says of {taken} devices, credentials or keys, and goes on with it. Look \
                 at `medlock device list`, and do again what was done since besides revocations"
            ),
        )?;
        self.store.next_epoch(self.behind(self.heard_epoch().max(epoch)))?;
        self.publish_status()?;
        Ok(true)
    }

    /// Takes over what this hub itself was told, where the store that it shares with others was brought back.
    pub(crate) fn take_back_unforgotten(&self) -> Result<(), Error> {
        let unforgotten = self.knowledge().unforgotten();
        for list in &unforgotten {
            self.remind(list)?;
        }
        Ok(())
    }
}

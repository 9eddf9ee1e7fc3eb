//! The authority's transparency log: whoever relies on a credential can see that the authority owns up to it, and whoever
//! watches a name learns what is issued for it.
//!
//! The log has the bytes that are *to be signed*, from before they are signed, so nothing that was ever signed can be
//! missing from it; some entries were given up and never became certificates. A certificate is given out when a signed
//! checkpoint covers its entry. The forms are those of C2SP, in [`medlock_node::log`].

mod anew;
mod cosign;
mod entry;
#[cfg(test)]
mod rounds;
mod sequencer;
mod serve;
mod tiles;

pub(crate) use anew::generation;
pub use cosign::WitnessConfig;
pub(crate) use cosign::{Cosigner, KIND as SHOWN};
pub use entry::Entry;
pub(crate) use sequencer::Expected;
pub(crate) use sequencer::ORIGIN;
pub use sequencer::Sequencer;
pub(crate) use serve::router;

use crate::store::{SignedCheckpoint, StoreError};
use crate::{Authority, Error};
use medlock_node::log::Proof;
use medlock_node::log::tree::{consistency, inclusion};
use medlock_trust::CredentialId;
use medlock_trust::log::Hash;

impl Sequencer {
    /// The newest checkpoint that was signed.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, Error> {
        Ok(self.store().checkpoint()?)
    }

    /// The proof that the log of `size` entries continues that of `old` ones; `None` when it never had as many.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn consistency(&self, old: u64, size: u64) -> Result<Option<Vec<Hash>>, Error> {
        if old > size || size > self.store().log_size()? {
            return Ok(None);
        }
        Ok(Some(consistency(old, size, &self.tiles())?))
    }

    /// The proof that entry number `index` is in the log that this checkpoint covers, as a file (C2SP tlog-proof).
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Missing`] when the checkpoint does not cover it.
    pub fn inclusion_proof(&self, index: u64, checkpoint: &SignedCheckpoint) -> Result<Vec<u8>, StoreError> {
        if index >= checkpoint.size {
            return Err(StoreError::Missing { what: "entry of the log" });
        }
        let path = inclusion(index, checkpoint.size, &self.tiles())?;
        Ok(Proof { index, path, checkpoint: &checkpoint.note }.write())
    }
}

impl Authority {
    /// The proof that a credential's to-be-signed bytes are in the log (C2SP tlog-proof), against the checkpoint that is
    /// shown, or, if that does not cover it yet, the newest; `None` when it is not ours, or not covered yet.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn log_proof(&self, credential: CredentialId) -> Result<Option<Vec<u8>>, Error> {
        let store = &*self.store;
        let Some(index) = store.place_of_credential(credential)? else { return Ok(None) };
        let covers = |checkpoint: &SignedCheckpoint| index < checkpoint.size;
        let checkpoint = match self.shown_checkpoint()?.filter(covers) {
            Some(shown) => Some(shown),
            None => store.checkpoint()?.filter(covers),
        };
        Ok(match checkpoint {
            Some(checkpoint) => Some(self.log().inclusion_proof(index, &checkpoint)?),
            None => None,
        })
    }
}

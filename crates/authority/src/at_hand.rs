//! Whether the key that issues is at hand: a hub that has not been given what another has made writes nothing down that it
//! cannot sign.

use crate::authority::held;
use crate::signer::{Signer as _, SignerError};
use crate::{Authority, Error};
use medlock_trust::KeyId;

/// What is known of the key that issues.
#[derive(Debug, Default)]
pub(crate) struct AtHand {
    /// The signer has had this one.
    seen: Option<KeyId>,
    /// People were told that this one is missing.
    told: Option<KeyId>,
}

impl Authority {
    /// Whether the signer has the key that issues. It is asked until it has; that a key is gone again shows when it should sign.
    ///
    /// # Errors
    /// [`Error::Signer`] when the signer is away.
    pub(crate) fn has_issuing_key(&self) -> Result<bool, Error> {
        let issuing = self.issuing();
        if held(&self.locks.at_hand).seen == Some(issuing.key) {
            return Ok(true);
        }
        let here = self.signer.public_key(issuing.label)?.is_some_and(|spki| spki == issuing.spki);
        let mut at_hand = held(&self.locks.at_hand);
        at_hand.seen = here.then_some(issuing.key);
        if here {
            at_hand.told = None;
        }
        Ok(here)
    }

    /// Refuses where the key that issues is not at hand, another hub has this one's name, or the clock is not the database server's while
    /// another hub's is, before anything is recorded.
    pub(crate) fn ask_for_issuing_key(&self) -> Result<(), Error> {
        self.present.check()?;
        self.clocks_agree()?;
        if self.has_issuing_key()? { Ok(()) } else { Err(SignerError::NoKey(self.issuing().label).into()) }
    }

    /// The signer is asked again for a key that was gone when it should sign.
    pub(crate) fn missed_key(&self, error: &Error) {
        if matches!(error, Error::Signer(SignerError::NoKey(_))) {
            held(&self.locks.at_hand).seen = None;
        }
    }

    /// Tells people once that the key that issues is not at hand, and what to do.
    pub(crate) fn tell_of_missing_key(&self) -> Result<(), Error> {
        let issuing = self.issuing();
        if held(&self.locks.at_hand).told.replace(issuing.key) == Some(issuing.key) {
            return Ok(());
        }
        let (hub, label) = (self.settings.hub_name, issuing.label);
        let text = format!(
            "the hub {hub} does not have the key {label}, and issues and signs nothing until it has: copy keys/{label}.key from \
             the folder of the hub that made it, or from a backup, to keys in the folder of this one; or give it to the token \
             or signer that this hub uses"
        );
        self.alarm("issuing-key-missing", None, text)
    }
}

//! How the records are, in numbers, for those who run the hub.

use crate::Clinical;
use medlock_store::Error;

/// How the records are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Subscriptions that are told.
    pub subscriptions: u64,
    /// How long the one that has waited longest has waited to be told, in seconds.
    pub behind_seconds: i64,
    /// Deliveries that wait until a person says whose they were.
    pub deliveries_waiting: u64,
}

impl Clinical {
    /// How the records are at this moment. Blocks.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn figures(&self) -> Result<Figures, Error> {
        let (subscriptions, deliveries_waiting) = (self.records().subscriptions()?, self.records().count_waiting()?);
        Ok(Figures { subscriptions, behind_seconds: self.behind_seconds()?, deliveries_waiting })
    }
}

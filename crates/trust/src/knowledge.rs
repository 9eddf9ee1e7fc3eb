//! What the judge knows at the moment of judging.

use crate::bond::PatientContext;
use crate::id::KeyId;
use crate::list::{List, Suspension};
use crate::log::Logged;
use crate::status::{SetAnswer, StatusList, Ticket};
use crate::time::Interval;

pub use crate::policy::Setting;

/// What the judge knows: all that a verdict depends on, except the peer and the policy.
#[derive(Clone, Copy, Debug)]
pub struct Knowledge<'k> {
    /// The bounds of the present.
    pub time: Interval,
    /// Trust lists and site lists held. An authority that several of them list has the worst of the states they give
    /// it, and only the roles and device types all of them give it.
    pub lists: &'k [List<'k>],
    /// Authorities that are believed without a list, for everything: given by hand, as to a tool.
    pub pinned: &'k [KeyId],
    /// Emergency suspensions held, of the members of these lists.
    pub suspensions: &'k [Suspension<'k>],
    /// What is known to be in the logs of authorities whose credentials count up to a cut-off only.
    pub logged: &'k [Logged],
    /// Status lists held.
    pub status: &'k [StatusList<'k>],
    /// What a compact set says of the peer, if one is held that covers it.
    #[cfg(any(feature = "sets", test))]
    pub compact: Option<SetAnswer>,
    /// A status ticket about the peer, if there is one.
    pub ticket: Option<Ticket<'k>>,
    /// The nonce this judge sent to have the ticket made.
    pub asked: Option<Asked<'k>>,
    /// Where the judge is used.
    pub setting: Setting,
    /// The patient the judge serves now, if it serves one.
    pub patient: Option<PatientContext>,
    /// The lowest epoch of a bond that is still valid.
    pub lowest_bond_epoch: u64,
}

/// A nonce this judge drew at random and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'k> {
    /// The nonce.
    pub nonce: &'k [u8],
    /// How many seconds ago, by ticks that never go back.
    pub seconds_ago: u32,
}

impl<'k> Knowledge<'k> {
    /// Knowledge of the time and nothing else.
    #[must_use]
    pub const fn nothing(time: Interval, setting: Setting) -> Self {
        Self {
            time,
            lists: &[],
            pinned: &[],
            suspensions: &[],
            logged: &[],
            status: &[],
            #[cfg(any(feature = "sets", test))]
            compact: None,
            ticket: None,
            asked: None,
            setting,
            patient: None,
            lowest_bond_epoch: 0,
        }
    }

    #[cfg(any(feature = "sets", test))]
    pub(crate) const fn compact(&self) -> Option<SetAnswer> {
        self.compact
    }

    /// Without sets there is no answer of one, and the compiler leaves out what would hear it.
    #[cfg(not(any(feature = "sets", test)))]
    pub(crate) const fn compact(&self) -> Option<SetAnswer> {
        None
    }
}

//! Who may no longer be believed, told in three languages: the signed status list and tickets for Medlock's own nodes,
//! a CRL (RFC 5280 section 5) and OCSP responses (RFC 6960) for ordinary software.

pub mod crl;
pub mod ocsp;
mod selection;
pub mod set;
mod signed;

pub(crate) use selection::{Selection, Selector};
pub(crate) use signed::{not_signed, sign1, state_of, ticket_state, told};
pub use signed::{reason_of, status_list, ticket};

use crate::store::{Issued, Standing, StandingState, Standings, StoreError, Subject};
use medlock_trust::{DeviceName, KeyId};
use std::borrow::Borrow;

/// How long after its expiry a superseded credential stays on the status list, in seconds: the grace of the default
/// policy, within which an expired credential still opens something. Everything else stays for good, because an expired
/// credential could be renewed.
pub const SUPERSEDED_KEPT_SECONDS: i64 = 90 * 86_400;
/// The most superseded credentials of one device that the status list tells: those that are good longest. A device that
/// renews as it should has one or two; one that renews without end must not fill the list of the whole site. What is not
/// told looks good to peers again, while this authority still refuses it everywhere else: renewal, tickets, OCSP, CRL.
pub const SUPERSEDED_PER_DEVICE: usize = 16;

/// The worst that is known against a credential: itself, its device, or the key that issued it, if that counts.
///
/// # Errors
/// [`StoreError`].
pub fn worst(
    store: &(impl Standings + ?Sized),
    issued: &Issued,
    issuer: Option<KeyId>,
) -> Result<Option<Standing>, StoreError> {
    let device = issued.record.device.map(Subject::Device);
    let subjects = [Some(Subject::Credential(issued.credential)), device, issuer.map(Subject::Issuer)];
    let known = subjects.into_iter().flatten().map(|subject| store.standing(subject)).collect::<Result<Vec<_>, _>>()?;
    Ok(worst_of(known.into_iter().flatten()))
}

/// The worst of what is known; of the same, the first.
pub(crate) fn worst_of<S: Borrow<Standing>>(known: impl Iterator<Item = S>) -> Option<S> {
    known.reduce(|worst, other| if other.borrow().state > worst.borrow().state { other } else { worst })
}

/// What is known against a device as such.
///
/// # Errors
/// [`StoreError`].
pub fn of_device(store: &(impl Standings + ?Sized), device: DeviceName) -> Result<Option<Standing>, StoreError> {
    store.standing(Subject::Device(device))
}

/// `CRLReason` (RFC 5280 section 5.3.1).
pub(crate) fn crl_reason(state: StandingState) -> u8 {
    match state {
        StandingState::Suspended => 6,
        StandingState::Superseded => 4,
        StandingState::Ceased => 5,
        StandingState::Compromised => 1,
    }
}

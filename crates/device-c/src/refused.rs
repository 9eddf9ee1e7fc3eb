//! What a function answers in C, and which answer each error of the SDK becomes.

use crate::numbers;
use medlock_device::log::LogError;
use medlock_device::objects::{BondRefused, StoreError};
use medlock_device::owner::NotOwned;
use medlock_device::{CallError, Failure, NotTaken, StartError};
use medlock_proto::sealed::{OpenError, SealError};
use medlock_trust::voucher;

/// Why something was not done: one of `MEDLOCK_ERROR_…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) i32);

impl Refused {
    pub(crate) const NULL: Self = Self(numbers::ERROR_NULL);
    pub(crate) const VALUE: Self = Self(numbers::ERROR_VALUE);
    pub(crate) const CLOSED: Self = Self(numbers::ERROR_CLOSED);
    pub(crate) const NO_THERAPY: Self = Self(numbers::ERROR_NO_THERAPY);
}

/// The answer in C.
pub(crate) const fn answer(done: Result<(), Refused>) -> i32 {
    match done {
        Ok(()) => numbers::OK,
        Err(Refused(why)) => why,
    }
}

impl From<StartError> for Refused {
    fn from(error: StartError) -> Self {
        Self(match error {
            StartError::Layout => numbers::ERROR_LAYOUT,
            StartError::Keys => numbers::ERROR_KEYS,
            StartError::Journal => numbers::ERROR_JOURNAL,
        })
    }
}

impl From<CallError> for Refused {
    fn from(error: CallError) -> Self {
        Self(match error {
            CallError::Full => numbers::ERROR_FULL,
            CallError::Closed => numbers::ERROR_CLOSED,
            CallError::TooLong => numbers::ERROR_TOO_LONG,
            CallError::NoCredential => numbers::ERROR_NO_CREDENTIAL,
            CallError::NotAHub => numbers::ERROR_UNIDENTIFIED,
            CallError::KeyStore => numbers::ERROR_KEYS,
        })
    }
}

impl From<NotTaken> for Refused {
    fn from(error: NotTaken) -> Self {
        if error.is_old() {
            return Self(numbers::ERROR_NOT_NEWER);
        }
        Self(match error {
            NotTaken::Unknown => numbers::ERROR_NO_OBJECT,
            NotTaken::NotPinned => numbers::ERROR_NOT_PINNED,
            NotTaken::NoSiteList => numbers::ERROR_NO_SITE_LIST,
            NotTaken::NoCredential => numbers::ERROR_NO_CREDENTIAL,
            NotTaken::NeedsPhysicalAct => numbers::ERROR_PHYSICAL_ACT,
            NotTaken::NotNewer | NotTaken::BondRefused(BondRefused::NotNewer { .. } | BondRefused::BeforeTheEnd) => {
                numbers::ERROR_NOT_NEWER
            }
            NotTaken::Credential(_) => numbers::ERROR_UNIDENTIFIED,
            NotTaken::NotOurs => numbers::ERROR_NOT_OURS,
            NotTaken::KeyStore => numbers::ERROR_KEYS,
            NotTaken::List(_)
            | NotTaken::Suspension(_)
            | NotTaken::Status(_)
            | NotTaken::Policy(_)
            | NotTaken::Bond(_) => numbers::ERROR_NOT_BELIEVED,
            NotTaken::BondRefused(BondRefused::Full) | NotTaken::Store(StoreError::Full) => numbers::ERROR_FULL,
            NotTaken::BondRefused(BondRefused::UsedUp | BondRefused::TooFar { .. }) => numbers::ERROR_USED_UP,
            NotTaken::Store(StoreError::TooLong) => numbers::ERROR_TOO_LONG,
            NotTaken::Store(StoreError::Flash) => numbers::ERROR_FLASH,
        })
    }
}

impl From<NotOwned> for Refused {
    fn from(error: NotOwned) -> Self {
        let refused = match error {
            NotOwned::Site(not_taken) => return not_taken.into(),
            NotOwned::Refused(refused) => refused,
        };
        Self(match refused {
            voucher::Refused::TooLong(_) => numbers::ERROR_TOO_LONG,
            voucher::Refused::Form(_) => numbers::ERROR_NO_OBJECT,
            voucher::Refused::Forged | voucher::Refused::Early => numbers::ERROR_NOT_BELIEVED,
            voucher::Refused::OtherDevice => numbers::ERROR_OTHER_DEVICE,
            voucher::Refused::OtherDomain => numbers::ERROR_OTHER_OWNER,
            voucher::Refused::Nonce => numbers::ERROR_NOT_ASKED,
            voucher::Refused::Expired => numbers::ERROR_EXPIRED,
            voucher::Refused::Older => numbers::ERROR_NOT_NEWER,
        })
    }
}

impl<E> From<LogError<E>> for Refused {
    fn from(error: LogError<E>) -> Self {
        Self(match error {
            LogError::Flash(_) => numbers::ERROR_FLASH,
            LogError::Area => numbers::ERROR_LAYOUT,
            LogError::Unformatted | LogError::Full | LogError::Length | LogError::Damaged => numbers::ERROR_JOURNAL,
        })
    }
}

impl From<SealError> for Refused {
    fn from(error: SealError) -> Self {
        Self(match error {
            SealError::Buffer => numbers::ERROR_TOO_LONG,
            SealError::UsedUp => numbers::ERROR_USED_UP,
            SealError::NoChallenge => numbers::ERROR_NO_CHALLENGE,
            SealError::Unknown(_) => numbers::ERROR_UNKNOWN,
        })
    }
}

impl From<OpenError> for Refused {
    fn from(error: OpenError) -> Self {
        Self(match error {
            OpenError::Malformed => numbers::ERROR_MALFORMED,
            OpenError::Forged => numbers::ERROR_FORGED,
            OpenError::Replayed => numbers::ERROR_REPLAYED,
            OpenError::NotAsked => numbers::ERROR_NOT_ASKED,
            OpenError::UsedUp => numbers::ERROR_USED_UP,
        })
    }
}

/// The number of a failure.
pub(crate) const fn failure(why: Failure) -> i32 {
    match why {
        Failure::TimedOut => numbers::FAILURE_TIMED_OUT,
        Failure::Unidentified(_) => numbers::FAILURE_UNIDENTIFIED,
        Failure::Handshake => numbers::FAILURE_HANDSHAKE,
        Failure::Closed => numbers::FAILURE_CLOSED,
        Failure::NoCredential => numbers::FAILURE_NO_CREDENTIAL,
        Failure::KeyStore => numbers::FAILURE_KEYS,
        Failure::TooLong => numbers::FAILURE_TOO_LONG,
    }
}

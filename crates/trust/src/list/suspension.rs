//! Emergency suspension: a few members of a list take authorities out of use for a while, until all who must sign have
//! met.
//!
//! Fewer members sign it than a list ([`Heading::emergency`](super::Heading::emergency)), so it can do less: it only
//! suspends, it lapses after at most 14 days ([`MAX_SUSPENSION_SECONDS`]), and then the same authorities are left alone
//! for a while ([`QUIET_SECONDS`]), so that a few members cannot keep one out of use for ever. A list issued later decides:
//! it confirms the suspension or lifts it.

use super::accept::{enough, not_ahead};
use super::{Error, List, MAX_NAME, Refused, Signers};
use crate::cbor::{Fields, Writer};
use crate::cose::{self, ContentType};
use crate::crypto::Crypto;
use crate::id::{ID_LENGTH, KeyId};
use crate::status::Reason;
use crate::time::{Interval, Time};
use core::fmt;
use minicbor::encode::Write;

/// How long a suspension may last: two weeks, in which members who are away can be reached.
pub const MAX_SUSPENSION_SECONDS: i64 = 14 * 86_400;
/// How long after a suspension has lapsed the same authority cannot be suspended again by so few, whatever the cause: what
/// was not confirmed in two weeks by those who must sign a list is theirs alone to say again. With this a rogue few keep an
/// authority out of use for 14 of 104 days at most.
pub const QUIET_SECONDS: i64 = 90 * 86_400;
/// The most authorities that one suspension names.
pub const MAX_SUSPENDED: usize = 16;
/// The longest suspension: 32 signatures of P-384 with their headers take 4,600 bytes, the rest at most 400.
const MAX_LENGTH: usize = 6 * 1024;

const FORM: u64 = 1;

/// A suspension that was verified: a view of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspension<'a> {
    content: SuspensionContent<'a>,
    payload: &'a [u8],
}

/// What a suspension says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuspensionContent<'a> {
    /// The name of the list whose members sign it.
    pub list: &'a str,
    /// The recovery epoch of that list.
    pub recovery_epoch: u64,
    /// When it was made.
    pub issued: Time,
    /// Until when it counts.
    pub expires: Time,
    /// Why, for people.
    pub reason: Reason,
    /// The authorities' keys: 16 bytes each, ascending.
    authorities: &'a [u8],
}

impl<'a> SuspensionContent<'a> {
    /// A suspension of the authorities in `keys`: identifiers of 16 bytes each, ascending, 1 to [`MAX_SUSPENDED`] of them;
    /// `None` if they are anything else, or if it would last too long.
    #[must_use]
    pub fn new(
        list: &'a str,
        recovery_epoch: u64,
        issued: Time,
        expires: Time,
        reason: Reason,
        keys: &'a [u8],
    ) -> Option<Self> {
        let lasts = expires.seconds_since(issued);
        let (each, rest) = keys.as_chunks::<ID_LENGTH>();
        let fits = rest.is_empty()
            && (1..=MAX_SUSPENDED).contains(&each.len())
            && each.is_sorted_by(|a, b| a < b)
            && (1..=MAX_SUSPENSION_SECONDS).contains(&lasts);
        fits.then_some(Self { list, recovery_epoch, issued, expires, reason, authorities: keys })
    }

    /// The authorities it suspends.
    pub fn authorities(&self) -> impl Iterator<Item = KeyId> + use<'a> {
        self.authorities.as_chunks::<ID_LENGTH>().0.iter().map(|key| KeyId::from_bytes(*key))
    }

    /// Whether it names this authority.
    #[must_use]
    pub fn names(&self, authority: KeyId) -> bool {
        self.authorities().any(|key| key == authority)
    }

    /// Writes the payload; [`cose::sign`] with [`ContentType::SUSPENSION`] makes the suspension of it.
    ///
    /// # Errors
    /// If `out` fails.
    pub fn encode<W: Write>(&self, out: W) -> Result<(), W::Error> {
        let mut writer = Writer::new(out);
        writer.array(7)?.uint(FORM)?.text(self.list)?.uint(self.recovery_epoch)?;
        writer.time(self.issued)?.time(self.expires)?.uint(u64::from(self.reason.0))?;
        writer.bytes(self.authorities).map(drop)
    }

    /// Reads the payload of a suspension: what members are to sign.
    ///
    /// # Errors
    /// If it is not that of a suspension.
    pub fn read(payload: &'a [u8]) -> Result<Self, Error> {
        let mut fields = Fields::new(payload);
        fields.array_of(7);
        let form = fields.uint();
        fields.check()?;
        if form != FORM {
            return Err(Error::Form);
        }
        let (list, recovery_epoch) = (fields.text(MAX_NAME), fields.uint());
        let (issued, expires) = (fields.time(), fields.time());
        let (reason, authorities) = (Reason(fields.byte()), fields.bytes());
        fields.finish()?;
        Self::new(list, recovery_epoch, issued, expires, reason, authorities).ok_or(Error::Entry)
    }
}

impl<'a> Suspension<'a> {
    /// Believes a suspension, if enough members of the list held signed it.
    ///
    /// # Errors
    /// [`SuspensionRefused`]: it is not signed by enough of them, or of another list, or that list was issued later and has
    /// decided, or it is over.
    pub fn verify(
        bytes: &'a [u8],
        list: &List<'_>,
        time: Interval,
        crypto: &impl Crypto,
    ) -> Result<Self, SuspensionRefused> {
        let this = Self::danger_open(bytes)?;
        let (content, heading) = (&this.content, list.heading());
        if content.list != heading.name || content.recovery_epoch != heading.recovery_epoch {
            return Err(SuspensionRefused::Signed(Refused::OtherList));
        }
        if content.issued < heading.issued || content.expires < time.earliest() {
            return Err(SuspensionRefused::Over);
        }
        not_ahead(content.issued, list.latest_successor(time))?;
        if heading.emergency == 0 {
            return Err(SuspensionRefused::NotFewer);
        }
        let signed = cose::Sign::read(bytes, ContentType::SUSPENSION).map_err(Error::from)?;
        enough(list.signed_count(&signed, crypto)?, heading.emergency, Signers::Held)?;
        Ok(this)
    }

    /// Opens bytes that this program has verified before and kept where nobody else writes, without checking signatures
    /// again.
    ///
    /// # Errors
    /// If they are not a suspension.
    pub fn danger_open(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_LENGTH {
            return Err(Error::TooLong(bytes.len()));
        }
        let payload = cose::Sign::read(bytes, ContentType::SUSPENSION)?.payload();
        Ok(Self { content: SuspensionContent::read(payload)?, payload })
    }

    /// What it says.
    #[must_use]
    pub const fn content(&self) -> &SuspensionContent<'a> {
        &self.content
    }

    /// What the members signed.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Whether it suspends this authority for somebody who holds `list` at `time`. Unless it certainly lapsed, it counts.
    #[must_use]
    pub fn counts(&self, authority: KeyId, list: &List<'_>, time: Interval) -> bool {
        let (content, heading) = (&self.content, list.heading());
        content.list == heading.name
            && content.recovery_epoch == heading.recovery_epoch
            && content.issued >= heading.issued
            && time.earliest() <= content.expires
            && content.names(authority)
    }

    /// The authority that a suspension held, other than this one, suspends too close in time to take this one
    /// ([`QUIET_SECONDS`]).
    #[must_use]
    pub fn repeats(&self, held: &Suspension<'_>) -> Option<KeyId> {
        let (new, old) = (&self.content, &held.content);
        let apart = |first: Time, second: Time| second >= first.plus_seconds(QUIET_SECONDS);
        let same_list = new.list == old.list && new.recovery_epoch == old.recovery_epoch;
        if !same_list || apart(old.expires, new.issued) || apart(new.expires, old.issued) {
            return None;
        }
        new.authorities().find(|key| old.names(*key))
    }

    /// Whether nobody needs to keep it any more: it has lapsed, and may be repeated.
    #[must_use]
    pub fn is_forgotten(&self, time: Interval) -> bool {
        time.earliest() >= self.content.expires.plus_seconds(QUIET_SECONDS)
    }
}

/// Why a suspension is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuspensionRefused {
    /// It is no suspension, or not signed by enough members of the list held.
    Signed(Refused),
    /// The members of this list cannot suspend by fewer signatures than a list takes.
    NotFewer,
    /// It has lapsed, or the list held was issued later and decided.
    Over,
    /// This authority was suspended by few a short while ago: it takes a list to do it again.
    TooSoon(KeyId),
    /// So many are held that there is no room.
    Full,
}

impl From<Refused> for SuspensionRefused {
    fn from(refused: Refused) -> Self {
        Self::Signed(refused)
    }
}

impl From<Error> for SuspensionRefused {
    fn from(error: Error) -> Self {
        Self::Signed(error.into())
    }
}

impl fmt::Display for SuspensionRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signed(refused) => refused.fmt(f),
            Self::NotFewer => f.write_str("this list gives nobody the right to suspend in an emergency; sign a list"),
            Self::Over => f.write_str("it has lapsed, or a list issued later has decided"),
            Self::TooSoon(key) => {
                write!(f, "authority {key} was suspended by few not long ago; sign a list to suspend it again")
            }
            Self::Full => f.write_str("there is no room for another suspension"),
        }
    }
}

impl core::error::Error for SuspensionRefused {}

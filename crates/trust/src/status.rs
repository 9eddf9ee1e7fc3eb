//! What an authority says of the credentials, devices and issuers under it: as a whole ([`StatusList`]) or about one
//! credential ([`Ticket`]); and of all credentials ever issued, in very few bits ([`RevokedSet`]).
//!
//! Wire formats are in `docs/trust-objects.md`. The records of a list have a fixed size and are sorted, so a look-up is
//! a binary search in the bytes as they came.

pub mod set;
mod ticket;

pub use set::{RevokedSet, SetAnswer, SetHeading};
pub use ticket::{MAX_NONCE, MIN_NONCE, Ticket, TicketContent};

use crate::cbor::{self, ErrorKind, Reader, Writer};
use crate::cose;
use crate::crypto::Crypto;
use crate::id::{CredentialId, DeviceId, ID_LENGTH, KeyId};
use crate::list::{self, List, Purpose, Service};
use crate::time::Time;
use core::fmt;
use minicbor::encode::Write;

/// The length of one record in bytes.
pub const RECORD_LENGTH: usize = 32;
/// The most records of a list: what a site of a million devices revokes in ten years at one in 150 a year, and 2 MiB,
/// which a gateway holds in memory. Larger fleets have a compact set beside it ([`RevokedSet`]).
pub const MAX_RECORDS: usize = 65_536;
/// The longest status list in bytes: all its records, and room for headers and the signature.
pub const MAX_LENGTH: usize = MAX_RECORDS * RECORD_LENGTH + 4096;

const FORM: u64 = 1;

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// One credential.
    Credential(CredentialId),
    /// One device, with all its credentials.
    Device(DeviceId),
    /// The key of an issuer below the authority, with all credentials it signed.
    Issuer(KeyId),
}

impl Subject {
    const fn parts(&self) -> (u8, &[u8; ID_LENGTH]) {
        match self {
            Self::Credential(id) => (0, id.as_bytes()),
            Self::Device(id) => (1, id.as_bytes()),
            Self::Issuer(id) => (2, id.as_bytes()),
        }
    }

    const fn from_parts(kind: u8, id: [u8; ID_LENGTH]) -> Option<Self> {
        match kind {
            0 => Some(Self::Credential(CredentialId::from_bytes(id))),
            1 => Some(Self::Device(DeviceId::from_bytes(id))),
            2 => Some(Self::Issuer(KeyId::from_bytes(id))),
            _ => None,
        }
    }
}

/// How a credential, device or issuer stands that is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Under suspicion; a newer epoch may lift it.
    Suspended,
    /// Its successor has been used.
    Superseded,
    /// No longer in service.
    Ceased,
    /// Its key is in wrong hands. Terminal: a new key and a new approval.
    Compromised,
}

impl State {
    /// All states, from the mildest to the worst.
    pub const ALL: [Self; 4] = [Self::Suspended, Self::Superseded, Self::Ceased, Self::Compromised];

    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Suspended => "suspended",
            Self::Superseded => "superseded",
            Self::Ceased => "ceased",
            Self::Compromised => "compromised",
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Suspended => 1,
            Self::Superseded => 2,
            Self::Ceased => 3,
            Self::Compromised => 4,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Suspended),
            2 => Some(Self::Superseded),
            3 => Some(Self::Ceased),
            4 => Some(Self::Compromised),
            _ => None,
        }
    }
}

/// Why: the numbers of `CRLReason` (RFC 5280 section 5.3.1), and from 128 on reasons of our own. For people: no decision
/// depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reason(pub u8);

impl Reason {
    /// No reason was given.
    pub const UNSPECIFIED: Self = Self(0);
    /// The key is known, or thought, to be in wrong hands.
    pub const KEY_COMPROMISE: Self = Self(1);
    /// The issuer's key is.
    pub const AUTHORITY_COMPROMISE: Self = Self(2);
    /// Name or owner changed.
    pub const AFFILIATION_CHANGED: Self = Self(3);
    /// A newer credential took its place.
    pub const SUPERSEDED: Self = Self(4);
    /// The device was taken out of service.
    pub const CESSATION: Self = Self(5);
    /// On hold.
    pub const HOLD: Self = Self(6);
    /// A right was withdrawn.
    pub const PRIVILEGE_WITHDRAWN: Self = Self(9);
    /// The device is lost.
    pub const LOST: Self = Self(128);
    /// The device was stolen.
    pub const STOLEN: Self = Self(129);
    /// The maker recalls the device.
    pub const RECALL: Self = Self(130);
    /// Two credentials with different keys were made of one: a copy may exist.
    pub const TWO_CHILDREN: Self = Self(131);

    /// Its stable name, `unknown` for numbers of a later version.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.0 {
            0 => "unspecified",
            1 => "key-compromise",
            2 => "authority-compromise",
            3 => "affiliation-changed",
            4 => "superseded",
            5 => "cessation",
            6 => "hold",
            9 => "privilege-withdrawn",
            128 => "lost",
            129 => "stolen",
            130 => "recall",
            131 => "two-children",
            _ => "unknown",
        }
    }
}

/// One record of a status list.
///
/// As bytes: kind of subject (1), identifier (16), state (1), reason (1), since in seconds since 1970 (5), epoch (8);
/// numbers are big-endian. Records ascend by their first 17 bytes, one for each subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it is about.
    pub subject: Subject,
    /// How that stands.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// Since when.
    pub since: Time,
    /// The epoch of the list in which the record got this state.
    pub epoch: u64,
}

impl Record {
    /// The record as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; RECORD_LENGTH] {
        let (kind, id) = self.subject.parts();
        let since = self.since.unix().clamp(0, Time::NEVER.unix()).to_be_bytes();
        let [_, _, _, since @ ..] = since;
        let mut bytes = [0; RECORD_LENGTH];
        let parts: [&[u8]; 6] =
            [&[kind], id, &[self.state.number()], &[self.reason.0], &since, &self.epoch.to_be_bytes()];
        bytes.iter_mut().zip(parts.into_iter().flatten()).for_each(|(to, from)| *to = *from);
        bytes
    }

    /// The record that `bytes` are; `None` if a field has no meaning.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; RECORD_LENGTH]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let (id, rest) = rest.split_first_chunk::<ID_LENGTH>()?;
        let (state, rest) = rest.split_first()?;
        let (reason, rest) = rest.split_first()?;
        let ([a, b, c, d, e], epoch) = rest.split_first_chunk::<5>()?;
        let since = i64::from_be_bytes([0, 0, 0, *a, *b, *c, *d, *e]);
        if since > Time::NEVER.unix() {
            return None;
        }
        Some(Self {
            subject: Subject::from_parts(*kind, *id)?,
            state: State::from_number(*state)?,
            reason: Reason(*reason),
            since: Time::from_unix(since),
            epoch: u64::from_be_bytes(epoch.try_into().ok()?),
        })
    }
}

/// Which status list it is: the fields before the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heading {
    /// The authority it speaks for: the key that chains under it end in.
    pub authority: KeyId,
    /// The recovery epoch of the trust or site list in which its signer stands.
    pub recovery_epoch: u64,
    /// Which list: grows with each.
    pub epoch: u64,
    /// When it was made. Its age is counted from here.
    pub issued: Time,
    /// When the next is to be expected. Informative: how old a list may be is the judge's policy.
    pub next: Time,
}

/// A status list that was verified: a view of its bytes.
#[derive(Clone, Copy, Debug)]
pub struct StatusList<'a> {
    heading: Heading,
    records: &'a [[u8; RECORD_LENGTH]],
    /// How many records are about credentials, and how many about credentials or devices.
    bounds: [usize; 2],
}

impl<'a> StatusList<'a> {
    /// Believes a status list signed by a service key that `list` names for it.
    ///
    /// # Errors
    /// [`Refused`]; whether it succeeds another list is for [`StatusList::succeeds`].
    pub fn verify(bytes: &'a [u8], list: &List<'_>, crypto: &impl Crypto) -> Result<Self, Refused> {
        let signer = |key: &[u8; ID_LENGTH]| list.service(Purpose::Status, key);
        Self::verify_by(bytes, list, crypto, signer, |speaks_for, told| speaks_for == told)
    }

    /// Believes a status list that was told before, as whoever kept it gives it back: as [`StatusList::verify`]; or of a key that
    /// has been retired since, if it was issued before; or in the name of a root whose place another has taken
    /// ([`List::are_one`]).
    ///
    /// # Errors
    /// [`Refused`].
    pub fn verify_told(bytes: &'a [u8], list: &List<'_>, crypto: &impl Crypto) -> Result<Self, Refused> {
        // As `List::spoke`: what it has signed after its end is refused below.
        let signer = |key: &[u8; ID_LENGTH]| list.services().find(|service| service.key.as_bytes() == key);
        Self::verify_by(bytes, list, crypto, signer, |speaks_for, told| list.are_one(speaks_for, told))
    }

    fn verify_by<'l>(
        bytes: &'a [u8],
        list: &List<'l>,
        crypto: &impl Crypto,
        signer: impl FnOnce(&[u8; ID_LENGTH]) -> Option<Service<'l>>,
        may_tell: impl FnOnce(KeyId, KeyId) -> bool,
    ) -> Result<Self, Refused> {
        if bytes.len() > MAX_LENGTH {
            return Err(Refused::TooLong(bytes.len()));
        }
        let signed = cose::Sign1::read(bytes)?;
        let status = Self::read_payload(signed.payload())?;
        status.check_records()?;
        let key = <&[u8; ID_LENGTH]>::try_from(signed.key()).map_err(|_| Refused::UnknownSigner)?;
        let service = signer(key).ok_or(Refused::UnknownSigner)?;
        if !may_tell(service.authority, status.heading.authority) {
            return Err(Refused::OtherAuthority);
        }
        check_signer(&service, service.authority, status.heading.issued)?;
        if status.heading.recovery_epoch > list.heading().recovery_epoch {
            return Err(Refused::RecoveryEpoch);
        }
        let place = cose::Place::Header(cose::ContentType::STATUS);
        signed.verify(place, service.public_key(crypto)?, crypto)?;
        Ok(status)
    }

    /// Opens bytes that this program has verified before and kept where nobody else writes, without checking the
    /// signature and the order of records again.
    ///
    /// # Errors
    /// If they are not a status list.
    pub fn danger_open(bytes: &'a [u8]) -> Result<Self, Refused> {
        Self::read_payload(cose::Sign1::read(bytes)?.payload())
    }

    /// A list without records that nobody signed: the caller's own word that nothing is known against anybody under
    /// `authority`. For tools that are told to take the status as fresh.
    #[must_use]
    pub const fn danger_nothing_known(authority: KeyId, issued: Time) -> Self {
        let heading = Heading { authority, recovery_epoch: 0, epoch: 0, issued, next: issued };
        Self { heading, records: &[], bounds: [0; 2] }
    }

    /// Which list it is.
    #[must_use]
    pub const fn heading(&self) -> &Heading {
        &self.heading
    }

    /// The number of records.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether nothing is said against anybody.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The records, in order.
    pub fn records(&self) -> impl Iterator<Item = Record> + use<'a> {
        self.records.iter().map_while(Record::from_bytes)
    }

    /// The record about `subject`, if there is one.
    #[must_use]
    pub fn record(&self, subject: Subject) -> Option<Record> {
        let [devices, issuers] = self.bounds;
        let records = match subject {
            Subject::Credential(_) => self.records.get(..devices),
            Subject::Device(_) => self.records.get(devices..issuers),
            Subject::Issuer(_) => self.records.get(issuers..),
        }?;
        // All records in this part are of one kind: comparing the identifier as one number is enough, and fast.
        let (_, id) = subject.parts();
        let wanted = u128::from_be_bytes(*id);
        let at = records.binary_search_by(|record| identifier(record).cmp(&wanted)).ok()?;
        Record::from_bytes(records.get(at)?)
    }

    /// Whether this list may take the place of the one held (invariant I4): of the same authority, of a later epoch, and
    /// everything compromised still is ([`StatusList::remembers`]). Epochs alone say which is later: one that says it was
    /// issued earlier is of a hub whose clock was ahead before, and makes what it says older, which grants nothing.
    ///
    /// After a recovery only the order of recovery epochs counts: the list held may have been made by a thief.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn succeeds(&self, held: &StatusList<'_>) -> Result<(), Refused> {
        let (new, old) = (&self.heading, &held.heading);
        if new.authority != old.authority {
            return Err(Refused::OtherAuthority);
        }
        if new.recovery_epoch > old.recovery_epoch {
            return Ok(());
        }
        if new.recovery_epoch < old.recovery_epoch || new.epoch <= old.epoch {
            return Err(Refused::NotNewer { held: old.epoch, given: new.epoch });
        }
        self.remembers(held)
    }

    /// Whether everything that the list held calls compromised still is: all that is asked where another root has taken the
    /// place of the one in whose name that was told ([`List::are_one`]), since epochs are of one name. After a recovery
    /// nothing is asked. Takes one walk over both lists.
    ///
    /// # Errors
    /// [`Refused::CompromiseForgotten`].
    pub fn remembers(&self, held: &StatusList<'_>) -> Result<(), Refused> {
        if self.heading.recovery_epoch > held.heading.recovery_epoch {
            return Ok(());
        }
        let compromised = |record: &Record| record.state == State::Compromised;
        let mut kept = self.records().filter(compromised);
        for old in held.records().filter(compromised) {
            // Both ascend by subject: what `kept` has before `old` is new, and `old` must come up.
            let next = kept.by_ref().find(|new| new.subject >= old.subject);
            if next.is_none_or(|next| next.subject != old.subject) {
                return Err(Refused::CompromiseForgotten(old.subject));
            }
        }
        Ok(())
    }

    fn read_payload(payload: &'a [u8]) -> Result<Self, Refused> {
        let mut reader = Reader::new(payload);
        reader.array_of(7)?;
        if reader.uint()? != FORM {
            return Err(Refused::Form);
        }
        let authority = KeyId::from_bytes(*reader.fixed()?);
        let (recovery_epoch, epoch) = (reader.uint()?, reader.uint()?);
        let (issued, next) = (reader.time()?, reader.time()?);
        let error = reader.error(ErrorKind::OutOfRange);
        let (records, rest) = reader.bytes()?.as_chunks();
        if !rest.is_empty() || records.len() > MAX_RECORDS {
            return Err(error.into());
        }
        reader.finish()?;
        if next < issued {
            return Err(Refused::Times);
        }
        let before = |kind: u8| records.partition_point(|record| record.first().is_none_or(|first| *first < kind));
        let heading = Heading { authority, recovery_epoch, epoch, issued, next };
        Ok(Self { heading, records, bounds: [before(1), before(2)] })
    }

    fn check_records(&self) -> Result<(), Refused> {
        let mut last = None;
        for (number, record) in self.records.iter().enumerate() {
            let subject = Some(Record::from_bytes(record).ok_or(Refused::Record(number))?.subject);
            if last >= subject {
                return Err(Refused::Record(number));
            }
            last = subject;
        }
        Ok(())
    }
}

fn identifier(record: &[u8; RECORD_LENGTH]) -> u128 {
    let [_, rest @ ..] = record;
    rest.first_chunk::<ID_LENGTH>().map_or(0, |id| u128::from_be_bytes(*id))
}

/// Checks that a service speaks for `authority` and did so at `issued`.
fn check_signer(service: &Service<'_>, authority: KeyId, issued: Time) -> Result<(), Refused> {
    if service.authority != authority {
        return Err(Refused::OtherAuthority);
    }
    if service.signs_at(issued) { Ok(()) } else { Err(Refused::UnknownSigner) }
}

/// What a status list is to say: the input of its encoder.
#[derive(Clone, Copy, Debug)]
pub struct StatusContent<'a> {
    /// Which list it is.
    pub heading: Heading,
    /// Its records, ascending by [`Subject`], one for each.
    pub records: &'a [Record],
}

impl StatusContent<'_> {
    /// Writes the payload of the list; [`cose::sign1`] with the content type [`cose::ContentType::STATUS`] in the header
    /// and the full key identifier makes the list of it.
    ///
    /// # Errors
    /// If `out` fails, or if no verifier would accept such a list.
    pub fn encode<W: Write>(&self, out: W) -> Result<(), EncodeError<W::Error>> {
        let Heading { authority, recovery_epoch, epoch, issued, next } = self.heading;
        if self.records.len() > MAX_RECORDS {
            return Err(EncodeError::Content(Refused::TooLong(self.records.len().saturating_mul(RECORD_LENGTH))));
        }
        if let Some(at) = self.records.windows(2).position(|pair| match pair {
            [a, b] => a.subject >= b.subject,
            _ => false,
        }) {
            return Err(EncodeError::Content(Refused::Record(at.saturating_add(1))));
        }
        if next < issued || issued < Time::from_unix(0) || next > Time::NEVER {
            return Err(EncodeError::Content(Refused::Times));
        }
        let mut writer = Writer::new(out);
        writer
            .array(7)
            .and_then(|w| w.uint(FORM)?.bytes(authority.as_bytes())?.uint(recovery_epoch)?.uint(epoch))
            .and_then(|w| w.time(issued)?.time(next)?.bytes_head(self.records.len().saturating_mul(RECORD_LENGTH)))
            .map_err(EncodeError::Write)?;
        for record in self.records {
            writer.raw(&record.to_bytes()).map_err(EncodeError::Write)?;
        }
        Ok(())
    }
}

/// Why a status list or ticket is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is not a signed object of the right form, or its signature is wrong.
    Cose(cose::Error),
    /// It has more bytes than such an object has.
    TooLong(usize),
    /// The form is of another version than this program reads.
    Form,
    /// The record with this number has no meaning or is not in order.
    Record(usize),
    /// The next list is to come before this one was made, or a time is outside 1970 to 9999.
    Times,
    /// The key that signed it is not one that the list names for status, or no longer was.
    UnknownSigner,
    /// The key in the list cannot be read.
    Key(list::Error),
    /// Its signer speaks for another authority, or it is to take the place of another authority's.
    OtherAuthority,
    /// Its recovery epoch is later than that of the list that names its signer; fetch the newer list first.
    RecoveryEpoch,
    /// It is not newer than the one held.
    NotNewer {
        /// Epoch of the one held.
        held: u64,
        /// Epoch of the one given.
        given: u64,
    },
    /// What the list held calls compromised is missing or in a better state.
    CompromiseForgotten(Subject),
    /// The nonce is shorter or longer than a nonce may be.
    Nonce(usize),
}

impl From<cose::Error> for Refused {
    fn from(error: cose::Error) -> Self {
        Self::Cose(error)
    }
}

impl From<cbor::Error> for Refused {
    fn from(error: cbor::Error) -> Self {
        Self::Cose(error.into())
    }
}

impl From<list::Error> for Refused {
    fn from(error: list::Error) -> Self {
        Self::Key(error)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cose(error) => error.fmt(f),
            Self::TooLong(length) => write!(f, "{length} bytes are more than such an object has"),
            Self::Form => f.write_str("the object is of a form this program does not read; update it"),
            Self::Record(number) => write!(f, "record {number} has no meaning or is not in order"),
            Self::Times => f.write_str("the time of the next list is before that of this one, or out of range"),
            Self::UnknownSigner => {
                f.write_str("its signer is not a status key of the list held; fetch the newest list")
            }
            Self::Key(error) => error.fmt(f),
            Self::OtherAuthority => f.write_str("it speaks for another authority"),
            Self::RecoveryEpoch => {
                f.write_str("its recovery epoch is later than that of the list held; fetch that first")
            }
            Self::NotNewer { held, given } => write!(f, "epoch {given} is not newer than epoch {held}, which is held"),
            Self::CompromiseForgotten(subject) => {
                let (kind, id): (_, &dyn fmt::Display) = match subject {
                    Subject::Credential(id) => ("credential", id),
                    Subject::Device(id) => ("device", id),
                    Subject::Issuer(id) => ("issuer", id),
                };
                write!(f, "{kind} {id} was compromised and must stay so")
            }
            Self::Nonce(length) => write!(f, "a nonce of {length} bytes; it has {MIN_NONCE} to {MAX_NONCE}"),
        }
    }
}

impl core::error::Error for Refused {}

/// Why a status object was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError<W> {
    /// The output failed.
    Write(W),
    /// No verifier would accept it.
    Content(Refused),
}

impl<W: fmt::Display> fmt::Display for EncodeError<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(error) => write!(f, "the status could not be written: {error}"),
            Self::Content(error) => write!(f, "the status would not be accepted: {error}"),
        }
    }
}

impl<W: core::error::Error> core::error::Error for EncodeError<W> {}

#[cfg(test)]
mod tests;

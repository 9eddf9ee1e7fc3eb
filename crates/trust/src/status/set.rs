//! The compact set: how every credential of an authority stands, in about a tenth of a bit to two bits for each, for
//! gateways that judge the devices of a large authority while they hear from nobody.
//!
//! A set *covers* the credentials whose validity began at a time it names or before: those are all that the authority had
//! issued, and for each of them the answer is exact. Of others it says nothing. A set stands for itself, or says what
//! has changed since another one ([`SetHeading::base`]).
//!
//! It is made of *shards*, each for the credentials from one identifier to the next shard's first one. A shard names
//! the words its credentials have, the most frequent first, and for each word but the last it has a *level*: a sieve of a
//! few bits, which lets through all that have a later word and few others, and a bit for each that came through, which
//! is exact. Sieves and bits are ribbons (Dillinger, Walzer: "Ribbon filter", 2021): a product of a short run of bits,
//! which the identifier chooses, and bits that the identifier draws. `docs/trust-objects.md` has the bytes.

use super::{EncodeError, Refused, State, check_signer};
use crate::cbor::{ErrorKind, Fields, Writer};
use crate::cose::{ContentType, Place, Sign1};
use crate::crypto::Crypto;
use crate::id::{CredentialId, ID_LENGTH, KeyId};
use crate::list::{List, Purpose};
use crate::time::Time;
use minicbor::encode::Write;

/// The longest set in bytes: 28 million credentials at two bits, and what a signer takes as one message.
pub const MAX_SET_LENGTH: usize = 7 << 20;
/// The bytes of one entry of the table of shards: the first 8 bytes of an identifier, and an offset of 4.
pub const SHARD_ENTRY: usize = 12;
/// The longest sieve in bits.
pub const MAX_SIEVE: u8 = 24;
/// The bits of an identifier's row in a ribbon; with up to 7 in front they fit 16 bytes.
const ROW_BITS: u32 = 120;
/// The bytes of the window that a row is multiplied with.
const WINDOW: usize = 16;
const FORM: u64 = 1;

/// What a set says of one credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Word {
    /// Nothing is known against the credential, its device and the key that issued it.
    Good,
    /// The worst that is known against one of them.
    Bad(State),
    /// What the base says; good, if that does not cover it.
    Unchanged,
}

impl Word {
    /// All words.
    pub const ALL: [Self; 6] = [
        Self::Good,
        Self::Bad(State::Suspended),
        Self::Bad(State::Superseded),
        Self::Bad(State::Ceased),
        Self::Bad(State::Compromised),
        Self::Unchanged,
    ];

    /// Its number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Bad(state) => state.number(),
            Self::Unchanged => 5,
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|word| word.number() == number)
    }
}

/// Which set it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetHeading {
    /// The authority it speaks for: the key that chains under it end in.
    pub authority: KeyId,
    /// The recovery epoch of the trust or site list in which its signer stands.
    pub recovery_epoch: u64,
    /// The epoch of the status list whose knowledge it speaks from; grows with each set.
    pub epoch: u64,
    /// When what it says was read. Its age is counted from here.
    pub issued: Time,
    /// When the next is to be expected. Informative.
    pub next: Time,
    /// It covers the credentials whose validity begins here or before.
    pub covers: Time,
    /// How many these are.
    pub credentials: u64,
    /// The epoch of the set of which it says the changes; `None` if it stands for itself.
    pub base: Option<u64>,
}

/// What a set, or a set and its changes, say of one credential: [`answer`] makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetAnswer {
    /// The authority that says it.
    pub authority: KeyId,
    /// The credential.
    pub credential: CredentialId,
    /// The worst that is known against the credential, its device and the key that issued it.
    pub state: Option<State>,
    /// The recovery epoch of the set.
    pub recovery_epoch: u64,
    /// The epoch it speaks from.
    pub epoch: u64,
    /// When what it says was read.
    pub issued: Time,
}

/// A compact set that was verified: a view of its bytes.
#[derive(Clone, Copy, Debug)]
pub struct RevokedSet<'a> {
    heading: SetHeading,
    table: &'a [[u8; SHARD_ENTRY]],
    shards: &'a [u8],
}

impl<'a> RevokedSet<'a> {
    /// Believes a set signed by a service key that `list` names for status.
    ///
    /// # Errors
    /// [`Refused`]; whether it succeeds another one is for [`RevokedSet::succeeds`].
    pub fn verify(bytes: &'a [u8], list: &List<'_>, crypto: &impl Crypto) -> Result<Self, Refused> {
        if bytes.len() > MAX_SET_LENGTH {
            return Err(Refused::TooLong(bytes.len()));
        }
        let signed = Sign1::read(bytes)?;
        let set = Self::read_payload(signed.payload())?;
        set.check_shards()?;
        let key = <&[u8; ID_LENGTH]>::try_from(signed.key()).map_err(|_| Refused::UnknownSigner)?;
        let service = list.service(Purpose::Status, key).ok_or(Refused::UnknownSigner)?;
        check_signer(&service, set.heading.authority, set.heading.issued)?;
        if set.heading.recovery_epoch > list.heading().recovery_epoch {
            return Err(Refused::RecoveryEpoch);
        }
        signed.verify(Place::Header(ContentType::REVOKED_SET), service.public_key(crypto)?, crypto)?;
        Ok(set)
    }

    /// Opens bytes that this program has verified before and kept where nobody else writes, without checking the
    /// signature and the shards again.
    ///
    /// # Errors
    /// If they are not a set.
    pub fn danger_open(bytes: &'a [u8]) -> Result<Self, Refused> {
        Self::read_payload(Sign1::read(bytes)?.payload())
    }

    /// Which set it is.
    #[must_use]
    pub const fn heading(&self) -> &SetHeading {
        &self.heading
    }

    /// Whether this set may be used after the one held (invariant I4): of the same authority and of a later epoch; after a
    /// later recovery epoch, unconditionally. It may cover less than a set that a clock ahead has made. What a set calls compromised cannot be listed, so
    /// whether it is forgotten cannot be seen: status lists, which are held beside it, keep that.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn succeeds(&self, held: &RevokedSet<'_>) -> Result<(), Refused> {
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
        Ok(())
    }

    /// Whether this set says what has changed since `base`.
    #[must_use]
    pub fn changes(&self, base: &RevokedSet<'_>) -> bool {
        let (new, old) = (&self.heading, &base.heading);
        new.base == Some(old.epoch) && new.authority == old.authority && new.recovery_epoch == old.recovery_epoch
    }

    /// What this set by itself says of a credential; `None` if it does not cover one whose validity begins then.
    #[must_use]
    pub fn word(&self, credential: CredentialId, not_before: Time) -> Option<Word> {
        if not_before > self.heading.covers {
            return None;
        }
        let id = credential.as_bytes();
        let first = id.first_chunk::<8>()?;
        let after = self.table.partition_point(|entry| entry.first_chunk::<8>().is_some_and(|key| key <= first));
        Shard::read(self.shard(after.checked_sub(1)?)?)?.word(id)
    }

    fn shard(&self, number: usize) -> Option<&'a [u8]> {
        let end = match self.table.get(number.checked_add(1)?) {
            Some(next) => offset(next)?,
            None => self.shards.len(),
        };
        self.shards.get(offset(self.table.get(number)?)?..end)
    }

    fn read_payload(payload: &'a [u8]) -> Result<Self, Refused> {
        let mut fields = Fields::new(payload);
        fields.array_of(11);
        let form = fields.uint();
        let authority = KeyId::from_bytes(*fields.fixed());
        let (recovery_epoch, epoch) = (fields.uint(), fields.uint());
        let (issued, next, covers) = (fields.time(), fields.time(), fields.time());
        let credentials = fields.uint();
        let base = if fields.null() { None } else { Some(fields.uint()) };
        let at = fields.position();
        let (table, rest) = fields.bytes().as_chunks();
        fields.ask(rest.is_empty(), at, ErrorKind::OutOfRange);
        let shards = fields.bytes();
        fields.finish()?;
        if form != FORM {
            return Err(Refused::Form);
        }
        if next < issued || covers > issued {
            return Err(Refused::Times);
        }
        if base.is_some_and(|base| base >= epoch) {
            return Err(Refused::NotNewer { held: base.unwrap_or_default(), given: epoch });
        }
        let heading = SetHeading { authority, recovery_epoch, epoch, issued, next, covers, credentials, base };
        Ok(Self { heading, table, shards })
    }

    /// Checks that the shards follow one another without a gap, and that each is whole.
    fn check_shards(&self) -> Result<(), Refused> {
        let mut last = None;
        for (number, entry) in self.table.iter().enumerate() {
            let key = entry.first_chunk::<8>();
            let in_order = if number == 0 { key == Some(&[0; 8]) && offset(entry) == Some(0) } else { key > last };
            let whole = self.shard(number).and_then(Shard::read).is_some_and(|shard| {
                shard.levels().all(|level| level.is_some())
                    && (self.heading.base.is_some() || !shard.words.contains(&Word::Unchanged.number()))
            });
            if !in_order || !whole {
                return Err(Refused::Record(number));
            }
            last = key;
        }
        if self.table.is_empty() && !self.shards.is_empty() {
            return Err(Refused::Record(0));
        }
        Ok(())
    }
}

fn offset(entry: &[u8; SHARD_ENTRY]) -> Option<usize> {
    usize::try_from(u32::from_be_bytes(*entry.last_chunk()?)).ok()
}

/// What `base`, or `base` and the `changes` since, say of a credential whose validity begins at `not_before`; `None` if
/// they do not cover it. Changes of another base count for nothing.
#[must_use]
pub fn answer(
    base: &RevokedSet<'_>,
    changes: Option<&RevokedSet<'_>>,
    credential: CredentialId,
    not_before: Time,
) -> Option<SetAnswer> {
    let before = base.word(credential, not_before);
    let (word, heading) = match changes.filter(|changes| changes.changes(base)) {
        Some(changes) => match changes.word(credential, not_before) {
            Some(Word::Unchanged) => (before.unwrap_or(Word::Good), &changes.heading),
            Some(word) => (word, &changes.heading),
            None => (before?, &base.heading),
        },
        None => (before?, &base.heading),
    };
    let state = match word {
        Word::Good => None,
        Word::Bad(state) => Some(state),
        Word::Unchanged => return None,
    };
    let SetHeading { authority, recovery_epoch, epoch, issued, .. } = *heading;
    Some(SetAnswer { authority, credential, state, recovery_epoch, epoch, issued })
}

/// What a shard says of an identifier that is its to speak of; `None` if it is not whole. For the encoder, which looks
/// everybody up before it lets a set out.
#[must_use]
pub fn word_in_shard(shard: &[u8], credential: CredentialId) -> Option<Word> {
    Shard::read(shard)?.word(credential.as_bytes())
}

/// One shard: a seed of 16 bytes, the number of words and the words, and its levels.
#[derive(Clone, Copy, Debug)]
struct Shard<'a> {
    seed: Seed,
    words: &'a [u8],
    levels: &'a [u8],
}

impl<'a> Shard<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (seed, rest) = bytes.split_first_chunk::<16>()?;
        let (count, rest) = rest.split_first()?;
        let (words, levels) = rest.split_at_checked(usize::from(*count))?;
        let meaning = words.iter().all(|word| Word::from_number(*word).is_some());
        let whole = meaning && !words.is_empty() && words.len() <= Word::ALL.len();
        whole.then_some(Self { seed: Seed::from_bytes(*seed), words, levels })
    }

    /// The levels in order: as many as there are words, less one; a last `None` if they are not whole.
    fn levels(&self) -> impl Iterator<Item = Option<Level<'a>>> + use<'a> {
        let mut rest = Some(self.levels);
        let count = self.words.len().saturating_sub(1);
        (0..count).map(move |number| {
            let (level, more) = Level::read(rest?)?;
            rest = Some(more);
            // Nothing may follow the last one.
            (number.saturating_add(1) < count || more.is_empty()).then_some(level)
        })
    }

    fn word(&self, id: &[u8; ID_LENGTH]) -> Option<Word> {
        let mut words = self.words.iter();
        for (number, level) in (0_u8..).zip(self.levels()) {
            let word = *words.next()?;
            if !level?.passes(id, self.seed, number)? {
                return Word::from_number(word);
            }
        }
        Word::from_number(*words.next()?)
    }
}

/// One level: the bits of the sieve (1), the bytes of each of its planes (4), the bytes of the exact one (4), the planes.
#[derive(Clone, Copy, Debug)]
struct Level<'a> {
    sieve_bits: u8,
    plane: usize,
    sieve: &'a [u8],
    exact: &'a [u8],
}

impl<'a> Level<'a> {
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (bits, rest) = bytes.split_first()?;
        let (plane, rest) = rest.split_first_chunk()?;
        let (exact, rest) = rest.split_first_chunk()?;
        let plane = usize::try_from(u32::from_be_bytes(*plane)).ok()?;
        let exact = usize::try_from(u32::from_be_bytes(*exact)).ok()?;
        let (sieve, rest) = rest.split_at_checked(plane.checked_mul(usize::from(*bits))?)?;
        let (exact, rest) = rest.split_at_checked(exact)?;
        let whole =
            *bits <= MAX_SIEVE && (*bits == 0) == (plane == 0) && [plane, exact.len()].map(is_plane) == [true; 2];
        whole.then_some((Self { sieve_bits: *bits, plane, sieve, exact }, rest))
    }

    /// Whether the identifier goes on to the next level.
    fn passes(&self, id: &[u8; ID_LENGTH], seed: Seed, number: u8) -> Option<bool> {
        if self.exact.is_empty() {
            // Nobody does.
            return Some(false);
        }
        if self.sieve_bits > 0 {
            let row = Row::of(id, seed, number, Ribbon::Sieve, self.plane)?;
            for (bit, plane) in self.sieve.chunks_exact(self.plane).enumerate() {
                if row.product(plane)? != row.sieve_bit(bit) {
                    return Some(false);
                }
            }
        }
        Row::of(id, seed, number, Ribbon::Exact, self.exact.len())?.product(self.exact)
    }
}

/// Whether a plane may have this many bytes: none at all, or a window's and more.
const fn is_plane(bytes: usize) -> bool {
    bytes == 0 || bytes >= WINDOW
}

/// What makes the rows of one shard differ from those of every other: drawn at random when it is made, after the
/// credentials were issued, so that nobody can choose credentials that fall on one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed([u64; 2]);

impl Seed {
    /// The seed in these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        let both = u128::from_le_bytes(bytes);
        Self([low(both), low(both >> 64)])
    }
}

/// Which ribbon of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ribbon {
    /// The sieve: several planes, and the identifier's own bits to compare with.
    Sieve,
    /// The exact one.
    Exact,
}

/// The equation that an identifier has in a ribbon: a window of its plane, and which of the window's bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The first byte of the window.
    pub byte: usize,
    /// The bits that count, the first byte's lowest bit first. They begin in that byte.
    pub bits: u128,
    sieve: u32,
}

impl Row {
    /// The row of an identifier in a ribbon of this level, whose planes have `plane` bytes; `None` if no plane has so few.
    #[must_use]
    pub fn of(id: &[u8; ID_LENGTH], seed: Seed, level: u8, ribbon: Ribbon, plane: usize) -> Option<Self> {
        let last = u64::try_from(plane.checked_sub(WINDOW)?).ok()?;
        let tag = u64::from(level).wrapping_mul(2).wrapping_add(match ribbon {
            Ribbon::Sieve => 1,
            Ribbon::Exact => 2,
        });
        let id = u128::from_le_bytes(*id);
        let Seed([one, two]) = seed;
        let start = mixed(low(id) ^ one.wrapping_add(tag.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let first = mixed(low(id >> 64) ^ two ^ start.rotate_left(29));
        let second = mixed(first ^ start.rotate_left(17));
        // 8 places a byte, and one more: the window may end with the plane.
        let places = last.wrapping_mul(8).wrapping_add(1);
        let place = low(u128::from(start).wrapping_mul(u128::from(places)) >> 64);
        let drawn = u128::from(first) << 64 | u128::from(second);
        let bits = drawn & (u128::MAX >> (128_u32.wrapping_sub(ROW_BITS))) | 1;
        let sieve = u32::try_from(mixed(second ^ one) >> 32).unwrap_or(0);
        Some(Self { byte: usize::try_from(place >> 3).ok()?, bits: bits << (place & 7), sieve })
    }

    /// The bit number `bit` that the identifier has in a sieve.
    #[must_use]
    pub const fn sieve_bit(&self, bit: usize) -> bool {
        self.sieve >> (bit & 31) & 1 == 1
    }

    /// The product with a plane: whether an odd number of the bits that count are set. `None` if the plane is shorter.
    #[must_use]
    pub fn product(&self, plane: &[u8]) -> Option<bool> {
        let window = plane.get(self.byte..)?.first_chunk::<WINDOW>()?;
        Some((u128::from_le_bytes(*window) & self.bits).count_ones() & 1 == 1)
    }
}

const fn low(number: u128) -> u64 {
    (number & u64::MAX as u128) as u64
}

/// A bijection of 64 bits in which each bit depends on all (Steele, Lea, Flood: SplitMix, variant 13 of Stafford).
const fn mixed(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

/// What a set is to say: the input of its encoder. `medlock-authority` makes table and shards.
#[derive(Clone, Copy, Debug)]
pub struct SetContent<'a> {
    /// Which set it is.
    pub heading: SetHeading,
    /// For each shard the first 8 bytes of identifiers from which it speaks, and where it begins.
    pub table: &'a [[u8; SHARD_ENTRY]],
    /// The shards, one after the other.
    pub shards: &'a [u8],
}

impl SetContent<'_> {
    /// Writes the payload of the set; [`crate::cose::sign1`] with the content type [`ContentType::REVOKED_SET`] in the
    /// header and the full key identifier makes the set of it.
    ///
    /// # Errors
    /// If `out` fails, or if no verifier would accept such a set.
    pub fn encode<W: Write>(&self, out: W) -> Result<(), EncodeError<W::Error>> {
        let SetHeading { authority, recovery_epoch, epoch, issued, next, covers, credentials, base } = self.heading;
        let length = self.table.len().saturating_mul(SHARD_ENTRY).saturating_add(self.shards.len());
        if length > MAX_SET_LENGTH.saturating_sub(1024) {
            return Err(EncodeError::Content(Refused::TooLong(length)));
        }
        if next < issued || covers > issued || covers < Time::from_unix(0) || next > Time::NEVER {
            return Err(EncodeError::Content(Refused::Times));
        }
        let set = RevokedSet { heading: self.heading, table: self.table, shards: self.shards };
        set.check_shards().map_err(EncodeError::Content)?;
        let mut writer = Writer::new(out);
        writer
            .array(11)
            .and_then(|w| w.uint(FORM)?.bytes(authority.as_bytes())?.uint(recovery_epoch)?.uint(epoch))
            .and_then(|w| w.time(issued)?.time(next)?.time(covers)?.uint(credentials))
            .and_then(|w| match base {
                Some(base) => w.uint(base),
                None => w.null(),
            })
            .and_then(|w| w.bytes(self.table.as_flattened())?.bytes(self.shards))
            .map(drop)
            .map_err(EncodeError::Write)
    }
}

//! The compact set's encoder: credentials in the order of their identifiers go in, one after the other, and shards come
//! out. It holds one shard at a time, so ten million credentials take no more memory than half a million.
//!
//! A ribbon is a system of linear equations over bits, solved by elimination as its rows come and by substitution from
//! its end (Dillinger, Walzer: "Ribbon filter", 2021, sections 2 and 3). Rows are taken in the order of their first bit, so the
//! work moves along the planes once.

use medlock_trust::CredentialId;
use medlock_trust::status::set::{MAX_SIEVE, Ribbon, Row, SHARD_ENTRY, Seed, Word, word_in_shard};

/// Credentials of one shard: what the encoder holds of them takes some 30 MB at most.
const SHARD_CREDENTIALS: usize = 1 << 19;
/// Of how many seeds none led to a shard: then something else is wrong.
const MOST_SEEDS: usize = 16;
/// How often a ribbon is made longer before another seed is tried.
const MOST_LENGTHS: usize = 24;

/// The parts of a compact set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shards {
    /// From which identifier each shard speaks, and where it begins.
    pub table: Vec<[u8; SHARD_ENTRY]>,
    /// The shards.
    pub shards: Vec<u8>,
    /// How many credentials they cover.
    pub credentials: u64,
}

/// Why there is no set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// The credentials did not come in ascending order, each once.
    #[error("the store gave credentials out of order")]
    Order,
    /// No shard of them is right: a defect of this program.
    #[error("a shard of the compact set does not say what it should")]
    Wrong,
    /// There are more than 4 GiB.
    #[error("the compact set is too long")]
    TooLong,
}

/// Takes credentials, and makes shards of them.
#[derive(Debug)]
pub struct ShardWriter<D> {
    /// Draws 16 random bytes.
    draw: D,
    waiting: Vec<(CredentialId, Word)>,
    most: usize,
    made: Shards,
}

impl<D: FnMut() -> [u8; 16]> ShardWriter<D> {
    /// A writer that has taken nothing; `draw` gives it random bytes.
    pub fn new(draw: D) -> Self {
        Self { draw, waiting: Vec::new(), most: SHARD_CREDENTIALS, made: Shards::default() }
    }

    /// As [`ShardWriter::new`], with shards of another length: for tests.
    #[doc(hidden)]
    pub fn with_shards_of(draw: D, most: usize) -> Self {
        Self { most, ..Self::new(draw) }
    }

    /// Takes the next credential.
    ///
    /// # Errors
    /// [`ShardError`].
    pub fn push(&mut self, credential: CredentialId, word: Word) -> Result<(), ShardError> {
        if let Some((last, _)) = self.waiting.last() {
            if *last >= credential {
                return Err(ShardError::Order);
            }
            // The table has the first 8 bytes: who shares them stays together.
            if self.waiting.len() >= self.most && last.as_bytes()[..8] != credential.as_bytes()[..8] {
                self.end_shard()?;
            }
        }
        self.waiting.push((credential, word));
        Ok(())
    }

    /// Ends the set.
    ///
    /// # Errors
    /// [`ShardError`].
    pub fn finish(mut self) -> Result<Shards, ShardError> {
        if !self.waiting.is_empty() {
            self.end_shard()?;
        }
        Ok(self.made)
    }

    fn end_shard(&mut self) -> Result<(), ShardError> {
        let mut entry = [0; SHARD_ENTRY];
        if !self.made.table.is_empty() {
            let first = self.waiting.first().map(|(first, _)| *first.as_bytes()).unwrap_or_default();
            entry[..8].copy_from_slice(&first[..8]);
        }
        let start = u32::try_from(self.made.shards.len()).map_err(|_| ShardError::TooLong)?;
        entry[8..].copy_from_slice(&start.to_be_bytes());
        let shard = (0..MOST_SEEDS).find_map(|_| shard(&self.waiting, (self.draw)())).ok_or(ShardError::Wrong)?;
        if !self.waiting.iter().all(|(credential, word)| word_in_shard(&shard, *credential) == Some(*word)) {
            return Err(ShardError::Wrong);
        }
        self.made.table.push(entry);
        self.made.shards.extend_from_slice(&shard);
        self.made.credentials += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }
}

/// Encodes one shard; `None` if the seed leads to equations without a solution.
fn shard(credentials: &[(CredentialId, Word)], seed: [u8; 16]) -> Option<Vec<u8>> {
    let words = by_frequency(credentials);
    let mut bytes = seed.to_vec();
    bytes.push(words.len().try_into().ok()?);
    bytes.extend(words.iter().map(|word| word.number()));
    let seed = Seed::from_bytes(seed);
    let mut reaching: Vec<(CredentialId, Word)> = credentials.to_vec();
    for (number, word) in (0_u8..).zip(words.iter().take(words.len() - 1)) {
        level(&mut bytes, &mut reaching, *word, seed, number)?;
    }
    Some(bytes)
}

fn by_frequency(credentials: &[(CredentialId, Word)]) -> Vec<Word> {
    let count = |word: Word| credentials.iter().filter(|(_, its)| *its == word).count();
    let mut words: Vec<(usize, Word)> = Word::ALL.map(|word| (count(word), word)).into();
    words.retain(|(count, _)| *count > 0);
    words.sort_by_key(|(count, word)| (std::cmp::Reverse(*count), *word));
    words.into_iter().map(|(_, word)| word).collect()
}

/// Writes the level that tells those with `word` from the others, and leaves the others in `reaching`.
fn level(
    bytes: &mut Vec<u8>,
    reaching: &mut Vec<(CredentialId, Word)>,
    word: Word,
    seed: Seed,
    number: u8,
) -> Option<()> {
    let all = std::mem::take(reaching);
    let (staying, going): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, its)| *its == word);
    let bits = sieve_bits(going.len(), staying.len());
    let sieve = if bits == 0 {
        Planes { bytes: 0, planes: Vec::new() }
    } else {
        let rows = |plane: usize| {
            let row = |id| Row::of(id, seed, number, Ribbon::Sieve, plane);
            going.iter().filter_map(|(one, _)| row(one.as_bytes())).map(|row| (row, own_bits(&row, bits))).collect()
        };
        solve(going.len(), bits, rows)?
    };
    let passes = |credential: &CredentialId| {
        Row::of(credential.as_bytes(), seed, number, Ribbon::Sieve, sieve.bytes).is_none_or(|row| {
            let mut planes = (0_usize..).zip(sieve.planes.chunks_exact(sieve.bytes));
            planes.all(|(bit, plane)| row.product(plane) == Some(row.sieve_bit(bit)))
        })
    };
    let through: Vec<CredentialId> = staying.iter().map(|(one, _)| *one).filter(|one| passes(one)).collect();
    drop(staying);
    let rows = |plane: usize| {
        let row = |id| Row::of(id, seed, number, Ribbon::Exact, plane);
        let members = going.iter().filter_map(|(one, _)| Some((row(one.as_bytes())?, 1)));
        members.chain(through.iter().filter_map(|one| Some((row(one.as_bytes())?, 0)))).collect()
    };
    let exact = solve(going.len() + through.len(), 1, rows)?;
    bytes.push(bits);
    bytes.extend(u32::try_from(sieve.bytes).ok()?.to_be_bytes());
    bytes.extend(u32::try_from(exact.bytes).ok()?.to_be_bytes());
    bytes.extend(&sieve.planes);
    bytes.extend(&exact.planes);
    *reaching = going;
    Some(())
}

/// How many bits a sieve has that keeps sieve and exact ribbon shortest: each costs every member, and halves the others.
fn sieve_bits(members: usize, others: usize) -> u8 {
    let length = |bits: u8| usize::from(bits) * members + members + (others >> bits);
    (0..=MAX_SIEVE).min_by_key(|bits| length(*bits)).unwrap_or(0)
}

fn own_bits(row: &Row, bits: u8) -> u32 {
    (0..bits).fold(0, |all, bit| all | u32::from(row.sieve_bit(bit.into())) << bit)
}

/// A solved ribbon: the bytes of a plane, and the planes.
struct Planes {
    bytes: usize,
    planes: Vec<u8>,
}

/// Finds planes such that each row's product with plane `n` is bit `n` of its value, as short as it can.
fn solve(count: usize, planes: u8, rows: impl Fn(usize) -> Vec<(Row, u32)>) -> Option<Planes> {
    (0..MOST_LENGTHS).find_map(|longer| {
        // Two bytes in a hundred more than there are rows, and a window; then one in a hundred more each time.
        let plane = (count * (102 + longer)).div_ceil(800) + 16 + longer;
        let mut rows = rows(plane);
        rows.sort_unstable_by_key(|(row, _)| row.byte);
        Some(Planes { bytes: plane, planes: eliminated(plane, &rows)?.substituted(planes) })
    })
}

/// The rows in echelon form: each begins at the bit it stands at.
struct Echelon {
    rows: Vec<u128>,
    values: Vec<u32>,
}

fn eliminated(plane: usize, rows: &[(Row, u32)]) -> Option<Echelon> {
    let mut echelon = Echelon { rows: vec![0; plane * 8], values: vec![0; plane * 8] };
    for (row, value) in rows {
        let (mut place, mut bits, mut value) = (row.byte * 8, row.bits, *value);
        loop {
            if bits == 0 {
                // It follows from the others, or contradicts them.
                if value == 0 { break } else { return None }
            }
            place += bits.trailing_zeros() as usize;
            bits >>= bits.trailing_zeros();
            let held = echelon.rows.get_mut(place)?;
            if *held == 0 {
                *held = bits;
                echelon.values[place] = value;
                break;
            }
            bits ^= *held;
            value ^= echelon.values[place];
        }
    }
    Some(echelon)
}

impl Echelon {
    fn substituted(&self, planes: u8) -> Vec<u8> {
        let plane = self.rows.len() / 8;
        let mut solved = vec![0; plane * usize::from(planes)];
        for (number, solved) in (0_u8..planes).zip(solved.chunks_exact_mut(plane)) {
            let mut window = 0_u128;
            for place in (0..self.rows.len()).rev() {
                window <<= 1;
                let known = (self.rows[place] & window).count_ones() & 1;
                let bit = known ^ (self.values[place] >> number & 1);
                if self.rows[place] != 0 && bit == 1 {
                    window |= 1;
                    solved[place / 8] |= 1 << (place % 8);
                }
            }
        }
        solved
    }
}

//! Append-only logs: Merkle trees over SHA-256 as in RFC 6962 section 2.1 (the same in RFC 9162 section 2.1).
//!
//! A log is known by its [`TreeHead`]: how many entries there are, and one hash over all. Two questions can be answered by
//! a few hashes more: is this entry in it ([`TreeHead::includes`]), and is this tree a continuation of that one
//! ([`TreeHead::continues`])?

use crate::crypto::{Crypto, Message};
use crate::id::CredentialId;
use crate::x509::Certificate;
use core::fmt;

/// Bytes of a hash.
pub const HASH_LENGTH: usize = 32;
/// The most hashes of a proof: a tree of 2^63 entries has no longer one (RFC 9162 section 2.1.3).
pub const MAX_PROOF: usize = 64;

/// The hash of an entry, or of a subtree.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; HASH_LENGTH]);

impl Hash {
    /// Takes a hash from its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; HASH_LENGTH]) -> Self {
        Self(bytes)
    }

    /// The hash's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; HASH_LENGTH] {
        &self.0
    }

    /// The root of the tree without entries.
    #[must_use]
    pub fn of_nothing(crypto: &impl Crypto) -> Self {
        Self(crypto.sha256(&[]))
    }

    /// The hash of an entry.
    #[must_use]
    pub fn of_entry(entry: &dyn Message, crypto: &impl Crypto) -> Self {
        Self(crypto.sha256(&Prefixed(0, entry)))
    }

    /// The hash of the tree of which these are the left and the right half.
    #[must_use]
    pub fn of_halves(left: Self, right: Self, crypto: &impl Crypto) -> Self {
        Self(crypto.sha256(&[&[1], left.0.as_slice(), &right.0]))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A message behind one byte, which keeps entries and halves apart.
struct Prefixed<'m>(u8, &'m dyn Message);

impl Message for Prefixed<'_> {
    fn feed(&self, to: &mut dyn FnMut(&[u8])) {
        to(&[self.0]);
        self.1.feed(to);
    }
}

/// All that identifies the state of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// How many entries it has.
    pub size: u64,
    /// The hash over all of them.
    pub root: Hash,
}

impl TreeHead {
    /// Whether `entry` is the entry number `index` (from 0), by the inclusion proof `path` (RFC 9162 section 2.1.3.2).
    #[must_use]
    pub fn includes(&self, entry: Hash, index: u64, path: &[Hash], crypto: &impl Crypto) -> bool {
        if index >= self.size || path.len() > MAX_PROOF {
            return false;
        }
        let mut edge = Edge { node: index, last: self.size.saturating_sub(1) };
        let mut hash = entry;
        for &beside in path {
            if edge.last == 0 {
                return false;
            }
            hash = if edge.joins_from_the_left() {
                Hash::of_halves(beside, hash, crypto)
            } else {
                Hash::of_halves(hash, beside, crypto)
            };
            edge.rise();
        }
        edge.last == 0 && hash == self.root
    }

    /// Whether this tree is `old` with entries added behind (none, if both are the same), by the consistency proof `path`
    /// (RFC 9162 section 2.1.4.2).
    #[must_use]
    pub fn continues(&self, old: &Self, path: &[Hash], crypto: &impl Crypto) -> bool {
        if old.size > self.size || path.len() > MAX_PROOF {
            return false;
        }
        if old.size == self.size {
            return path.is_empty() && old.root == self.root;
        }
        if old.size == 0 {
            return path.is_empty() && old.root == Hash::of_nothing(crypto);
        }
        // A complete old tree is a node of the new one: the proof begins with its root, which need not be said.
        let said = if old.size.is_power_of_two() { Some((&old.root, path)) } else { path.split_first() };
        let Some((&first, rest)) = said else { return false };
        let mut edge = Edge { node: old.size.saturating_sub(1), last: self.size.saturating_sub(1) };
        while edge.node & 1 == 1 {
            edge.up();
        }
        let (mut before, mut after) = (first, first);
        for &beside in rest {
            if edge.last == 0 {
                return false;
            }
            if edge.joins_from_the_left() {
                before = Hash::of_halves(beside, before, crypto);
                after = Hash::of_halves(beside, after, crypto);
            } else {
                after = Hash::of_halves(after, beside, crypto);
            }
            edge.rise();
        }
        edge.last == 0 && before == old.root && after == self.root
    }
}

/// The proof that a credential is in a log of a certain state: what an authority's cut-off asks for
/// ([`Authority::cutoff`](crate::list::Authority::cutoff)). Made by [`Logged::verify`] only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logged {
    credential: CredentialId,
    head: TreeHead,
}

impl Logged {
    /// Believes that `certificate` is the entry number `index` of the log with this head, by the inclusion proof `path`.
    #[must_use]
    pub fn verify(
        certificate: &Certificate<'_>,
        head: TreeHead,
        index: u64,
        path: &[Hash],
        crypto: &impl Crypto,
    ) -> Option<Self> {
        let credential = certificate.credential_id(crypto);
        head.includes(certificate.log_entry(crypto), index, path, crypto).then_some(Self { credential, head })
    }

    /// Whether it says that this credential is in the log with this head.
    #[must_use]
    pub fn is_of(&self, credential: CredentialId, head: TreeHead) -> bool {
        self.credential == credential && self.head == head
    }

    /// A proof from nothing, for tests of what is decided by it.
    #[cfg(test)]
    pub(crate) const fn for_test(credential: CredentialId, head: TreeHead) -> Self {
        Self { credential, head }
    }

    /// The credential.
    #[must_use]
    pub const fn credential(&self) -> CredentialId {
        self.credential
    }
}

/// A way upwards: the number of a node and of the last node, at the level where the way has come to.
struct Edge {
    node: u64,
    last: u64,
}

impl Edge {
    /// Whether what stands beside the node stands to its left.
    const fn joins_from_the_left(&self) -> bool {
        self.node & 1 == 1 || self.node == self.last
    }

    fn up(&mut self) {
        self.node >>= 1;
        self.last >>= 1;
    }

    /// To the node that was just computed. A last node with nothing to its right is its own parent, however often.
    fn rise(&mut self) {
        if self.joins_from_the_left() {
            while self.node & 1 == 0 && self.node != 0 {
                self.up();
            }
        }
        self.up();
    }
}

//! Transparency logs as files: C2SP tlog-tiles, tlog-checkpoint, signed-note, tlog-cosignature and tlog-proof.
//!
//! An authority writes into its log what it is about to sign. Anybody can check, without asking the authority, that a
//! credential is in the log ([`Proof`]), and that the log only ever grew ([`Edge`], which a monitor keeps).
//!
//! | module | what is there |
//! | --- | --- |
//! | [`tile`] | names of tiles; entry bundles |
//! | [`tree`] | the right edge of a growing tree; proofs from tiles |
//! | [`note`] | signed notes and their keys |
//! | [`checkpoint`] | the signed state of a log, and cosignatures of witnesses |
//! | [`proof`] | the proof that belongs beside a credential |
//! | [`follow`] | reading a log, and proving that it only ever grew |
//! | [`witness`] | cosigning checkpoints, each only if it continues the one before |

pub mod checkpoint;
pub mod follow;
pub mod note;
pub mod proof;
pub mod tile;
pub mod tree;
pub mod witness;

pub use checkpoint::{Checkpoint, Cosigned};
pub use follow::{FollowError, Follower, Place};
pub use note::{Note, NoteError, VerifierKey};
pub use proof::Proof;
pub use tile::Tile;
pub use tree::{Edge, Tiles};
pub use witness::{Witness, WitnessRefusal};

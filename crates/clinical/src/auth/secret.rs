//! Random texts that are given out once and kept as their hashes.

use data_encoding::BASE64URL_NOPAD;
use medlock_node::provider::{self, sha256};

/// A token, a code, the name of a session: 256 bits nobody can foresee.
pub(super) struct Secret {
    /// As it is given out.
    pub(super) text: String,
    /// As it is kept: SHA-256.
    pub(super) hash: [u8; 32],
}

impl Secret {
    pub(super) fn new() -> Self {
        let text = BASE64URL_NOPAD.encode(&provider::random::<32>());
        let hash = sha256(text.as_bytes());
        Self { text, hash }
    }
}

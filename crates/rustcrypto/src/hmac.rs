//! HMAC with SHA-256 (RFC 2104): infallible and of one copy, where the general crate is neither.

use sha2::{Digest, Sha256};
use zeroize::Zeroize;

const BLOCK_BYTES: usize = 64;

/// The code of the concatenation of `message`.
pub(crate) fn sha256(key: &[u8], message: &[&[u8]]) -> [u8; 32] {
    let mut block = [0; BLOCK_BYTES];
    if key.len() > BLOCK_BYTES {
        fill(&mut block, &Sha256::digest(key));
    } else {
        fill(&mut block, key);
    }
    let mut inner = Sha256::new();
    block.iter_mut().for_each(|byte| *byte ^= 0x36);
    inner.update(block);
    message.iter().for_each(|part| inner.update(part));
    let mut outer = Sha256::new();
    block.iter_mut().for_each(|byte| *byte ^= 0x36 ^ 0x5c);
    outer.update(block);
    outer.update(inner.finalize());
    block.zeroize();
    outer.finalize().into()
}

fn fill(block: &mut [u8; BLOCK_BYTES], key: &[u8]) {
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
}

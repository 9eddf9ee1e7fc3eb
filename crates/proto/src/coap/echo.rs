//! Echo (RFC 9175 section 2): is a request fresh, and can its sender be reached?
//!
//! A server that must not work for strangers answers their first message with 4.01 and a stamp in the Echo option, and keeps
//! nothing. Who can receive at the address repeats the request with it. (How OSCORE uses Echo after a reboot is in
//! [`crate::oscore`].)

use crate::crypto::{Crypto, Secret};
use subtle::ConstantTimeEq as _;

/// A stamp: six bytes of time, ten of MAC.
pub const STAMP_LENGTH: usize = 16;

/// A stamp for `peer` (its address, in any fixed form) at `now`. The key is drawn at each start and stays here.
#[must_use]
pub fn stamp(key: &Secret, peer: &[u8], now: u64, crypto: &impl Crypto) -> [u8; STAMP_LENGTH] {
    let [_, _, time @ ..] = now.to_be_bytes();
    let mac = crypto.hmac_sha256(key.expose(), &[&time, peer]);
    let mut stamp = [0; STAMP_LENGTH];
    let bytes = time.iter().chain(mac.expose());
    stamp.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    stamp
}

/// Whether `value` is a stamp that this server gave to `peer` at most `within_ms` milliseconds ago.
#[must_use]
pub fn is_fresh(key: &Secret, peer: &[u8], value: &[u8], now: u64, within_ms: u64, crypto: &impl Crypto) -> bool {
    let Some(&[a, b, c, d, e, f]) = value.first_chunk() else { return false };
    let given = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    let right = bool::from(stamp(key, peer, given, crypto).ct_eq(value));
    right && given <= now && now.saturating_sub(given) <= within_ms
}

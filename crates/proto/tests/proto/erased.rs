//! Key material is erased where it goes: by type, so that no path can forget it.

use core::mem::needs_drop;
use medlock_proto::crypto::Secret;
use medlock_proto::edhoc::initiator::{AwaitMessage2, Unconfirmed};
use medlock_proto::edhoc::responder::AwaitMessage3;
use medlock_proto::edhoc::{Ephemeral, OscoreInput, Session};
use medlock_proto::oscore::SecurityContext;
use medlock_proto::sealed::{Commander, Keys, Recipient};
use medlock_rustcrypto::SoftwareKey;
use zeroize::ZeroizeOnDrop;

/// Shows REQ-FUZZ-20: what holds keys is erased when it is dropped, or holds what is.
#[test]
fn what_holds_keys_erases_them() {
    const fn erased<T: ZeroizeOnDrop>() {}
    erased::<Secret>();
    erased::<OscoreInput>();
    // Nothing in these has another reason to be dropped than the keys.
    assert!(needs_drop::<Ephemeral>() && needs_drop::<AwaitMessage2>() && needs_drop::<AwaitMessage3>());
    assert!(needs_drop::<Unconfirmed>() && needs_drop::<Session>() && needs_drop::<SecurityContext>());
    assert!(needs_drop::<Keys>() && needs_drop::<Commander>() && needs_drop::<Recipient>());
    assert!(needs_drop::<SoftwareKey>());
}

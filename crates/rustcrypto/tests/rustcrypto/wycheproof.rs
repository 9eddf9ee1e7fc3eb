//! Project Wycheproof's vectors, for the provider of chips.

#[cfg_attr(not(feature = "curve25519"), expect(dead_code, reason = "two sets are of its curves"))]
mod cases;

use medlock_rustcrypto::RustCrypto;

/// Shows REQ-CHIP-04.
#[test]
fn ecdsa_in_der() {
    cases::ecdsa_in_der(&RustCrypto);
}

/// Shows REQ-CHIP-04.
#[test]
fn ecdsa_as_cose_writes_it() {
    cases::ecdsa_as_cose_writes_it(&RustCrypto);
}

/// Shows REQ-CHIP-04.
#[test]
fn agreement_on_p256() {
    cases::agreement_on_p256(&RustCrypto);
}

/// Shows REQ-CHIP-04.
#[test]
fn aes_ccm() {
    cases::aes_ccm(&RustCrypto);
}

/// Shows REQ-CHIP-04.
#[test]
fn hmac_sha256() {
    cases::hmac_sha256(&RustCrypto);
}

#[cfg(feature = "curve25519")]
#[test]
fn x25519() {
    cases::x25519(&RustCrypto);
}

#[cfg(feature = "curve25519")]
#[test]
fn ed25519() {
    cases::ed25519(&RustCrypto);
}

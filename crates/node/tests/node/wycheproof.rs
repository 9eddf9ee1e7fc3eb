//! Project Wycheproof's vectors, for the provider of servers.

#[path = "../../../rustcrypto/tests/rustcrypto/wycheproof/cases.rs"]
mod cases;

use medlock_node::provider::AwsLc;

/// Shows REQ-NODE-62.
#[test]
fn ecdsa_in_der() {
    cases::ecdsa_in_der(&AwsLc);
}

/// Shows REQ-NODE-62.
#[test]
fn ecdsa_as_cose_writes_it() {
    cases::ecdsa_as_cose_writes_it(&AwsLc);
}

/// Shows REQ-NODE-62.
#[test]
fn agreement_on_p256() {
    cases::agreement_on_p256(&AwsLc);
}

/// Shows REQ-NODE-62.
#[test]
fn aes_ccm() {
    cases::aes_ccm(&AwsLc);
}

/// Shows REQ-NODE-62.
#[test]
fn hmac_sha256() {
    cases::hmac_sha256(&AwsLc);
}

#[test]
fn x25519() {
    cases::x25519(&AwsLc);
}

#[test]
fn ed25519() {
    cases::ed25519(&AwsLc);
}

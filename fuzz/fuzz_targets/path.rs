//! Chains: a list of certificates, each behind its length in two bytes, big-endian; the last one is believed in.
//!
//! Every signature counts as right, so that the rules behind the signatures are reached.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_fuzz::Trusting;
use medlock_trust::path::{AuthorityKind, validate};
use medlock_trust::x509::Certificate;
use medlock_trust::{Anchor, Budget, authenticate};

fn pieces(mut data: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while let Some((length, rest)) = data.split_first_chunk::<2>() {
        let (piece, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
        pieces.push(piece);
        data = rest;
    }
    pieces
}

fuzz_target!(|data: &[u8]| {
    let chain = pieces(data);
    let Some(root) = chain.last().and_then(|root| Certificate::from_der(root).ok()) else { return };
    let Some(anchor) = Anchor::for_everything(&root, AuthorityKind::Site, &Trusting) else { return };
    if let Ok(path) = validate(&chain, &[anchor], &mut Budget::default(), &Trusting) {
        assert!(path.certificates().len() <= chain.len());
        let _ = path.validity();
    }
    let _ = authenticate(&chain, &[anchor], &mut Budget::default(), &Trusting);
});

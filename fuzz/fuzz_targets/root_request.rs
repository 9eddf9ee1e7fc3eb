//! What a root is asked to sign, and what it answers: files that travel.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_authority::keys::AuthorityCertificate;
use medlock_authority::root_request::{RootAnswer, RootRequest};
use medlock_authority::signer::KeyLabel;
use std::sync::LazyLock;

static ROOT: LazyLock<Option<AuthorityCertificate>> = LazyLock::new(|| {
    AuthorityCertificate::read(KeyLabel::ROOT, include_bytes!("../corpus/certificate/root").to_vec()).ok()
});

fuzz_target!(|data: &[u8]| {
    if let Ok(request) = RootRequest::read(data) {
        assert!(!request.to_string().is_empty());
    }
    if let Some(root) = &*ROOT {
        let _ = RootAnswer::read(data, std::slice::from_ref(root));
    }
});

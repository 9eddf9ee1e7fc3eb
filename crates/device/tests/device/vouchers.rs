//! Vouchers of a maker, and owners who transfer what is theirs.

use crate::platform::{Dice, point};
use crate::site::DAY;
use medlock_proto::crypto::OwnKey as _;
use medlock_rustcrypto::{RustCrypto, SoftwareKey};
use medlock_trust::cose;
use medlock_trust::crypto::Crypto as _;
use medlock_trust::voucher::{self, Assertion, Pinned, Transfer, Voucher};
use medlock_trust::{KeyId, Time};
use std::convert::Infallible;

/// The serial of the device that is spoken of.
pub(crate) const SERIAL: &str = "maker-0815";

/// An owner: its key, and `SubjectPublicKeyInfo`.
pub(crate) struct Owner {
    key: SoftwareKey,
    pub(crate) spki: Vec<u8>,
}

impl Owner {
    pub(crate) fn new(seed: u64) -> Self {
        let key = Dice(seed).key();
        // id-ecPublicKey on P-256 (RFC 5480 section 2.1.1).
        let head = [
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
            0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ];
        let spki = [&head[..], &point(&key)].concat();
        Self { key, spki }
    }

    pub(crate) fn domain(&self) -> [u8; 32] {
        RustCrypto.sha256(&[self.spki.as_slice()])
    }

    pub(crate) fn transfer(&self, to: &Self, created_on: Time) -> Vec<u8> {
        let (from, to) = (self.domain(), to.domain());
        let transfer = Transfer { serial_number: SERIAL, from: &from, to: Some(&to), created_on };
        let mut payload = Vec::new();
        transfer.encode(&mut payload).unwrap();
        let id = KeyId::of(&[self.spki.as_slice()], &RustCrypto);
        let mut out = Vec::new();
        cose::sign1(&payload, Transfer::PLACE, cose::Algorithm::Es256, id.as_bytes(), &mut out, |parts| {
            Ok::<_, Infallible>(self.key.sign(&parts).unwrap())
        })
        .unwrap();
        out
    }
}

pub(crate) fn voucher(maker: &SoftwareKey, owner: &Owner, created_on: Time, nonce: Option<&[u8]>) -> Vec<u8> {
    let domain = owner.domain();
    let voucher = Voucher {
        assertion: Assertion::Verified,
        created_on,
        expires_on: nonce.is_none().then(|| created_on.plus_seconds(1_000 * DAY)),
        nonce,
        serial_number: SERIAL,
        idevid_issuer: None,
        pinned: Pinned::Hash(&domain),
        last_renewal_date: None,
    };
    let mut data = Vec::new();
    voucher.encode(&mut data).unwrap();
    let mut out = Vec::new();
    voucher::sign(&data, &[], &mut out, |parts| Ok::<_, Infallible>(maker.sign(&parts).unwrap())).unwrap();
    out
}

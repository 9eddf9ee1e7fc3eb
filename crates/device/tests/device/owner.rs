//! Whose a device is: vouchers and transfers, before a site is trusted.

use crate::platform::{Dice, point};
use crate::site::{DAY, START};
use crate::world::{FAIR, World};
use medlock_device::owner::NotOwned;
use medlock_device::{NotTaken, PhysicalAct};
use medlock_proto::crypto::OwnKey as _;
use medlock_rustcrypto::{RustCrypto, SoftwareKey};
use medlock_trust::cose;
use medlock_trust::crypto::{Crypto as _, KeyAlgorithm, PublicKey};
use medlock_trust::voucher::{self, Assertion, Pinned, Refused, Transfer, Voucher};
use medlock_trust::{Interval, KeyId, Time};
use std::convert::Infallible;

const SERIAL: &str = "maker-0815";

/// An owner: its key, and `SubjectPublicKeyInfo`.
struct Owner {
    key: SoftwareKey,
    spki: Vec<u8>,
}

impl Owner {
    fn new(seed: u64) -> Self {
        let key = Dice(seed).key();
        // id-ecPublicKey on P-256 (RFC 5480 section 2.1.1).
        let head = [
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
            0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ];
        let spki = [&head[..], &point(&key)].concat();
        Self { key, spki }
    }

    fn domain(&self) -> [u8; 32] {
        RustCrypto.sha256(&[self.spki.as_slice()])
    }

    fn transfer(&self, to: &Self, created_on: Time) -> Vec<u8> {
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

fn voucher(maker: &SoftwareKey, owner: &Owner, created_on: Time, nonce: Option<&[u8]>) -> Vec<u8> {
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

/// Shows REQ-PROV-15, REQ-PROV-16.
#[test]
fn a_device_takes_the_site_its_voucher_names_and_no_former_owner_comes_back() {
    let mut world = World::new(15, FAIR);
    let number = world.newborn_named(SERIAL);
    let (maker, thief) = (Dice(7).key(), Dice(8).key());
    let public = point(&maker);
    let maker_key = PublicKey { algorithm: KeyAlgorithm::P256, bits: &public };
    let [first, second, third] = [21, 22, 23].map(Owner::new);
    let act = || Some(PhysicalAct::danger_button_was_held());
    let now = world.ticks();
    let sdk = world.sdk(number);
    sdk.set_time(now, Interval::exactly(START));
    let mut take = |bytes: &[u8], nonce, act| sdk.take_voucher(now, bytes, nonce, maker_key, act);
    let refused = |why| Err(NotOwned::Refused(why));
    let at = |days: i64| START.plus_seconds(days * DAY);
    assert_eq!(take(&voucher(&thief, &second, at(-5), None), None, None), refused(Refused::Forged));
    let asked = voucher(&maker, &first, at(-4), Some(&[5; 16]));
    assert_eq!(take(&asked, None, None), refused(Refused::Nonce));
    assert_eq!(take(&asked, Some(&[6; 16]), None), refused(Refused::Nonce));
    assert_eq!(take(&voucher(&maker, &first, at(-2_000), None), None, None), refused(Refused::Expired));
    assert_eq!(take(&asked, Some(&[5; 16]), None), Ok(()));
    // The paper of the same owner is older, and still good; another owner's is not.
    assert_eq!(take(&voucher(&maker, &first, at(-9), None), None, None), Ok(()));
    assert_eq!(take(&voucher(&maker, &second, at(-9), None), None, act()), refused(Refused::Older));
    assert_eq!(
        take(&voucher(&maker, &second, at(-9), Some(&[5; 16])), Some(&[5; 16]), act()),
        refused(Refused::Older),
        "a nonce that the device used before"
    );
    // A newer one is: by a physical act, as the device has a site.
    let sold = voucher(&maker, &second, at(-3), None);
    assert_eq!(take(&sold, None, None), Err(NotOwned::Site(NotTaken::NeedsPhysicalAct)));
    assert_eq!(take(&sold, None, act()), Ok(()));
    assert_eq!(take(&asked, Some(&[5; 16]), act()), refused(Refused::Older), "the former owner");
    // The maker is gone: the owner of today transfers it, and nobody else.
    let mut transfer = |bytes: &[u8], owner: &Owner| sdk.take_transfer(now, bytes, &owner.spki, act());
    assert_eq!(transfer(&first.transfer(&third, at(-2)), &first), refused(Refused::OtherDomain));
    assert_eq!(transfer(&second.transfer(&third, at(-8)), &second), refused(Refused::Older));
    assert_eq!(transfer(&second.transfer(&third, at(-2)), &third), refused(Refused::Forged));
    assert_eq!(transfer(&second.transfer(&third, at(3_000)), &second), refused(Refused::Early));
    assert_eq!(transfer(&second.transfer(&third, at(-2)), &second), Ok(()));
    assert_eq!(transfer(&second.transfer(&first, at(-1)), &second), refused(Refused::OtherDomain), "it is sold");
    let site = KeyId::of(&[third.spki.as_slice()], &RustCrypto);
    assert_eq!(sdk.pin_site(site, None), Ok(()), "it is the third's by now");
    assert_eq!(sdk.pin_site(KeyId::from_bytes([1; 16]), None), Err(NotTaken::NeedsPhysicalAct));
    // Leaving the site by hand does not make it a former owner's either.
    sdk.pin_site(KeyId::from_bytes([1; 16]), act()).unwrap();
    assert_eq!(sdk.take_voucher(now, &sold, None, maker_key, act()), refused(Refused::Older));
    // Nor does a newer voucher that the seller kept in a drawer, having dated the transfer before it.
    let kept = voucher(&maker, &second, at(-1), None);
    assert_eq!(sdk.take_voucher(now, &kept, None, maker_key, act()), refused(Refused::Older));
}

//! Whose a device is: vouchers and transfers, before a site is trusted.

use crate::platform::{Dice, point};
use crate::site::{DAY, START};
use crate::vouchers::{Owner, SERIAL, voucher};
use crate::world::{FAIR, World};
use medlock_device::owner::NotOwned;
use medlock_device::{NotTaken, PhysicalAct};
use medlock_rustcrypto::RustCrypto;
use medlock_trust::crypto::{KeyAlgorithm, PublicKey};
use medlock_trust::voucher::Refused;
use medlock_trust::{Interval, KeyId};

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

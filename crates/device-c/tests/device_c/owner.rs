//! Whose a device is, as firmware in C is told.

use crate::calls::{Ground, platform, settings, start_with};
use crate::platform::{Dice, point};
use crate::site::{DAY, START, Site};
use crate::vouchers::{Owner, SERIAL, voucher};
use core::ptr::null;
use medlock_device_c::numbers;
use medlock_device_c::owner::{medlock_lost_its_issuer, medlock_take_transfer, medlock_take_voucher};
use medlock_device_c::records::{Bytes, Settings};
use medlock_device_c::trust::medlock_set_time;
use medlock_trust::Time;
use medlock_trust::role::Role;

/// Shows REQ-DEV-133.
#[test]
fn a_device_in_c_takes_its_owner_by_voucher_and_the_next_by_transfer() {
    let mut dice = Dice(31);
    let (site, key) = (Site::new(&mut dice), dice.key());
    let birth = site.maker.issue(SERIAL, &[Role::Actuator], &key, (START, Time::NEVER));
    let chain = [Bytes { bytes: birth.as_ptr(), length: birth.len() }];
    let ground = Ground::new();
    let settings = Settings { birth: chain.as_ptr(), birth_count: 1, ..settings(ground.0) };
    let (result, device) = start_with(ground.0, &platform(ground.0), &settings);
    assert_eq!(result, numbers::OK);
    // SAFETY: the device was started.
    assert_eq!(unsafe { medlock_set_time(device, 0, START.unix(), START.unix()) }, numbers::OK);
    let (maker, thief) = (Dice(7).key(), Dice(8).key());
    let [first, second] = [21, 22].map(Owner::new);
    let at = |days: i64| START.plus_seconds(days * DAY);
    let held = numbers::BUTTON_WAS_HELD;
    let take = |voucher: &[u8], nonce: Option<&[u8]>, act: i32| {
        let nonce = nonce.map(|nonce| Bytes { bytes: nonce.as_ptr(), length: nonce.len() });
        let nonce = nonce.as_ref().map_or(null(), core::ptr::from_ref);
        let point = point(&maker);
        // SAFETY: the device, the voucher, the nonce and the key are there.
        unsafe { medlock_take_voucher(device, 0, voucher.as_ptr(), voucher.len(), nonce, point.as_ptr(), act) }
    };
    let asked = voucher(&maker, &first, at(-4), Some(&[5; 16]));
    assert_eq!(take(&voucher(&thief, &first, at(-4), None), None, 0), numbers::ERROR_NOT_BELIEVED);
    assert_eq!(take(&[0; 10], None, 0), numbers::ERROR_NO_OBJECT);
    assert_eq!(take(&asked, None, 0), numbers::ERROR_NOT_ASKED);
    assert_eq!(take(&voucher(&maker, &first, at(-2_000), None), None, 0), numbers::ERROR_EXPIRED);
    assert_eq!(take(&asked, Some(&[5; 16]), 1), numbers::ERROR_PHYSICAL_ACT, "no number but the button's");
    assert_eq!(take(&asked, Some(&[5; 16]), 0), numbers::OK);
    assert_eq!(take(&voucher(&maker, &second, at(-3), None), None, 0), numbers::ERROR_PHYSICAL_ACT);
    assert_eq!(take(&voucher(&maker, &second, at(-9), None), None, held), numbers::ERROR_NOT_NEWER);
    let transfer = first.transfer(&second, at(-2));
    let sell = |owner: &Owner| {
        let (bytes, spki) = (transfer.as_slice(), owner.spki.as_slice());
        // SAFETY: the device and both pieces of bytes are there.
        unsafe { medlock_take_transfer(device, 0, bytes.as_ptr(), bytes.len(), spki.as_ptr(), spki.len(), held) }
    };
    assert_eq!(sell(&second), numbers::ERROR_NOT_BELIEVED);
    assert_eq!(sell(&first), numbers::OK);
    assert_eq!(sell(&first), numbers::ERROR_OTHER_OWNER, "it is sold");
    let mut lost = 7;
    // SAFETY: the device and the number are there.
    assert_eq!(unsafe { medlock_lost_its_issuer(device, 0, &raw mut lost) }, numbers::OK);
    assert_eq!(lost, 0);
}

//! Bonds signed by a site: whatever is read can be written again, to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_fuzz::Trusting;
use medlock_trust::DeviceId;
use medlock_trust::bond::SignedBond;
use medlock_trust::cose::Sign1;
use medlock_trust::list::List;

const SITE_LIST: &[u8] = include_bytes!("../corpus/list/site");

fuzz_target!(|bytes: &[u8]| {
    let list = List::danger_open(SITE_LIST).expect("the seed is a list");
    let Ok(bond) = SignedBond::danger_open(bytes) else {
        assert!(SignedBond::verify(bytes, DeviceId::from_bytes([0; 16]), &list, &Trusting).is_err());
        return;
    };
    assert!(bond.lowest_epoch <= bond.bond.epoch);
    assert!(
        SignedBond::verify(bytes, DeviceId::from_bytes([0; 16]), &list, &Trusting).is_err()
            || bond.device.as_bytes() == &[0; 16]
    );
    let mut payload = Vec::new();
    bond.encode(&mut payload).expect("a vector takes all");
    assert_eq!(payload, Sign1::read(bytes).expect("it was read before").payload());
});

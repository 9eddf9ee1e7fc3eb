//! Answers of a device: whatever a controller opens is survived, and a receipt is sealed again to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_fuzz::Trusting;
use medlock_proto::sealed::{Commander, Keys, Kid, Link, MAX_LENGTH, Memory, OpenError, Recipient, Told};
use medlock_trust::DeviceId;

/// Bytes before the head of the ciphertext, where the Partial IV has one byte.
const OUTER: usize = 14;

fn keys() -> Keys {
    Keys::export(|_, _, _| Ok::<_, ()>(())).expect("never fails")
}

fuzz_target!(|bytes: &[u8]| {
    let kid = |byte| Kid::new(&[byte]).expect("short");
    let link = Link {
        controller: DeviceId::from_bytes([0xc0; 16]),
        device: DeviceId::from_bytes([0xd0; 16]),
        controller_kid: kid(0x0c),
        device_kid: kid(0x0d),
    };
    let mut commander = Commander::new(keys(), link, 7, Memory { next: 1, unknown: Some(1), bolus: Some(1) });
    let mut out = [0; MAX_LENGTH];
    commander.ask_challenge(&mut out, &Trusting).expect("room");
    let before = commander.memory();
    match commander.open(&mut bytes.to_vec(), &Trusting) {
        Ok(Told::Receipt(receipt)) => {
            let mut recipient = Recipient::new(keys(), link, 7, 0);
            let sealed = recipient.receipt(&receipt, &mut out, &Trusting).expect("room");
            let longer = bytes.len() - sealed.len();
            assert_eq!(sealed[OUTER..sealed.len() - 16], bytes[OUTER + longer..bytes.len() - 16], "a second encoding");
            let again = commander.open(&mut bytes.to_vec(), &Trusting);
            assert_eq!(again, Err(OpenError::Replayed));
        }
        Ok(Told::Ready(standing)) => {
            assert!(commander.is_ready() && commander.memory().next > standing.floor);
        }
        Err(_) => assert_eq!(commander.memory(), before, "nothing changes by what is not opened"),
    }
});

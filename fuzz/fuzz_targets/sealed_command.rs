//! Sealed commands: whatever a device opens is survived, admitted once at most, and is sealed again to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_fuzz::Trusting;
use medlock_proto::sealed::{Asked, Commander, Keys, Kid, Link, MAX_LENGTH, Memory, Recipient, Standing};
use medlock_trust::DeviceId;

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
    let mut recipient = Recipient::new(keys(), link, 7, 0);
    let Ok(Asked::Command(received)) = recipient.open(&mut bytes.to_vec(), &Trusting) else { return };
    assert!(Kid::of(bytes).is_some());
    let (counter, command) = (received.counter(), *received.command());
    assert!(recipient.admit(received, command.state, 0, 1).is_err(), "no challenge is open");
    // A controller that comes to the same command.
    let Some(before) = counter.checked_sub(1).filter(|before| *before > 0) else { return };
    let memory = Memory { next: before, ..Memory::default() };
    let mut commander = Commander::new(keys(), link, command.epoch, memory);
    let mut recipient = Recipient::new(keys(), link, command.epoch, 0);
    let mut out = [0; MAX_LENGTH];
    let mut ask = commander.ask_challenge(&mut out, &Trusting).expect("room").to_vec();
    let Ok(Asked::Challenge(asked)) = recipient.open(&mut ask, &Trusting) else { panic!("it asks for a challenge") };
    let standing = Standing { state: command.state, floor: before, bolus: None };
    let mut answer =
        recipient.challenge(asked, command.challenge, standing, 0, &mut out, &Trusting).expect("room").to_vec();
    commander.open(&mut answer, &Trusting).expect("authentic");
    let (again, sealed) = commander.command(command.order, &mut out, &Trusting).expect("ready");
    let text = bytes.len() - 16;
    assert_eq!((again, sealed.len(), &sealed[..text]), (counter, bytes.len(), &bytes[..text]), "a second encoding");
    let Ok(Asked::Command(received)) = recipient.open(&mut bytes.to_vec(), &Trusting) else { panic!("opened before") };
    recipient.admit(received, command.state, 0, 1).expect("timely");
    let Ok(Asked::Command(received)) = recipient.open(&mut bytes.to_vec(), &Trusting) else { panic!("opened before") };
    assert!(recipient.admit(received, command.state, 0, 1).is_err(), "once");
});

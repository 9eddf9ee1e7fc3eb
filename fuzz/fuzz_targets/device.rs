//! A whole device: datagrams of strangers, cut out of the input, change nothing but counters, and cost no panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_device::platform::Ticks;
use medlock_device::{Address, Device, Event, Layout, Memory, Output, Settings};
use medlock_fuzz::board::{Board, Keys, Ram, parts};
use medlock_rustcrypto::RustCrypto;
use medlock_trust::KeyId;

fuzz_target!(|bytes: &[u8]| {
    let parts = parts(RustCrypto, Ram(vec![0xff; 16 * 1024]), Keys(None));
    let mut staging = [0; 512];
    let settings = Settings::new(Layout { objects: 0..16, slot_pages: 2 }, &[], &mut staging);
    let mut now = Ticks::from_millis(0);
    let mut memory = Memory::new();
    let mut device =
        Device::<Board<RustCrypto>, 2, 3, 512>::start(parts, settings, &mut memory, now).expect("the layout fits");
    device.pin_site(KeyId::from_bytes([1; 16]), None).expect("it has no site");
    let mut rest = bytes;
    let mut buffer = [0; 1500];
    while let Some((&[from, high, low], after)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low])).min(after.len());
        let (datagram, after) = after.split_at(length);
        rest = after;
        device.handle_datagram(now, Address::new(&[from]).expect("one byte"), &mut datagram.to_vec());
        loop {
            match device.poll(now, &mut buffer) {
                Output::Wait(_) => break,
                Output::Transmit { datagram, .. } => assert!(!datagram.is_empty()),
                Output::Event(Event::Denied { .. }) => {}
                Output::Event(event) => panic!("a stranger achieved {event:?}"),
            }
        }
        now = now.plus_millis(500);
        device.handle_timeout(now);
    }
});

//! The files of a device: whatever the flash holds, it starts, tells what it holds, and starts again as the same.
//!
//! Each file begins with "MLF1" at a border of two pages; a wrong digest of one is made right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_device::platform::Ticks;
use medlock_device::{Address, Device, Layout, Memory, Output, Settings};
use medlock_fuzz::Trusting;
use medlock_fuzz::board::{Board, Keys, Ram, parts};
use medlock_proto::crypto::Secret;
use medlock_rustcrypto::SoftwareKey;
use medlock_trust::{Bond, Crypto};

const SLOT: usize = 2 * 1024;
/// Where a header has the length of its file and its digest, and where it ends.
const LENGTH: std::ops::Range<usize> = 8..12;
const DIGEST: std::ops::Range<usize> = 64..80;
/// The key of the credential in the corpus, which is the RFC 7925 example of draft-ietf-cose-cbor-encoded-cert.
const PUBLIC: [u8; 33] = *b"\x02\xb1\x21\x6a\xb9\x6e\x5b\x3b\x33\x40\xf5\xbd\xf0\x2e\x69\x3f\x16\x21\x3a\x04\x52\
    \x5e\xd4\x44\x50\xb1\x01\x9c\x2d\xfd\x38\x38\xab";
/// A confirmable GET of /m/objects, which needs no session.
const ASK: &[u8] = b"\x40\x01\0\x01\xb1m\x07objects";

fn key() -> SoftwareKey {
    SoftwareKey::p256(Secret::from_bytes([1; 32])).expect("a key")
}

fn make_right(slot: &mut [u8]) -> Option<()> {
    let length = u32::from_be_bytes(slot.get(LENGTH)?.try_into().ok()?);
    let body = slot.get(DIGEST.end..)?.get(..usize::try_from(length).ok()?)?;
    let digest = Trusting.sha256(&[slot.get(..DIGEST.start)?, body]);
    slot.get_mut(DIGEST)?.copy_from_slice(&digest[..16]);
    Some(())
}

/// Starts, and gives back the flash with what was told.
fn run(flash: Ram) -> (Ram, Vec<Bond>, Vec<Vec<u8>>) {
    let mut staging = [0; 512];
    let settings = Settings::new(Layout { objects: 0..16, slot_pages: 2 }, &[], &mut staging);
    let now = Ticks::from_millis(0);
    let parts = parts(Trusting, flash, Keys(Some((key, PUBLIC))));
    let mut memory = Memory::new();
    let mut device =
        Device::<Board<Trusting>, 2, 3, 512>::start(parts, settings, &mut memory, now).expect("no file stops a device");
    device.handle_datagram(now, Address::new(&[1]).expect("one byte"), &mut ASK.to_vec());
    let (mut buffer, mut told) = ([0; 1500], Vec::new());
    loop {
        match device.poll(now, &mut buffer) {
            Output::Wait(_) => break,
            Output::Transmit { datagram, .. } => told.push(datagram.to_vec()),
            Output::Event(_) => {}
        }
    }
    let bonds = device.bonds().copied().collect();
    (device.stop().flash, bonds, told)
}

fuzz_target!(|bytes: &[u8]| {
    let mut flash = vec![0xff; 8 * SLOT];
    flash.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    for slot in flash.chunks_exact_mut(SLOT) {
        let _ = make_right(slot);
    }
    let before = flash.clone();
    let (flash, bonds, told) = run(Ram(flash));
    assert_eq!(flash.0, before, "starting and telling writes nothing");
    assert_eq!(run(flash).1, bonds);
    assert_eq!(told.len(), 1);
});

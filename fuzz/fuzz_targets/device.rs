//! A whole device: datagrams of strangers, cut out of the input, change nothing but counters, and cost no panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_device::platform::{Flash, KeySlot, KeyStore, MappedFlash, Parts, Platform, Rng, Ticks};
use medlock_device::{Address, Device, Event, Layout, Output, Settings};
use medlock_rustcrypto::{RustCrypto, SoftwareKey};
use medlock_trust::KeyId;

struct Board;

impl Platform for Board {
    type Crypto = RustCrypto;
    type Rng = Count;
    type Flash = Ram;
    type Keys = NoKeys;
}

struct Count(u8);

impl Rng for Count {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
    }
}

struct Ram(Vec<u8>);

impl Flash for Ram {
    type Error = ();
    const PAGE: usize = 1024;
    const WORD: usize = 8;

    fn pages(&self) -> usize {
        self.0.len() / Self::PAGE
    }

    fn read(&self, offset: usize, to: &mut [u8]) -> Result<(), ()> {
        to.copy_from_slice(self.0.get(offset..offset + to.len()).ok_or(())?);
        Ok(())
    }

    fn program(&mut self, offset: usize, bytes: &[u8]) -> Result<(), ()> {
        self.0.get_mut(offset..offset + bytes.len()).ok_or(())?.copy_from_slice(bytes);
        Ok(())
    }

    fn erase(&mut self, page: usize) -> Result<(), ()> {
        self.0.get_mut(page * Self::PAGE..(page + 1) * Self::PAGE).ok_or(())?.fill(0xff);
        Ok(())
    }
}

impl MappedFlash for Ram {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

struct NoKeys;

impl KeyStore for NoKeys {
    type Key<'k> = SoftwareKey;
    type Error = ();

    fn key(&self, _: KeySlot) -> Result<Option<SoftwareKey>, ()> {
        Ok(None)
    }

    fn public_key(&self, _: KeySlot) -> Result<Option<[u8; 33]>, ()> {
        Ok(None)
    }

    fn generate_next(&mut self) -> Result<(), ()> {
        Err(())
    }

    fn promote_next(&mut self) -> Result<(), ()> {
        Err(())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let parts = Parts::<Board> { crypto: RustCrypto, rng: Count(0), flash: Ram(vec![0xff; 16 * 1024]), keys: NoKeys };
    let mut staging = [0; 512];
    let settings = Settings::new(Layout { objects: 0..16, slot_pages: 2 }, &[], &mut staging);
    let mut now = Ticks::from_millis(0);
    let mut device = Device::<Board, 2, 3, 512>::start(parts, settings, now).expect("the layout fits");
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

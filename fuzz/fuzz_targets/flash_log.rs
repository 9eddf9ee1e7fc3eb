//! The flash log: whatever the flash holds, opening ends; what opens can be read, written and opened again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_device::command::{Limits, Reception};
use medlock_device::log::{Area, Key, Log, LogError};
use medlock_device::platform::Flash;
use medlock_proto::sealed::{Concentration, MilliUnits, Minutes, Rate};

const BANK: usize = 1024;

struct Memory([u8; 2 * BANK]);

impl Flash for Memory {
    type Error = ();
    const PAGE: usize = BANK;
    const WORD: usize = 4;

    fn pages(&self) -> usize {
        2
    }

    fn read(&self, offset: usize, to: &mut [u8]) -> Result<(), ()> {
        to.copy_from_slice(self.0.get(offset..offset + to.len()).expect("within the flash"));
        Ok(())
    }

    fn program(&mut self, offset: usize, bytes: &[u8]) -> Result<(), ()> {
        assert!(offset.is_multiple_of(4) && bytes.len().is_multiple_of(4));
        self.0.get_mut(offset..offset + bytes.len()).expect("within the flash").copy_from_slice(bytes);
        Ok(())
    }

    fn erase(&mut self, page: usize) -> Result<(), ()> {
        self.0.get_mut(page * BANK..(page + 1) * BANK).expect("within the flash").fill(0xff);
        Ok(())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut content = [0xff; 2 * BANK];
    content.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    let area = Area { pages: 0..2, bank_pages: 1 };
    let limits = Limits {
        challenge_age_millis: 1,
        concentration: Concentration::U100,
        bolus: MilliUnits(1),
        basal: Rate(1),
        basal_minutes: Minutes(1),
        window_minutes: Minutes(60),
        window_amount: MilliUnits(1),
        halt_minutes: Minutes(1),
        window_halts: 1,
        lease_minutes: Minutes(1),
    };
    let _ = Reception::open(&mut Memory(content), &area, limits);
    let mut flash = Memory(content);
    let Ok(mut log) = Log::open(&mut flash, &area) else { return };
    let mut from = Some(Key(0));
    while let Some(key) = from.and_then(|from| log.next_key(&flash, from).expect("the flash works")) {
        let mut value = [0; BANK];
        assert!(log.get(&flash, key, &mut value).expect("it was checked").is_some());
        from = key.0.checked_add(1).map(Key);
    }
    match log.put(&mut flash, Key(7), &[b"va", b"lue"]) {
        Ok(()) => {
            let again = Log::open(&mut flash, &area).expect("it opened before");
            let mut value = [0; 8];
            assert_eq!(again.get(&flash, Key(7), &mut value), Ok(Some(b"value".as_slice())));
        }
        Err(error) => assert_eq!(error, LogError::Full),
    }
});

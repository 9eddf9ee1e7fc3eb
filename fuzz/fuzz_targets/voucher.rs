//! Vouchers and transfers from a stranger: any bytes get an answer, and what is read is written as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_trust::voucher::{Signed, Transfer, Voucher, read_to_be_signed};

fuzz_target!(|bytes: &[u8]| {
    let _ = Signed::read(bytes);
    let _ = read_to_be_signed(bytes);
    if let Ok(voucher) = Voucher::read(bytes) {
        let mut again = Vec::new();
        voucher.encode(&mut again).unwrap();
        assert_eq!(Voucher::read(&again), Ok(voucher));
    }
    if let Ok(transfer) = Transfer::read(bytes) {
        let mut again = Vec::new();
        transfer.encode(&mut again).unwrap();
        assert_eq!(again, bytes);
    }
});

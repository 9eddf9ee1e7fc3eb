//! Vouchers and requests for them as registrars and makers get them from strangers: any bytes get an answer, and what is read
//! is written as it was meant.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_node::brski::cms::{SignedJson, check_attributes};
use medlock_node::brski::{MasaUrl, VoucherData, VoucherRequest, write_voucher};

fuzz_target!(|bytes: &[u8]| {
    let _ = check_attributes(bytes);
    if let Ok(signed) = SignedJson::read(bytes) {
        let _ = VoucherRequest::read(signed.json);
    }
    if let Ok(request) = VoucherRequest::read(bytes) {
        assert_eq!(VoucherRequest::read(&request.write()), Ok(request));
    }
    if let Ok(voucher) = VoucherData::read(bytes) {
        let again = write_voucher(&voucher.voucher(), &voucher.pinned);
        assert_eq!(VoucherData::read(&again), Ok(voucher));
    }
    if let Some(url) = std::str::from_utf8(bytes).ok().and_then(MasaUrl::read) {
        assert!(!url.path("x").contains(['\r', '\n', ' ']));
    }
});

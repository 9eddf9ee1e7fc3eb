//! What devices report to their hub: what is read is written again to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_proto::record::{Record, Records};
use medlock_trust::cbor::Writer;

fuzz_target!(|bytes: &[u8]| {
    let Ok(records) = Records::read(bytes) else { return };
    let records: Vec<Record> = records.collect();
    let mut written = Vec::new();
    Records::encode(&records, &mut Writer::new(&mut written)).expect("memory takes all");
    assert_eq!(written, bytes);
    for record in &records {
        let mut one = Vec::new();
        record.encode(&mut Writer::new(&mut one)).expect("memory takes all");
        assert!(one.len() <= Record::MAX_LENGTH);
    }
});

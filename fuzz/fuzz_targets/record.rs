//! What devices report to their hub and are answered: what is read is written again to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_proto::record::{Answer, Record, Refusal, Report};
use medlock_trust::cbor::Writer;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(report) = Report::read(bytes) {
        let records: Vec<Record> = report.records.collect();
        let mut written = Vec::new();
        Report::encode(report.incarnation, report.lost, &records, &mut Writer::new(&mut written))
            .expect("memory takes all");
        assert_eq!(written, bytes);
        for record in &records {
            let mut one = Vec::new();
            record.encode(&mut Writer::new(&mut one)).expect("memory takes all");
            assert!(one.len() <= Record::MAX_LENGTH);
        }
    }
    if let Ok(answer) = Answer::read(bytes) {
        let refused: Vec<(u16, Refusal)> = answer.collect();
        let mut written = Vec::new();
        Answer::encode(&refused, &mut Writer::new(&mut written)).expect("memory takes all");
        assert_eq!(written, bytes);
    }
});

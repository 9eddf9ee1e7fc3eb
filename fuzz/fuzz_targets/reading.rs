//! Readings: what is read is written again to the same bytes, and what is no number is never one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_proto::reading::{Reading, Readings, Value};

fuzz_target!(|bytes: &[u8]| {
    let Ok(readings) = Readings::read(bytes) else { return };
    let readings: Vec<Reading> = readings.collect();
    let count = u16::try_from(readings.len()).expect("at most 288");
    let mut written = match count {
        0..=23 => vec![0x80 | count.to_be_bytes()[1]],
        24..=255 => vec![0x98, count.to_be_bytes()[1]],
        _ => [&[0x99], count.to_be_bytes().as_slice()].concat(),
    };
    for reading in &readings {
        written.extend_from_slice(reading.to_slice(&mut [0; Reading::MAX_LENGTH]).expect("it fits"));
        if let Value::Number(number) = reading.value {
            assert!(number.mantissa().unsigned_abs() <= 0x7f_fffd);
            let _ = (number.scaled(0), number.scaled(-3), number.scaled(i8::MIN), number.scaled(i8::MAX));
        }
    }
    assert_eq!(written, bytes);
});

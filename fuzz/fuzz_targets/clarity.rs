//! Exports of glucose values: what is read is in order, within what a sensor measures, and each event has a line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_ward::diabetes::clarity::{Measured, What, read};

fuzz_target!(|bytes: &[u8]| {
    let export = match read(bytes) {
        Ok(export) => export,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert!(export.glucose().next().is_some() && export.events.is_sorted_by_key(|event| event.at));
    for event in &export.events {
        // A line ends with CR, LF or both.
        let lines = bytes.iter().filter(|byte| matches!(byte, b'\r' | b'\n')).count() + 1;
        assert!(event.line > 1 && event.line <= lines as u64, "{event:?}");
        match event.what {
            What::Glucose(Measured::Value(value)) | What::Calibration(Measured::Value(value)) => {
                assert!((20.0..=600.0).contains(&value.mg_dl()));
            }
            What::Carbohydrates { grams } => assert!((0.0..=1000.0).contains(&grams)),
            What::Glucose(Measured::Low | Measured::High)
            | What::Calibration(Measured::Low | Measured::High)
            | What::Insulin { .. }
            | What::Exercise
            | What::Alert
            | What::Other => {}
        }
    }
});

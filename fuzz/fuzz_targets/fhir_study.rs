//! What a sidecar tells of images: a report that is read is within its bounds, is written as it was read, and can be kept.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_clinical::intake::{MOST_IMAGES, StudyReport};
use medlock_clinical::moment;

fuzz_target!(|data: &[u8]| {
    let Ok(report) = StudyReport::read(data) else { return };
    assert_eq!(StudyReport::read(&report.to_json()).expect("as it was read"), report);
    let study = report.stored();
    let images: usize = study.series.iter().map(|series| series.instances.len()).sum();
    assert!((1..=MOST_IMAGES).contains(&images));
    assert!(study.started.is_none_or(|started| moment::date_time(&started, true).is_some()));
});

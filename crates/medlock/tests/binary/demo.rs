//! The demonstration, as a user runs it: the real binary, real processes, real sockets.

use serde_json::Value;
use std::process::{Command, Output};

fn demo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_medlock"))
        .args(["up", "--demo", "--once", "--json"])
        .args(arguments)
        .output()
        .expect("the medlock binary starts")
}

const IMAGING: [&str; 17] = [
    "hub-started",
    "sidecars-enrolled",
    "device-token",
    "record-written",
    "images-encrypted",
    "stranger-refused",
    "ae-title-thief-refused",
    "plain-port-refused",
    "expired-still-arrives",
    "renewed",
    "suspended",
    "restored",
    "images-recorded",
    "stolen-cut-off",
    "app-launched",
    "consent-withdrawn",
    "stolen-device-token-dead",
];

const DIABETES: [&str; 25] = [
    "diabetes-enrolled",
    "makers-authenticated-hub-off",
    "loop-closed",
    "bond-missing-refused",
    "bond-signed-by-site",
    "sensor-as-controller-refused",
    "birth-credential-refused",
    "command-replayed",
    "command-delayed",
    "command-reordered",
    "command-altered",
    "command-readdressed",
    "power-cut-uncertain",
    "clock-lost",
    "status-stale-basal-ends",
    "attended-bolus-once",
    "controller-expired-marked",
    "controller-renewed",
    "records-caught-up",
    "sensor-expired",
    "sensor-beyond-grace",
    "sensor-suspended",
    "sensor-stolen",
    "controller-stolen-news-by-sensor",
    "lossy-links",
];

fn assert_every_step_held(output: &Output, steps_wanted: &[&str]) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"));
    let steps = report["steps"].as_array().expect("steps");
    let failed: Vec<&Value> = steps.iter().filter(|step| step["held"] != true).collect();
    assert!(failed.is_empty(), "{failed:#?}\n{errors}");
    assert!(output.status.success(), "{}: {errors}", output.status);
    let names: Vec<&str> = steps.iter().filter_map(|step| step["name"].as_str()).collect();
    assert_eq!(names, steps_wanted);
    assert_eq!(report["images_sent"], report["images_received_identical"]);
    report
}

/// Shows REQ-CLI-10, REQ-WARD-01, REQ-LOOP-20, REQ-LOOP-21, REQ-LOOP-22, REQ-LOOP-23, REQ-LOOP-24, REQ-LOOP-25,
/// REQ-LOOP-26, REQ-LOOP-27, REQ-LOOP-54, REQ-LOOP-55, REQ-LOOP-56, REQ-LOOP-57, REQ-LOOP-58, REQ-INTAKE-48, REQ-DEMO-01,
/// REQ-DEMO-02, REQ-DEMO-03, REQ-DEMO-04, REQ-DEMO-05 and REQ-DEMO-06.
#[test]
fn the_demonstration_holds_in_every_step() {
    let report = assert_every_step_held(&demo(&[]), &[&IMAGING[..], &DIABETES].concat());
    assert!(report["images_sent"].as_u64().expect("a number") > 0);
}

/// Shows REQ-LOOP-20: the sensor replays an export.
#[test]
fn the_diabetes_ward_holds_with_an_export() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("export.csv");
    let mut export = String::from("Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Glucose Value (mg/dL)\n");
    for step in 0..36 {
        let (hour, minute) = (step / 12, step % 12 * 5);
        export.push_str(&format!("2026-11-01T{hour:02}:{minute:02}:00,EGV,{}\n", 120 + step % 7 * 10));
    }
    std::fs::write(&file, export).expect("written");
    let file = file.to_str().expect("a path in UTF-8");
    assert_every_step_held(&demo(&["--ward", "diabetes", "--cgm", file]), &DIABETES);
}

/// Shows REQ-LOOP-01: what is no export is said before anything is started.
#[test]
fn a_file_that_is_no_export_is_refused_with_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("export.csv");
    std::fs::write(
        &file,
        "Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Glucose Value (mg/dL)\n2026-11-01T00:00:00,EGV,much\n",
    )
    .expect("written");
    let output = demo(&["--cgm", file.to_str().expect("a path in UTF-8")]);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("line 2") && errors.contains("much"), "{errors}");
}

/// Shows REQ-CLI-11, REQ-DEMO-08: real files of many kinds, transfer syntaxes and sizes, in a folder with files that are not images.
#[test]
fn interop_pynetdicom_the_demonstration_sends_pydicoms_own_files() {
    let folder = medlock_testkit::peers::pydicom_files();
    let folder = folder.to_str().expect("a path in UTF-8");
    let report = assert_every_step_held(&demo(&["--ward", "imaging", "--images", folder]), &IMAGING);
    assert!(report["images_sent"].as_u64().expect("a number") > 50, "{report}");
}

/// Shows REQ-CLI-11.
#[test]
fn a_folder_without_images_is_refused_with_words() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("note.txt"), "not an image").expect("written");
    let output = demo(&["--images", folder.path().to_str().expect("a path in UTF-8")]);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("no DICOM file"), "{errors}");
}

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

fn assert_every_step_held(output: &Output) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"));
    let steps = report["steps"].as_array().expect("steps");
    let failed: Vec<&Value> = steps.iter().filter(|step| step["held"] != true).collect();
    assert!(failed.is_empty(), "{failed:#?}\n{errors}");
    assert!(output.status.success(), "{}: {errors}", output.status);
    let names: Vec<&str> = steps.iter().filter_map(|step| step["name"].as_str()).collect();
    assert_eq!(
        names,
        [
            "hub-started",
            "sidecars-enrolled",
            "images-encrypted",
            "stranger-refused",
            "ae-title-thief-refused",
            "plain-port-refused",
            "expired-still-arrives",
            "renewed",
            "suspended",
            "restored",
            "stolen-cut-off",
        ]
    );
    assert_eq!(report["images_sent"], report["images_received_identical"]);
    assert!(report["images_sent"].as_u64().expect("a number") > 0);
    report
}

/// Shows REQ-CLI-10 and REQ-WARD-01.
#[test]
fn the_demonstration_holds_in_every_step() {
    assert_every_step_held(&demo(&[]));
}

/// Shows REQ-CLI-11: real files of many kinds, transfer syntaxes and sizes, in a folder with files that are not images.
#[test]
fn interop_pynetdicom_the_demonstration_sends_pydicoms_own_files() {
    let folder = medlock_testkit::peers::pydicom_files();
    let report = assert_every_step_held(&demo(&["--images", folder.to_str().expect("a path in UTF-8")]));
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

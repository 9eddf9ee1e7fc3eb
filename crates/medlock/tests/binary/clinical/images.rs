//! Images that pass sidecars, in the records of the hub.

use super::{CLINICAL, Caller, body};
use crate::faults::Ward;
use crate::process::{Device, Hub};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

/// How many reports wait in a sidecar's folder.
fn waiting(folder: &Path) -> usize {
    // One that is being written is not there yet.
    let names = folder.read_dir().expect("the folder is there").map(|entry| entry.expect("an entry").file_name());
    names.filter(|name| !name.to_string_lossy().starts_with('.')).count()
}

/// Waits until so many reports wait.
async fn until(folder: &Path, count: usize) {
    let began = Instant::now();
    while waiting(folder) != count {
        assert!(began.elapsed() < Duration::from_secs(60), "{} reports wait, not {count}", waiting(folder));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Shows REQ-INTAKE-62, REQ-INTAKE-48: what a machine has sent is told to the hub until the hub has it: nobody knows the patient, the hub is away, the
/// sidecar is killed; and a hub without records is told nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_tells_of_images_until_the_hub_has_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hub = Hub::start_with(folder.path(), CLINICAL);
    let gateway = Device::enrol_as(&hub, folder.path(), "gw1", "gateway").await;
    let mut ward = Ward::start(&hub, folder.path());
    let studies = folder.path().join("ct1/studies");
    ward.sends_soon();
    until(&studies, 1).await;
    hub.kill();
    assert_eq!(ward.send(), None, "without the hub");
    until(&studies, 2).await;
    ward.ct.kill();
    ward.ct.run();
    assert_eq!(waiting(&studies), 2, "they are on the disk");
    hub.run_with(CLINICAL);
    let site = Caller::new(&gateway, &hub, "system/*.crs").await;
    // It is refused as long as nobody is the patient, and nothing is lost by that.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(waiting(&studies), 2, "nobody here is the patient");
    let identifier = json!([{ "system": "urn:oid:1.2.3", "value": "WARD-0001" }]);
    let patient = site.create(&json!({ "resourceType": "Patient", "identifier": identifier })).await;
    until(&studies, 0).await;
    let found = body(&site.get(&format!("/fhir/ImagingStudy?patient={patient}")).await);
    let found: Vec<_> = found["entry"].as_array().into_iter().flatten().map(|entry| &entry["resource"]).collect();
    assert_eq!(found.len(), 2, "{found:#?}");
    for study in &found {
        assert_eq!((&study["numberOfInstances"], &study["modality"][0]["code"]), (&json!(1), &json!("CT")), "{study}");
        let path = format!("/fhir/Provenance?target=ImagingStudy/{}", study["id"].as_str().expect("an id"));
        let said = body(&site.get(&path).await);
        assert_eq!(said["entry"][0]["resource"]["agent"][0]["who"]["identifier"]["value"], "ct1", "{said}");
    }
    // Sidecars wait for nothing that is not kept anywhere.
    hub.kill();
    assert_eq!(ward.send(), None, "without the hub");
    until(&studies, 1).await;
    hub.run();
    until(&studies, 0).await;
}

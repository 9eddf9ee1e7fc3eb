//! `medlock bench …`: measured side by side, in one run.

mod device;
mod dicom;
mod fhir;
mod issue;
mod peers;
mod rate;
mod work;

pub(crate) use device::{DeviceArgs, run as device};
pub(crate) use dicom::{DicomArgs, run as dicom};
pub(crate) use fhir::{FhirArgs, run as fhir};
pub(crate) use issue::{IssueArgs, run as issue};

//! `medlock bench …`: measured side by side, in one run.

mod device;
mod dicom;
mod issue;
mod peers;

pub(crate) use device::{DeviceArgs, run as device};
pub(crate) use dicom::{DicomArgs, run as dicom};
pub(crate) use issue::{IssueArgs, run as issue};

//! `medlock bench …`: measured side by side, in one run.

mod device;
mod dicom;
mod peers;

pub(crate) use device::{DeviceArgs, run as device};
pub(crate) use dicom::{DicomArgs, run as dicom};

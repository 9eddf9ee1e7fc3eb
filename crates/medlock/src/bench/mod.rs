//! `medlock bench …`: measured side by side, in one run.

mod dicom;
mod peers;

pub(crate) use dicom::{DicomArgs, run as dicom};

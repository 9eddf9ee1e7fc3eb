//! Demonstration machines. A CT that sends images and a PACS that stores them, in plain DICOM, know nothing of Medlock:
//! they stand for the unmodified machines of a hospital, in the demonstration, in tests and in benches. A glucose
//! sensor, a dosing controller and an insulin pump are built on the device SDK; they are not for therapy.
//!
//! | module | what is there |
//! | --- | --- |
//! | [`ct`] | sends objects (C-STORE) or asks whether somebody is there (C-ECHO) |
//! | [`pacs`] | stores what comes, data sets byte by byte as they came |
//! | [`object`] | objects: read from files without a change, or generated CT images |
//! | [`diabetes`] | the diabetes ward: a patient, a sensor, a controller and a pump |
#![forbid(unsafe_code)]

pub mod ct;
pub mod diabetes;
mod error;
pub mod object;
pub mod pacs;
mod wire;

pub use error::Error;

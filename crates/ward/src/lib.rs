//! Demonstration machines that know nothing of Medlock: a CT that sends images and a PACS that stores them, in plain
//! DICOM. They stand for the unmodified machines of a hospital, in the demonstration, in tests and in benches.
//!
//! | module | what is there |
//! | --- | --- |
//! | [`ct`] | sends objects (C-STORE) or asks whether somebody is there (C-ECHO) |
//! | [`pacs`] | stores what comes, data sets byte by byte as they came |
//! | [`object`] | objects: read from files without a change, or generated CT images |
#![forbid(unsafe_code)]

pub mod ct;
mod error;
pub mod object;
pub mod pacs;
mod wire;

pub use error::Error;

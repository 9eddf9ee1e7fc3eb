//! DICOM: plain towards the machine, mutual TLS towards the other guards.
//!
//! Outward: the machine connects to the plain side with any called AE title; the guard finds the machine that has the
//! title, connects to its guard with TLS, and passes the association request on as it came. Inward: a peer's guard
//! connects with TLS, and what is bound and permitted is passed to the machine's own port. So a PACS behind a guard calls
//! back for C-MOVE sub-operations and storage commitment as if there were no guards.

pub mod associate;
pub mod classes;
mod close;
mod command;
pub mod elements;
mod guard;
pub mod images;
pub mod pump;
pub mod refuse;
pub mod tap;
pub mod text;
mod transfers;

pub use guard::{DicomConfig, DicomGuard, Limits, Services};

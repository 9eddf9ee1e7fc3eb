//! DICOM: plain towards the machine, mutual TLS towards the other guards.

pub mod associate;
pub mod classes;
pub mod elements;
pub mod refuse;
pub mod tap;
pub mod text;

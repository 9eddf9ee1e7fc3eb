//! Certificates, requests and paths, from the outside: the public suite NIST PKITS, chains made for one question each,
//! and properties that hold for all input.

mod chains;
mod maker;
mod pkits;
mod properties;
mod provider;
mod views;

//! Certificates, requests and paths, from the outside: the public suite NIST PKITS, chains made for one question each,
//! and properties that hold for all input.

mod c509_openssl;
mod c509_path;
mod c509_properties;
mod c509_vectors;
mod chains;
mod maker;
mod pkits;
mod properties;
mod provider;
mod twins;
mod views;

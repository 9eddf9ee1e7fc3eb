//! Private keys at rest: PKCS#8, encrypted with PBES2 (RFC 8018) under a passphrase from a file of its own.

mod certificate;
mod software;

pub use certificate::AuthorityCertificate;
pub use software::{KeyDirectory, key_file, make_key_file};

//! Private keys at rest: in files, PKCS#8, encrypted with PBES2 (RFC 8018) under a passphrase from a file of its own; or in
//! a PKCS#11 token, which never gives them out.

mod certificate;
mod list;
mod pkcs11;
mod roots;
mod software;

pub use certificate::AuthorityCertificate;
pub use list::{IssuingKey, KeyList, KeyState};
pub(crate) use pkcs11::Token;
pub use pkcs11::TokenConfig;
pub(crate) use roots::Came;
pub use roots::RootKey;
pub use software::{KeyDirectory, key_file, make_key_file};

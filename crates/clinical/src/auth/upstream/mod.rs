//! Signing in at an OpenID provider of the site's (OpenID Connect Core 1.0, authorization code flow, with proof key): the
//! provider says who somebody is, and nothing else. Accounts, consents and what an account may see stay here.
//!
//! | step | what is done |
//! | --- | --- |
//! | `/auth/upstream` | the browser is sent to the provider; what it has to bring back is sealed for it, and is good once |
//! | `/auth/upstream/answer` | the code is redeemed, the ID token checked, and the account looked up by issuer and subject |
//! | `/auth/upstream/link` | where the settings allow it: who has no account yet says whose it is, with an administrator's code |
//! | `/auth/upstream/keys` | the key with which the hub proves itself to the provider |
//!
//! Signing out is local: a session here and one at the provider end by themselves.

mod browser;
mod config;
mod link;
mod metadata;
mod provider;
mod told;

pub(super) use browser::offer;
pub(crate) use browser::{answer, begin, keys};
pub use config::{SignInConfig, Unknown};
pub(crate) use link::link;
pub use metadata::Metadata;
pub(crate) use provider::Upstream;

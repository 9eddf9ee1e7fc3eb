//! The authorization server: who gets a token, and for what.
//!
//! | who | how |
//! | --- | --- |
//! | a device | its operational credential authenticates it (RFC 8705), the verdict on it decides what it is given, and its token is bound to the certificate it showed |
//! | a person, by software | signs in here or at the site's OpenID provider, sees in plain words what is asked, and agrees; the software proves that it asked (PKCE) and gets tokens (SMART App Launch 2.2) |
//! | software in its own name | signs an assertion with a registered key (SMART Backend Services), or with one that a community vouches for (UDAP) |
//!
//! Tokens are random texts, kept as their hashes: whatever ends what was granted ends them at once.

mod answer;
mod authorize;
mod backend;
mod browser;
mod choice;
mod clients;
mod code;
mod device;
mod discovery;
pub mod dpop;
mod form;
mod idtoken;
mod introspect;
mod key_sets;
mod launch;
mod naming;
mod oversight;
pub mod passkey;
pub mod pkce;
pub(crate) mod proof;
mod redirect;
mod register;
mod returning;
mod scope;
mod screen;
mod secret;
mod sign_in;
mod token;
mod udap;
mod upstream;
mod web_keys;

pub(crate) use browser::{authorize, consent, login};
pub use clients::{Account, Client, Member, Proof};
pub(crate) use discovery::{openid_configuration, smart_configuration};
pub(crate) use key_sets::KeySets;
pub(crate) use launch::by_software;
pub use launch::{Context, OpenResource};
pub(crate) use register::administer;
pub use register::{AccountView, Asked, ClientSort, ClientView, DeliveryView, SubscriptionView, Told};
pub use scope::{Scope, ScopeError, Scopes, Whose, Word};
pub(crate) use sign_in::{new_passkey, passkey, script};
pub(crate) use token::{introspect, keys, only_post, revoke, token};
pub(crate) use udap::{Communities, metadata as udap_metadata, register as register_by_itself};
pub use udap::{CommunityConfig, RevocationList};
pub use upstream::{Metadata as ProviderMetadata, SignInConfig, Unknown};
pub(crate) use upstream::{Upstream, answer, begin, keys as own_keys, link};
pub use web_keys::WebKeyView;

//! An organisation's certificate authority: a *site* that runs devices and gives operational credentials, or a *maker*
//! that builds them and gives birth credentials.
//!
//! | module | what is there |
//! | --- | --- |
//! | [`authority`], [`directory`], [`heard`] | one authority: its certificates, what it publishes; the folder it is in; what others heard of it |
//! | [`profile`], [`registry`] | what credentials look like; the site's list of its devices |
//! | [`issue`] | prepare, record, sign, store, release: the only way to a certificate |
//! | [`signer`], [`keys`] | the process that has the private keys, and how they lie on disk |
//! | [`root_request`] | what a root is asked to sign and its answer, as files where the root is offline |
//! | [`provision`] | a maker's birth credentials, in bulk |
//! | [`voucher`] | a maker's word that a device belongs to a site, and the record of whose it was |
//! | `brski` | zero-touch enrolment: a site's registrar, and a maker's MASA behind it |
//! | [`enrolment`], [`est`] | who gets a credential, and the EST server before it |
//! | [`log`] | the transparency log: what was issued, provably |
//! | [`status`], [`trust_list`], [`objects`] | status list, compact set, tickets, CRL, OCSP; lists; the news of their changes |
//! | [`tickets`] | status tickets, on demand and many at once |
//! | [`alliance`] | what the members of an alliance do with their trust list |
//! | [`store`] | what is kept, as verbs of the domain, on SQLite |
//! | [`admin`] | what an administrator asks |

mod acts;
pub mod admin;
mod ahead;
mod alike;
pub mod alliance;
mod at_hand;
pub mod authority;
mod bonds;
mod brski;
mod bytes;
mod clocks;
mod compact;
mod counted;
mod crls;
mod devices;
pub mod directory;
mod doubt;
mod encode;
pub mod enrolment;
mod error;
pub mod est;
mod figures;
mod follow;
pub mod heard;
pub mod issue;
pub mod keys;
mod known_keys;
mod listing;
pub mod log;
mod made_as;
pub mod objects;
mod offline;
mod people;
mod present;
pub mod profile;
pub mod provision;
mod publish;
pub mod registry;
mod reminded;
mod reserve;
mod restored;
pub mod restoring;
mod root_crl;
pub mod root_request;
mod rotation;
pub mod settings;
pub mod signer;
pub mod status;
pub mod store;
mod suspended;
mod taken_over;
pub mod tickets;
pub mod trust_list;
pub mod voucher;
mod waiting;

pub use admin::router as admin_router;
pub use authority::Authority;
pub use devices::{devices_limits, devices_router};
pub use encode::pem;
pub use error::Error;
pub use est::coap::coap_resources;
pub use figures::Figures;
pub use made_as::MadeAs;
pub use offline::make_root;
pub use people::people_router;
pub use settings::AuthorityConfig;

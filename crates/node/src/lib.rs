//! What every Medlock server process shares.
//!
//! | module | what is there |
//! | --- | --- |
//! | [`provider`] | the cryptography (aws-lc-rs): checks for the trust core, software keys, random numbers |
//! | [`clock`], [`stop`] | the one clock; the one way to ask running work to stop |
//! | [`identity`] | this process's own key and certificate chain, kept durably and swapped while running |
//! | [`tls`] | verifiers that authenticate only, and the settings of both sides |
//! | [`knowledge`], [`routes`] | the signed objects this process has, which only grow, and what follows from them |
//! | [`news`], [`sessions`] | following the hub's news, and judging live sessions again when it arrives |
//! | [`enrol`] | enrolment codes, certificate requests, the enrolment client and renewal |
//! | [`brski`] | zero-touch enrolment: vouchers, requests for them, and the device's side of it |
//! | [`accept`], [`http`] | an accept loop with limits, and a small HTTP client |
//! | [`coap`] | CoAP over UDP with EDHOC and OSCORE: a listener with limits, and a client |
//! | [`lists`] | trust lists as files: an index, deltas, catching up, evidence of a fork |
//! | [`log`] | transparency logs as files: tiles, checkpoints, proofs |
//! | [`ordinary`], [`outbound`] | TLS to ordinary servers, such as a syslog collector; calls to addresses that others have chosen |
//! | [`files`], [`asn1`] | durable files; writing DER |

pub mod accept;
pub mod asn1;
pub mod brski;
pub mod clock;
pub mod coap;
pub mod enrol;
mod error;
pub mod files;
pub mod http;
pub mod identity;
pub mod knowledge;
pub mod lists;
pub mod log;
pub mod news;
pub mod ordinary;
pub mod outbound;
pub mod provider;
pub mod routes;
pub mod sessions;
pub mod stop;
pub mod tls;

pub use error::Error;

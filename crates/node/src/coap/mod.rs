//! CoAP for server processes: one UDP listener with EDHOC and OSCORE or with DTLS, on which protocols add
//! handlers, and a client.
//!
//! | module | what is there |
//! | --- | --- |
//! | [`Listener`], [`Engine`] | the listener, and the same without its socket |
//! | [`Resources`], [`Handler`], [`Reply`] | what a protocol implements |
//! | [`Request`], [`Response`] | messages as handlers and clients see them |
//! | [`dtls`] | DTLS under the engine |
//! | [`objects`] | the resource `/m/objects`: trust objects, verified by their own signatures |
//! | [`Own`], [`Peers`] | one's own credential, and how those of peers are found and believed |

mod blocks;
mod bounded;
mod client;
mod credentials;
pub mod dtls;
mod engine;
mod handler;
mod listener;
mod message;
pub mod objects;
mod pace;

pub use client::{Client, Handshake, Observation};
pub use credentials::{Own, Peers, SUITES, Show};
pub use engine::{Counts, Engine, Limits, MAX_DATAGRAM, Output};
pub use handler::{Answer, Caller, Handler, Peer, Reply, Resources};
pub use listener::Listener;
pub use medlock_proto::coap::{Code, Transmission, content_format, option};
pub use medlock_proto::edhoc::{Method, Suite};
pub use message::{Request, Response};

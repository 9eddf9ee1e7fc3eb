//! Peers that are known by where they are: those of DTLS associations, which lie under the engine. Their requests come
//! unprotected here, and so do the answers to them.

use super::super::handler::Peer;
use super::{Engine, Output};
use crate::sessions::Session;
use bytes::Bytes;
use medlock_trust::Identified;
use std::net::SocketAddr;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) peer: Arc<Peer>,
    /// Its registration: judged again when news arrives.
    session: Session,
}

impl Engine {
    /// From now on what comes from `from` is of this peer, which has shown this certificate (DER), and of nobody else: an
    /// association under the engine sees to that, and to what is sent there.
    pub fn connected(&mut self, from: SocketAddr, who: Identified, certificate: Bytes, out: &mut Vec<Output>) {
        self.disconnected(from, out);
        let session = self.sessions.register_channel(who.clone());
        let peer = Arc::new(Peer { identified: who, certificate, address: from, handshake: None });
        self.channels.insert(from, Channel { peer, session });
    }

    /// The association with `from` is gone: so is what hung on it.
    pub fn disconnected(&mut self, from: SocketAddr, out: &mut Vec<Output>) {
        self.channels.remove(&from);
        self.origins.forget(from);
        let calls = self.calls.extract_if(.., |_, call| call.from == from);
        out.extend(calls.map(|(call, _)| Output::Forget(call)));
        let observed = self.observations.extract_if(.., |_, observed| observed.to == from);
        out.extend(observed.map(|(call, _)| Output::Forget(call)));
        self.unacknowledged.retain(|(to, _), _| *to != from);
    }

    /// Ends the associations whose peers may do nothing any more.
    pub(super) fn sweep_channels(&mut self, out: &mut Vec<Output>) {
        let over = self.channels.iter().filter_map(|(from, channel)| Some((*from, channel.session.end_reason()?)));
        for (from, denied) in over.collect::<Vec<_>>() {
            if let Some(channel) = self.channels.get(&from) {
                let who = channel.peer.identified.device_name();
                tracing::info!(device = %who, code = %denied.code, "DTLS association ended");
            }
            self.disconnected(from, out);
            out.push(Output::Close(from));
        }
    }
}

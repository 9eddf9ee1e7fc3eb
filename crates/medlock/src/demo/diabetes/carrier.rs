//! Somebody who carries sealed commands: a phone, a broker, a thief. They need no session, and may do what they like with
//! what they carry.

use super::bedside::Machine;
use crate::Failure;
use data_encoding::BASE64;
use medlock_proto::coap::{Code, Message, MessageId, Token, Type, Writer};
use medlock_ward::diabetes::machine::words::Said;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;

/// How long to wait for an answer before it is sent again.
const PATIENCE: Duration = Duration::from_millis(300);
const TRIES: usize = 10;

/// A carrier.
#[derive(Debug)]
pub(crate) struct Carrier {
    socket: UdpSocket,
    next: u16,
}

impl Carrier {
    /// A carrier with a socket of its own.
    ///
    /// # Errors
    /// When there is no port.
    pub(crate) async fn new() -> Result<Self, Failure> {
        Ok(Self { socket: UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?, next: 1 })
    }

    /// Brings a sealed command to a machine, as a new message; what CoAP code it is answered with, such as `2.04`.
    ///
    /// # Errors
    /// When it is not answered at all.
    pub(crate) async fn bring(&mut self, command: &[u8], to: SocketAddr) -> Result<String, Failure> {
        let mut bytes = [0; 512];
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        let token = Token::new(&id.to_be_bytes()).unwrap_or_default();
        let mut writer = Writer::new(&mut bytes, Type::Confirmable, Code::POST, MessageId(id), token);
        let datagram =
            writer.path(&["m", "command"]).payload(command).finish().map_err(|error| format!("{error:?}"))?;
        let datagram = datagram.to_vec();
        let mut answer = [0; 2048];
        for _ in 0..TRIES {
            self.socket.send_to(&datagram, to).await?;
            let received = tokio::time::timeout(PATIENCE, self.socket.recv_from(&mut answer)).await;
            let Ok(Ok((length, _))) = received else { continue };
            match Message::read(&answer[..length]) {
                Ok(message) if message.id() == MessageId(id) => return Ok(message.code().to_string()),
                _ => {}
            }
        }
        Err("the machine did not answer the carrier".into())
    }
}

/// The last command a controller sealed, its number and its bytes.
pub(crate) fn sealed(said: &[Said]) -> Option<(u64, Vec<u8>)> {
    said.iter().rev().find_map(|said| match said {
        Said::Sealed { counter, message, .. } => Some((*counter, BASE64.decode(message.as_bytes()).ok()?)),
        _ => None,
    })
}

/// How many commands a pump began to carry out, from its `from`th word on.
pub(crate) fn began(pump: &Machine, from: usize) -> usize {
    let said = pump.said.get(from..).unwrap_or_default();
    said.iter().filter(|said| matches!(said, Said::Began { .. })).count()
}

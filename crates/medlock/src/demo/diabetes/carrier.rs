//! Somebody who carries sealed commands and trust objects: a phone, a broker, a thief. They need no session, and may do what
//! they like with what they carry.

use super::bedside::Machine;
use crate::Failure;
use data_encoding::BASE64;
use medlock_node::coap::{Client, Request, objects, option};
use medlock_proto::coap::{Code, Message, MessageId, Token, Type, Writer};
use medlock_proto::objects::{Held, Kind};
use medlock_ward::diabetes::machine::words::Said;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;

/// How long to wait for an answer before it is sent again.
const PATIENCE: Duration = Duration::from_millis(300);
const TRIES: usize = 10;

/// How long a machine that has no time for strangers is left alone, in real time.
const TOO_MANY: Duration = Duration::from_millis(150);
/// How long a door is listened at that should be closed.
const CLOSED: Duration = Duration::from_millis(300);

/// The status list that the hub behind `hub` gives to whoever asks.
///
/// # Errors
/// When it does not answer, or not as it should.
pub(crate) async fn status(hub: SocketAddr) -> Result<Vec<u8>, Failure> {
    let client = Client::plain(hub).await?;
    let listing = client.request(Request::get(objects::PATH)).await?;
    let mut held = Held::decode_all(&listing.payload).map_err(|error| format!("the hub's listing: {error}"))?;
    let number = held.find(|(_, held)| held.kind == Kind::Status).map(|(number, _)| number);
    let number = number.ok_or("the hub has no status list")?;
    let one = Request::get(objects::PATH).with(option::URI_QUERY, format!("o={number}"));
    Ok(client.request(one).await?.payload.to_vec())
}

/// Brings a trust object to the machine behind `to`, whole: machines put no blocks of strangers together. What CoAP code it
/// answers: `2.04` if it took it, `4.09` if it has it.
///
/// # Errors
/// When it does not answer.
pub(crate) async fn deliver(object: &[u8], to: SocketAddr) -> Result<Code, Failure> {
    let mut carrier = Carrier::new().await?;
    for _ in 0..TRIES {
        let answer = carrier.post(&["m", "objects"], object, to).await?;
        if answer != Code::TOO_MANY_REQUESTS {
            return Ok(answer);
        }
        tokio::time::sleep(TOO_MANY).await;
    }
    Ok(Code::TOO_MANY_REQUESTS)
}

/// Whether anybody answers behind a door for small devices.
///
/// # Errors
/// When there is no socket to be had.
pub(crate) async fn answers(door: SocketAddr) -> Result<bool, Failure> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    socket.connect(door).await?;
    let mut bytes = [0; 64];
    let mut writer = Writer::new(&mut bytes, Type::Confirmable, Code::GET, MessageId(1), Token::default());
    let datagram = writer.path(&["m", "objects"]).finish().map_err(|error| format!("{error:?}"))?;
    let _ = socket.send(datagram).await;
    let mut answer = [0; 2048];
    Ok(matches!(tokio::time::timeout(CLOSED, socket.recv(&mut answer)).await, Ok(Ok(_))))
}

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
    pub(crate) async fn bring(&mut self, command: &[u8], to: SocketAddr) -> Result<Code, Failure> {
        self.post(&["m", "command"], command, to).await
    }

    async fn post(&mut self, path: &[&str], payload: &[u8], to: SocketAddr) -> Result<Code, Failure> {
        let mut bytes = [0; 2048];
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        let token = Token::new(&id.to_be_bytes()).unwrap_or_default();
        let mut writer = Writer::new(&mut bytes, Type::Confirmable, Code::POST, MessageId(id), token);
        let datagram = writer.path(path).payload(payload).finish().map_err(|error| format!("{error:?}"))?.to_vec();
        let mut answer = [0; 2048];
        for _ in 0..TRIES {
            self.socket.send_to(&datagram, to).await?;
            let received = tokio::time::timeout(PATIENCE, self.socket.recv_from(&mut answer)).await;
            let Ok(Ok((length, _))) = received else { continue };
            match Message::read(&answer[..length]) {
                Ok(message) if message.id() == MessageId(id) => return Ok(message.code()),
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

//! PDUs over a connection, with dicom-ul's codec.

use crate::Error;
use dicom_ul::pdu::{PDataValueType, Pdu, read_pdu, write_pdu};
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// The longest PDU that is read, in bytes.
const MAX_PDU: u32 = 4 << 20;
/// How long one PDU may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The tags of command elements (PS3.7 annex E).
pub(crate) mod tag {
    pub(crate) const GROUP_LENGTH: u16 = 0x0000;
    pub(crate) const SOP_CLASS: u16 = 0x0002;
    pub(crate) const FIELD: u16 = 0x0100;
    pub(crate) const MESSAGE: u16 = 0x0110;
    pub(crate) const RESPONDED: u16 = 0x0120;
    pub(crate) const PRIORITY: u16 = 0x0700;
    pub(crate) const DATA_SET: u16 = 0x0800;
    pub(crate) const STATUS: u16 = 0x0900;
    pub(crate) const INSTANCE: u16 = 0x1000;
}

/// A connection that carries PDUs.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    pub(crate) address: SocketAddr,
    body: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, nodelay: bool) -> io::Result<Self> {
        stream.set_nodelay(nodelay)?;
        let address = stream.peer_addr()?;
        Ok(Self { stream, address, body: Vec::new() })
    }

    fn broken(&self, source: io::Error) -> Error {
        Error::Connection { address: self.address, source }
    }

    /// The next PDU; `None` if the other side closed between two.
    pub(crate) async fn receive(&mut self) -> Result<Option<Pdu>, Error> {
        let Some(kind) = self.receive_raw().await? else { return Ok(None) };
        let read = read_pdu(&self.body[..], MAX_PDU, true);
        match read {
            Ok(Some(pdu)) => Ok(Some(pdu)),
            Ok(None) => Err(Error::Protocol(format!("a PDU of type {kind} is too short"))),
            Err(error) => Err(Error::Protocol(error.to_string())),
        }
    }

    /// The next PDU where one must come; a refusal or an A-ABORT is the error it is, with the numbers on the wire.
    pub(crate) async fn expect(&mut self) -> Result<Pdu, Error> {
        match self.receive().await? {
            Some(Pdu::AssociationRJ(_)) => {
                Err(Error::Refused { result: self.body[7], from: self.body[8], reason: self.body[9] })
            }
            Some(Pdu::AbortRQ { .. }) => Err(Error::Aborted { from: self.body[8], reason: self.body[9] }),
            Some(pdu) => Ok(pdu),
            None => Err(self.broken(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    /// Reads a whole PDU into `self.body` and returns its type.
    async fn receive_raw(&mut self) -> Result<Option<u8>, Error> {
        let mut header = [0; 6];
        let got = timeout(PATIENCE, self.stream.read(&mut header[..1])).await;
        match got.map_err(|_| self.broken(io::ErrorKind::TimedOut.into()))? {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(self.broken(error)),
        }
        let work = async {
            self.stream.read_exact(&mut header[1..]).await?;
            let length = u32::from_be_bytes([header[2], header[3], header[4], header[5]]);
            if length > MAX_PDU {
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a PDU of {length} bytes")));
            }
            self.body.clear();
            self.body.extend_from_slice(&header);
            self.body.resize(6 + length as usize, 0);
            self.stream.read_exact(&mut self.body[6..]).await?;
            Ok(())
        };
        match timeout(PATIENCE, work).await {
            Ok(Ok(())) => Ok(Some(header[0])),
            Ok(Err(error)) => Err(self.broken(error)),
            Err(_) => Err(self.broken(io::ErrorKind::TimedOut.into())),
        }
    }

    pub(crate) async fn send(&mut self, pdu: &Pdu) -> Result<(), Error> {
        let mut bytes = Vec::new();
        write_pdu(&mut bytes, pdu).map_err(|error| Error::Protocol(error.to_string()))?;
        self.send_bytes(&bytes).await
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match timeout(PATIENCE, self.stream.write_all(bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.broken(error)),
            Err(_) => Err(self.broken(io::ErrorKind::TimedOut.into())),
        }
    }

    /// The next message: the context it came in, its command set, and its data set if there is one, at most `limit`
    /// bytes long. `None` if the other side released the association, which is answered, or closed.
    pub(crate) async fn message(&mut self, limit: usize) -> Result<Option<Message>, Error> {
        let (mut command, mut data) = (Vec::new(), Vec::new());
        let mut wants_data = None;
        loop {
            let values = match self.receive().await? {
                Some(Pdu::PData { data }) => data,
                Some(Pdu::ReleaseRQ) => {
                    self.send(&Pdu::ReleaseRP).await?;
                    return Ok(None);
                }
                Some(Pdu::AbortRQ { .. }) => {
                    let (from, reason) = (self.body[8], self.body[9]);
                    return Err(Error::Aborted { from, reason });
                }
                None => return Ok(None),
                Some(other) => return Err(Error::Protocol(other.short_description().to_string())),
            };
            for value in values {
                let context = value.presentation_context_id;
                let into = if value.value_type == PDataValueType::Command { &mut command } else { &mut data };
                if into.len() + value.data.len() > limit {
                    return Err(Error::Protocol(format!("a message is longer than {limit} bytes")));
                }
                into.extend_from_slice(&value.data);
                if value.value_type == PDataValueType::Command && value.is_last {
                    wants_data = Some(Command(&command).number(tag::DATA_SET) != Some(0x0101));
                }
                let complete = match value.value_type {
                    PDataValueType::Command => value.is_last && wants_data == Some(false),
                    PDataValueType::Data => value.is_last,
                };
                if complete {
                    return Ok(Some(Message { context, command, data }));
                }
            }
        }
    }
}

/// A message with its parts put together.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) context: u8,
    command: Vec<u8>,
    pub(crate) data: Vec<u8>,
}

impl Message {
    pub(crate) fn command(&self) -> Command<'_> {
        Command(&self.command)
    }
}

/// A command set: implicit value representation, little endian, group 0000.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Command<'a>(&'a [u8]);

impl<'a> Command<'a> {
    pub(crate) fn value(self, element: u16) -> Option<&'a [u8]> {
        let mut rest = self.0;
        loop {
            let (header, behind) = rest.split_first_chunk::<8>()?;
            let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
            let (value, behind) = behind.split_at_checked(length)?;
            if header[..2] == [0, 0] && header[2..4] == element.to_le_bytes() {
                return Some(value);
            }
            rest = behind;
        }
    }

    pub(crate) fn number(self, element: u16) -> Option<u16> {
        self.value(element)?.first_chunk::<2>().map(|bytes| u16::from_le_bytes(*bytes))
    }

    pub(crate) fn text(self, element: u16) -> Option<String> {
        let text = std::str::from_utf8(self.value(element)?).ok()?;
        Some(text.trim_end_matches(['\0', ' ']).to_owned())
    }
}

/// Writes a command set. Elements must be given in ascending order, without the group length.
pub(crate) fn command_set(elements: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = Vec::with_capacity(256);
    for (element, value) in elements {
        push(&mut body, *element, value);
    }
    let mut set = Vec::with_capacity(body.len() + 12);
    push(&mut set, tag::GROUP_LENGTH, &u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    set.extend(body);
    set
}

fn push(set: &mut Vec<u8>, element: u16, value: &[u8]) {
    let padded = value.len() + value.len() % 2;
    set.extend_from_slice(&[0, 0]);
    set.extend_from_slice(&element.to_le_bytes());
    set.extend_from_slice(&u32::try_from(padded).unwrap_or(u32::MAX).to_le_bytes());
    set.extend_from_slice(value);
    set.resize(set.len() + padded - value.len(), 0);
}

/// Appends one message part as P-DATA-TF PDUs of at most `max_pdu` bytes behind their headers.
pub(crate) fn push_part(out: &mut Vec<u8>, context: u8, is_command: bool, part: &[u8], max_pdu: usize) {
    let room = max_pdu.saturating_sub(6).max(2);
    let mut chunks = part.chunks(room).peekable();
    while let Some(chunk) = chunks.next() {
        let length = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&[4, 0]);
        out.extend_from_slice(&(length + 6).to_be_bytes());
        out.extend_from_slice(&(length + 2).to_be_bytes());
        out.push(context);
        out.push(u8::from(is_command) | u8::from(chunks.peek().is_none()) << 1);
        out.extend_from_slice(chunk);
    }
}

/// Checks an AE title and pads it as the protocol does.
pub(crate) fn check_title(title: &str) -> Result<(), Error> {
    let good = (1..=16).contains(&title.len())
        && title.trim() == title
        && title.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'\\');
    if good { Ok(()) } else { Err(Error::Title(title.to_owned())) }
}

//! UDP as a transport.

use medlock_device::Address;
use medlock_device::blocking::Transport;
use medlock_device::platform::Ticks;
use std::io::{Error, ErrorKind};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

// [transport]
/// A socket, and the time since it was made.
pub(crate) struct Udp {
    socket: UdpSocket,
    since: Instant,
}

impl Transport for Udp {
    type Error = Error;

    fn now(&self) -> Ticks {
        self.ticks()
    }

    fn send(&mut self, to: Address, datagram: &[u8]) -> Result<(), Error> {
        self.socket.send_to(datagram, socket_address(to)).map(drop)
    }

    fn receive(&mut self, buffer: &mut [u8], until: Option<Ticks>) -> Result<Option<(Address, usize)>, Error> {
        let wait = until.map(|until| Duration::from_millis(until.millis_since(self.ticks()).max(1)));
        self.socket.set_read_timeout(wait)?;
        match self.socket.recv_from(buffer) {
            Ok((length, from)) => Ok(address(&from.to_string()).map(|from| (from, length))),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
// [transport]

impl Udp {
    pub(crate) fn bind() -> Result<Self, Error> {
        Ok(Self { socket: UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?, since: Instant::now() })
    }

    pub(crate) fn ticks(&self) -> Ticks {
        Ticks::from_millis(self.since.elapsed().as_millis().try_into().unwrap_or(u64::MAX))
    }

    pub(crate) fn address(&self) -> Address {
        let own = self.socket.local_addr().expect("it is bound").to_string();
        address(&own).expect("an IPv4 address")
    }
}

/// Four bytes and a port.
fn address(text: &str) -> Option<Address> {
    let from: SocketAddrV4 = text.parse().ok()?;
    let [a, b, c, d] = from.ip().octets();
    let [high, low] = from.port().to_be_bytes();
    Address::new(&[a, b, c, d, high, low])
}

fn socket_address(to: Address) -> SocketAddrV4 {
    match *to.as_bytes() {
        [a, b, c, d, high, low] => SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])),
        _ => SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
    }
}

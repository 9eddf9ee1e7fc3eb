//! A driver for firmware with one loop and a transport that blocks.

use crate::address::Address;
use crate::device::Device;
use crate::event::Event;
use crate::platform::{Platform, Ticks};

/// What carries datagrams, and counts time.
pub trait Transport {
    /// Why it failed.
    type Error;

    /// The time since boot.
    fn now(&self) -> Ticks;

    /// Sends a datagram. One that is lost is sent again by the core.
    ///
    /// # Errors
    /// If the transport cannot go on.
    fn send(&mut self, to: Address, datagram: &[u8]) -> Result<(), Self::Error>;

    /// Waits for a datagram until `until`, or for as long as it likes if that is `None`; returns where it came from and how
    /// long it is, or `None` if none came. It may return early.
    ///
    /// # Errors
    /// If the transport cannot go on.
    fn receive(&mut self, buffer: &mut [u8], until: Option<Ticks>) -> Result<Option<(Address, usize)>, Self::Error>;
}

/// Runs the device until the next event, or until `until`: then `None`, which may also come earlier. `buffer` holds one
/// datagram, and then the event.
///
/// # Errors
/// If the transport fails.
pub fn next_event<'b, T: Transport, P: Platform, const S: usize, const X: usize, const B: usize>(
    device: &mut Device<'_, P, S, X, B>,
    transport: &mut T,
    until: Option<Ticks>,
    buffer: &'b mut [u8],
) -> Result<Option<Event<'b>>, T::Error> {
    loop {
        while let Some((to, length)) = device.transmit(buffer) {
            transport.send(to, buffer.get(..length).unwrap_or_default())?;
        }
        let now = transport.now();
        if device.has_event() {
            return Ok(device.event(now, buffer));
        }
        if until.is_some_and(|until| until <= now) {
            return Ok(None);
        }
        let wake = device.deadline().into_iter().chain(until).min();
        if let Some((from, length)) = transport.receive(buffer, wake)? {
            let datagram = buffer.get_mut(..length).unwrap_or_default();
            device.handle_datagram(transport.now(), from, datagram);
        }
        device.handle_timeout(transport.now());
    }
}

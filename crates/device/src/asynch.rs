//! A driver for firmware with an executor, whichever.

use crate::address::Address;
use crate::device::Device;
use crate::event::Event;
use crate::platform::{Platform, Ticks};

/// What carries datagrams, and counts time.
// Executors of firmware run on one core: nothing has to be `Send`.
#[expect(async_fn_in_trait)]
pub trait Transport {
    /// Why it failed.
    type Error;

    /// The time since boot.
    fn now(&self) -> Ticks;

    /// Sends a datagram. One that is lost is sent again by the core.
    ///
    /// # Errors
    /// If the transport cannot go on.
    async fn send(&mut self, to: Address, datagram: &[u8]) -> Result<(), Self::Error>;

    /// Waits for a datagram until `until`, or for as long as it takes if that is `None`; returns where it came from and
    /// how long it is, or `None` if none came. It may return early, and it may be dropped while it waits.
    ///
    /// # Errors
    /// If the transport cannot go on.
    async fn receive(
        &mut self,
        buffer: &mut [u8],
        until: Option<Ticks>,
    ) -> Result<Option<(Address, usize)>, Self::Error>;
}

/// Runs the device until the next event, or until `until`: then `None`, which may also come earlier. `buffer` holds one
/// datagram, and then the event. If the future is dropped while it waits, nothing is lost: the core keeps its state, and
/// what was not sent is sent the next time, or again.
///
/// # Errors
/// If the transport fails.
pub async fn next_event<'b, T: Transport, P: Platform, const S: usize, const X: usize, const B: usize>(
    device: &mut Device<'_, P, S, X, B>,
    transport: &mut T,
    until: Option<Ticks>,
    buffer: &'b mut [u8],
) -> Result<Option<Event<'b>>, T::Error> {
    loop {
        while let Some((to, length)) = device.transmit(buffer) {
            transport.send(to, buffer.get(..length).unwrap_or_default()).await?;
        }
        let now = transport.now();
        if device.has_event() {
            return Ok(device.event(now, buffer));
        }
        if until.is_some_and(|until| until <= now) {
            return Ok(None);
        }
        let wake = device.deadline().into_iter().chain(until).min();
        if let Some((from, length)) = transport.receive(buffer, wake).await? {
            let datagram = buffer.get_mut(..length).unwrap_or_default();
            device.handle_datagram(transport.now(), from, datagram);
        }
        device.handle_timeout(transport.now());
    }
}

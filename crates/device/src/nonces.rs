//! Numbers drawn for tickets to answer.

use crate::platform::Ticks;

/// Bytes of a number that this device draws.
pub(crate) const NONCE: usize = 8;

/// Numbers drawn for tickets: those that the firmware asked for, and apart from them those that peers did, so that no
/// peer can make the device forget its own.
#[derive(Debug, Default)]
pub(crate) struct Nonces {
    own: Drawn<4>,
    peers: Drawn<2>,
}

impl Nonces {
    /// Notes a number that was drawn, for a peer or for the device itself.
    pub(crate) fn add(&mut self, number: [u8; NONCE], now: Ticks, for_peer: bool) {
        if for_peer { self.peers.add(number, now) } else { self.own.add(number, now) }
    }

    fn all(&self) -> impl Iterator<Item = &Nonce> {
        self.own.numbers.iter().chain(&self.peers.numbers).flatten()
    }

    /// When this number was drawn, and whether it was answered.
    pub(crate) fn asked(&self, nonce: &[u8]) -> Option<&Nonce> {
        self.all().find(|drawn| drawn.number == nonce)
    }

    /// A ticket that answers it was taken.
    pub(crate) fn answered(&mut self, nonce: &[u8]) {
        let all = self.own.numbers.iter_mut().chain(&mut self.peers.numbers).flatten();
        all.filter(|drawn| drawn.number == nonce).for_each(|drawn| drawn.answered = true);
    }
}

/// The last numbers drawn.
#[derive(Debug)]
struct Drawn<const N: usize> {
    numbers: [Option<Nonce>; N],
    next: usize,
}

impl<const N: usize> Default for Drawn<N> {
    fn default() -> Self {
        Self { numbers: [None; N], next: 0 }
    }
}

impl<const N: usize> Drawn<N> {
    fn add(&mut self, number: [u8; NONCE], at: Ticks) {
        if let Some(slot) = self.numbers.get_mut(self.next) {
            *slot = Some(Nonce { number, at, answered: false });
        }
        self.next = self.next.saturating_add(1).checked_rem(N).unwrap_or(0);
    }
}

/// A number that was drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nonce {
    pub(crate) number: [u8; NONCE],
    pub(crate) at: Ticks,
    /// A ticket that answers it was taken.
    pub(crate) answered: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-DEV-73.
    #[test]
    fn what_peers_ask_for_makes_no_own_number_forgotten() {
        let mut nonces = Nonces::default();
        let now = Ticks::from_millis(5);
        nonces.add([1; NONCE], now, false);
        for number in 2..200 {
            nonces.add([number; NONCE], now, true);
        }
        assert!(nonces.asked(&[1; NONCE]).is_some_and(|nonce| !nonce.answered));
        assert!(nonces.asked(&[2; NONCE]).is_none());
        assert!(nonces.asked(&[199; NONCE]).is_some());
        nonces.answered(&[1; NONCE]);
        assert!(nonces.asked(&[1; NONCE]).is_some_and(|nonce| nonce.answered));
    }
}

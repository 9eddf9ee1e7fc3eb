//! A bad stretch of network: it loses, doubles and reorders datagrams.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Of a hundred datagrams, how many are lost.
const LOST: u64 = 20;
/// Of a hundred datagrams that are not lost, how many come twice.
const TWICE: u64 = 10;
/// Of a hundred datagrams that are not lost, how many come late, behind others.
const LATE: u64 = 20;
/// How much later they come at most, in milliseconds.
const LATEST_MILLIS: u64 = 15;
/// The longest datagram on loopback that is passed on.
const MAX_DATAGRAM: usize = 2048;

/// What happened on a link.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    passed: AtomicU64,
    lost: AtomicU64,
    twice: AtomicU64,
    late: AtomicU64,
}

impl Seen {
    /// Datagrams passed on, lost, doubled and delayed.
    pub(crate) fn counts(&self) -> [u64; 4] {
        [&self.passed, &self.lost, &self.twice, &self.late].map(|count| count.load(Ordering::Relaxed))
    }
}

/// A link to one machine: who sends to its address reaches the machine, and the answers come back.
#[derive(Debug)]
pub(crate) struct Link {
    /// Where to send to.
    pub(crate) address: SocketAddr,
    /// What happened on it.
    pub(crate) seen: Arc<Seen>,
    /// Where the machine is.
    target: watch::Sender<SocketAddr>,
    task: JoinHandle<()>,
}

impl Link {
    /// A link to the machine at `target`; `seed` decides what becomes of each datagram.
    ///
    /// # Errors
    /// When no port can be had.
    pub(crate) async fn start(target: SocketAddr, seed: u64) -> std::io::Result<Self> {
        let front = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        let address = front.local_addr()?;
        let seen = Arc::new(Seen::default());
        let wire = Wire { seen: Arc::clone(&seen), chance: Arc::new(AtomicU64::new(seed)) };
        let (target, machine) = watch::channel(target);
        let task = tokio::spawn(async move {
            // A socket that fails ends the link; whoever waits behind it says so.
            let _ = carry(front, machine, wire).await;
        });
        Ok(Self { address, seen, target, task })
    }

    /// The machine was switched on again and is at `target` now: nobody keeps a port for who is off.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        self.target.send_replace(target);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone, Debug)]
struct Wire {
    seen: Arc<Seen>,
    chance: Arc<AtomicU64>,
}

impl Wire {
    /// A number from 0 to 99 (splitmix64).
    fn roll(&self) -> u64 {
        let state = self.chance.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % 100
    }

    /// After how many milliseconds each copy of a datagram is passed on.
    fn fate(&self) -> Vec<u64> {
        if self.roll() < LOST {
            self.seen.lost.fetch_add(1, Ordering::Relaxed);
            return Vec::new();
        }
        let copies = if self.roll() < TWICE { 2 } else { 1 };
        self.seen.passed.fetch_add(1, Ordering::Relaxed);
        self.seen.twice.fetch_add(copies - 1, Ordering::Relaxed);
        (0..copies)
            .map(|_| {
                if self.roll() >= LATE {
                    return 0;
                }
                self.seen.late.fetch_add(1, Ordering::Relaxed);
                1 + self.roll() % LATEST_MILLIS
            })
            .collect()
    }

    /// Passes one datagram on, as fate has it.
    fn pass(&self, datagram: &[u8], from: &Arc<UdpSocket>, to: SocketAddr, tasks: &mut JoinSet<()>) {
        for millis in self.fate() {
            let (datagram, from) = (datagram.to_vec(), Arc::clone(from));
            tasks.spawn(async move {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                // A machine that is switched off takes nothing.
                let _ = from.send_to(&datagram, to).await;
            });
        }
        while tasks.try_join_next().is_some() {}
    }
}

async fn carry(front: Arc<UdpSocket>, target: watch::Receiver<SocketAddr>, wire: Wire) -> std::io::Result<()> {
    // One socket towards the machine for each sender, so that answers find their way.
    let mut backs: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut answers = JoinSet::new();
    let mut tasks = JoinSet::new();
    let mut buffer = [0; MAX_DATAGRAM];
    loop {
        let (length, sender) = front.recv_from(&mut buffer).await?;
        let back = match backs.get(&sender) {
            Some(back) => Arc::clone(back),
            None => {
                let back = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
                answers.spawn(carry_back(Arc::clone(&back), Arc::clone(&front), sender, wire.clone()));
                backs.insert(sender, Arc::clone(&back));
                back
            }
        };
        let to = *target.borrow();
        wire.pass(&buffer[..length], &back, to, &mut tasks);
    }
}

async fn carry_back(back: Arc<UdpSocket>, front: Arc<UdpSocket>, sender: SocketAddr, wire: Wire) {
    let mut tasks = JoinSet::new();
    let mut buffer = [0; MAX_DATAGRAM];
    loop {
        // "Connection refused" of a machine that is switched off comes back here and means nothing to a link.
        let Ok((length, _)) = back.recv_from(&mut buffer).await else { continue };
        wire.pass(&buffer[..length], &front, sender, &mut tasks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_loses_doubles_and_reorders_and_answers_come_back() {
        let machine = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let link = Link::start(machine.local_addr().unwrap(), 1).await.unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let echo = tokio::spawn(async move {
            let mut buffer = [0; 16];
            loop {
                let (length, from) = machine.recv_from(&mut buffer).await.unwrap();
                machine.send_to(&buffer[..length], from).await.unwrap();
            }
        });
        for number in 0..=199_u8 {
            sender.send_to(&[number], link.address).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut answers = Vec::new();
        let mut buffer = [0; 16];
        while let Ok(received) = tokio::time::timeout(Duration::from_millis(200), sender.recv_from(&mut buffer)).await {
            answers.push(buffer[..received.unwrap().0].to_vec());
        }
        echo.abort();
        let [passed, lost, twice, late] = link.seen.counts();
        assert!((200..=320).contains(&passed) && (50..=110).contains(&lost), "{passed} {lost}");
        assert!((10..=60).contains(&twice) && late > 20, "{twice} {late}");
        assert!(!answers.is_sorted(), "nothing was reordered");
    }

    #[tokio::test]
    async fn it_follows_a_machine_to_another_port() {
        let [before, after] =
            [UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap()];
        let link = Link::start(before.local_addr().unwrap(), 1).await.unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut buffer = [0; 16];
        for machine in [before, after] {
            link.lead_to(machine.local_addr().unwrap());
            // Some are lost.
            for _ in 0..50 {
                sender.send_to(b"here", link.address).await.unwrap();
            }
            let received = tokio::time::timeout(Duration::from_secs(5), machine.recv_from(&mut buffer)).await;
            let (length, _) = received.expect("it comes").unwrap();
            assert_eq!(&buffer[..length], b"here");
        }
    }
}

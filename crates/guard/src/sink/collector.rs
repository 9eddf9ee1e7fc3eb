//! Sends what waits to the collector: syslog over TLS (RFC 5425), octet-counted frames.
//!
//! Syslog has no acknowledgement. A message counts as delivered when its connection was still good some time after it
//! was flushed; when a connection breaks, all that does not count yet is sent again. So a message may come twice, and
//! is lost only if the collector dies with it later than that.

use crate::{Error, sink::Queue};
use medlock_node::{
    identity::IdentityStore,
    knowledge::KnowledgeBase,
    tls::{Believed, Connector, ToServer},
};
use medlock_trust::{DeviceName, Operation, Verdict};
use std::{collections::VecDeque, future::Future, io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

/// How long a connection must stay good after a flush for its messages to count as delivered.
const SETTLED: Duration = Duration::from_secs(2);
/// How long the collector may take to read a batch.
const PATIENCE: Duration = Duration::from_secs(30);
/// Waiting between attempts grows from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// For connecting, and for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Bytes sent in one go.
const BATCH: usize = 64 << 10;

/// Makes connections to the collector.
pub trait Connect: Send + Sync {
    /// A connection after its handshake.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send;

    /// Connects.
    fn connect(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// A collector in the site register: it shows a credential of the site, like every other machine.
#[derive(Clone, Debug)]
pub struct Collector {
    address: String,
    device: DeviceName,
    knowledge: Arc<KnowledgeBase>,
    connector: Connector,
}

impl Collector {
    /// The collector at `address` (`host:port`, commonly 6514), which must show that it is `device`. The guard shows
    /// `identity`.
    ///
    /// # Errors
    /// [`Error::Config`] if the TLS settings are refused.
    pub fn new(
        address: impl Into<String>,
        device: DeviceName,
        identity: &IdentityStore,
        knowledge: &Arc<KnowledgeBase>,
    ) -> Result<Self, Error> {
        let connector = Connector::new(Some(identity), Believed::Knowledge(knowledge.clone()), None)
            .map_err(|error| Error::Config(error.to_string()))?;
        Ok(Self { address: address.into(), device, knowledge: knowledge.clone(), connector })
    }
}

impl Connect for Collector {
    type Stream = ToServer<TcpStream>;

    async fn connect(&self) -> io::Result<Self::Stream> {
        let secured = self.connector.connect(&self.address, HANDSHAKE).await.map_err(io::Error::other)?;
        let peer = secured.peer.ok_or_else(|| io::Error::other("it shows no certificate"))?;
        if *peer.device_name() != self.device {
            let text = format!("{} answers, not {}", peer.device_name(), self.device);
            return Err(io::Error::other(text));
        }
        // It gets to read what patients' images go where.
        match self.knowledge.judge(&peer, Operation::Read) {
            Verdict::Allow(_) => Ok(secured.stream),
            Verdict::Deny(denied) => Err(io::Error::other(format!("`read` is denied: {}", denied.code.as_str()))),
        }
    }
}

/// Sends what is in the queue and what will come, for ever: drop the future to stop.
pub async fn forward(queue: Arc<Queue>, collector: impl Connect) {
    let mut wait = RETRY.0;
    loop {
        let mut end = queue.changes();
        let sent = queue.sent();
        if end.wait_for(|end| *end > sent).await.is_err() {
            return;
        }
        match collector.connect().await {
            Ok(stream) => {
                tracing::info!(waiting_bytes = queue.end() - sent, "connected to the audit collector");
                let before = queue.sent();
                if let Err(error) = send(&queue, stream).await {
                    tracing::warn!(%error, "the connection to the audit collector broke; messages wait on disk");
                }
                if queue.sent() > before {
                    wait = RETRY.0;
                }
            }
            Err(error) => tracing::warn!(%error, "the audit collector cannot be reached; messages wait on disk"),
        }
        sleep(wait).await;
        wait = (wait * 2).min(RETRY.1);
    }
}

/// Sends on one connection until it breaks.
async fn send<S: AsyncRead + AsyncWrite + Unpin>(queue: &Arc<Queue>, stream: S) -> io::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut end = queue.changes();
    let mut position = queue.sent();
    let mut unsettled: VecDeque<(Instant, u64)> = VecDeque::new();
    let mut answer = [0; 64];
    loop {
        let batch = read(queue, position).await?;
        if !batch.is_empty() {
            let work = async {
                writer.write_all(&batch).await?;
                writer.flush().await
            };
            timeout(PATIENCE, work).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            position += batch.len() as u64;
            unsettled.push_back((Instant::now() + SETTLED, position));
        }
        let settled = unsettled.front().map(|(at, _)| *at);
        tokio::select! {
            // The collector says nothing; a read only ends when it goes.
            got = reader.read(&mut answer) => if got? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            },
            () = tokio::time::sleep_until(settled.unwrap_or_else(Instant::now)), if settled.is_some() => {
                if let Some((_, position)) = unsettled.pop_front() {
                    queue.mark_sent(position)?;
                }
            }
            changed = end.wait_for(|end| *end > position) => if changed.is_err() {
                return Ok(());
            },
        }
    }
}

/// Reads a batch on a thread that may wait for the disk.
async fn read(queue: &Arc<Queue>, position: u64) -> io::Result<Vec<u8>> {
    let queue = queue.clone();
    tokio::task::spawn_blocking(move || queue.read(position, BATCH)).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    struct Plain(std::net::SocketAddr);

    impl Connect for Plain {
        type Stream = TcpStream;

        async fn connect(&self) -> io::Result<TcpStream> {
            TcpStream::connect(self.0).await
        }
    }

    async fn receive(stream: &mut TcpStream, count: usize) -> String {
        let mut bytes = vec![0; count];
        timeout(Duration::from_secs(10), stream.read_exact(&mut bytes)).await.unwrap().unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// Shows REQ-GUARD-16: messages reach the collector in order, and what a broken connection left open comes again.
    #[tokio::test]
    async fn messages_come_in_order_and_again_after_a_break() {
        let directory = tempfile::tempdir().unwrap();
        let queue = Arc::new(Queue::open(directory.path(), 1 << 20).unwrap());
        queue.append(b"one").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let task = tokio::spawn(forward(queue.clone(), Plain(listener.local_addr().unwrap())));
        let (mut first, _) = listener.accept().await.unwrap();
        assert_eq!(receive(&mut first, 5).await, "3 one");
        queue.append(b"two").unwrap();
        assert_eq!(receive(&mut first, 5).await, "3 two");
        drop(first);
        let (mut second, _) = listener.accept().await.unwrap();
        assert_eq!(receive(&mut second, 10).await, "3 one3 two");
        let mut end = 0;
        while queue.sent() < queue.end() && end < 100 {
            sleep(Duration::from_millis(50)).await;
            end += 1;
        }
        assert_eq!(queue.sent(), 10, "a connection that stays good delivers");
        drop(second);
        queue.append(b"six").unwrap();
        let (mut third, _) = listener.accept().await.unwrap();
        assert_eq!(receive(&mut third, 5).await, "3 six");
        task.abort();
    }
}

//! A stretch of the network that somebody listens to: passes bytes on and looks for what should not be readable.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What the listener on the wire has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    bytes: AtomicU64,
    readable: AtomicBool,
    not_tls: AtomicBool,
}

impl Seen {
    /// How many bytes went by.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether every connection began as TLS and none of the secrets was ever readable.
    pub(crate) fn only_ciphertext(&self) -> bool {
        !self.readable.load(Ordering::Relaxed) && !self.not_tls.load(Ordering::Relaxed)
    }
}

/// A relay that runs until dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    /// Where to connect to.
    pub(crate) address: SocketAddr,
    /// What it has seen so far.
    pub(crate) seen: Arc<Seen>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Listens on loopback, passes every connection on to `target`, and looks for `secrets` in what goes by.
    ///
    /// # Errors
    /// When no port can be had.
    pub(crate) async fn start(target: SocketAddr, secrets: Vec<Vec<u8>>) -> std::io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Seen::default());
        let secrets: Arc<[Vec<u8>]> = secrets.into();
        let task = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                while let Ok((near, _)) = listener.accept().await {
                    let (seen, secrets) = (Arc::clone(&seen), Arc::clone(&secrets));
                    tokio::spawn(async move {
                        // An end of a connection is not news to somebody who only listens.
                        let _ = pass(near, target, &seen, &secrets).await;
                    });
                }
            }
        });
        Ok(Self { address, seen, task })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(near: TcpStream, target: SocketAddr, seen: &Seen, secrets: &[Vec<u8>]) -> std::io::Result<()> {
    let far = TcpStream::connect(target).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (mut near_read, mut near_write) = near.into_split();
    let (mut far_read, mut far_write) = far.into_split();
    tokio::try_join!(
        copy(&mut near_read, &mut far_write, seen, secrets),
        copy(&mut far_read, &mut near_write, seen, secrets)
    )?;
    Ok(())
}

async fn copy(
    from: &mut tokio::net::tcp::OwnedReadHalf,
    to: &mut tokio::net::tcp::OwnedWriteHalf,
    seen: &Seen,
    secrets: &[Vec<u8>],
) -> std::io::Result<()> {
    const TLS_HANDSHAKE: u8 = 22;
    let longest = secrets.iter().map(Vec::len).max().unwrap_or(0);
    let mut buffer = vec![0; 64 * 1024];
    // The end of the last read, so that a secret across two reads is found.
    let mut window: Vec<u8> = Vec::new();
    let mut first = true;
    loop {
        let read = from.read(&mut buffer).await?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        if std::mem::take(&mut first) && bytes.first() != Some(&TLS_HANDSHAKE) {
            seen.not_tls.store(true, Ordering::Relaxed);
        }
        seen.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        window.extend_from_slice(bytes);
        let found = secrets
            .iter()
            .any(|secret| window.windows(secret.len().max(1)).any(|candidate| candidate == secret.as_slice()));
        if found {
            seen.readable.store(true, Ordering::Relaxed);
        }
        window.drain(..window.len().saturating_sub(longest.saturating_sub(1)));
        to.write_all(bytes).await?;
    }
    to.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn exchange(message: &[u8]) -> Arc<Seen> {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Relay::start(server.local_addr().unwrap(), vec![b"CT1".to_vec()]).await.unwrap();
        let mut client = TcpStream::connect(relay.address).await.unwrap();
        let (mut accepted, _) = server.accept().await.unwrap();
        for byte in message {
            client.write_all(&[*byte]).await.unwrap();
        }
        client.shutdown().await.unwrap();
        let mut received = Vec::new();
        accepted.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, message);
        Arc::clone(&relay.seen)
    }

    #[tokio::test]
    async fn a_secret_in_the_clear_is_noticed_even_in_pieces() {
        assert!(!exchange(b"\x16..CT1..").await.only_ciphertext());
    }

    #[tokio::test]
    async fn what_does_not_begin_as_tls_is_noticed() {
        assert!(!exchange(b"\x01....").await.only_ciphertext());
    }

    #[tokio::test]
    async fn ciphertext_is_ciphertext() {
        let seen = exchange(b"\x16......").await;
        assert!(seen.only_ciphertext());
        assert_eq!(seen.bytes(), 7);
    }
}

//! Connections that leave the machine are secret. Whoever speaks TLS gives [`Secure`]; here it is only joined to the client.

use postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection that is secret, or an error, later.
pub type Secured = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>>;

/// Makes a connection secret, and checks that it ends at the server of this name.
pub trait Secure: Send + Sync {
    /// Over `stream`, with the server called `host`.
    fn secure(&self, host: &str, stream: Box<dyn Stream>) -> Secured;
}

/// [`Secure`] as the client library has it.
#[derive(Clone)]
pub(super) struct Connector(pub(super) Arc<dyn Secure>);

/// A [`Connector`] for one server.
pub(super) struct ForHost(Arc<dyn Secure>, String);

/// A secret connection as the client library has it.
pub(super) struct Secret(Box<dyn Stream>);

impl<S: Stream + 'static> MakeTlsConnect<S> for Connector {
    type Stream = Secret;
    type TlsConnect = ForHost;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<ForHost> {
        Ok(ForHost(self.0.clone(), host.to_owned()))
    }
}

impl<S: Stream + 'static> TlsConnect<S> for ForHost {
    type Stream = Secret;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Secret>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let secured = self.0.secure(&self.1, Box::new(stream));
        Box::pin(async move { secured.await.map(Secret) })
    }
}

impl TlsStream for Secret {
    /// The server's certificate is verified by its name; passwords are not bound to the connection.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Secret {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Secret {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

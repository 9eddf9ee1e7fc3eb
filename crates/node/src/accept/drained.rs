//! The rest of a body that is too long is read and dropped beside the answer: who is cut off while sending does not see it.

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Bytes that are dropped, at most: who sends more is cut off.
const MOST: usize = 16 << 20;
/// How long they are waited for.
const LINGER: Duration = Duration::from_secs(10);

/// A body, whose rest is read and dropped once it has gone beyond its limit and nobody reads on.
#[derive(Debug)]
pub(super) struct Drained<B: Body<Data = Bytes> + Unpin + Send + 'static> {
    body: Option<B>,
    /// Bytes that may come still; `None`: more have come.
    left: Option<usize>,
}

impl<B: Body<Data = Bytes> + Unpin + Send + 'static> Drained<B> {
    /// `most`: its limit in bytes.
    pub(super) const fn new(body: B, most: usize) -> Self {
        Self { body: Some(body), left: Some(most) }
    }
}

impl<B: Body<Data = Bytes> + Unpin + Send + 'static> Body for Drained<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let next = ready!(Pin::new(body).poll_frame(context));
        let length = next.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
        self.left = self.left.and_then(|left| left.checked_sub(length));
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl<B: Body<Data = Bytes> + Unpin + Send + 'static> Drop for Drained<B> {
    fn drop(&mut self) {
        if self.left.is_none()
            && let Some(rest) = self.body.take().filter(|body| !body.is_end_stream())
        {
            read_away(rest);
        }
    }
}

/// Reads a body and drops it, beside whatever else is done.
pub(super) fn read_away(body: impl Body<Data = Bytes> + Unpin + Send + 'static) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(tokio::time::timeout(LINGER, drain(body)));
    }
}

async fn drain(mut body: impl Body<Data = Bytes> + Unpin) {
    let mut left = MOST;
    while let Some(Ok(frame)) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(less) => left = less,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt as _, Limited, StreamBody};
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Shows REQ-FHIR-66: the rest of a body that is too long is read, up to a bound.
    #[tokio::test]
    async fn the_rest_of_a_body_is_read_and_dropped() {
        let piece = 64 << 10;
        for (pieces, read) in [(4, 4), (9, 9), (1_000, 5 + 256 + 1)] {
            let taken = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&taken);
            let frames = (0..pieces).map(move |_| {
                count.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[7; 64 << 10])))
            });
            let body = Drained::new(StreamBody::new(futures_util::stream::iter(frames)), 4 * piece);
            let whole = Limited::new(body, 4 * piece).collect().await;
            assert_eq!(whole.is_ok(), pieces <= 4, "{pieces}");
            drop(whole);
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            assert_eq!(taken.load(Ordering::Relaxed), read, "{pieces}");
        }
        // One that nobody reads to its end, and that is not too long, is let be: it may never come.
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        let frames = std::iter::repeat_with(move || {
            count.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x")))
        });
        drop(Drained::new(StreamBody::new(futures_util::stream::iter(frames)), 4 * piece));
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(taken.load(Ordering::Relaxed), 0);
    }
}

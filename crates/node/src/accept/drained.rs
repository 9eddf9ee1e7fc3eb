//! What nobody reads of a body is read and dropped beside the answer: who is cut off while sending does not see that, and a connection on
//! which something unread is left serves no other request.

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Bytes that are dropped, at most: who sends more is cut off.
const MOST: usize = 16 << 20;

/// A body whose rest is read and dropped where nobody reads on.
#[derive(Debug)]
pub(super) struct Drained<B: Body<Data = Bytes> + Unpin + Send + 'static> {
    /// `None` only while dropping.
    body: Option<B>,
    is_coming: bool,
    linger: Duration,
}

impl<B: Body<Data = Bytes> + Unpin + Send + 'static> Drained<B> {
    /// `is_coming`: whether it comes without being asked for (RFC 9110 section 10.1.1). Else it is asked for by reading it, and let be where
    /// nobody does. `linger`: how long its rest is waited for.
    pub(super) const fn new(body: B, is_coming: bool, linger: Duration) -> Self {
        Self { body: Some(body), is_coming, linger }
    }
}

impl<B: Body<Data = Bytes> + Unpin + Send + 'static> Body for Drained<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.is_coming = true;
        self.body.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(context))
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
        let rest = self.body.take().filter(|body| self.is_coming && !body.is_end_stream());
        if let (Some(rest), Ok(runtime)) = (rest, tokio::runtime::Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(self.linger, drain(rest)));
        }
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

    /// Shows REQ-FHIR-66, REQ-FHIR-80: what is not read of a body is read and dropped, up to a bound; one that is sent when it is asked for is
    /// let be, unless it was.
    #[tokio::test]
    async fn what_nobody_reads_of_a_body_is_read_and_dropped() {
        const PIECE: usize = 64 << 10;
        for (pieces, most, is_coming, read) in [
            (4, Some(4), true, 4),
            (9, Some(4), true, 9),
            (9, Some(4), false, 9),
            (9, None, true, 9),
            (9, None, false, 0),
            (1_000, Some(4), true, 5 + 256 + 1),
        ] {
            let taken = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&taken);
            let frames = (0..pieces).map(move |_| {
                count.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[7; PIECE])))
            });
            let body =
                Drained::new(StreamBody::new(futures_util::stream::iter(frames)), is_coming, Duration::from_secs(10));
            if let Some(most) = most {
                let whole = Limited::new(body, most * PIECE).collect().await;
                assert_eq!(whole.is_ok(), pieces <= most, "{pieces}");
            } else {
                drop(body);
            }
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            assert_eq!(taken.load(Ordering::Relaxed), read, "{pieces} {most:?} {is_coming}");
        }
    }
}

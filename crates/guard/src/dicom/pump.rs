//! Moves an association's bytes both ways, unchanged, while the tap follows.
//!
//! One task moves both directions, with one buffer each. A direction reads only when its buffer is empty, so a slow
//! reader slows the writer down and nothing piles up. The tap sees bytes before they are passed on: what breaks the
//! framing, or is not permitted in its presentation context, does not get through.

use crate::dicom::{
    refuse::{AbortReason, abort},
    tap::{Boundary, End, Event, Tap, Violation},
};
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until, timeout},
};

/// Bytes of one direction's buffer. Larger ones were not faster: a stock peer's PDU has 16 to 128 KiB.
pub const BUFFER: usize = 128 << 10;
/// How long the other direction may go on after one has ended.
const AFTER_HALF_CLOSE: Duration = Duration::from_secs(30);
/// How long an A-ABORT may take to be taken by the system.
const LAST_WORD: Duration = Duration::from_millis(200);

/// How an association ended.
#[derive(Debug)]
pub enum Cause {
    /// Both ends closed.
    Closed,
    /// One end broke the connection.
    Broken(End, io::Error),
    /// Nothing came for too long.
    Idle,
    /// One end sent what must not be passed on.
    Violation(End, Violation),
    /// It was cut from outside, which gave this reason.
    Cut,
}

/// How an association ended, and how much it moved.
#[derive(Debug)]
pub struct Ended {
    /// Why.
    pub cause: Cause,
    /// Bytes from the requestor to the acceptor.
    pub from_requestor: u64,
    /// Bytes from the acceptor to the requestor.
    pub from_acceptor: u64,
}

/// Moves bytes until the association ends, `cut` is ready, or nothing came for `idle`; `event` gets what the tap sees.
///
/// After a cut, a violation or an idle time each end is told with an A-ABORT if its stream stands between two PDUs;
/// otherwise its connection is closed.
pub async fn pump<R, A>(
    mut requestor: R,
    mut acceptor: A,
    tap: &mut Tap,
    idle: Duration,
    cut: impl Future<Output = ()>,
    mut event: impl FnMut(End, Event),
) -> Ended
where
    R: AsyncRead + AsyncWrite + Unpin,
    A: AsyncRead + AsyncWrite + Unpin,
{
    let mut forward = Flow::new(End::Requestor);
    let mut backward = Flow::new(End::Acceptor);
    let cause = {
        let mut cut = std::pin::pin!(cut);
        let mut clock = std::pin::pin!(Quiet::new(idle));
        poll_fn(|cx| {
            if cut.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Cause::Cut);
            }
            let there = forward.poll(cx, &mut requestor, &mut acceptor, tap, &mut event);
            let back = backward.poll(cx, &mut acceptor, &mut requestor, tap, &mut event);
            match (there, back) {
                (Poll::Ready(Err(cause)), _) | (_, Poll::Ready(Err(cause))) => return Poll::Ready(cause),
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(Cause::Closed),
                (Poll::Ready(Ok(())), Poll::Pending) | (Poll::Pending, Poll::Ready(Ok(()))) => {
                    clock.as_mut().shorten(AFTER_HALF_CLOSE);
                }
                (Poll::Pending, Poll::Pending) => {}
            }
            let moved = forward.moved + backward.moved;
            clock.as_mut().poll(cx, moved).map(|()| Cause::Idle)
        })
        .await
    };
    let reason = match &cause {
        Cause::Closed | Cause::Broken(..) => None,
        Cause::Violation(_, Violation::Framing(_)) => Some(AbortReason::UnrecognizedPdu),
        Cause::Violation(_, Violation::CommandSet(_)) => Some(AbortReason::InvalidParameter),
        Cause::Violation(_, Violation::NotPermitted { .. }) => Some(AbortReason::UnexpectedPdu),
        Cause::Idle | Cause::Cut => Some(AbortReason::NotSpecified),
    };
    // What was written to an end is what the flow towards it has passed on.
    tokio::join!(end(requestor, &backward, reason), end(acceptor, &forward, reason));
    Ended { cause, from_requestor: forward.moved, from_acceptor: backward.moved }
}

/// Says the last word to one end and closes. `towards` is the flow whose bytes that end gets.
async fn end(mut stream: impl AsyncRead + AsyncWrite + Unpin, towards: &Flow, reason: Option<AbortReason>) {
    let work = async {
        if let Some(reason) = reason
            && towards.passed.is_between_pdus()
        {
            stream.write_all(&abort(reason)).await?;
            stream.flush().await?;
        }
        stream.shutdown().await?;
        if reason.is_some() {
            // Closing with unread bytes would reset the connection and take the A-ABORT away from its reader.
            let mut unread = [0; 4096];
            while stream.read(&mut unread).await? > 0 {}
        }
        Ok::<(), io::Error>(())
    };
    // The connection may be broken already, or its reader slow: it is closed either way.
    let _ = timeout(LAST_WORD, work).await;
}

/// One direction.
struct Flow {
    from: End,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Nothing more comes.
    finished: bool,
    /// Something was written and not flushed.
    unflushed: bool,
    closed: bool,
    passed: Boundary,
    moved: u64,
}

impl Flow {
    fn new(from: End) -> Self {
        Self {
            from,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            start: 0,
            end: 0,
            finished: false,
            unflushed: false,
            closed: false,
            passed: Boundary::default(),
            moved: 0,
        }
    }

    /// Moves what can be moved. Ready when this direction has ended.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut (impl AsyncRead + Unpin),
        target: &mut (impl AsyncWrite + Unpin),
        tap: &mut Tap,
        event: &mut impl FnMut(End, Event),
    ) -> Poll<Result<(), Cause>> {
        let (from, to) = (self.from, self.from.other());
        let broken = |end| move |error| Cause::Broken(end, error);
        loop {
            if self.closed {
                return Poll::Ready(Ok(()));
            }
            while self.start < self.end {
                let some = &self.buffer[self.start..self.end];
                let written = ready!(Pin::new(&mut *target).poll_write(cx, some)).map_err(broken(to))?;
                if written == 0 {
                    return Poll::Ready(Err(Cause::Broken(to, io::ErrorKind::WriteZero.into())));
                }
                self.passed.feed(&some[..written]);
                self.start += written;
                self.moved += written as u64;
                self.unflushed = true;
            }
            if self.finished {
                ready!(Pin::new(&mut *target).poll_shutdown(cx)).map_err(broken(to))?;
                self.closed = true;
                continue;
            }
            let mut into = ReadBuf::new(&mut self.buffer);
            match Pin::new(&mut *source).poll_read(cx, &mut into) {
                Poll::Ready(Ok(())) => {
                    let got = into.filled();
                    (self.start, self.end, self.finished) = (0, got.len(), got.is_empty());
                    tap.feed(from, got, &mut |seen| event(from, seen))
                        .map_err(|violation| Cause::Violation(from, violation))?;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Cause::Broken(from, error))),
                Poll::Pending => {
                    if self.unflushed {
                        ready!(Pin::new(&mut *target).poll_flush(cx)).map_err(broken(to))?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

/// Ready when nothing moved for some time. Looks at the clock only when its timer rings, not for each chunk.
struct Quiet {
    timer: Pin<Box<Sleep>>,
    limit: Duration,
    moved: u64,
}

impl Quiet {
    fn new(limit: Duration) -> Self {
        Self { timer: Box::pin(sleep_until(Instant::now() + limit)), limit, moved: 0 }
    }

    fn shorten(mut self: Pin<&mut Self>, limit: Duration) {
        if limit < self.limit {
            self.limit = limit;
            self.timer.as_mut().reset(Instant::now() + limit);
        }
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, moved: u64) -> Poll<()> {
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.moved == moved {
                return Poll::Ready(());
            }
            self.moved = moved;
            let next = Instant::now() + self.limit;
            self.timer.as_mut().reset(next);
        }
        Poll::Pending
    }
}

/// The plain leg: acknowledges at once.
///
/// A stock peer sends an object's command and the end of its data set in small segments. With Nagle's algorithm it keeps
/// them back until everything before is acknowledged, and a receiver with nothing to say acknowledges after 40 ms: two
/// stalls an object. `TCP_QUICKACK` ends them on our side, but lasts only until the next answer, so it is set again
/// after each read and write. Elsewhere than on Linux there is no such option, and only our own sending is immediate.
#[derive(Debug)]
pub struct Plain(TcpStream);

impl Plain {
    /// Takes over a connection.
    ///
    /// # Errors
    /// If the connection is gone already.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let plain = Self(stream);
        plain.acknowledge();
        Ok(plain)
    }

    #[cfg(target_os = "linux")]
    fn acknowledge(&self) {
        // A connection for which this fails is broken, which the next read or write says.
        let _ = socket2::SockRef::from(&self.0).set_tcp_quickack(true);
    }

    #[cfg(not(target_os = "linux"))]
    fn acknowledge(&self) {}
}

impl AsyncRead for Plain {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.0).poll_read(cx, into);
        if matches!(result, Poll::Ready(Ok(()))) {
            self.acknowledge();
        }
        result
    }
}

impl AsyncWrite for Plain {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.0).poll_write(cx, bytes);
        if result.is_ready() {
            self.acknowledge();
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::tap::tests::{accepting, new_tap, requestor_side};
    use tokio::io::{DuplexStream, duplex};

    const LONG: Duration = Duration::from_secs(600);
    const ABORT: [u8; 10] = [7, 0, 0, 0, 0, 4, 0, 0, 2, 0];

    type Running = tokio::task::JoinHandle<(Ended, Vec<(End, Event)>)>;

    fn start(idle: Duration, cut: tokio::sync::oneshot::Receiver<()>) -> (DuplexStream, DuplexStream, Running) {
        let (requestor, near) = duplex(1000);
        let (acceptor, far) = duplex(777);
        let task = tokio::spawn(async move {
            let mut seen = Vec::new();
            let cut = async { cut.await.unwrap_or_else(|_| panic!("kept")) };
            let ended = pump(near, far, &mut new_tap(), idle, cut, |end, event| seen.push((end, event))).await;
            (ended, seen)
        });
        (requestor, acceptor, task)
    }

    async fn accept(requestor: &mut DuplexStream, acceptor: &mut DuplexStream) {
        let answer = accepting("1.2.840.10008.1.2");
        acceptor.write_all(&answer).await.unwrap();
        let mut got = vec![0; answer.len()];
        requestor.read_exact(&mut got).await.unwrap();
        assert_eq!(got, answer);
    }

    #[tokio::test]
    async fn bytes_pass_unchanged_and_a_half_close_is_passed_on() {
        let (_keep, cut) = tokio::sync::oneshot::channel();
        let (mut requestor, mut acceptor, task) = start(LONG, cut);
        accept(&mut requestor, &mut acceptor).await;
        let bytes = requestor_side();
        let sent = bytes.clone();
        let writer = tokio::spawn(async move {
            requestor.write_all(&sent).await.unwrap();
            requestor.shutdown().await.unwrap();
            let mut rest = Vec::new();
            requestor.read_to_end(&mut rest).await.unwrap();
            rest
        });
        let mut got = Vec::new();
        acceptor.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, bytes);
        let release = [6, 0, 0, 0, 0, 4, 0, 0, 0, 0];
        acceptor.write_all(&release).await.unwrap();
        drop(acceptor);
        assert_eq!(writer.await.unwrap(), release);
        let (ended, seen) = task.await.unwrap();
        assert!(matches!(ended.cause, Cause::Closed), "{ended:?}");
        assert_eq!(ended.from_requestor, bytes.len() as u64);
        assert_eq!(seen.last(), Some(&(End::Acceptor, Event::Released)));
    }

    /// Shows REQ-GUARD-09: between two PDUs a cut is an A-ABORT to both ends.
    #[tokio::test]
    async fn a_cut_between_pdus_is_an_abort() {
        let (stop, cut) = tokio::sync::oneshot::channel();
        let (mut requestor, mut acceptor, task) = start(LONG, cut);
        accept(&mut requestor, &mut acceptor).await;
        stop.send(()).unwrap();
        let (mut left, mut right) = (Vec::new(), Vec::new());
        requestor.read_to_end(&mut left).await.unwrap();
        acceptor.read_to_end(&mut right).await.unwrap();
        assert_eq!((&left[..], &right[..]), (&ABORT[..], &ABORT[..]));
        assert!(matches!(task.await.unwrap().0.cause, Cause::Cut));
    }

    /// Shows REQ-GUARD-09: inside a PDU a cut is a close, for an A-ABORT would be taken for image data.
    #[tokio::test]
    async fn a_cut_inside_a_pdu_is_a_close() {
        let (stop, cut) = tokio::sync::oneshot::channel();
        let (mut requestor, mut acceptor, task) = start(LONG, cut);
        accept(&mut requestor, &mut acceptor).await;
        requestor.write_all(&requestor_side()[..500]).await.unwrap();
        let mut got = [0; 500];
        acceptor.read_exact(&mut got).await.unwrap();
        stop.send(()).unwrap();
        let mut rest = Vec::new();
        acceptor.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty(), "{rest:?}");
        drop(requestor);
        assert!(matches!(task.await.unwrap().0.cause, Cause::Cut));
    }

    /// Shows REQ-GUARD-08: what is no DICOM does not get through.
    #[tokio::test]
    async fn a_violation_is_not_passed_on() {
        let (_keep, cut) = tokio::sync::oneshot::channel();
        let (mut requestor, mut acceptor, task) = start(LONG, cut);
        accept(&mut requestor, &mut acceptor).await;
        requestor.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut got = Vec::new();
        acceptor.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, [7, 0, 0, 0, 0, 4, 0, 0, 2, 1]);
        drop(requestor);
        assert!(matches!(task.await.unwrap().0.cause, Cause::Violation(End::Requestor, _)));
    }

    #[tokio::test]
    async fn a_quiet_association_ends() {
        let (_keep, cut) = tokio::sync::oneshot::channel();
        let (mut requestor, mut acceptor, task) = start(Duration::from_millis(200), cut);
        accept(&mut requestor, &mut acceptor).await;
        let mut got = Vec::new();
        requestor.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, ABORT);
        drop((requestor, acceptor));
        assert!(matches!(task.await.unwrap().0.cause, Cause::Idle));
    }
}

//! Event streams leave hyper once their head is on the wire.
//!
//! A stream lives for hours and mostly says nothing, while hyper keeps buffers of 8 KiB each way for what may come. So
//! the connection is taken back from it then, and the rest, which is chunks one after the other, is written from here:
//! ten thousand idle streams are to be cheap. Behind a stream that came to its end the connection goes back to hyper.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper::{Method, Version, body::Frame};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{Sleep, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    response::{ApiResponse, Body, BrokenOff},
    unread::{self, Unread},
};
use crate::sse;

/// The longest that a stream waits for its client to take any of it.
const STALL: Duration = Duration::from_secs(30);

/// A client that ends its side may still listen, or be gone: the system says which only after it was sent something, and
/// says it of the second time. The wait between the two.
const PROBE: Duration = Duration::from_secs(1);

/// The most that is kept of what a client says before its stream has ended, bytes: the next request, of which no more is
/// read until then.
const SAID_MAX: usize = 4 << 10;

/// The parts of a stream, as they are made.
pub(super) type Events = UnsyncBoxBody<Bytes, BrokenOff>;

/// Whether a connection's client is still there, for who works for nobody else.
///
/// A client that has closed and one that has only said everything look the same until something is sent; here both count
/// as gone. So only what asks for it looks.
#[derive(Clone, Default)]
pub(super) struct Presence(Arc<Watch>);

#[derive(Default)]
struct Watch {
    /// True while somebody wants to know.
    wanted: AtomicBool,
    gone: CancellationToken,
}

impl Presence {
    /// Does `work` for as long as the client is there; nothing where it went first.
    pub(super) async fn during<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.0.wanted.store(true, Ordering::Release);
        let done = tokio::select! {
            biased;
            done = work => Some(done),
            () = self.0.gone.cancelled() => None,
        };
        self.0.wanted.store(false, Ordering::Release);
        done
    }

    /// Does `work` to its end, and says whether the client was there then.
    pub(super) async fn beside<T>(&self, work: impl Future<Output = T>) -> (T, bool) {
        self.0.wanted.store(true, Ordering::Release);
        let done = work.await;
        self.0.wanted.store(false, Ordering::Release);
        (done, !self.0.gone.is_cancelled())
    }

    /// Notes that the client has gone.
    pub(super) fn has_gone(&self) {
        self.0.gone.cancel();
    }

    /// True where somebody wants to know.
    pub(super) fn is_wanted(&self) -> bool {
        self.0.wanted.load(Ordering::Acquire)
    }
}

/// Where a connection's stream waits until hyper has written its head.
#[derive(Default)]
pub(super) struct Handover {
    /// Guards the stream that is to be taken over, and whether its connection ends with it.
    waiting: Mutex<Option<(Events, bool)>>,
    /// True once everything that hyper had to write is written.
    flushed: AtomicBool,
    /// Whether the client is there.
    pub(super) presence: Presence,
    /// What of a request's body nobody read.
    pub(super) unread: Unread,
}

/// A connection whose answer is an event stream, without hyper.
pub(super) struct Stream<T> {
    pub(super) io: T,
    /// What its client has said of the next request.
    pub(super) said: Vec<u8>,
    pub(super) events: Events,
    /// True where the connection ends with the stream.
    pub(super) closes: bool,
}

impl Handover {
    /// Keeps the events of an answer that is a stream of chunks; hyper is left to write its head, and waits for a body
    /// that never comes. `closes` is true where the client wants the connection to end with its answer.
    pub(super) fn take(&self, method: &Method, version: Version, closes: bool, response: &mut ApiResponse) {
        // An older client takes no chunks, and HEAD has no body: hyper knows what to do.
        if *method == Method::HEAD || version != Version::HTTP_11 || !matches!(response.body(), Body::Events(_)) {
            return;
        }
        if let Body::Events(events) = std::mem::replace(response.body_mut(), Body::HandedOver) {
            self.flushed.store(false, Ordering::Release);
            *self.lock() = Some((events, closes || unread::closes(response.headers())));
        }
    }

    /// Notes that something is on its way to the client.
    pub(super) fn writes(&self) {
        self.flushed.store(false, Ordering::Release);
    }

    /// Notes that everything is.
    pub(super) fn has_flushed(&self) {
        self.flushed.store(true, Ordering::Release);
    }

    /// The stream, and whether its connection ends with it, once its head is written.
    pub(super) fn ready(&self) -> Option<(Events, bool)> {
        if !self.flushed.load(Ordering::Acquire) {
            return None;
        }
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Events, bool)>> {
        // No code that can panic runs under this lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream<T> {
    /// Writes the stream to its end; then gives the connection back with what the client has said meanwhile, or closes it
    /// after `stop` and where either side wants that. Breaks it off where the client takes nothing for too long, or `ended`
    /// comes first.
    pub(super) async fn run(mut self, stop: &CancellationToken, ended: &CancellationToken) -> Option<(T, Vec<u8>)> {
        let written = tokio::select! {
            biased;
            () = ended.cancelled() => return None,
            written = self.write_all(stop) => written,
        };
        match written {
            Ok(lives_on) => lives_on.then_some((self.io, self.said)),
            Err(error) => {
                tracing::debug!(target: "http", %error, "an event stream ended early");
                None
            }
        }
    }

    /// True where the connection lives on.
    async fn write_all(&mut self, stop: &CancellationToken) -> io::Result<bool> {
        let mut heard_out = false;
        let mut probe_due: Option<Pin<Box<Sleep>>> = None;
        loop {
            let next = {
                let mut part = std::pin::pin!(self.events.frame());
                let (io, said) = (&mut self.io, &mut self.said);
                poll_fn(|cx| {
                    // That the client has ended its side is no reason to stop: it may listen.
                    while !heard_out
                        && said.len() < SAID_MAX
                        && let Poll::Ready(more) = hear(Pin::new(&mut *io), said, cx)
                    {
                        heard_out = !more?;
                        if heard_out {
                            probe_due = Some(Box::pin(sleep(PROBE)));
                            return Poll::Ready(Ok(Next::Probe));
                        }
                    }
                    if probe_due.as_mut().is_some_and(|due| due.as_mut().poll(cx).is_ready()) {
                        probe_due = None;
                        return Poll::Ready(Ok(Next::Probe));
                    }
                    part.as_mut().poll(cx).map(|part| Ok::<_, io::Error>(Next::Part(part)))
                })
                .await?
            };
            let part = match next {
                Next::Part(part) => part,
                Next::Probe => Some(Ok(Frame::data(Bytes::from_static(sse::HEARTBEAT)))),
            };
            match part.map(|part| part.map(Frame::into_data)) {
                None => {
                    self.send(b"0\r\n\r\n").await?;
                    let is_over = heard_out && self.said.is_empty();
                    if self.closes || is_over || stop.is_cancelled() {
                        self.io.shutdown().await?;
                        return Ok(false);
                    }
                    return Ok(true);
                }
                Some(Ok(Ok(bytes))) if !bytes.is_empty() => {
                    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
                    chunk.extend_from_slice(&bytes);
                    chunk.extend_from_slice(b"\r\n");
                    drop(bytes); // A slow client keeps one copy waiting, not two.
                    self.send(&chunk).await?;
                }
                Some(Ok(_)) => {} // Nothing, or trailers, which streams of ours do not have.
                Some(Err(broken_off)) => return Err(io::Error::other(broken_off)),
            }
        }
    }

    async fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = timeout(STALL, self.io.write(bytes)).await.map_err(|_| io::ErrorKind::TimedOut)??;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = &bytes[written..];
        }
        // What encrypts may hold some of it back.
        timeout(STALL, self.io.flush()).await.map_err(|_| io::ErrorKind::TimedOut)?
    }
}

/// What a stream's task has to do next.
enum Next {
    /// To write this part, or the end.
    Part(Option<Result<Frame<Bytes>, BrokenOff>>),
    /// To see whether its client is still there.
    Probe,
}

/// Reads a little of what the client says; false at its end.
fn hear<T: AsyncRead>(io: Pin<&mut T>, said: &mut Vec<u8>, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
    let mut scratch = [0; 256];
    let mut buffer = ReadBuf::new(&mut scratch);
    io.poll_read(cx, &mut buffer).map_ok(|()| {
        said.extend_from_slice(buffer.filled());
        !buffer.filled().is_empty()
    })
}

//! A connection's bytes on the wire: who does not read is given up, and who still sends is heard out when we close.
//!
//! A socket that is closed with unread bytes in it resets the connection, and the reset overtakes the answer: a client
//! that sends too much would see a broken connection in place of its 413. So the sending side is shut first, and the
//! receiving side is drained until the client has closed too, under a bound in bytes and in time.

use std::{
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::rt::ReadBufCursor;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready},
    net::TcpStream,
    time::{Sleep, sleep},
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::handover::Handover;

/// The longest that an answer waits for its client to take any of it.
const STALL: Duration = Duration::from_secs(30);
/// The longest that a closed connection waits for its client.
const LINGER: Duration = Duration::from_secs(1);
/// The most that is read and dropped then.
const LINGER_BYTES: usize = 1 << 20;

/// A connection that bounds its client's patience, and closes gently unless the server is stopping.
pub(super) struct Wire<T> {
    io: TokioIo<T>,
    /// What was read before, and comes first.
    said: Bytes,
    stopping: CancellationToken,
    /// Told what becomes of hyper's writes.
    handover: Arc<Handover>,
    /// Set while the client takes nothing: when it is given up.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Set while the client is waited for at the end: until when, and how many bytes may still be dropped.
    lingering: Option<(Pin<Box<Sleep>>, usize)>,
}

/// What bytes go over that may have a socket below.
pub(super) trait Carrier {
    /// The socket.
    fn socket(&self) -> Option<&TcpStream>;
}

impl Carrier for TcpStream {
    fn socket(&self) -> Option<&TcpStream> {
        Some(self)
    }
}

impl Carrier for TlsStream<TcpStream> {
    fn socket(&self) -> Option<&TcpStream> {
        Some(self.get_ref().0)
    }
}

/// Looks whether the other end has closed; where it has not, the task is woken when it does, or sends something. Who sends
/// ahead is not looked at any more until that is read.
fn has_closed(socket: &TcpStream, cx: &mut Context<'_>) -> bool {
    if socket.poll_read_ready(cx).is_pending() {
        return false;
    }
    match pin!(socket.ready(Interest::READABLE)).poll(cx) {
        Poll::Ready(ready) => ready.map_or(true, Ready::is_read_closed),
        Poll::Pending => false,
    }
}

impl<T> Wire<T> {
    pub(super) fn new(io: T, said: Bytes, stopping: CancellationToken, handover: Arc<Handover>) -> Self {
        Self { io: TokioIo::new(io), said, stopping, handover, stalled: None, lingering: None }
    }

    /// Gives the connection back as it is, and what was read before and still is to come.
    pub(super) fn into_parts(self) -> (T, Bytes) {
        (self.io.into_inner(), self.said)
    }

    /// Passes on what a write came to, and turns a wait that is too long into an error.
    fn bounded<W>(&mut self, written: Poll<io::Result<W>>, cx: &mut Context<'_>) -> Poll<io::Result<W>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let until = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL)));
        until.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> hyper::rt::Read for Wire<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.said.is_empty() {
            let length = self.said.len().min(buffer.remaining());
            buffer.put_slice(&self.said.split_to(length));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<T: AsyncRead + AsyncWrite + Carrier + Unpin> hyper::rt::Write for Wire<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.handover.writes();
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.bounded(written, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let presence = &self.handover.presence;
        // hyper comes here whenever the connection's task is woken, and does not read while an answer is made.
        if presence.is_wanted()
            && let Some(socket) = self.io.inner().socket()
            && has_closed(socket, cx)
        {
            presence.has_gone();
        }
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        if flushed.is_ready() {
            self.handover.has_flushed(); // hyper flushes only what it has written whole.
        }
        if flushed.is_pending() { self.bounded(flushed, cx) } else { flushed } // A flush of nothing is no progress.
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.lingering.is_none() {
            let shut = Pin::new(&mut this.io).poll_shutdown(cx);
            ready!(this.bounded(shut, cx))?;
            if this.stopping.is_cancelled() {
                return Poll::Ready(Ok(()));
            }
        }
        let (until, allowance) = this.lingering.get_or_insert_with(|| (Box::pin(sleep(LINGER)), LINGER_BYTES));
        drain(this.io.inner_mut(), until, allowance, cx).map(Ok)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.handover.writes();
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.bounded(written, cx)
    }
}

/// Reads and drops until the client closes, breaks off, or a bound is reached.
fn drain<T: AsyncRead + Unpin>(
    io: &mut T,
    until: &mut Pin<Box<Sleep>>,
    allowance: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<()> {
    if until.as_mut().poll(cx).is_ready() {
        return Poll::Ready(());
    }
    let mut scratch = [0; 4096];
    loop {
        let mut buffer = ReadBuf::new(&mut scratch);
        let Ok(()) = ready!(Pin::new(&mut *io).poll_read(cx, &mut buffer)) else { return Poll::Ready(()) };
        let read = buffer.filled().len();
        if read == 0 || read > *allowance {
            return Poll::Ready(());
        }
        *allowance -= read;
    }
}

#[cfg(test)]
mod tests {
    use hyper::rt::Write;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    impl Carrier for DuplexStream {
        fn socket(&self) -> Option<&TcpStream> {
            None
        }
    }

    async fn closed_by_now(connection: &mut Wire<DuplexStream>) -> bool {
        std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *connection).poll_shutdown(cx).is_ready())).await
    }

    #[tokio::test]
    async fn a_closed_connection_takes_what_its_client_still_sends() {
        let (server, mut client) = duplex(64);
        let mut connection = Wire::new(server, Bytes::new(), CancellationToken::new(), Arc::default());
        assert!(!closed_by_now(&mut connection).await, "the client may still send");
        for _ in 0..100 {
            client.write_all(&[7; 64]).await.unwrap(); // Waits for ever unless it is taken.
            assert!(!closed_by_now(&mut connection).await);
        }
        assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0, "the client sees the end of what is sent to it");
        drop(client);
        assert!(closed_by_now(&mut connection).await);
    }

    #[tokio::test]
    async fn what_is_taken_is_bounded() {
        let (server, mut client) = duplex(4096);
        let mut connection = Wire::new(server, Bytes::new(), CancellationToken::new(), Arc::default());
        let mut taken = 0;
        while !closed_by_now(&mut connection).await {
            assert!(taken <= LINGER_BYTES);
            client.write_all(&[7; 4096]).await.unwrap();
            taken += 4096;
        }
        assert!(taken >= LINGER_BYTES);
    }

    #[tokio::test]
    async fn a_stopping_server_waits_for_nobody() {
        let (server, _silent) = duplex(64);
        let stopping = CancellationToken::new();
        stopping.cancel();
        assert!(closed_by_now(&mut Wire::new(server, Bytes::new(), stopping, Arc::default())).await);
    }
}

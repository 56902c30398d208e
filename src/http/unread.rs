//! What of a request's body nobody read: read and dropped before the answer goes out, or the answer says that it closes.
//!
//! A refusal often needs no more than the head of a request, while the body is still on its way. hyper would send such an
//! answer at once and close the connection behind it without a word, and a client that keeps its connections would send
//! the next request into a closed one.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::{
    HeaderMap,
    body::{Body, Frame, Incoming, SizeHint},
    header::{CONNECTION, EXPECT, HeaderValue},
};
use tokio::time::timeout;

/// The most that is read and dropped for a connection's sake, bytes. A new connection costs less than more than that.
const REST_MAX: u64 = 64 << 10;
/// The longest that an answer waits for the rest of its request.
const REST_WITHIN: Duration = Duration::from_millis(500);

/// A connection's place for what is left of a body.
#[derive(Clone, Default)]
pub(super) struct Unread(Arc<Mutex<Option<Incoming>>>);

/// The body of a request. What is not read of it goes back to its connection when it is dropped.
pub(super) struct RequestBody {
    /// Nothing once it has come to its end.
    body: Option<Incoming>,
    unread: Unread,
}

impl RequestBody {
    pub(super) fn new(body: Incoming, unread: Unread) -> Self {
        Self { body: Some(body).filter(|body| !body.is_end_stream()), unread }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(rest) = self.body.take() {
            *self.unread.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest);
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) {
            self.body = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Unread {
    /// Reads and drops what is left of a request's body; says so in its answer where the connection has to close instead.
    ///
    /// `in_vain`: nothing is gained by it, because the client wants to close, or sends its body only when it is asked to.
    pub(super) async fn settle(&self, in_vain: bool, answer: &mut HeaderMap) {
        let Some(rest) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        if closes(answer) || rest.is_end_stream() {
            return;
        }
        if in_vain || rest.size_hint().lower() > REST_MAX || !timeout(REST_WITHIN, dropped(rest)).await.unwrap_or(false)
        {
            answer.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// Reads and drops a body; true where that led to its end.
async fn dropped(mut body: Incoming) -> bool {
    let mut dropped = 0;
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(bytes)) => dropped += bytes.remaining() as u64,
            Ok(Err(_trailers)) => {}
            Err(_) => return false,
        }
        if dropped > REST_MAX {
            return false;
        }
    }
    true
}

/// True where a head says that its connection ends with it.
pub(super) fn closes(headers: &HeaderMap) -> bool {
    let mut options = headers.get_all(CONNECTION).iter().flat_map(|list| list.as_bytes().split(|&byte| byte == b','));
    options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

/// True where a client waits to be asked for its body.
pub(super) fn waits(headers: &HeaderMap) -> bool {
    headers.contains_key(EXPECT)
}

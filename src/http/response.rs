//! Answers: JSON, ready-made JSON with its entity tag, lines that stream, and nothing.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::{
    HeaderMap, Response, StatusCode,
    body::{Body as HttpBody, Frame, SizeHint},
    header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH, VARY},
};
use serde::Serialize;

use super::handover::Events;
use crate::store::Rendered;

/// What every handler gives.
pub(crate) type ApiResponse = Response<Body>;

/// A stream's next part could not be made: the connection breaks off, so that nobody takes what came for the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stream broke off")]
pub(crate) struct BrokenOff;

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Body {
    /// All of it; taken once it was sent.
    Whole(Option<Bytes>),
    /// Part by part, as fast as the client reads.
    Stream(UnsyncBoxBody<Bytes, BrokenOff>),
    /// Events, for as long as they come.
    Events(Events),
    /// Nothing that hyper would have to write: see `handover.rs`.
    HandedOver,
}

impl Default for Body {
    fn default() -> Self {
        Self::Whole(None)
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(stream) | Self::Events(stream) => Pin::new(stream).poll_frame(cx),
            Self::HandedOver => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Stream(stream) | Self::Events(stream) => stream.is_end_stream(),
            Self::HandedOver => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(stream) | Self::Events(stream) => stream.size_hint(),
            Self::HandedOver => SizeHint::default(),
        }
    }
}

/// `value` as JSON; nobody keeps a copy.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> ApiResponse {
    let bytes = serde_json::to_vec(value).expect("our answers have string keys only, so they always become JSON");
    let mut response = Response::new(Body::from(Bytes::from(bytes)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// 204.
pub(super) fn no_content() -> ApiResponse {
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// JSON that the store has ready; 304 where the client has it already. `headers` are the request's: the answer takes the
/// map over, which has room for what an answer says.
pub(super) fn rendered(mut headers: HeaderMap, rendered: Rendered) -> ApiResponse {
    let mut response = unless_known(&headers, rendered.etag.as_bytes(), rendered.body);
    headers.clear();
    if response.status() == StatusCode::OK {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    headers.insert(ETAG, rendered.etag);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    // Two people on one browser ask by the same path; neither may be shown what it kept for the other.
    headers.insert(VARY, HeaderValue::from_static("Authorization, Cookie"));
    *response.headers_mut() = headers;
    response
}

/// `body` with the tag `etag`; 304 without it where the client has it already.
pub(super) fn unless_known(asked: &HeaderMap, etag: &[u8], body: Bytes) -> ApiResponse {
    let known = names_tag(asked, etag);
    let mut response = Response::new(if known { Body::default() } else { Body::from(body) });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    response
}

/// True where `If-None-Match` names the tag, or any (`*`). Compares weakly, as RFC 9110 wants it for this header.
fn names_tag(request: &HeaderMap, etag: &[u8]) -> bool {
    let lists = request.get_all(IF_NONE_MATCH);
    let mut tags = lists.iter().flat_map(|list| list.as_bytes().split(|&byte| byte == b',')).map(<[u8]>::trim_ascii);
    tags.any(|tag| tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == etag)
}

/// JSON Lines that are made while they are read. `next` gives the part after a state, or nothing at the end.
///
/// One part is made at a time, and only when the client has taken the one before. An error breaks the connection off;
/// `next` has logged its cause. A client that goes away ends it.
pub(super) fn lines<S, F>(first: Bytes, state: S, next: impl FnMut(S) -> F + Send + 'static) -> ApiResponse
where
    S: Send + 'static,
    F: Future<Output = Result<Option<(Bytes, S)>, BrokenOff>> + Send + 'static,
{
    typed("application/x-ndjson", Body::Stream(UnsyncBoxBody::new(Parts::new(first, state, next))))
}

/// An event stream, made as [`lines`] are.
pub(super) fn events<S, F>(first: Bytes, state: S, next: impl FnMut(S) -> F + Send + 'static) -> ApiResponse
where
    S: Send + 'static,
    F: Future<Output = Result<Option<(Bytes, S)>, BrokenOff>> + Send + 'static,
{
    let events = UnsyncBoxBody::new(Parts::new(first, state, next));
    let mut response = typed("text/event-stream", Body::Events(events));
    // Proxies that gather answers before they pass them on would hold every event up.
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

fn typed(content_type: &'static str, body: Body) -> ApiResponse {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A body whose parts are made one after the other.
struct Parts<S, N, F> {
    first: Option<Bytes>,
    /// Where it stands, while no part is being made; nothing at the end.
    state: Option<S>,
    making: Option<Pin<Box<F>>>,
    next: N,
}

impl<S, N, F> Parts<S, N, F> {
    fn new(first: Bytes, state: S, next: N) -> Self {
        Self { first: Some(first), state: Some(state), making: None, next }
    }
}

// The only future in it is boxed, so nothing in it is pinned in place.
impl<S, N, F> Unpin for Parts<S, N, F> {}

impl<S, N, F> HttpBody for Parts<S, N, F>
where
    N: FnMut(S) -> F,
    F: Future<Output = Result<Option<(Bytes, S)>, BrokenOff>>,
{
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let this = self.get_mut();
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if let Some(state) = this.state.take() {
            this.making = Some(Box::pin((this.next)(state)));
        }
        let Some(making) = &mut this.making else { return Poll::Ready(None) };
        let made = ready!(making.as_mut().poll(cx));
        this.making = None;
        Poll::Ready(made.transpose().map(|part| {
            part.map(|(bytes, state)| {
                this.state = Some(state);
                Frame::data(bytes)
            })
        }))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn asked(tags: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for tag in tags {
            headers.append(IF_NONE_MATCH, HeaderValue::from_static(tag));
        }
        headers
    }

    #[test]
    fn a_client_that_has_the_answer_gets_304_without_a_body() {
        let page = || Rendered { etag: HeaderValue::from_static("\"a1\""), body: Bytes::from_static(b"{}") };
        for tags in [&["\"a1\""][..], &["*"], &["W/\"a1\""], &["\"b\" , \"a1\""], &["\"b\"", "\"a1\""]] {
            let response = rendered(asked(tags), page());
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{tags:?}");
            assert!(response.body().is_end_stream());
            assert_eq!(response.headers()[ETAG], "\"a1\"");
        }
        for tags in [&[][..], &["\"a\""], &["a1"], &["\"a1"], &["w/\"a1\""]] {
            let response = rendered(asked(tags), page());
            assert_eq!(response.status(), StatusCode::OK, "{tags:?}");
            assert_eq!(response.body().size_hint().exact(), Some(2));
            assert_eq!(response.headers()[CACHE_CONTROL], "private, no-cache");
        }
    }

    #[tokio::test]
    async fn lines_stream_to_their_end_and_an_error_breaks_them_off() {
        let count_to = |last: u8, fail: bool| {
            lines(Bytes::from_static(b"0\n"), 1u8, move |n| async move {
                match n {
                    n if n <= last => Ok(Some((Bytes::from(format!("{n}\n")), n + 1))),
                    _ if fail => Err(BrokenOff),
                    _ => Ok(None),
                }
            })
        };
        let whole = count_to(3, false).into_body().collect().await.unwrap().to_bytes();
        assert_eq!(whole, "0\n1\n2\n3\n");
        assert_eq!(count_to(3, true).into_body().collect().await.unwrap_err(), BrokenOff);
    }
}

//! A request on its way to its handler: the route's parameters, the query, the headers and the body.

use std::net::IpAddr;

use bytes::Bytes;
use hyper::{HeaderMap, Request, header::HeaderName};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::{
    body::{self, Bounds},
    handover::Presence,
    problem::Problem,
    query::Query,
    routes::Route,
    server::Peer,
    unread::RequestBody,
};
use crate::id::{Seq, SessionId};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The longest idempotency key, characters.
const KEY_MAX: usize = 255;

/// What a handler is given. Its identity, where the route needs one, has been proved before.
pub(crate) struct ApiRequest {
    request: Box<Request<RequestBody>>,
    route: &'static Route,
    client: Peer,
    bounds: Bounds,
}

impl ApiRequest {
    pub(super) fn new(request: Box<Request<RequestBody>>, route: &'static Route, client: Peer, bounds: Bounds) -> Self {
        Self { request, route, client, bounds }
    }

    /// The client's address; behind a trusted proxy, the one that the proxy names.
    pub(super) fn address(&self) -> IpAddr {
        self.client.address
    }

    /// True where nobody between the client and this server reads along.
    pub(super) fn secure(&self) -> bool {
        self.client.secure
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    /// The headers, for who needs nothing else any more.
    pub(super) fn into_headers(mut self) -> HeaderMap {
        std::mem::take(self.request.headers_mut())
    }

    /// The part of the path that the route calls `name`.
    pub(super) fn segment(&self, name: &str) -> Option<&str> {
        self.route.segment(self.request.uri().path(), name)
    }

    /// The session in the path.
    ///
    /// # Errors
    /// The 403 of a session that is not the caller's: what can't be an id names none.
    pub(super) fn session_id(&self) -> Result<SessionId, Problem> {
        self.segment("id").and_then(|id| id.parse().ok()).ok_or_else(Problem::not_owner)
    }

    /// The message in the path.
    ///
    /// # Errors
    /// The 404 of a message that is not there: what can't be a sequence names none.
    pub(super) fn seq(&self) -> Result<Seq, Problem> {
        let seq = self.segment("seq").and_then(|seq| seq.parse().ok()).map(Seq);
        seq.filter(|seq| *seq > Seq::ZERO).ok_or_else(Problem::no_such_message)
    }

    /// The parameters after the `?`.
    ///
    /// # Errors
    /// 400 where they are not UTF-8.
    pub(super) fn query(&self) -> Result<Query<'_>, Problem> {
        Query::new(self.request.uri().query().unwrap_or_default())
    }

    /// The client's `Idempotency-Key`.
    ///
    /// # Errors
    /// 422 where it is not 1 to 255 visible ASCII characters, or comes twice.
    pub(super) fn idempotency_key(&self) -> Result<Option<String>, Problem> {
        let mut keys = self.headers().get_all(IDEMPOTENCY_KEY).iter();
        let Some(key) = keys.next() else { return Ok(None) };
        let visible = key.as_bytes().iter().all(u8::is_ascii_graphic);
        match key.to_str() {
            Ok(text) if visible && (1..=KEY_MAX).contains(&text.len()) && keys.next().is_none() => {
                Ok(Some(text.to_owned()))
            }
            Ok(_) | Err(_) => Err(Problem::field(
                "Idempotency-Key",
                "must come once and be 1 to 255 visible ASCII characters; please use a new UUID for each message",
            )),
        }
    }

    /// Whether the client is still there; only what is asked for under `/v1` can tell.
    pub(super) fn presence(&self) -> Presence {
        self.request.extensions().get().cloned().unwrap_or_default()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// As [`body::read`] and [`body::decode`] say.
    pub(super) async fn json<T: DeserializeOwned>(self) -> Result<T, Problem> {
        let bytes = self.bytes().await?;
        body::decode(&bytes)
    }

    /// The body as JSON, and a digest of what is asked: method, path and body, byte for byte.
    ///
    /// # Errors
    /// As [`ApiRequest::json`].
    pub(super) async fn json_with_digest<T: DeserializeOwned>(self) -> Result<(T, [u8; 32]), Problem> {
        let (bytes, digest) = self.digested().await?;
        Ok((body::decode(&bytes)?, digest))
    }

    /// As [`ApiRequest::json_with_digest`]; no body counts as `{}`.
    ///
    /// # Errors
    /// As [`ApiRequest::json`].
    pub(super) async fn json_or_default_with_digest<T: DeserializeOwned + Default>(
        self,
    ) -> Result<(T, [u8; 32]), Problem> {
        let (bytes, digest) = self.digested().await?;
        Ok((if bytes.is_empty() { T::default() } else { body::decode(&bytes)? }, digest))
    }

    /// The body as JSON; no body counts as `{}`.
    ///
    /// # Errors
    /// As [`ApiRequest::json`].
    pub(super) async fn json_or_default<T: DeserializeOwned + Default>(self) -> Result<T, Problem> {
        let bytes = self.bytes().await?;
        if bytes.is_empty() { Ok(T::default()) } else { body::decode(&bytes) }
    }

    async fn digested(self) -> Result<(Bytes, [u8; 32]), Problem> {
        let head = format!("{} {}\0", self.request.method(), self.request.uri().path());
        let bytes = self.bytes().await?;
        let digest = Sha256::new().chain_update(head).chain_update(&bytes).finalize().into();
        Ok((bytes, digest))
    }

    async fn bytes(mut self) -> Result<Bytes, Problem> {
        let headers = std::mem::take(self.request.headers_mut());
        body::read(&headers, self.request.into_body(), self.bounds).await
    }
}

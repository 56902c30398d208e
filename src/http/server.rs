//! Connections: accepts them under two caps, speaks HTTP/1.1 on each, and closes them all when the server stops.
//!
//! Knows bytes, limits and time; what a request means is the service's. Only HTTP/1.1 is spoken: anything else gets
//! hyper's 400 and a closed connection, and the preface of HTTP/2 just the closed connection.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::poll_fn,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioTimer;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    handover::{Events, Handover, Stream},
    origin,
    response::ApiResponse,
    routes,
    service::Front,
    tls::Tls,
    unread::{self, RequestBody},
    wire::{Carrier, Wire},
};
use crate::{app::App, config::ServerConfig, metrics::RequestFigures};

/// What one connection may keep in memory for reading, bytes.
const BUFFER_MAX: usize = 64 << 10;
/// The longest head of a request, bytes.
const HEAD_MAX: usize = 16 << 10;
/// The most header lines of a request.
const HEADERS_MAX: usize = 64;
/// The wait after an accept that failed: descriptors come back with time, and asking again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where connections come from, and whether they are encrypted.
pub struct Listening {
    /// Where they come from.
    pub listener: TcpListener,
    /// What encrypts them; plain HTTP without it.
    pub tls: Option<Tls>,
}

/// Serves `app` on `listening` until `stop`; then idle connections close at once, and open requests get
/// `server.shutdown_grace` to finish. `stop_now` ends everything at once, at any time. Returns when the last connection
/// is closed.
///
/// Dropping the future stops accepting, but not the connections that are open.
pub async fn serve(app: Arc<App>, listening: Listening, stop: CancellationToken, stop_now: CancellationToken) {
    let config = app.loaded().config.server.clone();
    let listening_on = listening.listener.local_addr().unwrap_or(config.listen);
    let figures = Arc::clone(&app.requests);
    let front = Arc::new(Front::new(app, listening_on.ip()));
    let answer = move |peer, request| {
        let front = Arc::clone(&front);
        // Boxed: hyper would move the whole future, kilobytes of it, into its place for every request. The request too:
        // each future in it keeps a place for what it is given.
        let request = Box::new(request);
        Box::pin(async move { front.answer(peer, request).await })
    };
    accept_until(&config, figures, listening, &Stops { stop, stop_now }, answer).await;
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    /// Where the connection comes from.
    pub(super) address: IpAddr,
    /// True where nobody on the way can read it.
    pub(super) secure: bool,
}

/// When to end.
pub(super) struct Stops {
    /// No more work, but finish what is under way.
    pub(super) stop: CancellationToken,
    /// Nothing more at all.
    pub(super) stop_now: CancellationToken,
}

/// [`serve`], for anything that answers requests.
pub(super) async fn accept_until<A, F>(
    config: &ServerConfig,
    figures: Arc<RequestFigures>,
    listening: Listening,
    stops: &Stops,
    answer: A,
) where
    A: Fn(Peer, Request<RequestBody>) -> F + Send + Sync + 'static,
    F: Future<Output = ApiResponse> + Send + 'static,
{
    let Listening { listener, tls } = listening;
    let caps = Arc::new(Caps::new(config, figures));
    let connections = TaskTracker::new();
    let (stop, ended) = (stops.stop.child_token(), stops.stop_now.child_token());
    let speaker = Arc::new(Speaker {
        http: http(config),
        tls,
        shake_within: config.header_timeout,
        stop: stop.clone(),
        ended: ended.clone(),
        answer,
    });
    let mut failing = false; // So that a shortage is one line in the log, not twenty a second.
    loop {
        let accepted = tokio::select! {
            biased;
            () = stops.stop_now.cancelled() => break,
            () = stops.stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if !failing {
                    tracing::warn!(target: "http", %error, "no connection could be accepted; trying on");
                }
                failing = true;
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        failing = false;
        let Some(permit) = caps.admit(address) else {
            caps.figures.connections_refused.count();
            tracing::debug!(target: "http", %address, "too many connections; this one is closed");
            continue;
        };
        let speaker = Arc::clone(&speaker);
        connections.spawn(async move {
            speaker.serve(stream, address).await;
            drop(permit);
        });
    }
    stop.cancel(); // Also where only `stop_now` was asked for: a connection listens for this one first.
    drop(listener); // Who comes now is refused by the system, and can go elsewhere.
    connections.close();
    tokio::select! {
        () = connections.wait() => return,
        () = sleep(config.shutdown_grace) => tracing::warn!(
            target: "http",
            open = connections.len(),
            "requests are still open after server.shutdown_grace; they are cut off"
        ),
        () = stops.stop_now.cancelled() => {}
    }
    ended.cancel();
    connections.wait().await;
}

fn http(config: &ServerConfig) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_buf_size(BUFFER_MAX)
        .max_header_size(HEAD_MAX)
        .max_headers(HEADERS_MAX)
        .half_close(true) // A client that has said everything may still listen.
        .keep_alive(true);
    http
}

/// What speaks on all connections of a server; none has anything of this for itself.
struct Speaker<A> {
    http: http1::Builder,
    tls: Option<Tls>,
    /// The longest time for a handshake.
    shake_within: Duration,
    stop: CancellationToken,
    ended: CancellationToken,
    answer: A,
}

impl<A, F> Speaker<A>
where
    A: Fn(Peer, Request<RequestBody>) -> F,
    F: Future<Output = ApiResponse>,
{
    /// Answers requests until the connection ends.
    async fn serve(&self, stream: TcpStream, address: SocketAddr) {
        // Where the socket is gone already, the first read says so.
        let _ = stream.set_nodelay(true);
        let address = address.ip().to_canonical();
        let Some(tls) = &self.tls else {
            return self.converse(stream, Peer { address, secure: false }).await;
        };
        // Boxed, so that a plain connection has no place for all that.
        Box::pin(async move {
            let stream = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                shaken = timeout(self.shake_within, tls.accept(stream)) => shaken,
            };
            match stream {
                Ok(Ok(stream)) => self.converse(stream, Peer { address, secure: true }).await,
                Ok(Err(error)) => tracing::debug!(target: "http", %address, %error, "a handshake failed"),
                Err(_) => tracing::debug!(target: "http", %address, "a handshake took too long"),
            }
        })
        .await;
    }

    /// Answers requests on anything that carries bytes: by hyper, and while a stream of events runs, without it.
    async fn converse<T: AsyncRead + AsyncWrite + Carrier + Unpin>(&self, mut io: T, peer: Peer) {
        let mut said = Vec::new();
        loop {
            // Boxed, so that the room that HTTP needs is given back while a stream runs.
            let Some(stream) = Box::pin(self.speak(io, said, peer)).await else { return };
            let Some(lives_on) = stream.run(&self.stop, &self.ended).await else { return };
            (io, said) = lives_on;
        }
    }

    /// Speaks HTTP until the connection ends, or until an answer is a stream of events: that is left to do then. `said` was
    /// read before.
    async fn speak<T>(&self, io: T, said: Vec<u8>, peer: Peer) -> Option<Stream<T>>
    where
        T: AsyncRead + AsyncWrite + Carrier + Unpin,
    {
        let handover = Arc::new(Handover::default());
        let of_answers = Arc::clone(&handover);
        let service = service_fn(move |mut request: Request<Incoming>| {
            if routes::is_v1(request.uri().path()) {
                request.extensions_mut().insert(of_answers.presence.clone());
            }
            let (method, version, handover) = (request.method().clone(), request.version(), Arc::clone(&of_answers));
            let (closes, waits) = (unread::closes(request.headers()), unread::waits(request.headers()));
            let answer = (self.answer)(peer, request.map(|body| RequestBody::new(body, handover.unread.clone())));
            async move {
                let mut response = answer.await;
                handover.unread.settle(waits || closes, response.headers_mut()).await;
                handover.take(&method, version, closes, &mut response);
                Ok::<_, Infallible>(response)
            }
        });
        let wire = Wire::new(io, said.into(), self.stop.clone(), Arc::clone(&handover));
        let mut connection = self.http.serve_connection(wire, service);
        let spoken = tokio::select! {
            biased;
            spoken = poll_fn(|cx| spoken(&mut connection, &handover, cx)) => spoken,
            () = self.stop.cancelled() => {
                Pin::new(&mut connection).graceful_shutdown();
                tokio::select! {
                    biased;
                    () = self.ended.cancelled() => return None,
                    spoken = poll_fn(|cx| spoken(&mut connection, &handover, cx)) => spoken,
                }
            }
        };
        match spoken {
            Ok(None) => None,
            Ok(Some((events, closes))) => {
                let parts = connection.into_parts();
                let (io, unread) = parts.io.into_parts();
                Some(Stream { io, said: [parts.read_buf, unread].concat(), events, closes })
            }
            Err(error) => {
                tracing::debug!(target: "http", address = %peer.address, %error, "a connection ended early");
                None
            }
        }
    }
}

/// Lets hyper go on until the connection ends, or the head of a stream is written.
fn spoken<C>(
    connection: &mut C,
    handover: &Handover,
    cx: &mut Context<'_>,
) -> Poll<hyper::Result<Option<(Events, bool)>>>
where
    C: Future<Output = hyper::Result<()>> + Unpin,
{
    match Pin::new(connection).poll(cx) {
        Poll::Ready(ended) => Poll::Ready(ended.map(|()| None)),
        Poll::Pending => handover.ready().map_or(Poll::Pending, |stream| Poll::Ready(Ok(Some(stream)))),
    }
}

/// How many connections are open: in all, and from each address.
struct Caps {
    total_max: usize,
    per_address_max: usize,
    /// Proxies bring many people from one address: only the total binds them.
    proxies: Vec<IpAddr>,
    open: Mutex<Open>,
    figures: Arc<RequestFigures>,
}

/// Guarded by [`Caps::open`]; at most `total_max` addresses.
#[derive(Default)]
struct Open {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One connection's place under the caps; given back when dropped.
struct Permit {
    caps: Arc<Caps>,
    key: IpAddr,
}

impl Caps {
    fn new(config: &ServerConfig, figures: Arc<RequestFigures>) -> Self {
        Self {
            total_max: config.connections,
            per_address_max: config.connections_per_address,
            proxies: config.trusted_proxies.clone(),
            open: Mutex::default(),
            figures,
        }
    }

    fn admit(self: &Arc<Self>, from: SocketAddr) -> Option<Permit> {
        let key = origin::network(from.ip());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.total >= self.total_max {
            return None;
        }
        let of_address = open.by_address.get(&key).copied().unwrap_or(0);
        if of_address >= self.per_address_max && !origin::is_among(from.ip(), &self.proxies) {
            return None;
        }
        open.total += 1;
        open.by_address.insert(key, of_address + 1);
        drop(open);
        self.figures.connections.grow(1);
        Some(Permit { caps: Arc::clone(self), key })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.caps.figures.connections.shrink(1);
        let mut open = self.caps.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total -= 1;
        match open.by_address.get_mut(&self.key) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => {
                open.by_address.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests;

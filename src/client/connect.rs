//! Connections to servers: look-up, TCP, TLS, all within one time.

use std::{
    error::Error,
    future::Future,
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
    vec,
};

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::connect::{HttpConnector, dns::Name},
    rt::TokioIo,
};
use tokio::net::TcpStream;
use tower_service::Service;

use crate::{config::is_link_local, pool::Pool};

/// Look-ups at once; each may take as long as the system lets it.
const LOOKUP_THREADS: usize = 2;
/// Look-ups that may wait.
const LOOKUPS_MAX: usize = 64;
/// Why no connection is made, beside the system's own reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// There was none in time.
    #[error("no connection within {0:?}")]
    TooSlow(Duration),
    /// The address belongs to the machine's own network segment, where clouds keep their machines' secrets.
    #[error("{0} is a link-local or metadata address, to which bondhu does not connect")]
    LinkLocal(IpAddr),
}

/// Looks up names on threads of its own: the runtime's are for what does not block.
#[derive(Clone)]
pub struct Resolver(Option<Arc<Pool>>);

impl Resolver {
    /// Threads that look up the hosts of `urls`; none where all of them are addresses. The threads end with the process,
    /// so that no stop waits for a slow look-up.
    ///
    /// # Errors
    /// The system's, where it gives no thread.
    pub fn start<'u>(urls: impl IntoIterator<Item = &'u Uri>) -> io::Result<Self> {
        if urls.into_iter().all(|url| address(url).is_some()) {
            return Ok(Self(None));
        }
        let pool = Arc::new(Pool::start("bondhu-dns", LOOKUP_THREADS, LOOKUPS_MAX)?);
        std::mem::forget(Arc::clone(&pool)); // The last owner would wait for the threads.
        Ok(Self(Some(pool)))
    }
}

impl Resolver {
    /// True where it has threads for names.
    #[must_use]
    pub fn looks_up(&self) -> bool {
        self.0.is_some()
    }
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let pool = self.0.clone();
        Box::pin(async move {
            let pool = pool.ok_or("names are not looked up here")?;
            let found = pool.run(move || (name.as_str(), 0).to_socket_addrs()).await??;
            if let Some(refused) = found.clone().find(|found| is_link_local(found.ip())) {
                return Err(ConnectError::LinkLocal(refused.ip()).into());
            }
            Ok(found)
        })
    }
}

/// Connects over TCP, and over TLS where the URL says `https`.
#[derive(Clone)]
pub(super) struct Connector {
    https: HttpsConnector<HttpConnector<Resolver>>,
    within: Duration,
}

impl Connector {
    /// Connects from the address `from`, where it is given.
    pub(super) fn new(resolver: Resolver, tls: rustls::ClientConfig, within: Duration, from: Option<IpAddr>) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(resolver);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_local_address(from);
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        Self { https: https.wrap_connector(tcp), within }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.https.poll_ready(context)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        if let Some(refused) = address(&url).filter(|ip| is_link_local(*ip)) {
            return Box::pin(async move { Err(ConnectError::LinkLocal(refused).into()) });
        }
        let (connecting, within) = (self.https.call(url), self.within);
        Box::pin(
            async move { tokio::time::timeout(within, connecting).await.map_err(|_| ConnectError::TooSlow(within))? },
        )
    }
}

/// The host of `url`, where it is an address and needs no look-up.
fn address(url: &Uri) -> Option<IpAddr> {
    url.host()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_are_looked_up_on_threads_of_their_own_and_addresses_need_none() {
        let urls = ["http://127.0.0.1:1/", "https://[::1]/"].map(|url| url.parse::<Uri>().unwrap());
        assert!(Resolver::start(&urls).unwrap().0.is_none());
        let mut resolver = Resolver::start([&"http://localhost/".parse().unwrap()]).unwrap();
        let found: Vec<_> = resolver.call("localhost".parse().unwrap()).await.unwrap().collect();
        assert!(!found.is_empty() && found.iter().all(|address| address.ip().is_loopback()));
        // An address in a notation that only the system's look-up reads.
        let refused = resolver.call("0xa9fea9fe".parse().unwrap()).await.unwrap_err();
        assert!(refused.to_string().contains("169.254.169.254"), "{refused}");
    }
}

//! Outbound HTTP, bounded in time and bytes. Knows nothing of what is asked.
//!
//! [`Get`] is one small question on a connection of its own; [`Client`] posts to one server, over connections that stay
//! open, and gives the answer in pieces; [`Kept`] is one connection of one user, of whom there may be thousands. None follows a redirect, asks the environment for a proxy, or looks up a name on
//! a thread of the runtime but as [`Get::send`] says.

mod connect;
mod kept;
mod post;
#[cfg(test)]
mod tests;

pub use self::{
    connect::{ConnectError, Resolver},
    kept::{Head, Kept, KeptError, Origin, OriginError, Reply},
    post::{Answer, BuildError, Client, PostError, Target},
};

use std::{io, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// What the library of TLS says of a certificate that was made for an authority, as `openssl req -x509` makes one.
const OF_AN_AUTHORITY: &str = "Other(OtherError(CaUsedAsEndEntity))";

/// An error's text, with words in place of what only the library's authors understand.
fn worded(text: String) -> String {
    if !text.contains(OF_AN_AUTHORITY) {
        return text;
    }
    let words = "it is one of an authority (CA:TRUE), and a server needs one of its own: with openssl req -x509, add \
                 -addext basicConstraints=critical,CA:FALSE";
    text.replace(OF_AN_AUTHORITY, words)
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL is not `http://host[:port]/path`.
    #[error("{0:?} is not a http:// URL with a host")]
    Url(String),
    /// The server can't be reached.
    #[error("no connection to {address}: {source}")]
    Connect {
        /// Whom it was tried to reach.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// The talk broke off, or was no HTTP.
    #[error("the talk broke off: {0}")]
    Http(#[from] hyper::Error),
    /// The body broke off or is over the bound.
    #[error("the answer can't be read: {0}")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It took too long.
    #[error("no answer within {0:?}")]
    TooSlow(Duration),
}

/// What to get, and the bounds of the answer.
#[derive(Debug, Clone)]
pub struct Get {
    /// Where from: `http` only.
    pub url: Uri,
    /// The `Host` header, where it is not the URL's own.
    pub host: Option<HeaderValue>,
    /// Longest time for all of it.
    pub within: Duration,
    /// Most bytes of the body.
    pub body_max: usize,
}

impl Get {
    /// Sends the request on a connection of its own and gives the status and the body. Follows no redirect.
    ///
    /// Looking up a host name, but not an address, uses the runtime's thread for blocking work. Dropping the future
    /// closes the connection.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn send(self) -> Result<(StatusCode, Bytes), ClientError> {
        let within = self.within;
        tokio::time::timeout(within, self.exchange()).await.map_err(|_| ClientError::TooSlow(within))?
    }

    async fn exchange(self) -> Result<(StatusCode, Bytes), ClientError> {
        let not_one = || ClientError::Url(self.url.to_string());
        let authority = self.url.authority().filter(|_| self.url.scheme_str() == Some("http")).ok_or_else(not_one)?;
        let address = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80));
        let connected = TcpStream::connect(&address).await;
        let stream = connected.map_err(|source| ClientError::Connect { address: address.clone(), source })?;
        let host = self.host.or_else(|| HeaderValue::from_str(authority.as_str()).ok()).ok_or_else(not_one)?;
        let path = self.url.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let request = Request::get(path).header(header::HOST, host).header(header::CONNECTION, "close");
        let request = request.body(Empty::<Bytes>::new()).map_err(|_| not_one())?;

        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, self.body_max).collect().await.map_err(ClientError::Body)?;
            Ok((head.status, body.to_bytes()))
        };
        // The connection is driven here, so that nothing of it outlives the call.
        tokio::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            ended = connection => { ended?; exchange.await }
        }
    }
}

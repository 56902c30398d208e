//! A server on loopback around any answer, for the tests of this layer.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hyper::Request;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{
    response::ApiResponse,
    server::{Listening, Peer, Stops, accept_until},
    unread::RequestBody,
};
use crate::config::ServerConfig;

/// A server that runs.
pub(super) struct Running {
    pub(super) at: SocketAddr,
    pub(super) stop: CancellationToken,
    pub(super) stop_now: CancellationToken,
    pub(super) server: JoinHandle<()>,
}

/// Starts one on a port of the system's choice.
pub(super) async fn start<A, F>(config: ServerConfig, answer: A) -> Running
where
    A: Fn(Peer, Request<RequestBody>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ApiResponse> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (stop, stop_now) = (CancellationToken::new(), CancellationToken::new());
    let stops = Stops { stop: stop.clone(), stop_now: stop_now.clone() };
    let listening = Listening { listener, tls: None };
    let server = tokio::spawn(async move { accept_until(&config, Arc::default(), listening, &stops, answer).await });
    Running { at, stop, stop_now, server }
}

/// A configuration whose grace no test waits for.
pub(super) fn patient() -> ServerConfig {
    ServerConfig { shutdown_grace: Duration::from_hours(1), ..ServerConfig::default() }
}

impl Running {
    /// A new connection.
    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.at).await.unwrap()
    }

    /// Everything that the server sends until it closes.
    pub(super) async fn last_words(&self, request: &[u8]) -> String {
        let mut client = self.connect().await;
        client.write_all(request).await.unwrap();
        rest(&mut client).await
    }
}

/// Reads until the server closes.
pub(super) async fn rest(client: &mut TcpStream) -> String {
    let mut text = Vec::new();
    client.read_to_end(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

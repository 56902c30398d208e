//! What hyper alone costs: one worker, and a body that never changes.

use std::{convert::Infallible, net::SocketAddr, process::Command};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, runtime::Builder};

use crate::{
    load::server::{Server, on_first_core},
    measure::allocations,
};

/// The first word of a process that is this server.
pub(crate) const WORD: &str = "bare";

/// Starts one that answers with so many bytes, in a process of its own on the first core.
pub(crate) fn start(length: usize) -> Server {
    Server::run_counted(on_first_core(command(length)), None)
}

fn command(length: usize) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args([WORD, &length.to_string()]);
    command
}

/// Serves for ever.
pub(crate) fn serve(length: usize, listen: SocketAddr) {
    allocations::tell();
    let body = Bytes::from(vec![b'x'; length]);
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await.expect("a port");
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("an open socket");
            let body = body.clone();
            tokio::spawn(async move {
                let service = service_fn(move |_: Request<Incoming>| {
                    let body = body.clone();
                    async move {
                        let response = Response::builder().header("content-type", "application/json");
                        Ok::<_, Infallible>(response.body(Full::new(body)).expect("a response"))
                    }
                });
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
}

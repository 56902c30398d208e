use bytes::Bytes;
use hyper::{Response, header::CONNECTION};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Notify, mpsc},
};

use super::*;
use crate::http::{
    response::Body,
    testing::{patient, rest, start},
};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

async fn hello(_: Peer, _: Request<RequestBody>) -> ApiResponse {
    Response::new(Body::from(Bytes::from_static(b"hello")))
}

async fn read_until(client: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        text.push(char::from(client.read_u8().await.unwrap()));
    }
    text
}

#[tokio::test]
async fn a_connection_is_kept_and_an_idle_one_does_not_delay_the_stop() {
    let running = start(patient(), hello).await;
    let mut client = running.connect().await;
    for _ in 0..2 {
        client.write_all(GET).await.unwrap();
        assert!(read_until(&mut client, "hello").await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
    let mut silent = running.connect().await;
    running.stop.cancel();
    running.server.await.unwrap(); // The grace is an hour: only a connection that closes at once lets this return.
    assert_eq!(rest(&mut client).await, "");
    assert!(silent.read_u8().await.is_err());
    assert!(TcpStream::connect(running.at).await.is_err());
}

#[tokio::test]
async fn a_request_that_is_open_at_the_stop_is_answered() {
    let (began, mut open) = mpsc::channel(1);
    let finish = Arc::new(Notify::new());
    let gate = Arc::clone(&finish);
    let running = start(patient(), move |peer, request| {
        let (began, gate) = (began.clone(), Arc::clone(&gate));
        async move {
            began.send(()).await.unwrap();
            gate.notified().await;
            hello(peer, request).await
        }
    })
    .await;
    let mut client = running.connect().await;
    client.write_all(GET).await.unwrap();
    open.recv().await.unwrap();
    running.stop.cancel();
    finish.notify_one();
    assert!(rest(&mut client).await.ends_with("hello"));
    running.server.await.unwrap();
}

async fn never(_: Peer, _: Request<RequestBody>) -> ApiResponse {
    std::future::pending().await
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_off_after_the_grace_or_at_once() {
    let hasty = ServerConfig { shutdown_grace: Duration::from_millis(1), ..ServerConfig::default() };
    let graceful = start(hasty, never).await;
    let mut client = graceful.connect().await;
    client.write_all(GET).await.unwrap();
    graceful.stop.cancel();
    graceful.server.await.unwrap();

    let at_once = start(patient(), never).await;
    let mut client = at_once.connect().await;
    client.write_all(GET).await.unwrap();
    at_once.stop_now.cancel();
    at_once.server.await.unwrap();
}

#[tokio::test]
async fn what_is_not_http_1_or_too_long_is_refused_and_closed() {
    let running = start(patient(), hello).await;
    let long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(HEAD_MAX));
    let many = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(HEADERS_MAX));
    let cases: [(&[u8], &str); 7] = [
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ""),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "HTTP/1.1 400"),
        (b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", "HTTP/1.1 400"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nA: b\r\n folded\r\n\r\n", "HTTP/1.1 400"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", "HTTP/1.1 400"),
        (long.as_bytes(), "HTTP/1.1 431"),
        (many.as_bytes(), "HTTP/1.1 431"),
    ];
    for (request, start) in cases {
        let answer = running.last_words(request).await; // Comes to its end: the connection is closed.
        assert!(
            answer.starts_with(start),
            "{:?} got {answer:?}",
            String::from_utf8_lossy(&request[..20.min(request.len())])
        );
    }
}

#[tokio::test]
async fn a_client_that_still_sends_reads_its_refusal() {
    let running = start(patient(), |_, _| async {
        let mut response = Response::new(Body::from(Bytes::from_static(b"too much")));
        response.headers_mut().insert(CONNECTION, "close".parse().unwrap());
        response
    })
    .await;
    let mut client = running.connect().await;
    let body = vec![b'x'; LENGTH];
    client
        .write_all(format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {LENGTH}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    client.write_all(&body).await.unwrap();
    assert!(rest(&mut client).await.ends_with("too much"));
}

/// Under what a closing connection still takes, and over what a socket holds by itself.
const LENGTH: usize = 900 << 10;

#[test]
fn connections_are_capped_in_all_and_by_network() {
    let caps = |connections, connections_per_address| {
        let proxy = "10.0.0.1".parse().unwrap();
        let config = ServerConfig {
            connections,
            connections_per_address,
            trusted_proxies: vec![proxy],
            ..ServerConfig::default()
        };
        Arc::new(Caps::new(&config, Arc::default()))
    };
    let from = |address: &str| SocketAddr::new(address.parse().unwrap(), 1);
    let total = caps(2, 9);
    let (first, _second) = (total.admit(from("1.1.1.1")).unwrap(), total.admit(from("2.2.2.2")).unwrap());
    assert!(total.admit(from("3.3.3.3")).is_none());
    drop(first);
    assert!(total.admit(from("3.3.3.3")).is_some());

    let each = caps(9, 1);
    let one = each.admit(from("2001:db8::1")).unwrap();
    assert!(each.admit(from("2001:db8::2")).is_none(), "the same /64");
    let _other = each.admit(from("2001:db8:0:1::1")).unwrap();
    let _proxied: Vec<_> = (0..5).map(|_| each.admit(from("10.0.0.1")).unwrap()).collect();
    drop(one);
    assert_eq!(each.open.lock().unwrap().by_address.len(), 2, "addresses without connections are forgotten");
    assert!(each.admit(from("2001:db8::2")).is_some());
}

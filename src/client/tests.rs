//! Against servers that are bytes on a socket.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

/// Asks a server that answers with `said`, and gives the request that it got as well.
async fn ask(said: &'static [u8], host: Option<&str>) -> (Result<(StatusCode, Bytes), ClientError>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/health?x=1", listener.local_addr().unwrap()).parse().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"\r\n\r\n") {
            got.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(said).await.unwrap();
        String::from_utf8(got).unwrap()
    });
    let host = host.map(|host| host.parse().unwrap());
    let answer = Get { url, host, within: Duration::from_secs(30), body_max: 5 }.send().await;
    if matches!(answer, Err(ClientError::Url(_) | ClientError::Connect { .. })) {
        return (answer, String::new()); // Nobody came, so the server still waits.
    }
    (answer, server.await.unwrap())
}

#[tokio::test]
async fn it_gets_status_and_body() {
    let (answer, asked) = ask(b"HTTP/1.1 503 no\r\ncontent-length: 5\r\n\r\nhello", Some("app.example.org")).await;
    assert_eq!(answer.unwrap(), (StatusCode::SERVICE_UNAVAILABLE, Bytes::from("hello")));
    assert!(asked.starts_with("GET /health?x=1 HTTP/1.1\r\n") && asked.contains("host: app.example.org\r\n"));
}

#[tokio::test]
async fn a_body_over_the_bound_and_what_is_no_http_are_errors() {
    let (answer, _) = ask(b"HTTP/1.1 200 ok\r\ncontent-length: 6\r\n\r\nhello!", None).await;
    assert!(matches!(answer, Err(ClientError::Body(_))), "{answer:?}");
    let (answer, _) = ask(b"SSH-2.0-x\r\n", None).await;
    assert!(matches!(answer, Err(ClientError::Http(_))), "{answer:?}");
}

#[tokio::test]
async fn only_http_urls_are_asked() {
    for url in ["https://127.0.0.1/", "/health", "ftp://127.0.0.1/"] {
        let get = Get { url: url.parse().unwrap(), host: None, within: Duration::from_secs(30), body_max: 5 };
        assert!(matches!(get.send().await, Err(ClientError::Url(_))), "{url}");
    }
}

const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/localhost.pem");
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/localhost-key.pem");

fn client(url: &str, ca_file: Option<&str>) -> Result<Client, BuildError> {
    let url: Uri = url.parse().unwrap();
    let resolver = Resolver::start([&url]).unwrap();
    let authorization = Some(HeaderValue::from_static("Bearer k"));
    let target =
        Target { url, authorization, ca_file: ca_file.map(Into::into), connect_timeout: Duration::from_secs(30) };
    Client::new(target, &resolver)
}

/// Reads a request's head and gives it.
async fn head(stream: &mut TcpStream) -> String {
    let mut got = Vec::new();
    while !got.ends_with(b"\r\n\r\n") {
        got.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(got).unwrap()
}

async fn all(answer: &mut Answer) -> Result<String, PostError> {
    let mut body = Vec::new();
    while let Some(piece) = answer.piece().await? {
        body.extend_from_slice(&piece);
    }
    Ok(String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn a_post_says_who_asks_and_its_connection_is_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(&format!("http://{}/v1/x", listener.local_addr().unwrap()), None).unwrap();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        for _ in 0..2 {
            let head = head(&mut stream).await;
            let version = env!("CARGO_PKG_VERSION");
            assert!(head.starts_with("POST /v1/x HTTP/1.1\r\n"), "{head}");
            for line in [
                "authorization: Bearer k",
                "accept-encoding: identity",
                "content-type: application/json",
                "content-length: 2",
                &format!("user-agent: bondhu/{version}"),
                &format!("host: {}", listener.local_addr().unwrap()),
            ] {
                assert!(head.contains(&format!("\r\n{line}\r\n")), "{head}");
            }
            stream.read_exact(&mut [0; 2]).await.unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
                .await
                .unwrap();
        }
    };
    let asking = async {
        for _ in 0..2 {
            let mut answer = client.post(Bytes::from_static(b"{}")).await.unwrap();
            assert_eq!((answer.status, answer.is_delimited()), (StatusCode::OK, true));
            assert_eq!(all(&mut answer).await.unwrap(), "hi");
        }
    };
    tokio::join!(server, asking);
}

#[tokio::test]
async fn dropping_a_post_or_its_answer_closes_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(&format!("http://{}/", listener.local_addr().unwrap()), None).unwrap();
    for said in [&b""[..], b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n"] {
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            head(&mut stream).await;
            stream.write_all(said).await.unwrap();
            stream
        };
        let asking = async {
            let mut answer = client.post(Bytes::from_static(b"{}")).await.unwrap();
            answer.piece().await.unwrap();
            answer.piece().await.unwrap();
        };
        let mut stream = tokio::select! { biased; () = asking => panic!("nothing ends it"), stream = server => stream };
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await; // It ends, or is reset; else the test hangs.
    }
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_an_error_where_it_says_its_length() {
    for (said, fine) in [
        (&b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi"[..], false),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n", false),
        (b"HTTP/1.1 200 OK\r\n\r\nhi", true),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = client(&format!("http://{}/", listener.local_addr().unwrap()), None).unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            head(&mut stream).await;
            stream.read_exact(&mut [0; 2]).await.unwrap();
            stream.write_all(said).await.unwrap();
        };
        let asking = async {
            let mut answer = client.post(Bytes::from_static(b"{}")).await.unwrap();
            assert_eq!(answer.is_delimited(), !fine);
            assert_eq!(all(&mut answer).await.is_ok(), fine);
        };
        tokio::join!(server, asking);
    }
}

#[tokio::test]
async fn link_local_addresses_are_refused() {
    for url in ["http://169.254.169.254/", "https://[fe80::1]/", "http://0xa9fea9fe/"] {
        let error = client(url, None).unwrap().post(Bytes::new()).await.err().unwrap();
        assert!(matches!(&error, PostError::Connect(why) if why.contains("link-local")), "{error}");
    }
}

#[tokio::test]
async fn a_connection_that_comes_to_nothing_is_told_from_one_that_is_slow() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // It accepts, but says nothing of TLS.
    let url: Uri = format!("https://{address}/").parse().unwrap();
    let within = Duration::from_millis(20);
    let resolver = Resolver::start([&url]).unwrap();
    let target = Target { url, authorization: None, ca_file: Some(CERTIFICATE.into()), connect_timeout: within };
    let slow = Client::new(target, &resolver).unwrap().post(Bytes::new()).await.err().unwrap();
    assert!(matches!(slow, PostError::ConnectTooSlow(time) if time == within), "{slow}");
    drop(listener);
    let refused = client(&format!("http://{address}/"), None).unwrap().post(Bytes::new()).await.err().unwrap();
    assert!(matches!(&refused, PostError::Connect(why) if why.contains("refused")), "{refused}");
}

/// A TLS server for one request.
fn tls_server(ip: &str) -> std::net::SocketAddr {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    use std::io::{Read, Write};

    let certificate = CertificateDer::from_pem_file(CERTIFICATE).unwrap();
    let key = PrivateKeyDer::from_pem_file(KEY).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let listener = std::net::TcpListener::bind((ip, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (tcp, _) = listener.accept().unwrap();
        let connection = rustls::ServerConnection::new(std::sync::Arc::new(config)).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, tcp);
        let mut got = Vec::new();
        let mut byte = [0];
        // A client that does not trust the certificate ends the talk.
        while !got.ends_with(b"\r\n\r\n{}") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
            got.push(byte[0]);
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
    });
    address
}

#[tokio::test]
async fn a_server_is_trusted_by_the_operators_own_authority_and_by_its_name() {
    let url = format!("https://localhost:{}/", tls_server("127.0.0.1").port());
    let mut answer = client(&url, Some(CERTIFICATE)).unwrap().post(Bytes::from_static(b"{}")).await.unwrap();
    assert_eq!(all(&mut answer).await.unwrap(), "hi");
    let url = format!("https://{}/", tls_server("127.0.0.2")); // The certificate does not name it.
    let error = client(&url, Some(CERTIFICATE)).unwrap().post(Bytes::from_static(b"{}")).await.err().unwrap();
    assert!(matches!(&error, PostError::Connect(why) if why.contains("certificate")), "{error}");
}

#[test]
fn a_file_of_authorities_must_have_some() {
    let _runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for (file, why) in
        [("/nowhere/ca.pem", "No such file"), (KEY, "no certificate"), (env!("CARGO_MANIFEST_DIR"), "directory")]
    {
        let error = client("https://127.0.0.1/", Some(file)).err().unwrap().to_string();
        assert!(error.contains(file) && error.contains(why), "{error}");
    }
    client("http://127.0.0.1/", Some("/nowhere/ca.pem")).unwrap();
}

/// Asks a server that answers each request with the next of `said`, on one kept connection.
async fn kept(said: &'static [&'static [u8]]) -> (Kept, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin =
        Origin::find(&format!("http://{}/base/", listener.local_addr().unwrap()), None, Duration::from_secs(30));
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        for answer in said {
            asked.push(head(&mut stream).await);
            for piece in answer.chunks(7) {
                stream.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
        asked
    });
    (origin.unwrap().connect(None).await.unwrap(), server)
}

fn question() -> Vec<u8> {
    let mut question = Vec::new();
    let origin = Origin::find("http://127.0.0.1:1/base/", None, Duration::from_secs(30)).unwrap();
    origin.head("GET", "/x?y=1", &mut question);
    question.extend_from_slice(b"\r\n");
    question
}

#[tokio::test]
async fn a_kept_connection_reads_lengths_chunks_and_answers_without_a_body() {
    let said: &[&[u8]] = &[
        b"HTTP/1.1 200 OK\r\nETag: \"a\"\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 no\r\nretry-after: 7\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nto the end",
    ];
    let (mut kept, server) = kept(said).await;
    let first = kept.ask(&question()).await.unwrap();
    assert_eq!((first.head.status, first.head.etag.as_deref(), first.body()), (200, Some("\"a\""), &b"hello"[..]));
    let second = kept.ask(&question()).await.unwrap();
    assert_eq!((second.head.status, second.head.retry_after), (503, Some(7)));
    assert_eq!(second.body(), b"helloabcdefghijklmnopqrstuvwxyz");
    let third = kept.ask(&question()).await.unwrap();
    assert_eq!((third.head.status, third.body()), (304, &b""[..]));
    assert!(kept.is_open());
    let fourth = kept.ask(&question()).await.unwrap();
    assert_eq!(fourth.body(), b"to the end");
    assert!(!kept.is_open(), "the server has closed it");
    let asked = server.await.unwrap();
    assert!(asked[0].starts_with("GET /base/x?y=1 HTTP/1.1\r\nhost: 127.0.0.1:1\r\n"), "{}", asked[0]);
}

#[tokio::test]
async fn a_kept_connection_gives_a_stream_in_pieces_and_sees_one_that_breaks_off() {
    let said: &[&[u8]] = &[
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n4\r\nabcd\r\n3\r\nef",
    ];
    let (mut kept, _server) = kept(said).await;
    let head = kept.open(&question()).await.unwrap();
    assert!(head.is_stream);
    let mut got = Vec::new();
    let error = loop {
        match kept.piece().await {
            Ok(piece) => got.extend(piece.expect("it does not end well")),
            Err(error) => break error,
        }
    };
    assert_eq!(got, b"abcdef");
    assert!(matches!(error, KeptError::Broken(_)), "{error}");
    assert!(!kept.is_open());
}

#[tokio::test]
async fn what_is_no_answer_and_what_breaks_off_are_errors_of_a_kept_connection() {
    let wrong: [&'static [&'static [u8]]; 4] = [
        &[b"SSH-2.0-x\r\n"],
        &[b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello"],
        &[b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"],
        &[b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n"],
    ];
    for said in wrong {
        let (mut kept, _server) = kept(said).await;
        assert!(kept.ask(&question()).await.is_err());
        assert!(!kept.is_open());
    }
}

//! The server with a certificate of its own.

use std::{
    fs::{self, Permissions},
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{PASSWORD, Server, comes_true, command::bondhu, text};

/// A certificate and its key below `tests/fixtures`.
#[derive(Clone, Copy)]
struct Pair(&'static str, &'static str);

const FIRST: Pair = Pair("localhost.pem", "localhost-key.pem");
const RENEWED: Pair = Pair("renewed.pem", "renewed-key.pem");

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

/// Puts a pair where the server looks for it.
fn put(dir: &Path, Pair(certificate, key): Pair) {
    fs::write(dir.join("cert.pem"), fixture(certificate)).unwrap();
    fs::write(dir.join("key.pem"), fixture(key)).unwrap();
    fs::set_permissions(dir.join("key.pem"), Permissions::from_mode(0o640)).unwrap();
}

const SETTINGS: [&str; 2] = ["server.tls.certificate_file=cert.pem", "server.tls.key_file=key.pem"];

fn start() -> Server {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    put(dir.path(), FIRST);
    let data = dir.path().join("data");
    Server::start_in(dir, data, &SETTINGS)
}

/// A connection to a server whose certificate must be this pair's.
fn connect(at: SocketAddr, Pair(certificate, _): Pair) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&fixture(certificate)).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let tcp = TcpStream::connect(at)?;
    tcp.set_read_timeout(Some(Duration::from_mins(1)))?;
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), tcp);
    stream.flush()?;
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// Sends one request and reads the answer to the end of the connection: its head, and its body.
fn ask(at: SocketAddr, pair: Pair, head: &str, body: &str) -> (String, String) {
    let mut stream = connect(at, pair).unwrap();
    let length = body.len();
    let host = "host: localhost\r\nconnection: close\r\ncontent-type: application/json";
    write!(stream, "{head}\r\n{host}\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[test]
fn a_person_talks_over_tls_and_the_cookie_is_for_tls_only() {
    let server = start();
    let account = json!({"username": "amina", "password": PASSWORD}).to_string();
    let (head, _) = ask(server.address, FIRST, "POST /api/v1/auth/register HTTP/1.1", &account);
    assert!(head.starts_with("HTTP/1.1 201"), "{head}");
    let (head, body) = ask(server.address, FIRST, "POST /api/v1/auth/login HTTP/1.1", &account);
    let cookie = head.lines().find(|line| line.to_lowercase().starts_with("set-cookie")).unwrap();
    assert!(cookie.contains("__Host-bondhu=") && cookie.contains("; Secure"), "{cookie}");
    let token = text(&serde_json::from_str::<Value>(&body).unwrap()["token"]);
    let send = format!("POST /api/v1/chat/send HTTP/1.1\r\nauthorization: Bearer {token}");
    let (head, body) = ask(server.address, FIRST, &send, r#"{"message":"hello"}"#);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}{body}");
}

#[test]
fn events_are_heard_over_tls_and_the_stream_ends_with_the_server() {
    let mut server = start();
    let account = json!({"username": "amina", "password": PASSWORD}).to_string();
    ask(server.address, FIRST, "POST /api/v1/auth/register HTTP/1.1", &account);
    let (_, body) = ask(server.address, FIRST, "POST /api/v1/auth/login HTTP/1.1", &account);
    let token = text(&serde_json::from_str::<Value>(&body).unwrap()["token"]);
    let mut stream = connect(server.address, FIRST).unwrap();
    let request = format!("GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut heard = Vec::new();
    let mut until = |stream: &mut StreamOwned<_, _>, what: &str| {
        let mut part = [0; 4096];
        while !String::from_utf8_lossy(&heard).contains(what) {
            let read = Read::read(stream, &mut part).unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&heard));
            heard.extend_from_slice(&part[..read]);
        }
    };
    until(&mut stream, "\r\n:\n"); // The first words of a stream without sessions.
    let send = format!("POST /api/v1/chat/send HTTP/1.1\r\nauthorization: Bearer {token}");
    ask(server.address, FIRST, &send, r#"{"message":"over the wire"}"#);
    until(&mut stream, "over the wire");
    until(&mut stream, "event: done");
    server.signal("TERM");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(String::from_utf8_lossy(&rest).ends_with("0\r\n\r\n"), "an orderly end, in chunks and in TLS");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_renewed_certificate_is_given_to_who_comes_next_and_a_broken_one_to_nobody() {
    let server = start();
    let dir = server.dir();
    let mut open = connect(server.address, FIRST).unwrap();
    fs::write(dir.path().join("cert.pem"), "no certificate").unwrap();
    comes_true("the log says so", || server.log().iter().any(|line| line.contains("the old one still holds")));
    connect(server.address, FIRST).unwrap();
    put(dir.path(), RENEWED);
    comes_true("the new one is given", || connect(server.address, RENEWED).is_ok());
    assert!(connect(server.address, FIRST).is_err(), "who trusts the old one only is not served");
    open.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    open.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "who was there before stays: {answer}");
}

#[test]
fn who_speaks_no_tls_gets_nothing_and_holds_nobody_up() {
    let server = start();
    let mut plain = TcpStream::connect(server.address).unwrap();
    plain.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer); // A reset says the same.
    assert!(!answer.windows(4).any(|four| four == b"HTTP"), "{answer:?}");
    let silent = TcpStream::connect(server.address).unwrap();
    let (head, _) = ask(server.address, FIRST, "GET /health HTTP/1.1", "");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    drop(silent);
}

#[test]
fn a_health_check_needs_no_certificate() {
    let mut server = start();
    let flags: Vec<&str> = SETTINGS.iter().flat_map(|setting| ["-O", setting]).collect();
    assert_eq!(server.command(&[&["healthcheck"], &flags[..]].concat(), "").ok(), "healthy\n");
    server.stop();
    let dead = server.command(&[&["healthcheck"], &flags[..]].concat(), "");
    assert_eq!(dead.code, 1, "{}", dead.err);
    assert!(dead.err.contains("no server listens"), "{}", dead.err);
}

#[test]
fn a_certificate_that_cant_be_used_is_named_before_anything_is_bound() {
    let dir = TempDir::new().unwrap();
    put(dir.path(), FIRST);
    let check = |settings: &[&str]| {
        let flags: Vec<&str> = settings.iter().flat_map(|setting| ["-O", setting]).collect();
        let [check, serve] =
            ["check-config", "serve"].map(|command| bondhu(dir.path(), &[&[command], &flags[..]].concat(), ""));
        assert_eq!((serve.code, &serve.err), (check.code, &check.err));
        assert!(!dir.path().join("data").exists());
        (check.code, check.err)
    };
    let (code, said) = check(&SETTINGS[..1]);
    assert!(code == 2 && said.contains("server.tls.key_file is missing beside"), "{said}");
    fs::write(dir.path().join("key.pem"), fixture(RENEWED.1)).unwrap();
    let (code, said) = check(&SETTINGS);
    assert!(code == 2 && said.contains("can't be used together: the key is not the one"), "{said}");
    fs::write(dir.path().join("key.pem"), fixture(FIRST.0)).unwrap();
    let (code, said) = check(&SETTINGS);
    assert!(code == 2 && said.contains("key.pem: has no PEM section"), "{said}");
    fs::set_permissions(dir.path().join("key.pem"), Permissions::from_mode(0o644)).unwrap();
    let (code, said) = check(&SETTINGS);
    assert!(code == 2 && said.contains("server.tls.key_file") && said.contains("chmod"), "{said}");
}

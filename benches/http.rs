//! A cached history of 20 turns (about 6 KB), served by bondhu and by a bare hyper server that sends the same bytes.
//!
//! Budget: 0.8 of the bare server's requests a second. Both run as processes of their own with one worker, on the first
//! core where `taskset` is there; the client has the second one. Rounds alternate. CPU time per request is the server's.
//!
//! `cargo bench --bench http -- [seconds per round] [rounds] [connections]`

use std::{
    convert::Infallible,
    fmt::Write as _,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const TURNS: usize = 20;

/// A server in a process of its own, ended when dropped.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [mode, address, length] = words.as_slice()
        && mode == "bare"
    {
        return bare(address.parse().expect("an address"), length.parse().expect("a length"));
    }
    let number = |index: usize, default: u64| words.get(index).and_then(|word| word.parse().ok()).unwrap_or(default);
    let (seconds, rounds, connections) = (number(0, 3), number(1, 3), number(2, 32));
    let dir = tempfile::tempdir().expect("a directory");
    for level in ["warn", "info"] {
        compare(&dir.path().join(level), level, Duration::from_secs(seconds), (rounds, connections));
    }
}

fn compare(dir: &Path, level: &str, time: Duration, (rounds, connections): (u64, u64)) {
    let bondhu = start_bondhu(dir, level);
    let (token, session) = fill(bondhu.address);
    let native = format!("/api/v1/sessions/{session}/messages");
    let old = format!("/api/v1/chat/history?session_id={session}");
    println!("log level {level}, {connections} connections, median of {rounds} rounds");
    for path in [native, old] {
        let request = request("GET", &path, &token, None);
        let length = body_length(bondhu.address, &request);
        let bare = start(|address| {
            let mut command = Command::new(std::env::current_exe().expect("this program"));
            command.args(["bare", &address.to_string(), &length.to_string()]);
            command
        });
        let mut results = Vec::new();
        for _ in 0..rounds {
            let bare = run(&bare, &request, time, connections);
            results.push((bare, run(&bondhu, &request, time, connections)));
        }
        results.sort_by(|(a, b), (c, d)| (b.0 / a.0).total_cmp(&(d.0 / c.0)));
        let ((bare_rate, bare_cpu), (rate, cpu)) = results[results.len() / 2];
        let name = if path.contains("chat") { "old history" } else { "native page" };
        println!(
            "{name:12} {length:6} bytes | bare {bare_rate:7.0}/s {bare_cpu:5.1} us | bondhu {rate:7.0}/s {cpu:5.1} us | ratio {:.2}",
            rate / bare_rate
        );
    }
}

/// Sends requests one after another on each connection; gives requests a second and the server's CPU time each, in us.
fn run(server: &Server, request: &[u8], time: Duration, connections: u64) -> (f64, f64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let answer = whole_length(server.address, request);
    runtime.block_on(async {
        let tasks: Vec<_> = (0..connections)
            .map(|_| {
                let (stop, count) = (Arc::clone(&stop), Arc::clone(&count));
                let (request, address) = (request.to_vec(), server.address);
                tokio::spawn(async move {
                    let mut stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
                    let mut buffer = vec![0; answer];
                    while !stop.load(Ordering::Relaxed) {
                        stream.write_all(&request).await.expect("the server reads");
                        stream.read_exact(&mut buffer).await.expect("the server answers");
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (began, cpu, before) = (Instant::now(), cpu_time(server.child.id()), count.load(Ordering::Relaxed));
        tokio::time::sleep(time).await;
        let requests = u32::try_from(count.load(Ordering::Relaxed) - before).expect("a few seconds' worth");
        let (elapsed, cpu) = (began.elapsed(), cpu_time(server.child.id()).saturating_sub(cpu));
        stop.store(true, Ordering::Relaxed);
        for task in tasks {
            task.await.expect("a connection ends");
        }
        (f64::from(requests) / elapsed.as_secs_f64(), cpu.as_secs_f64() * 1e6 / f64::from(requests))
    })
}

/// The bare server: hyper, one worker, and a body that never changes.
fn bare(address: SocketAddr, length: usize) {
    let body = Bytes::from(vec![b'x'; length]);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await.expect("a port");
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

fn start_bondhu(dir: &Path, level: &str) -> Server {
    start(|address| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bondhu"));
        command.args(["serve", "--listen", &address.to_string(), "--data-dir"]).arg(dir);
        for setting in [
            "server.workers=1",
            "limits.free.messages_per_minute=0",
            "limits.free.requests_per_minute=0",
            "auth.argon2.memory_kib=8",
            &format!("log.level={level}"),
        ] {
            command.args(["-O", setting]);
        }
        command
    })
}

/// Starts a server on the first core, at a port that is free, and waits until it answers there.
fn start(command: impl Fn(SocketAddr) -> Command) -> Server {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = free.expect("a free port");
    let command = command(address);
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", "0"]).arg(command.get_program()).args(command.get_args());
    let has_taskset = Command::new("taskset").arg("-V").stdout(Stdio::null()).status().is_ok();
    let mut command = if has_taskset { pinned } else { command };
    let child = command.stderr(Stdio::null()).stdin(Stdio::null()).spawn().expect("the server starts");
    let server = Server { child, address };
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(began.elapsed() < Duration::from_secs(10), "the server does not start");
        std::thread::yield_now();
    }
    server
}

/// Registers, logs in and says [`TURNS`] things; gives the token and the session.
fn fill(address: SocketAddr) -> (String, String) {
    let account = json!({"username": "bench", "password": "river-stone-lamp-42"});
    let post = |path: &str, token: &str, body: &Value| -> Value {
        let answer = exchange(address, &request("POST", path, token, Some(body)));
        serde_json::from_slice(&answer[body_start(&answer)..]).expect("JSON")
    };
    post("/api/v1/auth/register", "", &account);
    let login = post("/api/v1/auth/login", "", &account);
    let token = login["token"].as_str().expect("a token").to_owned();
    let mut session = String::new();
    for turn in 0..TURNS {
        let mut message = json!({"message": format!("I feel tired of turn {turn}, and my work is too much today")});
        if !session.is_empty() {
            message["session_id"] = json!(session);
        }
        let sent = post("/api/v1/chat/send", &token, &message);
        sent["session_id"].as_str().expect("a session").clone_into(&mut session);
    }
    (token, session)
}

fn request(method: &str, path: &str, token: &str, body: Option<&Value>) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n");
    if !token.is_empty() {
        let _ = write!(head, "authorization: Bearer {token}\r\n");
    }
    let body = body.map(Value::to_string).unwrap_or_default();
    if !body.is_empty() {
        let _ = write!(head, "content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    }
    (head + "\r\n" + &body).into_bytes()
}

/// One request and its whole answer, on a connection of its own.
fn exchange(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("an open socket");
    stream.write_all(request).expect("the server reads");
    let mut answer = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        let read = stream.read(&mut buffer).expect("the server answers");
        answer.extend_from_slice(&buffer[..read]);
        let start = body_start(&answer);
        let head = String::from_utf8_lossy(&answer[..start]).to_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
        if start > 0 && length.is_some_and(|length: usize| answer.len() >= start + length) {
            return answer;
        }
        assert!(read > 0, "the server closed: {head}");
    }
}

fn body_start(answer: &[u8]) -> usize {
    answer.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4)
}

fn whole_length(address: SocketAddr, request: &[u8]) -> usize {
    exchange(address, request).len()
}

fn body_length(address: SocketAddr, request: &[u8]) -> usize {
    let answer = exchange(address, request);
    answer.len() - body_start(&answer)
}

/// A process's CPU time, user and system.
fn cpu_time(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10) // A tick is 10 ms on Linux.
}

//! Against servers that are bytes on a socket.

mod ended;
mod outcomes;
mod servers;

use std::{
    collections::VecDeque,
    ops::ControlFlow,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::{Openai, Prompt, ReplyError};
use crate::{
    completions::Role,
    config::{ReplyBackend, ReplyConfig, UpstreamConfig},
    id::UserId,
    reply::{Instructions, Line, Sampling},
};

/// What a server does behind what it says.
#[derive(Clone, Copy)]
enum Then {
    Close,
    Reset,
    /// Waits until the client closes.
    Hold,
}

/// A server that says the next thing of its script to each request, and the last thing again and again.
struct Stub {
    url: String,
    /// Guards the requests that came: head and body.
    asked: Arc<Mutex<Vec<String>>>,
    /// Hears of each connection that the client closed while the server held it.
    closed: mpsc::UnboundedReceiver<()>,
}

impl Stub {
    async fn start(script: impl IntoIterator<Item = (Vec<u8>, Then)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (close, closed) = mpsc::unbounded_channel();
        let mut script: VecDeque<_> = script.into_iter().collect();
        let heard = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (said, then) = script.pop_front().unwrap();
                if script.is_empty() {
                    script.push_back((said.clone(), then));
                }
                tokio::spawn(serve(stream, said, then, Arc::clone(&heard), close.clone()));
            }
        });
        Self { url, asked, closed }
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

async fn serve(
    mut stream: TcpStream,
    said: Vec<u8>,
    then: Then,
    heard: Arc<Mutex<Vec<String>>>,
    close: mpsc::UnboundedSender<()>,
) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    let lower = String::from_utf8(request.clone()).unwrap().to_ascii_lowercase();
    let length = lower.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    request.extend(body);
    heard.lock().unwrap().push(String::from_utf8(request).unwrap());
    let _ = stream.write_all(&said).await; // The client may have had enough.
    match then {
        Then::Close => {}
        Then::Reset => stream.set_zero_linger().unwrap(),
        Then::Hold => {
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await; // An end or a reset.
            let _ = close.send(());
        }
    }
}

/// An answer with this status, type and body.
fn answer(status: &str, kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nconnection: close\r\n{kind}\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

const STREAM: &str = "content-type: text/event-stream; charset=utf-8";
const JSON: &str = "content-type: application/json";

/// A whole stream.
fn events(body: &str) -> Vec<u8> {
    answer("200 OK", STREAM, body)
}

/// A stream that ends where the connection does.
fn open_events(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{STREAM}\r\n\r\n{body}").into_bytes()
}

fn status(status: &str) -> Vec<u8> {
    answer(status, JSON, r#"{"error":{"message":"canary","type":"some_error","code":null}}"#)
}

fn delta(text: &str) -> String {
    format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
}

const DONE: &str = "data: [DONE]\n\n";

/// A server's answer that is as it should be.
fn good(text: &str) -> Vec<u8> {
    events(&format!("{}{DONE}", delta(text)))
}

fn config(url: &str) -> ReplyConfig {
    let mut config = ReplyConfig { backend: ReplyBackend::Openai, ..ReplyConfig::default() };
    url.clone_into(&mut config.openai.upstream.base_url);
    config
}

fn upstream(url: &str) -> UpstreamConfig {
    UpstreamConfig { base_url: url.to_owned(), model: "other".to_owned(), ..UpstreamConfig::default() }
}

/// With no jitter.
fn openai(config: &ReplyConfig) -> Openai {
    Openai::new(config, || 0.0).unwrap()
}

const LINES: [Line<'_>; 3] = [
    Line { role: Role::User, text: "hello", name: None },
    Line { role: Role::Assistant, text: "hi", name: None },
    Line { role: Role::User, text: "canary আমি", name: None },
];

fn plain<'a>(lines: &'a [Line<'a>]) -> Prompt<'a> {
    Prompt { instructions: Instructions::Usual, lines, sampling: Sampling::USUAL, asker: UserId::from_bytes([1; 16]) }
}

/// Asks for a reply; gives how it ended, and the text.
async fn ask(openai: &Openai) -> (Result<(), ReplyError>, String) {
    let mut text = String::new();
    let mut sink = |piece: &str| {
        text.push_str(piece);
        ControlFlow::Continue(())
    };
    let ended = openai.reply(plain(&LINES), &mut sink).await.map(drop);
    (ended, text)
}

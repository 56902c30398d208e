//! Answers as they go over the wire: heads, chunks, pauses, and what breaks.

use std::{io, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    net::tcp::WriteHalf,
    time::{Instant, sleep, sleep_until},
};

use super::{
    Seen, Shared,
    directive::{Behaviour, Broken, Order, Paced, Plain},
    script::{self, Frame, Shape},
};

const STREAM: &str = "content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n";

/// Between the two writes of a cut body, and before a connection is reset, so that the client sees what came before.
const MOMENT: Duration = Duration::from_millis(1);

const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

const HUGE_LINE_BYTES: usize = 12 * 1024 * 1024;

/// What becomes of the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It can have another request.
    Open,
    /// It is closed.
    Close,
    /// It is closed with RST.
    Reset,
}

/// The answer to one request.
pub(super) struct Answer<'s> {
    socket: WriteHalf<'s>,
    close: bool,
}

impl<'s> Answer<'s> {
    /// With `close`, the head says that the connection ends with the answer.
    pub(super) fn new(socket: WriteHalf<'s>, close: bool) -> Self {
        Self { socket, close }
    }

    /// Answers; an error where the client takes no more.
    pub(super) async fn give(mut self, seen: &Seen, shared: &Shared) -> io::Result<End> {
        let path = seen.path.split('?').next().unwrap_or_default();
        match (seen.method.as_str(), path) {
            ("POST", "/v1/chat/completions") => {}
            ("GET", "/v1/models") => {
                let models =
                    r#"{"object":"list","data":[{"id":"stub","object":"model","created":0,"owned_by":"stub"}]}"#;
                return self.fixed(200, "content-type: application/json\r\n", models.as_bytes()).await;
            }
            (method, path) => return self.failed(404, "", &format!("no such call: {method} {path}")).await,
        }
        let order = match shared.order(&seen.body) {
            Ok(order) => order,
            Err(wrong) => return self.failed(400, "", &wrong).await,
        };
        if !order.directive.slow.is_zero() {
            sleep(order.directive.slow).await;
        }
        match &order.directive.behaviour {
            Behaviour::Script(Shape::Say, Frame::Plain) if !order.stream => self.plain(&Plain::Json, &order).await,
            &Behaviour::Script(shape, frame) => {
                self.chunked_head().await?;
                self.chunks(&script::parts(shape, frame, &order.text(), order.usage)).await
            }
            Behaviour::Plain(plain) => self.plain(plain, &order).await,
            Behaviour::Paced(paced) => self.paced(paced, &order, shared).await,
            &Behaviour::Broken(broken) => self.broken(broken, &order.text()).await,
        }
    }

    async fn plain(&mut self, plain: &Plain, order: &Order) -> io::Result<End> {
        match plain {
            Plain::Json => {
                let body = script::completion(&order.text()).to_string();
                self.fixed(200, "content-type: application/json\r\n", body.as_bytes()).await
            }
            Plain::Status { code, retry_after } => {
                let wait = retry_after.as_ref().map(|value| format!("retry-after: {value}\r\n")).unwrap_or_default();
                self.failed(*code, &wait, "the stub fails as it was told").await
            }
            Plain::Refuse(word) => {
                let mut body = script::error(400, "the stub refuses as it was told");
                body["error"]["code"] = word.as_str().into();
                self.fixed(400, "content-type: application/json\r\n", body.to_string().as_bytes()).await
            }
            Plain::Html => {
                let page = "<!doctype html><title>Welcome</title><p>data: please log in to this network";
                self.fixed(200, "content-type: text/html; charset=utf-8\r\n", page.as_bytes()).await
            }
            Plain::Gzip => {
                let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
                let body = [head.as_slice(), &[0xa5; 1000]].concat();
                self.fixed(200, &format!("content-encoding: gzip\r\n{STREAM}"), &body).await
            }
            Plain::Redirect(url) => self.fixed(307, &format!("location: {url}\r\n"), b"").await,
            Plain::Headers => {
                let padding = format!("x-padding: {:01000}\r\n", 0).repeat(300);
                let body = script::parts(Shape::Say, Frame::Plain, &order.text(), order.usage).concat();
                self.fixed(200, &format!("{padding}{STREAM}"), &body).await
            }
            Plain::Switch => {
                self.write(b"HTTP/1.1 101 Stub\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await?;
                std::future::pending().await
            }
        }
    }

    async fn paced(&mut self, paced: &Paced, order: &Order, shared: &Shared) -> io::Result<End> {
        let body = || script::parts(Shape::Say, Frame::Plain, &order.text(), true).concat();
        match paced {
            &Paced::Tokens { count, gap } => self.tokens(count, gap, order).await,
            &Paced::Cut { at, chunked } => self.cut(&body(), at, chunked).await,
            Paced::Bytes => {
                for byte in [bare_head().as_bytes(), &body()].concat() {
                    self.write(&[byte]).await?;
                    tokio::task::yield_now().await;
                }
                Ok(End::Close)
            }
            Paced::Gate(name) => {
                let gate = shared.gate(name);
                self.chunked_head().await?;
                self.chunk(&script::plain(&script::role())).await?;
                for piece in order.text().split_inclusive(' ') {
                    if let Ok(permit) = gate.acquire().await {
                        permit.forget();
                    }
                    self.chunk(&script::plain(&script::content(piece))).await?;
                }
                self.ending(order).await
            }
            &Paced::KeepAlive { count, gap } => {
                self.chunked_head().await?;
                for _ in 0..count {
                    self.chunk(b": keep-alive\n\n").await?;
                    sleep(gap).await;
                }
                self.chunks(&script::parts(Shape::Say, Frame::Plain, &order.text(), order.usage)).await
            }
            &Paced::Drip(gap) => {
                for byte in bare_head().bytes() {
                    self.write(&[byte]).await?;
                    sleep(gap).await;
                }
                self.write(&body()).await?;
                Ok(End::Close)
            }
            Paced::Endless => {
                let chunk = framed(&script::plain(&script::content("on and on ")));
                self.chunked_head().await?;
                loop {
                    self.write(&chunk).await?;
                }
            }
            Paced::HugeLine => {
                self.chunked_head().await?;
                self.chunk(br#"data: {"choices":[{"index":0,"delta":{"content":""#).await?;
                let block = vec![b'a'; 64 * 1024];
                for _ in 0..HUGE_LINE_BYTES / block.len() {
                    self.chunk(&block).await?;
                }
                self.last().await
            }
        }
    }

    async fn tokens(&mut self, count: usize, gap: Duration, order: &Order) -> io::Result<End> {
        let mut due = Instant::now(); // Of the next piece; what is late makes no later one late.
        self.chunked_head().await?;
        self.chunk(&script::plain(&script::role())).await?;
        for piece in order.tokens(count) {
            sleep_until(due).await;
            self.chunk(&script::plain(&script::content(&piece))).await?;
            due += gap;
        }
        self.ending(order).await
    }

    async fn cut(&mut self, body: &[u8], at: usize, chunked: bool) -> io::Result<End> {
        let (first, second) = body.split_at(at.min(body.len()));
        if !chunked {
            self.bare_head().await?;
            self.write(first).await?;
            sleep(MOMENT).await;
            self.write(second).await?;
            return Ok(End::Close);
        }
        self.chunked_head().await?;
        for part in [first, second].into_iter().filter(|part| !part.is_empty()) {
            self.chunk(part).await?;
            sleep(MOMENT).await;
        }
        self.last().await
    }

    async fn broken(&mut self, broken: Broken, text: &str) -> io::Result<End> {
        match broken {
            Broken::Reset => return Ok(End::Reset),
            Broken::Stall => return std::future::pending().await,
            Broken::EofClean => self.bare_head().await?,
            Broken::ResetMid | Broken::EofMid | Broken::StallHead | Broken::StallMid | Broken::BadChunk => {
                self.chunked_head().await?;
            }
        }
        if broken == Broken::StallHead {
            return std::future::pending().await;
        }
        for part in script::half(text) {
            if broken == Broken::EofClean { self.write(&part).await? } else { self.chunk(&part).await? }
        }
        match broken {
            Broken::ResetMid => {
                sleep(MOMENT).await;
                Ok(End::Reset)
            }
            Broken::StallMid => std::future::pending().await,
            Broken::BadChunk => {
                self.write(b"zz; not a size\r\ndata: {}\n\n\r\n").await?;
                Ok(End::Close)
            }
            Broken::EofMid | Broken::EofClean | Broken::Reset | Broken::Stall | Broken::StallHead => Ok(End::Close),
        }
    }

    async fn failed(&mut self, status: u16, headers: &str, message: &str) -> io::Result<End> {
        let body = script::error(status, message).to_string();
        self.fixed(status, &format!("content-type: application/json\r\n{headers}"), body.as_bytes()).await
    }

    /// A head and a body of known length.
    async fn fixed(&mut self, status: u16, headers: &str, body: &[u8]) -> io::Result<End> {
        let head = format!("HTTP/1.1 {status} Stub\r\n{headers}{}content-length: {}\r\n\r\n", self.close(), body.len());
        self.write(&[head.as_bytes(), body].concat()).await?;
        Ok(End::Open)
    }

    async fn chunked_head(&mut self) -> io::Result<()> {
        let head = format!("HTTP/1.1 200 OK\r\n{STREAM}{}transfer-encoding: chunked\r\n\r\n", self.close());
        self.write(head.as_bytes()).await
    }

    /// The head of a body that ends with the connection.
    async fn bare_head(&mut self) -> io::Result<()> {
        self.write(bare_head().as_bytes()).await
    }

    async fn ending(&mut self, order: &Order) -> io::Result<End> {
        let events = script::ending("stop", order.usage);
        self.chunks(&events.iter().map(|event| script::plain(event)).collect::<Vec<_>>()).await
    }

    /// The rest of a chunked body. It ends in one write with its last event: a client that leaves when it has read that
    /// does not leave early.
    async fn chunks(&mut self, parts: &[Vec<u8>]) -> io::Result<End> {
        let (last, parts) = parts.split_last().expect("every stream has an event");
        for part in parts {
            self.chunk(part).await?;
        }
        self.write(&[framed(last).as_slice(), LAST_CHUNK].concat()).await?;
        Ok(End::Open)
    }

    async fn chunk(&mut self, part: &[u8]) -> io::Result<()> {
        self.write(&framed(part)).await
    }

    async fn last(&mut self) -> io::Result<End> {
        self.write(LAST_CHUNK).await?;
        Ok(End::Open)
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes).await?;
        self.socket.flush().await
    }

    fn close(&self) -> &'static str {
        if self.close { "connection: close\r\n" } else { "" }
    }
}

fn bare_head() -> String {
    format!("HTTP/1.1 200 OK\r\n{STREAM}connection: close\r\n\r\n")
}

fn framed(part: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat()
}

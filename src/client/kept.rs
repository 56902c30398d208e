//! One HTTP/1.1 connection that is kept, asked by one user at a time: small enough for 20,000 of them.
//!
//! Requests are bytes that the caller wrote with [`Origin::head`]; the head of an answer is read by hyper's own parser. A
//! connection that waits has no buffer. There is no pool and no task behind it: dropping a future in the middle leaves the
//! connection unfit for use, and [`Kept::is_open`] says so.

use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    ops::Range,
    path::Path,
    time::Duration,
};

use http::Uri;
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};
use tower_service::Service;

use super::{
    connect::{Connector, Resolver},
    post::{BuildError, tls_config},
};

/// Bytes read at once.
const PIECE: usize = 16 << 10;
/// Most header lines, and bytes, of an answer's head.
const HEADERS_MAX: usize = 64;
const HEAD_MAX: usize = 64 << 10;
/// Largest whole answer, bytes.
const ANSWER_MAX: usize = 64 << 20;

/// Why a server can't be asked, ever.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// It is not `http://host[:port]` or `https://host[:port]`.
    #[error("{0:?} is not a http:// or https:// URL with a host and without a query")]
    Url(String),
    /// The name can't be looked up.
    #[error("{0:?} can't be looked up: {1}")]
    Unknown(String, #[source] io::Error),
    /// TLS can't be set up.
    #[error(transparent)]
    Tls(#[from] BuildError),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// No connection can be made.
    #[error("no connection: {0}")]
    Connect(String),
    /// The connection broke or was closed before the answer was whole.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    /// What came is no HTTP/1.1, or is too large.
    #[error("the answer is no HTTP: {0}")]
    Malformed(&'static str),
}

/// A server, looked up once.
pub struct Origin {
    url: Uri,
    address: SocketAddr,
    host: String,
    /// What every path begins with: the URL's own path, without a slash at its end.
    prefix: String,
    tls: Option<rustls::ClientConfig>,
    connect_timeout: Duration,
}

/// A connection. It may have been closed by the server since it was used last.
pub struct Kept {
    link: Link,
    /// What was read and not taken yet.
    unread: Vec<u8>,
    rest: Rest,
}

enum Link {
    Plain(TcpStream),
    Tls(Box<TokioIo<MaybeHttpsStream<TokioIo<TcpStream>>>>),
}

/// What of an answer's body is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// Nothing; the connection can be asked.
    Nothing,
    /// So many bytes.
    Bytes(usize),
    /// Chunks; of the one that has begun so many bytes, its line end included.
    Chunks(usize),
    /// All until the connection ends, or the connection is of no use any more.
    All,
}

/// What the head of an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// The entity tag, with its quotes.
    pub etag: Option<Box<str>>,
    /// Seconds, where it says so.
    pub retry_after: Option<u32>,
    /// Whether the body is an event stream.
    pub is_stream: bool,
}

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    /// Its head.
    pub head: Head,
    bytes: Vec<u8>,
    body: Range<usize>,
}

impl Origin {
    /// Looks up the server of `url` and reads certificates where it is needed. Blocks; connects to nobody.
    ///
    /// # Errors
    /// [`OriginError`], for whoever gave the URL.
    pub fn find(url: &str, ca_file: Option<&Path>, connect_timeout: Duration) -> Result<Self, OriginError> {
        let not_one = || OriginError::Url(url.to_owned());
        let parsed: Uri = url.parse().map_err(|_| not_one())?;
        let port = match parsed.scheme_str() {
            Some("http") => 80,
            Some("https") => 443,
            Some(_) | None => return Err(not_one()),
        };
        let authority = parsed.authority().filter(|_| parsed.query().is_none()).ok_or_else(not_one)?;
        let port = authority.port_u16().unwrap_or(port);
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let mut found = (host, port).to_socket_addrs().map_err(|error| OriginError::Unknown(host.to_owned(), error))?;
        let address = found.next().ok_or_else(not_one)?;
        let tls = if parsed.scheme_str() == Some("https") { Some(tls_config(true, ca_file)?) } else { None };
        let (host, prefix) = (authority.as_str().to_owned(), parsed.path().trim_end_matches('/').to_owned());
        Ok(Self { url: parsed, address, host, prefix, tls, connect_timeout })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Writes the first lines of a request, up to and with the host. Header lines, a blank one and the body follow.
    pub fn head(&self, method: &str, path: &str, out: &mut Vec<u8>) {
        for part in [method, " ", &self.prefix, path, " HTTP/1.1\r\nhost: ", &self.host, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }

    /// Connects, from an address of this machine where one is named: each has ports of its own.
    ///
    /// # Errors
    /// [`KeptError::Connect`]
    pub async fn connect(&self, from: Option<IpAddr>) -> Result<Kept, KeptError> {
        let told = |error: &dyn std::fmt::Display| KeptError::Connect(super::worded(error.to_string()));
        let link = match &self.tls {
            None => {
                let connecting = tokio::time::timeout(self.connect_timeout, self.plain(from)).await;
                Link::Plain(connecting.map_err(|late| told(&late))?.map_err(|error| told(&error))?)
            }
            Some(tls) => {
                let resolver = Resolver::start([&self.url]).map_err(|error| told(&error))?;
                let mut connector = Connector::new(resolver, tls.clone(), self.connect_timeout, from);
                let connected = connector.call(self.url.clone()).await.map_err(|error| told(&error))?;
                Link::Tls(Box::new(TokioIo::new(connected)))
            }
        };
        Ok(Kept { link, unread: Vec::new(), rest: Rest::Nothing })
    }

    async fn plain(&self, from: Option<IpAddr>) -> io::Result<TcpStream> {
        let socket = if self.address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(from) = from {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        let stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Kept {
    /// False where the server has closed it, or an answer was not read to its end. True may be out of date.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let silent = match &self.link {
            // Without a system call where nothing has come.
            Link::Plain(stream) => stream.try_read(&mut [0]).is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock),
            Link::Tls(_) => true,
        };
        silent && self.rest == Rest::Nothing && self.unread.is_empty()
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// [`KeptError`]; the connection is of no use then.
    pub async fn ask(&mut self, request: &[u8]) -> Result<Reply, KeptError> {
        let (head, start) = self.begin(request).await?;
        if let Rest::Bytes(length) = self.rest {
            let end = start + length;
            while self.unread.len() < end {
                self.fill().await?;
            }
            let over = self.unread.len() > end;
            self.rest = if over { Rest::All } else { Rest::Nothing };
            return Ok(Reply { head, bytes: std::mem::take(&mut self.unread), body: start..end });
        }
        self.unread.drain(..start);
        let mut bytes = Vec::new();
        while let Some(piece) = self.piece().await? {
            if bytes.len() + piece.len() > ANSWER_MAX {
                return Err(KeptError::Malformed("it is too large"));
            }
            bytes.extend_from_slice(&piece);
        }
        let body = 0..bytes.len();
        Ok(Reply { head, bytes, body })
    }

    /// Sends a request and reads the head of the answer; [`Kept::piece`] gives the body.
    ///
    /// # Errors
    /// [`KeptError`]
    pub async fn open(&mut self, request: &[u8]) -> Result<Head, KeptError> {
        let (head, start) = self.begin(request).await?;
        self.unread.drain(..start);
        Ok(head)
    }

    /// Sends a request, and gives the head of the answer and where in `unread` it ends.
    async fn begin(&mut self, request: &[u8]) -> Result<(Head, usize), KeptError> {
        self.rest = Rest::All; // Until the head is there, nobody knows.
        match &mut self.link {
            Link::Plain(stream) => stream.write_all(request).await?,
            Link::Tls(stream) => {
                stream.write_all(request).await?;
                stream.flush().await?;
            }
        }
        loop {
            if let Some((head, rest, start)) = parse(&self.unread)? {
                if head.status >= 200 {
                    self.rest = rest;
                    return Ok((head, start));
                }
                self.unread.drain(..start); // 100 Continue and the like say nothing.
                continue;
            }
            if self.unread.len() > HEAD_MAX {
                return Err(KeptError::Malformed("its head is too long"));
            }
            self.fill().await?;
        }
    }

    /// What of the body has come next; nothing at its end. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`KeptError`]
    pub async fn piece(&mut self) -> Result<Option<Vec<u8>>, KeptError> {
        loop {
            match self.rest {
                Rest::Nothing => return Ok(None),
                Rest::Chunks(left) => {
                    let (piece, rest) = self.chunks(left)?;
                    self.rest = rest;
                    if !piece.is_empty() {
                        return Ok(Some(piece));
                    }
                    if rest == Rest::Nothing {
                        return Ok(None);
                    }
                }
                Rest::Bytes(0) => self.rest = Rest::Nothing,
                Rest::Bytes(left) if !self.unread.is_empty() => {
                    let taken = left.min(self.unread.len());
                    self.rest = Rest::Bytes(left - taken);
                    return Ok(Some(self.unread.drain(..taken).collect()));
                }
                Rest::All if !self.unread.is_empty() => return Ok(Some(std::mem::take(&mut self.unread))),
                Rest::Bytes(_) | Rest::All => {}
            }
            match self.fill().await {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && self.rest == Rest::All => {
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes what there is of the chunks, of the first of which `left` bytes are to come, and tells what is still to come.
    fn chunks(&mut self, mut left: usize) -> Result<(Vec<u8>, Rest), KeptError> {
        let mut piece = Vec::new();
        let mut at = 0;
        let rest = loop {
            let have = &self.unread[at..];
            if left > 0 {
                let taken = left.min(have.len());
                // The last two bytes are the line end behind the chunk.
                let text = taken.min(left.saturating_sub(2));
                piece.extend_from_slice(&have[..text]);
                (at, left) = (at + taken, left - taken);
                if left > 0 {
                    break Rest::Chunks(left);
                }
                continue;
            }
            match httparse::parse_chunk_size(have) {
                Ok(httparse::Status::Partial) => break Rest::Chunks(0),
                Ok(httparse::Status::Complete((line, 0))) => {
                    // Trailers are not asked for, so a blank line is all that may follow.
                    if have.len() < line + 2 {
                        break Rest::Chunks(0);
                    }
                    at += line + 2;
                    break Rest::Nothing;
                }
                Ok(httparse::Status::Complete((line, size))) => {
                    at += line;
                    let size = usize::try_from(size).ok().filter(|size| *size <= ANSWER_MAX);
                    left = size.ok_or(KeptError::Malformed("a chunk is too large"))? + 2;
                }
                Err(_) => return Err(KeptError::Malformed("the size of a chunk is no number")),
            }
        };
        self.unread.drain(..at);
        if self.unread.is_empty() {
            self.unread = Vec::new(); // A stream that waits has no buffer.
        }
        Ok((piece, rest))
    }

    /// Reads more; the end of the connection is an error.
    async fn fill(&mut self) -> io::Result<()> {
        let read = match &mut self.link {
            Link::Plain(stream) => loop {
                stream.readable().await?; // Before there is a buffer: who waits needs none.
                self.unread.reserve(PIECE);
                match stream.try_read_buf(&mut self.unread) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        if self.unread.is_empty() {
                            self.unread = Vec::new();
                        }
                    }
                    other => break other?,
                }
            },
            Link::Tls(stream) => {
                self.unread.reserve(PIECE);
                stream.read_buf(&mut self.unread).await?
            }
        };
        if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

impl Reply {
    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.body.clone()]
    }
}

/// The head that `bytes` begin with, what is to come of its body, and where it ends; nothing where it is not whole.
fn parse(bytes: &[u8]) -> Result<Option<(Head, Rest, usize)>, KeptError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(bytes).map_err(|_| KeptError::Malformed("its head can't be read"))?;
    let httparse::Status::Complete(end) = parsed else { return Ok(None) };
    let status = response.code.unwrap_or_default();
    let mut head = Head { status, etag: None, retry_after: None, is_stream: false };
    let mut rest = Rest::All;
    for header in response.headers.iter() {
        let value = str::from_utf8(header.value).unwrap_or_default().trim();
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            let length = value.parse().ok().filter(|length| *length <= ANSWER_MAX);
            rest = Rest::Bytes(length.ok_or(KeptError::Malformed("its length is none"))?);
        } else if is("transfer-encoding") {
            rest = Rest::Chunks(0);
        } else if is("etag") {
            head.etag = Some(value.into());
        } else if is("retry-after") {
            head.retry_after = value.parse().ok();
        } else if is("content-type") {
            head.is_stream = value.starts_with("text/event-stream");
        }
    }
    if matches!(status, 100..=199 | 204 | 304) {
        rest = Rest::Bytes(0);
    }
    Ok(Some((head, rest, end)))
}

//! A blocking HTTP/1.1 client over one kept-alive connection: it shows exactly what the server sends.

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

/// No answer takes longer than this: a test that hangs is a test that fails.
const PATIENCE: Duration = Duration::from_mins(1);

/// One client: an address, a connection once it is needed, and perhaps a token.
pub(crate) struct Client {
    pub(super) address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
    /// Sent as the bearer with every request.
    pub(crate) token: Option<String>,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, connection: None, token: None }
    }

    pub(crate) fn with_token(address: SocketAddr, token: &str) -> Self {
        Self { address, connection: None, token: Some(token.to_owned()) }
    }

    pub(crate) fn get(&mut self, path: &str) -> Response {
        self.send("GET", path, &[], None).unwrap()
    }

    pub(crate) fn delete(&mut self, path: &str) -> Response {
        self.send("DELETE", path, &[], None).unwrap()
    }

    pub(crate) fn post(&mut self, path: &str, body: &Value) -> Response {
        self.json("POST", path, &[], body)
    }

    pub(crate) fn json(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Response {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        self.send(method, path, &all, Some(body.to_string().as_bytes())).unwrap()
    }

    /// The bytes of a request.
    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Vec<u8> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.address);
        if let Some(token) = &self.token {
            let _ = write!(head, "authorization: Bearer {token}\r\n");
        }
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if let Some(body) = body {
            let _ = write!(head, "content-length: {}\r\n", body.len());
        }
        head += "\r\n";
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body.unwrap_or_default());
        bytes
    }

    /// Sends one request and reads its answer; an error where the connection breaks before the answer is whole.
    ///
    /// A connection that the server has closed while nobody asked for anything is opened anew.
    pub(crate) fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> std::io::Result<Response> {
        let bytes = self.request(method, path, headers, body);
        self.connection.take_if(|kept| !is_open(kept.get_ref()));
        if self.connection.is_none() {
            self.connection = Some(BufReader::new(connect(self.address)?));
        }
        let connection = self.connection.as_mut().unwrap();
        let answer = connection.get_mut().write_all(&bytes).and_then(|()| read_response(connection, method));
        let keep =
            answer.as_ref().is_ok_and(|answer| answer.header("connection") != Some("close") && !answer.is_stream());
        if !keep {
            self.connection = None;
        }
        answer
    }
}

/// False where the other side has said that it is done.
fn is_open(kept: &TcpStream) -> bool {
    let look = kept.set_nonblocking(true).and_then(|()| kept.peek(&mut [0]));
    let is_open = match look {
        Ok(bytes) => bytes > 0,
        Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
    };
    is_open && kept.set_nonblocking(false).is_ok()
}

/// A raw connection with the tests' patience.
pub(crate) fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads one answer to a request with this method.
pub(crate) fn read_response(connection: &mut BufReader<TcpStream>, method: &str) -> std::io::Result<Response> {
    let bad = |what: String| std::io::Error::new(std::io::ErrorKind::InvalidData, what);
    let mut line = String::new();
    if connection.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(|| bad(line.clone()))?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if connection.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let mut response = Response { status, headers, body: Vec::new() };
    // A stream has no end to wait for: `Client::events` reads those.
    if method == "HEAD" || status == 204 || status == 304 || response.is_stream() {
        return Ok(response);
    }
    if response.header("transfer-encoding") == Some("chunked") {
        response.body = read_chunks(connection)?;
        return Ok(response);
    }
    let length = response.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    response.body = vec![0; length];
    connection.read_exact(&mut response.body)?;
    Ok(response)
}

/// All of a body that comes in chunks.
pub(super) fn read_chunks(connection: &mut BufReader<TcpStream>) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut size = String::new();
        connection.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim(), 16)
            .map_err(|_| std::io::Error::new(std::io::ErrorKind::InvalidData, size))?;
        let mut chunk = vec![0; size + 2];
        connection.read_exact(&mut chunk)?;
        body.extend(&chunk[..size]);
        if size == 0 {
            return Ok(body);
        }
    }
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.header("content-type") == Some("text/event-stream")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The answer, where it has this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

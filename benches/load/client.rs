//! Users, and the connections they ask on: just as much HTTP as bondhu's answers need.

use std::{
    fmt::Write as _,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};

/// Users who are made at the same time.
const AT_ONCE: usize = 16;
/// Of all users.
pub(crate) const PASSWORD: &str = "river-stone-lamp-42";

/// An account that is logged in.
pub(crate) struct User {
    pub(crate) token: String,
    pub(crate) sessions: Vec<String>,
}

/// An answer with a length.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Bytes of all of it.
    pub(crate) length: usize,
    head: String,
    body: Vec<u8>,
}

/// A connection that is kept.
pub(crate) struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl User {
    /// What to send to say something in one of the sessions.
    pub(crate) fn say(&self, session: usize, content: &str, stream: bool) -> Vec<u8> {
        let path = format!("/api/v1/sessions/{}/messages", self.sessions[session]);
        request("POST", &path, &self.token, Some(&json!({"content": content, "stream": stream})))
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// A header, by its name in small letters; its value is as it came.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(this, _)| this.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    }

    /// Bytes of its body.
    pub(crate) fn body_length(&self) -> usize {
        self.body.len()
    }
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        Self::open_from(Ipv4Addr::LOCALHOST, address).await
    }

    /// Connects from an address of ours: each has ports of its own.
    pub(crate) async fn open_from(from: Ipv4Addr, address: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::new(IpAddr::V4(from), 0))?;
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, unread: Vec::new() })
    }

    pub(crate) async fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request).await
    }

    /// One request and its whole answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.send(request).await?;
        let start = loop {
            if let Some(at) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8_lossy(&self.unread[..start]).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
        let mut answer = Answer { status, length: start, head, body: Vec::new() };
        // A 304 tells the length of what it does not send.
        let length = answer.header("content-length").filter(|_| status != 304).and_then(|length| length.parse().ok());
        let end = start + length.unwrap_or(0);
        while self.unread.len() < end {
            self.more().await?;
        }
        (answer.length, answer.body) = (end, self.unread[start..end].to_vec());
        self.unread.drain(..end);
        Ok(answer)
    }

    /// The next lines of an answer that is a stream; none at its end. Chunk sizes are lines too.
    pub(crate) async fn lines(&mut self) -> io::Result<Vec<String>> {
        loop {
            if let Some(last) = self.unread.iter().rposition(|&byte| byte == b'\n') {
                let whole: Vec<u8> = self.unread.drain(..=last).collect();
                return Ok(String::from_utf8_lossy(&whole).lines().map(str::to_owned).collect());
            }
            if let Err(error) = self.more().await {
                return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(Vec::new()) } else { Err(error) };
            }
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.unread).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// A request's bytes.
pub(crate) fn request(method: &str, path: &str, token: &str, body: Option<&Value>) -> Vec<u8> {
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

/// Makes users who are logged in, each with so many sessions.
pub(crate) async fn users(address: SocketAddr, count: usize, sessions: usize) -> Vec<User> {
    let mut users = Vec::with_capacity(count);
    let mut making = JoinSet::new();
    for n in 0..count {
        if making.len() == AT_ONCE {
            users.extend(making.join_next().await.map(|made| made.expect("a user is made")));
        }
        making.spawn(user(address, n, sessions));
    }
    users.extend(making.join_all().await);
    users
}

/// The name of the user with this number.
pub(crate) fn name(n: usize) -> String {
    format!("bench{n}")
}

async fn user(address: SocketAddr, n: usize, sessions: usize) -> User {
    let mut connection = Connection::open(address).await.expect("a connection");
    let account = json!({"username": name(n), "password": PASSWORD});
    let mut post = async |path: &str, token: &str, body: &Value| {
        let answer = connection.exchange(&request("POST", path, token, Some(body))).await.expect("an answer");
        assert!(answer.status < 300, "{path}: {} {}", answer.status, answer.json());
        answer.json()
    };
    post("/api/v1/auth/register", "", &account).await;
    let login = post("/api/v1/auth/login", "", &account).await;
    let token = login["token"].as_str().expect("a token").to_owned();
    let mut ids = Vec::with_capacity(sessions);
    for _ in 0..sessions {
        let session = post("/api/v1/sessions", &token, &json!({})).await;
        ids.push(session["id"].as_str().expect("an id").to_owned());
    }
    User { token, sessions: ids }
}

//! Event streams as a client reads them: event by event, over a connection of their own.

use std::{
    collections::VecDeque,
    io::{self, BufReader, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    Client, Response,
    client::{connect, read_response},
};

/// A stream that only shows that it is there for so long has nothing more to tell.
const PATIENCE: Duration = Duration::from_secs(40);

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<u64>,
    pub(crate) data: Value,
}

/// An open event stream.
pub(crate) struct Events {
    connection: BufReader<TcpStream>,
    /// Its status and headers.
    pub(crate) head: Response,
    text: Vec<u8>,
    ready: VecDeque<Event>,
    over: bool,
    /// True once the end of the body was read: the stream has not just broken off.
    pub(crate) is_whole: bool,
}

impl Client {
    /// Opens the event stream at `path`.
    pub(crate) fn events(&self, path: &str) -> Events {
        self.open(&self.request("GET", path, &[("accept", "text/event-stream")], None))
    }

    /// Opens it as a browser does that has seen the event with this id.
    pub(crate) fn events_after(&self, path: &str, last: u64) -> Events {
        self.open(&self.request("GET", path, &[("last-event-id", &last.to_string())], None))
    }

    /// Says something and reads the stream of its turn.
    pub(crate) fn say_and_follow(&self, session: &str, content: &str, headers: &[(&str, &str)]) -> Events {
        let body = json!({"content": content, "stream": true}).to_string();
        let all = [&[("content-type", "application/json")], headers].concat();
        self.open(&self.request("POST", &format!("/api/v1/sessions/{session}/messages"), &all, Some(body.as_bytes())))
    }

    /// Posts this and reads the stream that it is answered with.
    pub(crate) fn post_events(&self, path: &str, body: &Value) -> Events {
        let headers = [("content-type", "application/json")];
        self.open(&self.request("POST", path, &headers, Some(body.to_string().as_bytes())))
    }

    fn open(&self, request: &[u8]) -> Events {
        Events::over(connect(self.address).unwrap(), request).unwrap()
    }

    /// As [`Client::events`], behind the event with this id where one was seen; an error where no server is there.
    pub(crate) fn try_events(&self, path: &str, last: Option<u64>) -> io::Result<Events> {
        self.events_over(connect(self.address)?, path, last)
    }

    /// As [`Client::try_events`], over a connection that is there.
    pub(crate) fn events_over(&self, connection: TcpStream, path: &str, last: Option<u64>) -> io::Result<Events> {
        let last = last.map(|last| last.to_string());
        let headers: Vec<_> = last.iter().map(|last| ("last-event-id", last.as_str())).collect();
        Events::over(connection, &self.request("GET", path, &headers, None))
    }

    /// As [`Client::say_and_follow`] with an idempotency key; an error where no server is there.
    pub(crate) fn try_say_and_follow(&self, session: &str, content: &str, key: &str) -> io::Result<Events> {
        let body = json!({"content": content, "stream": true}).to_string();
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        let path = format!("/api/v1/sessions/{session}/messages");
        Events::over(connect(self.address)?, &self.request("POST", &path, &headers, Some(body.as_bytes())))
    }
}

impl Events {
    fn over(mut connection: TcpStream, request: &[u8]) -> io::Result<Self> {
        connection.write_all(request)?;
        let mut connection = BufReader::new(connection);
        let head = read_response(&mut connection, "GET")?;
        Ok(Self::behind(connection, head))
    }

    /// The stream that follows this head.
    pub(super) fn behind(connection: BufReader<TcpStream>, head: Response) -> Self {
        let over = !head.is_stream();
        Self { connection, head, text: Vec::new(), ready: VecDeque::new(), over, is_whole: false }
    }

    /// The next event; nothing at the end of the stream, or where it breaks.
    pub(crate) fn next(&mut self) -> Option<Event> {
        let begun = Instant::now();
        while self.ready.is_empty() && !self.over {
            assert!(begun.elapsed() < PATIENCE, "no event came in {PATIENCE:?}");
            self.over = self.read().is_none();
        }
        self.ready.pop_front()
    }

    /// The next event that has this name; those before it are dropped.
    #[track_caller]
    pub(crate) fn find(&mut self, name: &str) -> Event {
        loop {
            match self.next() {
                Some(event) if event.name == name => return event,
                Some(_) => {}
                None => panic!("the stream ended before any {name:?}"),
            }
        }
    }

    /// All events up to the end of the stream.
    pub(crate) fn rest(mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.next()).collect()
    }

    /// What comes within this time; an event that is only half here is kept for later.
    pub(crate) fn within(&mut self, time: Duration) -> Vec<Event> {
        self.connection.get_ref().set_read_timeout(Some(time)).unwrap();
        let mut events = Vec::new();
        while let Some(event) = self.next() {
            events.push(event);
        }
        events
    }

    /// Reads one chunk.
    fn read(&mut self) -> Option<()> {
        let mut size = Vec::new();
        while !size.ends_with(b"\r\n") {
            let mut byte = [0];
            self.connection.read_exact(&mut byte).ok()?;
            size.push(byte[0]);
        }
        let size = usize::from_str_radix(str::from_utf8(&size).ok()?.trim(), 16).ok()?;
        let mut chunk = vec![0; size + 2];
        self.connection.read_exact(&mut chunk).ok()?;
        if size == 0 {
            self.is_whole = true;
            return None;
        }
        self.text.extend_from_slice(&chunk[..size]);
        while let Some(end) = self.text.windows(2).position(|two| two == b"\n\n") {
            let frame: Vec<u8> = self.text.drain(..end + 2).collect();
            self.ready.extend(event(str::from_utf8(&frame).unwrap()));
        }
        Some(())
    }
}

/// The event in a frame; a frame of comments has none. The word that ends a stream of completions is a string.
fn event(frame: &str) -> Option<Event> {
    let field = |name: &str| frame.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    let data = field("data")?;
    let name = field("event").unwrap_or_default().to_owned();
    let data = if data == "[DONE]" { Value::from(data) } else { serde_json::from_str(data).unwrap() };
    Some(Event { name, id: field("id").map(|id| id.parse().unwrap()), data })
}

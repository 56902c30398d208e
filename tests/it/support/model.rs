//! Servers in front of the stub model server, and what their users do besides sending.

use std::{
    io::Write as _,
    net::TcpStream,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Client, Event, Events, Response, Server, client::connect, stub::Stub};

/// What is waited for comes within this time, or never.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at what nobody announces.
const GLANCE: Duration = Duration::from_millis(5);

/// A server that has its replies from `stub`.
pub(crate) fn asking(stub: &Stub, settings: &[&str]) -> Server {
    asking_at(&stub.base_url(), settings)
}

/// A server that has its replies from whoever is there.
pub(crate) fn asking_at(base_url: &str, settings: &[&str]) -> Server {
    let base_url = format!("reply.openai.base_url={base_url}");
    Server::start(&[&["reply.backend=openai", base_url.as_str()], settings].concat())
}

/// Tries until it succeeds.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(made) = attempt() {
            return made;
        }
        assert!(begun.elapsed() < PATIENCE, "not in {PATIENCE:?}: {what}");
        std::thread::park_timeout(GLANCE);
    }
}

impl Server {
    /// Waits until no turn runs, none waits and no slot is taken.
    #[track_caller]
    pub(crate) fn is_idle(&self) {
        let mut client = self.client();
        until("no turn is left", || {
            let replies = client.get("/ready").json()["parts"]["replies"].clone();
            ["running", "held", "waiting"].iter().all(|&part| replies[part] == 0).then_some(())
        });
    }
}

impl Client {
    /// Has a message answered anew.
    pub(crate) fn retry(&mut self, session: &str, seq: u64) -> Response {
        self.post(&format!("/api/v1/sessions/{session}/messages/{seq}/retry"), &json!({}))
    }

    /// Stops the reply to a message.
    pub(crate) fn stop(&mut self, session: &str, seq: u64) -> Response {
        self.post(&format!("/api/v1/sessions/{session}/messages/{seq}/stop"), &json!({}))
    }

    /// Says something with an idempotency key.
    pub(crate) fn try_say_once(&mut self, session: &str, content: &str, key: &str) -> Response {
        let path = format!("/api/v1/sessions/{session}/messages");
        self.json("POST", &path, &[("idempotency-key", key)], &json!({"content": content}))
    }

    /// Says something while the test goes on.
    pub(crate) fn begin_say(&self, session: &str, content: &str) -> JoinHandle<Response> {
        let mut tab = Self::with_token(self.address, self.token.as_ref().unwrap());
        let (session, content) = (session.to_owned(), content.to_owned());
        std::thread::spawn(move || tab.try_say(&session, &content))
    }

    /// Has a message answered anew while the test goes on.
    pub(crate) fn begin_retry(&self, session: &str, seq: u64) -> JoinHandle<Response> {
        let mut tab = Self::with_token(self.address, self.token.as_ref().unwrap());
        let session = session.to_owned();
        std::thread::spawn(move || tab.retry(&session, seq))
    }

    /// Says something and reads no answer: who drops the connection is gone.
    pub(crate) fn say_and_leave(&self, session: &str, content: &str) -> TcpStream {
        self.post_and_leave(&format!("/api/v1/sessions/{session}/messages"), &json!({"content": content}))
    }

    /// Posts this and reads no answer: who drops the connection is gone.
    pub(crate) fn post_and_leave(&self, path: &str, body: &Value) -> TcpStream {
        let headers = [("content-type", "application/json")];
        let mut connection = connect(self.address).unwrap();
        connection.write_all(&self.request("POST", path, &headers, Some(body.to_string().as_bytes()))).unwrap();
        connection
    }

    /// The stream of a session from its beginning on.
    pub(crate) fn session_events(&self, session: &str) -> Events {
        self.events(&format!("/api/v1/sessions/{session}/events?after=0"))
    }

    /// All messages of a session.
    pub(crate) fn log(&mut self, session: &str) -> Vec<Value> {
        super::list(&self.page(session, "?limit=200")["messages"]).to_vec()
    }

    /// The turns of a session, as the old client sees them.
    pub(crate) fn turns(&mut self, session: &str) -> Vec<Value> {
        super::list(&self.history(&format!("?session_id={session}&limit=200"))["messages"]).to_vec()
    }
}

/// A reply as a page puts it together from its deltas.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) attempt: u64,
    pub(crate) text: String,
}

impl Draft {
    /// Takes what an event says of the reply; nothing where it is no delta.
    #[track_caller]
    pub(crate) fn take(&mut self, event: &Event) {
        if event.name != "delta" {
            return;
        }
        let attempt = event.data["attempt"].as_u64().unwrap();
        if attempt != self.attempt {
            assert!(attempt > self.attempt, "an older attempt speaks: {event:?}");
            *self = Self { attempt, text: String::new() };
        }
        let offset = usize::try_from(event.data["offset"].as_u64().unwrap()).unwrap();
        let mut places = self.text.char_indices().map(|(at, _)| at).chain([self.text.len()]);
        let at = places.nth(offset).unwrap_or_else(|| panic!("there is a gap before {event:?}"));
        self.text.truncate(at);
        self.text.push_str(event.data["text"].as_str().unwrap());
    }

    /// Takes events until the reply is `text`.
    #[track_caller]
    pub(crate) fn read_until(&mut self, events: &mut Events, text: &str) {
        while self.text != text {
            self.take(&events.next().unwrap_or_else(|| panic!("the stream ended at {:?}", self.text)));
        }
    }
}

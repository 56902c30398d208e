//! Senders that remember, outside the server, what each of their requests came to; and the comparison with what the
//! server shows later.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bondhu::checker::{Asked, Checker, Message, Page, SessionNo};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Client, Random, Server, server::text};

/// A turn that was sent ends within this, and so does everything else that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A user with sessions, by what outlives a restart of the server.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) token: String,
    pub(crate) sessions: Vec<String>,
}

/// What a send came to, as its sender knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// It was acknowledged, with this message and this reply.
    Stored { message: Value, reply: Value },
    /// The server said that nothing was stored.
    Refused,
    /// The connection broke, or the server could not say.
    Unknown,
}

/// A send.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) account: usize,
    pub(crate) session: String,
    pub(crate) content: String,
    pub(crate) key: Option<String>,
    pub(crate) told: Told,
}

/// Everything that was sent to one data directory.
pub(crate) struct World {
    pub(crate) accounts: Vec<Account>,
    pub(crate) sent: Arc<Mutex<Vec<Sent>>>,
    /// How many sends were acknowledged.
    pub(crate) stored: Arc<AtomicUsize>,
    next: Arc<AtomicUsize>,
}

/// Senders at work.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// How senders send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) senders: usize,
    /// Characters of four bytes that are added to every message.
    pub(crate) padding: usize,
}

impl World {
    /// Makes `users` with `sessions` each.
    pub(crate) fn new(server: &Server, users: usize, sessions: usize) -> Self {
        let account = |n: usize| {
            let (mut client, _) = server.user(&format!("user-{n}"));
            let session = |_| text(&client.post("/api/v1/sessions", &json!({})).expect(201).json()["id"]);
            let sessions = (0..sessions).map(session).collect();
            Account { token: client.token.clone().unwrap(), sessions }
        };
        let accounts = (0..users).map(account).collect();
        Self { accounts, sent: Arc::default(), stored: Arc::default(), next: Arc::default() }
    }

    /// Starts senders, each with a connection of its own: every second message has an idempotency key. A sender whose
    /// connection breaks ends.
    pub(crate) fn send(&self, address: SocketAddr, pace: Pace, random: &mut Random) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let sender = |n: usize| {
            let mut random = random.fork();
            let account = n % self.accounts.len();
            let Account { token, sessions } = self.accounts[account].clone();
            let (sent, stored, next) = (Arc::clone(&self.sent), Arc::clone(&self.stored), Arc::clone(&self.next));
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut client = Client::with_token(address, &token);
                let padding = "\u{1F642}".repeat(pace.padding);
                while !stop.load(Ordering::SeqCst) {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let key = random.one_in(2).then(|| format!("key-{number}"));
                    let session = sessions[random.below(sessions.len())].clone();
                    let content = format!("message {number} {padding}");
                    let told = send(&mut client, &session, &content, key.as_deref());
                    let broken = told == Told::Unknown;
                    stored.fetch_add(usize::from(matches!(told, Told::Stored { .. })), Ordering::SeqCst);
                    sent.lock().unwrap().push(Sent { account, session, content, key, told });
                    if broken {
                        return;
                    }
                }
            })
        };
        Load { threads: (0..pace.senders).map(sender).collect(), stop }
    }

    /// Waits until so many more sends were acknowledged; false where the senders ended before.
    pub(crate) fn wait_for_more(&self, load: &Load, more: usize) -> bool {
        let (from, began) = (self.stored.load(Ordering::SeqCst), Instant::now());
        while self.stored.load(Ordering::SeqCst) < from + more {
            assert!(began.elapsed() < PATIENCE, "only {} acknowledged", self.stored.load(Ordering::SeqCst) - from);
            if load.threads.iter().all(JoinHandle::is_finished) {
                return false;
            }
            std::thread::yield_now();
        }
        true
    }

    /// What was acknowledged so far.
    pub(crate) fn snapshot(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    /// How many sends are known to be stored.
    pub(crate) fn stored(&self) -> usize {
        self.sent.lock().unwrap().iter().filter(|sent| matches!(sent.told, Told::Stored { .. })).count()
    }

    /// Has all that the server shows held against `sent`; gives how many messages there are.
    #[track_caller]
    pub(crate) fn compare(&self, address: SocketAddr, sent: &[Sent]) -> usize {
        let mut checker = Checker::new();
        let all = self.accounts.iter().flat_map(|account| &account.sessions);
        let sessions: HashMap<&str, SessionNo> =
            all.map(|session| (session.as_str(), checker.session(session))).collect();
        // Nothing is known of which ended before another began.
        let begun: Vec<_> =
            sent.iter().map(|sent| checker.send_begins(sessions[sent.session.as_str()], &sent.content)).collect();
        for (sent, begun) in sent.iter().zip(begun) {
            let session = sessions[sent.session.as_str()];
            match &sent.told {
                Told::Stored { message, reply } => {
                    checker.acknowledged(session, begun, &parsed(message), Some(&parsed(reply)));
                }
                Told::Refused => checker.refused(session, begun),
                Told::Unknown => {}
            }
        }
        let mut shown = HashMap::new();
        for account in &self.accounts {
            let mut client = Client::with_token(address, &account.token);
            for session in &account.sessions {
                let messages = settled(&mut client, session);
                let begun = checker.read_begins(sessions[session.as_str()]);
                let head = messages.last().map_or(0, |last| last["seq"].as_u64().unwrap());
                let page = Page { messages: messages.iter().map(parsed).collect(), head, has_more: false };
                let asked = Asked { after: Some(0), limit: usize::MAX, last: true };
                checker.read(sessions[session.as_str()], begun, asked, &page);
                shown.insert(session.as_str(), messages);
            }
        }
        let violations: Vec<_> = checker.violations().iter().map(ToString::to_string).collect();
        assert!(violations.is_empty(), "{}", violations.join("\n"));
        assert_details(&shown, sent);
        shown.values().map(Vec::len).sum()
    }

    /// Repeats every send with a key whose outcome is unknown: afterwards there is one message of it, and the sender
    /// knows it.
    pub(crate) fn repeat_unknown(&self, address: SocketAddr) -> usize {
        let mut sent = self.sent.lock().unwrap();
        let mut repeated = 0;
        for sent in sent.iter_mut().filter(|sent| sent.told == Told::Unknown && sent.key.is_some()) {
            let mut client = Client::with_token(address, &self.accounts[sent.account].token);
            let first = send(&mut client, &sent.session, &sent.content, sent.key.as_deref());
            let second = send(&mut client, &sent.session, &sent.content, sent.key.as_deref());
            assert!(matches!(first, Told::Stored { .. }), "{first:?}");
            assert_eq!(first, second, "the same key gave two messages");
            sent.told = first;
            repeated += 1;
        }
        repeated
    }
}

impl Load {
    /// Ends the senders and waits for them.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.join();
    }

    /// Waits until every sender has ended by itself.
    pub(crate) fn join(self) {
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

/// Sends one message.
pub(crate) fn send(client: &mut Client, session: &str, content: &str, key: Option<&str>) -> Told {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(key.map(|key| ("idempotency-key", key)));
    let body = json!({"content": content}).to_string();
    let path = format!("/api/v1/sessions/{session}/messages");
    let Ok(response) = client.send("POST", &path, &headers, Some(body.as_bytes())) else { return Told::Unknown };
    match response.status {
        200 | 201 => {
            let answer = response.json();
            Told::Stored { message: answer["message"].clone(), reply: answer["reply"].clone() }
        }
        503 => Told::Refused,
        500 => Told::Unknown,
        other => panic!("{other}: {}", response.text()),
    }
}

/// All messages of a session, in order.
pub(crate) fn messages(client: &mut Client, session: &str) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let after = all.last().map_or(0, |last| last["seq"].as_u64().unwrap());
        let path = format!("/api/v1/sessions/{session}/messages?after={after}&limit=200");
        let page = client.get(&path).expect(200).json();
        all.extend(page["messages"].as_array().unwrap().iter().cloned());
        if page["has_more"] == false {
            return all;
        }
    }
}

/// All messages of a session, once no turn is open.
pub(crate) fn settled(client: &mut Client, session: &str) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let messages = messages(client, session);
        if messages.iter().all(|message| message["status"] != "pending") {
            return messages;
        }
        assert!(began.elapsed() < PATIENCE, "a turn of session {session} has no outcome");
        std::thread::yield_now();
    }
}

/// A message as the checker reads it.
fn parsed(message: &Value) -> Message<'_> {
    Message::deserialize(message).unwrap_or_else(|error| panic!("{error}: {message}"))
}

/// Wants what the checker leaves out: times as they were acknowledged, and turns that a crash did not end.
#[track_caller]
fn assert_details(shown: &HashMap<&str, Vec<Value>>, sent: &[Sent]) {
    for message in shown.values().flatten() {
        let status = message["status"].as_str().unwrap();
        assert!(matches!(status, "answered" | "failed" | "complete"), "{message}");
    }
    for Sent { session, told, .. } in sent {
        let Told::Stored { message, reply } = told else { continue };
        for told in [message, reply] {
            let at = usize::try_from(told["seq"].as_u64().unwrap()).unwrap() - 1;
            assert_eq!(shown[session.as_str()][at]["created_at"], told["created_at"], "{told}");
        }
    }
}

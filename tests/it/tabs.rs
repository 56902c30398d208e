//! Five tabs of one user on two devices, all of which send, while connections are cut and the server is stopped and
//! killed: in the end every one of them has exactly the log.

use std::{
    net::SocketAddr,
    process::Command,
    sync::{
        Condvar, Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::Duration,
};

use serde_json::json;

use crate::support::{
    Client, Events, PASSWORD, Random, Server,
    load::messages,
    stub::Stub,
    tab::{Drafts, Known, Tab, number},
    text,
};

const TABS: usize = 5;
const SESSIONS: usize = 3;
/// Messages of each tab: with the last one of all, no session has more than the 50 turns whose statuses a stream begins
/// with.
const MESSAGES: usize = 28;
const LAST: &str = "this is all";
/// No start takes longer.
const PATIENCE: Duration = Duration::from_mins(1);
/// The place of a server that was ended because the test has failed.
const FAILED: usize = usize::MAX;

/// Where the server is, and how often it has moved.
struct Place {
    at: Mutex<(usize, SocketAddr)>,
    moved: Condvar,
    process: AtomicU32,
}

/// Ends the server where a thread of the test has failed, so that no other waits for it.
struct Alarm<'p>(&'p Place);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.at.lock().unwrap().0 = FAILED;
            self.0.moved.notify_all();
            let process = self.0.process.load(Ordering::SeqCst).to_string();
            let _ = Command::new("kill").args(["-KILL", &process]).status();
        }
    }
}

impl Place {
    fn at(server: &Server) -> Self {
        let at = Mutex::new((0, server.address));
        Self { at, moved: Condvar::new(), process: AtomicU32::new(server.pid()) }
    }

    fn now(&self) -> (usize, SocketAddr) {
        let at = *self.at.lock().unwrap();
        if at.0 == FAILED {
            std::panic::resume_unwind(Box::new("another thread has failed"));
        }
        at
    }

    /// Where it is once it has left this place, at which it was not found.
    fn after(&self, number: usize) {
        let at = self.at.lock().unwrap();
        let (at, waited) = self.moved.wait_timeout_while(at, PATIENCE, |at| at.0 == number).unwrap();
        drop(at); // A panic must not poison it.
        assert!(!waited.timed_out(), "the connection broke, and the server is where it was");
    }

    fn moves(&self, server: &Server) {
        let mut at = self.at.lock().unwrap();
        *at = (at.0.saturating_add(1), server.address);
        self.process.store(server.pid(), Ordering::SeqCst);
        self.moved.notify_all();
    }
}

/// One tab's side that sends.
struct Sender<'p> {
    place: &'p Place,
    stub: &'p Stub,
    token: String,
    sessions: &'p [String],
    random: Random,
    number: usize,
}

impl Sender<'_> {
    /// Sends everything, and says so of each.
    fn send(mut self, sent: &mpsc::Sender<()>) {
        let _alarm = Alarm(self.place);
        for n in 0..MESSAGES {
            let name = format!("t{}m{n}", self.number);
            let session = self.sessions[(self.number + n) % SESSIONS].clone();
            match self.random.below(8) {
                0 => drop(self.whole(&session, &name, "say")),
                1 => self.follow(&session, &name, &format!("[[tokens {} 1]] {name} ", 20 + n), None),
                2 => self.follow(&session, &name, &format!("[[say]] {name} says it at once"), None),
                3 | 4 => {
                    let words: Vec<_> = (0..30).map(|word| format!("{name}·{word}")).collect();
                    let steps = self.random.below(4);
                    self.follow(&session, &name, &format!("[[gate {name}]] {}", words.join(" ")), Some(steps));
                }
                5 => {
                    let seq = self.whole(&session, &name, "once status 422");
                    self.retry(&session, seq);
                }
                6 => {
                    let seq = self.whole(&session, &name, ["status 422", "errormid"][n % 2]);
                    self.retry(&session, seq);
                }
                _ => {
                    let seq = self.whole(&session, &name, "tokens 5 1");
                    self.retry(&session, seq);
                }
            }
            let _ = sent.send(()); // Who does not listen has failed.
        }
    }

    /// Does something until the server is there for it.
    fn until_done<T>(&mut self, mut attempt: impl FnMut(&mut Self, &mut Client) -> Option<T>) -> T {
        loop {
            let (number, address) = self.place.now();
            let mut client = Client::with_token(address, &self.token);
            if let Some(done) = attempt(self, &mut client) {
                return done;
            }
            self.place.after(number);
        }
    }

    /// Sends and waits for the outcome, by the key again and again where the server goes away; gives the sequence.
    fn whole(&mut self, session: &str, key: &str, directive: &str) -> u64 {
        let content = format!("[[{directive}]] {key} has a reply of some words");
        let body = json!({"content": content}).to_string();
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        let path = format!("/api/v1/sessions/{session}/messages");
        self.until_done(|_, client| {
            let answer = client.send("POST", &path, &headers, Some(body.as_bytes())).ok()?;
            match answer.status {
                200 | 201 => Some(number(&answer.json()["message"], "seq")),
                502 => {
                    let message = answer.json()["message_id"].clone();
                    let log = client.send("GET", &format!("{path}?limit=200"), &[], None).ok()?.expect(200).json();
                    let of = log["messages"].as_array().unwrap().iter().find(|known| known["id"] == message);
                    Some(number(of.unwrap(), "seq"))
                }
                503 | 500 => None, // It is stopping.
                other => panic!("{other}: {}", answer.text()),
            }
        })
    }

    /// Has it answered anew; that may fail.
    fn retry(&mut self, session: &str, seq: u64) {
        let path = format!("/api/v1/sessions/{session}/messages/{seq}/retry");
        self.until_done(|_, client| {
            let answer = client.send("POST", &path, &[], None).ok()?;
            match answer.status {
                201 | 502 => Some(()),
                503 | 500 => None,
                other => panic!("{other}: {}", answer.text()),
            }
        });
    }

    /// Sends and follows the turn to its end. With `stop_after`, lets so many words go and stops it then.
    fn follow(&mut self, session: &str, key: &str, content: &str, stop_after: Option<usize>) {
        self.until_done(|this, client| {
            let turn = client.try_say_and_follow(session, content, key).ok()?;
            if turn.head.status == 503 {
                return None;
            }
            assert_eq!(turn.head.status, 200, "{}", turn.head.text());
            this.hear_out(turn, client, session, (key, stop_after))
        });
    }

    /// The stream of one turn; nothing where it breaks off.
    fn hear_out(
        &self,
        mut turn: Events,
        client: &mut Client,
        session: &str,
        (gate, stop_after): (&str, Option<usize>),
    ) -> Option<()> {
        let (mut drafts, mut seq, mut stopped) = (Drafts::default(), None, false);
        loop {
            let event = turn.next()?;
            match event.name.as_str() {
                "message" if seq.is_none() => {
                    seq = event.id;
                    (0..stop_after.unwrap_or(0)).for_each(|_| self.stub.step(gate));
                }
                "message" => drafts.end(number(&event.data, "reply_to"), event.data["content"].as_str()),
                "delta" => drafts.delta(&event.data),
                "done" | "failed" => {
                    assert_eq!(event.data["reply_to"].as_u64(), seq, "{event:?}");
                    assert!(turn.next().is_none(), "the turn is over");
                    return Some(());
                }
                other => panic!("{other:?} is nothing of a turn's"),
            }
            let of = seq.expect("the message comes first");
            if !stopped && stop_after.is_some_and(|words| drafts.of(of).1.split_whitespace().count() >= words) {
                let path = format!("/api/v1/sessions/{session}/messages/{of}/stop");
                client.send("POST", &path, &[], None).ok()?;
                stopped = true;
            }
        }
    }
}

/// Keeps a tab open, with its connection cut every now and then, until it has everything; gives it, and how often it
/// was opened.
fn keep_open(mut tab: Tab, place: &Place, token: &str, mut random: Random) -> (Tab, usize) {
    let is_all = |known: &Known| {
        let said = known.log.iter().find(|message| message["content"] == LAST);
        said.is_some_and(|said| {
            let seq = number(said, "seq");
            known.status(seq) == "answered" && known.log.iter().any(|message| message["reply_to"] == seq)
        })
    };
    let _alarm = Alarm(place);
    let mut opened = 0;
    loop {
        let (number, address) = place.now();
        let mut left = 1 + random.below(80);
        if tab.open(&mut Client::with_token(address, token)).is_err() {
            place.after(number);
            continue;
        }
        opened += 1;
        loop {
            if tab.everywhere(is_all) {
                return (tab, opened);
            }
            if left == 0 || tab.hear().is_none() {
                break;
            }
            left -= 1;
        }
        tab.cut();
    }
}

#[test]
fn p2_p3_p5_five_tabs_of_two_devices_have_exactly_the_log_whatever_breaks_in_between() {
    let mut random = Random::seeded("tabs");
    let stub = Stub::start();
    let base_url = format!("reply.openai.base_url={}", stub.base_url());
    let settings = ["reply.backend=openai", &base_url, "concurrency.min=16", "server.shutdown_grace_ms=300"];
    let mut server = Server::start(&settings);
    let (mut laptop, _) = server.user("amina");
    let account = json!({"username": "amina", "password": PASSWORD});
    let phone = text(&server.client().post("/api/v1/auth/login", &account).expect(200).json()["token"]);
    let tokens = [laptop.token.clone().unwrap(), phone];
    let sessions: Vec<String> = (0..SESSIONS).map(|_| laptop.session()).collect();
    let place = Place::at(&server);
    let (sent, told) = mpsc::channel();
    let tabs: Vec<(Tab, usize)> = std::thread::scope(|scope| {
        let (mut tabs, mut senders) = (Vec::new(), Vec::new());
        for number in 0..TABS {
            let session = sessions.get(number);
            let tab = session.map_or_else(|| Tab::of_user(&sessions), |session| Tab::of_session(session));
            let (token, place, random_of_tab) = (&tokens[number % 2], &place, random.fork());
            tabs.push(scope.spawn(move || keep_open(tab, place, token, random_of_tab)));
            let (stub, sessions, sent, random) = (&stub, &sessions[..], sent.clone(), random.fork());
            let sender = Sender { place, stub, token: token.clone(), sessions, random, number };
            senders.push(scope.spawn(move || sender.send(&sent)));
        }
        drop(sent);
        for ends in ["KILL", "TERM"] {
            for _ in 0..TABS * MESSAGES / 3 {
                told.recv_timeout(PATIENCE).unwrap();
            }
            server.signal(ends);
            server.wait();
            let dir = server.dir();
            server = Server::start_in(dir, server.data.clone(), &settings);
            place.moves(&server);
        }
        for sender in senders {
            sender.join().unwrap();
        }
        laptop = laptop.another_tab(&server);
        for session in &sessions {
            laptop.say(session, LAST);
        }
        tabs.into_iter().map(|tab| tab.join().unwrap()).collect()
    });
    let mut statuses = std::collections::BTreeMap::<String, usize>::new();
    for session in &sessions {
        let log = messages(&mut laptop, session);
        for (number, (tab, _)) in tabs.iter().enumerate() {
            if sessions.get(number).is_none_or(|of| of == session) {
                assert_eq!(tab.known(session).log, log, "tab {number}");
            }
        }
        for message in log {
            *statuses.entry(text(&message["status"])).or_default() += 1;
        }
    }
    let heard: Vec<_> = tabs.iter().map(|(tab, opened)| (tab.heard, tab.deltas, *opened)).collect();
    eprintln!("tabs: {statuses:?}; events, deltas and streams of each tab: {heard:?}");
    for status in ["answered", "failed", "stopped", "superseded"] {
        assert!(statuses.contains_key(status), "{statuses:?}");
    }
}

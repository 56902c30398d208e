//! Model servers that fail in every way: one recorded failure that says what to do and nothing of that server, for whoever
//! shows it; a repeat that says the same; a retry that works; and nobody else notices.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{
    Client, Response, Server, at_once, each,
    model::{asking, asking_at, until},
    stub::Stub,
};

// What people are told.
const UNUSABLE: &str = "The model said nothing usable; please put it in other words or try again.";
const FAILED: &str = "The model server failed; please try again.";
const BROKE_OFF: &str = "The model server broke off; please try again.";
const BARRED: &str = "The model can't be used at the moment; please tell the operator of this service.";
const REJECTED: &str = "The model server does not take this conversation; please try a shorter message.";
const BUSY: &str = "The model server is busy; please try again in a minute.";
const SLOW: &str = "The model took too long to answer; please try again.";
const DISTANT: &str = "The model server could not be reached in time; please try again in a minute.";
const UNREACHABLE: &str = "The model server can't be reached; please try again in a minute.";

/// What the stub does, and what is told of it.
const BAD: [(&str, &str); 37] = [
    ("empty", UNUSABLE),
    ("filter", UNUSABLE),
    ("hugeline", FAILED),
    ("status 301", FAILED),
    ("status 204", FAILED),
    ("status 400", REJECTED),
    ("status 401", BARRED),
    ("status 402", BARRED),
    ("status 403", BARRED),
    ("status 404", BARRED),
    ("status 408", FAILED),
    ("status 413", REJECTED),
    ("status 422", REJECTED),
    ("status 500", FAILED),
    ("status 502", FAILED),
    ("status 503", BUSY),
    ("status 529", FAILED),
    ("html", FAILED),
    ("gzip", FAILED),
    ("redirect http://127.0.0.1:9/v1", FAILED),
    ("headers", BROKE_OFF),
    ("error200", FAILED),
    ("errormid", FAILED),
    ("badjson", FAILED),
    ("badutf8", FAILED),
    ("reset", BROKE_OFF),
    ("resetmid", BROKE_OFF),
    ("eofmid", BROKE_OFF),
    ("eofclean", BROKE_OFF),
    ("badchunk", BROKE_OFF),
    ("switch", FAILED),
    ("stall", SLOW),
    ("stallhead", SLOW),
    ("stallmid", SLOW),
    ("keepalive 1000 50", SLOW),
    ("drip 200", SLOW),
    ("tokens 1000 20", SLOW),
];

/// Short waits, for what is too slow.
const IMPATIENT: [&str; 3] = [
    "reply.openai.first_token_timeout_ms=3000",
    "reply.openai.token_timeout_ms=3000",
    "reply.openai.total_timeout_ms=6000",
];

/// How many cases are looked at at once.
const LANES: usize = 6;
/// What no answer may show: addresses, the key, the model, words of the stub.
const HIDDEN: [&str; 11] = [
    "127.0.0.1",
    "localhost",
    "canary",
    "http",
    "llama",
    "the stub",
    "Welcome",
    "invalid_",
    "_error",
    "rate_limit",
    "w1 w2",
];

/// A turn that failed.
struct Failed {
    session: String,
    content: String,
    seq: u64,
    message: Value,
    detail: String,
}

impl Failed {
    fn status(&self) -> u16 {
        if [SLOW, DISTANT].contains(&self.detail.as_str()) { 504 } else { 502 }
    }

    /// Wants this answer to tell of the failure.
    fn is_told(&self, answer: Response) {
        let problem = answer.expect(self.status()).json();
        let (slug, title) = match self.status() {
            504 => ("reply-too-slow", "The reply took too long"),
            _ => ("reply-failed", "No reply could be made"),
        };
        let wanted = json!({
            "type": format!("urn:bondhu:problem:{slug}"), "title": title, "status": self.status(),
            "detail": self.detail, "request_id": problem["request_id"],
            "session_id": self.session, "message_id": self.message,
        });
        assert_eq!(problem, wanted, "{}", self.content);
        is_discreet(&problem);
    }

    /// Wants page and history to show it.
    fn is_shown(&self, client: &mut Client) {
        let log = client.log(&self.session);
        let message = log.iter().find(|message| message["seq"] == self.seq).unwrap();
        let shown = json!([message["content"], message["status"], message["id"]]);
        assert_eq!(shown, json!([self.content, "failed", self.message]));
        assert!(log.iter().all(|message| message["reply_to"] != self.seq), "{log:?}");
        let turns = client.turns(&self.session);
        let turn = turns.iter().find(|turn| turn["message"] == self.content).unwrap();
        assert_eq!([&turn["response"], &turn["status"], &turn["id"]], [&json!(""), &json!("failed"), &self.message]);
    }

    /// Wants a retry to answer it.
    fn is_mended(&self, client: &mut Client) {
        let answer = client.retry(&self.session, self.seq).expect(201).json();
        self.is_answered(client, &answer);
    }

    fn is_answered(&self, client: &mut Client, answer: &Value) {
        assert_eq!([&answer["message"]["id"], &answer["message"]["status"]], [&self.message, &json!("answered")]);
        assert_eq!(answer["reply"]["content"], format!("echo: {}", self.content));
        assert_eq!([&answer["reply"]["reply_to"], &answer["reply"]["status"]], [&json!(self.seq), &json!("complete")]);
        let log = client.log(&self.session);
        assert!(log.contains(&answer["message"]) && log.contains(&answer["reply"]), "{log:?}");
    }
}

/// Wants nothing of the model server in what a user is shown.
fn is_discreet(shown: &Value) {
    let text = shown.to_string();
    for hidden in HIDDEN {
        assert!(!text.contains(hidden), "{hidden} is shown: {text}");
    }
}

/// Says something that fails, and once more with the same key.
fn fail(client: &mut Client, session: &str, content: &str, detail: &str) -> Failed {
    let answer = client.try_say_once(session, content, content);
    let problem = serde_json::from_slice::<Value>(&answer.body).unwrap();
    let log = client.log(session);
    let seq = log.last().unwrap()["seq"].as_u64().unwrap();
    let message = problem["message_id"].clone();
    let failed =
        Failed { session: session.to_owned(), content: content.to_owned(), seq, message, detail: detail.to_owned() };
    failed.is_told(answer);
    failed.is_told(client.try_say_once(session, content, content));
    failed.is_shown(client);
    failed
}

/// Follows something that fails, and once more with the same key.
fn fail_in_a_stream(client: &mut Client, session: &str, content: &str, detail: &str) -> Failed {
    let key = [("idempotency-key", content)];
    let events = client.say_and_follow(session, content, &key).rest();
    let message = &events[0].data;
    let seq = message["seq"].as_u64().unwrap();
    assert_eq!([&message["content"], &message["status"]], [&json!(content), &json!("pending")]);
    let ended = json!({"reply_to": seq, "status": "failed", "detail": detail});
    let (last, between) = events[1..].split_last().unwrap();
    assert_eq!((last.name.as_str(), &last.data), ("failed", &ended));
    assert!(between.iter().all(|event| event.name == "delta"), "{events:?}");
    is_discreet(&last.data);
    let again = client.say_and_follow(session, content, &key).rest();
    assert_eq!(
        [&again[0].data["id"], &again[0].data["status"], &again[1].data],
        [&message["id"], &json!("failed"), &ended]
    );
    assert_eq!(again.len(), 2);
    let (session, content, detail) = (session.to_owned(), content.to_owned(), detail.to_owned());
    let failed = Failed { session, content, seq, message: message["id"].clone(), detail };
    failed.is_shown(client);
    failed
}

/// Says that it is over when it is dropped, and so also where the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Fails twice, once for the answer and once in a stream, and is mended then. Somebody else is answered meanwhile.
fn fails_and_is_mended(bad: &str, detail: &str) {
    let stub = Stub::start();
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), "sk-canary").unwrap();
    let key = format!("reply.openai.api_key_file={}", key.path().display());
    let waits: &[&str] = if detail == SLOW { &IMPATIENT } else { &[] };
    let server = asking(&stub, &[&[key.as_str()], waits].concat());
    let (mut client, _) = server.user("amina");
    let (mut other, _) = server.user("bela");
    let session = client.session();
    client.say(&session, "[[say]] before");
    stub.behave(bad);
    let is_over = AtomicBool::new(false);
    let failed = std::thread::scope(|scope| {
        scope.spawn(|| {
            let session = other.session();
            for n in 0.. {
                let answer = other.say(&session, &format!("[[tokens 5 10]] word {n}"));
                assert!(answer["reply"]["content"].as_str().unwrap().starts_with(&format!("word {n}")));
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let _over = Over(&is_over);
        let plain = fail(&mut client, &session, "first", detail);
        let streamed = fail_in_a_stream(&mut client, &session, "second", detail);
        [plain, streamed]
    });
    // A retry that fails is a failure again, and changes nothing else.
    failed[0].is_told(client.retry(&session, failed[0].seq));
    failed[0].is_shown(&mut client);
    stub.behave("say");
    for failed in &failed {
        failed.is_mended(&mut client);
    }
    // The repeat tells what became of it.
    let repeat = client.try_say_once(&session, "first", "first").expect(200).json();
    failed[0].is_answered(&mut client, &repeat);
    let statuses = client.page(&session, "");
    let statuses = each(&statuses["messages"], "status");
    assert_eq!(statuses, ["answered", "complete", "answered", "answered", "complete", "complete"]);
    server.is_idle();
    stub.wait_until(|stub| stub.replying() == 0);
}

#[test]
fn p5_every_failure_is_told_recorded_and_mended() {
    at_once(LANES, |lane| {
        for (bad, detail) in BAD.iter().skip(lane).step_by(LANES) {
            let looked = std::panic::catch_unwind(|| fails_and_is_mended(bad, detail));
            assert!(looked.is_ok(), "{bad}");
        }
    });
}

#[test]
fn p5_a_failure_that_another_try_mends_is_no_failure() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut client, _) = server.user("amina");
    let session = client.session();
    let mended = ["empty", "hugeline", "status 500", "status 503", "html", "headers", "error200", "badutf8", "reset"];
    for bad in mended {
        let said = client.say(&session, &format!("[[once {bad}]] at last"));
        assert_eq!(said["reply"]["content"], "at last", "{bad}");
    }
    assert_eq!(stub.seen().len(), 2 * mended.len());
    // Text that was shown is not said again by another try.
    for bad in ["errormid", "badjson", "resetmid", "eofmid", "eofclean", "badchunk"] {
        let content = format!("[[once {bad}]] at last");
        let seq = client.log(&session).len() as u64 + 1;
        client.try_say(&session, &content).expect(502);
        let said = client.retry(&session, seq).expect(201).json();
        assert_eq!(said["reply"]["content"], "at last", "{bad}");
    }
    assert_eq!(stub.seen().len(), 2 * mended.len() + 12);
    server.is_idle();
}

/// Fails where nobody answers at `address`, and is mended once a server is there.
fn fails_until_there_is_a_server(server: &Server, address: SocketAddr, detail: &str, leave: impl FnOnce()) {
    let (mut client, _) = server.user("amina");
    let session = client.session();
    let failed =
        [fail(&mut client, &session, "first", detail), fail_in_a_stream(&mut client, &session, "second", detail)];
    leave();
    let stub = Stub::start_at(address);
    let answer = until("the server is asked again", || {
        Some(client.retry(&session, failed[0].seq)).filter(|answer| answer.status == 201)
    });
    failed[0].is_answered(&mut client, &answer.json());
    failed[1].is_mended(&mut client);
    server.is_idle();
    stub.wait_until(|stub| stub.replying() == 0);
}

#[test]
fn p5_a_server_that_is_not_there_is_a_failure_until_it_is() {
    let stub = Stub::start();
    let address = stub.address();
    drop(stub);
    let server = asking_at(&format!("http://{address}/v1"), &[]);
    fails_until_there_is_a_server(&server, address, UNREACHABLE, || ());
}

#[test]
fn p5_a_server_that_takes_nothing_is_a_failure_until_it_does() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap(); // The system accepts for it, and that is all.
    let address = listener.local_addr().unwrap();
    let server = asking_at(&format!("http://{address}/v1"), &IMPATIENT);
    fails_until_there_is_a_server(&server, address, SLOW, || drop(listener));
}

#[test]
fn p5_a_server_that_lets_nobody_connect_is_a_failure_until_it_does() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        socket.listen(0).unwrap()
    });
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(one) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        waiting.push(one); // Until no more may wait.
    }
    let server = asking_at(&format!("http://{address}/v1"), &["reply.openai.connect_timeout_ms=400"]);
    fails_until_there_is_a_server(&server, address, DISTANT, || drop((listener, waiting)));
}

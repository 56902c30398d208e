//! A reply that is cut off by kill -9, at every token: the next start answers it, or says that it does not; whoever was
//! reading comes to the log's text, and whoever repeats the send comes to the same message and outcome.

use serde_json::{Value, json};

use crate::support::{
    Client, Random, Server, at_once,
    data::check_passes,
    list,
    stub::Stub,
    tab::{Tab, number},
};

const TOKENS: usize = 50;
/// Kills around the moment when a reply is stored.
const STORINGS: usize = 24;
/// Tries of a turn: the first, and those of the next starts.
const ATTEMPTS: usize = 3;

/// A user on a server that is killed again and again, with a tab that is always there.
struct Story<'s> {
    server: Option<Server>,
    settings: [String; 2],
    stub: &'s Stub,
    client: Client,
    session: String,
    tab: Tab,
}

/// A message whose reply is being made.
struct Running {
    content: String,
    key: String,
    gate: String,
    seq: u64,
}

impl<'s> Story<'s> {
    fn begin(stub: &'s Stub) -> Self {
        let settings = ["reply.backend=openai".to_owned(), format!("reply.openai.base_url={}", stub.base_url())];
        let server = Server::start(&settings.each_ref().map(String::as_str));
        let (mut client, _) = server.user("amina");
        let session = client.session();
        let tab = Tab::of_session(&session);
        let mut story = Self { server: Some(server), settings, stub, client, session, tab };
        story.tab.open(&mut story.client).unwrap();
        story
    }

    /// Says something whose reply comes word by word, and waits until the tab has so many words of it. Whoever sent it
    /// is gone before that.
    fn say(&mut self, name: &str, words: usize) -> Running {
        let (gate, key) = (format!("gate-{name}"), format!("key-{name}"));
        let content = format!("[[gate {gate}]] {}", text(name));
        let mut turn = self.client.try_say_and_follow(&self.session, &content, &key).unwrap();
        assert_eq!(turn.head.status, 200);
        let seq = number(&turn.find("message").data, "seq");
        assert!(self.tab.hear_until(|tab| tab.known(&self.session).log.len() as u64 == seq));
        for said in 1..=words {
            self.stub.step(&gate);
            assert!(self.tab.hear_until(|tab| words_of(tab, &self.session, seq) == said));
        }
        Running { content, key, gate, seq }
    }

    fn kill(&mut self) {
        let server = self.server.as_mut().unwrap();
        server.kill();
        check_passes(&server.data);
        while self.tab.hear().is_some() {}
    }

    fn restart(&mut self) {
        self.restart_behind(&[]);
    }

    /// Starts again, behind a wrapper.
    fn restart_behind(&mut self, wrapper: &[&str]) {
        let before = self.server.take().unwrap();
        let settings = self.settings.each_ref().map(String::as_str);
        let server = Server::try_start(before.dir(), before.data.clone(), &settings, wrapper);
        let server = server.unwrap_or_else(|log| panic!("no start:\n{}", log.join("\n")));
        self.client = self.client.another_tab(&server);
        self.server = Some(server);
    }

    /// The tab comes back, and hears until the turn has an outcome; gives the attempts of the deltas that it has heard.
    fn come_back(&mut self, seq: u64) -> Vec<u64> {
        self.tab.open(&mut self.client).unwrap();
        let mut attempts = Vec::new();
        while self.tab.known(&self.session).status(seq) == "pending" {
            let event = self.tab.hear().expect("the stream goes on until there is an outcome");
            attempts.extend((event.name == "delta").then(|| number(&event.data, "attempt")));
        }
        // A status that the state told may stand before the replay.
        let is_whole = |tab: &Tab| {
            let known = tab.known(&self.session);
            known.status(seq) != "answered" || known.log.iter().any(|message| message["reply_to"] == seq)
        };
        assert!(self.tab.hear_until(is_whole));
        attempts
    }

    /// The tab has exactly the log, and a repeat of the send gives what stands there.
    fn holds(&mut self, running: &Running) -> Value {
        let page = self.client.page(&self.session, "?limit=200");
        assert_eq!(self.tab.known(&self.session).log, *list(&page["messages"]));
        let log = &self.tab.known(&self.session).log;
        let replies: Vec<_> = log.iter().filter(|message| message["reply_to"] == running.seq).collect();
        assert_eq!(replies.len(), 1, "{replies:?}");
        let path = format!("/api/v1/sessions/{}/messages", self.session);
        let key = [("idempotency-key", running.key.as_str())];
        let repeated = self.client.json("POST", &path, &key, &json!({"content": running.content})).expect(200).json();
        let message = log.iter().find(|message| message["seq"] == running.seq).unwrap();
        assert_eq!((&repeated["message"], &repeated["reply"]), (message, replies[0]));
        let mut turn = self.client.try_say_and_follow(&self.session, &running.content, &running.key).unwrap();
        assert_eq!(turn.find("message").data, *message);
        assert_eq!(
            (&turn.find("message").data, turn.find("done").data["seq"].as_u64()),
            (replies[0], replies[0]["seq"].as_u64())
        );
        replies[0].clone()
    }

    /// How often the stub was asked for a reply to this.
    fn asked(&self, content: &str) -> usize {
        let is_this = |body: &Value| list(&body["messages"]).last().is_some_and(|last| last["content"] == content);
        self.stub.seen().iter().filter(|seen| is_this(&seen.body)).count()
    }
}

/// How many words are told of a reply that is being made.
fn words_of(tab: &Tab, session: &str, seq: u64) -> usize {
    tab.known(session).drafts.of(seq).1.split_whitespace().count()
}

/// Words that stand in no other reply.
fn text(name: &str) -> String {
    (1..=TOKENS).map(|n| format!("{name}·{n}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn p5_a_kill_at_any_token_of_a_reply_leaves_one_outcome_that_every_tab_and_every_repeat_sees() {
    let stub = Stub::start();
    at_once(2, |half| {
        let mut story = Story::begin(&stub);
        for words in (half..TOKENS).step_by(2) {
            let name = format!("token{words}");
            let running = story.say(&name, words);
            story.kill();
            stub.release(&running.gate);
            story.restart();
            let attempts = story.come_back(running.seq);
            assert!(attempts.iter().all(|&attempt| attempt == 2), "{attempts:?}");
            let reply = story.holds(&running);
            assert_eq!(reply["content"], text(&name));
            assert!((1..=2).contains(&story.asked(&running.content)));
        }
        assert_eq!(story.tab.known(&story.session).log.len(), TOKENS);
    });
}

#[test]
fn p5_a_kill_around_the_storing_of_a_reply_leaves_one_of_it() {
    let stub = Stub::start();
    let mut random = Random::seeded("storing");
    let seeds = [random.fork(), random.fork()];
    let again = at_once(2, |half| {
        let (mut story, mut random) = (Story::begin(&stub), seeds[half].clone());
        let mut again = 0;
        for n in (half..STORINGS).step_by(2) {
            let name = format!("storing{n}");
            let running = story.say(&name, TOKENS - 1);
            stub.release(&running.gate);
            let most = 1 << random.below(14);
            for _ in 0..random.below(most) {
                std::thread::yield_now(); // The kill comes at another moment each time.
            }
            story.kill();
            story.restart();
            story.come_back(running.seq);
            assert_eq!(story.holds(&running)["content"], text(&name));
            again += story.asked(&running.content) - 1;
        }
        again
    });
    eprintln!("storing: {} of {STORINGS} replies were made again", again.iter().sum::<usize>());
}

#[test]
fn p5_a_reply_that_brings_the_server_down_is_tried_three_times_and_can_be_retried() {
    let stub = Stub::start();
    let mut story = Story::begin(&stub);
    let running = story.say("deadly", 1);
    let Running { seq, gate, .. } = &running;
    for attempt in 2..=ATTEMPTS {
        story.kill();
        stub.wait_until(|stub| stub.replying() == 0); // Nobody else waits at the gate.
        story.restart();
        story.tab.open(&mut story.client).unwrap();
        assert_eq!(story.tab.known(&story.session).status(*seq), "pending");
        for said in 1..=attempt {
            stub.step(gate);
            assert!(story.tab.hear_until(|tab| words_of(tab, &story.session, *seq) == said));
        }
        assert_eq!(story.tab.known(&story.session).drafts.of(*seq).0, attempt as u64);
    }
    story.kill();
    // Its syncs take so long that the tab is there before the turn has ended.
    story.restart_behind(&[
        "strace",
        "-D",
        "-f",
        "-qq",
        "-e",
        "inject=fdatasync:delay_enter=300000",
        "-o",
        "/dev/null",
    ]);
    story.tab.open(&mut story.client).unwrap();
    assert_eq!(story.tab.known(&story.session).status(*seq), "pending");
    let event = story.tab.hear().unwrap();
    assert_eq!((event.name.as_str(), event.data), ("failed", json!({"reply_to": seq, "status": "interrupted"})));
    story.server.as_mut().unwrap().stop();

    stub.release(gate);
    story.restart();
    assert_eq!(story.come_back(*seq), [0; 0], "it is not tried once more");
    assert_eq!(
        (story.tab.known(&story.session).status(*seq), story.asked(&running.content)),
        ("interrupted", ATTEMPTS)
    );
    assert_eq!(story.client.page(&story.session, "")["messages"][0]["status"], "interrupted");
    let path = format!("/api/v1/sessions/{}/messages", story.session);
    let key = [("idempotency-key", running.key.as_str())];
    let repeated = story.client.json("POST", &path, &key, &json!({"content": running.content})).expect(502).json();
    assert_eq!(repeated["message_id"], story.tab.known(&story.session).log[0]["id"]);
    let mut turn = story.client.try_say_and_follow(&story.session, &running.content, &running.key).unwrap();
    assert_eq!(turn.find("failed").data["status"], "interrupted");

    let answer = story.client.post(&format!("{path}/{seq}/retry"), &json!({})).expect(201).json();
    assert_eq!((&answer["reply"]["content"], story.asked(&running.content)), (&json!(text("deadly")), ATTEMPTS + 1));
    assert!(story.tab.hear_until(|tab| tab.known(&story.session).status(*seq) == "answered"));
    story.holds(&running);
}

//! Tokens on their way from the model server to clients.
//!
//! The stub sends token `k` of a reply at a fixed time after it saw the request, and each token says its number: so it is
//! known when each was to leave.

use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{sleep, sleep_until},
};

use crate::{
    load::{
        client::{self, Connection, User, request},
        server::Server,
    },
    measure::{
        figures::{Spread, float, ms, quantile},
        row::{Goal, Row},
    },
    relay,
    stub::Stub,
};

const REPLIES: usize = 500;
const TOKENS: u32 = 200;
const GAP: Duration = Duration::from_millis(50);
/// The replies begin one after the other within this time, so that their tokens are not due all at once.
const SPREAD: Duration = Duration::from_secs(2);
/// What counts begins and ends, since the first reply was asked for, while all replies are being made.
const FROM: Duration = Duration::from_secs(3);
const TO: Duration = Duration::from_secs(9);
const TABS: usize = 100;
const STUB_ALONE: &str = "500 replies from the stub alone";

/// One token as a client got it.
#[derive(Debug, Clone, Copy)]
struct Token {
    /// The place of its message among all messages.
    reply: usize,
    /// From 1.
    number: u32,
    at: Instant,
}

/// What one run came to.
struct Run {
    begin: Instant,
    tokens: Vec<Token>,
    /// CPU time of bondhu while it counted.
    cpu: Duration,
    /// Memory of bondhu, KiB.
    resident: u32,
}

/// Finds tokens in the lines of a stream.
#[derive(Default)]
struct Reader {
    event: String,
    ended: bool,
}

pub(crate) async fn replies(stub: &Stub) {
    let server = start(stub);
    let users = client::users(server.address, REPLIES, 1).await;
    let alone = (0..REPLIES).map(direct).collect();
    ask(&server, stub.address(), alone).await.print(STUB_ALONE, stub, false);
    let relay = relay::start(stub.address());
    let relayed = (0..REPLIES).map(direct).collect();
    ask(&relay, relay.address, relayed).await.print("500 replies through a bare relay", stub, false);
    drop(relay);
    let said = (0..REPLIES).map(|n| users[n].say(0, &message(n), true)).collect();
    ask(&server, server.address, said).await.print("500 replies of 500 users", stub, true);
    let (server, each) = (start(stub), 10);
    let users = client::users(server.address, REPLIES / each, each).await;
    let said = (0..REPLIES).map(|n| users[n / each].say(n % each, &message(n), true)).collect();
    ask(&server, server.address, said).await.print("500 replies of 50 users", stub, false);
}

pub(crate) async fn tabs(stub: &Stub) {
    let server = start(stub);
    let users = client::users(server.address, 1, 1).await;
    let user: &User = &users[0];
    let tabs = vec![request("GET", "/api/v1/events", &user.token, None); TABS];
    let says = async {
        sleep(Duration::from_secs(1)).await; // All tabs listen.
        let mut connection = Connection::open(server.address).await.expect("a connection");
        let answer = connection.exchange(&user.say(0, &message(0), false)).await.expect("an answer");
        assert_eq!(answer.status, 201, "{}", answer.json());
    };
    let (mut run, ()) = tokio::join!(ask(&server, server.address, tabs), says);
    run.tokens.iter_mut().for_each(|token| token.reply = 0);
    run.print("one reply for 100 tabs", stub, false);
}

fn start(stub: &Stub) -> Server {
    Server::start(&stub.base_url(), &["concurrency.min=500", "concurrency.max=1000"])
}

fn message(n: usize) -> String {
    format!("[[tokens {TOKENS} {}]] r{n}", GAP.as_millis())
}

/// A request for the stub itself.
fn direct(n: usize) -> Vec<u8> {
    let body = json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": message(n)}]});
    request("POST", "/v1/chat/completions", "", Some(&body))
}

/// Sends each request on a connection of its own, and reads the streams that are the answers.
async fn ask(server: &Server, address: SocketAddr, requests: Vec<Vec<u8>>) -> Run {
    let between = SPREAD.div_f64(float(requests.len()));
    let mut connections = Vec::with_capacity(requests.len());
    for _ in &requests {
        connections.push(Connection::open(address).await.expect("a connection"));
    }
    let begin = Instant::now();
    let mut reading = JoinSet::new();
    let mut due = begin;
    for (reply, (connection, request)) in connections.into_iter().zip(requests).enumerate() {
        reading.spawn(async move {
            sleep_until(due.into()).await;
            read(connection, &request, reply).await
        });
        due += between;
    }
    sleep_until((begin + FROM).into()).await;
    let cpu = server.cpu_time();
    sleep_until((begin + TO).into()).await;
    let (cpu, resident) = (server.cpu_time().saturating_sub(cpu), server.resident());
    let tokens = reading.join_all().await.concat();
    Run { begin, tokens, cpu, resident }
}

async fn read(mut connection: Connection, request: &[u8], reply: usize) -> Vec<Token> {
    connection.send(request).await.expect("the server reads");
    let mut reader = Reader::default();
    let mut tokens = Vec::with_capacity(usize::try_from(TOKENS).unwrap_or(0));
    while !reader.ended {
        let lines = connection.lines().await.expect("the server streams");
        assert!(!lines.is_empty(), "the stream ended within a reply");
        let at = Instant::now();
        for line in lines {
            reader.line(&line, |number| tokens.push(Token { reply, number, at }));
        }
    }
    tokens
}

impl Reader {
    /// The text of the stored message has all tokens once more; those are no news.
    fn line(&mut self, line: &str, mut token: impl FnMut(u32)) {
        if let Some(event) = line.strip_prefix("event: ") {
            event.clone_into(&mut self.event);
        } else if let Some(data) = line.strip_prefix("data: ") {
            if matches!(self.event.as_str(), "" | "delta") {
                let ends = |rest: &str| rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                data.split(" w").skip(1).filter_map(|rest| rest[..ends(rest)].parse().ok()).for_each(&mut token);
            }
            assert!(self.event != "failed", "{data}");
            self.ended |= self.event == "done" || data == "[DONE]";
        }
    }
}

impl Run {
    fn print(&self, what: &str, stub: &Stub, budgeted: bool) {
        let seen: HashMap<String, Instant> = stub
            .seen()
            .iter()
            .filter_map(|seen| {
                Some((seen.body["messages"].as_array()?.last()?["content"].as_str()?.to_owned(), seen.at))
            })
            .collect(); // The last run's, where a message came in more than one.
        let due = |token: &Token| seen[&message(token.reply)] + GAP * (token.number - 1);
        let window = self.begin + FROM..self.begin + TO;
        let counted = self.tokens.iter().filter(|token| window.contains(&token.at));
        let mut late: Vec<Duration> = counted.map(|token| token.at.saturating_duration_since(due(token))).collect();
        let seconds = TO.saturating_sub(FROM).as_secs_f64();
        let cpu = self.cpu.as_secs_f64() * 1e6 / float(late.len());
        let name = |figure: &str| format!("{what}, a token each {} ms: {figure}", GAP.as_millis());
        let row = |figure: &str, goal: Goal, value: f64, unit: &'static str| {
            Row::value(&name(figure), goal, Spread::of([value]), unit).print();
        };
        let goal = |most: f64| if budgeted { Goal::AtMost(most) } else { Goal::Shown };
        row("tokens", Goal::Shown, float(late.len()) / seconds, "a second");
        row("latency p50", Goal::Shown, ms(quantile(&mut late, 0.5)), "ms");
        row("latency p99", goal(20.0), ms(quantile(&mut late, 0.99)), "ms");
        // The stub is no process of its own.
        if what != STUB_ALONE {
            row("CPU", goal(25.0), cpu, "us a token");
            row("memory", Goal::Shown, f64::from(self.resident) / 1024.0, "MiB");
        }
    }
}

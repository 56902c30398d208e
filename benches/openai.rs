//! A streamed completion through `/v1`, beside the same asked of the model's server directly.
//!
//! Budget: the first token comes at most 2 ms later (p50), and with nothing to store not one byte is written. The CPU time
//! for each token is shown. The model's server is a stub on threads of its own; both ways are measured in turns.
//!
//! `cargo bench --bench openai -- [completions per round] [rounds]`

#[expect(dead_code, reason = "other benches ask it for more")]
mod load;
#[expect(dead_code, reason = "other benches measure more")]
mod measure;
#[path = "../tests/it/support/stub.rs"]
#[expect(dead_code, reason = "the tests ask it for more")]
mod stub;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    load::server::Server,
    measure::{
        figures::{Rounds, Spread, float, ms, quantile, us},
        row::{Goal, Row, spread},
    },
    stub::Stub,
};

const PASSWORD: &str = "river-stone-lamp-42";
/// What each completion says, and how fast: as a fast model does.
const SAID: &str = "[[tokens 20 2]] one two three four five six seven eight nine ten";
/// Completions at once, tokens in each, and ms between two of them, where the cost of a token is measured.
const AT_ONCE: usize = 50;
const TOKENS: usize = 500;
const GAP_MS: usize = 10;

/// Who is asked, and with which key.
struct Way {
    address: SocketAddr,
    token: String,
}

fn main() {
    let mut words = std::env::args().skip(1).filter_map(|word| word.parse().ok());
    let (count, rounds) = (words.next().unwrap_or(200), words.next().unwrap_or(5));
    let stub = Stub::start();
    let server = Server::start(&stub.base_url(), &[]);
    let ours = Way { address: server.address, token: login(server.address) };
    let direct = Way { address: stub.address(), token: "none".to_owned() };
    ours.complete(SAID); // Connections, pages and caches are warm.
    let written = written(server.address);
    let times = Rounds::run(rounds, || direct.first_tokens(count), || ours.first_tokens(count));
    let shown = |spread_of: Spread| format!("{} ms", spread(spread_of));
    let (limit, way) = (shown(times.limit(|time| ms(*time))), shown(times.ours(|time| ms(*time))));
    let added = times.compare(|limit, ours| ms(*ours) - ms(*limit));
    let row = Row::value("first token of a completion, added (p50)", Goal::AtMost(2.0), added, "ms");
    row.beside(&format!("{limit}, by us {way}")).print();
    let cost = (0..rounds).map(|_| token_cost(&server, &ours));
    Row::value("CPU for a token of a completion", Goal::Shown, Spread::of(cost), "us").print();
    let more = self::written(server.address) - written;
    let spread = Spread { median: more, least: more, most: more };
    Row::value("bytes written for completions that are not stored", Goal::AtMost(0.0), spread, "bytes").print();
}

/// CPU time of the server for a token, while many completions run.
fn token_cost(server: &Server, way: &Way) -> f64 {
    let said = format!("[[tokens {TOKENS} {GAP_MS}]] word");
    let before = server.cpu_time();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| way.complete(&said));
        }
    });
    us(server.cpu_time().saturating_sub(before)) / float(AT_ONCE * TOKENS)
}

impl Way {
    /// The median wait for the first token, of completions one after the other.
    fn first_tokens(&self, count: usize) -> Duration {
        let mut times: Vec<_> = (0..count).map(|_| self.complete(SAID)).collect();
        quantile(&mut times, 0.5)
    }

    /// Asks for a completion over a connection of its own, and reads all of it; gives the wait for its first token.
    fn complete(&self, said: &str) -> Duration {
        let body = json!({"model": "any", "stream": true, "messages": [{"role": "user", "content": said}]}).to_string();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.address,
            self.token,
            body.len()
        );
        let mut connection = TcpStream::connect(self.address).expect("somebody listens");
        connection.set_nodelay(true).expect("it is open");
        let begun = Instant::now();
        connection.write_all(&[head.as_bytes(), body.as_bytes()].concat()).expect("it is taken");
        let (mut first, mut line, mut lines) = (None, String::new(), BufReader::new(connection));
        loop {
            line.clear();
            if lines.read_line(&mut line).expect("it is read") == 0 || line.starts_with("data: [DONE]") {
                return first.expect("there is text");
            }
            if first.is_none() && line.contains("\"content\":\"") && !line.contains("\"content\":\"\"") {
                first = Some(begun.elapsed());
            }
        }
    }
}

/// A new user's token.
fn login(address: SocketAddr) -> String {
    let account = json!({"username": "bench", "password": PASSWORD});
    post(address, "/api/v1/auth/register", &account);
    post(address, "/api/v1/auth/login", &account)["token"].as_str().expect("a login has a token").to_owned()
}

fn post(address: SocketAddr, path: &str, body: &Value) -> Value {
    let body = body.to_string();
    let head = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    serde_json::from_str(&answer(address, &format!("POST {path}"), &head, &body)).expect("an answer is JSON")
}

/// Bytes that the server's journal has been written.
fn written(address: SocketAddr) -> f64 {
    let figures = answer(address, "GET /metrics", "", "");
    let line = figures.lines().find_map(|line| line.strip_prefix("bondhu_journal_written_bytes_total "));
    line.and_then(|value| value.parse().ok()).expect("it is counted")
}

fn answer(address: SocketAddr, what: &str, headers: &str, body: &str) -> String {
    let mut connection = TcpStream::connect(address).expect("somebody listens");
    let request = format!("{what} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\r\n{body}");
    connection.write_all(request.as_bytes()).expect("it is taken");
    let mut text = String::new();
    connection.read_to_string(&mut text).expect("it is read");
    text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).expect("an answer has a head")
}

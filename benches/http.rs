//! What the HTTP front costs: cached answers beside a bare hyper server that sends the same bytes; and durable turns.
//!
//! Budget: 0.85 of the bare server's requests a second for a cached history, 6 allocations and 2 system calls (read and
//! write) for each; 20 times the 510 durable turns a second of the old stack at 64 connections, 0.1 syncs a message. These
//! are the goals of the project's plan for reliability and speed (P-R1, P-W1). The rest is shown.
//!
//! Both servers run as processes of their own with one worker, on the first core where `taskset` is there; the client has
//! the others. Rounds alternate. CPU time is the server's, allocations are those of a server that counts them, system
//! calls come from `perf stat` or `strace -c`, without `epoll_wait`, which is one for many requests.
//!
//! `cargo bench --bench http -- [seconds per round] [rounds] [connections]`

#[path = "http/bare.rs"]
mod bare;
#[path = "http/closed.rs"]
mod closed;
#[expect(dead_code, reason = "other benches ask it for more")]
mod load;
#[expect(dead_code, reason = "other benches measure more")]
mod measure;
#[path = "http/turns.rs"]
mod turns;

use std::time::Duration;

use serde_json::json;

use crate::{
    closed::{Loop, Same},
    load::{
        client::{self, Connection, request},
        server::{Server, be_counted},
    },
    measure::{
        figures::{Rounds, Spread},
        row::{Goal, Row, spread},
    },
};

const TURNS: usize = 20;
/// Requests for counts.
const COUNTED: usize = 20_000;

/// What is asked for.
struct Asked {
    name: &'static str,
    same: Same,
    /// Bytes of the body.
    body: usize,
    /// Goals are for this one.
    has_goals: bool,
}

/// How it is measured.
#[derive(Clone, Copy)]
struct Plan {
    time: Duration,
    rounds: usize,
    connections: usize,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if be_counted(&words) {
        return;
    }
    if let [mode, length, address] = words.as_slice()
        && mode == bare::WORD
    {
        return bare::serve(length.parse().expect("a length"), address.parse().expect("an address"));
    }
    let number = |index: usize, default: usize| words.get(index).and_then(|word| word.parse().ok()).unwrap_or(default);
    let seconds = u64::try_from(number(0, 3)).unwrap_or(3);
    let plan = Plan { time: Duration::from_secs(seconds), rounds: number(1, 3), connections: number(2, 32) };
    for level in ["warn", "info"] {
        cached(level, plan);
    }
    turns::run(plan.time, plan.rounds);
}

/// Cached answers, at one level of the log; the details at the lower one only.
fn cached(level: &str, plan: Plan) {
    let (level_setting, details) = (format!("log.level={level}"), level == "warn");
    let settings = ["server.workers=1", &level_setting];
    let server = Server::offline(&settings, true);
    let counted = details.then(|| Server::counted(&settings));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let asked = runtime.block_on(requests(&server, details));
    let asked_counted = counted.as_ref().map(|server| runtime.block_on(requests(server, details)));
    for (n, what) in asked.iter().enumerate() {
        let bare = bare::start(what.body);
        let on_bare = Same { length: runtime.block_on(length(&bare, &what.same.request)), ..what.same.clone() };
        let ask = |server: &Server, same: &Same| {
            closed::run(server, plan.connections, plan.time, |a, n, asked| same.clone().ask(a, n, asked))
        };
        let rounds = Rounds::run(plan.rounds, || ask(&bare, &on_bare), || ask(&server, &what.same));
        speed(&format!("{}, log level {level}", what.name), what, &rounds);
        if let (Some(counted), Some(asked)) = (&counted, &asked_counted) {
            calls(what, (&bare, &on_bare), &server, plan.connections);
            allocations(what, (&bare, &on_bare), (counted, &asked[n].same), plan.connections);
        }
    }
}

fn speed(name: &str, what: &Asked, rounds: &Rounds<Loop>) {
    let (limit, ours) = (rounds.limit(|each| each.per_second), rounds.ours(|each| each.per_second));
    let goal = if what.has_goals { Goal::AtLeast(0.85) } else { Goal::Shown };
    let [limit, ours] = [limit, ours].map(|rate| format!("{} a second", spread(rate)));
    let figure = format!("{name}: requests");
    Row::ratio(&figure, goal, format!("bare hyper {limit}"), ours, rounds.ratio(|each| each.per_second)).print();
    let (limit, ours) = (rounds.limit(|each| each.cpu), rounds.ours(|each| each.cpu));
    let [limit, ours] = [limit, ours].map(|cpu| format!("{} us", spread(cpu)));
    let figure = format!("{name}: CPU a request");
    Row::ratio(&figure, Goal::Shown, format!("bare hyper {limit}"), ours, rounds.ratio(|each| each.cpu)).print();
}

fn calls(what: &Asked, (bare, on_bare): (&Server, &Same), server: &Server, connections: usize) {
    let count = |server: &Server, same: &Same| {
        closed::calls(server, connections, COUNTED, |a, n, asked| same.clone().ask(a, n, asked))
    };
    let (Some(limit), Some(ours)) = (count(bare, on_bare), count(server, &what.same)) else { return };
    // Making the connections is among them: a few hundredths.
    let goal = if what.has_goals { Goal::AtMost(2.05) } else { Goal::Shown };
    let row = Row::value(&format!("{}: system calls", what.name), goal, Spread::of([ours.calls]), "a request");
    row.beside(&format!("bare hyper {:.2}", limit.calls)).print();
}

fn allocations(what: &Asked, bare: (&Server, &Same), ours: (&Server, &Same), connections: usize) {
    let count = |server: &Server, same: &Same| {
        closed::allocations(server, connections, COUNTED, |a, n, asked| same.clone().ask(a, n, asked))
    };
    let (limit, ours) = (count(bare.0, bare.1), count(ours.0, ours.1));
    let goal = if what.has_goals { Goal::AtMost(6.0) } else { Goal::Shown };
    let row = Row::value(&format!("{}: allocations", what.name), goal, Spread::of([ours.count]), "a request");
    row.beside(&format!("bare hyper {:.2}", limit.count)).print();
    let row = Row::value(&format!("{}: allocated", what.name), Goal::Shown, Spread::of([ours.bytes]), "B a request");
    row.beside(&format!("bare hyper {:.0} B", limit.bytes)).print();
}

/// Says [`TURNS`] things in a session, and gives what is asked for then.
async fn requests(server: &Server, all: bool) -> Vec<Asked> {
    let user = &client::users(server.address, 1, 1).await[0];
    let (token, session) = (&user.token, &user.sessions[0]);
    let mut connection = Connection::open(server.address).await.expect("a connection");
    for turn in 0..TURNS {
        let message = json!({
            "message": format!("I feel tired of turn {turn}, and my work is too much today"), "session_id": session
        });
        let sent = connection.exchange(&request("POST", "/api/v1/chat/send", token, Some(&message))).await;
        assert!(sent.is_ok_and(|answer| answer.status < 300), "turn {turn}");
    }
    let page = request("GET", &format!("/api/v1/sessions/{session}/messages"), token, None);
    let old = request("GET", &format!("/api/v1/chat/history?session_id={session}"), token, None);
    let etag = connection.exchange(&page).await.expect("an answer").header("etag").expect("a tag");
    let known = String::from_utf8_lossy(&page).replacen("\r\n", &format!("\r\nif-none-match: {etag}\r\n"), 1).into();
    let health = request("GET", "/health", "", None);
    let mut asked = vec![("cached history", page, true), ("cached history of the old client", old, false)];
    if all {
        asked.extend([("cached history, 304", known, false), ("/health", health, false)]);
    }
    let mut measured = Vec::with_capacity(asked.len());
    for (name, request, has_goals) in asked {
        let answer = connection.exchange(&request).await.expect("an answer");
        let same = Same { length: answer.length, request };
        measured.push(Asked { name, same, body: answer.body_length(), has_goals });
    }
    measured
}

/// Bytes of a whole answer.
async fn length(server: &Server, request: &[u8]) -> usize {
    let mut connection = Connection::open(server.address).await.expect("a connection");
    connection.exchange(request).await.expect("an answer").length
}

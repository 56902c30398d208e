//! What grows with the data: time to start, memory, the first page of a session, bytes on disk, time to rebuild.
//!
//! Budget at 1,000,000 messages of 10,000 users: ready within 2 s after a clean stop, under 300 MB of memory; a page
//! costs the same at every size. Each step runs in a process of its own, so that memory is that of the step alone.
//!
//! And what a server takes that has no data: 30 MB of memory, as the project's plan wants it, and its start until `/health`
//! answers.
//!
//! `cargo bench --bench growth -- [idle] [messages ...]`, by default idle, 100,000 and 1,000,000; 100 messages of 300 bytes
//! a user. `BENCH_DIR` names the disk, the working directory's else.

#[expect(dead_code, reason = "other benches ask it for more")]
mod load;
#[expect(dead_code, reason = "other benches measure more")]
mod measure;
#[path = "load/talk.rs"]
#[expect(dead_code, reason = "other benches say more")]
mod talk;

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use bondhu::{
    config::CacheConfig,
    id::{SessionId, UserId},
    store::{PageRange, Store},
};
use tokio::runtime::Runtime;

use crate::{
    load::{
        client::{Connection, request},
        server::Server,
    },
    measure::{
        figures::{Spread, float, ms, quantile, us},
        process::{self, pause},
        row::{Goal, Row, number},
    },
};

const MESSAGES_PER_USER: u64 = 100;
const TEXT: usize = 300;
/// Users who write at the same time while the directory is filled.
const WRITERS: u64 = 256;
/// Sessions whose first page is asked for.
const PAGES: usize = 2_000;
/// Messages, and searches, of which each is timed.
const SOME: usize = 300;
/// Servers that are started without data, and how long each is left alone.
const IDLE: usize = 3;
const QUIET: Duration = Duration::from_secs(2);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.as_slice() {
        [step, dir, messages] if step == "fill" => fill(Path::new(dir), messages.parse().expect("a number")),
        [step, dir] if step == "start" => start(Path::new(dir)),
        sizes => {
            let all = sizes.is_empty();
            if all || sizes.iter().any(|word| word == "idle") {
                idle();
            }
            let sizes: Vec<u64> = sizes.iter().filter_map(|size| size.parse().ok()).collect();
            let sizes = if all { vec![100_000, 1_000_000] } else { sizes };
            let parent = std::env::var("BENCH_DIR").unwrap_or_else(|_| ".".to_owned());
            for messages in sizes {
                table(Path::new(&parent), messages);
            }
        }
    }
}

/// A server without data: how soon it answers, and what it takes then.
fn idle() {
    let runtime = Runtime::new().expect("a runtime");
    let (mut starts, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..IDLE {
        let began = Instant::now();
        let server = Server::offline(&[], false);
        runtime.block_on(async {
            let mut connection = Connection::open(server.address).await.expect("a connection");
            let answer = connection.exchange(&request("GET", "/health", "", None)).await;
            assert!(answer.is_ok_and(|answer| answer.status == 200), "it is healthy");
        });
        starts.push(ms(began.elapsed()));
        pause(QUIET);
        memory.push(f64::from(server.resident()) / 1024.0);
    }
    Row::value("idle: resident memory", Goal::AtMost(30.0), Spread::of(memory), "MiB").print();
    Row::value("idle: start until /health answers", Goal::Shown, Spread::of(starts), "ms").print();
}

fn table(parent: &Path, messages: u64) {
    let dir = tempfile::tempdir_in(parent).expect("a directory");
    let root = dir.path().display().to_string();
    let data = format!("{root}/data");
    let (count, total) = (messages.to_string(), float(usize::try_from(messages).expect("a number")));
    let name = |what: &str| format!("{} messages: {what}", number(total));
    let [seconds] = step(&["fill", &root, &count]);
    let row = |what: &str, goal: Goal, value: f64, unit| {
        Row::value(&name(what), goal, Spread::of([value]), unit).print();
    };
    row("filled", Goal::Shown, total / seconds, "a second");
    for part in ["journal", "index"] {
        let du = Command::new("du").args(["-sb", &format!("{data}/{part}")]).output().expect("du");
        let text = String::from_utf8_lossy(&du.stdout).into_owned();
        let bytes: f64 = text.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number");
        row(&format!("{part} on disk"), Goal::Shown, bytes / total, "B a message");
    }
    // The goals are for a million.
    let goal = |most: f64| if messages == 1_000_000 { Goal::AtMost(most) } else { Goal::Shown };
    let [started, memory, p50, p99, send, search, _] = step(&["start", &root]);
    row("start after a clean stop", goal(2.0), started, "s");
    row("memory then", goal(300.0), memory, "MiB");
    row("first page of a session, not cached, p50", Goal::Shown, p50, "us");
    row("first page of a session, not cached, p99", Goal::Shown, p99, "us");
    row("one message to the disk, p50", Goal::Shown, send, "us");
    row("search of a user's messages, p50", Goal::Shown, search, "us");
    std::fs::remove_dir_all(format!("{data}/index")).expect("an index");
    let [rebuilt, ..] = step::<7>(&["start", &root]);
    row("start with the index to be rebuilt", Goal::Shown, rebuilt, "s");
}

/// Runs one step in a process of its own, which says what it measured.
fn step<const N: usize>(words: &[&str]) -> [f64; N] {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    let done = command.args(words).stderr(Stdio::inherit()).output().expect("the step runs");
    assert!(done.status.success(), "{words:?}");
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let said: Vec<f64> = text.split_whitespace().map(|word| word.parse().expect("a number")).collect();
    said.try_into().expect("as many as were asked for")
}

fn open(dir: &Path) -> Arc<Store> {
    Arc::new(talk::open(dir, CacheConfig::default().capacity))
}

/// The user's only session: as a function of its number, so that a later step knows it.
fn session_of(user: u64) -> SessionId {
    let mut bytes = uuid::Uuid::from_u64_pair(0x0192_0000_0000_7000 | user << 16, 0x8000_0000_0000_0000).into_bytes();
    let mixed = user.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes();
    bytes[9..].copy_from_slice(&mixed[1..]);
    SessionId::from_bytes(bytes)
}

fn fill(dir: &Path, messages: u64) {
    let store = open(dir);
    let runtime = Runtime::new().expect("a runtime");
    let users = messages / MESSAGES_PER_USER;
    let began = Instant::now();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    for user in (writer..users).step_by(usize::try_from(WRITERS).expect("a small number")) {
                        converse(&store, user).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("a writer ends");
        }
        store.close().await;
    });
    println!("{}", began.elapsed().as_secs_f64());
}

async fn converse(store: &Store, number: u64) {
    let user = UserId::new();
    store.create_user(talk::account(user, &format!("user{number}")), None).await.expect("a user");
    let content = |n: u64| format!("{:0TEXT$}", n / 2);
    talk::say_in(store, user, session_of(number), (0..MESSAGES_PER_USER).map(content).collect()).await;
}

fn start(dir: &Path) {
    let began = Instant::now();
    let store = open(dir);
    let started = began.elapsed().as_secs_f64();
    let memory = resident();
    let runtime = Runtime::new().expect("a runtime");
    let (mut pages, mut sends, mut searches) =
        runtime.block_on(async { (pages(&store).await, sends(&store).await, searches(&store).await) });
    let [p50, p99] = [0.5, 0.99].map(|part| us(quantile(&mut pages, part)));
    let [send, search] = [&mut sends, &mut searches].map(|times| us(quantile(times, 0.5)));
    println!("{started} {memory} {p50} {p99} {send} {search} {}", resident());
    runtime.block_on(store.close());
}

/// First pages; past the last user sessions come again, from the cache by then, and are left out.
async fn pages(store: &Store) -> Vec<Duration> {
    let range = PageRange { after: None, before: None, limit: 50 };
    let mut times = Vec::with_capacity(PAGES);
    for user in 0..u64::try_from(PAGES).expect("a small number") {
        let began = Instant::now();
        if store.page(session_of(user), range).await.is_err() {
            break;
        }
        times.push(began.elapsed());
    }
    times
}

/// Messages of one sender, one after the other.
async fn sends(store: &Store) -> Vec<Duration> {
    let mut times = Vec::with_capacity(SOME);
    for n in 0..SOME {
        let session = session_of(n as u64 % 50);
        let user = store.owner(session).await.expect("it is read").expect("an owner");
        let began = Instant::now();
        talk::say_in(store, user, session, vec!["0".repeat(TEXT)]).await;
        times.push(began.elapsed());
    }
    times
}

/// Searches that find nothing.
async fn searches(store: &Store) -> Vec<Duration> {
    let mut times = Vec::with_capacity(SOME);
    for n in 0..SOME {
        let user = store.owner(session_of(n as u64 % 50)).await.expect("it is read").expect("an owner");
        let began = Instant::now();
        store.search(user, "nowhere", 20, Duration::from_secs(10)).await.expect("it is read");
        times.push(began.elapsed());
    }
    times
}

/// Memory of this process that is in RAM, MiB.
fn resident() -> f64 {
    f64::from(process::resident(std::process::id())) / 1024.0
}

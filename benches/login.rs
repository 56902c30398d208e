//! Logins: how close the queue of password hashes comes to what the cores can hash, and what a flood does to a chat.
//!
//! Budget, P-L1 of the project's plan: 0.9 of (cores / time of a single hash) logins a second, and the p99 of a user who
//! chats at most doubles meanwhile. Hashes are those of the default configuration (19 MiB, 2 passes). The hash is timed in
//! the same rounds, alone on the machine. The chat sends a message each 50 ms, timed from the moment when it is due.
//!
//! `cargo bench --bench login -- [seconds per round] [rounds]`

#[expect(dead_code, reason = "other benches ask it for more")]
mod load;
#[expect(dead_code, reason = "other benches measure more")]
mod measure;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use argon2::{Argon2, PasswordHasher};
use serde_json::json;
use tokio::{runtime::Runtime, task::JoinSet, time::sleep_until};

use crate::{
    load::{
        client::{self, Connection, PASSWORD, User, request},
        server::Server,
    },
    measure::{
        figures::{Spread, float, ms, quantile},
        row::{Goal, Row, spread},
    },
};

/// Clients that log in at once: more than threads, fewer than the queue takes.
const CLIENTS: usize = 16;
const PACE: Duration = Duration::from_millis(50);
const HASHES: usize = 7;

/// What one round came to.
struct Round {
    /// What the cores could hash in a second.
    limit: f64,
    logins: f64,
    /// Of a login, ms.
    wait: Duration,
    quiet: Duration,
    flooded: Duration,
}

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let seconds = Duration::from_secs(numbers.first().copied().unwrap_or(5));
    let rounds = numbers.get(1).copied().unwrap_or(3);
    let settings = ["auth.argon2.memory_kib=19456", "auth.argon2.iterations=2"];
    let server = Server::offline(&settings, false);
    let runtime = Runtime::new().expect("a runtime");
    let users = runtime.block_on(client::users(server.address, 1, 1));
    let user = &users[0];
    let rounds: Vec<_> = (0..rounds).map(|_| round(&runtime, server.address, user, seconds)).collect();
    let of = |what: fn(&Round) -> f64| Spread::of(rounds.iter().map(what));
    let ratio = of(|round| round.logins / round.limit);
    let limit = format!("cores / one hash: {} a second", spread(of(|round| round.limit)));
    let ours = format!("{} a second", spread(of(|round| round.logins)));
    Row::ratio("logins", Goal::AtLeast(0.9), limit, ours, ratio).print();
    let name = format!("logins: wait of {CLIENTS} at once, p50");
    Row::value(&name, Goal::Shown, of(|round| ms(round.wait)), "ms").print();
    let ratio = of(|round| ms(round.flooded) / ms(round.quiet));
    let limit = format!("p99 without: {} ms", spread(of(|round| ms(round.quiet))));
    let ours = format!("{} ms", spread(of(|round| ms(round.flooded))));
    Row::ratio("a send in a flood of logins", Goal::AtMost(2.0), limit, ours, ratio).print();
}

fn round(runtime: &Runtime, server: SocketAddr, user: &User, time: Duration) -> Round {
    let cores = float(std::thread::available_parallelism().map_or(1, usize::from));
    let limit = cores / single().as_secs_f64();
    let mut quiet = runtime.block_on(chat(server, user, time));
    let stop = Arc::new(AtomicBool::new(false));
    let mut logins = JoinSet::new();
    for n in 0..CLIENTS {
        logins.spawn_on(log_in(server, n, Arc::clone(&stop)), runtime.handle());
    }
    let began = Instant::now();
    let mut flooded = runtime.block_on(chat(server, user, time));
    let elapsed = began.elapsed();
    stop.store(true, Ordering::Relaxed);
    // Those that ended later are few, and not counted.
    let waits = runtime.block_on(logins.join_all()).concat();
    let mut waits: Vec<_> = waits.into_iter().filter(|(at, _)| *at < began + elapsed).map(|(_, wait)| wait).collect();
    Round {
        limit,
        logins: float(waits.len()) / elapsed.as_secs_f64(),
        wait: quantile(&mut waits, 0.5),
        quiet: quantile(&mut quiet, 0.99),
        flooded: quantile(&mut flooded, 0.99),
    }
}

/// The time of one hash, as the server makes them.
fn single() -> Duration {
    let params = argon2::Params::new(19_456, 2, 1, None).expect("they are good");
    let argon2 = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut times: Vec<_> = (0..HASHES)
        .map(|_| {
            let began = Instant::now();
            argon2.hash_password(PASSWORD.as_bytes()).expect("a hash");
            began.elapsed()
        })
        .collect();
    quantile(&mut times, 0.5)
}

/// Logs in again and again; when each login ended, and how long it took.
async fn log_in(server: SocketAddr, n: usize, stop: Arc<AtomicBool>) -> Vec<(Instant, Duration)> {
    let mut connection = Connection::open(server).await.expect("a connection");
    // Not the account that chats: one keeps its newest logins only. From the second round on it is there (409).
    let account = json!({"username": format!("flood{n}"), "password": PASSWORD});
    let register = request("POST", "/api/v1/auth/register", "", Some(&account));
    connection.exchange(&register).await.expect("an answer");
    let request = request("POST", "/api/v1/auth/login", "", Some(&account));
    let mut logins = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let answer = connection.exchange(&request).await.expect("an answer");
        assert!(answer.status < 300, "{} {}", answer.status, answer.json());
        logins.push((Instant::now(), began.elapsed()));
    }
    logins
}

/// Sends a message at each tick; how long each took from when it was due.
async fn chat(server: SocketAddr, user: &User, time: Duration) -> Vec<Duration> {
    let mut connection = Connection::open(server).await.expect("a connection");
    let request = user.say(0, "I feel tired, and my work is too much today", false);
    let began = Instant::now();
    let mut due = began;
    let mut times = Vec::new();
    while due < began + time {
        sleep_until(due.into()).await;
        let answer = connection.exchange(&request).await.expect("an answer");
        assert!(answer.status < 300, "{} {}", answer.status, answer.json());
        times.push(due.elapsed());
        due += PACE;
    }
    times
}

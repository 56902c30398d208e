//! Ten thousand streams on which nothing happens.

use std::{
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Semaphore, task::JoinSet, time::sleep};

use crate::{
    load::{
        client::{self, Connection, User, request},
        server::Server,
    },
    measure::{
        figures::Spread,
        row::{Goal, Row},
    },
};

const STREAMS: u16 = 10_000;
/// Opened before, so that what the first ones need for all is no part of what each costs.
const FIRST: u16 = 100;
const USERS: u16 = 50;
/// Streams from one address of ours: as many as a server takes from one, by default, are 2000.
const PER_ADDRESS: u16 = 1000;
/// Connections that are being made at the same time.
const AT_ONCE: usize = 64;
const QUIET: Duration = Duration::from_secs(10);
/// By then each has said once that it is there.
const BEAT: Duration = Duration::from_secs(20);

pub(crate) async fn run() {
    // Nothing is said, so no model server is needed.
    let server = Server::start("http://127.0.0.1:9/v1", &[]);
    let users = Arc::new(client::users(server.address, usize::from(USERS), 1).await);
    let first = open(&server, &users, FIRST).await;
    sleep(Duration::from_secs(1)).await;
    let (before, began) = (server.resident(), Instant::now());
    let streams = open(&server, &users, STREAMS).await;
    let connected = began.elapsed();
    let mut asks = Connection::open(server.address).await.expect("a connection");
    let ready = asks.exchange(&request("GET", "/ready", "", None)).await.expect("an answer").json();
    let open_now = ready["parts"]["streams"].as_u64();
    assert_eq!(open_now, Some(u64::from(FIRST + STREAMS)), "streams that the server knows of");
    sleep(Duration::from_secs(1)).await;
    let after = server.resident();
    let cpu = server.cpu_time();
    sleep(QUIET).await;
    let quiet = server.cpu_time().saturating_sub(cpu);
    sleep(BEAT).await;
    let (all, later) = (server.cpu_time().saturating_sub(cpu), server.resident());
    let each = |resident: u32| f64::from(resident.saturating_sub(before)) / f64::from(STREAMS);
    let part = |cpu: Duration, time: Duration| 100.0 * cpu.as_secs_f64() / time.as_secs_f64();
    let streams_of = |what: &str| format!("{STREAMS} idle event streams of {USERS} users: {what}");
    let row = |what: &str, goal: Goal, value: f64, unit: &'static str| {
        Row::value(&streams_of(what), goal, Spread::of([value]), unit).print();
    };
    row("memory each", Goal::AtMost(8.0), each(after), "KiB");
    row("memory each, behind a heartbeat", Goal::AtMost(8.0), each(later), "KiB");
    row("connected after", Goal::AtMost(10.0), connected.as_secs_f64(), "s");
    row("CPU, quiet", Goal::Shown, part(quiet, QUIET), "% of a core");
    row("CPU with a heartbeat each", Goal::AtMost(3.0), part(all, QUIET + BEAT), "% of a core");
    drop((first, streams));
}

/// Opens streams, and waits until each has told how things stand.
async fn open(server: &Server, users: &Arc<Vec<User>>, count: u16) -> Vec<Connection> {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut opening = JoinSet::new();
    for n in 0..count {
        let permit = Arc::clone(&permits).acquire_owned().await.expect("it is never closed");
        let (users, address) = (Arc::clone(users), server.address);
        opening.spawn(async move {
            let user = &users[usize::from(n % USERS)];
            let [high, low] = (n / PER_ADDRESS + 1).to_be_bytes();
            let mut connection =
                Connection::open_from(Ipv4Addr::new(127, 0, high, low), address).await.expect("a connection");
            let path = if (n / USERS).is_multiple_of(2) {
                format!("/api/v1/sessions/{}/events", user.sessions[0])
            } else {
                "/api/v1/events".to_owned()
            };
            connection.send(&request("GET", &path, &user.token, None)).await.expect("the server reads");
            loop {
                let lines = connection.lines().await.expect("the server streams");
                assert!(!lines.is_empty(), "the stream has ended");
                if lines.iter().any(|line| line == "event: state") {
                    break;
                }
            }
            drop(permit);
            connection
        });
    }
    opening.join_all().await
}

//! A model server that becomes slow and quick again under a constant load.

use std::time::{Duration, Instant};

use tokio::time::{interval, sleep_until};

use super::{
    offer::{Crowd, Done},
    stub::Stub,
    write,
};
use crate::{
    load::{
        client::{Connection, request},
        server::Server,
    },
    measure::figures::float,
};

const MIN: u64 = 4;
const MAX: u64 = 64;
const QUICK_MS: u64 = 50;
const SLOW_MS: u64 = 5_000;
const OFFERED: f64 = 100.0;
const USERS: usize = 100;
const SESSIONS: usize = 20;
const POLL: Duration = Duration::from_millis(250);

/// What `/ready` said.
struct Sample {
    at: Duration,
    limit: u64,
    held: u64,
    waiting: u64,
}

pub(crate) async fn run(stub: &Stub, quick: bool) {
    let (phase, count) = if quick { (Duration::from_secs(10), 4) } else { (Duration::from_secs(30), 10) };
    let time = phase * count;
    let bounds = [format!("concurrency.min={MIN}"), format!("concurrency.max={MAX}")];
    let server = Server::start(&stub.base_url(), &[&bounds[0], &bounds[1]]);
    let crowd = Crowd::gather(server.address, USERS, SESSIONS).await;
    stub.behave(&format!("slow {QUICK_MS}"));
    let begin = Instant::now();
    let steps = async {
        for n in 1..count {
            sleep_until((begin + phase * n).into()).await;
            stub.behave(&format!("slow {}", latency(n)));
        }
    };
    let phases = [(OFFERED, time)];
    let (done, samples, ()) = tokio::join!(crowd.offer(&phases), poll(&server, begin, time), steps);
    let lines: Vec<String> = samples.iter().map(|sample| sample.line(phase)).collect();
    write("limit.csv", "seconds,limit,held,waiting,upstream_ms", &lines);
    println!("steps of {} s between {QUICK_MS} ms and {SLOW_MS} ms, {OFFERED} offered a second:", phase.as_secs());
    println!("   from s  upstream ms  accepted/s  refused/s | limit beyond a quarter of its range, first after s");
    for n in 0..count {
        report(n, phase, &done, &samples);
    }
    let (least, most) =
        samples.iter().fold((u64::MAX, 0), |(least, most), sample| (least.min(sample.limit), most.max(sample.limit)));
    println!("the limit was {least} at least and {most} at most, of {MIN} to {MAX}");
}

/// The model server's latency in a phase.
fn latency(phase: u32) -> u64 {
    if phase.is_multiple_of(2) { QUICK_MS } else { SLOW_MS }
}

async fn poll(server: &Server, begin: Instant, time: Duration) -> Vec<Sample> {
    let mut connection = Connection::open(server.address).await.expect("a connection");
    let request = request("GET", "/ready", "", None);
    let mut ticks = interval(POLL);
    let mut samples = Vec::new();
    while begin.elapsed() < time {
        ticks.tick().await;
        let answer = connection.exchange(&request).await.expect("an answer").json();
        let of = |name: &str| answer["parts"]["replies"][name].as_u64().expect("a number");
        samples.push(Sample { at: begin.elapsed(), limit: of("limit"), held: of("held"), waiting: of("waiting") });
    }
    samples
}

impl Sample {
    fn line(&self, phase: Duration) -> String {
        let n = (self.at.as_secs_f64() / phase.as_secs_f64()).floor();
        let upstream = if n % 2.0 < 1.0 { QUICK_MS } else { SLOW_MS };
        format!("{:.2},{},{},{},{upstream}", self.at.as_secs_f64(), self.limit, self.held, self.waiting)
    }
}

fn report(n: u32, phase: Duration, done: &[Done], samples: &[Sample]) {
    let (from, to) = (phase * n, phase * (n + 1));
    let per_second = |answered: bool| {
        let within = |done: &&Done| done.answered() == answered && done.end() >= from && done.end() < to;
        float(done.iter().filter(within).count()) / phase.as_secs_f64()
    };
    let beyond = |sample: &&Sample| {
        if latency(n) == SLOW_MS { sample.limit * 4 < MAX } else { sample.limit * 4 > MAX * 3 }
    };
    let moved = samples.iter().filter(|sample| sample.at >= from && sample.at < to).find(beyond);
    let moved =
        moved.map_or("never".to_owned(), |sample| format!("{:.2}", sample.at.saturating_sub(from).as_secs_f64()));
    println!(
        "{:9} {:12} {:11.1} {:10.1} | {} {moved}",
        from.as_secs(),
        latency(n),
        per_second(true),
        per_second(false),
        if latency(n) == SLOW_MS { "below a quarter:" } else { "above three quarters:" },
    );
}

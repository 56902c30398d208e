//! An open loop at multiples of the capacity, and then less than that.

use std::{sync::Arc, time::Duration};

use super::{
    offer::{self, Crowd, Done, Phase, jain, shares},
    stub::Stub,
    write,
};
use crate::{
    load::server::Server,
    measure::figures::{float, ms, quantile},
};

const SLOTS: usize = 16;
const QUEUE: usize = 32;
const SERVICE: Duration = Duration::from_millis(200);
const USERS: usize = 100;
/// So many that hardly ever two messages are on their way in one: those would be answered with one slot.
const SESSIONS: usize = 20;
const MULTIPLES: [f64; 4] = [1.0, 2.0, 5.0, 10.0];
/// What counts begins so long after the load.
const WARM_UP: Duration = Duration::from_secs(3);
const AFTERWARDS: Phase = (0.7, Duration::from_secs(10));
/// A refusal that came later was none of the full queue: its waiter made room for somebody with none, or its time was up.
/// Some who make room are sooner than this, so what is refused without a queue is measured too.
const AT_ONCE: Duration = Duration::from_millis(100);
const PROBE: Duration = Duration::from_millis(20);
const HEAD: &str = "multiple,offered,accepted,part,p50_ms,p99_ms,refused,refused_p50_ms,refused_p99_ms,later,wait_max_ms,\
                    health_p99_ms,resident_mib,cpu,fairness";

struct Row {
    multiple: f64,
    offered: f64,
    accepted: f64,
    p50: Duration,
    p99: Duration,
    refused: f64,
    refused_p50: Duration,
    refused_p99: Duration,
    /// Refused after a wait, a second.
    later: f64,
    wait_max: Duration,
    health_p99: Duration,
    resident_mib: f64,
    /// Of bondhu, a part of a core.
    cpu: f64,
    fairness: f64,
    /// Users who had less than one answer to 20 messages.
    hungry: usize,
}

pub(crate) async fn run(stub: &Stub, quick: bool) {
    let time = Duration::from_secs(if quick { 6 } else { 20 });
    stub.behave(&format!("slow {}", SERVICE.as_millis()));
    let server = start(stub, QUEUE);
    let crowd = Crowd::gather(server.address, USERS, SESSIONS).await;
    let capacity = float(SLOTS) / SERVICE.as_secs_f64();
    println!("open loop: {SLOTS} slots, {} ms a reply: a capacity of {capacity:.0}/s", SERVICE.as_millis());
    println!(
        "load | offered/s accepted/s part |  p50 ms  p99 ms | refused/s p50 ms p99 ms | later/s | longest wait ms | \
         /health p99 ms | MiB | CPU | fair"
    );
    crowd.offer(&[(capacity, WARM_UP)]).await;
    let mut lines = Vec::new();
    for multiple in MULTIPLES {
        let last = multiple >= MULTIPLES[MULTIPLES.len() - 1];
        let mut phases = vec![(multiple * capacity, time)];
        if last {
            phases.push((AFTERWARDS.0 * capacity, AFTERWARDS.1));
        }
        let (row, after) = measure(&server, &crowd, &phases, multiple).await;
        lines.push(row.print(capacity));
        if last {
            recovery(&after, time);
        }
    }
    write("overload.csv", HEAD, &lines);
    no_queue(stub, capacity, time).await;
    one_session(stub, capacity, time).await;
}

/// Offers the phases, and gives what the first came to and what became of all that was due later.
async fn measure(server: &Server, crowd: &Arc<Crowd>, phases: &[Phase], multiple: f64) -> (Row, Vec<Done>) {
    let (time, before) = (phases[0].1, server.cpu_time());
    let end = async {
        tokio::time::sleep(time).await;
        (server.resident(), server.cpu_time().saturating_sub(before))
    };
    let probe = offer::health(server.address, PROBE, time);
    let (done, mut health, (resident, cpu)) = tokio::join!(crowd.offer(phases), probe, end);
    let (first, after): (Vec<Done>, Vec<Done>) = done.into_iter().partition(|done| done.due < time);
    let mut row = row(multiple, &first, time);
    (row.health_p99, row.resident_mib) = (quantile(&mut health, 0.99), f64::from(resident) / 1024.0);
    row.cpu = cpu.as_secs_f64() / time.as_secs_f64();
    (row, after)
}

/// Rates count by when the answers came, latencies by when the requests were due; both without the first seconds.
fn row(multiple: f64, done: &[Done], time: Duration) -> Row {
    let seconds = time.saturating_sub(WARM_UP).as_secs_f64();
    let rate = |what: &dyn Fn(&Done) -> bool| {
        let within = |done: &&Done| done.end() >= WARM_UP && done.end() < time;
        float(done.iter().filter(within).filter(|done| what(done)).count()) / seconds
    };
    let took = |what: &dyn Fn(&Done) -> bool| -> Vec<Duration> {
        done.iter().filter(|done| done.due >= WARM_UP && what(done)).map(|done| done.took).collect()
    };
    let other: Vec<u16> = done.iter().map(|done| done.status).filter(|status| !matches!(status, 201 | 503)).collect();
    assert!(other.is_empty(), "answers that are neither 201 nor 503; 0 is none at all: {other:?}");
    let refused = |done: &Done| done.status == 503 && done.took < AT_ONCE;
    let later = |done: &Done| done.status == 503 && done.took >= AT_ONCE;
    let (mut accepted, mut refusals, mut away) = (took(&Done::answered), took(&refused), took(&later));
    let longest = quantile(&mut accepted, 1.0).saturating_sub(SERVICE).max(quantile(&mut away, 1.0));
    let shares = shares(done, USERS);
    Row {
        multiple,
        offered: float(done.iter().filter(|done| done.due >= WARM_UP).count()) / seconds,
        accepted: rate(&Done::answered),
        p50: quantile(&mut accepted, 0.5),
        p99: quantile(&mut accepted, 0.99),
        refused: rate(&refused),
        refused_p50: quantile(&mut refusals, 0.5),
        refused_p99: quantile(&mut refusals, 0.99),
        later: rate(&later),
        wait_max: longest,
        health_p99: Duration::ZERO,
        resident_mib: 0.0,
        cpu: 0.0,
        fairness: jain(&shares),
        hungry: shares.iter().filter(|share| **share < 0.05).count(),
    }
}

impl Row {
    /// Prints it, and gives it for the file.
    fn print(&self, capacity: f64) -> String {
        let Self { multiple, offered, accepted, refused, later, resident_mib, cpu, fairness, .. } = self;
        let [p50, p99, refused_p50, refused_p99] = [self.p50, self.p99, self.refused_p50, self.refused_p99].map(ms);
        let [wait_max, health_p99] = [self.wait_max, self.health_p99].map(ms);
        let part = accepted / capacity;
        println!(
            "{multiple:4} | {offered:9.1} {accepted:10.1} {part:4.2} | {p50:7.1} {p99:7.1} | {refused:9.1} \
             {refused_p50:6.2} {refused_p99:6.1} | {later:7.1} | {wait_max:15.0} | {health_p99:14.1} | \
             {resident_mib:3.0} | {cpu:.2} | {fairness:.2}"
        );
        format!(
            "{multiple},{offered:.1},{accepted:.1},{part:.3},{p50:.1},{p99:.1},{refused:.1},{refused_p50:.2},\
             {refused_p99:.2},{later:.1},{wait_max:.0},{health_p99:.2},{resident_mib:.1},{cpu:.3},{fairness:.3}"
        )
    }
}

fn recovery(after: &[Done], begin: Duration) {
    let errors = after.iter().filter(|done| !done.answered());
    let last = errors.map(|done| done.due.saturating_sub(begin)).max().unwrap_or_default();
    let refused = after.iter().filter(|done| !done.answered()).count();
    println!(
        "at {} of the capacity right afterwards: {refused} of {} refused, the last one after {:.2} s",
        AFTERWARDS.0,
        after.len(),
        last.as_secs_f64()
    );
}

/// The longest load again where nothing may wait, so that every refusal is one of the full queue.
async fn no_queue(stub: &Stub, capacity: f64, time: Duration) {
    let server = start(stub, 0);
    let crowd = Crowd::gather(server.address, USERS, SESSIONS).await;
    let multiple = MULTIPLES[MULTIPLES.len() - 1];
    println!("without a queue:");
    measure(&server, &crowd, &[(multiple * capacity, time)], multiple).await.0.print(capacity);
}

/// Where each user has one session only: messages join the line of a session that is being answered, and need no slot of
/// their own.
async fn one_session(stub: &Stub, capacity: f64, time: Duration) {
    let server = start(stub, QUEUE);
    let crowd = Crowd::gather(server.address, USERS, 1).await;
    let multiple = MULTIPLES[2];
    let (row, _) = measure(&server, &crowd, &[(multiple * capacity, time)], multiple).await;
    println!("one session each; {} of {USERS} users had less than one answer to 20 messages:", row.hungry);
    row.print(capacity);
}

fn start(stub: &Stub, queue: usize) -> Server {
    let [max, queue] = [format!("concurrency.max={SLOTS}"), format!("concurrency.queue={queue}")];
    Server::start(&stub.base_url(), &["concurrency.min=4", &max, &queue])
}

//! Durable messages through the store, beside raw write + fdatasync with the same grouping, in one run.
//!
//! Budget, from the project's plan (P-W1) and its goals for speed: one sender's p50 at most 0.3 ms above one fdatasync of
//! as many bytes; at 64 senders 0.4 of raw group commit, 20 times the 510 turns a second of the old stack, and 0.1 syncs for
//! each acknowledgement. One append is one message of 300 bytes; each sender stores a user's message, then its reply, in
//! a session of its own, and waits for both: that is a turn.
//!
//! Syncs are counted by `perf stat` or `strace -c`, over a whole round; what the index holds more for each turn is read
//! from the closed directory. CPU time and allocations are those of the whole process, senders included.
//!
//! `cargo bench --bench store -- [seconds per cell] [rounds]`; `BENCH_DIR` names the disk, the working directory's else.

#[expect(dead_code, reason = "other benches measure more")]
mod measure;
#[path = "store/raw.rs"]
mod raw;
#[path = "load/talk.rs"]
mod talk;

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bondhu::{
    config::CacheConfig,
    id::{SessionId, UserId},
    store::{Beside, Ending, NewMessage, OpenTurn, SessionEdit, Store},
};
use tokio::runtime::Runtime;

use crate::measure::{
    allocations::Allocations,
    figures::{Rounds, Spread, float, ms, us},
    process::{self, Counting},
    row::{Goal, Row, number, spread},
};

const SENDERS: [usize; 4] = [1, 8, 64, 512];
const TEXT: usize = 300;
/// As the store opens its index.
const SEGMENT: usize = 8 << 20;
/// Turns a second of the stack that bondhu replaces, as its owner measured them.
const OLD_STACK: f64 = 510.0;

/// What one cell came to.
struct Cell {
    per_second: f64,
    p50: Duration,
    p99: Duration,
    cpu_us: f64,
    allocations: Allocations,
}

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let seconds = Duration::from_secs(numbers.first().copied().unwrap_or(3));
    let rounds = usize::try_from(numbers.get(1).copied().unwrap_or(3)).unwrap_or(3);
    let parent = std::env::var("BENCH_DIR").unwrap_or_else(|_| ".".to_owned());
    let dir = tempfile::tempdir_in(parent).expect("a directory");
    for senders in SENDERS {
        let cells =
            Rounds::run(rounds, || raw::run(dir.path(), senders, seconds), || store(dir.path(), senders, seconds));
        rows(senders, &cells);
    }
    syncs(dir.path(), 64);
    entries(dir.path());
}

fn rows(senders: usize, cells: &Rounds<Cell>) {
    let name = |what: &str| format!("durable messages, {senders} at once: {what}");
    let rate = |cell: &Cell| cell.per_second;
    let goal = if senders == 64 { Goal::AtLeast(0.4) } else { Goal::Shown };
    let limit = format!("raw group commit {} a second", spread(cells.limit(rate)));
    let ours = format!("{} a second", spread(cells.ours(rate)));
    Row::ratio(&name("a second"), goal, limit, ours, cells.ratio(rate)).print();
    let p99 = format!("p99 {} ms", spread(cells.limit(|cell| ms(cell.p99))));
    Row::value(&name("p99"), Goal::Shown, cells.ours(|cell| ms(cell.p99)), "ms").beside(&format!("raw {p99}")).print();
    if senders == 1 {
        // Above one write and sync of as many bytes.
        let above = cells.compare(|limit, ours| ms(ours.p50) - ms(limit.p50));
        let limit = format!("raw fdatasync p50 {} ms", spread(cells.limit(|cell| ms(cell.p50))));
        let row = Row::value(&name("p50 above one fdatasync"), Goal::AtMost(0.3), above, "ms");
        row.beside(&limit).print();
    }
    if senders == 64 {
        let turns = cells.ours(|cell| cell.per_second / 2.0);
        let row = Row::value(&name("turns of two"), Goal::AtLeast(20.0 * OLD_STACK), turns, "a second");
        row.beside(&format!("old stack {} a second", number(OLD_STACK))).print();
    }
    let cpu = cells.ours(|cell| cell.cpu_us);
    let row = Row::value(&name("CPU"), Goal::Shown, cpu, "us a message");
    row.beside(&format!("raw {} us", spread(cells.limit(|cell| cell.cpu_us)))).print();
    let count = cells.ours(|cell| cell.allocations.count);
    Row::value(&name("allocations"), Goal::Shown, count, "a message").print();
}

/// Syncs for each message of a fixed number of turns.
fn syncs(dir: &Path, senders: usize) {
    let (turns, runtime, user) = (300, Runtime::new().expect("a runtime"), UserId::new());
    let store = Arc::new(talk::open(&dir.join("syncs"), CacheConfig::default().capacity));
    runtime.block_on(store.create_user(talk::account(user, "bench"), None)).expect("a user");
    let Some(counting) = Counting::begin(std::process::id()) else { return };
    runtime.block_on(async {
        let say = |_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { talk::say(&store, user, vec!["x".repeat(TEXT); turns * 2]).await })
        };
        for sender in (0..senders).map(say).collect::<Vec<_>>() {
            sender.await.expect("a sender ends");
        }
    });
    let each = counting.end().syncs / float(senders * turns * 2);
    let name = format!("durable messages, {senders} at once: syncs");
    Row::value(&name, Goal::AtMost(0.1), Spread::of([each]), "an acknowledgement").print();
    runtime.block_on(store.close());
}

/// How many keys the index has more for each turn.
fn entries(dir: &Path) {
    let turns = 1_000;
    let each = (keys(&dir.join("many"), turns) - keys(&dir.join("none"), 0)) / float(turns);
    Row::value("index: keys for each turn", Goal::Shown, Spread::of([each]), "a turn").print();
}

/// The keys of an index after so many turns, and one, in a new directory.
fn keys(dir: &Path, turns: usize) -> f64 {
    let (runtime, user) = (Runtime::new().expect("a runtime"), UserId::new());
    let store = talk::open(dir, CacheConfig::default().capacity);
    runtime.block_on(async {
        store.create_user(talk::account(user, "bench"), None).await.expect("a user");
        talk::say(&store, user, vec!["x".repeat(TEXT); turns * 2 + 2]).await;
        store.close().await;
    });
    // A copy: sled's threads may hold the lock a little longer.
    let copy = dir.join("copy");
    std::fs::create_dir(&copy).expect("a directory");
    for file in ["conf", "db"] {
        std::fs::copy(dir.join("data/index").join(file), copy.join(file)).expect("a copy");
    }
    let db = sled::Config::new().path(&copy).segment_size(SEGMENT).open().expect("an index");
    let trees = db.tree_names().into_iter();
    trees.map(|name| db.open_tree(name).map_or(0.0, |tree| float(tree.len()))).sum()
}

fn store(dir: &Path, senders: usize, seconds: Duration) -> Cell {
    let dir = dir.join(format!("store-{}", SessionId::new()));
    let store: Arc<Store> = Arc::new(talk::open(&dir, CacheConfig::default().capacity));
    let user = UserId::new();
    let runtime = Runtime::new().expect("a runtime");
    let sessions: Arc<Vec<SessionId>> = runtime.block_on(async {
        store.create_user(talk::account(user, "bench"), None).await.expect("a user");
        let mut sessions = Vec::new();
        for _ in 0..senders {
            let (session, _) =
                store.create_session(user, SessionId::new(), SessionEdit::default()).await.expect("a session");
            sessions.push(session.id);
        }
        Arc::new(sessions)
    });
    let open: Arc<Vec<Mutex<Option<OpenTurn>>>> = Arc::new(sessions.iter().map(|_| Mutex::new(None)).collect());
    let writes = Arc::clone(&store);
    let cell = measure_senders(senders, seconds, move |index| {
        let (store, open, session) = (Arc::clone(&writes), Arc::clone(&open), sessions[index]);
        async move {
            let turn = open[index].lock().expect("no panic").take();
            let content = "x".repeat(TEXT);
            if let Some(turn) = turn {
                let ending = Ending::Reply { content, stopped: false };
                store.conclude(turn, ending, None).await.expect("a reply is stored");
            } else {
                let message =
                    NewMessage { user, session, create: false, content, key: None, beside: Beside::default() };
                let appended = store.append(message).expect("there is room").await.expect("a message is stored");
                *open[index].lock().expect("no panic") = Some(OpenTurn { session, seq: appended.message.seq });
            }
        }
    });
    runtime.block_on(store.close());
    cell
}

/// Runs `senders` tasks that append one after another, and measures from the second half-second on.
fn measure_senders<F: Future<Output = ()> + Send>(
    senders: usize,
    seconds: Duration,
    append: impl Fn(usize) -> F + Clone + Send + Sync + 'static,
) -> Cell {
    let runtime = Runtime::new().expect("a runtime");
    let counting = Arc::new(AtomicBool::new(false));
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (elapsed, cpu, allocated, mut times) = runtime.block_on(async {
        let tasks: Vec<_> = (0..senders)
            .map(|index| {
                let (append, counting) = (append.clone(), Arc::clone(&counting));
                let (stop, count) = (Arc::clone(&stop), Arc::clone(&count));
                tokio::spawn(async move {
                    let mut times = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let began = Instant::now();
                        append(index).await;
                        if counting.load(Ordering::Relaxed) {
                            times.push(began.elapsed());
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    times
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (began, cpu, allocated) = (Instant::now(), process::cpu_time(std::process::id()), Allocations::so_far());
        counting.store(true, Ordering::Relaxed);
        tokio::time::sleep(seconds).await;
        counting.store(false, Ordering::Relaxed);
        let (elapsed, cpu) = (began.elapsed(), process::cpu_time(std::process::id()).saturating_sub(cpu));
        let allocated = Allocations::each_since(allocated, 1.0);
        stop.store(true, Ordering::Relaxed);
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await.expect("a sender ends"));
        }
        (elapsed, cpu, allocated, times)
    });
    times.sort_unstable();
    let at = |hundredths: usize| times.get(times.len() * hundredths / 100).copied().unwrap_or_default();
    let appends = f64::from(u32::try_from(count.load(Ordering::Relaxed)).expect("a few seconds' worth"));
    Cell {
        per_second: appends / elapsed.as_secs_f64(),
        p50: at(50),
        p99: at(99),
        cpu_us: us(cpu) / appends,
        allocations: allocated.each_after(Allocations::default(), appends),
    }
}

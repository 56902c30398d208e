//! Durable appends per second through the store, beside raw write + fdatasync with the same grouping, in one run.
//!
//! Budget: 0.6 of raw at 8 appenders, 0.3 at 64, and 20,000 a second at 512 on two cores. One append is one message of
//! 300 bytes; each appender stores a user's message, then its reply, in a session of its own, and waits for both.
//!
//! `cargo bench --bench store -- [seconds per cell] [rounds]`; `BENCH_DIR` names the disk, the working directory's else.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use bondhu::{
    clock::{Clock, Timestamp},
    config::{CacheConfig, DataConfig},
    id::{SessionId, UserId},
    store::{Ending, NewMessage, OpenTurn, Role, SessionEdit, Store, Tier, User},
};
use tokio::{runtime::Runtime, sync::oneshot};

const APPENDERS: [usize; 4] = [1, 8, 64, 512];
const TEXT: usize = 300;
/// As the store's writer.
const GROUP_MAX: usize = 512;

/// What one cell of the table came to.
struct Cell {
    per_second: f64,
    p50: Duration,
    p99: Duration,
    cpu_us: f64,
}

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let seconds = Duration::from_secs(numbers.first().copied().unwrap_or(3));
    let rounds = usize::try_from(numbers.get(1).copied().unwrap_or(3)).unwrap_or(3);
    let parent = std::env::var("BENCH_DIR").unwrap_or_else(|_| ".".to_owned());
    let dir = tempfile::tempdir_in(parent).expect("a directory");
    println!("appenders |   raw/s   p50 ms  p99 ms | store/s   p50 ms  p99 ms  CPU us | ratio (median of {rounds})");
    for appenders in APPENDERS {
        let mut cells: Vec<(Cell, Cell)> =
            (0..rounds).map(|_| (raw(dir.path(), appenders, seconds), store(dir.path(), appenders, seconds))).collect();
        let ratio = |(raw, store): &(Cell, Cell)| store.per_second / raw.per_second;
        cells.sort_by(|a, b| ratio(a).total_cmp(&ratio(b)));
        let (raw, store) = &cells[rounds / 2];
        println!(
            "{appenders:9} | {:8.0} {:7.2} {:7.2} | {:7.0} {:8.2} {:7.2} {:7.1} | {:.2}",
            raw.per_second,
            ms(raw.p50),
            ms(raw.p99),
            store.per_second,
            ms(store.p50),
            ms(store.p99),
            store.cpu_us,
            store.per_second / raw.per_second,
        );
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

type Waiting = (Vec<u8>, oneshot::Sender<()>);

/// One thread takes what waits, writes it in one piece, syncs once and answers.
fn raw(dir: &Path, appenders: usize, seconds: Duration) -> Cell {
    let (send, receive) = mpsc::sync_channel::<Waiting>(8192);
    let options = OpenOptions::new().write(true).create(true).truncate(true).open(dir.join("raw"));
    let file = options.expect("a file");
    let writer = std::thread::spawn(move || raw_writer(&file, &receive));
    let cell = measure(appenders, seconds, move |_| {
        let send = send.clone();
        async move {
            let (done, told) = oneshot::channel();
            send.send((vec![7; TEXT + 60], done)).expect("the writer lives");
            told.await.expect("the writer answers");
        }
    });
    writer.join().expect("the writer ends");
    cell
}

fn raw_writer(file: &File, receive: &mpsc::Receiver<Waiting>) {
    let mut offset = 0;
    let mut buffer = Vec::new();
    while let Ok(first) = receive.recv() {
        let mut group = vec![first];
        while group.len() < GROUP_MAX {
            let Ok(next) = receive.try_recv() else { break };
            group.push(next);
        }
        buffer.clear();
        for (bytes, _) in &group {
            buffer.extend_from_slice(bytes);
        }
        file.write_all_at(&buffer, offset).expect("the disk takes it");
        file.sync_data().expect("the disk syncs");
        offset += buffer.len() as u64;
        for (_, done) in group {
            let _ = done.send(());
        }
    }
}

fn store(dir: &Path, appenders: usize, seconds: Duration) -> Cell {
    let config = DataConfig { dir: dir.join(format!("store-{}", SessionId::new())), ..DataConfig::default() };
    let (store, _) = Store::open(&config, &CacheConfig::default(), Clock::System).expect("an empty directory");
    let store = Arc::new(store);
    let user = UserId::new();
    let runtime = Runtime::new().expect("a runtime");
    let sessions: Arc<Vec<SessionId>> = runtime.block_on(async {
        store.create_user(account(user), None).await.expect("a user");
        let mut sessions = Vec::new();
        for _ in 0..appenders {
            let (session, _) =
                store.create_session(user, SessionId::new(), SessionEdit::default()).await.expect("a session");
            sessions.push(session.id);
        }
        Arc::new(sessions)
    });
    let open: Arc<Vec<Mutex<Option<OpenTurn>>>> = Arc::new(sessions.iter().map(|_| Mutex::new(None)).collect());
    let writes = Arc::clone(&store);
    let cell = measure(appenders, seconds, move |index| {
        let (store, open, session) = (Arc::clone(&writes), Arc::clone(&open), sessions[index]);
        async move {
            let turn = open[index].lock().expect("no panic").take();
            let content = "x".repeat(TEXT);
            if let Some(turn) = turn {
                let ending = Ending::Reply { content, stopped: false };
                store.conclude(turn, ending).await.expect("a reply is stored");
            } else {
                let message = NewMessage { user, session, create: false, content, key: None };
                let appended = store.append(message).expect("there is room").await.expect("a message is stored");
                *open[index].lock().expect("no panic") = Some(OpenTurn { session, seq: appended.message.seq });
            }
        }
    });
    runtime.block_on(store.close());
    cell
}

fn account(id: UserId) -> User {
    User {
        id,
        username: "bench".to_owned(),
        folded: "bench".to_owned(),
        display_name: "bench".to_owned(),
        role: Role::User,
        tier: Tier::Free,
        password: String::new(),
        disabled: false,
        created_at: Timestamp(0),
    }
}

/// Runs `appenders` tasks that append one after another, and measures from the second half-second on.
fn measure<F: Future<Output = ()> + Send>(
    appenders: usize,
    seconds: Duration,
    append: impl Fn(usize) -> F + Clone + Send + Sync + 'static,
) -> Cell {
    let runtime = Runtime::new().expect("a runtime");
    let counting = Arc::new(AtomicBool::new(false));
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (elapsed, cpu, mut times) = runtime.block_on(async {
        let tasks: Vec<_> = (0..appenders)
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
        let (began, cpu) = (Instant::now(), cpu_time());
        counting.store(true, Ordering::Relaxed);
        tokio::time::sleep(seconds).await;
        counting.store(false, Ordering::Relaxed);
        let (elapsed, cpu) = (began.elapsed(), cpu_time().saturating_sub(cpu));
        stop.store(true, Ordering::Relaxed);
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await.expect("an appender ends"));
        }
        (elapsed, cpu, times)
    });
    times.sort_unstable();
    let at = |hundredths: usize| times.get(times.len() * hundredths / 100).copied().unwrap_or_default();
    let appends = f64::from(u32::try_from(count.load(Ordering::Relaxed)).expect("a few seconds' worth"));
    Cell {
        per_second: appends / elapsed.as_secs_f64(),
        p50: at(50),
        p99: at(99),
        cpu_us: cpu.as_secs_f64() * 1e6 / appends,
    }
}

/// This process's CPU time, user and system.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10) // A tick is 10 ms on Linux.
}

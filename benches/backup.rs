//! A backup under load: how long writers are held up, what it costs them, how long it and a restore take.
//!
//! Goal of the project's plan: a backup of 1 GB under load stalls writers for 50 ms at most. The stall is the longest turn
//! while the backup runs, less the longest turn of as long a time before it. The server and `bondhu backup` are processes of
//! their own; the built-in companion replies, so a turn is two commits.
//!
//! `cargo bench --bench backup -- [MB] [ROUNDS]`, by default 1024 and 3. `BENCH_DIR` names the disk, the working directory's
//! else; it needs three times as much.

#[expect(dead_code, reason = "other benches ask it for more")]
mod load;
#[expect(dead_code, reason = "other benches measure more")]
mod measure;

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::runtime::Runtime;

use crate::{
    load::{
        client::{Connection, User, users},
        server::Server,
    },
    measure::{
        figures::{Spread, ms},
        process::pause,
        row::{Goal, Row},
    },
};

/// Connections that send, one message after the other each.
const SENDERS: usize = 8;
/// A message is 64 KiB while the directory is filled, and short while it is backed up.
const LARGE: usize = 16_300;
/// Turns are watched for this long before a backup.
const BEFORE: Duration = Duration::from_secs(5);
const MB: u64 = 1_000_000;

/// Turns of some time.
struct Watched {
    turns: u64,
    longest: Duration,
    took: Duration,
}

impl Watched {
    fn rate(&self) -> f64 {
        f64::from(u32::try_from(self.turns).expect("not so many")) / self.took.as_secs_f64()
    }
}

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let (megabytes, rounds) = (numbers.first().copied().unwrap_or(1024), numbers.get(1).copied().unwrap_or(3));
    let runtime = Runtime::new().expect("a runtime");
    let server = Server::offline(&["chat.message_chars_max=16384", "server.request_timeout_ms=600000"], false);
    let data = server.data();
    let users = Arc::new(runtime.block_on(users(server.address, SENDERS, 4)));
    let text = "\u{1F642}".repeat(LARGE);
    watch(&runtime, &server, &users, &text, || size(&data.join("journal")) >= megabytes * MB);
    let root = data.parent().expect("a directory above").to_owned();
    let (mut before, mut during, mut stalls, mut rates) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut seconds, mut again, mut restores, mut starts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut copied = 0;
    for round in 0..rounds {
        let at = root.join(format!("backup-{round}"));
        let calm = watch(&runtime, &server, &users, "calm", after(BEFORE));
        let (busy, took) = back_up(&runtime, &server, &users, &at);
        copied = size(&at);
        before.push(ms(calm.longest));
        during.push(ms(busy.longest));
        stalls.push(ms(busy.longest.saturating_sub(calm.longest)));
        rates.push(busy.rate() / calm.rate());
        seconds.push(took.as_secs_f64());
        let (_, took) = back_up(&runtime, &server, &users, &at);
        again.push(took.as_secs_f64());
        let new = root.join("restored");
        restores.push(run(&["restore", &shown(&at), "--into", &shown(&new)]).as_secs_f64());
        let began = Instant::now();
        run(&["user", "list", "--data-dir", &shown(&new)]); // Opens it, which builds the index.
        starts.push(began.elapsed().as_secs_f64());
        for dir in [at, new] {
            std::fs::remove_dir_all(dir).expect("it was made");
        }
    }
    let name = |what: &str| format!("backup of {} MB under load: {what}", copied / MB);
    let row = |what: &str, goal: Goal, values: Vec<f64>, unit| {
        Row::value(&name(what), goal, Spread::of(values), unit).print();
    };
    row("longest turn before it", Goal::Shown, before, "ms");
    row("longest turn meanwhile", Goal::Shown, during, "ms");
    row("stall of writers", Goal::AtMost(50.0), stalls, "ms");
    row("turns a second, by those before it", Goal::Shown, rates, "");
    row("time", Goal::Shown, seconds, "s");
    row("time of a second one, which copies what is new", Goal::Shown, again, "s");
    row("time to restore it, verified", Goal::Shown, restores, "s");
    row("time until the restored one is open, index built", Goal::Shown, starts, "s");
}

/// Backs up while turns are watched; gives those, and how long the command took.
fn back_up(runtime: &Runtime, server: &Server, users: &Arc<Vec<User>>, at: &Path) -> (Watched, Duration) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bondhu"));
    command.arg("backup").arg(at).arg("--data-dir").arg(server.data()).stdout(Stdio::null());
    let began = Instant::now();
    let mut child = command.spawn().expect("the command starts");
    let mut took = Duration::ZERO;
    let watched = watch(runtime, server, users, "busy", || {
        let ended = child.try_wait().expect("it is ours");
        if let Some(status) = ended {
            assert!(status.success(), "the backup failed");
            took = began.elapsed();
        }
        ended.is_some()
    });
    (watched, took)
}

/// Has every user send short turns until `done`.
fn watch(
    runtime: &Runtime,
    server: &Server,
    users: &Arc<Vec<User>>,
    text: &str,
    mut done: impl FnMut() -> bool,
) -> Watched {
    let (stop, turns, longest) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::default());
    let began = Instant::now();
    let senders: Vec<_> = (0..users.len())
        .map(|n| {
            let (stop, turns, longest): (_, _, Arc<AtomicU64>) =
                (Arc::clone(&stop), Arc::clone(&turns), Arc::clone(&longest));
            let (users, address, text) = (Arc::clone(users), server.address, text.to_owned());
            runtime.spawn(async move {
                let mut connection = Connection::open(address).await.expect("a connection");
                let mut session = 0;
                while !stop.load(Ordering::Relaxed) {
                    session = (session + 1) % users[n].sessions.len();
                    let began = Instant::now();
                    let answer = connection.exchange(&users[n].say(session, &text, false)).await.expect("an answer");
                    assert_eq!(answer.status, 201, "a turn");
                    let took = u64::try_from(began.elapsed().as_micros()).expect("not so long");
                    longest.fetch_max(took, Ordering::Relaxed);
                    turns.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    while !done() {
        pause(Duration::from_millis(2));
    }
    stop.store(true, Ordering::Relaxed);
    let took = began.elapsed();
    runtime.block_on(async {
        for sender in senders {
            sender.await.expect("a sender ends");
        }
    });
    let longest = Duration::from_micros(longest.load(Ordering::Relaxed));
    Watched { turns: turns.load(Ordering::Relaxed), longest, took }
}

/// True once so much time is over.
fn after(time: Duration) -> impl FnMut() -> bool {
    let began = Instant::now();
    move || began.elapsed() >= time
}

/// Runs a command of bondhu to its end.
fn run(words: &[&str]) -> Duration {
    let began = Instant::now();
    let done = Command::new(env!("CARGO_BIN_EXE_bondhu")).args(words).output().expect("the command runs");
    assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    began.elapsed()
}

/// Bytes of all files below `dir`.
fn size(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).expect("a directory");
    let of = |path: &Path| if path.is_dir() { size(path) } else { path.metadata().map_or(0, |file| file.len()) };
    entries.map(|entry| of(&entry.expect("an entry").path())).sum()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

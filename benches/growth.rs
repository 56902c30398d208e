//! What grows with the data: time to start, memory, the first page of a session, bytes on disk, time to rebuild.
//!
//! Budget at 1,000,000 messages of 10,000 users: ready within 2 s after a clean stop, under 300 MB of memory; a page
//! costs the same at every size. Each step runs in a process of its own, so that memory is that of the step alone.
//!
//! `cargo bench --bench growth -- [messages ...]`, by default 100,000 and 1,000,000; 100 messages of 300 bytes a user.

use std::{
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use bondhu::{
    clock::{Clock, Timestamp},
    config::{CacheConfig, DataConfig},
    id::{SessionId, UserId},
    store::{Ending, NewMessage, OpenTurn, PageRange, Role, Store, Tier, User},
};
use tokio::runtime::Runtime;

const MESSAGES_PER_USER: u64 = 100;
const TEXT: usize = 300;
/// Users who write at the same time while the directory is filled.
const WRITERS: u64 = 256;
/// Sessions whose first page is asked for.
const PAGES: usize = 2_000;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.as_slice() {
        [step, dir, messages] if step == "fill" => fill(Path::new(dir), messages.parse().expect("a number")),
        [step, dir] if step == "start" => start(Path::new(dir)),
        sizes => {
            let sizes: Vec<u64> = sizes.iter().filter_map(|size| size.parse().ok()).collect();
            let sizes = if sizes.is_empty() { vec![100_000, 1_000_000] } else { sizes };
            let parent = std::env::var("BENCH_DIR").unwrap_or_else(|_| ".".to_owned());
            for messages in sizes {
                table(Path::new(&parent), messages);
            }
        }
    }
}

fn table(parent: &Path, messages: u64) {
    let dir = tempfile::tempdir_in(parent).expect("a directory");
    let data = dir.path().join("data").display().to_string();
    println!("{messages} messages of {} users", messages / MESSAGES_PER_USER);
    step(&["fill", &data, &messages.to_string()]);
    let on_disk = |part: &str| {
        let du = Command::new("du").args(["-sb", &format!("{data}/{part}")]).output().expect("du");
        let bytes: u64 =
            String::from_utf8_lossy(&du.stdout).split_whitespace().next().map_or(0, |word| word.parse().unwrap_or(0));
        bytes / messages
    };
    println!("  on disk: journal {} bytes a message, index {}", on_disk("journal"), on_disk("index"));
    for what in ["clean start", "start again"] {
        println!("  {what}:");
        step(&["start", &data]);
    }
    std::fs::remove_dir_all(format!("{data}/index")).expect("an index");
    println!("  rebuild:");
    step(&["start", &data]);
}

/// Runs one step in a process of its own.
fn step(words: &[&str]) {
    let done = Command::new(std::env::current_exe().expect("this program")).args(words).status();
    assert!(done.expect("the step runs").success(), "{words:?}");
}

fn open(dir: &Path) -> (Arc<Store>, Vec<OpenTurn>) {
    let config = DataConfig { dir: dir.to_owned(), ..DataConfig::default() };
    let (store, open) = Store::open(&config, &CacheConfig::default(), Clock::System).expect("it opens");
    (Arc::new(store), open)
}

/// The user's only session: as a function of its number, so that a later step knows it.
fn session_of(user: u64) -> SessionId {
    let mut bytes = uuid::Uuid::from_u64_pair(0x0192_0000_0000_7000 | user << 16, 0x8000_0000_0000_0000).into_bytes();
    let mixed = user.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes();
    bytes[9..].copy_from_slice(&mixed[1..]);
    SessionId::from_bytes(bytes)
}

fn fill(dir: &Path, messages: u64) {
    let (store, _) = open(dir);
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
    let seconds = began.elapsed().as_secs_f64();
    println!("  filled in {seconds:.1} s; memory then {} MB", rss_mb());
}

async fn converse(store: &Store, number: u64) {
    let user = UserId::new();
    let name = format!("user{number}");
    let account = User {
        id: user,
        username: name.clone(),
        folded: name.clone(),
        display_name: name,
        role: Role::User,
        tier: Tier::Free,
        password: String::new(),
        disabled: false,
        created_at: Timestamp(0),
    };
    store.create_user(account, None).await.expect("a user");
    let session = session_of(number);
    for turn in 0..MESSAGES_PER_USER / 2 {
        let content = format!("{turn:0TEXT$}");
        let message = NewMessage { user, session, create: true, content: content.clone(), key: None };
        let appended = store.append(message).expect("there is room").await.expect("a message is stored");
        let turn = OpenTurn { session, seq: appended.message.seq };
        store.conclude(turn, Ending::Reply { content, stopped: false }).await.expect("a reply is stored");
    }
}

fn start(dir: &Path) {
    let began = Instant::now();
    let (store, open) = open(dir);
    let started = began.elapsed();
    let memory = rss_mb();
    let runtime = Runtime::new().expect("a runtime");
    let mut times: Vec<Duration> = runtime.block_on(async {
        let range = PageRange { after: None, before: None, limit: 50 };
        let mut times = Vec::with_capacity(PAGES);
        let mut user = 0;
        while times.len() < PAGES {
            let began = Instant::now();
            if store.page(session_of(user), range).await.is_err() {
                user = 0; // Past the last user: sessions come again, from the cache by then.
                continue;
            }
            times.push(began.elapsed());
            user += 1;
        }
        times
    });
    times.sort_unstable();
    println!(
        "    {:.2} s, {} open turns, memory {memory} MB; first page p50 {} us, p99 {} us; memory then {} MB",
        started.as_secs_f64(),
        open.len(),
        times[PAGES / 2].as_micros(),
        times[PAGES * 99 / 100].as_micros(),
        rss_mb()
    );
    runtime.block_on(store.close());
}

/// Memory of this process that is in RAM, MB.
fn rss_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

//! The cache: how close it is to a map under a lock, and what a page costs that is, or is not, in it.
//!
//! Budget: a hit at most 3 times a plain `HashMap` under the same lock, whose entries have no order; a page that was
//! rendered is neither copied nor rendered again (P-R3 of the project's plan): no allocation, and no more time than a copy
//! of its bytes. What a miss, an insert with its eviction and a change cost is shown, on one thread, by the sizes.
//!
//! `cargo bench --bench cache -- [rounds]`; `BENCH_DIR` names the disk, the working directory's else.

#[path = "../src/store/cache.rs"]
#[expect(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "loads are measured through the store, and its tests run elsewhere"
)]
mod cache;
#[expect(dead_code, reason = "other benches measure more")]
mod measure;
#[path = "load/talk.rs"]
mod talk;

use std::{
    collections::HashMap,
    future::Future,
    hint::black_box,
    path::Path,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Instant,
};

use bondhu::{
    config::CacheConfig,
    id, metrics, pool,
    store::{PageRange, Rendered, StoreError, TokenDigest},
};
use tokio::runtime::Runtime;

use crate::{
    cache::{Cache, Keep, Weigh},
    id::{SessionId, UserId},
    measure::{
        allocations::Allocations,
        figures::{Rounds, Spread, float},
        row::{Goal, Row, spread},
    },
};

const ENTRIES: usize = 10_000;
const PASSES: usize = 20;
const SIZES: [usize; 2] = [200, 8_000];
/// Turns of a session whose page is asked for.
const TURNS: usize = 20;
const SESSIONS: usize = 2_000;

#[derive(Clone)]
struct Text(Vec<u8>);

impl Weigh for Text {
    fn weight(&self) -> usize {
        self.0.len()
    }
}

fn main() {
    let rounds = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(5);
    let keys: Vec<SessionId> = (0..ENTRIES).map(|_| SessionId::new()).collect();
    hits(&keys, rounds);
    for bytes in SIZES {
        changes(&keys, bytes, rounds);
    }
    let parent = std::env::var("BENCH_DIR").unwrap_or_else(|_| ".".to_owned());
    let dir = tempfile::tempdir_in(parent).expect("a directory");
    pages(dir.path(), rounds);
}

fn hits(keys: &[SessionId], rounds: usize) {
    let map = Mutex::new(keys.iter().map(|key| (*key, Arc::new(Text(Vec::new())))).collect::<HashMap<_, _>>());
    let cache = Cache::new(1 << 30);
    for key in keys {
        cache.insert(*key, Text(Vec::new()));
    }
    let compared = Rounds::run(
        rounds,
        || each(keys, |key| drop(black_box(map.lock().expect("no panic").get(key).cloned()))),
        || each(keys, |key| drop(black_box(cache.get(key)))),
    );
    compare("cache: hit", Goal::AtMost(3.0), "HashMap in a mutex", &compared);
    let missing: Vec<SessionId> = (0..ENTRIES).map(|_| SessionId::new()).collect();
    let compared = Rounds::run(
        rounds,
        || each(&missing, |key| drop(black_box(map.lock().expect("no panic").get(key).cloned()))),
        || each(&missing, |key| drop(black_box(cache.get(key)))),
    );
    compare("cache: miss, without a load", Goal::Shown, "HashMap in a mutex", &compared);
}

/// Puts entries in that push others out, and changes entries in place.
fn changes(keys: &[SessionId], bytes: usize, rounds: usize) {
    let text = Text(vec![b'x'; bytes]);
    let map = Mutex::new(HashMap::new());
    let fresh = || (0..ENTRIES).map(|_| SessionId::new()).collect::<Vec<_>>();
    // A tenth of the entries fit.
    let cache = Cache::new(ENTRIES / 10 * (bytes + 160));
    let compared = Rounds::run(
        rounds,
        || {
            let keys = fresh();
            once(&keys, |key| drop(map.lock().expect("no panic").insert(*key, Arc::new(text.clone()))))
        },
        || {
            let keys = fresh();
            once(&keys, |key| cache.insert(*key, text.clone()))
        },
    );
    let limit = "HashMap in a mutex, without eviction";
    compare(&format!("cache: insert of {bytes} B and eviction"), Goal::Shown, limit, &compared);
    drop(map);
    let cache = Cache::new(1 << 30);
    for key in keys {
        cache.insert(*key, text.clone());
    }
    let change = |text: &mut Text| {
        text.0[0] = text.0[0].wrapping_add(1);
        Keep::Yes
    };
    let compared = Rounds::run(
        rounds,
        || once(keys, |_| drop(black_box(text.clone()))),
        // Each entry is held by a reader, so that the change is to a copy.
        || {
            let held: Vec<_> = keys.iter().filter_map(|key| cache.get(key)).collect();
            let time = once(keys, |key| cache.update(key, change));
            drop(held);
            time
        },
    );
    compare(&format!("cache: change of {bytes} B that a reader holds"), Goal::Shown, "copy", &compared);
    let free = Spread::of((0..rounds).map(|_| each(keys, |key| cache.update(key, change))));
    Row::value(&format!("cache: change of {bytes} B in place"), Goal::Shown, free, "ns").print();
}

/// Pages as the HTTP front asks for them.
fn pages(dir: &Path, rounds: usize) {
    let runtime = Runtime::new().expect("a runtime");
    let user = UserId::new();
    let store = talk::open(dir, CacheConfig::default().capacity);
    let content = |n: usize| format!("I feel tired of turn {n}, and my work is too much today. {}", "x".repeat(100));
    let sessions: Vec<SessionId> = runtime.block_on(async {
        store.create_user(talk::account(user, "bench"), None).await.expect("a user");
        let mut sessions = Vec::with_capacity(SESSIONS);
        for _ in 0..SESSIONS {
            sessions.push(talk::say(&store, user, (0..TURNS * 2).map(content).collect()).await);
        }
        sessions
    });
    let (one, range) = (sessions[0], PageRange { after: None, before: None, limit: 50 });
    let body = runtime.block_on(store.page(one, range)).expect("a page").body;
    let keys = vec![one; ENTRIES];
    let before = Allocations::so_far();
    each(&keys, |key| drop(black_box(ready(store.page(*key, range)))));
    let allocated = Allocations::each_since(before, float(ENTRIES * PASSES));
    let compared = Rounds::run(
        rounds,
        || each(&keys, |_| drop(black_box(black_box(&body[..]).to_vec()))),
        || each(&keys, |key| drop(black_box(ready(store.page(*key, range))))),
    );
    compare(&format!("page of {} B, cached", body.len()), Goal::AtMost(1.0), "copy of its bytes", &compared);
    let allocations = Spread::of([allocated.count]);
    Row::value("page, cached: allocations", Goal::AtMost(0.0), allocations, "a page").print();
    let changed = Spread::of((0..rounds).map(|_| {
        // The page is rendered anew behind each message; the message's way to the disk is not timed.
        let mut time = 0.0;
        for n in 0..TURNS {
            runtime.block_on(talk::say_in(&store, user, sessions[n + 1], vec![content(0), content(1)]));
            let began = Instant::now();
            drop(black_box(runtime.block_on(store.page(sessions[n + 1], range))));
            time += began.elapsed().as_secs_f64() * 1e9;
        }
        time / float(TURNS)
    }));
    Row::value("page, first behind a new turn", Goal::Shown, changed, "ns").print();
    runtime.block_on(store.close());
    drop(store);
    // A cache that holds a few sessions only: each page is loaded, rendered, put in, and pushes another out.
    let store = talk::open(dir, 1 << 20);
    let cold = Spread::of(
        (0..rounds).map(|_| once(&sessions, |session| drop(black_box(runtime.block_on(store.page(*session, range)))))),
    );
    Row::value("page, not cached: load, insert and eviction", Goal::Shown, cold, "ns").print();
    runtime.block_on(store.close());
}

/// What a future gives that has nothing to wait for.
fn ready(future: impl Future<Output = Result<Rendered, StoreError>>) -> Rendered {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(page) => page.expect("a page"),
        Poll::Pending => panic!("the page is not cached"),
    }
}

/// Nanoseconds for each key, over many passes.
fn each(keys: &[SessionId], mut work: impl FnMut(&SessionId)) -> f64 {
    let began = Instant::now();
    for _ in 0..PASSES {
        keys.iter().for_each(&mut work);
    }
    began.elapsed().as_secs_f64() * 1e9 / float(keys.len() * PASSES)
}

/// Nanoseconds for each key.
fn once(keys: &[SessionId], work: impl FnMut(&SessionId)) -> f64 {
    let began = Instant::now();
    keys.iter().for_each(work);
    began.elapsed().as_secs_f64() * 1e9 / float(keys.len())
}

fn compare(figure: &str, goal: Goal, limit: &str, rounds: &Rounds<f64>) {
    let (of_limit, ours) = (spread(rounds.limit(|time| *time)), spread(rounds.ours(|time| *time)));
    let ratio = rounds.ratio(|time| *time);
    Row::ratio(figure, goal, format!("{limit}: {of_limit} ns"), format!("{ours} ns"), ratio).print();
}

//! Search over the messages of one user, beside a plain scan of the same text in memory with the same folding.
//!
//! Budget: 1 s over 100,000 messages, a tenth of the time after which a search is refused. How far it is from the scan is
//! shown. Messages of 300 bytes, in sessions of 200; the word that is searched stands in a thousandth of them.
//!
//! `cargo bench --bench search -- [rounds] [messages ...]`, by default 3 rounds over 10,000 and 100,000;
//! `BENCH_DIR` names the disk, the working directory's else.

#[expect(dead_code, reason = "other benches measure more")]
mod measure;
#[path = "load/talk.rs"]
mod talk;

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use bondhu::{config::CacheConfig, id::UserId, store::Store, text};
use tokio::runtime::Runtime;

use crate::{
    measure::{
        allocations::Allocations,
        figures::{Rounds, Spread, float, ms},
        row::{Goal, Row, number, spread},
    },
    talk::{open, say},
};

const IN_SESSION: usize = 200;
/// Sessions that are filled at the same time.
const WRITERS: usize = 64;
const NEEDLE: &str = "Lighthouse";
/// Messages for each that has the needle.
const RARE: usize = 1_000;
const FOUND_MAX: usize = 20;
const WITHIN: Duration = Duration::from_mins(1);

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let (rounds, sizes) = numbers.split_first().map_or((3, &[][..]), |(rounds, sizes)| (*rounds, sizes));
    let sizes = if sizes.is_empty() { &[10_000, 100_000][..] } else { sizes };
    let parent = std::env::var("BENCH_DIR").unwrap_or_else(|_| ".".to_owned());
    for &messages in sizes {
        let dir = tempfile::tempdir_in(&parent).expect("a directory");
        measure(&Arc::new(open(dir.path(), CacheConfig::default().capacity)), messages, rounds);
    }
}

fn measure(store: &Arc<Store>, messages: usize, rounds: usize) {
    let runtime = Runtime::new().expect("a runtime");
    let user = UserId::new();
    runtime.block_on(fill(store, user, messages));
    let texts: Vec<String> = (0..messages).map(content).collect();
    let needle = text::folded(NEEDLE);
    let scan = || {
        let began = Instant::now();
        black_box(texts.iter().filter(|content| text::folded(content).contains(&needle)).count());
        ms(began.elapsed())
    };
    let search = || {
        let began = Instant::now();
        let found = runtime.block_on(store.search(user, NEEDLE, FOUND_MAX, WITHIN)).expect("it is read");
        black_box(found.body.len());
        ms(began.elapsed())
    };
    search(); // What sled keeps of its pages is there from now on.
    let compared = Rounds::run(rounds, scan, search);
    let figure = format!("search over {} messages", number(float(messages)));
    let times = [compared.limit(|time| *time), compared.ours(|time| *time)].map(|time| format!("{} ms", spread(time)));
    let [limit, ours] = times;
    let ratio = compared.ratio(|time| *time);
    Row::ratio(&figure, Goal::Shown, format!("scan in memory {limit}"), ours, ratio).print();
    let goal = if messages == 100_000 { Goal::AtMost(1000.0) } else { Goal::Shown };
    Row::value(&format!("{figure}: time"), goal, compared.ours(|time| *time), "ms").print();
    let before = Allocations::so_far();
    search();
    let each = Allocations::each_since(before, float(messages));
    Row::value(&format!("{figure}: allocations"), Goal::Shown, Spread::of([each.count]), "a message").print();
    runtime.block_on(store.close());
}

async fn fill(store: &Arc<Store>, user: UserId, messages: usize) {
    store.create_user(talk::account(user, "bench"), None).await.expect("a user");
    let sessions = messages / IN_SESSION;
    let writers = (0..WRITERS).map(|writer| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            for session in (writer..sessions).step_by(WRITERS) {
                let contents = (0..IN_SESSION).map(|n| content(session * IN_SESSION + n)).collect();
                say(&store, user, contents).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("a writer ends");
    }
}

fn content(n: usize) -> String {
    let word = if n.is_multiple_of(RARE) { NEEDLE } else { "Harbour" };
    format!(
        "Day {n}: আজ আমি ভালো আছি, and we walked to the {word} by the sea. {}",
        "The Weather was kind to us. ".repeat(7)
    )
}

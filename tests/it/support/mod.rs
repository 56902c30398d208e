//! What tests share: the real binary as a child process, and a small blocking HTTP client.

pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod command;
pub(crate) mod cut;
pub(crate) mod data;
pub(crate) mod disk;
pub(crate) mod events;
pub(crate) mod faults;
pub(crate) mod figures;
pub(crate) mod gauges;
pub(crate) mod hooks;
pub(crate) mod liar;
pub(crate) mod load;
pub(crate) mod model;
pub(crate) mod random;
pub(crate) mod raw;
pub(crate) mod server;
pub(crate) mod site;
pub(crate) mod small_disk;
pub(crate) mod strace;
pub(crate) mod stub;
pub(crate) mod tab;
pub(crate) mod talk;

use std::{
    sync::Barrier,
    time::{Duration, Instant},
};

pub(crate) use client::{Client, Response};
pub(crate) use events::{Event, Events};
pub(crate) use random::Random;
pub(crate) use raw::Raw;
pub(crate) use server::{Server, text};
pub(crate) use talk::{each, encoded, list};

/// A password that every policy takes.
pub(crate) const PASSWORD: &str = "river-stone-lamp-42";

/// A setting for tests that refuse nobody, however long a busy machine has them wait for their turn.
pub(crate) const UNHURRIED: &str = "concurrency.queue_timeout_ms=60000";

/// Waits for what must become true.
#[track_caller]
pub(crate) fn comes_true(what: &str, mut is_true: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_true() {
        assert!(begun.elapsed() < Duration::from_mins(1), "it never came true: {what}");
        std::thread::yield_now();
    }
}

/// Does `work` for 0 to `count - 1` in as many threads, all begun at the same moment.
pub(crate) fn at_once<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(count);
    std::thread::scope(|scope| {
        let begin = |n| {
            let (work, start) = (&work, &start);
            scope.spawn(move || {
                start.wait();
                work(n)
            })
        };
        let running: Vec<_> = (0..count).map(begin).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

//! Allocations of this process, of all its threads: each bench has this allocator.

use std::{
    alloc::System,
    io::{BufRead, Write},
};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How much was allocated: calls that gave new or larger memory, and the bytes that they gave.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Allocations {
    pub(crate) count: f64,
    pub(crate) bytes: f64,
}

impl Allocations {
    /// Since the process began.
    pub(crate) fn so_far() -> Self {
        let stats = ALLOCATOR.stats();
        let float = |number: usize| u32::try_from(number % (1 << 32)).map_or(0.0, f64::from) + high(number);
        Self { count: float(stats.allocations) + float(stats.reallocations), bytes: float(stats.bytes_allocated) }
    }

    /// What came since `before`, for each of `operations`.
    pub(crate) fn each_since(before: Self, operations: f64) -> Self {
        Self::so_far().each_after(before, operations)
    }

    /// What is more than `before`, for each of `operations`.
    pub(crate) fn each_after(self, before: Self, operations: f64) -> Self {
        Self { count: (self.count - before.count) / operations, bytes: (self.bytes - before.bytes) / operations }
    }
}

/// What a number has above its low 32 bits.
fn high(number: usize) -> f64 {
    u32::try_from(number >> 32).map_or(0.0, |high| f64::from(high) * 4_294_967_296.0)
}

/// Answers each line of the standard input with a line of this process's allocations so far; for a server that runs
/// in the process of a bench.
pub(crate) fn tell() {
    std::thread::spawn(|| {
        for _ in std::io::stdin().lock().lines() {
            let now = Allocations::so_far();
            let mut out = std::io::stdout().lock();
            let _ = writeln!(out, "{} {}", now.count, now.bytes).and_then(|()| out.flush());
        }
    });
}

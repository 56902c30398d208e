//! The program that libFuzzer drives: it holds the rules of one target of bondhu to whatever bytes libFuzzer makes up.
//!
//! `FUZZ_TARGET` names the target. Memory is counted besides: bytes from outside must not ask for much more than they
//! are.

#![no_main]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bondhu::fuzz::{TARGETS, Target};

/// What a run may hold at once: this much, and so much for each byte that it was given.
const HELD_MAX: usize = 8 << 20;
const HELD_PER_BYTE_MAX: usize = 4 << 10;

static TARGET: OnceLock<&Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        let target = TARGETS.iter().find(|target| target.name == name);
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        let target = target.unwrap_or_else(|| panic!("FUZZ_TARGET must be one of {}", names.join(", ")));
        let _ = TARGET.set(target);
    },
    |bytes: &[u8]| {
        let before = MEMORY.held.load(Relaxed);
        MEMORY.most.store(before, Relaxed);
        (TARGET.get().expect("it was set at the start").run)(bytes);
        let held = MEMORY.most.load(Relaxed) - before;
        let most = HELD_MAX + HELD_PER_BYTE_MAX * bytes.len();
        assert!(held <= most, "{} bytes made it hold {held}; at most {most} are allowed", bytes.len());
    }
);

/// The system's memory, counted.
struct Counted {
    held: AtomicUsize,
    most: AtomicUsize,
}

#[global_allocator]
static MEMORY: Counted = Counted { held: AtomicUsize::new(0), most: AtomicUsize::new(0) };

// Both are the system's own, called with what they were called with.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = self.held.fetch_add(layout.size(), Relaxed) + layout.size();
        self.most.fetch_max(held, Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        self.held.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(at, layout) }
    }
}

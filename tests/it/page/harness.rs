//! The harness itself: each of its parts works, and each can fail.

mod console;
mod device;
mod hands;
mod journey;
mod network;
mod rules;
mod windows;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a step says that has to fail.
#[track_caller]
fn failure<T>(step: impl FnOnce() -> T) -> String {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(_) => panic!("it did not fail"),
        Err(said) => said.downcast_ref::<String>().cloned().unwrap_or_default(),
    }
}

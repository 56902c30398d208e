//! Behaviour, from outside: through HTTP, the command line and the data directory of the real binary.

#![expect(clippy::unwrap_used, reason = "a test that can't go on ends")]

mod support;

mod index;
mod journey;
mod matrix;
mod smoke;
mod tidy;

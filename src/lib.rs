//! bondhu: the whole back end of a multi-user AI companion chat in one executable.
//!
//! The modules in reading order, from the command line down to the clock. Imports point down the list's levels only;
//! `tests/it/tidy.rs` enforces it, ARCHITECTURE.md explains it.
//!
//! - [`cli`]: the command line, as types for clap and nothing that acts.
//! - [`fuzz`]: what must hold whatever bytes come, for `tests/fuzz/run` and the tests; no part of the program.
//! - [`commands`]: what each subcommand does, one file for each; `serve` is the server from its start to its end.
//! - [`http`]: everything that a client sees, from the connection to the words of an error.
//! - [`app`]: every long-lived part, built once, in dependency order.
//! - [`monitor`]: what operators see: figures, their last day, alerts, security events.
//! - [`control`]: how commands reach a running server, by a socket in the data directory.
//! - [`jobs`]: work that the server does by itself and that outlives it: the durable queue's runner, one file for each kind.
//! - [`chat`]: sessions and turns, the rules of the product; a turn belongs to the server, not to the request.
//! - [`backup`]: backups of the data directory, and data directories from backups.
//! - [`auth`]: who is asking: accounts, passwords, logins.
//! - [`import`]: files of other systems and servers, read as one stream.
//! - [`store`]: everything that outlives the process, behind one seam: the journal is the truth, sled its index.
//! - [`reply`]: what makes replies: the built-in companion with its rules in data files, or a model's servers.
//! - [`admission`]: limits of users by buckets, replies at once by slots.
//! - [`alerts`]: conditions that must last, word of when they begin and end, and its signature.
//! - [`client`]: outbound HTTP, bounded in time and bytes: one answer, or one that streams.
//! - [`sse`]: event-stream frames, read and written.
//! - [`completions`]: the wire of OpenAI's chat completions, as types.
//! - [`checker`]: what clients were told, held against the promises.
//! - [`metrics`]: counters, gauges and histograms, and their text for Prometheus.
//! - [`logging`]: log lines that never hold up a request.
//! - [`config`]: what can be set, read from file, environment and flags, with all faults at once.
//! - [`pool`]: bounded threads for work that blocks or computes long.
//! - [`web`]: the files of the chat page, compiled in.
//! - [`text`]: text from outside, validated once at the edge.
//! - [`id`]: identifiers that remember what they name, and sequence numbers.
//! - [`clock`]: time; the only place that reads the wall clock.
//!
//! [`fuzz`]: self

pub mod admission;
pub mod alerts;
pub mod app;
pub mod auth;
pub mod backup;
pub mod chat;
pub mod checker;
pub mod cli;
pub mod client;
pub mod clock;
pub mod commands;
pub mod completions;
pub mod config;
pub mod control;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod http;
pub mod id;
pub mod import;
pub mod jobs;
pub mod logging;
pub mod metrics;
pub mod monitor;
pub mod pool;
pub mod reply;
pub mod sse;
pub mod store;
pub mod text;
pub mod web;

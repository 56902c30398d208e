//! What tests share: the real binary as a child process, and a small blocking HTTP client.

pub(crate) mod client;
pub(crate) mod server;

pub(crate) use client::{Client, Response};
pub(crate) use server::Server;

/// A password that every policy takes.
pub(crate) const PASSWORD: &str = "river-stone-lamp-42";

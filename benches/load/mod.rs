//! What the benches under load share: bondhu in a process of its own, its users and connections.
//!
//! Knows nothing of what is measured. Everything goes over loopback.

pub(crate) mod client;
pub(crate) mod server;

//! What the benches under load share: bondhu in a process of its own, its users, connections, and figures.
//!
//! Knows nothing of what is measured. Everything goes over loopback.

pub(crate) mod client;
pub(crate) mod figures;
pub(crate) mod server;

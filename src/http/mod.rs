//! Everything that a client sees: connections, requests, identity on the wire, answers and their words.
//!
//! No rule of the product lives here, and nothing here knows how data is kept: a request is decoded, asked of
//! [`App`](crate::app::App)'s parts, and what they say is worded. A request reads from top to bottom through
//! `server`, `service`, `routes`, `api`, `response`.

mod api;
mod body;
mod counts;
mod credentials;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod handover;
mod origin;
mod problem;
mod query;
mod repeats;
mod request;
mod response;
pub mod routes;
mod server;
mod service;
#[cfg(test)]
mod testing;
mod tls;
mod unread;
mod wire;

pub use server::{Listening, serve};
pub use tls::{Tls, TlsError};

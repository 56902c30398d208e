//! bondhu: the whole back end of a multi-user AI companion chat in one executable.

pub mod admission;
pub mod app;
pub mod auth;
pub mod chat;
pub mod cli;
pub mod client;
pub mod clock;
pub mod commands;
pub mod config;
pub mod control;
pub mod http;
pub mod id;
pub mod logging;
pub mod pool;
pub mod reply;
pub mod store;
pub mod text;

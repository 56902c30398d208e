//! The handlers, by resource: decode, ask, answer. A rule of the product has no place here.

pub(super) mod about;
pub(super) mod admin;
pub(super) mod auth;
pub(super) mod chat;
pub(super) mod events;
pub(super) mod health;
pub(super) mod keys;
pub(super) mod messages;
pub(super) mod metrics;
pub(super) mod pages;
pub(super) mod search;
pub(super) mod sessions;
pub(super) mod v1;

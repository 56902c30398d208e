//! The page, in a real Chromium, as people use it.

mod account;
mod api_keys;
mod connection;
mod dashboard;
mod docs;
mod harness;
mod hostile;
mod journeys;
mod keyboard;
mod labels;
mod languages;
mod leaving;
mod long;
mod looks;
mod markdown;
mod mishaps;
mod person;
mod pictures;
mod programs;
mod replies;
mod sessions;
mod visits;
mod windows;

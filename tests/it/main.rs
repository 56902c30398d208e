//! Behaviour, from outside: through HTTP, the command line and the data directory of the real binary.

#![expect(clippy::unwrap_used, reason = "a test that can't go on ends")]

mod support;

mod about;
mod accounts;
mod admin;
mod assets;
mod browser_rules;
mod context;
mod copy;
mod crash;
mod damage;
mod deletion;
mod fairness;
mod faults;
mod floods;
mod histories;
mod idempotency;
mod index;
mod inputs;
mod journey;
mod lifecycle;
mod limits;
mod live;
mod load_command;
mod logins;
mod matrix;
mod model;
mod odd_requests;
mod operator;
mod outcomes;
mod outcomes_anew;
mod page;
mod pages;
mod power;
mod races;
mod reload;
mod resume;
mod retries;
mod safety;
mod search;
mod secrets;
mod sessions;
mod smoke;
mod storms;
mod streams;
mod stub;
mod tabs;
mod threats;
mod tidy;
mod tls;
mod upstream;
mod upstream_failures;
mod wire;
mod words;

//! Durable turns: a message is sent, the companion replies, and both are on disk before the answer.

use std::{sync::Arc, time::Duration};

use crate::{
    closed::{self, Own},
    load::{
        client::{self, User},
        server::Server,
    },
    measure::{
        figures::Spread,
        row::{Goal, Row, number},
    },
};

/// Turns a second of the stack that bondhu replaces, as its owner measured them.
const OLD_STACK: f64 = 510.0;
const CONNECTIONS: usize = 64;
/// For counts.
const TURNS: usize = 4_000;
const SETTINGS: [&str; 2] = ["concurrency.max=1000", "concurrency.min=1000"];

pub(crate) fn run(time: Duration, rounds: usize) {
    let server = Server::offline(&SETTINGS, false);
    let own = says(&server);
    let loops: Vec<_> = (0..rounds)
        .map(|_| closed::run(&server, CONNECTIONS, time, |a, n, asked| own.clone().ask(a, n, asked)))
        .collect();
    let rate = Spread::of(loops.iter().map(|each| each.per_second));
    let name = |what: &str| format!("durable turns over HTTP, {CONNECTIONS} connections: {what}");
    let row = Row::value(&name("a second"), Goal::AtLeast(20.0 * OLD_STACK), rate, "a second");
    row.beside(&format!("old stack {} a second", number(OLD_STACK))).print();
    Row::value(&name("CPU"), Goal::Shown, Spread::of(loops.iter().map(|each| each.cpu)), "us").print();
    if let Some(calls) = closed::calls(&server, CONNECTIONS, TURNS, |a, n, asked| own.clone().ask(a, n, asked)) {
        let calls_of = |count| Spread::of([count]);
        Row::value(&name("system calls"), Goal::Shown, calls_of(calls.calls + calls.waits), "a turn").print();
        Row::value(&name("syncs a message"), Goal::AtMost(0.1), calls_of(calls.syncs / 2.0), "a message").print();
    }
    drop(server);
    let counted = Server::counted(&SETTINGS);
    let own = says(&counted);
    let each = closed::allocations(&counted, CONNECTIONS, TURNS, |a, n, asked| own.clone().ask(a, n, asked));
    Row::value(&name("allocations"), Goal::Shown, Spread::of([each.count]), "a turn").print();
    Row::value(&name("allocated"), Goal::Shown, Spread::of([each.bytes / 1024.0]), "KiB a turn").print();
}

/// A request for each connection, with a user of its own.
fn says(server: &Server) -> Own {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let users = runtime.block_on(client::users(server.address, CONNECTIONS, 1));
    let say = |user: &User| user.say(0, "I feel tired, and my work is too much today", false);
    Own(Arc::new(users.iter().map(say).collect()))
}

//! Floods: of logins, of connections, of clients that are slow on purpose, of heads that never end. Others are served, the
//! memory stays bounded, and in the end nothing is held.
//!
//! `BONDHU_FLOOD=N` makes each N times as large.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::support::{Client, PASSWORD, Raw, Server, at_once, comes_true, text};

/// By how much a flood of this size may make the server grow; a fault that keeps what comes takes far more.
const GROWTH_KIB_MAX: usize = 64 << 10;

fn times() -> usize {
    std::env::var("BONDHU_FLOOD").map_or(1, |times| times.parse().unwrap())
}

/// Says something again and again until `done`, and wants it answered; gives how often.
fn chats(client: &mut Client, done: &AtomicBool) -> usize {
    let (session, mut said) = (client.session(), 0);
    while !done.load(Ordering::Acquire) || said == 0 {
        client.say(&session, "still here");
        said += 1;
    }
    said
}

#[test]
fn p6_a_flood_of_logins_costs_bounded_memory_and_neither_chat_nor_the_right_password() {
    // As many hashes as the machine can make, with the memory that each takes by default.
    let server = Server::start(&["auth.argon2.memory_kib=19456", "auth.argon2.iterations=2"]);
    let amina = server.user("amina").0.another_tab(&server); // Whose first connection is closed.
    let wanted = 160 * times();
    let (sent, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let before = server.memory_kib();
    let statuses = at_once(34, |n| match n {
        0 => {
            chats(&mut amina.another_tab(&server), &done);
            Vec::new()
        }
        1 => {
            // The owner comes from the same address, and waits as long as it is told to.
            let (mut owner, begun) = (server.client(), Instant::now());
            let credentials = json!({"username": "amina", "password": PASSWORD});
            while owner.post("/api/v1/auth/login", &credentials).status != 200 {
                assert!(begun.elapsed() < Duration::from_mins(1), "the right password never got through");
                std::thread::yield_now();
            }
            Vec::new()
        }
        _ => {
            let mut statuses = Vec::new();
            // Of accounts that are known to others: each name is tried once, so that no delay of an account is in the way.
            while sent.fetch_add(1, Ordering::Relaxed) < wanted {
                let name = format!("name-{n}-{}", statuses.len());
                let body = json!({"username": name, "password": "one long secret of 26"});
                let answer = server.client().post("/api/v1/auth/register", &body);
                assert_eq!(answer.header("retry-after").is_some(), answer.status == 503, "{}", answer.text());
                statuses.push(answer.status);
            }
            done.store(true, Ordering::Release);
            statuses
        }
    });
    let statuses = statuses.concat();
    assert!(statuses.iter().all(|status| matches!(status, 201 | 503)), "{statuses:?}");
    let cores = std::thread::available_parallelism().unwrap().get();
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX + cores * 19_456, "{grown} KiB");
    server.settles();
    assert!(!server.settled_log().iter().any(|line| line.contains("panicked")));
}

#[test]
fn p6_connections_over_the_cap_cost_nothing_and_who_is_in_is_served() {
    let server = Server::start(&["server.connections=100"]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    let before = server.memory_kib();
    for _ in 0..3 * times() {
        let crowd: Vec<_> = (0..400).map(|_| Raw::to(&server)).collect();
        amina.say(&session, "still here");
        drop(crowd);
    }
    assert!(server.memory_kib().saturating_sub(before) < GROWTH_KIB_MAX);
    server.settles_but(1);
    // A place is given back just after its socket is closed.
    let is_let_in = || server.client().send("GET", "/health", &[], None).is_ok_and(|answer| answer.status == 200);
    comes_true("a newcomer is let in again", is_let_in);
    server.is_calm();
}

#[test]
fn p6_slow_heads_slow_bodies_and_slow_readers_are_reaped_while_others_are_served() {
    let server = Server::start(&["server.header_timeout_ms=1500", "server.body_timeout_ms=1500"]);
    let (amina, _) = server.user("amina");
    let (mut slow, _) = server.user("slow");
    let (session, token) = (slow.session(), slow.token.clone().unwrap());
    let host = format!("host: {}\r\n", server.address);
    let before = server.memory_kib();
    let mut crowd = Vec::new();
    for n in 0..300 * times() {
        let mut raw = Raw::to(&server);
        match n % 3 {
            0 => raw.send(format!("GET /ready HTTP/1.1\r\n{host}x-slow: ")),
            1 => raw.send(format!(
                "POST /api/v1/sessions/{session}/messages HTTP/1.1\r\n{host}authorization: Bearer {token}\r\n\
                 content-type: application/json\r\ncontent-length: 15\r\n\r\n{{\"c"
            )),
            _ => raw.send(format!("GET /ready HTTP/1.1\r\n{host}\r\n").repeat(50)), // And none of the answers is read.
        };
        crowd.push(raw);
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| chats(&mut amina.another_tab(&server), &done));
        // A byte now and then makes no head and no body come in time.
        let begun = Instant::now();
        let mut open: Vec<_> = crowd.iter_mut().enumerate().filter(|(n, _)| n % 3 < 2).map(|(_, raw)| raw).collect();
        while server.connections() > 120 * times() {
            for raw in &mut open {
                raw.send("a");
            }
            assert!(begun.elapsed() < Duration::from_mins(1), "{} are still there", server.connections());
        }
        done.store(true, Ordering::Release);
    });
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX * times(), "{grown} KiB");
    drop(crowd);
    server.settles_but(1);
    assert_eq!(slow.another_tab(&server).page(&session, "")["head"], 0);
    server.is_calm();
}

#[test]
fn p6_heads_that_never_end_are_cut_off_at_their_bound() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    let before = server.memory_kib();
    let bomb =
        format!("GET /ready HTTP/1.1\r\nhost: {}\r\n{}", server.address, "x-bomb: 0123456789\r\n".repeat(60_000));
    at_once(16, |_| {
        for _ in 0..5 * times() {
            let mut raw = Raw::to(&server);
            let answer = raw.send(&bomb).answer();
            assert!(answer.is_none_or(|answer| answer.status == 431));
        }
    });
    amina.say(&session, "still here");
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB");
    server.settles_but(1);
    server.is_calm();
}

#[test]
fn p4_a_login_does_the_same_work_for_a_name_that_is_there_that_is_shut_and_that_is_not() {
    // So much work for one hash that what else a login does is lost in it: counted in CPU time of the hashing threads.
    let server = Server::start(&["auth.argon2.memory_kib=65536", "auth.argon2.iterations=1"]);
    server.user("amina");
    server.user("shut");
    server.command(&["user", "disable", "shut"], "").ok();
    let names = ["amina", "shut", "nobody"];
    let mut ticks = [0; 3];
    for _ in 0..4 {
        // In turns, so that what else the machine does falls on all of them.
        for (name, ticks) in names.iter().zip(&mut ticks) {
            let before = server.ticks_of("bondhu-hash");
            let login = json!({"username": name, "password": "not it, not at all"});
            assert_eq!(server.client().post("/api/v1/auth/login", &login).status, 401);
            *ticks += server.ticks_of("bondhu-hash") - before;
        }
    }
    let (least, most) = (ticks.iter().min().unwrap(), ticks.iter().max().unwrap());
    assert!(*least > 20, "too little to compare, or no work at all: {ticks:?}");
    assert!(*most < least * 2, "one kind of name costs more than another: {ticks:?}");
    assert_eq!(text(&server.parts()["store"]), "ready");
}

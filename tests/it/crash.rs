//! kill -9 under load, again and again: nothing that was acknowledged is lost, nothing comes twice.
//!
//! `BONDHU_KILLS` says how often, and `BONDHU_KILL_SECONDS` after how long no other directory is begun.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::support::{
    Random, Server,
    data::check_passes,
    load::{Pace, World},
};

/// Kills in one run, where nothing else is said, and in one directory, which is then left for an empty one.
const KILLS: usize = 25;
const KILLS_OF_DIRECTORY: usize = 10;
const PACE: Pace = Pace { senders: 64, padding: 50 };
/// Small enough that kills also hit the change from one segment to the next.
const SETTINGS: [&str; 1] = ["data.segment=1MiB"];

/// What a run came to.
#[derive(Default)]
struct Totals {
    kills: usize,
    acknowledged: usize,
    repeated: usize,
    early: usize,
    /// How long each start took until the server was ready.
    starts: Vec<Duration>,
}

#[test]
fn nothing_acknowledged_is_lost_by_kills_under_64_senders() {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<usize>().unwrap());
    let kills = number("BONDHU_KILLS").unwrap_or(KILLS);
    let until = number("BONDHU_KILL_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds as u64));
    let mut random = Random::seeded("crash");
    let mut totals = Totals::default();
    while totals.kills < kills && until.is_none_or(|until| Instant::now() < until) {
        kill_repeatedly(KILLS_OF_DIRECTORY.min(kills - totals.kills), &mut random, &mut totals);
    }
    let Totals { kills, acknowledged, repeated, early, mut starts } = totals;
    starts.sort_unstable();
    let (half, longest) = (starts[starts.len() / 2].as_millis(), starts[starts.len() - 1].as_millis());
    eprintln!(
        "crash: {kills} kills, {acknowledged} acknowledged, 0 lost, {repeated} repeated by their keys, {early} more kills \
         during a start; ready after {half} ms (half), {longest} ms (all)"
    );
    assert!(repeated > 0, "no kill hit a send with a key: the load is too light to show anything");
}

/// Kills the servers of one directory, and compares what they show with what was acknowledged.
fn kill_repeatedly(kills: usize, random: &mut Random, totals: &mut Totals) {
    let mut server = Server::start(&SETTINGS);
    let world = World::new(&server, 4, 5);
    for cycle in 0..kills {
        let load = world.send(server.address, PACE, random);
        world.wait_for_more(&load, random.below(400));
        server.kill();
        load.join();
        check_passes(&server.data);
        if cycle % 3 == 2 {
            totals.early += usize::from(killed_at_start(&server, random));
            check_passes(&server.data);
        }
        let started = Instant::now();
        server = server.restart(&SETTINGS);
        totals.starts.push(started.elapsed());
        let log = server.log().join("\n");
        assert!(!log.contains("rebuilding the index"), "a kill is no reason to rebuild: {log}");
        world.compare(server.address, &world.snapshot());
        totals.repeated += world.repeat_unknown(server.address);
        totals.kills += 1;
    }
    world.compare(server.address, &world.snapshot());
    totals.acknowledged += world.stored();
}

/// Kills a server somewhere in its start; true where it had not got ready.
fn killed_at_start(server: &Server, random: &mut Random) -> bool {
    let after = format!("0.{:03}", 5 + random.below(150));
    let wrapper = ["timeout", "-s", "KILL", &after];
    match Server::try_start(server.dir(), server.data.clone(), &SETTINGS, &wrapper) {
        Ok(mut server) => {
            server.wait();
            false
        }
        Err(_) => true,
    }
}

#[test]
fn a_second_server_on_the_directory_is_refused_and_so_is_check() {
    let server = Server::start(&[]);
    let log = Server::try_start(Arc::clone(&server.dir()), server.data.clone(), &[], &[]).err().unwrap().join("\n");
    assert!(log.contains("is in use by another bondhu process"), "{log}");
    let said = crate::support::data::check(&server.data).unwrap_err();
    assert!(said.contains("is in use by a server"), "{said}");
    server.client().get("/health").expect(200);
}

//! kill -9 under load, again and again: nothing that was acknowledged is lost, nothing comes twice.

use std::sync::Arc;

use crate::support::{
    Random, Server,
    data::check_passes,
    load::{Pace, World},
};

const DIRECTORIES: usize = 5;
const CYCLES: usize = 10;
const PACE: Pace = Pace { senders: 64, padding: 50 };
/// Small enough that kills also hit the change from one segment to the next.
const SETTINGS: [&str; 1] = ["data.segment=1MiB"];

#[test]
fn nothing_acknowledged_is_lost_by_50_kills_under_64_senders() {
    let mut random = Random::seeded("crash");
    let (mut acknowledged, mut repeated, mut early) = (0, 0, 0);
    for _ in 0..DIRECTORIES {
        let mut server = Server::start(&SETTINGS);
        let world = World::new(&server, 4, 5);
        for cycle in 0..CYCLES {
            let load = world.send(server.address, PACE, &mut random);
            world.wait_for_more(&load, random.below(400));
            server.kill();
            load.join();
            check_passes(&server.data);
            if cycle % 3 == 2 {
                early += usize::from(killed_at_start(&server, &mut random));
                check_passes(&server.data);
            }
            server = server.restart(&SETTINGS);
            let log = server.log().join("\n");
            assert!(!log.contains("rebuilding the index"), "a kill is no reason to rebuild: {log}");
            world.compare(server.address, &world.snapshot());
            repeated += world.repeat_unknown(server.address);
        }
        world.compare(server.address, &world.snapshot());
        acknowledged += world.snapshot().len();
    }
    eprintln!("crash: {acknowledged} sends, {repeated} repeated by their keys, {early} kills during a start");
    assert!(repeated > 0, "no kill hit a send with a key: the load is too light to show anything");
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

//! Backups by a plain `cp -a` of the live directory: every one starts and holds what was acknowledged before it began.

use std::path::Path;

use crate::support::{
    Random, Server,
    data::{check_passes, copy, files, segments},
    load::{Pace, Told, World},
};

/// Copies in every run; `BONDHU_TEST_COPIES` asks for more.
const COPIES: usize = 3;
const BYTES: u64 = 80 << 20; // Two sealed segments and one that is written.
const SETTINGS: [&str; 3] = ["chat.message_chars_max=16384", "data.index_cache=32MiB", "data.segment=32MiB"];
/// A message is 64 KiB at the most.
const LARGE: Pace = Pace { senders: 16, padding: 16_350 };
const BUSY: Pace = Pace { senders: 16, padding: 300 };

fn size(dir: &Path) -> u64 {
    files(dir).iter().map(|path| path.metadata().map_or(0, |metadata| metadata.len())).sum()
}

#[test]
fn a_live_copy_starts_and_holds_everything_acknowledged_before_it() {
    let mut random = Random::seeded("copy");
    let copies = std::env::var("BONDHU_TEST_COPIES").map_or(COPIES, |copies| copies.parse().unwrap());
    let server = Server::start(&SETTINGS);
    let world = World::new(&server, 8, 16);
    let load = world.send(server.address, LARGE, &mut random);
    while size(&server.data.join("journal")) < BYTES {
        assert!(world.wait_for_more(&load, 50));
    }
    load.stop();
    for number in 0..copies {
        let load = world.send(server.address, BUSY, &mut random);
        assert!(world.wait_for_more(&load, 100));
        let before = world.snapshot();
        let at = server.dir().path().join(format!("copy-{number}"));
        copy(&server.data, &at);
        load.stop();
        let held = holds_all(&server, &at, &world, &before);
        eprintln!("copy {number}: {} bytes, {} sends before it, {held} messages in it", size(&at), before.len());
        std::fs::remove_dir_all(&at).unwrap();
    }
    world.compare(server.address, &world.snapshot());
}

#[test]
fn a_copy_that_the_writer_overtook_holds_everything_before_it() {
    let mut random = Random::seeded("copy");
    let server = Server::start(&[]);
    let world = World::new(&server, 2, 2);
    let load = world.send(server.address, Pace { senders: 8, padding: 300 }, &mut random);
    assert!(world.wait_for_more(&load, 100));
    let before = world.snapshot();
    let at = server.dir().path().join("copy");
    copy(&server.data, &at);
    // What cp reads of a file that grows: its pages one after another, each of another moment.
    let path = segments(&server.data).pop().unwrap();
    let (early, page) = loop {
        let bytes = std::fs::read(&path).unwrap();
        let end = bytes.iter().rposition(|&byte| byte != 0).unwrap();
        let page = end.next_multiple_of(4096);
        // The page has room for the beginning of another frame.
        if page - end > 200 {
            break (bytes, page);
        }
    };
    assert!(world.wait_for_more(&load, 100));
    let late = std::fs::read(&path).unwrap();
    load.stop();
    assert_ne!(early[..page], late[..page]);
    let mixed = [&early[..page], &late[page..]].concat();
    std::fs::write(at.join("journal").join(path.file_name().unwrap()), mixed).unwrap();
    holds_all(&server, &at, &world, &before);
}

/// Starts the copy and compares it with `before`; what came after may be there too. Gives how many messages it has.
pub(crate) fn holds_all(server: &Server, at: &Path, world: &World, before: &[crate::support::load::Sent]) -> usize {
    let said = check_passes(at);
    assert!(said.contains("the next start rebuilds it"), "{said}");
    let copied = Server::start_in(server.dir(), at.to_owned(), &SETTINGS);
    let log = copied.log().join("\n");
    assert!(log.contains("rebuilding the index from the journal"), "{log}");
    // Nothing is known of what was sent while it was copied, but that it is there once or not at all.
    let mut known = before.to_vec();
    let later = world.snapshot().split_off(before.len());
    known.extend(later.into_iter().map(|mut sent| {
        sent.told = Told::Unknown;
        sent
    }));
    world.compare(copied.address, &known)
}

#[test]
fn a_copy_that_was_put_back_over_the_original_gets_a_new_index() {
    let mut random = Random::seeded("copy");
    let mut server = Server::start(&[]);
    let world = World::new(&server, 2, 2);
    let load = world.send(server.address, Pace { senders: 8, padding: 300 }, &mut random);
    assert!(world.wait_for_more(&load, 100));
    let before = world.snapshot();
    let at = server.dir().path().join("copy");
    copy(&server.data, &at);
    load.stop();
    assert!(server.stop().success());
    // The files keep their inodes and births: only what is in them is another.
    copy(&at.join("."), &server.data);
    holds_all(&server, &server.data, &world, &before);
}

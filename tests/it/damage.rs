//! Damaged files: rebuilt where the journal knows better, refused by name where it is the journal, never served.

use std::{
    fs::OpenOptions,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value, json};

use crate::support::{
    Client, Random, Server,
    data::{check, check_passes, copy, segments},
    load::{Pace, World, settled},
};

const SETTINGS: [&str; 3] = ["data.segment=1MiB", "data.index_cache=1MiB", "cache.capacity=1MiB"];

/// A stopped server's directory with a few segments, and all that its users see.
struct Fixture {
    keep: Arc<tempfile::TempDir>,
    data: PathBuf,
    world: World,
    shown: Vec<Vec<Value>>,
}

impl Fixture {
    fn new(sends: usize) -> Self {
        let mut server = Server::start(&SETTINGS);
        let world = World::new(&server, 3, 2);
        let load = world.send(server.address, Pace { senders: 8, padding: 250 }, &mut Random::seeded("damage"));
        assert!(world.wait_for_more(&load, sends));
        load.stop();
        let shown = shown(&server, &world);
        assert!(server.stop().success());
        let data = server.data.clone();
        Self { keep: server.dir(), data, world, shown }
    }

    /// Starts, and wants everything to be as it was.
    fn assert_whole(&self, what: &str) {
        check_passes(&self.data);
        let mut server = Server::start_in(Arc::clone(&self.keep), self.data.clone(), &SETTINGS);
        assert!(shown(&server, &self.world) == self.shown, "{what}: another answer than before");
        assert!(server.stop().success());
    }

    /// Wants the start and `check` to be refused with all of these words.
    fn assert_refused(&self, words: &[&str]) {
        let log = Server::try_start(Arc::clone(&self.keep), self.data.clone(), &SETTINGS, &[]).err();
        let log = log.unwrap_or_else(|| panic!("it starts: {words:?}")).join("\n");
        let said = check(&self.data).expect_err("check finds nothing");
        for word in words {
            assert!(log.contains(word), "{word:?} is not in: {log}");
            assert!(said.contains(word), "{word:?} is not in: {said}");
        }
    }
}

fn shown(server: &Server, world: &World) -> Vec<Vec<Value>> {
    let of_account = |account: &crate::support::load::Account| {
        let mut client = Client::with_token(server.address, &account.token);
        account.sessions.iter().map(|session| settled(&mut client, session)).collect::<Vec<_>>()
    };
    world.accounts.iter().flat_map(of_account).collect()
}

/// Flips one bit.
fn flip(path: &Path, offset: u64, bit: u32) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    byte[0] ^= 1 << bit;
    file.write_all_at(&byte, offset).unwrap();
}

#[test]
fn a_damaged_index_is_rebuilt_before_anyone_sees_it() {
    let fixture = Fixture::new(300);
    let mut random = Random::seeded("damage");
    let db = fixture.data.join("index/db");
    let length = || db.metadata().unwrap().len();
    std::fs::remove_dir_all(fixture.data.join("index")).unwrap();
    fixture.assert_whole("no index");
    std::fs::remove_file(&db).unwrap();
    fixture.assert_whole("no db");
    OpenOptions::new().write(true).open(&db).unwrap().set_len(length() / 2).unwrap();
    fixture.assert_whole("a cut db");
    OpenOptions::new().write(true).open(&db).unwrap().set_len(0).unwrap();
    fixture.assert_whole("an empty db");
    std::fs::write(&db, b"this is no database").unwrap();
    fixture.assert_whole("another file in its place");
    std::fs::write(fixture.data.join("index/conf"), b"what").unwrap();
    fixture.assert_whole("another conf");
    std::fs::write(fixture.data.join("index/checkpoint"), [7; 1024]).unwrap();
    fixture.assert_whole("no checkpoint");
    for _ in 0..3 {
        for _ in 0..20 {
            flip(&db, random.next() % length(), 3);
        }
        fixture.assert_starts_right("flipped bits");
    }
}

impl Fixture {
    /// Starts as often as it takes the server to find the damage out: each answer is right or an error, and in the end
    /// everything is right. `check` may see the damage before.
    fn assert_starts_right(&self, what: &str) {
        for _ in 0..5 {
            let server = Server::try_start(Arc::clone(&self.keep), self.data.clone(), &SETTINGS, &[]);
            let mut server = server.unwrap_or_else(|log| panic!("{what}: {}", log.join("\n")));
            if self.read_all(&server, what) {
                assert!(server.stop().success());
                check_passes(&self.data);
                return;
            }
            assert_eq!(server.wait().code(), Some(1), "{what}: {}", server.log().join("\n"));
        }
        panic!("{what}: the index is never rebuilt");
    }

    /// Reads everything; false where an answer failed. An answer that is given must be right.
    fn read_all(&self, server: &Server, what: &str) -> bool {
        let sessions =
            self.world.accounts.iter().flat_map(|account| account.sessions.iter().map(move |id| (account, id)));
        for ((account, session), wanted) in sessions.zip(&self.shown) {
            let mut client = Client::with_token(server.address, &account.token);
            let mut after = 0;
            while after < wanted.len() {
                let path = format!("/api/v1/sessions/{session}/messages?after={after}&limit=50");
                let Ok(answer) = client.send("GET", &path, &[], None) else { return false };
                if answer.status >= 500 {
                    return false;
                }
                let page = answer.expect(200).json()["messages"].as_array().unwrap().clone();
                assert!(page == wanted[after..wanted.len().min(after + 50)], "{what}: another page than before");
                after += page.len();
            }
        }
        true
    }
}

#[test]
fn an_index_that_is_damaged_while_it_is_used_gives_right_answers_or_none() {
    let fixture = Fixture::new(1500);
    let db = fixture.data.join("index/db");
    let mut server = Server::start_in(Arc::clone(&fixture.keep), fixture.data.clone(), &SETTINGS);
    let file = OpenOptions::new().write(true).open(&db).unwrap();
    let length = file.metadata().unwrap().len();
    for offset in (0..length).step_by(16 << 10) {
        file.write_all_at(&[0xA5; 8 << 10], offset).unwrap();
    }
    let first = fixture.read_all(&server, "overwritten");
    eprintln!("damage: the running server {} it", if first { "did not meet" } else { "met" });
    if first {
        server.kill();
    } else {
        assert_eq!(server.wait().code(), Some(1));
    }
    fixture.assert_starts_right("overwritten while it ran");
}

#[test]
fn a_damaged_journal_is_refused_by_segment_and_offset() {
    let fixture = Fixture::new(1200);
    let mut random = Random::seeded("damage");
    let paths = segments(&fixture.data);
    assert!(paths.len() > 1, "a sealed segment is wanted");
    for number in 0..24 {
        let path = &paths[number % paths.len()];
        let whole = std::fs::read(path).unwrap();
        // Where no padding is, which nobody reads; the last byte of a payload is never far.
        let offset = loop {
            let offset = 64 + random.below(whole.len() - 64);
            if whole[offset] != 0 {
                break offset;
            }
        };
        flip(path, offset as u64, 5);
        fixture.assert_refused(&[path.to_str().unwrap(), "at offset "]);
        std::fs::write(path, whole).unwrap();
    }
    let path = &paths[0];
    let whole = std::fs::read(path).unwrap();
    flip(path, 20, 1);
    fixture.assert_refused(&[path.to_str().unwrap(), "at offset 0", "header is wrong"]);
    let mut newer = whole.clone();
    newer[8] = 9;
    let checksum = crc32fast::hash(&newer[..60]);
    newer[60..64].copy_from_slice(&checksum.to_le_bytes());
    std::fs::write(path, newer).unwrap();
    fixture.assert_refused(&[path.to_str().unwrap(), "was written by a newer bondhu (format 9"]);
    std::fs::write(path, &whole[..whole.len() - 100]).unwrap();
    fixture.assert_refused(&[path.to_str().unwrap(), "the segment's end is missing"]);
    std::fs::remove_file(path).unwrap();
    fixture.assert_refused(&[path.to_str().unwrap(), "the segment is missing"]);
    std::fs::write(path, whole).unwrap();
    fixture.assert_whole("the journal as it was");
}

#[test]
fn an_end_that_is_cut_anywhere_loses_the_last_frame_and_nothing_else() {
    let mut server = Server::start(&[]);
    let (mut client, _) = server.user("amina");
    let session = client.post("/api/v1/sessions", &json!({})).expect(201).json()["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/sessions/{session}/messages");
    client.post(&path, &json!({"content": "hello"})).expect(201);
    let before = settled(&mut client, &session);
    server.kill();
    let segment = segments(&server.data).pop().unwrap();
    let bytes = std::fs::read(&segment).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    let last = (0..end).rev().find(|&at| bytes[at..].starts_with(b"bFrm")).unwrap();
    // `check` sees each of them; the server itself is started for some.
    for cut in last..end {
        let at = server.dir().path().join("cut");
        let _ = std::fs::remove_dir_all(&at);
        std::fs::create_dir_all(at.join("journal")).unwrap();
        std::fs::write(at.join("journal").join(segment.file_name().unwrap()), &bytes[..cut]).unwrap();
        let said = check_passes(&at);
        assert!(said.contains("open turns  1"), "cut at {cut}: {said}");
        if (cut - last) % 32 == 0 {
            let cut_server = Server::start_in(server.dir(), at.clone(), &[]);
            let mut client = Client::with_token(cut_server.address, client.token.as_ref().unwrap());
            let after = settled(&mut client, &session);
            assert_eq!((&after[0], after.len()), (&before[0], 2));
            assert_eq!(after[1]["content"], before[1]["content"]);
        }
    }
    // After a clean stop the index knows what was there, so an end that is cut is no torn write.
    let mut server = server.restart(&[]);
    assert!(server.stop().success());
    OpenOptions::new().write(true).open(&segment).unwrap().set_len(last as u64).unwrap();
    let log = Server::try_start(server.dir(), server.data.clone(), &[], &[]).err().unwrap().join("\n");
    assert!(log.contains("were acknowledged"), "{log}");
    assert!(check(&server.data).unwrap_err().contains("the index has seen"));
}

#[test]
fn a_journal_that_is_gone_is_told_by_check_as_by_the_start() {
    let fixture = Fixture::new(50);
    for path in segments(&fixture.data) {
        std::fs::remove_file(path).unwrap();
    }
    fixture.assert_refused(&["all segments are missing, but the index has seen changes"]);
    std::fs::remove_dir_all(fixture.data.join("journal")).unwrap();
    let said = check(&fixture.data).unwrap_err();
    assert!(said.contains("all segments are missing, but the index has seen changes"), "{said}");
    fixture.assert_refused(&["all segments are missing, but the index has seen changes"]);
}

#[test]
fn check_says_of_a_copy_that_its_end_may_be_missing() {
    let fixture = Fixture::new(1200);
    let at = fixture.keep.path().join("copy");
    copy(&fixture.data, &at);
    let whole = check_passes(&at);
    assert!(whole.contains("the next start rebuilds it") && !whole.contains("not certain"), "{whole}");
    std::fs::remove_file(segments(&at).pop().unwrap()).unwrap();
    let known = check_passes(&at);
    assert!(
        known.contains("\nend         not certain: the index that was copied with it has seen frames up to"),
        "{known}"
    );
    std::fs::remove_dir_all(at.join("index")).unwrap();
    let unknown = check_passes(&at);
    assert!(unknown.contains("\nend         not certain: its last segment is complete, up to frame"), "{unknown}");
}

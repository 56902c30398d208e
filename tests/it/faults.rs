//! Disks that fail, fill up or can't be written: what the server says then, and that it keeps what it said.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Instant,
};

use serde_json::{Value, json};

use crate::support::{
    Client, Random, Server,
    command::bondhu,
    data::{check_passes, files},
    disk::Disk,
    faults::Fault,
    load::{PATIENCE, Pace, Told, World, send, settled},
    small_disk::SmallDisk,
    strace::{self, answers, parse},
};

const WRITER: &str = "bondhu-writer";
const PACE: Pace = Pace { senders: 8, padding: 50 };

#[test]
fn after_the_first_failed_sync_nothing_is_acknowledged_and_the_restart_is_complete() {
    let mut random = Random::seeded("faults");
    let dir = tempfile::tempdir().unwrap();
    let keep = Arc::new(tempfile::tempdir().unwrap());
    let data = keep.path().join("data");
    let mut wrapper = strace::wrapper(&dir.path().join("trace"));
    // Enough syncs for the accounts and some sends, and then none any more.
    wrapper.extend(["-e", "inject=fdatasync:error=EIO:when=60+"].map(str::to_owned));
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let mut server = Server::try_start(keep, data.clone(), &[], &wrapper).unwrap_or_else(|log| panic!("{log:?}"));
    let world = World::new(&server, 2, 2);
    let load = world.send(server.address, PACE, &mut random);
    load.join();
    let began = Instant::now();
    assert_eq!(server.wait().code(), Some(1), "{}", server.log().join("\n"));
    assert!(began.elapsed() < PATIENCE);
    let log = server.log().join("\n");
    assert!(log.contains("a write or sync of the journal failed"), "{log}");

    let trace = std::fs::read_to_string(dir.path().join("trace")).unwrap();
    assert!(trace.contains("(INJECTED)"));
    assert_synced(&trace, &data.join("journal"));
    check_passes(&data);
    let server = server.restart(&[]);
    world.compare(server.address, &world.snapshot());
    assert!(world.snapshot().iter().any(|sent| sent.told == Told::Unknown), "nothing was in flight");
    world.repeat_unknown(server.address);
    world.compare(server.address, &world.snapshot());
}

/// Wants the text of every acknowledged message to have been synced, by a sync that did not fail, before its answer.
fn assert_synced(trace: &str, journal: &Path) {
    let calls = parse(trace);
    let mut messages = 0;
    for answer in answers(&calls).iter().filter(|answer| answer.status < 300) {
        let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else { continue };
        for part in ["message", "reply"] {
            let Some(content) = body[part]["content"].as_str() else { continue };
            let disk = Disk::at(&calls, journal, answer.began);
            assert!(disk.holds(content.as_bytes()), "{content:?} was acknowledged and is not synced");
            messages += 1;
        }
    }
    assert!(messages > 0, "nothing was acknowledged: this shows nothing");
}

#[test]
fn a_failed_sync_of_a_new_segment_ends_writing_too() {
    let mut server = Server::start(&["data.segment=1MiB"]);
    let world = World::new(&server, 2, 2);
    let Some(fault) = Fault::inject(server.pid(), WRITER, "fsync:error=EIO:when=1+") else { return };
    let load = world.send(server.address, Pace { senders: 8, padding: 1000 }, &mut Random::seeded("faults"));
    load.join();
    assert_eq!(server.wait().code(), Some(1), "{}", server.log().join("\n"));
    drop(fault);
    check_passes(&server.data);
    let server = server.restart(&[]);
    world.compare(server.address, &world.snapshot());
}

#[test]
fn a_write_that_fails_once_leaves_nothing_behind_and_no_turn_without_an_outcome() {
    // The first write is the message, the second one its reply.
    for (which, error) in [(1, "ENOSPC"), (1, "EIO"), (2, "ENOSPC"), (2, "EIO")] {
        let mut server = Server::start(&[]);
        let world = World::new(&server, 1, 1);
        let mut client = Client::with_token(server.address, &world.accounts[0].token);
        let session = world.accounts[0].sessions[0].clone();
        let injection = format!("pwrite64:error={error}:when={which}");
        let Some(fault) = Fault::inject(server.pid(), WRITER, &injection) else { return };
        let first = send(&mut client, &session, "the first", Some("key"));
        drop(fault);
        let again = send(&mut client, &session, "the first", Some("key"));
        assert!(matches!(again, Told::Stored { .. }), "write {which}, {error}: {first:?}, then {again:?}");
        assert!(matches!(send(&mut client, &session, "the second", None), Told::Stored { .. }));
        let before = settled(&mut client, &session);
        assert_eq!(before.len(), 4, "write {which}, {error}: {before:?}");
        server.kill();
        check_passes(&server.data);
        let server = server.restart(&[]);
        let mut client = Client::with_token(server.address, &world.accounts[0].token);
        assert_eq!(settled(&mut client, &session), before);
    }
}

#[test]
fn a_read_only_directory_is_refused_by_its_name() {
    let Some(disk) = SmallDisk::mount(64) else { return };
    let data = disk.path().join("data");
    let keep = Arc::new(tempfile::tempdir().unwrap());
    assert!(Server::start_in(Arc::clone(&keep), data.clone(), &[]).stop().success());
    let status = Command::new("mount").args(["-o", "remount,ro"]).arg(disk.path()).status().unwrap();
    assert!(status.success());
    let log = Server::try_start(keep, data.clone(), &[], &[]).err().unwrap().join("\n");
    assert!(log.contains(data.to_str().unwrap()) && log.contains("Read-only file system"), "{log}");
}

#[test]
fn nothing_is_built_beside_the_top_of_a_file_system() {
    let Some(disk) = SmallDisk::mount(64) else { return };
    let server = Server::start(&[]);
    let top = disk.path().to_str().unwrap();
    let refused = server.command(&["backup", top], "");
    assert!(refused.code == 1 && refused.err.contains("name a directory within it"), "{}", refused.err);
    let within = disk.path().join("backup");
    server.command(&["backup", within.to_str().unwrap()], "").ok();
    let other = SmallDisk::mount(64).unwrap();
    let into = other.path().to_str().unwrap();
    let refused = bondhu(server.dir().path(), &["restore", within.to_str().unwrap(), "--into", into], "");
    assert!(refused.code == 1 && refused.err.contains("name a directory within it"), "{}", refused.err);
    assert!(!other.path().with_added_extension("partial").exists());
    assert!(!disk.path().with_added_extension("partial").exists());
}

#[test]
fn everything_is_for_its_owner_alone_whatever_the_umask() {
    let keep = Arc::new(tempfile::tempdir().unwrap());
    let data = keep.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    let wrapper = ["sh", "-c", "umask 000; exec \"$@\"", "sh"];
    let mut server = Server::try_start(keep, data.clone(), &[], &wrapper).unwrap_or_else(|log| panic!("{log:?}"));
    let (mut client, _) = server.user("amina");
    client.post("/api/v1/chat/send", &json!({"message": "Hello"})).expect(200);
    let log = server.log().join("\n");
    assert!(log.contains("others could enter the data directory"), "{log}");
    assert_private(&data);
    server.stop();
    let check = [env!("CARGO_BIN_EXE_bondhu"), "check", data.to_str().unwrap()];
    assert!(Command::new(wrapper[0]).args(&wrapper[1..]).args(check).status().unwrap().success());
    assert_private(&data);
}

#[track_caller]
fn assert_private(data: &Path) {
    let dirs = [data.to_owned(), data.join("journal"), data.join("index"), data.join("index/blobs")];
    for path in files(data).into_iter().chain(dirs) {
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
    }
}

#[test]
fn large_messages_never_go_to_files_that_sled_does_not_sync() {
    let mut server = Server::start(&["chat.message_chars_max=16384", "data.index_cache=8MiB"]);
    let world = World::new(&server, 2, 2);
    let load = world.send(server.address, Pace { senders: 4, padding: 16_350 }, &mut Random::seeded("faults"));
    assert!(world.wait_for_more(&load, 300));
    load.stop();
    assert!(server.stop().success());
    let index = server.data.join("index");
    assert!(index.join("db").metadata().unwrap().len() > 300 * (64 << 10));
    assert_eq!(files(&index.join("blobs")), Vec::<PathBuf>::new());
}

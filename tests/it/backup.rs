//! `bondhu backup`: whole, of one moment, incremental, and never half.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    copy::holds_all,
    support::{
        Random, Server, comes_true,
        command::bondhu,
        data::{check_passes, copy, files, holds, segments},
        load::{Pace, World},
        server::text,
    },
};

const SMALL: [&str; 1] = ["data.segment=1MiB"];
const PACE: Pace = Pace { senders: 8, padding: 300 };

/// What the command says of copied and shared segments and their bytes: `[copied, bytes, shared, bytes]`.
fn counted(said: &str) -> [u64; 4] {
    let line =
        |name: &str| said.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {said}"));
    let numbers = |line: &str| line.split(' ').filter_map(|word| word.parse().ok()).collect::<Vec<u64>>();
    let (copied, shared) = (numbers(line("copied")), numbers(line("shared")));
    [copied[0], copied[1], shared[0], shared[1]]
}

fn manifest(dir: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(dir.join("backup.json")).unwrap()).unwrap()
}

fn back_up(server: &Server, into: &Path) -> String {
    server.command(&["backup", into.to_str().unwrap()], "").ok()
}

#[test]
fn p7_a_backup_under_load_holds_everything_acknowledged_before_it() {
    let mut random = Random::seeded("backup");
    let server = Server::start(&SMALL);
    let world = World::new(&server, 4, 4);
    let at = server.dir().path().join("backup");
    for _ in 0..3 {
        let load = world.send(server.address, PACE, &mut random);
        assert!(world.wait_for_more(&load, 300));
        let before = world.snapshot();
        back_up(&server, &at);
        assert!(world.wait_for_more(&load, 20), "the writers stand still");
        load.stop();
        let restored = server.dir().path().join("restored");
        let words = ["restore", at.to_str().unwrap(), "--into", restored.to_str().unwrap()];
        bondhu(server.dir().path(), &words, "").ok();
        holds_all(&server, &restored, &world, &before);
        std::fs::remove_dir_all(&restored).unwrap();
    }
    // A server starts from the backup itself, too; a copy of it, so that the next one may be made over it.
    let own = server.dir().path().join("own");
    copy(&at, &own);
    holds_all(&server, &own, &world, &[]);
    world.compare(server.address, &world.snapshot());
    server.is_calm();
}

#[test]
fn a_second_backup_copies_only_what_is_new() {
    let mut random = Random::seeded("backup");
    let mut server = Server::start(&SMALL);
    let world = World::new(&server, 2, 2);
    let at = server.dir().path().join("backup");
    let load = world.send(server.address, PACE, &mut random);
    assert!(world.wait_for_more(&load, 2000));
    load.stop();
    let [first, first_bytes, shared, _] = counted(&back_up(&server, &at));
    assert!(first >= 3 && shared == 0, "{first} {shared}");
    let inode = |name: &str| at.join("journal").join(name).metadata().unwrap().ino();
    let oldest = "0000000001.000.journal";
    let (inode_before, size) =
        (inode(oldest), |dir: &Path| files(dir).iter().map(|f| f.metadata().unwrap().len()).sum::<u64>());
    assert_eq!(size(&at.join("journal")), first_bytes);

    let load = world.send(server.address, PACE, &mut random);
    assert!(world.wait_for_more(&load, 100));
    load.stop();
    let before = world.snapshot();
    let [second, second_bytes, shared, shared_bytes] = counted(&back_up(&server, &at));
    assert_eq!((shared, shared_bytes), (first, first_bytes), "everything of the first is there already");
    assert!((1..=2).contains(&second) && second_bytes < first_bytes, "{second} {second_bytes}");
    assert_eq!(inode(oldest), inode_before, "the bytes are shared, not copied");
    assert_eq!(manifest(&at)["bytes"], first_bytes + second_bytes);

    // Nothing is new: the same again, with and without a server.
    let [none, _, all, _] = counted(&back_up(&server, &at));
    assert_eq!((none, all), (0, first + second));
    assert!(server.stop().success());
    let [stopped, _, all, _] = counted(&back_up(&server, &at));
    assert!(stopped <= 1 && all >= first + second, "{stopped} {all}");
    assert!(!at.with_extension("partial").exists());
    check_passes(&at);
    holds_all(&server, &at, &world, &before);
    // Now it is a data directory with a life of its own, and no backup is made over it.
    let refused = server.command(&["backup", at.to_str().unwrap()], "");
    assert!(refused.code == 1 && refused.err.contains("in it"), "{}", refused.err);
}

#[test]
fn a_damaged_segment_of_an_older_backup_is_copied_again() {
    let mut random = Random::seeded("backup");
    let server = Server::start(&SMALL);
    let world = World::new(&server, 2, 2);
    let at = server.dir().path().join("backup");
    let load = world.send(server.address, PACE, &mut random);
    assert!(world.wait_for_more(&load, 1500));
    load.stop();
    back_up(&server, &at);
    let path = segments(&at)[0].clone();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[5000] ^= 4;
    std::fs::write(&path, bytes).unwrap();
    let wrong = crate::support::data::check(&at).unwrap_err();
    assert!(wrong.contains(path.to_str().unwrap()) && wrong.contains("SHA-256"), "{wrong}");
    let done = server.command(&["backup", at.to_str().unwrap()], "");
    assert!(done.err.contains("0000000001.000.journal was damaged"), "{}", done.err);
    assert_eq!(counted(&done.ok())[0], 1);
    check_passes(&at);
}

#[test]
fn a_backup_after_a_deletion_and_compaction_has_nothing_of_it() {
    let server = Server::start(&["data.segment=1MiB", "data.keep_replaced_s=0"]);
    let (mut amina, _) = server.user("amina");
    let session = text(&amina.post("/api/v1/sessions", &json!({"title": "quokka"})).expect(201).json()["id"]);
    for number in 0..20 {
        let said = json!({"content": format!("quokka words {number}")});
        amina.post(&format!("/api/v1/sessions/{session}/messages"), &said).expect(201);
    }
    let at = server.dir().path().join("backup");
    back_up(&server, &at);
    let with_it = |dir: &Path| files(dir).into_iter().filter(|path| holds(path, "quokka")).count();
    assert!(with_it(&at) > 0, "the words never were there");
    amina.delete(&format!("/api/v1/sessions/{session}")).expect(204);
    server.command(&["compact"], "").ok();
    back_up(&server, &at);
    assert_eq!(with_it(&at), 0);
    check_passes(&at);
    let copied = Server::start_in(server.dir(), at, &SMALL);
    let mut amina = crate::support::Client::with_token(copied.address, amina.token.as_ref().unwrap());
    amina.get(&format!("/api/v1/sessions/{session}/messages")).expect(403);
}

#[test]
fn backups_between_compactions_that_remove_at_once_are_whole() {
    let mut random = Random::seeded("backup");
    let server = Server::start(&["data.segment=1MiB", "data.keep_replaced_s=0"]);
    let world = World::new(&server, 3, 3);
    let (mut other, _) = server.user("other");
    let at = server.dir().path().join("backup");
    let load = world.send(server.address, PACE, &mut random);
    for _ in 0..6 {
        let session = text(&other.post("/api/v1/sessions", &json!({})).expect(201).json()["id"]);
        for _ in 0..5 {
            let said = json!({"content": "gone ".repeat(100)});
            other.post(&format!("/api/v1/sessions/{session}/messages"), &said).expect(201);
        }
        assert!(world.wait_for_more(&load, 150));
        other.delete(&format!("/api/v1/sessions/{session}")).expect(204);
        let before = world.snapshot();
        let compacting = command(&server, &["compact"]).spawn().unwrap();
        back_up(&server, &at);
        assert!(compacting.wait_with_output().unwrap().status.success());
        let kept = server.dir().path().join("kept");
        copy(&at, &kept);
        assert!(world.wait_for_more(&load, 1));
        holds_all(&server, &kept, &world, &before);
        std::fs::remove_dir_all(&kept).unwrap();
    }
    load.stop();
    server.is_calm();
}

fn command(server: &Server, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bondhu"));
    command.args(arguments).arg("--data-dir").arg(&server.data).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Runs the command and kills it after a while; true where it had ended by then.
fn killed(mut command: Command, after: Duration) -> bool {
    let mut child = command.spawn().unwrap();
    let (_tell, told) = std::sync::mpsc::channel::<()>();
    let _ = told.recv_timeout(after); // Nobody tells anything: this is the time.
    let ended = child.try_wait().unwrap().is_some();
    let _ = child.kill();
    child.wait().unwrap();
    ended
}

#[test]
fn a_backup_that_is_killed_anywhere_leaves_the_old_one_or_the_new_one() {
    let mut random = Random::seeded("backup");
    let server = Server::start(&SMALL);
    let world = World::new(&server, 3, 3);
    let at = server.dir().path().join("backup");
    let load = world.send(server.address, PACE, &mut random);
    assert!(world.wait_for_more(&load, 1500));
    // The moments are to be those of a backup, on a slow machine too.
    let other = server.dir().path().join("other");
    back_up(&server, &other);
    let started = Instant::now();
    back_up(&server, &other);
    let took = started.elapsed();
    let (mut ended, mut begun, mut last) = (0, 0, 0);
    for round in 0..16 {
        assert!(world.wait_for_more(&load, 40));
        let mut making = command(&server, &["backup"]);
        making.arg(&at);
        let after = took * u32::try_from(random.below(110)).unwrap() / 100;
        ended += usize::from(killed(making, after));
        begun += usize::from(at.with_extension("partial").exists());
        assert!(at.exists() || last == 0, "the old one is gone, and the new one is not there");
        if at.exists() {
            let frame = manifest(&at)["last_frame"].as_u64().unwrap();
            assert!(frame >= last, "an older one came back");
            last = frame;
            check_passes(&at);
        }
        if round % 8 == 7 {
            let before = world.snapshot();
            back_up(&server, &at);
            assert!(!at.with_extension("partial").exists(), "what was begun is finished or gone");
            let kept = server.dir().path().join("kept");
            copy(&at, &kept);
            assert!(world.wait_for_more(&load, 1));
            holds_all(&server, &kept, &world, &before);
            std::fs::remove_dir_all(&kept).unwrap();
        }
    }
    load.stop();
    eprintln!("backup: 16 killed, {ended} of them after the end, {begun} in the middle");
    assert!(begun > 0, "no kill hit one in the middle");
    server.is_calm();
}

#[test]
fn nothing_that_is_no_backup_of_this_server_is_replaced() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let root = server.dir().path().to_owned();
    let refused = |server: &Server, dir: &Path, why: &str| {
        let before = files(dir);
        let done = server.command(&["backup", dir.to_str().unwrap()], "");
        assert_eq!(done.code, 1, "{why}");
        assert!(done.err.contains(why) && done.err.contains(dir.to_str().unwrap()), "{why}: {}", done.err);
        assert_eq!(files(dir), before, "{why}");
        assert!(!dir.with_extension("partial").exists(), "{why}: something is left");
    };
    let taken = root.join("taken");
    std::fs::create_dir(&taken).unwrap();
    std::fs::write(taken.join("letter"), "dear").unwrap();
    refused(&server, &taken, "something else than a backup");
    refused(&server, &server.data, "is within the data directory");

    let at = root.join("at");
    back_up(&server, &at);
    std::fs::write(at.join("letter"), "dear").unwrap();
    refused(&server, &at, "\"letter\"");
    std::fs::remove_file(at.join("letter")).unwrap();

    let other = Server::start(&[]);
    other.user("bela");
    refused(&other, &at, "of another server");

    // A server that was put back to an earlier state does not take the later one's backup away.
    let early = root.join("early");
    copy(&at, &early);
    amina.post("/api/v1/sessions", &json!({})).expect(201);
    back_up(&server, &at);
    let put_back = Server::start_in(server.dir(), early, &[]);
    refused(&put_back, &at, "later state");
    check_passes(&at);
}

#[test]
fn the_server_makes_its_backups_by_the_clock_and_tells_of_those_it_cannot_make() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("backups");
    let server = Server::start(&[&format!("backup.dir={}", dir.display())]);
    comes_true("the first is made", || server.figures().count("bondhu_backups_total") == 1);
    let made: Vec<PathBuf> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    check_passes(made.iter().find(|path| path.is_dir()).expect("there is none"));
    server.is_calm();
    // After a restart it is known when that was.
    let server = server.restart(&[&format!("backup.dir={}", dir.display())]);
    comes_true("the last is found", || server.figures().get("bondhu_backup_last_success_time_seconds") > 1.7e9);
    assert_eq!(server.figures().count("bondhu_backups_total"), 0);

    // Nobody can make anything there.
    let server = Server::start(&["backup.dir=/proc/nowhere", "jobs.retry_after_ms=1", "monitor.interval_ms=100"]);
    comes_true("it is tried, and fails", || server.figures().count("bondhu_backup_failures_total") == 5);
    comes_true("the alert fires", || server.figures().count("bondhu_alert_firing{rule=\"backup_failed\"}") == 1);
}

#[test]
fn backups_by_the_clock_share_what_is_the_same_and_the_oldest_go() {
    let mut random = Random::seeded("backup");
    let server = Server::start(&SMALL);
    let world = World::new(&server, 2, 2);
    let dir = server.dir().path().join("backups");
    let unset = server.command(&["backup"], "");
    assert!(unset.code == 2 && unset.err.contains("backup.dir"), "{}", unset.err);
    let set = format!("backup.dir={}", dir.display());
    let one = || server.command(&["backup", "-O", &set, "-O", "backup.keep=2"], "");
    let all = || -> Vec<PathBuf> {
        let mut all: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        all.retain(|path| path.is_dir());
        all.sort();
        all
    };
    let mut made: Vec<PathBuf> = Vec::new();
    for round in 0..4 {
        let load = world.send(server.address, PACE, &mut random);
        assert!(world.wait_for_more(&load, 400));
        load.stop();
        let before = world.snapshot();
        let said = one().ok(); // Their names are of a second, and it waits for one that is free.
        let newest = all().pop().unwrap();
        assert!(said.contains(newest.to_str().unwrap()), "{said}");
        made.push(newest.clone());
        let [_, _, shared, _] = counted(&said);
        assert_eq!(shared > 0, round > 0, "{said}");
        assert_eq!(said.contains("removed"), round >= 2, "{said}");
        let kept = server.dir().path().join("kept");
        copy(&newest, &kept);
        holds_all(&server, &kept, &world, &before);
        std::fs::remove_dir_all(&kept).unwrap();
    }
    assert_eq!(all(), made[2..]);
    made[2..].iter().for_each(|backup| drop(check_passes(backup)));
}

/// The backups that stand in a directory, oldest first.
fn standing(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.join("backup.json").is_file());
    all.sort();
    all
}

#[test]
fn p7_a_server_that_began_anew_removes_no_backup_of_the_one_before_it() {
    let mut server = Server::start(&SMALL);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    amina.say(&session, "hello");
    let dir = server.dir().path().join("backups");
    let set = format!("backup.dir={}", dir.display());
    server.command(&["backup", "-O", &set], "").ok();
    let good = standing(&dir);
    // Its disk is lost: the unit starts it on an empty directory, and its clock goes on.
    server.stop();
    let fresh = Server::start(&SMALL);
    for round in 0..3 {
        let said = fresh.command(&["backup", "-O", &set, "-O", "backup.keep=1"], "").ok();
        assert!(said.contains("kept") && said.contains("a backup of another server"), "{said}");
        assert_eq!(said.contains("removed"), round > 0, "its own are removed: {said}");
    }
    let now = standing(&dir);
    assert_eq!((now.len(), &now[0]), (2, &good[0]));
    // Who goes on from an older state does not lose the later one either.
    let back = server.dir().path().join("back");
    bondhu(server.dir().path(), &["restore", good[0].to_str().unwrap(), "--into", back.to_str().unwrap()], "").ok();
    let mut server = server.restart(&SMALL);
    let (mut amina, _) = server.user("bela");
    let session = amina.session();
    amina.say(&session, "said behind the backup");
    server.command(&["backup", "-O", &set], "").ok();
    let later = standing(&dir).pop().unwrap();
    server.stop();
    let older = Server::start_in(server.dir(), back, &SMALL);
    let said = older.command(&["backup", "-O", &set, "-O", "backup.keep=1"], "").ok();
    assert!(said.contains(&format!("{}: it holds a later state", later.display())), "{said}");
    assert!(later.is_dir() && !good[0].exists(), "{said}");
}

#[test]
fn p7_a_server_that_went_on_from_an_older_backup_removes_no_backup_of_the_other_way() {
    let mut server = Server::start(&SMALL);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    let dir = server.dir();
    let place = |name: &str| dir.path().join(name);
    let (early, own, back) = (place("early"), place("own"), place("back"));
    let set = format!("backup.dir={}", place("backups").display());
    server.command(&["backup", early.to_str().unwrap()], "").ok();
    amina.say(&session, "said behind the first backup");
    server.command(&["backup", "-O", &set], "").ok();
    server.command(&["backup", own.to_str().unwrap()], "").ok();
    let only = standing(&place("backups")).pop().unwrap();
    server.stop();
    bondhu(dir.path(), &["restore", early.to_str().unwrap(), "--into", back.to_str().unwrap()], "").ok();
    let other = Server::start_in(server.dir(), back, &SMALL);
    let mut amina = amina.another_tab(&other);
    for n in 0..20 {
        amina.say(&session, &format!("another way, {n}"));
    }
    for _ in 0..2 {
        let said = other.command(&["backup", "-O", &set, "-O", "backup.keep=1"], "").ok();
        assert!(said.contains(&format!("{}: it went another way", only.display())), "{said}");
    }
    check_passes(&only);
    let refused = other.command(&["backup", own.to_str().unwrap()], "");
    assert!(refused.code == 1 && refused.err.contains("went another way"), "{}", refused.err);
    check_passes(&own);
}

#[test]
fn p7_what_is_in_use_or_is_more_than_a_backup_is_not_removed_as_one() {
    let server = Server::start(&SMALL);
    let dir = server.dir().path().join("backups");
    let set = format!("backup.dir={}", dir.display());
    let words = ["backup", "-O", &set, "-O", "backup.keep=1"];
    server.command(&words, "").ok();
    let first = standing(&dir).pop().unwrap();
    // Somebody tries the backup out, where it stands.
    let mut trying = Server::start_in(server.dir(), first.clone(), &[]);
    let said = server.command(&words, "").ok();
    assert!(said.contains(&format!("{}: it is in use", first.display())), "{said}");
    assert_eq!(trying.client().get("/ready").status, 200);
    trying.stop();
    let said = server.command(&words, "").ok();
    assert!(said.contains(&format!("{}: it has \"", first.display())) && first.is_dir(), "{said}");
    // Nothing that lives can be put where backups go.
    let second = standing(&dir).pop().unwrap();
    let inside = second.join("live");
    let words = ["restore", second.to_str().unwrap(), "--into", inside.to_str().unwrap()];
    let done = bondhu(server.dir().path(), &words, "");
    assert!(done.code == 1 && done.err.contains("is within") && !inside.exists(), "{}", done.err);
    let data = format!("data.dir={}", second.display());
    let done = bondhu(server.dir().path(), &["check-config", "-O", &set, "-O", &data], "");
    assert!(
        done.code != 0 && done.err.contains("data.dir") && done.err.contains("outside of backup.dir"),
        "{}",
        done.err
    );
}

#[test]
fn p7_the_server_makes_its_backups_by_the_clock_itself() {
    let dir = tempfile::tempdir().unwrap();
    let backups = format!("backup.dir={}", dir.path().display());
    let mut server = Server::start(&SMALL);
    let world = World::new(&server, 2, 2);
    let load = world.send(server.address, PACE, &mut Random::seeded("backup"));
    assert!(world.wait_for_more(&load, 400));
    load.stop();
    let before = world.snapshot();
    server.stop();
    // The first one is due when there is none.
    let server = server.restart(&[SMALL[0], &backups]);
    let done = "bondhu_jobs_done_total{kind=\"backup\"}";
    comes_true("a backup is made", || server.figures().count(done) == 1);
    let made: Vec<PathBuf> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let backup = made.iter().find(|path| path.join("backup.json").is_file()).unwrap();
    holds_all(&server, backup, &world, &before);
    assert_eq!(server.figures().count("bondhu_job_failures_total{kind=\"backup\"}"), 0);
    server.is_calm();
}

#[test]
fn a_start_makes_no_backup_where_there_is_one_and_the_next_is_not_due() {
    let dir = tempfile::tempdir().unwrap();
    let backups = format!("backup.dir={}", dir.path().join("backups").display());
    let settings = [backups.as_str(), "jobs.titles=excerpt"];
    let mut server = Server::start(&settings);
    comes_true("the first is made", || server.figures().count("bondhu_backups_total") == 1);
    let next = |server: &Server| {
        let listed = server.command(&["jobs", "list"], "").ok();
        listed.lines().find(|line| line.contains(" backup ")).unwrap().to_owned()
    };
    comes_true("its job has ended", || next(&server).contains(" queued "));
    let due = next(&server);
    let (mut amina, _) = server.user("amina");
    for _ in 0..3 {
        server = server.restart(&settings);
        amina = amina.another_tab(&server);
        // A job of now is taken behind one that a start has made due.
        let session = amina.session();
        amina.say(&session, "hello");
        comes_true("it has its title", || server.figures().count("bondhu_jobs_done_total{kind=\"titles\"}") == 1);
        assert_eq!(next(&server), due);
    }
    let made = std::fs::read_dir(dir.path().join("backups")).unwrap();
    assert_eq!(made.filter(|entry| entry.as_ref().unwrap().path().is_dir()).count(), 1);
}

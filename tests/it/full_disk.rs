//! A disk that fills up: told before it matters, refused in order, and over by itself when there is room.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use bondhu::{
    clock::Clock,
    store::{COMPACTION, NewJob, Repeat},
};
use serde_json::{Value, json};

use crate::{
    jobs::{jobs, login},
    support::{
        Client, PASSWORD, Random, Server, comes_true,
        command::Done,
        data::{check_passes, files},
        hooks::Hooks,
        list,
        load::{Pace, Told, World, settled},
        small_disk::SmallDisk,
        text,
    },
};

const PACE: Pace = Pace { senders: 8, padding: 50 };
/// The disk, what is free when its alert fires, and what is free when writes are refused, in its parts.
const DISK: u64 = 256;
const WARNED: u64 = 120;
const FLOOR: u64 = 64;
const QUICK: &str = "monitor.interval_ms=100";

/// Settings by which word of alerts goes to `hooks`.
fn told_to(hooks: &Hooks, dir: &Path) -> [String; 2] {
    let file = dir.join("secret");
    fs::write(&file, "a-secret-that-is-long-enough-for-this").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    [
        format!("alerts.webhook_url=http://{}/hook", hooks.address),
        format!("alerts.webhook_secret_file={}", file.display()),
    ]
}

fn root(server: &Server) -> Client {
    server.add_admin("root");
    login(server, "root", PASSWORD)
}

/// How the rule stands.
fn standing(root: &mut Client, rule: &str) -> String {
    let now = root.get("/api/v1/admin/monitor/now").expect(200).json();
    text(&list(&now["alerts"]).iter().find(|alert| alert["rule"] == rule).unwrap()["state"])
}

/// What was told of the rule so far, each thing once, in its order.
fn told_of(hooks: &Hooks, rule: &str) -> Vec<String> {
    let mut told: Vec<(Value, String)> = Vec::new();
    for delivery in hooks.came() {
        let said: Value = serde_json::from_str(&delivery.body).unwrap();
        if said["data"]["rule"] == rule && told.iter().all(|(id, _)| *id != said["data"]["id"]) {
            told.push((said["data"]["id"].clone(), text(&said["type"])));
        }
    }
    told.into_iter().map(|(_, kind)| kind).collect()
}

fn backup(server: &Server, at: &Path) -> Done {
    server.command(&["backup", at.to_str().unwrap()], "")
}

#[test]
fn p1_a_disk_that_fills_is_told_first_then_refuses_in_order_and_goes_on_by_itself() {
    let disk = SmallDisk::mounted_or_own(DISK);
    let hooks = Hooks::start(Some(500)); // So that word of the alert is a job under way.
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let hook = told_to(&hooks, dir.path());
    let (floor, warned) = (disk.bytes(FLOOR), disk.percent(WARNED));
    let (floor_is, warns) = (format!("data.min_free={floor}"), format!("alerts.disk_free={warned}"));
    let settings =
        [QUICK, "data.segment=4MiB", "jobs.retry_after_ms=1000", &floor_is, &warns, hook[0].as_str(), &hook[1]];
    let data = disk.path().join("data");
    let mut server = Server::start_in(Arc::clone(&dir), data.clone(), &settings);
    let mut root = root(&server);
    let world = World::new(&server, 2, 2);
    let load = world.send(server.address, PACE, &mut Random::seeded("full disk"));
    assert!(world.wait_for_more(&load, 50));
    assert_eq!(standing(&mut root, "disk_free"), "ok");

    // It fills: that is told while everything is taken.
    disk.leave(u64::midpoint(WARNED, FLOOR));
    hooks.wait_for(1);
    assert_eq!(told_of(&hooks, "disk_free"), ["alert.firing"]);
    assert_eq!(standing(&mut root, "disk_free"), "firing");
    assert!(world.wait_for_more(&load, 20), "nothing is refused yet");
    root.get("/ready").expect(200);

    // It fills further: what would be stored is refused, each with its reason, and there is still room.
    disk.leave(FLOOR - 8);
    comes_true("writes are refused", || {
        world.snapshot().iter().filter(|sent| sent.told == Told::Refused).count() >= PACE.senders
    });
    load.stop();
    assert_eq!(root.get("/ready").expect(503).json()["parts"]["store"], "disk full");
    assert!(disk.free() > disk.bytes(FLOOR / 2), "it does not fill by itself");
    let sizes = |data: &Path| files(data).iter().map(|path| path.metadata().map_or(0, |of| of.len())).sum::<u64>();
    let before = sizes(&data.join("journal"));
    let account = &world.accounts[0];
    let mut client = Client::with_token(server.address, &account.token);
    all_refused(&server, &mut client, &account.sessions[0]);
    // A job that runs ends in the store, with the reason; it is not begun again for now.
    comes_true("the try has its end", || {
        let waiting = jobs(&mut root, "queued");
        waiting.iter().any(|job| job["kind"] == "alert" && text_or_none(&job["last_error"]).contains("500"))
    });
    assert_eq!(sizes(&data.join("journal")), before, "what is refused takes no room");

    // Reads go on, and so do backups, which look for room of their own.
    reads_go_on(&server, &mut client);
    world.compare(server.address, &world.snapshot());
    // What makes room is taken.
    let gone = client.get(&format!("/api/v1/sessions/{}/messages", account.sessions[1])).expect(200);
    assert!(!list(&gone.json()["messages"]).is_empty());
    let kept = settled(&mut client, &account.sessions[0]);
    let spare = world.accounts[1].sessions[1].clone();
    let mut other = Client::with_token(server.address, &world.accounts[1].token);
    other.delete(&format!("/api/v1/sessions/{spare}")).expect(204);

    // There is room: nobody has to do anything.
    hooks.answer(Some(204));
    disk.clear();
    comes_true("a message is taken", || client.try_say(&account.sessions[0], "there is room").status == 201);
    root.get("/ready").expect(200);
    comes_true("its end is told", || told_of(&hooks, "disk_free") == ["alert.firing", "alert.resolved"]);
    comes_true("no word of it waits", || {
        ["queued", "running", "parked"]
            .iter()
            .all(|state| jobs(&mut root, state).iter().all(|job| job["kind"] != "alert"))
    });
    assert_eq!(standing(&mut root, "disk_free"), "ok");
    let after = settled(&mut client, &account.sessions[0]);
    assert_eq!(
        (&after[..kept.len()], after.len()),
        (&kept[..], kept.len() + 2),
        "nothing is lost, nothing refused is there"
    );
    other.get(&format!("/api/v1/sessions/{spare}/messages")).expect(403);
    in_order(&server.settled_log());
    server.kill();
    check_passes(&data);
}

const TABLE: &str = "id,user_id,session_id,sender_type,message_text,timestamp,mood_detected\n\
                     1,amina,s,user,hello,2025-05-01T08:00:00Z,\n2,amina,s,ai,hi,2025-05-01T08:00:01Z,\n";

/// Whatever would be stored is refused, with its reason and a time to come back.
#[track_caller]
fn all_refused(server: &Server, client: &mut Client, session: &str) {
    for answer in refused(server, client, session) {
        let problem = answer.json();
        assert_eq!((answer.status, &problem["type"]), (503, &json!("urn:bondhu:problem:unavailable")), "{problem}");
        assert!(text(&problem["detail"]).contains("short of disk space"), "{problem}");
        assert!(answer.header("retry-after").is_some());
    }
    let file = server.dir().path().join("table.csv");
    fs::write(&file, TABLE).unwrap();
    let import = server.command(&["import", file.to_str().unwrap()], "");
    assert!(import.code == 1 && import.out.contains("refused by the server"), "{}{}", import.out, import.err);
    assert!(import.out.contains("less free space than data.min_free"), "{}", import.out);
}

#[track_caller]
fn reads_go_on(server: &Server, client: &mut Client) {
    client.get("/health").expect(200);
    client.get("/api/v1/auth/me").expect(200);
    client.get("/api/v1/chat/search?q=message").expect(200);
    client.get("/api/v1/auth/export").expect(200);
    let elsewhere = server.dir().path().join("backup");
    backup(server, &elsewhere).ok();
    check_passes(&elsewhere);
}

/// Everything that would store something.
fn refused(server: &Server, client: &mut Client, session: &str) -> Vec<crate::support::Response> {
    let account = json!({"username": "bela", "password": PASSWORD});
    let known = json!({"username": "user-0", "password": PASSWORD});
    vec![
        client.try_say(session, "too much"),
        client.post("/api/v1/chat/send", &json!({"message": "too much"})),
        client.post("/api/v1/sessions", &json!({})),
        client.json("PATCH", &format!("/api/v1/sessions/{session}"), &[], &json!({"title": "too much"})),
        server.client().post("/api/v1/auth/register", &account),
        server.client().post("/api/v1/auth/login", &known),
    ]
}

fn text_or_none(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The alert, the refusal, the room and the end of the alert are logged, in this order.
#[track_caller]
fn in_order(log: &[String]) {
    let at = |words: [&str; 2]| {
        let found = log.iter().position(|line| words.iter().all(|word| line.contains(word)));
        found.unwrap_or_else(|| panic!("{words:?} is not in the log"))
    };
    let places = [
        at(["disk_free", "state=\"firing\""]),
        at(["the disk is nearly full", "writes are refused"]),
        at(["the disk has room again", "writes are taken"]),
    ];
    assert!(places.is_sorted(), "{places:?}");
    assert!(places[1] < at(["disk_free", "state=\"resolved\""]));
}

#[test]
fn p7_a_backup_that_finds_no_room_leaves_none_is_told_and_is_made_when_there_is() {
    let Some(disk) = SmallDisk::mount(32) else { return without_a_mount() };
    let hooks = Hooks::start(Some(204));
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let hook = told_to(&hooks, dir.path());
    let large = ["chat.message_chars_max=16384", "data.segment=1MiB"];
    let mut server = Server::start_in(Arc::clone(&dir), dir.path().join("data"), &large);
    server.add_admin("root");
    let world = World::new(&server, 1, 1);
    let load = world.send(server.address, Pace { senders: 4, padding: 16_000 }, &mut Random::seeded("full disk"));
    assert!(world.wait_for_more(&load, 150));
    load.stop();
    let (by_hand, by_clock) = (disk.path().join("by-hand"), disk.path().join("by-clock"));
    disk.leave(4);
    let no_room = backup(&server, &by_hand);
    assert_eq!(no_room.code, 1, "{}", no_room.out);
    assert!(no_room.err.contains("No space left on device") && no_room.err.contains("by-hand"), "{}", no_room.err);
    assert!(!by_hand.exists() && !by_hand.with_extension("partial").exists(), "something is left");
    server.stop();

    let backups = format!("backup.dir={}", by_clock.display());
    let settings = [QUICK, &backups, "jobs.retry_after_ms=1000", large[0], large[1], hook[0].as_str(), &hook[1]];
    let server = server.restart(&settings);
    let mut root = login(&server, "root", PASSWORD);
    comes_true("it has failed", || {
        let waiting = [jobs(&mut root, "queued"), jobs(&mut root, "running")].concat();
        waiting.iter().any(|job| job["kind"] == "backup" && text_or_none(&job["last_error"]).contains("No space left"))
    });
    hooks.wait_for(1);
    assert_eq!(told_of(&hooks, "backup_failed"), ["alert.firing"]);
    let made = || files(&by_clock).into_iter().filter(|path| path.ends_with("backup.json")).collect::<Vec<_>>();
    assert_eq!(made(), Vec::<std::path::PathBuf>::new());
    world.compare(server.address, &world.snapshot());

    disk.clear();
    comes_true("it is made", || !made().is_empty());
    comes_true("its end is told", || told_of(&hooks, "backup_failed") == ["alert.firing", "alert.resolved"]);
    check_passes(made()[0].parent().unwrap());
    backup(&server, &by_hand).ok();
    check_passes(&by_hand);
    assert!(jobs(&mut root, "parked").is_empty());
}

/// Where no file system can be mounted, the system is made to say of the backup's own disk that it is full.
fn without_a_mount() {
    let server = Server::start(&["data.segment=1MiB"]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    amina.say(&session, "hello");
    let at = server.dir().path().join("backup");
    let words = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=write", "-e", "inject=write:error=ENOSPC", "-P"];
    let path = at.with_extension("partial").join("journal/0000000001.000.journal");
    let output = std::process::Command::new("strace")
        .args(words)
        .arg(path)
        .args([env!("CARGO_BIN_EXE_bondhu"), "backup", at.to_str().unwrap(), "--data-dir"])
        .arg(&server.data)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("No space left on device"), "{said}");
    assert!(!at.exists() && !at.with_extension("partial").exists(), "something is left");
    backup(&server, &at).ok();
    check_passes(&at);
}

/// More than one look at the queue sees.
const WEBHOOKS: usize = 70;

#[test]
fn what_makes_room_runs_on_a_full_disk_before_everything_that_waits_for_room() {
    let hooks = Hooks::start(Some(204));
    let mut server = Server::start(&[]);
    server.stop();
    crate::jobs::enqueue(&server.data, &hooks, WEBHOOKS);
    crate::jobs::with_store(&server.data, async |store| {
        let (kind, key) = (COMPACTION.to_owned(), COMPACTION.to_owned());
        let (due, repeat) = (Clock::System.now(), Repeat::Again);
        store.enqueue(NewJob { kind, key, user: None, payload: String::new(), due, repeat }).await.unwrap();
    });
    let mut server = server.restart(&["data.min_free=1TiB"]);
    assert_eq!(server.client().get("/ready").expect(503).json()["parts"]["store"], "disk full");
    comes_true("it is compacted", || server.figures().count("bondhu_jobs_done_total{kind=\"compaction\"}") == 1);
    assert!(hooks.came().is_empty(), "a message that needs room was begun");
    assert!(server.stop().success());
    let log = server.log();
    assert!(!log.iter().any(|line| line.contains("still running") || line.contains("given back")), "{log:?}");
    let server = server.restart(&[]);
    hooks.wait_for(WEBHOOKS);
    server.is_calm();
}

#[test]
fn a_server_that_begins_on_a_full_disk_stops_in_order() {
    let mut server = Server::start(&["data.min_free=1TiB"]);
    server.client().get("/ready").expect(503);
    assert!(server.stop().success());
    let log = server.log();
    assert!(!log.iter().any(|line| line.contains("still running") || line.contains("given back")), "{log:?}");
}

#[test]
fn a_start_without_any_room_throws_no_good_index_away() {
    let Some(disk) = SmallDisk::mount(64) else { return }; // A part of the machine's own disk is never full.
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let data = disk.path().join("data");
    let settings = ["data.min_free=0", "data.segment=1MiB"];
    let mut server = Server::start_in(Arc::clone(&dir), data.clone(), &settings);
    let world = World::new(&server, 2, 2);
    let load = world.send(server.address, PACE, &mut Random::seeded("full disk"));
    assert!(world.wait_for_more(&load, 300));
    load.stop();
    server.kill();
    disk.leave(0);
    // What it was about to apply needs room; where it finds some in what it has, it begins.
    match Server::try_start(Arc::clone(&dir), data.clone(), &settings, &[]) {
        Ok(mut server) => drop(server.stop()),
        Err(log) => {
            let says = |words: &str| log.iter().any(|line| line.contains(words));
            assert!(says("No space left") || says("the disk is full"), "{log:?}");
            assert!(!says("rebuilding the index"), "{log:?}");
        }
    }
    disk.clear();
    let server = Server::start_in(dir, data, &settings);
    assert!(!server.log().iter().any(|line| line.contains("rebuilding the index")), "{:?}", server.log());
    world.compare(server.address, &world.snapshot());
}

//! Power cuts, simulated: the journal as a disk may have it that kept only what was synced. And the reason why they do
//! no harm: no answer leaves before what it says is synced.

use std::{collections::HashSet, path::Path};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    PASSWORD, Random, Server,
    data::check_passes,
    disk::{Disk, Fate},
    load::{Pace, Told, World},
    server::text,
    strace::{self, Answer, Call, Deed, answers, of_files, parse},
};

const CUTS: usize = 40;
/// Of the cuts, those that may fall before the sessions are made.
const EARLY: usize = 10;
const FATES: [Fate; 4] = [Fate::Sectors, Fate::Torn, Fate::Lost, Fate::Kept];
const SETTINGS: [&str; 1] = ["data.segment=1MiB"];

/// Starts a traced server.
fn traced(dir: &TempDir, data: &Path) -> Server {
    let wrapper = strace::wrapper(&dir.path().join("trace"));
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let keep = std::sync::Arc::new(tempfile::tempdir().unwrap());
    Server::try_start(keep, data.to_owned(), &SETTINGS, &wrapper).unwrap_or_else(|log| panic!("{}", log.join("\n")))
}

fn trace_of(mut server: Server, dir: &TempDir) -> Vec<Call> {
    assert!(server.stop().success());
    parse(&std::fs::read_to_string(dir.path().join("trace")).unwrap())
}

#[test]
fn power_cuts_lose_nothing_that_was_acknowledged() {
    let mut random = Random::seeded("power");
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = traced(&dir, &data);
    let world = World::new(&server, 3, 2);
    let load = world.send(server.address, Pace { senders: 8, padding: 200 }, &mut random);
    // Over 1 MiB of journal, so that cuts also hit the change from one segment to the next.
    assert!(world.wait_for_more(&load, 700));
    load.stop();
    let calls = trace_of(server, &dir);
    let answers = answers(&calls);
    let made = answers.iter().rev().find(|answer| answer.body.starts_with(b"{\"id\"")).unwrap().ended;
    let end = calls.last().unwrap().ended;
    let journal = data.join("journal");
    let mut doubtful = 0;
    for number in 0..CUTS {
        let cut = if number < EARLY { random.below(made) } else { made + 1 + random.below(end - made) };
        let fate = FATES[number % FATES.len()];
        let disk = Disk::at(&calls, &journal, cut);
        doubtful += usize::from(disk.is_in_doubt());
        let keep = std::sync::Arc::new(tempfile::tempdir().unwrap());
        let cut_data = keep.path().join("data");
        disk.write(&journal, &cut_data.join("journal"), fate, &mut random);
        eprintln!("cut {number} at {cut} of {end}, unsynced {fate:?}");
        check_passes(&cut_data);
        let server = Server::start_in(std::sync::Arc::clone(&keep), cut_data.clone(), &SETTINGS);
        let left: Vec<&Answer> = answers.iter().filter(|answer| answer.ended < cut).collect();
        if cut > made {
            compare(&server, &world, &left);
        }
        assert_accounts(&server, &left);
        drop(server);
        check_passes(&cut_data);
    }
    eprintln!("{doubtful} of {CUTS} cuts had something in doubt");
    assert!(doubtful > 0, "no cut hit anything: the load is too light to show anything");
}

/// Wants everything whose acknowledgement had left, and everything else at most once.
fn compare(server: &Server, world: &World, left: &[&Answer]) {
    let acknowledged: HashSet<String> = left
        .iter()
        .filter_map(|answer| serde_json::from_slice::<Value>(&answer.body).ok())
        .filter_map(|body| body["message"]["id"].as_str().map(str::to_owned))
        .collect();
    let mut sent = world.snapshot();
    for sent in &mut sent {
        if matches!(&sent.told, Told::Stored { message, .. } if !acknowledged.contains(message["id"].as_str().unwrap()))
        {
            sent.told = Told::Unknown;
        }
    }
    let known = sent.iter().filter(|sent| sent.told != Told::Unknown).count();
    assert_eq!(known, acknowledged.len());
    world.compare(server.address, &sent);
}

/// Wants every account that was acknowledged to be there, with its logins.
fn assert_accounts(server: &Server, left: &[&Answer]) {
    for body in left.iter().filter_map(|answer| serde_json::from_slice::<Value>(&answer.body).ok()) {
        if let Some(token) = body["token"].as_str() {
            let mut client = crate::support::Client::with_token(server.address, token);
            let me = client.get("/api/v1/auth/me").expect(200).json();
            let me = if me["user"].is_object() { &me["user"] } else { &me };
            assert_eq!(me["id"], body["user"]["id"]);
        }
    }
}

#[test]
fn every_acknowledgement_comes_after_the_sync_of_what_it_acknowledges() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = traced(&dir, &data);
    // What was called, a text that it stores, and the answer's status: in the order of the answers.
    let mut done: Vec<(&str, Option<String>, u16)> = Vec::new();
    let account = json!({"username": "wanda", "password": PASSWORD});
    let mut client = server.client();
    let mut call =
        |client: &mut crate::support::Client, what, method, path: &str, body: Value, status, stores: Option<&str>| {
            let answer = client.json(method, path, &[], &body).expect(status);
            done.push((what, stores.map(str::to_owned), status));
            answer
        };
    let none = || json!({});
    call(&mut client, "register", "POST", "/api/v1/auth/register", account.clone(), 201, Some("wanda"));
    let login = call(&mut client, "login", "POST", "/api/v1/auth/login", account.clone(), 200, None).json();
    client.token = Some(text(&login["token"]));
    let mut second = server.client();
    let login = call(&mut second, "second login", "POST", "/api/v1/auth/login", account, 200, None).json();
    second.token = Some(text(&login["token"]));
    let titled = json!({"title": "a title"});
    let session = call(&mut client, "create", "POST", "/api/v1/sessions", titled, 201, Some("a title")).json();
    let path = format!("/api/v1/sessions/{}", text(&session["id"]));
    let messages = format!("{path}/messages");
    call(&mut client, "send", "POST", &messages, json!({"content": "native words"}), 201, Some("native words"));
    let old = json!({"message": "old words"});
    call(&mut client, "old send", "POST", "/api/v1/chat/send", old, 200, Some("old words"));
    call(&mut client, "rename", "PATCH", &path, json!({"title": "renamed"}), 200, Some("renamed"));
    call(&mut client, "delete session", "DELETE", &path, none(), 204, None);
    call(&mut client, "clear history", "DELETE", "/api/v1/chat/history", none(), 204, None);
    let change = json!({"current": PASSWORD, "new": "another-river-stone-77"});
    call(&mut client, "password", "POST", "/api/v1/auth/password", change, 204, None);
    call(&mut client, "logout", "POST", "/api/v1/auth/logout", none(), 204, None);
    let calls = trace_of(server, &dir);
    let answers = answers(&calls);
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, done.iter().map(|(_, _, status)| *status).collect::<Vec<_>>());
    let journal = data.join("journal");
    let of_journal = of_files(&calls, |path| path.starts_with(journal.to_str().unwrap()));
    let mut before = 0;
    for ((what, stores, _), answer) in done.iter().zip(&answers) {
        let disk = Disk::at(&calls, &journal, answer.began);
        assert!(!disk.is_in_doubt(), "{what} was acknowledged before its bytes were synced");
        if let Some(stores) = stores {
            assert!(disk.holds(stores.as_bytes()), "{what} was acknowledged without {stores:?}");
        }
        let is_write =
            |call: &&&Call| matches!(call.deed, Deed::Write { .. }) && (before..answer.began).contains(&call.began);
        assert!(of_journal.iter().any(|call| is_write(&call)), "{what} was acknowledged without a write");
        before = answer.began;
    }
}

/// A clean stop lets the next start believe the index whatever happened to the machine: so that word has to be taken back
/// on the disk before anything changes sled's file, and may be given only after the last change of it.
#[test]
fn the_word_of_a_clean_stop_holds_on_the_disk_too() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut server = Server::start_in(std::sync::Arc::new(tempfile::tempdir().unwrap()), data.clone(), &SETTINGS);
    let (mut client, _) = server.user("amina");
    client.post("/api/v1/chat/send", &json!({"message": "Hello"})).expect(200);
    assert!(server.stop().success());

    let server = traced(&dir, &data);
    assert!(!server.log().join("\n").contains("rebuilding the index"));
    let mut client = crate::support::Client::with_token(server.address, client.token.as_ref().unwrap());
    client.post("/api/v1/chat/send", &json!({"message": "Hello again"})).expect(200);
    assert_word_holds(&trace_of(server, &dir), "serve");

    let trace = dir.path().join("trace");
    let wrapper = strace::wrapper(&trace);
    let check = std::process::Command::new(&wrapper[0])
        .args(&wrapper[1..])
        .args([env!("CARGO_BIN_EXE_bondhu"), "check", data.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    assert_word_holds(&parse(&std::fs::read_to_string(trace).unwrap()), "check");
}

#[track_caller]
fn assert_word_holds(calls: &[Call], what: &str) {
    let is_sync = |call: &&&Call| matches!(call.deed, Deed::Sync { .. });
    let is_write = |call: &&&Call| matches!(call.deed, Deed::Write { .. });
    let db = of_files(calls, |path| path.ends_with("index/db"));
    let checkpoint = of_files(calls, |path| path.ends_with("index/checkpoint"));
    let first = db.iter().find(is_write).expect("sled writes to its file").began;
    let taken_back = checkpoint.iter().filter(is_sync).any(|sync| sync.ended < first);
    assert!(taken_back, "{what}: the index changed under the word of a clean stop");
    let last = db.iter().rfind(is_write).unwrap().ended;
    let given = checkpoint.iter().rfind(is_write).unwrap().began;
    let synced = db.iter().filter(is_sync).any(|sync| last < sync.began && sync.ended < given);
    assert!(synced, "{what}: the word of a clean stop came before the last change of the index was synced");
    assert!(checkpoint.iter().rfind(is_sync).unwrap().began > given, "{what}: the word of a clean stop is not synced");
}

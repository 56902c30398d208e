//! What is deleted is gone: for readers at once, from the journal by compaction, and from every file with a new index.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{
    Client, PASSWORD, Random, Server,
    data::{bondhu, check_passes, copy, files, holds},
    load::{Pace, World, messages, settled},
    server::text,
};

/// Replaced segments go at once.
const AT_ONCE: [&str; 2] = ["data.keep_replaced_s=0", "data.segment=1MiB"];
const PACE: Pace = Pace { senders: 8, padding: 250 };

fn compact(data: &Path) {
    let output = bondhu(&["compact", "--data-dir", data.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The files below `dir` that hold one of these texts.
fn with_any(dir: &Path, canaries: &[&str]) -> Vec<String> {
    let holds_any = |path: &&std::path::PathBuf| canaries.iter().any(|canary| holds(path, canary));
    files(dir).iter().filter(holds_any).map(|path| path.display().to_string()).collect()
}

fn new_session(client: &mut Client, title: &str) -> String {
    text(&client.post("/api/v1/sessions", &json!({"title": title})).expect(201).json()["id"])
}

fn say(client: &mut Client, session: &str, content: &str, key: &str) -> Value {
    let headers = [("idempotency-key", key)];
    let path = format!("/api/v1/sessions/{session}/messages");
    client.json("POST", &path, &headers, &json!({"content": content})).expect(201).json()
}

#[test]
fn what_is_deleted_leaves_the_readers_at_once_and_every_file_in_the_end() {
    let mut server = Server::start(&AT_ONCE);
    let (mut amina, _) = server.user("amina");
    let (mut bela, _) = server.user("bela");
    let kept = new_session(&mut bela, "kept title");
    say(&mut bela, &kept, "kept words", "k1");

    let deleted = new_session(&mut amina, "zyzzyva title");
    say(&mut amina, &deleted, "zyzzyva session words", "k2");
    let cleared = new_session(&mut amina, "open");
    for number in 0..30 {
        say(&mut amina, &cleared, &format!("quokka cleared words {number}"), &format!("k3-{number}"));
    }
    let (mut carla, _) = server.user("carla-axolotl");
    let login = json!({"username": "carla-axolotl", "password": PASSWORD, "label": "axolotl phone"});
    server.client().post("/api/v1/auth/login", &login).expect(200);
    let of_carla = new_session(&mut carla, "axolotl title");
    say(&mut carla, &of_carla, "axolotl words", "k4");

    amina.delete(&format!("/api/v1/sessions/{deleted}")).expect(204);
    amina.delete("/api/v1/chat/history").expect(204);
    let password = json!({"password": PASSWORD});
    carla.json("DELETE", "/api/v1/auth/me", &[], &password).expect(204);

    let gone = |amina: &mut Client, server: &Server| {
        amina.get(&format!("/api/v1/sessions/{deleted}/messages")).expect(403);
        assert!(messages(amina, &cleared).is_empty());
        let found = amina.get("/api/v1/chat/search?q=zyzzyva").expect(200).json();
        assert_eq!(found["total"], 0, "{found}");
        let export = amina.get("/api/v1/auth/export").expect(200).text();
        assert!(!export.contains("zyzzyva") && !export.contains("quokka"), "{export}");
        server.client().post("/api/v1/auth/login", &login).expect(401);
    };
    gone(&mut amina, &server);
    // An id is never given again, to nobody.
    for client in [&mut amina, &mut bela] {
        client.post("/api/v1/sessions", &json!({"id": deleted})).expect(403);
    }
    let before = settled(&mut bela, &kept);
    let canaries = ["zyzzyva", "quokka", "axolotl"];
    assert!(!with_any(&server.data.join("journal"), &canaries).is_empty(), "the canaries never were there");
    compact(&server.data);
    wait_until_gone(&server.data.join("journal"), &canaries);
    gone(&mut amina, &server);

    server.kill();
    check_passes(&server.data);
    // `compact` has asked for a new index.
    let mut server = server.restart(&AT_ONCE);
    assert_eq!(with_any(&server.data, &canaries), Vec::<String>::new());
    amina = Client::with_token(server.address, amina.token.as_ref().unwrap());
    bela = Client::with_token(server.address, bela.token.as_ref().unwrap());
    gone(&mut amina, &server);
    assert_eq!(settled(&mut bela, &kept), before);
    bela.post("/api/v1/sessions", &json!({"id": deleted})).expect(403);
    bela.post("/api/v1/sessions", &json!({"id": of_carla})).expect(403);
    // The cleared session goes on where it was.
    assert_eq!(say(&mut amina, &cleared, "again", "k5")["message"]["seq"], 61);
    assert!(server.stop().success());
    check_passes(&server.data);
}

/// The compaction removes what it replaced right after it has answered.
fn wait_until_gone(dir: &Path, canaries: &[&str]) {
    let began = std::time::Instant::now();
    while !with_any(dir, canaries).is_empty() {
        assert!(began.elapsed() < crate::support::load::PATIENCE, "still in {:?}", with_any(dir, canaries));
        std::thread::yield_now();
    }
}

#[test]
fn a_compaction_loses_nothing_under_load_by_kills_and_in_a_copy() {
    let mut random = Random::seeded("deletion");
    let settings = ["data.segment=1MiB"];
    let mut server = Server::start(&settings);
    let world = World::new(&server, 4, 3);
    let (mut other, _) = server.user("other");
    for cycle in 0..10 {
        // Something to be rid of in every segment.
        let session = new_session(&mut other, "short");
        let load = world.send(server.address, PACE, &mut random);
        for number in 0..5 {
            say(&mut other, &session, &"gone ".repeat(100), &format!("{cycle}-{number}"));
            assert!(world.wait_for_more(&load, 40));
        }
        other.delete(&format!("/api/v1/sessions/{session}")).expect(204);
        let data = server.data.clone();
        let before = world.snapshot();
        let compaction = std::thread::spawn(move || bondhu(&["compact", "--data-dir", data.to_str().unwrap()]));
        let at = server.dir().path().join("copy");
        if cycle % 5 == 4 {
            copy(&server.data, &at);
            load.stop();
            assert!(compaction.join().unwrap().status.success());
            check_passes(&at);
            let copied = Server::start_in(server.dir(), at.clone(), &settings);
            let mut known = before.clone();
            known.extend(
                world
                    .snapshot()
                    .split_off(before.len())
                    .into_iter()
                    .map(|sent| crate::support::load::Sent { told: crate::support::load::Told::Unknown, ..sent }),
            );
            world.compare(copied.address, &known);
            drop(copied);
            std::fs::remove_dir_all(&at).unwrap();
        } else {
            assert!(world.wait_for_more(&load, random.below(60)));
            server.kill();
            load.join();
            drop(compaction.join().unwrap());
            check_passes(&server.data);
            server = server.restart(&settings);
            other = Client::with_token(server.address, other.token.as_ref().unwrap());
        }
        world.compare(server.address, &world.snapshot());
        other.get(&format!("/api/v1/sessions/{session}/messages")).expect(403);
    }
    world.repeat_unknown(server.address);
    compact(&server.data);
    server.kill();
    let said = check_passes(&server.data);
    std::fs::remove_dir_all(server.data.join("index")).unwrap();
    let server = server.restart(&settings);
    world.compare(server.address, &world.snapshot());
    eprintln!("deletion: {} sends; {said}", world.snapshot().len());
}

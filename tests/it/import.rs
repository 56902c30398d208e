//! `bondhu import`: what other systems stored, repaired where that can be done, and told where not.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use serde_json::{Value, json};

use crate::support::{Client, PASSWORD, Random, Server, data::check_passes, server::text};

fn fixture(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import").join(name).display().to_string()
}

/// `role content -> reply_to status`, of every message of a session.
fn shown(client: &mut Client, session: &str) -> Vec<String> {
    let page = client.page(session, "?limit=200");
    let line = |message: &Value| {
        let of = message["reply_to"].as_u64().map_or(String::new(), |of| format!(" -> {of}"));
        format!("{} {}{of} {}", text(&message["role"]), text(&message["content"]), text(&message["status"]))
    };
    page["messages"].as_array().unwrap().iter().map(line).collect()
}

const RIVER: &str = "5b1f6c2e-7d8a-4b9c-a0d1-e2f3a4b5c6d7";

#[test]
fn the_old_table_is_paired_by_order_and_all_that_is_wrong_with_it_is_told() {
    let server = Server::start(&[]);
    let (mut alice, _) = server.user("alice");
    let report = server.dir().path().join("report.jsonl");
    let map = "3f0c9e6a-0d3c-4a43-9a1d-6a2f0b7c8d9e=alice";
    let file = fixture("old.csv");
    let import = ["import", &file, "--map", map, "--report", report.to_str().unwrap()];
    let said = server.command(&import, "").ok();
    let wanted = "\
users       1 made, 1 found
sessions    4 made, 0 found, 1 left out
messages    19 added, 0 there already
repaired    reply behind several messages: paired in their order (3): row 6, row 7, row 10
repaired    no reply: kept as failed, so that they can be retried (2): row 8, row 17
repaired    further reply to an answered message: kept as its later answer (1): row 14
repaired    no usable time: given that of what came before (1): row 17
repaired    not in the order of their times: sorted (1): row 25
repaired    session of several users: one made for each (1): row 20
repaired    no session: gathered in one for each user (2): row 22, row 23
left out    the same again (1): row 11
left out    reply without a message before it (1): row 26
left out    said by neither a user nor the system (1): row 15
left out    no text (1): row 16
left out    no user (1): row 18
left out    not readable (1): row 19
left out    mood, which has no place here (1): row 2
";
    assert_eq!(said, wanted);
    assert_eq!(
        shown(&mut alice, RIVER),
        [
            "user hello, old friend answered",
            "assistant Hello!\nHow are you? -> 1 complete",
            "user first of two answered",
            "user second of two: নমস্কার answered",
            "assistant to the first -> 3 complete",
            "assistant to the second -> 4 complete",
            "user lost its reply failed",
            "user has its reply answered",
            "assistant the only one -> 8 complete",
            "user asked once answered",
            "assistant told once -> 10 superseded",
            "assistant told again -> 10 complete",
            "user when was this? failed",
        ]
    );
    let times: Vec<Value> =
        alice.page(RIVER, "")["messages"].as_array().unwrap().iter().map(|m| m["created_at"].clone()).collect();
    assert_eq!(times[1], "2025-03-01T10:00:01.000000Z");
    assert!(times.is_sorted_by_key(ToString::to_string), "{times:?}");
    // The report has every place, and every conversation with what came of it.
    let report: Vec<Value> =
        std::fs::read_to_string(&report).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let noted = report.iter().filter(|line| line["what"].is_string()).count();
    let added: u64 = report.iter().filter_map(|line| line["added"].as_u64()).sum();
    assert_eq!((noted, added, report.iter().filter(|line| line["added"].is_u64()).count()), (18, 19, 5));
    // The user who is not mapped has an account that is shut.
    let listed = server.command(&["user", "list"], "").ok();
    let old = listed.lines().find(|line| line.starts_with("old-")).unwrap();
    assert!(old.contains(" disabled ") && old.contains("8a1d2c3b-4e5f-4a6b-8c7d-9e0f1a2b3c4d"), "{old}");

    let again = server.command(&import, "").ok();
    assert!(
        again.starts_with(
            "users       0 made, 2 found\nsessions    0 made, 4 found, 1 left out\nmessages    0 added, 19 there"
        ),
        "{again}"
    );

    // A message that was lost its reply is retried, and the conversation goes on under its old id.
    alice.post(&format!("/api/v1/sessions/{RIVER}/messages/7/retry"), &json!({})).expect(201);
    let next = alice.say(RIVER, "and here I am again");
    assert_eq!(next["message"]["seq"], 15);
    let again = server.command(&import, "").ok();
    assert!(again.contains("messages    0 added, 19 there already"), "{again}");
    server.is_calm();
}

#[test]
fn json_lines_whose_sessions_alternate_are_imported_whole() {
    let mut server = Server::start(&[]);
    let (mut alice, _) = server.user("alice");
    let said = server.command(&["import", &fixture("old.jsonl"), "--user", "alice"], "").ok();
    assert!(said.contains("messages    20 added") && said.contains("not readable (1): line 8"), "{said}");
    let log = shown(&mut alice, RIVER);
    assert_eq!(log.len(), 10);
    for (n, pair) in log.chunks(2).enumerate() {
        assert_eq!(pair[0], format!("user question {} of 3f answered", n + 1));
        assert_eq!(pair[1], format!("assistant answer {} of 3f -> {} complete", n + 1, 2 * n + 1));
    }
    // A newer file of the same table adds what is new, behind what was said here meanwhile.
    alice.say(RIVER, "said here");
    let mut newer = std::fs::read_to_string(fixture("old.jsonl")).unwrap();
    let smiles = "\u{1F642}".repeat(260_000);
    for (id, sender, text) in [("u6", "user", "question 6"), ("a6", "ai", smiles.as_str())] {
        let row = json!({"id": id, "user_id": "3f0c9e6a-0d3c-4a43-9a1d-6a2f0b7c8d9e", "session_id": RIVER,
            "sender_type": sender, "message_text": text, "timestamp": "2025-04-06T08:00:00Z", "mood_detected": null});
        writeln!(newer, "{row}").unwrap();
    }
    let file = server.dir().path().join("newer.jsonl");
    std::fs::write(&file, newer).unwrap();
    let said = server.command(&["import", file.to_str().unwrap(), "--user", "alice"], "").ok();
    assert!(said.contains("messages    2 added, 20 there already"), "{said}");
    for told in [
        "text over 1000000 bytes: cut to that (1): line 23",
        "moved to the nearest that is possible (2): line 22, line 23",
    ] {
        assert!(said.contains(told), "{told:?} is not in: {said}");
    }
    let log = shown(&mut alice, RIVER);
    assert_eq!(log[12], "user question 6 answered");
    assert_eq!(log[13].matches('\u{1F642}').count(), 250_000, "1000000 bytes of whole characters");
    assert!(server.stop().success());
    check_passes(&server.data);
}

#[test]
fn conversations_of_chatgpt_are_imported_by_the_way_to_their_last_message() {
    let server = Server::start(&[]);
    let (mut alice, _) = server.user("alice");
    let file = fixture("conversations.json");
    let whose = server.command(&["import", &file], "");
    assert!(whose.code == 2 && whose.err.contains("--user NAME"), "{}", whose.err);
    let nobody = server.command(&["import", &file, "--user", "nobody"], "");
    assert!(nobody.code == 1 && nobody.err.contains("bondhu user add"), "{}", nobody.err);
    let said = server.command(&["import", &file, "--user", "alice"], "").ok();
    for told in [
        "sessions    2 made, 0 found, 1 left out",
        "messages    6 added",
        "no reply: kept as failed, so that they can be retried (2): conversation 2, message 1",
        "joined (1): conversation 1, message 3",
        "not readable (1): conversation 3",
        "picture, file or sound (1): conversation 1, message 4",
        "step of a tool, or thought of the model (2)",
        "message of a branch that was left (1): conversation 1",
    ] {
        assert!(said.contains(told), "{told:?} is not in: {said}");
    }
    let id = "0c1d2e3f-0000-4000-8000-000000000100";
    assert_eq!(
        shown(&mut alice, id),
        [
            "user Which river is the longest? answered",
            "assistant Let me look that up.\n\nThe Nile, 6650 km. -> 1 complete",
            "user And this one? answered",
            "assistant I see a river, and no name. -> 3 complete",
        ]
    );
    let session = alice.get(&format!("/api/v1/sessions/{id}")).expect(200).json();
    assert_eq!((&session["title"], &session["created_at"]), (&json!("Rivers"), &json!("2025-03-01T10:00:00.250000Z")));
    assert_eq!(session["updated_at"], "2025-03-01T10:01:40.500000Z");
    // The unpacked folder, with the conversations in several files.
    let folder = server.dir().path().join("unpacked");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(&file, folder.join("conversations-000.json")).unwrap();
    std::fs::write(folder.join("user.json"), "{}").unwrap();
    let again = server.command(&["import", folder.to_str().unwrap(), "--user", "alice"], "").ok();
    assert!(again.contains("messages    0 added, 6 there already"), "{again}");
}

#[test]
fn chats_of_open_webui_are_imported_with_what_failed_there() {
    let server = Server::start(&[]);
    let (mut alice, _) = server.user("alice");
    let file = fixture("open-webui.json");
    let said = server.command(&["import", &file, "--user", "alice"], "").ok();
    for told in
        ["sessions    2 made", "messages    6 added", "branch that was left (1)", "not readable (1): conversation 3"]
    {
        assert!(said.contains(told), "{told:?} is not in: {said}");
    }
    let tea = "0c1d2e3f-0000-4000-8000-000000000500";
    let wanted = [
        "user How long does green tea steep? answered",
        "assistant Two minutes. -> 1 complete",
        "user And black tea? failed",
        "user Still there? failed",
    ];
    assert_eq!(shown(&mut alice, tea), wanted);
    let session = alice.get(&format!("/api/v1/sessions/{tea}")).expect(200).json();
    assert_eq!((&session["title"], &session["system_prompt"]), (&json!("Tea"), &json!("Speak of tea.")));
    let early = shown(&mut alice, "0c1d2e3f-0000-4000-8000-000000000600");
    assert_eq!(early, ["user Short? stopped", "assistant Yes, but unfin -> 1 stopped"]);
    let again = server.command(&["import", &file, "--user", "alice"], "").ok();
    assert!(again.contains("messages    0 added, 6 there already"), "{again}");
}

#[test]
fn a_file_of_which_nothing_can_be_kept_is_no_success() {
    let server = Server::start(&[]);
    server.user("alice");
    let import = |name: &str, text: &str, words: &[&str]| {
        let file = server.dir().path().join(name);
        std::fs::write(&file, text).unwrap();
        server.command(&[&["import", file.to_str().unwrap()], words].concat(), "")
    };
    let unknown = import("letter.txt", "Dear friend,\n", &[]);
    assert!(unknown.code == 2 && unknown.err.contains("--format"), "{}", unknown.err);
    let head = "id,user_id,session_id,sender_type,message_text,timestamp,mood_detected\n";
    let lost = import("lost.csv", &format!("{head}1,u,s,ai,hello,2025-01-01T00:00:00Z,\n"), &[]);
    assert!(lost.code == 1 && lost.err.contains("nothing was imported"), "{}", lost.err);
    assert!(lost.out.contains("reply without a message before it (1): row 2"), "{}", lost.out);
    let columns = import("columns.csv", "id,sender_type,text\n1,user,x\n", &[]);
    assert!(columns.code == 1 && columns.err.contains("\"user_id\""), "{}", columns.err);
    let quote = format!("{head}1,u,s,user,\"never closed,2025-01-01T00:00:00Z,\n{}", "x,\n".repeat(6_000_000));
    let quote = import("quote.csv", &quote, &[]);
    assert!(quote.code == 1 && quote.err.contains("a quote is missing"), "{}", quote.err);
    let cut = import("cut.json", "[{\"mapping\": {}, \"title\": \"x\", \"id\": \"x\"}, {\"map", &["--user", "alice"]);
    assert!(cut.code == 1 && cut.err.contains("no JSON"), "{}", cut.err);
    let lines = import("lines.jsonl", "{\"type\":\"message\"}\n{\"type\":\"what\"}\n", &[]);
    assert!(lines.code == 1 && lines.out.contains("not readable (2): line 1, line 2"), "{}", lines.out);
    server.is_calm();
}

/// A table of some sessions with many rows, and every seventh reply missing.
fn table(path: &Path) {
    let mut text = "id,user_id,session_id,sender_type,message_text,timestamp,mood_detected\n".to_owned();
    let mut id = 0;
    for turn in 0..400 {
        for session in 0..6 {
            let user = session % 3;
            for sender in ["user", "ai"] {
                id += 1;
                if sender == "ai" && id % 7 == 0 {
                    continue;
                }
                let said = format!("{sender} {turn} {}", "words ".repeat(40));
                let second = id % 60;
                let (minute, hour) = (id / 60 % 60, id / 3600);
                let time = format!("2025-05-01T{hour:02}:{minute:02}:{second:02}Z");
                writeln!(text, "{id},user-{user},session-{session},{sender},{said},{time},").unwrap();
            }
        }
    }
    std::fs::write(path, text).unwrap();
}

/// Everything of a server, without the ids of accounts.
fn everything(server: &Server) -> Vec<Value> {
    let export = server.command(&["export"], "").ok();
    let lines = export.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut lines: Vec<Value> = lines.filter(|line| line["type"] == "message").collect();
    for line in &mut lines {
        // Sessions and messages are named after their users, whose ids are each server's own.
        let line = line.as_object_mut().unwrap();
        line.remove("id");
        line.remove("session_id");
    }
    lines.sort_by_cached_key(|line| (line["created_at"].to_string(), line.to_string()));
    lines
}

#[test]
fn an_import_that_is_killed_anywhere_is_finished_by_the_next_one() {
    let mut random = Random::seeded("import");
    let whole = Server::start(&[]);
    let file = whole.dir().path().join("table.csv");
    table(&file);
    let import = |server: &Server| server.command(&["import", file.to_str().unwrap()], "").ok();
    // The moments are to be those of an import, on a slow machine too.
    let started = Instant::now();
    let said = import(&whole);
    let took = started.elapsed();
    let wanted = everything(&whole);
    assert!(said.contains(&format!("messages    {} added", wanted.len())), "{said}");
    let mut broken = 0;
    for kills_server in [false, true] {
        let mut server = Server::start(&[]);
        for _ in 0..6 {
            let mut command = Command::new(env!("CARGO_BIN_EXE_bondhu"));
            command.arg("import").arg(&file).arg("--data-dir").arg(&server.data);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let (_tell, told) = std::sync::mpsc::channel::<()>();
            let after = took * u32::try_from(random.below(100)).unwrap() / 100;
            let _ = told.recv_timeout(after); // Only time passes.
            if kills_server {
                server.kill();
            }
            let _ = child.kill();
            child.wait().unwrap();
            if kills_server {
                check_passes(&server.data);
                server = server.restart(&[]);
            }
            let there = everything(&server).len();
            broken += usize::from(there > 0 && there < wanted.len());
        }
        import(&server);
        assert!(everything(&server) == wanted, "another log than of an import in one piece");
        assert!(import(&server).contains("messages    0 added"), "something comes twice");
        assert!(server.stop().success());
        let checked = check_passes(&server.data);
        assert!(checked.contains("open turns  0"), "{checked}");
    }
    eprintln!("import: 12 killed, {broken} in the middle");
    assert!(broken > 0, "no kill hit one in the middle");
}

#[test]
fn an_import_goes_on_while_the_same_session_is_written_to() {
    let server = Server::start(&[]);
    let (mut alice, _) = server.user("alice");
    alice.post("/api/v1/sessions", &json!({"id": RIVER})).expect(201);
    let file = server.dir().path().join("long.jsonl");
    let mut text_of = String::new();
    for n in 0..1500 {
        for (sender, name) in [("user", "question"), ("ai", "answer")] {
            let row = json!({"id": format!("{sender}{n}"), "user_id": "u", "session_id": RIVER, "sender_type": sender,
                "message_text": format!("{name} {n} {}", "w ".repeat(300)), "timestamp": format!("2025-05-01T08:{:02}:{:02}Z", n / 60, n % 60)});
            writeln!(text_of, "{row}").unwrap();
        }
    }
    std::fs::write(&file, text_of).unwrap();
    let (said, own) = std::thread::scope(|scope| {
        let importing = scope.spawn(|| server.command(&["import", file.to_str().unwrap(), "--user", "alice"], "").ok());
        let mut own = 0;
        while !importing.is_finished() {
            alice.say(RIVER, &format!("said here {own}"));
            own += 1;
        }
        (importing.join().unwrap(), own)
    });
    assert!(said.contains("messages    3000 added"), "{said}");
    let all = crate::support::load::messages(&mut alice, RIVER);
    assert_eq!(all.len(), 3000 + 2 * own);
    let mut questions = 0;
    for (place, message) in all.iter().enumerate() {
        assert_eq!(message["seq"], place as u64 + 1);
        let content = text(&message["content"]);
        if let Some(of) = message["reply_to"].as_u64().filter(|_| content.starts_with("answer ")) {
            let question = text(&all[usize::try_from(of).unwrap() - 1]["content"]);
            assert_eq!(content.replacen("answer", "question", 1), question);
            questions += 1;
        }
        assert_ne!(message["status"], "interrupted", "{message}");
    }
    assert_eq!(questions, 1500);
    let login = json!({"username": "alice", "password": PASSWORD});
    server.client().post("/api/v1/auth/login", &login).expect(200);
    server.is_calm();
}

#[test]
fn a_user_who_is_mapped_and_in_no_file_is_told_of() {
    let server = Server::start(&[]);
    server.user("alice");
    let file = server.dir().path().join("mine.csv");
    let rows = "id,user_id,session_id,sender_type,message_text,timestamp,mood_detected\n\
                1,amina,s,user,hello,2025-05-01T08:00:00Z,\n2,amina,s,ai,hi,2025-05-01T08:00:01Z,\n";
    std::fs::write(&file, rows).unwrap();
    let file = file.to_str().unwrap();
    let done = server.command(&["import", file, "--map", "zzz=alice", "--map", "amina=alice"], "");
    assert!(done.err.contains("--map zzz=alice") && !done.err.contains("--map amina"), "{}", done.err);
    assert!(done.ok().contains("messages    2 added"));
    let wrong = server.command(&["import", file, "--map", "x"], "");
    assert!(
        wrong.code == 2 && wrong.err.contains("the old system") && !wrong.err.contains("server.workers"),
        "{}",
        wrong.err
    );
}

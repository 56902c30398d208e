//! `bondhu export`, and the way back: another server shows the same.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::support::{Client, PASSWORD, Server, data::check_passes, model::asking, server::text, stub::Stub};

/// The lines of an export, without the ids of accounts, which are the server's, and without logins, which stay there.
fn lines(export: &str) -> Vec<Value> {
    let mut lines: Vec<Value> = export.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.retain(|line| line["type"] != "login");
    for line in lines.iter_mut().filter(|line| line["type"] == "user") {
        line.as_object_mut().unwrap().remove("id");
    }
    lines
}

/// A server with turns that ended in every way.
fn lived(stub: &Stub) -> Server {
    let server = asking(stub, &[]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    let path = format!("/api/v1/sessions/{session}");
    amina.json("PATCH", &path, &[], &json!({"title": "নদী", "system_prompt": "Be brief."})).expect(200);
    amina.say(&session, "answered");
    assert_eq!(amina.try_say(&session, "[[status 400]]").status, 502);
    amina.say(&session, "answered anew");
    amina.post(&format!("{path}/messages/4/retry"), &json!({})).expect(201);
    amina.session(); // One without messages.
    let (mut bela, _) = server.user("bela");
    let cleared = bela.session();
    bela.say(&cleared, "cleared");
    bela.delete("/api/v1/chat/history").expect(204);
    bela.say(&cleared, "behind what was cleared \u{0} \"quoted\"\n");
    server.add_admin("carla");
    server.command(&["user", "tier", "bela", "premium"], "").ok();
    server.command(&["user", "disable", "bela"], "").ok();
    server
}

#[test]
fn an_export_of_all_comes_back_the_same_from_another_server() {
    let stub = Stub::start();
    let server = lived(&stub);
    let file = server.dir().path().join("all.jsonl");
    let out = file.to_str().unwrap();
    server.command(&["export", "--with-passwords", "--out", out], "").ok();
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "hashes are for the operator alone");
    let exported = std::fs::read_to_string(&file).unwrap();
    let before = lines(&exported);
    let count = |kind: &str| before.iter().filter(|line| line["type"] == kind).count();
    assert_eq!((count("user"), count("session"), count("message")), (3, 3, 8), "{before:#?}");
    let statuses: Vec<String> =
        before.iter().filter(|line| line["type"] == "message").map(|line| text(&line["status"])).collect();
    for status in ["answered", "failed", "superseded", "complete"] {
        assert!(statuses.iter().any(|known| known == status), "{status}: {statuses:?}");
    }
    let failed = before.iter().find(|line| line["status"] == "failed").unwrap();
    assert!(!text(&failed["failure"]["detail"]).is_empty(), "{failed}");

    let mut other = Server::start(&[]);
    let said = other.command(&["import", "--trust", out], "").ok();
    assert!(said.contains("users       3 made") && said.contains("sessions    3 made"), "{said}");
    let again = other.command(&["export", "--with-passwords"], "");
    assert_eq!(again.code, 2, "hashes do not go to a terminal: {}", again.out);
    let second = other.dir().path().join("second.jsonl");
    other.command(&["export", "--with-passwords", "--out", second.to_str().unwrap()], "").ok();
    assert_eq!(lines(&std::fs::read_to_string(second).unwrap()), renumbered(before));
    assert_eq!(other.command(&["export"], "").ok().lines().filter(|line| line.contains("argon2")).count(), 0);

    // Who had a password there has it here.
    let login = json!({"username": "amina", "password": PASSWORD});
    other.client().post("/api/v1/auth/login", &login).expect(200);
    let shut = json!({"username": "bela", "password": PASSWORD});
    other.client().post("/api/v1/auth/login", &shut).expect(401);
    assert!(other.command(&["user", "list"], "").ok().contains(" admin "), "a trusted file brings roles");

    let said = other.command(&["import", "--trust", out], "").ok();
    assert!(said.contains("messages    0 added, 8 there already"), "{said}");
    assert!(other.stop().success());
    let checked = check_passes(&other.data);
    assert!(checked.contains("open turns  0"), "{checked}");
}

/// What was cleared leaves no gap on another server: sequences begin anew, and nothing else changes.
fn renumbered(mut lines: Vec<Value>) -> Vec<Value> {
    let mut heads: HashMap<String, u64> = HashMap::new();
    let mut places: HashMap<(String, u64), u64> = HashMap::new();
    for line in lines.iter_mut().filter(|line| line["type"] == "message") {
        let session = text(&line["session_id"]);
        let head = heads.entry(session.clone()).or_default();
        *head += 1;
        places.insert((session.clone(), line["seq"].as_u64().unwrap()), *head);
        line["seq"] = json!(*head);
        if let Some(of) = line["reply_to"].as_u64() {
            line["reply_to"] = json!(places[&(session, of)]);
        }
    }
    for line in lines.iter_mut().filter(|line| line["type"] == "session") {
        line["head"] = json!(heads.get(&text(&line["id"])).copied().unwrap_or(0));
    }
    lines
}

#[test]
fn one_account_is_exported_as_its_owner_gets_it_and_without_a_server_too() {
    let mut server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    server.user("bela");
    let session = amina.session();
    for number in 0..250 {
        amina.say(&session, &format!("{number} {}", "long ".repeat(900)));
    }
    let own = amina.get("/api/v1/auth/export").expect(200).text();
    assert_eq!(server.command(&["export", "--user", "AMINA"], "").ok(), own);
    let missing = server.command(&["export", "--user", "nobody"], "");
    assert_eq!((missing.code, missing.out.as_str()), (1, ""));
    assert!(server.stop().success());
    assert_eq!(server.command(&["export", "--user", "amina"], "").ok(), own);
}

#[test]
fn a_file_that_is_not_trusted_makes_nobody_an_administrator_and_sets_no_password() {
    let stub = Stub::start();
    let server = lived(&stub);
    let file = server.dir().path().join("all.jsonl");
    server.command(&["export", "--with-passwords", "--out", file.to_str().unwrap()], "").ok();
    let other = Server::start(&[]);
    let said = other.command(&["import", file.to_str().unwrap()], "").ok();
    assert!(said.contains("(--trust) (3): user \"amina\", user \"bela\", user \"carla\""), "{said}");
    assert!(!other.command(&["user", "list"], "").ok().contains(" admin "));
    for name in ["amina", "carla"] {
        other.client().post("/api/v1/auth/login", &json!({"username": name, "password": PASSWORD})).expect(401);
    }
    other.command(&["user", "passwd", "amina", "--password-file", "-"], PASSWORD).ok();
    other.client().post("/api/v1/auth/login", &json!({"username": "amina", "password": PASSWORD})).expect(200);
    other.is_calm();
}

#[test]
fn a_user_who_is_there_stays_as_they_are_and_gets_copies_of_anothers_sessions() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let (mut bela, _) = server.user("bela");
    let session = amina.session();
    amina.say(&session, "of amina");
    let file = server.dir().path().join("amina.jsonl");
    let export = ["export", "--user", "amina", "--out", file.to_str().unwrap()];
    std::fs::write(&file, "of before").unwrap();
    let refused = server.command(&export, "");
    assert!(refused.code == 2 && refused.err.contains("--force"), "{}", refused.err);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "of before");
    let said = server.command(&[&export[..], &["--force"]].concat(), "").ok();
    assert_eq!(said, format!("users       1\nmessages    2\nexported    {}\n", file.display()));
    let import = |user: &[&str]| server.command(&[&["import", file.to_str().unwrap()], user].concat(), "").ok();
    assert!(import(&[]).contains("messages    0 added, 2 there already"));
    // On the same server the session's id is taken: the copy has one of its own, the same each time.
    assert!(import(&["--user", "bela"]).contains("sessions    1 made, 0 found, 0 left out\nmessages    2 added"));
    assert!(import(&["--user", "bela"]).contains("messages    0 added, 2 there already"));
    bela.get(&format!("/api/v1/sessions/{session}/messages")).expect(403);
    let listed = bela.get("/api/v1/sessions").expect(200).json();
    let copy = text(&listed["sessions"][0]["id"]);
    assert_eq!(bela.page(&copy, "")["messages"][0]["content"], "of amina");
    // What was deleted here does not come back, and what was cleared neither.
    bela.delete(&format!("/api/v1/sessions/{copy}")).expect(204);
    let refused = server.command(&["import", file.to_str().unwrap(), "--user", "bela"], "");
    assert!(refused.code == 1 && refused.out.contains("deleted on this server (1)"), "{}{}", refused.out, refused.err);
    amina.delete("/api/v1/chat/history").expect(204);
    let cleared = server.command(&["import", file.to_str().unwrap()], "");
    assert!(cleared.out.contains("clearing of its session on this server (2)"), "{}", cleared.out);
    assert_eq!(amina.page(&session, "")["messages"], json!([]));
}

/// What programs did: a conversation with items and a response, of which one message was deleted; gives their paths under `/v1`.
fn programmed(amina: &mut Client) -> (String, String, String) {
    let items = json!([{"role": "developer", "content": "be brief"}, {"role": "user", "content": "a secret word"}]);
    let made = amina.post("/v1/conversations", &json!({"items": items, "metadata": {"topic": "tea"}})).expect(200);
    let conversation = text(&made.json()["id"]);
    let asked = json!({"input": "[[say]] well said", "conversation": conversation, "instructions": "in verse",
        "metadata": {"a": "\"quoted\" নদী"}, "temperature": 0.1});
    let response = text(&amina.post("/v1/responses", &asked).expect(200).json()["id"]);
    let messages = json!([{"role": "system", "content": "be kind"}, {"role": "user", "content": "[[say]] kept"}]);
    let asked = json!({"messages": messages, "store": true, "metadata": {"n": "1"}});
    let completion = text(&amina.post("/v1/chat/completions", &asked).expect(200).json()["id"]);
    (
        format!("/v1/conversations/{conversation}"),
        format!("/v1/responses/{response}"),
        format!("/v1/chat/completions/{completion}"),
    )
}

#[test]
fn what_programs_added_comes_back_from_another_server_and_what_they_erased_does_not() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let (conversation, response, completion) = programmed(&mut amina);
    let export = |server: &Server, name: &str| {
        let file = server.dir().path().join(name).display().to_string();
        server.command(&["export", "--with-passwords", "--out", &file], "").ok();
        (std::fs::read_to_string(&file).unwrap(), file)
    };
    let (_, earlier) = export(&server, "earlier.jsonl");
    let items = |client: &mut Client| client.get(&format!("{conversation}/items?order=asc")).expect(200).json();
    // The second item, and the message that the response answers, whose annotation goes along.
    for at in [1, 1] {
        let id = text(&items(&mut amina)["data"][at]["id"]);
        amina.delete(&format!("{conversation}/items/{id}")).expect(200);
    }
    let (exported, file) = export(&server, "all.jsonl");
    assert!(!exported.contains("secret") && exported.matches("\"erased\":true").count() == 2, "{exported}");
    assert!(exported.contains(r#""note":{"metadata":{"topic":"tea"}}"#), "{exported}");
    let own = amina.get("/api/v1/auth/export").expect(200).text();
    assert_eq!(lines(&own)[1..], lines(&exported)[1..], "a user's own export has the same");

    let mut other = Server::start(&[]);
    let said = other.command(&["import", "--trust", &file], "").ok();
    assert!(said.contains("messages    7 added") && !said.contains("no text"), "{said}");
    let (back, _) = export(&other, "back.jsonl");
    assert_eq!(lines(&back), lines(&exported));
    let login = json!({"username": "amina", "password": PASSWORD});
    let there = other.client().post("/api/v1/auth/login", &login).expect(200).json();
    let mut there = Client::with_token(other.address, &text(&there["token"]));
    for path in [&conversation, &completion, &format!("{completion}/messages")] {
        assert_eq!(there.get(path).expect(200).json(), amina.get(path).expect(200).json(), "{path}");
    }
    assert_eq!(items(&mut there), items(&mut amina));
    assert_eq!((amina.get(&response).status, there.get(&response).status), (404, 404), "its message was erased");
    for file in [&file, &earlier] {
        let said = other.command(&["import", "--trust", file], "").ok();
        assert!(said.contains("messages    0 added, 7 there already"), "{said}");
    }
    let (again, _) = export(&other, "again.jsonl");
    assert_eq!(lines(&again), lines(&exported), "what was erased here does not come back from an older file");
    assert!(other.stop().success());
    check_passes(&other.data);

    // An earlier file has the response whole, under the same id.
    let third = Server::start(&[]);
    third.command(&["import", "--trust", &earlier], "").ok();
    let there = third.client().post("/api/v1/auth/login", &login).expect(200).json();
    let mut there = Client::with_token(third.address, &text(&there["token"]));
    let kept = there.get(&response).expect(200).json();
    assert_eq!((&kept["instructions"], &kept["metadata"]), (&json!("in verse"), &json!({"a": "\"quoted\" নদী"})));
    assert_eq!((&kept["temperature"], &kept["usage"]["total_tokens"]), (&json!(0.1), &json!(18)));
    assert_eq!(kept["output"][0]["content"][0]["text"], "well said");
    let next = json!({"input": "hello", "previous_response_id": kept["id"], "store": true});
    there.post("/v1/responses", &next).expect(200);
}

#[test]
fn a_note_that_can_not_be_kept_is_told_and_left_out() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let session = "0d3c9e6a-3f0c-4a43-9a1d-6a2f0b7c8d9e";
    let message = |seq: u64, note: Value| {
        json!({"type": "message", "session_id": session, "seq": seq, "id": format!("0d3c9e6a-3f0c-4a43-9a1d-00000000000{seq}"),
            "role": "user", "status": "noted", "content": "words", "created_at": "2025-04-06T08:00:00Z", "note": note})
    };
    let file = [
        json!({"type": "session", "id": session, "created_at": "2025-04-06T08:00:00Z", "note": 7}),
        message(1, json!("x".repeat(3 << 20))),
        message(2, json!({"kept": 1})),
        message(3, json!(null)),
    ];
    let path = server.dir().path().join("notes.jsonl");
    std::fs::write(&path, file.map(|line| line.to_string()).join("\n")).unwrap();
    let said = server.command(&["import", path.to_str().unwrap(), "--user", "amina"], "").ok();
    assert!(said.contains("messages    3 added"), "{said}");
    assert!(said.contains("too long or of another form (2): line 1, line 2"), "{said}");
    let own = amina.get("/api/v1/auth/export").expect(200).text();
    assert!(own.matches("\"note\":").count() == 1 && own.contains(r#""note":{"kept":1}"#), "{own}");
}

#[test]
fn an_export_that_cannot_be_written_leaves_nothing_of_its_file() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    for _ in 0..4 {
        amina.say(&session, &"long ".repeat(900));
    }
    let out = server.dir().path().join("all.jsonl");
    std::fs::write(&out, "of before").unwrap();
    // A file of 1 KiB is the largest that the shell allows, as a disk that is full would.
    let line = "trap '' XFSZ; ulimit -f 1; exec \"$0\" export --force --out \"$1\" --data-dir \"$2\"";
    let arguments = [line, env!("CARGO_BIN_EXE_bondhu"), out.to_str().unwrap(), server.data.to_str().unwrap()];
    let done = std::process::Command::new("bash").arg("-c").args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.code() == Some(1) && said.contains("the export can't be written"), "{said}");
    assert!(!out.with_added_extension("partial").exists(), "{said}");
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "of before");
}

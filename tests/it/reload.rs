//! What changes while the server runs: its configuration, and the level of its log.

use std::{fs, sync::Arc};

use serde_json::{Value, json};

use crate::support::{Client, PASSWORD, Server, comes_true, text};

const FILE: &str = "[auth]\nregistration = \"open\"\n[log]\nlevel = \"info\"\n";

/// A server whose file says `text`, and an administrator of it.
fn start(file: &str) -> (Server, Client) {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    fs::write(dir.path().join("bondhu.toml"), file).unwrap();
    let data = dir.path().join("data");
    let server = Server::start_in(dir, data, &[]);
    server.add_admin("root");
    let mut root = server.client();
    let answer = root.post("/api/v1/auth/login", &json!({"username": "root", "password": PASSWORD})).expect(200).json();
    root.token = Some(text(&answer["token"]));
    (server, root)
}

fn write(server: &Server, file: &str) {
    fs::write(server.dir().path().join("bondhu.toml"), file).unwrap();
}

fn register(server: &Server, name: &str) -> u16 {
    server.client().post("/api/v1/auth/register", &json!({"username": name, "password": PASSWORD})).status
}

fn setting(root: &mut Client, key: &str) -> Value {
    let config = root.get("/api/v1/admin/config").expect(200).json();
    config["settings"].as_array().unwrap().iter().find(|setting| setting["key"] == key).unwrap().clone()
}

#[test]
fn what_can_change_holds_from_the_next_request_on_and_the_rest_from_the_next_start() {
    let (server, mut root) = start(FILE);
    assert_eq!(register(&server, "amina"), 201);
    let before = root.get("/api/v1/about").expect(200);
    assert_eq!(setting(&mut root, "auth.registration")["value"], "\"open\"");
    write(&server, "[auth]\nregistration = \"closed\"\n[chat]\nmessage_chars_max = 10\n[server]\nworkers = 7\n");
    let told = root.post("/api/v1/admin/reload", &json!({})).expect(200).json();
    assert_eq!(told["changed"], json!(["auth.registration", "chat.message_chars_max"]));
    assert_eq!(told["at_next_start"], json!(["server.workers"]));
    assert_eq!(register(&server, "omar"), 403);
    let after = root.get("/api/v1/about").expect(200);
    assert_eq!((&after.json()["registration"], &after.json()["message_chars_max"]), (&json!("closed"), &json!(10)));
    assert_ne!(after.header("etag"), before.header("etag"));
    let session = root.session();
    let path = format!("/api/v1/sessions/{session}/messages");
    root.post(&path, &json!({"content": "01234567890"})).expect(422);
    root.post(&path, &json!({"content": "0123456789"})).expect(201);
    let closed = setting(&mut root, "auth.registration");
    assert_eq!(closed["value"], "\"closed\"");
    assert!(text(&closed["source"]).contains("bondhu.toml"), "{closed}");
    assert_eq!(setting(&mut root, "server.workers")["value"], "0", "what holds is shown");
    let again = root.post("/api/v1/admin/reload", &json!({})).expect(200).json();
    assert_eq!((&again["changed"], &again["at_next_start"]), (&json!([]), &json!(["server.workers"])));
}

#[test]
fn a_bad_file_changes_nothing_and_every_fault_of_it_is_named() {
    let (server, mut root) = start(FILE);
    write(&server, "[auth]\nregistration = \"closed\"\npassword_min = 3\n[servr]\nworkers = 1\n");
    let refused = root.post("/api/v1/admin/reload", &json!({})).expect(422).json();
    let detail = text(&refused["detail"]);
    assert!(detail.contains("auth.password_min") && detail.contains("servr"), "{detail}");
    server.signal("HUP");
    comes_true("the log says why", || {
        server.log().iter().filter(|line| line.contains("was not changed") && line.contains("password_min")).count()
            == 2
    });
    let refused = server.command(&["reload"], "");
    assert_eq!(refused.code, 2, "it reads the same file: {}", refused.err);
    assert!(refused.err.contains("auth.password_min"), "{}", refused.err);
    assert_eq!(register(&server, "amina"), 201, "the old one holds");
}

#[test]
fn a_file_that_is_gone_is_a_fault_and_not_the_defaults() {
    let (server, mut root) = start(&FILE.replace("open", "closed"));
    let file = server.dir().path().join("bondhu.toml");
    let aside = file.with_extension("bak");
    fs::rename(&file, &aside).unwrap();
    let refused = root.post("/api/v1/admin/reload", &json!({})).expect(422).json();
    assert!(text(&refused["detail"]).contains("bondhu.toml: is not there any more"), "{refused}");
    let refused = server.command(&["reload"], "");
    assert!(refused.code != 0 && refused.err.contains("is not there any more"), "{} {}", refused.out, refused.err);
    assert_eq!(register(&server, "amina"), 403, "what it said holds");
    fs::rename(&aside, &file).unwrap();
    server.command(&["reload"], "").ok();
}

#[test]
fn a_signal_and_the_command_read_it_again() {
    let (server, _) = start(FILE);
    write(&server, &FILE.replace("open", "closed"));
    server.signal("HUP");
    comes_true("registration is closed", || register(&server, "nobody") == 403);
    write(&server, FILE);
    let done = server.command(&["reload"], "").ok();
    assert_eq!(done, "changed: auth.registration\n");
    assert_eq!(register(&server, "amina"), 201);
    assert!(server.command(&["reload"], "").ok().starts_with("nothing"));
    server.is_calm();
}

#[test]
fn the_log_tells_more_or_less_without_a_restart() {
    let (server, mut root) = start(FILE);
    let requests =
        |server: &Server| server.log().iter().filter(|line| line.contains("path=\"/api/v1/auth/me\"")).count();
    root.get("/api/v1/auth/me").expect(200);
    server.settled_log();
    let before = requests(&server);
    assert!(before > 0);
    assert_eq!(root.get("/api/v1/admin/log").expect(200).json()["level"], "info");
    assert_eq!(
        root.json("PUT", "/api/v1/admin/log", &[], &json!({"level": "warn"})).expect(200).json()["level"],
        "warn"
    );
    root.get("/api/v1/auth/me").expect(200);
    server.command(&["log-level", "info"], "").ok();
    server.settled_log();
    assert_eq!(requests(&server), before, "what is below the level is not written");
    root.get("/api/v1/auth/me").expect(200);
    server.settled_log();
    assert_eq!(requests(&server), before + 1);
    for bad in ["loud", "", "off", "5"] {
        root.json("PUT", "/api/v1/admin/log", &[], &json!({"level": bad})).expect(422);
    }
    write(&server, &FILE.replace("info", "error"));
    root.post("/api/v1/admin/reload", &json!({})).expect(200);
    assert_eq!(root.get("/api/v1/admin/log").expect(200).json()["level"], "error");
}

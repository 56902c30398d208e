//! What stands behind what, who may hear it, and what is gone.

use serde_json::{Value, json};

use super::refused;
use crate::support::{Client, list, model::asking, stub::Stub, text};

const PATH: &str = "/v1/responses";
const BY_KEY: [(&str, &str); 1] = [("idempotency-key", "k-1")];

/// Begins a response in the background.
fn begin(client: &mut Client, body: &Value, headers: &[(&str, &str)]) -> String {
    let mut body = body.clone();
    body["background"] = json!(true);
    text(&client.json("POST", PATH, headers, &body).expect(200).json()["id"])
}

fn until_done(client: &mut Client, id: &str) -> Value {
    loop {
        let response = client.get(&format!("{PATH}/{id}")).expect(200).json();
        if !["queued", "in_progress"].contains(&text(&response["status"]).as_str()) {
            return response;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_branch_has_nothing_of_another_that_began_before_its_beginning_had_ended() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let first = begin(&mut amina, &json!({"input": "[[gate first]] one"}), &[]);
    let other = json!({"input": "[[gate other]] of the other branch", "previous_response_id": first});
    let other = begin(&mut amina, &other, &[]);
    stub.release("first");
    until_done(&mut amina, &first);
    let branch = begin(&mut amina, &json!({"input": "of this branch", "previous_response_id": first}), &[]);
    stub.release("other");
    until_done(&mut amina, &other);
    until_done(&mut amina, &branch);
    let asked = stub.seen().into_iter().map(|seen| seen.body["messages"].to_string());
    let asked = asked.into_iter().find(|asked| asked.contains("of this branch")).unwrap();
    assert!(asked.contains("one") && !asked.contains("of the other branch"), "{asked}");
    server.is_calm();
}

#[test]
fn a_repeat_is_known_whatever_became_of_what_it_goes_on_behind() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let first = begin(&mut amina, &json!({"input": "[[gate first]] one"}), &[]);
    let behind = json!({"input": "two", "previous_response_id": first});
    let second = begin(&mut amina, &behind, &BY_KEY);
    assert_eq!(begin(&mut amina, &behind, &BY_KEY), second, "while both run");
    stub.release("first");
    until_done(&mut amina, &second);
    assert_eq!(begin(&mut amina, &behind, &BY_KEY), second, "once both have ended");
    amina.delete(&format!("{PATH}/{first}")).expect(200);
    assert_eq!(begin(&mut amina, &behind, &BY_KEY), second, "and though the one before is gone");
    let other = json!({"input": "three", "previous_response_id": first, "background": true});
    refused(&amina.json("POST", PATH, &BY_KEY, &other), 422);
    server.is_calm();
}

#[test]
fn p6_a_stream_too_many_is_refused_before_anything_is_stored() {
    let stub = Stub::start();
    let server = asking(&stub, &["limits.free.streams=1"]);
    let (mut amina, _) = server.user("amina");
    let _open = amina.another_tab(&server).events("/api/v1/events");
    refused(&amina.post(PATH, &json!({"input": "x", "stream": true})), 429);
    let messages = [json!({"role": "user", "content": "x"})];
    refused(&amina.post("/v1/chat/completions", &json!({"messages": messages, "store": true, "stream": true})), 429);
    assert_eq!(list(&amina.get("/api/v1/sessions").expect(200).json()["sessions"]).len(), 0);
    server.is_calm();
}

#[test]
fn a_stream_tells_nothing_more_once_its_key_is_revoked() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let made = amina.post("/api/v1/auth/keys", &json!({"name": "n", "scopes": ["conversations"]})).expect(201).json();
    let program = Client::with_token(server.address, &text(&made["key"]));
    let asked = json!({"input": "[[gate secret]] one two", "stream": true});
    let mut events = program.post_events(PATH, &asked);
    stub.step("secret");
    while events.next().unwrap().data["delta"] != "one " {}
    amina.delete(&format!("/api/v1/auth/keys/{}", text(&made["id"]))).expect(204);
    stub.release("secret");
    let rest = events.rest();
    let names: Vec<_> = rest.iter().map(|event| event.name.as_str()).filter(|name| !name.is_empty()).collect();
    assert_eq!(names, ["error"], "{:?}", rest.iter().map(|event| &event.data).collect::<Vec<_>>());
    server.is_calm();
}

#[test]
fn a_stream_that_is_read_again_tells_that_it_can_not_go_on() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let first = begin(&mut amina, &json!({"input": "[[gate gone]] one two"}), &[]);
    stub.step("gone");
    let path = format!("{PATH}/{first}?stream=true");
    let mut events = amina.events(&path);
    let seen = loop {
        let event = events.next().unwrap();
        if event.data["delta"] == "one " {
            break event.data["sequence_number"].as_u64().unwrap();
        }
    };
    let again = amina.events(&format!("{path}&starting_after={seen}"));
    amina.delete("/api/v1/chat/history").expect(204);
    let rest = again.rest();
    let last = rest
        .iter()
        .rfind(|event| !event.name.is_empty())
        .map(|event| (event.name.as_str(), event.data["sequence_number"].as_u64()));
    assert_eq!(last, Some(("error", Some(seen + 1))));
    server.is_calm();
}

#[test]
fn p3_what_is_taken_out_is_out_of_the_old_history_at_once() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let response = amina.post(PATH, &json!({"input": "a secret"})).expect(200).json();
    amina.post(PATH, &json!({"input": "another", "previous_response_id": response["id"]})).expect(200);
    let old = |client: &mut Client| client.get("/api/v1/chat/history").expect(200).text();
    assert!(old(&mut amina).contains("a secret"));
    amina.delete(&format!("{PATH}/{}", text(&response["id"]))).expect(200);
    let now = old(&mut amina);
    assert!(!now.contains("a secret") && now.contains("another"), "{now}");
    server.is_calm();
}

//! What is asked, at its edges: histories with gaps, names, and refusals that name the right place.

use serde_json::{Value, json};

use super::refused;
use crate::support::{Server, list, model::asking, stub::Stub, text};

const COMPLETIONS: &str = "/v1/chat/completions";
const RESPONSES: &str = "/v1/responses";

#[test]
fn a_history_that_the_server_gave_is_taken_back_also_where_a_reply_was_empty() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let line = |role: &str, content: &str| json!({"role": role, "content": content});
    let history = json!([
        line("system", ""),
        line("user", "one"),
        line("assistant", ""),
        line("developer", " \n"),
        line("user", "two"),
    ]);
    let asked = || {
        let body = stub.seen().last().unwrap().body.clone();
        let told = list(&body["messages"]).iter().filter(|line| line["role"] == "user");
        told.map(|line| text(&line["content"])).collect::<Vec<_>>()
    };
    let made = amina.post(COMPLETIONS, &json!({"messages": history, "store": true})).expect(200).json();
    assert_eq!(asked(), ["one", "two"]);
    let kept = amina.get(&format!("{COMPLETIONS}/{}/messages", text(&made["id"]))).expect(200).json();
    let kept: Vec<_> = list(&kept["data"]).iter().map(|message| text(&message["content"])).collect();
    assert_eq!(kept, ["one", "two"], "what is empty is not stored");
    let conversation = text(&amina.post("/v1/conversations", &json!({})).expect(200).json()["id"]);
    amina.post(RESPONSES, &json!({"conversation": conversation, "input": "before"})).expect(200);
    let made = amina.post(RESPONSES, &json!({"conversation": conversation, "input": history})).expect(200).json();
    assert_eq!(asked(), ["before", "one", "two"]);
    let inputs = amina.get(&format!("{RESPONSES}/{}/input_items", text(&made["id"]))).expect(200).json();
    assert_eq!(list(&inputs["data"]).len(), 2, "those of this request: {inputs}");
    // What a person is to have said has words.
    for (path, field) in [(COMPLETIONS, "messages"), (RESPONSES, "input")] {
        let body = |lines: &Value| json!({field: lines, "store": true});
        let gap = body(&json!([line("user", ""), line("user", "x")]));
        assert_eq!(refused(&amina.post(path, &gap), 400).1, format!("{field}[0].content"));
        amina.post(path, &body(&json!([line("user", "x"), line("user", "")]))).expect(400);
    }
    let gap = json!({"items": [line("assistant", "")]});
    assert_eq!(refused(&amina.post("/v1/conversations", &gap), 400).1, "items[0].content", "nothing is added silently");
    server.is_calm();
}

#[test]
fn who_speaks_by_which_name_is_told_to_the_model() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let messages = json!([
        {"role": "system", "content": "be kind", "name": "rules"},
        {"role": "user", "content": "hi", "name": "bela"},
        {"role": "user", "content": "hello", "name": null},
    ]);
    amina.post(COMPLETIONS, &json!({ "messages": messages })).expect(200);
    let wanted = json!([
        {"role": "system", "content": "be kind", "name": "rules"},
        {"role": "user", "content": "hi", "name": "bela"},
        {"role": "user", "content": "hello"},
    ]);
    assert_eq!(stub.seen()[0].body["messages"], wanted);
    let wrong = json!({"messages": [{"role": "user", "content": "hi", "name": 7}]});
    assert_eq!(refused(&amina.post(COMPLETIONS, &wrong), 400).1, "messages[0].name");
    server.is_calm();
}

#[test]
fn what_can_not_be_stored_or_is_not_there_is_named_by_its_place() {
    let server = Server::start(&["api.input_chars_max=50"]);
    let (mut amina, _) = server.user("amina");
    let (long, gone) = ("x".repeat(51), format!("conv_{}", "0".repeat(32)));
    let lines = |last: &str| json!([{"role": "assistant", "content": "hi"}, {"role": "user", "content": last}]);
    for last in ["", " \n", long.as_str()] {
        for (path, body, param) in [
            (COMPLETIONS, json!({"messages": lines(last), "store": true}), "messages[1].content"),
            (RESPONSES, json!({ "input": lines(last) }), "input[1].content"),
            (RESPONSES, json!({ "input": last }), "input"),
        ] {
            assert_eq!(refused(&amina.post(path, &body), 400).1, param, "{last:?}");
        }
    }
    let none = json!({"input": [{"role": "assistant", "content": "hi"}]});
    assert_eq!(refused(&amina.post(RESPONSES, &none), 400).1, "input", "the last one is not at fault, the list is");
    for conversation in [json!(gone), json!({ "id": gone }), json!("conv_1")] {
        let answer = amina.post(RESPONSES, &json!({"input": "x", "conversation": conversation}));
        assert_eq!(refused(&answer, 404).1, "conversation", "{conversation}");
    }
    server.is_calm();
}

#[test]
fn calls_of_openais_that_are_not_here_are_said_to_be_not_supported() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    for call in ["input_tokens", "compact"] {
        let answer = amina.post(&format!("{RESPONSES}/{call}"), &json!({"input": "x"}));
        assert_eq!(refused(&answer, 404).2, "no_such_path", "{call}");
        let message = text(&answer.json()["error"]["message"]);
        assert!(message.contains("not supported"), "{message}");
        assert_eq!(refused(&amina.get(&format!("{RESPONSES}/{call}")), 404).2, "not_found", "an id that is none");
    }
    assert_eq!(refused(&amina.post(&format!("{RESPONSES}/resp_1"), &json!({})), 405).2, "method_not_allowed");
    server.is_calm();
}

#[test]
fn half_of_a_character_in_a_body_is_said_to_be_that_and_where() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let mut refusal = |body: &str| {
        let json = [("content-type", "application/json")];
        let answer = amina.send("POST", COMPLETIONS, &json, Some(body.as_bytes())).unwrap();
        assert_eq!(refused(&answer, 400).2, "bad_request");
        text(&answer.json()["error"]["message"])
    };
    for half in ["\\ud83d", "\\ud83d\\n", "\\ud83d\\u0041", "\\ude42"] {
        let said = refusal(&format!("{{\"messages\": [{{\"role\": \"user\", \"content\": \"hi {half}\"}}]}}"));
        assert!(said.contains("half of a character") && said.contains("column"), "{half}: {said}");
        assert!(!said.contains("not JSON"), "{said}");
    }
    assert!(refusal("{\"messages\": \"\\ux\"}").contains("not JSON"));
}

//! Conversations and their items: sessions, as programs see them.

use serde_json::{Value, json};

use super::refused;
use crate::support::{Client, Server, list, text};

/// What each item says, in the order of the answer.
fn texts(page: &Value) -> Vec<String> {
    list(&page["data"]).iter().map(|item| text(&item["content"][0]["text"])).collect()
}

fn make(client: &mut Client, body: &Value) -> String {
    text(&client.post("/v1/conversations", body).expect(200).json()["id"])
}

/// The session that a conversation is, as people call it.
fn session_of(conversation: &str) -> String {
    uuid::Uuid::parse_str(conversation.strip_prefix("conv_").unwrap()).unwrap().to_string()
}

#[test]
fn a_conversation_is_made_changed_listed_and_deleted() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let made = amina.post("/v1/conversations", &json!({"metadata": {"topic": "tea"}, "unknown": 1})).expect(200).json();
    let id = text(&made["id"]);
    assert!(id.strip_prefix("conv_").is_some_and(|digits| digits.len() == 32));
    assert_eq!((&made["object"], &made["metadata"]), (&json!("conversation"), &json!({"topic": "tea"})));
    assert!(made["created_at"].as_i64().unwrap() > 1_700_000_000);
    let path = format!("/v1/conversations/{id}");
    assert_eq!(amina.get(&path).expect(200).json(), made);
    let changed = amina.post(&path, &json!({"metadata": {"topic": "rain", "n": "1"}})).expect(200).json();
    assert_eq!(changed["metadata"], json!({"topic": "rain", "n": "1"}));
    assert_eq!(amina.get(&path).expect(200).json(), changed);
    assert_eq!(amina.post(&path, &json!({"metadata": null})).expect(200).json()["metadata"], json!({}));
    assert_eq!(refused(&amina.post(&path, &json!({})), 400).1, "metadata");
    let bare = amina.send("POST", "/v1/conversations", &[], None).unwrap().expect(200).json();
    assert_eq!(bare["metadata"], json!({}));
    let others: Vec<_> = (0..3).map(|_| make(&mut amina, &json!({}))).collect();
    let first = amina.get("/v1/conversations?limit=3").expect(200).json();
    assert_eq!((&first["has_more"], list(&first["data"]).len()), (&json!(true), 3));
    assert_eq!(first["first_id"], others[2]);
    let rest = amina.get(&format!("/v1/conversations?limit=3&after={}", text(&first["last_id"]))).expect(200).json();
    let ids: Vec<_> = list(&rest["data"]).iter().map(|one| text(&one["id"])).collect();
    assert_eq!((ids, &rest["has_more"]), (vec![text(&bare["id"]), id.clone()], &json!(false)));
    let deleted = amina.delete(&path).expect(200).json();
    assert_eq!(deleted, json!({"id": id, "object": "conversation.deleted", "deleted": true}));
    assert_eq!(refused(&amina.get(&path), 404).2, "not_found");
    server.is_calm();
}

#[test]
fn whoever_follows_hears_that_an_item_was_deleted() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let items = json!([{"role": "user", "content": "first"}, {"role": "user", "content": "a secret word"}]);
    let id = make(&mut amina, &json!({"items": items}));
    let session = session_of(&id);
    let (mut of_session, mut of_all) = (amina.session_events(&session), amina.events("/api/v1/events"));
    let told = amina.get(&format!("/v1/conversations/{id}/items")).expect(200).json();
    amina.delete(&format!("/v1/conversations/{id}/items/{}", text(&told["data"][0]["id"]))).expect(200);
    let event = of_session.find("erased");
    assert_eq!((event.id, event.data), (None, json!({"seq": 2})));
    assert_eq!(of_all.find("erased").data, json!({"session_id": session, "seq": 2}));
    // A reply that goes with its response, and one that is deleted by itself.
    let asked = json!({"conversation": id, "input": "hello"});
    amina.post("/v1/responses", &asked).expect(200);
    let told = amina.get(&format!("/v1/conversations/{id}/items")).expect(200).json();
    amina.delete(&format!("/v1/conversations/{id}/items/{}", text(&told["data"][0]["id"]))).expect(200);
    assert_eq!(of_session.find("erased").data, json!({"seq": 4}));
    // Who comes back reads the log as it is now.
    let path = format!("/api/v1/sessions/{session}/events");
    let mut again = amina.events(&format!("{path}?after=0"));
    let messages: Vec<_> = (0..4).map(|_| again.find("message")).map(|event| text(&event.data["content"])).collect();
    assert_eq!(messages, ["first", "", "hello", ""]);
    let mut again = amina.events_after(&path, 1);
    assert_eq!(again.find("message").data["content"], "");
    // And is told what is gone of what it has.
    let mut again = amina.events_after(&path, 3);
    let told: Vec<_> =
        (0..3).filter_map(|_| again.next()).map(|event| (event.name, event.data["seq"].clone())).collect();
    let event = |name: &str, seq: serde_json::Value| (name.to_owned(), seq);
    assert_eq!(told, [event("state", json!(null)), event("erased", json!(2)), event("message", json!(4))]);
    server.is_calm();
}

#[test]
fn items_are_messages_of_the_session_and_the_other_way_round() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let items = json!([
        {"type": "message", "role": "system", "content": "be kind"},
        {"role": "user", "content": [{"type": "input_text", "text": "hel"}, {"type": "input_text", "text": "lo"}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "hi", "annotations": []}]},
    ]);
    let id = make(&mut amina, &json!({"items": items}));
    let session = session_of(&id);
    let mut events = amina.session_events(&session);
    let path = format!("/v1/conversations/{id}/items");
    let added = amina.post(&path, &json!({"items": [{"role": "developer", "content": "go on"}]})).expect(200).json();
    assert_eq!((texts(&added), &added["object"]), (vec!["go on".to_owned()], &json!("list")));
    while events.find("message").data["content"] != "go on" {}
    amina.say(&session, "I am sad today");
    let page = amina.get(&format!("{path}?order=asc&limit=100")).expect(200).json();
    let roles: Vec<_> = list(&page["data"]).iter().map(|item| text(&item["role"])).collect();
    assert_eq!(roles, ["system", "user", "assistant", "developer", "user", "assistant"]);
    assert_eq!(texts(&page)[..5], ["be kind", "hello", "hi", "go on", "I am sad today"]);
    let log = amina.log(&session);
    assert_eq!(log.len(), 6, "and a person sees the same");
    for (item, message) in list(&page["data"]).iter().zip(&log) {
        assert_eq!((&item["status"], &item["type"]), (&json!("completed"), &json!("message")));
        assert_eq!(item["content"][0]["text"], message["content"]);
        assert_eq!(amina.get(&format!("{path}/{}", text(&item["id"]))).expect(200).json(), *item);
    }
    // Pages go on behind the last one, in both orders, and have each item once.
    for order in ["asc", "desc"] {
        let (mut after, mut seen) = (String::new(), Vec::new());
        loop {
            let page = amina.get(&format!("{path}?order={order}&limit=2{after}")).expect(200).json();
            seen.extend(texts(&page));
            if page["has_more"] == false {
                break;
            }
            after = format!("&after={}", text(&page["last_id"]));
        }
        let mut wanted = texts(&page);
        if order == "desc" {
            wanted.reverse();
        }
        assert_eq!(seen, wanted, "{order}");
    }
    assert_eq!(
        texts(&amina.get(&format!("{path}?limit=1")).expect(200).json()),
        [text(&log[5]["content"])],
        "newest first"
    );
    let hello = text(&page["data"][1]["id"]);
    let conversation = amina.delete(&format!("{path}/{hello}")).expect(200).json();
    assert_eq!(conversation["id"], id);
    assert_eq!(refused(&amina.get(&format!("{path}/{hello}")), 404).2, "not_found");
    assert!(!texts(&amina.get(&path).expect(200).json()).contains(&"hello".to_owned()));
    server.is_calm();
}

#[test]
fn what_can_not_be_an_item_or_a_page_is_named() {
    let server = Server::start(&["api.input_chars_max=50"]);
    let (mut amina, _) = server.user("amina");
    let id = make(&mut amina, &json!({}));
    let path = format!("/v1/conversations/{id}/items");
    let many: Vec<_> = (0..21).map(|n| json!({"role": "user", "content": n.to_string()})).collect();
    for (items, param, code) in [
        (json!(null), "items", Value::Null),
        (json!([]), "items", Value::Null),
        (json!(many), "items", Value::Null),
        (json!([{"role": "user", "content": " "}]), "items[0].content", Value::Null),
        (json!([{"role": "user", "content": "আ".repeat(51)}]), "items[0].content", Value::Null),
        (json!([{"role": "user"}]), "items[0].content", Value::Null),
        (json!([{"content": "x"}]), "items[0].role", Value::Null),
        (json!([{"type": "function_call"}]), "items[0].type", json!("unsupported_value")),
        (
            json!([{"role": "user", "content": [{"type": "input_image"}]}]),
            "items[0].content[0].type",
            json!("unsupported_value"),
        ),
    ] {
        let answer = refused(&amina.post(&path, &json!({"items": items})), 400);
        assert_eq!((answer.1, answer.2), (json!(param), code), "{items}");
    }
    for (query, param) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("order=up", "order"),
        ("after=msg_1", "after"),
    ] {
        assert_eq!(refused(&amina.get(&format!("{path}?{query}")), 400).1, param, "{query}");
    }
    assert_eq!(amina.get(&path).expect(200).json()["data"], json!([]), "nothing of it was stored");
    server.is_calm();
}

#[test]
fn what_is_asked_again_by_its_key_or_as_a_retry_adds_nothing() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let body = json!({"items": [{"role": "user", "content": "once"}]});
    let by_key = [("idempotency-key", "k-1")];
    let first = amina.json("POST", "/v1/conversations", &by_key, &body).expect(200).json();
    assert_eq!(amina.json("POST", "/v1/conversations", &by_key, &body).expect(200).json(), first);
    refused(&amina.json("POST", "/v1/conversations", &by_key, &json!({})), 422);
    let items = format!("/v1/conversations/{}/items", text(&first["id"]));
    let add = |client: &mut Client, retries| {
        client.json("POST", &items, &[("x-stainless-retry-count", retries)], &body).expect(200).json()
    };
    let one = add(&mut amina, "0");
    let two = add(&mut amina, "0");
    assert_ne!(one["first_id"], two["first_id"], "people do say the same twice");
    assert_eq!(add(&mut amina, "1"), two);
    let server = server.restart(&[]);
    let mut amina = amina.another_tab(&server);
    assert_eq!(add(&mut amina, "2"), two, "also after a restart");
    assert_eq!(texts(&amina.get(&items).expect(200).json()), ["once", "once", "once"]);
    assert_eq!(list(&amina.get("/v1/conversations").expect(200).json()["data"]).len(), 1);
}

#[test]
fn anothers_a_deleted_and_an_id_that_never_was_are_told_the_same() {
    let server = Server::start(&[]);
    let (mut owner, _) = server.user("amina");
    let (mut stranger, _) = server.user("mallory");
    let item = json!({"role": "user", "content": "between us"});
    let anothers = make(&mut owner, &json!({"items": [item]}));
    let deleted = make(&mut owner, &json!({}));
    owner.delete(&format!("/v1/conversations/{deleted}")).expect(200);
    let never = format!("conv_{}", uuid::Uuid::new_v4().simple());
    let item = format!("msg_{}00000001", &anothers[5..]);
    let asked = json!({"input": "hi"});
    let response = text(&owner.post("/v1/responses", &asked).expect(200).json()["id"]);
    let mut told = |method: &str, path: &str, body: &str| {
        let headers = [("content-type", "application/json")];
        let body = (!body.is_empty()).then_some(body.as_bytes());
        let answer = stranger.send(method, path, &headers, body).unwrap();
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text());
        answer.body
    };
    for (method, tail, body) in [
        ("GET", "", ""),
        ("POST", "", r#"{"metadata":{}}"#),
        ("POST", "", r#"{"metadata":7}"#),
        ("DELETE", "", ""),
        ("GET", "/items", ""),
        ("GET", "/items?limit=0", ""),
        ("POST", "/items", r#"{"items":[]}"#),
        ("GET", &format!("/items/{item}"), ""),
        ("DELETE", &format!("/items/{item}"), ""),
    ] {
        let wanted = told(method, &format!("/v1/conversations/{never}{tail}"), body);
        for id in [&anothers, &deleted, "x", "conv_", &anothers.to_uppercase(), &anothers[..30]] {
            assert_eq!(told(method, &format!("/v1/conversations/{id}{tail}"), body), wanted, "{method} {id}{tail}");
        }
    }
    let missing = format!("resp_{}00000001", uuid::Uuid::new_v4().simple());
    for (method, tail) in
        [("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/input_items"), ("GET", "?stream=true")]
    {
        let wanted = told(method, &format!("/v1/responses/{missing}{tail}"), "");
        for id in [&response, "x", &response.replace("resp_", "chatcmpl-"), &format!("resp_{}", &anothers[5..])] {
            assert_eq!(told(method, &format!("/v1/responses/{id}{tail}"), ""), wanted, "{method} {id}{tail}");
        }
    }
    for (field, id) in [("conversation", &anothers), ("previous_response_id", &response)] {
        let of = |id: &str| json!({"input": "hi", field: id}).to_string();
        let wanted = told("POST", "/v1/responses", &of("x"));
        assert_eq!(told("POST", "/v1/responses", &of(id)), wanted, "{field}");
    }
    assert_eq!(texts(&owner.get(&format!("/v1/conversations/{anothers}/items")).expect(200).json()), ["between us"]);
    let events = server.settled_log().iter().filter(|line| line.contains("event=\"ownership\"")).count();
    assert!(events > 20, "each try is a security event: {events}");
}

#[test]
fn a_page_goes_on_behind_an_item_that_was_taken_out_since() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let id = make(&mut amina, &json!({}));
    for input in ["one", "two", "three"] {
        amina.post("/v1/responses", &json!({"conversation": id, "input": input})).expect(200);
    }
    let path = format!("/v1/conversations/{id}/items");
    let ids = |page: &Value| list(&page["data"]).iter().map(|item| text(&item["id"])).collect::<Vec<_>>();
    let all = ids(&amina.get(&format!("{path}?order=asc")).expect(200).json());
    for gone in &all[2..4] {
        amina.delete(&format!("{path}/{gone}")).expect(200);
    }
    for after in &all[2..4] {
        let behind = amina.get(&format!("{path}?order=asc&after={after}")).expect(200).json();
        assert_eq!(ids(&behind), all[4..], "behind {after}");
        let before = amina.get(&format!("{path}?order=desc&after={after}")).expect(200).json();
        assert_eq!(ids(&before), [all[1].clone(), all[0].clone()], "before {after}");
    }
    // Whoever takes out each page before the next one comes to the end.
    let (mut after, mut seen) = (String::new(), Vec::new());
    loop {
        let page = amina.get(&format!("{path}?limit=1&order=asc{after}")).expect(200).json();
        for item in ids(&page) {
            amina.delete(&format!("{path}/{item}")).expect(200);
            after = format!("&after={item}");
            seen.push(item);
        }
        if page["has_more"] != true {
            break;
        }
    }
    assert_eq!(seen, [&all[..2], &all[4..]].concat());
    // What never was is no place, nor is one of another conversation.
    let another = make(&mut amina, &json!({"items": [{"role": "user", "content": "x"}]}));
    let items = amina.get(&format!("/v1/conversations/{another}/items")).expect(200).json();
    let never = ["00000063", "00000063r", "00000002", "00000002r"].map(|place| format!("{}{place}", &all[0][..36]));
    for after in never.iter().chain(&ids(&items)) {
        assert_eq!(refused(&amina.get(&format!("{path}?after={after}")), 400).1, "after", "{after}");
    }
    server.is_calm();
}

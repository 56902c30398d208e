//! Texts that no person would type: kept, found, told and given back whole, and refused by one character more.

use serde_json::{Value, json};

use super::refused;
use crate::support::{Client, Server, data::check_passes, list, model::asking, stub::Stub, text};

/// The most characters by default.
const CHARS_MAX: usize = 100_000;

/// As many characters as may be, of three bytes, with `name` at their end.
fn long(name: &str) -> String {
    let mut text = "আ".repeat(CHARS_MAX - name.chars().count());
    text.push_str(name);
    text
}

fn texts(page: &Value) -> Vec<String> {
    list(&page["data"]).iter().map(|item| text(&item["content"][0]["text"])).collect()
}

/// True where all four texts come back from every call that shows them.
#[track_caller]
fn is_whole(client: &mut Client, conversation: &str, response: &str, completion: &str) {
    let items = client.get(&format!("/v1/conversations/{conversation}/items?order=asc")).expect(200).json();
    let items = texts(&items);
    assert!(items.len() == 3 && items[0] == long("item") && items[1] == long("input"), "the items");
    let shown = client.get(&format!("/v1/responses/{response}")).expect(200).json();
    assert!(shown["instructions"] == long("rule").as_str(), "the instructions");
    let inputs = client.get(&format!("/v1/responses/{response}/input_items")).expect(200).json();
    assert!(texts(&inputs) == [long("input")], "the input");
    let stored = client.get(&format!("/v1/chat/completions/{completion}/messages")).expect(200).json();
    assert!(stored["data"][0]["content"] == long("message").as_str(), "the completion's message");
    let hex = &conversation["conv_".len()..];
    let session = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
    let page = client.get(&format!("/api/v1/sessions/{session}/messages")).expect(200).json();
    assert!(page["messages"][1]["content"] == long("input").as_str(), "the page of messages");
    for name in ["item", "input", "message"] {
        let found = client.post("/api/v1/search", &json!({ "text": format!("আ{name}") })).expect(200).json();
        assert_eq!(found["total"], 1, "{name}");
    }
}

#[test]
fn the_longest_texts_are_kept_everywhere_and_one_character_more_nowhere() {
    let mut server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let item = |text: String| json!([{"role": "developer", "content": text}]);
    let made = amina.post("/v1/conversations", &json!({"items": item(long("item"))})).expect(200).json();
    let conversation = text(&made["id"]);
    let asked = json!({"conversation": conversation, "input": long("input"), "instructions": long("rule")});
    let response = text(&amina.post("/v1/responses", &asked).expect(200).json()["id"]);
    let messages = json!([{"role": "user", "content": long("message")}]);
    let body = json!({"model": "any", "messages": messages, "store": true});
    let completion = text(&amina.post("/v1/chat/completions", &body).expect(200).json()["id"]);
    is_whole(&mut amina, &conversation, &response, &completion);

    let more = long("input") + "x";
    let many = |text: &str| json!([{"role": "user", "content": text}]);
    for (path, body, param) in [
        ("/v1/responses", json!({ "input": more }), "input"),
        ("/v1/responses", json!({"input": "x", "instructions": more}), "instructions"),
        ("/v1/conversations", json!({ "items": many(&more) }), "items[0].content"),
        ("/v1/chat/completions", json!({"messages": many(&more), "store": true}), "messages[0].content"),
    ] {
        assert_eq!(refused(&amina.post(path, &body), 400).1, param, "{path}");
    }
    amina.post("/v1/responses", &json!({"input": more, "store": false})).expect(200);

    server.kill();
    server = server.restart(&[]);
    let mut amina = amina.another_tab(&server);
    is_whole(&mut amina, &conversation, &response, &completion);
    let file = server.dir().path().join("all.jsonl");
    server.command(&["export", "--with-passwords", "--out", file.to_str().unwrap()], "").ok();
    assert!(server.stop().success());
    check_passes(&server.data);

    let other = Server::start(&[]);
    let told = other.command(&["import", "--trust", file.to_str().unwrap()], "").ok();
    assert!(!told.contains("cut"), "{told}");
    let login = json!({"username": "amina", "password": crate::support::PASSWORD});
    let token = text(&other.client().post("/api/v1/auth/login", &login).expect(200).json()["token"]);
    let mut amina = Client::with_token(other.address, &token);
    for name in ["item", "input", "message"] {
        let found = amina.post("/api/v1/search", &json!({ "text": format!("আ{name}") })).expect(200).json();
        assert_eq!(found["total"], 1, "{name}");
        let hit = &found["hits"][0];
        let at = (text(&hit["session_id"]), hit["seq"].as_u64().unwrap());
        let page = amina.get(&format!("/api/v1/sessions/{}/messages?limit=200", at.0)).expect(200).json();
        let message = list(&page["messages"]).iter().find(|message| message["seq"] == at.1).unwrap();
        assert!(message["content"] == long(name).as_str(), "{name}");
    }
    other.is_calm();
}

#[test]
fn a_message_that_is_longer_than_the_context_is_sent_by_itself_and_does_not_stand_in_the_way() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let conversation = text(&amina.post("/v1/conversations", &json!({})).expect(200).json()["id"]);
    let told = || {
        let body = stub.seen().last().unwrap().body.clone();
        let texts = list(&body["messages"]).iter().map(|message| text(&message["content"]));
        texts.collect::<Vec<_>>()
    };
    let mut ask = |input: &str| {
        amina.post("/v1/responses", &json!({"conversation": conversation, "input": input})).expect(200);
        told()
    };
    assert_eq!(ask("before").len(), 2, "the instructions and the message");
    let said = ask(&long("input"));
    assert!(said.len() == 2 && said[1] == long("input"));
    assert_eq!(ask("behind")[1..], ["behind"], "what is before the long one is older still");
    let said = ask("and more");
    assert_eq!((said.len(), said[1].as_str(), said[3].as_str()), (4, "behind", "and more"));
    server.is_calm();
}

/// A server whose model has room for about 500 tokens.
fn cramped(stub: &Stub) -> Server {
    let room = ["reply.openai.context_tokens=1024", "reply.openai.max_tokens=512", "reply.system_prompt=Be kind."];
    asking(stub, &room)
}

#[test]
fn what_is_not_to_be_cut_is_refused_before_anything_is_stored() {
    let stub = Stub::start();
    let server = cramped(&stub);
    let (mut amina, _) = server.user("amina");
    let words = |n: usize| "word ".repeat(n); // Two tokens each, as they are estimated.
    let conversation = text(&amina.post("/v1/conversations", &json!({})).expect(200).json()["id"]);
    let ask = |amina: &mut Client, input: &str, more: Value| {
        let mut body = json!({"conversation": conversation, "input": input});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        amina.post("/v1/responses", &body)
    };
    let items = |amina: &mut Client| {
        let items = amina.get(&format!("/v1/conversations/{conversation}/items?limit=100")).expect(200).json();
        list(&items["data"]).len()
    };
    let whole = json!({"truncation": "disabled"});
    let said = ask(&mut amina, &format!("[[say]] {}", words(100)), whole.clone()).expect(200).json();
    assert_eq!(said["truncation"], "disabled", "there is room");
    for (input, more) in [
        (words(100), whole.clone()),
        ("short".to_owned(), json!({"truncation": "disabled", "instructions": words(100)})),
        (words(100), json!({"truncation": "disabled", "stream": true})),
        (words(100), json!({"truncation": "disabled", "background": true})),
    ] {
        let told = refused(&ask(&mut amina, &input, more), 400);
        assert_eq!((told.1, told.2), (json!("input"), json!("context_length_exceeded")));
    }
    assert_eq!((items(&mut amina), stub.seen().len()), (2, 1), "nothing of it was stored, and nobody asked");
    let first = text(&said["id"]);
    let again = json!({"previous_response_id": first, "input": words(100), "truncation": "disabled"});
    for store in [true, false] {
        let mut again = again.clone();
        again["store"] = json!(store);
        let answer = amina.post("/v1/responses", &again);
        if store {
            assert_eq!(refused(&answer, 400).2, "context_length_exceeded");
        } else {
            assert_eq!(answer.expect(200).json()["truncation"], "disabled", "all of it was passed on");
        }
    }
    let asked = stub.seen().last().unwrap().body.clone();
    assert_eq!(list(&asked["messages"]).len(), 3, "{asked}");
    for more in [json!({}), json!({"truncation": null}), json!({"truncation": "auto"})] {
        let cut = ask(&mut amina, &words(100), more).expect(200).json();
        assert_eq!(cut["truncation"], "auto");
        let asked = stub.seen().last().unwrap().body.clone();
        assert!(list(&asked["messages"]).len() < 4, "the first turn is left out: {asked}");
    }
    assert_eq!(refused(&ask(&mut amina, "x", whole.clone()), 400).2, "context_length_exceeded");
    // A turn of the conversation's past has room, and a branch behind it, too.
    let branch = json!({"previous_response_id": first, "input": "[[say]] short", "truncation": "disabled"});
    let branch = amina.post("/v1/responses", &branch).expect(200).json();
    assert_eq!((&branch["truncation"], &branch["status"]), (&json!("disabled"), &json!("completed")));
    server.is_calm();
}

#[test]
fn a_repeat_of_what_had_room_is_the_first_one_though_there_is_no_room_for_another() {
    let stub = Stub::start();
    let server = cramped(&stub);
    let (mut amina, _) = server.user("amina");
    let conversation = text(&amina.post("/v1/conversations", &json!({})).expect(200).json()["id"]);
    let input = format!("[[say]] {}", "word ".repeat(100));
    let body = json!({"conversation": conversation, "input": input, "truncation": "disabled"});
    let mut send = |key: &str| amina.json("POST", "/v1/responses", &[("idempotency-key", key)], &body);
    let first = send("one").expect(200).json();
    assert_eq!(send("one").expect(200).json(), first);
    assert_eq!(refused(&send("two"), 400).2, "context_length_exceeded");
}

#[test]
fn what_lost_its_room_while_it_waited_fails() {
    let stub = Stub::start();
    let server = cramped(&stub);
    let (mut amina, _) = server.user("amina");
    let conversation = text(&amina.post("/v1/conversations", &json!({})).expect(200).json()["id"]);
    let begun = |input: String, truncation: &str| json!({"conversation": conversation, "input": input, "truncation": truncation, "background": true});
    let words = "word ".repeat(200);
    amina.post("/v1/responses", &begun(format!("[[gate long]] {words}"), "auto")).expect(200);
    let waits = amina.post("/v1/responses", &begun("and then".to_owned(), "disabled")).expect(200).json();
    stub.release("long");
    let path = format!("/v1/responses/{}", text(&waits["id"]));
    let mut end = Value::Null;
    crate::support::comes_true("it ends", || {
        end = amina.get(&path).expect(200).json();
        end["status"] != "in_progress"
    });
    assert_eq!((&end["status"], &end["truncation"]), (&json!("failed"), &json!("disabled")));
    assert!(text(&end["error"]["message"]).contains("longer than the model's context"), "{end}");
    assert_eq!(stub.seen().len(), 1);
}

#[test]
fn a_page_of_long_texts_is_shorter_and_says_that_there_are_more() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let conversation = text(&amina.post("/v1/conversations", &json!({})).expect(200).json()["id"]);
    let items = format!("/v1/conversations/{conversation}/items");
    let names: Vec<_> = (0..20).map(|n| format!("number {n}.")).collect();
    for two in names.chunks(2) {
        let added: Vec<_> = two.iter().map(|name| json!({"role": "user", "content": long(name)})).collect();
        amina.post(&items, &json!({ "items": added })).expect(200);
    }
    let name = |whole: &str| whole.trim_start_matches('আ').to_owned();
    for order in ["asc", "desc"] {
        let (mut seen, mut pages, mut after) = (Vec::new(), 0, String::new());
        loop {
            let page = amina.get(&format!("{items}?limit=100&order={order}{after}")).expect(200);
            assert!(page.body.len() < 5 << 20, "{} bytes", page.body.len());
            let page = page.json();
            seen.extend(texts(&page).iter().map(|text| name(text)));
            pages += 1;
            if page["has_more"] == false {
                break;
            }
            after = format!("&after={}", text(&page["last_id"]));
        }
        if order == "desc" {
            seen.reverse();
        }
        assert_eq!((&seen, pages), (&names, 2), "{order}");
    }
    let hex = &conversation["conv_".len()..];
    let session = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
    let path = format!("/api/v1/sessions/{session}/messages?limit=200");
    for query in ["", "&after=0"] {
        let page = amina.get(&format!("{path}{query}")).expect(200).json();
        let shown: Vec<_> =
            list(&page["messages"]).iter().map(|message| name(message["content"].as_str().unwrap())).collect();
        assert_eq!((shown.len(), &page["has_more"]), (13, &json!(true)), "{query}");
        let wanted = if query.is_empty() { &names[7..] } else { &names[..13] };
        assert_eq!(shown, wanted, "{query}");
    }
    let export = server.command(&["export"], "").ok();
    let exported: Vec<Value> = export.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let exported = exported.iter().filter(|line| line["type"] == "message");
    assert_eq!(exported.map(|line| name(line["content"].as_str().unwrap())).collect::<Vec<_>>(), names);
    let asked = json!({"conversation": conversation, "input": "hello"});
    amina.post("/v1/responses", &asked).expect(200);
    server.is_calm();
}

/// All turns of a history, page by page, oldest first, and how many pages there were.
fn history(client: &mut Client, session: &str) -> (Vec<Value>, usize) {
    let (mut all, mut pages) = (Vec::new(), 0);
    loop {
        let query = format!("session_id={session}&limit=200&offset={}", all.len());
        let query = if session.is_empty() { query.replace("session_id=&", "") } else { query };
        let answer = client.get(&format!("/api/v1/chat/history?{query}")).expect(200);
        assert!(answer.body.len() < 5 << 20, "{} bytes", answer.body.len());
        let page = answer.json();
        if list(&page["messages"]).is_empty() {
            assert_eq!(page["total"], all.len());
            return (all, pages);
        }
        all = [list(&page["messages"]).to_vec(), all].concat();
        pages += 1;
    }
}

#[test]
fn p6_pages_of_long_texts_are_bound_by_bytes_and_the_next_ones_have_the_rest() {
    let stub = Stub::start();
    let mut server = asking(&stub, &["api.body_max=16MiB"]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    let conversation = format!("conv_{}", session.replace('-', ""));
    for n in 0..20 {
        let asked = json!({"conversation": conversation, "input": long(&format!("input {n}"))});
        amina.post("/v1/responses", &asked).expect(200);
        let other = amina.session();
        amina.say(&other, &format!("short {n}"));
    }
    let mut read = Vec::new();
    for again in [false, true] {
        if again {
            server.kill();
            server = server.restart(&[]);
            amina = amina.another_tab(&server);
        }
        let of_session = history(&mut amina, &session);
        let of_user = history(&mut amina, "");
        assert_eq!((of_session.0.len(), of_user.0.len()), (20, 40));
        assert!(of_session.1 == 2 && of_user.1 == 2, "{} and {} pages", of_session.1, of_user.1);
        for (n, turn) in of_session.0.iter().enumerate() {
            assert!(turn["message"] == long(&format!("input {n}")).as_str(), "turn {n}");
        }
        let found = amina.get("/api/v1/chat/search?q=input&limit=100").expect(200);
        assert!(found.body.len() < 5 << 20 && found.json()["total"] == 20, "{} bytes", found.body.len());
        read.push((of_session.0, of_user.0, found.text()));
    }
    assert!(read[0] == read[1], "from the cache and from the disk");
    server.is_calm();
}

#[test]
fn p6_a_page_of_stored_completions_is_bound_by_bytes() {
    let stub = Stub::start();
    let server = asking(&stub, &["api.body_max=16MiB"]);
    let (mut amina, _) = server.user("amina");
    let form = json!({"type": "json_schema", "json_schema": {"name": "n", "description": "x".repeat(900 << 10)}});
    let ask = |amina: &mut Client, n: usize| {
        let messages = json!([{"role": "user", "content": format!("[[say]] {n}")}]);
        let body = json!({"messages": messages, "response_format": form, "store": true});
        text(&amina.post("/v1/chat/completions", &body).expect(200).json()["id"])
    };
    let made: Vec<_> = (0..12).map(|n| ask(&mut amina, n)).collect();
    let (mut read, mut after, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = amina.get(&format!("/v1/chat/completions?limit=100{after}")).expect(200);
        assert!(page.body.len() < 6 << 20, "{} bytes", page.body.len());
        let page = page.json();
        read.extend(list(&page["data"]).iter().map(|completion| text(&completion["id"])));
        pages += 1;
        if page["has_more"] == false {
            break;
        }
        after = format!("&after={}", text(&page["last_id"]));
    }
    assert_eq!((read, pages), (made, 3));
    server.is_calm();
}

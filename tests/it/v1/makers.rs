//! Who made a reply: the answer names that model, wherever it is shown; and replies of which a filter left nothing.

use serde_json::{Value, json};

use super::{refused, responses::dense};
use crate::support::{
    Client, Server, list,
    model::{asking, asking_at},
    stub::Stub,
    text,
};

const COMPLETIONS: &str = "/v1/chat/completions";
const RESPONSES: &str = "/v1/responses";

/// Nobody listens there.
const NOBODY: &str = "http://127.0.0.1:9/v1";

fn completion(input: &str, more: &Value) -> Value {
    let mut body = json!({"messages": [{"role": "user", "content": input}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// The models that all of these chunks name.
fn of_chunks(client: &Client, body: &Value) -> Vec<Value> {
    let mut events = client.post_events(COMPLETIONS, body);
    let chunks = std::iter::from_fn(|| events.next()).filter(|event| event.data.is_object());
    chunks.map(|event| event.data["model"].clone()).collect()
}

/// Wants every answer to name `model`.
#[track_caller]
fn is_named(client: &mut Client, model: &str) {
    for store in [false, true] {
        let more = json!({"store": store});
        let made = client.post(COMPLETIONS, &completion("hello", &more)).expect(200).json();
        assert_eq!(made["model"], model, "a completion, stored: {store}");
        let streamed = json!({"store": store, "stream": true, "stream_options": {"include_usage": true}});
        let named = of_chunks(client, &completion("hello", &streamed));
        assert!(named.len() > 3 && named.iter().all(|name| name == model), "its chunks, stored: {store}: {named:?}");
        let made = client.post(RESPONSES, &json!({"input": "hello", "store": store})).expect(200).json();
        assert_eq!(made["model"], model, "a response, stored: {store}");
        if store {
            let kept = client.get(&format!("{RESPONSES}/{}", text(&made["id"]))).expect(200).json();
            assert_eq!(kept["model"], model);
        }
        let streamed = json!({"input": "hello", "store": store, "stream": true});
        let events = dense(client.post_events(RESPONSES, &streamed), None);
        assert_eq!(events.last().unwrap().data["response"]["model"], model, "its events, stored: {store}");
        let first = &events[0].data["response"]["model"];
        assert!(store || *first == model, "what is not stored begins with its first text: {first}");
    }
    let kept = client.get(&format!("{COMPLETIONS}?model={model}")).expect(200).json();
    assert_eq!(list(&kept["data"]).len(), 2);
    assert!(list(&kept["data"]).iter().all(|kept| kept["model"] == model), "{kept}");
}

/// The ids that `GET /v1/models` gives, each of which can be asked for.
fn models(client: &mut Client) -> Vec<String> {
    let all = client.get("/v1/models").expect(200).json();
    let ids: Vec<_> = list(&all["data"]).iter().map(|model| text(&model["id"])).collect();
    for id in &ids {
        assert_eq!(client.get(&format!("/v1/models/{id}")).expect(200).json()["id"], *id);
    }
    ids
}

#[test]
fn an_answer_names_the_server_that_stood_in() {
    let stub = Stub::start();
    let second = format!("reply.second.base_url={}", stub.base_url());
    let settings = ["reply.openai.model=first", &second, "reply.second.model=other", "reply.third.model=none"];
    let server = asking_at(NOBODY, &settings);
    let (mut amina, _) = server.user("amina");
    is_named(&mut amina, "other");
    assert_eq!(models(&mut amina), ["first", "other"]);
}

#[test]
fn an_answer_names_the_companion_where_that_stood_in() {
    let server = asking_at(NOBODY, &["reply.openai.model=first", "reply.fallback=companion"]);
    let (mut amina, _) = server.user("amina");
    is_named(&mut amina, "companion");
    assert_eq!(models(&mut amina), ["first", "companion"]);
}

/// Requests for an answer with a form, each with its path and the field that asks for it.
fn with_form() -> [(&'static str, Value, &'static str); 4] {
    let schema = json!({"type": "object", "properties": {"place": {"type": "string"}}});
    let of_chat = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}});
    let of_response = json!({"format": {"type": "json_schema", "name": "n", "schema": schema}});
    [true, false]
        .map(|store| {
            let completion = completion("hello", &json!({"response_format": of_chat, "store": store}));
            let response = json!({"input": "hello", "text": of_response, "store": store});
            [(COMPLETIONS, completion, "response_format.type"), (RESPONSES, response, "text.format.type")]
        })
        .concat()
        .try_into()
        .unwrap()
}

#[test]
fn the_companion_makes_nothing_that_is_to_have_a_form() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    for (path, body, field) in with_form() {
        let why = refused(&amina.post(path, &body), 400);
        assert_eq!(why, (json!("invalid_request_error"), json!(field), json!("unsupported_value")));
    }
    assert_eq!(amina.get("/v1/conversations").expect(200).json()["data"], json!([]), "nothing was stored");
    for (path, body, _) in with_form() {
        let grave = body.to_string().replace("hello", "I want to kill myself");
        let made = amina.post(path, &serde_json::from_str(&grave).unwrap()).expect(200).json();
        assert!(made.to_string().contains("findahelpline.com"), "{made}");
    }
    // Where it stands in for a model, it does not for this.
    let server = asking_at(NOBODY, &["reply.fallback=companion"]);
    let (mut amina, _) = server.user("amina");
    for (path, body, _) in with_form() {
        assert_eq!(refused(&amina.post(path, &body), 502).2, json!("reply_failed"), "{body}");
    }
    amina.post(RESPONSES, &json!({"input": "hello", "text": {"format": {"type": "text"}}})).expect(200);
}

#[test]
fn a_model_behind_helplines_made_the_reply() {
    let stub = Stub::start();
    let server = asking(&stub, &["reply.openai.model=small"]);
    let (mut amina, _) = server.user("amina");
    for store in [false, true] {
        let input = "[[say]] I am here. I want to kill myself";
        let made = amina.post(RESPONSES, &json!({"input": input, "store": store})).expect(200).json();
        assert!(text(&made["output"][0]["content"][0]["text"]).contains("\n\nI am here."), "{made}");
        assert_eq!(made["model"], "small");
    }
}

#[test]
fn a_reply_of_which_a_filter_left_nothing_ends_so_and_is_no_failure() {
    let stub = Stub::start();
    let server: Server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let input = "[[filter]]";
    for store in [false, true] {
        let made = amina.post(COMPLETIONS, &completion(input, &json!({"store": store}))).expect(200).json();
        let choice = &made["choices"][0];
        assert_eq!((&choice["message"]["content"], &choice["finish_reason"]), (&json!(""), &json!("content_filter")));
        assert_eq!(made["usage"]["completion_tokens"], 7, "what its server counted: {made}");
        let streamed = completion(input, &json!({"store": store, "stream": true}));
        let mut events = amina.post_events(COMPLETIONS, &streamed);
        let chunks: Vec<_> = std::iter::from_fn(|| events.next()).map(|event| event.data).collect();
        assert!(events.is_whole);
        assert_eq!(chunks.len(), 3, "the role, the end, and that it is all: {chunks:?}");
        assert_eq!(chunks[1]["choices"][0]["finish_reason"], "content_filter");

        let made = amina.post(RESPONSES, &json!({"input": input, "store": store})).expect(200).json();
        let (incomplete, why) = (json!("incomplete"), json!({"reason": "content_filter"}));
        assert_eq!((&made["status"], &made["incomplete_details"]), (&incomplete, &why), "{made}");
        assert_eq!((&made["output"], &made["error"]), (&json!([]), &Value::Null));
        let streamed = json!({"input": input, "store": store, "stream": true});
        let events = dense(amina.post_events(RESPONSES, &streamed), None);
        let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
        assert_eq!(names, ["response.created", "response.in_progress", "response.incomplete"]);
        let last = &events[2].data["response"];
        assert_eq!((&last["status"], &last["incomplete_details"]), (&incomplete, &why));
        if store {
            let id = text(&last["id"]);
            assert_eq!(amina.get(&format!("{RESPONSES}/{id}")).expect(200).json(), *last);
            let again = dense(amina.events(&format!("{RESPONSES}/{id}?stream=true")), None);
            assert_eq!(again, events);
        }
    }
    let kept = amina.get(COMPLETIONS).expect(200).json();
    let kept: Vec<_> = list(&kept["data"]).iter().map(|kept| text(&kept["choices"][0]["finish_reason"])).collect();
    assert_eq!(kept, ["content_filter"; 2]);
    // Whoever has the turn answered anew, on the page, has the new reply in the response, too.
    let asked = json!({"input": "[[once filter]] at last"});
    let made = amina.post(RESPONSES, &asked).expect(200).json();
    assert_eq!(made["status"], "incomplete");
    let session = uuid::Uuid::parse_str(&text(&made["id"])[5..37]).unwrap().to_string();
    amina.retry(&session, 1);
    let kept = amina.get(&format!("{RESPONSES}/{}", text(&made["id"]))).expect(200).json();
    assert_eq!((&kept["status"], &kept["incomplete_details"]), (&json!("completed"), &Value::Null), "{kept}");
    server.is_calm();
    // What a person sends is told as before: a failure that can be retried.
    let answer = amina.try_say(&session, input);
    assert_eq!(answer.status, 502);
    assert_eq!(refused(&amina.post(RESPONSES, &json!({"input": "[[empty]]"})), 502).2, "reply_failed");
}

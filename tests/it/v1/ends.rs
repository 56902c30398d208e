//! How replies end that are neither whole nor a plain failure, and what is told of their tokens.

use serde_json::{Value, json};

use super::{refused, responses::dense};
use crate::support::{Client, Response, list, model::asking, stub::Stub, text};

const COMPLETIONS: &str = "/v1/chat/completions";
const RESPONSES: &str = "/v1/responses";

fn complete(client: &mut Client, input: &str, store: bool) -> Response {
    client.post(COMPLETIONS, &json!({"messages": [{"role": "user", "content": input}], "store": store}))
}

fn respond(client: &mut Client, input: &str, store: bool) -> Response {
    client.post(RESPONSES, &json!({"input": input, "store": store}))
}

/// The last event of a response in pieces, which is the same where a stored one is read again, and the response in it.
#[track_caller]
fn last_event(client: &mut Client, input: &str, store: bool) -> (String, Value) {
    let streamed = json!({"input": input, "store": store, "stream": true});
    let events = dense(client.post_events(RESPONSES, &streamed), None);
    let last = events.last().unwrap();
    let response = last.data["response"].clone();
    if store {
        let path = format!("{RESPONSES}/{}", text(&response["id"]));
        assert_eq!(client.get(&path).expect(200).json(), response);
        let again = dense(client.events(&format!("{path}?stream=true")), None);
        assert_eq!((again.len(), again.last()), (events.len(), events.last()));
    }
    (last.name.clone(), response)
}

#[test]
fn a_model_that_used_up_its_tokens_before_the_first_word_is_no_failure_and_asked_once() {
    let why = json!({"reason": "max_output_tokens"});
    for store in [false, true] {
        let stub = Stub::start();
        let server = asking(&stub, &[]);
        let (mut amina, _) = server.user("amina");
        let made = complete(&mut amina, "[[thoughts]]", store).expect(200).json();
        let choice = &made["choices"][0];
        assert_eq!((&choice["message"]["content"], &choice["finish_reason"]), (&json!(""), &json!("length")));
        assert_eq!(made["usage"]["completion_tokens"], 7, "what the model's server counted: {made}");
        assert_eq!(stub.seen().len(), 1, "another try would be as long");
        let made = respond(&mut amina, "[[thoughts]]", store).expect(200).json();
        let told = (&made["status"], &made["incomplete_details"], &made["output"]);
        assert_eq!(told, (&json!("incomplete"), &why, &json!([])), "{made}");
        assert_eq!((&made["usage"]["input_tokens"], &made["usage"]["output_tokens"]), (&json!(11), &json!(7)));
        let (name, response) = last_event(&mut amina, "[[thoughts]]", store);
        assert_eq!((name.as_str(), &response["incomplete_details"]), ("response.incomplete", &why));
        assert_eq!(stub.seen().len(), 3);
        server.is_calm();
        // A person has not been answered by that, and is told why.
        let session = amina.session();
        let answer = amina.try_say(&session, "[[thoughts]]");
        assert_eq!(answer.status, 502);
        let detail = text(&answer.json()["detail"]);
        assert!(detail.contains("used up its tokens"), "{detail}");
        assert_eq!(stub.seen().len(), 4);
    }
}

#[test]
fn what_the_models_server_takes_not_is_refused_stored_or_not_and_a_program_sees_that_it_was_too_long() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let request = json!("invalid_request_error");
    for (input, code, kept) in [
        ("[[refuse context_length_exceeded]] x", "context_length_exceeded", "context_length_exceeded"),
        ("[[refuse bad_image]] x", "request_refused", "invalid_prompt"),
        ("[[status 422]] x", "request_refused", "invalid_prompt"),
    ] {
        for store in [false, true] {
            let wanted = (request.clone(), Value::Null, json!(code));
            assert_eq!(refused(&complete(&mut amina, input, store), 400), wanted, "{input} {store}");
            assert_eq!(refused(&respond(&mut amina, input, store), 400), wanted, "{input} {store}");
        }
        let (name, response) = last_event(&mut amina, input, true);
        assert_eq!((name.as_str(), &response["error"]["code"]), ("response.failed", &json!(kept)));
    }
    // A repeat is told the same of what is stored.
    let body = json!({"input": "[[refuse context_length_exceeded]] y"});
    for _ in 0..2 {
        let answer = amina.json("POST", RESPONSES, &[("idempotency-key", "\"k\"")], &body);
        assert_eq!(refused(&answer, 400).2, "context_length_exceeded");
    }
    server.is_calm();
}

#[test]
fn helplines_without_the_model_are_a_whole_response_and_what_a_person_stops_is_cancelled() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let input = "[[status 400]] I want to kill myself";
    for store in [false, true] {
        let made = respond(&mut amina, input, store).expect(200).json();
        assert!(text(&made["output"][0]["content"][0]["text"]).contains("findahelpline.com"), "{made}");
        assert_eq!((&made["status"], &made["output"][0]["status"]), (&json!("completed"), &json!("completed")));
        let (name, response) = last_event(&mut amina, input, store);
        assert_eq!((name.as_str(), &response["status"]), ("response.completed", &json!("completed")));
    }
    let made = complete(&mut amina, input, true).expect(200).json();
    assert_eq!(made["choices"][0]["finish_reason"], "stop");

    let begun = json!({"input": "[[gate g]] I want to kill myself", "background": true});
    let id = text(&amina.post(RESPONSES, &begun).expect(200).json()["id"]);
    stub.wait_until(|stub| stub.replying() == 1);
    let path = format!("{RESPONSES}/{id}");
    let stopped = amina.post(&format!("{path}/cancel"), &json!({})).expect(200).json();
    assert_eq!(stopped["status"], "cancelled");
    assert_eq!(amina.get(&path).expect(200).json(), stopped);
}

#[test]
fn what_was_cached_and_thought_is_told_where_the_models_server_says_it() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let counts = |cached: u64, thought: u64| {
        json!({
            "input_tokens": 11, "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
            "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": thought}, "total_tokens": 18,
        })
    };
    let plain = json!({"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18});
    let mut detailed = plain.clone();
    detailed["prompt_tokens_details"] = json!({"cached_tokens": 5});
    detailed["completion_tokens_details"] = json!({"reasoning_tokens": 3});
    for store in [false, true] {
        assert_eq!(complete(&mut amina, "[[details]] one", store).expect(200).json()["usage"], detailed);
        assert_eq!(complete(&mut amina, "[[say]] one", store).expect(200).json()["usage"], plain);
        let streamed = json!({
            "messages": [{"role": "user", "content": "[[details]] one"}], "store": store, "stream": true,
            "stream_options": {"include_usage": true},
        });
        let chunks = amina.post_events(COMPLETIONS, &streamed).rest();
        assert!(chunks.iter().any(|chunk| chunk.data["usage"] == detailed), "{chunks:?}");
        assert_eq!(respond(&mut amina, "[[details]] one", store).expect(200).json()["usage"], counts(5, 3));
        assert_eq!(respond(&mut amina, "[[say]] one", store).expect(200).json()["usage"], counts(0, 0));
        assert_eq!(last_event(&mut amina, "[[details]] one", store).1["usage"], counts(5, 3));
    }
    let kept = amina.get(COMPLETIONS).expect(200).json();
    assert_eq!(list(&kept["data"])[0]["usage"], detailed);
    server.is_calm();
}

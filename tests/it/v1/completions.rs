//! Chat completions that are not stored.

use serde_json::{Value, json};

use super::{piece, read_until, refused, said, streamed};
use crate::support::{Events, Raw, Server, model::asking, stub::Stub};

const PATH: &str = "/v1/chat/completions";
const TEXT: &str = "আমি ক্ষমা চাই। 👨‍👩‍👧‍👦 \"\\\n ok";

#[test]
fn a_completion_is_what_the_model_says_whatever_model_is_named() {
    let stub = Stub::start();
    let server = asking(&stub, &["reply.openai.model=small"]);
    let (mut amina, _) = server.user("amina");
    let models = amina.get("/v1/models").expect(200).json();
    let model = json!({"id": "small", "object": "model", "created": 0, "owned_by": "bondhu"});
    assert_eq!(models, json!({"object": "list", "data": [model]}));
    assert_eq!(amina.get("/v1/models/small").expect(200).json(), model);
    for (directive, reason) in [("say", "stop"), ("length", "length"), ("json", "stop")] {
        let made = amina.post(PATH, &said(&format!("[[{directive}]] {TEXT}"))).expect(200).json();
        let message = json!({"role": "assistant", "content": TEXT, "refusal": null});
        let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": reason});
        assert_eq!(made["choices"], json!([choice]), "{directive}");
        assert_eq!(made["usage"], json!({"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}));
        assert_eq!((&made["object"], &made["model"]), (&json!("chat.completion"), &json!("small")));
        assert!(made["created"].as_i64().unwrap() > 1_700_000_000);
        let id = made["id"].as_str().unwrap().strip_prefix("chatcmpl-").unwrap();
        assert_eq!(id.len(), 32, "{id}");
    }
    server.is_calm();
}

#[test]
fn the_model_is_asked_exactly_what_the_client_sent() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let long = "x".repeat(20_000);
    let body = json!({
        "model": "whatever",
        "messages": [
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]},
            {"role": "assistant", "content": long},
            {"role": "system", "content": "be kind"},
            {"role": "user", "content": "hi"},
        ],
        "temperature": 0.5, "max_completion_tokens": 9, "seed": 4, "stop": ["END"], "top_p": 1,
        "presence_penalty": 1.5, "frequency_penalty": -1, "response_format": {"type": "json_object"},
        "user": "somebody", "made_up": {"deep": [1]},
    });
    amina.post(PATH, &body).expect(200);
    let wanted = json!({
        "model": "llama3.2",
        "messages": [
            {"role": "system", "content": "be brief"}, {"role": "user", "content": "one two"},
            {"role": "assistant", "content": long}, {"role": "system", "content": "be kind"},
            {"role": "user", "content": "hi"},
        ],
        "stream": true, "stream_options": {"include_usage": true},
        "temperature": 0.5, "max_tokens": 9, "seed": 4, "stop": ["END"], "top_p": 1.0,
        "presence_penalty": 1.5, "frequency_penalty": -1.0, "response_format": {"type": "json_object"},
    });
    assert_eq!(*stub.seen()[0].body, wanted);
    server.is_calm();
}

/// The chunks of a stream that is whole.
#[track_caller]
fn chunks(mut events: Events) -> Vec<Value> {
    let mut all: Vec<Value> = std::iter::from_fn(|| events.next()).map(|event| event.data).collect();
    assert!(events.is_whole);
    assert_eq!(all.pop(), Some(json!("[DONE]")));
    all
}

#[test]
fn a_stream_has_the_role_the_text_in_pieces_the_reason_and_the_counts_where_they_are_wanted() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (amina, _) = server.user("amina");
    for usage in [false, true] {
        let mut body = streamed(&format!("[[length]] {TEXT}"));
        body["stream_options"] = json!({"include_usage": usage});
        let mut chunks = chunks(amina.post_events(PATH, &body));
        let (id, created) = (chunks[0]["id"].clone(), chunks[0]["created"].clone());
        assert!(id.as_str().unwrap().starts_with("chatcmpl-") && created.is_i64());
        for chunk in &chunks {
            assert_eq!((&chunk["id"], &chunk["created"], &chunk["model"]), (&id, &created, &json!("llama3.2")));
            assert_eq!(chunk["object"], "chat.completion.chunk");
        }
        if usage {
            let last = chunks.pop().unwrap();
            assert_eq!(last["usage"], json!({"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}));
            assert_eq!(last["choices"], json!([]));
        }
        assert_eq!(chunks[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
        let end = chunks.pop().unwrap();
        assert_eq!((&end["choices"][0]["delta"], &end["choices"][0]["finish_reason"]), (&json!({}), &json!("length")));
        let texts = chunks.iter().map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().unwrap());
        assert_eq!(texts.collect::<String>(), TEXT);
        assert!(chunks.iter().all(|chunk| chunk["choices"][0]["finish_reason"].is_null()));
    }
    server.is_calm();
}

#[test]
fn each_piece_is_told_before_the_next_one_comes() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (amina, _) = server.user("amina");
    stub.step("words"); // A stream begins with the first text.
    let mut events = amina.post_events(PATH, &streamed("[[gate words]] one two three"));
    read_until(&mut events, "one ");
    stub.step("words");
    read_until(&mut events, "two ");
    stub.step("words");
    read_until(&mut events, "three");
    stub.release("words");
    assert_eq!(events.find("").data["choices"][0]["finish_reason"], "stop");
}

#[test]
fn nothing_is_stored_and_not_one_byte_is_written() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    amina.get("/v1/models").expect(200); // The login's own use is noted.
    let written = || {
        let figures = server.figures();
        let of = |name: &str| figures.count(name);
        ["bondhu_journal_written_bytes_total", "bondhu_journal_syncs_total", "bondhu_journal_changes_total"].map(of)
    };
    let before = written();
    for _ in 0..3 {
        amina.post(PATH, &said("hello")).expect(200);
        chunks(amina.post_events(PATH, &streamed("hello")));
    }
    assert_eq!(written(), before);
    assert_eq!(amina.get("/api/v1/sessions").expect(200).json()["sessions"], json!([]));
    let figures = server.figures();
    assert_eq!(figures.count(r#"bondhu_completions_total{outcome="answered"}"#), 6);
    assert_eq!(figures.count("bondhu_completion_first_text_seconds_count"), 6);
}

#[test]
fn a_client_that_goes_away_stops_the_model() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (amina, _) = server.user("amina");
    let body = streamed("[[gate never]] one two");
    stub.step("never");
    let mut events = amina.post_events(PATH, &body);
    read_until(&mut events, "one ");
    drop(events);
    stub.wait_until(|stub| stub.replying() == 0);
    // Also before the first word, and where the answer was to come in one piece.
    for body in [body, said("[[gate never]] one two")] {
        let asked = stub.seen().len();
        let waiting = amina.post_and_leave(PATH, &body);
        stub.wait_until(|stub| stub.seen().len() > asked);
        drop(waiting);
        stub.wait_until(|stub| stub.replying() == 0);
    }
    server.is_idle();
    assert_eq!(server.figures().count(r#"bondhu_completions_total{outcome="stopped"}"#), 3);
    server.is_calm();
}

#[test]
fn what_fails_before_the_first_word_has_a_status_and_behind_it_an_event() {
    let stub = Stub::start();
    let server = asking(&stub, &["reply.openai.first_token_timeout_ms=3000", "reply.openai.token_timeout_ms=3000"]);
    let (mut amina, _) = server.user("amina");
    for (directive, status, kind, code) in [
        ("status 500", 502, "server_error", "reply_failed"),
        ("error200", 502, "server_error", "reply_failed"),
        ("status 400", 400, "invalid_request_error", "request_refused"),
        ("stall", 504, "server_error", "reply_too_slow"),
    ] {
        for body in [said(&format!("[[{directive}]] hi")), streamed(&format!("[[{directive}]] hi"))] {
            let answer = amina.post(PATH, &body);
            assert_eq!(refused(&answer, status), (json!(kind), Value::Null, json!(code)), "{directive}");
            amina.post(PATH, &said("all is well")).expect(200); // Or else the server would be left alone for a while.
        }
    }
    let behind = "[[errormid]] one two three four";
    assert_eq!(refused(&amina.post(PATH, &said(behind)), 502).2, "reply_failed");
    let mut events = amina.post_events(PATH, &streamed(behind));
    let mut all: Vec<_> = std::iter::from_fn(|| events.next()).collect();
    let error = all.pop().unwrap().data;
    assert_eq!(error["error"]["type"], "server_error");
    assert_eq!(error["error"]["code"], "reply_failed");
    assert_eq!(all.iter().map(piece).collect::<String>(), "one two t");
    assert!(events.is_whole, "the stream ends, and does not break off");
}

#[test]
fn the_companion_answers_too_and_helplines_come_first_of_every_model() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let made = amina.post(PATH, &said("I am sad today")).expect(200).json();
    assert_eq!((&made["model"], &made["choices"][0]["finish_reason"]), (&json!("companion"), &json!("stop")));
    assert!(made["usage"]["completion_tokens"].as_u64().unwrap() > 5);
    assert_eq!(chunks(amina.post_events(PATH, &streamed("I am sad today"))).len(), 3);
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let made = amina.post(PATH, &said("I want to kill myself")).expect(200).json();
    let text = made["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.contains("findahelpline.com") && text.ends_with("echo: I want to kill myself"), "{text}");
}

#[test]
fn what_some_take_for_an_end_of_line_is_escaped_in_events() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (amina, _) = server.user("amina");
    let said = "[[say]] a\u{2028}b\u{2029}c\u{85}d আ";
    for store in [false, true] {
        for (path, mut body) in [(PATH, streamed(said)), ("/v1/responses", json!({"input": said, "stream": true}))] {
            body["store"] = json!(store);
            let headers = [("content-type", "application/json")];
            let bytes = amina.request("POST", path, &headers, Some(body.to_string().as_bytes()));
            let told = Raw::to(&server).send(bytes).whole_stream().text();
            assert!(!told.contains(['\u{2028}', '\u{2029}', '\u{85}']), "{told}");
            for escaped in ["\\u2028", "\\u2029", "\\u0085", "আ"] {
                assert!(told.contains(escaped), "{escaped} in {told}");
            }
        }
    }
    server.is_calm();
}

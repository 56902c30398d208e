//! Responses: whole, as events, behind each other, in the background, and without being stored.

use serde_json::{Value, json};

use super::refused;
use crate::support::{Client, Event, Events, Server, list, model::asking, stub::Stub, text};

const PATH: &str = "/v1/responses";

/// What a response says.
fn said(response: &Value) -> &str {
    response["output"][0]["content"][0]["text"].as_str().unwrap_or_default()
}

/// All events of a stream that is whole, whose numbers follow `seen`.
#[track_caller]
pub(super) fn dense(mut events: Events, seen: Option<u64>) -> Vec<Event> {
    let mut all: Vec<_> = std::iter::from_fn(|| events.next()).collect();
    assert!(events.is_whole, "{all:?}");
    assert_eq!(all.pop().map(|end| end.data), Some(json!("[DONE]")), "{all:?}");
    for (number, event) in (seen.map_or(0, |seen| seen + 1)..).zip(&all) {
        assert_eq!(event.data["sequence_number"], number, "{event:?}");
        assert_eq!(event.data["type"], *event.name);
    }
    all
}

/// The text that the pieces of a stream have.
pub(super) fn pieces(events: &[Event]) -> String {
    events.iter().filter_map(|event| event.data["delta"].as_str()).collect()
}

/// The items of a conversation that the response belongs to, oldest first.
fn log_of(client: &mut Client, response: &Value) -> Vec<String> {
    let session = uuid::Uuid::parse_str(&text(&response["id"])[5..37]).unwrap().to_string();
    client.log(&session).iter().map(|message| text(&message["content"])).collect()
}

#[test]
fn a_response_is_stored_and_read_again() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let asked = json!({
        "model": "any", "input": "[[say]] all is well", "instructions": "be brief", "metadata": {"a": "b"},
        "temperature": 0.5, "max_output_tokens": 50, "text": {"format": {"type": "json_object"}, "verbosity": "low"},
        "reasoning": {"effort": "low"}, "truncation": "auto", "user": "x",
    });
    let made = amina.post(PATH, &asked).expect(200).json();
    assert_eq!((said(&made), &made["status"]), ("all is well", &json!("completed")));
    let message = &made["output"][0];
    assert_eq!(
        (&message["role"], &message["status"], &message["type"]),
        (&json!("assistant"), &json!("completed"), &json!("message"))
    );
    assert_eq!(made["usage"]["total_tokens"], 18);
    assert_eq!((&made["instructions"], &made["metadata"]), (&json!("be brief"), &json!({"a": "b"})));
    assert_eq!(
        (&made["temperature"], &made["max_output_tokens"], &made["truncation"]),
        (&json!(0.5), &json!(50), &json!("auto"))
    );
    assert_eq!(made["text"]["format"], json!({"type": "json_object"}));
    assert_eq!(
        (&made["store"], &made["background"], &made["conversation"]),
        (&json!(true), &json!(false), &json!(null))
    );
    assert_eq!(
        (&made["error"], &made["incomplete_details"], &made["model"]),
        (&json!(null), &json!(null), &json!("llama3.2"))
    );
    let path = format!("{PATH}/{}", text(&made["id"]));
    assert_eq!(amina.get(&path).expect(200).json(), made);
    let seen = stub.seen()[0].body.clone();
    assert_eq!(seen["messages"][0], json!({"role": "system", "content": "be brief"}));
    assert_eq!((&seen["temperature"], &seen["max_tokens"]), (&json!(0.5), &json!(50)));
    let items = amina.get(&format!("{path}/input_items")).expect(200).json();
    assert_eq!(list(&items["data"]).len(), 1);
    assert_eq!(items["data"][0]["content"][0]["text"], "[[say]] all is well");
    let deleted = amina.delete(&path).expect(200).json();
    assert_eq!(deleted, json!({"id": made["id"], "object": "response", "deleted": true}));
    assert_eq!(refused(&amina.get(&path), 404).2, "not_found");
    server.is_calm();
}

#[test]
fn a_response_in_a_conversation_sees_it_and_becomes_part_of_it() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let items =
        json!([{"role": "user", "content": "my name is Amina"}, {"role": "assistant", "content": "hello Amina"}]);
    let conversation = amina.post("/v1/conversations", &json!({"items": items})).expect(200).json();
    for named in [json!(conversation["id"]), json!({"id": conversation["id"]})] {
        let input = json!([{"role": "developer", "content": "be brief"}, {"role": "user", "content": "and now?"}]);
        let made = amina.post(PATH, &json!({"input": input, "conversation": named})).expect(200).json();
        assert_eq!(made["conversation"], json!({"id": conversation["id"]}));
        let inputs = amina.get(&format!("{PATH}/{}/input_items?order=asc", text(&made["id"]))).expect(200).json();
        let texts: Vec<_> = list(&inputs["data"]).iter().map(|item| text(&item["content"][0]["text"])).collect();
        assert_eq!(texts, ["be brief", "and now?"]);
    }
    let seen: Vec<_> =
        list(&stub.seen()[1].body["messages"]).iter().skip(1).map(|said| text(&said["content"])).collect();
    assert_eq!(
        seen,
        ["my name is Amina", "hello Amina", "be brief", "and now?", "echo: and now?", "be brief", "and now?"]
    );
    let path = format!("/v1/conversations/{}/items?limit=100", text(&conversation["id"]));
    assert_eq!(list(&amina.get(&path).expect(200).json()["data"]).len(), 8);
    server.is_calm();
}

#[test]
fn responses_follow_each_other_and_part_where_two_follow_the_same() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let first = amina.post(PATH, &json!({"input": "one"})).expect(200).json();
    let behind = |client: &mut Client, input: &str, previous: &Value, store: bool| {
        let asked = json!({"input": input, "previous_response_id": previous["id"], "store": store});
        client.post(PATH, &asked).expect(200).json()
    };
    let passing = behind(&mut amina, "zero", &first, false);
    assert_eq!((said(&passing), &passing["store"]), ("echo: zero", &json!(false)));
    assert_eq!(refused(&amina.get(&format!("{PATH}/{}", text(&passing["id"]))), 404).2, "not_found");
    let second = behind(&mut amina, "two", &first, true);
    assert_eq!(second["previous_response_id"], first["id"]);
    assert_eq!(log_of(&mut amina, &second), ["one", "echo: one", "two", "echo: two"]);
    let other = behind(&mut amina, "three", &first, true);
    assert_eq!(log_of(&mut amina, &other), ["one", "echo: one", "three", "echo: three"]);
    assert_eq!(log_of(&mut amina, &second).len(), 4, "the first way is as it was");
    for asked in stub.seen().iter().skip(1) {
        let lines: Vec<_> = list(&asked.body["messages"]).iter().filter(|line| line["role"] != "system").collect();
        assert_eq!((lines.len(), &lines[1]["content"]), (3, &json!("echo: one")));
    }
    server.is_calm();
}

#[test]
fn what_was_said_can_be_named_by_its_id() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let (mut bela, _) = server.user("bela");
    let first = amina.post(PATH, &json!({"input": "one"})).expect(200).json();
    let named = json!({"type": "item_reference", "id": first["output"][0]["id"]});
    let input = json!([{"role": "user", "content": "one"}, named, {"role": "user", "content": "two"}]);
    for store in [true, false] {
        let made = amina.post(PATH, &json!({"input": input, "store": store})).expect(200).json();
        assert_eq!(said(&made), "echo: two");
        let asked = stub.seen().pop().unwrap().body;
        let lines: Vec<_> = list(&asked["messages"]).iter().filter(|line| line["role"] != "system").collect();
        let texts: Vec<_> = lines.iter().map(|line| text(&line["content"])).collect();
        assert_eq!(
            (texts, &lines[1]["role"]),
            (["one", "echo: one", "two"].map(str::to_owned).to_vec(), &json!("assistant"))
        );
    }
    let others = bela.post(PATH, &json!({"input": input}));
    assert_eq!(refused(&others, 404).1, "input[1].id");
    let never = json!([{"type": "item_reference", "id": "msg_x"}, {"role": "user", "content": "two"}]);
    assert_eq!(
        bela.post(PATH, &json!({"input": never})).expect(404).json()["error"]["message"],
        others.json()["error"]["message"]
    );
    let alone = json!({"input": [named]});
    assert_eq!(refused(&amina.post(PATH, &alone), 400).1, "input", "it does not end with the user");
    server.is_calm();
}

#[test]
fn a_stream_has_every_event_once_and_so_has_one_that_is_read_again_from_any_place() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    for (directive, last, status) in
        [("say", "response.completed", "completed"), ("length", "response.incomplete", "incomplete")]
    {
        let input = format!("[[{directive}]] one two three four");
        for store in [true, false] {
            let events = dense(amina.post_events(PATH, &json!({"input": input, "stream": true, "store": store})), None);
            let names: Vec<_> =
                events.iter().map(|event| event.name.as_str()).filter(|name| !name.ends_with("delta")).collect();
            let wanted = [
                "response.created",
                "response.in_progress",
                "response.output_item.added",
                "response.content_part.added",
                "response.output_text.done",
                "response.content_part.done",
                "response.output_item.done",
                last,
            ];
            assert_eq!(names, wanted);
            assert_eq!(pieces(&events), "one two three four");
            let response = &events.last().unwrap().data["response"];
            assert_eq!((said(response), &response["status"]), ("one two three four", &json!(status)));
            assert_eq!(events[0].data["response"]["id"], response["id"]);
            assert_eq!(
                (&events[0].data["response"]["status"], &events[2].data["item"]["id"]),
                (&json!("in_progress"), &response["output"][0]["id"])
            );
            let path = format!("{PATH}/{}", text(&response["id"]));
            if !store {
                assert_eq!(amina.get(&path).status, 404);
                continue;
            }
            assert_eq!(amina.get(&path).expect(200).json(), *response);
            for seen in 0..events.len() as u64 + 2 {
                let again = dense(amina.events(&format!("{path}?stream=true&starting_after={seen}")), Some(seen));
                assert_eq!(again[..], events[events.len().min(usize::try_from(seen).unwrap() + 1)..], "behind {seen}");
            }
        }
    }
    server.is_calm();
}

#[test]
fn one_in_the_background_goes_on_alone_and_is_cancelled_by_its_id() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let asked = json!({"input": "[[gate back]] one two", "background": true});
    let begun = amina.post(PATH, &asked).expect(200).json();
    assert_eq!(
        (&begun["status"], &begun["background"], &begun["output"]),
        (&json!("in_progress"), &json!(true), &json!([]))
    );
    let path = format!("{PATH}/{}", text(&begun["id"]));
    assert_eq!(amina.get(&path).expect(200).json(), begun);
    assert_eq!(refused(&amina.delete(&path), 409).2, "being_answered");
    let mut events = amina.events(&format!("{path}?stream=true"));
    stub.step("back");
    while events.next().unwrap().data["delta"] != "one " {}
    let cancelled = amina.post(&format!("{path}/cancel"), &json!({})).expect(200).json();
    assert_eq!((said(&cancelled), &cancelled["status"]), ("one ", &json!("cancelled")));
    let mut rest = events.rest();
    assert_eq!(rest.pop().unwrap().data, "[DONE]");
    let last = rest.pop().unwrap();
    assert_eq!((last.name.as_str(), &last.data["response"]["status"]), ("response.incomplete", &json!("cancelled")));
    assert_eq!(amina.post(&format!("{path}/cancel"), &json!({})).expect(200).json(), cancelled, "it has ended");
    stub.wait_until(|stub| stub.replying() == 0);
    let whole = amina.post(PATH, &json!({"input": "[[say]] done", "background": true})).expect(200).json();
    let path = format!("{PATH}/{}", text(&whole["id"]));
    crate::support::comes_true("it is done", || said(&amina.get(&path).json()) == "done");
    server.is_calm();
}

#[test]
fn what_fails_is_told_to_whoever_waits_and_kept() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let answer = amina.post(PATH, &json!({"input": "[[status 400]] x"}));
    assert_eq!(refused(&answer, 400).2, "request_refused");
    let answer = amina.post(PATH, &json!({"input": "[[status 500]] x"}));
    assert_eq!(refused(&answer, 502).2, "reply_failed");
    assert_eq!(answer.header("x-should-retry"), Some("false"), "the turn is stored: asking again gives the same");
    let events = dense(amina.post_events(PATH, &json!({"input": "[[errormid]] one two", "stream": true})), None);
    let last = events.last().unwrap();
    assert_eq!(
        (last.name.as_str(), &last.data["response"]["error"]["code"]),
        ("response.failed", &json!("server_error"))
    );
    let id = text(&last.data["response"]["id"]);
    let kept = amina.get(&format!("{PATH}/{id}")).expect(200).json();
    assert_eq!((&kept["status"], &kept["error"]), (&json!("failed"), &last.data["response"]["error"]));
    let again = dense(amina.events(&format!("{PATH}/{id}?stream=true")), None);
    assert_eq!(again, events, "also what was shown of it");
    let passing = json!({"input": "[[errormid]] one two", "stream": true, "store": false});
    let events = dense(amina.post_events(PATH, &passing), None);
    assert_eq!(events.last().unwrap().name, "response.failed");
}

#[test]
fn what_can_not_be_done_is_named() {
    let server = Server::start(&["api.input_chars_max=50"]);
    let (mut amina, _) = server.user("amina");
    let conversation = text(&amina.post("/v1/conversations", &json!({})).expect(200).json()["id"]);
    let (parameter, value, plain) = (json!("unsupported_parameter"), json!("unsupported_value"), Value::Null);
    for (changes, param, code) in [
        (json!({"tools": [{"type": "web_search"}]}), "tools", &parameter),
        (json!({"tool_choice": {"type": "function"}}), "tool_choice", &parameter),
        (json!({"include": ["reasoning.encrypted_content"]}), "include", &parameter),
        (json!({"prompt": {"id": "x"}}), "prompt", &parameter),
        (json!({"top_logprobs": 1}), "top_logprobs", &parameter),
        (json!({"input": [{"type": "function_call_output"}]}), "input[0].type", &value),
        (json!({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}), "input[0].content[0].type", &value),
        (json!({"text": {"format": {"type": "grammar"}}}), "text.format.type", &value),
        (json!({"input": null}), "input", &plain),
        (json!({"input": []}), "input", &plain),
        (json!({"input": 7}), "input", &plain),
        (json!({"input": " "}), "input", &plain),
        (json!({"input": "x".repeat(51)}), "input", &plain),
        (json!({"instructions": "x".repeat(51)}), "instructions", &plain),
        (
            json!({"input": [{"role": "developer", "content": "x".repeat(51)}, {"role": "user", "content": "x"}]}),
            "input[0].content",
            &plain,
        ),
        (json!({"input": [{"role": "assistant", "content": "x"}]}), "input", &plain),
        (json!({"conversation": conversation, "previous_response_id": "resp_1"}), "previous_response_id", &plain),
        (json!({"conversation": conversation, "store": false}), "store", &plain),
        (json!({"background": true, "store": false}), "store", &plain),
        (json!({"conversation": 7}), "conversation", &plain),
        (json!({"conversation": {}}), "conversation.id", &plain),
        (json!({"truncation": "middle"}), "truncation", &plain),
        (json!({"max_output_tokens": 0}), "max_output_tokens", &plain),
        (json!({"instructions": ["x"]}), "instructions", &plain),
        (json!({"stream": 1}), "stream", &plain),
    ] {
        let mut body = json!({"input": "hello"});
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let told = refused(&amina.post(PATH, &body), 400);
        assert_eq!((told.1, &told.2), (json!(param), code), "{changes}");
    }
    let missing = refused(&amina.post(PATH, &json!({"input": "x", "previous_response_id": "resp_1"})), 404);
    assert_eq!((missing.1, missing.2), (json!("previous_response_id"), json!("previous_response_not_found")));
    let made = text(&amina.post(PATH, &json!({"input": "hello"})).expect(200).json()["id"]);
    for (query, param) in [
        ("stream=maybe", "stream"),
        ("starting_after=1", "starting_after"),
        ("stream=true&starting_after=x", "starting_after"),
    ] {
        assert_eq!(refused(&amina.get(&format!("{PATH}/{made}?{query}")), 400).1, param, "{query}");
    }
    let sessions = amina.get("/api/v1/sessions").expect(200).json();
    assert_eq!(list(&sessions["sessions"]).len(), 2, "nothing of what was refused is stored");
    server.is_calm();
}

#[test]
fn what_is_kept_beside_a_response_has_a_bound_that_its_refusal_names() {
    let stub = Stub::start();
    let server = asking(&stub, &["api.body_max=16MiB"]);
    let (mut amina, _) = server.user("amina");
    let code = |answer: &crate::support::Response| {
        let error = answer.json()["error"].clone();
        assert!(text(&error["message"]).contains("2097152") && text(&error["message"]).contains("shorten"), "{error}");
        refused(answer, 400).2
    };
    let form = |bytes: usize| json!({"type": "object", "description": "x".repeat(bytes)});
    let too_much = 2 << 20;
    let format = |bytes: usize| json!({"format": {"type": "json_schema", "name": "n", "schema": form(bytes)}});
    for (name, body) in [
        ("waited for", json!({"text": format(too_much / 2)})),
        ("as a stream", json!({"text": format(too_much), "stream": true})),
        ("in the background", json!({"text": format(too_much), "background": true})),
        ("with instructions", json!({"text": format(too_much / 2 - (40 << 10)), "instructions": "x".repeat(100_000)})),
    ] {
        let mut asked = json!({"input": "[[say]] never"});
        asked.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        assert_eq!(code(&amina.post(PATH, &asked)), "too_much_kept", "{name}");
    }
    let form = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": form(too_much)}});
    let asked = json!({"messages": [{"role": "user", "content": "never"}], "response_format": form, "store": true});
    assert_eq!(code(&amina.post("/v1/chat/completions", &asked)), "too_much_kept");
    assert_eq!(amina.get("/v1/conversations").expect(200).json()["data"], json!([]), "nothing was stored");
    let asked = json!({"input": "[[say]] kept", "instructions": "x".repeat(100_000), "text": format(900 << 10)});
    let made = amina.post(PATH, &asked).expect(200).json();
    assert_eq!(said(&made), "kept");
    let again = amina.get(&format!("{PATH}/{}", text(&made["id"]))).expect(200).json();
    assert_eq!(again["instructions"], asked["instructions"], "and it is kept whole");
    let asked = json!({"input": "[[say]] passed", "text": format(too_much), "store": false});
    assert_eq!(said(&amina.post(PATH, &asked).expect(200).json()), "passed", "of which nothing is kept");
    server.is_calm();
}

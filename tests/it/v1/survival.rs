//! What survives: a server that is killed in the middle of a stream, and requests that are repeated.

use serde_json::{Value, json};

use super::{
    refused,
    responses::{dense, pieces},
};
use crate::support::{
    Client, Event, list,
    model::{asking, until},
    stub::Stub,
    text,
};

const PATH: &str = "/v1/responses";

#[test]
fn a_stream_that_a_kill_cut_goes_on_behind_the_last_event_that_was_seen() {
    let stub = Stub::start();
    let mut server = asking(&stub, &[]);
    let (amina, _) = server.user("amina");
    let settings = ["reply.backend=openai".to_owned(), format!("reply.openai.base_url={}", stub.base_url())];
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    for steps in 0..4 {
        let client = amina.another_tab(&server);
        let gate = format!("gate-{steps}");
        let input = format!("[[gate {gate}]] one two three four");
        let mut events = client.post_events(PATH, &json!({"input": input, "stream": true}));
        let mut seen: Vec<Event> = vec![events.next().unwrap(), events.next().unwrap()];
        for _ in 0..steps {
            stub.step(&gate);
            loop {
                seen.push(events.next().unwrap());
                if seen.last().unwrap().name.ends_with("delta") {
                    break;
                }
            }
        }
        server.kill();
        stub.release(&gate);
        server = server.restart(&settings);
        let client = amina.another_tab(&server);
        let id = text(&seen[0].data["response"]["id"]);
        let last = seen.last().unwrap().data["sequence_number"].as_u64().unwrap();
        seen.extend(dense(client.events(&format!("{PATH}/{id}?stream=true&starting_after={last}")), Some(last)));
        let numbers: Vec<_> = seen.iter().map(|event| event.data["sequence_number"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (0..seen.len() as u64).collect::<Vec<_>>());
        let end = &seen.last().unwrap().data["response"];
        assert_eq!(end["status"], "completed", "{end}");
        assert_eq!(pieces(&seen), end["output"][0]["content"][0]["text"], "the text is what was shown");
        assert!(pieces(&seen).starts_with(&["one ", "two ", "three ", "four"][..steps].concat()));
        let again = dense(client.events(&format!("{PATH}/{id}?stream=true")), None);
        assert_eq!(pieces(&again), pieces(&seen));
        assert_eq!(again.len(), seen.len());
    }
}

#[test]
fn the_same_key_and_body_is_the_same_response_and_another_body_is_refused() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let headers = [("idempotency-key", "k-1")];
    let body = json!({"input": "hello"});
    let first = amina.json("POST", PATH, &headers, &body).expect(200).json();
    assert_eq!(amina.json("POST", PATH, &headers, &body).expect(200).json(), first);
    let other = amina.json("POST", PATH, &headers, &json!({"input": "hello!"}));
    assert_eq!(refused(&other, 422).2, "key_reused");
    let bad = amina.json("POST", PATH, &[("idempotency-key", "two words")], &body);
    assert_eq!(refused(&bad, 400).1, "Idempotency-Key");
    assert_eq!(stub.seen().len(), 1);
    // A stream is told again as well, and a stored completion.
    let stream = json!({"input": "hello", "stream": true}).to_string();
    let all: Vec<Value> = (0..2)
        .map(|_| {
            let answer = amina.send(
                "POST",
                PATH,
                &[("content-type", "application/json"), ("idempotency-key", "k-2")],
                Some(stream.as_bytes()),
            );
            assert_eq!(answer.unwrap().status, 200);
            server.is_idle();
            amina.get("/v1/conversations").expect(200).json()
        })
        .collect();
    assert_eq!(all[0], all[1]);
    let body = json!({"messages": [{"role": "user", "content": "hello"}], "store": true});
    let keyed = |client: &mut Client| {
        client.json("POST", "/v1/chat/completions", &[("idempotency-key", "k-3")], &body).expect(200).json()
    };
    assert_eq!(keyed(&mut amina), keyed(&mut amina));
    assert_eq!(stub.seen().len(), 3);
}

#[test]
fn a_library_that_asks_again_by_itself_gets_the_response_of_the_first_time() {
    let stub = Stub::start();
    let mut server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let retry = |client: &mut Client, body: &Value, count: &str| {
        client.json("POST", PATH, &[("x-stainless-retry-count", count)], body).expect(200).json()
    };
    // The first answer never comes: its client has gone while the reply is made.
    let body = json!({"input": "[[gate again]] hello"});
    drop(amina.post_and_leave(PATH, &body));
    stub.wait_until(|stub| stub.seen().len() == 1);
    stub.release("again");
    let first = retry(&mut amina, &body, "1");
    assert_eq!(retry(&mut amina, &body, "2"), first, "an answer may be lost behind the server");
    assert_eq!(stub.seen().len(), 1, "it is the first one's");
    assert_ne!(retry(&mut amina, &body, "0")["id"], first["id"], "people do repeat themselves");
    // Nor does it where the server is killed; the reply is made after the start.
    let body = json!({"input": "[[gate killed]] hello"});
    drop(amina.post_and_leave(PATH, &body));
    stub.wait_until(|stub| stub.seen().len() == 3);
    server.kill();
    let settings = ["reply.backend=openai".to_owned(), format!("reply.openai.base_url={}", stub.base_url())];
    server = server.restart(&settings.iter().map(String::as_str).collect::<Vec<_>>());
    let mut amina = amina.another_tab(&server);
    stub.release("killed");
    let made = retry(&mut amina, &body, "1");
    assert_eq!((&made["status"], stub.seen().len()), (&json!("completed"), 4));
    server.kill();
    server = server.restart(&settings.iter().map(String::as_str).collect::<Vec<_>>());
    let mut amina = amina.another_tab(&server);
    assert_eq!(retry(&mut amina, &body, "1"), made, "what was answered just before, too");
    let conversations = amina.get("/v1/conversations").expect(200).json();
    assert_eq!(list(&conversations["data"]).len(), 3);
}

#[test]
fn a_retry_of_what_was_refused_is_no_repeat_of_what_was_said_before_in_the_same_words() {
    let stub = Stub::start();
    let server = asking(&stub, &["concurrency.min=1", "concurrency.max=1", "concurrency.queue=0"]);
    let (mut amina, _) = server.user("amina");
    let (bela, _) = server.user("bela");
    let conversation = amina.post("/v1/conversations", &json!({})).expect(200).json();
    let body = json!({"input": "go on", "conversation": conversation["id"]});
    let say =
        |client: &mut Client, count: &str| client.json("POST", PATH, &[("x-stainless-retry-count", count)], &body);
    let first = say(&mut amina, "0").expect(200).json();
    // The one place is taken.
    let held = json!({"input": "[[gate held]] hello"});
    drop(bela.post_and_leave(PATH, &held));
    stub.wait_until(|stub| stub.seen().len() == 2);
    say(&mut amina, "0").expect(503);
    stub.release("held");
    stub.wait_until(|stub| stub.replying() == 0);
    let said = until("it is let in", || Some(say(&mut amina, "1")).filter(|answer| answer.status == 200)).json();
    assert_ne!(said["id"], first["id"]);
    let items = amina.get(&format!("/v1/conversations/{}/items", text(&conversation["id"]))).expect(200).json();
    assert_eq!(list(&items["data"]).len(), 4, "{items}");
}

#[test]
fn a_retry_with_another_key_is_of_no_other_programs_request() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let mut program = |name: &str| {
        let key = json!({"name": name, "scopes": ["conversations"]});
        let made = amina.post("/api/v1/auth/keys", &key).expect(201).json();
        Client::with_token(server.address, &text(&made["key"]))
    };
    let (mut one, mut other) = (program("one"), program("other"));
    let say = |client: &mut Client, count: &str| {
        client.json("POST", PATH, &[("x-stainless-retry-count", count)], &json!({"input": "go on"})).expect(200).json()
    };
    let first = say(&mut one, "0");
    assert_ne!(say(&mut other, "1")["id"], first["id"], "that one's first try never came");
    assert_eq!(say(&mut one, "1"), first);
    assert_eq!(stub.seen().len(), 2);
}

#[test]
fn the_repeat_of_what_was_deleted_is_not_found_and_says_what_to_do() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let by_key = [("idempotency-key", "k-1")];
    let body = json!({"input": "hello"});
    let made = amina.json("POST", PATH, &by_key, &body).expect(200).json();
    amina.delete(&format!("{PATH}/{}", text(&made["id"]))).expect(200);
    let answer = amina.json("POST", PATH, &by_key, &body);
    assert_eq!(refused(&answer, 404).2, "deleted_meanwhile");
    assert!(answer.text().contains("another Idempotency-Key"), "{}", answer.text());
}

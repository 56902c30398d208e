//! Outcomes that are told to those who follow, made again after a crash, and asked for by the old client.

use serde_json::{Value, json};

use crate::support::{
    Server,
    data::check_passes,
    model::{Draft, asking, asking_at},
    stub::Stub,
};

#[test]
fn a_retry_that_fails_in_another_way_leaves_the_newer_failure() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut client, _) = server.user("amina");
    let session = client.session();
    let mut events = client.session_events(&session);
    for (bad, detail) in [
        ("status 400", "The model server does not take this conversation; please try a shorter message."),
        ("errormid", "The model server failed; please try again."),
        ("resetmid", "The model server broke off; please try again."),
    ] {
        stub.behave(bad);
        let answers = if bad == "status 400" {
            vec![client.try_say_once(&session, "hello", "key"), client.try_say_once(&session, "hello", "key")]
        } else {
            vec![client.retry(&session, 1), client.try_say_once(&session, "hello", "key")]
        };
        for answer in answers {
            assert_eq!(answer.expect(502).json()["detail"], detail);
        }
        let failed = json!({"reply_to": 1, "status": "failed", "detail": detail});
        assert_eq!(events.find("failed").data, failed);
        let repeat = client.say_and_follow(&session, "hello", &[("idempotency-key", "key")]).rest();
        assert_eq!(repeat.last().unwrap().data, failed);
    }
    assert_eq!(client.log(&session).len(), 1);
    server.is_idle();
}

#[test]
fn a_turn_that_is_stopped_is_told_to_all_who_follow_it() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut client, _) = server.user("amina");
    let session = client.session();
    let mut all = client.events("/api/v1/events");
    let mut of_session = client.session_events(&session);
    let mut of_turn = client.say_and_follow(&session, "[[gate a]] one two three", &[]);
    stub.step("a");
    for events in [&mut all, &mut of_session, &mut of_turn] {
        Draft::default().read_until(events, "one ");
    }
    let state = client.events(&format!("/api/v1/sessions/{session}/events")).find("state").data;
    assert_eq!(state, json!({"head": 1, "turns": {"1": "pending"}}));
    client.stop(&session, 1).expect(204);
    for events in [&mut all, &mut of_session, &mut of_turn] {
        let message = events.find("message").data;
        assert_eq!(json!([message["content"], message["status"]]), json!(["one ", "stopped"]));
        let done = events.find("done").data;
        assert_eq!(json!([done["reply_to"], done["seq"], done["status"]]), json!([1, 2, "stopped"]));
    }
    assert_eq!(of_turn.next(), None);
    server.is_idle();
}

/// `[seq, content, reply_to, status]` of every message.
fn shown(server: &Server, token: Option<String>, session: &str) -> Vec<Value> {
    let mut client = server.client();
    client.token = token;
    let fields = ["seq", "content", "reply_to", "status"];
    client.log(session).iter().map(|message| json!(fields.map(|field| &message[field]))).collect()
}

#[test]
fn p5_turns_that_a_crash_left_open_are_answered_by_the_next_start_or_stopped() {
    let stub = Stub::start();
    let mut server = asking(&stub, &[]);
    let (mut client, _) = server.user("amina");
    let token = client.token.clone();
    let session = client.session();
    let mut events = client.session_events(&session);
    let key = [("idempotency-key", "key")];
    let first = client.say_and_follow(&session, "[[gate a]] one two", &key);
    for content in ["second", "third"] {
        drop(client.say_and_leave(&session, content));
        while events.find("message").data["content"] != content {}
    }
    stub.step("a");
    Draft::default().read_until(&mut events, "one ");
    server.kill();
    drop(first);
    stub.wait_until(|stub| stub.replying() == 0);

    let base_url = format!("reply.openai.base_url={}", stub.base_url());
    let mut server = server.restart(&["reply.backend=openai", &base_url]);
    client = server.client();
    client.token.clone_from(&token);
    stub.wait_until(|stub| stub.seen().len() == 2 && stub.replying() == 1);
    let mut events = client.session_events(&session);
    client.stop(&session, 2).expect(204);
    client.retry(&session, 1).expect(409);
    client.retry(&session, 3).expect(409);
    stub.step("a");
    let mut draft = Draft::default();
    draft.read_until(&mut events, "one ");
    assert!(draft.attempt > 1, "a page that saw the first attempt begins anew");
    assert_eq!(stub.seen().len(), 2, "the third has not overtaken the first");
    stub.release("a");
    let repeat = client.say_and_follow(&session, "[[gate a]] one two", &key).rest();
    assert_eq!(repeat.last().unwrap().data["status"], "answered");
    server.is_idle();
    let page = [
        json!([1, "[[gate a]] one two", null, "answered"]),
        json!([2, "second", null, "stopped"]),
        json!([3, "third", null, "answered"]),
        json!([4, "", 2, "stopped"]),
        json!([5, "one two", 1, "complete"]),
        json!([6, "echo: third", 3, "complete"]),
    ];
    assert_eq!(shown(&server, token.clone(), &session), page);
    assert_eq!(stub.seen().len(), 3);
    server.stop();
    check_passes(&server.data);
}

#[test]
fn the_old_clients_call_fails_stays_and_is_mended_like_any_other() {
    let stub = Stub::start();
    let server = asking(&stub, &["reply.openai.first_token_timeout_ms=4000"]);
    let (mut client, _) = server.user("amina");
    for (bad, status) in [("status 400", 502), ("stall", 504)] {
        let message = format!("[[once {bad}]] well again");
        let problem = client.post("/api/v1/chat/send", &json!({"message": message})).expect(status).json();
        let session = problem["session_id"].as_str().unwrap();
        assert!(problem["detail"].as_str().unwrap().contains("please try"), "{problem}");
        let turn = client.turns(session).remove(0);
        assert_eq!(json!([turn["message"], turn["response"], turn["status"]]), json!([message, "", "failed"]));
        assert_eq!(turn["id"], problem["message_id"]);
        client.retry(session, 1).expect(201);
        let turn = client.turns(session).remove(0);
        assert_eq!(json!([turn["response"], turn["status"]]), json!(["well again", "answered"]));
        let next = client.post("/api/v1/chat/send", &json!({"message": "[[say]] more", "session_id": session}));
        assert_eq!(next.expect(200).json()["response"], "more");
    }
    server.is_idle();
}

#[test]
fn a_server_that_was_restarted_between_two_messages_is_no_failure() {
    let stub = Stub::start();
    let address = stub.address();
    let server = asking_at(&stub.base_url(), &[]);
    let (mut client, _) = server.user("amina");
    let session = client.session();
    client.say(&session, "before");
    drop(stub);
    let stub = Stub::start_at(address);
    client.say(&session, "after");
    assert_eq!(stub.seen().len(), 1);
    server.is_calm();
}

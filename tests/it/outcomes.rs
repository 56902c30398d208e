//! What a turn comes to when its client goes, stops it, asks for it anew, sends more meanwhile, or takes it all back.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    Client, Events, Server, at_once,
    data::check_passes,
    each, list,
    model::{Draft, asking},
    stub::Stub,
};

/// A stopped reply's server is let go within this: a promise, not a patience.
const LET_GO: Duration = Duration::from_secs(10);

/// A server that is waited for longer than any test takes.
const PATIENT: [&str; 2] = ["reply.openai.token_timeout_ms=300000", "reply.openai.total_timeout_ms=300000"];

/// `[seq, role, content, reply_to, status]` of every message.
fn shown(client: &mut Client, session: &str) -> Vec<Value> {
    let fields = ["seq", "role", "content", "reply_to", "status"];
    client.log(session).iter().map(|message| json!(fields.map(|field| &message[field]))).collect()
}

/// `[message, response, status]` of every turn of the old history.
fn old(client: &mut Client, session: &str) -> Vec<Value> {
    let fields = ["message", "response", "status"];
    client.turns(session).iter().map(|turn| json!(fields.map(|field| &turn[field]))).collect()
}

/// Waits until the message at `seq` is stored.
#[track_caller]
fn is_stored(events: &mut Events, seq: u64) {
    while events.find("message").id != Some(seq) {}
}

/// Wants no work to be left anywhere.
fn is_settled(server: &Server, stub: &Stub) {
    server.is_idle();
    stub.wait_until(|stub| stub.replying() == 0);
}

#[test]
fn p5_a_reply_is_finished_and_kept_though_its_client_has_gone() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut client, _) = server.user("amina");
    for follows in [false, true] {
        let session = client.session();
        let content = format!("[[gate {follows}]] one two three");
        let gate = follows.to_string();
        let mut events = client.session_events(&session);
        if follows {
            let mut leaving = client.say_and_follow(&session, &content, &[]);
            stub.step(&gate);
            Draft::default().read_until(&mut leaving, "one ");
            drop(leaving);
        } else {
            let leaving = client.say_and_leave(&session, &content);
            stub.step(&gate);
            Draft::default().read_until(&mut events, "one ");
            drop(leaving);
        }
        stub.release(&gate);
        let done = events.find("done").data;
        assert_eq!(done, json!({"reply_to": 1, "seq": 2, "status": "answered"}));
        let reply = json!([2, "assistant", "one two three", 1, "complete"]);
        assert_eq!(shown(&mut client, &session), [json!([1, "user", content, null, "answered"]), reply]);
    }
    is_settled(&server, &stub);
    assert!(stub.seen().iter().all(|seen| seen.closed_early.is_none()));
}

#[test]
fn a_reply_is_stopped_with_the_text_that_there_is_and_its_server_is_let_go() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut client, _) = server.user("amina");
    // Words that were let go before the stop, and what is kept then.
    for (directive, words, kept) in
        [("gate mid", 2, "one two "), ("gate start", 0, ""), ("stall", 0, ""), ("stallhead", 0, "")]
    {
        let session = client.session();
        let content = format!("[[{directive}]] one two three four");
        let mut events = client.session_events(&session);
        let asked = stub.seen().len();
        let answer = client.begin_say(&session, &content);
        stub.wait_until(|stub| stub.seen().len() == asked + 1);
        for _ in 0..words {
            stub.step("mid");
        }
        Draft::default().read_until(&mut events, kept);
        let stopped = Instant::now();
        client.stop(&session, 1).expect(204);
        let answer = answer.join().unwrap().expect(201).json();
        let page = [json!([1, "user", content, null, "stopped"]), json!([2, "assistant", kept, 1, "stopped"])];
        assert_eq!(shown(&mut client, &session), page);
        assert_eq!(json!(client.log(&session)), json!([answer["message"], answer["reply"]]));
        assert_eq!(old(&mut client, &session), [json!([content, kept, "stopped"])]);
        assert_eq!(events.find("done").data, json!({"reply_to": 1, "seq": 2, "status": "stopped"}));
        stub.wait_until(|stub| stub.replying() == 0);
        let closed = stub.seen().last().unwrap().closed_early.expect("the stub has noticed");
        assert!(closed.duration_since(stopped) < LET_GO, "{directive}: {:?}", closed.duration_since(stopped));
        client.stop(&session, 1).expect(204);
        assert_eq!(shown(&mut client, &session), page, "a second stop changes nothing");
        client.say(&session, "the next one");
    }
    is_settled(&server, &stub);
}

#[test]
fn a_turn_that_waits_behind_another_is_stopped_at_once() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut client, _) = server.user("amina");
    let session = client.session();
    let mut events = client.session_events(&session);
    let first = client.begin_say(&session, "[[gate first]] one two");
    is_stored(&mut events, 1);
    let second = client.begin_say(&session, "second");
    is_stored(&mut events, 2);
    let third = client.begin_say(&session, "third");
    is_stored(&mut events, 3);
    client.stop(&session, 2).expect(204);
    assert_eq!(events.find("done").data, json!({"reply_to": 2, "seq": 4, "status": "stopped"}));
    let answer = second.join().unwrap().expect(201).json();
    assert_eq!([&answer["reply"]["content"], &answer["reply"]["status"]], ["", "stopped"]);
    assert_eq!(stub.seen().len(), 1, "the third has not overtaken the first");
    stub.release("first");
    first.join().unwrap().expect(201);
    third.join().unwrap().expect(201);
    let page = [
        json!([1, "user", "[[gate first]] one two", null, "answered"]),
        json!([2, "user", "second", null, "stopped"]),
        json!([3, "user", "third", null, "answered"]),
        json!([4, "assistant", "", 2, "stopped"]),
        json!([5, "assistant", "one two", 1, "complete"]),
        json!([6, "assistant", "echo: third", 3, "complete"]),
    ];
    assert_eq!(shown(&mut client, &session), page);
    assert_eq!(stub.seen().len(), 2, "nobody was asked for the stopped one");
    is_settled(&server, &stub);
}

#[test]
fn only_a_message_of_the_user_that_is_there_is_stopped_or_answered_anew() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut client, _) = server.user("amina");
    let (mut other, _) = server.user("bela");
    let session = client.session();
    client.say(&session, "hello");
    let before = client.log(&session);
    client.stop(&session, 1).expect(204);
    for seq in [0, 2, 3, 99, u64::MAX] {
        client.retry(&session, seq).expect(404);
        client.stop(&session, seq).expect(404);
    }
    for seq in ["x", "-1", "1.0", "18446744073709551616"] {
        for act in ["retry", "stop"] {
            client.post(&format!("/api/v1/sessions/{session}/messages/{seq}/{act}"), &json!({})).expect(404);
        }
    }
    for seq in [1, 2, 9] {
        other.retry(&session, seq).expect(403);
        other.stop(&session, seq).expect(403);
    }
    assert_eq!((client.log(&session), stub.seen().len()), (before, 1));
}

#[test]
fn a_message_that_is_being_answered_is_not_answered_anew() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut client, _) = server.user("amina");
    let session = client.session();
    let mut events = client.session_events(&session);
    let first = client.begin_say(&session, "[[gate a]] one two");
    is_stored(&mut events, 1);
    let waiting = client.begin_say(&session, "hello");
    is_stored(&mut events, 2);
    for seq in [1, 2] {
        let problem = client.retry(&session, seq).expect(409).json();
        assert_eq!(problem["type"], "urn:bondhu:problem:being-answered");
    }
    stub.release("a");
    first.join().unwrap().expect(201);
    waiting.join().unwrap().expect(201);
    // Nor twice at the same time.
    let content = "[[gate b]] one two";
    stub.step("b");
    stub.step("b");
    client.say(&session, content);
    let again = client.begin_retry(&session, 5);
    stub.wait_until(|stub| stub.seen().len() == 4 && stub.replying() == 1);
    client.retry(&session, 5).expect(409);
    stub.release("b");
    assert_eq!(again.join().unwrap().expect(201).json()["reply"]["content"], "one two");
    assert_eq!(client.log(&session).len(), 7);
    is_settled(&server, &stub);
}

#[test]
fn a_reply_that_is_made_anew_supersedes_the_old_one_and_a_failed_one_does_not() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut client, _) = server.user("amina");
    let session = client.session();
    client.say(&session, "hello");
    let page = |replies: &[Value]| [&[json!([1, "user", "hello", null, "answered"])], replies].concat();
    let first = json!([2, "assistant", "echo: hello", 1, "complete"]);
    assert_eq!(shown(&mut client, &session), page(std::slice::from_ref(&first)));

    let mut events = client.events(&format!("/api/v1/sessions/{session}/events"));
    let tag = client.get(&format!("/api/v1/sessions/{session}/messages")).header("etag").unwrap().to_owned();
    for bad in ["status 400", "errormid"] {
        stub.behave(bad);
        let problem = client.retry(&session, 1).expect(502).json();
        assert_eq!(problem["session_id"], session);
        let failed = events.find("failed").data;
        assert_eq!(failed, json!({"reply_to": 1, "status": "answered", "detail": problem["detail"]}));
        assert_eq!(shown(&mut client, &session), page(std::slice::from_ref(&first)));
        assert_eq!(old(&mut client, &session), [json!(["hello", "echo: hello", "answered"])]);
    }

    stub.behave("gate new");
    let answer = client.begin_retry(&session, 1);
    stub.step("new");
    let mut draft = Draft::default();
    draft.read_until(&mut events, "echo: ");
    assert!(draft.attempt > 1);
    assert_eq!(shown(&mut client, &session), page(std::slice::from_ref(&first)), "it stays until there is a new one");
    stub.release("new");
    let answer = answer.join().unwrap().expect(201).json();
    let second = json!([3, "assistant", "echo: hello", 1, "complete"]);
    let old_one = json!([2, "assistant", "echo: hello", 1, "superseded"]);
    assert_eq!(shown(&mut client, &session), page(&[old_one.clone(), second]));
    assert_eq!(answer["message"]["status"], "answered");
    assert_eq!(answer["reply"], client.log(&session)[2]);
    assert_eq!(client.turns(&session).len(), 1);
    assert_eq!(client.turns(&session)[0]["id"], answer["reply"]["id"]);
    assert_ne!(client.get(&format!("/api/v1/sessions/{session}/messages")).header("etag"), Some(tag.as_str()));

    assert_eq!(events.find("done").data, json!({"reply_to": 1, "seq": 3, "status": "answered"}));

    // One that is stopped replaces it too, with what there is.
    stub.behave("gate third");
    let stopped = client.begin_retry(&session, 1);
    stub.step("third");
    Draft::default().read_until(&mut events, "echo: ");
    client.stop(&session, 1).expect(204);
    assert_eq!(stopped.join().unwrap().expect(201).json()["message"]["status"], "stopped");
    let wanted = [
        json!([1, "user", "hello", null, "stopped"]),
        old_one,
        json!([3, "assistant", "echo: hello", 1, "superseded"]),
        json!([4, "assistant", "echo: ", 1, "stopped"]),
    ];
    assert_eq!(shown(&mut client, &session), wanted);
    assert_eq!(old(&mut client, &session), [json!(["hello", "echo: ", "stopped"])]);
    is_settled(&server, &stub);
}

#[test]
fn p2_messages_that_come_at_once_are_all_taken_and_answered_one_after_the_other() {
    let stub = Stub::start();
    let server = asking(&stub, &["reply.openai.context_tokens=100000"]);
    let (mut client, _) = server.user("amina");
    for count in [2, 20] {
        let session = client.session();
        let asked = stub.seen().len();
        let most = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                stub.wait_until(|stub| {
                    most.fetch_max(stub.replying(), Ordering::Relaxed);
                    stub.seen().len() == asked + count && stub.replying() == 0
                })
            });
            let tabs = at_once(count, |n| client.begin_say(&session, &format!("[[tokens 3 4]] word {n} of many")));
            for tab in tabs {
                let answer = tab.join().unwrap().expect(201).json();
                assert_eq!(answer["reply"]["reply_to"], answer["message"]["seq"]);
                let content = answer["message"]["content"].as_str().unwrap();
                assert!(content.ends_with(answer["reply"]["content"].as_str().unwrap()), "{answer}");
            }
        });
        assert_eq!(most.into_inner(), 1, "two requests of a session at the same time");
        let log = client.log(&session);
        let (messages, replies): (Vec<_>, Vec<_>) = log.iter().partition(|message| message["role"] == "user");
        assert_eq!((messages.len(), replies.len()), (count, count));
        // Each was asked for with all before it, so it began when they had ended; and in their order.
        for (n, (seen, message)) in stub.seen()[asked..].iter().zip(&messages).enumerate() {
            let context = list(&seen.body["messages"]);
            assert_eq!(context.len(), 2 + 2 * n);
            assert_eq!(context[1 + 2 * n]["content"], message["content"]);
        }
        let answered: Vec<_> = replies.iter().map(|reply| &reply["reply_to"]).collect();
        assert_eq!(answered, messages.iter().map(|message| &message["seq"]).collect::<Vec<_>>());
        assert!(log.iter().zip(1..).all(|(message, seq)| message["seq"] == seq));
    }
    is_settled(&server, &stub);
    server.is_calm();
}

#[test]
fn what_is_deleted_in_mid_reply_gets_none_and_its_server_is_let_go() {
    let stub = Stub::start();
    let mut server = asking(&stub, &PATIENT);
    let (mut client, _) = server.user("amina");
    let mut all = client.events("/api/v1/events");
    for (clears, follows) in [(false, false), (false, true), (true, false), (true, true)] {
        let gate = format!("{clears}-{follows}");
        let session = client.session();
        let content = format!("[[gate {gate}]] one two three");
        let mut events = client.session_events(&session);
        let followed = follows.then(|| client.say_and_follow(&session, &content, &[]));
        let answer = (!follows).then(|| client.begin_say(&session, &content));
        stub.step(&gate);
        Draft::default().read_until(&mut events, "one ");
        let path = if clears { "/api/v1/chat/history".to_owned() } else { format!("/api/v1/sessions/{session}") };
        client.delete(&path).expect(204);
        if let Some(answer) = answer {
            let problem = answer.join().unwrap().expect(409).json();
            assert_eq!(problem["type"], "urn:bondhu:problem:deleted-meanwhile");
        }
        // Nobody waits for what the gate holds back.
        stub.wait_until(|stub| stub.replying() == 0);
        assert!(stub.seen().last().unwrap().closed_early.is_some());
        // Whoever follows the reply hears that it has ended.
        let detail = "The message was deleted while it was being answered.";
        let mut wanted = json!({"reply_to": 1, "status": "failed", "detail": detail});
        if let Some(followed) = followed {
            let last = followed.rest().pop().unwrap();
            assert_eq!((last.name.as_str(), &last.data), ("failed", &wanted));
        }
        if clears {
            assert_eq!(events.find("failed").data, wanted);
        } else {
            assert!(events.rest().iter().all(|event| event.name == "failed"), "the stream ends with its session");
        }
        wanted["session_id"] = json!(session);
        assert_eq!(all.find("failed").data, wanted);
        if clears {
            assert_eq!(client.page(&session, "")["messages"], json!([]));
            for act in ["retry", "stop"] {
                client.post(&format!("/api/v1/sessions/{session}/messages/1/{act}"), &json!({})).expect(404);
            }
            assert_eq!(client.say(&session, "after")["reply"]["content"], "echo: after");
            assert_eq!(list(&stub.seen().last().unwrap().body["messages"]).len(), 2, "a context of its own");
        } else {
            client.try_say(&session, "after").expect(403);
            client.retry(&session, 1).expect(403);
            client.stop(&session, 1).expect(403);
        }
        is_settled(&server, &stub);
    }
    assert_eq!(each(&client.history("?limit=200")["messages"], "message"), ["after"]);
    server.stop();
    check_passes(&server.data);
}

#[test]
fn outcomes_and_new_outcomes_survive_a_restart() {
    let stub = Stub::start();
    let mut server = asking(&stub, &[]);
    let (mut client, _) = server.user("amina");
    let session = client.session();
    client.say(&session, "answered");
    client.say(&session, "twice");
    client.retry(&session, 3).expect(201);
    client.try_say_once(&session, "[[status 400]] failed", "key").expect(502);
    client.try_say(&session, "[[once status 400]] mended").expect(502);
    client.retry(&session, 7).expect(201);
    let stopped = client.begin_say(&session, "[[gate a]] stopped here");
    stub.step("a");
    Draft::default().read_until(&mut client.session_events(&session), "stopped ");
    client.stop(&session, 9).expect(204);
    stopped.join().unwrap().expect(201);
    client.retry(&session, 6).expect(502);
    let (log, turns) = (client.log(&session), client.turns(&session));
    let log_statuses = log.iter().map(|message| &message["status"]).collect::<Vec<_>>();
    let wanted = [
        "answered",
        "complete",
        "answered",
        "superseded",
        "complete",
        "failed",
        "answered",
        "complete",
        "stopped",
        "stopped",
    ];
    assert_eq!(log_statuses, wanted);
    let token = client.token.clone();
    server.stop();
    check_passes(&server.data);
    let base_url = format!("reply.openai.base_url={}", stub.base_url());
    let mut server = server.restart(&["reply.backend=openai", &base_url]);
    let mut client = server.client();
    client.token = token;
    assert_eq!((client.log(&session), client.turns(&session)), (log, turns));
    assert_eq!(
        client.events(&format!("/api/v1/sessions/{session}/events")).find("state").data["turns"],
        json!({"1": "answered", "3": "answered", "6": "failed", "7": "answered", "9": "stopped"})
    );
    // What was answered is told again, not asked for again; what failed can still be mended.
    let asked = stub.seen().len();
    client.try_say_once(&session, "[[status 400]] failed", "key").expect(502);
    assert_eq!(stub.seen().len(), asked);
    stub.release("a");
    assert_eq!(client.retry(&session, 9).expect(201).json()["reply"]["content"], "stopped here");
    is_settled(&server, &stub);
    server.stop();
    check_passes(&server.data);
}

//! Idempotency keys: the same key with the same body is one message, at any time and from anywhere.

use serde_json::{Value, json};

use crate::support::{Client, Response, Server, at_once, text};

/// Sends natively with a key.
fn send(client: &mut Client, session: &str, key: &str, content: &str) -> Response {
    let path = format!("/api/v1/sessions/{session}/messages");
    client.json("POST", &path, &[("idempotency-key", key)], &json!({"content": content}))
}

/// Sends by the old client's call with a key.
fn chat(client: &mut Client, key: &str, body: &Value) -> Response {
    client.json("POST", "/api/v1/chat/send", &[("idempotency-key", key)], body)
}

#[test]
fn p5_the_same_key_and_body_is_the_same_message_also_after_a_restart_and_a_kill() {
    let mut server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    let first = send(&mut amina, &session, "key-1", "only once").expect(201).json();
    for ending in ["none", "restart", "kill"] {
        match ending {
            "restart" => server = server.restart(&[]),
            "kill" => {
                server.kill();
                server = server.restart(&[]);
            }
            _ => {}
        }
        amina = amina.another_tab(&server);
        assert_eq!(send(&mut amina, &session, "key-1", "only once").expect(200).json(), first, "after {ending}");
        let refused = send(&mut amina, &session, "key-1", "something else").expect(422);
        assert_eq!(refused.json()["type"], "urn:bondhu:problem:key-reused");
        assert!(text(&refused.json()["detail"]).starts_with("Idempotency-Key: "));
        assert_eq!(amina.page(&session, "")["head"], 2);
    }
    let second = send(&mut amina, &session, "key-2", "only once").expect(201).json();
    assert_eq!(second["message"]["seq"], 3, "another key is another message");
    // The place is part of what was sent.
    let elsewhere = amina.session();
    send(&mut amina, &elsewhere, "key-1", "only once").expect(422);
    assert_eq!(amina.history("")["total"], 2);
}

#[test]
fn p5_twenty_sends_with_one_key_at_the_same_moment_are_one_message() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    for round in 0..5 {
        let key = format!("key-{round}");
        let answers = at_once(20, |_| send(&mut amina.another_tab(&server), &session, &key, "only once"));
        let made = answers.iter().filter(|answer| answer.status == 201).count();
        let repeated = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!((made, repeated), (1, 19));
        assert!(answers.iter().all(|answer| answer.json() == answers[0].json()));
        assert_eq!(amina.page(&session, "")["head"], 2 * (round + 1));
    }
    let bodies =
        at_once(20, |n| send(&mut amina.another_tab(&server), &session, "contested", &format!("text {n}")).status);
    assert_eq!(bodies.iter().filter(|&&status| status == 201).count(), 1, "{bodies:?}");
    assert_eq!(bodies.iter().filter(|&&status| status == 422).count(), 19, "{bodies:?}");
}

#[test]
fn a_key_belongs_to_its_user() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let (mut bela, _) = server.user("bela");
    let mine = chat(&mut amina, "key", &json!({"message": "the same words"})).expect(200).json();
    let theirs = chat(&mut bela, "key", &json!({"message": "the same words"})).expect(200).json();
    assert_ne!(mine["session_id"], theirs["session_id"]);
    chat(&mut bela, "key", &json!({"message": "other words"})).expect(422);
    assert_eq!((&amina.history("")["total"], &bela.history("")["total"]), (&json!(1), &json!(1)));
}

#[test]
fn p5_the_old_clients_call_takes_keys_too_and_makes_one_session() {
    let server = Server::start(&[]);
    let (amina, _) = server.user("amina");
    let body = json!({"message": "only once"});
    let answers = at_once(20, |_| chat(&mut amina.another_tab(&server), "key", &body).expect(200).json());
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let server = server.restart(&[]);
    let mut amina = amina.another_tab(&server);
    assert_eq!(chat(&mut amina, "key", &body).expect(200).json(), answers[0]);
    assert_eq!(amina.get("/api/v1/sessions").expect(200).json()["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(amina.history("")["total"], 1);

    // The first time and the repeat may come by different calls, where they say the same in the same place.
    let session = text(&answers[0]["session_id"]);
    let native = send(&mut amina, &session, "both", "hello").expect(201).json();
    let body = json!({"message": "hello", "session_id": session});
    let old = chat(&mut amina, "both", &body).expect(200).json();
    assert_eq!(old["user_message_id"], native["message"]["id"]);
    assert_eq!(old["message_id"], native["reply"]["id"]);
}

#[test]
fn a_key_is_one_visible_word_and_nothing_is_stored_under_another() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    let longest = "k".repeat(255);
    for bad in ["", "two words", "schlüssel", &format!("{longest}k")] {
        let refused = send(&mut amina, &session, bad, "hello").expect(422);
        assert!(text(&refused.json()["detail"]).starts_with("Idempotency-Key: "), "{bad:?}");
    }
    let path = format!("/api/v1/sessions/{session}/messages");
    let twice = [("idempotency-key", "a"), ("idempotency-key", "a")];
    amina.json("POST", &path, &twice, &json!({"content": "hello"})).expect(422);
    assert_eq!(amina.page(&session, "")["head"], 0);
    send(&mut amina, &session, &longest, "hello").expect(201);
    // What is refused uses no key up.
    send(&mut amina, &session, "free", "").expect(422);
    send(&mut amina, &session, "free", "hello").expect(201);
}

#[test]
fn a_key_is_remembered_for_its_window_and_not_beyond_deletion() {
    let server = Server::start(&["chat.idempotency_window_s=1"]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    let first = send(&mut amina, &session, "key", "hello").expect(201).json();
    // The window is awaited by its effect: the repeat that comes after it is a new message.
    let again = loop {
        let answer = send(&mut amina, &session, "key", "hello");
        if answer.status == 201 {
            break answer.json();
        }
        assert_eq!(answer.expect(200).json(), first);
        std::thread::yield_now();
    };
    assert_eq!(again["message"]["seq"], 3);

    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    send(&mut amina, &session, "key", "hello").expect(201);
    amina.delete("/api/v1/chat/history").expect(204);
    let after = send(&mut amina, &session, "key", "hello");
    assert_eq!(after.status, 409, "{}", after.text());
    assert_eq!(amina.page(&session, "")["messages"], json!([]), "what was cleared does not come back");
}

//! What happens at the same moment as its opposite: every outcome is one of the two, and nothing is left between.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::{Client, PASSWORD, Server, UNHURRIED, at_once, each, list, text};

/// Wants a session's page to be dense up to its head, every message in it with its own outcome after it.
fn is_whole(client: &mut Client, session: &str) -> usize {
    let page = client.page(session, "?limit=200");
    let messages = list(&page["messages"]);
    let head = page["head"].as_u64().unwrap();
    let first = head + 1 - messages.len() as u64;
    assert!(messages.iter().zip(first..).all(|(message, seq)| message["seq"] == seq), "{page}");
    let asked: Vec<_> = messages.iter().filter(|message| message["role"] == "user").map(|m| &m["seq"]).collect();
    let answered: Vec<_> = messages.iter().map(|message| &message["reply_to"]).filter(|of| !of.is_null()).collect();
    assert_eq!(answered, asked, "{page}");
    assert!(
        messages.iter().all(|message| message["status"] == "answered" || message["status"] == "complete"),
        "{page}"
    );
    asked.len()
}

#[test]
fn p2_a_history_that_is_cleared_while_it_is_written_stays_whole() {
    let server = Server::start(&["server.workers=4", UNHURRIED]);
    let (mut amina, _) = server.user("amina");
    for _ in 0..5 {
        let sessions = [amina.session(), amina.session()];
        at_once(9, |n| {
            let mut tab = amina.another_tab(&server);
            for round in 0..10 {
                if n == 8 {
                    tab.delete("/api/v1/chat/history").expect(204);
                    continue;
                }
                let answer = tab.try_say(&sessions[n % 2], &format!("message {n}-{round}"));
                assert!([201, 409].contains(&answer.status), "{}", answer.text());
            }
        });
        let shown: usize = sessions.iter().map(|session| is_whole(&mut amina, session)).sum();
        let history = amina.history("?limit=200");
        assert_eq!((&history["total"], list(&history["messages"]).len()), (&json!(shown), shown));
        assert!(each(&history["messages"], "status").iter().all(|status| **status == "answered"));
        amina.delete("/api/v1/chat/history").expect(204);
        let next = amina.say(&sessions[0], "on we go");
        assert_eq!(next["reply"]["seq"].as_u64(), next["message"]["seq"].as_u64().map(|seq| seq + 1));
    }
    server.is_calm();
}

#[test]
fn an_account_that_is_deleted_while_it_is_used_leaves_no_ghost() {
    let server = Server::start(&[UNHURRIED]);
    let sessions = at_once(8, |n| {
        let name = format!("user-{n}");
        let (amina, _) = server.user(&name);
        let session = amina.another_tab(&server).session();
        let statuses = at_once(8, |m| {
            let mut tab = amina.another_tab(&server);
            match m {
                0 | 1 => tab.json("DELETE", "/api/v1/auth/me", &[], &json!({"password": PASSWORD})).status,
                6 => tab.post("/api/v1/sessions", &json!({})).status,
                7 => {
                    let change = json!({"current": PASSWORD, "new": "seven green umbrellas"});
                    tab.post("/api/v1/auth/password", &change).status
                }
                2 => tab.post("/api/v1/chat/send", &json!({"message": "hello"})).status,
                3 => {
                    tab.token = None;
                    tab.post("/api/v1/auth/login", &json!({"username": name, "password": PASSWORD})).status
                }
                _ => tab.try_say(&session, "hello").status,
            }
        });
        assert!(statuses.iter().all(|status| [200, 201, 204, 401, 403, 409].contains(status)), "{statuses:?}");
        // A new password that came first is the one that the deletion wanted.
        let mut tab = amina.another_tab(&server);
        if tab.get("/api/v1/auth/me").status == 200 {
            assert_eq!(statuses[7], 204, "{statuses:?}");
            let password = json!({"password": "seven green umbrellas"});
            tab.json("DELETE", "/api/v1/auth/me", &[], &password).expect(204);
        }
        assert_eq!(tab.get("/api/v1/auth/me").status, 401);
        session
    });
    let (mut other, _) = server.user("bela");
    for session in sessions {
        other.get(&format!("/api/v1/sessions/{session}")).expect(403);
        other.post("/api/v1/sessions", &json!({"id": session})).expect(403);
    }
    assert_eq!(server.command(&["user", "list"], "").ok().lines().count(), 1);
    server.is_calm();
}

#[test]
fn a_login_at_the_moment_of_a_new_password_holds_only_by_the_one_that_counts() {
    let server = Server::start(&[]);
    let (amina, _) = server.user("amina");
    let words = ["seven green umbrellas", PASSWORD];
    for round in 0..6 {
        let (old, new) = (words[(round + 1) % 2], words[round % 2]);
        let made = at_once(4, |n| {
            let mut tab = amina.another_tab(&server);
            if n == 0 {
                tab.post("/api/v1/auth/password", &json!({"current": old, "new": new})).expect(204);
                return None;
            }
            tab.token = None;
            let login = tab.post("/api/v1/auth/login", &json!({"username": "amina", "password": old}));
            assert!([200, 401].contains(&login.status), "{}", login.text());
            (login.status == 200).then(|| text(&login.json()["token"]))
        });
        for token in made.into_iter().flatten() {
            let mut stale = Client::with_token(server.address, &token);
            assert_eq!(stale.get("/api/v1/auth/me").status, 401, "a login by the old password outlived it");
        }
        amina.another_tab(&server).get("/api/v1/auth/me").expect(200);
        // The failures of this round are forgiven by a right password.
        server.client().post("/api/v1/auth/login", &json!({"username": "amina", "password": new})).expect(200);
    }
}

#[test]
fn p4_a_login_that_ends_is_over_for_every_request_that_begins_afterwards() {
    let server = Server::start(&["server.workers=4", UNHURRIED]);
    for round in 0..10 {
        let (amina, _) = server.user(&format!("user-{round}"));
        let left = AtomicUsize::new(0);
        at_once(4, |n| {
            let mut tab = amina.another_tab(&server);
            if n == 0 {
                tab.post("/api/v1/auth/logout", &json!({})).expect(204);
                left.store(1, Ordering::SeqCst);
                return;
            }
            for _ in 0..20 {
                let over = left.load(Ordering::SeqCst) == 1;
                let status = tab.get("/api/v1/auth/me").status;
                assert!(status == 401 || (status == 200 && !over), "{status} after the logout was answered");
            }
        });
    }
    server.is_calm();
}

#[test]
fn every_answer_has_exactly_the_fields_that_clients_know() {
    let server = Server::start(&[]);
    let (mut amina, user) = server.user("amina");
    let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    let old =
        amina.post("/api/v1/chat/send", &json!({"message": "hello", "user_id": user, "other": 1})).expect(200).json();
    assert_eq!(fields(&old), "has_personality_context message_id response session_id timestamp user_message_id");
    let session = text(&old["session_id"]);
    let said = amina.say(&session, "hello");
    assert_eq!(fields(&said), "message reply");
    for message in [&said["message"], &said["reply"]] {
        assert_eq!(fields(message), "content created_at id reply_to role seq status");
    }
    assert_eq!(fields(&amina.page(&session, "")), "has_more head messages");
    assert_eq!(fields(&amina.page(&session, "")["messages"][0]), "content created_at id reply_to role seq status");
    let history = amina.history("");
    assert_eq!(fields(&history), "messages total user_id");
    let pair = "created_at has_personality_context id message response session_id status";
    assert_eq!(fields(&history["messages"][0]), pair);
    let listed = amina.get("/api/v1/sessions").expect(200).json();
    assert_eq!(fields(&listed), "next sessions");
    assert_eq!(fields(&listed["sessions"][0]), "created_at head id title updated_at");
    let login =
        server.client().post("/api/v1/auth/login", &json!({"username": "amina", "password": PASSWORD})).expect(200);
    assert_eq!(fields(&login.json()), "expires_at token user");
    let tokens = amina.get("/api/v1/auth/tokens").expect(200).json();
    assert_eq!(fields(&tokens["tokens"][0]), "created_at current expires_at id label last_used_at");
    assert_eq!(fields(&amina.get("/api/v1/chat/health").expect(200).json()), "model service status timestamp");
    let problem = amina.get("/api/v1/nothing").expect(404).json();
    assert_eq!(fields(&problem), "detail request_id status title type");
    let times = [
        &old["timestamp"],
        &said["message"]["created_at"],
        &history["messages"][0]["created_at"],
        &login.json()["expires_at"],
    ];
    for time in times.map(text) {
        let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00T00:00:00.000000Z", "{time}");
    }
}

//! The old client's history, search and clearing, against a model.

use serde_json::{Value, json};

use crate::support::{Client, Server, each, encoded, list, text};

/// What the model knows of a turn, in the order of the history.
#[derive(Clone)]
struct Turn {
    session: String,
    shown: Value,
}

/// Says something natively, and gives the pair that the history must show.
fn turn(client: &mut Client, session: &str, message: &str) -> Turn {
    let answer = client.say(session, message);
    let shown = json!({
        "id": answer["reply"]["id"],
        "session_id": session,
        "message": message,
        "response": answer["reply"]["content"],
        "status": "answered",
        "has_personality_context": false,
        "created_at": answer["message"]["created_at"],
    });
    Turn { session: session.to_owned(), shown }
}

fn newest(turns: &[&Turn], limit: usize, offset: usize) -> Vec<Value> {
    let end = turns.len().saturating_sub(offset);
    turns[end.saturating_sub(limit)..end].iter().map(|turn| turn.shown.clone()).collect()
}

fn matches_the_model(client: &mut Client, user: &str, turns: &[Turn], sessions: &[String]) {
    let all = turns.iter().collect::<Vec<_>>();
    let of = |session: &String| turns.iter().filter(|turn| turn.session == *session).collect::<Vec<_>>();
    let mut cases = vec![(String::new(), all)];
    cases.extend(sessions.iter().map(|session| (format!("&session_id={session}"), of(session))));
    for (which, turns) in &cases {
        for offset in [0, 1, 5, 99, 255, 256, 257, 258, 290, 319, 320, 321, 1_000_000_000_000] {
            for limit in [1, 7, 50, 200] {
                let query = format!("?limit={limit}&offset={offset}{which}");
                let wanted = json!({"messages": newest(turns, limit, offset), "total": turns.len(), "user_id": user});
                let history = client.history(&query);
                let ids = |history: &Value| format!("{:?}", each(&history["messages"], "id"));
                assert_eq!(ids(&history), ids(&wanted), "{query}");
                assert_eq!(history, wanted, "{query}");
            }
        }
        let whole = json!({"messages": newest(turns, 50, 0), "total": turns.len(), "user_id": user});
        assert_eq!(client.history(&format!("?_t=1{which}")), whole);
    }
}

#[test]
fn p2_the_history_is_the_newest_turns_of_one_session_or_of_all() {
    let mut server = Server::start(&[]);
    let (mut amina, user) = server.user("amina");
    let sessions: Vec<_> = (0..4).map(|_| amina.session()).collect();
    matches_the_model(&mut amina, &user, &[], &sessions);
    let mut turns = Vec::new();
    for n in 0..320 {
        // Runs in one session, then back and forth; the last session stays empty.
        let session = &sessions[if n < 100 { 0 } else { n * n % 3 }];
        turns.push(turn(&mut amina, session, &format!("message {n}")));
    }
    matches_the_model(&mut amina, &user, &turns, &sessions);
    server = server.restart(&["cache.capacity=1MiB"]);
    amina = amina.another_tab(&server);
    matches_the_model(&mut amina, &user, &turns, &sessions);
    assert_eq!(amina.get(&format!("/api/v1/chat/history/{user}")).expect(200).json(), amina.history(""));
    assert_eq!(amina.get("/api/v1/chat/history/me").expect(200).json(), amina.history(""));

    amina.delete(&format!("/api/v1/sessions/{}", sessions[0])).expect(204);
    turns.retain(|turn| turn.session != sessions[0]);
    matches_the_model(&mut amina, &user, &turns, &sessions[1..]);
    amina.delete("/api/v1/chat/history").expect(204);
    matches_the_model(&mut amina, &user, &[], &sessions[1..]);
    let turns = [turn(&mut amina, &sessions[2], "on we go"), turn(&mut amina, &sessions[1], "and on")];
    matches_the_model(&mut amina, &user, &turns, &sessions[1..]);
    server = server.restart(&[]);
    matches_the_model(&mut amina.another_tab(&server), &user, &turns, &sessions[1..]);
}

#[test]
fn clearing_empties_every_session_and_an_open_tab_goes_on_in_its_own() {
    let server = Server::start(&[]);
    let (mut amina, user) = server.user("amina");
    let (mut mallory, _) = server.user("mallory");
    mallory.post("/api/v1/chat/send", &json!({"message": "mine"})).expect(200);
    let sessions = [amina.session(), amina.session()];
    for session in &sessions {
        amina.json("PATCH", &format!("/api/v1/sessions/{session}"), &[], &json!({"title": "kept"})).expect(200);
        amina.say(session, "canary one");
        amina.say(session, "canary two");
    }
    amina.delete(&format!("/api/v1/chat/history/{user}")).expect(204);
    amina.delete("/api/v1/chat/history").expect(204);
    assert_eq!(amina.history("")["messages"], json!([]));
    assert_eq!(amina.get("/api/v1/chat/search?q=canary").expect(200).json()["total"], 0);
    assert!(!amina.get("/api/v1/auth/export").expect(200).text().contains("canary"));
    assert_eq!(mallory.history("")["total"], 1);
    let listed = amina.get("/api/v1/sessions").expect(200).json();
    assert_eq!(each(&listed["sessions"], "title"), [&json!("kept"), &json!("kept")]);
    assert_eq!(each(&listed["sessions"], "head"), [&json!(4), &json!(4)]);

    let body = json!({"message": "on we go", "session_id": sessions[0]});
    let answer = amina.post("/api/v1/chat/send", &body).expect(200).json();
    let page = amina.page(&sessions[0], "?after=0");
    assert_eq!(each(&page["messages"], "seq"), [&json!(5), &json!(6)]);
    assert_eq!(each(&page["messages"], "reply_to"), [&Value::Null, &json!(5)]);
    assert_eq!(page["messages"][1]["content"], answer["response"]);
    let server = server.restart(&[]);
    let mut amina = amina.another_tab(&server);
    assert_eq!((amina.page(&sessions[0], ""), &amina.history("")["total"]), (page, &json!(1)));
    assert_eq!(amina.page(&sessions[1], "")["messages"], json!([]));
}

/// The messages of the turns in which `needle` was found, and how many there are.
fn found(client: &mut Client, needle: &str, limit: &str) -> (Vec<String>, Value) {
    let answer = client.get(&format!("/api/v1/chat/search?q={}{limit}", encoded(needle))).expect(200).json();
    (each(&answer["messages"], "message").into_iter().map(text).collect(), answer["total"].clone())
}

#[test]
fn search_finds_text_in_any_language_and_only_the_callers() {
    let mut server = Server::start(&[]);
    let (mut amina, user) = server.user("amina");
    let (mut mallory, _) = server.user("mallory");
    let sessions = [amina.session(), amina.session()];
    let texts = [
        "My UMBRELLA is 100% wet",
        "caf\u{e9} Ünïcode",
        "আমার ক\u{9dc}া নাড়ে কে",
        "मेरी छाता भीग गई, क\u{93c}लम भी",
        "a \"quoted\" \\ back\u{0}slash <b>",
        "ＦＵＬＬ width 🙂",
    ];
    for (n, text) in texts.iter().enumerate() {
        amina.say(&sessions[n % 2], text);
        mallory.post("/api/v1/chat/send", &json!({"message": format!("{text} of mallory")})).expect(200);
    }
    for cold in [false, true] {
        if cold {
            server = server.restart(&[]);
            amina = amina.another_tab(&server);
        }
        for (needle, n) in [
            ("umbrella", 0),
            ("UmBrElLa IS", 0),
            ("100%", 0),
            ("cafe\u{301}", 1),
            ("CAF\u{c9}", 1),
            ("u\u{308}ni\u{308}code", 1),
            ("ক\u{9a1}\u{9bc}া", 2),
            ("নাড়ে কে", 2),
            ("छाता भीग", 3),
            ("\u{958}लम", 3),
            ("\"Quoted\" \\", 4),
            ("k\u{0}slash <b>", 4),
            ("full WIDTH", 5),
            ("🙂", 5),
        ] {
            let (messages, total) = found(&mut amina, needle, "");
            assert!(messages.contains(&texts[n].to_owned()), "{needle:?}: {messages:?}");
            assert_eq!(total, messages.len());
            assert!(messages.iter().all(|message| !message.contains("mallory")), "{messages:?}");
        }
        assert_eq!(found(&mut amina, "of mallory", ""), (vec![], json!(0)));
        assert_eq!(found(&mut amina, "no such words", ""), (vec![], json!(0)));
    }
    let pairs = amina.get("/api/v1/chat/search/me?q=umbrella").expect(200).json();
    assert_eq!(pairs["user_id"], json!(user));
    let history = amina.history("");
    assert!(list(&history["messages"]).contains(&pairs["messages"][0]), "a hit has the shape of the history");
}

#[test]
fn search_gives_the_newest_hits_oldest_first_and_counts_all() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let sessions = [amina.session(), amina.session()];
    let said: Vec<_> = (0..30).map(|n| format!("zebra number {n}")).collect();
    for (n, message) in said.iter().enumerate() {
        amina.say(&sessions[n % 2], message);
    }
    assert_eq!(found(&mut amina, "zebra", ""), (said[10..].to_vec(), json!(30)));
    assert_eq!(found(&mut amina, "ZEBRA", "&limit=3"), (said[27..].to_vec(), json!(30)));
    assert_eq!(found(&mut amina, "zebra", "&limit=200"), (said.clone(), json!(30)));
    amina.delete(&format!("/api/v1/sessions/{}", sessions[0])).expect(204);
    assert_eq!(found(&mut amina, "zebra", "&limit=2"), (vec![said[27].clone(), said[29].clone()], json!(15)));

    let long = "x".repeat(501);
    for bad in ["", "?q=", "?q=%20%0A", "?q=x&limit=0", "?q=x&q=y", &format!("?q={long}")] {
        let refused = amina.get(&format!("/api/v1/chat/search{bad}")).expect(422);
        let detail = text(&refused.json()["detail"]);
        assert!(detail.starts_with("q: ") || detail.starts_with("limit: "), "{bad:.40}: {detail}");
    }
    amina.get("/api/v1/chat/search?q=%FF").expect(400);
}

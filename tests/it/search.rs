//! Search over all that a user said and was told: what is found, in which order, how it is shown, and what never is.

use serde_json::{Value, json};

use crate::support::{Client, Server, each, list, model::asking, stub::Stub, text};

const PATH: &str = "/api/v1/search";
const EXCERPT_MAX: usize = 240;

fn search(client: &mut Client, body: &Value) -> Value {
    client.post(PATH, body).expect(200).json()
}

/// The places of all messages in which `needle` was found.
fn places(client: &mut Client, needle: &str) -> Vec<(String, u64)> {
    let found = search(client, &json!({"text": needle, "limit": 200}));
    assert_eq!(found["total"], list(&found["hits"]).len(), "{needle}");
    list(&found["hits"]).iter().map(|hit| (text(&hit["session_id"]), hit["seq"].as_u64().unwrap())).collect()
}

/// What was shown of the only message in which `needle` was found.
#[track_caller]
fn excerpt(client: &mut Client, needle: &str) -> String {
    let found = search(client, &json!({"text": needle}));
    assert_eq!(found["total"], 1, "{needle}: {found}");
    let excerpt = text(&found["hits"][0]["excerpt"]);
    assert!(excerpt.chars().count() <= EXCERPT_MAX, "{excerpt}");
    excerpt
}

#[test]
fn a_hit_is_a_message_or_a_reply_with_its_place_and_the_newest_comes_first() {
    let stub = Stub::start();
    let mut server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let [first, second] = [amina.session(), amina.session()];
    amina.json("PATCH", &format!("/api/v1/sessions/{second}"), &[], &json!({"title": "Weather"})).expect(200);
    let mut wanted = Vec::new();
    for (n, (session, title)) in
        [(&first, Value::Null), (&second, json!("Weather")), (&first, Value::Null)].into_iter().enumerate()
    {
        let said = format!("My UMBRELLA number {n}");
        let answer = amina.say(session, &said);
        assert_eq!(answer["reply"]["content"], json!(format!("echo: {said}")));
        for message in [&answer["message"], &answer["reply"]] {
            wanted.insert(
                0,
                json!({
                    "session_id": session,
                    "title": title,
                    "seq": message["seq"],
                    "role": message["role"],
                    "created_at": message["created_at"],
                    "excerpt": message["content"],
                }),
            );
        }
        amina.say(session, "of something else");
    }
    for cold in [false, true] {
        if cold {
            server = server.restart(&[]);
            amina = amina.another_tab(&server);
        }
        for (needle, limit) in
            [("umbrella", 20), ("UMBRELLA NUM", 200), ("my umbrella", 6), ("umbrella", 5), ("LLA", 1)]
        {
            let found = search(&mut amina, &json!({"text": needle, "limit": limit}));
            assert_eq!(found["hits"], json!(wanted[..limit.min(6)]), "{needle}, {limit}");
            assert_eq!(found["total"], 6);
        }
        assert_eq!(search(&mut amina, &json!({"text": "umbrella"}))["hits"], json!(wanted));
        assert_eq!(search(&mut amina, &json!({"text": "umbrella", "limit": null}))["hits"], json!(wanted));
        assert_eq!(search(&mut amina, &json!({"text": "umbrellas"})), json!({"hits": [], "total": 0}));
        assert_eq!(search(&mut amina, &json!({"text": "Weather"}))["total"], 0, "titles are not said");
    }
}

#[test]
fn without_a_limit_there_are_twenty_and_the_total_counts_all() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    for n in 0..301 {
        amina.say(&session, &format!("{n} zebra"));
    }
    let newest = |found: &Value| -> Vec<String> {
        list(&found["hits"]).iter().filter(|hit| hit["role"] == "user").map(|hit| text(&hit["excerpt"])).collect()
    };
    let found = search(&mut amina, &json!({"text": " zebra"}));
    assert_eq!(list(&found["hits"]).len(), 20);
    assert_eq!(newest(&found)[0], "300 zebra");
    assert!(found["total"].as_u64().unwrap() >= 301, "more messages than are read at once: {}", found["total"]);
}

#[test]
fn text_is_found_in_any_language_and_shown_as_it_was_written() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    for (said, needle) in [
        ("caf\u{e9} Ünïcode", "CAFE\u{301} U\u{308}NI\u{308}C"),
        ("আমার ক\u{9dc}া নাড়ে কে", "ক\u{9a1}\u{9bc}া"),
        ("मेरी छाता भीग गई, क\u{93c}लम भी", "\u{958}लम"),
        ("a \"quoted\" \\ back\u{0}slash <b>", "K\u{0}SLASH <B>"),
        ("ＦＵＬＬ width 🙂", "full WIDTH 🙂"),
        ("100% _ sure* [x]", "% _ SURE* ["),
        ("  blanks around \n", "blanks"),
    ] {
        amina.say(&session, said);
        let found = search(&mut amina, &json!({"text": needle}));
        let shown: Vec<_> = each(&found["hits"], "excerpt").into_iter().map(text).collect();
        assert!(shown.contains(&said.to_owned()), "{needle:?}: {shown:?}");
    }
}

#[test]
fn a_long_message_is_shown_around_the_first_match() {
    let stub = Stub::start();
    let server = asking(&stub, &["chat.message_chars_max=16000"]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    let words = |n: usize, word: &str| format!("{word} ").repeat(n);
    for (n, word) in ["rain", "বৃষ্টি", "बारिश", "e\u{301}te\u{301}"].into_iter().enumerate() {
        let said = format!("[[say]] {}Needle{n} {}needle{n}", words(900, word), words(900, word));
        amina.say(&session, &said);
        let found = search(&mut amina, &json!({"text": format!("needle{n}")}));
        assert_eq!(found["total"], 2, "the message, and the reply that repeats it");
        for hit in list(&found["hits"]) {
            let shown = text(&hit["excerpt"]);
            let inner = shown.strip_prefix('…').unwrap().strip_suffix('…').unwrap();
            assert!((200..=EXCERPT_MAX).contains(&shown.chars().count()), "{shown}");
            assert!(inner.split(' ').all(|part| part == word || part == format!("Needle{n}")), "{shown}");
            assert!(inner.starts_with(word) && inner.ends_with(word) && inner.contains("Needle"), "{shown}");
        }
    }
    // Without white space it is cut anywhere, but not within a character.
    let said = format!("[[empty]] {}middle{}", "🙂".repeat(8_000), "👍🏽".repeat(1_000));
    let _ = amina.try_say(&session, &said);
    let shown = excerpt(&mut amina, "MIDDLE");
    assert!(shown.starts_with("…🙂") && shown.contains("🙂middle👍🏽") && shown.ends_with("👍🏽…"), "{shown}");
    // At an end only one side is cut; what is sought may be longer than what is shown.
    let _ = amina.try_say(&session, &format!("[[empty]] begins so {}", words(2_000, "on")));
    let shown = excerpt(&mut amina, "begins so");
    assert!(shown.starts_with("[[empty]] begins so on on") && shown.ends_with(" on…"), "{shown}");
    let shown = excerpt(&mut amina, &words(166, "on")[..498]);
    assert!(shown.starts_with("…on on") && shown.ends_with("on…"), "{shown}");
}

#[test]
fn nobody_finds_what_another_said_and_nothing_that_was_deleted_or_cleared_is_found() {
    let mut server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let (mut mallory, _) = server.user("mallory");
    let (mut leaver, _) = server.user("leaver");
    let [kept, deleted] = [amina.session(), amina.session()];
    amina.say(&kept, "canary one");
    amina.say(&deleted, "canary two");
    let (theirs, left) = (mallory.session(), leaver.session());
    mallory.say(&theirs, "canary of mallory");
    leaver.say(&left, "canary of one who left");
    let users = |places: Vec<(String, u64)>| -> Vec<(String, u64)> {
        places.into_iter().filter(|(_, seq)| seq % 2 == 1).collect()
    };
    assert_eq!(users(places(&mut amina, "canary")), [(deleted.clone(), 1), (kept.clone(), 1)]);
    assert_eq!(users(places(&mut mallory, "canary")), [(theirs.clone(), 1)]);
    assert_eq!(places(&mut mallory, "canary one"), []);

    let password = json!({"password": crate::support::PASSWORD});
    leaver.json("DELETE", "/api/v1/auth/me", &[], &password).expect(204);
    amina.delete(&format!("/api/v1/sessions/{deleted}")).expect(204);
    for cold in [false, true] {
        if cold {
            server = server.restart(&[]);
            (amina, mallory) = (amina.another_tab(&server), mallory.another_tab(&server));
        }
        assert_eq!(users(places(&mut amina, "canary")), [(kept.clone(), 1)]);
        assert_eq!(users(places(&mut mallory, "canary")), [(theirs.clone(), 1)]);
    }
    amina.delete("/api/v1/chat/history").expect(204);
    for cold in [false, true] {
        if cold {
            server = server.restart(&[]);
            (amina, mallory) = (amina.another_tab(&server), mallory.another_tab(&server));
        }
        assert_eq!(places(&mut amina, "canary"), []);
        assert_eq!(users(places(&mut mallory, "canary")), [(theirs.clone(), 1)]);
    }
    amina.say(&kept, "canary three");
    assert_eq!(users(places(&mut amina, "canary")), [(kept, 3)], "the sequence goes on behind what was cleared");
}

#[test]
fn a_reply_is_found_once_it_is_stored_and_no_longer_once_it_is_replaced() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    stub.behave("gate g");
    let answer = amina.begin_say(&session, "parrot");
    let mut events = amina.session_events(&session);
    stub.step("g");
    events.find("delta"); // A part of the reply is shown already.
    assert_eq!(places(&mut amina, "parrot"), [(session.clone(), 1)], "the message alone");
    assert_eq!(places(&mut amina, "echo"), []);
    stub.release("g");
    assert_eq!(answer.join().unwrap().expect(201).json()["reply"]["seq"], 2);
    assert_eq!(places(&mut amina, "parrot"), [(session.clone(), 2), (session.clone(), 1)]);
    amina.begin_retry(&session, 1).join().unwrap().expect(201);
    assert_eq!(places(&mut amina, "parrot"), [(session.clone(), 3), (session.clone(), 1)]);
    assert_eq!(places(&mut amina, "echo"), [(session, 3)]);
}

#[test]
fn what_is_not_a_search_is_refused_with_the_name_of_the_field() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    amina.say(&session, "x");
    for (body, status, detail) in [
        (json!({}), 422, "text: missing"),
        (json!({"text": ""}), 422, "text: must have"),
        (json!({"text": " \n\u{200b}"}), 422, "text: must have"),
        (json!({"text": "আ".repeat(501)}), 422, "text: is 501 characters long"),
        (json!({"text": 7}), 422, "text: must be a string"),
        (json!({"text": "x", "limit": 0}), 422, "limit: must be from 1 to 200"),
        (json!({"text": "x", "limit": 201}), 422, "limit: must be from 1 to 200"),
        (json!({"text": "x", "limit": -1}), 422, "limit: must be from 1 to 200"),
        (json!({"text": "x", "limit": 1.5}), 422, "limit: must be from 1 to 200"),
        (json!({"text": "x", "limit": u64::MAX}), 422, "limit: must be from 1 to 200"),
        (json!({"text": "x", "limit": "9"}), 422, "limit: must be"),
        (json!({"text": "x", "q": "x"}), 422, "q: is not a field"),
        (json!({"text": "x", "user_id": "me"}), 422, "user_id: is not a field"),
        (json!(["x"]), 422, "body: must be a JSON object"),
    ] {
        let refused = amina.post(PATH, &body).expect(status).json();
        assert!(text(&refused["detail"]).starts_with(detail), "{body}: {}", refused["detail"]);
    }
    let whole = json!({"text": "x", "limit": 26.0}); // JSON knows one kind of number.
    for good in
        [whole, json!({"text": "x", "limit": 1}), json!({"text": "x", "limit": 200}), json!({"text": "আ".repeat(500)})]
    {
        amina.post(PATH, &good).expect(200);
    }
    server.is_calm();
}

#[test]
fn a_search_counts_as_a_request() {
    let server = Server::start(&["limits.free.requests_per_minute=5"]);
    let (mut amina, _) = server.user("amina");
    let statuses: Vec<u16> = (0..8).map(|_| amina.post(PATH, &json!({"text": "x"})).status).collect();
    assert!(statuses.contains(&200) && statuses.last() == Some(&429), "{statuses:?}");
}

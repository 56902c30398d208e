//! Pages of a session, against a model; and their entity tags.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::support::{Client, Response, Server, list, text};

/// What a page must show, of messages whose first has sequence `first`.
fn wanted(messages: &[Value], head: u64, (after, before, limit): (Option<u64>, Option<u64>, usize)) -> Value {
    let seq = |message: &&Value| message["seq"].as_u64().unwrap();
    let within = |message: &&Value| after.is_none_or(|a| seq(message) > a) && before.is_none_or(|b| seq(message) < b);
    let all: Vec<_> = messages.iter().filter(within).collect();
    let shown = if after.is_some() { &all[..all.len().min(limit)] } else { &all[all.len().saturating_sub(limit)..] };
    json!({"messages": shown, "head": head, "has_more": shown.len() < all.len()})
}

fn matches_the_model(client: &mut Client, session: &str, messages: &[Value], head: u64) {
    let places = [
        None,
        Some(0),
        Some(1),
        Some(2),
        Some(49),
        Some(50),
        Some(51),
        Some(100),
        Some(150),
        Some(151),
        Some(u64::MAX),
    ];
    for after in places {
        for before in places {
            for limit in [1, 2, 50, 99, 200] {
                let mut query = format!("?limit={limit}&_t=1");
                query += &after.map_or_else(String::new, |after| format!("&after={after}"));
                query += &before.map_or_else(String::new, |before| format!("&before={before}"));
                let page = client.page(session, &query);
                assert_eq!(page, wanted(messages, head, (after, before, limit)), "{query}");
            }
        }
    }
    assert_eq!(client.page(session, ""), wanted(messages, head, (None, None, 50)));
}

#[test]
fn p2_every_page_is_the_part_of_the_log_that_was_asked_for() {
    let mut server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    matches_the_model(&mut amina, &session, &[], 0);
    let mut messages = Vec::new();
    for n in 0..75 {
        let answer = amina.say(&session, &format!("message {n} {}", "x".repeat(n * 20)));
        messages.extend([answer["message"].clone(), answer["reply"].clone()]);
    }
    assert!(messages.iter().zip(1..).all(|(message, seq)| message["seq"] == seq));
    matches_the_model(&mut amina, &session, &messages, 150);
    server = server.restart(&[]);
    amina = amina.another_tab(&server);
    matches_the_model(&mut amina, &session, &messages, 150);

    amina.delete("/api/v1/chat/history").expect(204);
    matches_the_model(&mut amina, &session, &[], 150);
    let answer = amina.say(&session, "on we go");
    let after: Vec<_> = ["message", "reply"].map(|part| answer[part].clone()).into();
    assert_eq!(after[0]["seq"], 151, "an open tab goes on, and so does the sequence");
    matches_the_model(&mut amina, &session, &after, 152);
    server = server.restart(&["cache.capacity=1MiB"]);
    matches_the_model(&mut amina.another_tab(&server), &session, &after, 152);
}

#[test]
fn what_bounds_a_page_is_a_whole_number_and_the_answer_says_so() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    for (name, bad) in [
        ("limit", "0"),
        ("limit", "201"),
        ("limit", "-1"),
        ("limit", "1e9"),
        ("limit", "NaN"),
        ("limit", ""),
        ("limit", "%E0%A5%AF"),
        ("limit", "1&limit=2"),
        ("after", "-1"),
        ("after", "x"),
        ("after", "18446744073709551616"),
        ("before", "1.5"),
        ("before", "%20"),
    ] {
        let refused = amina.get(&format!("/api/v1/sessions/{session}/messages?{name}={bad}")).expect(422);
        let detail = text(&refused.json()["detail"]);
        assert!(detail.starts_with(&format!("{name}: ")), "{name}={bad}: {detail}");
    }
    let refused = amina.get("/api/v1/chat/history?offset=-1").expect(422);
    assert!(text(&refused.json()["detail"]).starts_with("offset: "));
    amina.get(&format!("/api/v1/sessions/{session}/messages?q=%FF")).expect(400);
}

/// Asks again for what is known already.
fn unless(client: &mut Client, path: &str, tag: &str) -> Response {
    client.send("GET", path, &[("if-none-match", tag)], None).unwrap()
}

#[test]
fn p3_an_entity_tag_changes_with_all_that_is_shown_and_with_nothing_else() {
    let mut server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let (mut mallory, _) = server.user("mallory");
    let (session, other) = (amina.session(), amina.session());
    let page = format!("/api/v1/sessions/{session}/messages");
    let pairs = "/api/v1/chat/history".to_owned();
    let one = format!("/api/v1/chat/history?session_id={session}");
    let (mut bodies, mut last) = (HashMap::new(), HashMap::new());
    for step in 0..8 {
        for path in [&page, &pairs, &one] {
            let answer = amina.get(path).expect(200);
            let tag = answer.header("etag").unwrap().to_owned();
            assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag} is not strong");
            let body = bodies.entry((path, tag.clone())).or_insert_with(|| answer.body.clone());
            assert_eq!(*body, answer.body, "step {step}: {path} showed something else under this tag");
            let same = unless(&mut amina, path, &tag).expect(304);
            assert_eq!((same.header("etag"), same.body.len()), (Some(tag.as_str()), 0));
            let before = last.insert(path, tag.clone());
            assert!(before.is_none_or(|before| before != tag), "step {step}: {path} has changed, its tag has not");
            let weak = format!("\"x\", W/{tag}");
            unless(&mut amina, path, &weak).expect(304);
            assert_eq!(unless(&mut amina, path, "\"x\"").expect(200).body, answer.body);
            assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
            // Nothing of the caller's: what others do changes no tag.
            mallory.post("/api/v1/chat/send", &json!({"message": "hello"})).expect(200);
            unless(&mut amina, path, &tag).expect(304);
        }
        match step {
            3 => drop(amina.delete("/api/v1/chat/history").expect(204)),
            _ => drop(amina.say(&session, "the same words every time")),
        }
    }
    let tag = text(&json!(amina.get(&pairs).expect(200).header("etag")));
    amina.say(&other, "in another session");
    let changed = unless(&mut amina, &pairs, &tag).expect(200);
    assert_eq!(list(&changed.json()["messages"]).last().unwrap()["session_id"], json!(other));
    amina.delete(&format!("/api/v1/sessions/{other}")).expect(204);
    let back = amina.get(&pairs).expect(200);
    assert!(!back.text().contains(&other));
    // A stranger who knows the tag learns nothing by it.
    unless(&mut mallory, &page, &tag).expect(403);
    let tag = text(&json!(back.header("etag")));
    server = server.restart(&[]);
    assert_eq!(amina.another_tab(&server).get(&pairs).expect(200).body, back.body);
    unless(&mut amina.another_tab(&server), &pairs, &tag);
}

//! What the server says of itself: to everyone what a page must know before a login, and to users who reads along.

use serde_json::{Value, json};

use crate::support::{Server, list, stub::Stub, text};

/// The day and the year of `YYYY-MM-DD` look like such.
fn is_a_day(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').map(str::len).collect();
    parts == [4, 2, 2] && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

#[test]
fn a_page_learns_the_rules_and_the_helplines_before_anyone_has_logged_in() {
    let settings = ["auth.registration=invite", "auth.password_min=17", "chat.message_chars_max=321"];
    let server = Server::start(&settings);
    let about = server.client().get("/api/v1/about").expect(200).json();
    assert_eq!(about["service"], "bondhu");
    assert_eq!((&about["registration"], &about["password_min"]), (&json!("invite"), &json!(17)));
    assert_eq!(about["message_chars_max"], 321);

    let names: Vec<_> = list(&about["helplines"]).iter().map(|line| text(&line["id"])).collect();
    assert_eq!(names, ["emergency", "tele_manas", "lifeline_988", "samaritans", "find_a_helpline"]);
    for line in list(&about["helplines"]) {
        let tags: Vec<_> = line["text"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(tags, ["bn", "en", "hi"], "{line}");
        let number = text(&line["number"]);
        for tag in tags {
            let words = text(&line["text"][&tag]);
            assert!(words.contains(&number) && !words.contains(['{', '}']), "{tag}: {words}");
        }
        assert!(text(&line["source"]).starts_with("https://") && is_a_day(&text(&line["checked_on"])), "{line}");
    }
    let server = Server::start(&["auth.registration=closed"]);
    let about = server.client().get("/api/v1/about").expect(200).json();
    let of_now = [&about["registration"], &about["password_min"], &about["message_chars_max"]];
    assert_eq!(of_now, [&json!("closed"), &json!(12), &json!(5000)]);
}

#[test]
fn the_helplines_are_those_of_the_reply_whatever_makes_it() {
    let stub = Stub::start();
    let url = format!("reply.openai.base_url={}", stub.base_url());
    let (by_companion, by_model) = (Server::start(&[]), Server::start(&["reply.backend=openai", &url]));
    let about = by_companion.client().get("/api/v1/about").expect(200).json();
    assert_eq!(by_model.client().get("/api/v1/about").expect(200).json(), about);
    for server in [by_companion, by_model] {
        let (mut amina, _) = server.user("amina");
        for (tag, danger) in
            [("en", "[[say]] I want to kill myself"), ("bn", "[[say]] আমি মরতে চাই"), ("hi", "[[say]] मैं मरना चाहता हूं")]
        {
            let session = amina.session();
            let reply = text(&amina.say(&session, danger)["reply"]["content"]);
            let said: Vec<_> = reply.lines().filter_map(|line| line.strip_prefix("• ")).collect();
            let told: Vec<_> = list(&about["helplines"]).iter().map(|line| text(&line["text"][tag])).collect();
            assert_eq!(said, told, "{tag}: {reply}");
        }
    }
}

#[test]
fn a_page_that_has_it_gets_304_and_others_may_keep_it_until_they_ask() {
    let mut server = Server::start(&[]);
    let mut client = server.client();
    let answer = client.get("/api/v1/about").expect(200);
    let tag = answer.header("etag").unwrap().to_owned();
    assert!(tag.starts_with('"'), "it is strong: {tag}");
    assert_eq!((answer.header("cache-control"), answer.header("vary")), (Some("no-cache"), None));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let known = client.send("GET", "/api/v1/about", &[("if-none-match", &tag)], None).unwrap().expect(304);
    assert_eq!((known.body.len(), known.header("etag")), (0, Some(tag.as_str())));
    // Whose token is shown changes nothing, not even one that is none.
    let dead = [("authorization", "Bearer x"), ("if-none-match", tag.as_str())];
    client.send("GET", "/api/v1/about", &dead, None).unwrap().expect(304);

    server = server.restart(&[]);
    let again = server.client().get("/api/v1/about").expect(200);
    assert_eq!((again.header("etag"), &again.body), (Some(tag.as_str()), &answer.body), "a restart changes nothing");
    server = server.restart(&["chat.message_chars_max=4999"]);
    let changed = server.client().send("GET", "/api/v1/about", &[("if-none-match", &tag)], None).unwrap().expect(200);
    assert_ne!(changed.header("etag"), Some(tag.as_str()));
}

/// What users of such a server are told.
fn replies(settings: &[&str]) -> Value {
    let server = Server::start(settings);
    let (mut amina, _) = server.user("amina");
    let answer = amina.get("/api/v1/replies").expect(200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()
}

#[test]
fn users_learn_which_hosts_see_what_they_write() {
    let companion = json!({"backend": "companion", "servers": [], "stand_in": false});
    assert_eq!(replies(&[]), companion);
    assert_eq!(
        replies(&["reply.fallback=companion", "reply.second.base_url=https://b.example.org", "reply.second.model=m"]),
        companion,
        "what is not asked sees nothing"
    );

    let mut settings = vec![
        "reply.backend=openai",
        "reply.openai.base_url=https://Api.Example.org:8443/secret/v1",
        "reply.openai.model=llama3.2",
        "reply.third.base_url=http://127.0.0.1:11434/v1/",
        "reply.third.model=own",
    ];
    let first = json!({"host": "api.example.org:8443", "model": "llama3.2", "local": false});
    let third = json!({"host": "127.0.0.1:11434", "model": "own", "local": true});
    assert_eq!(replies(&settings), json!({"backend": "openai", "servers": [first, third], "stand_in": false}));
    settings.extend([
        "reply.second.base_url=https://b.example.org:443/v1",
        "reply.second.model=big",
        "reply.fallback=companion",
    ]);
    let second = json!({"host": "b.example.org", "model": "big", "local": false});
    assert_eq!(replies(&settings), json!({"backend": "openai", "servers": [first, second, third], "stand_in": true}));
}

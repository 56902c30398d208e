//! Replies of a model server: the same text whatever way it comes, to everyone who shows it; keys that only their own
//! server sees; servers that are asked in turn, less often, or not at all.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use serde_json::json;

use crate::support::{
    Client, Server, at_once, each,
    model::{Draft, asking, asking_at, until},
    stub::{Stub, body},
};

/// Bengali with conjuncts, Hindi with marks, a family of four, a flag, a skin tone, combining marks.
const TEXT: &str = "আমি ক্ষমা চাই। मैं हूँ 👨‍👩‍👧‍👦 🇧🇩 👍🏽 e\u{301}\u{323} \"\\\n ok";

/// Turns of a session that are shown on one page.
const TURNS: usize = 100;
/// Who sends at the same time.
const SENDERS: usize = 8;

/// Has `TEXT` said in these ways, one after the other in as few sessions as one page each can show, and wants it to be
/// `wanted` for whoever sent, follows, reads the page, and reads the old history.
fn says_the_same(client: &mut Client, ways: &[String], wanted: &str) {
    for ways in ways.chunks(TURNS) {
        let session = client.session();
        let mut events = client.session_events(&session);
        for way in ways {
            let answer = client.try_say(&session, &format!("[[{way}]] {TEXT}"));
            assert_eq!(answer.status, 201, "{way}: {}", answer.text());
            let answer = answer.json();
            assert_eq!(answer["reply"]["content"], wanted, "{way}");
            assert_eq!(events.find("message").data["role"], "user");
            let mut draft = Draft::default();
            let message = loop {
                let event = events.next().unwrap();
                if event.name == "message" {
                    break event;
                }
                draft.take(&event);
                assert!(wanted.starts_with(&draft.text), "{way}: {:?}", draft.text);
            };
            assert_eq!(message.data, answer["reply"], "{way}");
            assert_eq!(events.next().unwrap().name, "done");
        }
        let log = client.log(&session);
        let replies = log.iter().filter(|message| message["role"] == "assistant");
        assert!(replies.clone().all(|reply| reply["content"] == wanted && reply["status"] == "complete"));
        assert_eq!(replies.count(), ways.len());
        let turns = client.turns(&session);
        assert!(turns.iter().all(|turn| turn["response"] == wanted && turn["status"] == "answered"));
        assert_eq!(turns.len(), ways.len());
    }
}

#[test]
fn a_reply_is_the_same_wherever_its_bytes_are_cut() {
    let stub = Stub::start();
    let server = asking(&stub, &["reply.openai.context_tokens=512", "reply.openai.max_tokens=100"]);
    let cuts: Vec<String> =
        (0..=body(TEXT).len()).flat_map(|at| [format!("cut {at}"), format!("cut {at} chunked")]).collect();
    assert!(cuts.len() > 2000);
    at_once(SENDERS, |sender| {
        let (mut client, _) = server.user(&format!("sender-{sender}"));
        let own: Vec<_> = cuts.iter().skip(sender).step_by(SENDERS).cloned().collect();
        says_the_same(&mut client, &own, TEXT);
    });
    assert_eq!(stub.seen().len(), cuts.len());
    server.is_calm();
}

#[test]
fn a_reply_is_the_same_in_whatever_form_it_comes() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut client, _) = server.user("amina");
    let ways = [
        "say",
        "pieces 1",
        "pieces 3",
        "tokens 12 1",
        "slow 20 say",
        "bytes",
        "crlf",
        "cr",
        "comments",
        "nospace",
        "bom",
        "events",
        "multiline",
        "escaped",
        "nodone",
        "after",
        "json",
        "usage",
        "reasoning",
        "keepalive",
        "keepalive 3 1",
        "drip 1",
        "length",
        "longline 10",
    ];
    says_the_same(&mut client, &ways.map(str::to_owned), TEXT);
    assert_eq!(stub.seen().len(), ways.len(), "no one was asked twice");
    let long = vec![TEXT; (64 * 1024 + 1) / (TEXT.len() + 1)].join(" ");
    says_the_same(&mut client, &["longline".to_owned()], &long);
    server.is_calm();
}

#[test]
fn each_piece_of_a_reply_is_told_before_the_next_one_comes() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut client, _) = server.user("amina");
    let session = client.session();
    let mut of_turn = client.say_and_follow(&session, &format!("[[gate words]] {TEXT}"), &[]);
    let mut of_session = client.session_events(&session);
    let mut of_all = client.events("/api/v1/events");
    let mut drafts = [(); 3].map(|()| Draft::default());
    let mut so_far = String::new();
    let words: Vec<&str> = TEXT.split_inclusive(' ').collect();
    for word in &words[..words.len() - 1] {
        stub.step("words");
        so_far += word;
        for (draft, events) in drafts.iter_mut().zip([&mut of_turn, &mut of_session, &mut of_all]) {
            draft.read_until(events, &so_far);
        }
        let mut late = Draft::default();
        late.read_until(&mut client.session_events(&session), &so_far);
    }
    stub.release("words");
    for events in [&mut of_turn, &mut of_session, &mut of_all] {
        let message = loop {
            let message = events.find("message");
            if message.data["role"] == "assistant" {
                break message;
            }
        };
        assert_eq!(message.data["content"], TEXT);
    }
    assert_eq!(of_turn.find("done").data, json!({"reply_to": 1, "seq": 2, "status": "answered"}));
    assert_eq!(of_turn.next(), None);
}

#[test]
fn a_reply_without_end_is_cut_and_its_server_is_let_go() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut client, _) = server.user("amina");
    let session = client.session();
    let answer = client.say(&session, "[[endless]]");
    assert_eq!(answer["reply"]["content"], "on and on ".repeat(6554)[..64 << 10]);
    assert_eq!([&answer["reply"]["status"], &answer["message"]["status"]], ["complete", "answered"]);
    stub.wait_until(|stub| stub.replying() == 0);
    assert!(stub.seen()[0].closed_early.is_some());
    server.is_idle();
}

/// Writes a key with the permissions that are wanted of its file.
fn key_file(dir: &Path, name: &str, key: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, format!("{key}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

/// The keys that came to a server, one each request.
fn keys_at(stub: &Stub) -> Vec<String> {
    stub.seen().iter().map(|seen| seen.header("authorization").unwrap_or("none").to_owned()).collect()
}

#[test]
fn s_u1_a_key_goes_to_its_own_server_and_a_redirect_is_not_followed() {
    let (first, second, trap) = (Stub::start(), Stub::start(), Stub::start());
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let file = key_file(dir.path(), "key", "sk-canary-of-file");
    let settings = [
        "log.level=trace".to_owned(),
        "reply.backend=openai".to_owned(),
        format!("reply.openai.base_url={}", first.base_url()),
        format!("reply.openai.api_key_file={file}"),
        format!("reply.second.base_url={}", second.base_url()),
        "reply.second.model=other".to_owned(),
        "reply.second.api_key_env=SECOND_KEY".to_owned(),
    ];
    let settings = settings.each_ref().map(String::as_str);
    let wrapper = ["env", "SECOND_KEY=sk-canary-of-env"];
    let data = dir.path().join("data");
    let mut server = Server::try_start(Arc::clone(&dir), data, &settings, &wrapper).unwrap();
    let (mut client, _) = server.user("amina");
    let session = client.session();
    let mut shown = Vec::new();
    client.say(&session, "to the first");
    assert_eq!((keys_at(&first), keys_at(&second)), (vec!["Bearer sk-canary-of-file".to_owned()], vec![]));

    let bad = [
        format!("redirect {}", trap.base_url()),
        format!("redirect {}/chat/completions", trap.base_url()),
        "status 401".to_owned(),
        "reset".to_owned(),
        "html".to_owned(),
    ];
    for bad in &bad {
        for stub in [&first, &second] {
            stub.behave(bad);
        }
        let answer = client.try_say(&session, "to both").expect(502);
        shown.push(format!("{:?}{}", answer.headers, answer.text()));
        for stub in [&first, &second] {
            stub.behave("say"); // So that no breaker opens.
            client.say(&session, "well again");
        }
        first.behave("status 401");
        client.say(&session, "to the second");
        first.behave("say");
        client.say(&session, "to the first");
    }
    assert!(keys_at(&first).iter().all(|key| key == "Bearer sk-canary-of-file"));
    assert!(keys_at(&second).iter().all(|key| key == "Bearer sk-canary-of-env"));
    assert!(first.seen().len() >= 4 * bad.len() && second.seen().len() >= 2 * bad.len());
    assert_eq!((trap.seen().len(), trap.connections()), (0, 0));

    let line = fs::read_to_string(format!("/proc/{}/cmdline", server.pid())).unwrap();
    assert!(line.contains("serve"));
    shown.extend([line, client.page(&session, "").to_string(), client.get("/ready").text()]);
    server.stop();
    let log = server.log();
    assert!(log.iter().any(|line| line.contains("TRACE")), "the log tells all that it can");
    shown.extend(log);
    shown.extend(crate::support::data::files(&server.data).iter().map(|path| {
        String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned() // A socket has nothing to read.
    }));
    for text in shown {
        assert!(!text.contains("canary"), "a key is shown: {text}");
    }
}

#[test]
fn s_u1_a_key_that_others_can_read_is_not_taken_and_not_shown() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let file = key_file(dir.path(), "key", "sk-canary");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let setting = format!("reply.openai.api_key_file={file}");
    let settings = ["log.level=trace", "reply.backend=openai", setting.as_str()];
    let log = Server::try_start(Arc::clone(&dir), dir.path().join("data"), &settings, &[]).err().unwrap().join("\n");
    assert!(log.contains("api_key_file") && log.contains("chmod 600") && !log.contains("canary"), "{log}");
}

/// Where nobody listens.
fn dead() -> String {
    Stub::start().base_url()
}

#[test]
fn where_the_first_server_is_dead_the_second_answers_and_then_the_third() {
    let (second, third) = (Stub::start(), Stub::start());
    let settings = [
        format!("reply.second.base_url={}", second.base_url()),
        "reply.second.model=model-two".to_owned(),
        format!("reply.third.base_url={}", third.base_url()),
        "reply.third.model=model-three".to_owned(),
    ];
    let server = asking_at(&dead(), &settings.each_ref().map(String::as_str));
    let (mut client, _) = server.user("amina");
    let session = client.session();
    for n in 0..10 {
        assert_eq!(client.say(&session, &format!("number {n}"))["reply"]["content"], format!("echo: number {n}"));
    }
    assert_eq!((second.seen().len(), third.seen().len()), (10, 0));
    assert!(second.seen().iter().all(|seen| seen.body["model"] == "model-two"));
    // Two are tried for a reply: the third is one of them once another one is left alone.
    second.behave("status 500");
    until("the third is asked", || {
        client.try_say(&session, "go on");
        third.seen().first().map(|seen| assert_eq!(seen.body["model"], "model-three"))
    });
}

#[test]
fn a_server_in_trouble_is_asked_little_more_often_than_there_are_messages() {
    const MESSAGES: usize = 80;
    let stub = Stub::start();
    stub.behave("empty"); // Which says nothing against the server, so that the breaker stays out of this.
    let server = asking(&stub, &[]);
    at_once(SENDERS, |sender| {
        let (mut client, _) = server.user(&format!("sender-{sender}"));
        let session = client.session();
        for _ in 0..MESSAGES / SENDERS {
            client.try_say(&session, "hello").expect(502);
        }
    });
    let asked = stub.seen().len();
    assert!((MESSAGES + 10..=MESSAGES + 10 + MESSAGES / 10).contains(&asked), "{asked} requests");
}

/// The seconds after which a detail asks to come again.
fn seconds(detail: &str) -> Option<u64> {
    let (_, time) = detail.strip_suffix('.')?.split_once("is not answering; please try again in ")?;
    if time == "a second" { Some(1) } else { time.strip_suffix(" seconds")?.parse().ok() }
}

#[test]
fn a_server_that_fails_and_fails_is_left_alone_and_comes_back_by_itself() {
    let stub = Stub::start();
    stub.behave("status 500");
    let server = asking(&stub, &[]);
    let (mut client, _) = server.user("amina");
    let session = client.session();
    let told = (0..4).map(|_| client.try_say(&session, "hello").expect(502).json()["detail"].clone());
    let told: Vec<_> = told.map(|detail| detail.as_str().unwrap().to_owned()).collect();
    assert!(told[0].contains("failed; please try again"), "{told:?}");
    let wait = seconds(&told[3]).unwrap_or_else(|| panic!("{told:?}"));
    assert!((1..=3).contains(&wait), "{told:?}");
    assert_eq!(stub.seen().len(), 5, "after five failures it is left alone");

    let address = stub.address();
    drop(stub);
    let stub = Stub::start_at(address);
    let back = until("the server is asked again", || {
        let answer = client.retry(&session, 1);
        (answer.status == 201).then(|| answer.json())
    });
    assert_eq!(back["reply"]["content"], "echo: hello");
    assert_eq!(stub.seen().len(), 1, "it was asked once, when it was time");
    for n in 0..3 {
        client.say(&session, &format!("again {n}"));
    }
}

#[test]
fn a_server_that_asks_for_rest_gets_it_at_once() {
    for status in [429, 503] {
        let stub = Stub::start();
        let server = asking(&stub, &[]);
        let (mut client, _) = server.user("amina");
        let session = client.session();
        let asks = format!("[[once status {status} retry-after 4]] rested");
        let answer = client.try_say(&session, &asks).expect(502).json();
        assert_eq!(answer["detail"], "The model server is busy; please try again in 4 seconds.");
        let answer = client.try_say(&session, "hello").expect(502).json();
        assert!(matches!(seconds(answer["detail"].as_str().unwrap()), Some(1..=4)), "{answer}");
        assert_eq!(stub.seen().len(), 1);
        let rested = until("it has rested", || Some(client.retry(&session, 1)).filter(|answer| answer.status == 201));
        assert_eq!((&rested.json()["reply"]["content"], stub.seen().len()), (&json!("rested"), 2));
    }
}

#[test]
fn where_no_server_answers_the_companion_stands_in_and_says_so() {
    let stub = Stub::start();
    let server = asking(&stub, &["reply.fallback=companion"]);
    let (mut client, _) = server.user("amina");
    let session = client.session();
    stub.behave("status 401");
    let labels = [
        ("I feel lonely today", "(The model can't be reached right now. This is Bondhu's built-in companion.)"),
        ("আমার খুব একা লাগছে", "(এই মুহূর্তে মডেলের সঙ্গে যোগাযোগ করা যাচ্ছে না।"),
    ];
    for (message, label) in labels {
        let mut events = client.say_and_follow(&session, message, &[]).rest();
        assert_eq!(events.pop().unwrap().data["status"], "answered");
        let reply = events.pop().unwrap().data;
        let (first, said) = reply["content"].as_str().unwrap().split_once("\n\n").unwrap();
        assert!(first.starts_with(label) && !said.trim().is_empty(), "{reply}");
        assert_eq!(reply["status"], "complete");
    }
    // What no server takes can be said otherwise: they are there.
    stub.behave("status 400");
    let answer = client.try_say(&session, "too much of this").expect(502).json();
    assert!(answer["detail"].as_str().unwrap().contains("does not take this conversation"), "{answer}");
    // What has begun is not gone on with by another.
    let answer = client.try_say(&session, "[[resetmid]] half of this").expect(502).json();
    assert_eq!(answer["detail"], "The model server broke off; please try again.");
    stub.behave("say");
    assert_eq!(client.say(&session, "back")["reply"]["content"], "echo: back");
    let page = client.page(&session, "?limit=200");
    let statuses = each(&page["messages"], "status");
    assert_eq!(statuses, ["answered", "complete", "answered", "complete", "failed", "failed", "answered", "complete"]);
}

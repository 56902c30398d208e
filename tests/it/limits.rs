//! Limits: one user's excess is refused with 429, everybody's with 503, and nothing of it is stored.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Events, PASSWORD, Response, Server, at_once, comes_true, each, text};

#[track_caller]
fn waits(refused: &Response, most: u64) {
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert_eq!(refused.json()["type"], "urn:bondhu:problem:rate-limited");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=most).contains(&wait), "{wait}");
}

#[test]
fn p6_a_user_who_sends_too_much_is_refused_before_anything_is_stored() {
    let server = Server::start(&["limits.free.messages_per_minute=3"]);
    let (mut amina, _) = server.user("amina");
    let (mut bela, _) = server.user("bela");
    let session = amina.session();
    let path = format!("/api/v1/sessions/{session}/messages");
    let keyed = |content: &str| json!({"content": content});
    let first = amina.json("POST", &path, &[("idempotency-key", "k")], &keyed("one")).expect(201).json();
    amina.post("/api/v1/chat/send", &json!({"message": "two", "session_id": session})).expect(200);
    // What is not a new message is not charged as one: a repeat, and what is refused.
    for _ in 0..5 {
        let repeat = amina.json("POST", &path, &[("idempotency-key", "k")], &keyed("one")).expect(200).json();
        assert_eq!(repeat, first);
        amina.try_say(&session, " ").expect(422);
    }
    amina.say(&session, "three");
    waits(&amina.try_say(&session, "canary-over"), 20);
    waits(&amina.post("/api/v1/chat/send", &json!({"message": "canary-over"})), 20);
    amina.json("POST", &path, &[("idempotency-key", "k")], &keyed("one")).expect(200);
    assert_eq!(amina.page(&session, "")["head"], 6);
    assert_eq!(amina.history("")["total"], 3);
    assert_eq!(amina.get("/api/v1/sessions").expect(200).json()["sessions"].as_array().unwrap().len(), 1);
    bela.post("/api/v1/chat/send", &json!({"message": "hello"})).expect(200);
    let seen =
        server.settled_log().iter().filter(|line| line.contains("security") && line.contains("rate_limited")).count();
    assert_eq!(seen, 2);
}

#[test]
fn of_sends_at_once_no_more_pass_than_the_limit_allows() {
    let server = Server::start(&["limits.free.messages_per_minute=5"]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    let answers = at_once(20, |n| amina.another_tab(&server).try_say(&session, &format!("message {n}")).status);
    let passed = answers.iter().filter(|&&status| status == 201).count();
    assert!((5..=6).contains(&passed), "{answers:?}"); // One more where it took twelve seconds.
    assert_eq!(amina.page(&session, "")["head"], 2 * passed);
}

#[test]
fn a_user_who_asks_too_often_is_refused_and_may_still_leave() {
    let server = Server::start(&["limits.free.requests_per_minute=4"]);
    let (mut amina, _) = server.user("amina");
    let (mut bela, _) = server.user("bela");
    for path in ["/api/v1/auth/me", "/api/v1/chat/history", "/api/v1/sessions", "/api/v1/auth/tokens"] {
        amina.get(path).expect(200);
    }
    waits(&amina.get("/api/v1/auth/me"), 15);
    waits(&amina.post("/api/v1/sessions", &json!({})), 15);
    // Who they are is no one else's business, and what is open to all is open to them.
    bela.get("/api/v1/auth/me").expect(200);
    amina.get("/health").expect(200);
    amina.get("/api/v1/chat/health").expect(200);
    amina.post("/api/v1/auth/logout", &json!({})).expect(204);
    assert_eq!(amina.get("/api/v1/auth/me").status, 401);
}

#[test]
fn a_limit_says_which_it_is() {
    let server = Server::start(&["limits.free.messages_per_minute=1", "limits.free.requests_per_minute=6"]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    amina.say(&session, "one");
    let over = |refused: Response| text(&refused.expect(429).json()["detail"]);
    let detail = over(amina.try_say(&session, "two"));
    assert!(detail.starts_with("Your limit is 1 messages a minute"), "{detail}");
    (0..3).for_each(|_| drop(amina.get("/api/v1/auth/me").expect(200)));
    let detail = over(amina.get("/api/v1/auth/me"));
    assert!(detail.starts_with("Your limit is 6 requests a minute"), "{detail}");
}

/// The server's open streams.
fn streams(server: &Server) -> u64 {
    server.client().get("/ready").expect(200).json()["parts"]["streams"].as_u64().unwrap()
}

#[test]
fn p6_one_user_has_no_more_streams_than_the_limit_and_gets_the_places_back() {
    let server = Server::start(&["limits.free.streams=3", "limits.premium.streams=4"]);
    let (mut amina, _) = server.user("amina");
    let (mut bela, _) = server.user("bela");
    let (session, other) = (amina.session(), bela.session());
    let of_session = format!("/api/v1/sessions/{session}/events");
    let mut open: Vec<Events> = ["/api/v1/events", &of_session, &of_session].map(|path| amina.events(path)).into();
    for path in ["/api/v1/events", &of_session] {
        let refused = amina.get(path);
        waits(&refused, 5);
        assert!(text(&refused.json()["detail"]).starts_with("Your limit is 3 event streams at once"));
    }
    let refused = amina.say_and_follow(&session, "canary-over", &[]);
    assert_eq!(refused.head.status, 429, "a send that is to be a stream is refused");
    assert_eq!(amina.page(&session, "")["head"], 0, "before anything of it is stored");
    // Everything else of this user, and the streams of others, go on.
    amina.say(&session, "hello");
    assert_eq!(amina.send("HEAD", "/api/v1/events", &[], None).unwrap().status, 429);
    assert_eq!(bela.events(&format!("/api/v1/sessions/{other}/events")).head.status, 200);
    server.command(&["user", "tier", "amina", "premium"], "").ok();
    open.push(amina.events("/api/v1/events"));
    assert_eq!(open[3].head.status, 200);
    waits(&amina.get("/api/v1/events"), 5);
    // A place is given back when its stream ends, whoever ended it; a client that is gone is noticed at once.
    let begun = Instant::now();
    drop(open);
    while streams(&server) > 0 {
        // A quiet stream is written to every 15 s at the earliest, and it takes two writes to see that a client has gone.
        assert!(begun.elapsed() < Duration::from_secs(30), "a stream's end was only noticed by its beats");
        std::thread::yield_now();
    }
    let again: Vec<_> = (0..4).map(|_| amina.events(&of_session)).collect();
    assert!(again.iter().all(|stream| stream.head.status == 200));
    amina.delete(&format!("/api/v1/sessions/{session}")).expect(204);
    for stream in again {
        stream.rest();
    }
    while streams(&server) > 0 {
        std::thread::yield_now();
    }
    let login = json!({"username": "amina", "password": PASSWORD});
    server.client().post("/api/v1/auth/login", &login).expect(200);
    server.is_calm();
}

#[test]
fn p6_of_a_thousand_streams_at_once_by_one_user_the_limit_is_open_and_others_are_served() {
    let server = Server::start(&["limits.free.streams=32"]);
    let (amina, _) = server.user("amina");
    let (mut bela, _) = server.user("bela");
    let session = bela.session();
    let opened = at_once(50, |_| {
        (0..20)
            .filter_map(|_| Some(amina.events("/api/v1/events")).filter(|s| s.head.status == 200))
            .collect::<Vec<_>>()
    });
    assert_eq!(opened.iter().map(Vec::len).sum::<usize>(), 32);
    assert_eq!(streams(&server), 32);
    bela.say(&session, "hello");
    assert_eq!(bela.events("/api/v1/events").head.status, 200);
}

#[test]
fn a_tier_that_the_operator_gives_counts_at_once() {
    let settings = ["limits.free.messages_per_minute=1", "limits.premium.messages_per_minute=4"];
    let server = Server::start(&settings);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    amina.say(&session, "one");
    waits(&amina.try_say(&session, "no"), 60);
    let shown = server.command(&["user", "tier", "amina", "premium"], "").ok();
    assert!(shown.contains(" premium "), "{shown}");
    assert_eq!(amina.get("/api/v1/auth/me").expect(200).json()["user"]["tier"], "premium");
    for n in 2..=4 {
        amina.say(&session, &n.to_string());
    }
    waits(&amina.try_say(&session, "no"), 15);
    server.command(&["user", "tier", "amina", "unlimited"], "").ok();
    for n in 5..30 {
        amina.say(&session, &n.to_string());
    }
    server.command(&["user", "tier", "amina", "free"], "").ok();
    waits(&amina.try_say(&session, "no"), 600);
    assert_eq!(amina.page(&session, "")["head"], 2 * 29);
}

#[test]
fn p6_with_one_slot_and_a_short_line_every_send_is_stored_whole_or_not_at_all() {
    let server = Server::start(&["concurrency.min=1", "concurrency.max=1", "concurrency.queue=1"]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    let taken = at_once(48, |n| {
        let mut tab = amina.another_tab(&server);
        let mut taken = Vec::new();
        for m in 0..5 {
            let content = format!("message {n}-{m}");
            let answer = tab.try_say(&session, &content);
            assert!(server.client().get("/health").status == 200);
            match answer.status {
                201 => taken.push(content),
                status => {
                    assert_eq!((status, answer.header("retry-after").is_some()), (503, true), "{}", answer.text());
                }
            }
        }
        taken
    });
    let mut taken: Vec<String> = taken.concat();
    assert!(!taken.is_empty());
    let (mut stored, mut after) = (Vec::new(), 0);
    loop {
        let page = amina.page(&session, &format!("?limit=200&after={after}"));
        let messages = page["messages"].as_array().unwrap();
        assert!(messages.iter().zip(after + 1..).all(|(message, seq)| message["seq"] == seq));
        let (asked, replies): (Vec<_>, Vec<_>) = messages.iter().partition(|message| message["role"] == "user");
        stored.extend(asked.iter().map(|message| text(&message["content"])));
        assert_eq!(each(&json!(asked), "status"), vec!["answered"; asked.len()]);
        assert!(replies.iter().all(|reply| reply["status"] == "complete"));
        after += messages.len();
        if page["has_more"] == false {
            break;
        }
    }
    taken.sort();
    stored.sort();
    assert_eq!(stored, taken);
    assert_eq!(after, 2 * taken.len());
}

#[test]
fn a_flood_of_refused_requests_is_told_in_a_few_lines_that_say_how_many_they_were() {
    const FLOOD: usize = 300;
    let server = Server::start(&["limits.free.requests_per_minute=1"]);
    let (mut amina, _) = server.user("amina");
    let refused = (0..FLOOD).filter(|_| amina.get("/api/v1/sessions").status == 429).count();
    assert!(refused > FLOOD / 2, "{refused}");
    // A line stands for itself, or for those that came again.
    let stands_for = |line: &String| {
        let repeated = line.split_once("repeated=").map(|(_, count)| count.split(' ').next().unwrap());
        repeated.map_or(1, |count| count.parse::<usize>().unwrap())
    };
    let lines = || -> Vec<String> {
        server.log().into_iter().filter(|line| line.contains("security") && line.contains("rate_limited")).collect()
    };
    comes_true("all are told of", || lines().iter().map(stands_for).sum::<usize>() == refused);
    assert!(lines().len() < refused / 5, "{} lines", lines().len());
    assert!(
        lines().iter().all(|line| line.contains("user=") && line.contains("path=\"/api/v1/sessions\"")),
        "{:?}",
        lines()
    );
}

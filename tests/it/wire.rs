//! Bytes that are no good HTTP: refused or cut off in time, and the next client never notices.

use serde_json::json;

use crate::support::{Client, Raw, Response, Server, at_once, each};

/// No answer: the connection is closed.
const CLOSED: u16 = 0;

/// Sends the bytes, says that nothing follows where `finish`, and gives the status or [`CLOSED`]; wants the connection
/// usable afterwards unless the answer says that it closes.
fn outcome(server: &Server, bytes: &[u8], finish: bool) -> u16 {
    let mut raw = Raw::to(server);
    raw.send(bytes);
    if finish {
        raw.finish();
    }
    let Some(answer) = raw.answer() else { return CLOSED };
    if answer.header("connection") == Some("close") || finish {
        assert!(raw.is_closed(), "{} said that it closes", answer.status);
    } else {
        let again = raw.send(format!("GET /ready HTTP/1.1\r\nhost: {}\r\n\r\n", server.address)).answer();
        assert_eq!(again.map(|again| again.status), Some(200), "after {}", answer.status);
    }
    answer.status
}

/// A session of a user who has said nothing, the head of a request that sends into it up to the framing headers, and a
/// client that can look.
fn silent_user(server: &Server) -> (Client, String) {
    let (mut amina, _) = server.user("amina");
    let (session, token) = (amina.session(), amina.token.clone().unwrap());
    let head = format!(
        "POST /api/v1/sessions/{session}/messages HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\ncontent-type: \
         application/json\r\n",
        server.address
    );
    (amina, head)
}

const BODY: &str = "{\"content\":\"a\"}";

#[test]
fn a_body_whose_length_is_in_doubt_stores_nothing() {
    let server = Server::start(&[]);
    let (mut amina, head) = silent_user(&server);
    let chunked = "transfer-encoding: chunked\r\n";
    let extension = "x".repeat(1 << 20);
    for (framing, finish, wanted) in [
        (format!("content-length: 15\r\ncontent-length: 3\r\n\r\n{BODY}"), false, 400),
        (format!("transfer-encoding: chunked, identity\r\n\r\n{BODY}"), false, 400),
        (format!("transfer-encoding: identity\r\n\r\n{BODY}"), false, 400),
        (format!("content-length: +15\r\n\r\n{BODY}"), false, 400),
        (format!("content-length: 0xf\r\n\r\n{BODY}"), false, 400),
        (format!("content-length: 1 5\r\n\r\n{BODY}"), false, 400),
        (format!("content-length: -1\r\n\r\n{BODY}"), false, 400),
        (format!("content-length: 99999999999999999999\r\n\r\n{BODY}"), false, 400),
        (format!("content-length: 16\r\n\r\n{BODY}"), true, 400),
        (format!("{chunked}\r\nFFFFFFFFFFFFFFFF\r\n{BODY}"), true, 400),
        (format!("{chunked}\r\n-1\r\n{BODY}\r\n0\r\n\r\n"), false, 400),
        (format!("{chunked}\r\nx\r\n{BODY}\r\n0\r\n\r\n"), false, 400),
        (format!("{chunked}\r\nf;{extension}\r\n{BODY}\r\n0\r\n\r\n"), false, 400),
        (format!("{chunked}\r\nf\r\n{BODY}XX0\r\n\r\n"), false, 400),
        (format!("{chunked}\r\nf\r\n{BODY}\r\n"), true, 400),
        ("\r\n".to_owned(), false, 400),
        ("content-length: 0\r\n\r\n".to_owned(), false, 400),
    ] {
        let status = outcome(&server, format!("{head}{framing}").as_bytes(), finish);
        assert_eq!(status, wanted, "{framing:.60}");
    }
    assert_eq!(amina.history("")["total"], 0);
    // Whichever of two framings is believed, the rest of the bytes must not become a request.
    let smuggled =
        format!("{head}content-length: 4\r\n{chunked}\r\nf\r\n{BODY}\r\n0\r\n\r\nGET /health HTTP/1.1\r\n\r\n");
    let mut raw = Raw::to(&server);
    let first = raw.send(smuggled).answer().unwrap();
    assert!([201, 400].contains(&first.status), "{}", first.text());
    assert!(raw.is_closed(), "what follows such a request is read by nobody");
    // A body that is longer than it says: what is left over is no request.
    let mut raw = Raw::to(&server);
    raw.send(format!("{head}content-length: 15\r\n\r\n{BODY}XXXX\r\n\r\n"));
    assert_eq!(raw.answer().unwrap().status, 201);
    assert_eq!(raw.answer().map_or(CLOSED, |answer| answer.status), 400);
    assert!(raw.is_closed());
    // Chunks that are well-formed are a body like any other.
    let good = format!("{head}{chunked}\r\n5\r\n{}\r\n0A;x=y\r\n{}\r\n0\r\ntrailer: t\r\n\r\n", &BODY[..5], &BODY[5..]);
    assert_eq!(outcome(&server, good.as_bytes(), false), 201);
    server.is_calm();
}

#[test]
fn a_head_that_is_no_good_http_is_refused() {
    let server = Server::start(&[]);
    let host = format!("host: {}\r\n", server.address);
    let get = |rest: &str| format!("GET /ready HTTP/1.1\r\n{rest}\r\n");
    let many = |n: usize| (0..n).map(|n| format!("x-{n}: y\r\n")).collect::<Vec<_>>().concat();
    let clienthello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and so on \x00\x00\x00\r\n\r\n".to_vec();
    let noise: Vec<u8> = (0..4096_u32).map(|n| u8::try_from((n * n * 31 + n * 7) % 251).unwrap()).collect();
    for (bytes, wanted) in [
        (get(&format!("{host}{}", many(63))).into_bytes(), &[200][..]),
        (get(&format!("{host}{}", many(64))).into_bytes(), &[431]),
        (get(&format!("{host}x: {}\r\n", "y".repeat(17 << 10))).into_bytes(), &[431]),
        (format!("GET /{} HTTP/1.1\r\n{host}\r\n", "x".repeat(64 << 10)).into_bytes(), &[414, 431]),
        (get(&format!("{host}bad name: x\r\n")).into_bytes(), &[400]),
        (get(&format!("{host}x: a\r\n b\r\n")).into_bytes(), &[400]),
        (get(&format!("{host}x: a\0b\r\n")).into_bytes(), &[400]),
        (get(&format!("{host}: x\r\n")).into_bytes(), &[400]),
        (get(&format!("{host}x\r\n")).into_bytes(), &[400]),
        (get("").into_bytes(), &[400]),
        (get(&format!("{host}{host}")).into_bytes(), &[400]),
        (get("host: \r\n").into_bytes(), &[400]),
        (get("host: localhost:80x\r\n").into_bytes(), &[400]),
        (get("host: local host\r\n").into_bytes(), &[400]),
        (get("host: evil.example\r\n").into_bytes(), &[421]),
        (b"GET /ready\r\n\r\n".to_vec(), &[400]),
        (format!("GET /ready HTTP/3.7\r\n{host}\r\n").into_bytes(), &[400]),
        (format!("GET /ready HTTP/1.1 \r\n{host}\r\n").into_bytes(), &[400]),
        (format!("GET  /ready HTTP/1.1\r\n{host}\r\n").into_bytes(), &[400]),
        (format!("G\u{e9}T /ready HTTP/1.1\r\n{host}\r\n").into_bytes(), &[400]),
        (format!("get /ready HTTP/1.1\r\n{host}\r\n").into_bytes(), &[405]),
        (format!("{} /ready HTTP/1.1\r\n{host}\r\n", "X".repeat(8 << 10)).into_bytes(), &[405]),
        (format!("CONNECT localhost:22 HTTP/1.1\r\n{host}\r\n").into_bytes(), &[404, 405, 421]),
        (format!("OPTIONS * HTTP/1.1\r\n{host}\r\n").into_bytes(), &[404]),
        (format!("GET http://evil.example/ready HTTP/1.1\r\n{host}\r\n").into_bytes(), &[421]),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &[CLOSED, 400]),
        (clienthello, &[400]),
        (noise, &[400]),
    ] {
        let status = outcome(&server, &bytes, false);
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        assert!(wanted.contains(&status), "{shown:?}: {status}");
    }
    server.is_calm();
}

#[test]
fn a_body_of_a_gigabyte_is_refused_before_it_is_sent() {
    let server = Server::start(&[]);
    let (mut amina, head) = silent_user(&server);
    for expect in ["", "expect: 100-continue\r\n"] {
        let announced = format!("{head}{expect}content-length: 1073741824\r\n\r\n");
        let mut raw = Raw::to(&server);
        let refused = raw.send(announced).answer().unwrap();
        assert_eq!((refused.status, refused.header("connection")), (413, Some("close")), "{}", refused.text());
        assert!(raw.finish().is_closed());
    }
    let nobody = head.replace("Bearer bondhu_", "Bearer bondhu_x");
    let refused = Raw::to(&server).send(format!("{nobody}expect: 100-continue\r\ncontent-length: 15\r\n\r\n")).answer();
    assert_eq!(refused.unwrap().status, 401, "nobody is asked to go on for nothing");
    let mut raw = Raw::to(&server);
    raw.send(format!("{head}expect: 100-continue\r\ncontent-length: 15\r\n\r\n"));
    assert_eq!(raw.answer().unwrap().status, 100);
    assert_eq!(raw.send(BODY).answer().unwrap().status, 201);
    assert_eq!(amina.history("")["total"], 1);
    server.is_calm();
}

#[test]
fn a_refusal_that_overtakes_the_body_leaves_a_connection_that_is_what_it_says() {
    let server = Server::start(&[]);
    let (mut amina, head) = silent_user(&server);
    let nobody = head.replace("Bearer bondhu_", "Bearer bondhu_x");
    let elsewhere = head.replace("/messages", "/elsewhere");
    for (head, status) in [(&nobody, 401), (&elsewhere, 404)] {
        for body in [BODY, "", "{\"con", &" ".repeat(90 << 10)] {
            let length = body.len().max(15);
            let mut raw = Raw::to(&server);
            let refused = raw.send(format!("{head}content-length: {length}\r\n\r\n")).send(body).answer().unwrap();
            assert_eq!(refused.status, status, "{}", refused.text());
            let closes = refused.header("connection") == Some("close");
            assert!(
                closes || body == BODY,
                "{status}: what does not come is not waited for, nor is much read for nothing"
            );
            if closes {
                assert!(raw.is_closed());
            } else {
                let again = raw.send(format!("{head}content-length: 15\r\n\r\n{BODY}")).answer().unwrap();
                assert_eq!(again.status, status, "what was left of the body is no request");
            }
        }
        let chunked = format!("{head}transfer-encoding: chunked\r\n\r\nf\r\n{BODY}\r\n");
        assert_eq!(outcome(&server, format!("{chunked}0\r\n\r\n").as_bytes(), false), status);
        assert_eq!(outcome(&server, format!("{chunked}bad\r\n").as_bytes(), false), status);
        assert_eq!(outcome(&server, chunked.as_bytes(), true), status);
    }
    assert_eq!(amina.history("")["total"], 0);
    server.is_calm();
}

#[test]
fn a_connection_lives_on_behind_a_stream_that_came_to_its_end() {
    let server = Server::start(&[]);
    let (_, head) = silent_user(&server);
    let path = head.split(' ').nth(1).unwrap();
    let head = head.replace(path, "/v1/chat/completions");
    let asked = |store: bool| {
        let messages = json!([{"role": "user", "content": "hello"}]);
        let body = json!({"model": "x", "stream": true, "store": store, "messages": messages}).to_string();
        format!("{head}content-length: {}\r\n\r\n{body}", body.len())
    };
    let stream = asked(false);
    let ready = format!("GET /ready HTTP/1.1\r\nhost: {}\r\n\r\n", server.address);
    let streamed = |raw: &mut Raw| {
        let answer = raw.whole_stream();
        assert_eq!((answer.status, answer.header("connection")), (200, None), "{}", answer.text());
        assert!(answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
    };
    let mut raw = Raw::to(&server);
    for _ in 0..3 {
        streamed(raw.send(&stream));
        assert_eq!(raw.send(&ready).answer().unwrap().status, 200);
    }
    // What is said ahead is kept, also where it is more than is read while a stream runs.
    let many = ready.repeat(200);
    raw.send(format!("{stream}{stream}{many}{stream}"));
    streamed(&mut raw);
    streamed(&mut raw);
    for n in 0..200 {
        assert_eq!(raw.answer().unwrap().status, 200, "the {n}th");
    }
    streamed(&mut raw);
    // Who says nothing more is done, and so is who asked for that. (What is not stored would end with who says so.)
    streamed(raw.send(asked(true)).finish());
    assert!(raw.is_closed());
    let mut raw = Raw::to(&server);
    streamed(raw.send(asked(true) + &ready).finish());
    assert_eq!(raw.answer().unwrap().status, 200, "what was said before is answered");
    assert!(raw.is_closed());
    let mut raw = Raw::to(&server);
    let answer = raw.send(stream.replacen("content-type", "connection: close\r\ncontent-type", 1)).whole_stream();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(raw.is_closed());
    server.is_calm();
}

#[test]
fn p6_a_body_that_does_not_say_how_long_it_is_has_the_same_bound() {
    let server = Server::start(&[]);
    let (mut amina, head) = silent_user(&server);
    let padded = |length: usize| {
        let chunks = format!("400\r\n{}\r\n", " ".repeat(1024)).repeat(length / 1024);
        format!("{head}transfer-encoding: chunked\r\n\r\nf\r\n{BODY}\r\n{chunks}0\r\n\r\n")
    };
    assert_eq!(Raw::to(&server).send(padded(127 << 10)).answer().unwrap().status, 201);
    for length in [129 << 10, 1 << 20] {
        let mut raw = Raw::to(&server);
        let refused = raw.send(padded(length)).answer().unwrap();
        assert_eq!((refused.status, refused.header("connection")), (413, Some("close")), "{}", refused.text());
        assert!(raw.is_closed());
    }
    assert_eq!(amina.history("")["total"], 1);
    server.is_calm();
}

#[test]
fn who_is_too_slow_is_cut_off_and_others_are_not() {
    let server = Server::start(&["server.header_timeout_ms=500", "server.body_timeout_ms=500"]);
    let (mut amina, head) = silent_user(&server);
    at_once(6, |n| {
        let mut raw = Raw::to(&server);
        match n % 3 {
            // Nothing, and a head that never ends: closed.
            0 => assert!(raw.answer().is_none_or(|answer| answer.status == 408)),
            1 => assert!(raw.send("GET /ready HTTP/1.1\r\nhost: local").answer().is_none_or(|a| a.status == 408)),
            _ => {
                let answer = raw.send(format!("{head}content-length: 15\r\n\r\n{{\"con")).answer().unwrap();
                assert_eq!((answer.status, answer.header("connection")), (408, Some("close")));
                assert_eq!(answer.json()["type"], "urn:bondhu:problem:slow-body");
            }
        }
        assert!(raw.is_closed());
    });
    amina.another_tab(&server).post("/api/v1/chat/send", &json!({"message": "still here"})).expect(200);
    let mut idle = Raw::to(&server);
    idle.send(format!("GET /ready HTTP/1.1\r\nhost: {}\r\n\r\n", server.address));
    assert_eq!(idle.answer().unwrap().status, 200);
    assert!(idle.is_closed(), "an idle connection is kept no longer than a slow head");
    amina = amina.another_tab(&server);
    assert_eq!(amina.history("")["total"], 1);
    server.is_calm();
}

#[test]
fn pipelined_requests_are_answered_in_order_up_to_the_bad_one() {
    let server = Server::start(&[]);
    let (_, head) = silent_user(&server);
    let request = |n: usize| match n % 3 {
        0 => format!("GET /nothing-{n} HTTP/1.1\r\nhost: {}\r\n\r\n", server.address),
        1 => format!("GET /ready HTTP/1.1\r\nhost: {}\r\n\r\n", server.address),
        _ => format!("{head}content-length: 15\r\n\r\n{BODY}"),
    };
    let mut raw = Raw::to(&server);
    let before: String = (0..600).map(request).collect();
    let after: String = (0..600).map(request).collect();
    raw.send(format!("{before}GET /ready HTTP/1.1\r\nbad header\r\n\r\n{after}"));
    let mut seqs = Vec::new();
    for n in 0..600 {
        let answer: Response = raw.answer().unwrap();
        assert_eq!(answer.status, [404, 200, 201][n % 3], "the {n}th");
        if n % 3 == 2 {
            seqs.push(answer.json()["message"]["seq"].as_u64().unwrap());
        }
    }
    assert_eq!(seqs, (0..200).map(|n| 2 * n + 1).collect::<Vec<_>>());
    assert_eq!(raw.answer().unwrap().status, 400);
    assert!(raw.is_closed());
    server.is_calm();
}

#[test]
fn who_has_said_everything_may_still_listen_and_who_hangs_up_stops_nothing() {
    let server = Server::start(&[]);
    let (mut amina, head) = silent_user(&server);
    let request = format!("{head}content-length: 15\r\n\r\n{BODY}");
    let mut raw = Raw::to(&server);
    raw.send(&request).finish();
    assert_eq!(raw.answer().unwrap().status, 201);
    assert!(raw.is_closed());
    // Whether the request was read before the end or not: a message is stored with its reply, or not at all.
    at_once(20, |n| {
        let mut raw = Raw::to(&server);
        raw.send(&request.as_bytes()[..request.len() - n % 2]);
        drop(raw);
    });
    amina.post("/api/v1/chat/send", &json!({"message": "the last one"})).expect(200);
    let ended = |history: &serde_json::Value| each(history, "status").iter().all(|status| **status == "answered");
    while !ended(&amina.history("?limit=200")["messages"]) {
        std::thread::yield_now();
    }
    assert!((2..=12).contains(&amina.history("")["total"].as_u64().unwrap()));
    server.is_calm();
}

#[test]
fn one_connection_too_many_is_closed_and_its_place_is_given_back() {
    for cap in ["server.connections=3", "server.connections_per_address=3"] {
        let server = Server::start(&[cap]);
        let ready = format!("GET /ready HTTP/1.1\r\nhost: {}\r\n\r\n", server.address);
        let mut open: Vec<_> = (0..3).map(|_| Raw::to(&server)).collect();
        for raw in &mut open {
            assert_eq!(raw.send(&ready).answer().unwrap().status, 200);
        }
        assert!(Raw::to(&server).is_closed(), "{cap}");
        for raw in &mut open {
            assert_eq!(raw.send(&ready).answer().unwrap().status, 200, "those that were there stay");
        }
        open.pop();
        while Raw::to(&server).send(&ready).answer().is_none() {
            std::thread::yield_now(); // The server hears of the close a moment later.
        }
    }
}

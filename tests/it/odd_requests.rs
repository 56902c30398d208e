//! Requests that are well-formed and odd: headers that ask for the impossible, places in lists and streams that are
//! somebody else's, tokens and passwords that are far too long.

use serde_json::json;

use crate::support::{Raw, Server, each, text};

fn streams(server: &Server) -> u64 {
    server.client().get("/ready").expect(200).json()["parts"]["streams"].as_u64().unwrap()
}

#[test]
fn whatever_a_client_would_rather_have_it_gets_json() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    for accept in ["text/html", "*/*;q=0", "application/json;q=0", "image/*", "x", "text/html, */*;q=0.1", ""] {
        let headers = [("accept", accept), ("accept-charset", "utf-16"), ("accept-encoding", "gzip;q=1, identity;q=0")];
        for (path, status) in [("/api/v1/auth/me", 200), ("/api/v1/sessions/x", 403), ("/nothing", 404)] {
            let answer = amina.send("GET", path, &headers, None).unwrap().expect(status);
            let kind = answer.header("content-type").unwrap();
            assert!(["application/json", "application/problem+json"].contains(&kind), "{accept}: {kind}");
            assert_eq!(answer.header("content-encoding"), None);
            answer.json();
        }
    }
    server.is_calm();
}

#[test]
fn p4_a_range_is_ignored_and_anothers_entity_tag_tells_nothing() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let (mut mallory, _) = server.user("mallory");
    let session = amina.session();
    amina.say(&session, "hello");
    let path = format!("/api/v1/sessions/{session}/messages");
    let page = amina.get(&path).expect(200);
    let tag = page.header("etag").unwrap().to_owned();
    let ranged = amina.send("GET", &path, &[("range", "bytes=0-9"), ("if-range", &tag)], None).unwrap().expect(200);
    assert_eq!((ranged.body, ranged.headers.iter().any(|(name, _)| name == "content-range")), (page.body, false));
    assert_eq!(amina.send("GET", &path, &[("if-none-match", &tag)], None).unwrap().status, 304);
    for known in [tag.as_str(), "*", "W/\"x\"", "\"x\"", "x"] {
        mallory.send("GET", &path, &[("if-none-match", known)], None).unwrap().expect(403);
        mallory.send("GET", "/api/v1/chat/history", &[("if-none-match", known), ("range", "bytes=0-")], None).unwrap();
    }
    let own = mallory.send("GET", "/api/v1/chat/history", &[("if-none-match", &tag)], None).unwrap();
    assert_eq!(own.expect(200).json()["total"], 0);
    server.is_calm();
}

#[test]
fn p4_a_cursor_of_somebody_else_or_of_ones_own_making_shows_only_what_is_the_callers() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let (mut mallory, _) = server.user("mallory");
    let sessions: Vec<_> = (0..3).map(|_| amina.session()).collect();
    let own = mallory.session();
    let cursor = text(&amina.get("/api/v1/sessions?limit=1").expect(200).json()["next"]);
    amina.delete(&format!("/api/v1/sessions/{}", sessions[2])).expect(204);
    let after = amina.get(&format!("/api/v1/sessions?cursor={cursor}")).expect(200).json();
    assert_eq!(each(&after["sessions"], "id"), [&json!(sessions[1]), &json!(sessions[0])], "its session is deleted");
    let theirs = mallory.get(&format!("/api/v1/sessions?cursor={cursor}")).expect(200).json();
    assert!(each(&theirs["sessions"], "id").iter().all(|id| **id == json!(own)), "{theirs}");
    let (forged, long) = (cursor.replace(&cursor[..16], &"f".repeat(16)), "0".repeat(15_000));
    mallory.get(&format!("/api/v1/sessions?cursor={forged}")).expect(200);
    for bad in ["", "x", &cursor[1..], &cursor.to_uppercase(), "%00", &long, &own] {
        let refused = mallory.get(&format!("/api/v1/sessions?cursor={bad}")).expect(422);
        assert!(text(&refused.json()["detail"]).starts_with("cursor: "));
    }
    server.is_calm();
}

#[test]
fn head_of_a_stream_has_its_headers_and_leaves_no_stream_behind() {
    let server = Server::start(&["limits.free.streams=2"]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    for path in ["/api/v1/events".to_owned(), format!("/api/v1/sessions/{session}/events")] {
        for _ in 0..10 {
            let head = amina.send("HEAD", &path, &[], None).unwrap().expect(200);
            assert!(head.is_stream());
            while streams(&server) > 0 {
                std::thread::yield_now();
            }
        }
    }
    server.is_calm();
}

#[test]
fn p4_a_last_event_id_is_a_place_in_the_callers_own_stream_or_refused() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    let path = format!("/api/v1/sessions/{session}/events");
    for bad in ["-1", "x", "", "1 2", "18446744073709551616", "\u{e9}", "1.5", &"9".repeat(5000)] {
        let refused = amina.send("GET", &path, &[("last-event-id", bad)], None).unwrap().expect(422);
        assert!(text(&refused.json()["detail"]).starts_with("Last-Event-ID: "), "{bad}");
    }
    // A place that is not there yet, or of a longer stream: from the head on, and nothing is missed.
    for future in ["7", "18446744073709551615"] {
        let mut stream = amina.events_after(&path, future.parse().unwrap());
        let head = stream.find("state").data["head"].as_u64().unwrap();
        amina.say(&session, "hello");
        assert_eq!(stream.find("message").id, Some(head + 1), "after {future}");
    }
    server.is_calm();
}

#[test]
fn a_token_and_a_password_that_are_far_too_long_cost_nothing() {
    let server = Server::start(&["auth.argon2.memory_kib=65536", "auth.argon2.iterations=10"]);
    let mut client = server.client();
    let huge = format!("Bearer {}", "A".repeat(64 << 10));
    let refused = client.send("GET", "/api/v1/auth/me", &[("authorization", &huge)], None).unwrap();
    assert_eq!((refused.status, refused.header("connection")), (431, Some("close")));
    let cookies = format!("bondhu={}", "A".repeat(15_000));
    assert_eq!(client.send("GET", "/api/v1/auth/me", &[("cookie", &cookies)], None).unwrap().status, 401);
    for length in [257, 100_000] {
        let body = json!({"username": "amina", "password": "x".repeat(length)});
        let refused = client.post("/api/v1/auth/register", &body).expect(422);
        assert!(text(&refused.json()["detail"]).starts_with("password: "));
        client.post("/api/v1/auth/login", &body).expect(401);
    }
    let body = json!({"username": "amina", "password": "x".repeat(1 << 20)});
    assert_eq!(client.post("/api/v1/auth/login", &body).status, 413);
    server.is_calm();
}

#[test]
fn lines_may_end_without_a_carriage_return_and_are_one_request_all_the_same() {
    let server = Server::start(&[]);
    let mut raw = Raw::to(&server);
    raw.send(format!("GET /ready HTTP/1.1\nhost: {}\n\nGET /health HTTP/1.1\r\nbad header\r\n\r\n", server.address));
    assert_eq!(raw.answer().unwrap().status, 200);
    assert_eq!(raw.answer().unwrap().status, 400);
    assert!(raw.is_closed());
    server.is_calm();
}

#[test]
fn p4_every_answer_forbids_a_browser_to_run_anything_of_it() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    amina.say(&session, "<script>alert(1)</script>");
    let page = format!("/api/v1/sessions/{session}/messages");
    for path in [&page, "/api/v1/chat/history", "/api/v1/auth/export", "/api/v1/events", "/health", "/x%3Cscript%3E"] {
        let answer = amina.get(path);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert_eq!(
            answer.header("content-security-policy"),
            Some("default-src 'none'; frame-ancestors 'none'"),
            "{path}"
        );
        assert!(
            answer.header("cache-control").is_some_and(|rule| rule.contains("no-store") || rule.contains("private"))
        );
        assert!(!answer.header("content-type").unwrap().contains("html"), "{path}");
    }
}

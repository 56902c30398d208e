//! `/metrics`: what it says, how, and to whom.

use std::{fs, time::Instant};

use bondhu::http::routes::ROUTES;
use serde_json::json;

use crate::support::{Client, PASSWORD, Server, at_once, model::asking, stub::Stub, text};

/// The most series that there may be.
const SERIES_MAX: usize = 300;

/// Sends a path with headers, as a program elsewhere would whose proxy this server trusts.
fn from_elsewhere(client: &mut Client) -> u16 {
    client.send("GET", "/metrics", &[("x-forwarded-for", "203.0.113.7")], None).unwrap().status
}

fn admin(server: &Server, name: &str) -> Client {
    server.add_admin(name);
    let mut client = server.client();
    let login = client.post("/api/v1/auth/login", &json!({"username": name, "password": PASSWORD})).expect(200).json();
    client.token = Some(text(&login["token"]));
    client
}

#[test]
fn a_strict_reader_takes_it_and_what_counts_only_grows() {
    let server = Server::start(&[]);
    let before = server.figures();
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    amina.say(&session, "hello");
    amina.get("/api/v1/nowhere").expect(404);
    let after = server.figures();
    after.only_grew_since(&before);
    assert!(after.series.len() > 100, "{}", after.series.len());
    let version = format!("bondhu_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(after.count(&version), 1);
    for positive in [
        "bondhu_process_resident_memory_bytes",
        "bondhu_process_cpu_seconds_total",
        "bondhu_process_open_fds",
        "bondhu_process_max_fds",
        "bondhu_process_threads",
        "bondhu_process_start_time_seconds",
        "bondhu_memory_limit_bytes",
        "bondhu_disk_free_bytes",
        "bondhu_disk_bytes",
        "bondhu_journal_bytes",
        "bondhu_index_bytes",
        "bondhu_http_connections",
        "bondhu_reply_slots_limit",
    ] {
        assert!(after.get(positive) > 0.0, "{positive}");
    }
    server.is_calm();
}

#[test]
fn this_machine_may_see_it_and_elsewhere_only_who_proves_to_be_an_administrator() {
    let server = Server::start(&["server.trusted_proxies=127.0.0.1"]);
    server.client().get("/metrics").expect(200);
    let (mut amina, _) = server.user("amina");
    amina.get("/metrics").expect(200); // From this machine, whoever it is.
    assert_eq!(from_elsewhere(&mut server.client()), 401);
    assert_eq!(from_elsewhere(&mut amina), 403);
    assert_eq!(from_elsewhere(&mut admin(&server, "root")), 200);
    let mut liar = server.client();
    liar.token = Some("no-such-token".to_owned());
    assert_eq!(from_elsewhere(&mut liar), 401);

    // A proxy that nobody told this server of: it passes on, so it is no program that asks for itself.
    let unaware = Server::start(&[]);
    for header in ["x-forwarded-for", "x-forwarded-proto", "forwarded", "x-real-ip", "via", "x-forwarded-host"] {
        let mut client = unaware.client();
        assert_eq!(client.send("GET", "/metrics", &[(header, "127.0.0.1")], None).unwrap().status, 401, "{header}");
    }
    let rebound = unaware.client().send("GET", "/metrics", &[("host", "evil.example")], None).unwrap();
    assert!([400, 421].contains(&rebound.status), "{}", rebound.status);
}

#[test]
fn what_happens_is_counted_where_it_belongs() {
    let server = Server::start(&["limits.free.messages_per_minute=2"]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    amina.say(&session, "one");
    let before = server.figures();
    amina.say(&session, "two");
    amina.try_say(&session, "three").expect(429);
    let wrong = json!({"username": "amina", "password": "wrong-wrong-wrong"});
    server.client().post("/api/v1/auth/login", &wrong).expect(401);
    server.user("omar").0.get(&format!("/api/v1/sessions/{session}")).expect(403);
    amina.page(&session, "");
    let after = server.figures();
    after.only_grew_since(&before);
    let grew = |series: &str| after.count(series) - before.count(series);
    for (series, by) in [
        ("bondhu_turns_total{outcome=\"answered\"}", 1),
        ("bondhu_turn_first_text_seconds_count", 1),
        ("bondhu_turn_reply_seconds_count", 1),
        ("bondhu_reply_slot_wait_seconds_count", 1),
        ("bondhu_journal_messages_total", 2),
        ("bondhu_http_refusals_total{reason=\"messages\"}", 1),
        ("bondhu_http_refusals_total{reason=\"slots\"}", 0),
        ("bondhu_logins_total{outcome=\"ok\"}", 1),
        ("bondhu_logins_total{outcome=\"wrong\"}", 1),
        ("bondhu_registrations_total", 1),
        ("bondhu_security_events_total{kind=\"login_failed\"}", 1),
        ("bondhu_security_events_total{kind=\"ownership\"}", 1),
        ("bondhu_security_events_total{kind=\"rate_limited\"}", 1),
        ("bondhu_http_request_seconds_count{wait=\"reply\"}", 2),
        ("bondhu_http_request_seconds_count{wait=\"password\"}", 3),
        ("bondhu_http_request_seconds_count{wait=\"data\"}", 2),
        ("bondhu_http_requests_total{route=\"/api/v1/sessions/{id}/messages\",status=\"4xx\"}", 1),
        ("bondhu_http_requests_total{route=\"/api/v1/sessions/{id}/messages\",status=\"2xx\"}", 2),
        ("bondhu_http_requests_total{route=\"/api/v1/sessions/{id}\",status=\"4xx\"}", 1),
    ] {
        assert_eq!(grew(series), by, "{series}");
    }
    assert!(grew("bondhu_journal_syncs_total") >= 2);
    assert!(grew("bondhu_cache_hits_total{cache=\"sessions\"}") >= 1);
}

#[test]
fn a_model_that_fails_and_slots_that_are_taken_are_counted_by_what_it_was() {
    let stub = Stub::start();
    let server = asking(&stub, &["concurrency.min=1", "concurrency.max=1", "concurrency.queue=0"]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    amina.try_say(&session, "[[status 400]] please").expect(502);
    let statuses = at_once(6, |_| {
        let mut tab = amina.another_tab(&server);
        let session = tab.session();
        tab.try_say(&session, "[[tokens 8 100]] hello").status
    });
    let refused = statuses.iter().filter(|status| **status == 503).count();
    assert!(refused > 0, "{statuses:?}");
    let figures = server.figures();
    assert_eq!(figures.count("bondhu_turns_total{outcome=\"failed\"}"), 1);
    assert_eq!(figures.count("bondhu_http_refusals_total{reason=\"slots\"}"), refused as u64);
}

#[test]
fn there_are_few_series_however_many_users_and_whatever_is_asked() {
    let server = Server::start(&[]);
    let mut root = admin(&server, "root");
    let (mut amina, id) = server.user("amina");
    let session = amina.session();
    amina.say(&session, "hello");
    for route in ROUTES {
        let path = route.path.replace("{seq}", "1").replace("{user_id}", &id);
        let path = path.replace("{id}", if path.contains("/admin/users/") { &id } else { &session });
        // Each path is answered well for some, and with a refusal for others.
        let method = route.method.as_str();
        for client in [&mut root, &mut amina, &mut server.client()] {
            if route.path.ends_with("/logout") || method == "DELETE" || route.path.ends_with("/password") {
                client.send("HEAD", &path, &[], None).unwrap();
            } else {
                client.send(method, &path, &[("content-type", "application/json")], Some(b"{}")).unwrap();
            }
        }
    }
    amina.get("/made-up").expect(404);
    let few = server.figures();
    for n in 0..40 {
        let (mut user, _) = server.user(&format!("user-{n}"));
        let session = user.session();
        user.say(&session, "hello");
        user.get(&format!("/made-up/{n}")).expect(404);
        user.send("BREW", &format!("/api/v1/sessions/{n}"), &[], None).unwrap();
    }
    let many = server.figures();
    let added: Vec<_> = many.series.keys().filter(|series| !few.series.contains_key(*series)).collect();
    assert!(added.is_empty(), "users and made-up paths add no series: {added:?}");
    assert!(many.series.len() <= SERIES_MAX, "{} series", many.series.len());
    let answer = server.client().get("/metrics").text();
    for secret in [&id, &session, "amina", "user-1", "127.0.0.1", "hello"] {
        assert!(!answer.contains(secret), "{secret}");
    }
}

#[test]
fn connections_and_streams_are_those_that_are_open_now() {
    let server = Server::start(&[]);
    let (amina, _) = server.user("amina");
    let streams: Vec<_> = (0..3).map(|_| amina.another_tab(&server).events("/api/v1/events")).collect();
    let figures = server.figures();
    assert_eq!((figures.count("bondhu_streams"), figures.count("bondhu_users_listening")), (3, 1));
    assert!(figures.count("bondhu_http_connections") >= 4);
    drop(streams);
    drop(amina);
    server.settles();
    let begun = Instant::now();
    // The one that asks is open.
    while server.figures().count("bondhu_http_connections") > 1 {
        assert!(begun.elapsed().as_secs() < 60);
        std::thread::yield_now();
    }
    let own = server.figures().get("bondhu_process_open_fds");
    let really = fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    assert!(own > 10.0 && really > 10);
}

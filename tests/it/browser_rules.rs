//! What browsers send by themselves: cookies, origins, preflights and host names.

use serde_json::json;

use crate::support::{Client, PASSWORD, Raw, Response, Server, each, text};

const CROSS_SITE: &str = "urn:bondhu:problem:cross-site";

/// Asks once, with exactly these header lines and no others but the length.
fn ask(server: &Server, line: &str, headers: &[(&str, &str)], body: &str) -> Response {
    let mut request = format!("{line} HTTP/1.1\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        request.extend([name, ": ", value, "\r\n"]);
    }
    Raw::to(server).send(format!("{request}\r\n{body}")).answer().unwrap()
}

fn log_in(server: &Server, name: &str, headers: &[(&str, &str)]) -> Response {
    let body = json!({"username": name, "password": PASSWORD}).to_string();
    let host = server.address.to_string();
    let all = [&[("host", host.as_str()), ("content-type", "application/json")], headers].concat();
    ask(server, "POST /api/v1/auth/login", &all, &body)
}

fn sessions(client: &mut Client) -> usize {
    each(&client.get("/api/v1/sessions?limit=200").expect(200).json()["sessions"], "id").len()
}

#[test]
fn with_the_cookie_only_a_page_of_ours_may_change_anything() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let token = amina.token.clone().unwrap();
    let host = server.address.to_string();
    let own = format!("http://{host}");
    let (cookie, bearer) = (format!("a=b; bondhu={token}"), format!("Bearer {token}"));
    let credentials: [&[(&str, &str)]; 3] =
        [&[("cookie", &cookie)], &[("authorization", &bearer)], &[("authorization", &bearer), ("cookie", &cookie)]];
    let sites = [None, Some("same-origin"), Some("none"), Some("same-site"), Some("cross-site"), Some("x")];
    let elsewhere = ["http://127.0.0.1:1", "https://evil.example", "null", "x", ""];
    let origins: Vec<_> = [None, Some(own.as_str())].into_iter().chain(elsewhere.map(Some)).collect();
    let (mut wanted_sessions, mut cases) = (0, 0);
    for (which, credential) in credentials.iter().enumerate() {
        for site in sites {
            for &origin in &origins {
                let mut headers = vec![("host", host.as_str()), ("content-type", "application/json")];
                headers.extend(*credential);
                headers.extend(site.map(|site| ("sec-fetch-site", site)));
                headers.extend(origin.map(|origin| ("origin", origin)));
                let ours = match site {
                    Some(site) => ["same-origin", "none"].contains(&site),
                    None => origin == Some(own.as_str()),
                };
                let may = which > 0 || ours;
                let case = format!("{which} {site:?} {origin:?}");
                assert_eq!(ask(&server, "GET /api/v1/auth/me", &headers, "").status, 200, "{case}");
                let made = ask(&server, "POST /api/v1/sessions", &headers, "{}");
                assert_eq!(made.status, if may { 201 } else { 403 }, "{case}: {}", made.text());
                wanted_sessions += usize::from(may);
                if !may {
                    assert_eq!(made.json()["type"], CROSS_SITE);
                }
                for unsafe_call in ["PATCH /api/v1/sessions/x", "DELETE /api/v1/sessions/x", "POST /api/v1/chat/send"] {
                    let refused = ask(&server, unsafe_call, &headers, "{\"message\":\"\",\"title\":null}");
                    let by_the_rule = refused.json()["type"] == CROSS_SITE;
                    assert_eq!(by_the_rule, !may, "{unsafe_call} {case}: {}", refused.text());
                }
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 3 * 6 * 7);
    assert_eq!(sessions(&mut amina), wanted_sessions);
}

/// Calls that a page makes, each with its body and its status where all is well.
const CALLS: [(&str, &str, u16); 6] = [
    ("GET /api/v1/auth/me", "", 200),
    ("GET /api/v1/events", "", 200),
    ("GET /api/v1/sessions/{session}/messages", "", 200),
    ("POST /api/v1/sessions", "{}", 201),
    ("POST /api/v1/sessions/{session}/messages", "{\"content\":\"hello\"}", 201),
    ("POST /api/v1/chat/send", "{\"message\":\"hello\"}", 200),
];

#[test]
fn a_page_that_means_another_user_than_the_cookies_gets_409_and_stores_nothing() {
    let server = Server::start(&[]);
    let ((mut amina, own), (_, other)) = (server.user("amina"), server.user("bela"));
    let (token, session) = (amina.token.clone().unwrap(), amina.session());
    let host = server.address.to_string();
    let (cookie, bearer) = (format!("bondhu={token}"), format!("Bearer {token}"));
    let (capitals, bare, never) = (own.to_uppercase(), own.replace('-', ""), uuid::Uuid::now_v7().to_string());
    let right: [&[&str]; 3] = [&[], &[&own], &[&capitals]];
    let wrong: [&[&str]; 9] =
        [&[&other], &[&never], &[""], &["me"], &["amina"], &[&bare], &[&own, &own], &[&own, &other], &[&other, &own]];
    let state = |client: &mut Client| {
        let page = client.page(&session, "?limit=200");
        (client.get("/api/v1/sessions?limit=200").json(), page, client.history(""))
    };
    for credential in
        [&[("cookie", cookie.as_str()), ("sec-fetch-site", "same-origin")][..], &[("authorization", &bearer)]]
    {
        let answer = |(line, body, _): (&str, &str, u16), meant: &[&str]| {
            let mut headers = vec![("host", host.as_str()), ("content-type", "application/json")];
            headers.extend(credential);
            headers.extend(meant.iter().map(|meant| ("x-bondhu-user", *meant)));
            ask(&server, &line.replace("{session}", &session), &headers, body)
        };
        let before = state(&mut amina);
        for (call, meant) in CALLS.iter().flat_map(|call| wrong.map(|meant| (*call, meant))) {
            let refused = answer(call, meant);
            assert_eq!(refused.status, 409, "{call:?} as {meant:?}: {}", refused.text());
            assert_eq!(refused.json()["type"], "urn:bondhu:problem:other-login", "{call:?} as {meant:?}");
        }
        assert_eq!(state(&mut amina), before);
        for (call, meant) in CALLS.iter().flat_map(|call| right.map(|meant| (*call, meant))) {
            let done = answer(call, meant);
            assert_eq!(done.status, call.2, "{call:?} as {meant:?}: {}", done.text());
        }
        assert_ne!(state(&mut amina), before);
    }
}

#[test]
fn who_means_another_user_uses_up_nothing_of_the_one_who_is_logged_in() {
    let server = Server::start(&["limits.free.requests_per_minute=5"]);
    let (mut amina, own) = server.user("amina");
    let mut me = |meant: &str| amina.send("GET", "/api/v1/auth/me", &[("x-bondhu-user", meant)], None).unwrap().status;
    for _ in 0..20 {
        assert_eq!(me("someone else"), 409);
    }
    assert_eq!(me(&own), 200);
}

#[test]
fn another_sites_page_can_neither_register_nor_log_in() {
    let server = Server::start(&["server.cors_origins=https://app.example.org"]);
    server.user("amina");
    let own = format!("http://{}", server.address);
    for (headers, wanted) in [
        (&[][..], 200),
        (&[("origin", own.as_str())], 200),
        (&[("sec-fetch-site", "same-origin")], 200),
        (&[("sec-fetch-site", "cross-site"), ("origin", "https://app.example.org")], 200),
        (&[("origin", "https://APP.example.org")], 200),
        (&[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")], 403),
        (&[("sec-fetch-site", "same-site")], 403),
        (&[("origin", "null")], 403),
        (&[("origin", "https://app.example.org.evil.example")], 403),
        (&[("origin", "http://app.example.org")], 403),
    ] {
        let answer = log_in(&server, "amina", headers);
        assert_eq!(answer.status, wanted, "{headers:?}: {}", answer.text());
        assert_eq!(answer.header("set-cookie").is_some(), wanted == 200);
    }
}

#[test]
fn the_cookie_is_for_this_site_alone_and_another_token_beside_it_is_refused() {
    let server = Server::start(&[]);
    let (amina, _) = server.user("amina");
    let (bela, _) = server.user("bela");
    let (mine, theirs) = (amina.token.unwrap(), bela.token.unwrap());
    let login = log_in(&server, "amina", &[("x-forwarded-proto", "https")]).expect(200);
    let token = text(&login.json()["token"]);
    let cookie = login.header("set-cookie").unwrap();
    let wanted = format!("bondhu={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age=");
    let age: u64 = cookie.strip_prefix(&wanted).unwrap_or_else(|| panic!("{cookie}")).parse().unwrap();
    assert!((180 * 86_400 - 60..=180 * 86_400).contains(&age), "{age}");

    let host = server.address.to_string();
    let status = |headers: &[(&str, &str)]| {
        ask(&server, "GET /api/v1/auth/me", &[&[("host", host.as_str())], headers].concat(), "").status
    };
    let (a, b) = (format!("bondhu={mine}"), format!("bondhu={theirs}"));
    let many = (0..200).map(|n| format!("c{n}=x; ")).collect::<Vec<_>>().concat() + &a;
    assert_eq!(status(&[("cookie", &a)]), 200);
    assert_eq!(status(&[("cookie", &many)]), 200);
    assert_eq!(status(&[("cookie", &format!("{a}; {b}"))]), 400);
    assert_eq!(status(&[("cookie", &a), ("cookie", &b)]), 400);
    assert_eq!(status(&[("cookie", &a), ("authorization", &format!("Bearer {theirs}"))]), 400);
    for bad in
        [format!("bondhu=\"{mine}\""), format!("Bondhu={mine}"), format!("__Host-bondhu={mine}"), "bondhu=".to_owned()]
    {
        assert_eq!(status(&[("cookie", &bad)]), 401, "{bad}");
    }
}

#[test]
fn only_a_trusted_proxy_says_where_a_client_is_and_that_the_way_is_safe() {
    let trusting = Server::start(&["server.trusted_proxies=127.0.0.1"]);
    trusting.user("amina");
    let secure = log_in(&trusting, "amina", &[("x-forwarded-proto", "https")]).expect(200);
    let cookie = secure.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-bondhu=") && cookie.ends_with("; Secure"), "{cookie}");
    let plain = log_in(&trusting, "amina", &[("x-forwarded-proto", "http")]).expect(200);
    assert!(plain.header("set-cookie").unwrap().starts_with("bondhu="));

    // Twenty failures slow an address down; whose address that is, the proxy says, and nobody else.
    let fail = |server: &Server, n: usize, from: &str| {
        log_in(server, &format!("nobody-{n}"), &[("x-forwarded-for", from)]).status
    };
    for n in 0..20 {
        let spoofed = format!("198.51.100.{n}, 192.0.2.1");
        assert_eq!(fail(&trusting, n, &spoofed), 401);
    }
    assert_eq!(fail(&trusting, 20, "192.0.2.1"), 429);
    assert_eq!(fail(&trusting, 21, "192.0.2.2"), 401);
    assert!(trusting.settled_log().iter().any(|line| line.contains("address=192.0.2.1")));

    let wary = Server::start(&[]);
    for n in 0..20 {
        assert_eq!(fail(&wary, n, &format!("192.0.2.{n}")), 401);
    }
    assert_eq!(fail(&wary, 20, "192.0.2.200"), 429, "a header of one's own making changes nothing");
    assert!(!wary.settled_log().iter().any(|line| line.contains("address=192.0.2.")));
}

#[test]
fn a_listed_origin_may_call_and_no_other_learns_anything() {
    let server = Server::start(&["server.cors_origins=https://app.example.org,http://localhost:5173"]);
    let (amina, _) = server.user("amina");
    let bearer = format!("Bearer {}", amina.token.unwrap());
    let host = server.address.to_string();
    let from = |line: &str, origin: &str, more: &[(&str, &str)]| {
        ask(&server, line, &[&[("host", host.as_str()), ("origin", origin)], more].concat(), "")
    };
    let allow = "access-control-allow-origin";
    for origin in ["https://app.example.org", "http://localhost:5173"] {
        let asked = [("access-control-request-method", "POST"), ("access-control-request-headers", "authorization")];
        for path in ["/api/v1/chat/send", "/api/v1/sessions/x/messages", "/api/v1/auth/me"] {
            let preflight = from(&format!("OPTIONS {path}"), origin, &asked).expect(204);
            assert_eq!(preflight.header(allow), Some(origin));
            let methods = preflight.header("access-control-allow-methods").unwrap();
            assert!(["GET", "POST", "PATCH", "DELETE"].iter().all(|method| methods.contains(method)), "{methods}");
            let headers = preflight.header("access-control-allow-headers").unwrap().to_lowercase();
            assert!(["authorization", "content-type", "idempotency-key"].iter().all(|name| headers.contains(name)));
        }
        for (more, status) in [(&[("authorization", bearer.as_str())][..], 200), (&[], 401)] {
            let answer = from("GET /api/v1/auth/me", origin, more).expect(status);
            assert_eq!(answer.header(allow), Some(origin), "a page can read why it was refused");
            assert!(answer.headers.contains(&("vary".to_owned(), "Origin".to_owned())));
            let exposed = answer.header("access-control-expose-headers").unwrap();
            assert!(["x-request-id", "x-should-retry", "retry-after-ms"].iter().all(|name| exposed.contains(name)));
            assert_eq!(answer.header("access-control-allow-credentials"), None);
        }
    }
    for origin in ["https://evil.example", "null", "https://app.example.org:8443", "http://localhost:51730", "*"] {
        let preflight = from("OPTIONS /api/v1/auth/me", origin, &[]);
        assert_eq!((preflight.status, preflight.header(allow)), (405, None), "{origin}");
        let answer = from("GET /api/v1/auth/me", origin, &[("authorization", &bearer)]).expect(200);
        assert_eq!(answer.header(allow), None, "{origin}");
        assert!(answer.headers.contains(&("vary".to_owned(), "Origin".to_owned())), "caches keep the two apart");
    }
    let closed = Server::start(&[]);
    let host = closed.address.to_string();
    let answer = ask(&closed, "GET /ready", &[("host", &host), ("origin", "https://app.example.org")], "");
    assert!(!answer.headers.iter().any(|(name, _)| name.starts_with("access-control-")));
}

#[test]
fn a_name_that_is_not_the_servers_is_421_everywhere_but_at_health() {
    let own = Server::start(&[]);
    let named = Server::start(&["server.hosts=chat.example.org"]);
    let status =
        |server: &Server, path: &str, host: &str| ask(server, &format!("GET {path}"), &[("host", host)], "").status;
    for host in ["localhost", "LocalHost:1", "127.0.0.1", "127.0.0.1:65535", "[::1]:80"] {
        assert_eq!((status(&own, "/ready", host), status(&named, "/ready", host)), (200, 421), "{host}");
    }
    for host in ["chat.example.org", "CHAT.example.org:443"] {
        assert_eq!((status(&own, "/ready", host), status(&named, "/ready", host)), (421, 200), "{host}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "chat.example.org.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
    ] {
        for server in [&own, &named] {
            assert_eq!(status(server, "/ready", host), 421, "{host}");
            assert_eq!(status(server, "/no/such/path", host), 421, "{host}");
            assert_eq!(status(server, "/health", host), 200, "{host}");
        }
    }
}

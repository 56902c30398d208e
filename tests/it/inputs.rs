//! Bad bodies and values: each gets a precise refusal that names what is wrong, and nothing of it is stored.

use serde_json::json;

use crate::support::{Client, Raw, Server, encoded, list, text};

/// A request with this body.
fn post(server: &Server, token: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\n{headers}content-length: {}\r\n\r\n",
        server.address,
        body.len()
    );
    [head.as_bytes(), body].concat()
}

const JSON: &str = "content-type: application/json\r\n";

/// Bodies of a native send, the status that each gets, and how its detail begins.
const BODIES: &[(&[u8], u16, &str)] = &[
    (b"", 400, "The body is empty"),
    (b" \r\n", 400, "The body is not JSON"),
    (b"{", 400, "The body is not JSON"),
    (b"{\"content\":\"a\"", 400, "The body is not JSON"),
    (b"{\"content\":\"a\"} x", 400, "The body is not JSON"),
    (b"{\"content\":\"a\"}{}", 400, "The body is not JSON"),
    (b"{content:\"a\"}", 400, "The body is not JSON"),
    (b"{\"content\":\"a\nb\"}", 400, "The body is not JSON"),
    (b"{\"content\":\"\\ud800\"}", 400, "The body has half of a character"),
    (b"{\"content\":7,\"x\":\"\\udc00\"}", 400, "The body has half of a character"),
    (b"\xef\xbb\xbf{\"content\":\"a\"}", 400, "The body is not JSON"),
    (b"{\"content\":\"\xff\"}", 400, "The body is not UTF-8"),
    (b"{\"content\":\"\xed\xa0\x80\"}", 400, "The body is not UTF-8"),
    (b"{\"content\":\"\xc0\xaf\"}", 400, "The body is not UTF-8"),
    (b"{}", 422, "content: missing"),
    (b"[\"a\"]", 422, "body: must be a JSON object"),
    (b"\"a\"", 422, "body: must be a JSON object"),
    (b"null", 422, "body: must be a JSON object"),
    (b"{\"content\":7}", 422, "content: must be a string"),
    (b"{\"content\":null}", 422, "content: must be a string"),
    (b"{\"content\":[\"a\"]}", 422, "content: must be a string"),
    (b"{\"content\":{\"a\":1}}", 422, "content: must be a string"),
    (b"{\"content\":\"a\",\"content\":\"b\"}", 422, "content: is given twice"),
    (b"{\"content\":\"a\",\"role\":\"admin\"}", 422, "role: is not a field"),
    (b"{\"content\":\"a\",\"stream\":\"yes\"}", 422, "stream: must be a boolean"),
    (b"{\"content\":\"a\",\"user_id\":\"x\"}", 422, "user_id: is not a field"),
    (b"{\"content\":\"\"}", 422, "content: must have"),
    (b"{\"content\":\" \\t\\n\\u3000\"}", 422, "content: must have"),
    (b"{\"content\":\"\\u200b\\u200d\\ufeff\\u2060\"}", 422, "content: must have"),
];

#[test]
fn p8_a_body_that_is_not_what_was_asked_for_is_refused_and_the_connection_stays() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let token = amina.token.clone().unwrap();
    let session = amina.session();
    let deep = format!("{{\"content\":{}", "[".repeat(10_000)).into_bytes();
    let utf16: Vec<u8> = "{\"content\":\"a\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let made: [(&[u8], u16, &str); 2] = [(&deep, 400, "The body is not JSON"), (&utf16, 400, "The body is not")];
    let mut raw = Raw::to(&server);
    for (body, status, detail) in BODIES.iter().chain(&made) {
        let path = format!("/api/v1/sessions/{session}/messages");
        let answer = raw.send(post(&server, &token, &path, JSON, body)).answer().unwrap();
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        assert_eq!(answer.status, *status, "{shown}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        let problem = answer.json();
        assert!(text(&problem["detail"]).starts_with(detail), "{shown}: {}", problem["detail"]);
        assert_eq!(problem["status"], *status);
        assert_eq!(problem["request_id"].as_str(), answer.header("x-request-id"));
        assert!(problem["type"].is_string() && problem["title"].is_string());
    }
    assert_eq!(amina.history("")["total"], 0);
    server.is_calm();
}

#[test]
fn a_body_of_another_type_is_415_and_json_is_json_in_any_spelling() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let token = amina.token.clone().unwrap();
    let session = amina.session();
    let mut raw = Raw::to(&server);
    let types = [
        "",
        "content-type: text/plain\r\n",
        "content-type: application/x-www-form-urlencoded\r\n",
        "content-type: application/json; charset=utf-16\r\n",
        "content-type: application/json\r\ncontent-encoding: gzip\r\n",
        "content-type: application/json\r\ncontent-type: application/json\r\n",
        "content-type: application/jsonx\r\n",
    ];
    for headers in types {
        let answer =
            raw.send(post(&server, &token, "/api/v1/chat/send", headers, b"{\"message\":\"a\"}")).answer().unwrap();
        assert_eq!(answer.status, 415, "{headers:?}: {}", answer.text());
    }
    for good in [
        "content-type: APPLICATION/JSON\r\n",
        "content-type: application/json; charset=\"UTF-8\"\r\n",
        "accept: text/html\r\ncontent-type: application/json\r\ncontent-encoding: identity\r\n",
    ] {
        let body = format!("{{\"message\":\"kept\",\"session_id\":\"{session}\"}}");
        let answer = raw.send(post(&server, &token, "/api/v1/chat/send", good, body.as_bytes())).answer().unwrap();
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{good:?}");
    }
    assert_eq!(amina.history("")["total"], 3, "only the good ones are stored");
    server.is_calm();
}

#[test]
fn every_text_comes_back_byte_for_byte() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let texts = [
        "nul \0 and bell \u{7} and escape \u{1b}[31m".to_owned(),
        "right \u{202e}to left\u{202c} \u{feff}bom\r\n\ttab".to_owned(),
        "👩‍👩‍👧‍👦 family, 🏳️‍🌈 flag, 🇧🇩".to_owned(),
        "আমি তোমাকে ভালোবাসি — ক্ষ ক\u{9dc} ক\u{9a1}\u{9bc}".to_owned(),
        "क्षत्रिय \u{915}\u{94d}\u{200d}\u{937} क\u{93c} \u{958}".to_owned(),
        format!("z{}", "\u{301}".repeat(1000)),
        "e\u{301} is not \u{e9}, \u{1100}\u{1161} is not \u{ac00}".to_owned(),
        "\u{10ffff}\u{fffe}\u{e000}\u{2028}".to_owned(),
        "\"\\/</script><script>alert(1)</script>{{7*7}}%s%n$(id)' OR 1=1 --".to_owned(),
        "  blanks around \n".to_owned(),
        "🙂".repeat(5000),
    ];
    let session = amina.session();
    for text in &texts {
        assert_eq!(amina.say(&session, text)["message"]["content"], *text);
        let old = amina.post("/api/v1/chat/send", &json!({"message": text, "session_id": session})).expect(200).json();
        assert_eq!(old["session_id"], json!(session));
    }
    let server = server.restart(&[]);
    let mut amina = amina.another_tab(&server);
    let page = amina.page(&session, "?limit=200");
    let said: Vec<_> = list(&page["messages"]).iter().filter(|m| m["role"] == "user").map(|m| &m["content"]).collect();
    let wanted: Vec<_> = texts.iter().flat_map(|text| [text, text]).collect();
    assert_eq!(said, wanted);
    let history = amina.history("");
    assert_eq!(list(&history["messages"]).iter().map(|pair| &pair["message"]).collect::<Vec<_>>(), wanted);
    server.is_calm();
}

#[test]
fn lengths_count_characters_and_the_body_counts_bytes() {
    let server = Server::start(&["chat.message_chars_max=10"]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    for unit in ["a", "ক", "🙂"] {
        amina.say(&session, &unit.repeat(10));
        let refused = amina.try_say(&session, &unit.repeat(11)).expect(422);
        assert_eq!(refused.json()["detail"], "content: is 11 characters long; at most 10 are allowed");
        let refused = amina.post("/api/v1/chat/send", &json!({"message": unit.repeat(11)})).expect(422);
        assert!(text(&refused.json()["detail"]).starts_with("message: is 11 characters long"));
    }
    let token = amina.token.clone().unwrap();
    let path = format!("/api/v1/sessions/{session}/messages");
    let padded = |length: usize| format!("{{\"content\":\"a\"{}}}", " ".repeat(length - 15)).into_bytes();
    let mut raw = Raw::to(&server);
    assert_eq!(raw.send(post(&server, &token, &path, JSON, &padded(128 << 10))).answer().unwrap().status, 201);
    let refused = raw.send(post(&server, &token, &path, JSON, &padded((128 << 10) + 1))).answer().unwrap();
    assert_eq!((refused.status, refused.header("connection")), (413, Some("close")), "{}", refused.text());
    assert!(raw.is_closed());
    assert_eq!(amina.page(&session, "")["head"], 8);
    server.is_calm();
}

#[test]
fn what_is_no_token_is_refused_without_a_look_at_any_account() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let token = amina.token.take().unwrap();
    let mut ask = |headers: &[(&str, &str)]| amina.send("GET", "/api/v1/auth/me", headers, None).unwrap().status;
    let (lower, doubled) = (format!("bearer {token}"), format!("Bearer  {token}"));
    let (cut, longer) = (format!("Bearer {}", &token[..token.len() - 1]), format!("Bearer {token}A"));
    let upper = format!("Bearer {}", token.to_uppercase());
    assert_eq!(ask(&[("authorization", &lower)]), 200);
    for bad in
        ["Bearer", "Bearer ", &doubled, &cut, &longer, &upper, &token, "Basic YW1pbmE6eA==", "Bearer ü", "Bearer x y"]
    {
        assert_eq!(ask(&[("authorization", bad)]), 401, "{bad}");
    }
    let huge = format!("Bearer {}", "A".repeat(15_000));
    assert_eq!(ask(&[("authorization", &huge)]), 401);
    assert_eq!(ask(&[("authorization", &lower), ("authorization", &lower)]), 400);
    server.is_calm();
}

#[test]
fn a_path_is_matched_as_it_came_and_never_as_a_file() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    let many = "/a".repeat(1000);
    for path in [
        "//",
        "/s/",
        "/%2e%2e/",
        "/..%2f..%2fetc/passwd",
        "/../../etc/passwd",
        "/a%00b",
        "/%c0%ae%c0%ae/",
        "/%",
        &many,
        "/health/",
        "/HEALTH",
        "/health;x=1",
        "/%68ealth",
        "/api/v1/auth/me/",
        "/api/v1/Auth/me",
        "/api/v1//auth/me",
        "/%61pi/v1/auth/me",
        "/api/v1/auth/me/../me",
        "/data/LOCK",
        "/index.html",
        "/.env",
    ] {
        for client in [&mut server.client(), &mut amina] {
            let answer = client.get(path);
            assert_eq!(answer.status, 404, "{path:.60}: {}", answer.text());
            assert_eq!(answer.json()["type"], "urn:bondhu:problem:no-such-path");
        }
    }
    let id = encoded(&session);
    amina.get(&format!("/api/v1/sessions/{id}")).expect(403);
    amina.get(&format!("/api/v1/sessions/{}", session.to_uppercase())).expect(200);
    server.is_calm();
}

#[test]
fn a_session_that_is_deleted_while_it_is_sent_to_leaves_no_ghost() {
    let server = Server::start(&[]);
    let (amina, _) = server.user("amina");
    for _ in 0..10 {
        let session = amina.another_tab(&server).session();
        let statuses = crate::support::at_once(8, |n| {
            let mut tab: Client = amina.another_tab(&server);
            let path = format!("/api/v1/sessions/{session}");
            if n == 7 { tab.delete(&path).status } else { tab.try_say(&session, "hello").status }
        });
        assert_eq!(statuses[7], 204);
        assert!(statuses[..7].iter().all(|status| [201, 403, 409].contains(status)), "{statuses:?}");
        let mut tab = amina.another_tab(&server);
        tab.get(&format!("/api/v1/sessions/{session}/messages")).expect(403);
        assert_eq!(tab.history("")["total"], 0);
        assert_eq!(tab.get("/api/v1/sessions").expect(200).json()["sessions"], json!([]));
    }
    server.is_calm();
}

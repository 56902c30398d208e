//! Refusals: every one under `/v1` is worded as OpenAI's, wherever in the server it is made.

use serde_json::{Value, json};

use super::{refused, said};
use crate::support::{Client, Raw, Server, model::asking, stub::Stub};

const REQUEST: &str = "invalid_request_error";

#[test]
fn a_key_is_shown_by_the_client_itself() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let token = amina.token.clone().unwrap();
    amina.get("/v1/models").expect(200);
    let mut nobody = server.client();
    for path in ["/v1/models", "/v1/models/companion"] {
        for headers in [
            vec![],
            vec![("authorization", "Bearer sk-made-up")],
            vec![("authorization", "Basic dTpw")],
            vec![("cookie", "bondhu=COOKIE")],
        ] {
            let cookie = format!("bondhu={token}");
            let headers: Vec<_> =
                headers.iter().map(|&(name, value)| (name, if name == "cookie" { &*cookie } else { value })).collect();
            let answer = nobody.send("GET", path, &headers, None).unwrap();
            assert_eq!(refused(&answer, 401), (json!(REQUEST), Value::Null, json!("invalid_api_key")), "{headers:?}");
            assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"));
        }
    }
    let both = amina.send("GET", "/v1/models", &[("cookie", "bondhu=something-else")], None).unwrap();
    assert_eq!(both.status, 200, "a browser's cookie is not looked at");
    server.is_calm();
}

#[test]
fn what_is_not_there_and_what_can_not_be_read_are_refused_in_the_same_words_everywhere() {
    let server = Server::start(&["api.body_max=20KiB", "api.input_chars_max=100"]);
    let (mut amina, _) = server.user("amina");
    for path in ["/v1", "/v1/", "/v1/embeddings", "/v1/models/", "/v1/chat", "/v1/chat/completions/"] {
        assert_eq!(refused(&amina.get(path), 404).2, "no_such_path", "{path}");
        assert_eq!(refused(&server.client().get(path), 404).2, "no_such_path", "{path}");
    }
    assert_eq!(amina.get("/v1x").header("content-type"), Some("application/problem+json"));
    let other = amina.send("PUT", "/v1/models", &[], None).unwrap();
    assert_eq!(refused(&other, 405).2, "method_not_allowed");
    assert_eq!(other.header("allow"), Some("GET, HEAD"));
    let missing = refused(&amina.get("/v1/models/gpt-4o"), 404);
    assert_eq!(missing, (json!(REQUEST), json!("model"), json!("model_not_found")));
    let mut post = |kind: &str, body: &str| {
        amina.send("POST", "/v1/chat/completions", &[("content-type", kind)], Some(body.as_bytes())).unwrap()
    };
    assert_eq!(refused(&post("text/plain", "{}"), 415).2, "not_json");
    assert_eq!(refused(&post("application/json", ""), 400).2, "bad_request");
    assert_eq!(refused(&post("application/json", "{"), 400).2, "bad_request");
    assert_eq!(refused(&post("application/json", "[]"), 400), (json!(REQUEST), json!("body"), Value::Null));
    assert_eq!(refused(&post("application/json", "{}"), 400), (json!(REQUEST), json!("messages"), Value::Null));
    let long = said(&"x".repeat(20 << 10)).to_string();
    assert_eq!(refused(&post("application/json", &long), 413).2, "body_too_large");
    server.is_calm();
}

#[test]
fn a_body_that_is_too_slow_is_408() {
    let server = Server::start(&["server.body_timeout_ms=200"]);
    let token = server.user("amina").0.token.unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: 9\r\n\r\n{{",
        server.address
    );
    let mut raw = Raw::to(&server);
    let answer = raw.send(head.into_bytes()).answer().unwrap();
    assert_eq!(refused(&answer, 408).2, "slow_body");
    assert_eq!(answer.header("connection"), Some("close"));
}

#[test]
fn who_asks_too_much_is_told_when_to_come_back() {
    let server = Server::start(&["limits.free.messages_per_minute=1", "limits.free.requests_per_minute=4"]);
    let (mut amina, _) = server.user("amina");
    amina.post("/v1/chat/completions", &said("hello")).expect(200);
    let waits = |client: &mut Client| {
        let answer = client.post("/v1/chat/completions", &said("hello"));
        assert_eq!(refused(&answer, 429), (json!("requests"), Value::Null, json!("rate_limit_exceeded")));
        let header = |name: &str| answer.header(name).unwrap().parse::<u64>().unwrap();
        let (seconds, ms) = (header("retry-after"), header("retry-after-ms"));
        assert!((1..=60).contains(&seconds) && ms > (seconds - 1) * 1000 && ms <= seconds * 1000, "{seconds} {ms}");
        assert_eq!(answer.header("x-should-retry"), None);
        answer.json()["error"]["message"].as_str().unwrap().to_owned()
    };
    assert!(waits(&mut amina).contains("1 messages a minute"));
    amina.post("/v1/chat/completions", &json!({})).expect(400);
    amina.get("/v1/models").expect(200);
    assert!(waits(&mut amina).contains("4 requests a minute"));
}

#[test]
fn a_full_server_is_503_before_the_model_is_asked() {
    let stub = Stub::start();
    let settings = ["concurrency.min=1", "concurrency.max=1", "concurrency.queue=0"];
    let server = asking(&stub, &settings);
    let (amina, _) = server.user("amina");
    let (mut bela, _) = server.user("bela");
    let mut events = amina.post_events("/v1/chat/completions", &super::streamed("[[tokens 2 60000]] a b"));
    super::read_until(&mut events, "a");
    let answer = bela.post("/v1/chat/completions", &said("hello"));
    assert_eq!(refused(&answer, 503), (json!("server_error"), Value::Null, json!("unavailable")));
    assert!(answer.header("retry-after-ms").is_some());
    assert_eq!(stub.seen().len(), 1);
    drop(events);
    stub.wait_until(|stub| stub.replying() == 0);
    server.is_idle();
    bela.post("/v1/chat/completions", &said("hello")).expect(200);
}

//! The stub model server itself, over raw sockets: its good answers say what they should to a decoder that shares nothing
//! with it, its bad ones are bad in the way their name says, and it notices what its clients do.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    client::connect,
    stub::{Stub, body},
};

const TEXT: &str = "Hello, नमस्ते আমি 😀 and \"more\"\n of\r\n it.";

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Closed,
    Reset,
}

/// What came over one connection until it ended.
struct Got {
    head: String,
    /// As it was framed.
    raw: Vec<u8>,
    ended: Ended,
}

#[test]
fn every_good_behaviour_says_its_text() {
    let stub = Stub::start();
    let good = [
        "say",
        "pieces 1",
        "pieces 3",
        "tokens 5 1",
        "slow 5",
        "slow 1 bytes",
        "cut 0",
        "cut 700 chunked",
        "cut 99999",
        "bytes",
        "crlf",
        "cr",
        "comments",
        "nospace",
        "bom",
        "events",
        "multiline",
        "nodone",
        "after",
        "usage",
        "reasoning",
        "escaped",
        "longline 10",
        "keepalive",
        "keepalive 2 1",
        "drip 1",
        "once say",
        "headers",
        "length",
    ];
    for directive in good {
        let got = ask(&stub, &format!("[[{directive}]] {TEXT}"), true);
        assert_eq!((got.status(), got.ended), (200, Ended::Closed), "{directive}");
        assert_eq!(got.said(), TEXT, "{directive}");
    }
    assert_eq!(ask(&stub, "[[longline 1000]] ab", true).said(), vec!["ab"; 333].join(" "));
    assert_eq!(ask(&stub, "[[say]]", true).said(), "w1 w2 w3 w4 w5 w6 w7 w8");
    assert_eq!(ask(&stub, "[[tokens 3 0]]", true).said(), "w1 w2 w3");
    assert_eq!(ask(&stub, "[[tokens 4 0]] abc", true).said(), "abc w2 w3 w4");
    assert_eq!(ask(&stub, "[[empty]] never", true).said(), "");
    for got in [ask(&stub, "[[json]] one", true), ask(&stub, "[[say]] one", false)] {
        assert_eq!(got.json()["choices"][0]["message"]["content"], "one");
    }
}

#[test]
fn the_forms_of_a_stream_are_what_they_are_called() {
    let stub = Stub::start();
    let body = |directive: &str| ask(&stub, &format!("[[{directive}]] {TEXT}"), true).body();
    let has = |directive: &str, part: &str| {
        let body = body(directive);
        assert!(body.windows(part.len()).any(|window| window == part.as_bytes()), "{directive}: {part:?}");
    };
    let parts = [
        ("crlf", "}\r\n\r\ndata: {"),
        ("cr", "}\r\rdata: {"),
        ("comments", "\n: ping\n"),
        ("nospace", "data:{"),
        ("bom", "\u{feff}data: "),
        ("events", "event: message\n"),
        ("multiline", "data: {\ndata: "),
        ("escaped", "\\ud83d\\ude00"),
        ("usage", "\"choices\":[]"),
        ("usage", "\"content\":null"),
        ("reasoning", "\"reasoning_content\":\"Let me\""),
        ("after", "data: [DONE]\n\ndata: {"),
        ("keepalive", ": keep-alive\n"),
        ("filter", "\"content_filter\""),
        ("length", "\"length\""),
        ("error200", "data: {\"error\":{"),
        ("errormid", "data: {\"error\":{"),
        ("badjson", "\"delta\":\n\ndata: {"),
        ("say", "\"total_tokens\":18"),
    ];
    for (directive, part) in parts {
        has(directive, part);
    }
    assert!(!body("nodone").ends_with(b"data: [DONE]\n\n") && body("say").ends_with(b"data: [DONE]\n\n"));
    assert!(body("escaped").is_ascii());
    assert!(String::from_utf8(body("badutf8")).is_err());
    assert!(body("longline").len() > 60_000 && body("hugeline").len() > 12_000_000);
    assert!(!body("hugeline").contains(&b'\n'));
    let [mid, whole] = ["errormid", "say"].map(|directive| ask(&stub, &format!("[[{directive}]] abcd"), true));
    assert_eq!((mid.said().as_str(), whole.said().as_str()), ("ab", "abcd"));
}

#[test]
fn a_body_can_be_cut_anywhere() {
    let stub = Stub::start();
    let whole = body(TEXT);
    for framing in ["", " chunked"] {
        for at in (0..=whole.len()).step_by(23).chain([whole.len()]) {
            let got = ask(&stub, &format!("[[cut {at}{framing}]] {TEXT}"), true);
            assert!(got.body() == whole, "cut at {at}{framing}");
            if !framing.is_empty() && at > 0 {
                assert!(got.raw.starts_with(format!("{at:x}\r\n").as_bytes()), "cut at {at}");
            }
        }
    }
}

#[test]
fn a_bad_answer_is_bad_in_its_own_way() {
    let stub = Stub::start();
    let ends = [
        ("reset", "", Ended::Reset),
        ("resetmid", "ab", Ended::Reset),
        ("eofmid", "ab", Ended::Closed),
        ("eofclean", "ab", Ended::Closed),
        ("badchunk", "ab", Ended::Closed),
    ];
    for (directive, said, ended) in ends {
        let got = ask(&stub, &format!("[[{directive}]] abcd"), true);
        assert_eq!((got.said().as_str(), got.ended), (said, ended), "{directive}");
        assert!(!got.raw.ends_with(b"0\r\n\r\n"), "{directive}");
    }
    let heads = [
        ("status 401", 401, ""),
        ("status 429 retry-after 7", 429, "\r\nretry-after: 7\r\n"),
        ("status 503", 503, ""),
        ("html", 200, "\r\ncontent-type: text/html"),
        ("gzip", 200, "\r\ncontent-encoding: gzip\r\n"),
        ("redirect http://127.0.0.1:1/v1", 307, "\r\nlocation: http://127.0.0.1:1/v1\r\n"),
        ("no such directive", 400, ""),
        ("pieces 0", 400, ""),
        ("slow soon", 400, ""),
    ];
    for (directive, status, header) in heads {
        let got = ask(&stub, &format!("[[{directive}]] abcd"), true);
        assert_eq!(got.status(), status, "{directive}");
        assert!(got.head.contains(header), "{}", got.head);
        assert!(status == 200 || status == 307 || got.json()["error"]["code"].is_string(), "{directive}");
    }
    assert!(ask(&stub, "[[headers]] abcd", true).head.len() > 300_000);
}

#[test]
fn what_stalls_says_so_much_and_ends_with_its_client() {
    let stub = Stub::start();
    for (directive, begins) in
        [("stall", ""), ("stallhead", "HTTP/1.1 200"), ("stallmid", "HTTP/1.1 200"), ("switch", "HTTP/1.1 101")]
    {
        let mut socket = send(&stub, &format!("[[{directive}]] abcd"), true);
        stub.wait_until(|stub| stub.replying() == 1);
        let mut start = vec![0; begins.len()];
        socket.read_exact(&mut start).unwrap();
        assert_eq!(String::from_utf8_lossy(&start), begins, "{directive}");
        assert_eq!(stub.closed_after().is_some(), directive != "stall", "{directive}");
        drop(socket);
        stub.wait_until(|stub| stub.connections() == 0);
        assert!(stub.seen().last().unwrap().closed_early.is_some(), "{directive}");
    }
}

#[test]
fn a_client_that_leaves_is_noticed_at_once() {
    let stub = Stub::start();
    for directive in ["tokens 1000 10", "gate shut", "endless"] {
        let mut socket = send(&stub, &format!("[[{directive}]] a b c d"), true);
        socket.read_exact(&mut [0; 200]).unwrap();
        assert_eq!((stub.replying(), stub.connections()), (1, 1));
        let left = Instant::now();
        drop(socket);
        stub.wait_until(|stub| stub.replying() == 0 && stub.connections() == 0);
        let seen = stub.seen().pop().unwrap();
        let noticed = seen.closed_early.unwrap();
        assert!(noticed.duration_since(left) < Duration::from_secs(10), "{directive}");
        assert_eq!(stub.closed_after(), Some(noticed.duration_since(seen.at)));
    }
    let mut socket = send(&stub, "[[say]] whole", true);
    until(&mut socket, &mut Vec::new(), "[DONE]");
    drop(socket);
    stub.wait_until(|stub| stub.connections() == 0);
    assert_eq!(stub.seen().pop().unwrap().closed_early, None);
}

#[test]
fn tokens_keep_their_schedule() {
    let stub = Stub::start();
    let began = Instant::now();
    let got = ask(&stub, "[[tokens 21 10]]", true);
    let took = began.elapsed();
    assert_eq!(got.said().split(' ').count(), 21);
    assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(20), "{took:?}");
    let began = Instant::now();
    ask(&stub, "[[slow 100]]", true);
    assert!(began.elapsed() >= Duration::from_millis(100));
}

#[test]
fn a_gate_lets_one_piece_go_at_each_step() {
    let stub = Stub::start();
    let mut socket = send(&stub, "[[gate a]] one two three four", true);
    let mut got = Vec::new();
    until(&mut socket, &mut got, "\"role\"");
    for (step, (word, next)) in [("one ", "two "), ("two ", "three ")].into_iter().enumerate() {
        assert!(!contains(&got, word), "before step {step}");
        stub.step("a");
        until(&mut socket, &mut got, word);
        assert!(!contains(&got, next));
    }
    assert_eq!(stub.replying(), 1);
    stub.release("a");
    socket.read_to_end(&mut got).unwrap();
    assert_eq!(Got::of(&got, Ended::Closed).said(), "one two three four");
    assert_eq!(ask(&stub, "[[gate a]] a later one", true).said(), "a later one");
    stub.step("b");
    stub.step("b");
    assert_eq!(ask(&stub, "[[gate b]] stepped before", true).said(), "stepped before");
}

#[test]
fn a_connection_has_many_requests() {
    let stub = Stub::start();
    let mut socket = connect(stub.address()).unwrap();
    for (n, directive) in ["say", "status 500", "json", "empty", "html"].into_iter().enumerate() {
        let request = request(&format!("[[{directive}]] abcd"), true, "keep-alive");
        socket.write_all(request.as_bytes()).unwrap();
        stub.wait_until(|stub| stub.seen().len() == n + 1 && stub.replying() == 0);
        assert_eq!(stub.connections(), 1);
    }
    socket.write_all(request("[[say]] last", true, "close").as_bytes()).unwrap();
    let mut got = Vec::new();
    socket.read_to_end(&mut got).unwrap();
    assert_eq!(String::from_utf8_lossy(&got).matches("HTTP/1.1 ").count(), 6);
    stub.wait_until(|stub| stub.connections() == 0);
    let seen = stub.seen().remove(0);
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/v1/chat/completions"));
    assert_eq!((seen.header("authorization"), &seen.body["model"]), (Some("Bearer sk-test"), &json!("any")));
}

#[test]
fn a_directive_with_once_holds_once_and_a_default_for_plain_messages() {
    let stub = Stub::start();
    assert_eq!(ask(&stub, "hello", true).said(), "echo: hello");
    stub.behave("tokens 3 0");
    assert_eq!(ask(&stub, "hello", true).said(), "echo: hello");
    stub.behave("mirror pieces 1");
    assert_eq!(ask(&stub, "hello", true).said(), "hello");
    assert_eq!(ask(&stub, "[[say]] hello", true).said(), "hello");
    stub.behave("once status 500");
    assert_eq!([0; 3].map(|_| ask(&stub, "hello", true).status()), [500, 200, 200]);
    assert_eq!(ask(&stub, "[[once reset]] back", true).ended, Ended::Reset);
    assert_eq!(ask(&stub, "[[once reset]] back", true).said(), "back");
    assert_eq!(ask(&stub, "[[once reset]] another", true).ended, Ended::Reset);
}

#[test]
fn a_stub_comes_back_at_its_address() {
    let stub = Stub::start();
    assert_eq!(stub.base_url(), format!("http://{}/v1", stub.address()));
    let (address, mut open) = (stub.address(), send(&stub, "[[stallmid]] abcd", true));
    open.read_exact(&mut [0; 12]).unwrap();
    drop(stub);
    assert!(connect(address).is_err());
    open.read_to_end(&mut Vec::new()).unwrap();
    let stub = Stub::start_at(address);
    assert_eq!(ask(&stub, "again", true).said(), "echo: again");
}

#[test]
fn hundreds_of_streams_are_held_at_once() {
    let stub = Stub::start();
    let open: Vec<_> = (0..300).map(|n| send(&stub, &format!("[[gate all]] word {n}"), true)).collect();
    stub.wait_until(|stub| stub.replying() == 300);
    stub.release("all");
    for (n, socket) in open.into_iter().enumerate() {
        assert_eq!(read(socket).said(), format!("word {n}"));
    }
}

/// Asks over a connection of its own, and reads until that ends.
fn ask(stub: &Stub, message: &str, stream: bool) -> Got {
    read(send(stub, message, stream))
}

fn send(stub: &Stub, message: &str, stream: bool) -> TcpStream {
    let mut socket = connect(stub.address()).unwrap();
    socket.write_all(request(message, stream, "close").as_bytes()).unwrap();
    socket
}

fn request(message: &str, stream: bool, connection: &str) -> String {
    let messages = [json!({"role": "system", "content": "Be brief."}), json!({"role": "user", "content": message})];
    let usage = json!({"include_usage": true});
    let body = json!({"model": "any", "messages": messages, "stream": stream, "stream_options": usage}).to_string();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: stub\r\nAuthorization: Bearer sk-test\r\n";
    format!("{head}Connection: {connection}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn read(mut socket: TcpStream) -> Got {
    let mut bytes = Vec::new();
    let ended = match socket.read_to_end(&mut bytes) {
        Ok(_) => Ended::Closed,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ended::Reset,
        Err(error) => panic!("{error}"),
    };
    Got::of(&bytes, ended)
}

/// Reads on until `part` has come.
fn until(socket: &mut TcpStream, got: &mut Vec<u8>, part: &str) {
    let mut block = [0; 1024];
    while !contains(got, part) {
        let count = socket.read(&mut block).unwrap();
        assert!(count > 0, "no {part}");
        got.extend(&block[..count]);
    }
}

fn contains(bytes: &[u8], part: &str) -> bool {
    String::from_utf8_lossy(bytes).contains(part)
}

impl Got {
    fn of(bytes: &[u8], ended: Ended) -> Self {
        let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
        let raw = bytes[head..].to_vec();
        Self { head: String::from_utf8(bytes[..head].to_vec()).unwrap(), raw, ended }
    }

    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.raw).unwrap()
    }

    /// The body without its framing, as far as it is well framed.
    fn body(&self) -> Vec<u8> {
        if !self.head.contains("transfer-encoding: chunked") {
            return self.raw.clone();
        }
        let (mut body, mut rest) = (Vec::new(), self.raw.as_slice());
        while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
            let Ok(size) = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16) else { break };
            body.extend(&rest[end + 2..end + 2 + size]);
            rest = &rest[end + 2 + size + 2..];
        }
        body
    }

    /// The text of the event stream, as a client reads it.
    fn said(&self) -> String {
        let body = String::from_utf8(self.body()).unwrap();
        let lines = body.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
        let mut said = String::new();
        for event in lines.split("\n\n") {
            let data = event.lines().filter_map(|line| line.strip_prefix("data:"));
            let data = data.map(|data| data.strip_prefix(' ').unwrap_or(data)).collect::<Vec<_>>().join("\n");
            if data == "[DONE]" {
                break;
            }
            let Ok(data) = serde_json::from_str::<Value>(&data) else { continue };
            said += data["choices"][0]["delta"]["content"].as_str().unwrap_or_default();
        }
        said
    }
}

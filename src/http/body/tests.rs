use serde::Deserialize;

use super::*;
use crate::http::testing::{Running, patient, start};

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Sent {
    content: String,
    #[serde(default)]
    stream: Option<bool>,
}

fn refused(body: impl AsRef<[u8]>) -> (u16, String) {
    let problem = decode::<Sent>(body.as_ref()).unwrap_err();
    (problem.status().as_u16(), problem.detail().to_owned())
}

#[test]
fn a_good_body_is_kept_character_for_character() {
    let sent: Sent = decode(" {\"content\":\"a\\u0000\u{202E}\\ud83d\\ude42\",\"stream\":null}\n".as_bytes()).unwrap();
    assert_eq!(sent, Sent { content: "a\0\u{202E}🙂".to_owned(), stream: None });
}

#[test]
fn what_is_not_json_is_400() {
    let deep = format!("{{\"content\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let bodies: &[&[u8]] = &[
        b"",
        b"  ",
        b"{",
        b"{\"content\":\"a\"} x",
        b"{\"content\":\"a\"}{}",
        b"{\"content\":\"\\ud800\"}",
        b"hello",
        b"{\"content\":\"\xff\"}",
        b"\xef\xbb\xbf{\"content\":\"a\"}",
        b"\xff\xfe{\0}\0",
        deep.as_bytes(),
        b"{'a':1}",
        b"{\"content\":5",
        b"{\"other\":1",
        b"[1,",
        b"{\"content\":\"a\nb\"}",
        b"{\"content\":NaN}",
    ];
    for body in bodies {
        let (status, detail) = refused(body);
        assert_eq!(status, 400, "{:?}: {detail}", String::from_utf8_lossy(&body[..body.len().min(40)]));
    }
}

#[test]
fn json_of_the_wrong_shape_is_422_and_names_the_field_but_no_value() {
    let cases = [
        ("{}", "content: missing; please add it"),
        ("{\"content\":5}", "content: must be a string"),
        ("{\"content\":null}", "content: must be a string"),
        ("{\"content\":[\"secret\"]}", "content: must be a string"),
        ("{\"content\":\"a\",\"stream\":\"secret\"}", "stream: must be a boolean"),
        ("{\"content\":\"a\",\"role\":\"admin\"}", "role: is not a field of this call; please leave it out"),
        ("{\"content\":\"a\",\"content\":\"b\"}", "content: is given twice; please give it once"),
        ("[\"a\"]", "body: must be a JSON object"),
        ("\"a\"", "body: must be a JSON object"),
        ("null", "body: must be a JSON object"),
    ];
    for (body, detail) in cases {
        assert_eq!(refused(body), (422, detail.to_owned()), "{body}");
    }
    let (_, long) = refused(format!("{{\"content\":\"a\",\"{}\":1}}", "x".repeat(5000)));
    assert!(long.len() < 200, "{long}");
    let (_, control) = refused("{\"content\":\"a\",\"\\u001b[2J\":1}");
    assert!(!control.contains('\u{1b}'), "{control}");
}

#[test]
fn only_plain_json_in_utf_8_is_taken() {
    let status = |lines: &[(&'static str, &'static str)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        is_plain_json(&headers).map_err(|problem| problem.status().as_u16())
    };
    for good in ["application/json", "Application/JSON ; charset=UTF-8", "application/json;charset=\"utf-8\""] {
        assert_eq!(status(&[("content-type", good)]), Ok(()), "{good}");
    }
    assert_eq!(status(&[("content-type", "application/json"), ("content-encoding", "identity")]), Ok(()));
    for bad in
        ["text/plain", "application/json; charset=utf-16", "application/json;", "application/x-www-form-urlencoded"]
    {
        assert_eq!(status(&[("content-type", bad)]), Err(415), "{bad}");
    }
    assert_eq!(status(&[]), Err(415));
    assert_eq!(status(&[("content-type", "application/json"), ("content-type", "text/plain")]), Err(415));
    assert_eq!(status(&[("content-type", "application/json"), ("content-encoding", "gzip")]), Err(415));
}

const BOUNDS: Bounds = Bounds { max: 20, within: Duration::from_millis(50) };

/// Answers with the body that it has read.
async fn echo() -> Running {
    start(patient(), |_, request| async {
        let (head, body) = request.into_parts();
        match read(&head.headers, body, BOUNDS).await {
            Ok(bytes) => hyper::Response::new(bytes.into()),
            Err(problem) => problem.respond(""),
        }
    })
    .await
}

fn post(head: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{head}\r\n\r\n{body}")
}

#[tokio::test]
async fn a_body_is_read_up_to_its_bound_and_never_beyond() {
    let server = echo().await;
    let exact = server.last_words(post("Connection: close\r\nContent-Length: 20", &"x".repeat(20)).as_bytes()).await;
    assert!(exact.ends_with(&"x".repeat(20)), "{exact}");
    let chunks = "Transfer-Encoding: chunked";
    let chunked = post(&format!("Connection: close\r\n{chunks}"), "2\r\n{}\r\n0\r\n\r\n");
    assert!(server.last_words(chunked.as_bytes()).await.ends_with("{}"));
    // These end only because the server closes: nobody asked it to.
    for (head, body) in
        [("Content-Length: 21", ""), ("Content-Length: 1000000000", ""), (chunks, "15\r\n012345678901234567890\r\n")]
    {
        let answer = server.last_words(post(head, body).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{head}: {answer}");
    }
}

#[tokio::test]
async fn who_asks_before_sending_is_refused_without_sending() {
    let server = echo().await;
    let expect = "Expect: 100-continue\r\nContent-Length: 21";
    assert!(server.last_words(post(expect, "").as_bytes()).await.starts_with("HTTP/1.1 413"));
    let other = "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: text/plain\r\n";
    let answer =
        server.last_words(format!("{other}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 415"), "{answer}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let server = echo().await;
    let answer = server.last_words(post("Content-Length: 5", "{").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[test]
fn a_whole_number_may_be_written_with_a_point() {
    for (written, wanted) in [
        ("26.0", Some(26)),
        ("-3.0", Some(-3)),
        ("1e3", Some(1000)),
        ("9007199254740992.0", Some(9_007_199_254_740_992)),
        ("9223372036854775807", Some(i64::MAX)),
        ("0.5", None),
        ("1e30", None),
        ("18446744073709551615", None),
    ] {
        let number: Number = serde_json::from_str(written).unwrap();
        assert_eq!(whole(&number), wanted, "{written}");
        let wanted = wanted.and_then(|wanted| u64::try_from(wanted).ok());
        assert_eq!(count(&number), if number.is_u64() { number.as_u64() } else { wanted }, "{written}");
    }
}

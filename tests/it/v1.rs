//! The API of OpenAI under `/v1`, as its official clients speak it.

mod asked;
mod completions;
mod conversations;
mod ends;
mod errors;
mod long;
mod makers;
mod order;
mod responses;
mod stored;
mod survival;

use serde_json::{Value, json};

use crate::support::{Event, Events, Response};

/// One message of the user.
fn said(text: &str) -> Value {
    json!({"model": "whatever", "messages": [{"role": "user", "content": text}]})
}

/// The same, in pieces.
fn streamed(text: &str) -> Value {
    let mut body = said(text);
    body["stream"] = json!(true);
    body
}

/// A refusal with this status, as the clients read it; gives its `type`, `param` and `code`.
#[track_caller]
fn refused(answer: &Response, status: u16) -> (Value, Value, Value) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.header("x-request-id").is_some());
    let body = answer.json();
    let error = &body["error"];
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|message| message.ends_with(|c: char| ".)".contains(c) || c.is_alphanumeric() || c == '"')),
        "{body}"
    );
    assert_eq!(error.as_object().unwrap().len(), 4, "{body}");
    (error["type"].clone(), error["param"].clone(), error["code"].clone())
}

/// The text of a chunk.
fn piece(event: &Event) -> &str {
    event.data["choices"][0]["delta"]["content"].as_str().unwrap_or_default()
}

/// Reads chunks until their text is this.
#[track_caller]
fn read_until(events: &mut Events, text: &str) {
    let mut so_far = String::new();
    while so_far != text {
        let event = events.next().unwrap_or_else(|| panic!("the stream ended at {so_far:?}"));
        so_far.push_str(piece(&event));
        assert!(text.starts_with(&so_far), "{so_far:?}");
    }
}

//! Event streams as bytes: which events there are, and how each is written.

use serde_json::{Value, json};

/// As many pieces does a text come in.
const PIECES: usize = 4;

/// Which events there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Role, four pieces of text, finish, usage where it is wanted, `[DONE]`.
    Say,
    /// As many characters a piece.
    Pieces(usize),
    /// All but `[DONE]`.
    NoDone,
    /// More text after `[DONE]`.
    After,
    /// Usage, empty lists and null contents between the pieces.
    Usage,
    /// A `reasoning_content` before the text.
    Reasoning,
    /// The same without any text: the model thought until it was cut off. The usage says how much.
    Thoughts,
    /// As `Say`, with a usage that says what of it was cached and thought.
    Details,
    /// One event with the text as often as it fits into so many bytes, with blanks between; at least once.
    LongLine(usize),
    /// An error instead of everything.
    Error,
    /// An error after half of the pieces.
    ErrorMid,
    /// No text, finished for this reason.
    Finish(&'static str),
    /// The text, finished because it became too long.
    Length,
    /// What is no JSON, after half of the pieces; all the others follow.
    BadJson,
}

/// How an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    /// `data: `, and a line feed.
    Plain,
    /// Lines end like this.
    Lines(&'static str),
    /// Comments before, within and after.
    Comments,
    /// `data:` without a blank.
    NoSpace,
    /// A byte order mark before the first one.
    Bom,
    /// `event`, `id` and `retry` too.
    Fields,
    /// JSON over several lines.
    MultiLine,
    /// All that is not ASCII as `\u` escapes.
    Escaped,
    /// Each piece of text begins with a byte that UTF-8 does not have.
    BadUtf8,
}

/// The bytes of every event.
pub(super) fn parts(shape: Shape, frame: Frame, text: &str, usage: bool) -> Vec<Vec<u8>> {
    let events = shape.events(text, usage);
    events.iter().enumerate().map(|(n, event)| frame.bytes(event, n == 0)).collect()
}

/// Role and half of the pieces: what comes before a stream breaks.
pub(super) fn half(text: &str) -> Vec<Vec<u8>> {
    let pieces = split(text, PIECES);
    let half = &pieces[..pieces.len().div_ceil(2)];
    std::iter::once(role()).chain(half.iter().map(|piece| content(piece))).map(|event| plain(&event)).collect()
}

/// An event's bytes in the usual form.
pub(super) fn plain(event: &str) -> Vec<u8> {
    format!("data: {event}\n\n").into_bytes()
}

/// The first event.
pub(super) fn role() -> String {
    chunk(r#"{"role":"assistant","content":""}"#, "null")
}

/// An event with text.
pub(super) fn content(piece: &str) -> String {
    chunk(&format!(r#"{{"content":{}}}"#, quoted(piece)), "null")
}

/// The events after the text.
pub(super) fn ending(reason: &str, usage: bool) -> Vec<String> {
    let mut events = vec![chunk("{}", &quoted(reason))];
    events.extend(usage.then(used));
    events.push("[DONE]".to_owned());
    events
}

/// One whole answer.
pub(super) fn completion(text: &str) -> Value {
    json!({
        "id": "chatcmpl-stub", "object": "chat.completion", "created": 1_700_000_000, "model": "stub",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": usage(),
    })
}

/// An error as OpenAI words it.
pub(super) fn error(status: u16, message: &str) -> Value {
    let (kind, code) = match status {
        401 => ("invalid_request_error", "invalid_api_key"),
        404 => ("invalid_request_error", "model_not_found"),
        429 => ("requests", "rate_limit_exceeded"),
        500.. => ("server_error", "server_error"),
        _ => ("invalid_request_error", "invalid_request"),
    };
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}

/// The text in `count` pieces of nearly the same number of characters; in less where it has less characters.
pub(super) fn split(text: &str, count: usize) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let count = count.min(characters.len()).max(1);
    let place = |n: usize| n * characters.len() / count;
    (0..count).map(|n| characters[place(n)..place(n + 1)].iter().collect()).collect()
}

impl Shape {
    fn events(self, text: &str, usage: bool) -> Vec<String> {
        let pieces = split(text, PIECES);
        let half = pieces.len().div_ceil(2);
        let all = said(&pieces);
        let failed = || error(500, "the stub fails as it was told").to_string();
        match self {
            Self::Say => [all, ending("stop", usage)].concat(),
            Self::Pieces(length) => {
                let characters: Vec<char> = text.chars().collect();
                let pieces: Vec<String> = characters.chunks(length).map(|piece| piece.iter().collect()).collect();
                [said(&pieces), ending("stop", usage)].concat()
            }
            Self::NoDone => {
                let mut events = [all, ending("stop", usage)].concat();
                events.pop();
                events
            }
            Self::After => {
                let late = [content(" too late"), chunk("{}", r#""stop""#)];
                [all, ending("stop", usage), late.to_vec()].concat()
            }
            Self::Usage => {
                let empty = r#"{"id":"chatcmpl-stub","object":"chat.completion.chunk","choices":[]}"#.to_owned();
                let between = [empty, used(), chunk(r#"{"content":null}"#, "null"), chunk("{}", "null")];
                let events = all.into_iter().flat_map(|event| [between.to_vec(), vec![event]].concat()).collect();
                [events, ending("stop", true)].concat()
            }
            Self::Thoughts => {
                let thoughts = vec![role(), thought("Let me"), thought(" think"), chunk("{}", &quoted("length"))];
                [thoughts, detailed()].concat()
            }
            Self::Details => [all, vec![chunk("{}", &quoted("stop"))], detailed()].concat(),
            Self::Reasoning => {
                [vec![role(), thought("Let me"), thought(" think.")], all[1..].to_vec(), ending("stop", usage)].concat()
            }
            Self::LongLine(length) => {
                let times = ((length + 1) / (text.len() + 1)).max(1);
                [said(&[vec![text; times].join(" ")]), ending("stop", usage)].concat()
            }
            Self::Error => vec![failed()],
            Self::ErrorMid => [all[..=half].to_vec(), vec![failed()]].concat(),
            Self::Finish(reason) => [said(&[]), ending(reason, usage)].concat(),
            Self::Length => [all, ending("length", usage)].concat(),
            Self::BadJson => {
                let bad = r#"{"id":"chatcmpl-stub","choices":[{"delta":"#.to_owned();
                [all[..=half].to_vec(), vec![bad], all[half + 1..].to_vec(), ending("stop", usage)].concat()
            }
        }
    }
}

impl Frame {
    fn bytes(self, event: &str, first: bool) -> Vec<u8> {
        match self {
            Self::Lines(end) => format!("data: {event}{end}{end}").into_bytes(),
            Self::Comments => format!(": ping\n\n:\n:data: no\ndata: {event}\n: pong\n\n: ping\n\n").into_bytes(),
            Self::NoSpace => format!("data:{event}\n\n").into_bytes(),
            Self::Bom if first => format!("\u{feff}data: {event}\n\n").into_bytes(),
            Self::Plain | Self::Bom => plain(event),
            Self::Fields => format!("event: message\nid: 7\nretry: 3000\ndata: {event}\nx-field: 1\n\n").into_bytes(),
            Self::MultiLine => {
                let value: Option<Value> = serde_json::from_str(event).ok();
                let lines = value.map_or_else(|| event.to_owned(), |value| format!("{value:#}"));
                format!("data: {}\n\n", lines.replace('\n', "\ndata: ")).into_bytes()
            }
            Self::Escaped => {
                let escaped = |unit: u16| match u8::try_from(unit) {
                    Ok(byte) if byte.is_ascii() => char::from(byte).to_string(),
                    Ok(_) | Err(_) => format!("\\u{unit:04x}"),
                };
                plain(&event.encode_utf16().map(escaped).collect::<String>())
            }
            Self::BadUtf8 => {
                let marked = event.replace(r#""content":""#, "\"content\":\"\u{fffd}");
                let bytes: Vec<&[u8]> = marked.split('\u{fffd}').map(str::as_bytes).collect();
                [b"data: ", bytes.join(&0xff).as_slice(), b"\n\n"].concat()
            }
        }
    }
}

/// Role and text.
fn said(pieces: &[String]) -> Vec<String> {
    std::iter::once(role()).chain(pieces.iter().map(|piece| content(piece))).collect()
}

fn chunk(delta: &str, finish: &str) -> String {
    envelope(&format!(r#"{{"index":0,"delta":{delta},"finish_reason":{finish}}}"#), "null")
}

/// An event with a thought.
fn thought(piece: &str) -> String {
    chunk(&format!(r#"{{"content":null,"reasoning_content":{}}}"#, quoted(piece)), "null")
}

/// What follows the end of a text, with a usage that says what it was made of.
fn detailed() -> Vec<String> {
    let mut usage = usage();
    usage["prompt_tokens_details"] = json!({"cached_tokens": 5, "audio_tokens": 0});
    usage["completion_tokens_details"] = json!({"reasoning_tokens": 3});
    vec![envelope("", &usage.to_string()), "[DONE]".to_owned()]
}

fn used() -> String {
    envelope("", &usage().to_string())
}

/// Put together as text, since it is made for every piece of a thousand streams.
fn envelope(choices: &str, usage: &str) -> String {
    let head = r#"{"id":"chatcmpl-stub","object":"chat.completion.chunk","created":1700000000,"model":"stub""#;
    format!(r#"{head},"choices":[{choices}],"usage":{usage}}}"#)
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn usage() -> Value {
    json!({"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18})
}

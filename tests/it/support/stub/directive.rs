//! What a message asks for: `[[once slow MS directive args]] reply text`.

use std::time::Duration;

use serde_json::Value;

use super::script::{Frame, Shape};

/// The reply where a directive brings no text.
const WORDS: usize = 8;

/// How a request is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directive {
    /// `once`: only the first time that this very message comes; every later time as `say`.
    pub(super) once: bool,
    /// `slow MS`: the wait before the first byte.
    pub(super) slow: Duration,
    /// `mirror`: a message that brings no directive is answered with itself, without `echo: `.
    pub(super) mirror: bool,
    pub(super) behaviour: Behaviour,
}

/// What the answer is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// An event stream without pauses, in a chunked body that is whole as far as HTTP goes.
    Script(Shape, Frame),
    /// An answer that is no event stream.
    Plain(Plain),
    /// A good stream, cut or paced in its own way.
    Paced(Paced),
    /// A connection, or HTTP, that fails.
    Broken(Broken),
}

/// No event stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plain {
    /// `json`: one completion, whether or not a stream was wanted.
    Json,
    /// `status CODE [retry-after VALUE]`: an error as OpenAI words it.
    Status { code: u16, retry_after: Option<String> },
    /// `refuse WORD`: 400 with this word as the error's code.
    Refuse(String),
    /// `html`: 200 with a page.
    Html,
    /// `gzip`: an encoding that nobody asked for.
    Gzip,
    /// `redirect URL`: 307.
    Redirect(String),
    /// `headers`: 300 KB of them before a good stream.
    Headers,
    /// `switch`: 101, then nothing.
    Switch,
}

/// A good stream in its own time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Paced {
    /// `tokens N MS`: so many pieces, one every MS, on a schedule that does not drift; the first at once.
    Tokens { count: usize, gap: Duration },
    /// `cut N [chunked]`: the body in two writes, without framing or with a chunk each.
    Cut { at: usize, chunked: bool },
    /// `bytes`: every byte of head and body in a write of its own; the body ends with the connection.
    Bytes,
    /// `gate NAME`: head and role at once, then each word when the gate lets it go.
    Gate(String),
    /// `keepalive [N MS]`: so many comments before the first event.
    KeepAlive { count: usize, gap: Duration },
    /// `drip MS`: every byte of the head MS after the one before.
    Drip(Duration),
    /// `endless`: tokens as fast as they are taken.
    Endless,
    /// `hugeline`: 12 MB without an end of line.
    HugeLine,
}

/// What fails below the event stream. "Half" is the first half of the text's four pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// `reset`: RST instead of a head.
    Reset,
    /// `resetmid`: half, then RST.
    ResetMid,
    /// `eofmid`: half of a chunked body, then the end of the connection.
    EofMid,
    /// `eofclean`: half of a body that ends with the connection.
    EofClean,
    /// `stall`: no head, for ever.
    Stall,
    /// `stallhead`: the head, then nothing.
    StallHead,
    /// `stallmid`: half, then nothing.
    StallMid,
    /// `badchunk`: half, then a chunk whose size is no number.
    BadChunk,
}

/// A request for a completion.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) directive: Directive,
    /// The message that chose the directive, in full.
    pub(super) message: String,
    /// The reply text; empty where the directive brings none.
    text: String,
    /// An event stream is wanted.
    pub(super) stream: bool,
    /// The usage is wanted in it.
    pub(super) usage: bool,
}

impl Default for Directive {
    fn default() -> Self {
        let behaviour = Behaviour::Script(Shape::Say, Frame::Plain);
        Self { once: false, slow: Duration::ZERO, mirror: false, behaviour }
    }
}

impl Directive {
    /// The directive in these words, which stand without their brackets; an error that names what is unknown.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut directive = Self::default();
        let words: Vec<&str> = text.split_whitespace().collect();
        let mut words = words.as_slice();
        loop {
            match words {
                ["once", rest @ ..] => (directive.once, words) = (true, rest),
                ["slow", wait, rest @ ..] => (directive.slow, words) = (millis(wait)?, rest),
                ["mirror", rest @ ..] => (directive.mirror, words) = (true, rest),
                [] => return Ok(directive),
                words => {
                    let behaviour = streamed(words).or_else(|| plain(words)).or_else(|| paced(words));
                    let behaviour = behaviour.or_else(|| broken(words));
                    directive.behaviour = behaviour.ok_or_else(|| format!("no directive: {text}"))?;
                    return Ok(directive);
                }
            }
        }
    }
}

impl Order {
    /// Reads a request's body.
    pub(super) fn of(body: &Value, default: &Directive) -> Result<Self, String> {
        let messages = body["messages"].as_array().ok_or("messages: missing")?;
        let last = messages.iter().rfind(|message| message["role"] == "user").ok_or("messages: none of the user")?;
        let message = content(&last["content"]).ok_or("content: neither a text nor parts")?;
        let (directive, text) = match message.strip_prefix("[[").and_then(|rest| rest.split_once("]]")) {
            Some((words, text)) => (Directive::parse(words)?, text.strip_prefix(' ').unwrap_or(text).to_owned()),
            None if default.mirror => (default.clone(), message.clone()),
            None => (default.clone(), format!("echo: {message}")),
        };
        let (stream, usage) = (body["stream"] == true, body["stream_options"]["include_usage"] == true);
        Ok(Self { directive, message, text, stream, usage })
    }

    /// The reply text, or `w1 w2 … w8` where the directive brings none.
    pub(super) fn text(&self) -> String {
        if self.text.is_empty() { self.tokens(WORDS).concat() } else { self.text.clone() }
    }

    /// The text in exactly `count` pieces. Where it has less characters, it is the first piece; where it is empty, that is
    /// `w1`; then ` w2` follows, and so on.
    pub(super) fn tokens(&self, count: usize) -> Vec<String> {
        if self.text.chars().count() >= count {
            return super::script::split(&self.text, count);
        }
        let first = if self.text.is_empty() { "w1".to_owned() } else { self.text.clone() };
        std::iter::once(first).chain((2..=count).map(|n| format!(" w{n}"))).collect()
    }
}

/// A message's content: a text, or parts of which some are.
fn content(content: &Value) -> Option<String> {
    let parts = || Some(content.as_array()?.iter().filter_map(|part| part["text"].as_str()).collect());
    content.as_str().map(str::to_owned).or_else(parts)
}

fn streamed(words: &[&str]) -> Option<Behaviour> {
    let (shape, frame) = match *words {
        ["say"] => (Shape::Say, Frame::Plain),
        ["pieces", n] => (Shape::Pieces(n.parse().ok().filter(|&n| n > 0)?), Frame::Plain),
        ["nodone"] => (Shape::NoDone, Frame::Plain),
        ["after"] => (Shape::After, Frame::Plain),
        ["usage"] => (Shape::Usage, Frame::Plain),
        ["reasoning"] => (Shape::Reasoning, Frame::Plain),
        ["thoughts"] => (Shape::Thoughts, Frame::Plain),
        ["details"] => (Shape::Details, Frame::Plain),
        ["longline"] => (Shape::LongLine(64 * 1024), Frame::Plain),
        ["longline", n] => (Shape::LongLine(n.parse().ok()?), Frame::Plain),
        ["error200"] => (Shape::Error, Frame::Plain),
        ["errormid"] => (Shape::ErrorMid, Frame::Plain),
        ["empty"] => (Shape::Finish("stop"), Frame::Plain),
        ["filter"] => (Shape::Finish("content_filter"), Frame::Plain),
        ["length"] => (Shape::Length, Frame::Plain),
        ["badjson"] => (Shape::BadJson, Frame::Plain),
        ["crlf"] => (Shape::Say, Frame::Lines("\r\n")),
        ["cr"] => (Shape::Say, Frame::Lines("\r")),
        ["comments"] => (Shape::Say, Frame::Comments),
        ["nospace"] => (Shape::Say, Frame::NoSpace),
        ["bom"] => (Shape::Say, Frame::Bom),
        ["events"] => (Shape::Say, Frame::Fields),
        ["multiline"] => (Shape::Say, Frame::MultiLine),
        ["escaped"] => (Shape::Say, Frame::Escaped),
        ["badutf8"] => (Shape::Say, Frame::BadUtf8),
        _ => return None,
    };
    Some(Behaviour::Script(shape, frame))
}

fn plain(words: &[&str]) -> Option<Behaviour> {
    let plain = match *words {
        ["json"] => Plain::Json,
        ["status", code] => Plain::Status { code: code.parse().ok()?, retry_after: None },
        ["status", code, "retry-after", ref value @ ..] => {
            Plain::Status { code: code.parse().ok()?, retry_after: Some(value.join(" ")) }
        }
        ["refuse", word] => Plain::Refuse(word.to_owned()),
        ["html"] => Plain::Html,
        ["gzip"] => Plain::Gzip,
        ["redirect", url] => Plain::Redirect(url.to_owned()),
        ["headers"] => Plain::Headers,
        ["switch"] => Plain::Switch,
        _ => return None,
    };
    Some(Behaviour::Plain(plain))
}

fn paced(words: &[&str]) -> Option<Behaviour> {
    let paced = match *words {
        ["tokens", count, gap] => {
            Paced::Tokens { count: count.parse().ok().filter(|&count| count > 0)?, gap: millis(gap).ok()? }
        }
        ["cut", at] => Paced::Cut { at: at.parse().ok()?, chunked: false },
        ["cut", at, "chunked"] => Paced::Cut { at: at.parse().ok()?, chunked: true },
        ["bytes"] => Paced::Bytes,
        ["gate", name] => Paced::Gate(name.to_owned()),
        ["keepalive"] => Paced::KeepAlive { count: 10, gap: Duration::from_millis(20) },
        ["keepalive", count, gap] => Paced::KeepAlive { count: count.parse().ok()?, gap: millis(gap).ok()? },
        ["drip", gap] => Paced::Drip(millis(gap).ok()?),
        ["endless"] => Paced::Endless,
        ["hugeline"] => Paced::HugeLine,
        _ => return None,
    };
    Some(Behaviour::Paced(paced))
}

fn broken(words: &[&str]) -> Option<Behaviour> {
    let broken = match *words {
        ["reset"] => Broken::Reset,
        ["resetmid"] => Broken::ResetMid,
        ["eofmid"] => Broken::EofMid,
        ["eofclean"] => Broken::EofClean,
        ["stall"] => Broken::Stall,
        ["stallhead"] => Broken::StallHead,
        ["stallmid"] => Broken::StallMid,
        ["badchunk"] => Broken::BadChunk,
        _ => return None,
    };
    Some(Behaviour::Broken(broken))
}

fn millis(word: &str) -> Result<Duration, String> {
    word.parse().map(Duration::from_millis).map_err(|_| format!("no number of milliseconds: {word}"))
}

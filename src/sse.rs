//! Event-stream frames (`text/event-stream`), both ways: what an upstream sends is decoded, what clients get is encoded.
//!
//! Knows nothing of what the events say. Bytes may be cut anywhere: lines are put together before they are read as UTF-8,
//! so a character that arrives in two pieces stays whole.

use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;

/// Most bytes of one event, or of one line that is no event. What is larger is no answer to a chat.
pub const EVENT_BYTES_MAX: usize = 1 << 20;

/// A comment: it says nothing, and shows both ends that the connection lives.
pub const HEARTBEAT: &[u8] = b":\n\n";

/// Characters that JSON may have as they are, and some clients take for the end of a line.
const LINE_ENDS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];

/// Writes `value` as JSON of one line, whoever counts the lines.
///
/// # Panics
/// Where `value` is no JSON.
pub fn json(value: &impl Serialize, out: &mut Vec<u8>) {
    let mut serializer = serde_json::Serializer::with_formatter(out, OneLine);
    value.serialize(&mut serializer).expect("what is told is JSON, and memory takes it");
}

/// JSON without spaces, in which [`LINE_ENDS`] are escaped.
struct OneLine;

impl Formatter for OneLine {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, out: &mut W, mut fragment: &str) -> io::Result<()> {
        while let Some(at) = fragment.find(LINE_ENDS) {
            let (before, rest) = fragment.split_at(at);
            out.write_all(before.as_bytes())?;
            let mut rest = rest.chars();
            if let Some(end) = rest.next() {
                write!(out, "\\u{:04x}", u32::from(end))?;
            }
            fragment = rest.as_str();
        }
        out.write_all(fragment.as_bytes())
    }
}

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// Its name; empty where it has none.
    pub name: String,
    /// Its data lines, joined by line feeds.
    pub data: String,
}

/// Why bytes are no stream of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// One event is over [`EVENT_BYTES_MAX`].
    #[error("an event of the stream is over {EVENT_BYTES_MAX} bytes")]
    TooLong,
    /// A line is not UTF-8.
    #[error("a line of the stream is not UTF-8")]
    NotUtf8,
}

/// Puts events together from bytes that are cut anywhere.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The line that is not yet at its end.
    line: Vec<u8>,
    event: Event,
    has_data: bool,
    /// The last byte was a CR: an LF behind it is part of the same line end.
    after_cr: bool,
    /// The first line, which alone may begin with a byte order mark, is over.
    begun: bool,
}

impl Decoder {
    /// Takes from the front of `bytes` until an event is complete, and gives it; nothing where all is taken before.
    ///
    /// # Errors
    /// [`DecodeError`]; nothing can be decoded after one.
    pub fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Event>, DecodeError> {
        while let Some(first) = bytes.first() {
            if std::mem::take(&mut self.after_cr) && *first == b'\n' {
                *bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let part = &bytes[..end.unwrap_or(bytes.len())];
            if self.line.len() + part.len() + self.event.data.len() > EVENT_BYTES_MAX {
                return Err(DecodeError::TooLong);
            }
            self.line.extend_from_slice(part);
            let Some(end) = end else {
                *bytes = &[];
                break;
            };
            self.after_cr = bytes[end] == b'\r';
            *bytes = &bytes[end + 1..];
            if let Some(event) = self.end_line()? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// The last event, where the stream ended well but without the blank line that should stand behind each.
    ///
    /// # Errors
    /// [`DecodeError::NotUtf8`]
    pub fn finish(mut self) -> Result<Option<Event>, DecodeError> {
        if !self.line.is_empty() {
            self.end_line()?;
        }
        Ok(self.take_event())
    }

    /// Reads the line that is complete now; a blank one completes the event.
    fn end_line(&mut self) -> Result<Option<Event>, DecodeError> {
        let line = std::mem::take(&mut self.line);
        let mut text = str::from_utf8(&line).map_err(|_| DecodeError::NotUtf8)?;
        if !std::mem::replace(&mut self.begun, true) {
            text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        }
        if text.is_empty() {
            return Ok(self.take_event());
        }
        let (field, value) = text.split_once(':').unwrap_or((text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            "event" => value.clone_into(&mut self.event.name),
            _ => {} // A comment, or a field that says nothing here.
        }
        Ok(None)
    }

    /// The event so far; without a data line it is none.
    fn take_event(&mut self) -> Option<Event> {
        let event = std::mem::take(&mut self.event);
        std::mem::take(&mut self.has_data).then_some(event)
    }
}

/// Adds one event to `out`. `event` is its name; `data` has no line breaks, as JSON has none.
pub fn frame(event: &str, id: Option<u64>, data: &[u8], out: &mut Vec<u8>) {
    debug_assert!(!data.contains(&b'\n') && !data.contains(&b'\r') && !event.contains(['\n', '\r']));
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(event.as_bytes());
    if let Some(id) = id {
        out.extend_from_slice(format!("\nid: {id}").as_bytes());
    }
    out.extend_from_slice(b"\ndata: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Streams, and their events as (name, data).
    const CORPUS: [(&str, &[(&str, &str)]); 12] = [
        ("data: a\n\ndata: b\n\n", &[("", "a"), ("", "b")]),
        ("data: a\r\n\r\ndata: b\r\n\r\n", &[("", "a"), ("", "b")]),
        ("data: a\r\rdata: b\r\r", &[("", "a"), ("", "b")]),
        ("data: a\r\n\rdata: b\n\r\n", &[("", "a"), ("", "b")]),
        ("data:a\n\ndata:  b\n\ndata\n\ndata:\n\n", &[("", "a"), ("", " b"), ("", ""), ("", "")]),
        ("event: x\ndata: 1\r\ndata: 2\rdata:\ndata: 3\n\n", &[("x", "1\n2\n\n3")]),
        ("\u{feff}data: a\n\n\u{feff}data: b\n\n", &[("", "a")]),
        (": hello\n\nevent: ping\n\n:\ndata: a\n:data: b\n\n", &[("", "a")]),
        ("id: 7\nretry: 9\ndata: a\nunknown: x\nDATA: y\n\n", &[("", "a")]),
        ("data: আমি ভালো আছি\n\ndata: मैं ठीक हूँ 🙂🏽\r\n\r\n", &[("", "আমি ভালো আছি"), ("", "मैं ठीक हूँ 🙂🏽")]),
        ("data: a: b\n\ndata: last", &[("", "a: b"), ("", "last")]),
        ("\n\n\r\n", &[]),
    ];

    fn decode<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> Result<Vec<Event>, DecodeError> {
        let mut decoder = Decoder::default();
        let mut events = Vec::new();
        for mut piece in pieces {
            while let Some(event) = decoder.next(&mut piece)? {
                events.push(event);
            }
            assert!(piece.is_empty());
        }
        events.extend(decoder.finish()?);
        Ok(events)
    }

    #[test]
    fn the_same_events_come_wherever_the_bytes_are_cut() {
        for (stream, wanted) in CORPUS {
            let wanted: Vec<_> =
                wanted.iter().map(|(name, data)| Event { name: (*name).into(), data: (*data).into() }).collect();
            let bytes = stream.as_bytes();
            for cut in 0..=bytes.len() {
                assert_eq!(decode([&bytes[..cut], &bytes[cut..]]).unwrap(), wanted, "{stream:?} cut at {cut}");
            }
            assert_eq!(decode(bytes.chunks(1)).unwrap(), wanted, "{stream:?} byte by byte");
        }
    }

    #[test]
    fn what_is_not_utf8_is_an_error_wherever_it_is_cut() {
        for bytes in [&b"data: \xe0\xa6\n\n"[..], b": \xff\n\n", b"data: a\xf0\x9f", b"data: \xed\xa0\x80\n"] {
            for cut in 0..=bytes.len() {
                assert_eq!(decode([&bytes[..cut], &bytes[cut..]]), Err(DecodeError::NotUtf8));
            }
        }
    }

    #[test]
    fn an_event_may_have_a_mebibyte_and_no_more() {
        let data = |bytes: usize| format!("data: {}\n\n", "x".repeat(bytes)).into_bytes();
        let most = EVENT_BYTES_MAX - "data: ".len();
        assert_eq!(decode([&data(most)[..], &data(most)[..]]).unwrap().len(), 2);
        for pieces in [1, 4096, EVENT_BYTES_MAX * 2] {
            assert_eq!(decode(data(most + 1).chunks(pieces)), Err(DecodeError::TooLong));
        }
        let lines = "data: x\n".repeat(EVENT_BYTES_MAX);
        assert_eq!(decode([lines.as_bytes()]), Err(DecodeError::TooLong), "many lines are one event");
        let comments = ": nothing\n".repeat(EVENT_BYTES_MAX / 4);
        assert_eq!(decode([comments.as_bytes()]).unwrap(), [], "comments are not kept");
    }

    #[test]
    fn events_before_a_fault_are_given() {
        let mut decoder = Decoder::default();
        let mut bytes = &b"data: a\n\ndata: \xff\n\n"[..];
        assert_eq!(decoder.next(&mut bytes).unwrap().unwrap().data, "a");
        assert_eq!(decoder.next(&mut bytes), Err(DecodeError::NotUtf8));
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        let mut bytes = Vec::new();
        frame("delta", None, b"{}", &mut bytes);
        bytes.extend_from_slice(HEARTBEAT);
        frame("message", Some(7), "\"আ\"".as_bytes(), &mut bytes);
        assert_eq!(
            str::from_utf8(&bytes).unwrap(),
            "event: delta\ndata: {}\n\n:\n\nevent: message\nid: 7\ndata: \"আ\"\n\n"
        );
        let events = decode([&bytes[..]]).unwrap();
        let events: Vec<_> = events.iter().map(|event| (event.name.as_str(), event.data.as_str())).collect();
        assert_eq!(events, [("delta", "{}"), ("message", "\"আ\"")]);
    }
}

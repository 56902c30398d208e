//! What must hold for streams of events, whatever a server sends and however it is cut.

use crate::sse::{DecodeError, Decoder, EVENT_BYTES_MAX, Event, frame};

/// The first two bytes say where the others are cut.
pub(super) fn events(input: &[u8]) {
    let Some(([cut, every], stream)) = input.split_first_chunk::<2>() else { return };
    let wanted = by_the_book(stream);
    assert_eq!(decode([stream]), wanted, "in one piece");
    assert_eq!(decode(stream.chunks(1)), wanted, "byte by byte");
    assert_eq!(decode(stream.chunks(usize::from(*every) + 1)), wanted, "in pieces of {}", every + 1);
    let (one, other) = stream.split_at(usize::from(*cut).min(stream.len()));
    assert_eq!(decode([one, other]), wanted, "cut at {cut}");
    // Lines of some length, so that a megabyte of them is soon read.
    if [*cut, *every] == [254, 255] && !stream.is_empty() && lines(stream).len() * 64 <= stream.len() + 64 {
        bounds(stream);
    }
    if let (Ok(name), Ok(data)) = (str::from_utf8(one), str::from_utf8(other)) {
        comes_back(name, data);
    }
}

type Decoded = (Vec<Event>, Result<(), DecodeError>);

fn decode<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> Decoded {
    let (mut decoder, mut events) = (Decoder::default(), Vec::new());
    for mut piece in pieces {
        loop {
            match decoder.next(&mut piece) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Err(error)),
            }
        }
        assert!(piece.is_empty(), "bytes are left behind");
    }
    match decoder.finish() {
        Ok(last) => events.extend(last),
        Err(error) => return (events, Err(error)),
    }
    (events, Ok(()))
}

/// The events of a whole stream, read line by line as the standard puts it, and kept where its end lacks a blank line.
fn by_the_book(stream: &[u8]) -> Decoded {
    let (mut events, mut name, mut data) = (Vec::new(), String::new(), Vec::new());
    for (n, line) in lines(stream).into_iter().enumerate() {
        let Ok(line) = str::from_utf8(line) else { return (events, Err(DecodeError::NotUtf8)) };
        let line = if n == 0 { line.strip_prefix('\u{feff}').unwrap_or(line) } else { line };
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match field {
            "" if line.is_empty() => {
                if !data.is_empty() {
                    events.push(Event { name: name.clone(), data: data.join("\n") });
                }
                (name, data) = (String::new(), Vec::new());
            }
            "data" => data.push(value),
            "event" => name = value,
            _ => {}
        }
    }
    if !data.is_empty() {
        events.push(Event { name, data: data.join("\n") });
    }
    (events, Ok(()))
}

/// Lines end with CR LF, LF or CR; what stands behind the last end is a line where it is not empty.
fn lines(stream: &[u8]) -> Vec<&[u8]> {
    let (mut lines, mut begin, mut at) = (Vec::new(), 0, 0);
    while at < stream.len() {
        let end = match &stream[at..] {
            [b'\r', b'\n', ..] => 2,
            [b'\r' | b'\n', ..] => 1,
            _ => 0,
        };
        if end > 0 {
            lines.push(&stream[begin..at]);
            begin = at + end;
        }
        at += end.max(1);
    }
    if begin < stream.len() {
        lines.push(&stream[begin..]);
    }
    lines
}

/// The same bytes over and over: an event that never ends is given up, and none is larger than the bound.
fn bounds(stream: &[u8]) {
    let piece = stream.repeat((1 << 14) / stream.len() + 1);
    let (mut decoder, mut taken) = (Decoder::default(), 0);
    while taken < 2 * EVENT_BYTES_MAX {
        let mut bytes = &piece[..];
        loop {
            match decoder.next(&mut bytes) {
                Ok(Some(event)) => assert!(event.data.len() <= EVENT_BYTES_MAX, "an event is over its bound"),
                Ok(None) => break,
                Err(_) => return,
            }
        }
        taken += piece.len();
    }
    assert!(stream.contains(&b'\n') || stream.contains(&b'\r'), "a line without an end is not given up");
}

/// What is sent to clients reads back as it was.
fn comes_back(name: &str, data: &str) {
    if [name, data].iter().any(|text| text.contains(['\n', '\r'])) {
        return;
    }
    let mut bytes = Vec::new();
    for id in [None, Some(7)] {
        frame(name, id, data.as_bytes(), &mut bytes);
    }
    let event = Event { name: name.to_owned(), data: data.to_owned() };
    assert_eq!(decode([&bytes[..]]), (vec![event.clone(), event], Ok(())));
}

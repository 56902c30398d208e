//! What must hold for the answers of a model's server, whatever it sends and however that is cut.

use std::ops::ControlFlow;

use serde_json::Value;

use super::{
    failure::Failure,
    stream::{Progress, Reading, Spoken, Whole},
};
use crate::{completions::Completion, reply::REPLY_BYTES_MAX};

/// The first two bytes say how the answer ends and where it is cut; the others are the answer.
pub(crate) fn answers(input: &[u8]) {
    let Some(([how, cut], answer)) = input.split_first_chunk::<2>() else { return };
    let is_delimited = how % 2 == 0;
    let wanted = stream([answer], is_delimited);
    let (one, other) = answer.split_at(usize::from(*cut).min(answer.len()));
    assert_eq!(stream([one, other], is_delimited), wanted, "cut at {cut}");
    assert_eq!(stream(answer.chunks(1), is_delimited), wanted, "byte by byte");
    assert_eq!(stream(answer.chunks(usize::from(*how) + 1), is_delimited), wanted, "in pieces of {how} and one");
    if let Ok(piece) = Completion::read(answer) {
        piece_says(&piece, answer);
    }
    let in_one = whole([answer]);
    assert_eq!(whole(answer.chunks(usize::from(*cut) + 1)), in_one, "in pieces");
    if in_one.1.is_ok() {
        assert!(!in_one.0.trim().is_empty(), "a reply has text");
    }
}

/// What was said, and how the answer ended: well, or with the words for the log.
type Told = (String, Result<(), String>);

fn stream<'b>(pieces: impl IntoIterator<Item = &'b [u8]>, is_delimited: bool) -> Told {
    let mut text = String::new();
    let mut sink = |piece: &str| {
        assert!(!piece.is_empty(), "nothing is passed on");
        text.push_str(piece);
        ControlFlow::Continue(())
    };
    let mut spoken = Spoken::new(&mut sink);
    let ended = read(pieces, is_delimited, &mut spoken);
    let begun = spoken.has_begun();
    assert_eq!(begun, !text.is_empty(), "text was passed on before it began");
    assert!(!begun || !text.trim().is_empty(), "white space is no reply");
    assert!(ended.is_err() || begun, "an answer without text ends well");
    (text, ended.map_err(for_log))
}

fn read<'b>(
    pieces: impl IntoIterator<Item = &'b [u8]>,
    is_delimited: bool,
    spoken: &mut Spoken<'_, '_>,
) -> Result<(), Failure> {
    let mut reading = Reading::default();
    for piece in pieces {
        if reading.take(piece, spoken)? >= Progress::Over {
            return spoken.outcome();
        }
    }
    reading.end(is_delimited, spoken)
}

fn whole<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> Told {
    let mut text = String::new();
    let mut sink = |piece: &str| {
        text.push_str(piece);
        ControlFlow::Continue(())
    };
    let mut answer = Whole::default();
    let ended = pieces.into_iter().try_for_each(|piece| answer.take(piece));
    let ended = ended.and_then(|()| answer.end(&mut Spoken::new(&mut sink)));
    (text, ended.map_err(for_log))
}

/// Nothing that a server wrote as text goes into the log: words of a known form only.
fn for_log(failure: Failure) -> String {
    let cause = failure.into_error().cause;
    let known = |c: char| c.is_ascii_alphanumeric() || " ._-+(),:;/\"".contains(c);
    assert!(cause.chars().all(known), "the log is told {cause:?}");
    assert!(cause.len() < REPLY_BYTES_MAX);
    cause
}

/// What a piece says is what its JSON says, read another way.
fn piece_says(piece: &Completion, json: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(json) else { return };
    // A list stands for an object in serde, and means nothing here.
    let choices = value.get("choices").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let first = choices.iter().find(|choice| choice.get("index").and_then(Value::as_u64).unwrap_or(0) == 0);
    let Some(first) = first.filter(|_| choices.iter().all(Value::is_object)) else { return };
    let said = [first.get("delta"), first.get("message")].into_iter().flatten().find(|said| !said.is_null());
    if let Some(Value::String(text)) = said.and_then(|said| said.get("content")) {
        assert_eq!(piece.text(), *text, "text is lost or changed");
    }
    let ends = first.get("finish_reason").and_then(Value::as_str).is_some_and(|reason| !reason.is_empty());
    assert_eq!(piece.finish_reason().is_some(), ends);
}

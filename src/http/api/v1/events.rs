//! The events of a response's stream. Their numbers follow from the pieces of its text, which are fixed once they were shown:
//! 0 created, 1 in progress, 2 and 3 the item and its part, 4 and on the pieces, and then what ends it all. So a stream that is
//! read again, from any place on, has the same numbers.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::shape::{End, Subject, output_text};
use crate::{chat::How, http::problem::Problem, sse};

/// The number of the first piece.
const PIECES: u64 = 4;
/// What ends every stream, however much of it was seen. It is no event, and has no number.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// Words the events of one response, for who has seen those up to a number.
pub(super) struct Teller {
    subject: Subject,
    /// The number of the last event that was seen; nothing: none was.
    seen: Option<u64>,
    /// The data of a piece up to its number, and between that and its text.
    piece: (Vec<u8>, Vec<u8>),
    /// How many pieces there were.
    pieces: u64,
}

impl Teller {
    /// For `subject`, of which events up to the number `seen` are not told.
    pub(super) fn new(subject: Subject, seen: Option<u64>) -> Self {
        let head =
            "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":";
        let place = format!(
            ",\"item_id\":\"{}\",\"output_index\":0,\"content_index\":0,\"logprobs\":[],\"delta\":",
            subject.item
        );
        Self { subject, seen, piece: (head.as_bytes().to_vec(), place.into_bytes()), pieces: 0 }
    }

    /// The number of the first piece that is told.
    pub(super) fn first_piece(seen: Option<u64>) -> usize {
        let first = seen.map_or(0, |seen| seen.saturating_add(1).saturating_sub(PIECES));
        usize::try_from(first).unwrap_or(usize::MAX)
    }

    /// This model makes the response, as far as is known.
    pub(super) fn made_by(&mut self, model: Option<String>) {
        if let Some(model) = model {
            self.subject.model = model;
        }
    }

    /// What comes before the text.
    pub(super) fn begin(&self, out: &mut Vec<u8>) {
        if self.seen.is_some_and(|seen| seen >= 1) {
            return;
        }
        let response = self.subject.object(None);
        for (number, name) in [(0, "response.created"), (1, "response.in_progress")] {
            self.event(number, name, json!({"response": response}), out);
        }
    }

    /// A piece of the text, by its number.
    pub(super) fn piece(&mut self, number: usize, text: &str, out: &mut Vec<u8>) {
        if number == 0 {
            self.item_begins(out);
        }
        self.pieces = number as u64 + 1;
        let number = PIECES + number as u64;
        if !self.is_new(number) {
            return;
        }
        out.extend_from_slice(&self.piece.0);
        sse::json(&number, out);
        out.extend_from_slice(&self.piece.1);
        sse::json(&text, out);
        out.extend_from_slice(b"}\n\n");
    }

    /// The end; `pieces` is how many pieces the text has.
    pub(super) fn end(&self, end: &End<'_>, pieces: usize, out: &mut Vec<u8>) {
        let mut number = 2;
        if end.has_item() {
            if pieces == 0 {
                self.item_begins(out);
            }
            number = PIECES + pieces as u64;
            self.item_ends(end, number, out);
            number += 3;
        }
        let name = match end.how {
            How::Completed => "response.completed",
            How::TooLong | How::Filtered | How::Cancelled => "response.incomplete",
            How::Failed { .. } => "response.failed",
        };
        self.event(number, name, json!({"response": self.subject.object(Some(end))}), out);
        out.extend_from_slice(DONE);
    }

    /// The end of a stream that can't go on. Where the response is still there, that is no event of it: it has the number of
    /// the last one that was told, so that who goes on behind it misses none.
    pub(super) fn fail(&self, problem: &Problem, out: &mut Vec<u8>) {
        let error: Value = serde_json::from_slice(&problem.openai_json()).unwrap_or_default();
        let error = &error["error"];
        let told = if self.pieces == 0 { 1 } else { PIECES + self.pieces - 1 };
        let last = self.seen.map_or(told, |seen| told.max(seen));
        let is_gone = problem.openai_status() == StatusCode::NOT_FOUND;
        let number = if is_gone { last.saturating_add(1) } else { last };
        let data = json!({"code": error["code"], "message": error["message"], "param": error["param"]});
        tell(number, "error", data, out);
        out.extend_from_slice(DONE);
    }

    fn item_begins(&self, out: &mut Vec<u8>) {
        let item = &self.subject.item;
        let message =
            json!({"id": item, "type": "message", "role": "assistant", "status": "in_progress", "content": []});
        self.event(2, "response.output_item.added", json!({"output_index": 0, "item": message}), out);
        self.event(3, "response.content_part.added", self.of_part(json!({"part": output_text("")})), out);
    }

    fn item_ends(&self, end: &End<'_>, number: u64, out: &mut Vec<u8>) {
        let text = self.of_part(json!({"text": end.text, "logprobs": []}));
        self.event(number, "response.output_text.done", text, out);
        self.event(number + 1, "response.content_part.done", self.of_part(json!({"part": output_text(end.text)})), out);
        let item = json!({"output_index": 0, "item": self.subject.message(end)});
        self.event(number + 2, "response.output_item.done", item, out);
    }

    fn of_part(&self, mut data: Value) -> Value {
        data["item_id"] = json!(self.subject.item);
        data["output_index"] = json!(0);
        data["content_index"] = json!(0);
        data
    }

    fn event(&self, number: u64, name: &str, data: Value, out: &mut Vec<u8>) {
        if self.is_new(number) {
            tell(number, name, data, out);
        }
    }

    fn is_new(&self, number: u64) -> bool {
        self.seen.is_none_or(|seen| number > seen)
    }
}

fn tell(number: u64, name: &str, mut data: Value, out: &mut Vec<u8>) {
    data["type"] = json!(name);
    data["sequence_number"] = json!(number);
    let mut line = Vec::new();
    sse::json(&data, &mut line);
    sse::frame(name, None, &line, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{http::api::v1::wire::Echo, reply::Sampling};

    fn subject() -> Subject {
        Subject {
            id: "resp_1".to_owned(),
            item: "msg_1".to_owned(),
            created_at: 7,
            model: "m".to_owned(),
            instructions: None,
            sampling: Sampling::default(),
            echo: Echo::default(),
            stored: true,
            conversation: None,
        }
    }

    /// The numbers and types of all events behind `seen`, and their bytes.
    fn told(pieces: &[&str], how: &How, seen: Option<u64>) -> (Vec<(u64, String)>, Vec<String>) {
        let mut teller = Teller::new(subject(), seen);
        let mut out = Vec::new();
        teller.begin(&mut out);
        for (n, piece) in pieces.iter().enumerate().skip(Teller::first_piece(seen)) {
            teller.piece(n, piece, &mut out);
        }
        let text = pieces.concat();
        teller.end(&End { how, text: &text, usage: None, at: 8 }, pieces.len(), &mut out);
        let mut frames: Vec<_> = String::from_utf8(out).unwrap().split_terminator("\n\n").map(str::to_owned).collect();
        assert_eq!(frames.pop().as_deref(), Some("data: [DONE]"));
        let read = |frame: &String| {
            let (name, data) = frame.split_once("\ndata: ").unwrap();
            let data: Value = serde_json::from_str(data).unwrap();
            assert_eq!(name.strip_prefix("event: ").unwrap(), data["type"]);
            assert!(data.get("error").is_none(), "the clients take that for a failure");
            (data["sequence_number"].as_u64().unwrap(), data["type"].as_str().unwrap().to_owned())
        };
        (frames.iter().map(read).collect(), frames)
    }

    #[test]
    fn who_goes_on_behind_a_stream_that_failed_misses_nothing() {
        let problem = Problem::dead_token();
        for (seen, pieces, last) in [
            (None, 0, 1),
            (None, 3, 6),
            (Some(0), 0, 1),
            (Some(5), 2, 5),
            (Some(5), 4, 7),
            (Some(u64::MAX), 0, u64::MAX),
        ] {
            let mut teller = Teller::new(subject(), seen);
            let mut out = Vec::new();
            for n in 0..pieces {
                teller.piece(n, "word ", &mut out);
            }
            out.clear();
            teller.fail(&problem, &mut out);
            let told = String::from_utf8(out).unwrap();
            assert!(told.starts_with("event: error\n") && told.ends_with("data: [DONE]\n\n"), "{told}");
            assert!(told.contains(&format!("\"sequence_number\":{last}")), "{seen:?} {pieces}: {told}");
            out = Vec::new();
            teller.fail(&Problem::no_such("response"), &mut out);
            let told = String::from_utf8(out).unwrap();
            let next = last.saturating_add(1);
            assert!(told.contains(&format!("\"sequence_number\":{next}")), "nothing is left to go on with: {told}");
        }
    }

    #[test]
    fn numbers_are_dense_and_the_same_from_any_place_on() {
        let failed = How::Failed { detail: "no".to_owned(), too_slow: false, refused: None };
        for (pieces, how, last) in [
            (&["a", "\"b\"\n", "আ"][..], How::Completed, "response.completed"),
            (&["a"], How::TooLong, "response.incomplete"),
            (&["a", "b"], How::Cancelled, "response.incomplete"),
            (&["a"], failed.clone(), "response.failed"),
            (&[], failed, "response.failed"),
            (&[], How::Completed, "response.completed"),
        ] {
            let (all, frames) = told(pieces, &how, None);
            assert_eq!(
                all.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
                (0..all.len() as u64).collect::<Vec<_>>()
            );
            assert_eq!(all.last().unwrap().1, last);
            let deltas = all.iter().filter(|(_, name)| name == "response.output_text.delta").count();
            assert_eq!(deltas, pieces.len());
            for seen in 0..all.len() as u64 + 3 {
                let rest = frames.iter().skip(usize::try_from(seen).unwrap() + 1).cloned().collect::<Vec<_>>();
                assert_eq!(told(pieces, &how, Some(seen)).1, rest, "behind {seen}");
            }
            assert!(told(pieces, &how, Some(u64::MAX)).1.is_empty(), "nothing is behind the last number there can be");
        }
    }
}

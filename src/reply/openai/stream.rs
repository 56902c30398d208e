//! From the bytes of an answer to text: what counts as text, as a sign of life, as the end. Waits for nothing.

use std::ops::ControlFlow;

use super::failure::{Failure, What};
use crate::{
    completions::{Completion, DONE, Tokens},
    reply::{Finish, REPLY_BYTES_MAX, Sink, Usage},
    sse::{DecodeError, Decoder, EVENT_BYTES_MAX, Event},
};

/// Most bytes of an answer in pieces. Each token comes in some hundred bytes, of which a reply has thousands.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// The way of the text to whoever asked for it, over all tries.
pub(super) struct Spoken<'s, 'a> {
    sink: &'s mut (dyn Sink + 'a),
    /// White space before the first word: it may be all that ever comes, and would be no reply.
    lead: String,
    begun: bool,
    said: Said,
}

impl<'s, 'a> Spoken<'s, 'a> {
    pub(super) fn new(sink: &'s mut (dyn Sink + 'a)) -> Self {
        Self { sink, lead: String::new(), begun: false, said: Said::default() }
    }

    /// This model is asked now.
    pub(super) fn asked(&mut self, model: &str) {
        self.sink.asked(model);
    }

    /// True where text was passed on: no other try may begin after that.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Forgets what a try left that said nothing.
    pub(super) fn begin_anew(&mut self) {
        self.lead.clear();
        self.said = Said::default();
    }

    /// What was said of the answer, beside its text.
    pub(super) fn said(&self) -> Said {
        self.said
    }

    /// Takes a piece of the answer, or all of it: what it says of the end first, then its text.
    fn hear(&mut self, piece: &Completion) -> (String, ControlFlow<()>) {
        if let Some(reason) = piece.finish_reason() {
            self.said.finish = Some(Finish::of(reason));
        }
        if let Some(Tokens { input, output, cached, reasoned }) = piece.usage() {
            self.said.usage = Some(Usage { input, output, cached, reasoned });
        }
        let text = piece.text();
        let go_on = if text.is_empty() { ControlFlow::Continue(()) } else { self.say(&text) };
        (text, go_on)
    }

    /// What a try came to that ended well.
    pub(super) fn outcome(&self) -> Result<(), Failure> {
        match self.said.finish {
            _ if self.begun => Ok(()),
            Some(Finish::ContentFilter) => Err(Failure::new(What::Filtered, "a filter let no text through")),
            Some(Finish::Length) => Err(Failure::new(What::Spent, "the tokens were used up before the first word")),
            Some(Finish::Stop) | None => Err(Failure::new(What::Silent, "the answer has no text")),
        }
    }

    /// Passes `text` on; [`ControlFlow::Break`] where no more is wanted.
    fn say(&mut self, text: &str) -> ControlFlow<()> {
        if self.begun {
            return self.sink.text(text);
        }
        self.lead.push_str(text);
        if self.lead.trim().is_empty() {
            let is_hopeless = self.lead.len() > REPLY_BYTES_MAX;
            return if is_hopeless { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        }
        self.begun = true;
        self.sink.text(&std::mem::take(&mut self.lead))
    }
}

/// What a server said of its answer, beside the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// Why the text ended.
    pub(crate) finish: Option<Finish>,
    /// What it took.
    pub(crate) usage: Option<Usage>,
}

/// What a piece of the answer brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Progress {
    /// Nothing that the model made.
    Nothing,
    /// Text, or a thought.
    Alive,
    /// The answer is over: nothing behind this is part of it.
    Over,
    /// No more text is wanted.
    Enough,
}

/// An answer that comes as a stream of events.
#[derive(Default)]
pub(super) struct Reading {
    decoder: Decoder,
    bytes: usize,
    finished: bool,
}

impl Reading {
    /// Takes the next bytes of the answer, cut anywhere.
    ///
    /// # Errors
    /// Where the answer is an error, none of this protocol, or too long.
    pub(super) fn take(&mut self, mut bytes: &[u8], spoken: &mut Spoken<'_, '_>) -> Result<Progress, Failure> {
        self.bytes += bytes.len();
        if self.bytes > ANSWER_BYTES_MAX {
            return Err(Failure::faulty(format!("the answer is over {ANSWER_BYTES_MAX} bytes")));
        }
        let mut progress = Progress::Nothing;
        while progress < Progress::Over
            && let Some(event) = self.decoder.next(&mut bytes).map_err(not_events)?
        {
            progress = progress.max(self.event(&event, spoken)?);
        }
        Ok(progress)
    }

    /// True where the model has said that it is at its end; what may still come is not text.
    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// The answer's bytes have ended. `is_delimited`: its end would have been an error, had something been missing.
    ///
    /// # Errors
    /// Where something is missing, or there is no text.
    pub(super) fn end(mut self, is_delimited: bool, spoken: &mut Spoken<'_, '_>) -> Result<(), Failure> {
        let last = std::mem::take(&mut self.decoder).finish().map_err(not_events)?;
        let is_over = last.map_or(Ok(Progress::Nothing), |event| self.event(&event, spoken))? >= Progress::Over;
        if is_over || self.finished || is_delimited {
            return spoken.outcome();
        }
        Err(Failure::new(What::Broken, "the stream ended in the middle"))
    }

    fn event(&mut self, event: &Event, spoken: &mut Spoken<'_, '_>) -> Result<Progress, Failure> {
        let data = event.data.trim();
        if event.name == "error" {
            return Err(Failure::of_refusal(
                &read(data.as_bytes()).ok().and_then(|said| said.error).unwrap_or_default(),
            ));
        }
        match data {
            "" => Ok(Progress::Nothing),
            DONE => Ok(Progress::Over),
            data => self.piece(read(data.as_bytes())?, spoken),
        }
    }

    fn piece(&mut self, piece: Completion, spoken: &mut Spoken<'_, '_>) -> Result<Progress, Failure> {
        if let Some(refusal) = piece.error {
            return Err(Failure::of_refusal(&refusal));
        }
        self.finished |= piece.finish_reason().is_some();
        Ok(match spoken.hear(&piece) {
            (_, ControlFlow::Break(())) => Progress::Enough,
            (text, ControlFlow::Continue(())) if text.is_empty() && !piece.is_reasoning() => Progress::Nothing,
            (_, ControlFlow::Continue(())) => Progress::Alive,
        })
    }
}

/// An answer that comes whole, as one JSON body.
#[derive(Default)]
pub(super) struct Whole(Vec<u8>);

impl Whole {
    /// Takes the next bytes of the answer.
    ///
    /// # Errors
    /// Where it is too long.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.0.len() + bytes.len() > EVENT_BYTES_MAX {
            return Err(Failure::faulty(format!("the answer is over {EVENT_BYTES_MAX} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    /// Says what the answer says.
    ///
    /// # Errors
    /// Where that is nothing, an error, or no answer.
    pub(super) fn end(self, spoken: &mut Spoken<'_, '_>) -> Result<(), Failure> {
        let answer = read(&self.0)?;
        if let Some(refusal) = answer.error {
            return Err(Failure::of_refusal(&refusal));
        }
        let _ = spoken.hear(&answer); // All of it is there, so nothing is saved by a break.
        spoken.outcome()
    }
}

fn read(bytes: &[u8]) -> Result<Completion, Failure> {
    // The words of the error may repeat the text.
    let place = |error: &serde_json::Error| format!("what came is no completion (column {})", error.column());
    Completion::read(bytes).map_err(|error| Failure::faulty(place(&error)))
}

fn not_events(error: DecodeError) -> Failure {
    Failure::faulty(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the pieces of a stream, and gives its text and how it ended.
    fn read_all<'b>(pieces: impl IntoIterator<Item = &'b [u8]>, is_delimited: bool) -> (String, Result<(), What>) {
        let mut text = String::new();
        let mut sink = |piece: &str| {
            text.push_str(piece);
            ControlFlow::Continue(())
        };
        let mut spoken = Spoken::new(&mut sink);
        let mut reading = Reading::default();
        for piece in pieces {
            match reading.take(piece, &mut spoken) {
                Ok(Progress::Over | Progress::Enough) => {
                    let outcome = spoken.outcome().map_err(|failure| failure.what);
                    return (text, outcome);
                }
                Ok(Progress::Alive | Progress::Nothing) => {}
                Err(failure) => return (text, Err(failure.what)),
            }
        }
        let outcome = reading.end(is_delimited, &mut spoken).map_err(|failure| failure.what);
        (text, outcome)
    }

    fn delta(text: &str) -> String {
        format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null}}]}}\n\n"
        )
    }

    const FINISH: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"total_tokens\":9}}\n\n";
    const END: &str = "data: [DONE]\n\n";

    #[test]
    fn the_same_text_comes_wherever_the_bytes_are_cut() {
        let said = "আমি শুনছি। मैं सुन रहा हूँ 🙂🏽 café";
        let pieces: String = said.split_inclusive(' ').map(delta).collect();
        let streams = [
            format!("\u{feff}: hi\n\n{}{pieces}{FINISH}{USAGE}{END}", delta("")),
            format!("{pieces}{FINISH}{END}").replace('\n', "\r\n"),
            format!("{pieces}{FINISH}").replace('\n', "\r").replace("data: ", "data:"),
            format!("{pieces}data: [DONE]"),
        ];
        for stream in &streams {
            let bytes = stream.as_bytes();
            for cut in 0..=bytes.len() {
                assert_eq!(read_all([&bytes[..cut], &bytes[cut..]], false), (said.to_owned(), Ok(())), "cut at {cut}");
            }
            assert_eq!(read_all(bytes.chunks(1), false), (said.to_owned(), Ok(())), "byte by byte");
        }
    }

    #[test]
    fn what_ends_a_stream_well() {
        let broken = Err(What::Broken);
        let silent = Err(What::Silent);
        let (hi, white) = (delta("hi"), delta(" \\n"));
        let error = "data: {\"error\":{\"message\":\"no\",\"code\":500}}\n\n";
        for (stream, delimited, text, outcome) in [
            (format!("{hi}{END}"), false, "hi", Ok(())),
            (format!("{hi}{FINISH}"), false, "hi", Ok(())),
            (hi.clone(), true, "hi", Ok(())),
            (hi.clone(), false, "hi", broken),
            (String::new(), true, "", silent),
            (String::new(), false, "", broken),
            (format!("{FINISH}{END}"), false, "", silent),
            (format!("{white}{END}"), false, "", silent),
            (format!("{white}{hi}{white}{END}"), false, " \nhi \n", Ok(())),
            (format!("{USAGE}{END}"), true, "", silent),
            (format!("{hi}{END}{error}{hi}"), false, "hi", Ok(())),
            (format!("{hi}{error}{END}"), false, "hi", Err(What::Faulty)),
            (error.to_owned(), true, "", Err(What::Faulty)),
            ("event: error\ndata: oh\n\n".to_owned(), true, "", Err(What::Faulty)),
            ("data: <html>\n\n".to_owned(), true, "", Err(What::Faulty)),
            (format!("{hi}data: \u{fffd}\n\n"), true, "hi", Err(What::Faulty)),
            (format!("{hi}data: {{\"cho"), true, "hi", Err(What::Faulty)),
            (FINISH.replace("stop", "content_filter"), true, "", Err(What::Filtered)),
            (format!("{white}{}{USAGE}{END}", FINISH.replace("stop", "length")), false, "", Err(What::Spent)),
            (format!("{white}{}", FINISH.replace("stop", "content_filter")), false, "", Err(What::Filtered)),
            (format!("{hi}{}", FINISH.replace("stop", "content_filter")), false, "hi", Ok(())),
            (format!("{hi}{}", FINISH.replace("stop", "length")), false, "hi", Ok(())),
        ] {
            assert_eq!(read_all([stream.as_bytes()], delimited), (text.to_owned(), outcome), "{stream:?} {delimited}");
        }
    }

    #[test]
    fn enough_is_the_end() {
        let mut sink = |_: &str| ControlFlow::Break(());
        let mut spoken = Spoken::new(&mut sink);
        let stream = format!("{}data: nonsense\n\n", delta("hi"));
        assert!(matches!(Reading::default().take(stream.as_bytes(), &mut spoken), Ok(Progress::Enough)));
        spoken.outcome().unwrap();
    }

    #[test]
    fn a_stream_has_bounds() {
        let endless = ": nothing\n".repeat(100_000);
        let pieces = std::iter::repeat_n(endless.as_bytes(), ANSWER_BYTES_MAX / endless.len() + 1);
        assert_eq!(read_all(pieces, true).1, Err(What::Faulty));
        let line = format!("data: {}", "x".repeat(10 << 20));
        assert_eq!(read_all(line.as_bytes().chunks(1 << 16), true).1, Err(What::Faulty));
        let white = delta(&" ".repeat(1 << 10)).repeat(65);
        assert_eq!(read_all([white.as_bytes()], true).1, Err(What::Silent));
    }

    #[test]
    fn only_what_the_model_makes_is_a_sign_of_life() {
        let mut sink = |_: &str| ControlFlow::Continue(());
        let mut spoken = Spoken::new(&mut sink);
        let mut reading = Reading::default();
        let thought = "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n";
        for (piece, progress) in [
            (": ping\n\n", Progress::Nothing),
            (&delta("")[..], Progress::Nothing),
            (USAGE, Progress::Nothing),
            (thought, Progress::Alive),
            (&delta("a")[..], Progress::Alive),
            (&format!("{}: ping\n\n", delta("a"))[..], Progress::Alive),
        ] {
            assert_eq!(reading.take(piece.as_bytes(), &mut spoken).unwrap(), progress, "{piece}");
        }
    }
}

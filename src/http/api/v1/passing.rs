//! Responses that are not stored.

use bytes::Bytes;
use hyper::StatusCode;

use super::{
    can_have_form,
    events::Teller,
    last_words,
    responses::{FORM, previous, said, subject},
    seconds,
    shape::End,
    wire::NewResponse,
};
use crate::{
    app::App,
    auth::Identity,
    chat::{Ask, ChatError, Completed, Completing, How, Said, Step},
    clock::Clock,
    completions::Role,
    http::{
        problem::Problem,
        response::{self, ApiResponse, BrokenOff},
    },
    reply::Finish,
};

/// Room for a stream's first events, and for a piece.
const BEGIN_BYTES: usize = 8 << 10;
const PIECE_BYTES: usize = 512;

/// A stream on its way.
struct Telling {
    made: Completing,
    teller: Teller,
    /// All text so far, and in how many pieces it came.
    text: String,
    pieces: usize,
    clock: Clock,
}

/// A reply of which nothing is stored; behind a stored response where one is named.
///
/// # Errors
/// As `POST /v1/responses` says.
pub(super) async fn respond(app: &App, caller: &Identity, asked: NewResponse) -> Result<ApiResponse, Problem> {
    let mut subject = subject(app, &asked);
    let stream = asked.stream;
    let sampling = asked.sampling.clone();
    let lines = lines(app, caller, asked).await?;
    can_have_form(app, &sampling, FORM, last_words(&lines))?;
    let mut made = app.chat.complete(caller, Ask { lines, sampling }).await?;
    if stream {
        let teller = Teller::new(subject, None);
        let telling = Telling { made, teller, text: String::new(), pieces: 0, clock: app.clock.clone() };
        return telling.begin().await;
    }
    let (text, Completed { finish, usage }) = made.whole().await?;
    let (how, at) = (how(finish), seconds(app.clock.now()));
    subject.model = made.made_by().unwrap_or(subject.model);
    let end = End { how: &how, text: &text, usage: Some(usage), at };
    Ok(response::json(StatusCode::OK, &subject.object(Some(&end))))
}

/// What the model is shown: instructions, what was said before, and what is said now.
async fn lines(app: &App, caller: &Identity, asked: NewResponse) -> Result<Vec<Said>, Problem> {
    let mut lines: Vec<_> =
        asked.instructions.map(|text| Said { role: Role::System, text, name: None }).into_iter().collect();
    if let Some(id) = &asked.echo.previous {
        let (session, response) = previous(app, caller, id).await?;
        let is_whole = asked.echo.is_whole();
        let before = app.chat.said_behind(&session, response.message.seq, is_whole).await?;
        lines.extend(before.into_iter().map(|item| Said { role: item.role.into(), text: item.content, name: None }));
    }
    lines.extend(said(app, caller, asked.input).await?);
    Ok(lines)
}

fn how(finish: Finish) -> How {
    match finish {
        Finish::Stop => How::Completed,
        Finish::Length => How::TooLong,
        Finish::ContentFilter => How::Filtered,
    }
}

impl Telling {
    /// The events, once the first text is there: what fails before has a status.
    async fn begin(mut self) -> Result<ApiResponse, Problem> {
        let mut first = Vec::with_capacity(BEGIN_BYTES);
        let step = self.made.next().await?;
        self.teller.made_by(self.made.made_by());
        self.teller.begin(&mut first);
        let goes_on = self.say(Ok(step), &mut first);
        Ok(response::events(Bytes::from(first), goes_on.then_some(self), |telling| async {
            let Some(mut telling) = telling else { return Ok(None) };
            let mut out = Vec::with_capacity(PIECE_BYTES);
            let step = telling.made.next().await;
            let goes_on = telling.say(step, &mut out);
            Ok::<_, BrokenOff>(Some((Bytes::from(out), goes_on.then_some(telling))))
        }))
    }

    /// Words a step; false at the end.
    fn say(&mut self, step: Result<Step, ChatError>, out: &mut Vec<u8>) -> bool {
        let (how, usage) = match step {
            Ok(Step::Text(text)) => {
                self.teller.piece(self.pieces, &text, out);
                self.text.push_str(&text);
                self.pieces += 1;
                return true;
            }
            Ok(Step::End(Completed { finish, usage })) => (how(finish), Some(usage)),
            Err(ChatError::NoReply { detail, too_slow, refused }) => (How::Failed { detail, too_slow, refused }, None),
            Err(error) => {
                self.teller.fail(&Problem::from(error), out);
                return false;
            }
        };
        self.teller.made_by(self.made.made_by());
        let end = End { how: &how, text: &self.text, usage, at: seconds(self.clock.now()) };
        self.teller.end(&end, self.pieces, out);
        false
    }
}

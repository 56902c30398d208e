//! Chat completions: `/v1/chat/completions`. Those that are stored are in `stored.rs`.

use bytes::Bytes;
use hyper::StatusCode;
use serde::Serialize;

use super::{
    can_have_form,
    chunks::{Chunks, Counts, reason},
    ids::Passing,
    keys::{self, Repetition},
    last_words, seconds, stored,
    wire::NewCompletion,
};
use crate::{
    app::App,
    auth::{Identity, Scope},
    chat::{ChatError, Completed, Completing, Step},
    http::{
        problem::Problem,
        request::ApiRequest,
        response::{self, ApiResponse, BrokenOff},
    },
};

/// Room for a piece of a stream: most are a word and what is around it.
const PIECE_BYTES: usize = 512;

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: [Choice<'a>; 1],
    usage: Counts,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    message: Message<'a>,
    logprobs: Option<()>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
    refusal: Option<()>,
}

/// `POST /v1/chat/completions`: a reply to the messages that come along.
///
/// 200 or an event stream, which begins with the first text: what fails before has a status of its own. 400 names the field;
/// 429 or 503 before the model is asked; 502 and 504 are the model's. A client that goes away ends it.
pub(super) async fn create(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let (repetition, presence) = (Repetition::of(&request)?, request.presence());
    let (body, digest) = request.json_with_digest().await?;
    let asked = NewCompletion::read(body)?;
    can_have_form(app, &asked.ask.sampling, "response_format.type", last_words(&asked.ask.lines))?;
    if asked.store {
        caller.may(Some(Scope::Conversations))?; // What is kept is a conversation.
        let asking = app.chat.asking(caller, repetition.key(digest)).await?;
        let key = asking.key();
        return keys::answered(&presence, asking, stored::create(app, caller, asked, key)).await;
    }
    presence.during(answer(app, caller, asked)).await.unwrap_or_else(|| Err(Problem::client_gone()))
}

async fn answer(app: &App, caller: &Identity, asked: NewCompletion) -> Result<ApiResponse, Problem> {
    let mut made = app.chat.complete(caller, asked.ask).await?;
    let (id, created) = (Passing::Completion.id(), seconds(app.clock.now()));
    if asked.stream {
        return stream(made, Chunks::new(&id, created, app.chat.model(), asked.include_usage)).await;
    }
    let (content, Completed { finish, usage }) = made.whole().await?;
    let made_by = made.made_by();
    let model = made_by.as_deref().unwrap_or(app.chat.model());
    let message = Message { role: "assistant", content: &content, refusal: None };
    let choice = Choice { index: 0, message, logprobs: None, finish_reason: reason(finish) };
    let (object, usage) = ("chat.completion", usage.into());
    Ok(response::json(StatusCode::OK, &Completion { id: &id, object, created, model, choices: [choice], usage }))
}

/// The events of `made`, once its first text is there.
async fn stream(mut made: Completing, mut chunks: Chunks) -> Result<ApiResponse, Problem> {
    let mut first = Vec::with_capacity(2 * PIECE_BYTES);
    let step = made.next().await;
    chunks.made_by(made.made_by());
    chunks.role(&mut first);
    let goes_on = say(&chunks, step, &mut first)?;
    let rest = goes_on.then_some((made, chunks));
    Ok(response::events(Bytes::from(first), rest, |rest| async {
        let Some((mut made, mut chunks)) = rest else { return Ok(None) };
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let step = made.next().await;
        chunks.made_by(made.made_by());
        let goes_on = say(&chunks, step, &mut piece).unwrap_or_else(|problem| {
            piece.extend_from_slice(b"data: ");
            piece.extend_from_slice(&problem.openai_json());
            piece.extend_from_slice(b"\n\n");
            false
        });
        Ok::<_, BrokenOff>(Some((Bytes::from(piece), goes_on.then_some((made, chunks)))))
    }))
}

/// Words a step; false at the end.
fn say(chunks: &Chunks, step: Result<Step, ChatError>, out: &mut Vec<u8>) -> Result<bool, Problem> {
    match step? {
        Step::Text(text) => {
            chunks.text(&text, out);
            Ok(true)
        }
        Step::End(completed) => {
            chunks.end(completed, out);
            Ok(false)
        }
    }
}

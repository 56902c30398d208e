//! Chat completions that are stored: `"store": true`, and the calls about them.

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    chars_max,
    chunks::{Chunks, Counts, reason},
    ids,
    paging::Page,
    responses, seconds,
    shape::List,
    wire::{Echo, Field, NewCompletion, Question, new_metadata},
};
use crate::{
    app::App,
    auth::Identity,
    chat::{
        Asked, ChatError, Completed, Heard, Hearing, How, Key, Kind, Order, OwnedSession, Place, Response, ResponseEnd,
    },
    http::{
        problem::Problem,
        request::ApiRequest,
        response::{self, ApiResponse, BrokenOff},
    },
    reply::{Finish, Usage},
};

/// Room for a piece of a stream.
const PIECE_BYTES: usize = 512;

/// Makes a completion that is kept, in a session of its own.
///
/// # Errors
/// As `POST /v1/chat/completions` says; 422 where an idempotency key was used for something else.
pub(super) async fn create(
    app: &App,
    caller: &Identity,
    asked: NewCompletion,
    key: Key<'_>,
) -> Result<ApiResponse, Problem> {
    let NewCompletion { ask, stream, include_usage, metadata, .. } = asked;
    let Question { before, content } = Question::of(ask.lines, Field::List("messages"), chars_max(app))?;
    let echo = Echo { metadata, inputs: before.len(), ..Echo::default() };
    let asked = Asked {
        kind: Kind::Completion,
        instructions: Some(String::new()), // The messages have all that the model is to know.
        sampling: ask.sampling,
        own: true,
        shown: stream,
        whole: false,
        echo: serde_json::to_value(&echo).map_err(Problem::internal)?,
    };
    let listener = if stream { Some(app.chat.listener(caller)?) } else { None };
    let begun = app.chat.respond(caller, Order { place: Place::New, before, content, asked, key: Some(key) }).await?;
    if let Some(listener) = listener {
        let hearing = begun.hear(listener);
        let now = begun.now().await?;
        let (id, created) = (id(&now), seconds(now.message.created_at));
        return stream_of(hearing, Chunks::new(&id, created, app.chat.model(), include_usage)).await;
    }
    let made = begun.end().await?;
    let end = made.end.as_ref().ok_or_else(|| Problem::no_such("completion"))?;
    responses::refuse_failed(&made, &end.how)?;
    Ok(response::json(StatusCode::OK, &object(&made, end)))
}

fn id(response: &Response) -> String {
    ids::completion(response.session, response.message.seq)
}

/// The chunks of a stored completion, once its first text is there.
async fn stream_of(mut hearing: Hearing, mut chunks: Chunks) -> Result<ApiResponse, Problem> {
    let mut first = Vec::with_capacity(2 * PIECE_BYTES);
    let heard = hearing.next().await;
    chunks.made_by(hearing.made_by());
    chunks.role(&mut first);
    let goes_on = say(&chunks, heard, &mut first)?;
    Ok(response::events(Bytes::from(first), goes_on.then_some((hearing, chunks)), |telling| async {
        let Some((mut hearing, mut chunks)) = telling else { return Ok(None) };
        let mut out = Vec::with_capacity(PIECE_BYTES);
        let heard = hearing.next().await;
        chunks.made_by(hearing.made_by());
        let goes_on = say(&chunks, heard, &mut out).unwrap_or_else(|problem| {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(&problem.openai_json());
            out.extend_from_slice(b"\n\n");
            false
        });
        Ok::<_, BrokenOff>(Some((Bytes::from(out), goes_on.then_some((hearing, chunks)))))
    }))
}

/// Words what comes next; false at the end.
fn say(chunks: &Chunks, heard: Result<Heard, ChatError>, out: &mut Vec<u8>) -> Result<bool, Problem> {
    match heard? {
        Heard::Piece(_, text) => {
            chunks.text(&text, out);
            Ok(true)
        }
        Heard::End(response) => {
            if let Some(end) = &response.end {
                responses::refuse_failed(&response, &end.how)?;
                let usage = end.usage.unwrap_or_default();
                chunks.end(Completed { finish: finish(&end.how), usage }, out);
            }
            Ok(false)
        }
    }
}

fn finish(how: &How) -> Finish {
    match how {
        How::Completed | How::Cancelled | How::Failed { .. } => Finish::Stop,
        How::TooLong => Finish::Length,
        How::Filtered => Finish::ContentFilter,
    }
}

fn metadata(response: &Response) -> Map<String, Value> {
    response.asked.echo["metadata"].as_object().cloned().unwrap_or_default()
}

fn object(response: &Response, end: &ResponseEnd) -> Value {
    let message = json!({"role": "assistant", "content": end.text, "refusal": null});
    let choice = json!({
        "index": 0, "message": message, "logprobs": null, "finish_reason": reason(finish(&end.how)),
    });
    let sampling = &response.asked.sampling;
    json!({
        "id": id(response), "object": "chat.completion", "created": seconds(response.message.created_at),
        "model": end.model, "choices": [choice], "usage": end.usage.map(|usage: Usage| Counts::from(usage)),
        "metadata": metadata(response), "request_id": null, "tool_choice": null, "tools": null,
        "temperature": sampling.temperature, "top_p": sampling.top_p, "seed": sampling.seed,
        "presence_penalty": sampling.presence_penalty, "frequency_penalty": sampling.frequency_penalty,
        "response_format": sampling.response_format, "input_user": null, "service_tier": "default",
    })
}

async fn in_path(app: &App, caller: &Identity, request: &ApiRequest) -> Result<(OwnedSession, Response), Problem> {
    let none = || Problem::no_such("completion");
    let (session, seq) = request.segment("id").and_then(ids::completion_of).ok_or_else(none)?;
    let session = responses::owned(app, caller, session, "completion").await?;
    let found = app.chat.response(&session, seq).await?.filter(|response| response.asked.kind == Kind::Completion);
    Ok((session, found.filter(Response::came_to_something).ok_or_else(none)?))
}

fn shown(response: &Response) -> Result<Value, Problem> {
    let end = response.end.as_ref().ok_or_else(|| Problem::no_such("completion"))?;
    Ok(object(response, end))
}

/// `GET /v1/chat/completions/{id}`: a stored completion; 404 for one that is not the caller's, or is still made.
pub(super) async fn get(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let (_, response) = in_path(app, caller, &request).await?;
    Ok(response::json(StatusCode::OK, &shown(&response)?))
}

/// `POST /v1/chat/completions/{id}`: changes what is kept with a completion; 404 for one that is not the caller's.
pub(super) async fn update(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let (session, mut response) = in_path(app, caller, &request).await?;
    let metadata = Value::Object(new_metadata(request.json().await?)?);
    let kept = metadata.clone();
    let change = |echo: &mut Value| echo["metadata"] = kept;
    if !app.chat.change_echo(&session, response.message.seq, change).await? {
        return Err(Problem::no_such("completion"));
    }
    response.asked.echo["metadata"] = metadata;
    Ok(response::json(StatusCode::OK, &shown(&response)?))
}

/// `DELETE /v1/chat/completions/{id}`: deletes a completion; 404 for one that is not the caller's.
pub(super) async fn delete(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let (session, response) = in_path(app, caller, &request).await?;
    app.chat.delete_response(&session, response.message.seq).await?;
    let deleted = json!({"id": id(&response), "object": "chat.completion.deleted", "deleted": true});
    Ok(response::json(StatusCode::OK, &deleted))
}

/// `GET /v1/chat/completions/{id}/messages`: what came with the request; 404 for a completion that is not the caller's.
pub(super) async fn messages(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let (session, response) = in_path(app, caller, &request).await?;
    let page = Page::of(&request, true)?;
    let message = |item: &Value| {
        let (text, role) = (&item["content"][0]["text"], &item["role"]);
        json!({"id": item["id"], "role": role, "content": text, "name": null, "content_parts": null})
    };
    let all = responses::inputs(app, &session, &response).await?.iter().map(message).collect();
    let (data, has_more) = page.of_all(all)?;
    Ok(response::json(StatusCode::OK, &List::of(data, has_more)))
}

/// `GET /v1/chat/completions`: the caller's stored completions, oldest first unless `order` says otherwise; with `metadata[key]=value` and `model` only those
/// that have them.
///
/// 400 for a page that is none.
pub(super) async fn list(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let page = Page::of(&request, true)?;
    let after = match &page.after {
        None => None,
        Some(id) => Some(ids::completion_of(id).ok_or_else(Page::no_such_after)?),
    };
    let query = request.query()?;
    let model = query.text("model")?.map(std::borrow::Cow::into_owned);
    let members: Vec<_> = query.members("metadata").into_iter().map(|(key, value)| (key, value.into_owned())).collect();
    let is_wanted = move |asked: &Asked, by: &str| {
        let metadata = &asked.echo["metadata"];
        members.iter().all(|(key, value)| metadata.get(key).is_some_and(|kept| *kept == **value))
            && model.as_ref().is_none_or(|model| model == by)
    };
    let (found, has_more) = app.chat.completions(caller, (after, page.upwards), page.limit, is_wanted).await?;
    let data: Vec<_> = found.iter().map(shown).collect::<Result<_, _>>()?;
    Ok(response::json(StatusCode::OK, &List::of(data, has_more)))
}

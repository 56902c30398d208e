//! Responses: `/v1/responses`.

use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    can_have_form, chars_max,
    events::Teller,
    ids::{self, Passing},
    keys::{self, Repetition},
    passing, seconds,
    shape::{self, End, List, Subject},
    wire::{Echo, Entry, NewResponse, Question, bounded},
};
use crate::{
    app::App,
    auth::Identity,
    chat::{
        Asked, Begun, ChatError, Heard, Hearing, How, ItemId, Key, Kind, Listener, Order, OwnedSession, Place,
        Response, Said,
    },
    http::{
        api::v1::paging::Page,
        problem::Problem,
        request::ApiRequest,
        response::{self, ApiResponse, BrokenOff},
    },
    id::Seq,
    sse,
};

/// Room for what comes before the text, and for a piece of it.
const BEGIN_BYTES: usize = 4 << 10;
/// Most bytes of what a request only names.
const NAMED_BYTES_MAX: usize = 1 << 20;
const PIECE_BYTES: usize = 512;
/// The field that asks for a form.
pub(super) const FORM: &str = "text.format.type";
/// A quiet stream says this often that it is there: proxies end those that say nothing for a minute.
const BEAT: Duration = Duration::from_secs(15);

/// `POST /v1/responses`: a reply to what is said, in a conversation, behind another response, or by itself.
///
/// 200 or an event stream. 400 names the field; 404 for a conversation or a response that is not the caller's; 422 where an
/// idempotency key was used for something else; 429 or 503 before anything is stored.
pub(super) async fn create(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let (repetition, presence) = (Repetition::of(&request)?, request.presence());
    let (body, digest) = request.json_with_digest().await?;
    let asked = NewResponse::read(body)?;
    if !asked.store {
        let answer = passing::respond(app, caller, asked);
        return presence.during(answer).await.unwrap_or_else(|| Err(Problem::client_gone()));
    }
    let asking = app.chat.asking(caller, repetition.key(digest)).await?;
    let key = asking.key();
    keys::answered(&presence, asking, keep(app, caller, asked, key)).await
}

/// Makes a response that is kept.
async fn keep(app: &App, caller: &Identity, asked: NewResponse, key: Key<'_>) -> Result<ApiResponse, Problem> {
    let (stream, background) = (asked.stream, asked.echo.background);
    // Before the rest is looked at: what it goes on behind may be gone since.
    let known = app.chat.repeated(caller, key).await?;
    let listener = if stream { Some(app.chat.listener(caller)?) } else { None };
    if let Some(known) = known {
        return answer(app, &known, listener, background).await;
    }
    let (place, own) = place(app, caller, &asked).await?;
    let chars_max = chars_max(app);
    bounded(asked.instructions.as_deref(), chars_max)?;
    let input = said(app, caller, asked.input).await?;
    let Question { before, content } = Question::of(input, asked.field, chars_max)?;
    can_have_form(app, &asked.sampling, FORM, content.as_str())?;
    let echo = Echo { inputs: before.len(), ..asked.echo };
    let asked = Asked {
        kind: Kind::Response,
        instructions: asked.instructions,
        sampling: asked.sampling,
        own,
        shown: stream || background,
        whole: echo.is_whole(),
        echo: serde_json::to_value(&echo).map_err(Problem::internal)?,
    };
    let begun = app.chat.respond(caller, Order { place, before, content, asked, key: Some(key) }).await?;
    answer(app, &begun, listener, background).await
}

/// The answer to who asked for a response: its events for who listens, else itself, once it has ended or at once.
async fn answer(
    app: &App,
    begun: &Begun,
    listener: Option<Listener>,
    background: bool,
) -> Result<ApiResponse, Problem> {
    if let Some(listener) = listener {
        let hearing = begun.hear(listener);
        return Ok(tell(&begun.now().await?, app.chat.model(), hearing, None));
    }
    let made = if background { begun.now().await? } else { begun.end().await? };
    match &made.end {
        Some(end) if !background => refuse_failed(&made, &end.how)?,
        Some(_) | None => {}
    }
    Ok(whole(&made, app.chat.model()))
}

/// What a request says, with what is said in the items that it names.
///
/// # Errors
/// 404 for an item that is not in a conversation of the caller's; 400 where they are too much together.
pub(super) async fn said(app: &App, caller: &Identity, entries: Vec<Entry>) -> Result<Vec<Said>, Problem> {
    let (mut all, mut bytes) = (Vec::with_capacity(entries.len()), 0);
    for entry in entries {
        let (id, path) = match entry {
            Entry::Said(said) => {
                all.push(said);
                continue;
            }
            Entry::Named { id, path } => (id, path),
        };
        let none = || Problem::no_such("item").of(&path);
        let (session, item) = ids::item_of(&id).ok_or_else(none)?;
        let session = owned(app, caller, session, "item").await.map_err(|problem| problem.of(&path))?;
        let message = app.chat.item(&session, item).await?.ok_or_else(none)?;
        bytes += message.content.len();
        if bytes > NAMED_BYTES_MAX {
            return Err(Problem::field(
                &path,
                format_args!("the items named may have {NAMED_BYTES_MAX} bytes together"),
            ));
        }
        all.push(Said { role: message.role.into(), text: message.content, name: None });
    }
    Ok(all)
}

/// Where a response belongs, and whether its session is its own.
async fn place(app: &App, caller: &Identity, asked: &NewResponse) -> Result<(Place, bool), Problem> {
    if let Some(id) = &asked.conversation {
        let named = |problem: Problem| if problem.is_no_such() { problem.of("conversation") } else { problem };
        let id = ids::conversation_of(id).ok_or_else(|| named(Problem::no_such("conversation")))?;
        return Ok((Place::In(owned(app, caller, id, "conversation").await.map_err(named)?), false));
    }
    let Some(id) = &asked.echo.previous else { return Ok((Place::New, true)) };
    let (session, previous) = previous(app, caller, id).await?;
    Ok((Place::Behind(session, previous.message.seq), previous.asked.own))
}

/// The response that another one goes on behind.
pub(super) async fn previous(app: &App, caller: &Identity, id: &str) -> Result<(OwnedSession, Response), Problem> {
    let found = find(app, caller, id).await;
    found.map_err(|problem| {
        if problem.is_no_such() {
            problem.of("previous_response_id").coded("previous_response_not_found")
        } else {
            problem
        }
    })
}

/// The session, where it is the caller's; else there is no such thing, whatever it is called.
pub(super) async fn owned(
    app: &App,
    caller: &Identity,
    id: crate::id::SessionId,
    what: &str,
) -> Result<OwnedSession, Problem> {
    let is_not = |error: &ChatError| matches!(error, ChatError::NotOwner(_));
    let told = |error| if is_not(&error) { Problem::no_such(what) } else { Problem::from(error) };
    app.chat.owned(caller, id).await.map_err(told)
}

async fn find(app: &App, caller: &Identity, id: &str) -> Result<(OwnedSession, Response), Problem> {
    let none = || Problem::no_such("response");
    let (session, seq) = ids::response_of(id).ok_or_else(none)?;
    let session = owned(app, caller, session, "response").await?;
    let found = app.chat.response(&session, seq).await?.filter(|response| response.asked.kind == Kind::Response);
    Ok((session, found.ok_or_else(none)?))
}

async fn in_path(app: &App, caller: &Identity, request: &ApiRequest) -> Result<(OwnedSession, Response), Problem> {
    find(app, caller, request.segment("id").unwrap_or_default()).await
}

/// A failure of the model is one of the request that waits for it, and so is what its server does not take.
pub(super) fn refuse_failed(response: &Response, how: &How) -> Result<(), Problem> {
    match how {
        How::Failed { detail, too_slow, refused: Some(why) } => {
            let (detail, too_slow, refused) = (detail.clone(), *too_slow, Some(*why));
            Err(Problem::from(ChatError::NoReply { detail, too_slow, refused }))
        }
        How::Failed { detail, too_slow, refused: None } => Err(Problem::from(ChatError::Failed {
            session: response.session,
            message: response.message.id,
            detail: detail.clone(),
            too_slow: *too_slow,
        })),
        How::Completed | How::TooLong | How::Filtered | How::Cancelled => Ok(()),
    }
}

fn whole(response: &Response, model: &str) -> ApiResponse {
    let end = response.end.as_ref().map(End::from);
    response::json(StatusCode::OK, &Subject::of(response, model).object(end.as_ref()))
}

/// The events of a stored response behind the one with the number `seen`.
fn tell(response: &Response, model: &str, hearing: Hearing, seen: Option<u64>) -> ApiResponse {
    let teller = Teller::new(Subject::of(response, model), seen);
    let mut first = Vec::with_capacity(BEGIN_BYTES);
    teller.begin(&mut first);
    response::events(Bytes::from(first), Some((hearing, teller)), |telling| async {
        let Some((mut hearing, mut teller)) = telling else { return Ok(None) };
        let mut out = Vec::with_capacity(PIECE_BYTES);
        let heard = match timeout(BEAT, hearing.next()).await {
            Ok(heard) => heard.map(Some),
            Err(_) => hearing.may_hear().await.map(|()| None),
        };
        let goes_on = match heard {
            Ok(None) => {
                out.extend_from_slice(sse::HEARTBEAT);
                true
            }
            Ok(Some(Heard::Piece(number, text))) => {
                teller.piece(number, &text, &mut out);
                true
            }
            Ok(Some(Heard::End(response))) => {
                if let Some(end) = &response.end {
                    teller.made_by(Some(end.model.clone()));
                    teller.end(&End::from(end), end.ends.len(), &mut out);
                }
                false
            }
            Err(error) => {
                teller.fail(&Problem::from(error), &mut out);
                false
            }
        };
        Ok::<_, BrokenOff>(Some((Bytes::from(out), goes_on.then_some((hearing, teller)))))
    })
}

/// `GET /v1/responses/{id}`: a stored response; with `stream=true` its events, behind `starting_after` where that is given.
///
/// 404 for one that is not the caller's.
pub(super) async fn get(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let (session, response) = in_path(app, caller, &request).await?;
    let query = request.query()?;
    let (stream, seen) = (query.text("stream")?, query.number("starting_after")?);
    match stream.as_deref() {
        Some("true") => {
            let listener = app.chat.listener(caller)?;
            let hearing = app.chat.hear(listener, &session, response.message.seq, Teller::first_piece(seen));
            Ok(tell(&response, app.chat.model(), hearing, seen))
        }
        None | Some("false" | "") if seen.is_none() => Ok(whole(&response, app.chat.model())),
        None | Some("false" | "") => Err(Problem::field("starting_after", "may only come with stream=true")),
        Some(_) => Err(Problem::field("stream", "must be true or false")),
    }
}

/// `DELETE /v1/responses/{id}`: takes a response away, and what was said in it unless it is part of a conversation.
///
/// 404 for one that is not the caller's; 409 while it is made.
pub(super) async fn delete(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let (session, response) = in_path(app, caller, &request).await?;
    app.chat.delete_response(&session, response.message.seq).await?;
    let id = ids::response(response.session, response.message.seq);
    Ok(response::json(StatusCode::OK, &json!({"id": id, "object": "response", "deleted": true})))
}

/// `POST /v1/responses/{id}/cancel`: ends a response with what there is of it; one that has ended stays as it is.
///
/// 404 for one that is not the caller's.
pub(super) async fn cancel(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let (session, response) = in_path(app, caller, &request).await?;
    let seq = response.message.seq;
    if response.end.is_none() {
        app.chat.stop(session, seq).await?;
    }
    let response = app.chat.response(&session, seq).await?.ok_or_else(|| Problem::no_such("response"))?;
    Ok(whole(&response, app.chat.model()))
}

/// `GET /v1/responses/{id}/input_items`: what came with the request, newest first.
///
/// 404 for one that is not the caller's; 400 for a page that is none.
pub(super) async fn input_items(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let (session, response) = in_path(app, caller, &request).await?;
    let page = Page::of(&request, false)?;
    let items = inputs(app, &session, &response).await?;
    let (data, has_more) = page.of_all(items)?;
    Ok(response::json(StatusCode::OK, &List::of(data, has_more)))
}

/// The items that came with the request, newest first.
pub(super) async fn inputs(app: &App, session: &OwnedSession, response: &Response) -> Result<Vec<Value>, Problem> {
    let seq = response.message.seq;
    let echo = &response.asked.echo;
    let count = echo["inputs"].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or_default();
    let mut items = vec![response.message.clone()];
    if count > 0 {
        let before = app.chat.items(session, Some(ItemId::Message(seq)), false, count).await?;
        let first = Seq(seq.0.saturating_sub(count as u64));
        items.extend(before.into_iter().flat_map(|(items, _)| items).filter(|item| item.seq >= first));
    }
    Ok(items.iter().filter(|item| !item.content.is_empty()).map(|item| shape::item(response.session, item)).collect())
}

/// What a response that is not stored is about.
pub(super) fn subject(app: &App, asked: &NewResponse) -> Subject {
    Subject {
        id: Passing::Response.id(),
        item: Passing::Item.id(),
        created_at: seconds(app.clock.now()),
        model: app.chat.model().to_owned(),
        instructions: asked.instructions.clone(),
        sampling: asked.sampling.clone(),
        echo: asked.echo.clone(),
        stored: false,
        conversation: None,
    }
}

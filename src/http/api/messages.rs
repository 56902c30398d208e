//! Messages of a session: `/api/v1/sessions/{id}/messages`.

use hyper::StatusCode;
use serde::Deserialize;

use super::events::{self, Named};
use crate::{
    app::App,
    auth::Identity,
    chat::{Answer, Target},
    http::{
        problem::Problem,
        request::ApiRequest,
        response::{self, ApiResponse},
    },
    store::PageRange,
    text::MessageText,
};

/// How many messages a page has where the request does not say.
const PAGE_DEFAULT: usize = 50;

#[derive(PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewMessage {
    content: String,
    stream: Option<bool>,
}

/// `POST /api/v1/sessions/{id}/messages`: stores a message and answers with it and its reply, or with the stream of its
/// turn.
///
/// 201, or 200 where the idempotency key was known or a stream is wanted; 403 unless the caller owns the session; 422 if `content` is out of
/// bounds; 429 or 503 before anything is stored.
pub(in crate::http) async fn send(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let session = app.chat.owned(caller, request.session_id()?).await?;
    let key = request.idempotency_key()?;
    let body: NewMessage = request.json().await?;
    let content = MessageText::new(body.content, app.loaded().config.chat.message_chars_max)
        .map_err(|fault| Problem::field("content", fault))?;
    if body.stream == Some(true) {
        let follow = app.chat.send_and_follow(caller, Target::Owned(session), content, key.as_deref()).await?;
        return Ok(events::stream(follow, Named::No));
    }
    Ok(answered(&app.chat.send(caller, Target::Owned(session), content, key.as_deref()).await?))
}

fn answered(answer: &Answer) -> ApiResponse {
    response::json(if answer.repeated { StatusCode::OK } else { StatusCode::CREATED }, answer)
}

/// `POST /api/v1/sessions/{id}/messages/{seq}/retry`: 201 with the message and its new reply.
///
/// 403 unless the caller owns the session; 404 for no such message; 409 while it is being answered; 429 or 503 before
/// anything is begun.
pub(in crate::http) async fn retry(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let session = app.chat.owned(caller, request.session_id()?).await?;
    let seq = request.seq()?;
    Ok(answered(&app.chat.retry(caller, session, seq).await?))
}

/// `POST /api/v1/sessions/{id}/messages/{seq}/stop`: 204 once the reply has ended, or where it had before.
///
/// 403 unless the caller owns the session; 404 for no such message.
pub(in crate::http) async fn stop(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let session = app.chat.owned(caller, request.session_id()?).await?;
    app.chat.stop(session, request.seq()?).await?;
    Ok(response::no_content())
}

/// `GET /api/v1/sessions/{id}/messages`: a page in ascending order, with an entity tag; 304 where nothing changed.
pub(in crate::http) async fn page(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let session = app.chat.owned(caller, request.session_id()?).await?;
    let query = request.query()?;
    let range =
        PageRange { after: query.seq("after")?, before: query.seq("before")?, limit: query.limit(PAGE_DEFAULT)? };
    let page = app.chat.page(&session, range).await?;
    Ok(response::rendered(request.into_headers(), page))
}

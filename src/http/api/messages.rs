//! Messages of a session: `/api/v1/sessions/{id}/messages`.

use hyper::StatusCode;
use serde::Deserialize;

use crate::{
    app::App,
    auth::Identity,
    chat::Target,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewMessage {
    content: String,
    stream: Option<bool>,
}

/// `POST /api/v1/sessions/{id}/messages`: stores a message and answers with it and its reply.
///
/// 201, or 200 where the idempotency key was known; 403 unless the caller owns the session; 422 if `content` is out of
/// bounds; 429 or 503 before anything is stored.
pub(in crate::http) async fn send(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let session = app.chat.owned(caller, request.session_id()?).await?;
    let key = request.idempotency_key()?;
    let body: NewMessage = request.json().await?;
    if body.stream == Some(true) {
        return Err(Problem::field("stream", "live streaming is not available; please send false or leave it out"));
    }
    let content = MessageText::new(body.content, app.config.chat.message_chars_max)
        .map_err(|fault| Problem::field("content", fault))?;
    let answer = app.chat.send(caller, Target::Owned(session), content, key.as_deref()).await?;
    let status = if answer.repeated { StatusCode::OK } else { StatusCode::CREATED };
    Ok(response::json(status, &answer))
}

/// `GET /api/v1/sessions/{id}/messages`: a page in ascending order, with an entity tag; 304 where nothing changed.
pub(in crate::http) async fn page(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let session = app.chat.owned(caller, request.session_id()?).await?;
    let query = request.query()?;
    let range =
        PageRange { after: query.seq("after")?, before: query.seq("before")?, limit: query.limit(PAGE_DEFAULT)? };
    let page = app.chat.page(&session, range).await?;
    Ok(response::rendered(request.headers(), page))
}

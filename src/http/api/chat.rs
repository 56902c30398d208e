//! The calls of the old client, kept so that it works unchanged but for the token: `/api/v1/chat/...`.

use hyper::StatusCode;
use serde::{Deserialize, Serialize};

use super::sessions::client_id;
use crate::{
    app::App,
    auth::Identity,
    chat::{Answer, Target},
    clock::Timestamp,
    http::{
        problem::Problem,
        request::ApiRequest,
        response::{self, ApiResponse},
    },
    id::{MessageId, SessionId},
    text::MessageText,
};

/// How many turns a history has where the request does not say.
const HISTORY_DEFAULT: usize = 50;
/// How many turns a search gives where the request does not say.
const SEARCH_DEFAULT: usize = 20;
/// The most characters of what is searched for.
const NEEDLE_CHARS_MAX: usize = 500;
/// How the old client names whoever is logged in.
const ME: &str = "me";

/// What the old client sends; it may send more, which is ignored.
#[derive(PartialEq, Deserialize)]
pub(in crate::http) struct OldMessage {
    message: String,
    session_id: Option<String>,
    user_id: Option<String>,
}

#[derive(Serialize)]
struct OldAnswer<'a> {
    response: &'a str,
    session_id: SessionId,
    /// The reply's id.
    message_id: MessageId,
    user_message_id: MessageId,
    has_personality_context: bool,
    #[serde(serialize_with = "crate::clock::rfc3339")]
    timestamp: Timestamp,
}

#[derive(Serialize)]
struct ChatHealth<'a> {
    status: &'static str,
    service: &'static str,
    model: &'a str,
    #[serde(serialize_with = "crate::clock::rfc3339")]
    timestamp: Timestamp,
}

impl<'a> From<&'a Answer> for OldAnswer<'a> {
    fn from(answer: &'a Answer) -> Self {
        Self {
            response: &answer.reply.content,
            session_id: answer.session,
            message_id: answer.reply.id,
            user_message_id: answer.message.id,
            has_personality_context: false,
            timestamp: answer.reply.created_at,
        }
    }
}

/// `POST /api/v1/chat/send`: stores a message, in a new session unless one is named, and answers with its reply.
pub(in crate::http) async fn send(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let key = request.idempotency_key()?;
    let body: OldMessage = request.json().await?;
    is_caller(caller, body.user_id.as_deref())?;
    let target = match body.session_id.as_deref() {
        Some(id) => Target::Id(client_id("session_id", id)?),
        None => Target::New,
    };
    let message = MessageText::new(body.message, app.loaded().config.chat.message_chars_max)
        .map_err(|fault| Problem::field("message", fault))?;
    let answer = app.chat.send(caller, target, message, key.as_deref()).await?;
    Ok(response::json(StatusCode::OK, &OldAnswer::from(&answer)))
}

/// `GET /api/v1/chat/history[/{user_id}]`: the newest turns in pairs, oldest first, of one session or of all.
pub(in crate::http) async fn history(
    app: &App,
    caller: &Identity,
    request: ApiRequest,
) -> Result<ApiResponse, Problem> {
    is_caller(caller, request.segment("user_id"))?;
    let query = request.query()?;
    let limit = query.limit(HISTORY_DEFAULT)?;
    let offset = query.number("offset")?.unwrap_or(0);
    let session = match query.text("session_id")? {
        Some(id) => Some(app.chat.owned(caller, client_id("session_id", &id)?).await?),
        None => None,
    };
    let history = app.chat.history(caller, session.as_ref(), limit, offset).await?;
    Ok(response::rendered(request.into_headers(), history))
}

/// `DELETE /api/v1/chat/history[/{user_id}]`: 204; all of the caller's sessions are empty.
pub(in crate::http) async fn clear(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    is_caller(caller, request.segment("user_id"))?;
    app.chat.clear(caller).await?;
    Ok(response::no_content())
}

/// `GET /api/v1/chat/search[/{user_id}]`: the turns that have `q` in them, in the shape of the history.
pub(in crate::http) async fn search(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    is_caller(caller, request.segment("user_id"))?;
    let query = request.query()?;
    let limit = query.limit(SEARCH_DEFAULT)?;
    let needle = query.text("q")?.ok_or_else(|| Problem::field("q", "missing; please say what to search for"))?;
    let needle = MessageText::new(needle.into_owned(), NEEDLE_CHARS_MAX).map_err(|fault| Problem::field("q", fault))?;
    let found = app.chat.search(caller, needle.as_str(), limit).await?;
    Ok(response::rendered(request.into_headers(), found))
}

/// `GET /api/v1/chat/health`: 200, and what makes the replies.
pub(in crate::http) fn health(app: &App) -> ApiResponse {
    let health = ChatHealth { status: "healthy", service: "chat", model: app.chat.model(), timestamp: app.clock.now() };
    response::json(StatusCode::OK, &health)
}

/// The old client names its user in every call; who that is comes from the token all the same.
fn is_caller(caller: &Identity, named: Option<&str>) -> Result<(), Problem> {
    match named {
        Some(name) if name != ME && name.parse() != Ok(caller.id()) => Err(Problem::not_owner()),
        Some(_) | None => Ok(()),
    }
}

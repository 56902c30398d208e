//! Conversations and their items: `/v1/conversations`. A conversation is a session, and an item a message of it.

use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    chars_max, ids,
    keys::{self, Repetition},
    paging::Page,
    responses, seconds,
    shape::{self, List},
    wire::{NewConversation, new_items, new_metadata},
};
use crate::{
    app::App,
    auth::Identity,
    chat::{ChatError, ItemId, OwnedSession},
    http::{
        problem::Problem,
        request::ApiRequest,
        response::{self, ApiResponse},
    },
    store::Session,
};

/// What is kept beside a session for this API.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct About {
    metadata: Map<String, Value>,
}

impl About {
    fn write(metadata: Map<String, Value>) -> Result<String, Problem> {
        serde_json::to_string(&Self { metadata }).map_err(Problem::internal)
    }
}

/// `POST /v1/conversations`: makes a conversation, with what is said in it already.
///
/// 200; 400 names the field; 422 where an idempotency key was used for something else.
pub(super) async fn create(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let (repetition, presence) = (Repetition::of(&request)?, request.presence());
    let (body, digest) = request.json_or_default_with_digest().await?;
    let NewConversation { items, metadata } = NewConversation::read(body, chars_max(app))?;
    let about = About::write(metadata)?;
    let asking = app.chat.asking(caller, repetition.key(digest)).await?;
    let key = asking.key();
    let made = async {
        let id = app.chat.create_conversation(caller, Some(about), items, Some(key)).await?;
        let session = app.chat.owned(caller, id).await?;
        show(app, &session).await
    };
    keys::answered(&presence, asking, made).await
}

/// `GET /v1/conversations`: the caller's conversations, newest activity first. No call of OpenAI's.
///
/// 400 for a page that is none.
pub(super) async fn list(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let page = Page::of(&request, false)?;
    if page.upwards {
        return Err(Problem::field("order", "must be desc: the newest come first").coded("unsupported_value"));
    }
    let after = match &page.after {
        None => None,
        Some(id) => {
            let id = ids::conversation_of(id).ok_or_else(Page::no_such_after)?;
            let session = app.chat.owned(caller, id).await.map_err(|_| Page::no_such_after())?;
            let session = app.chat.session(&session).await?;
            Some((session.updated_at, session.id))
        }
    };
    let mut sessions = app.chat.sessions(caller, after, page.limit + 1).await?;
    let has_more = sessions.len() > page.limit;
    sessions.truncate(page.limit);
    let mut data = Vec::with_capacity(sessions.len());
    for session in &sessions {
        // One that was deleted just now is missed by nobody.
        let owned = match app.chat.owned(caller, session.id).await {
            Err(ChatError::NotOwner(_)) => continue,
            owned => owned?,
        };
        data.push(object(app, &owned, session).await?);
    }
    Ok(response::json(StatusCode::OK, &List::of(data, has_more)))
}

/// `GET /v1/conversations/{id}`: a conversation; 404 for one that is not the caller's.
pub(super) async fn get(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let session = in_path(app, caller, &request).await?;
    show(app, &session).await
}

/// `POST /v1/conversations/{id}`: changes what is kept with a conversation; 404 for one that is not the caller's.
pub(super) async fn update(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let session = in_path(app, caller, &request).await?;
    let metadata = new_metadata(request.json().await?)?;
    app.chat.set_about(&session, Some(About::write(metadata)?)).await?;
    show(app, &session).await
}

/// `DELETE /v1/conversations/{id}`: deletes a conversation for ever, with all that was said in it.
///
/// 404 for one that is not the caller's.
pub(super) async fn delete(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let session = in_path(app, caller, &request).await?;
    app.chat.delete(session).await?;
    let deleted = json!({"id": ids::conversation(session.id()), "object": "conversation.deleted", "deleted": true});
    Ok(response::json(StatusCode::OK, &deleted))
}

/// `POST /v1/conversations/{id}/items`: adds items, which nobody answers; 404 for a conversation that is not the caller's.
pub(super) async fn add_items(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let session = in_path(app, caller, &request).await?;
    let (repetition, presence) = (Repetition::of(&request)?, request.presence());
    let (body, digest) = request.json_with_digest().await?;
    let items = new_items(body, chars_max(app))?;
    let asking = app.chat.asking(caller, repetition.key(digest)).await?;
    let key = asking.key();
    let added = async {
        let added = app.chat.add_items(&session, items, Some(key)).await?;
        let data = added.iter().map(|item| shape::item(session.id(), item)).collect();
        Ok(response::json(StatusCode::OK, &List::of(data, false)))
    };
    keys::answered(&presence, asking, added).await
}

/// `GET /v1/conversations/{id}/items`: a page of the items, newest first or oldest first.
///
/// 404 for a conversation that is not the caller's; 400 for a page that is none.
pub(super) async fn items(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let session = in_path(app, caller, &request).await?;
    let page = Page::of(&request, false)?;
    let after = match &page.after {
        None => None,
        Some(id) => Some(item_of(&session, id).ok_or_else(Page::no_such_after)?),
    };
    let found = app.chat.items(&session, after, page.upwards, page.limit).await?;
    let (items, has_more) = found.ok_or_else(Page::no_such_after)?;
    let data = items.iter().map(|item| shape::item(session.id(), item)).collect();
    Ok(response::json(StatusCode::OK, &List::of(data, has_more)))
}

/// `GET /v1/conversations/{id}/items/{item_id}`: one item; 404 where it is not in a conversation of the caller's.
pub(super) async fn item(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let session = in_path(app, caller, &request).await?;
    let found = app.chat.item(&session, named_item(&session, &request)?).await?;
    let item = found.ok_or_else(|| Problem::no_such("item"))?;
    Ok(response::json(StatusCode::OK, &shape::item(session.id(), &item)))
}

/// `DELETE /v1/conversations/{id}/items/{item_id}`: takes an item out of a conversation, which is the answer.
///
/// 404 where it is not in a conversation of the caller's; 409 while it is answered.
pub(super) async fn delete_item(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let session = in_path(app, caller, &request).await?;
    let item = named_item(&session, &request)?;
    if !app.chat.delete_item(&session, item).await? {
        return Err(Problem::no_such("item"));
    }
    show(app, &session).await
}

async fn in_path(app: &App, caller: &Identity, request: &ApiRequest) -> Result<OwnedSession, Problem> {
    let none = || Problem::no_such("conversation");
    let id = request.segment("id").and_then(ids::conversation_of).ok_or_else(none)?;
    responses::owned(app, caller, id, "conversation").await
}

fn named_item(session: &OwnedSession, request: &ApiRequest) -> Result<ItemId, Problem> {
    let id = request.segment("item_id").and_then(|id| item_of(session, id));
    id.ok_or_else(|| Problem::no_such("item"))
}

/// The item of this session that has the id.
fn item_of(session: &OwnedSession, id: &str) -> Option<ItemId> {
    ids::item_of(id).filter(|(of, _)| *of == session.id()).map(|(_, item)| item)
}

async fn show(app: &App, session: &OwnedSession) -> Result<ApiResponse, Problem> {
    let shown = app.chat.session(session).await?;
    Ok(response::json(StatusCode::OK, &object(app, session, &shown).await?))
}

async fn object(app: &App, owned: &OwnedSession, session: &Session) -> Result<Value, Problem> {
    let about = app.chat.about(owned).await?;
    let about: About = about.and_then(|about| serde_json::from_str(&about).ok()).unwrap_or_default();
    Ok(shape::conversation(session.id, seconds(session.created_at), &about.metadata))
}
